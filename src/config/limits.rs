//! Bounds of everything that could grow, with the defaults of a live edge.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::file::{Section, Value, ms};
use super::finding::Complaint;
use super::value::{self, Rate};
use crate::rules::admission::prefix::Prefixes;

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
    /// How long a viewer waits for what another one's request brings.
    pub fill_wait: Duration,
    /// Handshakes in progress above which QUIC clients must validate their address (Retry).
    pub quic_retry_above: usize,
    /// Handshakes in progress above which new QUIC connections are refused.
    pub quic_handshakes: usize,
    /// Requests waiting for a connection or a place at one origin.
    pub origin_queue: usize,
    /// Playlists followed, or known, at once.
    pub followers: usize,
    /// Reloads held at once.
    pub held_reloads: usize,
    /// For how long a rendition is followed after its last viewer.
    pub follow_grace: Duration,
    /// Names of media that are remembered at once.
    pub media_names: usize,
    /// Sessions that are known at once.
    pub sessions: usize,
    /// Revocations that are in force at once.
    pub revocations: usize,
    /// For how long what is revoked stays so, where nothing says otherwise.
    pub revoked_for: Duration,
    /// Requests of one session.
    pub requests_per_session: Rate,
    /// Connections that one session uses; 0: no bound.
    pub connections_per_session: usize,
    /// Octets per second of bodies to one session; 0: no bound.
    pub session_rate: u64,
    /// Reloads of one session that are held at once; 0: no bound.
    pub held_per_session: usize,
    /// Requests of one address prefix.
    pub requests_per_prefix: Rate,
    /// Bits of an IPv4 address that stand for one household.
    pub ipv4_prefix: u8,
    /// Bits of an IPv6 address that stand for one household.
    pub ipv6_prefix: u8,
    /// Bad tokens of one address prefix in ten seconds; 0: no bound.
    pub bad_tokens: u32,
    /// Bodies of reports of one session; five times as many at once.
    pub beacons_per_session: Rate,
    /// Reports of one session; ten times as many at once.
    pub records_per_session: Rate,
    /// Sessions, and address prefixes, that are remembered at once by each of these limits.
    pub limit_table: usize,
}

impl Limits {
    /// What of an address stands for one household.
    pub const fn prefixes(&self) -> Prefixes {
        Prefixes { v4: self.ipv4_prefix, v6: self.ipv6_prefix }
    }
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
            fill_wait: Duration::from_secs(30),
            quic_retry_above: 512,
            quic_handshakes: 4_096,
            origin_queue: 10_000,
            followers: 4_096,
            held_reloads: 200_000,
            follow_grace: Duration::from_secs(30),
            media_names: 4_000_000,
            sessions: 200_000,
            revocations: 1_000_000,
            revoked_for: Duration::from_secs(7 * 86_400),
            requests_per_session: Rate::NONE,
            connections_per_session: 0,
            session_rate: 0,
            held_per_session: 8,
            requests_per_prefix: Rate::NONE,
            ipv4_prefix: 32,
            ipv6_prefix: 56,
            bad_tokens: 20,
            beacons_per_session: Rate { count: 20, per: Duration::from_secs(1) },
            records_per_session: Rate { count: 50, per: Duration::from_secs(1) },
            limit_table: 65_536,
        }
    }
}

const HOUR_MS: u64 = 3_600_000;

