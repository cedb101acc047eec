//! Who is watching openly: the living sessions of open routes, found by who opened them. It is what ties a player's
//! reports to a session where no token does, and it keeps an identifier from being made anew for each request.
//!
//! Where a viewer is and what it calls itself is known by a hash of this process alone. There are as many openers as
//! configured, and a few sessions of each; beyond, the silent go, then nobody is noted.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

use foldhash::quality::RandomState;
use parking_lot::Mutex;
use smallvec::SmallVec;

use crate::rules::session::{Opener, SessionId};

/// Parts of the table, each under a lock of its own.
const SHARDS: usize = 64;

/// Sessions of one opener: beyond, the one that was silent longest goes.
const EACH: usize = 8;

/// A session that is noted again within this is not written again, in milliseconds.
const OFTEN: u64 = 1_000;

/// A session of an open route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// Its identifier.
    pub session: SessionId,
    /// Its route.
    pub route: Arc<str>,
    /// Its stream.
    pub stream: Arc<str>,
    /// When something was asked for last, in milliseconds since the epoch.
    pub last: u64,
}

type Shard = HashMap<u64, SmallVec<[Open; 1]>, RandomState>;

/// Who is watching openly.
pub struct Viewers {
    hasher: RandomState,
    shards: Box<[Mutex<Shard>]>,
    most: usize,
    idle: u64,
}

/// Whether a request begins a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It does: there is none, or it was silent for too long.
    New(SessionId),
    /// It goes on with one.
    Known(SessionId),
}

impl Seen {
    /// The session.
    pub const fn session(self) -> SessionId {
        match self {
            Self::New(session) | Self::Known(session) => session,
        }
    }
}

impl Viewers {
    /// Nobody is here. Room for `most` openers; who is silent for `idle` is gone.
    pub fn new(most: usize, idle: Duration) -> Self {
        let idle = u64::try_from(idle.as_millis()).unwrap_or(u64::MAX);
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { hasher: RandomState::default(), shards, most: most.div_ceil(SHARDS), idle }
    }

    /// Notes that an opener asks for something of a stream at `now`; `name` makes the identifier of a session that is not
    /// known yet.
    pub fn note(
        &self,
        opener: &Opener<'_>,
        (route, stream): (&Arc<str>, &str),
        now: u64,
        name: impl FnOnce() -> SessionId,
    ) -> Seen {
        let print = self.print(opener);
        let mut shard = self.shard(print).lock();
        if let Some(open) = shard.get_mut(&print)
            && let Some(open) = open.iter_mut().find(|open| *open.route == **route && *open.stream == *stream)
        {
            let is_new = self.is_gone(open.last, now);
            if open.last + OFTEN <= now {
                open.last = now;
            }
            return if is_new { Seen::New(open.session) } else { Seen::Known(open.session) };
        }
        let session = name();
        if shard.len() >= self.most && !shard.contains_key(&print) {
            shard.retain(|_, open| open.iter().any(|open| !self.is_gone(open.last, now)));
            if shard.len() >= self.most {
                return Seen::New(session);
            }
        }
        let open = shard.entry(print).or_default();
        if open.len() >= EACH
            && let Some(oldest) = (0..open.len()).min_by_key(|at| open[*at].last)
        {
            open.remove(oldest);
        }
        open.push(Open { session, route: route.clone(), stream: stream.into(), last: now });
        Seen::New(session)
    }

    /// The living sessions of an opener at `now`, the one that asked last first.
    pub fn of(&self, opener: &Opener<'_>, now: u64) -> SmallVec<[Open; 1]> {
        let print = self.print(opener);
        let shard = self.shard(print).lock();
        let all = shard.get(&print).into_iter().flatten();
        let mut open: SmallVec<[Open; 1]> = all.filter(|open| !self.is_gone(open.last, now)).cloned().collect();
        open.sort_by_key(|open| std::cmp::Reverse(open.last));
        open
    }

    /// What stands for an opener, in this process alone.
    pub fn print(&self, opener: &Opener<'_>) -> u64 {
        self.hasher.hash_one((opener.place(), opener.user_agent))
    }

    const fn is_gone(&self, last: u64, now: u64) -> bool {
        now.saturating_sub(last) > self.idle
    }

    fn shard(&self, print: u64) -> &Mutex<Shard> {
        &self.shards[usize::try_from(print % SHARDS as u64).expect("less than the shards")]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opener(user_agent: &'static str) -> Opener<'static> {
        Opener { address: [192, 0, 2, 7].into(), user_agent: user_agent.as_bytes() }
    }

    fn id(octet: u8) -> SessionId {
        SessionId([octet; 12])
    }

    #[test]
    fn the_session_that_asked_last_comes_first_and_the_silent_are_gone() {
        let viewers = Viewers::new(1_000, Duration::from_secs(60));
        let route: Arc<str> = "live".into();
        let note = |stream, octet, now| viewers.note(&opener("a"), (&route, stream), now, || id(octet));
        assert_eq!(note("one", 1, 0), Seen::New(id(1)));
        assert_eq!(note("two", 2, 10_000), Seen::New(id(2)));
        assert_eq!(note("one", 9, 20_000), Seen::Known(id(1)), "its identifier is not made again");
        let of = |now| viewers.of(&opener("a"), now).iter().map(|open| open.session).collect::<Vec<_>>();
        assert_eq!(of(20_000), [id(1), id(2)]);
        assert_eq!(of(75_000), [id(1)]);
        assert_eq!(of(90_000), []);
        assert_eq!(note("one", 9, 90_000), Seen::New(id(1)), "it begins anew, under the same name");
        assert!(viewers.of(&opener("b"), 20_000).is_empty());
    }

    #[test]
    fn many_openers_and_many_streams_take_bounded_room() {
        let viewers = Viewers::new(SHARDS, Duration::from_secs(60));
        let route: Arc<str> = "live".into();
        for stream in 0..100_u8 {
            viewers.note(&opener("a"), (&route, &format!("{stream}")), stream.into(), || id(stream));
        }
        let open = viewers.of(&opener("a"), 100);
        assert_eq!((open.len(), open[0].session), (EACH, id(99)));
        for viewer in 0..10_000_u32 {
            let agent = viewer.to_string();
            let opener = Opener { address: [192, 0, 2, 7].into(), user_agent: agent.as_bytes() };
            viewers.note(&opener, (&route, "s"), 100, || id(1));
        }
        assert!(viewers.shards.iter().all(|shard| shard.lock().len() <= 1));
        viewers.note(&opener("late"), (&route, "s"), 200_000, || id(7));
        assert_eq!(viewers.of(&opener("late"), 200_000).len(), 1, "the silent made room");
    }
}
