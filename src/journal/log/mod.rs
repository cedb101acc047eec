//! A log: records in the order in which they came, each with the next number, kept for a while, on a disk or in memory.
//! Who reads it says from which number on; numbers stay what they are, whatever has gone from the log meanwhile.
//!
//! Nobody waits for the disk who does not ask to: what comes is queued in bounded memory, and written together with all
//! that came while the last write was under way. What is read by number has reached the disk, so that a power cut never
//! takes back what a sink was told. What goes for want of room is counted: first what comes again and again, then what is
//! of one response, then the oldest of all.

mod disk;
mod found;
mod loss;
mod memory;
mod read;
mod record;
#[cfg(test)]
mod tests;
mod upkeep;
mod wanted;
mod writer;

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use crate::clock::Clock;
use crate::disk::Engine;
use crate::rules::session::SessionId;
use crate::tasks::Tasks;

use super::NotKept;
use disk::Disk;
use memory::Memory;

pub use loss::{Loss, Losses};
pub use record::{Class, Numbered, Record};
pub use wanted::{Ends, Wanted};

/// Completes when something is so; the bell is rung whenever it may have become so.
async fn until(bell: &Notify, is_so: impl Fn() -> bool) {
    loop {
        let mut rung = pin!(bell.notified());
        rung.as_mut().enable();
        if is_so() {
            return;
        }
        rung.await;
    }
}

/// Where it is said that records are kept, or are not.
pub type Reply = oneshot::Sender<Result<(), NotKept>>;

/// What a log may take, and how it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Octets of its files, or of its records in memory.
    pub size: u64,
    /// For how long records are kept.
    pub keep: Duration,
    /// What is written reaches the disk within this.
    pub sync: Duration,
}

/// How a log does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Records that this process kept.
    pub kept: u64,
    /// Records that went before their time.
    pub lost: u64,
    /// The same, by why.
    pub losses: Losses,
    /// Records that went as they were older than is kept, or as their route's are kept no longer.
    pub expired: u64,
    /// Records that were erased.
    pub erased: u64,
    /// Octets that it takes.
    pub octets: u64,
    /// Octets of records that wait to be written.
    pub waiting: u64,
    /// Attempts to write that failed.
    pub failures: u64,
    /// Whether the disk takes what is written.
    pub standing: Standing,
    /// The number that the next record gets.
    pub next: u64,
    /// Records before this number can be read: they have reached the disk.
    pub readable: u64,
    /// No record before this number is there.
    pub first: u64,
}

/// Where records are, and whether they get there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// They are in memory only.
    #[default]
    Memory,
    /// The disk takes them.
    Good,
    /// The disk does not take them: it is full, or broken, or does not answer.
    Failing,
}

impl Standing {
    /// Its word in `/status`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Memory => "memory-only",
            Self::Good => "good",
            Self::Failing => "failing",
        }
    }
}

/// A log. Cheap to clone.
#[derive(Clone)]
pub struct Log(Form);

#[derive(Clone)]
enum Form {
    Memory(Arc<Memory>),
    Disk(Arc<Disk>),
}

impl Log {
    /// A log of at most `most` octets that ends with the process.
    pub fn in_memory(most: u64) -> Self {
        Self(Form::Memory(Arc::new(Memory::new(most, Duration::MAX))))
    }

    /// A log in memory that keeps no record for longer than its bounds say.
    pub fn in_memory_within(bounds: Bounds) -> Self {
        Self(Form::Memory(Arc::new(Memory::new(bounds.size, bounds.keep))))
    }

    /// The log of a folder, which goes on where an earlier process left it. Blocks: it is for the start of a node.
    ///
    /// # Errors
    /// Where the folder cannot be read or made.
    pub fn open(folder: &Path, (engine, clock, tasks): (Engine, Clock, Tasks), bounds: Bounds) -> io::Result<Self> {
        Ok(Self(Form::Disk(Disk::open(folder, (engine, clock, tasks), bounds)?)))
    }

    /// Writes what is appended and keeps the log within its bounds, for as long as the node runs.
    pub async fn work(self) {
        match self.0 {
            Form::Memory(_) => {}
            Form::Disk(disk) => {
                tokio::join!(writer::write(&disk), writer::sync(&disk), upkeep::limit(&disk));
            }
        }
    }

