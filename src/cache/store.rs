//! Bounded memory of objects. moka says what is let go (least recently used first), never for how long a thing lives.
//! What is near the edge of a live stream stands beside moka while it is, and is let go last of all.
//!
//! One key holds a few variants. moka frees what it removed at a later time of its own; so each entry is emptied by
//! hand when it goes, and its memory is given back at once, save what somebody still reads. Beside moka stands a queue
//! in the order of insertion, by which room is made at once when the ceiling is near.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use arc_swap::{ArcSwap, ArcSwapOption};
use http::HeaderMap;
use moka::notification::RemovalCause;
use moka::policy::EvictionPolicy;

use crate::clock::Tick;
use crate::rules::caching::purge::Mode;
use crate::rules::caching::{Key, vary};

use super::memory::{Charge, Kind, Memory};
use super::near::{Near, Order};
use super::object::Object;
use super::purges::{Act, InForce, Purges, Removed, Split, Standing};
use super::spill::Spill;
use super::sync::{Mutex, MutexGuard};

/// Variants kept of one key; the oldest goes.
const VARIANTS: usize = 32;

/// What an entry takes beside key and objects: moka's node and queues, the entry, its place in our queue.
const ENTRY: u64 = 512;

/// moka weighs in units of this many bytes, as its weights are 32 bits wide.
const UNIT: u64 = 64;

/// Stale places that the queue may hold beside the living.
const SLACK: usize = 1_024;

type Moka = moka::sync::Cache<Key, Arc<Entry>, foldhash::quality::RandomState>;

/// Complete objects by key.
pub(super) struct Store {
    moka: ArcSwap<Moka>,
    near: Near<Entry>,
    memory: Arc<Memory>,
    purges: Arc<Purges>,
    stored: Arc<AtomicU64>,
    ledger: Mutex<Ledger>,
    spill: Option<Arc<Spill>>,
}

#[derive(Default)]
struct Ledger {
    queue: VecDeque<(Key, Weak<Entry>)>,
    near: Order<Entry>,
    /// Bytes inserted since moka was last made to do its housekeeping.
    inserted: u64,
}

struct Entry {
    /// Newest first; `None` once the entry was let go.
    variants: ArcSwapOption<Vec<Arc<Object>>>,
    /// Read since the queue last passed it.
    used: AtomicBool,
    weight: u64,
    stored: Arc<AtomicU64>,
    _charge: Charge,
}

impl Entry {
    fn empty(&self) -> Option<Arc<Vec<Arc<Object>>>> {
        let variants = self.variants.swap(None)?;
        self.stored.fetch_sub(self.weight, Ordering::Relaxed);
        Some(variants)
    }

    fn is_empty(&self) -> bool {
        self.variants.load().is_none()
    }

    fn is_read(&self) -> bool {
        let variants = self.variants.load();
        variants.as_ref().is_some_and(|variants| variants.iter().any(|object| Arc::strong_count(object) > 1))
    }
}

/// Lets go of an entry for want of room, to disk where there is one: the one way in which memory evicts. What is
/// replaced or purged goes by [`Entry::empty`] alone.
fn evict(key: &Key, entry: &Entry, spill: Option<&Arc<Spill>>) {
    let gate = spill.map(|spill| (spill, spill.gate()));
    if let (Some(objects), Some((spill, gate))) = (entry.empty(), gate) {
        spill.offer(gate, key, &objects);
    }
}

/// What moka may hold: the rest of the ceiling is for fills, heads, index, and what is evicted but still being read.
const fn share(ceiling: u64) -> u64 {
    ceiling / 4 * 3
}

fn moka(ceiling: u64, spill: Option<Arc<Spill>>) -> Moka {
    moka::sync::Cache::builder()
        .max_capacity(share(ceiling) / UNIT)
        .eviction_policy(EvictionPolicy::lru())
        .weigher(|_, entry: &Arc<Entry>| u32::try_from(entry.weight.div_ceil(UNIT)).unwrap_or(u32::MAX))
        .eviction_listener(move |key, entry, cause| match cause {
            RemovalCause::Size | RemovalCause::Expired => evict(&key, &entry, spill.as_ref()),
            RemovalCause::Explicit | RemovalCause::Replaced => _ = entry.empty(),
        })
        .build_with_hasher(foldhash::quality::RandomState::default())
}

impl Store {
    pub fn new(memory: Arc<Memory>, purges: Arc<Purges>, spill: Option<Arc<Spill>>) -> Self {
        Self {
            moka: ArcSwap::from_pointee(moka(memory.ceiling(), spill.clone())),
            near: Near::default(),
            memory,
            purges,
            stored: Arc::default(),
            ledger: Mutex::default(),
            spill,
        }
    }

