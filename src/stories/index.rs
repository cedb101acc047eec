//! Which sessions there are: found by identifier, support code, subject, stream and what may have hurt; and what nodes told
//! of themselves lately. It is in memory, made anew from the log when the node starts.
//!
//! It has room for so many sessions. Beyond that the one that was not heard of for the longest time goes, which is
//! counted: its story is still in the log, and found by its identifier.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use crate::rules::session::{SessionId, support_code};
use crate::rules::timeline::event::{Entry, Event};
use crate::rules::timeline::story::{Cause, Marks, is_of_nodes};

/// What nodes told of themselves is kept for this many lines, and as many of their questions to origins: when an origin is
/// in trouble there are very many of these.
const CHANGES: usize = 4_096;
/// Sessions that were erased, and may still end.
const ERASED: usize = 4_096;
/// A session that is heard of moves up in the order of age when this many entries came since it last did.
const STEP: u64 = 4_096;

/// What is known of a session without telling its story.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Known {
    /// The number of its first entry, or one before it.
    pub first: u64,
    /// The number of its last entry.
    pub last: u64,
    /// When it was first heard of, in milliseconds since the epoch.
    pub began: u64,
    /// When it was last heard of.
    pub heard: u64,
    /// Its access; `None`: its route is open.
    pub access: Option<Arc<str>>,
    /// The print of its subject within its access, as sixteen hexadecimal digits.
    pub subject: Option<Box<str>>,
    /// Its route.
    pub route: Option<Arc<str>>,
    /// The stream that was watched last.
    pub stream: Option<Arc<str>>,
    /// The player's family and major version.
    pub player: Option<Box<str>>,
    /// `h1`, `h2` or `h3`.
    pub protocol: Option<Box<str>>,
    /// What may have hurt.
    pub marks: Marks,
    /// Its place in the order of age.
    rank: u64,
}

/// What is looked for. What is not said is not asked for.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// A session, by its identifier.
    pub session: Option<SessionId>,
    /// A support code, as [`Query::read_code`] reads it.
    pub code: Option<String>,
    /// Prints of a subject, each with its access.
    pub subjects: Option<Vec<(Arc<str>, Box<str>)>>,
    /// An access.
    pub access: Option<String>,
    /// A part of a stream's name.
    pub stream: Option<String>,
    /// What may be behind it.
    pub cause: Option<Cause>,
    /// Heard of since then, in milliseconds since the epoch.
    pub since: Option<u64>,
    /// Begun before then, in milliseconds since the epoch.
    pub until: Option<u64>,
}

impl Query {
    /// A support code however it was told on the phone: without the hyphen, in small letters, with the letters that are
    /// mistaken for digits (Crockford's base 32). `None`: it is none.
    pub fn read_code(text: &str) -> Option<String> {
        let plain = text.chars().filter(|letter| !matches!(letter, '-' | ' '));
        let mut code: String = plain
            .map(|letter| match letter.to_ascii_uppercase() {
                'O' => '0',
                'I' | 'L' => '1',
                other => other,
            })
            .collect();
        let is_one = code.len() == 8
            && code.bytes().all(|letter| letter.is_ascii_uppercase() && letter != b'U' || letter.is_ascii_digit());
        if !is_one {
            return None;
        }
        code.insert(4, '-');
        Some(code)
    }

    fn is_met(&self, id: SessionId, known: &Known) -> bool {
        let is = |wanted: &Option<String>, there: &Option<Arc<str>>| {
            wanted.as_deref().is_none_or(|wanted| there.as_deref() == Some(wanted))
        };
        let is_subject = |subjects: &Vec<(Arc<str>, Box<str>)>| {
            subjects
                .iter()
                .any(|(access, print)| known.access.as_ref() == Some(access) && known.subject.as_ref() == Some(print))
        };
        let names = |part: &String| known.stream.as_deref().is_some_and(|stream| stream.contains(&**part));
        self.session.is_none_or(|session| session == id)
            && self.code.as_ref().is_none_or(|code| *code == support_code(&id))
            && self.subjects.as_ref().is_none_or(is_subject)
            && is(&self.access, &known.access)
            && self.stream.as_ref().is_none_or(names)
            && self.cause.is_none_or(|cause| known.marks.may_be(cause))
            && self.since.is_none_or(|since| known.heard >= since)
            && self.until.is_none_or(|until| known.began <= until)
    }
}

