//! Objects near the edge of a live stream, by key: kept apart from all others, so that nothing older drives them out.
//! They are let go by the time until which they are near, the earliest first, and only where nothing else could be.

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::RwLock;

use crate::clock::Tick;
use crate::rules::caching::Key;

/// Parts of the map, so that workers seldom meet at one lock.
const SHARDS: usize = 64;

type Shard<E> = RwLock<HashMap<Key, Arc<E>, foldhash::fast::RandomState>>;

/// Entries that are near.
pub(super) struct Near<E> {
    shards: Box<[Shard<E>]>,
    hasher: foldhash::quality::RandomState,
    count: AtomicUsize,
}

impl<E> Default for Near<E> {
    fn default() -> Self {
        Self {
            shards: std::iter::repeat_with(Shard::default).take(SHARDS).collect(),
            hasher: foldhash::quality::RandomState::default(),
            count: AtomicUsize::new(0),
        }
    }
}

impl<E> Near<E> {
    fn shard(&self, key: &Key) -> &Shard<E> {
        let hash = self.hasher.hash_one(key) % self.shards.len() as u64;
        &self.shards[usize::try_from(hash).expect("less than the number of shards")]
    }

    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    pub fn get(&self, key: &Key) -> Option<Arc<E>> {
        if self.count() == 0 {
            return None;
        }
        self.shard(key).read().get(key).cloned()
    }

    pub fn insert(&self, key: &Key, entry: Arc<E>) {
        if self.shard(key).write().insert(key.clone(), entry).is_none() {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub fn remove(&self, key: &Key) -> Option<Arc<E>> {
        let removed = self.shard(key).write().remove(key)?;
        self.count.fetch_sub(1, Ordering::Relaxed);
        Some(removed)
    }

    /// All entries of this moment, a part of the map after the other.
    pub fn all(&self) -> impl Iterator<Item = (Key, Arc<E>)> {
        let of_shard = |shard: &Shard<E>| -> Vec<_> {
            shard.read().iter().map(|(key, entry)| (key.clone(), entry.clone())).collect()
        };
        self.shards.iter().flat_map(of_shard)
    }
}

/// The order in which near entries are let go: by when they cease to be near.
pub(super) struct Order<E> {
    places: BTreeMap<(Tick, u64), (Key, Weak<E>)>,
    last: u64,
}

impl<E> Default for Order<E> {
    fn default() -> Self {
        Self { places: BTreeMap::new(), last: 0 }
    }
}

impl<E> Order<E> {
    pub fn enter(&mut self, until: Tick, key: &Key, entry: &Arc<E>) {
        self.last += 1;
        self.places.insert((until, self.last), (key.clone(), Arc::downgrade(entry)));
    }

    /// Takes out the first place that is over at `now`.
    pub fn pop(&mut self, now: Tick) -> Option<(Key, Weak<E>)> {
        let first = self.places.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    /// Takes out the first place whose entry may go, passing over those that may not.
    pub fn pop_where(&mut self, may_go: impl Fn(&Weak<E>) -> bool) -> Option<(Key, Weak<E>)> {
        let at = self.places.iter().find(|(_, (_, entry))| may_go(entry)).map(|(at, _)| *at)?;
        self.places.remove(&at)
    }
}
