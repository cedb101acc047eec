//! Every figure by its definition, from entries as they are kept; and what must hold of all of them together.

use proptest::prelude::*;

use super::*;
use crate::rules::qoe::figures::{Figures, Outcome, Spread, ViewFigures};
use crate::rules::qoe::report::{Data, Numbers, ObjectType, Rated, Report, State};
use crate::rules::qoe::sums::Both;
use crate::rules::session::SessionId;
use crate::rules::timeline::event::Ended;

/// A time of the calendar, in milliseconds.
const T: u64 = 1_800_000_000_000;

fn entry(at: u64, event: Event) -> Entry {
    Entry { at: T + at, session: Some(SessionId([1; 12])), route: None, stream: Some("live/one".into()), event }
}

fn of_view(mode: Mode, at: u64, view: u8, data: Data) -> Entry {
    let report = Report { mode, view: Some(SessionId([view; 12])), record: None, data };
    entry(at, Event::Report(Box::new(report)))
}

/// An event that arrives when it is made.
fn event(ts: u64, data: Data) -> Entry {
    of_view(Mode::Event, ts, 7, Data { ts: Some(T + ts), ..data })
}

fn state(ts: u64, sta: State) -> Entry {
    event(ts, Data { e: Some("ps".into()), sta: Some(sta), ..Data::default() })
}

fn tick(ts: u64, data: Data) -> Entry {
    event(ts, Data { e: Some("t".into()), ..data })
}

fn request(at: u64, data: Data) -> Entry {
    of_view(Mode::Request, at, 7, data)
}

fn served(at: u64, playlists: u32, media: u32) -> Entry {
    let requests = playlists + media;
    entry(
        at,
        Event::Served(Box::new(Served {
            requests,
            playlists,
            media,
            bytes: 1_000,
            sending_ms: 2,
            ..Served::default()
        })),
    )
}

fn kbps(value: u64) -> Numbers {
    rated(value, ObjectType::Video)
}

fn rated(value: u64, of: ObjectType) -> Numbers {
    Rated { value, of: Some(of) }.into()
}

/// The only view, an hour later.
fn view(entries: &[Entry]) -> ViewFigures {
    let mut figures = of(entries, T + 3_600_000);
    assert_eq!(figures.views.len(), 1, "{figures:?}");
    figures.views.remove(0)
}

fn reported(entries: &[Entry]) -> Figures {
    view(entries).reported
}

fn inferred(entries: &[Entry]) -> Figures {
    view(entries).inferred
}

use State::{Failed, Paused, Playing, Quit, Rebuffering, Seeking, Starting, Waiting};

#[test]
fn startup_is_what_the_player_says_or_from_start_to_play() {
    let played = [state(100, Starting), state(900, Playing), state(5_000, Quit)];
    assert_eq!(reported(&played).startup_ms, Some(800));
    let told = event(950, Data { e: Some("ps".into()), sta: Some(Playing), msd: Some(765), ..Data::default() });
    assert_eq!(reported(&[state(100, Starting), told]).startup_ms, Some(765));
    assert_eq!(reported(&[state(100, Playing)]).startup_ms, None, "it had started before it was heard of");
    let again = [state(0, Starting), state(500, Playing), state(900, Starting), state(2_000, Playing)];
    assert_eq!(reported(&again).startup_ms, Some(500));
}

#[test]
fn startup_is_estimated_from_requests_and_says_so() {
    let figures = inferred(&[served(0, 1, 0), served(700, 1, 1), served(1_700, 1, 2)]);
    assert_eq!((figures.startup_ms, figures.startup_estimated), (Some(700), true));
    let Event::Served(second) = served(900, 1, 1).event else { unreachable!("it was served") };
    let second = Served { playlist_at: Some(T + 40), media_at: Some(T + 390), ..*second };
    let figures = inferred(&[entry(900, Event::Served(Box::new(second))), served(1_700, 1, 2)]);
    assert_eq!(
        (figures.startup_ms, figures.startup_estimated),
        (Some(350), true),
        "folded requests say when they were"
    );
    let asked = |at, su| request(at, Data { su, ot: Some(ObjectType::Video), ..Data::default() });
    let urgent = Some(true);
    let figures = inferred(&[served(0, 1, 1), asked(20, urgent), asked(500, urgent), asked(600, None)]);
    assert_eq!((figures.startup_ms, figures.startup_estimated), (Some(550), true), "players say when they are in need");
    let figures = inferred(&[served(0, 1, 1), asked(20, urgent), asked(500, urgent), served(900, 1, 1)]);
    assert_eq!(figures.startup_ms, None, "it still starts");
    let told = request(800, Data { msd: Some(640), ..Data::default() });
    let figures = inferred(&[served(0, 1, 0), served(700, 1, 1), told]);
    assert_eq!((figures.startup_ms, figures.startup_estimated), (Some(640), false));
}