/// Sessions of which something is kept.
pub struct Index {
    sessions: HashMap<SessionId, Known, foldhash::fast::RandomState>,
    by_age: BTreeMap<(u64, SessionId), ()>,
    changes: VecDeque<Entry>,
    fetches: VecDeque<Entry>,
    erased: (HashSet<SessionId>, VecDeque<SessionId>),
    most: usize,
    forgotten: u64,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            sessions: HashMap::default(),
            by_age: BTreeMap::new(),
            changes: VecDeque::new(),
            fetches: VecDeque::new(),
            erased: <_>::default(),
            most: usize::MAX,
            forgotten: 0,
        }
    }
}

impl Index {
    /// Has room for so many sessions from now on.
    pub fn set_bound(&mut self, most: usize) {
        self.most = most.max(1);
        while self.sessions.len() > self.most {
            self.forget_oldest();
        }
    }

    /// An entry was kept under a number. Entries of an earlier process may come after those of this one.
    pub fn note(&mut self, entry: &Entry, number: u64) {
        let Some(id) = entry.session else { return self.note_change(entry) };
        let rank = match self.sessions.get_mut(&id) {
            Some(known) => {
                known.take(entry, number);
                if number < known.rank.saturating_add(STEP) {
                    return;
                }
                std::mem::replace(&mut known.rank, number)
            }
            None => {
                while self.sessions.len() >= self.most {
                    self.forget_oldest();
                }
                self.sessions.insert(id, Known::of(entry, number));
                self.by_age.insert((number, id), ());
                return;
            }
        };
        self.by_age.remove(&(rank, id));
        self.by_age.insert((number, id), ());
    }

    fn note_change(&mut self, entry: &Entry) {
        if !is_of_nodes(entry) {
            return;
        }
        let told = if matches!(entry.event, Event::Fetch(_)) { &mut self.fetches } else { &mut self.changes };
        if told.len() >= CHANGES {
            told.pop_front();
        }
        let place = told.partition_point(|other| other.at <= entry.at);
        told.insert(place, entry.clone());
    }

    fn forget_oldest(&mut self) {
        if let Some(((_, id), ())) = self.by_age.pop_first() {
            self.sessions.remove(&id);
            self.forgotten += 1;
        }
    }

    /// The number of a session's first entry, where it is known.
    pub fn first(&self, session: SessionId) -> Option<u64> {
        self.known(session).map(|known| known.first)
    }

    /// What is known of a session.
    pub fn known(&self, session: SessionId) -> Option<&Known> {
        self.sessions.get(&session)
    }

