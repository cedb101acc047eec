//! Memory whose start is aligned as direct reads and writes want it.

use super::ALIGNMENT;

/// One allocation of so many octets, aligned.
pub(super) struct Aligned {
    octets: Box<[u8]>,
    start: usize,
    length: usize,
}

impl Aligned {
    pub fn new(length: usize) -> Self {
        let octets = vec![0; length + ALIGNMENT].into_boxed_slice();
        let start = octets.as_ptr().align_offset(ALIGNMENT);
        Self { octets, start, length }
    }

    pub fn as_slice(&self) -> &[u8] {
        &self.octets[self.start..self.start + self.length]
    }

    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.octets[self.start..self.start + self.length]
    }
}