    /// Keeps records, in their order; completes when a process that is killed then loses none of them.
    ///
    /// # Errors
    /// Where they are not kept yet, or were let go of.
    pub async fn append(&self, records: Vec<Record>) -> Result<(), NotKept> {
        let (reply, answer) = oneshot::channel();
        self.keep(records, vec![reply]);
        answer.await.unwrap_or(Err(NotKept::Stopping))
    }

    /// Keeps records, in their order, and waits for nobody. Whoever waits for an answer gets it once they are kept, or
    /// are known not to be; even then they are tried again, for as long as memory has room for them.
    pub fn keep(&self, records: Vec<Record>, replies: Vec<Reply>) {
        match &self.0 {
            Form::Memory(memory) => {
                memory.append(records);
                replies.into_iter().for_each(|reply| _ = reply.send(Ok(())));
            }
            Form::Disk(disk) => disk.keep(records, replies),
        }
    }

    /// Whether what is appended now can be kept.
    ///
    /// # Errors
    /// Where it cannot: the disk fails, or too much waits for it.
    pub fn takes(&self) -> Result<(), NotKept> {
        match &self.0 {
            Form::Memory(_) => Ok(()),
            Form::Disk(disk) => disk.takes(),
        }
    }

    /// The records from a number on that have reached the disk, as many as fit in `most` octets and at least one, where
    /// there is one.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub async fn read(&self, from: u64, most: usize) -> io::Result<Vec<Numbered>> {
        match &self.0 {
            Form::Memory(memory) => Ok(memory.read(from, most)),
            Form::Disk(disk) => read::from(disk, from, most).await,
        }
    }

    /// What was written of some sessions, by one look at all of it.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub async fn of_sessions(&self, sessions: &[SessionId], wanted: Wanted) -> io::Result<HashMap<SessionId, Ends>> {
        match &self.0 {
            Form::Memory(memory) => Ok(memory.of_sessions(sessions, &wanted)),
            Form::Disk(disk) => read::of_sessions(disk, sessions.to_vec(), wanted).await,
        }
    }

    /// Completes when a record of this number, or a later one, can be read.
    pub async fn reached(&self, number: u64) {
        match &self.0 {
            Form::Memory(memory) => memory.reached(number).await,
            Form::Disk(disk) => disk.reached(number).await,
        }
    }

    /// Takes the records of a session out of the log, for good. How many they were.
    ///
    /// # Errors
    /// Where a file cannot be written anew: some of them may still be there.
    pub async fn erase(&self, session: SessionId) -> io::Result<u64> {
        match &self.0 {
            Form::Memory(memory) => Ok(memory.erase(session)),
            Form::Disk(disk) => upkeep::erase(disk, session).await,
        }
    }

    /// Takes the records out of the log that are kept no longer, where their route's are kept for less than all. How
    /// many they were. Those in the file that is being written stay until it is full or old.
    ///
    /// # Errors
    /// Where a file cannot be written anew: some of them may still be there.
    pub async fn expire(&self, is_over: impl Fn(&Record) -> bool + Send + Sync + 'static) -> io::Result<u64> {
        match &self.0 {
            Form::Memory(memory) => Ok(memory.expire(&is_over)),
            Form::Disk(disk) => upkeep::expire(disk, Arc::new(is_over)).await,
        }
    }

    /// Completes when all that was appended has reached the disk.
    ///
    /// # Errors
    /// Where it has not.
    pub async fn flush(&self) -> Result<(), NotKept> {
        match &self.0 {
            Form::Memory(_) => Ok(()),
            Form::Disk(disk) => writer::flush(disk).await,
        }
    }

    /// What was lost since this was last asked, by why.
    pub fn take_losses(&self) -> Losses {
        match &self.0 {
            Form::Memory(memory) => memory.take_losses(),
            Form::Disk(disk) => disk.counts.take_losses(),
        }
    }

    /// How it does.
    pub fn figures(&self) -> Figures {
        match &self.0 {
            Form::Memory(memory) => memory.figures(),
            Form::Disk(disk) => disk.figures(),
        }
    }
}
