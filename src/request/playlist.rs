//! Playlists as viewers ask for them: from the live edge, now or once they have come far enough; passed on where each
//! viewer has one of their own.
//!
//! A viewer who must wait takes a place, looks once more, and sleeps. What it is released with is what it is answered
//! from, so that all who waited for a position see the same version (RFC 8216bis §6.2.5.2).

mod passed;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use http::header::{CACHE_CONTROL, DATE, IF_MODIFIED_SINCE, IF_NONE_MATCH, VARY};
use http::{HeaderMap, Method, StatusCode};
use tracing::warn;

use crate::clock::{Tick, WallTime};
use crate::config::Playlists;
use crate::live::Refused;
use crate::live::edition::{self, Coding, Edition, Form, Rendered};
use crate::live::parking::Want;
use crate::live::playlist::Playlist;
use crate::live::state::{Document, Failure, State};
use crate::rules::caching::control::{Wanted, Wish};
use crate::rules::caching::validator::{self, Precondition, Validators};
use crate::rules::fields::cache_status::{Forward, Handling, Joined, Kept};
use crate::rules::fields::date;
use crate::rules::fields::encoding::Accepted;
use crate::rules::hls::Directives;
use crate::rules::hls::playlist::Definition;
use crate::rules::hls::reload::{Frontier, Reload, Wanted as Position};
use crate::rules::hls::variables::Variables;
use crate::rules::timeline::event::Kind;
use crate::telemetry::traffic::{First, Origination};

use super::answer::{Access, Age, Answer, Provenance};
use super::asked::{self, Asking};
use super::body::{Chunks, Content};
use super::edge::Edge;
use super::inherit::{self, Inheritance};
use super::notes::{Current, Wait};
use super::policies::Policies;
use super::route::Resource;
use super::{Head, Refusal, admit, upstream};

/// The urgency of playlists: nothing goes on without them (Appendix B.1).
const URGENCY: u8 = 1;

/// For how long the first version of a playlist is waited for; the origin's own deadlines end most waits before.
const FIRST: Duration = Duration::from_secs(30);

/// A hold shorter than this is nobody's trouble.
const LEAST_RHYTHM: Duration = Duration::from_secs(1);

/// How often a playlist that was let go in the same moment is asked for anew.
const LOOKS: usize = 3;

/// What a state comes to for one viewer.
enum Outcome {
    Answer(Box<Answer>),
    /// It waits for this, until then at the latest.
    Wait(Want, Deadline),
    /// The playlist is made for each viewer.
    PerViewer,
    /// The playlist was let go.
    Gone,
}

/// Until when somebody waits, and what to say then.
struct Deadline {
    at: Tick,
    refusal: Refusal,
}

/// How a viewer came to the state that it is answered from.
#[derive(Clone, Copy, Default)]
struct Waited {
    /// From when on the first version was waited for, by whom.
    first: Option<(Tick, Joined)>,
    /// From when on a later version was waited for, and for which position it stands.
    reload: Option<(Tick, Position)>,
}

/// A playlist as a viewer asks for it.
pub struct Listing<'a> {
    resource: &'a Resource<'a>,
    asking: Asking,
}

/// The playlist that a request asks for, if it is one: by its name, or because it has turned out to be one.
pub fn listing<'a>(edge: &Edge, resource: &'a Resource<'a>, asking: Asking) -> Option<Listing<'a>> {
    let path = resource.target.split('?').next().unwrap_or_default();
    let is_one = asked::is_playlist_path(path) || edge.live.knows(&asking.key);
    is_one.then_some(Listing { resource, asking })
}

/// Answers a request for a playlist.
///
/// # Errors
/// What is wrong with the directives, the limits of the node, and whatever befell the origin.
pub async fn answer(
    edge: &Edge,
    policies: &Arc<Policies>,
    head: &Head,
    listing: &Listing<'_>,
) -> Result<Answer, Refusal> {
    note_dropped(listing);
    let mut answer = whose(edge, policies, head, listing).await?;
    inherit::tell(head, listing.resource, &mut answer.headers)?;
    Ok(answer)
}

/// The answer from the playlist that all share, or from the viewer's own.
async fn whose(edge: &Edge, policies: &Arc<Policies>, head: &Head, listing: &Listing<'_>) -> Result<Answer, Refusal> {
    if listing.resource.route.config.playlists == Playlists::PerViewer {
        return Box::pin(passed::answer(edge, policies, head, listing)).await;
    }
    for _ in 0..LOOKS {
        let (playlist, opened) = open(edge, policies, head, listing)?;
        match follow(edge, head, listing, (&playlist, opened)).await? {
            Followed::Answer(answer) => return Ok(*answer),
            Followed::PerViewer => return Box::pin(passed::answer(edge, policies, head, listing)).await,
            Followed::Gone => {}
        }
    }
    Err(Refusal::PlaylistLetGo)
}

