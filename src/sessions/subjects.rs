//! Which sessions a subject has here. A subject belongs to its access name.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, MutexGuard};
use smallvec::SmallVec;

use super::session::Session;

/// Parts of the index, each under a lock of its own.
const SHARDS: usize = 64;

/// A subject within its access, both as prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Subject {
    pub access: u64,
    pub print: u64,
}

type Listed = SmallVec<[Weak<Session>; 1]>;
type Shard = HashMap<Subject, Listed, foldhash::fast::RandomState>;

/// The index. Whoever locks a part of it may lock a part of the table after that, never the other way round.
pub(super) struct Subjects(Box<[Mutex<Shard>]>);

/// The sessions of one subject, locked.
pub(super) struct Theirs<'s> {
    shard: MutexGuard<'s, Shard>,
    subject: Subject,
}

impl Subjects {
    pub fn new() -> Self {
        Self((0..SHARDS).map(|_| Mutex::default()).collect())
    }

    pub fn of(&self, subject: Subject) -> Theirs<'_> {
        let shard = &self.0[(subject.print ^ subject.access) as usize % SHARDS];
        Theirs { shard: shard.lock(), subject }
    }

    /// Lets go of a session that is no longer in the table.
    pub fn forget(&self, subject: Subject, session: &Arc<Session>) {
        self.of(subject).forget(session);
    }
}

impl Theirs<'_> {
    /// Those that are still there.
    pub fn all(&self) -> SmallVec<[Arc<Session>; 4]> {
        let listed = self.shard.get(&self.subject);
        listed.into_iter().flatten().filter_map(Weak::upgrade).collect()
    }

    pub fn add(&mut self, session: &Arc<Session>) {
        let listed = self.shard.entry(self.subject).or_default();
        listed.retain(|other| other.strong_count() > 0);
        listed.push(Arc::downgrade(session));
    }

    pub fn forget(&mut self, session: &Arc<Session>) {
        if let Some(listed) = self.shard.get_mut(&self.subject) {
            listed.retain(|other| other.strong_count() > 0 && other.as_ptr() != Arc::as_ptr(session));
            if listed.is_empty() {
                self.shard.remove(&self.subject);
            }
        }
    }
}
