//! What was fetched, and what is being fetched: lookup → `Hit`, `Stale`, `Join`, or `Lead` (the caller that must fetch).
//!
//! A fill is one fetch that any number of readers follow while it arrives; complete, it becomes an immutable `Object`
//! in the store. One accountant keeps bodies, heads, index and fills below a ceiling. Lifetimes are the caller's:
//! the store never expires anything.

mod apart;
mod arrival;
mod audience;
pub mod bells;
mod failure;
mod fill;
mod flights;
mod inspect;
mod memory;
mod near;
mod object;
mod parts;
mod permits;
mod purges;
pub mod spill;
mod store;
mod sync;
#[cfg(test)]
mod tests;
mod waiting;
mod writer;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::HeaderMap;

use crate::clock::{Clock, Tick};
use crate::rules::caching::purge::{Mode, Selector};
use crate::rules::caching::{Freshness, Key};

pub use bells::Bells;
pub use failure::{FillEnd, FillFailure, Refused};
pub use fill::{FillAnswer, FillReader, Lead, Transmission};
pub use inspect::{Filling, Held, Inspection};
pub use memory::Usage;
pub use object::{Object, ObjectReader, ResponseHead};
pub use purges::{Act, Purged, Removed, Tally};
pub use writer::{FillWriter, Sharing};

use fill::Fill;
use flights::Boarding;
use parts::Parts;
use purges::Standing;
use spill::{Spill, SpillConfig, SpillError};

/// The bounds of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheConfig {
    /// A hard ceiling for bodies, heads, index and fills, in bytes.
    pub memory: u64,
    /// Larger bodies pass through and are not stored, in bytes; so do those above half of `memory`.
    pub max_object: u64,
    /// Fills in progress for one origin group.
    pub fills_per_group: usize,
    /// Readers of one fill.
    pub fill_readers: usize,
    /// For how long what is near the edge of a live stream is let go after everything else.
    pub live_reserve: Duration,
    /// For how long nobody waits for another's fill under a key whose last response was for one reader alone.
    pub apart: Duration,
}

impl CacheConfig {
    /// The largest body that is stored: one that takes most of the memory would drive everything else out.
    fn largest(&self) -> u64 {
        self.max_object.min(self.memory / 2)
    }
}

/// Objects, and fills in progress.
pub struct Cache {
    parts: Arc<Parts>,
}

/// What became of a look into the cache.
pub enum Lookup {
    /// A stored object that is fresh for the time beside it.
    Hit(Arc<Object>, Duration),
    /// A stored object that must be validated first.
    Stale {
        /// What is stored.
        object: Arc<Object>,
        /// For how long it may still be sent at once, while it is validated; zero: not at all.
        while_asking: Duration,
        /// For how long it may still be sent where the origin cannot answer; zero: not at all.
        usable_for: Duration,
        /// Time since it became stale.
        age: Duration,
        /// Who validates it.
        flight: Flight,
    },
    /// Somebody fetches it already.
    Join(FillReader),
    /// The caller must fetch it.
    Lead(Lead),
    /// The last response was for one reader alone, and there is no place for another fill: the caller asks past the
    /// cache.
    Apart,
    /// A limit of the node leaves no place for the caller.
    Refused(Refused),
}

/// Who validates a stale object.
pub enum Flight {
    /// Somebody does so already.
    Join(FillReader),
    /// The caller must.
    Lead(Lead),
    /// A limit of the node leaves no place for the caller.
    Refused(Refused),
}

/// A stale object and what may be done with it.
struct Stale {
    object: Arc<Object>,
    while_asking: Duration,
    usable_for: Duration,
    age: Duration,
}

impl Cache {
    /// An empty cache. `bells` are the node's: readers are woken through them.
    pub fn new(config: CacheConfig, bells: Arc<Bells>, clock: Clock) -> Self {
        Self { parts: Parts::new(config, bells, clock, None).expect("nothing is opened without a disk") }
    }