    /// What nodes told of themselves between two moments, in milliseconds since the epoch.
    pub fn changes(&self, from: u64, to: u64) -> impl Iterator<Item = &Entry> {
        let between = move |told: &'_ VecDeque<Entry>| {
            let start = told.partition_point(|entry| entry.at < from);
            start..told.partition_point(|entry| entry.at <= to).max(start)
        };
        let (changes, fetches) = (between(&self.changes), between(&self.fetches));
        self.changes.range(changes).chain(self.fetches.range(fetches))
    }

    /// The sessions that are looked for, at most so many: those heard of last. And how many there are in all.
    pub fn find(&self, query: &Query, most: usize) -> (Vec<(SessionId, Known)>, usize) {
        let mut found: Vec<_> = match query.session {
            Some(id) => self.sessions.get_key_value(&id).into_iter().collect(),
            None => self.sessions.iter().collect(),
        };
        found.retain(|(id, known)| query.is_met(**id, known));
        let number = found.len();
        found.sort_unstable_by_key(|(id, known)| (std::cmp::Reverse(known.heard), **id));
        found.truncate(most);
        (found.into_iter().map(|(id, known)| (*id, known.clone())).collect(), number)
    }

    /// Forgets a session, and that it ends.
    pub fn erase(&mut self, session: SessionId) {
        if let Some(known) = self.sessions.remove(&session) {
            self.by_age.remove(&(known.rank, session));
        }
        let (set, order) = &mut self.erased;
        if set.insert(session) {
            order.push_back(session);
        }
        if order.len() > ERASED
            && let Some(oldest) = order.pop_front()
        {
            set.remove(&oldest);
        }
    }

    /// Whether an entry says nothing but that a session is over which was erased. Whoever goes on watching after that
    /// begins a story anew.
    pub fn is_of_erased(&mut self, entry: &Entry) -> bool {
        let (set, order) = &mut self.erased;
        let Some(session) = entry.session.filter(|session| !set.is_empty() && set.contains(session)) else {
            return false;
        };
        if matches!(entry.event, Event::Ended(_) | Event::Path(_)) {
            return true;
        }
        set.remove(&session);
        order.retain(|other| *other != session);
        false
    }

    /// How many sessions are known, and how many were forgotten for want of room.
    pub fn figures(&self) -> (usize, u64) {
        (self.sessions.len(), self.forgotten)
    }
}

impl Known {
    fn of(entry: &Entry, number: u64) -> Self {
        let mut known = Self {
            first: number,
            last: number,
            began: entry.at,
            heard: entry.at,
            access: None,
            subject: None,
            route: None,
            stream: None,
            player: None,
            protocol: None,
            marks: Marks::default(),
            rank: number,
        };
        known.take(entry, number);
        known
    }

    fn take(&mut self, entry: &Entry, number: u64) {
        self.first = self.first.min(number);
        self.last = self.last.max(number);
        self.began = self.began.min(entry.at);
        self.marks = self.marks.and(Marks::of(entry));
        let age = if entry.at >= self.heard { Age::Newest } else { Age::Older };
        self.heard = self.heard.max(entry.at);
        put(&mut self.route, &entry.route, age);
        put(&mut self.stream, &entry.stream, age);
        match &entry.event {
            Event::Began(began) => {
                put(&mut self.access, &began.access, age);
                put(&mut self.subject, &began.subject, age);
                put(&mut self.player, &began.player, age);
                put(&mut self.protocol, &Some(began.protocol.clone()), age);
            }
            Event::Verdict(verdict) => put(&mut self.access, &Some(verdict.access.clone()), age),
            _ => {}
        }
    }
}

/// How an entry stands to those that came before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Age {
    /// None is newer.
    Newest,
    /// Others are.
    Older,
}

