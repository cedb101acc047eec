//! The life of one request, the same for every protocol.

mod account;
mod admit;
mod answer;
mod asked;
mod authorize;
mod beacon;
pub mod body;
mod cached;
mod cmcd;
pub mod crowd;
pub mod edge;
pub mod explain;
mod forward;
pub mod head;
pub mod held;
mod hop;
mod inherit;
mod line;
mod media;
mod meter;
mod notes;
mod outward;
mod page;
mod plain;
mod playlist;
pub mod policies;
mod posted;
pub mod purge;
pub mod refusal;
mod renew;
mod represent;
mod respond;
mod route;
mod tell;
pub mod upload;
mod upstream;
mod upward;
pub mod warm;
mod witness;

use std::sync::Arc;

use http::Response;

pub use answer::Answer;
pub use body::Body;
pub use edge::Edge;
pub use head::{Caller, Head, Protocol, Proxy, Scheme, Viewer};
pub use line::{Line, Sample};
pub use notes::Notes;
pub use page::Readiness;
pub use policies::{Advertised, Policies};
pub use refusal::Refusal;
pub use upload::{Upload, UploadError};

use crate::rules::token::carrier::Presented;
use admit::Admitted;
use cmcd::Said;
use route::{Entered, Resource, Target};
use witness::Watcher;

/// The life of one request. Nothing from here on knows which protocol carried it, and nothing below `enter` sees a token.
#[expect(clippy::manual_async_fn, reason = "an async fn keeps its arguments twice, and thousands wait in this one")]
pub fn serve(edge: &Edge, mut head: Head, upload: Upload) -> impl Future<Output = Response<Body>> + Send {
    async move {
        let policies = edge.policies(); // kept to the end: a request never sees two of them
        let Entered { route, mut target, presented, said } = route::enter(&policies, &mut head);
        let is_beacon = matches!(target, Ok(Target::Beacon(_)));
        let mut admitted = Admitted::default();
        let outcome = match target {
            Err(refusal) => Err(admit::counted(edge, &head, refusal)),
            Ok(Target::Beacon(beacon)) => Box::pin(beacon::answer(edge, &policies, &head, (*beacon, upload))).await,
            Ok(Target::Page(page)) => Ok(page.answer(edge.readiness())),
            Ok(Target::Answered(answer)) => Ok(*answer),
            // Where it lies: moved, it would be kept twice.
            Ok(Target::Resource(ref mut resource)) => {
                journey(edge, &policies, (&head, upload), (resource, presented, said), &mut admitted).await
            }
        };
        let outcome = outcome.map(|answer| admit::measured(edge, &admitted, answer));
        let mut response = respond::finish(edge, &policies, &mut head, (route, &admitted), outcome);
        if is_beacon {
            beacon::dress(&policies, &head, response.headers_mut());
        }
        response
    }
}

/// The answer to a request that is refused before anything else is looked at.
pub fn refuse(edge: &Edge, head: &Head, refusal: Refusal) -> Response<Body> {
    respond::finish(edge, &edge.policies(), &mut head.clone(), (None, &Admitted::default()), Err(refusal))
}

#[expect(clippy::manual_async_fn, reason = "as above")]
fn journey<'j, 'r>(
    edge: &'j Edge,
    policies: &'j Arc<Policies>,
    (head, upload): (&'j Head, Upload),
    (resource, presented, said): (&'j mut Resource<'r>, Option<Box<Presented>>, Option<Box<Said>>),
    admitted: &'j mut Admitted,
) -> impl Future<Output = Result<Answer, Refusal>> + Send {
    async move {
        route::refuse_loops(policies, head)?;
        let presented = presented.as_deref();
        let admission = match authorize::admit(edge, head, resource, presented) {
            Err(refusal) if authorize::lacks_keys(&refusal) => {
                Box::pin(authorize::admit_by_newer_keys(edge, head, resource, presented, refusal)).await
            }
            admission => admission,
        };
        admitted.admission = admission.map_err(|refusal| admit::counted(edge, head, refusal))?;
        resource.admission.clone_from(&admitted.admission);
        admitted.watcher = match &admitted.admission {
            Some(admission) => Some(Watcher::of(&admission.session)),
            None => witness::enter(edge, policies, (head, resource.route), None),
        };
        resource.watcher.clone_from(&admitted.watcher);
        asked::agree(edge, head, resource)?;
        admitted.permit = admit::permit(edge, head, resource)?;
        resource.ladder = admitted.permit.ladder;
        if let Some(said) = said {
            cmcd::tell(edge, policies, head, (resource, &said));
        }
        match &admitted.admission {
            None => answer(edge, policies, head, (resource, upload)).await,
            Some(admission) => {
                let answer = Box::pin(answer(edge, policies, head, (resource, upload)));
                Box::pin(authorize::while_it_lasts(edge, admission, answer)).await
            }
        }
    }
}

#[expect(clippy::manual_async_fn, reason = "as above")]
fn answer<'j>(
    edge: &'j Edge,
    policies: &'j Arc<Policies>,
    head: &'j Head,
    (resource, upload): (&'j Resource<'j>, Upload),
) -> impl Future<Output = Result<Answer, Refusal>> + Send {
    async move {
        if let Some(asking) = asked::shared(edge, head, resource) {
            if let Some(named) = edge.live.media.find(&asking.key) {
                let resource = asking.resource(resource);
                return Box::pin(media::answer(edge, policies, head, &resource, &named)).await;
            }
            if let Some(listing) = playlist::listing(edge, resource, asking) {
                return playlist::answer(edge, policies, head, &listing).await;
            }
        }
        match cached::is_shareable(head) {
            true => Box::pin(plain::answer(edge, policies, head, resource)).await,
            false => Box::pin(forward::pass_with_body(edge, policies, head, resource, upload)).await,
        }
    }
}