    /// A cache with a disk under it, which is opened and read. Blocks while it is.
    ///
    /// # Errors
    /// Where the disk cannot be used.
    pub fn with_disk(
        config: CacheConfig,
        bells: Arc<Bells>,
        clock: Clock,
        disk: Option<&SpillConfig>,
    ) -> Result<Self, SpillError> {
        Ok(Self { parts: Parts::new(config, bells, clock, disk)? })
    }

    /// The disk under the memory, if there is one.
    pub fn spill(&self) -> Option<&Arc<Spill>> {
        self.parts.spill.as_ref()
    }

    /// What there is for a request with the fields `request`, and who fetches what there is not. Exactly one caller
    /// gets the lead of each flight. A flight whose head is still awaited is joined by every request: whoever joined
    /// compares `head.variant` with its request before it uses the response, and looks anew where it does not fit.
    pub fn lookup(&self, key: &Key, request: &HeaderMap, judge: impl Fn(&ResponseHead) -> Freshness) -> Lookup {
        let stale = match self.stored(key, request, &judge) {
            Ok((object, left)) => return Lookup::Hit(object, left),
            Err(stale) => stale,
        };
        let apart = self.parts.apart.holds(key, self.parts.clock.now());
        let join = |fill: &Arc<Fill>| if apart { None } else { fill.join(|variant| variant.matches(request)) };
        let lead = |stale: Option<Stale>| {
            let expected = stale.as_ref().map(|stale| stale.object.head.variant.clone());
            let lead = self.lead(key, expected);
            // Nobody joins it while the key is apart; a purge must find it all the same.
            let flight = lead.as_ref().ok().map(Lead::flight);
            ((stale, lead), flight)
        };
        let boarding = self.parts.flights.board(key, join, || self.stored(key, request, &judge), lead);
        let (stale, flight) = match boarding {
            Boarding::Stored((object, left)) => return Lookup::Hit(object, left),
            Boarding::Joined(joined) => (stale, joined.map_or_else(Flight::Refused, Flight::Join)),
            Boarding::Leads((stale, lead)) => (stale, lead.map_or_else(Flight::Refused, Flight::Lead)),
        };
        match (stale, flight) {
            (_, Flight::Refused(Refused::Fills)) if apart => Lookup::Apart,
            (Some(Stale { object, while_asking, usable_for, age }), flight) => {
                Lookup::Stale { object, while_asking, usable_for, age, flight }
            }
            (None, Flight::Join(reader)) => Lookup::Join(reader),
            (None, Flight::Lead(lead)) => Lookup::Lead(lead),
            (None, Flight::Refused(refused)) => Lookup::Refused(refused),
        }
    }

    /// A stored object that is fresh, and for how long; else one that is stale, if any.
    fn stored(
        &self,
        key: &Key,
        request: &HeaderMap,
        judge: impl Fn(&ResponseHead) -> Freshness,
    ) -> Result<(Arc<Object>, Duration), Option<Stale>> {
        let Some(object) = self.parts.store.find(key, request) else { return Err(None) };
        let freshness = match self.parts.purges.standing(key, &object.head) {
            Standing::Good => judge(&object.head),
            Standing::Gone => return Err(None),
            Standing::Outdated(at) => outdated(judge(&object.head), &object.head, (at, self.parts.clock.now())),
        };
        match freshness {
            Freshness::Fresh { left } => Ok((object, left)),
            Freshness::Stale { age, while_asking, usable_for } => {
                Err(Some(Stale { object, while_asking, usable_for, age }))
            }
            Freshness::Unusable => Err(None),
        }
    }

    /// Whether the origin group of `key` has less than half of its fills in progress, so that what nobody waits for may
    /// be fetched too.
    pub fn is_at_ease(&self, key: &Key) -> bool {
        self.parts.permits.is_at_ease(group(key))
    }

