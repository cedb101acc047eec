//! Which response goes first.

use http::Response;

use super::mock::*;
use super::service::{Script, TestBody};
use crate::request::Head;
use crate::rules::priority::Priority;
use crate::transport::h3::code;
use crate::transport::h3::frame::kind;
use crate::transport::h3::priority::of_stream;
use crate::transport::quic::streams::{StreamEvent, StreamId};

fn get() -> Vec<u8> {
    request("GET", "/live/a.m3u8", &[])
}

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
fn room_that_comes_is_taken_by_the_most_urgent_first() {
    let mut rig = Rig::new(|_, _| Response::new(TestBody::full(vec![0; 10_000])));
    rig.wire.room = Some(0);
    let segments: Vec<_> = (0..8).map(|_| rig.ask(&get())).collect();
    let playlist = rig.ask(&request("GET", "/", &[("priority", "u=1")]));
    rig.wire.room = Some(12_000);
    rig.events(segments.iter().chain([&playlist]).map(|id| StreamEvent::Writable(*id)));
    assert_eq!(rig.answer(playlist).body.len(), 10_000);
    assert!(rig.wire.pipe(segments[0]).outbound.len() > 1_000, "then the first of the others");
    assert!(segments[1..].iter().all(|id| rig.wire.pipes[id].outbound.is_empty()));
}
