//! Everything that no stream names: the standard's caching (RFC 9111) by the letter.

use std::sync::Arc;

use http::header::{CONTENT_LENGTH, VARY};
use http::{Method, StatusCode};

use crate::cache::{FillReader, Lead, Object, ResponseHead};
use crate::clock::Tick;
use crate::config::{LiveMode, Wishes};
use crate::origin::Concern;
use crate::origin::pump::{Fetching, Pump, Terms};
use crate::rules::caching::control::{TARGETS, Wanted, Wish};
use crate::rules::caching::freshness::{Lifetime, Policy, Received, Times};
use crate::rules::caching::storable::Credentials;
use crate::rules::caching::validator::{self, Validators};
use crate::rules::caching::{Control, Freshness, Key, wish};
use crate::rules::fields::cache_status::Forward;
use crate::rules::fields::list;

use super::answer::Answer;
use super::cached::{self, Manner, Needs};
use super::edge::Edge;
use super::policies::Policies;
use super::route::Resource;
use super::{Head, Refusal, asked, forward, represent, upstream};

/// What Cache-Status says where the operator's word on Vary made a difference.
const VARY_IGNORED: &str = "vary-ignored";

struct Plain<'a> {
    edge: &'a Edge,
    policies: &'a Policies,
    head: &'a Head,
    resource: &'a Resource<'a>,
    credentials: Credentials,
    /// What the request wants, where it is heard.
    wish: Option<Wish>,
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
    let said = Wish::of(&head.headers);
    let wish = (resource.route.config.sharing.wishes == Wishes::Honoured).then_some(said);
    let manner = Plain { edge, policies, head, resource, credentials: Credentials::of(&head.headers), wish };
    if wish.is_some_and(|wish| wish.says(Wanted::NoStore)) && !said.says(Wanted::OnlyIfCached) {
        return forward::pass(edge, policies, head, resource, Forward::Bypass).await;
    }
    if head.method == Method::HEAD
        && !said.says(Wanted::OnlyIfCached)
        && let Some(stale) = manner.stale()
    {
        return Box::pin(confirm_by_head(policies, &manner, &stale)).await;
    }
    cached::answer(edge, policies, head, resource, &manner).await
}

/// HEAD goes to the origin as it is where what is stored must not be used, and brings that up to date, or out of it
/// (RFC 9111 §4.3.5).
async fn confirm_by_head(
    policies: &Arc<Policies>,
    manner: &Plain<'_>,
    stored: &Arc<Object>,
) -> Result<Answer, Refusal> {
    let Plain { edge, head, resource, .. } = *manner;
    let requested = edge.clock.now();
    let why = manner.why_asked(&stored.head, requested);
    let answer = forward::pass(edge, policies, head, resource, why).await?;
    if answer.status == StatusCode::OK && manner.credentials == Credentials::None {
        let times = Times { requested, responded: edge.clock.now(), responded_wall: edge.clock.wall() };
        let updated = stored.with_head(after_head(stored, &answer, times));
        edge.cache.replace(&resource.key, stored, &updated);
    }
    Ok(answer)
}

/// The head of a stored response after a HEAD has told of it.
fn after_head(stored: &Object, told: &Answer, times: Times) -> ResponseHead {
    let mut head = ResponseHead::clone(&stored.head);
    let mut measured = head.headers.clone();
    measured.insert(CONTENT_LENGTH, stored.length().into());
    let control = Control::of(&told.headers, &TARGETS);
    if head.status != StatusCode::OK || validator::is_outdated_by_head(&measured, &told.headers) {
        head.lifetime.expire();
    } else if control.permits_keeping() {
        validator::update_from_304(&mut head.headers, &told.headers, times.responded_wall);
        let control = Control::of(&head.headers, &TARGETS);
        let received = Received { status: head.status, headers: &head.headers, times };
        head.lifetime = Lifetime::of(&received, &control, &Policy::PLAIN);
        head.validators = Validators::of(&head.headers, times.responded_wall);
    }
    head
}

