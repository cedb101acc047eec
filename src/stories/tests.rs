//! Entries on their way from workers into the log.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, WallTime};
use crate::journal::log::{Log, Wanted};
use crate::rules::session::PrintKey;
use crate::rules::session::SessionId;
use crate::rules::timeline::event::{Began, Entry, Event, Verdict};
use crate::rules::timeline::story::Cause;

use super::index::Known;
use super::{Names, Stories, entry_of};

#[tokio::test]
async fn what_was_told_is_read_again_as_it_was() {
    let names = Names { node: "edge".into(), region: None, boot: 7 };
    let clock = Clock::manual(WallTime::default());
    let stories = Arc::new(Stories::new(clock, names, 2, (Log::in_memory(1 << 20), PrintKey::new(&[1; 32]))));
    let session = SessionId([7; 12]);
    let event = Event::Began(Began { protocol: "h3".into(), tls: true, ..Began::default() });
    let entry = Entry { at: 1, session: Some(session), route: None, stream: Some("live/one".into()), event };
    stories.tell(entry.clone());
    stories.round().await;
    let kept = stories.log().of_sessions(&[session], Wanted::all(1, 10)).await.unwrap();
    let kept: Vec<_> = kept[&session].iter().collect();
    assert_eq!(kept.len(), 1);
    assert_eq!(entry_of(&kept[0].record.line), Some(entry));
}

#[tokio::test]
async fn what_the_log_lost_is_told_in_the_log() {
    let names = Names { node: "edge".into(), region: None, boot: 7 };
    let clock = Clock::manual(WallTime::default());
    let stories = Stories::new(clock, names, 2, (Log::in_memory(20_000), PrintKey::new(&[1; 32])));
    let tell = || {
        for at in 0..200 {
            let event = Event::Began(Began { protocol: "h3".into(), ..Began::default() });
            stories.tell(Entry { at, session: Some(SessionId([7; 12])), route: None, stream: None, event });
        }
    };
    tell();
    stories.round().await;
    let lost = stories.log().figures().lost;
    assert!(lost > 0);
    stories.round().await;
    let all = stories.log().read(1, usize::MAX).await.unwrap();
    let told = all.iter().filter_map(|one| entry_of(&one.record.line)).find_map(|entry| match entry.event {
        Event::Lost(told) => Some(told),
        _ => None,
    });
    assert_eq!(told.map(|told| (told.reason, told.count)), Some(("log-full".into(), lost)));
}

/// Stories of one worker's node, in memory.
fn stories(clock: &Clock) -> Arc<Stories> {
    let names = Names { node: "edge".into(), region: None, boot: 7 };
    Arc::new(Stories::new(clock.clone(), names, 1, (Log::in_memory(1 << 20), PrintKey::new(&[1; 32]))))
}

fn verdict(at: u64, session: u8, reason: Option<&str>) -> Entry {
    let event = Event::Verdict(Verdict { access: "members".into(), reason: reason.map(Into::into) });
    Entry { at, session: Some(SessionId([session; 12])), route: Some("short".into()), stream: None, event }
}

#[tokio::test]
async fn a_story_is_told_while_its_entries_are_in_the_rings() {
    let stories = stories(&Clock::manual(WallTime::default()));
    stories.tell(verdict(1, 1, Some("revoked")));
    let told = stories.story(SessionId([1; 12])).await.unwrap().unwrap();
    assert_eq!((told.cause, told.who.nodes), (Cause::Revoked, vec!["edge".to_owned()]));
    assert_eq!(stories.story(SessionId([2; 12])).await.unwrap(), None);
}

#[tokio::test]
async fn who_had_the_same_is_found_by_one_look_at_the_log() {
    let stories = stories(&Clock::manual(WallTime::default()));
    for (session, reason) in [(1, "revoked"), (2, "token-expired"), (3, "revoked")] {
        stories.tell(verdict(session.into(), session, Some(reason)));
    }
    let told = stories.story(SessionId([1; 12])).await.unwrap().unwrap();
    let others = stories.others(&told).await.unwrap();
    assert_eq!(others.alike.iter().map(|story| story.session.0[0]).collect::<Vec<_>>(), [3]);
    assert_eq!((others.examined, others.complete), (1, true));
}

