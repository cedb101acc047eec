//! What the connections of one worker did. One set per worker; a reader adds the sets up.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::transport::head::BadRequest;

/// A deadline that a connection may miss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// The TLS handshake.
    Handshake,
    /// The first byte after accept, or after the handshake.
    FirstByte,
    /// A whole request head.
    Head,
    /// The next request.
    Idle,
    /// A write during which the viewer took nothing.
    Write,
    /// A request body of which nothing came.
    Upload,
}

/// The protocol a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoken {
    /// HTTP/1.0 or 1.1
    H1,
    /// HTTP/2
    H2,
}

impl Deadline {
    /// All of them, in the order of [`Snapshot::deadlines`].
    pub const ALL: [Self; 6] = [Self::Handshake, Self::FirstByte, Self::Head, Self::Idle, Self::Write, Self::Upload];

    /// The name in metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::FirstByte => "first-byte",
            Self::Head => "head",
            Self::Idle => "idle",
            Self::Write => "write",
            Self::Upload => "upload",
        }
    }
}

/// Counters of one worker's connections.
#[derive(Debug, Default)]
pub struct Counters {
    pub(super) accepted: AtomicU64,
    pub(super) accept_errors: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) handshakes: AtomicU64,
    pub(super) handshakes_failed: AtomicU64,
    pub(super) proxy_malformed: AtomicU64,
    pub(super) gone: AtomicU64,
    pub(super) abusive: AtomicU64,
    open: [AtomicU64; 2],
    deadlines: [AtomicU64; Deadline::ALL.len()],
    bad_requests: [AtomicU64; BadRequest::WORDS.len()],
}

/// A reading of [`Counters`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Connections accepted.
    pub accepted: u64,
    /// Failures of accept itself (no descriptors left, for one).
    pub accept_errors: u64,
    /// Connections closed at once because there was no place.
    pub refused: u64,
    /// TLS handshakes that succeeded.
    pub handshakes: u64,
    /// TLS handshakes that failed.
    pub handshakes_failed: u64,
    /// Connections that should have begun with a PROXY protocol header and did not.
    pub proxy_malformed: u64,
    /// Viewers that left while their request was waiting.
    pub gone: u64,
    /// HTTP/2 connections closed because their viewer opened streams only to cancel them.
    pub abusive: u64,
    /// Open HTTP/1.x connections.
    pub open_h1: u64,
    /// Open HTTP/2 connections.
    pub open_h2: u64,
    /// Missed deadlines, in the order of [`Deadline::ALL`].
    pub deadlines: [u64; Deadline::ALL.len()],
    /// Bad requests, in the order of [`BadRequest::WORDS`].
    pub bad_requests: [u64; BadRequest::WORDS.len()],
}

/// An open connection; dropping it counts it out.
pub(super) struct Open<'a>(&'a AtomicU64);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Counters {
    /// A reading.
    pub fn snapshot(&self) -> Snapshot {
        let read = |counter: &AtomicU64| counter.load(Relaxed);
        Snapshot {
            accepted: read(&self.accepted),
            accept_errors: read(&self.accept_errors),
            refused: read(&self.refused),
            handshakes: read(&self.handshakes),
            handshakes_failed: read(&self.handshakes_failed),
            proxy_malformed: read(&self.proxy_malformed),
            gone: read(&self.gone),
            abusive: read(&self.abusive),
            open_h1: read(&self.open[Spoken::H1 as usize]),
            open_h2: read(&self.open[Spoken::H2 as usize]),
            deadlines: self.deadlines.each_ref().map(read),
            bad_requests: self.bad_requests.each_ref().map(read),
        }
    }

    pub(super) fn open(&self, spoken: Spoken) -> Open<'_> {
        let counter = &self.open[spoken as usize];
        counter.fetch_add(1, Relaxed);
        Open(counter)
    }

    pub(super) fn missed(&self, deadline: Deadline) {
        self.deadlines[deadline as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn bad_request(&self, bad: BadRequest) {
        self.bad_requests[bad.index()].fetch_add(1, Relaxed);
    }
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}
