//! What runs over a QUIC connection: the seam between the driver and HTTP/3. The driver makes one `Layer` for each
//! connection when its handshake is complete, calls it from one task alone, and drops it when the connection is gone,
//! whatever ended it. A layer never blocks and never reads a socket; a panic in it closes its connection only.

use std::net::{IpAddr, SocketAddr};
use std::task::Context;

use super::streams::{StreamEvent, Streams};
use crate::request::Line;

/// A connection whose handshake is complete, as its layer is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The other end now; an IPv4 address is never written as an IPv6 one. A connection may migrate later.
    pub peer: SocketAddr,
    /// The address the peer asked, where the kernel tells.
    pub local_ip: Option<IpAddr>,
    /// The port the peer asked.
    pub local_port: u16,
    /// The server name of its TLS handshake (RFC 6066 §3), as sent.
    pub server_name: Option<String>,
    /// The worker that owns the connection.
    pub worker: usize,
    /// What is known of the way to the peer.
    pub line: Line,
}

/// The two steps of a graceful end (RFC 9114 §5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drain {
    /// Announce it: GOAWAY with an identifier above all that can come.
    Announce,
    /// At least a second later: GOAWAY behind the last request that was taken; later ones are refused.
    Last,
}

/// What runs over one QUIC connection.
///
/// The order of calls: `on_event(Connected)`, then for each turn of the driver the events of that turn and one `poll`.
/// The driver also polls when the waker of the last `poll` was woken, from any thread. Streams may be read, written and
/// closed in each call that lends them.
pub trait Layer: Send + 'static {
    /// Something happened to the connection.
    fn on_event(&mut self, event: StreamEvent, streams: &mut dyn Streams);

    /// Continues whatever it waits for: answers, bodies, deadlines. Called after the events of a turn, after `drain`,
    /// and when the context's waker was woken.
    fn poll(&mut self, context: &mut Context<'_>, streams: &mut dyn Streams);

    /// The node is stopping.
    fn drain(&mut self, step: Drain, streams: &mut dyn Streams);

    /// Whether nothing is in progress. A response is in progress until its stream is `Finished` or was reset: after
    /// `Drain::Last` the driver closes an idle connection, and what was not acknowledged by then is lost.
    fn is_idle(&self) -> bool;

    /// Whether a request waits for something that may take longer than the peer's idle timeout: only then the driver
    /// keeps the connection alive, with one PING each ten seconds at most.
    fn is_holding(&self) -> bool;
}

/// Codes that the driver itself closes a connection with; the layer's protocol names them (RFC 9114 §8.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseCodes {
    /// Nothing was wrong: H3_NO_ERROR.
    pub no_error: u64,
    /// Our own fault: H3_INTERNAL_ERROR.
    pub internal: u64,
    /// The peer takes no byte of what it asked for: H3_EXCESSIVE_LOAD.
    pub stalled: u64,
}

/// Makes the layer of a connection. Called on the worker's thread.
pub trait MakeLayer: Send + 'static {
    /// What it makes.
    type Layer: Layer;
    /// The codes of its protocol.
    const CODES: CloseCodes;

    /// The layer of a connection that has just completed its handshake.
    fn layer(&mut self, arrival: Arrival) -> Self::Layer;
}
