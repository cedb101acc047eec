//! What a cache and its fills share. Each part guards itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crate::clock::{Clock, Tick};
use crate::rules::caching::Key;

use super::CacheConfig;
use super::apart::Apart;
use super::bells::Bells;
use super::fill::Fill;
use super::flights::Flights;
use super::memory::{self, Charge, Kind, Memory};
use super::object::Object;
use super::permits::Permits;
use super::purges::Purges;
use super::spill::{Spill, SpillConfig, SpillError};
use super::store::Store;

/// Parts of the table of flights, so that workers seldom meet at one lock.
const SHARDS: usize = 64;

/// How often room is made anew where others took it first.
const TRIES: usize = 4;

pub(super) struct Parts {
    pub memory: Arc<Memory>,
    pub store: Store,
    pub spill: Option<Arc<Spill>>,
    pub flights: Flights<Key, Fill>,
    pub apart: Apart,
    pub permits: Arc<Permits>,
    pub bells: Arc<Bells>,
    pub clock: Clock,
    pub purges: Arc<Purges>,
    max_object: AtomicU64,
    fill_readers: AtomicUsize,
    /// In milliseconds.
    live_reserve: AtomicU64,
    /// In milliseconds.
    apart_for: AtomicU64,
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Parts {
    pub fn new(
        config: CacheConfig,
        bells: Arc<Bells>,
        clock: Clock,
        disk: Option<&SpillConfig>,
    ) -> Result<Arc<Self>, SpillError> {
        let memory = Memory::new(config.memory);
        let spill = disk.map(|disk| Spill::open(disk, &memory, &clock)).transpose()?;
        Ok(Self::over(config, (bells, clock), memory, spill))
    }

    pub(super) fn over(
        config: CacheConfig,
        (bells, clock): (Arc<Bells>, Clock),
        memory: Arc<Memory>,
        spill: Option<Arc<Spill>>,
    ) -> Arc<Self> {
        let purges = Arc::new(Purges::default());
        if let Some(spill) = &spill {
            spill.each_key(|key| purges.note(key));
        }
        Arc::new(Self {
            store: Store::new(memory.clone(), purges.clone(), spill.clone()),
            spill,
            memory,
            flights: Flights::new(SHARDS),
            apart: Apart::default(),
            permits: Permits::new(config.fills_per_group),
            bells,
            clock,
            purges,
            max_object: AtomicU64::new(config.largest()),
            fill_readers: AtomicUsize::new(config.fill_readers),
            live_reserve: AtomicU64::new(millis(config.live_reserve)),
            apart_for: AtomicU64::new(millis(config.apart)),
        })
    }

    pub fn reconfigure(&self, config: CacheConfig) {
        self.max_object.store(config.largest(), Ordering::Relaxed);
        self.fill_readers.store(config.fill_readers, Ordering::Relaxed);
        self.live_reserve.store(millis(config.live_reserve), Ordering::Relaxed);
        self.apart_for.store(millis(config.apart), Ordering::Relaxed);
        self.permits.set_limit(config.fills_per_group);
        if self.memory.ceiling() != config.memory {
            self.memory.set_ceiling(config.memory);
            self.store.resize();
        }
    }

    pub fn max_object(&self) -> u64 {
        self.max_object.load(Ordering::Relaxed)
    }

    pub fn live_reserve(&self) -> Duration {
        Duration::from_millis(self.live_reserve.load(Ordering::Relaxed))
    }

    /// From now on nobody waits for another's fill under `key`, for a while.
    pub fn set_apart(&self, key: &Key) {
        let now = self.clock.now();
        self.apart.set(key, now, now + Duration::from_millis(self.apart_for.load(Ordering::Relaxed)));
    }

    pub fn reader_limit(&self) -> usize {
        self.fill_readers.load(Ordering::Relaxed)
    }

    /// Stores what a fill has become, near the live edge until the moment given, if any.
    pub fn keep(&self, fill: &Fill, object: &Arc<Object>, near_until: Option<Tick>) {
        let near_until = near_until.filter(|until| *until > self.clock.now());
        self.store.insert(&fill.key, object, (&fill.withdrawn, near_until));
        if let Some(spill) = &self.spill {
            spill.replaced(&fill.key, &object.head);
        }
    }

    /// Moves what is no longer near a live edge to what is let go first, and lets the system have what is free.
    pub fn run_pending(&self) {
        self.store.run_pending(self.clock.now());
        self.apart.sweep(self.clock.now());
        memory::give_back();
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
