//! One object as it lies in a segment: a region that says all about it, then its body in blocks.
//!
//! ```text
//! region   magic, version, lengths, number, nonce, place, crc of the region │ key, stream, tags, head, crc of each block
//!          … zeros to a multiple of 4 KiB
//! body     blocks of 64 KiB, the last one padded with zeros to a multiple of 4 KiB
//! ```
//!
//! The body is written first and the region last, so that a region that holds is a body that was written. It names the
//! segment and the place that it was written for: nothing that strayed there is believed. Each block is checked before
//! it is handed out.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::cache::object::ResponseHead;
use crate::clock::{Tick, WallTime};
use crate::disk::{ALIGNMENT, BUFFER};
use crate::rules::caching::freshness::{Lifetime, WRITTEN};
use crate::rules::caching::purge::Labels;
use crate::rules::caching::validator::Validators;
use crate::rules::caching::{Key, Variant};

use super::codec::{Decoder, Encoder};

const MAGIC: u32 = u32::from_le_bytes(*b"WRec");
const VERSION: u16 = 1;

/// Octets in front of the payload.
const PREFIX: usize = 64;

/// Where in the prefix the checksum stands.
const CRC_AT: usize = 60;

/// Octets of a block of a body.
pub(super) const BLOCK: usize = BUFFER;

/// What is known of an object without reading it: kept in memory, and in the index at the end of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Card {
    pub key: Key,
    /// The stream that it belongs to, if any.
    pub stream: Option<Box<str>>,
    /// Its tags, as numbers.
    pub tags: Box<[u64]>,
    pub variant: Variant,
    /// Its number: later ones were offered later.
    pub number: u64,
    /// When it was received, in seconds of the calendar.
    pub stored: u64,
    /// Octets of its body.
    pub length: u64,
}

/// When a record was written, by the clocks of the process that wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    /// Which process.
    pub incarnation: u64,
    pub tick: Tick,
    pub wall: WallTime,
}

/// Where a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The nonce of its segment.
    pub nonce: u64,
    pub offset: u64,
}

/// How old records are for this process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ages {
    pub incarnation: u64,
    /// When this process began to use the disk, by both clocks; no earlier than anything that was written before.
    pub began: Moment,
}

impl Card {
    /// As octets, behind what `out` has.
    pub fn write(&self, out: &mut Encoder) {
        out.u64(self.number);
        out.u64(self.stored);
        out.u64(self.length);
        out.octets(self.key.as_str().as_bytes());
        out.u8(u8::from(self.stream.is_some()));
        out.octets(self.stream.as_deref().unwrap_or_default().as_bytes());
        out.u16(u16::try_from(self.tags.len()).unwrap_or(u16::MAX));
        self.tags.iter().take(usize::from(u16::MAX)).for_each(|tag| out.u64(*tag));
        self.variant.write(&mut out.0);
    }

    pub fn read(octets: &mut Decoder<'_>) -> Option<Self> {
        let (number, stored, length) = (octets.u64()?, octets.u64()?, octets.u64()?);
        let key = Key::written(octets.text()?);
        let has_stream = octets.u8()? == 1;
        let stream = octets.text()?;
        let tags = octets.u16()?;
        let tags = (0..tags).map(|_| octets.u64()).collect::<Option<_>>()?;
        let variant = Variant::read(&mut octets.0)?;
        Some(Self { key, stream: has_stream.then(|| stream.into()), tags, variant, number, stored, length })
    }

    /// What it is known by, where something is to be purged.
    pub fn labels(&self) -> Labels<'_> {
        Labels { key: &self.key, stream: self.stream.as_deref(), tags: &self.tags, stored: self.stored }
    }

    /// Blocks of its body.
    pub fn blocks(&self) -> u64 {
        self.length.div_ceil(BLOCK as u64)
    }

    /// Octets that its body takes in a segment.
    pub fn padded(&self) -> u64 {
        self.length.next_multiple_of(ALIGNMENT as u64)
    }
}

/// All of a record but its body.
pub(super) struct Region {
    pub card: Card,
    pub head: ResponseHead,
    /// The checksum of each block.
    pub table: Vec<u32>,
}

/// A region to be written: without the checksums of its blocks, whose room is kept.
pub(super) struct Draft {
    octets: Vec<u8>,
    table_at: usize,
}

impl Draft {
    /// `None` where it would be longer than a region may be.
    pub fn of(card: &Card, head: &ResponseHead, now: Moment) -> Option<Self> {
        let mut out = Encoder(vec![0; PREFIX]);
        card.write(&mut out);
        let received = now.wall.since_epoch().saturating_sub(now.tick.since(head.lifetime.responded()));
        out.u64(now.incarnation);
        out.u64(nanos(now.tick.since_start()));
        out.u64(nanos(now.wall.since_epoch()));
        out.u64(nanos(head.lifetime.responded().since_start()));
        out.u64(nanos(head.lifetime.age(now.tick)));
        out.u64(nanos(received));
        out.0.extend(head.lifetime.write());
        out.u16(head.status.as_u16());
        out.u16(u16::try_from(head.headers.len()).ok()?);
        for (name, value) in &head.headers {
            out.octets(name.as_str().as_bytes());
            out.octets(value.as_bytes());
        }
        let table_at = out.0.len();
        let length = table_at as u64 + 4 * card.blocks();
        let length = usize::try_from(length).ok()?.next_multiple_of(ALIGNMENT);
        if length > BUFFER {
            return None;
        }
        out.0.resize(length, 0);
        Some(Self { octets: out.0, table_at })
    }

