//! The answer to a POST that is also what a GET would bring, by its own word (RFC 9110 §9.3.3): it is kept for those who
//! GET it, beside being passed to whoever posted.

use std::future::poll_fn;
use std::sync::Arc;

use crate::cache::{FillAnswer, Lookup};
use crate::clock::Tick;
use crate::origin;
use crate::origin::pump::{Fetching, Pump, Terms};
use crate::outbound::interim::Interims;
use crate::rules::caching::Freshness;
use crate::rules::caching::invalidate::stands_for_get;
use crate::rules::fields::cache_status::{Forward, Handling, Joined, Kept};
use crate::telemetry::traffic::Origination;

use super::answer::{Age, Answer, Provenance};
use super::edge::Edge;
use super::policies::Policies;
use super::route::Resource;
use super::{Head, Refusal, represent, upstream};

/// The answer to its poster, and kept; as it was where it is not such an answer, or cannot be kept now. `purges` had begun
/// when it was asked for: what a later one may cover is not kept.
///
/// # Errors
/// The limits of the cache, and whatever befell the origin.
pub async fn keep(
    edge: &Edge,
    policies: &Arc<Policies>,
    (head, resource): (&Head, &Resource<'_>),
    (answer, requested, purges): (origin::Answer, Tick, u64),
) -> Result<Result<Answer, origin::Answer>, Refusal> {
    let is_kept = stands_for_get(&resource.written(), &head.method, answer.status, &answer.headers);
    let fields = upstream::shared_fields(head, policies, resource.route);
    if !is_kept || upstream::is_conditional(head) {
        return Ok(Err(answer));
    }
    let Lookup::Lead(lead) = edge.cache.lookup(&resource.key, &fields, |_| Freshness::Unusable) else {
        return Ok(Err(answer));
    };
    // Looked at once a purge that begins now would find it among what is in flight.
    if edge.cache.purges_ordered() != purges {
        return Ok(Err(answer));
    }
    let (writer, mut reader) = lead.start();
    let fetching = Fetching {
        origins: policies.origins.clone(),
        group: resource.route.supply.origins.clone(),
        target: resource.upstream.clone(),
        fields,
        unvaried: upstream::unvaried(resource.route),
        cookies: resource.route.config.sharing.set_cookie,
        viewer_authority: resource.viewer_authority.clone(),
        validates: None,
        siblings: Vec::new(),
        terms: Terms::Plain,
        errors: resource.route.config.errors.clone(),
        naming: None,
        concern: None,
        shared: None,
        interims: Interims::default(),
    };
    let home = edge.home(&resource.key);
    home.spawn("fill", Pump::new(fetching, edge.clock.clone(), home.clone()).keep(answer, requested, writer));
    let arrived = poll_fn(|cx| reader.poll_head(cx)).await.map_err(|end| upstream::refusal(&end))?;
    let kept = if reader.will_be_stored() { Kept::Stored } else { Kept::Passed };
    let handling = Handling::Forwarded { why: Forward::Method, status: None, kept, joined: Joined::Alone };
    let provenance = Provenance { handling, ttl: None, age: Age::AsReceived, detail: None };
    Ok(Ok(match arrived {
        FillAnswer::Complete(object) => represent::stored(head, &object, Origination::Pass, provenance),
        FillAnswer::Arriving(response, _) => {
            represent::arriving(head, &response, (reader, None), Origination::Pass, provenance)
        }
    }))
}
