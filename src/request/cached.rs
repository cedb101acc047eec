//! Answers that many may share: from memory, from an object that arrives, or by being the one that fetches it. How each
//! kind of response is judged and fetched is its own `Manner`; the walk is the same. A joiner whose request turns out not to fit what arrives asks for itself, beside all others in its place.

use std::sync::Arc;
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{Method, StatusCode};

use crate::cache::{FillAnswer, FillEnd, FillReader, Flight, Lead, Lookup, Object, ResponseHead, Transmission};
use crate::clock::Tick;
use crate::origin::FetchError;
use crate::origin::pump::IsPlaylist;
use crate::rules::caching::control::{Wanted, Wish};
use crate::rules::caching::freshness::Lifetime;
use crate::rules::caching::range::{self, Ranged};
use crate::rules::caching::validator::is_for_origin_alone;
use crate::rules::caching::{Freshness, Key};
use crate::rules::fields::cache_status::{Forward, Handling, Joined, Kept};
use crate::telemetry::traffic::Origination;

use super::answer::{Age, Answer, Provenance};
use super::edge::Edge;
use super::forward::Passing;
use super::policies::Policies;
use super::route::Resource;
use super::{Head, Refusal, forward, playlist, represent, upstream};

/// How often a request begins again where what it joined broke off before it got anything, or was about another
/// viewer's request: further failures are its answer (HTTP semantics leave that to the viewer, RFC 9110 §9.2.2).
const FRESH_STARTS: usize = 1;

/// How often a request looks anew after what it joined did not fit it.
const LOOKS: usize = 3;

/// Whether the answer to this request may be shared at all: a retrieval whose conditions a cache can judge. Those that
/// only the origin can are for it (RFC 9110 §13.1.1, §13.1.4).
pub fn is_shareable(head: &Head) -> bool {
    matches!(head.method, Method::GET | Method::HEAD) && !is_for_origin_alone(&head.headers)
}

/// Whether it is, moreover, a request that anybody could have sent.
pub fn names_nobody(head: &Head) -> bool {
    is_shareable(head) && !head.headers.contains_key(AUTHORIZATION)
}

/// What is read while an object is fetched, and by whom it was asked for.
struct Following {
    reader: FillReader,
    role: Role,
    /// Why the origin is asked.
    why: Forward,
    /// What may be sent where the origin cannot answer.
    fallback: Option<Fallback>,
    since: Tick,
    /// How long a joiner waits.
    patience: Duration,
}

/// A stale object and for how long it may still be sent.
struct Fallback {
    object: Arc<Object>,
    while_asking: Duration,
    usable_for: Duration,
}

impl Fallback {
    /// Whether it may stand in for an origin that cannot answer.
    fn is_usable(&self) -> bool {
        !self.usable_for.is_zero()
    }

    /// Whether it may stand in for the answer `status` (RFC 5861 §4).
    fn stands_in(&self, status: StatusCode, manner: &impl Manner, now: Tick) -> bool {
        is_outage(status) && manner.covers_errors(&self.object.head, now)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Leader,
    Joiner,
}

/// What following an object came to.
enum Followed {
    Answer(Box<Answer>),
    /// What arrived does not fit this request.
    Unfit,
    /// What arrived is for its first reader alone.
    NotShared,
    /// What arrived is about the request of its first reader.
    NotMeant,
    /// It broke off before anything of it was sent.
    Broken(FillEnd),
    /// What arrived is a playlist.
    Playlist,
}

/// What looking for an object came to.
enum Sought {
    Answer(Box<Answer>),
    /// What came is for its first reader alone, or fits nobody's request: it was asked for because of this.
    Alone(Forward, Joined),
    /// What came is a playlist.
    Playlist,
}

/// How a kind of response is judged, fetched and sent: by the standard alone, or by the word of a stream.
pub trait Manner {
    /// The object that is looked for.
    fn key(&self) -> &Key;

    /// Whether a stored response may be used.
    fn freshness(&self, stored: &ResponseHead, now: Tick) -> Freshness;

    /// Starts the fetch of an object in a task of its own: no viewer owns a fill.
    fn fetch(&self, lead: Lead, validates: Option<Arc<Object>>) -> FillReader;

    /// What of an object that arrives must be there before a request can be answered.
    fn needs(&self, head: &Head) -> Needs;

    /// Whether the request may have what another one brings.
    fn may_share(&self, response: &ResponseHead, _: Tick) -> bool {
        response.status != StatusCode::PARTIAL_CONTENT
    }

    /// Why what is stored is not used as it is.
    fn why_asked(&self, _: &ResponseHead, _: Tick) -> Forward {
        Forward::Stale
    }

