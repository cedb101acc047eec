//! Requests that no one shares: passed to the origin with their body, and its answer passed back as it comes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{HeaderMap, Method};
use http_body::Body as _;

use crate::origin::{Ask, Course, Whose, told};
use crate::rules::caching::invalidate::invalidated;
use crate::rules::fields::cache_status::{Forward, Handling, Joined, Kept};
use crate::rules::fields::{date, hop};
use crate::telemetry::traffic::Origination;

use super::answer::{Access, Age, Answer, Provenance};
use super::body::Content;
use super::edge::Edge;
use super::policies::Policies;
use super::route::Resource;
use super::upward::Upward;
use super::{Head, Refusal, Upload, posted, upstream};

/// Passes a request without a body.
///
/// # Errors
/// Whatever befell the origin.
pub async fn pass(
    edge: &Edge,
    policies: &Arc<Policies>,
    head: &Head,
    resource: &Resource<'_>,
    why: Forward,
) -> Result<Answer, Refusal> {
    Box::pin(send(edge, policies, (head, resource), Passing::of(head, policies, why))).await
}

/// Passes a request with its body, up to the route's limit.
///
/// # Errors
/// `BodyTooLarge`, and whatever befell the origin.
pub async fn pass_with_body(
    edge: &Edge,
    policies: &Arc<Policies>,
    head: &Head,
    resource: &Resource<'_>,
    upload: Upload,
) -> Result<Answer, Refusal> {
    let limit = resource.route.config.max_body;
    if upload.size_hint().lower() > limit {
        return Err(Refusal::BodyTooLarge { limit });
    }
    let why = if matches!(head.method, Method::GET | Method::HEAD) { Forward::Bypass } else { Forward::Method };
    let exceeded = Arc::new(AtomicBool::new(false));
    let body = Upward::of(upload, limit, exceeded.clone()).await.map_err(|_| upstream::BROKEN_UPLOAD)?;
    let passing = Passing { body, ..Passing::of(head, policies, why) };
    let outcome = Box::pin(send(edge, policies, (head, resource), passing)).await;
    // Whatever the origin made of it: a body of unannounced length has turned out to be too large.
    if exceeded.load(Ordering::Relaxed) { Err(Refusal::BodyTooLarge { limit }) } else { outcome }
}

/// How a request is passed.
pub struct Passing {
    /// Why it is.
    why: Forward,
    /// Whether it waited for another's answer first.
    pub joined: Joined,
    /// Its fields.
    pub headers: HeaderMap,
    /// The deadline for the head of the answer, where it is longer than the origin's own.
    pub first_byte: Option<Duration>,
    body: Option<Upward>,
}

impl Passing {
    /// A request passed as it came, without a body.
    pub fn of(head: &Head, policies: &Policies, why: Forward) -> Self {
        let headers = upstream::passed_fields(head, policies);
        Self { why, joined: Joined::Alone, headers, first_byte: None, body: None }
    }
}

/// Passes a request in a way. Its future is large: it is boxed where others share a place with it, above all those who
/// only wait.
///
/// # Errors
/// Whatever befell the origin.
pub async fn send(
    edge: &Edge,
    policies: &Arc<Policies>,
    (head, resource): (&Head, &Resource<'_>),
    passing: Passing,
) -> Result<Answer, Refusal> {
    let Passing { why, joined, headers, first_byte, body } = passing;
    let (began, number, purges) = (edge.clock.now(), told::number(), edge.cache.purges_ordered());
    let ask = Ask {
        method: head.method.clone(),
        path_and_query: resource.upstream.clone(),
        first_byte,
        headers,
        viewer_authority: head.authority.clone(),
        body: body.map(|body| Box::pin(body) as _),
        course: Course {
            whose: Whose::Viewer,
            interims: head.interims.clone(),
            number: Some(number),
            ..Course::default()
        },
    };
    let fetched = policies.origins.fetch(edge.tasks(), &resource.route.supply.order(&resource.upstream), ask).await;
    let fetch = told::fetch(number, &fetched, edge.clock.now().since(began));
    head.notes.note(|noted| noted.fetch = Some(Arc::new(fetch)));
    let answer = fetched.map_err(|error| upstream::of_fetch(&error))?;
    for target in invalidated(&resource.written(), &head.method, answer.status, &answer.headers) {
        let key = resource.sibling(&target);
        edge.cache.remove(&key);
        // A stream that began anew keeps it under another key.
        if let Some(named) = edge.live.media.find(&key) {
            edge.cache.remove(&named.key);
        }
    }
    let answer = match posted::keep(edge, policies, (head, resource), (answer, began, purges)).await? {
        Ok(kept) => return Ok(Answer { origin_wait: Some(edge.clock.now().since(began)), ..kept }),
        Err(answer) => answer,
    };
    let mut headers = answer.headers;
    hop::strip_hop_by_hop(&mut headers);
    date::ensure_date(&mut headers, edge.clock.wall());
    let handling = Handling::Forwarded { why, status: None, kept: Kept::Passed, joined };
    let provenance = Provenance { handling, ttl: None, age: Age::AsReceived, detail: None };
    let silent = head.method == Method::HEAD;
    Ok(Answer {
        status: answer.status,
        headers,
        content: if silent { Content::Empty } else { Content::Passing(Box::new(answer.body)) },
        origination: Origination::Pass,
        provenance: Some(provenance),
        origin_wait: Some(edge.clock.now().since(began)),
        held: None,
        urgency: None,
        access: Access::OfRoute,
    })
}
