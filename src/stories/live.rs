//! The figures of this moment: who is watching, and what they experience.
//!
//! Every session that is heard of has a tally, in a table with a bound. About once a second all of them are gone through:
//! who watches is counted, what is new is added to the sums of those who share a label, and what is over goes. What all
//! tallies take is bounded as well: beyond it the views that would be missed least are counted for good before their time.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::rules::qoe::figures::{Received, SessionFigures};
use crate::rules::qoe::sums::Both;
use crate::rules::qoe::tally::{Age, KEPT_MS, Tally};
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

/// What figures may take for each session that may be known, one with another, in bytes: what one of a player takes that
/// reports by events.
const EACH: usize = 8 << 10;

/// What is bounded, and by what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Streams that have a label of their own.
    pub streams: usize,
    /// Sessions that are known at once; what their figures take is bounded by as many times 8 KiB.
    pub sessions: usize,
    /// A viewer is gone when nothing was heard for this long.
    pub idle: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { streams: 500, sessions: 200_000, idle: Duration::from_secs(60) }
    }
}

impl Bounds {
    /// What the figures of all sessions may take, in bytes.
    pub const fn bytes(&self) -> usize {
        self.sessions.saturating_mul(EACH)
    }

    fn idle_ms(&self) -> u64 {
        u64::try_from(self.idle.as_millis()).unwrap_or(u64::MAX)
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
    /// Views that were counted for good before their time, for want of room.
    pub(super) shed: u64,
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
    /// The stream whose playlist it got last.
    listed: Option<Arc<str>>,
    /// What it took when it was last looked at, in bytes.
    weight: usize,
}

impl Watching {
    fn weigh(&self) -> usize {
        size_of::<(SessionId, Box<Self>)>() + size_of::<Self>() - size_of::<Tally>()
            + self.listed.as_ref().map_or(0, |stream| stream.len())
            + self.tally.weight()
    }

    /// How its views would be missed and what each takes; itself, if it has none, and else with the one missed most.
    fn ages(&self, now: u64, idle: u64) -> Vec<(Age, usize)> {
        let mut ages: Vec<_> = self.tally.ages(now, idle).collect();
        let own = self.weight.saturating_sub(ages.iter().map(|(_, weight)| weight).sum());
        match ages.iter_mut().max() {
            Some((_, weight)) => *weight += own,
            None => ages.push((self.age(), own)),
        }
        ages
    }

    const fn age(&self) -> Age {
        Age { is_watched: false, since: self.last }
    }
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
            shed: 0,
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
        let after = watching.weigh();
        let before = std::mem::replace(&mut watching.weight, after);
        self.weight = (self.weight + after).saturating_sub(before);
        if self.weight > self.bounds.bytes() {
            self.shed();
        }
    }

    /// Counts views for good, those first that would be missed least, until there is an eighth of the room to spare.
    fn shed(&mut self) {
        let (now, idle) = (self.now, self.bounds.idle_ms());
        let mut ages: Vec<_> = self.sessions.values().flat_map(|watching| watching.ages(now, idle)).collect();
        ages.sort_unstable();
        let (mut left, goal) = (self.weight, self.bounds.bytes() / 8 * 7);
        let enough = ages.iter().find(|(_, weight)| {
            left = left.saturating_sub(*weight);
            left <= goal
        });
        let Some((most, _)) = enough.or(ages.last()).copied() else { return };
        self.weight = 0;
        let Self { sessions, groups, gone, shed, weight, .. } = self;
        sessions.retain(|_, watching| {
            let mut new = Both::default();
            *shed += watching.tally.shed(most, (now, idle), &mut new);
            groups.add(watching.place, 0, &new);
            watching.weight = watching.weigh();
            let stays = watching.tally.ages(now, idle).next().is_some() || watching.age() > most;
            if stays {
                *weight += watching.weight;
            } else {
                gone.add(&watching.tally.received());
            }
            stays
        });
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
        let idle = self.bounds.idle_ms();
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
            watching.weight = watching.weigh();
            weight += if stays { watching.weight } else { 0 };
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

    /// What all of them and the sums take, in bytes.
    pub fn weight(&self) -> usize {
        self.weight + self.groups.weight()
    }

    /// What a session comes to so far; `None`: it is not known, or no longer.
    pub fn session(&self, id: SessionId) -> Option<SessionFigures> {
        self.sessions.get(&id).map(|watching| watching.tally.figures(self.now))
    }

    /// A session is to be forgotten, with all that is its own; sums of many keep what it has added to them.
    pub fn forget(&mut self, id: SessionId) {
        if let Some(watching) = self.sessions.remove(&id) {
            self.gone.add(&watching.tally.received());
            self.weight = self.weight.saturating_sub(watching.weight);
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
        let watching =
            Watching { tally: Tally::default(), place, is_gated: false, last: entry.at, listed: None, weight: 0 };
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
            if served.playlists > 0 {
                watching.listed.clone_from(&entry.stream);
            }
            if served.media > 0 && watching.listed == entry.stream {
                groups.served(place, stream, served.rendition.as_deref());
            }
        }
        Event::Request(request) => {
            groups.over(place, &request.protocol);
            match request.kind {
                _ if !(200..400).contains(&request.status) => {}
                Kind::Multivariant | Kind::Playlist => watching.listed.clone_from(&entry.stream),
                Kind::Part | Kind::Segment if watching.listed == entry.stream => groups.served(place, stream, None),
                _ => {}
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