/// What is known is replaced by what is newer, and never by nothing.
fn put<T: Clone + PartialEq>(known: &mut Option<T>, told: &Option<T>, age: Age) {
    if told.is_some() && (age == Age::Newest || known.is_none()) && known != told {
        known.clone_from(told);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::timeline::event::{Began, Ended, Fetch, NodeChange, Verdict};

    fn id(number: u8) -> SessionId {
        SessionId([number; 12])
    }

    fn entry(at: u64, session: Option<u8>, event: Event) -> Entry {
        let session = session.map(id);
        Entry { at, session, route: None, stream: session.map(|session| format!("live/{session}").into()), event }
    }

    fn began(subject: &str) -> Event {
        Event::Began(Began { access: Some("members".into()), subject: Some(subject.into()), ..Began::default() })
    }

    fn refused(reason: &str) -> Event {
        Event::Verdict(Verdict { access: "members".into(), reason: Some(reason.into()) })
    }

    fn filled() -> Index {
        let mut index = Index::default();
        index.note(&entry(10, Some(1), began("00000000000000aa")), 1);
        index.note(&entry(20, Some(2), began("00000000000000bb")), 2);
        index.note(&entry(30, Some(1), refused("revoked")), 3);
        index.note(&entry(25, None, Event::Node(NodeChange { what: "draining".into(), ..NodeChange::default() })), 4);
        index
    }

    #[test]
    fn a_session_is_found_by_whatever_a_viewer_may_say() {
        let index = filled();
        let found = |query: &Query| -> Vec<_> { index.find(query, 10).0.into_iter().map(|(id, _)| id.0[0]).collect() };
        assert_eq!(found(&Query::default()), [1, 2], "the one heard of last comes first");
        assert_eq!(found(&Query { session: Some(id(2)), ..Query::default() }), [2]);
        let code = Query::read_code(&support_code(&id(1)).to_lowercase().replace('-', ""));
        assert_eq!(found(&Query { code, ..Query::default() }), [1]);
        let subjects = Some(vec![("members".into(), "00000000000000bb".into())]);
        assert_eq!(found(&Query { subjects, ..Query::default() }), [2]);
        let others = Some(vec![("guests".into(), "00000000000000bb".into())]);
        assert!(
            found(&Query { subjects: others, ..Query::default() }).is_empty(),
            "one tenant's alice is not another's"
        );
        assert_eq!(found(&Query { cause: Some(Cause::Revoked), ..Query::default() }), [1]);
        assert_eq!(found(&Query { stream: Some("live/02".into()), ..Query::default() }), [2]);
        assert_eq!(found(&Query { since: Some(21), ..Query::default() }), [1]);
        assert_eq!(index.find(&Query::default(), 1).1, 2);
        assert_eq!(index.changes(20, 30).count(), 1);
    }

    #[test]
    fn an_origin_in_trouble_does_not_make_a_drain_forgotten() {
        let mut index = filled();
        for number in 0..2 * CHANGES as u64 {
            let fetch = Fetch { id: number, status: Some(503), ..Fetch::default() };
            let told = entry(30 + number, None, Event::Fetch(Box::new(fetch)));
            index.note(&Entry { stream: Some("live/1".into()), ..told }, 5 + number);
        }
        let told: Vec<_> = index.changes(0, u64::MAX).map(|entry| entry.at).collect();
        assert_eq!((told.len(), told[0], told[1]), (CHANGES + 1, 25, 30 + CHANGES as u64));
    }

    #[test]
    fn a_code_is_read_however_it_was_heard() {
        assert_eq!(Query::read_code("bw6l-w7sv").as_deref(), Some("BW61-W7SV"));
        assert_eq!(Query::read_code("bw61 w7sv").as_deref(), Some("BW61-W7SV"));
        assert_eq!((Query::read_code("alice"), Query::read_code("UUUU-UUUU")), (None, None));
    }

    #[test]
    fn where_there_is_no_room_the_oldest_is_forgotten_and_counted() {
        let mut index = filled();
        index.set_bound(2);
        index.note(&entry(40, Some(1), refused("revoked")), 10_000);
        index.note(&entry(50, Some(3), began("00000000000000cc")), 10_001);
        assert!(index.known(id(2)).is_none() && index.known(id(1)).is_some());
        assert_eq!(index.figures(), (2, 1));
    }

    #[test]
    fn of_an_erased_session_not_even_the_end_is_kept() {
        let mut index = filled();
        index.erase(id(1));
        let ended = entry(60, Some(1), Event::Ended(Ended { reason: "idle".into(), requests: 1, bytes: 1 }));
        assert!(index.known(id(1)).is_none() && index.is_of_erased(&ended));
        assert!(!index.is_of_erased(&entry(70, Some(1), began("00000000000000aa"))));
        assert!(!index.is_of_erased(&ended), "whoever goes on watching has a story again");
        assert!(!index.is_of_erased(&entry(70, None, Event::Ended(Ended::default()))));
    }
}
