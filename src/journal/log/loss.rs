//! What a log loses, by why. Nothing goes uncounted.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Why records went before their time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// There was no room: reports that come again and again.
    Interval,
    /// There was no room: reports of one response.
    Response,
    /// There was no room: anything else.
    Lasting,
    /// The disk took nothing for so long that memory had no room for what waited.
    Waiting,
    /// What was read back was not what was written.
    Damaged,
    /// A record was longer than any may be.
    TooLong,
}

impl Loss {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Interval, Self::Response, Self::Lasting, Self::Waiting, Self::Damaged, Self::TooLong];

    /// Its stable word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Interval => "log-full-intervals",
            Self::Response => "log-full-responses",
            Self::Lasting => "log-full",
            Self::Waiting => "log-disk-late",
            Self::Damaged => "log-damaged",
            Self::TooLong => "log-record-too-long",
        }
    }
}

/// How many records were lost, by why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses([u64; Loss::ALL.len()]);

impl Losses {
    /// Adds some.
    pub(super) fn add(&mut self, why: Loss, count: u64) {
        self.0[why as usize] += count;
    }

    /// Adds others.
    pub(super) fn add_all(&mut self, others: &Self) {
        self.0.iter_mut().zip(others.0).for_each(|(count, other)| *count += other);
    }

    /// How many were lost in this way.
    pub fn of(&self, why: Loss) -> u64 {
        self.0[why as usize]
    }

    /// Each way, with how many.
    pub fn each(&self) -> impl Iterator<Item = (Loss, u64)> {
        Loss::ALL.into_iter().zip(self.0)
    }

    /// All together.
    pub fn all(&self) -> u64 {
        self.0.iter().sum()
    }

    /// What is more than there.
    pub(super) fn since(&self, earlier: &Self) -> Self {
        let mut more = *self;
        more.0.iter_mut().zip(earlier.0).for_each(|(count, earlier)| *count -= earlier);
        more
    }
}

/// The same, counted by many.
#[derive(Default)]
pub(super) struct Counts {
    pub kept: AtomicU64,
    pub failures: AtomicU64,
    pub expired: AtomicU64,
    pub erased: AtomicU64,
    lost: [AtomicU64; Loss::ALL.len()],
    told: parking_lot::Mutex<Losses>,
}

impl Counts {
    pub fn lose(&self, why: Loss, count: u64) {
        self.lost[why as usize].fetch_add(count, Relaxed);
    }

    pub fn lose_all(&self, losses: &Losses) {
        losses.each().for_each(|(why, count)| self.lose(why, count));
    }

    pub fn losses(&self) -> Losses {
        Losses(std::array::from_fn(|index| self.lost[index].load(Relaxed)))
    }

    pub fn take_losses(&self) -> Losses {
        let mut told = self.told.lock();
        let losses = self.losses();
        let more = losses.since(&told);
        *told = losses;
        more
    }
}
