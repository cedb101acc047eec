//! Counters and histograms of the hot path. Each worker writes its own shard, so that no worker writes what another
//! one writes; a reader adds the shards up.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

thread_local! {
    static WORKER: Cell<usize> = const { Cell::new(0) };
}

/// Says which worker this thread is; threads that never say so write the first shard.
pub fn this_thread_is_worker(index: usize) {
    WORKER.set(index);
}

/// The index of the worker that runs the caller.
pub fn worker() -> usize {
    WORKER.get()
}

/// One value a worker, on cache lines of its own.
#[derive(Debug)]
pub struct Sharded<T>(Box<[Padded<T>]>);

#[derive(Debug)]
#[repr(align(128))]
struct Padded<T>(T);

impl<T: Default> Sharded<T> {
    /// A value for each of `workers` workers, at least one.
    pub fn new(workers: usize) -> Self {
        Self::new_with(workers, T::default)
    }
}

impl<T> Sharded<T> {
    /// A value that `make` makes for each of `workers` workers, at least one.
    pub fn new_with(workers: usize, make: impl Fn() -> T) -> Self {
        Self((0..workers.max(1)).map(|_| Padded(make())).collect())
    }

    /// The caller's own.
    pub fn mine(&self) -> &T {
        &self.0[worker() % self.0.len()].0
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|padded| &padded.0)
    }
}

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `by`.
    pub fn add(&self, by: u64) {
        self.0.fetch_add(by, Relaxed);
    }

    /// The present value.
    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Upper bounds of the buckets of every duration histogram, in seconds.
pub const BOUNDS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Durations in fixed buckets.
#[derive(Debug, Default)]
pub struct Durations {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    nanos: AtomicU64,
}

impl Durations {
    /// Records one duration.
    pub fn record(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let bucket = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.nanos.fetch_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    /// The present numbers.
    pub fn sum(&self) -> DurationsSum {
        let mut sum = DurationsSum::default();
        self.add_to(&mut sum);
        sum
    }

    /// Adds this histogram to a sum of several.
    pub fn add_to(&self, sum: &mut DurationsSum) {
        for (total, bucket) in sum.buckets.iter_mut().zip(&self.buckets) {
            *total += bucket.load(Relaxed);
        }
        sum.seconds += self.nanos.load(Relaxed) as f64 / 1e9;
    }
}

/// The sum of histograms: observations per bucket (not cumulative), and all durations together.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct DurationsSum {
    /// Observations per bucket of [`BOUNDS`], the last one beyond all bounds.
    pub buckets: [u64; BOUNDS.len() + 1],
    /// All durations together.
    pub seconds: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_adds_up_what_the_workers_wrote_apart() {
        let sharded: Sharded<Counter> = Sharded::new(2);
        std::thread::scope(|scope| {
            for index in 0..2 {
                let sharded = &sharded;
                scope.spawn(move || {
                    this_thread_is_worker(index);
                    sharded.mine().add(index as u64 + 1);
                });
            }
        });
        assert_eq!(sharded.all().map(Counter::value).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn a_duration_falls_into_the_first_bucket_that_holds_it() {
        let durations = Durations::default();
        durations.record(Duration::from_millis(1));
        durations.record(Duration::from_secs(11));
        let sum = durations.sum();
        assert_eq!((sum.buckets[1], sum.buckets[BOUNDS.len()]), (1, 1));
        assert!((sum.seconds - 11.001).abs() < 1e-9);
    }
}
