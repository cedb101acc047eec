//! Bodies of requests.

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use http::{Response, StatusCode};
use http_body::Body;
use parking_lot::Mutex;

use super::mock::*;
use super::service::TestBody;
use crate::request::{Upload, UploadError};
use crate::transport::h3::frame::kind;
use crate::transport::h3::{code, upload};

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
    assert!((48 << 10..=upload::WINDOW).contains(&taken), "{taken}");
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
