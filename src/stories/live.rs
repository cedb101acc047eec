//! The figures of this moment: who is watching, and what they experience.

use crate::rules::qoe::figures::SessionFigures;
use crate::rules::session::SessionId;
use crate::rules::timeline::event::Entry;

use super::snapshot::Snapshot;

/// The figures of this moment.
#[derive(Default)]
pub struct Live {
    now: u64,
}

impl Live {
    /// Something happened.
    pub fn note(&mut self, _entry: &Entry) {}

    /// Time has come to this many milliseconds since the epoch.
    pub fn pass(&mut self, now: u64) {
        self.now = now;
    }

    /// Who is watching and what they experience, as of the last second.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { at: self.now, ..Snapshot::default() }
    }

    /// What a session comes to so far; `None`: it is not known, or no longer.
    pub fn session(&self, _id: SessionId) -> Option<SessionFigures> {
        None
    }
}
