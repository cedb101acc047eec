//! Sessions of open routes: where nobody says who asks, a viewer is a device at an address on a stream.
//!
//! One begins with the first request that is for a stream, and ends when nothing was asked for and nothing is sent for a
//! while. A device is found by the prefix of its address and what it calls itself, so that what its player reports finds
//! the session. There are so many of them at once; beyond that nobody's story begins, which is counted.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use smallvec::SmallVec;

use crate::clock::Tick;
use crate::rules::session::{Opener, PrintKey, SessionId};

/// Parts of the table, each under a lock of its own.
const SHARDS: usize = 256;

/// In so many steps the table is looked through for the silent.
pub(super) const STEPS: usize = 4;

/// Streams that one device watches at once.
const STREAMS: usize = 32;

/// A session of an open route on this node.
#[derive(Debug)]
pub struct OpenSession {
    /// Its identifier, which is no secret.
    pub id: SessionId,
    /// Its route.
    pub route: Arc<str>,
    /// Its stream; empty: the route has none.
    pub stream: Arc<str>,
    /// Of its last request, in milliseconds of the node's tick.
    last: AtomicU64,
    least_idle_ms: AtomicU32,
    requests: AtomicU64,
    octets: AtomicU64,
}

impl OpenSession {
    /// It plays a stream of this target duration: silence of three of them is no end.
    pub fn plays(&self, target: Duration) {
        let least = u32::try_from(target.as_millis().saturating_mul(3)).unwrap_or(u32::MAX);
        if self.least_idle_ms.load(Relaxed) != least {
            self.least_idle_ms.store(least, Relaxed);
        }
    }

    /// So many octets more were sent to it by now.
    pub fn sent(&self, octets: u64, now: Tick) {
        self.octets.fetch_add(octets, Relaxed);
        self.last.store(millis(now), Relaxed);
    }

    /// Its requests so far.
    pub fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    /// Octets of bodies that were sent to it so far.
    pub fn octets(&self) -> u64 {
        self.octets.load(Relaxed)
    }

    fn touch(&self, now: Tick) {
        self.last.store(millis(now), Relaxed);
        self.requests.fetch_add(1, Relaxed);
    }

    /// Whether it goes on: something is being sent to it, or it asked for something not long ago.
    fn is_living(self: &Arc<Self>, now: Tick, idle_ms: u64) -> bool {
        let idle_ms = idle_ms.max(self.least_idle_ms.load(Relaxed).into());
        Arc::strong_count(self) > 1 || millis(now).saturating_sub(self.last.load(Relaxed)) <= idle_ms
    }
}

/// Whether a request may begin a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum May {
    /// It is for a playlist, with which viewers begin.
    Begin,
    /// It is for what a playlist names: it goes into the session of its stream, else into the last one of its device on the
    /// route, else it begins one.
    Follow,
    /// It says nothing of watching: it goes into a session that is there.
    Join,
}

/// What a request came to.
#[derive(Clone, Debug)]
pub enum Entered {
    /// Its session was there.
    Known(Arc<OpenSession>),
    /// Its session begins with it.
    New(Arc<OpenSession>),
    /// It is in none.
    None,
}

type Device = SmallVec<[Arc<OpenSession>; 1]>;
type Shard = HashMap<u64, Device, foldhash::fast::RandomState>;

/// All sessions of open routes.
pub struct OpenSessions {
    hasher: foldhash::quality::RandomState,
    shards: Box<[Mutex<Shard>]>,
    most: AtomicUsize,
    idle_ms: AtomicU64,
    count: AtomicUsize,
    began: AtomicU64,
    full: AtomicU64,
}

/// What there is, and what happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Sessions that go on.
    pub sessions: usize,
    /// Sessions that began.
    pub began: u64,
    /// Requests whose session found no room.
    pub full: u64,
}

