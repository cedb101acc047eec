//! The log's files: segments, each named by the number of its first record. Whoever writes one anew gives it a new name,
//! so that those who read it meanwhile read what they began with, and a process that is killed leaves one of both.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};

use crate::clock::{Clock, Tick};
use crate::disk::{Engine, File};
use crate::journal::{NUMBERS, NotKept};
use crate::tasks::Tasks;

use super::found::{self, Found};
use super::loss::{Counts, Loss};
use super::read::Hint;
use super::writer::Queue;
use super::{Bounds, Figures, Standing, until};

/// Files of a log that is full. A file is what is thinned, or goes, at once.
const FILES: u64 = 32;

/// Octets of a file, after which the next one begins.
const FILE: (u64, u64) = (4 << 10, 64 << 20);

/// Who may read by number at once. More wait.
const READERS: usize = 8;

/// Who may look through all of it at once: it costs a core for as long as it takes.
const SCANS: usize = 1;

/// Places that are remembered, where who reads by number goes on.
pub(super) const HINTS: usize = 32;

/// The log of a folder.
pub(super) struct Disk {
    pub folder: PathBuf,
    pub engine: Engine,
    pub clock: Clock,
    pub tasks: Tasks,
    pub bounds: Bounds,
    pub state: Mutex<State>,
    pub queue: Mutex<Queue>,
    /// There is something to write.
    pub bell: Notify,
    /// Somebody waits for the file to end that is written to.
    pub roll_bell: Notify,
    /// There is something to sync.
    pub sync_bell: Notify,
    /// A file is full.
    pub full_bell: Notify,
    /// It was seen to that there is room, as far as there can be.
    pub room_bell: Notify,
    /// There is more to read.
    pub read_bell: Notify,
    /// What its files take.
    pub octets: AtomicU64,
    /// Whether the disk does not take what is written.
    pub is_failing: AtomicBool,
    pub counts: Counts,
    /// One at a time sees to it that what was written reaches the disk.
    pub syncing: tokio::sync::Mutex<()>,
    /// One at a time writes files anew.
    pub upkeep: tokio::sync::Mutex<()>,
    pub readers: Arc<Semaphore>,
    pub scans: Arc<Semaphore>,
}

/// One file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// The number of its first record, as its name and its frames say.
    pub first: u64,
    /// How often files were begun or written anew before it: of two with the same first record, the later one counts.
    pub version: u64,
    /// Octets up to the end of its last record.
    pub length: u64,
    /// Octets that it takes: more, where a write to it failed.
    pub taken: u64,
    /// When it began, in milliseconds since the epoch: nothing of an earlier file is later.
    pub began: u64,
    /// What has gone from it for want of room.
    pub thinned: Thinned,
}

/// What has gone from a file for want of room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Thinned {
    /// Nothing.
    No,
    /// What comes again and again.
    Intervals,
    /// That, and what is of one response.
    Responses,
}

/// What is where.
pub(super) struct State {
    /// The files, in order. The last one stays as it is: its name and its records say which number is next.
    pub segments: VecDeque<Segment>,
    /// Whether nothing more is written to the last file, as it could not be synced.
    pub is_spoiled: bool,
    /// The version of the next file.
    pub version: u64,
    /// The number behind the last record that was written.
    pub written: u64,
    /// The number behind the last record that has reached the disk.
    pub synced: u64,
    /// Files with octets that have not reached the disk, and the number of the first record of each.
    pub unsynced: Vec<(u64, File)>,
    /// Files that could not be synced, by the numbers of their first records. A system may forget that it failed, so
    /// that another sync says nothing: they are written anew.
    pub doubtful: Vec<u64>,
    /// When the first of these octets were written.
    pub unsynced_since: Option<Tick>,
    /// Where those who read by number left off.
    pub hints: VecDeque<Hint>,
}

impl State {
    /// Files that something may be taken from.
    pub fn closed(&self) -> usize {
        self.segments.len().saturating_sub(1)
    }

    /// The version of a file that begins now.
    pub fn next_version(&mut self) -> u64 {
        self.version += 1;
        self.version - 1
    }

