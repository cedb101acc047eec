//! Answers and their bodies.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Poll, Waker};

use http::{HeaderMap, HeaderValue, Method, Response};
use parking_lot::Mutex;

use super::mock::*;
use super::service::{Script, TestBody};
use crate::request::{Protocol, Upload};
use crate::transport::h3::code;
use crate::transport::h3::frame::{self, kind};
use crate::transport::quic::layer::Layer;
use crate::transport::quic::streams::StreamId;

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
        settings.push((frame::varint(&mut payload).unwrap(), frame::varint(&mut payload).unwrap()));
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

#[test]
fn an_answer_that_is_not_final_is_none() {
    for status in [100, 101, 103] {
        let mut rig = Rig::new(move |_, _| Response::builder().status(status).body(TestBody::full("")).unwrap());
        let id = rig.ask(&get());
        assert_eq!(rig.reset_code(id), Some(code::INTERNAL_ERROR));
    }
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
