//! How a request enters its session: on the short way where it is known and goes on, else judged anew.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use smallvec::SmallVec;

use crate::clock::{Tick, WallTime};
use crate::rules::session::Grant;
use crate::rules::session::standing::{self, Limit, Other, Place, Standing};
use crate::rules::token::{Reason, Rejection};

use super::session::{Session, SessionTerms};
use super::subjects::{Subject, Theirs};
use super::table::{Event, Key, SHARDS, Sessions};

/// Parts of the table that are looked through for the silent when it is full.
const LOOKS: usize = 8;

/// Why a request is in no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotEntered {
    /// Its session may not go on.
    #[error("{0}")]
    Rejected(Rejection),
    /// As many sessions as allowed go on on this node.
    #[error("as many sessions as allowed go on on this node")]
    Full,
}

const REVOKED: NotEntered = rejected(Reason::Revoked, "this session, its token or its subject was revoked");
const LIMITED: NotEntered =
    rejected(Reason::SessionLimit, "as many sessions of this subject as its token allows go on already");
const OVER: NotEntered = rejected(Reason::EntitlementOver, "what this token was issued for is over");

const fn rejected(reason: Reason, detail: &'static str) -> NotEntered {
    NotEntered::Rejected(Rejection::new(reason, detail))
}

/// A request that comes in.
struct Coming<'c> {
    terms: &'c Arc<SessionTerms>,
    grant: &'c Grant,
    key: Key,
    now: Tick,
    wall: WallTime,
}

impl Sessions {
    /// Enters a request with this grant into its session, which begins where it is not here yet.
    ///
    /// # Errors
    /// [`NotEntered`].
    pub fn enter(
        &self,
        terms: &Arc<SessionTerms>,
        grant: &Grant,
        (now, wall): (Tick, WallTime),
    ) -> Result<Arc<Session>, NotEntered> {
        let seconds = wall.since_epoch().as_secs();
        let key = self.key(&terms.access, grant.session);
        if grant.ends.is_some_and(|ends| ends <= seconds) {
            return Err(OVER);
        }
        let print = self.print(grant);
        let coming = Coming { terms, grant, key, now, wall };
        if let Some(session) = self.shard(key).lock().get(&key)
            && goes_on(session, now)
            && session.is_judged(print)
        {
            session.touch(now);
            return Ok(session.clone());
        }
        let changes = self.revocations.changes();
        if self.revocations.cover(&terms.access, grant, seconds) {
            return Err(REVOKED);
        }
        self.make_room((now, wall));
        let session = self.judge(&coming)?;
        session.note(grant);
        // Whoever takes it back from now on finds it here; what was taken back in between is seen by its number.
        if self.revocations.changes() != changes && self.revocations.cover(&terms.access, grant, seconds) {
            self.end(&session, Reason::Revoked);
            return Err(REVOKED);
        }
        session.set_judged(print);
        session.touch(now);
        Ok(session)
    }

    /// What a grant is told from another one of its session by.
    fn print(&self, grant: &Grant) -> u64 {
        let Grant { subject, token, key, issuer, issued_at, ends, .. } = grant;
        self.hasher.hash_one((subject, token, key, issuer, issued_at, ends)).max(1)
    }

    fn judge(&self, coming: &Coming<'_>) -> Result<Arc<Session>, NotEntered> {
        let known = self.find_in(coming.key.access, coming.key.id);
        let (Some(print), limit) = (coming.grant.subject, coming.terms.limit(coming.grant)) else {
            return self.go_on_or_begin(coming, (known, Place::Taken), None);
        };
        let subject = Subject { access: coming.key.access, print };
        // Under the subject's lock until it stands in the table: two of its sessions never take one place.
        let mut theirs = self.subjects.of(subject);
        let Some(limit) = limit else {
            return self.go_on_or_begin(coming, (known, Place::Taken), Some(&mut theirs));
        };
        let known = self.find_in(coming.key.access, coming.key.id);
        let (place, loser) = match self.stands(coming, &limit, (known.as_ref(), &theirs)) {
            Verdict::Goes(place) => (place, None),
            Verdict::Instead(loser) => (Place::Taken, Some(loser)),
            Verdict::Refused => {
                self.refused(coming, known.as_ref());
                return Err(LIMITED);
            }
            Verdict::TurnedAway => {
                self.refused(coming, None);
                return Err(LIMITED);
            }
        };
        let session = self.go_on_or_begin(coming, (known, place), Some(&mut theirs))?;
        // While nobody else judges: the place is given to one alone.
        if let Some(Loser::Silent(other) | Loser::Oldest(other)) = &loser {
            other.set_place(Place::Refused);
        }
        drop(theirs);
        match loser {
            None => {}
            Some(Loser::Silent(other)) => self.follow(&other),
            Some(Loser::Oldest(other)) => self.lose(&other),
        }
        self.remote.came(&session, place);
        Ok(session)
    }

