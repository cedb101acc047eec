//! One session: what was asked for, and whether it goes on.
//!
//! It ends once, with a reason, and never begins again; whoever waits for that registers here. Nothing is registered for
//! a request that is answered at once.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use slab::Slab;
use smallvec::SmallVec;

use crate::clock::{Tick, WallTime};
use crate::config::access::{Access, RevokedBodies, SessionLimit};
use crate::rules::session::standing::{Limit, Other, Place, Policy};
use crate::rules::session::{Device, Grant, SessionId, What};
use crate::rules::token::Reason;

/// Grants of one session that are remembered: of tokens that follow each other.
const GRANTS: usize = 4;

/// Routes that a session is used on and that are remembered: those of a configuration that is gone fall out first.
const ROUTES: usize = 16;

/// What an access asks of its sessions.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionTerms {
    /// The access name.
    pub access: Arc<str>,
    /// A session ends when nothing was asked for this long.
    pub idle: Duration,
    /// For how long a session may go on beside those of its subject that have the places.
    pub grace: Duration,
    /// How many sessions of a subject may go on at once, where its token does not say.
    pub most: Option<u32>,
    /// Who loses where there are too many.
    pub policy: Policy,
    /// What becomes of bodies that are being sent when their session is revoked.
    pub bodies: RevokedBodies,
}

impl SessionTerms {
    /// As a configuration says.
    pub fn of(access: &Access) -> Self {
        Self {
            access: access.name.as_str().into(),
            idle: access.session_idle,
            grace: access.handover_grace,
            most: access.max_sessions,
            policy: match access.session_limit {
                SessionLimit::RefuseNewest => Policy::RefuseNewest,
                SessionLimit::EndOldest => Policy::EndOldest,
            },
            bodies: access.revoked_bodies,
        }
    }

    /// The limit that a grant is under, if there is one.
    pub(super) fn limit(&self, grant: &Grant) -> Option<Limit> {
        let most = grant.max_sessions.or(self.most)?;
        Some(Limit { most, policy: self.policy, grace: self.grace })
    }
}

/// What a grant is called in revocations.
#[derive(Clone, Debug, PartialEq)]
struct Names {
    names: SmallVec<[What; 6]>,
    issued_at: u64,
}

/// A session on this node.
pub struct Session {
    id: SessionId,
    terms: Arc<SessionTerms>,
    subject: Option<u64>,
    limit: Option<Limit>,
    began: Tick,
    began_at: WallTime,
    ends: AtomicU64,
    last: AtomicU64,
    least_idle_ms: AtomicU32,
    requests: AtomicU64,
    octets: AtomicU64,
    /// How it stands to its subject's limit, in one word.
    place: AtomicU64,
    /// 0 while it goes on, else its reason's place in the list, from 1.
    end: AtomicU8,
    device: AtomicU8,
    /// A print of the grant that was judged last.
    judged: AtomicU64,
    grants: Mutex<SmallVec<[Names; 1]>>,
    /// Where something was asked for, the last of them at the end.
    routes: Mutex<SmallVec<[Arc<str>; 1]>>,
    /// Whether other nodes were told that it goes on.
    pub(super) told: AtomicBool,
    /// Whether nobody has asked yet whether it is new.
    is_news: AtomicBool,
    /// Whether it is counted among those that go on.
    is_counted: AtomicBool,
    waiting: Mutex<Slab<Waker>>,
}

const TAKEN: u64 = 0;
const REFUSED: u64 = u64::MAX;

impl Session {
    pub(super) fn new(terms: &Arc<SessionTerms>, grant: &Grant, (now, wall): (Tick, WallTime), place: Place) -> Self {
        let session = Self {
            id: grant.session,
            terms: terms.clone(),
            subject: grant.subject,
            limit: terms.limit(grant),
            began: now,
            began_at: wall,
            ends: AtomicU64::new(grant.ends.unwrap_or(u64::MAX)),
            last: AtomicU64::new(nanos(now)),
            least_idle_ms: AtomicU32::new(0),
            requests: AtomicU64::new(0),
            octets: AtomicU64::new(0),
            place: AtomicU64::new(TAKEN),
            end: AtomicU8::new(0),
            device: AtomicU8::new(Device::Unknown.octet()),
            judged: AtomicU64::new(0),
            grants: Mutex::new(SmallVec::new()),
            routes: Mutex::new(SmallVec::new()),
            told: AtomicBool::new(false),
            is_news: AtomicBool::new(true),
            is_counted: AtomicBool::new(true),
            waiting: Mutex::new(Slab::new()),
        };
        session.set_place(place);
        session.note(grant);
        session
    }