    /// The newest object under `key` whose variant fits `request` (RFC 9111 §4.1).
    pub fn find(&self, key: &Key, request: &HeaderMap) -> Option<Arc<Object>> {
        let entry = self.entry_of(key)?;
        let variants = entry.variants.load();
        let variants = variants.as_ref()?;
        let found = match variants.as_slice() {
            [only] => Some(only).filter(|object| object.head.variant.matches(request)),
            several => {
                let made = several.iter().map(|object| (&object.head.variant, object.head.validators.dated()));
                vary::select(made, request).map(|index| &several[index])
            }
        }?;
        // Looked at before it is written: the line stays shared among workers.
        if !entry.used.load(Ordering::Relaxed) {
            entry.used.store(true, Ordering::Relaxed);
        }
        Some(found.clone())
    }

    /// All objects under `key`, the newest first.
    pub fn variants(&self, key: &Key) -> Vec<Arc<Object>> {
        let entry = self.entry_of(key);
        entry.and_then(|entry| entry.variants.load_full()).map(|variants| variants.to_vec()).unwrap_or_default()
    }

    /// Lets go of everything under `key`, as if nobody had ever stored it.
    #[cfg(test)]
    pub fn remove(&self, key: &Key) {
        self.purge_key(key, |_| true, (Act::Purge(Mode::Hard), Tick::default()));
    }

    /// Whether what is stored under `key` is near a live edge.
    pub fn is_near(&self, key: &Key) -> bool {
        self.near.get(key).is_some()
    }

    fn entry_of(&self, key: &Key) -> Option<Arc<Entry>> {
        self.near.get(key).or_else(|| self.moka.load().get(key))
    }

    /// Stores an object in place of its variant's last one, unless `withdrawn` says that it was purged meanwhile. It
    /// is let go after everything else while it is near a live edge.
    pub fn insert(&self, key: &Key, object: &Arc<Object>, (withdrawn, near_until): (&AtomicBool, Option<Tick>)) {
        let ledger = self.ledger.lock();
        if !withdrawn.load(Ordering::SeqCst) {
            self.put(ledger, key, (object, near_until));
        }
    }

    /// Does something once all is stored that was let in before, and before anything else is.
    pub fn between_insertions<R>(&self, act: impl FnOnce() -> R) -> R {
        let _alone = self.ledger.lock();
        act()
    }

    /// Stores `new` in place of `old`, if that is still what is stored, and no purge in force covers it.
    pub fn replace(&self, key: &Key, old: &Arc<Object>, new: &Arc<Object>) {
        let ledger = self.ledger.lock();
        if self.purges.standing(key, &old.head) != Standing::Good {
            return;
        }
        let entry = self.entry_of(key);
        let variants = entry.and_then(|entry| entry.variants.load_full());
        if variants.is_some_and(|variants| variants.iter().any(|one| Arc::ptr_eq(one, old))) {
            self.put(ledger, key, (new, None));
        }
    }

    fn put(&self, mut ledger: MutexGuard<'_, Ledger>, key: &Key, (object, near_until): (&Arc<Object>, Option<Tick>)) {
        let moka = self.moka.load_full();
        let old = self.entry_of(key);
        let mut variants = vec![object.clone()];
        if let Some(others) = old.as_ref().and_then(|entry| entry.variants.load_full()) {
            let stays = |other: &Arc<Object>| self.purges.standing(key, &other.head) == Standing::Good;
            let others = others.iter().filter(|other| other.head.variant != object.head.variant && stays(other));
            variants.extend(others.take(VARIANTS - 1).cloned());
        }
        let entry = self.entry(key, variants);
        match near_until {
            Some(until) => {
                self.near.insert(key, entry.clone());
                moka.invalidate(key);
                ledger.near.enter(until, key, &entry);
            }
            None => {
                moka.insert(key.clone(), entry.clone());
                self.near.remove(key);
                ledger.queue.push_back((key.clone(), Arc::downgrade(&entry)));
            }
        }
        if let Some(old) = old {
            old.empty();
        }
        ledger.prune(usize::try_from(moka.entry_count()).unwrap_or(usize::MAX));
        ledger.inserted += entry.weight;
        if ledger.inserted >= self.memory.ceiling() / 50 {
            ledger.inserted = 0;
            drop(ledger);
            moka.run_pending_tasks();
        }
    }

    fn entry(&self, key: &Key, variants: Vec<Arc<Object>>) -> Arc<Entry> {
        let index = ENTRY + key.as_str().len() as u64;
        let weight = index + variants.iter().map(|object| object.weight()).sum::<u64>();
        self.stored.fetch_add(weight, Ordering::Relaxed);
        Arc::new(Entry {
            variants: ArcSwapOption::from_pointee(variants),
            used: AtomicBool::new(false),
            weight,
            stored: self.stored.clone(),
            _charge: self.memory.charge(Kind::Index, index),
        })
    }

