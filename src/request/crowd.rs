//! Who plays here, and whether there is room for more: the living part of `rules::admission::capacity`.
//!
//! A viewer of a gated route is its session. One of an open route is the connection by which it asked for a multivariant
//! playlist; all that come from its address with its User-Agent are its group. It has a seat, and plays for as long as it
//! asks for anything within `viewer_idle`. Whoever comes back by another connection takes over a seat of its group that
//! has been quiet, so that a player that reconnects is not refused; and nothing below a multivariant playlist is refused
//! to a group that has a seat.
//!
//! Locks are taken in one order: the shard of a viewer, then the ledger.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use foldhash::quality::RandomState;
use parking_lot::Mutex;

use crate::clock::Tick;
use crate::config::{Capacity, Promise};
use crate::rules::admission::capacity::{Amounts, Gate, Resource, Spoken, Standing, Verdict};
use crate::rules::admission::load::Average;
use crate::rules::hls::ladder::Ladder;
use crate::telemetry::counters::{Counter, Sharded};

/// Shards of viewers; one of them is swept at a time.
const SHARDS: usize = 16;
/// A seat is quiet whose viewer has asked for nothing for so long: parts come more often.
const QUIET: Duration = Duration::from_secs(2);
/// Seats that are looked at for somebody who comes back.
const LOOKS: usize = 32;
/// What is older than this counts little in what is measured.
const AVERAGE: Duration = Duration::from_secs(1);

/// Who plays here.
pub struct Crowd {
    capacity: ArcSwapOption<Capacity>,
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
    known: AtomicUsize,
    next_sweep: AtomicUsize,
    ledger: Mutex<Ledger>,
    sent: Sharded<Counter>,
    admitted: AtomicU64,
    lowered: AtomicU64,
    refused: [AtomicU64; Resource::ALL.len()],
    /// Whether some are refused.
    pressed: AtomicBool,
}

/// Some of those who play.
#[derive(Default)]
struct Shard {
    seats: HashMap<u64, Seen, RandomState>,
    // Holds the seats above, and no others.
    groups: HashMap<u64, VecDeque<u64>, RandomState>,
}

/// What is known of a viewer.
struct Seen {
    group: u64,
    last: Tick,
    route: Arc<str>,
    /// What of egress it is taken to need, in bits per second.
    need: u64,
    ladder: Ladder,
}

/// What is measured, and what is spoken for.
#[derive(Default)]
struct Ledger {
    gate: Gate,
    used: Amounts,
    average: Option<Average>,
    /// Octets sent, when that was last looked at.
    looked: (u64, Tick),
    committed: u64,
    // Holds no more entries than there have been routes.
    routes: BTreeMap<Arc<str>, Room>,
}

/// Who plays on a route.
#[derive(Clone, Copy, Default)]
struct Room {
    viewers: u64,
    promise: Promise,
}

impl Room {
    /// What is promised to it and not taken up, in bits per second.
    fn vacant(&self) -> u64 {
        self.promise.viewers.saturating_sub(self.viewers).saturating_mul(self.promise.bit_rate.unwrap_or_default())
    }
}

/// A viewer who asks for something of a route.
pub struct Comer<'a> {
    /// Who it is, as far as that can be told.
    pub who: Who,
    /// The route.
    pub route: &'a Arc<str>,
    /// What is kept for the route.
    pub promise: Promise,
    /// Its tier.
    pub tier: Option<&'a str>,
}

/// Prints of who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Who {
    group: u64,
    seat: u64,
}

impl Who {
    /// What stands for its seat.
    pub const fn seat(self) -> u64 {
        self.seat
    }
}

/// What a request says of who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// It may be the first of a viewer.
    First,
    /// It may be the first of a viewer, unless others of its group play: what a multivariant playlist names.
    Below,
    /// It can only come from somebody who plays already, here or on another node.
    Playing,
    /// It says nothing: what a playlist names, and whatever is no stream.
    None,
}

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    /// What is used up.
    pub resource: Resource,
    /// When to come back.
    pub retry: Duration,
}

/// How full the node is.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// What is used of each resource, its bound, and how many ranks are let in.
    pub resources: Vec<(Resource, u64, Option<u64>, bool)>,
    /// Viewers who play.
    pub viewers: usize,
    /// What they may take by their routes' bit rates.
    pub committed: u64,
    /// What is promised to routes and not taken up.
    pub promised: u64,
    /// Viewers and promise of each route.
    pub routes: Vec<(Arc<str>, u64, u64)>,
    /// Viewers let in, and let in without the highest variants.
    pub admitted: (u64, u64),
    /// Refusals by what was used up, in the order of [`Resource::ALL`].
    pub refused: [u64; Resource::ALL.len()],
}