    /// Its identifier, which is no secret.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// The access name under which it goes on.
    pub fn access(&self) -> &Arc<str> {
        &self.terms.access
    }

    /// What its access asks of sessions.
    pub fn terms(&self) -> &Arc<SessionTerms> {
        &self.terms
    }

    /// The print of its subject.
    pub fn subject(&self) -> Option<u64> {
        self.subject
    }

    /// When it began on this node.
    pub fn began_at(&self) -> WallTime {
        self.began_at
    }

    /// When what was paid for is over, in seconds since the epoch.
    pub fn ends(&self) -> Option<u64> {
        Some(self.ends.load(Relaxed)).filter(|ends| *ends != u64::MAX)
    }

    /// Whether it is new on this node, to the first who asks: who tells of it knows the token that it began with.
    pub fn is_news(&self) -> bool {
        self.is_news.load(Relaxed) && self.is_news.swap(false, Relaxed)
    }

    /// Its last request.
    pub fn last(&self) -> Tick {
        Tick::at(Duration::from_nanos(self.last.load(Relaxed)))
    }

    /// Its requests so far.
    pub fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    /// Octets of bodies that were sent to it so far.
    pub fn octets(&self) -> u64 {
        self.octets.load(Relaxed)
    }

    /// That many octets more were sent to it.
    pub fn sent(&self, octets: u64) {
        self.octets.fetch_add(octets, Relaxed);
    }

    /// It plays a stream of this target duration: silence of three of them is no end.
    pub fn plays(&self, target: Duration) {
        let least = u32::try_from(target.as_millis().saturating_mul(3)).unwrap_or(u32::MAX);
        if self.least_idle_ms.load(Relaxed) != least {
            self.least_idle_ms.store(least, Relaxed);
        }
    }

    /// Something is asked for on a route of this name.
    pub fn used_on(&self, route: &Arc<str>) {
        let mut routes = self.routes.lock();
        if routes.last().is_some_and(|last| last == route) {
            return;
        }
        routes.retain(|other| other != route);
        if routes.len() == ROUTES {
            routes.remove(0);
        }
        routes.push(route.clone());
    }

    /// The routes that it was used on, by their names, the last of them at the end.
    pub fn routes(&self) -> SmallVec<[Arc<str>; 1]> {
        self.routes.lock().clone()
    }

    /// It is watched on such a device.
    pub fn watched_on(&self, device: Device) {
        self.device.store(device.octet(), Relaxed);
    }

    /// What it is watched on.
    pub fn device(&self) -> Device {
        Device::from_octet(self.device.load(Relaxed))
    }

