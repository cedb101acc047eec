//! Media playlists against the specification: as texts at every instant of some loops, and as answers.

use http::StatusCode;

use super::{START, begin, get, get_with, manual, request, send};
use crate::origin::clip::{Clip, FPS, Track};
use crate::origin::media;
use crate::origin::modes::Mode;
use crate::origin::playlist::{Form, View, media as render};
use crate::origin::timeline::{PartPlan, Position, Timeline};

/// A playlist taken apart: header lines, one group of lines a segment, the open parts, what follows.
#[derive(Clone, Debug, Default, PartialEq)]
struct Taken {
    header: Vec<String>,
    sequence: u64,
    skipped: Option<usize>,
    segments: Vec<Vec<String>>,
    open: Vec<String>,
    tail: Vec<String>,
}

fn take(text: &str) -> Taken {
    let mut taken = Taken::default();
    for line in text.lines().map(str::to_owned) {
        if let Some(sequence) = line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:") {
            taken.sequence = sequence.parse().unwrap();
        } else if let Some(skipped) = line.strip_prefix("#EXT-X-SKIP:SKIPPED-SEGMENTS=") {
            taken.skipped = Some(skipped.parse().unwrap());
        } else if line.starts_with("#EXT-X-PRELOAD") || line.starts_with("#EXT-X-RENDITION") || line == "#EXT-X-ENDLIST"
        {
            taken.tail.push(line);
        } else if line.starts_with("#EXT-X-PROGRAM") || line.starts_with("#EXT-X-PART:") || line.starts_with("#EXTINF")
        {
            taken.open.push(line);
        } else if line.starts_with('#') {
            taken.header.push(line);
        } else {
            taken.open.push(line);
            taken.segments.push(std::mem::take(&mut taken.open));
        }
    }
    taken
}

fn no_parts(lines: &[String]) -> Vec<String> {
    lines.iter().filter(|line| !line.starts_with("#EXT-X-PART:")).cloned().collect()
}

/// What a player does with a delta update (section 6.3.7).
fn merge(old: &Taken, delta: &Taken) -> Taken {
    let Some(skipped) = delta.skipped else {
        return delta.clone();
    };
    let from = usize::try_from(delta.sequence - old.sequence).unwrap();
    let mut segments: Vec<_> = old.segments[from..from + skipped].iter().map(|lines| no_parts(lines)).collect();
    segments.extend(delta.segments.iter().cloned());
    let header = old.header.clone();
    Taken { segments, header, skipped: None, ..delta.clone() }
}

fn number(line: &str, name: &str) -> u64 {
    let value = line.split([':', ',']).find_map(|each| each.strip_prefix(name)).unwrap();
    value.replace('.', "").parse().unwrap()
}

/// Every instant at which a part of segments `20..44` has just come to exist.
fn instants(timeline: &Timeline) -> Vec<u64> {
    let all = (20..44).flat_map(|msn| (0..timeline.plan.parts(msn)).map(move |part| Position { msn, part }));
    all.map(|at| timeline.due(at)).collect()
}

fn shown(clip: &Clip, timeline: &Timeline, now: u64, what: (Mode, &Track, Form)) -> Taken {
    let view = View { clip, timeline, edge: timeline.edge(now), window: 15 };
    take(&render(&view, what.0, what.1, what.2))
}

#[test]
fn a_delta_update_merges_to_the_full_playlist() {
    let clip = Clip::load().unwrap();
    for (ms, track) in [133, 333, 500, 2000].into_iter().flat_map(|ms| clip.tracks().map(move |track| (ms, track))) {
        let timeline = Timeline { epoch_ms: START, plan: PartPlan::new(ms) };
        let instants = instants(&timeline);
        let mut merged = 0;
        for (index, now) in instants.iter().enumerate() {
            let full = shown(&clip, &timeline, *now, (Mode::Live, track, Form::Full));
            let delta = shown(&clip, &timeline, *now, (Mode::Live, track, Form::Delta));
            assert!(
                delta.skipped.is_some_and(|skipped| skipped > 0)
                    && !delta.header.iter().any(|line| line.contains("MAP"))
            );
            for old in instants[..index].iter().rev().take_while(|old| *now - **old <= 6_000) {
                let old = shown(&clip, &timeline, *old, (Mode::Live, track, Form::Full));
                assert_eq!(merge(&old, &delta), full);
                merged += 1;
            }
        }
        assert!(merged > 20);
    }
}

