//! Pieces of a form → few chunks: small ones are gathered, so that a form of many pieces does not become as many frames
//! and writes; large ones are shared as they are.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use bytes::Bytes;

/// Pieces of this size and more are shared, in octets.
const LARGE: usize = 4 << 10;
/// What gathered pieces come to at most, in octets.
const GATHERED: usize = 16 << 10;

/// The seed of entity tags: nodes that send the same octets under a URL give them the same tag.
const SEED: u64 = 0x7765_6972;

/// Chunks that may still grow at their end.
#[derive(Clone)]
pub struct Pack {
    chunks: Vec<Bytes>,
    gathered: Vec<u8>,
    length: u64,
    hasher: foldhash::quality::FoldHasher<'static>,
}

/// Chunks in their final form.
pub struct Packed {
    /// Octets, in order.
    pub chunks: Arc<[Bytes]>,
    /// How many there are.
    pub length: u64,
    /// A hash of them.
    pub hash: u64,
}

impl Pack {
    /// No octets.
    pub fn new() -> Self {
        let hasher = foldhash::quality::FixedState::with_seed(SEED).build_hasher();
        Self { chunks: Vec::new(), gathered: Vec::new(), length: 0, hasher }
    }

    /// Octets that may be shared.
    pub fn share(&mut self, octets: &Bytes) {
        if octets.len() < LARGE {
            return self.copy(octets);
        }
        self.note(octets);
        self.close();
        self.chunks.push(octets.clone());
    }

    /// Octets that are copied.
    pub fn copy(&mut self, octets: &[u8]) {
        self.note(octets);
        if self.gathered.len() + octets.len() > GATHERED {
            self.close();
        }
        self.gathered.extend_from_slice(octets);
    }

    fn note(&mut self, octets: &[u8]) {
        self.length += octets.len() as u64;
        self.hasher.write(octets);
    }

    fn close(&mut self) {
        if !self.gathered.is_empty() {
            self.chunks.push(std::mem::take(&mut self.gathered).into_boxed_slice().into());
        }
    }

    /// Nothing follows.
    pub fn finish(mut self) -> Packed {
        self.close();
        self.hasher.write_u64(self.length);
        Packed { chunks: self.chunks.into(), length: self.length, hash: self.hasher.finish() }
    }
}
