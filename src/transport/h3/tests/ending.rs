//! How requests and connections end: given up, late, drained.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use http::Response;

use super::mock::*;
use super::service::Script;
use crate::config::Limits;
use crate::transport::h3::code;
use crate::transport::h3::frame::{self, kind};
use crate::transport::quic::layer::{Drain, Layer};
use crate::transport::quic::streams::{StreamEvent, StreamId};

fn get() -> Vec<u8> {
    request("GET", "/live/a.m3u8", &[])
}

/// A rig whose requests are all answered with the body of `script`.
fn scripted(script: &Script) -> Rig {
    let script = script.clone();
    Rig::new(move |_, _| Response::new(script.body()))
}

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

#[test]
fn the_end_is_announced_then_set_behind_the_last_request() {
    let (mut rig, living) = held(Limits::default());
    let goaways = |rig: &mut Rig| -> Vec<u64> {
        let out = rig.wire.pipe(StreamId(3)).outbound.clone();
        let frames = frames(&out[1..]).into_iter();
        frames.filter(|(kind, _)| *kind == kind::GOAWAY).map(|(_, id)| frame::varint(&mut &id[..]).unwrap()).collect()
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