impl OpenSessions {
    /// Nobody is here; `most` sessions at once, each over after a silence of `idle`.
    pub fn new(most: usize, idle: Duration) -> Self {
        Self {
            hasher: foldhash::quality::RandomState::default(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            most: AtomicUsize::new(most),
            idle_ms: AtomicU64::new(u64::try_from(idle.as_millis()).unwrap_or(u64::MAX)),
            count: AtomicUsize::new(0),
            began: AtomicU64::new(0),
            full: AtomicU64::new(0),
        }
    }

    /// From now on these bounds hold; sessions beyond them stay.
    pub fn set_bounds(&self, most: usize, idle: Duration) {
        self.most.store(most, Relaxed);
        self.idle_ms.store(u64::try_from(idle.as_millis()).unwrap_or(u64::MAX), Relaxed);
    }

    /// The session of a request, which may begin with it, `today`.
    pub fn enter(
        &self,
        (key, today): (&PrintKey, impl FnOnce() -> u64),
        (route, stream): (&Arc<str>, &str),
        opener: &Opener<'_>,
        (may, now): (May, Tick),
    ) -> Entered {
        let device = self.device(opener);
        let mut shard = self.shard(device).lock();
        let streams = shard.get(&device).map_or(&[][..], |streams| streams);
        let exact = streams.iter().find(|one| is_of(one, route, stream));
        // What its stream is called may have become known since it began.
        let beside = || {
            let of_route = streams.iter().filter(|one| may == May::Follow && *one.route == **route);
            of_route.max_by_key(|one| one.last.load(Relaxed))
        };
        if let Some(known) = exact.or_else(beside) {
            known.touch(now);
            return Entered::Known(known.clone());
        }
        if may == May::Join {
            return Entered::None;
        }
        let has_room = self.count.load(Relaxed) < self.most.load(Relaxed);
        if !has_room || shard.get(&device).is_some_and(|streams| streams.len() >= STREAMS) {
            self.full.fetch_add(1, Relaxed);
            return Entered::None;
        }
        let session = Arc::new(OpenSession {
            id: key.open_session((route, stream), opener, today()),
            route: route.clone(),
            stream: stream.into(),
            last: AtomicU64::new(millis(now)),
            least_idle_ms: AtomicU32::new(0),
            requests: AtomicU64::new(1),
            octets: AtomicU64::new(0),
        });
        shard.entry(device).or_default().push(session.clone());
        self.count.fetch_add(1, Relaxed);
        self.began.fetch_add(1, Relaxed);
        Entered::New(session)
    }

    /// The session of a device, for what its player reports: that of the stream where it is named, else the one that asked
    /// for something last.
    pub fn of(&self, opener: &Opener<'_>, stream: Option<&str>) -> Option<Arc<OpenSession>> {
        let device = self.device(opener);
        let shard = self.shard(device).lock();
        let streams = shard.get(&device)?;
        let named = stream.and_then(|stream| streams.iter().find(|session| *session.stream == *stream));
        named.or_else(|| streams.iter().max_by_key(|session| session.last.load(Relaxed))).cloned()
    }

    /// Takes out those of a part of the table that are over.
    pub(super) fn sweep(&self, step: usize, now: Tick) -> Vec<Arc<OpenSession>> {
        let idle_ms = self.idle_ms.load(Relaxed);
        let mut over = Vec::new();
        for shard in self.shards.iter().skip(step).step_by(STEPS) {
            shard.lock().retain(|_, streams| {
                streams.retain(|session| {
                    let goes_on = session.is_living(now, idle_ms);
                    over.extend((!goes_on).then(|| session.clone()));
                    goes_on
                });
                !streams.is_empty()
            });
        }
        self.count.fetch_sub(over.len(), Relaxed);
        over
    }

    /// What there is, and what happened so far.
    pub fn figures(&self) -> Figures {
        Figures { sessions: self.count.load(Relaxed), began: self.began.load(Relaxed), full: self.full.load(Relaxed) }
    }

    /// What a device is found by.
    fn device(&self, opener: &Opener<'_>) -> u64 {
        self.hasher.hash_one((prefix(opener.address), opener.user_agent))
    }

    fn shard(&self, device: u64) -> &Mutex<Shard> {
        &self.shards[usize::try_from(device % SHARDS as u64).expect("less than the shards")]
    }
}

fn is_of(session: &OpenSession, route: &str, stream: &str) -> bool {
    *session.stream == *stream && *session.route == *route
}

/// The /24 or /56 of an address.
fn prefix(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(address) => (address & Ipv4Addr::new(255, 255, 255, 0)).to_bits().into(),
        IpAddr::V6(address) => (address & Ipv6Addr::from(u128::MAX << 72)).to_bits(),
    }
}

