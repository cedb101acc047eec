use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use parking_lot::Mutex;

use super::*;
use crate::clock::{Tick, WallTime};
use crate::config::access::RevokedBodies;
use crate::rules::session::standing::Policy;
use crate::rules::session::{Grant, Revocation, SessionId, What};
use crate::rules::token::{Reason, Scope};

const BOUNDS: Bounds = Bounds { sessions: 1_000, revocations: 1_000 };

/// A node's sessions, and a time that is told.
struct Node {
    sessions: Sessions,
    seconds: std::cell::Cell<u64>,
}

fn node(bounds: Bounds) -> Node {
    Node { sessions: Sessions::new(bounds), seconds: 0.into() }
}

fn terms(access: &str) -> SessionTerms {
    SessionTerms {
        access: access.into(),
        idle: Duration::from_secs(60),
        grace: Duration::from_secs(30),
        most: None,
        policy: Policy::RefuseNewest,
        bodies: RevokedBodies::Cut,
    }
}

fn grant(session: u32, subject: impl Into<Option<u64>>) -> Grant {
    let mut id = [0; 12];
    // Where the table looks first, so that sessions spread as those of a node do.
    id[..4].copy_from_slice(&session.wrapping_mul(2_654_435_761).to_be_bytes());
    id[4..8].copy_from_slice(&session.to_be_bytes());
    Grant {
        session: SessionId(id),
        subject: subject.into(),
        token: Some(1_000 + u64::from(session)),
        key: Some(1),
        issuer: Some(2),
        issued_at: 1_000_000,
        ends: None,
        scope: Scope::Everything,
        networks: None,
        countries: None,
        max_sessions: None,
        tier: None,
    }
}

fn revoked(access: &str, what: What) -> Revocation {
    Revocation { access: access.into(), what, at: 0, until: 2_000_000 }
}

impl Node {
    fn moment(&self) -> (Tick, WallTime) {
        let since = Duration::from_secs(self.seconds.get());
        (Tick::at(since), WallTime::at(Duration::from_secs(1_000_000) + since))
    }

    fn later(&self, seconds: u64) {
        self.seconds.set(self.seconds.get() + seconds);
    }

    fn enter(&self, terms: &SessionTerms, grant: &Grant) -> Result<Arc<Session>, NotEntered> {
        self.sessions.enter(&Arc::new(terms.clone()), grant, self.moment())
    }

    fn revoke(&self, access: &str, what: What) -> (usize, usize) {
        let revoked = self.sessions.revoke(&[revoked(access, what)], Source::Here, self.moment().1);
        (revoked.ended, revoked.known)
    }

    fn sweep(&self) -> usize {
        self.sessions.shards.iter().map(|shard| self.sessions.sweep_shard(shard, self.moment())).sum()
    }
}

fn reason(entered: Result<Arc<Session>, NotEntered>) -> Option<Reason> {
    match entered {
        Ok(_) => None,
        Err(NotEntered::Rejected(rejection)) => Some(rejection.reason),
        Err(NotEntered::Full) => panic!("there is room"),
    }
}

/// Says whether it was woken.
#[derive(Default)]
struct Bell(std::sync::atomic::AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
}

fn rung(bell: &Arc<Bell>) -> usize {
    bell.0.load(std::sync::atomic::Ordering::Relaxed)
}

#[test]
fn requests_with_one_grant_are_one_session_on_every_reconnect_and_seek() {
    let node = node(BOUNDS);
    let first = node.enter(&terms("a"), &grant(1, 7)).unwrap();
    for _ in 0..9 {
        node.later(30);
        assert!(Arc::ptr_eq(&first, &node.enter(&terms("a"), &grant(1, 7)).unwrap()));
    }
    assert_eq!((first.requests(), first.last()), (10, Tick::at(Duration::from_secs(270))));
    assert_eq!(node.sessions.by_access(), [("a".into(), 1)].into());
    // The same under another access name is another session.
    let other = node.enter(&terms("b"), &grant(1, 7)).unwrap();
    assert!(!Arc::ptr_eq(&first, &other));
}