#[test]
fn a_view_ends_before_or_after_it_has_played() {
    let cases: [(&str, Vec<Entry>, Outcome); 9] = [
        ("left while it started", vec![state(0, Starting), state(900, Quit)], Outcome::ExitBeforeStart),
        ("went silent while it started", vec![state(0, Starting)], Outcome::ExitBeforeStart),
        ("failed while it started", vec![state(0, Starting), state(900, Failed)], Outcome::StartFailure),
        ("left after it had played", vec![state(0, Starting), state(9, Playing), state(99, Quit)], Outcome::Played),
        ("failed later", vec![state(0, Starting), state(9, Playing), state(99, Failed)], Outcome::PlaybackFailure),
        ("failed, start unseen", vec![state(9, Playing), state(99, Failed)], Outcome::PlaybackFailure),
        ("nothing of its start is known", vec![state(0, Failed)], Outcome::Unknown),
        ("ended while it started", vec![state(0, Starting), state(5, State::Ended)], Outcome::Starting),
        (
            "an error alone is no failure",
            vec![state(0, Playing), event(5, Data { e: Some("e".into()), ec: vec!["x".into()], ..Data::default() })],
            Outcome::Played,
        ),
    ];
    for (what, entries, outcome) in cases {
        assert_eq!(reported(&entries).outcome, outcome, "{what}");
    }
    assert_eq!(inferred(&[served(0, 2, 1)]).outcome, Outcome::ExitBeforeStart, "fewer than two objects of media");
    assert_eq!(inferred(&[served(0, 2, 2)]).outcome, Outcome::Played);
}

#[test]
fn the_end_of_a_token_is_no_exit_before_the_start() {
    let ended = |reason: &str| entry(900, Event::Ended(Ended { reason: reason.into(), ..Ended::default() }));
    assert_eq!(reported(&[state(0, Starting), ended("session-revoked")]).outcome, Outcome::Starting);
    assert_eq!(reported(&[state(0, Starting), ended("idle")]).outcome, Outcome::ExitBeforeStart);
}

#[test]
fn rebuffering_is_time_in_r_and_transitions_from_p() {
    let figures = reported(&[
        state(0, Starting),
        state(400, Rebuffering),
        state(1_000, Playing),
        state(5_000, Rebuffering),
        state(6_500, Playing),
        state(8_000, Seeking),
        state(8_200, Rebuffering),
        state(8_600, Playing),
        state(9_000, Paused),
        state(9_500, Waiting),
        state(9_700, Playing),
        state(10_000, Quit),
    ]);
    let states = figures.states;
    assert_eq!((states.starting, states.seeking, states.rebuffering), (1_000, 600, 1_500));
    assert_eq!((states.playing, states.paused, states.waiting), (4_000 + 1_500 + 400 + 300, 500, 200));
    assert_eq!((figures.rebuffer_ms, figures.rebuffers), (Some(1_500), Some(1)));
    assert!((figures.rebuffer_ratio.unwrap() - 1_500.0 / 7_700.0).abs() < 1e-12);
    assert!((figures.rebuffers_per_hour.unwrap() - 3_600_000.0 / 6_200.0).abs() < 1e-6);
    assert_eq!(states.wall(), 10_000);
}

#[test]
fn without_states_rebuffering_is_the_sum_that_the_player_tells() {
    let ms = |value| Numbers::from(Rated { value, of: None });
    let each = [tick(0, Data { bsd: ms(300), ..Data::default() }), tick(9, Data { bsd: ms(200), ..Data::default() })];
    assert_eq!(reported(&each).rebuffer_ms, Some(500));
    let all = tick(20, Data { bsda: ms(700), bsa: ms(3), ..Data::default() });
    let figures = reported(&[each.as_slice(), &[all]].concat());
    assert_eq!((figures.rebuffer_ms, figures.rebuffers), (Some(700), Some(3)));
    assert_eq!(figures.rebuffer_ratio, None, "it is not known to have played for a second");
    let starved = |at| request(at, Data { bs: Some(true), ..Data::default() });
    let figures =
        inferred(&[starved(0), served(0, 1, 1), request(9, Data::default()), starved(2_000), served(3_000, 1, 1)]);
    assert_eq!((figures.rebuffer_ms, figures.rebuffers), (None, Some(2)));
}

