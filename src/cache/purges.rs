//! Purges of what is stored and of what arrives.
//!
//! A purge is in force the moment it is entered: whoever looks passes over what it covers, in memory and on disk, while
//! the sweep gives the memory back without ever holding a lock for long. It is answered when the sweep is through, and
//! then there is nothing left that it covers: what was asked for before is withdrawn and never stored. One purge is in
//! force at a time; the next waits for its turn.
//!
//! What was being stored in the moment of the withdrawal is stored before the sweep begins; what is asked for later is
//! asked for by those who see the purge in force, as they take the lock of the table of flights after it was cleared. So
//! no time is left in which anything from before could slip past both.
//!
//! Objects that are named go without a sweep: all that there is of a key goes in one step, between two who ask for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use parking_lot::{Mutex, MutexGuard};

use crate::clock::{Clock, Tick};
use crate::rules::caching::Key;
use crate::rules::caching::purge::{Labels, Mode, Selector};

use super::object::{Object, ResponseHead};

/// Up to so many generations of a name are looked up one by one; beyond, everything is walked through.
pub(super) const GENERATIONS: u32 = 64;

/// What was let go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Objects.
    pub objects: u64,
    /// What they took, in bytes.
    pub bytes: u64,
}

impl Removed {
    /// Counts further ones in.
    pub(super) fn add(&mut self, other: Self) {
        self.objects += other.objects;
        self.bytes += other.bytes;
    }
}

/// What a purge came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// In memory: gone where the purge is hard, stale from now on where it is soft.
    pub memory: Removed,
    /// Fetches in progress that nobody joins any more, and that are not stored.
    pub fills: u64,
    /// On the disk; `None`: there is none.
    pub disk: Option<Removed>,
}

/// What a purge does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// It purges.
    Purge(Mode),
    /// It only counts what it would purge; what lies on the disk is left out.
    Count,
}

/// A purge whose sweep is on its way.
pub(super) struct InForce {
    pub selector: Selector,
    pub mode: Mode,
    /// What it makes stale is so since then.
    pub at: Tick,
    /// What was received later is not covered; `None`: all is, for what was asked for before is still being withdrawn.
    pub until: Option<Tick>,
}

impl InForce {
    pub fn covers(&self, key: &Key, head: &ResponseHead) -> bool {
        self.until.is_none_or(|until| head.lifetime.responded() <= until)
            && self.selector.covers_response(key, &head.headers)
    }
}

/// What the purge in force says of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Good,
    Gone,
    /// Stale since then.
    Outdated(Tick),
}

/// How often was purged, and what went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Hard purges.
    pub hard: u64,
    /// Soft purges.
    pub soft: u64,
    /// Objects in memory.
    pub objects: u64,
    /// Fetches in progress.
    pub fills: u64,
    /// Objects on the disk.
    pub disk: u64,
}

/// Purges of one cache.
#[derive(Default)]
pub(super) struct Purges {
    /// Spares lookups the look at the purge where there is none.
    some: AtomicBool,
    in_force: ArcSwapOption<InForce>,
    turn: Mutex<()>,
    /// The highest generation under which anything was stored or fetched.
    generations: AtomicU32,
    ordered: AtomicU64,
    counts: [AtomicU64; 5],
}

/// The turn of one purge: it is in force until this is dropped.
pub(super) struct Turn<'a> {
    purges: &'a Purges,
    pub purge: Arc<InForce>,
    _alone: MutexGuard<'a, ()>,
}

impl Purges {
    /// A key is in use.
    pub fn note(&self, key: &Key) {
        let generation = key.generation();
        if generation > self.generations.load(Ordering::Acquire) {
            self.generations.fetch_max(generation, Ordering::SeqCst);
        }
    }

    /// A name in every generation that anything was stored or fetched under; `None` where these are too many.
    pub fn generations(&self, name: &Key) -> Option<impl Iterator<Item = Key>> {
        let highest = self.generations.load(Ordering::SeqCst);
        (highest <= GENERATIONS).then(|| (0..=highest).map(|generation| name.in_generation(generation)))
    }

