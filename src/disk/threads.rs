//! The twin for kernels and containers without io_uring: a few threads, each with a buffer of its own, that take
//! requests from one bounded queue and do them one at a time.

#![expect(clippy::disallowed_methods, reason = "the disk's threads start here")]

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use parking_lot::Mutex;

use super::BUFFER;
use super::buffer::Aligned;
use super::engine::{Done, Op, OpenHow, Reply, Twin, Way};

/// Requests in progress.
const THREADS: usize = 4;

/// Requests that wait.
const QUEUE: usize = 256;

type Job = (Op, Reply);

/// The threads' end that takes requests. They end once it is gone; one that waits for a disk that never answers is left
/// to the system.
pub(super) struct Threads(SyncSender<Job>);

impl Threads {
    pub fn start() -> io::Result<Self> {
        let (send, take) = sync_channel(QUEUE);
        let take = Arc::new(Mutex::new(take));
        for index in 0..THREADS {
            let take = take.clone();
            thread::Builder::new().name(format!("disk-{index}")).spawn(move || work(&take))?;
        }
        Ok(Self(send))
    }
}

impl Twin for Threads {
    fn submit(&self, op: Op, reply: Reply) -> bool {
        self.0.try_send((op, reply)).is_ok()
    }

    fn name(&self) -> &'static str {
        "threads"
    }
}

fn work(queue: &Mutex<Receiver<Job>>) {
    let mut buffer = Aligned::new(BUFFER);
    loop {
        // The lock is held while waiting: whoever has it is the next to work.
        let job = queue.lock().recv();
        let Ok((op, reply)) = job else { return };
        if !reply.is_closed() || !matches!(op, Op::Read { .. }) {
            // A caller that has gone needs no answer.
            _ = reply.send(perform(op, &mut buffer));
        }
    }
}

fn perform(op: Op, buffer: &mut Aligned) -> io::Result<Done> {
    match op {
        Op::Read { file, offset, length } => {
            let into = &mut buffer.as_mut_slice()[..length];
            let mut got = 0;
            while got < into.len() {
                match file.0.read_at(&mut into[got..], offset + got as u64) {
                    Ok(0) => break,
                    Ok(octets) => got += octets,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(Done::Octets(into[..got].to_vec()))
        }
        Op::Write { file, offset, octets } => {
            let from = &mut buffer.as_mut_slice()[..octets.len()];
            from.copy_from_slice(&octets);
            file.0.write_all_at(from, offset)?;
            Ok(Done::Nothing)
        }
        Op::Sync { file } => file.0.sync_data().map(|()| Done::Nothing),
        Op::Open { path, how, way } => open(&path, how, way).map(|file| Done::File(file.into())),
        Op::Unlink { path } => fs::remove_file(path).map(|()| Done::Nothing),
    }
}

pub(super) fn open(path: &Path, how: OpenHow, way: Way) -> io::Result<fs::File> {
    let flags = if way == Way::Direct { libc::O_DIRECT } else { 0 };
    let is_new = how == OpenHow::New;
    OpenOptions::new().read(true).write(true).create_new(is_new).mode(0o600).custom_flags(flags).open(path)
}
