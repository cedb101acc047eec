//! Keys whose last response was for one reader alone. For a while nobody waits for another's fill under such a key:
//! waiting would only end in asking after all, one by one (RFC 9111 §4).

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::clock::Tick;
use crate::rules::caching::Key;

use super::sync::Mutex;

/// How long a key stays apart after its last private response.
const WHILE: Duration = Duration::from_secs(10);

/// Keys remembered; further ones are joined and let go as if seen for the first time.
const KEYS: usize = 4_096;

/// The keys that are not coalesced for now.
#[derive(Default)]
pub(super) struct Apart {
    /// Spares the lock where there is nothing to find.
    some: AtomicBool,
    until: Mutex<HashMap<Key, Tick, foldhash::quality::RandomState>>,
}

impl Apart {
    /// A response under `key` may not be shared.
    pub fn set(&self, key: &Key, now: Tick) {
        let mut until = self.until.lock();
        if until.len() >= KEYS {
            until.retain(|_, until| *until > now);
        }
        if until.len() < KEYS {
            until.insert(key.clone(), now + WHILE);
        }
        self.some.store(!until.is_empty(), Ordering::Relaxed);
    }

    /// A response under `key` may be shared.
    pub fn unset(&self, key: &Key) {
        if self.some.load(Ordering::Relaxed) {
            let mut until = self.until.lock();
            until.remove(key);
            self.some.store(!until.is_empty(), Ordering::Relaxed);
        }
    }

    pub fn holds(&self, key: &Key, now: Tick) -> bool {
        self.some.load(Ordering::Relaxed) && self.until.lock().get(key).is_some_and(|until| *until > now)
    }
}