    /// A purge begins: said before it looks at anything.
    pub fn order(&self) {
        self.ordered.fetch_add(1, Ordering::SeqCst);
    }

    /// How many purges have begun.
    pub fn ordered(&self) -> u64 {
        self.ordered.load(Ordering::SeqCst)
    }

    /// From now on a purge is in force, once those before it are through.
    pub fn enter(&self, selector: Selector, mode: Mode, clock: &Clock) -> Turn<'_> {
        let alone = self.turn.lock();
        let purge = Arc::new(InForce { selector, mode, at: clock.now(), until: None });
        self.in_force.store(Some(purge.clone()));
        self.some.store(true, Ordering::SeqCst);
        Turn { purges: self, purge, _alone: alone }
    }

    /// What the purge in force says of an object with this head.
    pub fn standing(&self, key: &Key, head: &ResponseHead) -> Standing {
        if !self.some.load(Ordering::Relaxed) {
            return Standing::Good;
        }
        match &*self.in_force.load() {
            Some(purge) if purge.covers(key, head) => match purge.mode {
                Mode::Hard => Standing::Gone,
                Mode::Soft => Standing::Outdated(purge.at),
            },
            Some(_) | None => Standing::Good,
        }
    }

    /// Whether something on disk is passed over for the purge in force. That takes all of it out, whenever it came.
    pub fn pass_over(&self, labels: &Labels<'_>) -> bool {
        self.some.load(Ordering::Relaxed) && self.in_force.load().as_ref().is_some_and(|it| it.selector.covers(labels))
    }

    /// The purge in force, as far as it covers a key; for explanations.
    pub fn in_force(&self, key: &Key) -> Option<Mode> {
        self.in_force.load().as_ref().filter(|purge| purge.selector.may_cover(key)).map(|purge| purge.mode)
    }

    pub fn count(&self, mode: Mode, purged: &Purged) {
        let hard = u64::from(mode == Mode::Hard);
        let disk = purged.disk.unwrap_or_default().objects;
        let more = [hard, 1 - hard, purged.memory.objects, purged.fills, disk];
        for (count, more) in self.counts.iter().zip(more) {
            count.fetch_add(more, Ordering::Relaxed);
        }
    }

    pub fn tally(&self) -> Tally {
        let [hard, soft, objects, fills, disk] =
            std::array::from_fn(|index| self.counts[index].load(Ordering::Relaxed));
        Tally { hard, soft, objects, fills, disk }
    }
}

impl Turn<'_> {
    /// The fills that were asked for before are withdrawn: what was received until now is covered. What had been asked
    /// for and was stored just before its fill would have been withdrawn is among that. Until this is said nobody may
    /// take it for something new: by asking whether it still holds, it would be made so.
    pub fn withdrawn(&mut self, clock: &Clock) {
        let (InForce { selector, mode, .. }, at) = (&*self.purge, clock.now());
        self.purge = Arc::new(InForce { selector: selector.clone(), mode: *mode, at, until: Some(at) });
        self.purges.in_force.store(Some(self.purge.clone()));
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.purges.some.store(false, Ordering::SeqCst);
        self.purges.in_force.store(None);
    }
}

/// What of a key's variants is covered, and what is left of it.
pub(super) struct Split {
    pub covered: Removed,
    /// What stays: as it was, or stale where the purge is soft.
    pub rest: Vec<Arc<Object>>,
}

impl Split {
    pub fn of(variants: &[Arc<Object>], covers: impl Fn(&Object) -> bool, soft: Option<Tick>) -> Self {
        let mut split = Self { covered: Removed::default(), rest: Vec::new() };
        for object in variants {
            // What an earlier purge made stale is stale already.
            if !covers(object) || soft.is_some() && object.head.lifetime.is_outdated() {
                split.rest.push(object.clone());
                continue;
            }
            split.covered.add(Removed { objects: 1, bytes: object.weight() });
            split.rest.extend(soft.map(|at| object.outdated(at)));
        }
        split
    }
}
