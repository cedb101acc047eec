//! The disk under the memory: what memory lets go of for room is written to a log of segments, and read again when
//! somebody asks for it.
//!
//! An index in memory says what is there; segments are written from front to back, and the oldest goes as a whole when
//! room is short. What is purged leaves the index at once and is noted on disk before the purge is answered. Whatever
//! is read is checked block by block before it is handed out; what does not hold is dropped, and the origin is asked.
//! Nobody waits for the disk but the one who writes to it and the one fill that reads from it, and those not for long.

mod codec;
mod figures;
mod index;
mod recall;
mod record;
mod recover;
mod removed;
mod segment;
#[cfg(test)]
mod tests;
mod writing;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::disk::{self, Choice, DiskError, Engine};
use crate::rules::caching::purge::{Labels, Tag};
use crate::rules::caching::{Freshness, Key};

use super::memory::Memory;
use super::object::{Object, ResponseHead};
use super::purges::Removed;

pub use figures::{Figures, READ_BOUNDS, Standing, Usage};

use figures::Health;
use index::Index;
use record::{Ages, Card, Moment};
use segment::Space;

/// The most that one segment holds, unless a single object is larger.
const SEGMENT: u64 = 64 << 20;

/// Segments that the disk is divided into, at least.
const SEGMENTS: u64 = 16;

/// The least that waits to be written before more is let go: two segments of a stream.
const LEAST_QUEUE: u64 = 4 << 20;
const MOST_QUEUE: u64 = 64 << 20;

/// The part of the memory that the index may take, as a divisor.
const INDEX_SHARE: u64 = 8;

/// The disk that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpillConfig {
    /// The folder, which is made where it does not exist.
    pub folder: PathBuf,
    /// What all files in it may take, in bytes.
    pub size: u64,
    /// By which engine.
    pub engine: Choice,
}

/// Why the disk cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SpillError {
    /// Another node has it.
    #[error("{folder} belongs to another node that is running: each needs a folder of its own")]
    Taken {
        /// The folder.
        folder: String,
    },
    /// What the system says.
    #[error("{folder} cannot be used for objects: {source}")]
    Folder {
        /// The folder.
        folder: String,
        /// What the system says.
        source: io::Error,
    },
}

/// Objects on disk.
pub struct Spill {
    engine: Engine,
    clock: Clock,
    folder: PathBuf,
    space: Arc<Space>,
    index: Mutex<Index>,
    removed: removed::Removed,
    ages: Ages,
    figures: Figures,
    health: Health,
    wake: Notify,
    bounds: Bounds,
    /// Held as long as this lives.
    _lock: fs::File,
}

struct Bounds {
    /// Octets that may wait to be written.
    queue: u64,
    /// One object of so many may wait where nothing else does.
    alone: u64,
    segment: u64,
    /// The largest body that is written.
    object: u64,
    /// Octets of the index.
    index: u64,
    /// The largest body that is kept in memory once it has been read.
    promoted: u64,
}

impl Bounds {
    fn of(size: u64, memory: u64) -> Self {
        Self {
            queue: (memory / 16).clamp(LEAST_QUEUE, MOST_QUEUE),
            alone: memory / 8,
            segment: (size / SEGMENTS).min(SEGMENT),
            object: size / 4,
            index: memory / INDEX_SHARE,
            promoted: memory / 32,
        }
    }

    /// Whether `length` octets may wait where `queued` do already: what waits is still in memory.
    fn admits(&self, queued: u64, length: u64) -> bool {
        queued + length <= self.queue || queued == 0 && length <= self.alone
    }
}

/// What was true when an object left the memory.
#[derive(Clone, Copy)]
pub(super) struct Gate(u64);