impl Crowd {
    /// Nobody plays. `workers` send to viewers.
    pub fn new(workers: usize, capacity: Option<&Capacity>) -> Self {
        Self {
            capacity: ArcSwapOption::from_pointee(capacity.cloned()),
            hasher: RandomState::default(),
            shards: Default::default(),
            known: AtomicUsize::new(0),
            next_sweep: AtomicUsize::new(0),
            ledger: Mutex::default(),
            sent: Sharded::new(workers),
            admitted: AtomicU64::new(0),
            lowered: AtomicU64::new(0),
            refused: Default::default(),
            pressed: AtomicBool::new(false),
        }
    }

    /// Follows a new configuration; who plays goes on.
    pub fn configure(&self, capacity: Option<&Capacity>, routes: impl Iterator<Item = (Arc<str>, Promise)>) {
        let old = self.capacity.load();
        if old.as_deref() != capacity {
            self.capacity.store(capacity.cloned().map(Arc::new));
        }
        let mut ledger = self.ledger.lock();
        ledger.routes.values_mut().for_each(|room| room.promise = Promise::default());
        for (name, promise) in routes {
            ledger.routes.entry(name).or_default().promise = promise;
        }
        ledger.routes.retain(|_, room| room.viewers > 0 || room.promise.viewers > 0);
    }

    /// Whether anybody is ever refused.
    pub fn is_bounded(&self) -> bool {
        self.capacity.load().is_some()
    }

    /// Whether the node has more to do than it can: some of those who would come are refused.
    pub fn is_pressed(&self) -> bool {
        self.pressed.load(Relaxed)
    }

    /// Who asks: all of a group are alike but for what tells their seats apart.
    pub fn who(&self, group: impl Hash, seat: impl Hash) -> Who {
        let group = self.hasher.hash_one(group);
        // Seats are where their groups are.
        let seat = self.hasher.hash_one((group, seat)) / SHARDS as u64 * SHARDS as u64 + group % SHARDS as u64;
        Who { group, seat }
    }

    /// Octets were sent to a viewer.
    pub fn sent(&self, octets: u64) {
        self.sent.mine().add(octets);
    }

    /// Lets somebody in who asks at `now`, or lets them play on. `sign` is asked where they have no seat.
    ///
    /// # Errors
    /// There is no room for them. Never for those who play.
    pub fn enter(&self, comer: &Comer<'_>, now: Tick, sign: impl FnOnce() -> Sign) -> Result<Ladder, Full> {
        let capacity = self.capacity.load();
        let Some(capacity) = capacity.as_ref() else { return Ok(Ladder::Whole) };
        let mut shard = self.shard(comer.who.seat).lock();
        if let Some(seen) = shard.seats.get_mut(&comer.who.seat) {
            seen.last = seen.last.max(now);
            return Ok(seen.ladder);
        }
        let standing = match sign() {
            Sign::None => return Ok(Ladder::Whole),
            // Another connection of somebody who has a seat, as far as can be told.
            Sign::Below | Sign::Playing if shard.groups.contains_key(&comer.who.group) => return Ok(Ladder::Whole),
            Sign::Playing => Standing::Playing,
            Sign::First | Sign::Below => Standing::New,
        };
        let is_full = self.known.load(Relaxed) >= capacity.viewers;
        let mut ledger = self.ledger.lock();
        let verdict = match standing {
            Standing::New if is_full => Verdict::Refuse(Resource::Memory),
            standing => ledger.judge(capacity, comer, standing),
        };
        let need = comer.promise.bit_rate.unwrap_or_default();
        let (ladder, need) = match verdict {
            Verdict::Refuse(resource) => {
                return shard.take_over(comer.who, now).ok_or_else(|| {
                    self.refused[resource as usize].fetch_add(1, Relaxed);
                    Full { resource, retry: capacity.retry_after }
                });
            }
            Verdict::Lower => (Ladder::Lower, need / 2),
            Verdict::Admit => (Ladder::Whole, need),
        };
        let counted = if ladder == Ladder::Whole { &self.admitted } else { &self.lowered };
        counted.fetch_add(1, Relaxed);
        if !is_full {
            ledger.take(comer, need);
            self.known.fetch_add(1, Relaxed);
            shard.sit(comer, Seen { group: comer.who.group, last: now, route: comer.route.clone(), need, ladder });
        }
        Ok(ladder)
    }

    /// Somebody was being sent something until now.
    pub fn touch(&self, seat: u64, now: Tick) {
        if let Some(seen) = self.shard(seat).lock().seats.get_mut(&seat) {
            seen.last = seen.last.max(now);
        }
    }

    /// Takes on what was measured, and forgets some of those who have left. To be called again and again; `used` has no
    /// egress, which is counted here.
    pub fn measured(&self, used: Amounts, now: Tick) {
        let Some(capacity) = self.capacity.load_full() else { return };
        self.sweep(&capacity, now);
        let sent = self.sent.all().map(Counter::value).sum::<u64>();
        let mut ledger = self.ledger.lock();
        let (before, at) = std::mem::replace(&mut ledger.looked, (sent, now));
        let average = ledger.average.unwrap_or(Average::over(AVERAGE));
        let average = average.with(sent.saturating_sub(before), now.since(at));
        ledger.average = Some(average);
        ledger.used = used;
        ledger.used[Resource::Egress as usize] = average.bits();
        ledger.gate = ledger.gate.measured(&capacity.rule, &ledger.used);
        let lowest = capacity.rule.ranks() - 1;
        let is_open = |resource: Resource| ledger.gate.is_open(resource, lowest);
        self.pressed.store(!Resource::ALL.into_iter().all(is_open), Relaxed);
    }

