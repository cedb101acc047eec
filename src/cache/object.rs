//! A complete response: head and chunks. Immutable; many readers share its chunks and copy none.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::clock::Tick;
use crate::rules::caching::Variant;
use crate::rules::caching::freshness::Lifetime;
use crate::rules::caching::validator::Validators;

use super::memory::{Charge, Kind, chunk_weight};

/// A response's head, as it was received, and when.
#[derive(Clone, Debug)]
pub struct ResponseHead {
    /// Its status.
    pub status: StatusCode,
    /// Its fields, without those of a connection.
    pub headers: HeaderMap,
    /// How long it lives and how old it is, worked out when it was received or validated.
    pub lifetime: Lifetime,
    /// What identifies it to those who have it already.
    pub validators: Validators,
    /// The requests that it was selected for.
    pub variant: Variant,
}

impl ResponseHead {
    /// The same in memory of its own. Fields as they were received are slices of what a connection read, and one of
    /// them keeps all of that: 8 KiB, and up to half a megabyte beside a body.
    pub(super) fn detached(self) -> Self {
        let mut octets = BytesMut::with_capacity(self.headers.values().map(HeaderValue::len).sum());
        let mut headers = HeaderMap::with_capacity(self.headers.len());
        for (name, value) in &self.headers {
            octets.extend_from_slice(value.as_bytes());
            let mut own =
                HeaderValue::from_maybe_shared(octets.split().freeze()).expect("what was a field's value is one still");
            own.set_sensitive(value.is_sensitive());
            headers.append(name.clone(), own);
        }
        Self { validators: self.validators.held_by(&headers), headers, ..self }
    }

    /// What it takes in memory, in bytes: an estimate on the high side.
    pub(super) fn weight(&self) -> u64 {
        const BASE: usize = 512;
        const FIELD: usize = 128;
        let fields = self.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + FIELD);
        (BASE + fields.sum::<usize>()) as u64
    }
}

/// A piece of a body and the offset of the octet behind it.
#[derive(Clone)]
pub(super) struct Piece {
    pub end: u64,
    pub octets: Bytes,
}

/// A complete response.
pub struct Object {
    /// Its head.
    pub head: Arc<ResponseHead>,
    pieces: Arc<[Piece]>,
    charge: Charge,
}

impl Object {
    /// A response of `pieces` in order and without a gap; `charge` is what its head takes.
    pub(super) fn new(head: Arc<ResponseHead>, pieces: Arc<[Piece]>, charge: Charge) -> Arc<Self> {
        Arc::new(Self { head, pieces, charge })
    }

    /// The same body under a new head: what validation left of a stored response (RFC 9111 §4.3.4).
    pub fn with_head(&self, head: ResponseHead) -> Arc<Self> {
        let head = head.detached();
        let charge = self.charge.memory().charge(Kind::Heads, head.weight());
        Self::new(Arc::new(head), self.pieces.clone(), charge)
    }

    /// Whether its body is the very one of `other`: what a validation has confirmed.
    pub fn has_body_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.pieces, &other.pieces)
    }

    /// The same, stale from `at` on: a purge wants it validated.
    pub(super) fn outdated(&self, at: Tick) -> Arc<Self> {
        let mut head = ResponseHead::clone(&self.head);
        head.lifetime.outdate(at);
        self.with_head(head)
    }

    /// Octets of the body.
    pub fn length(&self) -> u64 {
        self.pieces.last().map_or(0, |piece| piece.end)
    }

    /// The octets of `range`, cut to those that exist, chunk by chunk and without a copy.
    pub fn reader(self: &Arc<Self>, range: Range<u64>) -> ObjectReader {
        let end = range.end.min(self.length());
        let next = self.pieces.partition_point(|piece| piece.end <= range.start);
        ObjectReader { object: self.clone(), next, range: range.start.min(end)..end }
    }

    /// What it takes in memory, in bytes.
    pub(super) fn weight(&self) -> u64 {
        let pieces = self.pieces.iter().map(|piece| chunk_weight(piece.octets.len() as u64));
        pieces.sum::<u64>() + self.charge.bytes()
    }
}

/// Reads a range of an object.
#[derive(Clone)]
pub struct ObjectReader {
    object: Arc<Object>,
    next: usize,
    range: Range<u64>,
}

impl ObjectReader {
    /// Octets still to come.
    pub fn remaining(&self) -> u64 {
        self.range.end - self.range.start
    }
}

impl Iterator for ObjectReader {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.range.is_empty() {
            return None;
        }
        let piece = self.object.pieces.get(self.next)?;
        let start = piece.end - piece.octets.len() as u64;
        let octets = slice(&piece.octets, start, self.range.clone());
        self.next += 1;
        self.range.start = piece.end.min(self.range.end);
        Some(octets)
    }
}

/// The part of `octets`, which start at offset `start`, that lies in `range`; `range` starts inside them.
pub(super) fn slice(octets: &Bytes, start: u64, range: Range<u64>) -> Bytes {
    let within = |offset: u64| usize::try_from(offset - start).unwrap_or(usize::MAX).min(octets.len());
    octets.slice(within(range.start)..within(range.end))
}