    /// Whether a stale response may be sent in place of an error that the origin answers with.
    fn covers_errors(&self, stored: &ResponseHead, now: Tick) -> bool {
        stored.lifetime.covers_errors(now)
    }

    /// Seconds for which a response is fresh from now on; negative where it is stale.
    fn ttl(&self, response: &ResponseHead, now: Tick) -> i64;

    /// Finishes an answer that was made of a response.
    fn finish(&self, answer: Answer, now: Tick) -> Answer;
}

/// What of an object that arrives must be there before a request can be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// The head: the body follows as it comes.
    Head,
    /// All of it.
    Whole,
    /// So many octets of one that grows part by part.
    Grown(u64),
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
    manner: &impl Manner,
) -> Result<Answer, Refusal> {
    match seek(edge, policies, head, manner).await? {
        Sought::Answer(answer) => Ok(manner.finish(*answer, edge.clock.now())),
        Sought::Alone(why, joined) => {
            let mut passing = Passing::of(head, policies, why);
            passing.joined = joined;
            Box::pin(forward::send(edge, policies, (head, resource), passing)).await
        }
        Sought::Playlist => Box::pin(playlist::answer_unnamed(edge, policies, head, resource)).await,
    }
}

/// Looks for the answer that many may share.
async fn seek(edge: &Edge, policies: &Policies, head: &Head, manner: &impl Manner) -> Result<Sought, Refusal> {
    let from_store = |object: &Arc<Object>, origination, now| {
        Ok(Sought::Answer(Box::new(from_store(head, object, (origination, now), manner))))
    };
    let stored_only = Wish::of(&head.headers).says(Wanted::OnlyIfCached);
    let mut fresh_starts = FRESH_STARTS;
    let mut why = Forward::UriMiss;
    for _ in 0..LOOKS {
        let now = edge.clock.now();
        let lookup = edge.cache.lookup(manner.key(), &head.headers, |stored| manner.freshness(stored, now));
        let (flight, stale) = match lookup {
            Lookup::Hit(object, _) => return from_store(&object, Origination::Hit, now),
            _ if stored_only => return Err(Refusal::NotStored),
            Lookup::Stale { object, while_asking, usable_for, flight, .. } => {
                why = manner.why_asked(&object.head, now);
                (flight, Some(Fallback { object, while_asking, usable_for }))
            }
            Lookup::Join(reader) => (Flight::Join(reader), None),
            Lookup::Lead(lead) => (Flight::Lead(lead), None),
            Lookup::Apart => return Ok(Sought::Alone(why_missed(edge, head, manner), Joined::Alone)),
            Lookup::Refused(refused) => (Flight::Refused(refused), None),
        };
        if stale.is_none() {
            why = why_missed(edge, head, manner);
        }
        let (reader, role) = match flight {
            Flight::Join(reader) => (reader, Role::Joiner),
            Flight::Lead(lead) => {
                let validates = stale.as_ref().map(|stale| stale.object.clone());
                (manner.fetch(lead, validates), Role::Leader)
            }
            Flight::Refused(refused) => match &stale {
                Some(stale) if stale.is_usable() => {
                    return from_store(&stale.object, Origination::Stale, now);
                }
                _ => return Err(upstream::refused_by_cache(refused)),
            },
        };
        if let Some(stale) = stale.as_ref().filter(|stale| !stale.while_asking.is_zero()) {
            // The origin is asked in the background (RFC 5861 §3); the reader that leaves here stops nothing.
            return from_store(&stale.object, Origination::Stale, now);
        }
        let patience = policies.config.limits.fill_wait;
        let following = Following { reader, role, why, fallback: stale, since: now, patience };
        match follow(edge, head, following, manner).await? {
            Followed::Answer(answer) => return Ok(Sought::Answer(answer)),
            Followed::Unfit => {}
            Followed::NotMeant | Followed::Broken(_) if fresh_starts > 0 => fresh_starts -= 1,
            Followed::Broken(end) => return Err(upstream::refusal(&end)),
            Followed::NotShared | Followed::NotMeant => {
                let joined = if role == Role::Joiner { Joined::Released } else { Joined::Alone };
                return Ok(Sought::Alone(why, joined));
            }
            Followed::Playlist => return Ok(Sought::Playlist),
        }
    }
    Ok(Sought::Alone(why, Joined::Released))
}

/// Why nothing that is stored was of use.
fn why_missed(edge: &Edge, head: &Head, manner: &impl Manner) -> Forward {
    let stored = edge.cache.variants(manner.key());
    match stored.iter().any(|object| object.head.variant.matches(&head.headers)) {
        _ if stored.is_empty() => Forward::UriMiss,
        true if stored.iter().any(|object| object.head.status == StatusCode::PARTIAL_CONTENT) => Forward::Partial,
        true => Forward::Miss,
        false => Forward::VaryMiss,
    }
}

