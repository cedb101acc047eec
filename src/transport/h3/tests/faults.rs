//! What breaks a rule, and the code it ends with.

use std::time::Duration;

use proptest::prelude::*;

use super::mock::*;
use crate::config::Limits;
use crate::transport::h3::code;
use crate::transport::h3::frame::{VARINT_MAX, kind};
use crate::transport::quic::layer::Layer;
use crate::transport::quic::streams::{StreamEvent, StreamId};

fn get() -> Vec<u8> {
    request("GET", "/", &[])
}

fn id_frame(kind: u64, id: u64) -> Vec<u8> {
    frame(kind, &varint(id))
}

fn settings(pairs: &[(u64, u64)]) -> Vec<u8> {
    let payload: Vec<_> = pairs.iter().flat_map(|(id, value)| [varint(*id), varint(*value)]).flatten().collect();
    frame(kind::SETTINGS, &payload)
}

#[test]
fn every_fault_on_a_request_stream_closes_with_its_code() {
    let data = frame(kind::DATA, b"x");
    let trailers = headers(&[("a", "b")]);
    let table: Vec<(u64, &str, Vec<u8>)> = vec![
        (code::FRAME_UNEXPECTED, "DATA first", data.clone()),
        (code::FRAME_UNEXPECTED, "DATA after trailers", [get(), trailers.clone(), data.clone()].concat()),
        (code::FRAME_UNEXPECTED, "a third HEADERS", [get(), trailers.clone(), trailers].concat()),
        (code::FRAME_UNEXPECTED, "SETTINGS", settings(&[])),
        (code::FRAME_UNEXPECTED, "GOAWAY", id_frame(kind::GOAWAY, 0)),
        (code::FRAME_UNEXPECTED, "MAX_PUSH_ID", id_frame(kind::MAX_PUSH_ID, 0)),
        (code::FRAME_UNEXPECTED, "CANCEL_PUSH", id_frame(kind::CANCEL_PUSH, 0)),
        (code::FRAME_UNEXPECTED, "PUSH_PROMISE", id_frame(kind::PUSH_PROMISE, 0)),
        (code::FRAME_UNEXPECTED, "PRIORITY_UPDATE", id_frame(kind::PRIORITY_UPDATE, 0)),
        (code::FRAME_UNEXPECTED, "a priority of a push", id_frame(kind::PRIORITY_UPDATE_PUSH, 0)),
        (code::FRAME_UNEXPECTED, "PRIORITY of HTTP/2", frame(0x02, b"")),
        (code::FRAME_UNEXPECTED, "PING of HTTP/2", frame(0x06, b"")),
        (code::FRAME_UNEXPECTED, "WINDOW_UPDATE of HTTP/2", [get(), frame(0x08, b"")].concat()),
        (code::FRAME_UNEXPECTED, "CONTINUATION of HTTP/2", [get(), frame(0x09, b"")].concat()),
        (code::FRAME_ERROR, "an end in the head of a frame", vec![0x01]),
        (code::FRAME_ERROR, "an end in HEADERS", get()[..9].to_vec()),
        (code::FRAME_ERROR, "an end in DATA", [get(), data[..2].to_vec()].concat()),
        (code::FRAME_ERROR, "an end in an unknown frame", frame(0x21, b"abc")[..3].to_vec()),
        (code::DECOMPRESSION_FAILED, "a dynamic reference", frame(kind::HEADERS, &[0, 0, 0x80])),
        (code::DECOMPRESSION_FAILED, "required inserts", frame(kind::HEADERS, &[2, 0])),
        (code::DECOMPRESSION_FAILED, "broken trailers", [get(), frame(kind::HEADERS, &[0, 0, 0xff])].concat()),
        (code::EXCESSIVE_LOAD, "unknown octets", frame(0x21, &vec![0; 17 << 10])),
        (code::EXCESSIVE_LOAD, "many small unknown frames", frame(0x21, b"").repeat(8_193)),
        (code::EXCESSIVE_LOAD, "empty DATA", [get(), frame(kind::DATA, b"").repeat(101)].concat()),
        (code::EXCESSIVE_LOAD, "huge trailers", [get(), varint(1), varint(1 << 40)].concat()),
    ];
    for (code, what, octets) in table {
        let mut rig = Rig::hello();
        rig.ask(&octets);
        assert_eq!(rig.closed(), Some(code), "{what}");
        assert!(rig.layer.is_idle());
        rig.ask(&get());
    }
}

