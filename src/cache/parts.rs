//! What a cache and its fills share. Each part guards itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::clock::Clock;
use crate::rules::caching::Key;

use super::CacheConfig;
use super::apart::Apart;
use super::bells::Bells;
use super::fill::Fill;
use super::flights::Flights;
use super::memory::{Charge, Kind, Memory};
use super::permits::Permits;
use super::store::Store;

/// Parts of the table of flights, so that workers seldom meet at one lock.
const SHARDS: usize = 64;

/// How often room is made anew where others took it first.
const TRIES: usize = 4;

pub(super) struct Parts {
    pub memory: Arc<Memory>,
    pub store: Store,
    pub flights: Flights<Key, Fill>,
    pub apart: Apart,
    pub permits: Arc<Permits>,
    pub bells: Arc<Bells>,
    pub clock: Clock,
    max_object: AtomicU64,
    fill_readers: AtomicUsize,
}

impl Parts {
    pub fn new(config: CacheConfig, bells: Arc<Bells>, clock: Clock) -> Arc<Self> {
        let memory = Memory::new(config.memory);
        Arc::new(Self {
            store: Store::new(memory.clone()),
            memory,
            flights: Flights::new(SHARDS),
            apart: Apart::default(),
            permits: Permits::new(config.fills_per_group),
            bells,
            clock,
            max_object: AtomicU64::new(config.largest()),
            fill_readers: AtomicUsize::new(config.fill_readers),
        })
    }

    pub fn reconfigure(&self, config: CacheConfig) {
        self.max_object.store(config.largest(), Ordering::Relaxed);
        self.fill_readers.store(config.fill_readers, Ordering::Relaxed);
        self.permits.set_limit(config.fills_per_group);
        if self.memory.ceiling() != config.memory {
            self.memory.set_ceiling(config.memory);
            self.store.resize();
        }
    }

    pub fn max_object(&self) -> u64 {
        self.max_object.load(Ordering::Relaxed)
    }

    pub fn reader_limit(&self) -> usize {
        self.fill_readers.load(Ordering::Relaxed)
    }

    /// Takes `bytes` below the ceiling, where need be in place of stored objects.
    pub fn reserve(&self, kind: Kind, bytes: u64) -> Option<Charge> {
        for _ in 0..TRIES {
            let charge = self.memory.try_charge(kind, bytes);
            if charge.is_some() || !self.store.make_room(bytes) {
                return charge;
            }
        }
        None
    }
}