#[test]
fn a_link_on_fifty_devices_is_fifty_sessions() {
    let node = node(BOUNDS);
    for device in 0..50 {
        node.enter(&terms("a"), &grant(device, 7)).unwrap();
    }
    assert_eq!(node.sessions.by_access(), [("a".into(), 50)].into());
    assert_eq!(node.revoke("a", What::Subject(7)), (50, 0));
    assert_eq!(node.sessions.by_access(), [].into());
}

#[test]
fn of_fifty_devices_one_goes_on_where_one_may() {
    let node = node(BOUNDS);
    let terms = SessionTerms { most: Some(1), ..terms("a") };
    let let_in = |device| node.enter(&terms, &grant(device, 7)).is_ok();
    assert_eq!((0..50).filter(|device| let_in(*device)).count(), 2, "the first, and one in its grace");
    for _ in 0..60 {
        node.later(1);
        assert!((0..50).filter(|device| let_in(*device)).count() <= 2);
    }
    assert_eq!((0..50).filter(|device| let_in(*device)).collect::<Vec<_>>(), [0]);
    assert_eq!(node.sessions.by_access(), [("a".into(), 1)].into());
    assert!(node.sessions.snapshot().limited > 48);
    // Another subject, and the same one of another access, are not concerned.
    assert!(node.enter(&terms, &grant(60, 8)).is_ok());
    assert!(node.enter(&SessionTerms { access: "b".into(), ..terms.clone() }, &grant(61, 7)).is_ok());
}

#[test]
fn a_cast_hand_over_plays_on_and_comes_back() {
    let node = node(BOUNDS);
    let mut telephone = grant(1, 7);
    telephone.max_sessions = Some(1);
    let mut cast = grant(2, 7);
    cast.max_sessions = Some(1);
    let play = |grant: &Grant| {
        (0..60).all(|_| {
            node.later(2);
            node.enter(&terms("a"), grant).is_ok()
        })
    };
    assert!(play(&telephone));
    assert!(node.enter(&terms("a"), &cast).is_ok() && node.enter(&terms("a"), &telephone).is_ok());
    assert!(play(&cast), "the television plays on");
    assert!(play(&telephone), "and the telephone once more");
    assert_eq!(node.sessions.snapshot().limited, 0);
}

#[test]
fn the_oldest_ends_where_the_policy_says_so_and_stays_ended_while_it_asks() {
    let node = node(BOUNDS);
    let terms = SessionTerms { most: Some(1), policy: Policy::EndOldest, grace: Duration::ZERO, ..terms("a") };
    let old = node.enter(&terms, &grant(1, 7)).unwrap();
    let bell = Arc::new(Bell::default());
    let mut ended = Box::pin(old.ended());
    assert!(ended.as_mut().poll(&mut Context::from_waker(&Waker::from(bell.clone()))).is_pending());
    assert!(node.enter(&terms, &grant(2, 7)).is_ok());
    assert_eq!((old.over(), rung(&bell)), (Some(Reason::SessionLimit), 1));
    for _ in 0..100 {
        node.later(1);
        assert_eq!(reason(node.enter(&terms, &grant(1, 7))), Some(Reason::SessionLimit));
        assert!(node.enter(&terms, &grant(2, 7)).is_ok());
    }
    assert_eq!(node.sessions.by_access(), [("a".into(), 1)].into());
    node.later(61);
    assert!(node.enter(&terms, &grant(1, 7)).is_ok(), "the place is free again");
}

#[test]
fn a_session_knows_where_it_was_used_and_no_more_than_so_many_places() {
    let node = node(BOUNDS);
    let session = node.enter(&terms("a"), &grant(1, None)).unwrap();
    let used = |session: &Session| session.routes().join(" ");
    for (route, all) in [("live", "live"), ("live", "live"), ("vod", "live vod"), ("live", "vod live")] {
        session.used_on(&route.into());
        assert_eq!(used(&session), all);
    }
    let known = node.sessions.of_access("a", session.id()).unwrap();
    assert_eq!(used(&known), "vod live");
    assert!(node.sessions.of_access("b", session.id()).is_none());
    (0..100).for_each(|number| session.used_on(&format!("route {number}").into()));
    session.used_on(&"live".into());
    assert_eq!((session.routes().len(), session.routes().last().map(|last| &**last)), (16, Some("live")));
}

