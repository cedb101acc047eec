//! A log: records in the order in which they came, each with the next number, kept for a while. Who reads it says from
//! which number on; numbers stay what they are, whatever has gone from the log meanwhile.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::rules::session::SessionId;

use super::NotKept;

/// What goes first where there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// A report that comes again and again.
    Interval,
    /// A report of one response.
    Response,
    /// Anything else.
    Lasting,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Whose it is; `None`: the node's.
    pub session: Option<SessionId>,
    /// When it came, in milliseconds since the epoch.
    pub at: u64,
    /// What goes first.
    pub class: Class,
    /// What it says, as one line without its end.
    pub line: Bytes,
}

/// A record with its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numbered {
    /// Its number: from 1, without a gap where nothing was lost.
    pub number: u64,
    /// What it is.
    pub record: Record,
}

/// How a log does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Records that were kept.
    pub kept: u64,
    /// Records that went before every reader had them, or before their time.
    pub lost: u64,
    /// Octets that it takes.
    pub octets: u64,
    /// The number that the next record gets.
    pub next: u64,
    /// The number of the oldest record that is there.
    pub first: u64,
}

/// A log. Cheap to clone.
#[derive(Clone)]
pub struct Log(Arc<Shared>);

struct Shared {
    kept: Mutex<Kept>,
    most: u64,
    lost: AtomicU64,
    bell: Notify,
}

#[derive(Default)]
struct Kept {
    records: VecDeque<Numbered>,
    octets: u64,
    next: u64,
}

impl Log {
    /// A log of at most `most` octets that ends with the process.
    pub fn in_memory(most: u64) -> Self {
        let kept = Kept { next: 1, ..Kept::default() };
        Self(Arc::new(Shared { kept: Mutex::new(kept), most, lost: AtomicU64::new(0), bell: Notify::new() }))
    }

    /// Keeps records, in their order; completes when a process that is killed then loses none of them.
    ///
    /// # Errors
    /// Where they are not kept.
    pub async fn append(&self, records: Vec<Record>) -> Result<(), NotKept> {
        let mut kept = self.0.kept.lock();
        for record in records {
            kept.octets += record.line.len() as u64;
            let number = kept.next;
            kept.next += 1;
            kept.records.push_back(Numbered { number, record });
        }
        while kept.octets > self.0.most {
            let Some(gone) = kept.records.pop_front() else { break };
            kept.octets -= gone.record.line.len() as u64;
            self.0.lost.fetch_add(1, Relaxed);
        }
        drop(kept);
        self.0.bell.notify_waiters();
        Ok(())
    }

    /// The records from a number on, as many as fit in `most` octets and at least one, where there is one.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub async fn read(&self, from: u64, most: usize) -> std::io::Result<Vec<Numbered>> {
        let kept = self.0.kept.lock();
        let mut octets = 0;
        let start = kept.records.partition_point(|record| record.number < from);
        let fits = |record: &&Numbered| {
            octets += record.record.line.len();
            octets <= most || octets == record.record.line.len()
        };
        Ok(kept.records.range(start..).take_while(fits).cloned().collect())
    }

    /// All records of one session from a number on, in their order.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub async fn of_session(&self, session: SessionId, from: u64) -> std::io::Result<Vec<Numbered>> {
        let kept = self.0.kept.lock();
        let is_theirs = |record: &&Numbered| record.number >= from && record.record.session == Some(session);
        Ok(kept.records.iter().filter(is_theirs).cloned().collect())
    }

    /// Takes the records of a session out of the log, for good. How many they were.
    ///
    /// # Errors
    /// Where the log cannot be written anew.
    pub async fn erase(&self, session: SessionId) -> std::io::Result<u64> {
        self.expire(move |record| record.session == Some(session)).await
    }

    /// Takes the records out of the log that are kept no longer. How many they were.
    ///
    /// # Errors
    /// Where the log cannot be written anew.
    pub async fn expire(&self, is_over: impl Fn(&Record) -> bool + Send + Sync + 'static) -> std::io::Result<u64> {
        let mut kept = self.0.kept.lock();
        let before = kept.records.len();
        kept.records.retain(|record| !is_over(&record.record));
        kept.octets = kept.records.iter().map(|record| record.record.line.len() as u64).sum();
        Ok((before - kept.records.len()) as u64)
    }

    /// Completes when there is a record of this number, or a later one.
    pub async fn reached(&self, number: u64) {
        loop {
            let rung = self.0.bell.notified();
            tokio::pin!(rung);
            rung.as_mut().enable();
            if self.0.kept.lock().next > number {
                return;
            }
            rung.await;
        }
    }

    /// How it does.
    pub fn figures(&self) -> Figures {
        let kept = self.0.kept.lock();
        let first = kept.records.front().map_or(kept.next, |record| record.number);
        Figures { kept: kept.next - 1, lost: self.0.lost.load(Relaxed), octets: kept.octets, next: kept.next, first }
    }
}
