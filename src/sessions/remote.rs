//! What the nodes of a region tell each other of their sessions, so that a limit holds for all of them together.
//!
//! A node tells when a session under a limit takes its place, falls silent, comes back, and ends. What others told
//! counts until they have not repeated it for a while. Two nodes that each let one in before they heard of the other
//! agree afterwards on which goes on: the order is the same on both. So a limit may be exceeded by one session for each
//! node, for as long as word takes to come round.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;
use smallvec::SmallVec;

use crate::clock::Tick;
use crate::rules::session::SessionId;
use crate::rules::session::standing::{Other, Place, Policy};

use super::session::Session;
use super::subjects::Subject;
use super::table::Sessions;

/// Changes that wait to be told. Where there are more, all is told anew.
const CHANGES: usize = 65_536;

/// What a node tells of a session that is under a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence {
    /// Its access name.
    pub access: Arc<str>,
    /// The print of its subject.
    pub subject: u64,
    /// The session.
    pub session: SessionId,
    /// When it began, in milliseconds since the epoch.
    pub began_ms: u64,
    /// Whether it goes on; else it has ended or fallen silent.
    pub goes_on: bool,
}

/// A session on another node.
struct There {
    node: u64,
    session: SessionId,
    began_ms: u64,
    until: Tick,
}

/// What is to be told, and what was.
#[derive(Default)]
pub(super) struct Remote {
    is_told: AtomicBool,
    changes: Mutex<Changes>,
    there: Mutex<Elsewhere>,
    pub(super) dropped: AtomicU64,
}

#[derive(Default)]
struct Elsewhere {
    subjects: HashMap<Subject, SmallVec<[There; 1]>, foldhash::fast::RandomState>,
    count: usize,
}

impl Elsewhere {
    /// A node tells of a session; whether there was room for it.
    fn hear(&mut self, subject: Subject, (node, told): (u64, &Presence), (until, most): (Tick, usize)) -> bool {
        let theirs = self.subjects.entry(subject).or_default();
        let known = theirs.iter().position(|one| one.node == node && one.session == told.session);
        let mut is_kept = true;
        match (known, told.goes_on) {
            (Some(place), true) => theirs[place].until = until,
            (Some(place), false) => {
                theirs.swap_remove(place);
                self.count -= 1;
            }
            (None, true) if self.count < most => {
                theirs.push(There { node, session: told.session, began_ms: told.began_ms, until });
                self.count += 1;
            }
            (None, true) => is_kept = false,
            (None, false) => {}
        }
        if theirs.is_empty() {
            self.subjects.remove(&subject);
        }
        is_kept
    }
}

#[derive(Default)]
struct Changes {
    list: Vec<Presence>,
    has_overflown: bool,
}

/// What is to be told to other nodes.
#[derive(Debug, PartialEq, Eq)]
pub enum Told {
    /// What has changed since it was asked for last.
    Changes(Vec<Presence>),
    /// Everything: there were more changes than are kept.
    All(Vec<Presence>),
}

impl Remote {
    /// A session has taken a place.
    pub fn came(&self, session: &Session, place: Place) {
        if place == Place::Taken && !session.told.swap(true, Relaxed) {
            self.change(session, Going::On);
        }
    }

    /// A session has lost its place.
    pub fn gone(&self, session: &Session) {
        if session.told.swap(false, Relaxed) {
            self.change(session, Going::Silent);
        }
    }

    /// A session is looked at in passing: it may have fallen silent, or come back.
    pub fn look(&self, session: &Session, seen: &Other, now: Tick) {
        let Some(limit) = session.limit() else { return };
        match (seen.place, seen.may_have_moved(&limit, now)) {
            (Place::Taken, false) => self.came(session, Place::Taken),
            (Place::Taken, true) => self.gone(session),
            (Place::Graced(_) | Place::Refused, _) => {}
        }
    }

    fn change(&self, session: &Session, going: Going) {
        if !self.is_told.load(Relaxed) {
            return;
        }
        let Some(presence) = presence(session, going) else { return };
        let mut changes = self.changes.lock();
        if changes.list.len() < CHANGES {
            changes.list.push(presence);
        } else {
            changes.has_overflown = true;
        }
    }