    /// The number before which all records of a file are.
    pub fn end(&self, index: usize) -> u64 {
        self.segments.get(index + 1).map_or(self.written, |next| next.first)
    }
}

pub(super) fn path(folder: &Path, first: u64, version: u64) -> PathBuf {
    folder.join(format!("{first:016x}-{version:08x}.log"))
}

/// Which file a name says; `None`: a log gives no file such a name, whoever did.
pub(super) fn named(file: &Path) -> Option<(u64, u64)> {
    let (first, version) = file.file_name()?.to_str()?.strip_suffix(".log")?.split_once('-')?;
    let (first, version) = (u64::from_str_radix(first, 16).ok()?, u64::from_str_radix(version, 16).ok()?);
    let is_own = path(Path::new(""), first, version).file_name() == file.file_name();
    (is_own && NUMBERS.contains(&first) && version <= *NUMBERS.end()).then_some((first, version))
}

impl Disk {
    pub fn open(
        folder: &Path,
        (engine, clock, tasks): (Engine, Clock, Tasks),
        bounds: Bounds,
    ) -> io::Result<Arc<Self>> {
        fs::DirBuilder::new().recursive(true).create(folder)?;
        let Found { segments, version, next, damaged } = found::look(folder)?;
        let counts = Counts::default();
        counts.lose(Loss::Damaged, damaged);
        let octets = segments.iter().map(|segment| segment.taken).sum();
        let state = State {
            segments,
            is_spoiled: false,
            version,
            written: next,
            synced: next,
            unsynced: Vec::new(),
            doubtful: Vec::new(),
            unsynced_since: None,
            hints: VecDeque::new(),
        };
        Ok(Arc::new(Self {
            folder: folder.to_owned(),
            engine,
            clock,
            tasks,
            bounds,
            state: Mutex::new(state),
            queue: Mutex::new(Queue::from(next)),
            bell: Notify::new(),
            sync_bell: Notify::new(),
            full_bell: Notify::new(),
            room_bell: Notify::new(),
            roll_bell: Notify::new(),
            read_bell: Notify::new(),
            octets: AtomicU64::new(octets),
            is_failing: AtomicBool::new(false),
            counts,
            syncing: tokio::sync::Mutex::new(()),
            upkeep: tokio::sync::Mutex::new(()),
            readers: Arc::new(Semaphore::new(READERS)),
            scans: Arc::new(Semaphore::new(SCANS)),
        }))
    }

    /// Octets of a file, after which the next one begins.
    pub fn file(&self) -> u64 {
        (self.bounds.size / FILES).clamp(FILE.0, FILE.1)
    }

    /// What its files take at most where somebody writes: the rest is for one that is written anew.
    pub fn most(&self) -> u64 {
        self.bounds.size.saturating_sub(2 * self.file())
    }

    /// The present moment, in milliseconds since the epoch.
    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.clock.wall().since_epoch().as_millis()).unwrap_or(u64::MAX)
    }

    pub fn takes(&self) -> Result<(), NotKept> {
        match self.is_failing.load(Relaxed) {
            true => Err(NotKept::Disk),
            false => self.queue.lock().takes(self.may_wait() / 2),
        }
    }

    pub async fn reached(&self, number: u64) {
        until(&self.read_bell, || self.state.lock().synced > number).await;
    }

    pub fn figures(&self) -> Figures {
        let losses = self.counts.losses();
        let (next, waiting) = self.queue.lock().figures();
        let standing = if self.is_failing.load(Relaxed) { Standing::Failing } else { Standing::Good };
        let state = self.state.lock();
        Figures {
            kept: self.counts.kept.load(Relaxed),
            lost: losses.all(),
            losses,
            expired: self.counts.expired.load(Relaxed),
            erased: self.counts.erased.load(Relaxed),
            octets: self.octets.load(Relaxed),
            waiting,
            failures: self.counts.failures.load(Relaxed),
            standing,
            next,
            readable: state.synced,
            first: state.segments.front().map_or(state.written, |segment| segment.first),
        }
    }

    /// How old a file may be that is written to: what is too old goes file by file.
    pub fn oldest_open(&self) -> Duration {
        const DAYS: u32 = 32;
        self.bounds.keep / DAYS
    }
}