#[tokio::test]
async fn a_session_too_long_to_be_told_whole_keeps_its_beginning_and_its_end_and_says_so() {
    let names = Names { node: "edge".into(), region: None, boot: 7 };
    let (log, key) = (Log::in_memory(1 << 30), PrintKey::new(&[1; 32]));
    let stories = Stories::new(Clock::manual(WallTime::default()), names, 1, (log, key));
    let id = SessionId([1; 12]);
    let began = Event::Began(Began { protocol: "h3".into(), player: Some("Chrome 142".into()), ..Began::default() });
    stories.tell(Entry { at: 1, session: Some(id), route: None, stream: None, event: began });
    for at in 2..=60_000 {
        stories.tell(verdict(at, 1, None));
    }
    let told = stories.told(id).await.unwrap();
    let left_out = told.iter().find_map(|told| match &told.entry.event {
        Event::Lost(lost) => Some((&*lost.reason, lost.count)),
        _ => None,
    });
    assert_eq!((told.len(), left_out), (50_001, Some(("left-out", 10_000))));
    let story = stories.story(id).await.unwrap().unwrap();
    assert_eq!((story.who.player.as_deref(), story.began, story.ended), (Some("Chrome 142"), 1, 60_000));
    let several = stories.stories(&[(id, Known::default())]).await.unwrap();
    assert_eq!((several.stories, several.complete), (vec![story], false));
}

#[tokio::test]
async fn who_else_had_it_is_looked_for_at_the_time_in_which_it_hurt() {
    let stories = stories(&Clock::manual(WallTime::default()));
    let late = 3 * 3_600_000;
    for at in 1..10 {
        [1, 2, 3].into_iter().for_each(|session| stories.tell(verdict(at, session, None)));
    }
    // One was hurt with the first, one an hour before.
    for (session, at) in [(1, late), (2, late + 1_000), (3, late - 3_600_000)] {
        stories.tell(verdict(at, session, Some("revoked")));
    }
    stories.tell(verdict(late + 5_000, 3, None));
    let told = stories.story(SessionId([1; 12])).await.unwrap().unwrap();
    let others = stories.others(&told).await.unwrap();
    assert_eq!(others.alike.iter().map(|story| story.session.0[0]).collect::<Vec<_>>(), [2]);
    assert!(others.complete);
}

#[tokio::test]
async fn sessions_of_a_subject_are_found_in_the_log_where_the_index_has_forgotten_them() {
    let stories = stories(&Clock::manual(WallTime::default()));
    for (session, subject) in [(1, "00000000000000aa"), (2, "00000000000000bb"), (3, "00000000000000aa")] {
        let access = Some("members".into());
        let event = Event::Began(Began { access, subject: Some(subject.into()), ..Began::default() });
        stories.tell(Entry { at: 1, session: Some(SessionId([session; 12])), route: None, stream: None, event });
    }
    stories.round().await;
    stories.index.lock().set_bound(1);
    let of = async |access: &str, most| {
        let found = stories.of_subjects(&[(access.into(), "00000000000000aa".into())], most).await.unwrap();
        found.iter().map(|session| session.0[0]).collect::<Vec<_>>()
    };
    assert_eq!(of("members", 10).await, [1, 3]);
    assert_eq!(of("members", 1).await, [1]);
    assert!(of("others", 10).await.is_empty());
}

#[tokio::test]
async fn a_route_shows_nothing_that_it_keeps_no_longer() {
    let clock = Clock::manual(WallTime::at(Duration::from_secs(1_000)));
    let stories = stories(&clock);
    stories.retention.lock().insert("short".into(), 60_000);
    stories.tell(verdict(1_000_000, 1, None));
    assert!(stories.story(SessionId([1; 12])).await.unwrap().is_some());
    clock.advance(Duration::from_secs(61));
    assert!(stories.story(SessionId([1; 12])).await.unwrap().is_none());
    // Whatever looks for it in the files finds it until it has left them.
    let left = async {
        clock.advance(Duration::from_secs(601));
        while !stories.log().read(1, usize::MAX).await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        () = stories.clone().let_go() => {}
        () = left => {}
    }
}

#[tokio::test]
async fn an_earlier_process_is_remembered() {
    let clock = Clock::manual(WallTime::default());
    let before = stories(&clock);
    before.tell(verdict(1, 1, Some("revoked")));
    before.settle().await;
    let names = Names { node: "edge".into(), region: None, boot: 8 };
    let after = Arc::new(Stories::new(clock, names, 1, (before.log().clone(), PrintKey::new(&[1; 32]))));
    assert!(after.index.lock().known(SessionId([1; 12])).is_none());
    after.clone().remember().await;
    assert_eq!(after.index.lock().known(SessionId([1; 12])).map(|known| known.first), Some(1));
}
