//! What a client sees of a connection: answers, bodies in both directions, cancelled requests, the end.

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body::Body;
use parking_lot::Mutex;

use super::code;
use super::frame::kind;
use super::mock::*;
use crate::config::Limits;
use crate::request::{Head, Protocol, Upload, UploadError};
use crate::rules::priority::Priority;
use crate::transport::h3::priority::of_stream;
use crate::transport::quic::layer::{Drain, Layer};
use crate::transport::quic::streams::{StreamEvent, StreamId};

fn get() -> Vec<u8> {
    request("GET", "/live/a.m3u8", &[])
}

fn ok(body: TestBody) -> Response<TestBody> {
    Response::new(body)
}

/// A rig whose requests are all answered with the body of `script`.
fn scripted(script: &Script) -> Rig {
    let script = script.clone();
    Rig::new(move |_, _| ok(script.body()))
}

#[test]
fn a_get_is_answered_in_one_write() {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = heads.clone();
    let mut rig = Rig::new(move |head, upload| {
        assert!(matches!(upload, Upload::Empty));
        seen.lock().push(head);
        Response::builder().header("cache-control", "no-cache").body(TestBody::full("hello")).unwrap()
    });
    let id = rig.ask(&request("GET", "/live/a.m3u8?x=1", &[("cookie", "a=1"), ("x-y", "z"), ("cookie", "b=2")]));
    let answer = rig.answer(id);
    assert_eq!((answer.status, &answer.body[..]), (200, &b"hello"[..]));
    assert_eq!(answer.header("content-length"), Some("5"));
    assert_eq!(answer.header("cache-control"), Some("no-cache"));
    assert_eq!(rig.wire.pipe(id).writes, 1);
    let head = heads.lock().pop().unwrap();
    assert_eq!((head.method, head.path.as_str(), head.query.as_deref()), (Method::GET, "/live/a.m3u8", Some("x=1")));
    assert_eq!((head.authority.as_deref(), head.protocol), (Some("example.com"), Protocol::Http3));
    assert_eq!((head.headers["cookie"].as_bytes(), head.headers.len()), (&b"a=1; b=2"[..], 2));
    assert_eq!(head.viewer.address, ([192, 0, 2, 1], 4433).into());
}

#[test]
fn a_request_may_come_octet_by_octet() {
    let mut rig = Rig::hello();
    let id = rig.open();
    for octet in get() {
        rig.send(id, &[octet]);
    }
    rig.fin(id);
    assert_eq!(rig.answer(id).body, b"hello");
}

#[test]
fn settings_come_first_and_name_our_decoder() {
    let mut rig = Rig::hello();
    let out = rig.wire.pipe(StreamId(3)).outbound.clone();
    assert_eq!(out[0], 0, "a control stream");
    let frames = frames(&out[1..]);
    assert_eq!(frames[0].0, kind::SETTINGS);
    let mut payload = &frames[0].1[..];
    let mut settings = Vec::new();
    while !payload.is_empty() {
        settings.push((super::frame::varint(&mut payload).unwrap(), super::frame::varint(&mut payload).unwrap()));
    }
    assert_eq!(&settings[..3], [(0x01, 0), (0x06, 32 << 10), (0x07, 0)]);
    assert_eq!((settings.len(), (settings[3].0 - 0x21) % 0x1f), (4, 0), "one reserved identifier");
}

#[test]
fn answers_without_a_body_have_none_whatever_the_service_sends() {
    let script = Script::default();
    script.data("not to be seen");
    for (method, status, length) in [("HEAD", 200, Some("14")), ("GET", 204, None), ("GET", 304, Some("14"))] {
        let body = script.clone();
        let mut rig = Rig::new(move |_, _| {
            Response::builder().status(status).header("content-length", "14").body(body.body()).unwrap()
        });
        let id = rig.ask(&request(method, "/", &[]));
        let answer = rig.answer(id);
        assert_eq!((answer.status, answer.body.len(), answer.header("content-length")), (status, 0, length));
        assert!(script.is_dropped());
    }
    assert_eq!(script.pulls(), 0);
}

