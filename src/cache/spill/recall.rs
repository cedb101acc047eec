//! The way back: a fill that is fed from disk, so that everyone who asks meanwhile reads along, with back-pressure and
//! ranges, as if it came from the origin.
//!
//! What is fresh is streamed, each block checked before it is handed out. What is stale is brought to memory and looked
//! up again from there: it is then treated like all that is stale. Until the first octet has gone out a disk that fails
//! is no failure: the writer is handed back, and the origin is asked. After it the fill fails, and its readers are cut.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use http::HeaderMap;

use crate::cache::failure::{FillEnd, FillFailure};
use crate::cache::memory::{Kind, chunk, chunk_weight};
use crate::cache::object::{Object, Piece};
use crate::cache::parts::Parts;
use crate::cache::writer::{FillWriter, Kept, Sharing};
use crate::disk::{DiskError, Pending};
use crate::rules::caching::Freshness;

use super::Spill;
use super::index::{Found, Located};
use super::record::{self, BLOCK, Card, Place, Region};

/// Blocks that are asked for ahead of the one that is handed out.
const AHEAD: usize = 4;

/// What came from disk broke off: the rest cannot be read, or is not what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what the disk holds cannot be read to its end")]
pub struct BrokenOff;

/// Why a block cannot be handed out.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error("a checksum does not hold")]
    Damaged,
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// Whether the next block may be handed out.
enum Room {
    Is,
    Unwanted,
}

/// The blocks of a body, read ahead.
struct Blocks<'a> {
    spill: &'a Spill,
    located: &'a Located,
    table: &'a [u32],
    asked: VecDeque<(Pending<Vec<u8>>, usize)>,
    /// The next block that is asked for, and the next that is handed out.
    next: usize,
    given: usize,
}

impl FillWriter {
    /// Feeds the fill from disk, where something there fits requests with these fields; else the writer comes back, for
    /// whoever asks the origin.
    pub async fn from_disk(self, request: &HeaderMap) -> Option<Self> {
        let fill = self.fill().clone();
        let Some(spill) = &fill.parts.spill else { return Some(self) };
        if !spill.health.reads(spill.clock.now()) {
            return Some(self);
        }
        // Under the lock of the index: what is not passed over there has not been taken out either.
        let pass_over = |card: &Card| fill.parts.purges.pass_over(&card.labels());
        let found = spill.index.lock().find(&fill.key, request, pass_over);
        match found {
            None => Some(self),
            Some(Found::Waiting(object)) => {
                if self.judge(&object.head, spill.clock.now()) == Freshness::Unusable {
                    return Some(self);
                }
                self.look_anew(&object);
                None
            }
            Some(Found::OnDisk(located)) => spill.bring(&located, self).await,
        }
    }

    /// What was on its way to the disk, or is stale, is in memory now: everyone who waits looks there.
    fn look_anew(self, object: &Arc<Object>) {
        let fill = self.fill().clone();
        fill.parts.store.insert(&fill.key, object, (&fill.withdrawn, None));
        self.end(FillEnd::Gone);
    }
}

impl Spill {
    async fn bring(&self, located: &Located, writer: FillWriter) -> Option<FillWriter> {
        let region = match self.region(located).await {
            Ok(region) => region,
            Err(error) => {
                self.unreadable(located, &error);
                return Some(writer);
            }
        };
        match writer.judge(&region.head, self.clock.now()) {
            Freshness::Fresh { .. } => self.stream(located, region, writer).await,
            Freshness::Stale { .. } => self.load(located, region, writer).await,
            Freshness::Unusable => Some(writer),
        }
    }

    async fn region(&self, located: &Located) -> Result<Region, Unreadable> {
        let length = usize::try_from(located.region).expect("at most a buffer");
        let octets = self.timed(self.engine.read(&located.segment.file, located.offset, length)).await?;
        let place = Place { nonce: located.segment.nonce, offset: located.offset };
        let region = record::region_of(&octets, place, &self.ages).ok_or(Unreadable::Damaged)?;
        if region.card != *located.card {
            return Err(Unreadable::Damaged);
        }
        Ok(region)
    }

    async fn timed(&self, read: Pending<Vec<u8>>) -> Result<Vec<u8>, DiskError> {
        let began = self.clock.now();
        let octets = read.await?;
        self.figures.took(self.clock.now().since(began));
        self.figures.read_bytes.add(octets.len() as u64);
        self.health.read_worked();
        Ok(octets)
    }

    /// What cannot be read is not looked for again; where the disk does not answer, it is left alone for a while.
    fn unreadable(&self, located: &Located, why: &Unreadable) {
        match why {
            Unreadable::Damaged => {
                self.figures.damaged.add(1);
                tracing::warn!(key = %located.card.key, "an object on disk is damaged and was dropped");
                self.drop_record(located);
            }
            Unreadable::Disk(error) => {
                self.figures.errors.add(1);
                let is_silent = matches!(error, DiskError::TimedOut | DiskError::Ended);
                if is_silent && self.health.read_failed(self.clock.now()) {
                    tracing::warn!(%error, "the disk does not answer: the origin is asked instead for now");
                }
                if let DiskError::System(error) = error {
                    tracing::warn!(%error, key = %located.card.key, "an object on disk cannot be read and was dropped");
                    self.drop_record(located);
                }
            }
        }
    }

