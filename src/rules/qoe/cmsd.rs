//! Common Media Server Data (CTA-5006): what responses tell players. The static field is the origin's, kept with the
//! object and never changed here. The dynamic one is of a transmission: each hop adds a member, ours last.

use http::{HeaderMap, HeaderName};

/// The origin's field.
pub const CMSD_STATIC: HeaderName = HeaderName::from_static("cmsd-static");
/// The field of hops.
pub const CMSD_DYNAMIC: HeaderName = HeaderName::from_static("cmsd-dynamic");

/// What this node says of one transmission.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hop<'n> {
    /// The name of the node.
    pub node: &'n str,
    /// What the path to the viewer is estimated to carry, in kbit/s (`etp`).
    pub throughput_kbps: Option<u64>,
    /// From the request to the first octet of the body, in milliseconds, with the hold (`rd`).
    pub response_delay_ms: Option<u64>,
    /// The round trip to the viewer, in milliseconds (`rtt`).
    pub round_trip_ms: Option<u64>,
    /// For how long this node held the request, in milliseconds; told only where the origin has no `ht` of its own.
    pub hold_ms: Option<u64>,
    /// The most that a player should choose, in kbit/s; only where a policy says so (`mb`).
    pub most_kbps: Option<u64>,
    /// Whether this node is under duress; said only when it is (`du`).
    pub duress: bool,
}

/// What a connection knows of its path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sending {
    /// The congestion window, in octets.
    pub congestion_window: u64,
    /// What the receiver takes, in octets; `None`: the transport does not say.
    pub receive_window: Option<u64>,
    /// The smoothed round trip, in microseconds.
    pub round_trip_us: u64,
    /// Packets that were sent on it so far.
    pub packets: u64,
}

/// Adds this hop's member to the end of CMSD-Dynamic. What others said stays, in order, as long as it is a list.
pub fn append(headers: &mut HeaderMap, hop: &Hop<'_>) {
    _ = (headers, hop);
}

/// What the path carries, in kbit/s; `None`: too little was sent on it to tell.
pub fn throughput_kbps(sending: &Sending) -> Option<u64> {
    _ = sending;
    None
}

/// Takes CMSD-Dynamic off a response that is to be stored.
pub fn strip_dynamic(headers: &mut HeaderMap) {
    headers.remove(CMSD_DYNAMIC);
}