#[test]
fn a_revocation_ends_what_it_names_at_once_and_keeps_it_out() {
    for what in [
        What::Session(grant(1, 7).session),
        What::Subject(7),
        What::Token(1_001),
        What::Key(1),
        What::Issuer(2),
        What::IssuedBefore(1_000_001),
        What::All,
    ] {
        let node = node(BOUNDS);
        let session = node.enter(&terms("a"), &grant(1, 7)).unwrap();
        let elsewhere = node.enter(&terms("b"), &grant(1, 7)).unwrap();
        assert_eq!(node.revoke("a", what), (1, 0), "{what:?}");
        assert_eq!(session.over(), Some(Reason::Revoked));
        assert_eq!(reason(node.enter(&terms("a"), &grant(1, 7))), Some(Reason::Revoked));
        assert_eq!(elsewhere.over(), None, "the other tenant is left alone");
        assert!(node.enter(&terms("b"), &grant(1, 7)).is_ok());
        assert_eq!(node.revoke("a", what), (0, 1), "saying it again changes nothing");
        assert_eq!(reason(node.enter(&terms("a"), &grant(1, 7))), Some(Reason::Revoked));
    }
}

#[test]
fn a_revocation_may_come_before_its_session_and_is_over_in_the_end() {
    let node = node(BOUNDS);
    assert_eq!(node.revoke("a", What::Subject(7)), (0, 0));
    assert_eq!(reason(node.enter(&terms("a"), &grant(1, 7))), Some(Reason::Revoked));
    assert_eq!(reason(node.enter(&terms("a"), &grant(2, 8))), None);
    node.later(1_000_000);
    assert_eq!(reason(node.enter(&terms("a"), &grant(1, 7))), None);
}

#[test]
fn many_revocations_at_once_end_what_each_of_them_names() {
    let node = node(BOUNDS);
    let sessions: Vec<_> = (0..100).map(|id| node.enter(&terms("a"), &grant(id, 7)).unwrap()).collect();
    let tokens: Vec<_> = (0..50).map(|id| revoked("a", What::Token(1_000 + id))).collect();
    assert_eq!(node.sessions.revoke(&tokens, Source::Feed, node.moment().1).ended, 50);
    assert!(sessions.iter().enumerate().all(|(id, session)| session.over().is_some() == (id < 50)));
}

#[test]
fn a_renewed_token_is_known_by_all_its_names() {
    let node = node(BOUNDS);
    let session = node.enter(&terms("a"), &grant(1, None)).unwrap();
    let renewed = Grant { token: Some(5), ..grant(1, None) };
    assert!(Arc::ptr_eq(&session, &node.enter(&terms("a"), &renewed).unwrap()));
    assert_eq!(node.revoke("a", What::Token(5)), (1, 0));
    assert_eq!(reason(node.enter(&terms("a"), &renewed)), Some(Reason::Revoked));
    assert_eq!(reason(node.enter(&terms("a"), &grant(1, None))), None, "the token before it was not taken back");
    // A token that was taken back does not ride on the session of another.
    assert_eq!(reason(node.enter(&terms("a"), &renewed)), Some(Reason::Revoked));
}

#[test]
fn whoever_waits_is_woken_once_and_whoever_left_is_not() {
    let node = node(BOUNDS);
    let session = node.enter(&terms("a"), &grant(1, 7)).unwrap();
    let (held, gone) = (Arc::new(Bell::default()), Arc::new(Bell::default()));
    let mut waits = Box::pin(session.ended());
    let mut leaves = Box::pin(session.ended());
    assert!(waits.as_mut().poll(&mut Context::from_waker(&Waker::from(held.clone()))).is_pending());
    assert!(leaves.as_mut().poll(&mut Context::from_waker(&Waker::from(gone.clone()))).is_pending());
    drop(leaves);
    node.revoke("a", What::All);
    assert_eq!((rung(&held), rung(&gone)), (1, 0));
    let poll = waits.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert_eq!(poll, std::task::Poll::Ready(Reason::Revoked));
}