/// The answer from a stored object without asking the origin.
fn from_store(
    head: &Head,
    object: &Arc<Object>,
    (origination, now): (Origination, Tick),
    manner: &impl Manner,
) -> Answer {
    let age = Age::Seconds(object.head.lifetime.age_seconds(now));
    let ttl = Some(manner.ttl(&object.head, now));
    let provenance = Provenance { handling: Handling::Hit, ttl, age, detail: None };
    represent::stored(head, object, origination, provenance)
}

/// Whether an object is one of those that were stored, under a head of today.
fn is_confirmed(object: &Arc<Object>, stored: &[Arc<Object>]) -> bool {
    stored.iter().any(|other| !Arc::ptr_eq(other, object) && other.has_body_of(object))
}

#[expect(clippy::too_many_lines, reason = "every way in which an answer may come, side by side")]
async fn follow(edge: &Edge, head: &Head, following: Following, manner: &impl Manner) -> Result<Followed, Refusal> {
    let Following { mut reader, role, why, fallback, since, patience } = following;
    let arrived = arrival(&mut reader, manner.needs(head));
    let arrived = match role {
        // The deadlines towards the origin are its own.
        Role::Leader => arrived.await,
        Role::Joiner => in_time(edge, arrived, patience).await,
    };
    let now = edge.clock.now();
    let waited = now.since(since);
    let on_disk = arrived.as_ref().ok().filter(|_| reader.is_from_disk()).map(|answer| on_disk(answer, now, manner));
    if on_disk.is_none() {
        note(head, reader.transmission());
    }
    let is_anothers = role == Role::Joiner || reader.is_from_disk();
    let admits = |response: &ResponseHead| {
        if !response.variant.matches(&head.headers) {
            return Some(Followed::Unfit);
        }
        (is_anothers && !manner.may_share(response, now)).then_some(Followed::NotShared)
    };
    let told = Told { role, why, now };
    let answer = match arrived {
        Ok(FillAnswer::Complete(object)) => match (admits(&object.head), fallback) {
            (Some(unfit), _) => return Ok(unfit),
            (None, Some(stale)) if stale.stands_in(object.head.status, manner, now) => {
                from_store(head, &stale.object, (Origination::Stale, now), manner)
            }
            (None, fallback) => {
                let stored = fallback.map_or_else(|| edge.cache.variants(manner.key()), |stale| vec![stale.object]);
                let kept = reader.will_be_stored();
                let came = if is_confirmed(&object, &stored) { Came::Confirmed } else { Came::Whole { kept } };
                whole(head, &object, (told, came), manner)
            }
        },
        Ok(FillAnswer::Arriving(response, length)) => match (admits(&response), fallback) {
            (Some(unfit), _) => return Ok(unfit),
            (None, Some(stale)) if stale.stands_in(response.status, manner, now) => {
                from_store(head, &stale.object, (Origination::Stale, now), manner)
            }
            (None, _) if passes_range(edge, head, &response, length) => {
                return Ok(Followed::NotShared);
            }
            (None, _) => arriving(head, (&response, reader), told, manner),
        },
        Err(FillEnd::NotShared) => return Ok(Followed::NotShared),
        Err(FillEnd::NotMeant) => return Ok(Followed::NotMeant),
        Err(FillEnd::Gone) => return Ok(Followed::Unfit),
        Err(FillEnd::Failed(failure)) if failure.downcast_ref::<IsPlaylist>().is_some() => {
            return Ok(Followed::Playlist);
        }
        Err(end) => match fallback {
            Some(stale) if stale.is_usable() => from_store(head, &stale.object, (Origination::Stale, now), manner),
            _ if reader.has_begun() && broke_off(&end) => return Ok(Followed::Broken(end)),
            _ => return Err(upstream::refusal(&end)),
        },
    };
    let answer = match on_disk {
        Some(provenance) => Answer { origination: Origination::Hit, provenance: Some(provenance), ..answer },
        None => Answer { origin_wait: Some(waited), ..answer },
    };
    Ok(Followed::Answer(Box::new(answer)))
}

fn note(head: &Head, Transmission { fetch, hops }: Transmission) {
    head.notes.note(|noted| (noted.fetch, noted.hops) = (fetch, hops));
}

/// What there is once as much has arrived as is needed.
async fn arrival(reader: &mut FillReader, needs: Needs) -> Result<FillAnswer, FillEnd> {
    std::future::poll_fn(|cx| match needs {
        Needs::Head => reader.poll_head(cx),
        Needs::Whole => reader.poll_whole(cx),
        Needs::Grown(octets) => reader.poll_reached(octets, cx),
    })
    .await
}