#[test]
fn every_fault_on_a_critical_stream_closes_with_its_code() {
    let control = |octets: &[u8]| [&[0][..], &settings(&[]), octets].concat();
    let table: Vec<(u64, &str, Vec<u8>)> = vec![
        (code::MISSING_SETTINGS, "no SETTINGS", [&[0][..], &id_frame(kind::GOAWAY, 0)].concat()),
        (code::MISSING_SETTINGS, "grease before SETTINGS", [&[0][..], &frame(0x21, b"")].concat()),
        (code::FRAME_UNEXPECTED, "a second SETTINGS", control(&settings(&[]))),
        (code::FRAME_UNEXPECTED, "HEADERS", control(&get())),
        (code::FRAME_UNEXPECTED, "DATA", control(&frame(kind::DATA, b""))),
        (code::FRAME_UNEXPECTED, "PUSH_PROMISE", control(&frame(kind::PUSH_PROMISE, b""))),
        (code::FRAME_UNEXPECTED, "a frame type of HTTP/2", control(&frame(0x06, b""))),
        (code::SETTINGS_ERROR, "a setting twice", [vec![0], settings(&[(0x33, 1), (0x06, 1), (0x33, 1)])].concat()),
        (code::SETTINGS_ERROR, "ENABLE_PUSH of HTTP/2", [vec![0], settings(&[(0x02, 0)])].concat()),
        (code::SETTINGS_ERROR, "setting 0", [vec![0], settings(&[(0x00, 0)])].concat()),
        (code::SETTINGS_ERROR, "setting 3", [vec![0], settings(&[(0x03, 0)])].concat()),
        (code::SETTINGS_ERROR, "setting 4", [vec![0], settings(&[(0x04, 0)])].concat()),
        (code::SETTINGS_ERROR, "setting 5", [vec![0], settings(&[(0x05, 0)])].concat()),
        (code::FRAME_ERROR, "half a setting", [vec![0], frame(kind::SETTINGS, &[0x06])].concat()),
        (code::FRAME_ERROR, "GOAWAY without an id", control(&frame(kind::GOAWAY, b""))),
        (code::FRAME_ERROR, "GOAWAY with more", control(&frame(kind::GOAWAY, &[0, 0]))),
        (code::FRAME_ERROR, "a long MAX_PUSH_ID", control(&frame(kind::MAX_PUSH_ID, &[0; 9]))),
        (code::FRAME_ERROR, "a short MAX_PUSH_ID", control(&frame(kind::MAX_PUSH_ID, &[0x40]))),
        (code::FRAME_ERROR, "PRIORITY_UPDATE without an id", control(&frame(kind::PRIORITY_UPDATE, b""))),
        (code::ID_ERROR, "CANCEL_PUSH", control(&id_frame(kind::CANCEL_PUSH, 0))),
        (code::ID_ERROR, "a priority of a push", control(&id_frame(kind::PRIORITY_UPDATE_PUSH, 0))),
        (
            code::ID_ERROR,
            "MAX_PUSH_ID falls",
            control(&[id_frame(kind::MAX_PUSH_ID, 5), id_frame(kind::MAX_PUSH_ID, 4)].concat()),
        ),
        (code::ID_ERROR, "GOAWAY rises", control(&[id_frame(kind::GOAWAY, 4), id_frame(kind::GOAWAY, 5)].concat())),
        (code::EXCESSIVE_LOAD, "endless SETTINGS", [varint(0), varint(4), varint(1 << 40)].concat()),
        (code::EXCESSIVE_LOAD, "an endless PRIORITY_UPDATE", control(&[varint(0xf0700), varint(1 << 40)].concat())),
        (code::EXCESSIVE_LOAD, "unknown octets", control(&frame(0x21, &vec![0; 17 << 10]))),
        (code::STREAM_CREATION_ERROR, "a push stream", vec![0x01]),
        (code::ENCODER_STREAM_ERROR, "a capacity", vec![0x02, 0x20, 0x21]),
        (code::ENCODER_STREAM_ERROR, "a large capacity", vec![0x02, 0x3f, 0xe1, 0x1f]),
        (code::ENCODER_STREAM_ERROR, "an insert by name", vec![0x02, 0xc0, 0x00]),
        (code::ENCODER_STREAM_ERROR, "an insert", vec![0x02, 0x41, b'a', 0x00]),
        (code::ENCODER_STREAM_ERROR, "a duplicate", vec![0x02, 0x00]),
        (code::DECODER_STREAM_ERROR, "an acknowledgement", vec![0x03, 0x80]),
        (code::DECODER_STREAM_ERROR, "an increment of 0", vec![0x03, 0x00]),
        (code::DECODER_STREAM_ERROR, "an increment", vec![0x03, 0x01]),
        (code::DECODER_STREAM_ERROR, "an endless integer", [vec![0x03, 0x7f], vec![0x80; 12]].concat()),
    ];
    for (code, what, octets) in table {
        let mut rig = Rig::hello();
        rig.open_uni(&octets);
        assert_eq!(rig.closed(), Some(code), "{what}");
    }
}