impl Spill {
    /// Opens the folder and reads what is there. Blocks while it does: for the start of a node.
    pub(super) fn open(config: &SpillConfig, memory: &Arc<Memory>, clock: &Clock) -> Result<Arc<Self>, SpillError> {
        let folder = config.folder.display().to_string();
        let failed = |source| SpillError::Folder { folder: folder.clone(), source };
        make_folder(&config.folder).map_err(failed)?;
        let lock =
            disk::lock(&config.folder).map_err(failed)?.ok_or_else(|| SpillError::Taken { folder: folder.clone() })?;
        let engine = Engine::start(config.engine, &config.folder, clock.clone()).map_err(failed)?;
        Self::over(engine, (config, lock), memory, clock).map_err(failed)
    }

    fn over(
        engine: Engine,
        (config, lock): (&SpillConfig, fs::File),
        memory: &Arc<Memory>,
        clock: &Clock,
    ) -> io::Result<Arc<Self>> {
        let began = clock.now();
        let space = Space::new(config.size);
        let mut index = Index::new(memory.clone());
        let recovery = recover::Recovery { folder: &config.folder, engine: &engine, space: &space };
        let recovered = recovery.run(&mut index)?;
        let removed = removed::Removed::start(engine.clone(), &config.folder, space.clone(), recovered.removed);
        let bounds = Bounds::of(config.size, memory.ceiling());
        recover::fit(&mut index, &space, bounds.index);
        let wall = clock.wall().max(recovered.latest);
        let incarnation = random();
        tracing::info!(
            engine = engine.name(),
            direct = engine.is_direct(),
            objects = index.objects,
            bytes = space.used(),
            took_ms = clock.now().since(began).as_millis() as u64,
            "the disk holds objects"
        );
        Ok(Arc::new(Self {
            removed: removed.map_err(into_io)?,
            engine,
            clock: clock.clone(),
            folder: config.folder.clone(),
            space,
            index: Mutex::new(index),
            ages: Ages { incarnation, began: Moment { incarnation, tick: clock.now(), wall } },
            figures: Figures::default(),
            health: Health::default(),
            wake: Notify::new(),
            bounds,
            _lock: lock,
        }))
    }

    /// To be asked before an object is taken out of memory, and handed on with it.
    pub(super) fn gate(&self) -> Gate {
        Gate(self.index.lock().changes)
    }

    /// Takes what memory lets go of for room, newest first, where it may be of use and there is room in the queue. What
    /// was purged or replaced since `gate` is not taken.
    pub(super) fn offer(&self, gate: Gate, key: &Key, objects: &[Arc<Object>]) {
        let mut numbers = Vec::new();
        let mut index = self.index.lock();
        if index.changes != gate.0 {
            return self.figures.raced.add(1);
        }
        for object in objects.iter().rev() {
            numbers.extend(self.take_in(&mut index, key, object));
        }
        drop(index);
        self.bury_soon(&numbers);
        self.wake.notify_one();
    }

    /// The numbers of what it replaces.
    fn take_in(&self, index: &mut Index, key: &Key, object: &Arc<Object>) -> Vec<u64> {
        let length = object.length();
        if index.has(key, &object.head, index.segments().div_ceil(2)) {
            return Vec::new();
        }
        let old = index.supersede(key, &object.head.variant, &object.head);
        let now = self.clock.now();
        match () {
            () if length > self.bounds.object || !is_of_use(&object.head, now) => self.figures.unfit.add(1),
            () if !self.health.writes(now) => self.figures.paused.add(1),
            () if !self.bounds.admits(index.queued, length) => self.figures.queue_full.add(1),
            () => {
                let number = index.next_number();
                index.offer(self.card(key, &object.head, (number, length)), object.clone());
            }
        }
        old
    }

    fn card(&self, key: &Key, head: &ResponseHead, (number, length): (u64, u64)) -> Card {
        let age = self.clock.now().since(head.lifetime.responded());
        let stored = self.clock.wall().since_epoch().saturating_sub(age).as_secs();
        let (tags, variant) = (Tag::all(&head.headers).map(|tag| tag.0).collect(), head.variant.clone());
        Card { key: key.clone(), stream: None, tags, variant, number, stored, length }
    }