#[test]
fn a_segment_is_skipped_if_more_than_the_boundary_follows_it() {
    let clip = Clip::load().unwrap();
    let timeline = Timeline { epoch_ms: 0, plan: PartPlan::new(333) };
    for track in clip.tracks() {
        for now in instants(&timeline) {
            let full = shown(&clip, &timeline, now, (Mode::Br, track, Form::Full));
            let skipped = shown(&clip, &timeline, now, (Mode::Br, track, Form::Delta)).skipped.unwrap_or(0);
            let after =
                |index: usize| -> u64 { full.segments[index + 1..].iter().map(|lines| number_of_extinf(lines)).sum() };
            // EXTINF is cut to 10 µs, so that up to 15 of them may be short by 150 µs in all.
            assert!(after(skipped - 1) + 15 > 1_200_000 && after(skipped) <= 1_200_000, "{} {now}", track.name);
        }
    }
}

fn number_of_extinf(lines: &[String]) -> u64 {
    let line = lines.iter().find(|line| line.starts_with("#EXTINF:")).unwrap();
    line.trim_start_matches("#EXTINF:").trim_end_matches(',').replace('.', "").parse().unwrap()
}

#[test]
fn playlists_only_grow_at_the_end_and_shrink_at_the_front() {
    let clip = Clip::load().unwrap();
    let timeline = Timeline { epoch_ms: START, plan: PartPlan::new(333) };
    for (mode, track) in
        [Mode::Live, Mode::Br].into_iter().flat_map(|mode| clip.tracks().map(move |track| (mode, track)))
    {
        let mut before: Option<Taken> = None;
        for now in instants(&timeline) {
            let taken = shown(&clip, &timeline, now, (mode, track, Form::Full));
            let old = before.replace(taken.clone()).unwrap_or_else(|| taken.clone());
            assert_eq!(old.header, taken.header);
            let gone = usize::try_from(taken.sequence - old.sequence).unwrap();
            assert!(gone <= 1);
            for (old, new) in old.segments[gone..].iter().zip(&taken.segments) {
                assert!(old == new || no_parts(old) == *new, "a segment never changes but for parts leaving at once");
            }
            if gone == 0 && old.segments.len() == taken.segments.len() {
                assert!(taken.open.starts_with(&old.open));
            } else {
                assert!(taken.segments.last().unwrap().starts_with(&old.open));
            }
        }
    }
}

#[test]
fn parts_sum_up_to_their_segment_and_stay_listed_for_three_target_durations() {
    let clip = Clip::load().unwrap();
    let timeline = Timeline { epoch_ms: 0, plan: PartPlan::new(333) };
    for track in clip.tracks() {
        for now in instants(&timeline) {
            let taken = shown(&clip, &timeline, now, (Mode::Live, track, Form::Full));
            let open_ms =
                taken.open.iter().filter(|line| line.starts_with("#EXT-X-PART:")).count() as u64 * 10_000 / FPS;
            for (back, lines) in taken.segments.iter().rev().enumerate() {
                let parts: Vec<_> = lines.iter().filter(|line| line.starts_with("#EXT-X-PART:")).collect();
                assert_eq!(!parts.is_empty(), back as u64 * 2000 + open_ms <= 6000, "{back} {open_ms}");
                let sum: u64 = parts.iter().map(|line| number(line, "DURATION=")).sum();
                assert!(parts.is_empty() || sum.abs_diff(number_of_extinf(lines)) <= 6);
                for (index, line) in parts.iter().enumerate() {
                    assert_eq!(line.contains("INDEPENDENT=YES"), !track.is_video() || index == 0);
                }
            }
        }
    }
}