fn millis(tick: Tick) -> u64 {
    u64::try_from(tick.since_start().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(60);

    fn opener(address: &str) -> Opener<'_> {
        Opener { address: address.parse().unwrap(), user_agent: b"Player/1" }
    }

    fn at(seconds: u64) -> Tick {
        Tick::at(Duration::from_secs(seconds))
    }

    struct Table(OpenSessions, PrintKey, Arc<str>);

    impl Table {
        fn new(most: usize) -> Self {
            Self(OpenSessions::new(most, IDLE), PrintKey::new(&[1; 32]), "all".into())
        }

        fn enter(&self, address: &str, stream: &str, (may, seconds): (May, u64)) -> Option<Arc<OpenSession>> {
            let key = (&self.1, || seconds / 86_400);
            match self.0.enter(key, (&self.2, stream), &opener(address), (may, at(seconds))) {
                Entered::Known(session) | Entered::New(session) => Some(session),
                Entered::None => None,
            }
        }

        fn sweep(&self, seconds: u64) -> usize {
            (0..STEPS).map(|step| self.0.sweep(step, at(seconds)).len()).sum()
        }
    }

    #[test]
    fn a_device_continues_its_session_and_what_says_nothing_of_watching_begins_none() {
        let table = Table::new(10);
        assert!(table.enter("192.0.2.1", "live", (May::Join, 0)).is_none());
        let session = table.enter("192.0.2.1", "live", (May::Begin, 0)).unwrap();
        let again = table.enter("192.0.2.77", "live", (May::Join, 1)).unwrap();
        assert_eq!((session.id, session.requests()), (again.id, 2));
        assert_ne!(table.enter("192.0.3.1", "live", (May::Begin, 0)).unwrap().id, session.id);
        assert_ne!(table.enter("192.0.2.1", "other", (May::Begin, 0)).unwrap().id, session.id);
    }

    #[test]
    fn what_a_playlist_names_goes_into_its_stream_or_the_last_one_of_its_device() {
        let table = Table::new(10);
        let first = table.enter("192.0.2.1", "one", (May::Begin, 0)).unwrap();
        let last = table.enter("192.0.2.1", "two", (May::Begin, 1)).unwrap();
        let follow = |address, stream| table.enter(address, stream, (May::Follow, 2)).unwrap().id;
        assert_eq!(follow("192.0.2.1", "unknown"), last.id);
        assert_eq!(follow("192.0.2.1", "one"), first.id);
        assert_ne!(follow("192.0.3.1", "one"), first.id, "where there is none, one begins");
    }

    #[test]
    fn a_session_is_over_once_it_was_silent_and_nothing_is_sent_to_it() {
        let table = Table::new(10);
        let session = table.enter("192.0.2.1", "live", (May::Begin, 0)).unwrap();
        assert_eq!(table.sweep(1_000), 0, "something is being sent");
        drop(session);
        assert_eq!(table.sweep(60), 0);
        assert_eq!((table.sweep(61), table.0.figures().sessions), (1, 0));
    }

    #[test]
    fn a_session_goes_on_over_midnight_and_the_next_days_is_another() {
        let table = Table::new(10);
        let first = table.enter("192.0.2.1", "live", (May::Begin, 86_390)).unwrap().id;
        assert_eq!(table.enter("192.0.2.1", "live", (May::Begin, 86_410)).unwrap().id, first);
        assert_eq!(table.sweep(90_000), 1);
        assert_ne!(table.enter("192.0.2.1", "live", (May::Begin, 90_000)).unwrap().id, first);
    }

    #[test]
    fn a_stream_of_long_segments_keeps_its_viewers() {
        let table = Table::new(10);
        table.enter("192.0.2.1", "live", (May::Begin, 0)).unwrap().plays(Duration::from_secs(30));
        assert_eq!((table.sweep(90), table.sweep(91)), (0, 1));
    }

    #[test]
    fn where_there_is_no_room_nobody_begins_and_it_is_counted() {
        let table = Table::new(1);
        assert!(table.enter("192.0.2.1", "live", (May::Begin, 0)).is_some());
        assert!(table.enter("192.0.3.1", "live", (May::Begin, 0)).is_none());
        assert!(table.enter("192.0.2.1", "live", (May::Begin, 0)).is_some(), "who is here stays");
        assert_eq!(table.0.figures(), Figures { sessions: 1, began: 1, full: 1 });
    }

    #[test]
    fn what_a_player_reports_finds_the_stream_that_it_names_or_the_last() {
        let table = Table::new(10);
        let first = table.enter("192.0.2.1", "one", (May::Begin, 0)).unwrap();
        let last = table.enter("192.0.2.1", "two", (May::Begin, 1)).unwrap();
        let find = |stream| table.0.of(&opener("192.0.2.200"), stream).map(|session| session.id);
        assert_eq!(find(Some("one")), Some(first.id));
        assert_eq!(find(None), Some(last.id));
        assert_eq!(find(Some("three")), Some(last.id));
        assert!(table.0.of(&opener("198.51.100.1"), None).is_none());
    }
}
