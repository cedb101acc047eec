//! Places for bodies that are taken in at once: so many of all, and a part of them for the addresses of one prefix, so
//! that whoever sends slowly does not keep all of them.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use foldhash::quality::RandomState;
use parking_lot::Mutex;

/// One prefix has so many of all places at most: one in eight.
const PART: usize = 8;

/// Parts of the table, each under a lock of its own.
const SHARDS: usize = 16;

type Shard = HashMap<IpAddr, usize, RandomState>;

/// Places for bodies.
#[derive(Debug)]
pub struct Places {
    most: usize,
    taken: AtomicUsize,
    // Holds no more entries than there are places.
    of: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
}

/// A body that is taken in; dropping it makes room for another.
#[derive(Debug)]
pub struct Place<'p> {
    places: &'p Places,
    prefix: IpAddr,
}

impl Places {
    /// So many, at least eight.
    pub fn new(most: usize) -> Self {
        let most = most.max(PART);
        Self { most, taken: AtomicUsize::new(0), of: Default::default(), hasher: RandomState::default() }
    }

    /// A place for a body from a prefix of addresses; `None`: all are taken, or as many as the prefix may have.
    pub fn enter(&self, prefix: IpAddr) -> Option<Place<'_>> {
        let is_free = self.taken.fetch_add(1, Relaxed) < self.most;
        if is_free && self.enter_prefix(prefix) {
            return Some(Place { places: self, prefix });
        }
        self.taken.fetch_sub(1, Relaxed);
        None
    }

    fn enter_prefix(&self, prefix: IpAddr) -> bool {
        let mut shard = self.shard(prefix).lock();
        let taken = shard.entry(prefix).or_default();
        let may = *taken < self.most / PART;
        *taken += usize::from(may);
        may
    }

    fn shard(&self, prefix: IpAddr) -> &Mutex<Shard> {
        &self.of[self.hasher.hash_one(prefix) as usize % SHARDS]
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut shard = self.places.shard(self.prefix).lock();
        if let Some(taken) = shard.get_mut(&self.prefix) {
            *taken -= 1;
            if *taken == 0 {
                shard.remove(&self.prefix);
            }
        }
        drop(shard);
        self.places.taken.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(number: u8) -> IpAddr {
        [192, 0, number, 0].into()
    }

    #[test]
    fn a_prefix_has_a_part_of_the_places_and_all_together_no_more_than_there_are() {
        let places = Places::new(64);
        let enter = |number| std::iter::from_fn(|| places.enter(prefix(number))).take(100).collect::<Vec<_>>();
        let mut all: Vec<_> = (0..4).map(enter).collect();
        assert!(all.iter().all(|of_one| of_one.len() == 8));
        all.extend((4..20).map(enter));
        assert_eq!(all.iter().map(Vec::len).sum::<usize>(), 64);
        assert!(places.enter(prefix(200)).is_none());
        all[2].pop();
        assert!(places.enter(prefix(3)).is_none(), "it has its part");
        assert!(places.enter(prefix(200)).is_some());
        drop(all);
        assert_eq!(places.taken.load(Relaxed), 0);
        assert!(places.of.iter().all(|shard| shard.lock().is_empty()), "nobody is remembered");
    }
}
