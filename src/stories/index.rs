//! Which sessions there are: found by identifier, support code, subject and stream.

use std::collections::HashMap;

use crate::rules::session::SessionId;
use crate::rules::timeline::event::Entry;

/// Sessions of which something is kept.
#[derive(Default)]
pub struct Index {
    first: HashMap<SessionId, u64>,
}

impl Index {
    /// An entry was kept under a number.
    pub fn note(&mut self, entry: &Entry, number: u64) {
        if let Some(session) = entry.session {
            self.first.entry(session).or_insert(number);
        }
    }

    /// The number of a session's first entry, where it is known.
    pub fn first(&self, session: SessionId) -> Option<u64> {
        self.first.get(&session).copied()
    }
}