#[test]
fn the_silent_go_and_those_who_are_sent_something_stay() {
    let node = node(BOUNDS);
    let sent = Attached::to(&node.enter(&terms("a"), &grant(1, 7)).unwrap());
    let slow = node.enter(&terms("a"), &grant(2, 7)).unwrap();
    slow.plays(Duration::from_secs(40));
    drop(slow);
    node.enter(&terms("a"), &grant(3, 7)).unwrap();
    node.later(61);
    assert_eq!(node.sweep(), 1);
    assert_eq!(node.sessions.by_access(), [("a".into(), 2)].into());
    node.later(60);
    assert_eq!(node.sweep(), 1, "three of its target durations have passed");
    drop(sent);
    assert_eq!(node.sweep(), 1);
    assert_eq!(node.sessions.snapshot().silent, 3);
}

#[test]
fn a_full_table_lets_the_silent_go_first_and_then_refuses_who_is_new() {
    let node = node(Bounds { sessions: 10, ..BOUNDS });
    let enter = |id| node.enter(&terms("a"), &grant(id, u64::from(id)));
    (0..10).for_each(|id| _ = enter(id).unwrap());
    assert!(matches!(enter(10), Err(NotEntered::Full)));
    assert!(enter(3).is_ok(), "who is here is not hindered");
    assert_eq!(node.sessions.snapshot().full, 1);
    node.later(61);
    let let_in = (0..super::table::SHARDS).any(|_| enter(10).is_ok());
    assert!(let_in, "a few parts of the table are looked through for each who comes");
}

#[test]
fn what_was_paid_for_ends_by_the_clock() {
    let node = node(BOUNDS);
    let paid = Grant { ends: Some(1_000_100), ..grant(1, 7) };
    let session = node.enter(&terms("a"), &paid).unwrap();
    node.later(99);
    assert!(node.enter(&terms("a"), &paid).is_ok());
    node.later(1);
    assert_eq!(reason(node.enter(&terms("a"), &paid)), Some(Reason::EntitlementOver));
    assert_eq!(node.sweep(), 0);
    assert_eq!(session.over(), Some(Reason::EntitlementOver));
}

#[test]
fn a_body_is_cut_where_the_access_says_so_and_its_octets_are_counted() {
    for (bodies, cut) in [(RevokedBodies::Cut, Some(Reason::Revoked)), (RevokedBodies::Finish, None)] {
        let node = node(BOUNDS);
        let session = node.enter(&SessionTerms { bodies, ..terms("a") }, &grant(1, 7)).unwrap();
        let mut body = Attached::to(&session);
        body.sent(100);
        let bell = Arc::new(Bell::default());
        let waker = Waker::from(bell.clone());
        assert_eq!((body.cut(), body.poll_cut(&mut Context::from_waker(&waker))), (None, None));
        node.revoke("a", What::All);
        assert_eq!(rung(&bell), usize::from(cut.is_some()));
        assert_eq!((body.cut(), body.poll_cut(&mut Context::from_waker(&waker))), (cut, cut));
        drop(body);
        assert_eq!(session.octets(), 100);
    }
}