    fn lead(&self, key: &Key, expected: Option<crate::rules::caching::Variant>) -> Result<Lead, Refused> {
        let permit = self.parts.permits.take(group(key)).ok_or(Refused::Fills)?;
        self.parts.purges.note(key);
        Ok(Lead::new(Fill::new(key.clone(), expected, self.parts.clone()), permit))
    }

    /// What is stored for a request with the fields `request`, without a word about using it.
    pub fn peek(&self, key: &Key, request: &HeaderMap) -> Option<Arc<Object>> {
        self.parts.store.find(key, request).filter(|object| self.is_there(key, object))
    }

    /// All that is stored under `key`, whatever requests it is for; the newest first.
    pub fn variants(&self, key: &Key) -> Vec<Arc<Object>> {
        let mut variants = self.parts.store.variants(key);
        variants.retain(|object| self.is_there(key, object));
        variants
    }

    /// Whether no purge in force wants an object gone: its sweep may not have come to it yet.
    fn is_there(&self, key: &Key, object: &Object) -> bool {
        self.parts.purges.standing(key, &object.head) != Standing::Gone
    }

    /// Puts `new` in the place of `old`, if that is still stored: the same response under a head of today.
    pub fn replace(&self, key: &Key, old: &Arc<Object>, new: &Arc<Object>) {
        self.parts.store.replace(key, old, new);
    }

    /// Lets go of everything under `key`, in every generation, in memory and on disk. What is arriving under it still
    /// reaches its readers, but is not stored and gets no further ones. Does not wait for the disk: a process that ends
    /// within the next moment may find it there again.
    pub fn remove(&self, key: &Key) {
        let (_, numbers) = self.let_go(&Selector::Objects(vec![key.clone()]), Act::Purge(Mode::Hard));
        self.parts.spill.iter().for_each(|spill| spill.bury_soon(&numbers));
    }

    /// Purges, or counts what a purge would cover. It is in force before anything is looked at, and when it returns
    /// nothing of it is left, in memory or on disk.
    pub fn purge(&self, selector: &Selector, act: Act) -> Purged {
        if let Act::Purge(_) = act {
            self.parts.purges.order();
        }
        let (purged, numbers) = self.let_go(selector, act);
        self.parts.spill.iter().for_each(|spill| spill.bury(&numbers));
        if let Act::Purge(mode) = act {
            self.parts.purges.count(mode, &purged);
        }
        purged
    }

    /// What was let go, and by which numbers the disk knows what of it must not come back.
    fn let_go(&self, selector: &Selector, act: Act) -> (Purged, Vec<u64>) {
        let named = match selector {
            Selector::Objects(keys) => self.purge_objects(keys, act),
            Selector::Prefix(..) | Selector::Stream(..) | Selector::Tag(_) | Selector::All => None,
        };
        named.unwrap_or_else(|| self.purge_by(selector, act))
    }

    /// Purges objects by their names, without a sweep; `None` where there are too many generations for that.
    fn purge_objects(&self, names: &[Key], act: Act) -> Option<(Purged, Vec<u64>)> {
        let parts = &self.parts;
        let keys: Vec<_> = names.iter().map(|name| parts.purges.generations(name)).collect::<Option<_>>()?;
        let (mut purged, mut numbers, now) = (Purged::default(), Vec::new(), parts.clock.now());
        for key in keys.into_iter().flatten() {
            if act == Act::Count {
                purged.fills += parts.flights.of(&key).len() as u64;
                purged.memory.add(parts.store.purge_key(&key, |_| true, (act, now)));
                continue;
            }
            // In one step: who came in between would be given what is stored still, and store it again.
            parts.flights.ground(&key, |fills| {
                purged.fills += withdraw(&fills);
                purged.memory.add(parts.store.purge_key(&key, |_| true, (act, now)));
                if let Some(spill) = &parts.spill {
                    let (taken, removed) = spill.take_out(&key);
                    numbers.extend(taken);
                    purged.disk.get_or_insert_default().add(removed);
                }
            });
        }
        Some((purged, numbers))
    }