#[test]
fn the_bit_rate_is_that_on_screen_by_time_of_playing() {
    let figures = reported(&[
        event(
            0,
            Data { e: Some("ps".into()), sta: Some(Playing), pb: kbps(1_000), br: kbps(9_000), ..Data::default() },
        ),
        event(3_000, Data { e: Some("bc".into()), pb: kbps(4_000), br: kbps(4_000), ..Data::default() }),
        state(4_000, Rebuffering),
        state(9_000, Playing),
        state(10_000, Quit),
    ]);
    assert_eq!(figures.bit_rate_kbps, Some((3.0 * 1_000.0 + 4_000.0 + 4_000.0) / 5.0));
    let played = [
        event(0, Data { e: Some("ps".into()), sta: Some(Playing), br: kbps(2_000), ..Data::default() }),
        state(4_000, Quit),
    ];
    assert_eq!(reported(&played).bit_rate_kbps, Some(2_000.0), "that of the rendition that is played");
}

#[test]
fn with_requests_the_bit_rate_is_weighed_by_duration() {
    let object = |at, br, d, ot| request(at, Data { br: rated(br, ot), d: Some(d), ot: Some(ot), ..Data::default() });
    let figures = inferred(&[
        object(0, 1_000, 4_000, ObjectType::Video),
        object(1, 128, 4_000, ObjectType::Audio),
        object(2, 3_000, 1_000, ObjectType::Video),
        object(3, 2_000, 1_000, ObjectType::Video),
        object(4, 128, 4_000, ObjectType::Audio),
        request(5, Data { br: kbps(9_000), d: Some(9_000), ot: Some(ObjectType::Init), ..Data::default() }),
    ]);
    assert_eq!(figures.bit_rate_kbps, Some((4.0 * 1_000.0 + 3_000.0 + 2_000.0) / 6.0));
    assert_eq!((figures.switches_up, figures.switches_down), (1, 1));
}

#[test]
fn switches_are_changes_of_the_same_kind_of_media() {
    let change = |ts, br| event(ts, Data { e: Some("bc".into()), br, ..Data::default() });
    let figures = reported(&[
        state(0, Playing),
        change(1, kbps(1_000)),
        change(2, rated(128, ObjectType::Audio)),
        change(3, kbps(3_000)),
        change(4, kbps(3_000)),
        change(5, rated(64, ObjectType::Audio)),
        change(6, kbps(500)),
        state(3_600, Quit),
    ]);
    assert_eq!((figures.switches_up, figures.switches_down), (1, 2));
    assert!((figures.switches_per_hour.unwrap() - 3_000.0).abs() < 1e-6);
}

fn near(told: Option<u64>, value: f64) -> bool {
    told.is_some_and(|told| (told as f64 / value - 1.0).abs() <= 0.01)
}

#[test]
fn latency_is_weighed_by_time_and_its_drift_is_a_slope() {
    let at = |ts, ltc| tick(ts, Data { ltc: Some(ltc), ..Data::default() });
    let figures = reported(&[state(0, Playing), at(0, 2_000), at(9_000, 8_000), state(10_000, Quit)]);
    let Spread { p50, p95 } = figures.latency_ms.unwrap();
    assert!(near(Some(p50), 2_000.0) && near(Some(p95), 8_000.0));
    let drifting: Vec<_> = (0..20).map(|half| at(half * 30_000, 2_000 + half * 15)).collect();
    let drift = reported(&[vec![state(0, Playing)], drifting].concat()).latency_drift_ms_per_minute;
    assert!((drift.unwrap() - 30.0).abs() < 1e-9, "{drift:?}");
}

#[test]
fn what_is_asked_for_and_what_is_left_to_play_tell_how_far_behind_a_viewer_is() {
    let dated = |at, behind| {
        let Event::Served(second) = served(at, 1, 3).event else { unreachable!("it was served") };
        entry(at, Event::Served(Box::new(Served { behind_ms: Some(behind), ..*second })))
    };
    let of = |entries: &[Entry]| inferred(entries).latency_ms.map(|spread| spread.p50);
    assert!(near(of(&[dated(0, 2_500), dated(1_000, 2_500)]), 2_500.0));
    let left = |at| request(at, Data { bl: kbps(1_300), ot: Some(ObjectType::Video), ..Data::default() });
    assert!(near(of(&[left(0), dated(1, -200), left(900), dated(1_000, -200)]), 1_100.0), "a part ahead of the clock");
    let told = request(0, Data { ltc: Some(4_000), ..Data::default() });
    assert!(near(of(&[told, dated(1, 500), dated(1_000, 500)]), 4_000.0), "the player knows better");
    assert_eq!(of(&[served(0, 1, 1), served(1_000, 1, 1)]), None);
}

