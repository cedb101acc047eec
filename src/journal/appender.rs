//! Appending: who appends hands over frames and may wait until they are kept; one task writes and syncs all that has
//! come meanwhile. What could not be written is in nobody's way: it is tried again, in a file of its own.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tracing::{error, info, warn};

use crate::clock::Clock;
use crate::disk::{DiskError, Engine};
use crate::tasks::Tasks;

use super::files::{self, Counts, Found};
use super::frame::{self, PREAMBLE};
use super::open::{Framed, Open};
use super::reader::log_path;
use super::{Kind, LONGEST, Room};

/// Octets of events that wait to be written.
const WAITING: usize = 64 << 20;

/// What could not be written is tried again after this.
const AGAIN: Duration = Duration::from_secs(5);

/// So many files are put together, however small they are.
const FILES: usize = 32;

/// Why something is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotKept {
    /// The disk did not take it; it is tried again.
    #[error("the disk did not take it")]
    Disk,
    /// More waits to be written than may.
    #[error("too much waits to be written")]
    Full,
    /// Nobody writes: the node stops.
    #[error("the node stops")]
    Stopping,
}

pub(super) type Answer = Result<(), NotKept>;

/// Completes when what was appended is kept, or could not be.
pub struct Keeping(State);

enum State {
    Waiting(oneshot::Receiver<Answer>),
    Known(Answer),
}

impl Future for Keeping {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        match &mut self.0 {
            State::Known(answer) => Poll::Ready(*answer),
            State::Waiting(answer) => Pin::new(answer).poll(cx).map(|answer| answer.unwrap_or(Err(NotKept::Stopping))),
        }
    }
}

/// How the journal does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Events that were kept.
    pub kept: u64,
    /// Attempts to write that failed.
    pub failures: u64,
    /// Octets of all files.
    pub octets: u64,
    /// Octets that wait to be written.
    pub waiting: u64,
    /// Snapshots that were made.
    pub snapshots: u64,
}

#[derive(Default)]
struct Counters {
    kept: AtomicU64,
    failures: AtomicU64,
    octets: AtomicU64,
    snapshots: AtomicU64,
}

/// An event that waits: its kind, and what it says.
type Event = (u8, Box<[u8]>);

impl Framed for Event {
    fn size(&self) -> usize {
        frame::size(1 + self.1.len())
    }

    fn write(&self, into: &mut Vec<u8>, number: u64) {
        frame::write(into, number, &[&[self.0], &self.1]);
    }
}

#[derive(Default)]
struct Queue {
    events: Vec<Event>,
    octets: usize,
    replies: Vec<oneshot::Sender<Answer>>,
}

/// The journal of a folder. Cheap to clone.
#[derive(Clone)]
pub struct Journal(Arc<Shared>);

struct Shared {
    folder: PathBuf,
    engine: Engine,
    clock: Clock,
    room: Room,
    queue: Mutex<Queue>,
    bell: Notify,
    closed: Mutex<Closed>,
    closed_bell: Notify,
    counters: Counters,
}

/// The files that are written no more.
struct Closed {
    /// The last of them.
    last: Option<u64>,
    files: usize,
    octets: u64,
    snapshot: u64,
    next: u64,
}

impl Journal {
    /// Reads what an earlier process wrote, in order, and goes on behind it. Blocks: it is for the start of a node.
    ///
    /// # Errors
    /// Where the folder cannot be read or made.
    pub fn open(
        folder: &Path,
        (engine, clock): (Engine, Clock),
        room: Room,
        mut take: impl FnMut(Kind, &[u8]),
    ) -> io::Result<Self> {
        let Found { next, octets, logs, snapshot } = files::open(folder, &mut |kind, event| {
            if let Some(kind) = Kind::of(kind) {
                take(kind, event);
            }
        })?;
        let last = (logs > 0).then(|| next - 1);
        let closed = Closed { last, files: logs, octets: octets - snapshot, snapshot, next };
        let counters = Counters { octets: AtomicU64::new(octets), ..Counters::default() };
        // Kept until somebody listens: files of an earlier process may have grown.
        let closed_bell = Notify::new();
        closed_bell.notify_one();
        Ok(Self(Arc::new(Shared {
            folder: folder.to_owned(),
            engine,
            clock,
            room,
            queue: Mutex::default(),
            bell: Notify::new(),
            closed: Mutex::new(closed),
            closed_bell,
            counters,
        })))
    }

    /// Appends events. They are written whether or not anybody waits for it. Without any, it is said whether all that
    /// was appended before is kept.
    pub fn append(&self, kind: Kind, events: impl IntoIterator<Item = Vec<u8>>) -> Keeping {
        let (reply, answer) = oneshot::channel();
        let mut queue = self.0.queue.lock();
        let mut is_full = false;
        for event in events {
            debug_assert!(event.len() <= LONGEST, "events are short");
            is_full |= queue.octets + event.len() > WAITING;
            if is_full {
                break;
            }
            queue.octets += event.len();
            queue.events.push((kind.octet(), event.into()));
        }
        if is_full {
            return Keeping(State::Known(Err(NotKept::Full)));
        }
        queue.replies.push(reply);
        drop(queue);
        self.0.bell.notify_one();
        Keeping(State::Waiting(answer))
    }

    /// How it does.
    pub fn figures(&self) -> Figures {
        let counters = &self.0.counters;
        Figures {
            kept: counters.kept.load(Relaxed),
            failures: counters.failures.load(Relaxed),
            octets: counters.octets.load(Relaxed),
            waiting: self.0.queue.lock().octets as u64,
            snapshots: counters.snapshots.load(Relaxed),
        }
    }

