//! The twin over io_uring: one thread that owns the ring, its registered buffers and whatever is in flight.
//!
//! Requests come over a bounded queue; a read of an eventfd, always in the ring, wakes the thread for them. As many are
//! in flight as there are buffers. What is in flight lies in a slab until the kernel has answered for it, so no file is
//! closed and no memory freed under the kernel's hands, whatever becomes of the caller.

#![expect(unsafe_code, reason = "the ring reads and writes memory by address; each block says why that is sound")]
#![expect(clippy::disallowed_methods, reason = "the ring's thread starts here")]

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread;

use io_uring::{IoUring, Probe, opcode, squeue, types};
use slab::Slab;

use super::BUFFER;
use super::buffer::Aligned;
use super::engine::{Done, File, Op, OpenHow, Reply, Twin, Way};

/// Requests in flight, each with a buffer.
const DEPTH: usize = 32;

/// Requests that wait.
const QUEUE: usize = 256;

/// What the completion of the eventfd's read carries.
const WAKE: u64 = u64::MAX;

type Job = (Op, Reply);

/// The ring's end that takes requests. Its thread ends once this is gone and nothing is in flight.
pub(super) struct Ring {
    queue: Option<SyncSender<Job>>,
    bell: Arc<fs::File>,
}

impl Ring {
    /// Fails where the kernel or the container forbids io_uring, or does not know all that is needed.
    pub fn start() -> io::Result<Self> {
        let bell = Arc::new(eventfd()?);
        let worker = Worker::new(bell.clone())?;
        let (queue, take) = sync_channel(QUEUE);
        thread::Builder::new().name("disk-ring".to_owned()).spawn(move || worker.run(&take))?;
        Ok(Self { queue: Some(queue), bell })
    }

    fn ring_bell(&self) {
        // An eventfd refuses only what would overflow it, and then it is ringing already.
        _ = io::Write::write(&mut &*self.bell, &1_u64.to_ne_bytes());
    }
}

impl Twin for Ring {
    fn submit(&self, op: Op, reply: Reply) -> bool {
        let is_taken = self.queue.as_ref().is_some_and(|queue| queue.try_send((op, reply)).is_ok());
        if is_taken {
            self.ring_bell();
        }
        is_taken
    }

    fn name(&self) -> &'static str {
        "io_uring"
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        self.queue = None;
        self.ring_bell();
    }
}

fn eventfd() -> io::Result<fs::File> {
    // SAFETY: eventfd takes no pointer; what it returns is checked before it is used.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and nobody else's.
    Ok(fs::File::from(unsafe { OwnedFd::from_raw_fd(fd) }))
}

/// A request in flight, with all that the kernel may still touch.
struct Flight {
    reply: Reply,
    buffer: usize,
    what: What,
    _held: Held,
}

/// Kept alive while the kernel uses it.
struct Held {
    _file: Option<File>,
    _path: Option<CString>,
}

impl From<File> for Held {
    fn from(file: File) -> Self {
        Self { _file: Some(file), _path: None }
    }
}

impl From<CString> for Held {
    fn from(path: CString) -> Self {
        Self { _file: None, _path: Some(path) }
    }
}

#[derive(Clone, Copy)]
enum What {
    Read,
    Write(usize),
    Open,
    Other,
}

struct Worker {
    ring: IoUring,
    /// All buffers, one behind the other; registered with the ring, and so never moved or freed before it.
    memory: Aligned,
    free: Vec<usize>,
    flights: Slab<Flight>,
    bell: Arc<fs::File>,
    /// Where the eventfd's count is read to.
    rung: Box<[u8; 8]>,
    is_listening: bool,
}