#[test]
fn what_is_allowed_on_critical_streams_goes_unanswered() {
    let mut rig = Rig::hello();
    rig.open_uni(&[0x02, 0x20]);
    rig.open_uni(&[0x03, 0x44, 0x7f, 0x80, 0x01]);
    let mut control = [vec![0], settings(&[(0x01, 4096), (0x06, 100), (0x07, 16), (0x21, 9), (0x33, 1)])].concat();
    control.extend(id_frame(kind::MAX_PUSH_ID, 4));
    control.extend(id_frame(kind::MAX_PUSH_ID, VARINT_MAX));
    control.extend(id_frame(kind::GOAWAY, 5));
    control.extend(id_frame(kind::GOAWAY, 5));
    control.extend(frame(0x21 + 0x1f * 3, b"grease"));
    let id = rig.open_uni(&[]);
    for octet in control {
        rig.send(id, &[octet]);
    }
    let id = rig.ask(&get());
    assert_eq!(rig.answer(id).body, b"hello", "GOAWAY of the client has no effect on requests");
}

#[test]
fn critical_streams_come_once_and_stay_open() {
    for first in [&[0x00, 0x04, 0x00][..], &[0x02], &[0x03]] {
        let mut rig = Rig::hello();
        rig.open_uni(first);
        rig.open_uni(first);
        assert_eq!(rig.closed(), Some(code::STREAM_CREATION_ERROR));
        let mut rig = Rig::hello();
        let id = rig.open_uni(first);
        rig.fin(id);
        assert_eq!(rig.closed(), Some(code::CLOSED_CRITICAL_STREAM));
        let mut rig = Rig::hello();
        let id = rig.open_uni(first);
        rig.reset(id, 0);
        assert_eq!(rig.closed(), Some(code::CLOSED_CRITICAL_STREAM));
    }
    let mut rig = Rig::hello();
    rig.event(StreamEvent::Stopped(StreamId(3), 0));
    assert_eq!(rig.closed(), Some(code::CLOSED_CRITICAL_STREAM));
}

#[test]
fn unknown_streams_are_refused_and_the_connection_goes_on() {
    let mut rig = Rig::hello();
    let unknown = rig.open_uni(&[0x21, 1, 2, 3]);
    assert_eq!(rig.wire.pipe(unknown).stop_sending, Some(code::STREAM_CREATION_ERROR));
    let cut = rig.open_uni(&[0x40]);
    rig.fin(cut);
    let id = rig.ask(&get());
    assert_eq!(rig.answer(id).body, b"hello");
}