#[test]
fn a_hint_is_the_next_part_and_reports_name_the_newest_part_of_all_others() {
    let clip = Clip::load().unwrap();
    let timeline = Timeline { epoch_ms: START, plan: PartPlan::new(500) };
    let track = &clip.video[1];
    for pair in instants(&timeline).windows(2) {
        let [now, next] = [pair[0], pair[1]].map(|at| shown(&clip, &timeline, at, (Mode::Live, track, Form::Full)));
        let hint = now.tail[0].strip_prefix("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=").unwrap().to_owned();
        let newest = |taken: &Taken| {
            let lines = if taken.open.is_empty() { taken.segments.last().unwrap().clone() } else { taken.open.clone() };
            lines.iter().rev().find(|line| line.starts_with("#EXT-X-PART:")).unwrap().clone()
        };
        assert!(newest(&next).contains(&hint), "{hint} {}", newest(&next));
        let place = newest(&now).split(['-', '.']).map(str::to_owned).collect::<Vec<_>>();
        let at: Vec<_> = place.iter().filter(|each| each.chars().all(|c| c.is_ascii_digit())).collect();
        let reports: Vec<_> = now.tail[1..].to_vec();
        let expected = ["v0", "v2", "a0"].map(|name| {
            let (msn, part) = (at[at.len() - 2], at[at.len() - 1]);
            format!("#EXT-X-RENDITION-REPORT:URI=\"../{name}/media.m3u8\",LAST-MSN={msn},LAST-PART={part}")
        });
        assert_eq!(reports, expected);
    }
}

#[test]
fn byte_ranges_of_parts_tile_the_segment_and_the_hint_starts_where_they_end() {
    let clip = Clip::load().unwrap();
    let timeline = Timeline { epoch_ms: 0, plan: PartPlan::new(333) };
    for track in clip.tracks() {
        let now = timeline.due(Position { msn: 30, part: 3 });
        let taken = shown(&clip, &timeline, now, (Mode::Br, track, Form::Full));
        let whole = media::segment(track, &timeline.plan, 30);
        let mut at = 0;
        for (part, line) in taken.open.iter().filter(|line| line.starts_with("#EXT-X-PART:")).enumerate() {
            let range = line.split("BYTERANGE=\"").nth(1).unwrap().split('"').next().unwrap();
            let (len, start) = range.split_once('@').unwrap();
            let (len, start): (usize, usize) = (len.parse().unwrap(), start.parse().unwrap());
            assert_eq!(start, at);
            assert_eq!(
                whole[start..start + len],
                media::part(track, &timeline.plan, Position { msn: 30, part: part as u64 })
            );
            at += len;
        }
        assert!(taken.tail[0].ends_with(&format!("URI=\"seg-30.m4s\",BYTERANGE-START={at}")));
    }
}

#[tokio::test]
async fn a_blocking_reload_is_answered_when_its_part_exists() {
    let (origin, clock) = manual().await;
    for mode in ["live", "br"] {
        let base = clock.now();
        let url: &'static str = Box::leak(
            format!("/{mode}/v0/media.m3u8?_HLS_msn={}&_HLS_part=1", 16 + (base - START) / 2000).into_boxed_str(),
        );
        let held = begin(&origin, url, &[]).await;
        clock.advance(666);
        assert!(!held.is_finished(), "the part ends at 666.7 ms");
        clock.advance(1);
        let reply = held.await.unwrap();
        assert_eq!((reply.status, reply.header("cache-control")), (StatusCode::OK, "public, max-age=12"));
        assert_eq!(take(reply.text()).open.len(), 3, "the date and two parts");
        clock.set(base + 2000);
    }
    origin.stop().await;
}

#[tokio::test]
async fn a_reload_without_part_waits_for_the_whole_segment() {
    let (origin, clock) = manual().await;
    let held = begin(&origin, "/live/a0/media.m3u8?_HLS_msn=16", &[]).await;
    clock.advance(1999);
    clock.advance(1);
    let taken = take(held.await.unwrap().text());
    assert_eq!((taken.sequence, taken.segments.len()), (2, 15));
    origin.stop().await;
}