/// What arrives while a joiner waits for it.
async fn in_time(
    edge: &Edge,
    arrival: impl Future<Output = Result<FillAnswer, FillEnd>>,
    patience: Duration,
) -> Result<FillAnswer, FillEnd> {
    tokio::select! {
        biased;
        arrived = arrival => arrived,
        () = edge.clock.sleep(patience) => Err(FillEnd::TooLate),
    }
}

/// What came from disk was stored: nobody was asked for it.
fn on_disk(answer: &FillAnswer, now: Tick, manner: &impl Manner) -> Provenance {
    let response = match answer {
        FillAnswer::Complete(object) => &object.head,
        FillAnswer::Arriving(response, _) => response,
    };
    let age = Age::Seconds(response.lifetime.age_seconds(now));
    Provenance { handling: Handling::Hit, ttl: Some(manner.ttl(response, now)), age, detail: Some("disk") }
}

/// Whether a body ended early on its way, so that asking again may bring it whole.
fn broke_off(end: &FillEnd) -> bool {
    match end {
        FillEnd::CutShort { .. } => true,
        FillEnd::Failed(failure) => {
            matches!(failure.downcast_ref(), Some(FetchError::Reset { .. } | FetchError::CutShort { .. }))
        }
        _ => false,
    }
}

/// Statuses for which a stale response may be sent instead (RFC 5861 §4).
fn is_outage(status: StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502 | 503 | 504)
}

/// Whether a range of an object too large to store is better asked for alone than waited for.
fn passes_range(edge: &Edge, head: &Head, response: &ResponseHead, length: Option<u64>) -> bool {
    let Some(length) = length.filter(|length| *length > edge.cache.max_object()) else { return false };
    let ranged = range::judge_range(&head.headers, &head.method, response.status, &response.validators, length);
    matches!(ranged, Ranged::Part(part) if part.first > 0)
}

/// How a request came to its answer.
#[derive(Clone, Copy)]
struct Told {
    role: Role,
    why: Forward,
    now: Tick,
}

/// How an object came to be whole.
#[derive(Clone, Copy)]
enum Came {
    /// What was stored has been confirmed.
    Confirmed,
    /// All of it has been fetched.
    Whole {
        /// Whether it is stored.
        kept: bool,
    },
}

/// The answer from an object that was whole by the time its head was looked at.
fn whole(head: &Head, object: &Arc<Object>, (told, came): (Told, Came), manner: &impl Manner) -> Answer {
    let Told { role, why, now } = told;
    let (status, origination, stores) = match came {
        Came::Confirmed => (Some(StatusCode::NOT_MODIFIED), Origination::Revalidated, true),
        Came::Whole { kept } => (None, origination(role), kept),
    };
    let kept = if stores { kept(role) } else { Kept::Passed };
    let handling = Handling::Forwarded { why, status, kept, joined: joined(role) };
    let age = age(&object.head.lifetime, role, now);
    let ttl = stores.then(|| manner.ttl(&object.head, now));
    let provenance = Provenance { handling, ttl, age, detail: None };
    represent::stored(head, object, origination, provenance)
}

fn arriving(
    head: &Head,
    (response, reader): (&ResponseHead, FillReader),
    Told { role, why, now }: Told,
    manner: &impl Manner,
) -> Answer {
    let stores = reader.will_be_stored();
    let kept = if stores { kept(role) } else { Kept::Passed };
    let handling = Handling::Forwarded { why, status: None, kept, joined: joined(role) };
    let ttl = stores.then(|| manner.ttl(response, now));
    let provenance = Provenance { handling, ttl, age: age(&response.lifetime, role, now), detail: None };
    let grown = match manner.needs(head) {
        Needs::Grown(_) => Some(reader.arrived()),
        Needs::Head | Needs::Whole => None,
    };
    represent::arriving(head, response, (reader, grown), origination(role), provenance)
}

/// Only whoever asked first had the answer stored.
fn kept(role: Role) -> Kept {
    match role {
        Role::Leader => Kept::Stored,
        Role::Joiner => Kept::Passed,
    }
}

fn joined(role: Role) -> Joined {
    match role {
        Role::Joiner => Joined::Collapsed,
        Role::Leader => Joined::Alone,
    }
}

/// Whoever asked first has a first-hand answer, whose age is the origin's to tell (RFC 9111 §5.1).
fn age(life: &Lifetime, role: Role, now: Tick) -> Age {
    match role {
        Role::Leader => Age::AsReceived,
        Role::Joiner => Age::Seconds(life.age_seconds(now)),
    }
}

fn origination(role: Role) -> Origination {
    match role {
        Role::Joiner => Origination::Joined,
        Role::Leader => Origination::Miss,
    }
}
