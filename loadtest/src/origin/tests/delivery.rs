//! Media over the socket: parts that are held, segments that grow, ranges, blobs.

use http::StatusCode;

use super::{START, begin, get, get_with, manual, send_h2, start};
use crate::origin::clip::Clip;
use crate::origin::timeline::{PartPlan, Position};
use crate::origin::{blob_bytes, media};

fn part(name: &str, msn: u64, part: u64) -> Vec<u8> {
    let clip = Clip::load().unwrap();
    media::part(clip.track(name).unwrap(), &PartPlan::new(333), Position { msn, part }).to_vec()
}

fn segment(name: &str, msn: u64) -> Vec<u8> {
    let clip = Clip::load().unwrap();
    media::segment(clip.track(name).unwrap(), &PartPlan::new(333), msn).to_vec()
}

#[tokio::test]
async fn a_hinted_part_is_held_until_it_exists_and_no_other_is() {
    let (origin, clock) = manual().await;
    let held = begin(&origin, "/live/v0/part-16.0.m4s", &[]).await;
    for absent in [
        "/live/v0/part-16.1.m4s",
        "/live/v0/part-15.6.m4s",
        "/live/v0/part-2.0.m4s",
        "/live/v0/seg-16.m4s",
        "/live/v9/seg-15.m4s",
    ] {
        assert_eq!(get(origin.addr(), absent).await.status, StatusCode::NOT_FOUND, "{absent}");
    }
    clock.advance(334);
    let reply = held.await.unwrap();
    assert_eq!(
        (reply.status, reply.header("content-type"), &reply.body),
        (StatusCode::OK, "video/mp4", &part("v0", 16, 0))
    );
    origin.stop().await;
}

#[tokio::test]
async fn a_request_without_end_follows_the_growing_segment() {
    let (origin, clock) = manual().await;
    clock.advance(334);
    let first = part("v1", 16, 0).len();
    let from: &'static str = Box::leak(format!("bytes={first}-9007199254740991").into_boxed_str());
    let fields: &'static [(&str, &str)] = Box::leak(Box::new([("range", from)]));
    let held = begin(&origin, "/br/v1/seg-16.m4s", fields).await;
    let all = begin(&origin, "/br/v1/seg-16.m4s", &[("range", "bytes=0-")]).await;
    for _ in 0..5 {
        clock.advance(333);
    }
    clock.set(START + 2000);
    let reply = held.await.unwrap();
    assert_eq!(
        (reply.status, reply.header("content-range")),
        (StatusCode::PARTIAL_CONTENT, &*format!("{}/*", from.replace('=', " ")))
    );
    assert_eq!((&reply.body[..], reply.whole), (&segment("v1", 16)[first..], true));
    let all = all.await.unwrap();
    assert_eq!((all.status, all.header("content-length"), &all.body), (StatusCode::OK, "", &segment("v1", 16)));
    origin.stop().await;
}

#[tokio::test]
async fn a_range_from_the_hint_on_gets_the_next_part() {
    let (origin, clock) = manual().await;
    let held = begin(&origin, "/br/a0/seg-16.m4s", &[("range", "bytes=0-40")]).await;
    clock.advance(334);
    let reply = held.await.unwrap();
    assert_eq!((reply.status, reply.header("content-range")), (StatusCode::PARTIAL_CONTENT, "bytes 0-40/*"));
    let (first, second) = (part("a0", 16, 0).len(), part("a0", 16, 1));
    let from: &'static str = Box::leak(format!("bytes={first}-").into_boxed_str());
    let held = begin(&origin, "/br/a0/seg-16.m4s", Box::leak(Box::new([("range", from)]))).await;
    clock.advance(333);
    let reply = held.await.unwrap();
    let last = first + second.len() - 1;
    assert_eq!((reply.header("content-range"), &reply.body), (&*format!("bytes {first}-{last}/*"), &second));
    let far = get_with(origin.addr(), "/br/a0/seg-16.m4s", &[("range", "bytes=99999-")]).await;
    assert_eq!(far.status, StatusCode::RANGE_NOT_SATISFIABLE);
    origin.stop().await;
}

#[tokio::test]
async fn segments_are_the_same_bytes_by_both_protocols_in_ranges_and_modes() {
    let (origin, _clock) = manual().await;
    let expected = segment("v0", 12);
    for mode in ["live", "br", "plain"] {
        let url = format!("/{mode}/v0/seg-12.m4s");
        let reply = get(origin.addr(), &url).await;
        assert_eq!(reply.header("cache-control"), "public, max-age=3600, immutable");
        assert_eq!(reply.body, expected);
        assert_eq!(send_h2(origin.addr(), &url).await.unwrap().body, expected);
        let reply = get_with(origin.addr(), &url, &[("range", "bytes=-100")]).await;
        assert_eq!((reply.status, &reply.body[..]), (StatusCode::PARTIAL_CONTENT, &expected[expected.len() - 100..]));
    }
    assert_eq!(get(origin.addr(), "/vod/v0/seg-4.m4s").await.body, segment("v0", 4));
    let ts = get(origin.addr(), "/ts/v0/seg-12.ts").await;
    assert_eq!((ts.header("content-type"), ts.body.len() % 188, ts.body[0]), ("video/mp2t", 0, 0x47));
    let init = get(origin.addr(), "/live/v0/init.mp4").await;
    assert_eq!(&init.body[4..8], b"ftyp");
    origin.stop().await;
}

#[tokio::test]
async fn old_segments_leave_in_the_end() {
    let (origin, clock) = manual().await;
    clock.set(START + 60_000);
    assert_eq!(get(origin.addr(), "/plain/v2/seg-1.m4s").await.status, StatusCode::OK);
    clock.set(START + 64_000);
    assert_eq!(get(origin.addr(), "/plain/v2/seg-1.m4s").await.status, StatusCode::NOT_FOUND);
    origin.stop().await;
}

fn blob(name: &str, from: u64, to: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while from + (out.len() as u64) < to {
        let at = from + out.len() as u64;
        out.extend_from_slice(&blob_bytes(name, at, to - at));
    }
    out
}

#[tokio::test]
async fn blobs_come_whole_in_ranges_chunked_and_in_time() {
    let origin = start().await;
    let reply = get(origin.addr(), "/blob/x?size=200000&cc=no-cache").await;
    assert_eq!((reply.header("content-length"), reply.header("cache-control")), ("200000", "no-cache"));
    assert_eq!(reply.body, blob("x", 0, 200_000));
    let reply = get_with(origin.addr(), "/blob/x?size=3221225472", &[("range", "bytes=3000000000-3000099999")]).await;
    assert_eq!(reply.body, blob("x", 3_000_000_000, 3_000_100_000));
    let began = std::time::Instant::now();
    let reply = get(origin.addr(), "/blob/x?size=50000&chunked=1&delay_ms=30&over_ms=40").await;
    assert!(began.elapsed().as_millis() >= 70);
    assert_eq!((reply.header("content-length"), reply.header("transfer-encoding")), ("", "chunked"));
    assert_eq!(reply.body, blob("x", 0, 50_000));
    assert_eq!(get(origin.addr(), "/blob/x?size=-1").await.status, StatusCode::BAD_REQUEST);
    origin.stop().await;
}