#[tokio::test]
async fn what_is_malformed_or_too_far_is_refused_and_what_is_past_is_answered() {
    let (origin, _clock) = manual().await;
    for (query, status) in [
        ("_HLS_msn=3", 200),
        ("_HLS_msn=15&_HLS_part=99", 200),
        ("_HLS_skip=YES", 200),
        ("_HLS_msn=18", 400),
        ("_HLS_msn=16&_HLS_part=9", 400),
        ("_HLS_part=1", 400),
        ("_HLS_msn=x", 400),
        ("_HLS_msn=1&_HLS_msn=1", 400),
    ] {
        let reply = get(origin.addr(), &format!("/live/v0/media.m3u8?{query}")).await;
        assert_eq!(reply.status, status, "{query}");
        assert_eq!(reply.header("access-control-allow-origin"), "*");
        let plain = get(origin.addr(), &format!("/plain/v0/media.m3u8?{query}")).await;
        assert_eq!(plain.status, StatusCode::OK, "plain playlists know no directives");
    }
    origin.stop().await;
}

#[tokio::test]
async fn every_mode_has_its_playlists() {
    let (origin, _clock) = manual().await;
    let addr = origin.addr();
    for (mode, marks) in [
        ("live", ["CAN-BLOCK-RELOAD=YES", "URI=\"part-16.0.m4s\""]),
        ("br", ["PART-HOLD-BACK=1.02402,HOLD-BACK=6.0", "BYTERANGE-START=0"]),
        ("plain", ["#EXT-X-VERSION:6", "seg-15.m4s\n"]),
        ("ts", ["#EXT-X-VERSION:3", "seg-15.ts\n"]),
        ("vod", ["#EXT-X-PLAYLIST-TYPE:VOD", "seg-7.m4s\n#EXT-X-ENDLIST\n"]),
    ] {
        let master = get(addr, &format!("/{mode}/master.m3u8")).await;
        assert_eq!(master.header("content-type"), "application/vnd.apple.mpegurl");
        let reply = get(addr, &format!("/{mode}/v1/media.m3u8")).await;
        assert!(marks.iter().all(|mark| reply.text().contains(mark)), "{}", reply.text());
        let audio = get(addr, &format!("/{mode}/a0/media.m3u8")).await;
        assert_eq!(audio.status == StatusCode::OK, mode != "ts");
    }
    let one = get(addr, "/ssai/master.m3u8").await;
    let two = get(addr, "/ssai/master.m3u8").await;
    assert_ne!(one.body, two.body);
    let own = get(addr, "/ssai/1/v0/media.m3u8").await;
    assert_eq!((one.header("cache-control"), own.header("cache-control")), ("no-store", "no-store"));
    let ad = own.text().lines().find(|line| line.starts_with("../../ad/")).unwrap();
    let ad = get(addr, &ad.replace("../..", "/ssai")).await;
    assert_eq!((ad.status, ad.header("content-type")), (StatusCode::OK, "video/mp4"));
    origin.stop().await;
}

#[tokio::test]
async fn playlists_are_compressed_and_revalidated_where_asked() {
    let (origin, _clock) = manual().await;
    let url = "/live/v0/media.m3u8";
    let plain = get(origin.addr(), url).await;
    let zipped = get_with(origin.addr(), url, &[("accept-encoding", "gzip"), ("range", "bytes=0-9")]).await;
    assert_eq!(
        (zipped.status, zipped.header("content-encoding"), zipped.header("vary")),
        (StatusCode::OK, "gzip", "Accept-Encoding")
    );
    assert_ne!(plain.header("etag"), zipped.header("etag"));
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&zipped.body[..]), &mut text).unwrap();
    assert_eq!(text, plain.text());
    let again = get_with(origin.addr(), url, &[("if-none-match", plain.header("etag"))]).await;
    assert_eq!((again.status, again.body.len()), (StatusCode::NOT_MODIFIED, 0));
    let head = send(origin.addr(), request("HEAD", url, &[], "")).await.unwrap();
    assert_eq!((head.header("content-length"), head.body.len()), (plain.body.len().to_string().as_str(), 0));
    let preflight = send(origin.addr(), request("OPTIONS", url, &[], "")).await.unwrap();
    assert_eq!(preflight.status, StatusCode::NO_CONTENT);
    origin.stop().await;
}
