//! Who is watching, by what they share, and what that may cost.

use std::sync::Arc;

use super::*;
use crate::rules::qoe::report::{Data, Mode, Report, State};
use crate::rules::timeline::event::{Began, Ended, Request, Served};
use crate::telemetry::metrics::{Exposition, Source};

const T: u64 = 1_800_000_000_000;

fn id(number: u64) -> SessionId {
    let mut id = [0; 12];
    id[4..].copy_from_slice(&number.to_be_bytes());
    SessionId(id)
}

fn entry(at: u64, session: u64, stream: &str, event: Event) -> Entry {
    Entry { at: T + at, session: Some(id(session)), route: None, stream: Some(stream.into()), event }
}

fn began(at: u64, session: u64, stream: &str, access: Option<&str>) -> Entry {
    let began =
        Began { access: access.map(Arc::from), protocol: "h3".into(), country: Some("DE".into()), ..Began::default() };
    entry(at, session, stream, Event::Began(began))
}

fn served(at: u64, session: u64, stream: &str) -> Entry {
    let rendition = Some("video/1080p.m3u8".into());
    let served = Served {
        protocol: "h2".into(),
        requests: 2,
        playlists: 1,
        media: 1,
        bytes: 500,
        rendition,
        ..Served::default()
    };
    entry(at, session, stream, Event::Served(Box::new(served)))
}

fn reports(at: u64, session: u64, view: u64, state: State) -> Entry {
    let data = Data { e: Some("ps".into()), sta: Some(state), ts: Some(T + at), ..Data::default() };
    let report = Report { mode: Mode::Event, view: Some(id(view)), record: None, data };
    entry(at, session, "live/one", Event::Report(Box::new(report)))
}

fn watched(live: &mut Live, at: u64) -> u64 {
    live.pass(T + at);
    live.snapshot().viewers
}

#[test]
fn an_arrival_counts_at_once_and_a_silent_departure_when_it_is_idle() {
    let mut live = Live::default();
    live.note(&began(0, 1, "live/one", None));
    assert_eq!(watched(&mut live, 0), 0, "nothing was asked for yet");
    live.note(&served(500, 1, "live/one"));
    assert_eq!(watched(&mut live, 1_000), 1);
    assert_eq!(watched(&mut live, 60_400), 1);
    assert_eq!(watched(&mut live, 61_500), 0);
    live.note(&served(70_000, 1, "live/one"));
    assert_eq!(watched(&mut live, 71_000), 1);
}

#[test]
fn a_departure_that_is_told_counts_at_once() {
    for last in [State::Quit, State::Ended, State::Failed] {
        let mut live = Live::default();
        live.note(&served(0, 1, "live/one"));
        live.note(&reports(500, 1, 7, State::Playing));
        assert_eq!(watched(&mut live, 1_000), 1, "it is one view");
        live.note(&reports(1_500, 1, 7, last));
        live.note(&served(2_000, 1, "live/one"));
        assert_eq!(watched(&mut live, 2_500), 0, "what was on its way brings nobody back");
        live.note(&served(9_000, 1, "live/one"));
        assert_eq!(watched(&mut live, 9_500), 1, "who goes on asking is there");
    }
    let mut live = Live::default();
    live.note(&served(0, 1, "live/one"));
    live.note(&entry(900, 1, "live/one", Event::Ended(Ended { reason: "session-revoked".into(), ..Ended::default() })));
    assert_eq!(watched(&mut live, 1_000), 0);
}

#[test]
fn players_behind_one_address_are_viewers_each_and_a_token_is_one() {
    for (access, viewers) in [(None, 3), (Some("members"), 1)] {
        let mut live = Live::default();
        live.note(&began(0, 1, "live/one", access));
        (1..=3).for_each(|view| live.note(&reports(100, 1, view, State::Playing)));
        assert_eq!(watched(&mut live, 1_000), viewers);
    }
}