#[test]
fn without_a_word_of_latency_the_play_head_tells_it() {
    // The player's clock is 40 s slow, and its reports take 20 ms at least.
    let head = |ts: u64, behind: u64| {
        let data =
            Data { e: Some("t".into()), ts: Some(T + ts - 40_000), pt: Some(T + ts - behind), ..Data::default() };
        of_view(Mode::Event, ts + 20, 7, data)
    };
    let playing = Data { e: Some("ps".into()), sta: Some(Playing), ts: Some(T), ..Data::default() };
    let entries =
        [of_view(Mode::Event, 40_100, 7, playing), head(40_500, 3_000), head(50_000, 3_000), head(60_000, 3_000)];
    let view = view(&entries);
    assert_eq!(view.clock_offset_ms, Some(40_020));
    assert!(near(view.reported.latency_ms.map(|spread| spread.p50), 3_020.0));
    let on_demand = [state(0, Playing), tick(1_000, Data { pt: Some(61_000), ..Data::default() }), state(9_000, Quit)];
    assert_eq!(reported(&on_demand).latency_ms, None, "a play head from the start is no time");
}

#[test]
fn dropped_frames_are_the_last_count_less_the_first() {
    let at = |ts, dfa| tick(ts, Data { dfa: Some(dfa), ..Data::default() });
    let figures = reported(&[state(0, Playing), at(10, 5), at(60_010, 25), at(30_000, 20), state(120_000, Quit)]);
    assert_eq!(figures.dropped_frames, Some(20));
    assert!((figures.dropped_frames_per_minute.unwrap() - 10.0).abs() < 1e-9);
}

#[test]
fn what_players_measure_is_not_mixed_with_what_the_node_does() {
    let measured = |ts, kbps| tick(ts, Data { mtp: Rated { value: kbps, of: None }.into(), ..Data::default() });
    let entries = [measured(0, 1_000), measured(1, 5_000), measured(2, 6_000), served(10, 1, 1), served(11, 1, 1)];
    let view = view(&entries);
    assert!(near(view.reported.throughput_kbps, 5_000.0));
    assert_eq!(view.inferred.throughput_kbps, Some(4_000), "2,000 octets in 4 ms");
}

#[test]
fn what_the_node_held_is_not_counted_as_waiting() {
    let response = |ts: u64, ttfb, ttlb| {
        let timed =
            Data { e: Some("rr".into()), ts: Some(T + ts), ttfb: Some(ttfb), ttlb: Some(ttlb), ..Data::default() };
        of_view(Mode::Event, ts + ttlb + 10, 7, Data { url: Some("/live/v.m3u8".into()), ..timed })
    };
    let kind = Kind::Playlist;
    let held = Request { kind, path: "/live/v.m3u8".into(), status: 200, hold_ms: 900, ..Request::default() };
    let figures = reported(&[entry(990, Event::Request(Box::new(held))), response(50, 950, 1_000)]);
    let median = |spread: Option<Spread>| spread.map(|spread| spread.p50);
    let times = [median(figures.first_byte_ms), median(figures.last_byte_ms)];
    assert!(times.iter().zip([50, 100]).all(|(told, ms)| told.unwrap().abs_diff(ms) <= 1), "{times:?}");
    let odd = reported(&[response(0, 500, 400)]);
    assert_eq!((odd.first_byte_ms, odd.last_byte_ms), (None, None), "the first octet cannot come after the last");
}

#[test]
fn the_background_counts_and_what_is_not_rendered_does_not() {
    let hidden = event(1_000, Data { e: Some("b".into()), sta: Some(Playing), bg: Some(true), ..Data::default() });
    let unseen = event(3_000, Data { e: Some("t".into()), sta: Some(Playing), nr: Some(true), ..Data::default() });
    let faster = event(7_000, Data { e: Some("pr".into()), sta: Some(Playing), pr: Some(2.0), ..Data::default() });
    let states = reported(&[state(0, Playing), hidden, unseen, faster, state(9_000, Quit)]).states;
    assert_eq!((states.playing, states.unseen), (5_000, 4_000), "and double speed is time like any other");
}