    /// Octets of the region.
    pub fn length(&self) -> usize {
        self.octets.len()
    }

    /// The region for its place, with the checksums of its blocks.
    pub fn finish(mut self, card: &Card, place: Place, table: &[u32]) -> Vec<u8> {
        for (room, crc) in self.octets[self.table_at..].chunks_mut(4).zip(table) {
            room.copy_from_slice(&crc.to_le_bytes());
        }
        let mut prefix = Encoder::default();
        prefix.u32(MAGIC);
        prefix.u16(VERSION);
        prefix.u16(0);
        prefix.u32(self.octets.len() as u32);
        prefix.u32(self.table_at as u32);
        prefix.u64(card.length);
        prefix.u64(place.nonce);
        prefix.u64(place.offset);
        prefix.u64(card.number);
        self.octets[..prefix.0.len()].copy_from_slice(&prefix.0);
        let crc = crc32fast::hash(&self.octets);
        self.octets[CRC_AT..PREFIX].copy_from_slice(&crc.to_le_bytes());
        self.octets
    }
}

/// The length of the region that begins with `octets`, at least a prefix of it; `None` where none does.
pub(super) fn region_length(octets: &[u8], place: Place) -> Option<usize> {
    let mut prefix = Decoder(octets.get(..PREFIX)?);
    let is_record = prefix.u32()? == MAGIC && prefix.u16()? == VERSION && prefix.u16()? == 0;
    let length = usize::try_from(prefix.u32()?).ok()?;
    let (_table_at, _body) = (prefix.u32()?, prefix.u64()?);
    let stands_here = prefix.u64()? == place.nonce && prefix.u64()? == place.offset;
    let fits = (ALIGNMENT..=BUFFER).contains(&length) && length.is_multiple_of(ALIGNMENT);
    (is_record && stands_here && fits).then_some(length)
}

/// A whole region that was written for `place`, checked; `None` where anything about it is not as it was written.
pub(super) fn card_of(octets: &[u8], place: Place) -> Option<Card> {
    let mut payload = checked(octets, place)?;
    Card::read(&mut payload)
}

/// As [`card_of`], with its head as it is for this process, and its table.
pub(super) fn region_of(octets: &[u8], place: Place, ages: &Ages) -> Option<Region> {
    let mut payload = checked(octets, place)?;
    let card = Card::read(&mut payload)?;
    let written = Moment {
        incarnation: payload.u64()?,
        tick: Tick::at(Duration::from_nanos(payload.u64()?)),
        wall: WallTime::at(Duration::from_nanos(payload.u64()?)),
    };
    let responded = Tick::at(Duration::from_nanos(payload.u64()?));
    let age = Duration::from_nanos(payload.u64()?);
    let received = WallTime::at(Duration::from_nanos(payload.u64()?));
    let (responded, initial_age) = ages.of(&written, responded, age);
    let lifetime = Lifetime::read(payload.take(WRITTEN)?, responded, initial_age)?;
    let status = StatusCode::from_u16(payload.u16()?).ok()?;
    let fields = payload.u16()?;
    let mut headers = HeaderMap::new();
    for _ in 0..fields {
        let name = HeaderName::from_bytes(payload.octets()?).ok()?;
        headers.try_append(name, HeaderValue::from_bytes(payload.octets()?).ok()?).ok()?;
    }
    let table = (0..card.blocks()).map(|_| payload.u32()).collect::<Option<_>>()?;
    let validators = Validators::of(&headers, received);
    let head = ResponseHead { status, headers, lifetime, validators, variant: card.variant.clone() };
    Some(Region { card, head, table })
}

/// The payload of a region whose checksum holds.
fn checked(octets: &[u8], place: Place) -> Option<Decoder<'_>> {
    let length = region_length(octets, place)?;
    let octets = octets.get(..length)?;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&octets[..CRC_AT]);
    hasher.update(&[0; 4]);
    hasher.update(&octets[PREFIX..]);
    let holds = octets[CRC_AT..PREFIX] == hasher.finalize().to_le_bytes();
    holds.then_some(Decoder(&octets[PREFIX..]))
}

impl Ages {
    /// When a response counts as received in this process, and how old it was then. By the monotonic clock where this
    /// process wrote it; else by the calendar, and never younger than it was when it was written, even where the
    /// calendar was set back.
    fn of(&self, written: &Moment, responded: Tick, age: Duration) -> (Tick, Duration) {
        if written.incarnation == self.incarnation {
            return (responded, age.saturating_sub(written.tick.since(responded)));
        }
        let away = self.began.wall.since_epoch().saturating_sub(written.wall.since_epoch());
        // As if received before all else in this process: what a name stood for then may have changed.
        let since = self.began.tick.since(Tick::default());
        (Tick::default(), age.saturating_add(away).saturating_sub(since))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
