//! Two workers on one port.

use std::net::UdpSocket;
use std::num::NonZeroU8;

use parking_lot::Mutex;
use std::sync::Arc;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::unbounded_channel;

use super::echo::{MakeEcho, Signal};
use super::node::{Trust, ask, loopback};
use crate::tasks::Tasks;
use crate::transport::quic::{Driver, Handle, Seat};
use crate::transport::steer::{Group, Steering};

const VIEWERS: usize = 40;

fn thread() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

#[test]
fn viewers_who_change_address_stay_with_their_worker() {
    let trust = Trust::new();
    let settings = trust.settings();
    let group = Group::bind(loopback(), NonZeroU8::new(2).unwrap()).unwrap();
    assert_eq!(group.steering, Steering::ByConnectionId);
    let address = group.address().unwrap();
    let threads = [thread(), thread()];
    let start = |(worker, socket): (usize, UdpSocket)| -> Handle {
        let seat = Seat { worker: worker as u8, workers: 2 };
        let make = MakeEcho { told: unbounded_channel().0, signal: Arc::<Mutex<Signal>>::default() };
        let (driver, handle) = Driver::new(socket, seat, &settings, make).unwrap();
        Tasks::on(threads[worker].handle().clone()).spawn("quic", driver.run());
        handle
    };
    let handles: Vec<Handle> = group.sockets.into_iter().enumerate().map(start).collect();
    let config = trust.client(1 << 20);
    thread().block_on(async {
        for _ in 0..VIEWERS {
            let client = quinn::Endpoint::client(loopback()).unwrap();
            let connection = client.connect_with(config.clone(), address, "localhost").unwrap().await.unwrap();
            assert_eq!(ask(&connection, b"before").await, b"before");
            client.rebind(UdpSocket::bind(loopback()).unwrap()).unwrap();
            assert_eq!(ask(&connection, b"after").await, b"after");
        }
    });
    let counts =
        handles.iter().map(|handle| (handle.counters().handshakes.value(), handle.counters().migrations.value()));
    let counts: Vec<(u64, u64)> = counts.collect();
    assert_eq!(counts.iter().map(|(handshakes, _)| handshakes).sum::<u64>(), VIEWERS as u64);
    for (handshakes, migrations) in counts {
        assert!(handshakes > 0, "each worker has viewers");
        assert_eq!(migrations, handshakes);
    }
    threads.into_iter().for_each(Runtime::shutdown_background);
}