/// Answers a request for something that has turned out to be a playlist.
///
/// # Errors
/// As [`answer`].
pub async fn answer_unnamed(
    edge: &Edge,
    policies: &Arc<Policies>,
    head: &Head,
    resource: &Resource<'_>,
) -> Result<Answer, Refusal> {
    let asking = asked::playlist(edge, resource).ok_or(Refusal::NotAPlaylist("its origin cannot be asked for it"))?;
    answer(edge, policies, head, &Listing { resource, asking }).await
}

/// What following a playlist came to.
enum Followed {
    Answer(Box<Answer>),
    PerViewer,
    Gone,
}

/// The playlist that is asked for, and how this viewer stands to the others who ask for it.
fn open(
    edge: &Edge,
    policies: &Policies,
    head: &Head,
    listing: &Listing<'_>,
) -> Result<(Arc<Playlist>, Joined), Refusal> {
    let is_current = |known: &Playlist| {
        Arc::ptr_eq(&known.asked.rules, &listing.resource.route.rules)
            || known.asked.rules == listing.resource.route.rules
    };
    if let Some(known) = edge.live.find(&listing.asking.key).filter(|known| is_current(known)) {
        known.touch(edge.clock.now());
        return Ok((known, Joined::Collapsed));
    }
    if Wish::of(&head.headers).says(Wanted::OnlyIfCached) {
        return Err(Refusal::NotStored);
    }
    match edge.live.open(&listing.asking.asked(policies, listing.resource)) {
        Ok(playlist) => Ok((playlist, Joined::Alone)),
        Err(Refused::Followers) => Err(Refusal::TooManyPlaylists),
    }
}

/// Answers from a playlist's state, after as many waits as it takes.
async fn follow(
    edge: &Edge,
    head: &Head,
    listing: &Listing<'_>,
    (playlist, opened): (&Arc<Playlist>, Joined),
) -> Result<Followed, Refusal> {
    let mut state = playlist.state();
    let mut waited = Waited::default();
    loop {
        let viewer = Viewer { edge, head, listing, playlist, waited };
        let outcome = viewer.outcome(&state).inspect_err(|_| viewer.note_failure());
        let (want, deadline) = match outcome? {
            Outcome::Answer(answer) => return Ok(Followed::Answer(answer)),
            Outcome::PerViewer => return Ok(Followed::PerViewer),
            Outcome::Gone => return Ok(Followed::Gone),
            Outcome::Wait(want, deadline) => (want, deadline),
        };
        let now = edge.clock.now();
        match want {
            Want::First => _ = waited.first.get_or_insert((now, opened)),
            Want::Reload(position) => waited.reload = Some((waited.reload.map_or(now, |(since, _)| since), position)),
        }
        let _place = match want {
            Want::Reload(_) => admit::hold(edge, listing.resource)?,
            Want::First => None,
        };
        let parked = playlist.parking.park(want).map_err(|_full| Refusal::TooManyHeld)?;
        let newest = playlist.state();
        if !Arc::ptr_eq(&newest, &state) {
            state = newest;
            continue;
        }
        drop(std::mem::replace(&mut state, newest));
        tokio::select! {
            biased;
            released = parked.released() => state = released,
            () = edge.clock.sleep_until(deadline.at) => {
                record_hold(listing, waited, edge.clock.now());
                Viewer { edge, head, listing, playlist, waited }.note_failure();
                return Err(deadline.refusal);
            }
        }
    }
}

/// For how long a stream that keeps its rhythm holds a reload at most: until the next part, or the next segment.
fn rhythm(frontier: &Frontier, directives: &Directives) -> Duration {
    match (directives.part, frontier.part_target) {
        (Some(_), Some(part)) => (3 * part).max(LEAST_RHYTHM),
        _ => frontier.target_duration * 3 / 2 + LEAST_RHYTHM,
    }
}

/// One viewer's look at a playlist.
struct Viewer<'v> {
    edge: &'v Edge,
    head: &'v Head,
    listing: &'v Listing<'v>,
    playlist: &'v Playlist,
    waited: Waited,
}