impl Worker {
    fn new(bell: Arc<fs::File>) -> io::Result<Self> {
        let ring = IoUring::new((2 * DEPTH) as u32)?;
        let mut probe = Probe::new();
        ring.submitter().register_probe(&mut probe)?;
        let needed = [
            opcode::ReadFixed::CODE,
            opcode::WriteFixed::CODE,
            opcode::Fsync::CODE,
            opcode::OpenAt::CODE,
            opcode::UnlinkAt::CODE,
            opcode::Read::CODE,
        ];
        if !needed.iter().all(|code| probe.is_supported(*code)) {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "this kernel's io_uring lacks operations"));
        }
        let mut memory = Aligned::new(DEPTH * BUFFER);
        let buffers: Vec<_> = memory
            .as_mut_slice()
            .chunks_mut(BUFFER)
            .map(|buffer| libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() })
            .collect();
        // SAFETY: the memory lives in the worker beside the ring; `run` returns, and so drops both, only once nothing is
        // in flight.
        unsafe { ring.submitter().register_buffers(&buffers) }?;
        let free = (0..DEPTH).collect();
        let flights = Slab::with_capacity(DEPTH);
        Ok(Self { ring, memory, free, flights, bell, rung: Box::new([0; 8]), is_listening: false })
    }

    fn run(mut self, queue: &Receiver<Job>) {
        let mut is_open = true;
        loop {
            is_open = is_open && self.take(queue);
            if !is_open && self.flights.is_empty() {
                return self.abandon();
            }
            if is_open {
                // Whoever rang since the queue was looked at is counted, and ends this wait at once.
                self.listen();
            }
            match self.ring.submit_and_wait(1) {
                Ok(_) => {}
                Err(error) if [Some(libc::EINTR), Some(libc::EBUSY)].contains(&error.raw_os_error()) => {}
                Err(error) => {
                    tracing::error!(%error, "the disk's ring has failed");
                    return self.abandon();
                }
            }
            self.complete();
        }
    }

    /// What is in flight is left with its memory to the kernel: nothing that it may still write to is freed.
    fn abandon(self) {
        if !self.flights.is_empty() || self.is_listening {
            std::mem::forget(self);
        }
    }

    /// Has the ring wait for the bell.
    fn listen(&mut self) {
        if self.is_listening {
            return;
        }
        let bell = types::Fd(self.bell.as_raw_fd());
        let read = opcode::Read::new(bell, self.rung.as_mut_ptr(), 8).build().user_data(WAKE);
        self.push(&read);
        self.is_listening = true;
    }

    /// Puts requests into flight as long as there are buffers; whether the queue is still open.
    fn take(&mut self, queue: &Receiver<Job>) -> bool {
        while let Some(buffer) = self.free.pop() {
            match queue.try_recv() {
                Ok((op, reply)) => self.launch(op, reply, buffer),
                Err(why) => {
                    self.free.push(buffer);
                    return why == TryRecvError::Empty;
                }
            }
        }
        true
    }

    fn launch(&mut self, op: Op, reply: Reply, buffer: usize) {
        if reply.is_closed() && matches!(op, Op::Read { .. }) {
            return self.free.push(buffer);
        }
        let (what, held, entry) = match self.prepare(op, buffer) {
            Ok(prepared) => prepared,
            Err(error) => {
                // A caller that has gone needs no answer.
                _ = reply.send(Err(error));
                return self.free.push(buffer);
            }
        };
        let flight = self.flights.insert(Flight { reply, buffer, what, _held: held });
        self.push(&entry.user_data(flight as u64));
    }

    fn prepare(&mut self, op: Op, buffer: usize) -> io::Result<(What, Held, squeue::Entry)> {
        let index = u16::try_from(buffer).expect("few buffers");
        let memory = &mut self.memory.as_mut_slice()[buffer * BUFFER..(buffer + 1) * BUFFER];
        Ok(match op {
            Op::Read { file, offset, length } => {
                let fd = types::Fd(file.0.as_raw_fd());
                let entry = opcode::ReadFixed::new(fd, memory.as_mut_ptr(), length.min(BUFFER) as u32, index);
                (What::Read, file.into(), entry.offset(offset).build())
            }
            Op::Write { file, offset, octets } => {
                let length = octets.len().min(BUFFER);
                memory[..length].copy_from_slice(&octets[..length]);
                let fd = types::Fd(file.0.as_raw_fd());
                let entry = opcode::WriteFixed::new(fd, memory.as_ptr(), length as u32, index);
                (What::Write(length), file.into(), entry.offset(offset).build())
            }
            Op::Sync { file } => {
                let fd = types::Fd(file.0.as_raw_fd());
                let entry = opcode::Fsync::new(fd).flags(types::FsyncFlags::DATASYNC).build();
                (What::Other, file.into(), entry)
            }
            Op::Open { path, how, way } => {
                let path = c_path(path)?;
                let made = if how == OpenHow::New { libc::O_CREAT | libc::O_EXCL } else { 0 };
                let direct = if way == Way::Direct { libc::O_DIRECT } else { 0 };
                let flags = libc::O_RDWR | libc::O_CLOEXEC | made | direct;
                let entry = opcode::OpenAt::new(types::Fd(libc::AT_FDCWD), path.as_ptr()).flags(flags).mode(0o600);
                (What::Open, path.into(), entry.build())
            }
            Op::Unlink { path } => {
                let path = c_path(path)?;
                let entry = opcode::UnlinkAt::new(types::Fd(libc::AT_FDCWD), path.as_ptr()).build();
                (What::Other, path.into(), entry)
            }
        })
    }

    fn push(&mut self, entry: &squeue::Entry) {
        // SAFETY: what the entry points to is registered memory, the eventfd's place, or lies in the slab of flights on
        // the heap; all of it stays where it is until the entry's completion has been seen.
        let pushed = unsafe { self.ring.submission().push(entry) };
        pushed.expect("the ring has more places than there are buffers");
    }

    fn complete(&mut self) {
        let completed: Vec<_> = self.ring.completion().map(|entry| (entry.user_data(), entry.result())).collect();
        for (data, result) in completed {
            if data == WAKE {
                self.is_listening = false;
                continue;
            }
            let flight = usize::try_from(data).expect("a place in the slab");
            let Flight { reply, buffer, what, _held } = self.flights.remove(flight);
            let memory = &self.memory.as_slice()[buffer * BUFFER..(buffer + 1) * BUFFER];
            // A caller that has gone needs no answer.
            _ = reply.send(outcome(what, result, memory));
            self.free.push(buffer);
        }
    }
}

fn outcome(what: What, result: i32, memory: &[u8]) -> io::Result<Done> {
    if result < 0 {
        return Err(io::Error::from_raw_os_error(-result));
    }
    let octets = usize::try_from(result).expect("not negative");
    match what {
        What::Read => Ok(Done::Octets(memory[..octets].to_vec())),
        // A file system that takes less than it was given has no room for the rest.
        What::Write(length) if octets < length => Err(io::ErrorKind::StorageFull.into()),
        What::Write(_) | What::Other => Ok(Done::Nothing),
        What::Open => {
            let fd: RawFd = result;
            // SAFETY: the kernel has just made this descriptor for this request, and nobody else knows it.
            let file = fs::File::from(unsafe { OwnedFd::from_raw_fd(fd) });
            Ok(Done::File(file.into()))
        }
    }
}

fn c_path(path: PathBuf) -> io::Result<CString> {
    CString::new(path.into_os_string().into_vec()).map_err(|_| io::ErrorKind::InvalidInput.into())
}