#[test]
fn fields_of_a_connection_are_not_sent_and_secrets_are_never_indexed() {
    let mut rig = Rig::new(|_, _| {
        let mut secret = HeaderValue::from_static("abc");
        secret.set_sensitive(true);
        Response::builder()
            .header("connection", "close")
            .header("keep-alive", "1")
            .header("transfer-encoding", "chunked")
            .header("upgrade", "x")
            .header("set-cookie", "k=v")
            .header("x-secret", secret)
            .body(TestBody::full(""))
            .unwrap()
    });
    let id = rig.ask(&get());
    let names: Vec<_> = rig.answer(id).headers.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["set-cookie", "x-secret", "content-length"]);
    let out = rig.wire.pipe(id).outbound.clone();
    let has = |octets: &[u8]| out.windows(octets.len()).any(|window| window == octets);
    assert!(has(&[0x7e, 3, b'k', b'=', b'v']) && has(b"\x37\x01x-secret\x03abc"));
}

#[test]
fn the_next_chunk_is_asked_for_when_the_one_before_was_taken() {
    let script = Script::default().exact(400);
    for _ in 0..4 {
        script.data(vec![7; 100]);
    }
    script.end();
    let mut rig = scripted(&script);
    let id = rig.open();
    rig.wire.pipe(id).room = Some(50);
    rig.send(id, &get());
    assert_eq!(script.left(), 3);
    rig.give_room(id, 40);
    assert_eq!(script.left(), 3);
    rig.give_room(id, 100);
    assert_eq!(script.left(), 2);
    rig.give_room(id, 10_000);
    assert_eq!(rig.answer(id).body, [7; 400]);
    assert_eq!(rig.wire.pipe(id).stop_sending, Some(code::NO_ERROR), "the request never ended");
}

#[test]
fn a_body_of_unknown_length_goes_out_as_it_comes_with_its_trailers() {
    let script = Script::default();
    let mut rig = scripted(&script);
    let id = rig.ask(&get());
    assert_eq!((rig.partial(id).status, rig.partial(id).header("content-length")), (200, None));
    script.data("one");
    script.data("");
    rig.poll();
    assert_eq!(rig.partial(id).body, b"one");
    assert!(rig.layer.is_holding());
    script.data("two");
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("6"));
    script.trailers(trailers);
    rig.poll();
    let answer = rig.answer(id);
    assert_eq!(answer.body, b"onetwo");
    assert_eq!(answer.trailers, [("x-sum".to_owned(), "6".to_owned())]);
}

#[test]
fn a_body_that_cannot_be_completed_is_a_reset_and_never_a_clean_end() {
    for what in ["it fails", "it is short", "it is long", "trailers come early"] {
        let script = Script::default().exact(10);
        script.data("begin");
        let mut rig = scripted(&script);
        let id = rig.ask(&get());
        assert_eq!(rig.reset_code(id), None, "{what}");
        match what {
            "it fails" => script.fail(),
            "it is short" => script.end(),
            "it is long" => script.data(vec![0; 100]),
            _ => script.trailers(HeaderMap::new()),
        }
        rig.poll();
        assert_eq!(rig.reset_code(id), Some(code::INTERNAL_ERROR), "{what}");
        assert!(script.is_dropped() && rig.layer.is_idle(), "{what}");
    }
    let script = Script::default();
    let mut rig = scripted(&script);
    let id = rig.ask(&get());
    script.data("of unknown length");
    script.fail();
    rig.poll();
    assert_eq!(rig.reset_code(id), Some(code::INTERNAL_ERROR));
}

#[test]
fn an_announced_length_is_taken_from_the_head_before_the_body() {
    let script = Script::default().exact(3);
    script.data("abc");
    script.end();
    let body = script.clone();
    let mut rig = Rig::new(move |_, _| Response::builder().header("content-length", "4").body(body.body()).unwrap());
    let id = rig.ask(&get());
    assert_eq!(rig.reset_code(id), Some(code::INTERNAL_ERROR));
}

// ---- request bodies

type Collected = Arc<Mutex<(Vec<u8>, Option<Result<(), UploadError>>)>>;