impl Plain<'_> {
    /// What is stored and must not be used before the origin was asked.
    fn stale(&self) -> Option<Arc<Object>> {
        let stored = self.edge.cache.peek(self.key(), &self.head.headers)?;
        match self.freshness(&stored.head, self.edge.clock.now()) {
            Freshness::Fresh { .. } => None,
            Freshness::Stale { while_asking, .. } if !while_asking.is_zero() => None,
            Freshness::Stale { .. } | Freshness::Unusable => Some(stored),
        }
    }

    /// Whether a response has all that is asked for: a part answers ranges inside it alone.
    fn is_answered_by(&self, response: &ResponseHead) -> bool {
        response.status != StatusCode::PARTIAL_CONTENT || represent::part_of(self.head, response).is_some()
    }

    /// Whether the operator's word on Vary counted for this answer.
    fn ignores_vary_of(&self, answer: &Answer) -> bool {
        let ignored = &self.resource.route.config.sharing.ignore_vary;
        let is_named =
            |name: &[u8]| ignored.iter().any(|ignored| ignored.as_str().as_bytes().eq_ignore_ascii_case(name));
        !ignored.is_empty() && list::field(&answer.headers, &VARY).any(is_named)
    }
}

impl Manner for Plain<'_> {
    fn key(&self) -> &Key {
        &self.resource.key
    }

    fn freshness(&self, stored: &ResponseHead, now: Tick) -> Freshness {
        if !self.credentials.may_be_answered_from(&stored.headers) || !self.is_answered_by(stored) {
            return Freshness::Unusable;
        }
        match &self.wish {
            Some(wish) => wish::freshness(wish, (&stored.headers, &stored.lifetime), now),
            None => stored.lifetime.freshness(now),
        }
    }

    /// The fill lives on the object's home worker.
    fn fetch(&self, lead: Lead, validates: Option<Arc<Object>>) -> FillReader {
        let Self { edge, policies, head, resource, .. } = self;
        let (writer, reader) = lead.start();
        let mut siblings = edge.cache.variants(&resource.key);
        siblings.retain(|sibling| {
            let is_own = validates.as_ref().is_some_and(|own| Arc::ptr_eq(own, sibling));
            !is_own && self.credentials.may_be_answered_from(&sibling.head.headers)
        });
        let fetching = Fetching {
            origins: policies.origins.clone(),
            group: resource.route.supply.order(&resource.upstream),
            target: resource.upstream.clone(),
            fields: upstream::shared_fields(head, policies, resource.route),
            unvaried: upstream::unvaried(resource.route),
            cookies: resource.route.config.sharing.set_cookie,
            viewer_authority: resource.viewer_authority.clone(),
            validates,
            siblings,
            interims: head.interims.clone(),
            terms: match resource.route.config.live {
                // A playlist that is asked for with credentials is whoever's the origin says.
                LiveMode::Auto if self.credentials != Credentials::Authorization => Terms::Unnamed,
                LiveMode::Auto | LiveMode::Off => Terms::Plain,
            },
            errors: resource.route.config.errors.clone(),
            shared: asked::regional(head, resource),
            naming: None,
            concern: Some(Concern::of(&resource.route.name, &head.path)),
        };
        let home = edge.home(&resource.key);
        home.spawn("fill", Pump::new(fetching, edge.clock.clone(), home.clone()).run(writer));
        reader
    }

    fn needs(&self, _: &Head) -> Needs {
        Needs::Head
    }

    /// A request that tells who sends it gets what another one brought only while it is fresh for all: what is shared
    /// unfresh among those who wait may have been fitted to one of them.
    fn may_share(&self, response: &ResponseHead, now: Tick) -> bool {
        if !self.is_answered_by(response) {
            return false;
        }
        let is_fresh = || matches!(response.lifetime.freshness(now), Freshness::Fresh { .. });
        match self.credentials {
            Credentials::None => true,
            Credentials::Cookie => response.status.is_server_error() || is_fresh(),
            Credentials::Authorization => is_fresh() && self.credentials.may_be_answered_from(&response.headers),
        }
    }

    fn why_asked(&self, stored: &ResponseHead, now: Tick) -> Forward {
        match stored.lifetime.freshness(now) {
            Freshness::Fresh { .. } => Forward::Request,
            Freshness::Stale { .. } | Freshness::Unusable => Forward::Stale,
        }
    }

    fn covers_errors(&self, stored: &ResponseHead, now: Tick) -> bool {
        match &self.wish {
            Some(wish) => wish::covers_errors(wish, (&stored.headers, &stored.lifetime), now),
            None => stored.lifetime.covers_errors(now),
        }
    }

    fn ttl(&self, response: &ResponseHead, now: Tick) -> i64 {
        response.lifetime.ttl(now)
    }

    fn finish(&self, mut answer: Answer, _: Tick) -> Answer {
        if self.ignores_vary_of(&answer)
            && let Some(provenance) = &mut answer.provenance
        {
            provenance.detail = Some(VARY_IGNORED);
        }
        answer
    }
}