#[test]
fn an_open_interval_ends_with_the_last_proof_of_life() {
    let played = reported(&[state(0, Playing), served(10_000, 1, 1), served(25_000, 1, 1)]).states.playing;
    assert_eq!(played, 25_000, "requests are proof of life");
    let away =
        [state(0, Playing), tick(30_000, Data::default()), tick(3_000_000, Data::default()), state(3_010_000, Quit)];
    assert_eq!(reported(&away).states.playing, 40_000, "a computer that slept did not play");
}

#[test]
fn a_clock_that_is_a_day_off_says_nothing() {
    let data = |ts| Data { e: Some("ps".into()), sta: Some(Playing), ts: Some(ts), ..Data::default() };
    let off = of_view(Mode::Event, 0, 7, data(T - 86_400_001));
    let near = of_view(Mode::Event, 0, 7, data(T + 86_400_000));
    let view = view(&[off, near]);
    assert_eq!((view.received.off, view.received.reports), (1, 1));
    assert_eq!(view.clock_offset_ms, Some(-86_400_000));
}

#[test]
fn a_batch_that_is_sent_again_counts_once_and_gaps_are_counted() {
    let numbered = |at, sn, record: &str| {
        let data = Data {
            e: Some("t".into()),
            sn: Some(sn),
            ts: Some(T + sn),
            bsd: Rated { value: 10, of: None }.into(),
            ..Data::default()
        };
        let report = Report { mode: Mode::Event, view: Some(SessionId([7; 12])), record: Some(record.into()), data };
        entry(at, Event::Report(Box::new(report)))
    };
    let record = |n: u64| format!("{n:032x}").chars().rev().collect::<String>();
    let entries = [
        numbered(0, 0, &record(1)),
        numbered(5, 3, &record(2)),
        numbered(9, 3, &record(2)),
        numbered(10, 3, &record(4)),
    ];
    let view = view(&entries);
    let received = view.received;
    assert_eq!((received.reports, received.again, received.missing, received.doubled), (3, 1, 2, 1));
    assert_eq!(view.reported.rebuffer_ms, Some(30));
}

#[test]
fn a_new_sid_is_a_new_view_and_requests_go_to_the_one_that_lives() {
    let playing = |at, view| {
        of_view(
            Mode::Event,
            at,
            view,
            Data { e: Some("ps".into()), sta: Some(Playing), ts: Some(T + at), ..Data::default() },
        )
    };
    let entries = [served(0, 1, 0), playing(1_000, 7), served(1_500, 1, 1), playing(60_000, 8), served(61_000, 1, 2)];
    let figures = of(&entries, T + 62_000);
    let ids: Vec<_> = figures.views.iter().map(|view| view.view.unwrap().0[0]).collect();
    assert_eq!(ids, [7, 8], "what asked for the first playlist is the first view");
    assert_eq!(figures.views[0].began, T);
    assert_eq!((figures.requests, figures.bytes), (1 + 2 + 3, 3_000));
}

#[test]
fn late_reports_make_figures_better_and_bring_nobody_back() {
    let quit = state(10_000, Quit);
    let late = |at| {
        of_view(
            Mode::Event,
            at,
            7,
            Data { e: Some("ps".into()), sta: Some(Rebuffering), ts: Some(T + 4_000), ..Data::default() },
        )
    };
    let again = |at| {
        of_view(
            Mode::Event,
            at,
            7,
            Data { e: Some("ps".into()), sta: Some(Playing), ts: Some(T + 6_000), ..Data::default() },
        )
    };
    let view = view(&[state(0, Playing), quit.clone(), late(300_000), again(300_000)]);
    assert_eq!(view.reported.states.rebuffering, 2_000);
    assert_eq!((view.end, view.last), (Some(End::Quit), T + 10_000));
    let mut tally = Tally::default();
    for entry in [state(0, Playing), quit, late(920_000)] {
        note(&mut tally, &entry);
    }
    let view = tally.figures(T + 920_000).views.remove(0);
    assert_eq!((view.received.late, view.reported.states.rebuffering), (1, 0));
}

#[test]
fn who_comes_back_from_silence_goes_on() {
    let mut tally = Tally::default();
    note(&mut tally, &state(0, Playing));
    tally.rest(T + 90_001);
    assert_eq!(tally.figures(T + 90_001).views[0].end, Some(End::Silence));
    note(&mut tally, &state(200_000, Playing));
    assert_eq!((tally.figures(T + 200_000).views[0].end, tally.watched(T + 200_000, 60_000)), (None, 1));
}

