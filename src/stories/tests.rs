//! Entries on their way from workers into the log.

use std::sync::Arc;

use crate::clock::{Clock, WallTime};
use crate::journal::log::Log;
use crate::rules::session::PrintKey;
use crate::rules::session::SessionId;
use crate::rules::timeline::event::{Began, Entry, Event};

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
    let kept = stories.log().of_session(session, 1).await.unwrap();
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
