//! A segment: one file of records in the order in which they came, and the room that all of them share.
//!
//! ```text
//! first block   magic, version, number, nonce, crc
//! records       region and body, one behind the other
//! cards         what is known of each record, once the segment is full; padded
//! last block    magic, nonce, where the cards are, how long, crc
//! ```
//!
//! A segment without its last block was cut short: it is read record by record at the next start.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::disk::{ALIGNMENT, File};

use super::codec::{Decoder, Encoder};
use super::record::Card;

const MAGIC: u64 = u64::from_le_bytes(*b"WeirSeg1");
const END_MAGIC: u64 = u64::from_le_bytes(*b"WeirEnd1");

/// Octets of the first block and of the last.
pub(super) const EDGE: u64 = ALIGNMENT as u64;

/// The room on disk: what all files take is below its limit at every moment.
pub(super) struct Space {
    used: AtomicU64,
    limit: u64,
}

impl Space {
    pub fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self { used: AtomicU64::new(0), limit })
    }

    pub fn limit(&self) -> u64 {
        self.limit
    }

    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Takes `bytes` where `beside` more would fit too.
    pub fn try_take(&self, bytes: u64, beside: u64) -> bool {
        let fits = |used: u64| Some(used + bytes).filter(|used| used + beside <= self.limit);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
    }

    /// Takes `bytes` that are there already, or that must be written whatever the limit says.
    pub fn take(&self, bytes: u64) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    pub fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// One file. Its room is given back when the last who reads it has gone.
pub(super) struct Segment {
    pub number: u64,
    pub nonce: u64,
    pub file: File,
    pub path: PathBuf,
    pub space: Arc<Space>,
    bytes: AtomicU64,
}

impl Segment {
    /// Whose `bytes` have been taken from `space`.
    pub fn new((number, nonce): (u64, u64), file: File, path: PathBuf, (space, bytes): (Arc<Space>, u64)) -> Arc<Self> {
        Arc::new(Self { number, nonce, file, path, space, bytes: AtomicU64::new(bytes) })
    }

    /// `bytes` more have been taken from the space for it.
    pub fn grow(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        self.space.give_back(*self.bytes.get_mut());
    }
}

/// The name of a segment's file.
pub(super) fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:016x}.segment"))
}

/// The number that a file's name says; `None` where it is no segment's.
pub(super) fn number(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?.strip_suffix(".segment")?;
    (name.len() == 16).then(|| u64::from_str_radix(name, 16).ok())?
}

/// The first block.
pub(super) fn first_block(number: u64, nonce: u64) -> Vec<u8> {
    let mut block = Encoder::default();
    block.u64(MAGIC);
    block.u64(number);
    block.u64(nonce);
    padded(block)
}

/// The nonce of the segment of that number which begins with `block`.
pub(super) fn nonce_of(block: &[u8], number: u64) -> Option<u64> {
    let mut block = checked(block)?;
    (block.u64()? == MAGIC && block.u64()? == number).then(|| block.u64())?
}

/// A record as the cards at the end of a segment tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Filed {
    pub card: Card,
    pub offset: u64,
    /// Octets of its region.
    pub region: u32,
}

/// What goes behind the records of a full segment, which end at `offset`: the cards, and the last block.
pub(super) fn ending(nonce: u64, offset: u64, filed: &[Filed]) -> Vec<u8> {
    let mut cards = Encoder::default();
    cards.u32(u32::try_from(filed.len()).expect("few records"));
    for record in filed {
        cards.u64(record.offset);
        cards.u32(record.region);
        record.card.write(&mut cards);
    }
    let length = cards.0.len();
    let crc = crc32fast::hash(&cards.0);
    cards.0.resize(length.next_multiple_of(ALIGNMENT), 0);
    let mut block = Encoder::default();
    block.u64(END_MAGIC);
    block.u64(nonce);
    block.u64(offset);
    block.u64(length as u64);
    block.u32(crc);
    cards.0.extend(padded(block));
    cards.0
}

/// Where the cards are that the last block tells of, how long they are, and their checksum.
pub(super) fn cards_at(block: &[u8], nonce: u64) -> Option<(u64, u64, u32)> {
    let mut block = checked(block)?;
    let is_end = block.u64()? == END_MAGIC && block.u64()? == nonce;
    is_end.then(|| Some((block.u64()?, block.u64()?, block.u32()?)))?
}

/// The records that `cards` tell of.
pub(super) fn filed_in(cards: &[u8], crc: u32) -> Option<Vec<Filed>> {
    if crc32fast::hash(cards) != crc {
        return None;
    }
    let mut cards = Decoder(cards);
    let count = cards.u32()?;
    let record = |_| Some(Filed { offset: cards.u64()?, region: cards.u32()?, card: Card::read(&mut cards)? });
    (0..count).map(record).collect()
}

/// A block with its checksum at the end.
fn padded(block: Encoder) -> Vec<u8> {
    let mut block = block.0;
    block.resize(ALIGNMENT - 4, 0);
    let crc = crc32fast::hash(&block);
    block.extend(crc.to_le_bytes());
    block
}

fn checked(block: &[u8]) -> Option<Decoder<'_>> {
    let (block, crc) = block.get(..ALIGNMENT)?.split_at(ALIGNMENT - 4);
    (crc32fast::hash(block).to_le_bytes() == crc).then_some(Decoder(block))
}
