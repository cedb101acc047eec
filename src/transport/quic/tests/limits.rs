//! Who is let in, and what a viewer can make a node hold.

use std::sync::Arc;
use std::time::Duration;

use super::echo::{CODES, Told};
use super::node::{Node, PATIENCE, Relay, ask, loopback};
use crate::clock::{Clock, WallTime};
use crate::transport::quic::Settings;
use crate::transport::quic::settings::SEND_RESERVE;

fn manual() -> Clock {
    Clock::manual(WallTime::at(Duration::from_secs(1_000_000)))
}

async fn is_refused(change: impl FnOnce(&mut Settings)) {
    let node = Node::with(loopback(), change);
    let refused = node.connect_once().await.unwrap_err();
    assert!(matches!(refused, quinn::ConnectionError::ConnectionClosed(_)), "{refused}");
    assert_eq!((node.handle.counters().refused.value(), node.handle.counters().accepted.value()), (1, 0));
}

#[tokio::test]
async fn under_load_an_address_is_shown_first() {
    let node = Node::with(loopback(), |settings| settings.limits.quic_retry_above = 0);
    let connection = node.connect().await;
    assert_eq!(ask(&connection, b"hello").await, b"hello");
    let counters = node.handle.counters();
    assert_eq!((counters.retries.value(), counters.accepted.value(), counters.handshakes.value()), (1, 1, 1));
}

#[tokio::test]
async fn above_the_bound_of_handshakes_nobody_is_taken() {
    is_refused(|settings| settings.limits.quic_handshakes = 0).await;
}

#[tokio::test]
async fn a_peer_without_a_place_is_refused() {
    is_refused(|settings| settings.admit = Arc::new(|_| None)).await;
}

#[tokio::test]
async fn a_place_is_given_back_when_its_connection_is_gone() {
    let places = Arc::new(());
    let given = places.clone();
    let mut node = Node::with(loopback(), |settings| settings.admit = Arc::new(move |_| Some(Box::new(given.clone()))));
    let connection = node.connect().await;
    let while_it_lives = Arc::strong_count(&places);
    connection.close(0_u32.into(), b"");
    node.handle.close();
    node.over().await;
    assert!(Arc::strong_count(&places) < while_it_lives);
}

#[tokio::test]
async fn a_handshake_that_takes_too_long_is_ended() {
    let clock = manual();
    let (came, coming) = tokio::sync::watch::channel(());
    let mut node = Node::with(loopback(), |settings| {
        settings.clock = clock.clone();
        settings.admit = Arc::new(move |_| Some(Box::new(came.send(()))));
    });
    let relay = Relay::to(node.address).await;
    relay.cut();
    let connecting = node.connecting_once(relay.address);
    coming.clone().changed().await.unwrap();
    clock.advance(Duration::from_secs(10));
    node.handle.drain();
    node.over().await;
    assert_eq!(node.handle.counters().handshake_failures.value(), 1);
    drop(connecting);
}

#[tokio::test]
async fn a_viewer_who_acknowledges_nothing_holds_little() {
    let mut node = Node::start();
    let relay = Relay::to(node.address).await;
    let connection = node.client().connect(relay.address, "localhost").unwrap().await.unwrap();
    relay.cut();
    let (mut send, _receive) = connection.open_bi().await.unwrap();
    send.write_all(b"flood").await.unwrap();
    let held = node.hears(|told| if let Told::Full(octets) = told { Some(octets) } else { None }).await;
    let first_window = 32 << 10;
    assert!((1..=SEND_RESERVE as usize + first_window).contains(&held), "{held} octets");
}

#[tokio::test]
async fn a_viewer_who_takes_nothing_loses_its_connection() {
    let clock = manual();
    let mut node = Node::with(loopback(), |settings| settings.clock = clock.clone());
    // Never widened, since the viewer reads nothing; small, so that no buffer of the system overflows.
    node.window = 64 << 10;
    let connection = node.connect().await;
    let (mut send, _receive) = connection.open_bi().await.unwrap();
    send.write_all(b"flood").await.unwrap();
    node.hears(|told| (told == Told::Full(64 << 10)).then_some(())).await;
    clock.advance(Duration::from_secs(30));
    let reason = tokio::time::timeout(PATIENCE, connection.closed()).await.unwrap();
    let quinn::ConnectionError::ApplicationClosed(close) = reason else { panic!("{reason}") };
    assert_eq!(close.error_code.into_inner(), CODES.stalled);
    assert_eq!(node.handle.counters().stalled.value(), 1);
}

#[tokio::test]
async fn a_connection_is_kept_alive_only_while_something_is_held() {
    let clock = manual();
    let mut node = Node::with(loopback(), |settings| settings.clock = clock.clone());
    // The path's size is probed by PINGs too; a client that takes the smallest packets only is not probed.
    let mut small = quinn::EndpointConfig::default();
    small.max_udp_payload_size(1_200).unwrap();
    let client = node.client_of(small);
    let holding = client.connect(node.address, "localhost").unwrap().await.unwrap();
    let idle = client.connect(node.address, "localhost").unwrap().await.unwrap();
    let (mut send, _receive) = holding.open_bi().await.unwrap();
    send.write_all(b"wait").await.unwrap();
    node.hears(|told| (told == Told::Waits).then_some(())).await;
    clock.advance(Duration::from_secs(10));
    for connection in [&holding, &idle] {
        assert_eq!(ask(connection, b"hello").await, b"hello");
    }
    assert_eq!((holding.stats().frame_rx.ping, idle.stats().frame_rx.ping), (1, 0));
}

#[tokio::test]
async fn garbage_disturbs_nobody() {
    let node = Node::start();
    let connection = node.connect().await;
    let noise = tokio::net::UdpSocket::bind(loopback()).await.unwrap();
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for round in 0..2_000_usize {
        let mut datagram = vec![0; 1 + round % 1_300];
        for octet in &mut datagram {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            *octet = state as u8;
        }
        // Every second one looks like an Initial of version 1 (RFC 9000 §17.2.2).
        if round % 2 == 0 && datagram.len() > 6 {
            datagram[..6].copy_from_slice(&[0xc0, 0, 0, 0, 1, 8]);
        }
        noise.send_to(&datagram, node.address).await.unwrap();
    }
    assert_eq!(ask(&connection, b"hello").await, b"hello");
    assert_eq!(ask(&node.connect().await, b"hello").await, b"hello");
    assert_eq!(node.handle.counters().panics.value(), 0);
}