    /// Forgets those of one shard who have left.
    fn sweep(&self, capacity: &Capacity, now: Tick) {
        let index = self.next_sweep.fetch_add(1, Relaxed) % SHARDS;
        let mut shard = self.shards[index].lock();
        let gone = shard.sweep(|seen| now < seen.last + capacity.viewer_idle);
        self.known.fetch_sub(gone.len(), Relaxed);
        let mut ledger = self.ledger.lock();
        gone.iter().for_each(|seen| ledger.give_back(&seen.route, seen.need));
    }

    /// How full the node is.
    pub fn figures(&self) -> Option<Figures> {
        let capacity = self.capacity.load_full()?;
        let ledger = self.ledger.lock();
        let lowest = capacity.rule.ranks() - 1;
        let of = |resource: Resource| {
            let (used, bound) = (ledger.used[resource as usize], capacity.rule.bounds[resource as usize]);
            (resource, used, bound, ledger.gate.is_open(resource, lowest))
        };
        Some(Figures {
            resources: Resource::ALL.into_iter().map(of).collect(),
            viewers: self.known.load(Relaxed),
            committed: ledger.committed,
            promised: ledger.promised(),
            routes: ledger
                .routes
                .iter()
                .map(|(name, room)| (name.clone(), room.viewers, room.promise.viewers))
                .collect(),
            admitted: (self.admitted.load(Relaxed), self.lowered.load(Relaxed)),
            refused: std::array::from_fn(|index| self.refused[index].load(Relaxed)),
        })
    }

    fn shard(&self, seat: u64) -> &Mutex<Shard> {
        &self.shards[seat as usize % SHARDS]
    }
}

impl Shard {
    fn sit(&mut self, comer: &Comer<'_>, seen: Seen) {
        self.groups.entry(seen.group).or_default().push_back(comer.who.seat);
        self.seats.insert(comer.who.seat, seen);
    }

    /// Gives a seat of the group that has been quiet to somebody who comes back. A few are looked at, others the next
    /// time.
    fn take_over(&mut self, who: Who, now: Tick) -> Option<Ladder> {
        let group = self.groups.get_mut(&who.group)?;
        for _ in 0..group.len().min(LOOKS) {
            let seat = group.pop_front()?;
            let is_quiet = self.seats.get(&seat).is_some_and(|seen| now >= seen.last + QUIET);
            if !is_quiet {
                group.push_back(seat);
                continue;
            }
            group.push_back(who.seat);
            let seen = Seen { last: now, ..self.seats.remove(&seat)? };
            let ladder = seen.ladder;
            self.seats.insert(who.seat, seen);
            return Some(ladder);
        }
        None
    }

    /// Those who do not stay.
    fn sweep(&mut self, stays: impl Fn(&Seen) -> bool) -> Vec<Seen> {
        let gone: Vec<Seen> = self.seats.extract_if(|_, seen| !stays(seen)).map(|(_, seen)| seen).collect();
        for left in &gone {
            if let Some(group) = self.groups.get_mut(&left.group) {
                group.retain(|seat| self.seats.contains_key(seat));
                if group.is_empty() {
                    self.groups.remove(&left.group);
                }
            }
        }
        gone
    }
}

impl Ledger {
    fn promised(&self) -> u64 {
        self.routes.values().map(Room::vacant).fold(0, u64::saturating_add)
    }

    fn judge(&self, capacity: &Capacity, comer: &Comer<'_>, standing: Standing) -> Verdict {
        let within = self.routes.get(comer.route).is_some_and(|room| room.viewers < room.promise.viewers);
        let standing = if standing == Standing::New && within { Standing::Promised } else { standing };
        let measured = self.used[Resource::Egress as usize];
        let spoken = Spoken { measured, committed: self.committed, promised: self.promised() };
        let who = (standing, capacity.rank(comer.tier));
        capacity.rule.judge(&self.gate, who, spoken, comer.promise.bit_rate.unwrap_or_default())
    }

    fn take(&mut self, comer: &Comer<'_>, need: u64) {
        self.committed = self.committed.saturating_add(need);
        let room = self.routes.entry(comer.route.clone()).or_default();
        room.viewers += 1;
        room.promise = comer.promise;
    }

    fn give_back(&mut self, route: &Arc<str>, need: u64) {
        self.committed = self.committed.saturating_sub(need);
        if let Some(room) = self.routes.get_mut(route) {
            room.viewers = room.viewers.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests;
