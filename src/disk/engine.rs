//! Engine: what both twins do, and how long anybody waits for it.

use std::fs;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::clock::{Clock, Tick};

use super::threads::Threads;
use super::uring::Ring;
use super::{ALIGNMENT, BUFFER, Choice};

/// How long a read may take, its wait for a place included.
const READ_WITHIN: Duration = Duration::from_secs(2);

/// How long anything else may take.
const WRITE_WITHIN: Duration = Duration::from_secs(10);

/// Why a request came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// As many requests wait as may: the disk does not keep up.
    #[error("too many requests wait for the disk")]
    Full,
    /// The disk did not answer in time. What it was asked for may still happen.
    #[error("the disk did not answer in time")]
    TimedOut,
    /// The threads of the engine are gone.
    #[error("the disk engine has ended")]
    Ended,
    /// What the system says.
    #[error(transparent)]
    System(#[from] io::Error),
}

impl DiskError {
    /// Whether the file system has no room left.
    pub fn is_full_disk(&self) -> bool {
        const FULL: [io::ErrorKind; 3] =
            [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded, io::ErrorKind::FileTooLarge];
        matches!(self, Self::System(error) if FULL.contains(&error.kind()))
    }
}

/// An open file. It is closed once nobody holds it any more, the kernel included.
#[derive(Clone, Debug)]
pub struct File(pub(super) Arc<fs::File>);

impl From<fs::File> for File {
    fn from(file: fs::File) -> Self {
        Self(Arc::new(file))
    }
}

impl AsRef<fs::File> for File {
    fn as_ref(&self) -> &fs::File {
        &self.0
    }
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenHow {
    /// It exists.
    Existing,
    /// It is made, and does not exist yet.
    New,
}

/// What can be asked for.
pub enum Op {
    /// So many octets from an offset: fewer where the file ends, and at most [`BUFFER`].
    Read {
        /// From which file.
        file: File,
        /// From where.
        offset: u64,
        /// How many.
        length: usize,
    },
    /// These octets, at most [`BUFFER`], at an offset.
    Write {
        /// To which file.
        file: File,
        /// Where.
        offset: u64,
        /// What.
        octets: Bytes,
    },
    /// All that was written reaches the disk.
    Sync {
        /// Of which file.
        file: File,
    },
    /// Opens a file for reading and writing.
    Open {
        /// Which.
        path: PathBuf,
        /// How.
        how: OpenHow,
        /// By the page cache or past it.
        way: Way,
    },
    /// Takes a file out of its folder.
    Unlink {
        /// Which.
        path: PathBuf,
    },
}

/// Whether a file is read and written through the page cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Through it.
    Cached,
    /// Past it, where the file system allows that: what is kept here is kept in memory already where that pays.
    Direct,
}

/// What came of a request.
pub enum Done {
    /// The octets that were read.
    Octets(Vec<u8>),
    /// The file that was opened.
    File(File),
    /// It was done.
    Nothing,
}

/// Where the answer goes.
pub type Reply = oneshot::Sender<io::Result<Done>>;

/// One of the twins, or a test's own.
pub trait Twin: Send + Sync {
    /// Takes a request without blocking; `false`, and the reply is dropped, where as many wait as may.
    fn submit(&self, op: Op, reply: Reply) -> bool;

    /// Its word in `/status`.
    fn name(&self) -> &'static str;
}

/// Reads and writes files. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    twin: Arc<dyn Twin>,
    clock: Clock,
    way: Way,
}

impl Engine {
    /// The twin that was chosen, or that works here. `folder`, which exists, tells whether the page cache can be passed
    /// by.
    ///
    /// # Errors
    /// Where the chosen one cannot be started.
    pub fn start(choice: Choice, folder: &Path, clock: Clock) -> io::Result<Self> {
        let twin: Arc<dyn Twin> = match choice {
            Choice::IoUring => Arc::new(Ring::start()?),
            Choice::Threads => Arc::new(Threads::start()?),
            Choice::Auto => match Ring::start() {
                Ok(ring) => Arc::new(ring),
                Err(error) => {
                    tracing::info!(%error, "io_uring cannot be used here, threads read and write instead");
                    Arc::new(Threads::start()?)
                }
            },
        };
        let way = if passes_by_page_cache(folder) { Way::Direct } else { Way::Cached };
        Ok(Self { twin, clock, way })
    }

    /// An engine over a twin of the caller's.
    pub fn over(twin: Arc<dyn Twin>, clock: Clock) -> Self {
        Self { twin, clock, way: Way::Cached }
    }

