//! Who is watching, by what they share, and what that may cost.

use std::sync::Arc;

use super::super::groups::OTHER;
use super::*;
use crate::rules::qoe::report::{Data, Mode, Rated, Report, State};
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

#[test]
fn a_label_is_of_a_stream_that_was_listed_until_nobody_was_there_for_an_hour() {
    let request = |at, session, stream: &str, kind| {
        let request = Request { kind, status: 200, protocol: "h2".into(), ..Request::default() };
        entry(at, session, stream, Event::Request(Box::new(request)))
    };
    let streams = |live: &Live| live.snapshot().streams.iter().map(|one| one.label.clone()).collect::<Vec<_>>();
    let mut live = Live::new(Bounds { streams: 1, ..Bounds::default() });
    for number in 0..100 {
        live.note(&request(0, 1, &format!("invented/{number}"), Kind::Segment));
    }
    live.note(&request(10, 2, OTHER, Kind::Multivariant));
    live.note(&request(20, 2, OTHER, Kind::Segment));
    live.note(&served(500, 2, OTHER));
    live.pass(T + 1_000);
    assert_eq!(streams(&live), ["other", "%6Fther"], "one that is called so is not the rest");
    (1..=80).for_each(|minute| live.pass(T + minute * 60_000));
    live.note(&served(4_900_000, 3, "live/two"));
    live.note(&served(4_904_000, 3, "live/two"));
    live.pass(T + 4_905_000);
    assert_eq!(streams(&live).last().map(String::as_str), Some("live/two"), "who was silent for long gave it back");
    assert_eq!(live.snapshot().renditions.last().and_then(|one| one.stream.clone()).as_deref(), Some("live/two"));
    assert!(!streams(&live).contains(&"%6Fther".to_owned()));
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

/// What a player says along with a request: a view, and a throughput that is like no other.
fn asks(at: u64, session: u64, view: u64, kbps: u64) -> Entry {
    let data = Data { mtp: Rated { value: kbps, of: None }.into(), ..Data::default() };
    let report = Report { mode: Mode::Request, view: Some(id(view)), record: None, data };
    entry(at, session, "live/one", Event::Report(Box::new(report)))
}

/// Throughputs of which each has a bucket of its own.
fn distinct() -> impl Iterator<Item = u64> {
    (100..1_200).map(|power| 1.02_f64.powi(power) as u64)
}

#[test]
fn what_percentiles_take_is_counted() {
    let mut live = Live::default();
    live.note(&asks(0, 1, 1, 1_000));
    let before = live.weight();
    let kinds = distinct().map(|kbps| live.note(&asks(0, 1, 1, kbps))).count();
    assert!(live.weight() - before >= kinds * 16, "{before} bytes became {}", live.weight());
}

#[test]
fn invented_views_take_no_more_than_there_is_room_for_and_are_missed_first() {
    let bounds = Bounds { sessions: 64, ..Bounds::default() };
    let mut live = Live::new(bounds);
    live.note(&served(0, 1, "live/one"));
    live.note(&reports(0, 1, 1, State::Playing));
    live.note(&served(4_000, 1, "live/one"));
    live.note(&served(100_000, 2, "live/one"));
    live.note(&reports(100_000, 2, 2, State::Playing));
    let (mut most, mut told) = (0, 0);
    for view in 0..60 {
        let at = 101_000 + view * 500;
        live.pass(T + at);
        live.note(&served(at, 2, "live/one"));
        for kbps in distinct() {
            live.note(&asks(at, 3 + view % 3, 100 + view, kbps));
            (most, told) = (most.max(live.weight() - live.groups.weight()), told + 1);
            assert!(most <= bounds.bytes(), "{most} of {}", bounds.bytes());
        }
    }
    assert!(live.shed > 10 && live.session(id(1)).is_none(), "who is silent for longest is counted for good");
    assert!(live.session(id(2)).is_some(), "who watches stays");
    live.note(&served(250_000, 2, "live/one"));
    live.pass(T + 250_500);
    assert_eq!(live.snapshot().viewers, 1);
    let total = &live.groups.all.total;
    assert_eq!(total.inferred.counts.playing_ms, 4_000 + 30_500, "nothing of what was seen is forgotten");
    assert_eq!((live.received.reports, total.inferred.throughput.weight()), (2 + told, told));
}

#[test]
fn a_viewer_who_reports_takes_no_more_than_its_share() {
    let mut live = Live::default();
    for session in 0..100 {
        live.note(&served(0, session, "live/one"));
        (0..60).for_each(|at| live.note(&reports(at * 5_000, session, session, State::Playing)));
        distinct().step_by(100).for_each(|kbps| live.note(&asks(0, session, session, kbps)));
    }
    let bounds = Bounds { sessions: 100, ..Bounds::default() };
    assert!(live.weight() - live.groups.weight() <= bounds.bytes(), "{} bytes", live.weight() / 100);
}

#[test]
fn a_scrape_writes_what_viewers_experience() {
    let mut live = Live::default();
    let page = |live: &Live| {
        let mut exposition = Exposition::default();
        let families = live.families();
        exposition.add(move || families.clone());
        exposition.render()
    };
    let startups = "weir_qoe_startup_seconds_count{stream=\"live/one\",source=\"inferred\"}";
    live.note(&served(0, 1, "live/one"));
    live.note(&served(3_500, 1, "live/one"));
    live.pass(T + 4_000);
    assert!(page(&live).contains(&format!("{startups} 0\n")), "its player may still tell");
    live.note(&served(10_500, 1, "live/one"));
    live.pass(T + 11_000);
    let page = page(&live);
    for line in [
        "weir_viewers{stream=\"live/one\"} 1.0\n",
        "weir_viewers_by_protocol{protocol=\"h2\"} 1.0\n",
        "weir_qoe_playing_seconds_total{stream=\"live/one\",source=\"inferred\"} 10.5\n",
        "weir_qoe_views_total{stream=\"live/one\",source=\"inferred\"} 1\n",
        &format!("{startups} 1\n"),
    ] {
        assert!(page.contains(line), "{line} in {page}");
    }
}
