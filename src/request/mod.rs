//! The life of one request, the same for every protocol.

mod account;
mod answer;
mod asked;
pub mod body;
mod cached;
pub mod edge;
pub mod explain;
mod forward;
pub mod head;
pub mod held;
mod media;
mod outward;
mod page;
mod plain;
mod playlist;
pub mod policies;
mod posted;
pub mod purge;
pub mod refusal;
mod represent;
mod respond;
mod route;
pub mod upload;
mod upstream;
pub mod warm;

use http::Response;

pub use answer::Answer;
pub use body::Body;
pub use edge::Edge;
pub use head::{Caller, Head, Protocol, Scheme, Viewer};
pub use page::Readiness;
pub use policies::{Advertised, Policies};
pub use refusal::Refusal;
pub use upload::{Upload, UploadError};

use route::Target;

/// The life of one request. Nothing from here on knows which protocol carried it.
#[expect(clippy::manual_async_fn, reason = "an async fn keeps its arguments twice, and thousands wait in this one")]
pub fn serve(edge: &Edge, head: Head, upload: Upload) -> impl Future<Output = Response<Body>> + Send {
    async move {
        let policies = edge.policies(); // kept to the end: a request never sees two of them
        let target = route::target(&policies, &head);
        let route = target.as_ref().ok().and_then(Target::route);
        let outcome = match target {
            Ok(target) => journey(edge, &policies, &head, (target, upload)).await,
            Err(refusal) => Err(refusal),
        };
        respond::finish(edge, &policies, &head, route, outcome)
    }
}

/// The answer to a request that is refused before anything else is looked at.
pub fn refuse(edge: &Edge, head: &Head, refusal: Refusal) -> Response<Body> {
    respond::finish(edge, &edge.policies(), head, None, Err(refusal))
}

async fn journey(
    edge: &Edge,
    policies: &std::sync::Arc<Policies>,
    head: &Head,
    (target, upload): (Target<'_>, Upload),
) -> Result<Answer, Refusal> {
    let resource = match target {
        Target::Page(page) => return Ok(page.answer(edge.readiness())),
        Target::Answered(_, answer) => return Ok(*answer),
        Target::Resource(resource) => resource,
    };
    route::refuse_loops(policies, head)?;
    asked::agree(edge, head, &resource)?;
    if let Some(asking) = asked::shared(edge, head, &resource) {
        if let Some(named) = edge.live.media.find(&asking.key) {
            let resource = asking.resource(&resource);
            return Box::pin(media::answer(edge, policies, head, &resource, &named)).await;
        }
        if let Some(listing) = playlist::listing(edge, &resource, asking) {
            return playlist::answer(edge, policies, head, &listing).await;
        }
    }
    match cached::is_shareable(head) {
        true => Box::pin(plain::answer(edge, policies, head, &resource)).await,
        false => Box::pin(forward::pass_with_body(edge, policies, head, &resource, upload)).await,
    }
}
