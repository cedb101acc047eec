//! What became of players' reports: bodies by their answer, records by how they came, and what was dropped, by a closed
//! list of reasons. Nothing that a player writes is a label.

mod places;

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::clock::Tick;

use super::counters::{Counter, Durations, DurationsSum, Sharded};
use super::metrics::{Family, Source, Value};
use crate::rules::qoe::fault::{FAULTS, Fault, Faults};
use crate::rules::qoe::report::Mode;
pub use places::Place;
use places::Places;

/// Bodies that are taken in at once: each has memory of its own.
const AT_ONCE: usize = 2_048;

/// Beside them, of senders who watch nothing here.
const OF_STRANGERS: usize = 64;

/// Of so much time a worker gives half to reports at most: those who play come first.
const WINDOW: Duration = Duration::from_millis(100);

/// Who sends a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// A viewer: what it reports is kept.
    Viewer,
    /// Somebody who watches nothing here: it is answered, and nothing is kept.
    Stranger,
}

impl By {
    /// How much of [`WINDOW`] a worker gives to reports before those of this sender wait.
    fn share(self) -> Duration {
        match self {
            Self::Viewer => WINDOW / 2,
            Self::Stranger => WINDOW / 10,
        }
    }
}

/// Why a report that could be read was dropped as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// Its sender has no session here.
    UnknownViewer,
    /// Its `ts` is further from the node's clock than any clock is.
    Clock,
    /// Its viewer, or its route, wants no more kept than what playback needs.
    Essential,
    /// Its route takes no reports.
    Off,
    /// It came in cleartext, and its route is served over TLS alone.
    Cleartext,
    /// Its session is not among those whose requests are kept.
    Sampled,
    /// It was not kept: its player sends it again.
    NotKept,
}

impl Dropped {
    const ALL: [Self; 7] =
        [Self::UnknownViewer, Self::Clock, Self::Essential, Self::Off, Self::Cleartext, Self::Sampled, Self::NotKept];

    /// The word in metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Self::UnknownViewer => "unknown-viewer",
            Self::Clock => "clock",
            Self::Essential => "essential",
            Self::Off => "off",
            Self::Cleartext => "cleartext",
            Self::Sampled => "sampled",
            Self::NotKept => "not-kept",
        }
    }
}

/// What was dropped of one body, until it is known that it does not come again: who is told to wait sends all of it once
/// more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    faults: [u32; FAULTS.len()],
    dropped: [u32; Dropped::ALL.len()],
}

impl Losses {
    /// This of a record could not be read.
    pub fn faults(&mut self, faults: &Faults) {
        faults.iter().for_each(|(fault, count)| self.fault(fault, count.into()));
    }

    /// So many records could not be read.
    pub const fn fault(&mut self, fault: Fault, records: u32) {
        let count = &mut self.faults[fault as usize];
        *count = count.saturating_add(records);
    }

    /// A record that could be read was dropped.
    pub const fn dropped(&mut self, why: Dropped) {
        let count = &mut self.dropped[why as usize];
        *count = count.saturating_add(1);
    }
}

/// What was answered to a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was taken in.
    Taken,
    /// Its sender is told to wait.
    Later,
    /// It was refused.
    Refused,
}

impl Outcome {
    const ALL: [Self; 3] = [Self::Taken, Self::Later, Self::Refused];

    const fn word(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Later => "later",
            Self::Refused => "refused",
        }
    }
}

const MODES: [(Mode, &str); 3] = [(Mode::Request, "request"), (Mode::Event, "event"), (Mode::Beacon, "beacon")];

#[derive(Debug, Default)]
struct Shard {
    bodies: [Counter; Outcome::ALL.len()],
    records: [Counter; MODES.len()],
    faults: [Counter; FAULTS.len()],
    dropped: [Counter; Dropped::ALL.len()],
    took: Durations,
    /// The window in which time was spent last, and how much of it, in nanoseconds.
    window: AtomicU64,
    spent: AtomicU64,
}

/// What became of players' reports.
#[derive(Debug)]
pub struct Beacons {
    shards: Sharded<Shard>,
    viewers: Places,
    strangers: Places,
}

impl Beacons {
    /// Nothing was reported, to so many workers.
    pub fn new(workers: usize) -> Self {
        Self { shards: Sharded::new(workers), viewers: Places::new(AT_ONCE), strangers: Places::new(OF_STRANGERS) }
    }

    /// Room for a body from a prefix of addresses; `None`: as many are taken in as may be. Strangers take none from viewers.
    pub fn enter(&self, by: By, prefix: IpAddr) -> Option<Place<'_>> {
        match by {
            By::Viewer => self.viewers.enter(prefix),
            By::Stranger => self.strangers.enter(prefix),
        }
    }

    /// Whether this worker may take its time for a body now.
    pub fn has_time(&self, by: By, now: Tick) -> bool {
        let shard = self.shards.mine();
        let spent = || Duration::from_nanos(shard.spent.load(Relaxed));
        shard.window.load(Relaxed) != window(now) || spent() < by.share()
    }

    /// This worker took so long for a body, from a moment on.
    pub fn worked(&self, from: Tick, took: Duration) {
        let shard = self.shards.mine();
        if shard.window.swap(window(from), Relaxed) != window(from) {
            shard.spent.store(0, Relaxed);
        }
        shard.spent.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    /// A body was answered, so long after its head came.
    pub fn answered(&self, outcome: Outcome, took: Duration) {
        let shard = self.shards.mine();
        shard.bodies[outcome as usize].add(1);
        shard.took.record(took);
    }

    /// So many records were kept.
    pub fn kept(&self, mode: Mode, records: usize) {
        self.shards.mine().records[place(mode)].add(records as u64);
    }

    /// So many records that could be read were dropped.
    pub fn dropped(&self, why: Dropped, records: usize) {
        self.shards.mine().dropped[why as usize].add(records as u64);
    }

    /// This was dropped of a body that does not come again.
    pub fn lost(&self, losses: &Losses) {
        let shard = self.shards.mine();
        let add = |(counter, count): (&Counter, u32)| {
            if count > 0 {
                counter.add(count.into());
            }
        };
        shard.faults.iter().zip(losses.faults).for_each(add);
        shard.dropped.iter().zip(losses.dropped).for_each(add);
    }

    /// This could not be read.
    pub fn faults(&self, faults: &Faults) {
        let shard = self.shards.mine();
        faults.iter().for_each(|(fault, count)| shard.faults[fault as usize].add(count.into()));
    }

    /// Dropped so far, as [`Dropped`] says.
    pub fn dropped_so_far(&self, why: Dropped) -> u64 {
        self.sum(|shard| &shard.dropped[why as usize])
    }

    fn sum(&self, of: impl Fn(&Shard) -> &Counter) -> u64 {
        self.shards.all().map(|shard| of(shard).value()).sum()
    }
}

