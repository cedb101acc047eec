//! The fills in progress, by key: request coalescing.
//!
//! A completed fill is stored first and leaves this table second. Whoever finds nothing stored and no flight looks into
//! the store once more, under the lock of the table, before it takes the lead: so there is no moment at which an object
//! is in neither, and exactly one caller leads each flight.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use super::sync::Mutex;

/// The flights of one key; more than one where their responses serve different requests.
type Flight<F> = Vec<Arc<F>>;
type Shard<K, F> = Mutex<HashMap<K, Flight<F>, foldhash::fast::RandomState>>;

/// Fills in progress.
pub(super) struct Flights<K, F> {
    shards: Box<[Shard<K, F>]>,
    hasher: foldhash::quality::RandomState,
}

/// What became of a caller.
pub(super) enum Boarding<J, S, L> {
    /// It joined a flight.
    Joined(J),
    /// What it wanted has been stored meanwhile.
    Stored(S),
    /// It leads a new flight.
    Leads(L),
}

impl<K: Hash + Eq + Clone, F> Flights<K, F> {
    /// A table of `shards` parts, each with a lock of its own.
    pub fn new(shards: usize) -> Self {
        let shard = || Mutex::new(HashMap::default());
        Self { shards: std::iter::repeat_with(shard).take(shards).collect(), hasher: Default::default() }
    }

    fn shard(&self, key: &K) -> &Shard<K, F> {
        let hash = self.hasher.hash_one(key) % self.shards.len() as u64;
        &self.shards[usize::try_from(hash).expect("less than the number of shards")]
    }

    /// Joins the first flight of `key` that `join` accepts, else takes what `stored` finds, else enters what `lead`
    /// makes, if anything, of what was missed. All three run under the lock of the table: they are short and touch no
    /// other flight.
    pub fn board<J, S, M, L>(
        &self,
        key: &K,
        join: impl Fn(&Arc<F>) -> Option<J>,
        stored: impl FnOnce() -> Result<S, M>,
        lead: impl FnOnce(M) -> (L, Option<Arc<F>>),
    ) -> Boarding<J, S, L> {
        let mut shard = self.shard(key).lock();
        if let Some(joined) = shard.get(key).and_then(|flights| flights.iter().find_map(join)) {
            return Boarding::Joined(joined);
        }
        let missed = match stored() {
            Ok(stored) => return Boarding::Stored(stored),
            Err(missed) => missed,
        };
        let (leads, flight) = lead(missed);
        if let Some(flight) = flight {
            shard.entry(key.clone()).or_default().push(flight);
        }
        Boarding::Leads(leads)
    }

    /// What `count` says of each flight in the table, in sum. Takes the locks of the table one after the other.
    pub fn sum(&self, count: impl Fn(&F) -> usize) -> usize {
        let of_shard = |shard: &Shard<K, F>| -> usize {
            shard.lock().values().flatten().map(|flight| count(flight.as_ref())).sum()
        };
        self.shards.iter().map(of_shard).sum()
    }

    /// Takes a flight out of the table: nobody joins it any more.
    pub fn land(&self, key: &K, flight: &Arc<F>) {
        let mut shard = self.shard(key).lock();
        if let Some(flights) = shard.get_mut(key) {
            flights.retain(|other| !Arc::ptr_eq(other, flight));
            if flights.is_empty() {
                shard.remove(key);
            }
        }
    }

    /// Takes all flights of `key` out of the table. Nobody boards under this key before `withdraw` has done with them
    /// what is to be done: it is short and touches no other flight.
    pub fn ground<R>(&self, key: &K, withdraw: impl FnOnce(Vec<Arc<F>>) -> R) -> R {
        let mut shard = self.shard(key).lock();
        let flights = shard.remove(key).unwrap_or_default();
        withdraw(flights)
    }

    /// Takes the flights out of the table that are `chosen`.
    pub fn ground_by(&self, chosen: impl Fn(&K, &F) -> bool) -> Vec<Arc<F>> {
        let take = |shard: &Shard<K, F>| {
            let mut taken = Vec::new();
            shard.lock().retain(|key, flights| {
                taken.extend(flights.extract_if(.., |flight| chosen(key, flight)));
                !flights.is_empty()
            });
            taken
        };
        self.shards.iter().flat_map(take).collect()
    }

    /// How many flights are `chosen`.
    pub fn count_by(&self, chosen: impl Fn(&K, &F) -> bool) -> u64 {
        let count = |shard: &Shard<K, F>| -> usize {
            let shard = shard.lock();
            shard.iter().map(|(key, flights)| flights.iter().filter(|flight| chosen(key, flight)).count()).sum()
        };
        self.shards.iter().map(count).sum::<usize>() as u64
    }

    /// The flights of `key`.
    pub fn of(&self, key: &K) -> Vec<Arc<F>> {
        self.shard(key).lock().get(key).cloned().unwrap_or_default()
    }
}
