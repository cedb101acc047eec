//! Keys whose last response was for one reader alone. For a while nobody waits for another's fill under such a key:
//! waiting would only end in asking after all, one by one (RFC 9111 §4). It ends with the first response that many may
//! have.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::clock::Tick;
use crate::rules::caching::Key;

use super::sync::Mutex;

/// Keys remembered; further ones are joined and let go as if seen for the first time, and counted.
const KEYS: usize = 4_096;

/// The keys that are not coalesced for now.
#[derive(Default)]
pub(super) struct Apart {
    /// Spares the lock where there is nothing to find.
    count: AtomicUsize,
    unplaced: AtomicU64,
    until: Mutex<HashMap<Key, Tick, foldhash::quality::RandomState>>,
}

impl Apart {
    /// A response under `key` may not be shared: nobody waits for another one before `over`.
    pub fn set(&self, key: &Key, now: Tick, over: Tick) {
        if over <= now {
            return;
        }
        let mut until = self.until.lock();
        if until.len() >= KEYS {
            until.retain(|_, until| *until > now);
        }
        if until.len() < KEYS || until.contains_key(key) {
            until.insert(key.clone(), over);
        } else {
            self.unplaced.fetch_add(1, Ordering::Relaxed);
        }
        self.count.store(until.len(), Ordering::Relaxed);
    }

    /// A response under `key` may be shared.
    pub fn unset(&self, key: &Key) {
        if self.count.load(Ordering::Relaxed) > 0 {
            let mut until = self.until.lock();
            until.remove(key);
            self.count.store(until.len(), Ordering::Relaxed);
        }
    }

    pub fn holds(&self, key: &Key, now: Tick) -> bool {
        self.count.load(Ordering::Relaxed) > 0 && self.until.lock().get(key).is_some_and(|until| *until > now)
    }

    /// Forgets what is over.
    pub fn sweep(&self, now: Tick) {
        if self.count.load(Ordering::Relaxed) > 0 {
            let mut until = self.until.lock();
            until.retain(|_, until| *until > now);
            self.count.store(until.len(), Ordering::Relaxed);
        }
    }

    /// How many keys are remembered, and how many could not be.
    pub fn figures(&self) -> (usize, u64) {
        (self.count.load(Ordering::Relaxed), self.unplaced.load(Ordering::Relaxed))
    }
}
