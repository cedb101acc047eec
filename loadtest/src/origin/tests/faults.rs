//! Each action of the fault desk as a client meets it, by the Rust handles and by the control port.

use std::time::{Duration, Instant};

use http::StatusCode;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{START, begin, get, manual, request, send, send_h2, start};
use crate::origin::{Action, Rule};

const BLOB: &str = "/blob/f?size=100000";
const PLAYLIST: &str = "/live/v0/media.m3u8";

fn sequence(text: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:"));
    line.unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_held_request_is_answered_when_the_gate_opens() {
    let origin = start().await;
    let gate = origin.hold("/blob/f*").unwrap();
    let addr = origin.addr();
    let held: Vec<_> = (0..3).map(|_| tokio::spawn(get_owned(addr, BLOB))).collect();
    gate.arrived_times(3).await;
    assert_eq!(get(addr, "/blob/other?size=1").await.status, StatusCode::OK);
    assert!(held.iter().all(|task| !task.is_finished()));
    gate.open();
    for task in held {
        assert_eq!(task.await.unwrap().body.len(), 100_000);
    }
    assert_eq!((origin.requests_for("/blob/f"), origin.requests_for(BLOB)), (3, 3));
    assert!(origin.desk().standing().is_empty());
    origin.stop().await;
}

async fn get_owned(addr: std::net::SocketAddr, url: &'static str) -> super::Reply {
    get(addr, url).await
}

#[tokio::test]
async fn a_stalled_body_waits_with_its_first_bytes_sent() {
    let origin = start().await;
    let gate = origin.desk().gate(Rule::new(BLOB, Action::Stall { after: 1000 })).unwrap();
    let mut stream = TcpStream::connect(origin.addr()).await.unwrap();
    stream.write_all(format!("GET {BLOB} HTTP/1.0\r\n\r\n").as_bytes()).await.unwrap();
    gate.arrived().await;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    stream.read_exact(&mut [0; 1000]).await.unwrap();
    gate.open();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest.len(), 99_000);
    origin.stop().await;
}

#[tokio::test]
async fn a_cut_body_is_short_by_both_protocols_and_counts_its_times() {
    let origin = start().await;
    origin.desk().add(Rule::new("/blob/f", Action::Cut { after: 70_000 }).times(2)).unwrap();
    let h1 = get(origin.addr(), BLOB).await;
    assert_eq!((h1.header("content-length"), h1.body.len(), h1.whole), ("100000", 70_000, false));
    let h2 = send_h2(origin.addr(), BLOB).await.unwrap();
    assert!(!h2.whole && h2.body.len() <= 70_000);
    assert!(get(origin.addr(), BLOB).await.whole);
    origin.stats().until(|stats| stats.log(0).last().is_some_and(|entry| entry.complete)).await;
    let log: Vec<_> = origin.stats().log(0).iter().map(|entry| (entry.bytes, entry.complete)).collect();
    assert_eq!(log, [(70_000, false), (70_000, false), (100_000, true)]);
    origin.stop().await;
}