impl Viewer<'_> {
    /// What a state comes to.
    fn outcome(&self, state: &State) -> Result<Outcome, Refusal> {
        match state {
            State::Asked => {
                let deadline = Deadline { at: self.head.received + FIRST, refusal: Refusal::OriginTimeout };
                Ok(Outcome::Wait(Want::First, deadline))
            }
            State::Media(edition) => self.of_media(edition),
            State::Multivariant(document) => Ok(Outcome::Answer(Box::new(self.of_document(document)?))),
            State::PerViewer => Ok(Outcome::PerViewer),
            State::Failed(Failure::Gone) => Ok(Outcome::Gone),
            State::Failed(failure) => Err(refusal(failure)),
        }
    }

    fn of_media(&self, edition: &Edition) -> Result<Outcome, Refusal> {
        let frontier = &edition.published.frontier;
        let directives = match &self.listing.asking.directives {
            Ok(directives) => *directives,
            // A playlist that has ended ignores them, whatever they say (§6.2.5.2).
            Err(_) if frontier.is_ended => Directives::default(),
            Err(bad) => return Err((*bad).into()),
        };
        let reload = match self.waited.reload {
            Some((_, position)) => frontier.judge_waiting(position),
            None => frontier.judge(&directives),
        };
        match reload {
            Reload::Now => Ok(Outcome::Answer(Box::new(self.of_edition(edition, &directives)?))),
            Reload::Wait(position) => {
                let deadline = Deadline {
                    at: self.head.received + frontier.hold(),
                    refusal: Refusal::HoldTimeout { retry: retry(frontier) },
                };
                Ok(Outcome::Wait(Want::Reload(position), deadline))
            }
            Reload::Refuse(too_far) => Err(too_far.into()),
        }
    }

    fn of_edition(&self, edition: &Edition, directives: &Directives) -> Result<Answer, Refusal> {
        let now = self.edge.clock.now();
        let imported = self.playlist.stream().map(|stream| stream.variables()).unwrap_or_default();
        let inheritance = self.inheritance(edition.published.playlist.definitions(), &imported)?;
        let form = Form { skipping: directives.skip, coding: self.coding(inheritance.as_ref()) };
        let siblings = || self.playlist.siblings().1;
        let rendered = edition.form(form, self.playlist.siblings_stamp(), siblings, now);
        let mut headers = rendered.headers.clone();
        if directives.msn.is_some() {
            headers.insert(CACHE_CONTROL, edition::max_age(edition.blocking_lifetime()));
        }
        let frontier = &edition.published.frontier;
        let Resource { admission, watcher, .. } = self.listing.resource;
        match (admission, watcher) {
            (Some(admission), _) => admission.session.plays(frontier.target_duration),
            (None, watcher) => _ = watcher.as_ref().map(|watcher| watcher.plays(frontier.target_duration)),
        }
        let age = now.since(self.playlist.current());
        let is_late = self.held(now).is_some_and(|held| held > rhythm(frontier, directives));
        // What has ended is current for good.
        let current = (!frontier.is_ended).then_some(Current { age, target_duration: frontier.target_duration });
        self.note(Kind::Playlist, current, if is_late { Wait::Late } else { Wait::None });
        Ok(match inheritance {
            None => self.dress(&rendered, headers, age),
            Some(inheritance) => self.dress_own(&inheritance, &rendered, age),
        })
    }

    fn of_document(&self, document: &Document) -> Result<Answer, Refusal> {
        let document = document.on(self.listing.resource.ladder);
        let inheritance = self.inheritance(&document.multivariant.definitions, &Variables::default())?;
        let rendered = document.form(self.coding(inheritance.as_ref()));
        let age = self.edge.clock.now().since(self.playlist.current().max(document.at));
        self.note(Kind::Multivariant, None, Wait::None);
        self.listing.resource.route.traffic.folders.learn(&self.head.path);
        Ok(match inheritance {
            None => self.dress(&rendered, rendered.headers.clone(), age),
            Some(inheritance) => self.dress_own(&inheritance, &rendered, age),
        })
    }

    /// For how long the viewer was held.
    fn held(&self, now: Tick) -> Option<Duration> {
        self.waited.reload.map(|(since, _)| now.since(since))
    }

    fn note(&self, kind: Kind, current: Option<Current>, wait: Wait) {
        let fetch = (self.waited.first.is_some() || wait == Wait::Late).then(|| self.playlist.activity.last_fetch());
        let fetch = fetch.flatten();
        self.head.notes.note(|noted| {
            (noted.kind, noted.current, noted.wait, noted.fetch) = (Some(kind), current, wait, fetch);
        });
    }

    /// There is no playlist for the viewer: what its origin said last, and how it stood before.
    fn note_failure(&self) {
        let fetch = self.playlist.activity.last_fetch();
        self.head.notes.note(|noted| (noted.kind, noted.fetch) = (Some(Kind::Playlist), fetch));
    }

    fn inheritance<'d>(
        &self,
        definitions: impl IntoIterator<Item = &'d Definition>,
        imported: &Variables,
    ) -> Result<Option<Inheritance<'_>>, Refusal> {
        Ok(Inheritance::of(self.head, self.listing.resource, definitions, imported)?)
    }

    /// The coding of the form that is looked for: what is written for one viewer is written as text.
    fn coding(&self, inheritance: Option<&Inheritance<'_>>) -> Coding {
        if inheritance.is_some() { Coding::Identity } else { coding(self.head) }
    }

    /// The answer that is written for this viewer from a form without a coding.
    fn dress_own(&self, inheritance: &Inheritance<'_>, rendered: &Rendered, age: Duration) -> Answer {
        let text: Vec<u8> = rendered.chunks.concat();
        let text = String::from_utf8_lossy(&text);
        let mut headers = rendered.headers.clone();
        headers.remove(VARY);
        let own = Rendered::of_text(&inheritance.write(&text), coding(self.head), headers, Duration::ZERO);
        let mut headers = own.headers.clone();
        inherit::is_private(&mut headers);
        self.dress(&own, headers, age)
    }

    /// The answer from a form. A range of it is not served: what a viewer lacks of a playlist is a delta update.
    fn dress(&self, rendered: &Rendered, mut headers: HeaderMap, age: Duration) -> Answer {
        let now = self.edge.clock.now();
        let current_at = self.edge.clock.wall().since_epoch().saturating_sub(age);
        headers.insert(DATE, date::format(WallTime::at(current_at)));
        let (handling, origination) = match self.waited.first {
            None => (Handling::Hit, Origination::Hit),
            Some((_, joined)) => {
                let (kept, origination) = match joined {
                    Joined::Alone => (Kept::Stored, Origination::Miss),
                    Joined::Collapsed | Joined::Released => (Kept::Passed, Origination::Joined),
                };
                (Handling::Forwarded { why: Forward::UriMiss, status: None, kept, joined }, origination)
            }
        };
        record_hold(self.listing, self.waited, now);
        let held = self.held(now);
        let is_known = is_conditional(&self.head.headers) && {
            let validators = Validators::of(&headers, self.edge.clock.wall());
            let method = &self.head.method;
            validator::judge_preconditions(&self.head.headers, method, StatusCode::OK, &validators)
                == Precondition::NotModified
        };
        let (status, headers, content) = match is_known {
            true => (StatusCode::NOT_MODIFIED, validator::not_modified_headers(&headers), Content::Empty),
            false if self.head.method == Method::HEAD => (StatusCode::OK, headers, Content::Empty),
            false => {
                let chunks = Chunks::new(rendered.chunks.clone(), rendered.length);
                (StatusCode::OK, headers, Content::Chunks(chunks))
            }
        };
        Answer {
            status,
            headers,
            content,
            origination,
            provenance: Some(Provenance { handling, ttl: None, age: Age::Seconds(age.as_secs()), detail: None }),
            origin_wait: self.waited.first.map(|(since, _)| now.since(since).saturating_sub(held.unwrap_or_default())),
            held,
            urgency: Some(URGENCY),
            access: Access::OfRoute,
        }
    }
}

