//! How connections end when the node ends, and when the node has come back.

use std::num::NonZeroU8;
use std::time::Duration;

use super::echo::{CODES, Told, give};
use super::node::{Node, PATIENCE, ask, loopback};
use crate::clock::{Clock, WallTime};
use crate::transport::quic::layer::Drain;
use crate::transport::quic::{QuicKeys, SharedKeys};
use crate::transport::steer::Group;

fn closed_with(reason: quinn::ConnectionError) -> u64 {
    match reason {
        quinn::ConnectionError::ApplicationClosed(close) => close.error_code.into_inner(),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_drain_announces_then_names_the_last_then_waits_for_what_runs() {
    let clock = Clock::manual(WallTime::at(Duration::from_secs(1_000_000)));
    let mut node = Node::with(loopback(), |settings| settings.clock = clock.clone());
    let connection = node.connect().await;
    let signal = node.signal.clone();
    let serve = async {
        node.hears(|told| (told == Told::Waits).then_some(())).await;
        node.handle.drain();
        node.hears(|told| (told == Told::Drain(Drain::Announce)).then_some(())).await;
        let refused = node.connect_once().await.unwrap_err();
        assert!(matches!(refused, quinn::ConnectionError::ConnectionClosed(_)), "{refused}");
        clock.advance(Duration::from_secs(1));
        node.hears(|told| (told == Told::Drain(Drain::Last)).then_some(())).await;
        give(&signal, "last words");
    };
    assert_eq!(tokio::join!(ask(&connection, b"wait"), serve).0, b"last words");
    node.over().await;
    assert_eq!(closed_with(connection.closed().await), CODES.no_error);
    assert_eq!(node.handle.counters().refused.value(), 1);
}

#[tokio::test]
async fn an_idle_connection_is_closed_by_a_drain() {
    let clock = Clock::manual(WallTime::at(Duration::from_secs(1_000_000)));
    let mut node = Node::with(loopback(), |settings| settings.clock = clock.clone());
    let connection = node.connect().await;
    node.hears(|told| matches!(told, Told::Arrived(_)).then_some(())).await;
    node.handle.drain();
    node.hears(|told| (told == Told::Drain(Drain::Announce)).then_some(())).await;
    clock.advance(Duration::from_secs(1));
    node.over().await;
    assert_eq!(closed_with(connection.closed().await), CODES.no_error);
}

#[tokio::test]
async fn a_close_ends_everything_at_once() {
    let mut node = Node::start();
    let connections = [node.connect().await, node.connect().await];
    node.handle.close();
    node.over().await;
    for connection in connections {
        let reason = tokio::time::timeout(PATIENCE, connection.closed()).await.unwrap();
        assert_eq!(closed_with(reason), CODES.no_error);
    }
}

#[tokio::test]
async fn a_layer_is_dropped_when_its_viewer_leaves() {
    let mut node = Node::start();
    let connection = node.connect().await;
    node.hears(|told| matches!(told, Told::Arrived(_)).then_some(())).await;
    connection.close(0_u32.into(), b"");
    node.hears(|told| (told == Told::Gone).then_some(())).await;
}

#[tokio::test]
async fn a_viewer_of_a_former_process_is_told_at_once_that_it_is_gone() {
    let keys = SharedKeys::new(&QuicKeys::random());
    // One socket for both, so that nobody else gets the port meanwhile.
    let socket = Group::bind(loopback(), NonZeroU8::MIN).unwrap().sockets.remove(0);
    let next = socket.try_clone().unwrap();
    let node = Node::on(socket, |settings| settings.keys = keys.clone());
    let connection = node.connect().await;
    assert_eq!(ask(&connection, b"hello").await, b"hello");
    node.running.abort();
    _ = node.running.await;
    let _next = Node::on(next, |settings| settings.keys = keys.clone());
    let (mut send, _receive) = connection.open_bi().await.unwrap();
    send.write_all(&[0; 1_000]).await.unwrap();
    let reason = tokio::time::timeout(PATIENCE, connection.closed()).await.unwrap();
    assert_eq!(reason, quinn::ConnectionError::Reset);
}

#[tokio::test]
async fn a_pause_keeps_the_socket_and_can_be_taken_back() {
    let mut node = Node::start();
    let former = node.connect().await;
    node.hears(|told| matches!(told, Told::Arrived(_)).then_some(())).await;
    node.handle.pause();
    let reason = tokio::time::timeout(PATIENCE, former.closed()).await.unwrap();
    assert_eq!(closed_with(reason), CODES.no_error);
    tokio::time::timeout(PATIENCE, node.handle.vacated()).await.unwrap();
    node.connect_to(node.address.ip()).await.unwrap_err();
    assert!(node.handle.resume());
    let connection = node.connect().await;
    assert_eq!(ask(&connection, b"hello").await, b"hello");
    node.handle.close();
    node.over().await;
    assert!(!node.handle.resume(), "it has been told to end");
}
