//! What one worker's QUIC counts. The worker alone writes; anyone reads.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use crate::telemetry::counters::Counter;

/// Counters and gauges of one worker, since it started.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections that were taken, handshake still to come.
    pub accepted: Counter,
    /// Connections that were refused: too many, or the node is stopping.
    pub refused: Counter,
    /// Clients that were asked to show their address first.
    pub retries: Counter,
    /// Handshakes that completed.
    pub handshakes: Counter,
    /// Handshakes that failed or took too long.
    pub handshake_failures: Counter,
    /// Changes of a peer's address.
    pub migrations: Counter,
    /// Connections that were closed because the peer took nothing for too long.
    pub stalled: Counter,
    /// Panics that ended a connection.
    pub panics: Counter,
    /// Datagrams received.
    pub datagrams_in: Counter,
    /// Datagrams sent.
    pub datagrams_out: Counter,
    /// Sends that the system refused, and thereby lost.
    pub send_errors: Counter,
    /// Times that a send had to wait for room in the socket.
    pub send_waits: Counter,
    /// Packets that connections sent, counted when they end.
    pub packets_sent: Counter,
    /// Packets of them that were lost.
    pub packets_lost: Counter,
    /// Connections at present, handshakes and closing ones included.
    pub connections: Gauge,
    /// Datagrams that the kernel dropped because the socket's receive buffer was full; at most a second old.
    pub receive_drops: Gauge,
    /// Whether the kernel splits large sends at present.
    pub offloaded: AtomicBool,
}

/// A number that one writer sets.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// The present value.
    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }

    pub(super) fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }
}