#[test]
fn listeners_hear_each_thing_once() {
    #[derive(Default)]
    struct Heard(Mutex<Vec<String>>);
    impl Listener for Heard {
        fn hear(&self, event: &Event<'_>) {
            self.0.lock().push(match event {
                Event::Began(session) => format!("began {}", session.access()),
                Event::Ended(_, reason) => format!("ended {}", reason.map_or("silent", Reason::word)),
                Event::Refused(access, _) => format!("refused {access}"),
                Event::Revoked(revocation, source) => format!("{:?} {source:?}", revocation.what),
            });
        }
    }
    let node = node(BOUNDS);
    let heard = Arc::new(Heard::default());
    node.sessions.tell(heard.clone());
    let terms = SessionTerms { most: Some(1), grace: Duration::ZERO, ..terms("a") };
    _ = node.enter(&terms, &grant(1, 7));
    _ = node.enter(&terms, &grant(1, 7));
    _ = node.enter(&terms, &grant(2, 7));
    _ = node.revoke("a", What::Subject(7));
    _ = node.revoke("a", What::Subject(7));
    _ = node.enter(&terms, &grant(3, 8));
    node.later(100);
    node.sweep();
    let said = ["began a", "refused a", "Subject(7) Here", "ended revoked", "began a", "ended silent"];
    let mut heard = heard.0.lock().clone();
    heard.sort();
    let mut said = said.map(str::to_owned);
    said.sort();
    assert_eq!(heard, said);
}

/// A disk that takes nothing.
struct Full;

impl crate::disk::Twin for Full {
    fn submit(&self, _: crate::disk::Op, reply: crate::disk::Reply) -> bool {
        _ = reply.send(Err(std::io::ErrorKind::StorageFull.into()));
        true
    }

    fn name(&self) -> &'static str {
        "full"
    }
}

#[tokio::test]
async fn a_disk_that_takes_nothing_keeps_no_revocation_from_counting() {
    let folder = tempfile::tempdir().unwrap();
    let node = node(BOUNDS);
    let kept = |what| node.sessions.revoke(&[revoked("a", what)], Source::Here, node.moment().1).kept();
    assert_eq!(kept(What::Subject(6)).await, Kept::Nowhere, "there is no folder for it");
    let clock = crate::clock::Clock::manual(WallTime::default());
    let engine = crate::disk::Engine::over(Arc::new(Full), clock.clone());
    let room = crate::journal::Room::default();
    let journal = crate::journal::Journal::open(folder.path(), (engine, clock), room, |_, _| {}).unwrap();
    let tasks = crate::tasks::Tasks::current();
    tasks.spawn("journal", journal.clone().write(tasks.clone()));
    node.sessions.keep_in(journal);
    let playing = node.enter(&terms("a"), &grant(1, 8)).unwrap();
    let session = node.enter(&terms("a"), &grant(2, 7)).unwrap();
    assert_eq!(kept(What::Subject(7)).await, Kept::NotYet);
    assert_eq!(session.over(), Some(Reason::Revoked));
    assert_eq!(reason(node.enter(&terms("a"), &grant(2, 7))), Some(Reason::Revoked));
    assert_eq!(kept(What::Subject(7)).await, Kept::NotYet, "said again, it is still not kept");
    assert_eq!(playing.over(), None, "who plays goes on");
    assert!(node.enter(&terms("a"), &grant(1, 8)).is_ok());
}

mod together {
    use super::*;

    #[test]
    fn a_revocation_and_a_request_at_once_leave_no_session_behind() {
        for round in 0..200 {
            let sessions = Sessions::new(BOUNDS);
            let moment = (Tick::default(), WallTime::at(Duration::from_secs(1_000_000)));
            let terms = Arc::new(terms("a"));
            std::thread::scope(|scope| {
                let entering = scope.spawn(|| sessions.enter(&terms, &grant(round, 7), moment));
                _ = sessions.revoke(&[revoked("a", What::Subject(7))], Source::Here, moment.1);
                if let Ok(session) = entering.join().unwrap() {
                    assert_eq!(session.over(), Some(Reason::Revoked));
                }
            });
            assert!(sessions.by_access().is_empty());
        }
    }

