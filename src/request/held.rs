//! What an explanation tells of stored responses and of those that arrive.

use http::HeaderMap;
use http::header::{ETAG, LAST_MODIFIED};
use serde::Serialize;
use utoipa::ToSchema;

use crate::cache::{Cache, Filling, Held, Inspection, ResponseHead};
use crate::clock::Tick;
use crate::rules::caching::purge::{CACHE_TAG, Mode, SURROGATE_KEY};
use crate::rules::caching::reason::Reason;
use crate::rules::caching::{Freshness, Key};

/// What is stored under a key, and what is under way.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct Stored {
    /// Every stored response, all generations and variants.
    pub variants: Vec<StoredVariant>,
    /// Fetches in progress.
    pub fills: Vec<FillInProgress>,
    /// Whether each request asks the origin for itself for a while: the last answer was one viewer's alone.
    pub hit_for_miss: bool,
    /// The mode of a purge that may cover it and is being carried out: `hard` or `soft`.
    pub purge: Option<&'static str>,
    /// Whether something that fits lies on the disk; `null`: there is none.
    pub on_disk: Option<bool>,
}

/// One stored response.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct StoredVariant {
    /// `memory`, or `memory, near the live edge`.
    pub place: &'static str,
    /// Its generation: how often its stream had begun anew.
    pub generation: u32,
    /// Its status.
    pub status: u16,
    /// Octets of its body.
    pub octets: u64,
    /// What it takes in memory, in bytes.
    pub bytes: u64,
    /// Its age (RFC 9111 §4.2.3).
    pub age_seconds: u64,
    /// How long it is still fresh; negative: stale since.
    pub ttl_seconds: i64,
    /// Whether it would be sent without asking the origin.
    pub fresh: bool,
    /// What gave it its lifetime.
    pub lifetime: String,
    /// The request fields that select it, and what they must say.
    pub vary: Vec<String>,
    /// Its validators, as the origin wrote them.
    pub validators: Vec<String>,
    /// Its tags, as the origin wrote them.
    pub tags: Vec<String>,
}

/// One fetch in progress.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FillInProgress {
    /// Viewers who read it or wait for it.
    pub readers: usize,
    /// Octets that have arrived.
    pub arrived: u64,
    /// Octets of the body, where they are known.
    pub length: Option<u64>,
    /// Whether it will be stored, as far as is known now.
    pub stores: bool,
}

/// How responses are judged, and what is said of their lifetimes where the origin has no word in it.
pub struct Judge<'j> {
    /// Whether a response may be used.
    pub freshness: &'j dyn Fn(&ResponseHead) -> Freshness,
    /// What decides over its lifetime; `None`: its own words.
    pub lifetime: Option<&'static str>,
    /// For how long it is still needed; `None`: its own lifetime counts.
    pub left: Option<i64>,
}

/// What there is under `name` for a request.
pub fn under(cache: &Cache, (name, request): (&Key, &HeaderMap), judge: &Judge<'_>, now: Tick) -> Stored {
    let Inspection { held, fills, is_apart, purge, below } = cache.inspect(name, request);
    Stored {
        variants: held.iter().map(|held| variant(held, judge, now)).collect(),
        fills: fills.iter().map(fill).collect(),
        hit_for_miss: is_apart,
        purge: purge.map(|mode| if mode == Mode::Hard { "hard" } else { "soft" }),
        on_disk: below,
    }
}

fn variant(held: &Held, judge: &Judge<'_>, now: Tick) -> StoredVariant {
    let head = &held.object.head;
    let values = |name| {
        let lines = head.headers.get_all(name).iter();
        lines.map(|line| String::from_utf8_lossy(line.as_bytes()).into_owned()).collect::<Vec<_>>()
    };
    let is_outdated = head.lifetime.is_outdated();
    let lifetime = match (is_outdated, judge.lifetime) {
        (true, _) => "a purge made it stale".to_owned(),
        (false, Some(word)) => word.to_owned(),
        (false, None) => Reason::of(&head.headers).to_string(),
    };
    let ttl = head.lifetime.ttl(now);
    StoredVariant {
        place: if held.is_near { "memory, near the live edge" } else { "memory" },
        generation: held.generation,
        status: head.status.as_u16(),
        octets: held.object.length(),
        bytes: held.bytes,
        age_seconds: head.lifetime.age_seconds(now),
        ttl_seconds: judge.left.filter(|_| !is_outdated).unwrap_or(ttl),
        fresh: matches!((judge.freshness)(head), Freshness::Fresh { .. }),
        lifetime,
        vary: head.variant.fields().map(|(name, value)| format!("{name}: {value}")).collect(),
        validators: [ETAG, LAST_MODIFIED].into_iter().flat_map(values).collect(),
        tags: [CACHE_TAG, SURROGATE_KEY].into_iter().flat_map(values).collect(),
    }
}

fn fill(filling: &Filling) -> FillInProgress {
    let Filling { readers, arrived, length, stores } = *filling;
    FillInProgress { readers, arrived, length, stores }
}