#[test]
fn a_malformed_message_ends_its_stream_alone() {
    let mut rig = Rig::hello();
    for fields in [
        &[(":method", "GET"), (":scheme", "https"), (":path", "/")][..],
        &[(":method", "GET"), (":scheme", "https"), (":path", "/"), ("host", "a"), ("Upper", "1")],
        &[(":method", "GET"), (":scheme", "https"), (":path", "/"), ("host", "a"), ("connection", "close")],
        &[(":method", "GET"), (":method", "GET"), (":scheme", "https"), (":path", "/"), ("host", "a")],
        &[(":method", "GET"), (":scheme", "https"), ("host", "a"), (":path", "/")],
    ] {
        let id = rig.open();
        rig.send(id, &headers(fields));
        assert_eq!(rig.reset_code(id), Some(code::MESSAGE_ERROR), "{fields:?}");
        assert_eq!(rig.wire.pipe(id).stop_sending, Some(code::MESSAGE_ERROR));
    }
    let id = rig.ask(&[get(), headers(&[(":path", "/")])].concat());
    assert_eq!(rig.wire.pipe(id).reset, Some(code::MESSAGE_ERROR), "a pseudo field in trailers");
    let id = rig.ask(&get());
    assert_eq!(rig.answer(id).body, b"hello");
    assert_eq!(rig.counters.mine().resets_sent.values().find(|(name, _)| *name == "message-error").unwrap().1, 6);
    assert_eq!(rig.counters.mine().malformed().map(|(_, count)| count).sum::<u64>(), 6);
}

#[test]
fn a_stream_that_ends_without_a_request_is_incomplete() {
    let mut rig = Rig::hello();
    let id = rig.ask(&[]);
    assert_eq!(rig.reset_code(id), Some(code::REQUEST_INCOMPLETE));
    let id = rig.ask(&frame(0x21, b"grease alone"));
    assert_eq!(rig.reset_code(id), Some(code::REQUEST_INCOMPLETE));
    assert_eq!(rig.closed(), None);
}

#[test]
fn connect_is_answered_405_and_a_head_too_large_431() {
    let mut rig = Rig::hello();
    let id = rig.open();
    rig.send(id, &headers(&[(":method", "CONNECT"), (":authority", "example.com:443")]));
    assert_eq!(rig.answer(id).status, 405);
    assert_eq!(rig.wire.pipe(id).stop_sending, Some(code::NO_ERROR));
    let many: Vec<_> = (0..101).map(|_| ("a", "b")).collect();
    for octets in [
        request("GET", "/", &many),
        request("GET", "/", &[("a", &"x".repeat(32 << 10))]),
        [varint(1), varint((32 << 10) + 1)].concat(),
    ] {
        let id = rig.open();
        rig.send(id, &octets);
        let answer = rig.answer(id);
        assert_eq!((answer.status, answer.header("content-type")), (431, Some("application/json")));
        assert!(answer.body.starts_with(b"{\"reason\":\"head-too-large\""));
    }
    assert_eq!(rig.counters.mine().requests.value(), 0);
}

#[test]
fn a_headers_frame_of_two_gibibytes_is_not_read() {
    let mut rig = Rig::hello();
    let id = rig.open();
    rig.send(id, &[varint(1), varint(2 << 30)].concat());
    for _ in 0..1_000 {
        rig.send(id, &[0; 64 << 10]);
    }
    assert!(rig.wire.octets_read < 64 << 10, "{}", rig.wire.octets_read);
    assert_eq!(rig.wire.pipe(id).stop_sending, Some(code::NO_ERROR));
    assert_eq!(rig.answer(id).status, 431);
}

#[test]
fn an_unknown_frame_of_two_gibibytes_ends_the_connection_early() {
    let mut rig = Rig::hello();
    let id = rig.open();
    rig.send(id, &[varint(0x21), varint(2 << 30)].concat());
    while rig.closed().is_none() {
        rig.send(id, &[0; 1 << 10]);
    }
    assert_eq!(rig.closed(), Some(code::EXCESSIVE_LOAD));
    assert!(rig.wire.octets_read < 20 << 10);
}

#[test]
fn rapid_resets_end_the_connection() {
    let mut rig = Rig::hello();
    let opened = (0..1_000).take_while(|_| {
        let id = rig.open();
        rig.send(id, &get()[..4]);
        rig.stop(id, code::REQUEST_CANCELLED);
        rig.advance(Duration::from_millis(1));
        rig.closed().is_none()
    });
    assert!(opened.count() <= 101);
    assert_eq!(rig.closed(), Some(code::EXCESSIVE_LOAD));
}

#[test]
fn requests_that_make_us_reset_count_as_given_up() {
    let mut rig = Rig::hello();
    for _ in 0..200 {
        if rig.closed().is_none() {
            rig.ask(&headers(&[(":method", "GET")]));
        }
    }
    assert_eq!(rig.closed(), Some(code::EXCESSIVE_LOAD));
}

