//! Bounds of everything that could grow, with the defaults of a live edge.

use std::time::Duration;

/// `[limits]`: times, counts and sizes (bytes).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A TLS or QUIC handshake.
    pub handshake: Duration,
    /// The first byte after a connection was accepted.
    pub first_byte: Duration,
    /// A whole request head, from its first byte.
    pub head: Duration,
    /// A connection without a request, HTTP/1.1 and HTTP/2.
    pub idle: Duration,
    /// A QUIC connection without a packet.
    pub quic_idle: Duration,
    /// A write during which the peer takes no byte.
    pub write_progress: Duration,
    /// A request head: octets.
    pub head_size: usize,
    /// A request head: fields.
    pub head_fields: usize,
    /// Concurrent streams of an HTTP/2 connection.
    pub h2_streams: u32,
    /// Concurrent request streams of an HTTP/3 connection.
    pub h3_streams: u32,
    /// HTTP/2 bytes buffered for one stream.
    pub h2_send_buffer: usize,
    /// QUIC bytes sent and unacknowledged, for one connection.
    pub quic_send_window: u64,
    /// Receive window of a stream.
    pub stream_window: u32,
    /// Receive window of a connection.
    pub connection_window: u32,
    /// Connections in total, all protocols.
    pub connections: usize,
    /// Connections of one address prefix; 0: no bound.
    pub connections_per_prefix: usize,
    /// Age after which an HTTP/2 connection is asked to reconnect.
    pub connection_age: Duration,
    /// Fills in progress for one origin group.
    pub fills: usize,
    /// Readers of one fill.
    pub fill_readers: usize,
    /// Handshakes in progress above which QUIC clients must validate their address (Retry).
    pub quic_retry_above: usize,
    /// Handshakes in progress above which new QUIC connections are refused.
    pub quic_handshakes: usize,
    /// Requests waiting for a connection or a place at one origin.
    pub origin_queue: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            first_byte: Duration::from_secs(10),
            head: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            quic_idle: Duration::from_secs(30),
            write_progress: Duration::from_secs(30),
            head_size: 32 << 10,
            head_fields: 100,
            h2_streams: 128,
            h3_streams: 64,
            h2_send_buffer: 256 << 10,
            quic_send_window: 4 << 20,
            stream_window: 256 << 10,
            connection_window: 1 << 20,
            connections: 200_000,
            connections_per_prefix: 0,
            connection_age: Duration::from_secs(3_600),
            fills: 512,
            fill_readers: 200_000,
            quic_retry_above: 512,
            quic_handshakes: 4_096,
            origin_queue: 10_000,
        }
    }
}