    /// Purges whatever a selector covers, by a sweep.
    fn purge_by(&self, selector: &Selector, act: Act) -> (Purged, Vec<u64>) {
        let parts = &self.parts;
        let covers = |key: &Key, fill: &Fill| match fill.arrival.known_head() {
            Some(head) => selector.covers_response(key, &head.headers),
            // Its tags are not known yet, and it was asked for before.
            None => selector.may_cover(key),
        };
        let Act::Purge(mode) = act else {
            let fills = parts.flights.count_by(covers);
            let (selector, at) = (selector.clone(), parts.clock.now());
            let purge = purges::InForce { selector, mode: Mode::Hard, at, until: None };
            return (Purged { memory: parts.store.sweep(&purge, act), fills, disk: None }, Vec::new());
        };
        let mut turn = parts.purges.enter(selector.clone(), mode, &parts.clock);
        let fills = withdraw(&parts.flights.ground_by(covers));
        // What was let in before its fill was withdrawn is stored by now, and the sweep finds it.
        parts.store.between_insertions(|| turn.withdrawn(&parts.clock));
        let memory = parts.store.sweep(&turn.purge, act);
        let taken = parts.spill.as_ref().map(|spill| spill.take_out_where(&|labels| selector.covers(labels)));
        let (numbers, disk) = taken.unzip();
        (Purged { memory, fills, disk }, numbers.unwrap_or_default())
    }

    /// How many purges have begun. Who keeps what was asked for before it got the lead compares: a purge withdraws what is
    /// in flight, and this was not.
    pub fn purges_ordered(&self) -> u64 {
        self.parts.purges.ordered()
    }

    /// How often was purged, and what went.
    pub fn purges(&self) -> Tally {
        self.parts.purges.tally()
    }

    /// Takes on changed bounds; what is stored stays, as far as it fits.
    pub fn reconfigure(&self, config: CacheConfig) {
        self.parts.reconfigure(config);
    }

    /// The largest body that is stored, in bytes.
    pub fn max_object(&self) -> u64 {
        self.parts.max_object()
    }

    /// For how long what is near the edge of a live stream is let go after everything else.
    pub fn live_reserve(&self) -> Duration {
        self.parts.live_reserve()
    }

    /// What the cache holds, by kind.
    pub fn usage(&self) -> Usage {
        self.parts.memory.usage()
    }

    /// Readers of responses that are shared and still arriving.
    pub fn fill_readers(&self) -> usize {
        self.parts.flights.sum(|fill| fill.arrival.readers())
    }

    /// Keys with something stored, as of the last housekeeping.
    pub fn objects(&self) -> u64 {
        self.parts.store.objects()
    }

    /// Keys under which nobody waits for another's fill for now, as of the last housekeeping, and how many found no place
    /// among them.
    pub fn apart(&self) -> (usize, u64) {
        self.parts.apart.figures()
    }

    /// Housekeeping that must also happen while nobody asks: to be called about once a second.
    pub fn run_pending(&self) {
        self.parts.run_pending();
    }
}

/// The origin group of a key.
fn group(key: &Key) -> &str {
    key.as_str().split(' ').next().unwrap_or_default()
}

/// Keeps fills from being stored, and says how many that are. Set before the store is cleared, and read under the lock
/// under which it is filled: what was asked for before a purge is not stored after whoever clears it has had that lock.
fn withdraw(fills: &[Arc<Fill>]) -> u64 {
    fills.iter().for_each(|fill| fill.withdrawn.store(true, Ordering::SeqCst));
    fills.len() as u64
}

/// What is left of a judgement once a purge has made the object stale at `at`.
fn outdated(judged: Freshness, head: &ResponseHead, (at, now): (Tick, Tick)) -> Freshness {
    match judged {
        Freshness::Fresh { .. } => {
            let mut lifetime = head.lifetime;
            lifetime.outdate(at);
            lifetime.freshness(now)
        }
        Freshness::Stale { .. } | Freshness::Unusable => judged,
    }
}