    fn drop_record(&self, located: &Located) {
        if self.index.lock().drop_record(&located.card) {
            self.bury_soon(&[located.card.number]);
        }
    }

    /// Streams a fresh object.
    async fn stream(&self, located: &Located, region: Region, mut writer: FillWriter) -> Option<FillWriter> {
        let Region { card, head, table } = region;
        let mut blocks = Blocks::new(self, located, &table);
        let first = match blocks.next().await {
            Ok(first) => first,
            Err(error) => {
                self.unreadable(located, &error);
                return Some(writer);
            }
        };
        self.figures.reads.add(1);
        writer.comes_from_disk(if card.length <= self.bounds.promoted { Kept::Yes } else { Kept::No });
        if writer.head(head, Some(card.length), Sharing::Shared { store: true }).is_err() {
            return None;
        }
        if let Some(head) = writer.arrived_head() {
            self.index.lock().promoted(located, head);
        }
        let mut octets = first;
        while let Some(block) = octets {
            if let Room::Unwanted = room(&mut writer).await {
                match writer.give_up() {
                    Ok(()) => return None,
                    // Somebody came in the same moment.
                    Err(kept) => writer = *kept,
                }
            }
            if writer.push(block).is_err() {
                return None;
            }
            octets = match blocks.next().await {
                Ok(octets) => octets,
                Err(error) => {
                    self.unreadable(located, &error);
                    writer.fail(FillFailure::new(BrokenOff));
                    return None;
                }
            };
        }
        writer.complete();
        None
    }

    /// Brings a stale object to memory, where there is room for it.
    async fn load(&self, located: &Located, region: Region, writer: FillWriter) -> Option<FillWriter> {
        let Region { card, head, table } = region;
        let parts: Arc<Parts> = writer.fill().parts.clone();
        let blocks = Blocks::new(self, located, &table);
        let pieces = match self.pieces(&parts, blocks).await {
            Ok(Some(pieces)) => pieces,
            Ok(None) => return Some(writer),
            Err(error) => {
                self.unreadable(located, &error);
                return Some(writer);
            }
        };
        let Some(charge) = parts.reserve(Kind::Heads, head.weight()) else { return Some(writer) };
        debug_assert_eq!(pieces.last().map_or(0, |piece| piece.end), card.length);
        self.figures.reads.add(1);
        let object = Object::new(Arc::new(head), pieces.into(), charge);
        self.index.lock().promoted(located, &object.head);
        writer.look_anew(&object);
        None
    }

    /// All of a body in memory; `None` where memory has no room for it.
    async fn pieces(&self, parts: &Parts, mut blocks: Blocks<'_>) -> Result<Option<Vec<Piece>>, Unreadable> {
        let mut pieces: Vec<Piece> = Vec::new();
        while let Some(block) = blocks.next().await? {
            let bytes = block.len() as u64;
            let Some(charge) = parts.reserve(Kind::Bodies, chunk_weight(bytes)) else { return Ok(None) };
            let end = pieces.last().map_or(0, |piece| piece.end) + bytes;
            pieces.push(Piece { end, octets: chunk(block[..].into(), charge) });
        }
        Ok(Some(pieces))
    }
}

/// Ready where the writer takes more, or nobody wants it.
async fn room(writer: &mut FillWriter) -> Room {
    poll_fn(|cx| {
        let is_unread = writer.poll_unwanted(cx).is_ready();
        // What will be stored is worth having for the next who asks.
        if is_unread && !writer.should_finish() && !writer.will_be_stored() {
            return Poll::Ready(Room::Unwanted);
        }
        writer.poll_ready(cx).map(|()| Room::Is)
    })
    .await
}

impl<'a> Blocks<'a> {
    fn new(spill: &'a Spill, located: &'a Located, table: &'a [u32]) -> Self {
        Self { spill, located, table, asked: VecDeque::new(), next: 0, given: 0 }
    }

    /// The next block, checked; `None` behind the last.
    async fn next(&mut self) -> Result<Option<Bytes>, Unreadable> {
        let spill = self.spill;
        while self.next < self.table.len() && self.asked.len() < AHEAD {
            let (offset, length) = self.place(self.next);
            let padded = length.next_multiple_of(crate::disk::ALIGNMENT);
            self.asked.push_back((spill.engine.read(&self.located.segment.file, offset, padded), length));
            self.next += 1;
        }
        let Some((read, length)) = self.asked.pop_front() else { return Ok(None) };
        let mut octets = spill.timed(read).await?;
        octets.truncate(length);
        if octets.len() < length || crc32fast::hash(&octets) != self.table[self.given] {
            return Err(Unreadable::Damaged);
        }
        self.given += 1;
        Ok(Some(octets.into()))
    }

    /// Where a block stands, and how many octets it has.
    fn place(&self, block: usize) -> (u64, usize) {
        let start = block as u64 * BLOCK as u64;
        let length = (self.located.card.length - start).min(BLOCK as u64);
        let offset = self.located.offset + u64::from(self.located.region) + start;
        (offset, usize::try_from(length).expect("at most a block"))
    }
}
