//! Media that a followed playlist names: it lives by the stream. A part is sent once it can be sent whole, a segment as
//! it arrives, a range of a segment that grows once it is there; a part that does not exist yet is waited for.

use std::sync::Arc;

use http::header::{CACHE_CONTROL, CONTENT_TYPE, EXPIRES, PRAGMA, RANGE, SET_COOKIE, VARY};
use http::{HeaderValue, StatusCode};

use crate::cache::{FillReader, Lead, Object, ResponseHead};
use crate::clock::Tick;
use crate::config::Keys;
use crate::live::media::{Kind, Named, PartAnswer, Source};
use crate::origin::Concern;
use crate::rules::caching::control::CDN_CACHE_CONTROL;
use crate::rules::caching::range::{self, RangeSet};
use crate::rules::caching::{Freshness, Key, freshness};
use crate::rules::fields::cache_status::Forward;
use crate::rules::hls::media::content_type;
use crate::rules::hls::multivariant::Role;
use crate::rules::timeline::event::Kind as Told;
use crate::stories::millis;
use crate::telemetry::traffic::Origination;

use super::answer::{Age, Answer};
use super::cached::{self, Manner, Needs};
use super::edge::Edge;
use super::notes::Wait;
use super::policies::Policies;
use super::refusal::Fault;
use super::route::Resource;
use super::{Head, Refusal, asked, forward, plain};

struct Media<'a> {
    edge: &'a Edge,
    policies: &'a Policies,
    head: &'a Head,
    resource: &'a Resource<'a>,
    named: &'a Named,
}

/// Answers a shareable request for what a followed playlist names.
///
/// # Errors
/// `NotStored`, `NoLongerNamed`, the limits of the cache, and whatever befell the origin.
pub async fn answer(
    edge: &Edge,
    policies: &Arc<Policies>,
    head: &Head,
    resource: &Resource<'_>,
    named: &Named,
) -> Result<Answer, Refusal> {
    if named.kind == Kind::DecryptionKey {
        head.notes.note(|noted| noted.kind = Some(told(named.kind)));
        return key(edge, policies, head, resource).await;
    }
    edge.live.media.asked_for(named);
    head.notes.note(|noted| {
        noted.kind = Some(told(named.kind));
        noted.behind_ms = named.begins.map(|begins| begins.before(millis(edge.clock.wall())));
        if named.marks.is_hinted() {
            noted.wait = Wait::Promised;
        }
    });
    if named.marks.is_large() && head.headers.contains_key(RANGE) {
        return forward::pass(edge, policies, head, resource, Forward::UriMiss).await;
    }
    let media = Media { edge, policies, head, resource, named };
    let mut answer = match cached::answer(edge, policies, head, resource, &media).await {
        // Nothing of it was sent: where another origin has the same, the viewer sees nothing of one that broke off.
        Err(refusal) if named.kind == Kind::Part && refusal.fault() == Fault::Origin => {
            let places = &resource.route.supply.origins;
            if !edge.live.media.is_passed_on(named, places).await {
                return Err(refusal);
            }
            cached::answer(edge, policies, head, resource, &media).await?
        }
        answered => answered?,
    };
    answer.urgency = Some(urgency(named.kind, named.role));
    answer.headers.remove(SET_COOKIE);
    if answer.origination == Origination::Pass
        && range::total_of(&answer.headers).is_some_and(|total| total > edge.cache.max_object())
    {
        edge.live.media.is_large(named);
    }
    if named.kind == Kind::Part {
        count(edge, named, answer.origination);
    }
    Ok(answer)
}

/// What stories call it.
const fn told(kind: Kind) -> Told {
    match kind {
        Kind::Init => Told::Init,
        Kind::Segment | Kind::Growing => Told::Segment,
        Kind::Part => Told::Part,
        Kind::DecryptionKey => Told::Key,
    }
}

fn count(edge: &Edge, named: &Named, origination: Origination) {
    let by = match origination {
        Origination::Hit => PartAnswer::Hit,
        Origination::Joined => PartAnswer::Join,
        _ => PartAnswer::Lead,
    };
    edge.live.media.count_part(by);
    if named.marks.is_hinted() && by != PartAnswer::Hit {
        edge.live.media.count_hold();
    }
}