#[tokio::test]
async fn a_reset_reaches_the_client_as_one() {
    let origin = start().await;
    origin.desk().add(Rule::new("/blob/f", Action::Reset { after: None }).times(1)).unwrap();
    origin.desk().add(Rule::new("/blob/f", Action::Reset { after: Some(10) })).unwrap();
    for head_comes in [false, true] {
        let mut stream = TcpStream::connect(origin.addr()).await.unwrap();
        stream.write_all(format!("GET {BLOB} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
        let mut got = Vec::new();
        let ended = stream.read_to_end(&mut got).await;
        assert_eq!(ended.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
        assert_eq!(got.starts_with(b"HTTP/1.1 200 OK"), head_comes);
    }
    origin.stop().await;
}

#[tokio::test]
async fn statuses_and_pages_stand_in_for_answers() {
    let origin = start().await;
    for code in [404, 403, 500, 503, 302] {
        origin.desk().add(Rule::new("/blob", Action::Status { code, location: None }).times(1)).unwrap();
        let reply = get(origin.addr(), BLOB).await;
        assert_eq!((reply.status.as_u16(), reply.header("cache-control")), (code, "no-store"));
        assert_eq!(reply.header("location").is_empty(), code != 302);
    }
    origin.desk().add(Rule::new("media.m3u8", Action::Html)).unwrap();
    let reply = get(origin.addr(), PLAYLIST).await;
    assert_eq!((reply.status, reply.header("content-type")), (StatusCode::OK, "text/html"));
    origin.stop().await;
}

#[tokio::test]
async fn delay_and_drip_take_their_time() {
    let origin = start().await;
    origin.desk().add(Rule::new("/blob/slow", Action::Delay { ms: 60 })).unwrap();
    origin.desk().add(Rule::new("/blob/drip", Action::Drip { bytes_per_s: 20_000 })).unwrap();
    let began = Instant::now();
    get(origin.addr(), "/blob/slow?size=1").await;
    assert!(began.elapsed() >= Duration::from_millis(60));
    let began = Instant::now();
    assert_eq!(get(origin.addr(), "/blob/drip?size=4000").await.body.len(), 4000);
    assert!(began.elapsed() >= Duration::from_millis(190));
    origin.stop().await;
}

#[tokio::test]
async fn a_frozen_playlist_answers_with_what_was() {
    let (origin, clock) = manual().await;
    let before = get(origin.addr(), PLAYLIST).await;
    let id = origin.desk().add(Rule::new("*", Action::Freeze { hold: false })).unwrap();
    clock.advance(9_000);
    for query in ["", "?_HLS_msn=16&_HLS_part=0"] {
        let reply = get(origin.addr(), &format!("{PLAYLIST}{query}")).await;
        assert_eq!((reply.status, reply.body), (StatusCode::OK, before.body.clone()));
    }
    assert_eq!(get(origin.addr(), "/live/v0/seg-18.m4s").await.status, StatusCode::OK, "media goes on");
    origin.desk().remove(&id);
    assert!(sequence(get(origin.addr(), PLAYLIST).await.text()) > sequence(before.text()));
    origin.stop().await;
}

#[tokio::test]
async fn a_frozen_playlist_that_holds_ends_in_503() {
    let (origin, clock) = manual().await;
    origin.desk().add(Rule::new("*", Action::Freeze { hold: true })).unwrap();
    let gate = origin.hold("_HLS_msn=16").unwrap();
    let held = begin(&origin, "/live/v0/media.m3u8?_HLS_msn=16", &[]).await;
    gate.arrived().await;
    gate.open();
    // The hold begins at an unknown moment between here and there, so time goes on until it is over.
    while !held.is_finished() {
        clock.advance(1_000);
        tokio::task::yield_now().await;
    }
    let reply = held.await.unwrap();
    assert_eq!((reply.status, reply.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, "1"));
    origin.stop().await;
}

#[tokio::test]
async fn rewind_restart_and_answer_at_once_bend_the_timeline() {
    let (origin, clock) = manual().await;
    let addr = origin.addr();
    let now = sequence(get(addr, PLAYLIST).await.text());
    clock.advance(10_000);
    let id = origin.desk().add(Rule::new("/live/", Action::Rewind { segments: 5 })).unwrap();
    assert_eq!(sequence(get(addr, PLAYLIST).await.text()), now);
    assert_eq!(sequence(get(addr, "/br/v0/media.m3u8").await.text()), now + 5);
    origin.desk().remove(&id);
    let id = origin.desk().add(Rule::new("*", Action::AnswerAtOnce)).unwrap();
    let reply = get(addr, "/live/v0/media.m3u8?_HLS_msn=22").await;
    assert!(reply.text().contains("part-21.0.m4s") && !reply.text().contains("seg-21.m4s"));
    origin.desk().remove(&id);
    origin.desk().add(Rule::new("*", Action::Restart)).unwrap();
    clock.advance(2_500);
    let reply = get(addr, PLAYLIST).await;
    assert!(
        reply.text().contains("#EXT-X-MEDIA-SEQUENCE:0\n") && reply.text().contains("part-1.1.m4s"),
        "{}",
        reply.text()
    );
    assert_eq!(get(addr, "/live/v0/part-1.0.m4s").await.status, StatusCode::OK);
    assert_eq!(get(addr, "/live/v0/seg-20.m4s").await.status, StatusCode::NOT_FOUND);
    origin.stop().await;
}

#[tokio::test]
async fn a_new_part_target_shows_from_the_next_segment_on() {
    let (origin, clock) = manual().await;
    origin.desk().add(Rule::new("*", Action::PartTarget { ms: 500 })).unwrap();
    assert!(get(origin.addr(), PLAYLIST).await.text().contains("PART-TARGET=0.33334"));
    clock.set(START + 2000 + 1000);
    let reply = get(origin.addr(), PLAYLIST).await;
    assert!(
        reply.text().contains("PART-TARGET=0.50000")
            && reply.text().contains("part-17.2.m4s")
            && reply.text().contains("part-16.5.m4s")
    );
    origin.stop().await;
}

#[tokio::test]
async fn a_dead_origin_refuses_resets_and_comes_back() {
    let origin = start().await;
    let addr = origin.addr();
    let gate = origin.hold("/blob").unwrap();
    let held = tokio::spawn(async move { send(addr, request("GET", BLOB, &[], "")).await });
    gate.arrived().await;
    let id = origin.desk().add(Rule::new("*", Action::Die)).unwrap();
    assert!(held.await.unwrap().is_err());
    while TcpStream::connect(addr).await.is_ok() {
        tokio::task::yield_now().await;
    }
    let other = tokio::net::TcpSocket::new_v4().unwrap();
    assert!(other.bind(addr).is_err(), "nobody else gets its port meanwhile");
    drop(gate);
    origin.desk().remove(&id);
    while TcpStream::connect(addr).await.is_err() {
        tokio::task::yield_now().await;
    }
    assert_eq!(get(addr, BLOB).await.body.len(), 100_000);
    origin.stop().await;
}

async fn control(addr: std::net::SocketAddr, method: &str, url: &str, body: &str) -> (u16, Value) {
    let reply = send(addr, request(method, url, &[], body)).await.unwrap();
    (reply.status.as_u16(), serde_json::from_slice(&reply.body).unwrap())
}

#[tokio::test]
async fn the_control_port_does_what_the_handles_do() {
    let origin = start().await;
    let desk = origin.control_addr();
    let (status, made) = control(desk, "POST", "/__faults", r#"{"pattern":"/blob/*","action":"hold","id":"h"}"#).await;
    assert_eq!((status, made["id"].as_str()), (201, Some("h")));
    let held = begin(&origin, BLOB, &[]).await;
    while control(desk, "GET", "/__faults", "").await.1["rules"][0]["came"] != 1 {}
    assert_eq!(control(desk, "POST", "/__faults/h/release", "").await.0, 200);
    assert_eq!(held.await.unwrap().status, StatusCode::OK);
    assert_eq!(control(desk, "DELETE", "/__faults/h", "").await.0, 404);
    assert_eq!(control(desk, "POST", "/__faults", r#"{"action":"explode"}"#).await.0, 400);
    let two = r#"[{"action":"status","code":503,"pattern":"blob"},{"action":"delay","ms":1}]"#;
    assert_eq!(control(desk, "PUT", "/__faults", two).await.1["ids"].as_array().unwrap().len(), 2);
    assert_eq!(get(origin.addr(), BLOB).await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(control(desk, "DELETE", "/__faults", "").await.0, 200);
    let fields = [("user-agent", "tester"), ("x-forwarded-for", "192.0.2.7")];
    super::get_with(origin.addr(), "/none?a=b", &fields).await;
    let (_, stats) = control(desk, "GET", "/__stats", "").await;
    assert_eq!(
        (&stats["total"], &stats["requests"][BLOB], &stats["requests"]["/none?a=b"]),
        (&3.into(), &2.into(), &1.into())
    );
    let last = &stats["log"][2];
    assert_eq!(
        ["path", "query", "user_agent", "x_forwarded_for"].map(|key| last[key].as_str().unwrap()),
        ["/none", "a=b", "tester", "192.0.2.7"]
    );
    assert_eq!(last["status"], 404);
    assert_eq!(control(desk, "GET", "/__stats?since=2", "").await.1["log"].as_array().unwrap().len(), 1);
    control(desk, "POST", "/__stats/reset", "").await;
    assert_eq!((origin.stats().total(), origin.requests_for("/none")), (0, 0));
    origin.stop().await;
}