    /// A response that was stored in memory takes the place of what is here for the same requests.
    pub(super) fn replaced(&self, key: &Key, head: &Arc<ResponseHead>) {
        let old = self.index.lock().supersede(key, &head.variant, head);
        self.bury_soon(&old);
    }

    /// Passes over the keys of all that is on disk.
    pub(super) fn each_key(&self, note: impl FnMut(&Key)) {
        self.index.lock().keys().for_each(note);
    }

    /// Whether there is something for a request.
    pub fn holds(&self, key: &Key, request: &HeaderMap) -> bool {
        self.index.lock().find(key, request, |_| false).is_some()
    }

    /// Takes everything under `key` out of the index, in force at once: the numbers of what went, which are to be buried,
    /// and how much that was. Nothing under `key` may still be in memory when this is called.
    pub(super) fn take_out(&self, key: &Key) -> (Vec<u64>, Removed) {
        let mut removed = Removed::default();
        let mut index = self.index.lock();
        index.changes += 1;
        let numbers = index.remove(key, |_| true, &mut removed);
        (numbers, removed)
    }

    /// As [`Spill::take_out`] for every object that is `chosen`. Walks through the index.
    pub(super) fn take_out_where(&self, chosen: &dyn Fn(&Labels<'_>) -> bool) -> (Vec<u64>, Removed) {
        let mut removed = Removed::default();
        let mut index = self.index.lock();
        index.changes += 1;
        let numbers = index.remove_by(&|card| chosen(&card.labels()), &mut removed);
        (numbers, removed)
    }

    /// Notes on disk what must not come back after a restart, however the process ends, and waits for it: for those who
    /// have nobody else to serve. Where that cannot be written, the segments themselves are taken out of the folder.
    pub(super) fn bury(&self, numbers: &[u64]) {
        if numbers.is_empty() {
            return;
        }
        let Err(error) = self.removed.append(numbers).wait(&self.engine) else { return };
        tracing::warn!(%error, "what was purged cannot be noted on disk: the segments that hold it go as a whole");
        self.figures.errors.add(1);
        let segments: Vec<_> = {
            let mut index = self.index.lock();
            let mut holding = index.holding(numbers);
            holding.extend(index.newest());
            holding.iter().filter_map(|number| index.reclaim_segment(*number)).collect()
        };
        for segment in segments {
            if let Err(error) = fs::remove_file(&segment.path) {
                tracing::error!(%error, "what was purged may come back from disk after a restart");
            }
        }
    }

    /// Notes it on disk and does not wait: for workers. A process that ends within the next moment may find it again.
    pub(super) fn bury_soon(&self, numbers: &[u64]) {
        if !numbers.is_empty() {
            drop(self.removed.append(numbers));
        }
    }

    /// What there is, and how it is.
    pub fn usage(&self) -> Usage {
        let now = self.clock.now();
        let index = self.index.lock();
        Usage {
            engine: self.engine.name(),
            is_direct: self.engine.is_direct(),
            objects: index.objects,
            bytes: index.bytes,
            waiting: index.queued,
            used: self.space.used(),
            size: self.space.limit(),
            standing: self.health.standing(now),
        }
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What was done.
    pub fn figures(&self) -> &Figures {
        &self.figures
    }
}

/// Whether an object may still be sent, at once or after a validation. What had no lifetime from the start lives by the
/// word of a stream, which is not known here.
fn is_of_use(head: &ResponseHead, now: crate::clock::Tick) -> bool {
    let lifetime = &head.lifetime;
    lifetime.freshness(now) != Freshness::Unusable || lifetime.freshness(lifetime.responded()) == Freshness::Unusable
}

fn make_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// A number that no other process has.
fn random() -> u64 {
    let mut octets = [0; 8];
    aws_lc_rs::rand::fill(&mut octets).expect("the system has randomness");
    u64::from_le_bytes(octets)
}

fn into_io(error: DiskError) -> io::Error {
    match error {
        DiskError::System(error) => error,
        other => io::Error::other(other),
    }
}

/// How long the disk is left alone after it has failed: at first, and at most.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
