//! Fingerprints as keys of tables: they are random already, so that hashing them again would only cost time.

use std::hash::Hasher;

/// Takes the one word that a fingerprint is written as for its hash.
#[derive(Default)]
pub(super) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("a fingerprint is written as one word");
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = word;
    }
}