    /// The word of the twin that runs: `io_uring` or `threads`.
    pub fn name(&self) -> &'static str {
        self.twin.name()
    }

    /// Whether the page cache is passed by.
    pub fn is_direct(&self) -> bool {
        self.way == Way::Direct
    }

    /// Reads `length` octets, fewer where the file ends there. The request is under way when this returns.
    pub fn read(&self, file: &File, offset: u64, length: usize) -> Pending<Vec<u8>> {
        debug_assert!(length <= BUFFER, "one buffer a read");
        let op = Op::Read { file: file.clone(), offset, length };
        self.submit(op, READ_WITHIN, |done| match done {
            Done::Octets(octets) => octets,
            Done::File(_) | Done::Nothing => Vec::new(),
        })
    }

    /// Writes all of `octets`. The request is under way when this returns.
    pub fn write(&self, file: &File, offset: u64, octets: Bytes) -> Pending<()> {
        debug_assert!(octets.len() <= BUFFER, "one buffer a write");
        self.submit(Op::Write { file: file.clone(), offset, octets }, WRITE_WITHIN, |_| ())
    }

    /// Sees to it that what was written reaches the disk.
    pub fn sync(&self, file: &File) -> Pending<()> {
        self.submit(Op::Sync { file: file.clone() }, WRITE_WITHIN, |_| ())
    }

    /// Opens a file for aligned reads and writes of whole blocks.
    pub fn open(&self, path: PathBuf, how: OpenHow) -> Pending<Option<File>> {
        self.submit(Op::Open { path, how, way: self.way }, WRITE_WITHIN, |done| match done {
            Done::File(file) => Some(file),
            Done::Octets(_) | Done::Nothing => None,
        })
    }

    /// Opens a file for reads and writes of any length.
    pub fn open_cached(&self, path: PathBuf, how: OpenHow) -> Pending<Option<File>> {
        self.submit(Op::Open { path, how, way: Way::Cached }, WRITE_WITHIN, |done| match done {
            Done::File(file) => Some(file),
            Done::Octets(_) | Done::Nothing => None,
        })
    }

    /// Takes a file out of its folder.
    pub fn unlink(&self, path: PathBuf) -> Pending<()> {
        self.submit(Op::Unlink { path }, WRITE_WITHIN, |_| ())
    }

    fn submit<T>(&self, op: Op, within: Duration, of: fn(Done) -> T) -> Pending<T> {
        let (reply, answer) = oneshot::channel();
        let deadline = self.clock.now() + within;
        let state = match self.twin.submit(op, reply) {
            true => State::Waiting(answer, Box::pin(self.clock.sleep_until(deadline))),
            false => State::Full,
        };
        Pending { state, of, clock: self.clock.clone(), deadline }
    }
}

enum State {
    Waiting(oneshot::Receiver<io::Result<Done>>, Pin<Box<dyn Future<Output = ()> + Send>>),
    Full,
}

/// A request that is under way. Dropped, it goes on, and its answer is for nobody.
pub struct Pending<T> {
    state: State,
    of: fn(Done) -> T,
    clock: Clock,
    deadline: Tick,
}

impl<T> Pending<T> {
    fn answered(&self, answer: Result<io::Result<Done>, oneshot::error::RecvError>) -> Result<T, DiskError> {
        match answer {
            Ok(Ok(done)) => Ok((self.of)(done)),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(DiskError::Ended),
        }
    }

    /// Blocks the calling thread until it is done: for those who have nobody else to serve. Works inside a runtime,
    /// which stands still meanwhile.
    ///
    /// # Errors
    /// As awaiting it.
    pub fn wait(mut self) -> Result<T, DiskError> {
        struct Unpark(Thread);
        impl Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }
        let State::Waiting(answer, _) = &mut self.state else { return Err(DiskError::Full) };
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        loop {
            // A task that has used up its turn is told to come again once it has yielded, which this thread does not.
            if let Poll::Ready(answer) = pin!(tokio::task::unconstrained(&mut *answer)).poll(&mut context) {
                return self.answered(answer);
            }
            let left = self.deadline.since(self.clock.now());
            if left.is_zero() {
                return Err(DiskError::TimedOut);
            }
            thread::park_timeout(left);
        }
    }
}

impl<T> Future for Pending<T> {
    type Output = Result<T, DiskError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let State::Waiting(answer, deadline) = &mut self.state else { return Poll::Ready(Err(DiskError::Full)) };
        if let Poll::Ready(answer) = pin!(answer).poll(cx) {
            return Poll::Ready(self.answered(answer));
        }
        match deadline.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(DiskError::TimedOut)),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// Whether a file in `folder` can be written and read past the page cache: tmpfs, for one, refuses it.
fn passes_by_page_cache(folder: &Path) -> bool {
    let path = folder.join(".direct");
    let probe = || -> io::Result<()> {
        let file = super::threads::open(&path, OpenHow::New, Way::Direct)?;
        let mut buffer = super::buffer::Aligned::new(ALIGNMENT);
        std::os::unix::fs::FileExt::write_all_at(&file, buffer.as_slice(), 0)?;
        std::os::unix::fs::FileExt::read_exact_at(&file, buffer.as_mut_slice(), 0)
    };
    // Left over where a process was killed between making and removing it.
    _ = fs::remove_file(&path);
    let passes = probe().is_ok();
    _ = fs::remove_file(&path);
    passes
}