/// Reads an upload to its end, then answers with its size.
fn collect(upload: Upload, into: Collected) -> Pin<Box<dyn Future<Output = Response<TestBody>> + Send>> {
    let mut upload = Box::pin(upload);
    Box::pin(async move {
        let end = loop {
            match std::future::poll_fn(|cx| upload.as_mut().poll_frame(cx)).await {
                Some(Ok(frame)) => into.lock().0.extend(frame.into_data().unwrap()),
                Some(Err(error)) => break Err(error),
                None => break Ok(()),
            }
        };
        into.lock().1 = Some(end);
        let status = if end.is_ok() { StatusCode::OK } else { StatusCode::REQUEST_TIMEOUT };
        Response::builder().status(status).body(TestBody::full("")).unwrap()
    })
}

fn collecting() -> (Rig, Collected) {
    let collected = Collected::default();
    let into = collected.clone();
    (Rig::serving(move |_, upload| collect(upload, into.clone())), collected)
}

#[test]
fn an_upload_passes_in_pieces_to_its_end() {
    let (mut rig, collected) = collecting();
    let id = rig.open();
    rig.send(id, &request("POST", "/up", &[("content-length", "11")]));
    rig.send(id, &frame(kind::DATA, b"hello ")[..5]);
    rig.send(id, &[&frame(kind::DATA, b"hello ")[5..], &frame(0x21, b"grease"), &frame(kind::DATA, b"world")].concat());
    assert_eq!(collected.lock().0, b"hello world");
    rig.send(id, &headers(&[("x-trailer", "1")]));
    rig.fin(id);
    assert_eq!(collected.lock().1, Some(Ok(())));
    assert_eq!(rig.answer(id).status, 200);
}

#[test]
fn an_upload_that_nobody_reads_stays_with_the_client_but_for_its_window() {
    let held = Arc::new(Mutex::new(None));
    let holds = held.clone();
    let mut rig = Rig::serving(move |_, upload| {
        *holds.lock() = Some(Box::pin(upload));
        Box::pin(pending())
    });
    let id = rig.open();
    rig.send(id, &[request("POST", "/up", &[]), varint(0), varint(1 << 30)].concat());
    for _ in 0..64 {
        rig.send(id, &[1; 4 << 10]);
    }
    let taken = (256 << 10) - rig.unread(id);
    assert!((48 << 10..=super::upload::WINDOW).contains(&taken), "{taken}");
    let mut cx = Context::from_waker(Waker::noop());
    let mut upload = held.lock().take().unwrap();
    while upload.as_mut().poll_frame(&mut cx).is_ready() {}
    rig.poll();
    assert!((256 << 10) - rig.unread(id) > 2 * taken - (4 << 10), "room was given back");
    drop(upload);
    rig.poll();
    let discarded = (256 << 10) - rig.unread(id);
    assert!(discarded < 256 << 10, "a body nobody wants is not read to its end");
}

#[test]
fn a_body_that_is_not_wanted_is_answered_and_then_refused_without_error() {
    let mut rig = Rig::hello();
    let id = rig.open();
    rig.send(id, &[request("POST", "/up", &[("content-length", "1000000")]), varint(0), varint(1_000_000)].concat());
    assert_eq!(rig.answer(id).body, b"hello");
    assert_eq!(rig.wire.pipe(id).stop_sending, Some(code::NO_ERROR));
}

#[test]
fn a_length_that_disagrees_with_the_body_is_malformed_both_ways() {
    let post = |length| request("POST", "/up", &[("content-length", length)]);
    for octets in [
        [post("5"), frame(kind::DATA, b"1234")].concat(),
        [post("5"), frame(kind::DATA, b"123"), frame(kind::DATA, b"456")].concat(),
        [post("0"), frame(kind::DATA, b"1")].concat(),
        post("1"),
        request("GET", "/", &[("content-length", "3")]),
    ] {
        let (mut rig, _) = collecting();
        let id = rig.ask(&octets);
        assert_eq!(rig.reset_code(id), Some(code::MESSAGE_ERROR));
        assert_eq!(rig.closed(), None);
        assert!(rig.counters.mine().malformed().any(|counted| counted == ("content-length", 1)));
    }
    // Refused by the announced length of the frame, before its octets.
    let (mut rig, collected) = collecting();
    let id = rig.open();
    rig.send(id, &[post("5"), varint(0), varint(6)].concat());
    assert_eq!(rig.reset_code(id), Some(code::MESSAGE_ERROR));
    assert_eq!(collected.lock().0, b"");
    let (mut rig, collected) = collecting();
    let id = rig.ask(&[post("4"), frame(kind::DATA, b"12"), frame(kind::DATA, b""), frame(kind::DATA, b"34")].concat());
    assert_eq!((rig.answer(id).status, &collected.lock().0[..]), (200, &b"1234"[..]));
}

