//! Records in memory: the log of a node without a disk, and what waits to be written where there is one.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::journal::open::Framed;
use crate::rules::session::SessionId;

use super::loss::{Counts, Loss, Losses};
use super::record::{Class, Numbered, Record};
use super::wanted::{Ends, Found, Wanted};
use super::{Figures, Standing, until};

/// What a record takes beside its line.
const OVERHEAD: u64 = size_of::<Numbered>() as u64;

/// Once there is no room, so much of all is made free at once: to look for what goes first costs a look at all.
const FREED: u64 = 8;

/// Records in the order of their numbers, with what they take.
#[derive(Default)]
pub(super) struct Records {
    pub records: VecDeque<Numbered>,
    pub octets: u64,
}

impl Records {
    pub fn push(&mut self, record: Numbered) {
        self.octets += octets_of(&record);
        self.records.push_back(record);
    }

    /// Puts earlier records before these.
    pub fn put_back(&mut self, mut earlier: Self) {
        earlier.records.append(&mut self.records);
        self.records = earlier.records;
        self.octets += earlier.octets;
    }

    /// Takes the first ones: at most so many octets of a file, or one.
    pub fn take_first(&mut self, most: u64) -> Self {
        let mut size = 0;
        let fits = |record: &&Numbered| {
            size += record.size() as u64;
            size <= most
        };
        let count = self.records.iter().take_while(fits).count().max(1).min(self.records.len());
        let rest = self.records.split_off(count);
        let records = std::mem::replace(&mut self.records, rest);
        let octets = records.iter().map(octets_of).sum();
        self.octets -= octets;
        Self { records, octets }
    }

    /// Makes room once there is more than `most`: the least lasting goes first, and of that the oldest.
    pub fn make_room(&mut self, most: u64) -> Losses {
        let mut losses = Losses::default();
        if self.octets <= most {
            return losses;
        }
        let goal = most - most / FREED;
        for (class, why) in
            [(Class::Interval, Loss::Interval), (Class::Response, Loss::Response), (Class::Lasting, Loss::Lasting)]
        {
            let octets = &mut self.octets;
            let before = self.records.len();
            self.records.retain(|record| {
                let goes = *octets > goal && record.record.class == class;
                if goes {
                    *octets -= octets_of(record);
                }
                !goes
            });
            losses.add(why, (before - self.records.len()) as u64);
            if self.octets <= goal {
                break;
            }
        }
        losses
    }

    fn remove(&mut self, goes: impl Fn(&Record) -> bool) -> u64 {
        let (octets, before) = (&mut self.octets, self.records.len());
        self.records.retain(|record| {
            let goes = goes(&record.record);
            if goes {
                *octets -= octets_of(record);
            }
            !goes
        });
        (before - self.records.len()) as u64
    }

    /// How many of the oldest are from before a moment; they are no longer there.
    fn remove_before(&mut self, at: u64) -> u64 {
        let mut gone = 0;
        while let Some(record) = self.records.pop_front_if(|record| record.record.at < at) {
            self.octets -= octets_of(&record);
            gone += 1;
        }
        gone
    }
}

fn octets_of(record: &Numbered) -> u64 {
    record.record.line.len() as u64 + OVERHEAD
}

/// A log that ends with the process.
pub(super) struct Memory {
    kept: Mutex<Kept>,
    most: u64,
    keep_ms: u64,
    counts: Counts,
    bell: Notify,
}

struct Kept {
    records: Records,
    next: u64,
}

impl Memory {
    pub fn new(most: u64, keep: Duration) -> Self {
        Self {
            kept: Mutex::new(Kept { records: Records::default(), next: 1 }),
            most,
            keep_ms: u64::try_from(keep.as_millis()).unwrap_or(u64::MAX),
            counts: Counts::default(),
            bell: Notify::new(),
        }
    }

    pub fn append(&self, records: Vec<Record>) {
        let mut kept = self.kept.lock();
        self.counts.kept.fetch_add(records.len() as u64, Relaxed);
        let Kept { records: all, next } = &mut *kept;
        let mut newest = 0;
        for record in records {
            newest = record.at.max(newest);
            all.push(Numbered { number: *next, record });
            *next += 1;
        }
        let expired = all.remove_before(newest.saturating_sub(self.keep_ms));
        self.counts.expired.fetch_add(expired, Relaxed);
        self.counts.lose_all(&all.make_room(self.most));
        drop(kept);
        self.bell.notify_waiters();
    }

    pub fn read(&self, from: u64, most: usize) -> Vec<Numbered> {
        let kept = self.kept.lock();
        let mut octets = 0;
        let start = kept.records.records.partition_point(|record| record.number < from);
        let fits = |record: &&Numbered| {
            octets += record.record.line.len();
            octets <= most || octets == record.record.line.len()
        };
        kept.records.records.range(start..).take_while(fits).cloned().collect()
    }

    pub fn of_sessions(&self, sessions: &[SessionId], wanted: &Wanted) -> HashMap<SessionId, Ends> {
        let mut found = Found::new(sessions, wanted);
        for record in &self.kept.lock().records.records {
            if found.asks_for(record.record.session, record.number) {
                found.take(record.record.session, record.record.at, || record.clone());
            }
        }
        found.done()
    }

    pub async fn reached(&self, number: u64) {
        until(&self.bell, || self.kept.lock().next > number).await;
    }

    pub fn erase(&self, session: SessionId) -> u64 {
        let erased = self.kept.lock().records.remove(|record| record.session == Some(session));
        self.counts.erased.fetch_add(erased, Relaxed);
        erased
    }

    pub fn expire(&self, is_over: &dyn Fn(&Record) -> bool) -> u64 {
        let expired = self.kept.lock().records.remove(is_over);
        self.counts.expired.fetch_add(expired, Relaxed);
        expired
    }

    pub fn take_losses(&self) -> Losses {
        self.counts.take_losses()
    }

    pub fn figures(&self) -> Figures {
        let kept = self.kept.lock();
        let losses = self.counts.losses();
        Figures {
            kept: self.counts.kept.load(Relaxed),
            lost: losses.all(),
            losses,
            expired: self.counts.expired.load(Relaxed),
            erased: self.counts.erased.load(Relaxed),
            octets: kept.records.octets,
            waiting: 0,
            failures: 0,
            standing: Standing::Memory,
            next: kept.next,
            readable: kept.next,
            first: kept.records.records.front().map_or(kept.next, |record| record.number),
        }
    }
}
