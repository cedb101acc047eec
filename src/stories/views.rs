//! What players call their sessions, which they say with every request: the view that it stands for is a keyed hash, and a
//! worker remembers those that it has made. Of what players say it keeps a hash of 64 bits alone, keyed anew by each
//! process, beside the session: of one session two names in 2^64 are taken for one.

use std::collections::HashMap;
use std::hash::BuildHasher;

use parking_lot::Mutex;

use crate::rules::session::{PrintKey, SessionId};
use crate::telemetry::counters::Sharded;

/// Views that one worker remembers: beyond that it begins anew.
const VIEWS: usize = 16_384;

type Map = HashMap<(SessionId, u64), SessionId, foldhash::fast::RandomState>;

/// The views that each worker has made.
pub(super) struct Views {
    hasher: foldhash::quality::RandomState,
    maps: Sharded<Mutex<Map>>,
}

impl Views {
    /// Of so many workers.
    pub(super) fn new(workers: usize) -> Self {
        Self { hasher: foldhash::quality::RandomState::default(), maps: Sharded::new(workers) }
    }

    /// The view of a session by what its player calls it.
    pub(super) fn of(&self, key: &PrintKey, session: SessionId, sid: &str) -> SessionId {
        let name = (session, self.hasher.hash_one(sid));
        let mut map = self.maps.mine().lock();
        if let Some(view) = map.get(&name) {
            return *view;
        }
        if map.len() >= VIEWS {
            map.clear();
        }
        let view = key.view(session, sid);
        map.insert(name, view);
        view
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_what_would_be_made() {
        let (views, key) = (Views::new(1), PrintKey::new(&[7; 32]));
        for _ in 0..2 {
            for (session, sid) in [(1, "a"), (1, "b"), (2, "a"), (2, "")] {
                let session = SessionId([session; 12]);
                assert_eq!(views.of(&key, session, sid), key.view(session, sid));
            }
        }
        assert_eq!(views.maps.mine().lock().len(), 4);
    }

    #[test]
    fn no_more_is_remembered_than_its_bound() {
        let (views, key) = (Views::new(1), PrintKey::new(&[7; 32]));
        for number in 0..=VIEWS {
            views.of(&key, SessionId([1; 12]), &number.to_string());
        }
        assert_eq!(views.maps.mine().lock().len(), 1);
    }
}
