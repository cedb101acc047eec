//! Everything that no stream names: the standard's caching (RFC 9111) by the letter.

use std::sync::Arc;

use crate::cache::{FillReader, Lead, Object, ResponseHead};
use crate::clock::Tick;
use crate::config::LiveMode;
use crate::origin::pump::{Fetching, Pump, Terms};
use crate::rules::caching::{Freshness, Key};

use super::answer::Answer;
use super::cached::{self, Manner, Needs};
use super::edge::Edge;
use super::policies::Policies;
use super::route::Resource;
use super::{Head, Refusal, upstream};

struct Plain<'a> {
    edge: &'a Edge,
    policies: &'a Policies,
    head: &'a Head,
    resource: &'a Resource<'a>,
}

/// Answers a shareable request.
///
/// # Errors
/// `NotStored`, the limits of the cache, and whatever befell the origin.
pub async fn answer(
    edge: &Edge,
    policies: &Arc<Policies>,
    head: &Head,
    resource: &Resource<'_>,
) -> Result<Answer, Refusal> {
    let manner = Plain { edge, policies, head, resource };
    cached::answer(edge, policies, head, resource, &manner).await
}

impl Manner for Plain<'_> {
    fn key(&self) -> &Key {
        &self.resource.key
    }

    fn freshness(&self, stored: &ResponseHead, now: Tick) -> Freshness {
        stored.lifetime.freshness(now)
    }

    /// The fill lives on the object's home worker.
    fn fetch(&self, lead: Lead, validates: Option<Arc<Object>>) -> FillReader {
        let Self { edge, policies, head, resource } = self;
        let (writer, reader) = lead.start();
        let fetching = Fetching {
            origins: policies.origins.clone(),
            group: resource.route.supply.order(&resource.upstream),
            target: resource.upstream.clone(),
            fields: upstream::shared_fields(head, policies, resource.route),
            unvaried: upstream::unvaried(resource.route),
            viewer_authority: resource.viewer_authority.clone(),
            validates,
            terms: match resource.route.config.live {
                LiveMode::Auto => Terms::Unnamed,
                LiveMode::Off => Terms::Plain,
            },
            naming: None,
        };
        let home = edge.home(&resource.key);
        home.spawn("fill", Pump::new(fetching, edge.clock.clone(), home.clone()).run(writer));
        reader
    }

    fn needs(&self, _: &Head) -> Needs {
        Needs::Head
    }

    fn ttl(&self, response: &ResponseHead, now: Tick) -> i64 {
        response.lifetime.ttl(now)
    }

    fn finish(&self, answer: Answer, _: Tick) -> Answer {
        answer
    }
}