/// A key is each viewer's own, unless the route shares them as the origin says.
async fn key(edge: &Edge, policies: &Arc<Policies>, head: &Head, resource: &Resource<'_>) -> Result<Answer, Refusal> {
    let shared = resource.route.config.keys == Keys::Shared;
    let answer = match shared {
        true => plain::answer(edge, policies, head, resource).await?,
        false => forward::pass(edge, policies, head, resource, Forward::Bypass).await?,
    };
    let mut answer = Answer { urgency: Some(urgency(Kind::DecryptionKey, None)), ..answer };
    if !shared {
        answer.headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    Ok(answer)
}

impl Manner for Media<'_> {
    fn key(&self) -> &Key {
        &self.named.key
    }

    fn freshness(&self, stored: &ResponseHead, now: Tick) -> Freshness {
        self.named.freshness(stored, now)
    }

    fn fetch(&self, lead: Lead, validates: Option<Arc<Object>>) -> FillReader {
        let source = Source {
            group: self.resource.route.supply.order(&self.resource.upstream),
            places: self.resource.route.supply.origins.clone(),
            target: self.resource.upstream.clone(),
            fields: asked::fields(self.policies),
            viewer_authority: self.resource.viewer_authority.clone(),
            errors: self.resource.route.config.errors.clone(),
            shared: asked::regional(self.head, self.resource),
            concern: Some(Concern::of(&self.resource.route.name, &self.head.path)),
        };
        self.edge.live.media.fetch(lead, self.named, source, validates)
    }

    fn needs(&self, head: &Head) -> Needs {
        match self.named.kind {
            Kind::Part => Needs::Whole,
            Kind::Growing => Needs::Grown(RangeSet::asked(&head.headers).map_or(1, |ranges| ranges.grown_at())),
            Kind::Init | Kind::Segment | Kind::DecryptionKey => Needs::Head,
        }
    }

    fn ttl(&self, response: &ResponseHead, now: Tick) -> i64 {
        if response.status != StatusCode::OK {
            return response.lifetime.ttl(now);
        }
        i64::try_from(self.named.left(now).as_secs()).unwrap_or(i64::MAX)
    }

    /// What viewers and caches below are told: its true life, and what it is.
    fn finish(&self, mut answer: Answer, now: Tick) -> Answer {
        let is_media = [StatusCode::OK, StatusCode::PARTIAL_CONTENT, StatusCode::NOT_MODIFIED].contains(&answer.status);
        if !is_media {
            return answer;
        }
        for name in [EXPIRES, PRAGMA, VARY, CDN_CACHE_CONTROL] {
            answer.headers.remove(name);
        }
        // From its birth on: whoever reads it takes off its age.
        let age = match answer.provenance.map(|provenance| provenance.age) {
            Some(Age::Seconds(age)) => age,
            Some(Age::AsReceived) | None => freshness::age_of(&answer.headers),
        };
        let life = format!("max-age={}", age.saturating_add(self.named.left(now).as_secs()));
        answer.headers.insert(CACHE_CONTROL, HeaderValue::try_from(life).expect("digits are a field value"));
        let said = answer.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
        if answer.status != StatusCode::NOT_MODIFIED
            && said.is_none_or(|said| said.to_ascii_lowercase().starts_with(b"text/plain"))
            && let Some(kind) = content_type(self.resource.upstream.path(), self.named.role)
        {
            answer.headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        answer
    }
}

/// When it is sent among others (RFC 9218 §4.1): nothing plays without initialisation sections and keys, sound is
/// missed first, parts are late first, and pictures of a segment that is whole come last (Appendix B.1).
fn urgency(kind: Kind, role: Option<Role>) -> u8 {
    match (kind, role) {
        (Kind::Init | Kind::DecryptionKey, _) | (_, Some(Role::Audio | Role::Subtitles)) => 2,
        (_, Some(Role::IFrames)) => 6,
        (Kind::Part, _) => 3,
        (Kind::Segment | Kind::Growing, _) => 4,
    }
}