fn window(at: Tick) -> u64 {
    u64::try_from(at.since_start().as_nanos() / WINDOW.as_nanos()).unwrap_or(u64::MAX)
}

const fn place(mode: Mode) -> usize {
    match mode {
        Mode::Request => 0,
        Mode::Event => 1,
        Mode::Beacon => 2,
    }
}

impl Source for Beacons {
    fn families(&self) -> Vec<Family> {
        let mut bodies = Family::new("weir_beacons", "Bodies of players' reports by what was answered");
        for outcome in Outcome::ALL {
            let value = Value::Counter(self.sum(|shard| &shard.bodies[outcome as usize]));
            bodies = bodies.with(vec![("outcome", outcome.word().to_owned())], value);
        }
        let mut records = Family::new("weir_beacon_records", "Reports of players that were kept, by how they came");
        for (mode, word) in MODES {
            let value = Value::Counter(self.sum(|shard| &shard.records[place(mode)]));
            records = records.with(vec![("mode", word.to_owned())], value);
        }
        let mut dropped = Family::new("weir_beacons_dropped", "Keys, fields and records of reports that were dropped");
        let faults = FAULTS.into_iter().map(|fault: Fault| {
            let count = self.sum(|shard| &shard.faults[fault as usize]);
            (fault.as_str(), count)
        });
        let whole = Dropped::ALL.into_iter().map(|why| (why.word(), self.dropped_so_far(why)));
        for (word, count) in faults.chain(whole) {
            dropped = dropped.with(vec![("reason", word.to_owned())], Value::Counter(count));
        }
        let mut sum = DurationsSum::default();
        self.shards.all().for_each(|shard| shard.took.add_to(&mut sum));
        let took = Family::new("weir_beacon_seconds", "From the head of a body of reports to its answer");
        vec![bodies, records, dropped, took.with(Vec::new(), Value::Durations(sum))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_word() {
        let words = FAULTS.iter().map(|fault| fault.as_str()).chain(Dropped::ALL.iter().map(|why| why.word()));
        let mut words: Vec<_> = words.collect();
        let all = words.len();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), all);
    }

    #[test]
    fn a_worker_gives_half_of_its_time_to_reports_at_most() {
        let beacons = Beacons::new(1);
        let at = |millis| Tick::at(Duration::from_millis(millis));
        let has_time = |millis| beacons.has_time(By::Viewer, at(millis));
        assert!(has_time(0));
        beacons.worked(at(1_010), Duration::from_millis(49));
        assert!(has_time(1_060));
        beacons.worked(at(1_060), Duration::from_millis(1));
        assert!(!has_time(1_099));
        assert!(has_time(1_100));
        beacons.worked(at(1_100), Duration::from_millis(1));
        assert!(has_time(1_199));
    }

    #[test]
    fn who_watches_nothing_here_takes_no_time_and_no_place_from_those_who_do() {
        let beacons = Beacons::new(1);
        let now = Tick::at(Duration::from_secs(1));
        beacons.worked(now, Duration::from_millis(10));
        assert!(!beacons.has_time(By::Stranger, now) && beacons.has_time(By::Viewer, now));
        let from = |number: u16| IpAddr::from([10, (number >> 8) as u8, number as u8, 0]);
        let strangers: Vec<_> = (0..4_096).filter_map(|number| beacons.enter(By::Stranger, from(number))).collect();
        let viewers: Vec<_> = (0..4_096).filter_map(|number| beacons.enter(By::Viewer, from(number))).collect();
        assert_eq!((strangers.len(), viewers.len()), (OF_STRANGERS, AT_ONCE));
    }

    #[test]
    fn what_comes_again_is_not_counted_twice() {
        let beacons = Beacons::new(1);
        let mut losses = Losses::default();
        losses.fault(Fault::TooMany, 100_000);
        losses.faults(&Faults::from(Fault::Negative));
        losses.dropped(Dropped::Clock);
        let count = |beacons: &Beacons, fault: Fault| beacons.sum(|shard| &shard.faults[fault as usize]);
        assert_eq!((count(&beacons, Fault::TooMany), beacons.dropped_so_far(Dropped::Clock)), (0, 0));
        beacons.lost(&losses);
        assert_eq!((count(&beacons, Fault::TooMany), count(&beacons, Fault::Negative)), (100_000, 1));
        assert_eq!((beacons.dropped_so_far(Dropped::Clock), beacons.dropped_so_far(Dropped::Off)), (1, 0));
    }
}