    /// A silent session has lost its place: were it to ask again, it would come anew.
    fn follow(&self, silent: &Arc<Session>) {
        if self.take_out(silent) {
            self.announce(&Event::Ended(silent, None));
        }
    }

    /// A session has lost against another one. It stays in the table: it is refused for as long as it goes on asking.
    pub(super) fn lose(&self, session: &Arc<Session>) {
        session.set_place(Place::Refused);
        if session.end(Reason::SessionLimit) {
            self.figures.limited.fetch_add(1, Relaxed);
            self.announce(&Event::Ended(session, Some(Reason::SessionLimit)));
        }
        self.uncount(session);
        self.remote.gone(session);
    }

    fn stands(
        &self,
        coming: &Coming<'_>,
        limit: &Limit,
        (known, theirs): (Option<&Arc<Session>>, &Theirs<'_>),
    ) -> Verdict {
        let Coming { now, key, .. } = *coming;
        let own = known.filter(|session| session.seen(2, now).is_living(now)).map(|session| session.place());
        let others: SmallVec<[_; 4]> = theirs.all().into_iter().filter(|other| other.id() != key.id).collect();
        // Each is held by the table and by this list.
        let seen: SmallVec<[Other; 4]> = others.iter().map(|other| other.seen(2, now)).collect();
        let elsewhere = match coming.grant.subject {
            Some(print) => self.remote.elsewhere(Subject { access: key.access, print }, key.id, now),
            None => 0,
        };
        match standing::judge(own, (&seen, elsewhere), limit, now) {
            Standing::Goes => Verdict::Goes(Place::Taken),
            Standing::Graced(since) => Verdict::Goes(Place::Graced(since)),
            Standing::Follows(other) => Verdict::Instead(Loser::Silent(others[other].clone())),
            Standing::Ends(other) => Verdict::Instead(Loser::Oldest(others[other].clone())),
            Standing::Refused => Verdict::Refused,
            Standing::TurnedAway => Verdict::TurnedAway,
        }
    }

    fn refused(&self, coming: &Coming<'_>, known: Option<&Arc<Session>>) {
        let Some(session) = known else {
            self.figures.limited.fetch_add(1, Relaxed);
            self.announce(&Event::Refused(&coming.terms.access, coming.key.id));
            return;
        };
        session.touch(coming.now);
        self.lose(session);
    }

    fn go_on_or_begin(
        &self,
        coming: &Coming<'_>,
        (known, place): (Option<Arc<Session>>, Place),
        theirs: Option<&mut Theirs<'_>>,
    ) -> Result<Arc<Session>, NotEntered> {
        if let Some(session) = known.filter(|session| session.over().is_none()) {
            session.set_place(place);
            return Ok(session);
        }
        if self.count.load(Relaxed) >= self.most.load(Relaxed) {
            self.figures.full.fetch_add(1, Relaxed);
            return Err(NotEntered::Full);
        }
        let session = Session::new(coming.terms, coming.grant, (coming.now, coming.wall), place);
        let session = Arc::new(session);
        {
            let mut shard = self.shard(coming.key).lock();
            match shard.get(&coming.key) {
                // Another request of the session was faster.
                Some(other) if other.over().is_none() => return Ok(other.clone()),
                Some(_) | None => {}
            }
            if let Some(over) = shard.insert(coming.key, session.clone()) {
                self.uncount(&over);
                self.count.fetch_sub(1, Relaxed);
            }
        }
        self.counted(&session);
        if let Some(theirs) = theirs {
            theirs.add(&session);
        }
        self.figures.began.fetch_add(1, Relaxed);
        self.announce(&Event::Began(&session));
        Ok(session)
    }

    /// Lets go of the silent where the table is full. Nothing is locked by the caller.
    fn make_room(&self, moment: (Tick, WallTime)) {
        for _ in 0..LOOKS {
            if self.count.load(Relaxed) < self.most.load(Relaxed) {
                return;
            }
            let next = self.next_look.fetch_add(1, Relaxed);
            self.sweep_shard(&self.shards[next % SHARDS], moment);
        }
    }
}

/// Whether a session goes on without being judged.
fn goes_on(session: &Session, now: Tick) -> bool {
    session.over().is_none() && session.place() == Place::Taken && now.since(session.last()) <= session.idle()
}

enum Verdict {
    Goes(Place),
    Instead(Loser),
    Refused,
    TurnedAway,
}

enum Loser {
    Silent(Arc<Session>),
    Oldest(Arc<Session>),
}
