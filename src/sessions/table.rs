//! The table of sessions: who is here, who is silent, who is taken back.

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::clock::{Clock, Tick, WallTime};
use crate::journal::{self, Journal, Keeping};
use crate::rules::session::naming::Meant;
use crate::rules::session::standing::Place;
use crate::rules::session::{Named, Revocation, SessionId, What};
use crate::rules::token::Reason;

use super::remote::Remote;
use super::revocations::{Noted, Revocations};
use super::session::Session;
use super::subjects::{Subject, Subjects};

/// Parts of the table, each under a lock of its own.
pub(super) const SHARDS: usize = 256;

/// The table is looked through for the silent in so many steps.
const STEPS: usize = 8;

/// Between two steps.
const STEP: Duration = Duration::from_millis(125);

/// Above so many revocations at once, all sessions are looked through once in place of once for each.
const ONE_BY_ONE: usize = 8;

/// How much is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Sessions at once.
    pub sessions: usize,
    /// Revocations at once.
    pub revocations: usize,
}

/// Where a revocation comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// It was said to this node.
    Here,
    /// Another node of the region told it.
    Region,
    /// The backend's feed told it.
    Feed,
}

/// What a revocation came to.
#[must_use = "it says whether a restart forgets it"]
pub struct Revoked {
    /// Living sessions that it ended here.
    pub ended: usize,
    /// How many of the revocations were known already, and say nothing new.
    pub known: usize,
    keeping: Option<Keeping>,
}

/// Whether a restart forgets what was taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It does not.
    Durably,
    /// It does, as there is no folder for what must survive.
    Nowhere,
    /// It would now: the disk did not take it, and is tried again.
    NotYet,
}

impl Revoked {
    /// Completes when it is kept, or could not be. It is written whether or not anybody waits for that.
    pub async fn kept(self) -> Kept {
        match self.keeping {
            None => Kept::Nowhere,
            Some(keeping) => match keeping.await {
                Ok(()) => Kept::Durably,
                Err(_) => Kept::NotYet,
            },
        }
    }
}