#[test]
fn viewers_and_their_figures_are_rolled_up_by_what_they_share() {
    let mut live = Live::default();
    for session in 1..=3 {
        let stream = if session == 3 { "live/two" } else { "live/one" };
        live.note(&began(0, session, stream, None));
        live.note(&served(100, session, stream));
        live.note(&served(4_100, session, stream));
    }
    live.note(&reports(200, 1, 9, State::Playing));
    live.note(&reports(3_200, 1, 9, State::Rebuffering));
    live.note(&reports(4_200, 1, 9, State::Playing));
    live.pass(T + 5_000);
    let snapshot = live.snapshot();
    let shown = |of: &[super::super::snapshot::Labelled]| {
        of.iter().map(|one| (one.label.clone(), one.viewers)).collect::<Vec<_>>()
    };
    assert_eq!(shown(&snapshot.streams), [("live/one".to_owned(), 2), ("live/two".to_owned(), 1)]);
    assert_eq!(shown(&snapshot.protocols), [("h2".to_owned(), 3)]);
    assert_eq!(shown(&snapshot.regions), [("DE".to_owned(), 3)]);
    assert_eq!(shown(&snapshot.renditions), [("video/1080p.m3u8".to_owned(), 2), ("video/1080p.m3u8".to_owned(), 1)]);
    assert_eq!(snapshot.renditions[1].stream.as_deref(), Some("live/two"));
    let all = &snapshot.all.recent;
    assert_eq!((all.reported.views, all.inferred.views), (1, 3));
    assert_eq!(all.reported.rebuffer_ratio, Some(0.25));
    assert_eq!(all.reported.playing_seconds, 3.0);
    assert_eq!(snapshot.streams[1].total.inferred.playing_seconds, 4.0);
    assert_eq!(live.session(id(1)).unwrap().views[0].reported.rebuffers, Some(1));
    live.forget(id(1));
    assert_eq!(live.session(id(1)), None);
}

#[test]
fn what_is_recent_is_over_after_two_minutes() {
    let mut live = Live::default();
    (0..5).for_each(|second| live.note(&served(second * 1_000, 1, "live/one")));
    live.pass(T + 5_000);
    assert_eq!(live.snapshot().all.recent.inferred.playing_seconds, 4.0);
    (1..=3).for_each(|minute| live.pass(T + minute * 65_000));
    let snapshot = live.snapshot();
    assert_eq!(snapshot.all.recent.inferred.playing_seconds, 0.0);
    assert_eq!(snapshot.all.total.inferred.playing_seconds, 4.0);
}

fn series(live: &Live) -> usize {
    live.families().iter().map(|family| family.samples.len()).sum()
}

#[test]
fn a_million_random_names_add_no_series_and_no_more_sessions_than_there_is_room_for() {
    let bounds = Bounds { streams: 8, sessions: 1_000, ..Bounds::default() };
    let mut live = Live::new(bounds);
    let many = 100_000;
    let mut most = 0;
    for number in 0..many {
        let stream = format!("live/{number:x}");
        let mut begins = began(number, number, &stream, None);
        if let Event::Began(began) = &mut begins.event {
            began.country = Some(format!("{number:02}").into());
            began.protocol = format!("h{number}").into();
            began.player = Some(format!("Player {number}").into());
        }
        live.note(&begins);
        let mut serves = served(number, number, &stream);
        if let Event::Served(served) = &mut serves.event {
            served.rendition = Some(format!("{number}.m3u8").into());
        }
        live.note(&serves);
        live.note(&reports(number, number, number, State::Playing));
        let request = Request { kind: Kind::Part, status: 200, path: stream.as_str().into(), ..Request::default() };
        live.note(&entry(number, number, &stream, Event::Request(Box::new(request))));
        if number % 10_000 == 9_999 {
            live.pass(T + number);
            most = most.max(series(&live));
            assert!(live.sessions() <= bounds.sessions);
        }
    }
    live.pass(T + many + 120_000);
    let families = live.families();
    let streams = families.iter().find(|family| family.name == "weir_viewers").unwrap();
    assert_eq!(streams.samples.len(), 9, "eight and `other`");
    assert_eq!(series(&live), most, "all there can be were there after the first few");
    assert!(live.snapshot().untracked > 0);
    assert!(most < 600, "{most}");
}

#[test]
fn a_scrape_writes_what_viewers_experience() {
    let mut live = Live::default();
    live.note(&served(0, 1, "live/one"));
    live.note(&served(3_500, 1, "live/one"));
    live.pass(T + 4_000);
    let mut exposition = Exposition::default();
    let families = live.families();
    exposition.add(move || families.clone());
    let page = exposition.render();
    for line in [
        "weir_viewers{stream=\"live/one\"} 1.0\n",
        "weir_viewers_by_protocol{protocol=\"h2\"} 1.0\n",
        "weir_qoe_playing_seconds_total{stream=\"live/one\",source=\"inferred\"} 3.5\n",
        "weir_qoe_views_total{stream=\"live/one\",source=\"inferred\"} 1\n",
        "weir_qoe_startup_seconds_count{stream=\"live/one\",source=\"inferred\"} 1\n",
    ] {
        assert!(page.contains(line), "{line} in {page}");
    }
}