#[test]
fn floods_of_control_frames_and_of_empty_data_end_the_connection() {
    let mut rig = Rig::hello();
    rig.control(&id_frame(kind::MAX_PUSH_ID, 1).repeat(1_000));
    assert_eq!(rig.closed(), Some(code::EXCESSIVE_LOAD));
    let mut rig = Rig::hello();
    rig.open_uni(&[&[0x02][..], &[0x20; 1_000]].concat());
    assert_eq!(rig.closed(), Some(code::EXCESSIVE_LOAD));
    let mut rig = Rig::hello();
    let empties = (0..20).take_while(|_| {
        rig.ask(&[request("POST", "/", &[]), frame(kind::DATA, b"").repeat(100)].concat());
        rig.closed().is_none()
    });
    assert_eq!(empties.count(), 10);
    assert_eq!(rig.closed(), Some(code::EXCESSIVE_LOAD));
}

#[test]
fn more_requests_than_allowed_at_once_are_rejected() {
    let mut rig =
        Rig::with_limits(Limits { h3_streams: 4, ..Limits::default() }, |_, _| Box::pin(std::future::pending()));
    for _ in 0..4 {
        rig.ask(&get());
    }
    let id = rig.ask(&get());
    assert_eq!(rig.reset_code(id), Some(code::REQUEST_REJECTED));
}

#[derive(Clone, Debug)]
enum Step {
    Open,
    OpenUni(Vec<u8>),
    Send(usize, Vec<u8>),
    Fin(usize),
    Reset(usize),
    Stop(usize),
    Room(usize, usize),
    Advance(u64),
}

fn octets() -> impl Strategy<Value = Vec<u8>> {
    let any_octets = proptest::collection::vec(any::<u8>(), 0..60);
    let any_frame = (prop_oneof![0u64..16, Just(0xf0700), any::<u64>().prop_map(|kind| kind >> 2)], any_octets.clone());
    prop_oneof![
        any_octets,
        any_frame.prop_map(|(kind, payload)| frame(kind, &payload)),
        Just(get()),
        Just(request("POST", "/", &[("content-length", "3")])),
        Just(frame(kind::DATA, b"abc")),
        Just(settings(&[(0x06, 1)])),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Open),
        1 => octets().prop_map(Step::OpenUni),
        1 => (0u8..4, octets()).prop_map(|(kind, octets)| Step::OpenUni([&[kind][..], &octets].concat())),
        8 => (0..8usize, octets()).prop_map(|(stream, octets)| Step::Send(stream, octets)),
        2 => (0..8usize).prop_map(Step::Fin),
        1 => (0..8usize).prop_map(Step::Reset),
        1 => (0..8usize).prop_map(Step::Stop),
        1 => (0..8usize, 0..200usize).prop_map(|(stream, room)| Step::Room(stream, room)),
        1 => (0..20_000u64).prop_map(Step::Advance),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]
    #[test]
    fn whatever_comes_on_whatever_stream_the_layer_goes_on_or_closes(steps in proptest::collection::vec(step(), 0..60)) {
        let mut rig = Rig::hello();
        let mut streams = Vec::new();
        for step in steps {
            let pick = |index: usize| streams.get(index % streams.len().max(1)).copied();
            match step {
                Step::Open => streams.push(rig.open()),
                Step::OpenUni(octets) => streams.push(rig.open_uni(&octets)),
                Step::Send(index, octets) => if let Some(id) = pick(index) { rig.send(id, &octets) },
                Step::Fin(index) => if let Some(id) = pick(index) { rig.fin(id) },
                Step::Reset(index) => if let Some(id) = pick(index) { rig.reset(id, 7) },
                Step::Stop(index) => if let Some(id) = pick(index) { rig.stop(id, 7) },
                Step::Room(index, room) => if let Some(id) = pick(index) { rig.give_room(id, room) },
                Step::Advance(millis) => rig.advance(Duration::from_millis(millis)),
            }
        }
        rig.advance(Duration::from_secs(100));
        for id in streams {
            rig.event(StreamEvent::Finished(id));
        }
        prop_assert!(rig.layer.is_idle(), "everything ends, if only by its deadline");
    }
}
