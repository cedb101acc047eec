//! The accountant: what the cache holds, by kind, below one ceiling.
//!
//! A `Charge` is bytes taken from the ceiling until it is dropped. Chunks carry theirs with them, so an evicted object
//! that is still being read, or waits in a socket's queue, is counted until its last octet has left.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;

use bytes::Bytes;

use super::sync::{AtomicU64, AtomicUsize, Mutex, fence};

/// What a chunk costs beside its octets: owner, reference count, its place in a list.
const CHUNK_OVERHEAD: u64 = 128;

/// What a chunk of so many octets takes: the size that the allocator makes of them, of which it knows four to each
/// doubling, and what stands beside them.
pub(super) const fn chunk_weight(octets: u64) -> u64 {
    let step = octets.next_power_of_two() / 8;
    octets.next_multiple_of(if step < 16 { 16 } else { step }) + CHUNK_OVERHEAD
}

/// Larger than what the allocator keeps pages of.
const NUDGE: usize = 1 << 20;

/// Lets the allocator give back to the system what has been free for a while. It looks for that only where a page comes
/// or goes; at rest none do, and a quarter of what a scan left would stay resident. The block is never touched.
pub(super) fn give_back() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(NUDGE)));
}

/// What memory is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Bodies,
    Heads,
    Index,
    Fills,
    DiskIndex,
}

/// What the cache holds, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// What all kinds together may reach.
    pub ceiling: u64,
    /// Octets of bodies, stored, arriving or still being sent.
    pub bodies: u64,
    /// Heads of stored and arriving responses.
    pub heads: u64,
    /// The index of what is stored.
    pub index: u64,
    /// Reserved for what has yet to arrive.
    pub fills: u64,
    /// The index of what is on disk.
    pub disk_index: u64,
}

impl Usage {
    /// All kinds together.
    pub const fn total(&self) -> u64 {
        self.bodies + self.heads + self.index + self.fills + self.disk_index
    }
}

/// Counts memory.
pub(super) struct Memory {
    ceiling: AtomicU64,
    total: AtomicU64,
    kinds: [AtomicU64; 5],
    waiters: AtomicUsize,
    waiting: Mutex<Vec<Waker>>,
}

impl Memory {
    pub fn new(ceiling: u64) -> Arc<Self> {
        Arc::new(Self {
            ceiling: AtomicU64::new(ceiling),
            total: AtomicU64::new(0),
            kinds: Default::default(),
            waiters: AtomicUsize::new(0),
            waiting: Mutex::new(Vec::new()),
        })
    }

    pub fn ceiling(&self) -> u64 {
        self.ceiling.load(Ordering::Relaxed)
    }

    pub fn set_ceiling(&self, bytes: u64) {
        self.ceiling.store(bytes, Ordering::Relaxed);
        self.wake();
    }

    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    pub fn usage(&self) -> Usage {
        let of = |kind: Kind| self.kinds[kind as usize].load(Ordering::Relaxed);
        Usage {
            ceiling: self.ceiling(),
            bodies: of(Kind::Bodies),
            heads: of(Kind::Heads),
            index: of(Kind::Index),
            fills: of(Kind::Fills),
            disk_index: of(Kind::DiskIndex),
        }
    }

    /// Takes `bytes` where the ceiling allows it.
    pub fn try_charge(self: &Arc<Self>, kind: Kind, bytes: u64) -> Option<Charge> {
        let ceiling = self.ceiling();
        let fits = |total: u64| total.checked_add(bytes).filter(|total| *total <= ceiling);
        self.total.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).ok()?;
        Some(self.counted(kind, bytes))
    }

    /// Takes `bytes` whatever the ceiling says: for small things that follow from what was already let in.
    pub fn charge(self: &Arc<Self>, kind: Kind, bytes: u64) -> Charge {
        self.total.fetch_add(bytes, Ordering::Relaxed);
        self.counted(kind, bytes)
    }

    fn counted(self: &Arc<Self>, kind: Kind, bytes: u64) -> Charge {
        self.kinds[kind as usize].fetch_add(bytes, Ordering::Relaxed);
        Charge { memory: self.clone(), kind, bytes }
    }

    /// Wakes the task once something was given back. The caller tries again after this call, and only then waits.
    pub fn wait(&self, waker: &Waker) {
        let mut waiting = self.waiting.lock();
        if !waiting.iter().any(|held| held.will_wake(waker)) {
            waiting.push(waker.clone());
        }
        self.waiters.store(waiting.len(), Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    fn give_back(&self, kind: Kind, bytes: u64) {
        self.kinds[kind as usize].fetch_sub(bytes, Ordering::Relaxed);
        self.total.fetch_sub(bytes, Ordering::Relaxed);
        // Given back first, looked second: a waiter does the reverse, so one of the two sees the other.
        fence(Ordering::SeqCst);
        if self.waiters.load(Ordering::Relaxed) > 0 {
            self.wake();
        }
    }

    fn wake(&self) {
        let woken = {
            let mut waiting = self.waiting.lock();
            self.waiters.store(0, Ordering::Relaxed);
            std::mem::take(&mut *waiting)
        };
        woken.into_iter().for_each(Waker::wake);
    }
}

/// Bytes taken from the ceiling; dropping it gives them back.
pub(super) struct Charge {
    memory: Arc<Memory>,
    kind: Kind,
    bytes: u64,
}

impl Charge {
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// Takes `bytes` out of this charge as one of their own; `None` where it holds fewer.
    pub fn split(&mut self, kind: Kind, bytes: u64) -> Option<Charge> {
        self.bytes = self.bytes.checked_sub(bytes)?;
        self.memory.kinds[self.kind as usize].fetch_sub(bytes, Ordering::Relaxed);
        Some(self.memory.counted(kind, bytes))
    }

    /// Adds another charge to this one.
    pub fn absorb(&mut self, mut other: Charge) {
        let bytes = std::mem::take(&mut other.bytes);
        self.memory.kinds[other.kind as usize].fetch_sub(bytes, Ordering::Relaxed);
        self.memory.kinds[self.kind as usize].fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.memory.give_back(self.kind, self.bytes);
        }
    }
}

struct Chunk {
    octets: Box<[u8]>,
    _charge: Charge,
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        &self.octets
    }
}

/// An allocation of exact size that is accounted for until its last reader has let go of it.
pub(super) fn chunk(octets: Box<[u8]>, charge: Charge) -> Bytes {
    Bytes::from_owner(Chunk { octets, _charge: charge })
}
