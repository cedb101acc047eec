//! Another node, as far as it was heard: how much of what it has told is known here, and which of its sessions go on.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::clock::Tick;
use crate::rules::session::SessionId;

use super::bus::NodeFigures;
use super::message::{Beat, Presence};
use super::track::Track;

/// Sessions of one node that are remembered, at most.
const SESSIONS: usize = 1_000_000;

/// A session within its access.
type Key = (SessionId, Arc<str>);

/// Another node.
pub(super) struct Other {
    pub name: String,
    pub heard: Tick,
    /// The number of the last beat.
    pub number: u64,
    /// Its revocations.
    pub told: Track,
    /// What became of its sessions.
    pub changed: Track,
    /// Not asked for what it lacks before then.
    pub rests_until: Tick,
    /// Whether it was heard since this node was last alone: until then it may have told more.
    pub is_confirmed: bool,
    living: HashMap<Key, Lives>,
    /// Sessions that ended while all were asked for: a page may still name them.
    ended: Option<HashSet<Key>>,
    round: u32,
}

struct Lives {
    subject: u64,
    began_ms: u64,
    /// When it was last named: in which round of asking for all.
    round: u32,
}

impl Other {
    /// One that was heard for the first time.
    pub fn new(name: String, now: Tick) -> Self {
        Self {
            name,
            heard: now,
            number: 0,
            told: Track::default(),
            changed: Track::default(),
            rests_until: now,
            is_confirmed: true,
            living: HashMap::new(),
            ended: None,
            round: 0,
        }
    }

    /// It says how far it is; what is new of that.
    pub fn beat(&mut self, beat: &Beat) -> Vec<Presence> {
        self.is_confirmed = true;
        self.told.stands_at(beat.told);
        self.changed.heard(beat.changed, beat.changes.len() as u64);
        beat.changes.iter().filter(|change| self.change(change)).cloned().collect()
    }

    /// From now on pages come that name all its sessions.
    pub fn begin_round(&mut self) {
        self.round += 1;
        self.ended = Some(HashSet::new());
    }

    /// A page of them; what is new of that.
    pub fn page(&mut self, sessions: &[Presence]) -> Vec<Presence> {
        let ended = self.ended.take().unwrap_or_default();
        let is_over = |one: &Presence| !one.goes_on || ended.contains(&(one.session, one.access.clone()));
        let fresh = sessions.iter().filter(|one| !is_over(one) && self.change(one)).cloned().collect();
        self.ended = Some(ended);
        fresh
    }

    /// The last page was there: what none of them named is over.
    pub fn end_round(&mut self) -> Vec<Presence> {
        self.ended = None;
        let round = self.round;
        let over = self.living.extract_if(|_, lives| lives.round != round);
        over.map(|(key, lives)| gone(key, &lives)).collect()
    }

    /// All that is over, now that it is gone.
    pub fn into_gone(self) -> Vec<Presence> {
        self.living.into_iter().map(|(key, lives)| gone(key, &lives)).collect()
    }

    /// Whether something is known to be lacking.
    pub fn lacks(&self) -> bool {
        !self.told.is_whole() || !self.changed.is_whole()
    }

    /// How it is.
    pub fn figures(&self) -> NodeFigures {
        NodeFigures {
            name: self.name.clone(),
            heard: self.heard,
            is_whole: self.is_confirmed && !self.lacks(),
            sessions: self.living.len(),
        }
    }

    /// Notes what became of a session; whether that is new.
    fn change(&mut self, change: &Presence) -> bool {
        let key = (change.session, change.access.clone());
        if !change.goes_on {
            if let Some(ended) = &mut self.ended {
                ended.insert(key.clone());
            }
            return self.living.remove(&key).is_some();
        }
        if let Some(ended) = &mut self.ended {
            ended.remove(&key);
        }
        let lives = Lives { subject: change.subject, began_ms: change.began_ms, round: self.round };
        if self.living.len() >= SESSIONS && !self.living.contains_key(&key) {
            return false;
        }
        self.living.insert(key, lives).is_none()
    }
}

fn gone((session, access): Key, lives: &Lives) -> Presence {
    Presence { access, subject: lives.subject, session, began_ms: lives.began_ms, goes_on: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lives(session: u8) -> Presence {
        let session = SessionId([session; 12]);
        Presence { access: "members".into(), subject: 7, session, began_ms: 5, goes_on: true }
    }

    fn ended(session: u8) -> Presence {
        Presence { goes_on: false, ..lives(session) }
    }

    fn beat(changed: u64, changes: &[Presence]) -> Beat {
        Beat { name: "b".to_owned(), told: 0, changed, changes: changes.to_vec() }
    }

    fn other() -> Other {
        Other::new("b".to_owned(), Tick::default())
    }

    #[test]
    fn only_what_is_new_is_handed_on() {
        let mut other = other();
        assert_eq!(other.beat(&beat(0, &[lives(1)])), [lives(1)]);
        assert!(other.beat(&beat(0, &[lives(1)])).is_empty());
        assert_eq!(other.beat(&beat(1, &[ended(1), lives(1), ended(1)])).len(), 3);
        assert!(other.beat(&beat(4, &[ended(1)])).is_empty());
    }

    #[test]
    fn a_round_of_asking_ends_what_is_over_and_keeps_what_came_meanwhile() {
        let mut other = other();
        other.beat(&beat(0, &[lives(1), lives(2)]));
        other.begin_round();
        other.page(&[lives(2), lives(3)]);
        // One ends and another begins while pages are on their way that know neither.
        other.beat(&beat(2, &[ended(3), lives(4)]));
        assert!(other.page(&[lives(3)]).is_empty(), "a page that was made before");
        assert_eq!(other.end_round(), [ended(1)]);
        let mut left = other.into_gone();
        left.sort_by_key(|one| one.session);
        assert_eq!(left, [ended(2), ended(4)]);
    }
}