/// What happens to sessions, for those who tell others of it.
pub enum Event<'e> {
    /// It begins on this node.
    Began(&'e Session),
    /// It is over; no reason: it was silent for too long.
    Ended(&'e Session, Option<Reason>),
    /// One that would have begun was refused, as its subject has too many.
    Refused(&'e Arc<str>, SessionId),
    /// Something was taken back that was not known yet.
    Revoked(&'e Revocation, Source),
}

/// Whoever hears of sessions. It is called on the thread of whoever causes the event, perhaps under a lock: it must neither
/// wait nor ask anything of the table.
pub trait Listener: Send + Sync {
    /// Something happened.
    fn hear(&self, event: &Event<'_>);
}

/// A session within its access.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub access: u64,
    pub id: SessionId,
}

pub(super) type Shard = HashMap<Key, Arc<Session>, foldhash::fast::RandomState>;

/// All sessions of the node.
pub struct Sessions {
    pub(super) hasher: foldhash::quality::RandomState,
    pub(super) shards: Box<[Mutex<Shard>]>,
    pub(super) subjects: Subjects,
    pub(super) remote: Remote,
    pub(super) revocations: Revocations,
    pub(super) most: AtomicUsize,
    pub(super) count: AtomicUsize,
    pub(super) next_look: AtomicUsize,
    by_access: Mutex<BTreeMap<Arc<str>, u64>>,
    listeners: ArcSwap<Vec<Arc<dyn Listener>>>,
    journal: OnceLock<Journal>,
    pub(super) figures: Figures,
}

/// What happened so far.
#[derive(Default)]
pub(super) struct Figures {
    pub began: AtomicU64,
    pub silent: AtomicU64,
    pub limited: AtomicU64,
    pub full: AtomicU64,
    pub revoked: AtomicU64,
}

/// What happened so far, and how much there is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Sessions by access name.
    pub sessions: BTreeMap<Arc<str>, u64>,
    /// Sessions that began.
    pub began: u64,
    /// Sessions that ended in silence.
    pub silent: u64,
    /// Sessions that were refused or ended, as their subject had too many.
    pub limited: u64,
    /// Sessions that found no room.
    pub full: u64,
    /// Sessions that were ended by a revocation.
    pub revoked: u64,
    /// Revocations in force.
    pub revocations: usize,
    /// Revocations that went before their time.
    pub pushed_out: u64,
    /// Sessions of other nodes that there was no room to remember.
    pub presence_dropped: u64,
    /// What revocations take, in octets.
    pub revocation_octets: usize,
}

impl Sessions {
    /// Nobody is here, nothing was taken back.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            hasher: foldhash::quality::RandomState::default(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            subjects: Subjects::new(),
            remote: Remote::default(),
            revocations: Revocations::new(bounds.revocations),
            most: AtomicUsize::new(bounds.sessions),
            count: AtomicUsize::new(0),
            next_look: AtomicUsize::new(0),
            by_access: Mutex::default(),
            listeners: ArcSwap::default(),
            journal: OnceLock::new(),
            figures: Figures::default(),
        }
    }

    /// From now on these bounds hold. Sessions beyond them stay.
    pub fn set_bounds(&self, bounds: Bounds) {
        self.most.store(bounds.sessions, Relaxed);
        self.revocations.set_most(bounds.revocations);
    }

    /// From now on `listener` hears of sessions.
    pub fn tell(&self, listener: Arc<dyn Listener>) {
        self.listeners.rcu(|listeners| {
            let mut more = listeners.to_vec();
            more.push(listener.clone());
            more
        });
    }

    /// Takes something back that was taken back before this process began.
    pub fn remember(&self, event: &[u8], wall: WallTime) {
        let now = wall.since_epoch().as_secs();
        if let Some(revocation) = Revocation::read(event).filter(|revocation| revocation.until > now) {
            self.revocations.note(&revocation, now);
        }
    }

    /// From now on what is taken back is kept there.
    ///
    /// # Panics
    /// Where it is kept somewhere already.
    pub fn keep_in(&self, journal: Journal) {
        assert!(self.journal.set(journal).is_ok(), "a node has one journal");
    }

    /// Where what is taken back is kept, if anywhere.
    pub fn journal(&self) -> Option<&Journal> {
        self.journal.get()
    }

    /// Whether an event of the journal still counts.
    pub fn counts(&self, event: &[u8], wall: WallTime) -> bool {
        let now = wall.since_epoch().as_secs();
        Revocation::read(event).is_some_and(|one| one.until > now && self.revocations.is_last_word(&one))
    }

    /// Takes something back, or several things at once. It counts from now on, whether the sessions that it concerns are
    /// here already or come later; to say it once more changes nothing.
    pub fn revoke(&self, revocations: &[Revocation], source: Source, wall: WallTime) -> Revoked {
        let now = wall.since_epoch().as_secs();
        let mut news = Vec::new();
        for revocation in revocations {
            match self.revocations.note(revocation, now) {
                Noted::Known => {}
                Noted::New | Noted::Longer => news.push(revocation),
            }
        }
        let ended = self.end_meant(revocations, now);
        let keeping = self.journal.get();
        let keeping = keeping.map(|journal| journal.append(journal::Kind::Revoked, news.iter().map(|one| one.write())));
        news.iter().for_each(|revocation| self.announce(&Event::Revoked(revocation, source)));
        self.figures.revoked.fetch_add(ended as u64, Relaxed);
        Revoked { ended, known: revocations.len() - news.len(), keeping }
    }

    /// Ends those that are here; how many there were.
    fn end_meant(&self, revocations: &[Revocation], now: u64) -> usize {
        let alone = |what: &What| matches!(what, What::Session(_) | What::Subject(_));
        let counts = revocations.iter().filter(|one| one.until > now);
        let (named, wide): (Vec<_>, Vec<_>) = counts.partition(|one| alone(&one.what));
        let ended: usize = named.into_iter().map(|one| self.end_named(one)).sum();
        ended
            + match wide.as_slice() {
                [] => 0,
                few if few.len() <= ONE_BY_ONE => self.end_all(|access, names, issued_at| {
                    few.iter().any(|one| *one.access == *access && is_among(one.what, names, issued_at))
                }),
                _many => self
                    .end_all(|access, names, issued_at| self.revocations.cover_names(access, (names, issued_at), now)),
            }
    }

    /// Ends the session, or the sessions of the subject, that are named.
    fn end_named(&self, one: &Revocation) -> usize {
        let access = self.access(&one.access);
        let meant = match one.what {
            What::Session(id) => self.find_in(access, id).into_iter().collect(),
            What::Subject(print) => self.subjects.of(Subject { access, print }).all(),
            _ => return 0,
        };
        meant.iter().filter(|session| self.end(session, Reason::Revoked)).count()
    }

    fn end_all(&self, is_meant: impl Fn(&str, &[What], u64) -> bool) -> usize {
        let mut ended = 0;
        for shard in &self.shards {
            let is_meant = |session: &&Arc<Session>| {
                session.is_meant(|names, issued_at| is_meant(session.access(), names, issued_at))
            };
            let meant: Vec<_> = shard.lock().values().filter(is_meant).cloned().collect();
            ended += meant.iter().filter(|session| self.end(session, Reason::Revoked)).count();
        }
        ended
    }

    /// Ends a session and takes it out of the table.
    pub(super) fn end(&self, session: &Arc<Session>, reason: Reason) -> bool {
        let ends_now = session.end(reason);
        if self.take_out(session) && ends_now {
            self.announce(&Event::Ended(session, Some(reason)));
        }
        ends_now
    }

    /// Whether the session was in the table until now.
    pub(super) fn take_out(&self, session: &Arc<Session>) -> bool {
        let key = self.key(session.access(), session.id());
        let taken = {
            let mut shard = self.shard(key).lock();
            let is_it = shard.get(&key).is_some_and(|other| Arc::ptr_eq(other, session));
            is_it.then(|| shard.remove(&key)).flatten()
        };
        if taken.is_some() {
            self.gone(session);
        }
        taken.is_some()
    }

    /// What must be done once a session has left the table.
    fn gone(&self, session: &Arc<Session>) {
        self.count.fetch_sub(1, Relaxed);
        self.uncount(session);
        if let Some(print) = session.subject() {
            let subject = Subject { access: self.access(session.access()), print };
            self.subjects.forget(subject, session);
        }
        self.remote.gone(session);
    }

    /// It has come into the table.
    pub(super) fn counted(&self, session: &Session) {
        self.count.fetch_add(1, Relaxed);
        *self.by_access.lock().entry(session.access().clone()).or_default() += 1;
    }

    /// It is no longer one of those that go on.
    pub(super) fn uncount(&self, session: &Session) {
        if !session.uncount() {
            return;
        }
        let mut by_access = self.by_access.lock();
        if let Some(count) = by_access.get_mut(session.access()) {
            *count -= 1;
            // An access name that is gone from the configuration is not remembered for ever.
            if *count == 0 {
                by_access.remove(session.access());
            }
        }
    }

    pub(super) fn announce(&self, event: &Event<'_>) {
        self.listeners.load().iter().for_each(|listener| listener.hear(event));
    }

    pub(super) fn access(&self, name: &str) -> u64 {
        self.hasher.hash_one(name)
    }

    pub(super) fn key(&self, access: &str, id: SessionId) -> Key {
        Key { access: self.access(access), id }
    }

    pub(super) fn shard(&self, key: Key) -> &Mutex<Shard> {
        // Identifiers are prints already.
        &self.shards[usize::from(key.id.0[0])]
    }

    pub(super) fn find_in(&self, access: u64, id: SessionId) -> Option<Arc<Session>> {
        let key = Key { access, id };
        self.shard(key).lock().get(&key).cloned()
    }

    /// The session of this identifier within an access.
    pub fn of_access(&self, access: &str, id: SessionId) -> Option<Arc<Session>> {
        self.find_in(self.access(access), id)
    }

    /// The session of this identifier, whatever its access is.
    pub fn find(&self, id: SessionId) -> Option<Arc<Session>> {
        let names: Vec<_> = self.by_access.lock().keys().cloned().collect();
        names.iter().find_map(|name| self.find_in(self.access(name), id))
    }

    /// How many sessions there are, by access name.
    pub fn by_access(&self) -> BTreeMap<Arc<str>, u64> {
        self.by_access.lock().clone()
    }

    /// What happened so far, and how much there is.
    pub fn snapshot(&self) -> Snapshot {
        let figures = &self.figures;
        Snapshot {
            sessions: self.by_access(),
            began: figures.began.load(Relaxed),
            silent: figures.silent.load(Relaxed),
            limited: figures.limited.load(Relaxed),
            full: figures.full.load(Relaxed),
            revoked: figures.revoked.load(Relaxed),
            revocations: self.revocations.count(),
            pushed_out: self.revocations.pushed_out(),
            presence_dropped: self.remote.dropped.load(Relaxed),
            revocation_octets: self.revocations.octets(),
        }
    }

    /// Lets go of the silent, step by step, for as long as the node runs.
    pub async fn keep(self: Arc<Self>, clock: Clock) {
        for step in (0..STEPS).cycle() {
            clock.sleep_until(clock.now() + STEP).await;
            self.sweep(step, (clock.now(), clock.wall()));
        }
    }

    /// Looks through a part of the table.
    fn sweep(&self, step: usize, (now, wall): (Tick, WallTime)) {
        for shard in self.shards.iter().skip(step).step_by(STEPS) {
            self.sweep_shard(shard, (now, wall));
        }
        if step == 0 {
            self.remote.forget_silent(now);
        }
    }

    /// Lets go of the silent of a shard; how many there were.
    pub(super) fn sweep_shard(&self, shard: &Mutex<Shard>, (now, wall): (Tick, WallTime)) -> usize {
        let seconds = wall.since_epoch().as_secs();
        let (mut silent, mut over) = (Vec::new(), Vec::new());
        shard.lock().retain(|_, session| {
            // The table holds it, and nothing else does while nothing is asked for or sent.
            let seen = session.seen(1, now);
            if !seen.is_living(now) {
                silent.push(session.clone());
                return false;
            }
            if session.ends().is_some_and(|ends| ends <= seconds) && session.over().is_none() {
                over.push(session.clone());
            }
            self.remote.look(session, &seen, now);
            true
        });
        for session in &silent {
            self.gone(session);
            if session.over().is_none() && session.place() != Place::Refused {
                self.announce(&Event::Ended(session, None));
            }
        }
        over.iter().for_each(|session| _ = self.end(session, Reason::EntitlementOver));
        self.figures.silent.fetch_add(silent.len() as u64, Relaxed);
        silent.len()
    }
}

fn is_among(what: What, names: &[What], issued_at: u64) -> bool {
    match what {
        What::IssuedBefore(moment) => issued_at < moment,
        named => names.contains(&named),
    }
}

/// What texts of tokens are called: by whoever knows the node's secrets.
pub trait Prints: Send + Sync {
    /// The access names that there are.
    fn accesses(&self) -> Vec<Arc<str>>;

    /// The print of a text within an access, the same on every node of the region and after a restart; `None`: there is no
    /// such access.
    fn print(&self, access: &str, named: Named, text: &str) -> Option<u64>;
}

/// What is meant, as revocations say it; `None`: there is no such access.
pub fn what(meant: &Meant, access: &str, prints: &dyn Prints) -> Option<What> {
    Some(match meant {
        Meant::Session(id) => What::Session(*id),
        Meant::IssuedBefore(moment) => What::IssuedBefore(*moment),
        Meant::All => What::All,
        Meant::Text(named, text) => {
            let print = prints.print(access, *named, text)?;
            match named {
                Named::Subject => What::Subject(print),
                Named::Token => What::Token(print),
                Named::Key => What::Key(print),
                Named::Issuer => What::Issuer(print),
            }
        }
    })
}
