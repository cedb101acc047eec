//! The figures of this moment: who is watching, and what they experience.

use crate::rules::timeline::event::Entry;

/// The figures of this moment.
#[derive(Default)]
pub struct Live {
    entries: u64,
}

impl Live {
    /// Something happened.
    pub fn note(&mut self, _entry: &Entry) {
        self.entries += 1;
    }

    /// Time has come to this many milliseconds since the epoch.
    pub fn pass(&mut self, _now: u64) {}
}