#[test]
fn an_upload_slower_than_the_slowest_stalls() {
    let (mut rig, collected) = collecting();
    let id = rig.open();
    rig.send(id, &[request("POST", "/up", &[]), varint(0), varint(100_000)].concat());
    rig.advance(Duration::from_secs(4));
    assert_eq!(collected.lock().1, None);
    rig.send(id, &[0; 5_000]);
    rig.advance(Duration::from_secs(5));
    assert_eq!(collected.lock().1, None, "ten seconds for 5000 octets");
    rig.advance(Duration::from_secs(2));
    assert_eq!(collected.lock().1, Some(Err(UploadError::Stalled)));
    assert_eq!(rig.answer(id).status, 408);
}

// ---- given up

/// Counts the futures that live.
struct Living(Arc<AtomicUsize>);

impl Living {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, SeqCst);
        Self(count.clone())
    }
}

impl Drop for Living {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

fn held(limits: Limits) -> (Rig, Arc<AtomicUsize>) {
    let living = Arc::new(AtomicUsize::new(0));
    let count = living.clone();
    let rig = Rig::with_limits(limits, move |_, _| {
        let living = Living::new(&count);
        Box::pin(async move {
            let _living = living;
            pending().await
        })
    });
    (rig, living)
}

#[test]
fn a_hundred_waiting_requests_that_are_cancelled_free_their_places_at_once() {
    let (mut rig, living) = held(Limits { h3_streams: 128, ..Limits::default() });
    let ids: Vec<_> = (0..100).map(|_| rig.ask(&get())).collect();
    assert_eq!(living.load(SeqCst), 100);
    assert!(rig.layer.is_holding() && !rig.layer.is_idle());
    rig.advance(Duration::from_secs(2));
    for (index, id) in ids.iter().enumerate() {
        rig.stop(*id, code::REQUEST_CANCELLED);
        assert_eq!(living.load(SeqCst), 99 - index);
        assert_eq!(rig.reset_code(*id), Some(code::REQUEST_CANCELLED));
    }
    assert!(rig.layer.is_idle() && !rig.layer.is_holding());
    assert_eq!(rig.closed(), None);
    rig.ask(&get());
    assert_eq!(living.load(SeqCst), 1);
}

#[test]
fn a_request_that_is_reset_is_dropped_too_and_rejected_where_nothing_was_done() {
    let (mut rig, living) = held(Limits::default());
    let id = rig.open();
    rig.send(id, &request("POST", "/up", &[]));
    assert_eq!(living.load(SeqCst), 1);
    rig.reset(id, code::REQUEST_CANCELLED);
    assert_eq!((living.load(SeqCst), rig.reset_code(id)), (0, Some(code::REQUEST_CANCELLED)));
    let id = rig.open();
    rig.send(id, &get()[..4]);
    rig.reset(id, code::REQUEST_CANCELLED);
    assert_eq!(rig.reset_code(id), Some(code::REQUEST_REJECTED));
    assert!(rig.layer.is_idle());
}

#[test]
fn a_client_that_stops_in_mid_body_has_its_body_dropped() {
    let script = Script::default();
    script.data(vec![0; 1_000]);
    let mut rig = scripted(&script);
    let id = rig.open();
    rig.wire.pipe(id).room = Some(100);
    rig.send(id, &get());
    rig.stop(id, code::REQUEST_CANCELLED);
    assert!(script.is_dropped());
    assert_eq!(rig.reset_code(id), Some(code::REQUEST_CANCELLED));
}

#[test]
fn a_response_is_in_progress_until_it_was_acknowledged() {
    let mut rig = Rig::hello();
    let first = rig.ask(&get());
    let second = rig.ask(&get());
    assert!(!rig.layer.is_idle() && !rig.layer.is_holding());
    rig.event(StreamEvent::Finished(first));
    assert!(!rig.layer.is_idle());
    rig.stop(second, code::REQUEST_CANCELLED);
    assert!(rig.layer.is_idle());
    assert_eq!(rig.wire.pipe(second).reset, Some(code::REQUEST_CANCELLED));
}

#[test]
fn a_connection_that_is_dropped_drops_its_requests() {
    let (mut rig, living) = held(Limits::default());
    rig.ask(&get());
    drop(rig);
    assert_eq!(living.load(SeqCst), 0);
}

// ---- deadlines

#[test]
fn a_head_that_does_not_come_in_time_is_rejected() {
    let mut rig = Rig::hello();
    let id = rig.open();
    rig.send(id, &get()[..10]);
    rig.advance(Duration::from_millis(9_999));
    assert_eq!(rig.reset_code(id), None);
    rig.advance(Duration::from_millis(1));
    assert_eq!(rig.reset_code(id), Some(code::REQUEST_REJECTED));
    assert_eq!(rig.wire.pipe(id).stop_sending, Some(code::REQUEST_REJECTED));
    assert!(rig.layer.is_idle());
}

#[test]
fn a_reader_who_takes_nothing_for_thirty_seconds_is_reset_and_a_slow_one_is_not() {
    let script = Script::default().exact(10_000);
    script.data(vec![0; 10_000]);
    let mut rig = scripted(&script);
    let slow = rig.open();
    rig.wire.pipe(slow).room = Some(100);
    rig.send(slow, &get());
    for _ in 0..3 {
        rig.advance(Duration::from_secs(29));
        rig.give_room(slow, 1);
        assert_eq!(rig.reset_code(slow), None);
    }
    rig.advance(Duration::from_secs(30));
    assert_eq!(rig.reset_code(slow), Some(code::REQUEST_CANCELLED));
    assert!(script.is_dropped());
}

#[test]
fn a_request_that_waits_for_its_answer_has_no_deadline() {
    let (mut rig, living) = held(Limits::default());
    rig.ask(&get());
    rig.advance(Duration::from_secs(3_600));
    assert_eq!((living.load(SeqCst), rig.closed()), (1, None));
}

// ---- the end

#[test]
fn the_end_is_announced_then_set_behind_the_last_request() {
    let (mut rig, living) = held(Limits::default());
    let goaways = |rig: &mut Rig| -> Vec<u64> {
        let out = rig.wire.pipe(StreamId(3)).outbound.clone();
        let frames = frames(&out[1..]).into_iter();
        frames
            .filter(|(kind, _)| *kind == kind::GOAWAY)
            .map(|(_, id)| super::frame::varint(&mut &id[..]).unwrap())
            .collect()
    };
    let first = rig.ask(&get());
    rig.layer.drain(Drain::Announce, &mut rig.wire);
    assert_eq!(goaways(&mut rig), [(1 << 62) - 4]);
    let second = rig.ask(&get());
    rig.layer.drain(Drain::Last, &mut rig.wire);
    assert_eq!(goaways(&mut rig), [(1 << 62) - 4, second.0 + 4]);
    let third = rig.ask(&get());
    assert_eq!(rig.reset_code(third), Some(code::REQUEST_REJECTED));
    assert_eq!((rig.reset_code(first), rig.reset_code(second), living.load(SeqCst)), (None, None, 2));
    rig.layer.drain(Drain::Announce, &mut rig.wire);
    rig.layer.drain(Drain::Last, &mut rig.wire);
    assert_eq!(goaways(&mut rig).len(), 2, "never twice");
}

#[test]
fn a_connection_without_requests_drains_from_zero() {
    let mut rig = Rig::hello();
    rig.layer.drain(Drain::Last, &mut rig.wire);
    let id = rig.ask(&get());
    assert_eq!(rig.reset_code(id), Some(code::REQUEST_REJECTED));
    assert!(rig.layer.is_idle());
}

// ---- priorities

fn priority_update(id: u64, value: &str) -> Vec<u8> {
    frame(kind::PRIORITY_UPDATE, &[&varint(id)[..], value.as_bytes()].concat())
}

#[test]
fn priority_comes_from_the_update_else_the_request_and_the_response_overrides_it() {
    let script = Script::default();
    let body = script.clone();
    let mut rig = Rig::new(move |head: Head, _| {
        let response = Response::builder();
        let response = if head.path == "/u1" { response.header("priority", "u=1") } else { response };
        response.body(body.body()).unwrap()
    });
    let expect = |rig: &mut Rig, id, urgency, incremental| {
        assert_eq!(rig.wire.pipe(id).priority, of_stream(id, Priority { urgency, incremental }));
    };
    rig.control(&[priority_update(12, "u=6"), priority_update(12, "u=5, i"), priority_update(16, "u=")].concat());
    let plain = rig.ask(&request("GET", "/", &[]));
    expect(&mut rig, plain, 3, false);
    let asked = rig.ask(&request("GET", "/", &[("priority", "u=2, i")]));
    expect(&mut rig, asked, 2, true);
    let overridden = rig.ask(&request("GET", "/u1", &[("priority", "u=7, i")]));
    expect(&mut rig, overridden, 1, true);
    let early = rig.ask(&request("GET", "/", &[("priority", "u=0")]));
    expect(&mut rig, early, 5, true);
    let broken = rig.ask(&request("GET", "/", &[("priority", "u=0")]));
    expect(&mut rig, broken, 3, false);
    rig.send(StreamId(2), &priority_update(asked.0, "u=0"));
    expect(&mut rig, asked, 0, false);
    assert_eq!(rig.closed(), None);
}

#[test]
fn an_update_of_a_stream_that_cannot_be_opened_is_an_error_and_of_a_closed_one_is_not() {
    for (id, expected) in
        [(63 * 4, None), (64 * 4, Some(code::ID_ERROR)), (1, Some(code::ID_ERROR)), (2, Some(code::ID_ERROR))]
    {
        let mut rig = Rig::hello();
        rig.control(&priority_update(id, "u=1"));
        assert_eq!(rig.closed(), expected, "{id}");
    }
    let mut rig = Rig::hello();
    rig.ask(&get());
    rig.control(&[priority_update(0, "u=1"), priority_update(64 * 4, "u=1")].concat());
    assert_eq!(rig.closed(), None, "a stream ended, another may be opened");
}

#[test]
fn the_service_is_asked_once_the_head_is_there_and_polled_only_when_it_is_woken() {
    let polls = Arc::new(AtomicUsize::new(0));
    let wakers = Arc::new(Mutex::new(Vec::<Waker>::new()));
    let (count, keep) = (polls.clone(), wakers.clone());
    let mut rig = Rig::serving(move |_, _| {
        let (count, keep) = (count.clone(), keep.clone());
        Box::pin(std::future::poll_fn(move |cx| {
            count.fetch_add(1, SeqCst);
            keep.lock().push(cx.waker().clone());
            Poll::Pending
        }))
    });
    for _ in 0..10 {
        rig.ask(&get());
    }
    let before = polls.load(SeqCst);
    wakers.lock()[0].wake_by_ref();
    rig.poll();
    assert_eq!(polls.load(SeqCst), before + 1);
}

#[test]
fn room_that_comes_is_taken_by_the_most_urgent_first() {
    let mut rig = Rig::new(|_, _| ok(TestBody::full(vec![0; 10_000])));
    rig.wire.room = Some(0);
    let segments: Vec<_> = (0..8).map(|_| rig.ask(&get())).collect();
    let playlist = rig.ask(&request("GET", "/", &[("priority", "u=1")]));
    rig.wire.room = Some(12_000);
    rig.events(segments.iter().chain([&playlist]).map(|id| StreamEvent::Writable(*id)));
    assert_eq!(rig.answer(playlist).body.len(), 10_000);
    assert!(rig.wire.pipe(segments[0]).outbound.len() > 1_000, "then the first of the others");
    assert!(segments[1..].iter().all(|id| rig.wire.pipes[id].outbound.is_empty()));
}

#[test]
fn an_answer_that_is_not_final_is_none() {
    for status in [100, 101, 103] {
        let mut rig = Rig::new(move |_, _| Response::builder().status(status).body(TestBody::full("")).unwrap());
        let id = rig.ask(&get());
        assert_eq!(rig.reset_code(id), Some(code::INTERNAL_ERROR));
    }
}