/// `[limits]`: each key is the name of its field.
pub(super) fn limits(section: Option<Section<'_>>) -> Limits {
    let mut limits = Limits::default();
    let Some(mut section) = section else { return limits };
    let s = &mut section;
    time(s, "handshake", &mut limits.handshake);
    time(s, "first_byte", &mut limits.first_byte);
    time(s, "head", &mut limits.head);
    time(s, "idle", &mut limits.idle);
    time(s, "quic_idle", &mut limits.quic_idle);
    time(s, "write_progress", &mut limits.write_progress);
    // hyper reads heads into a buffer of 8 KiB at least, and counts at most 65,535 fields.
    size(s, "head_size", 8 << 10..=1 << 20, &mut limits.head_size);
    count(s, "head_fields", 16..=10_000, &mut limits.head_fields);
    count(s, "h2_streams", 1..=10_000, &mut limits.h2_streams);
    count(s, "h3_streams", 1..=10_000, &mut limits.h3_streams);
    size(s, "h2_send_buffer", 16 << 10..=64 << 20, &mut limits.h2_send_buffer);
    size(s, "quic_send_window", 64 << 10..=1 << 30, &mut limits.quic_send_window);
    // RFC 9113 §6.9.2: a window of a stream is 65,535 octets by default and 2^31-1 at most.
    size(s, "stream_window", 64 << 10..=1 << 30, &mut limits.stream_window);
    size(s, "connection_window", 64 << 10..=1 << 30, &mut limits.connection_window);
    count(s, "connections", 1..=10_000_000, &mut limits.connections);
    count(s, "connections_per_prefix", 0..=10_000_000, &mut limits.connections_per_prefix);
    time(s, "connection_age", &mut limits.connection_age);
    count(s, "fills", 1..=1_000_000, &mut limits.fills);
    count(s, "fill_readers", 1..=10_000_000, &mut limits.fill_readers);
    time(s, "fill_wait", &mut limits.fill_wait);
    count(s, "quic_retry_above", 0..=1_000_000, &mut limits.quic_retry_above);
    count(s, "quic_handshakes", 1..=1_000_000, &mut limits.quic_handshakes);
    count(s, "origin_queue", 1..=1_000_000, &mut limits.origin_queue);
    count(s, "followers", 1..=1_000_000, &mut limits.followers);
    count(s, "held_reloads", 1..=10_000_000, &mut limits.held_reloads);
    time(s, "follow_grace", &mut limits.follow_grace);
    count(s, "media_names", 1_000..=100_000_000, &mut limits.media_names);
    count(s, "sessions", 1..=10_000_000, &mut limits.sessions);
    count(s, "revocations", 1..=100_000_000, &mut limits.revocations);
    time(s, "revoked_for", &mut limits.revoked_for);
    of_sessions(s, &mut limits);
    section.finish();
    limits
}

/// The keys that say how much a session, or an address, may ask for.
fn of_sessions(s: &mut Section<'_>, limits: &mut Limits) {
    rate(s, "requests_per_session", &mut limits.requests_per_session);
    count(s, "connections_per_session", 0..=16, &mut limits.connections_per_session);
    if let Some(value) = s.value("session_rate") {
        limits.session_rate = speed(&value).unwrap_or(limits.session_rate);
    }
    count(s, "held_per_session", 0..=10_000, &mut limits.held_per_session);
    rate(s, "requests_per_prefix", &mut limits.requests_per_prefix);
    count(s, "ipv4_prefix", 8..=32, &mut limits.ipv4_prefix);
    count(s, "ipv6_prefix", 16..=128, &mut limits.ipv6_prefix);
    count(s, "bad_tokens", 0..=200, &mut limits.bad_tokens);
    rate(s, "beacons_per_session", &mut limits.beacons_per_session);
    rate(s, "records_per_session", &mut limits.records_per_session);
    count(s, "limit_table", 1_024..=16_777_216, &mut limits.limit_table);
}

fn rate(section: &mut Section<'_>, key: &'static str, limit: &mut Rate) {
    let Some(value) = section.value(key) else { return };
    if let Some(text) = value.text() {
        match value::rate(text) {
            Ok(rate) => *limit = rate,
            Err(error) => value.bad("not a rate", error),
        }
    }
}

/// What a body's rate may be: less than an audio stream alone needs would hinder playback.
fn speed(value: &Value<'_>) -> Option<u64> {
    const LEAST: u64 = 64 << 10;
    let speed = value.measured("not a speed", value::speed, (0..=1 << 40, value::SPEEDS))?;
    if speed > 0 && speed < LEAST {
        let complaint = Complaint::new("no video plays at this rate").found(value.place.typed());
        value.place.refuse(complaint.accepted("\"64KiB/s\" and more; \"0B/s\" is no bound"));
        return None;
    }
    Some(speed)
}

fn time(section: &mut Section<'_>, key: &'static str, limit: &mut Duration) {
    let most = match key {
        "connection_age" => 24 * HOUR_MS,
        "revoked_for" => 3_650 * 24 * HOUR_MS,
        _ => HOUR_MS,
    };
    if let Some(time) = section.value(key).and_then(|value| value.time(ms(1..most))) {
        *limit = time;
    }
}

fn size<T: TryFrom<u64>>(section: &mut Section<'_>, key: &'static str, bounds: RangeInclusive<u64>, limit: &mut T) {
    let size = section.value(key).and_then(|value| value.size(bounds));
    if let Some(size) = size.and_then(|size| T::try_from(size).ok()) {
        *limit = size;
    }
}

fn count<T: TryFrom<u64>>(section: &mut Section<'_>, key: &'static str, bounds: RangeInclusive<u64>, limit: &mut T) {
    let count = section.value(key).and_then(|value| value.count(bounds));
    if let Some(count) = count.and_then(|count| T::try_from(count).ok()) {
        *limit = count;
    }
}