/// When to come back after a wait that was in vain: in the time of a part, at least a second.
fn retry(frontier: &Frontier) -> Duration {
    let part = frontier.part_target.unwrap_or_default();
    let seconds = part.as_secs().saturating_add(u64::from(part.subsec_nanos() > 0));
    Duration::from_secs(seconds.max(1))
}

fn coding(head: &Head) -> Coding {
    match Accepted::of(&head.headers) {
        Accepted::Gzip | Accepted::Both => Coding::Gzip,
        Accepted::Identity | Accepted::Brotli => Coding::Identity,
    }
}

fn is_conditional(request: &HeaderMap) -> bool {
    request.contains_key(IF_NONE_MATCH) || request.contains_key(IF_MODIFIED_SINCE)
}

fn record_hold(listing: &Listing<'_>, waited: Waited, now: Tick) {
    if let Some((since, _)) = waited.reload {
        listing.resource.route.traffic.held(now.since(since));
    }
}

/// What a playlist's failure means to a viewer.
fn refusal(failure: &Failure) -> Refusal {
    match failure {
        Failure::Status(status, headers) => Refusal::OriginStatus { status: *status, headers: headers.clone() },
        Failure::NoPlaylist(why) => Refusal::NotAPlaylist(why),
        Failure::Fetch(error) => upstream::of_fetch(error),
        Failure::Gone => Refusal::PlaylistLetGo,
    }
}

/// Counts what was left out of the query, and says so once for each route.
fn note_dropped(listing: &Listing<'_>) {
    if listing.asking.dropped > 0 && listing.resource.route.traffic.dropped(listing.asking.dropped) == First::Yes {
        warn!(
            route = %listing.resource.route.name,
            "query parameters that neither playlists nor packagers use are dropped: name those that matter in `query.keep`"
        );
    }
}
