//! Which playlists are one viewer's each: learnt from a response, believed for a while, so that a changed origin is
//! noticed. Where sessions stand in paths there are as many of them as viewers, so no more is kept than a fingerprint.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault};
use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::Tick;
use crate::rules::caching::Key;

use super::print::AsItIs;

/// For how long it is believed.
const BELIEVED: Duration = Duration::from_mins(10);
/// Locks.
const SHARDS: usize = 16;
/// Fingerprints under one lock; where there are more, all under it are learnt anew.
const MOST: usize = 64 << 10;

/// Playlists that are one viewer's each.
pub(super) struct Personal {
    shards: Box<[Mutex<Shard>]>,
    hasher: foldhash::quality::RandomState,
}

type Shard = HashMap<u64, Tick, BuildHasherDefault<AsItIs>>;

impl Personal {
    pub(super) fn new() -> Self {
        Self {
            shards: std::iter::repeat_with(Mutex::default).take(SHARDS).collect(),
            hasher: foldhash::quality::RandomState::default(),
        }
    }

    fn place(&self, key: &Key) -> (u64, &Mutex<Shard>) {
        let print = self.hasher.hash_one(key);
        (print, &self.shards[(print >> 32) as usize % SHARDS])
    }

    /// The playlist is one viewer's.
    pub(super) fn learn(&self, key: &Key, now: Tick) {
        let (print, shard) = self.place(key);
        let mut shard = shard.lock();
        if shard.len() >= MOST {
            shard.retain(|_, until| now < *until);
        }
        if shard.len() >= MOST {
            shard.clear();
        }
        shard.insert(print, now + BELIEVED);
    }

    /// Whether it is.
    pub(super) fn knows(&self, key: &Key, now: Tick) -> bool {
        let (print, shard) = self.place(key);
        shard.lock().get(&print).is_some_and(|until| now < *until)
    }

    /// How many there are.
    pub(super) fn count(&self, now: Tick) -> usize {
        self.shards.iter().map(|shard| shard.lock().values().filter(|until| now < **until).count()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_learnt_is_believed_for_a_while_and_in_bounds() {
        let (personal, now) = (Personal::new(), Tick::at(Duration::from_secs(1)));
        let key = |index: usize| Key::new("g", "http", "o", &format!("/{index}"));
        personal.learn(&key(0), now);
        assert!(personal.knows(&key(0), now) && !personal.knows(&key(1), now));
        assert!(!personal.knows(&key(0), now + BELIEVED));
        (0..SHARDS * MOST * 2).step_by(64).for_each(|index| personal.learn(&key(index), now));
        assert!(personal.count(now) <= SHARDS * MOST);
        assert_eq!(personal.count(now + BELIEVED), 0);
    }
}
