//! The figures of this moment: who is watching, and what they experience.
//!
//! Every session that is heard of has a tally, in a table with a bound. About once a second all of them are gone through:
//! who watches is counted, what is new is added to the sums of those who share a label, and what is over goes.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use crate::rules::qoe::figures::{Received, SessionFigures};
use crate::rules::qoe::sums::Both;
use crate::rules::qoe::tally::{KEPT_MS, Tally};
use crate::rules::session::SessionId;
use crate::rules::timeline::event::{Entry, Event, Kind};
use crate::rules::timeline::figures;

use super::groups::{Groups, Place};
use super::snapshot::Snapshot;

/// Who watches is counted so often.
const ROUND_MS: u64 = 1_000;

/// And a second later for each of so many sessions, up to four seconds: a viewer is counted within five.
const SESSIONS_A_SECOND: usize = 50_000;
const LONGEST_ROUND_MS: u64 = 4_000;

/// Sessions of a table that is this full, in per cent, are not kept for what may still come once they are over.
const FULL: usize = 90;

/// What is bounded, and by what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Streams that have a label of their own.
    pub streams: usize,
    /// Sessions that are known at once.
    pub sessions: usize,
    /// A viewer is gone when nothing was heard for this long.
    pub idle: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { streams: 500, sessions: 200_000, idle: Duration::from_secs(60) }
    }
}

/// The figures of this moment.
pub struct Live {
    sessions: HashMap<SessionId, Box<Watching>, foldhash::quality::RandomState>,
    pub(super) groups: Groups,
    bounds: Bounds,
    now: u64,
    counted: u64,
    pub(super) untracked: u64,
    pub(super) received: Received,
    gone: Received,
    /// Why origins were asked, by the words of RFC 9211 §2.2: a closed list.
    causes: BTreeMap<Box<str>, u64>,
    weight: usize,
}

/// One session.
struct Watching {
    tally: Tally,
    place: Place,
    /// Whether a token says who it is: then it is one viewer, however many views it has.
    is_gated: bool,
    last: u64,
}

impl Default for Live {
    fn default() -> Self {
        Self::new(Bounds::default())
    }
}

