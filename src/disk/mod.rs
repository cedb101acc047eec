//! Files for those who must never wait for a disk: the engine takes requests without blocking and answers by message.
//!
//! Two twins do the work, chosen at start: one ring thread over io_uring where the kernel allows it, a few threads with
//! positioned reads and writes elsewhere. Whoever works owns file and buffer until the kernel is done with them, so a
//! caller who goes away frees nothing in flight. Requests are bounded, and so is the time that a caller waits.

mod buffer;
mod engine;
mod lock;
#[cfg(test)]
mod tests;
mod threads;
mod uring;

pub use engine::{DiskError, Done, Engine, File, Op, OpenHow, Pending, Reply, Twin, Way};
pub use lock::lock;

/// Octets of one buffer: the most that one request reads or writes.
pub const BUFFER: usize = 64 << 10;

/// What offsets, lengths and addresses must be multiples of where the page cache is passed by.
pub const ALIGNMENT: usize = 4 << 10;

/// Which twin is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// io_uring where it works, threads elsewhere.
    Auto,
    /// io_uring or none.
    IoUring,
    /// Threads.
    Threads,
}