    /// How it stands, in a word.
    pub fn standing(&self) -> &'static str {
        match (self.over(), self.place()) {
            (Some(reason), _) => reason.word(),
            (None, Place::Taken) => "living",
            (None, Place::Graced(_)) => "handover",
            (None, Place::Refused) => Reason::SessionLimit.word(),
        }
    }

    /// Why it has ended; `None`: it goes on.
    pub fn over(&self) -> Option<Reason> {
        match self.end.load(Relaxed) {
            0 => None,
            place => Some(ENDS[usize::from(place) - 1]),
        }
    }

    /// Completes when it ends.
    pub fn ended(self: &Arc<Self>) -> Ended {
        Ended { session: self.clone(), place: None }
    }

    /// Asked for something once more.
    pub(super) fn touch(&self, now: Tick) {
        self.last.store(nanos(now), Relaxed);
        self.requests.fetch_add(1, Relaxed);
    }

    /// How long it may be silent.
    pub(super) fn idle(&self) -> Duration {
        self.terms.idle.max(Duration::from_millis(self.least_idle_ms.load(Relaxed).into()))
    }

    /// The limit that it is under.
    pub(super) fn limit(&self) -> Option<Limit> {
        self.limit
    }

    /// Whether it was counted until now.
    pub(super) fn uncount(&self) -> bool {
        self.is_counted.swap(false, Relaxed)
    }

    pub(super) fn place(&self) -> Place {
        match self.place.load(Relaxed) {
            TAKEN => Place::Taken,
            REFUSED => Place::Refused,
            since => Place::Graced(Tick::at(Duration::from_nanos(since - 1))),
        }
    }

    pub(super) fn set_place(&self, place: Place) {
        let word = match place {
            Place::Taken => TAKEN,
            Place::Refused => REFUSED,
            Place::Graced(since) => nanos(since) + 1,
        };
        self.place.store(word, Relaxed);
    }

    /// As the rules see it. `held` says how many hold it that are no request: while more do, it is not silent.
    pub(super) fn seen(self: &Arc<Self>, held: usize, now: Tick) -> Other {
        let is_in_use = Arc::strong_count(self) > held;
        let last = if is_in_use { now } else { self.last() };
        Other { place: self.place(), began: self.began, last, idle: self.idle() }
    }

    /// Whether a grant is the one that was judged last.
    pub(super) fn is_judged(&self, print: u64) -> bool {
        self.judged.load(Relaxed) == print
    }

    pub(super) fn set_judged(&self, print: u64) {
        self.judged.store(print, Relaxed);
    }

    /// Remembers what a grant is called.
    pub(super) fn note(&self, grant: &Grant) {
        let names = Names { names: What::naming(grant).collect(), issued_at: grant.issued_at };
        let mut grants = self.grants.lock();
        if grants.contains(&names) {
            return;
        }
        if grants.len() == GRANTS {
            grants.remove(0);
        }
        grants.push(names);
        self.ends.store(grant.ends.unwrap_or(u64::MAX), Relaxed);
    }

    /// Whether one of its grants is meant.
    pub(super) fn is_meant(&self, is_revoked: impl Fn(&[What], u64) -> bool) -> bool {
        self.grants.lock().iter().any(|grant| is_revoked(&grant.names, grant.issued_at))
    }

    /// Ends it, and wakes whoever waits for that; whether it went on until now.
    pub(super) fn end(&self, reason: Reason) -> bool {
        let place = ENDS.iter().position(|end| *end == reason).expect("sessions end for these reasons alone");
        let place = u8::try_from(place + 1).expect("there are few");
        if self.end.compare_exchange(0, place, SeqCst, SeqCst).is_err() {
            return false;
        }
        let waiting = std::mem::take(&mut *self.waiting.lock());
        waiting.into_iter().for_each(|(_, waker)| waker.wake());
        true
    }

    fn poll_ended(&self, place: &mut Option<usize>, cx: &mut Context<'_>) -> Poll<Reason> {
        if let Some(reason) = self.over() {
            return Poll::Ready(reason);
        }
        let mut waiting = self.waiting.lock();
        // Under the lock: whoever ends it takes the list after this, or has ended it before.
        if let Some(reason) = self.over() {
            return Poll::Ready(reason);
        }
        match place.and_then(|place| waiting.get_mut(place)) {
            Some(waker) => waker.clone_from(cx.waker()),
            None => *place = Some(waiting.insert(cx.waker().clone())),
        }
        Poll::Pending
    }

    fn leave(&self, place: Option<usize>) {
        if let Some(place) = place {
            let mut waiting = self.waiting.lock();
            // The list is empty once it has ended.
            waiting.try_remove(place);
        }
    }
}

/// Why sessions end before they are silent.
const ENDS: [Reason; 3] = [Reason::Revoked, Reason::SessionLimit, Reason::EntitlementOver];

fn nanos(tick: Tick) -> u64 {
    u64::try_from(tick.since_start().as_nanos()).unwrap_or(u64::MAX - 1)
}

/// Completes when a session ends.
pub struct Ended {
    session: Arc<Session>,
    place: Option<usize>,
}

impl Future for Ended {
    type Output = Reason;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Reason> {
        let this = &mut *self;
        this.session.poll_ended(&mut this.place, cx)
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.session.leave(self.place);
    }
}

/// A session as the body that is sent to it holds it: it goes on while the body does, is told of every octet, and cuts
/// the body where its access says so.
pub struct Attached {
    ended: Ended,
    octets: u64,
}

impl Attached {
    /// A body is sent to this session.
    pub fn to(session: &Arc<Session>) -> Self {
        Self { ended: session.ended(), octets: 0 }
    }

    /// So many octets more were handed on.
    pub fn sent(&mut self, octets: u64) {
        self.octets += octets;
    }

    /// Why the body must be cut now: one atomic load.
    pub fn cut(&self) -> Option<Reason> {
        let session = &self.ended.session;
        match session.terms.bodies {
            RevokedBodies::Cut => session.over().filter(|reason| *reason == Reason::Revoked),
            RevokedBodies::Finish => None,
        }
    }

    /// As [`Attached::cut`]; where it must not, the task is woken when it must.
    pub fn poll_cut(&mut self, cx: &mut Context<'_>) -> Option<Reason> {
        if self.ended.session.terms.bodies == RevokedBodies::Finish {
            return None;
        }
        match Pin::new(&mut self.ended).poll(cx) {
            Poll::Ready(reason) => Some(reason).filter(|reason| *reason == Reason::Revoked),
            Poll::Pending => None,
        }
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.ended.session.sent(self.octets);
    }
}