impl Live {
    /// Nobody is watching yet.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            sessions: HashMap::default(),
            groups: Groups::new(bounds.streams),
            bounds,
            now: 0,
            counted: 0,
            untracked: 0,
            received: Received::default(),
            gone: Received::default(),
            causes: BTreeMap::new(),
            weight: 0,
        }
    }

    /// From now on these bounds hold; what is beyond them stays until it is over.
    pub const fn set_bounds(&mut self, bounds: Bounds) {
        self.bounds = bounds;
        self.groups.set_most(bounds.streams);
    }

    /// Something happened.
    pub fn note(&mut self, entry: &Entry) {
        if let Event::Request(request) = &entry.event
            && let Some(cause) = &request.cause
        {
            *self.causes.entry(cause.clone()).or_default() += 1;
        }
        let Some(session) = entry.session else { return };
        let Some(watching) = find(self, session, entry) else { return };
        watching.last = watching.last.max(entry.at);
        figures::note(&mut watching.tally, entry);
    }

    /// Time has come to this many milliseconds since the epoch.
    pub fn pass(&mut self, now: u64) {
        self.now = now;
        let round = ROUND_MS * (1 + self.sessions.len() / SESSIONS_A_SECOND) as u64;
        if now.saturating_sub(self.counted) >= round.min(LONGEST_ROUND_MS) {
            self.count(now);
        }
    }

    /// Goes through all sessions.
    fn count(&mut self, now: u64) {
        self.counted = now;
        self.groups.pass(now);
        self.groups.empty();
        let idle = u64::try_from(self.bounds.idle.as_millis()).unwrap_or(u64::MAX);
        let is_full = self.sessions.len() * 100 >= self.bounds.sessions * FULL;
        let Self { sessions, groups, gone, .. } = self;
        let mut received = Received::default();
        let mut weight = 0;
        sessions.retain(|_, watching| {
            watching.tally.rest(now);
            let watched = watching.tally.watched(now, idle);
            let viewers = if watching.is_gated { watched.min(1) } else { watched };
            let mut new = Both::default();
            watching.tally.credit(&mut new);
            groups.add(watching.place, viewers, &new);
            let silent = now.saturating_sub(watching.last);
            let stays = watched > 0 || silent < idle || !is_full && silent < KEPT_MS;
            let into = if stays { &mut received } else { &mut *gone };
            into.add(&watching.tally.received());
            weight += watching.tally.weight();
            stays
        });
        self.weight = weight;
        received.add(&self.gone);
        // A gap that a late report fills is not taken back: what is counted only grows.
        received.missing = received.missing.max(self.received.missing);
        self.received = received;
    }

    /// Who is watching and what they experience, as of the last round.
    pub fn snapshot(&self) -> Snapshot {
        let (all, [streams, renditions, protocols, regions]) = self.groups.shown();
        Snapshot {
            at: self.now,
            viewers: all.viewers,
            sessions: self.sessions.len() as u64,
            untracked: self.untracked,
            all,
            streams,
            renditions,
            protocols,
            regions,
            received: self.received,
            causes: self.causes.clone(),
        }
    }

    /// How many sessions something is known of.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// About what all of them take, in bytes.
    pub const fn weight(&self) -> usize {
        self.weight
    }

    /// What a session comes to so far; `None`: it is not known, or no longer.
    pub fn session(&self, id: SessionId) -> Option<SessionFigures> {
        self.sessions.get(&id).map(|watching| watching.tally.figures(self.now))
    }

    /// A session is to be forgotten, with all that is its own; sums of many keep what it has added to them.
    pub fn forget(&mut self, id: SessionId) {
        if let Some(watching) = self.sessions.remove(&id) {
            self.gone.add(&watching.tally.received());
        }
    }
}

/// The session of an entry, with the labels that the entry brings; `None`: there is none, and none begins with it.
fn find<'l>(live: &'l mut Live, session: SessionId, entry: &Entry) -> Option<&'l mut Watching> {
    let is_full = live.sessions.len() >= live.bounds.sessions;
    if !live.sessions.contains_key(&session) {
        if !begins(&entry.event) {
            return None;
        }
        if is_full {
            live.untracked += 1;
            return None;
        }
        let place = live.groups.nowhere();
        let watching = Watching { tally: Tally::default(), place, is_gated: false, last: entry.at };
        live.sessions.insert(session, Box::new(watching));
    }
    let watching = live.sessions.get_mut(&session).expect("it is there, or was put there");
    let (groups, place) = (&mut live.groups, &mut watching.place);
    let stream = entry.stream.as_deref().unwrap_or_default();
    match &entry.event {
        Event::Began(began) => {
            watching.is_gated = began.access.is_some();
            groups.from(place, began.country.as_deref());
            groups.over(place, &began.protocol);
        }
        Event::Verdict(_) => watching.is_gated = true,
        Event::Served(served) => {
            groups.over(place, &served.protocol);
            if served.media > 0 {
                groups.served(place, stream, served.rendition.as_deref());
            }
        }
        Event::Request(request) => {
            groups.over(place, &request.protocol);
            let is_media = matches!(request.kind, Kind::Part | Kind::Segment);
            if is_media && (200..400).contains(&request.status) {
                groups.served(place, stream, None);
            }
        }
        _ => {}
    }
    groups.of(place, stream);
    Some(watching)
}

/// Whether a session begins with this, where nothing is known of it yet.
fn begins(event: &Event) -> bool {
    match event {
        Event::Began(_) | Event::Served(_) | Event::Report(_) => true,
        Event::Request(request) => (200..400).contains(&request.status),
        _ => false,
    }
}

#[cfg(test)]
#[path = "live_tests.rs"]
mod tests;