    /// Writes what is appended, for as long as the node runs.
    pub async fn write(self, tasks: Tasks) {
        let shared = self.0;
        let mut open = None;
        let mut is_late = false;
        loop {
            if is_late {
                tokio::select! {
                    () = shared.bell.notified() => {}
                    () = shared.clock.sleep_until(shared.clock.now() + AGAIN) => {}
                }
            } else {
                shared.bell.notified().await;
            }
            let Queue { events, replies, .. } = std::mem::take(&mut *shared.queue.lock());
            let written = shared.commit(&mut open, &events, &tasks).await;
            let answer = match &written {
                Ok(()) => {
                    shared.counters.kept.fetch_add(events.len() as u64, Relaxed);
                    if is_late {
                        info!("the journal is written again");
                    }
                    Ok(())
                }
                Err(why) => {
                    if !is_late {
                        error!(%why, "the journal cannot be written: what is revoked now is forgotten by a restart");
                    }
                    shared.counters.failures.fetch_add(1, Relaxed);
                    shared.put_back(events);
                    Err(NotKept::Disk)
                }
            };
            is_late = written.is_err();
            // Whoever asked may have gone.
            replies.into_iter().for_each(|reply| _ = reply.send(answer));
        }
    }

    /// Puts the files together when they have grown, for as long as the node runs. `counts` says what is kept.
    pub async fn compact(self, tasks: Tasks, counts: impl Fn(Kind, &[u8]) -> bool + Send + Sync + 'static) {
        let shared = self.0;
        let counts = move |kind, event: &[u8]| Kind::of(kind).is_some_and(|kind| counts(kind, event));
        let counts: Arc<Counts> = Arc::new(counts);
        loop {
            shared.closed_bell.notified().await;
            let Some((last, files, octets)) = shared.closed.lock().overgrown(shared.room.file) else { continue };
            let (folder, counts) = (shared.folder.clone(), counts.clone());
            let made = tasks.spawn_blocking("journal", move || files::compact(&folder, last, &*counts)).await;
            match made {
                Ok(Ok((snapshot, gone))) => {
                    let mut closed = shared.closed.lock();
                    closed.files -= files;
                    closed.octets -= octets;
                    closed.snapshot = snapshot;
                    shared.counters.octets.fetch_add(snapshot, Relaxed);
                    shared.counters.octets.fetch_sub(gone, Relaxed);
                    shared.counters.snapshots.fetch_add(1, Relaxed);
                }
                Ok(Err(why)) => warn!(%why, "no snapshot of the journal can be made, its files stay"),
                Err(_) => error!("making a snapshot of the journal panicked, its files stay"),
            }
        }
    }
}

impl Closed {
    /// What should be put together: the last file, how many, and their octets.
    fn overgrown(&self, file: u64) -> Option<(u64, usize, u64)> {
        let is_much = self.octets > self.snapshot + 2 * file || self.files > FILES;
        self.last.filter(|_| is_much && self.files > 0).map(|last| (last, self.files, self.octets))
    }
}

/// Why a batch was not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unwritten {
    #[error("{0}")]
    Disk(#[from] DiskError),
    #[error("{0}")]
    File(#[from] io::Error),
    #[error("its files take all the room that they may")]
    NoRoom,
}

impl Shared {
    /// Writes events behind each other, and sees to it that they reach the disk.
    async fn commit(&self, open: &mut Option<Open>, events: &[Event], tasks: &Tasks) -> Result<(), Unwritten> {
        if events.is_empty() {
            return Ok(());
        }
        let length: usize = events.iter().map(Framed::size).sum();
        if self.counters.octets.load(Relaxed) + length as u64 > self.room.all {
            self.closed_bell.notify_one();
            return Err(Unwritten::NoRoom);
        }
        // Taken out: whatever fails from here on, the file is not written again behind what may stand there half.
        let mut current = match open.take() {
            Some(current) if current.length < self.room.file => current,
            Some(full) => {
                self.close(&full);
                self.begin(tasks).await?
            }
            None => self.begin(tasks).await?,
        };
        let outcome = self.write_all(&mut current, events).await;
        match outcome {
            Ok(()) => *open = Some(current),
            Err(_) => self.close(&current),
        }
        Ok(outcome?)
    }

    async fn write_all(&self, current: &mut Open, events: &[Event]) -> Result<(), DiskError> {
        current.append(&self.engine, events, &self.counters.octets).await?;
        self.engine.sync(&current.file).await
    }

    async fn begin(&self, tasks: &Tasks) -> io::Result<Open> {
        let number = {
            let mut closed = self.closed.lock();
            closed.next += 1;
            closed.next - 1
        };
        let path = log_path(&self.folder, number);
        let made = tasks.spawn_blocking("journal", move || files::create(&path, number)).await;
        let file = made.unwrap_or_else(|_| Err(io::Error::other("making a file panicked")))?;
        self.counters.octets.fetch_add(PREAMBLE as u64, Relaxed);
        Ok(Open::new(file, number))
    }

    fn close(&self, full: &Open) {
        let mut closed = self.closed.lock();
        closed.last = Some(full.number);
        closed.files += 1;
        closed.octets += full.length;
        drop(closed);
        self.closed_bell.notify_one();
    }

    /// Puts events back before those that came meanwhile.
    fn put_back(&self, mut events: Vec<Event>) {
        let mut queue = self.queue.lock();
        queue.octets += events.iter().map(|(_, event)| event.len()).sum::<usize>();
        events.append(&mut queue.events);
        queue.events = events;
    }
}