    #[test]
    fn two_devices_at_once_do_not_take_one_place() {
        for _ in 0..200 {
            let sessions = Sessions::new(BOUNDS);
            let moment = (Tick::default(), WallTime::at(Duration::from_secs(1_000_000)));
            let terms = Arc::new(SessionTerms { most: Some(1), grace: Duration::ZERO, ..terms("a") });
            let let_in = std::thread::scope(|scope| {
                let enter = |id| {
                    let (sessions, terms) = (&sessions, &terms);
                    scope.spawn(move || sessions.enter(terms, &grant(id, 7), moment).is_ok())
                };
                let entering: Vec<_> = (0..4).map(enter).collect();
                entering.into_iter().filter(|_| true).map(|one| usize::from(one.join().unwrap())).sum::<usize>()
            });
            assert_eq!(let_in, 1);
        }
    }
}

mod region {
    use super::*;

    /// Two nodes tell each other what has changed.
    fn exchange(one: &Node, other: &Node) {
        for (number, from, to) in [(1, one, other), (2, other, one)] {
            let (Told::Changes(told) | Told::All(told)) = from.sessions.presence_changes();
            let now = to.moment().0;
            to.sessions.apply_presence(number, &told, (now, now + Duration::from_secs(10)));
        }
    }

    fn limited(id: u32) -> Grant {
        Grant { max_sessions: Some(1), ..grant(id, 7) }
    }

    #[test]
    fn a_limit_holds_for_all_nodes_together() {
        let (one, other) = (node(BOUNDS), node(BOUNDS));
        let terms = SessionTerms { grace: Duration::ZERO, ..terms("a") };
        exchange(&one, &other);
        assert!(one.enter(&terms, &limited(1)).is_ok());
        exchange(&one, &other);
        assert_eq!(reason(other.enter(&terms, &limited(2))), Some(Reason::SessionLimit));
        // The same session there is no other one: the viewer has only come to another node.
        assert!(other.enter(&terms, &limited(1)).is_ok());
    }

    #[test]
    fn without_a_grace_a_session_has_its_place_until_it_is_idle() {
        let (one, other) = (node(BOUNDS), node(BOUNDS));
        let terms = SessionTerms { grace: Duration::ZERO, ..terms("a") };
        exchange(&one, &other);
        assert!(one.enter(&terms, &limited(1)).is_ok());
        one.later(1);
        one.sweep();
        exchange(&one, &other);
        assert_eq!(reason(other.enter(&terms, &limited(2))), Some(Reason::SessionLimit));
    }

    #[test]
    fn two_that_came_at_once_become_one_when_word_has_come_round() {
        for (policy, stays) in [(Policy::RefuseNewest, 0), (Policy::EndOldest, 1)] {
            let (one, other) = (node(BOUNDS), node(BOUNDS));
            let terms = SessionTerms { grace: Duration::ZERO, policy, ..terms("a") };
            exchange(&one, &other);
            let first = one.enter(&terms, &limited(1)).unwrap();
            other.later(1);
            let second = other.enter(&terms, &limited(2)).unwrap();
            exchange(&one, &other);
            let over = [first.over(), second.over()];
            assert_eq!(over[stays], None, "{policy:?}");
            assert_eq!(over[1 - stays], Some(Reason::SessionLimit), "{policy:?}");
        }
    }

    #[test]
    fn what_is_not_repeated_counts_no_longer() {
        let (one, other) = (node(BOUNDS), node(BOUNDS));
        let terms = SessionTerms { grace: Duration::ZERO, ..terms("a") };
        exchange(&one, &other);
        assert!(one.enter(&terms, &limited(1)).is_ok());
        exchange(&one, &other);
        other.later(9);
        assert!(other.enter(&terms, &limited(2)).is_err());
        other.later(1);
        assert!(other.enter(&terms, &limited(2)).is_ok());
    }

    #[test]
    fn a_cast_to_another_node_plays_on() {
        let (one, other) = (node(BOUNDS), node(BOUNDS));
        exchange(&one, &other);
        assert!(one.enter(&terms("a"), &limited(1)).is_ok());
        exchange(&one, &other);
        for _ in 0..40 {
            assert!(other.enter(&terms("a"), &limited(2)).is_ok());
            one.later(2);
            other.later(2);
            one.sweep();
            other.sweep();
            exchange(&one, &other);
        }
    }
}