    /// How many sessions of a subject go on at other nodes, but for this one.
    pub fn elsewhere(&self, subject: Subject, but: SessionId, now: Tick) -> u32 {
        let there = self.there.lock();
        let Some(theirs) = there.subjects.get(&subject) else { return 0 };
        let mut others: SmallVec<[SessionId; 4]> = SmallVec::new();
        for one in theirs.iter().filter(|one| one.until > now && one.session != but) {
            if !others.contains(&one.session) {
                others.push(one.session);
            }
        }
        u32::try_from(others.len()).unwrap_or(u32::MAX)
    }

    /// Forgets what was not repeated.
    pub fn forget_silent(&self, now: Tick) {
        let mut there = self.there.lock();
        let mut count = 0;
        there.subjects.retain(|_, theirs| {
            theirs.retain(|one| one.until > now);
            count += theirs.len();
            !theirs.is_empty()
        });
        there.count = count;
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Going {
    On,
    Silent,
}

fn presence(session: &Session, going: Going) -> Option<Presence> {
    session.limit()?;
    Some(Presence {
        access: session.access().clone(),
        subject: session.subject()?,
        session: session.id(),
        began_ms: began_ms(session),
        goes_on: going == Going::On,
    })
}

fn began_ms(session: &Session) -> u64 {
    u64::try_from(session.began_at().since_epoch().as_millis()).unwrap_or(u64::MAX)
}

impl Sessions {
    /// What other nodes must learn. From the first call on, changes are kept for the next.
    pub fn presence_changes(&self) -> Told {
        if !self.remote.is_told.swap(true, Relaxed) {
            return Told::All(self.presence());
        }
        let changes = std::mem::take(&mut *self.remote.changes.lock());
        if changes.has_overflown { Told::All(self.presence()) } else { Told::Changes(changes.list) }
    }

    /// Every session here that has a place under a limit and is not silent: told anew now and then, so that those who
    /// missed a change learn of it.
    pub fn presence(&self) -> Vec<Presence> {
        let mut all = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock();
            let told = shard.values().filter(|session| session.told.load(Relaxed));
            all.extend(told.filter_map(|session| presence(session, Going::On)));
        }
        all
    }

    /// What another node told; it counts until then unless it is repeated. Where a subject now has too many, those here
    /// that lose by the policy end.
    pub fn apply_presence(&self, node: u64, told: &[Presence], (now, until): (Tick, Tick)) {
        let most = self.most.load(Relaxed);
        for presence in told {
            let subject = Subject { access: self.access(&presence.access), print: presence.subject };
            let is_kept = self.remote.there.lock().hear(subject, (node, presence), (until, most));
            if !is_kept {
                self.remote.dropped.fetch_add(1, Relaxed);
            }
            if presence.goes_on {
                self.agree(subject, now);
            }
        }
    }

    /// Where a subject has more sessions on all nodes together than it may, those here that lose end.
    fn agree(&self, subject: Subject, now: Tick) {
        let theirs = self.subjects.of(subject);
        let here = theirs.all();
        let has_place =
            |session: &&Arc<Session>| session.place() == Place::Taken && session.seen(2, now).is_living(now);
        let here: SmallVec<[_; 4]> = here.iter().filter(has_place).collect();
        if here.is_empty() {
            return;
        }
        let mut order: SmallVec<[(u64, SessionId); 8]> =
            here.iter().map(|session| (began_ms(session), session.id())).collect();
        {
            let there = self.remote.there.lock();
            for one in there.subjects.get(&subject).into_iter().flatten().filter(|one| one.until > now) {
                if !order.iter().any(|(_, known)| *known == one.session) {
                    order.push((one.began_ms, one.session));
                }
            }
        }
        order.sort_unstable();
        let losers = here.iter().filter(|session| {
            let Some(limit) = session.limit() else { return false };
            let rank = order.iter().position(|(_, id)| *id == session.id()).expect("it was put there");
            let most = limit.most as usize;
            match limit.policy {
                Policy::RefuseNewest => rank >= most,
                Policy::EndOldest => order.len() - rank > most,
            }
        });
        losers.for_each(|session| self.lose(session));
    }
}
