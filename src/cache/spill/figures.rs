//! What the disk did, and how it is.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::clock::Tick;

use super::{LONGEST_PAUSE, PAUSE};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self, by: u64) {
        self.0.fetch_add(by, Relaxed);
    }

    /// The present value.
    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Upper bounds of the buckets of reads, in seconds.
pub const READ_BOUNDS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// What was done.
#[derive(Debug, Default)]
pub struct Figures {
    /// Objects that were read.
    pub reads: Count,
    /// Octets that were read.
    pub read_bytes: Count,
    /// Objects that were written.
    pub writes: Count,
    /// Octets that were written, all in all.
    pub written_bytes: Count,
    /// Requests to the disk that failed or took too long.
    pub errors: Count,
    /// Objects that were dropped because a checksum did not hold.
    pub damaged: Count,
    /// Objects let go because too much waited to be written.
    pub queue_full: Count,
    /// Objects let go because the disk had failed.
    pub paused: Count,
    /// Objects let go because all room was taken by what is being read.
    pub no_room: Count,
    /// Objects that were of no use any more, or too large.
    pub unfit: Count,
    /// Objects let go because something was purged in the same moment.
    pub raced: Count,
    /// Segments that went for room.
    pub reclaimed: Count,
    buckets: [Count; READ_BOUNDS.len() + 1],
    nanos: Count,
}

impl Figures {
    /// A block was read, or a region.
    pub(super) fn took(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let bucket = READ_BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(READ_BOUNDS.len());
        self.buckets[bucket].add(1);
        self.nanos.add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Reads by how long they took, in the buckets of [`READ_BOUNDS`], the last one beyond all bounds; and all seconds
    /// together.
    pub fn read_durations(&self) -> ([u64; READ_BOUNDS.len() + 1], f64) {
        (std::array::from_fn(|bucket| self.buckets[bucket].value()), self.nanos.value() as f64 / 1e9)
    }
}

/// How the disk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It reads and writes.
    Good,
    /// It reads; writing has failed and is tried again in a while.
    ReadsOnly,
    /// It has failed and is left alone for a while.
    Failing,
}

impl Standing {
    /// Its word in `/status`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::ReadsOnly => "not-writing",
            Self::Failing => "failing",
        }
    }
}

/// What there is, and how it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The engine's word.
    pub engine: &'static str,
    /// Whether the page cache is passed by.
    pub is_direct: bool,
    /// Objects on disk.
    pub objects: u64,
    /// Octets of their bodies.
    pub bytes: u64,
    /// Octets that wait to be written.
    pub waiting: u64,
    /// What all files take.
    pub used: u64,
    /// What they may take.
    pub size: u64,
    /// How it is.
    pub standing: Standing,
}

/// When the disk may be used again after it has failed.
#[derive(Default)]
pub(super) struct Health {
    reads: Pause,
    writes: Pause,
}

#[derive(Default)]
struct Pause {
    /// In nanoseconds of the clock.
    until: AtomicU64,
    /// The next pause, in milliseconds; zero: all is well.
    next: AtomicU64,
}

impl Pause {
    fn allows(&self, now: Tick) -> bool {
        u128::from(self.until.load(Relaxed)) <= now.since_start().as_nanos()
    }

    /// It failed; whether it was well before.
    fn failed(&self, now: Tick) -> bool {
        let before = self.next.load(Relaxed);
        let pause = Duration::from_millis(before).max(PAUSE);
        let next = (2 * pause).min(LONGEST_PAUSE);
        self.next.store(u64::try_from(next.as_millis()).unwrap_or(u64::MAX), Relaxed);
        let until = (now + pause).since_start().as_nanos();
        self.until.store(u64::try_from(until).unwrap_or(u64::MAX), Relaxed);
        before == 0
    }

    /// It works; whether it had failed before.
    fn worked(&self) -> bool {
        self.next.load(Relaxed) != 0 && self.next.swap(0, Relaxed) != 0
    }
}

impl Health {
    pub fn reads(&self, now: Tick) -> bool {
        self.reads.allows(now)
    }

    pub fn writes(&self, now: Tick) -> bool {
        self.writes.allows(now)
    }

    pub fn read_failed(&self, now: Tick) -> bool {
        self.reads.failed(now)
    }

    pub fn write_failed(&self, now: Tick) -> bool {
        self.writes.failed(now)
    }

    pub fn read_worked(&self) {
        if self.reads.worked() {
            tracing::info!("the disk can be read again");
        }
    }

    pub fn write_worked(&self) {
        if self.writes.worked() {
            tracing::info!("the disk can be written again");
        }
    }

    pub fn standing(&self, now: Tick) -> Standing {
        match (self.reads.allows(now), self.writes.next.load(Relaxed) == 0) {
            (false, _) => Standing::Failing,
            (true, false) => Standing::ReadsOnly,
            (true, true) => Standing::Good,
        }
    }
}