#[test]
fn who_asks_for_media_once_a_target_duration_plays_all_the_time() {
    let of_target = |target| {
        let asks = (0..10).map(|n| {
            let Event::Served(served) = served(n * 35_000, 1, 1).event else { unreachable!() };
            entry(n * 35_000, Event::Served(Box::new(Served { playlist_target_ms: target, ..*served })))
        });
        let asks: Vec<_> = asks.collect();
        let figures = of(&asks, T + 9 * 35_000 + 89_000);
        (figures.views[0].inferred.states.playing, figures.views[0].end)
    };
    assert_eq!(of_target(Some(30_000)), (9 * 35_000, None));
    assert_eq!(of_target(Some(6_000)), (0, Some(End::Silence)));
    assert_eq!(of_target(None), (0, Some(End::Silence)));
}

#[test]
fn a_slow_reporter_is_not_taken_for_silent() {
    let ticks: Vec<_> = (0..4).map(|n| tick(n * 120_000, Data { sta: Some(Playing), ..Data::default() })).collect();
    let figures = of(&ticks, T + 3 * 120_000 + 350_000);
    assert_eq!(figures.views[0].end, None, "three intervals have not passed");
    assert_eq!(figures.views[0].reported.states.playing, 360_000);
}

const STATES: [State; 7] = [Starting, Playing, Seeking, Rebuffering, Paused, Waiting, State::Preloading];

/// Reports of one player, in the order in which they were made.
fn stories() -> impl Strategy<Value = Vec<Entry>> {
    let step = (1..20_000_u64, 0..STATES.len(), 0..4_u64, any::<bool>());
    prop::collection::vec(step, 1..30).prop_map(|steps| {
        let mut ts = 0;
        let made = steps.into_iter().enumerate().map(|(sn, (after, state, rate, is_unseen))| {
            ts += after;
            let nr = is_unseen.then_some(true);
            let pb = if rate > 0 { kbps(rate * 1_000) } else { Numbers::default() };
            let ltc = Some(1_000 + rate * 100);
            let sn = Some(sn as u64);
            event(ts, Data { e: Some("ps".into()), sta: Some(STATES[state]), nr, pb, ltc, sn, ..Data::default() })
        });
        made.collect()
    })
}

proptest! {
    #[test]
    fn the_order_of_arrival_changes_nothing(story in stories(), seed in any::<u64>()) {
        let mut shuffled = story.clone();
        let mut random = seed | 1;
        for at in (1..shuffled.len()).rev() {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            shuffled.swap(at, (random >> 33) as usize % (at + 1));
        }
        let (mut one, mut other) = (Tally::default(), Tally::default());
        story.iter().for_each(|entry| note(&mut one, entry));
        shuffled.iter().for_each(|entry| note(&mut other, entry));
        let (one, other) = (one.figures(T), other.figures(T));
        prop_assert_eq!(&one.views[0].reported, &other.views[0].reported);
        prop_assert_eq!(&one.views[0].reported, &of(&shuffled, T).views[0].reported);
    }

    #[test]
    fn time_in_all_states_is_the_time_of_the_view(story in stories()) {
        let (first, last) = (story[0].at, story[story.len() - 1].at);
        prop_assert_eq!(reported(&story).states.wall(), last - first);
    }

    #[test]
    fn sums_never_shrink_and_those_of_parts_are_that_of_the_whole(story in stories(), cut in 0..30_usize) {
        let cut = cut.min(story.len());
        let mut tally = Tally::default();
        let mut parts = Both::default();
        let mut total = 0;
        for (index, entry) in story.iter().enumerate() {
            note(&mut tally, entry);
            if index % 3 == 0 || index == cut {
                tally.credit(&mut parts);
                prop_assert!(parts.reported.counts.playing_ms >= total);
                total = parts.reported.counts.playing_ms;
            }
        }
        tally.credit(&mut parts);
        let mut whole = Both::default();
        let mut at_once = Tally::default();
        story.iter().for_each(|entry| note(&mut at_once, entry));
        at_once.credit(&mut whole);
        prop_assert_eq!(parts.reported.counts, whole.reported.counts);
        let figures = reported(&story);
        prop_assert!(figures.states.playing < 1_000 || whole.reported.counts.playing_ms == figures.states.playing);
        prop_assert!(figures.rebuffer_ratio.is_none_or(|ratio| (0.0..=1.0).contains(&ratio)));
    }
}