    /// Purges what is stored under `key` of what `covers`.
    pub fn purge_key(&self, key: &Key, covers: impl Fn(&Object) -> bool, act: (Act, Tick)) -> Removed {
        let _alone = self.ledger.lock();
        let moka = self.moka.load();
        let mut removed = Removed::default();
        for entry in [self.near.get(key), moka.get(key)].into_iter().flatten() {
            let Some(variants) = entry.variants.load_full() else { continue };
            let soft = (act.0 == Act::Purge(Mode::Soft)).then_some(act.1);
            let Split { covered, rest } = Split::of(&variants, &covers, soft);
            if covered.objects == 0 {
                continue;
            }
            removed.add(covered);
            if act.0 == Act::Count {
                continue;
            }
            if rest.is_empty() {
                self.near.remove(key);
                moka.invalidate(key);
                entry.empty();
            } else {
                // An entry that moka has emptied meanwhile stays so. It weighs what it did: too much, until it goes.
                let rest = Arc::new(rest);
                entry.variants.rcu(|now| now.as_ref().map(|_| rest.clone()));
            }
        }
        removed
    }

    /// Purges everything that `purge` covers and that was stored before. The lock is held for one entry at a time.
    pub fn sweep(&self, purge: &InForce, act: Act) -> Removed {
        let mut removed = Removed::default();
        let mut look = |key: &Key, entry: &Entry| {
            let covers = |object: &Object| purge.covers(key, &object.head);
            let variants = entry.variants.load();
            if variants.as_ref().is_some_and(|variants| variants.iter().any(|object| covers(object))) {
                drop(variants);
                removed.add(self.purge_key(key, covers, (act, purge.at)));
            }
        };
        // Near ones first: what ceases to be near meanwhile is found among the others.
        self.near.all().for_each(|(key, entry)| look(&key, &entry));
        let moka = self.moka.load_full();
        moka.iter().for_each(|(key, entry)| look(&key, &entry));
        moka.run_pending_tasks();
        removed
    }

    /// Lets go of stored objects until `bytes` more fit below the ceiling: oldest first, sparing once what was read
    /// since, and what is near a live edge only where there is nothing else. Frees nothing and says `false` where all that could go would not be enough.
    pub fn make_room(&self, bytes: u64) -> bool {
        let mut ledger = self.ledger.lock();
        let fits = |total: u64| total.saturating_add(bytes) <= self.memory.ceiling();
        if !fits(self.memory.total().saturating_sub(self.stored.load(Ordering::Relaxed))) {
            return false;
        }
        let moka = self.moka.load_full();
        for _ in 0..2 * ledger.queue.len() {
            if fits(self.memory.total()) {
                break;
            }
            let Some((key, place)) = ledger.queue.pop_front() else { break };
            let Some(entry) = place.upgrade().filter(|entry| !entry.is_empty()) else { continue };
            // What is being read would give nothing back yet.
            if entry.used.swap(false, Ordering::Relaxed) || entry.is_read() {
                ledger.queue.push_back((key, place));
                continue;
            }
            evict(&key, &entry, self.spill.as_ref());
            moka.invalidate(&key);
        }
        let may_go = |place: &Weak<Entry>| place.upgrade().is_none_or(|entry| entry.is_empty() || !entry.is_read());
        while !fits(self.memory.total())
            && let Some((key, place)) = ledger.near.pop_where(may_go)
        {
            let Some(entry) = place.upgrade().filter(|entry| !entry.is_empty()) else { continue };
            evict(&key, &entry, self.spill.as_ref());
            self.near.remove(&key);
        }
        drop(ledger);
        if !fits(self.memory.total()) {
            // What moka was told to let go still counts in the index until its housekeeping has run.
            moka.run_pending_tasks();
        }
        fits(self.memory.total())
    }

    /// Takes on a changed ceiling of the accountant. moka cannot be resized, so its entries move to a new one.
    pub fn resize(&self) {
        let ledger = self.ledger.lock();
        let resized = moka(self.memory.ceiling(), self.spill.clone());
        for (key, place) in &ledger.queue {
            if let Some(entry) = place.upgrade().filter(|entry| !entry.is_empty()) {
                resized.insert(key.clone(), entry);
            }
        }
        resized.run_pending_tasks();
        self.moka.store(Arc::new(resized));
    }

    /// Puts what is no longer near a live edge among all others; and moka's housekeeping, which otherwise waits for
    /// calls.
    pub fn run_pending(&self, now: Tick) {
        let moka = self.moka.load_full();
        let mut ledger = self.ledger.lock();
        while let Some((key, place)) = ledger.near.pop(now) {
            let Some(entry) = place.upgrade().filter(|entry| !entry.is_empty()) else { continue };
            moka.insert(key.clone(), entry);
            self.near.remove(&key);
            ledger.queue.push_back((key, place));
        }
        drop(ledger);
        moka.run_pending_tasks();
    }

    pub fn objects(&self) -> u64 {
        self.moka.load().entry_count() + self.near.count() as u64
    }
}

impl Ledger {
    /// Drops places of entries that moka let go: those in front at each call, all of them where they outnumber the rest.
    fn prune(&mut self, living: usize) {
        let lives = |place: &Weak<Entry>| place.upgrade().is_some_and(|entry| !entry.is_empty());
        while self.queue.front().is_some_and(|(_, place)| !lives(place)) {
            self.queue.pop_front();
        }
        if self.queue.len() > 2 * living + SLACK {
            self.queue.retain(|(_, place)| lives(place));
        }
    }
}
