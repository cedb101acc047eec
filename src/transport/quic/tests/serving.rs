//! Streams to and fro.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::echo::{Told, give};
use super::node::{Node, PATIENCE, ask};
use crate::clock::Clock;
use crate::tasks::Tasks;
use crate::transport::quic::Segmentation;

#[tokio::test]
async fn streams_are_answered_in_full() {
    let mut node = Node::start();
    let connection = node.connect().await;
    let arrival = node.hears(|told| if let Told::Arrived(arrival) = told { Some(arrival) } else { None }).await;
    assert_eq!(arrival.server_name.as_deref(), Some("localhost"));
    assert_eq!((arrival.local_port, arrival.worker), (node.address.port(), 0));
    assert_eq!(ask(&connection, b"hello").await, b"hello");
    let large: Vec<u8> = (0..3_000_000_u32).map(|n| n as u8).collect();
    assert!(ask(&connection, &large).await == large);
}

#[tokio::test]
async fn without_offload_each_datagram_is_sent_alone() {
    let node = Node::with(super::node::loopback(), |settings| settings.segmentation = Segmentation::Own);
    let connection = node.connect().await;
    let large = vec![9; 500_000];
    assert!(ask(&connection, &large).await == large);
    assert!(!node.handle.counters().offloaded.load(std::sync::atomic::Ordering::Relaxed));
    assert!(node.handle.counters().datagrams_out.value() > 300);
}

#[tokio::test]
async fn more_streams_than_the_limit_are_served_one_after_the_other() {
    let node = Node::with(super::node::loopback(), |settings| settings.limits.h3_streams = 2);
    let connection = node.connect().await;
    for round in 0..20_u8 {
        assert_eq!(ask(&connection, &[round]).await, [round]);
    }
}

#[tokio::test]
async fn a_layer_is_woken_from_another_thread() {
    let mut node = Node::start();
    let connection = node.connect().await;
    let signal = node.signal.clone();
    let wake = async {
        node.hears(|told| (told == Told::Waits).then_some(())).await;
        Tasks::current().spawn_blocking("wake", move || give(&signal, "now")).await.unwrap();
    };
    assert_eq!(tokio::join!(ask(&connection, b"wait"), wake).0, b"now");
}

#[tokio::test]
async fn what_the_viewer_stops_and_resets_is_told() {
    let mut node = Node::start();
    let connection = node.connect().await;
    let (mut send, mut receive) = connection.open_bi().await.unwrap();
    send.write_all(b"flood").await.unwrap();
    receive.read_chunk(1, true).await.unwrap().unwrap();
    receive.stop(0x10c_u32.into()).unwrap();
    node.hears(|told| (told == Told::Stopped(0x10c)).then_some(())).await;
    send.reset(0x10d_u32.into()).unwrap();
    node.hears(|told| (told == Told::Reset(0x10d)).then_some(())).await;
    assert_eq!(ask(&connection, b"still here").await, b"still here");
}

#[tokio::test]
async fn an_ipv4_viewer_of_a_dual_stack_socket_hears_from_the_address_it_asked() {
    let mut node = Node::with((Ipv6Addr::UNSPECIFIED, 0).into(), |_| {});
    let asked = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
    let connection = node.connect_to(asked).await.unwrap();
    let arrival = node.hears(|told| if let Told::Arrived(arrival) = told { Some(arrival) } else { None }).await;
    assert_eq!((arrival.local_ip, arrival.peer.ip()), (Some(asked), Ipv4Addr::LOCALHOST.into()));
    assert_eq!(ask(&connection, b"hello").await, b"hello");
}

#[tokio::test]
async fn a_panic_ends_its_own_connection_only() {
    let node = Node::start();
    let (unlucky, lucky) = (node.connect().await, node.connect().await);
    let (mut send, _receive) = unlucky.open_bi().await.unwrap();
    send.write_all(b"panic").await.unwrap();
    let reason = tokio::time::timeout(PATIENCE, unlucky.closed()).await.unwrap();
    let quinn::ConnectionError::ApplicationClosed(close) = reason else { panic!("{reason}") };
    assert_eq!(close.error_code, 0x102_u32.into());
    assert_eq!(ask(&lucky, b"hello").await, b"hello");
    assert_eq!(node.handle.counters().panics.value(), 1);
}

#[tokio::test]
async fn a_viewer_who_changes_address_keeps_its_connection() {
    let node = Node::start();
    let client = node.client();
    let connection = client.connect(node.address, "localhost").unwrap().await.unwrap();
    assert_eq!(ask(&connection, b"before").await, b"before");
    client.rebind(std::net::UdpSocket::bind(super::node::loopback()).unwrap()).unwrap();
    assert_eq!(ask(&connection, b"after").await, b"after");
    assert_eq!(node.handle.counters().migrations.value(), 1);
}

#[tokio::test]
async fn an_answer_does_not_wait_for_a_delayed_acknowledgement() {
    let node = Node::start();
    let connection = node.connect().await;
    let mut times = Vec::new();
    for _ in 0..51 {
        let clock = Clock::system();
        assert_eq!(ask(&connection, b"hello").await, b"hello");
        times.push(clock.now().since_start());
    }
    times.sort();
    // A driver that holds back acknowledgements adds 25 ms to each; the shortest does not mind a busy machine.
    assert!(times[0] < Duration::from_millis(15), "{:?}", times[0]);
}

#[tokio::test]
async fn more_viewers_than_one_turn_serves_are_all_answered() {
    let node = Node::start();
    let (client, tasks) = (node.client(), Tasks::current());
    let viewers: Vec<_> = (0..100_u8)
        .map(|viewer| {
            let connecting = client.connect(node.address, "localhost").unwrap();
            tasks.spawn("viewer", async move {
                let connection = connecting.await.unwrap();
                for round in 0..5 {
                    let words = vec![viewer ^ round; 20_000];
                    assert!(ask(&connection, &words).await == words);
                }
            })
        })
        .collect();
    for viewer in viewers {
        viewer.await.unwrap();
    }
}
