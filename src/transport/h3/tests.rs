//! What a client sees of a connection.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response};
use http_body_util::BodyExt;
use parking_lot::Mutex;

use super::code;
use super::frame::kind;
use super::mock::*;
use crate::config::Limits;
use crate::request::{Head, Protocol, Upload, UploadError};
use crate::transport::quic::layer::{Drain, Layer};
use crate::transport::quic::streams::{StreamEvent, StreamId};

fn get() -> Vec<u8> {
    request("GET", "/live/a.m3u8", &[])
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
