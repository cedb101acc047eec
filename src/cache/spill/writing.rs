//! The one who writes: takes what was offered, one object after the other, and appends it to the newest segment. Room is
//! taken before anything is written, the oldest segments go for it. Where the disk fails, writing pauses, and what is
//! offered meanwhile is let go.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::disk::{BUFFER, DiskError, OpenHow};

use super::index::Offer;
use super::record::{BLOCK, Draft, Moment, Place};
use super::segment::{self, EDGE, Filed, Segment};
use super::{Spill, random};

/// Writes under way at once.
const AHEAD: usize = 8;

/// Segments that one object may drive out.
const MOST_RECLAIMED: usize = 8;

/// The segment that is written.
struct Active {
    segment: Arc<Segment>,
    /// Where the next record begins.
    end: u64,
    filed: Vec<Filed>,
    /// What its cards will take.
    cards: u64,
}

/// Why an object was not written.
#[derive(Debug, thiserror::Error)]
enum NotWritten {
    #[error("its head is too long")]
    HeadTooLong,
    #[error("all room is taken by what is being read")]
    NoRoom,
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// The writer's own.
#[derive(Default)]
pub(super) struct Log {
    active: Option<Active>,
    /// Out of the index, and still in the folder.
    doomed: Vec<Arc<Segment>>,
}

impl Spill {
    /// Writes what is offered, for ever: a task of its own.
    pub async fn write(self: Arc<Self>) {
        let mut log = Log::default();
        loop {
            let woken = self.wake.notified();
            if !self.write_next(&mut log).await {
                woken.await;
            }
        }
    }

    /// Writes one object; `false` where there is none.
    pub(super) async fn write_next(&self, log: &mut Log) -> bool {
        let Some(offer) = self.index.lock().next() else { return false };
        let place = match self.health.writes(self.clock.now()) {
            true => self.append(log, &offer).await,
            false => {
                self.figures.paused.add(1);
                self.index.lock().settle(&offer, None);
                return true;
            }
        };
        match place {
            Ok(place) => {
                self.figures.writes.add(1);
                self.health.write_worked();
                self.index.lock().settle(&offer, Some(place));
            }
            Err(error) => {
                self.not_written(log, error);
                self.index.lock().settle(&offer, None);
            }
        }
        let oldest = self.index.lock().oldest();
        if let Err(error) = self.removed.tidy(oldest).await {
            self.write_failed(&error);
        }
        true
    }

    fn not_written(&self, log: &mut Log, error: NotWritten) {
        match error {
            NotWritten::HeadTooLong => self.figures.unfit.add(1),
            NotWritten::NoRoom => self.figures.no_room.add(1),
            NotWritten::Disk(error) => {
                // What stands in the segment is whole; behind it there may be anything.
                log.active = None;
                self.write_failed(&error);
            }
        }
    }

    fn write_failed(&self, error: &DiskError) {
        self.figures.errors.add(1);
        if self.health.write_failed(self.clock.now()) {
            let cause = if error.is_full_disk() { "the disk is full" } else { "the disk cannot be written" };
            tracing::warn!(%error, cause, "what memory lets go of is not kept on disk for now");
        }
    }

    async fn append(&self, log: &mut Log, offer: &Arc<Offer>) -> Result<(Arc<Segment>, u64, u32), NotWritten> {
        let card = &offer.card;
        let now = Moment { incarnation: self.ages.incarnation, tick: self.clock.now(), wall: self.clock.wall() };
        let draft = Draft::of(card, &offer.object.head, now).ok_or(NotWritten::HeadTooLong)?;
        let region = draft.length() as u64;
        let bytes = region + card.padded();
        self.make_ready(log, bytes).await?;
        let active = log.active.as_mut().expect("made ready");
        active.segment.grow(bytes);
        let place = Place { nonce: active.segment.nonce, offset: active.end };
        let table = self.write_body(active, region, offer).await?;
        let octets = draft.finish(card, place, &table);
        self.engine.write(&active.segment.file, place.offset, octets.into()).await?;
        self.figures.written_bytes.add(bytes);
        active.end += bytes;
        active.cards += card_weight(offer);
        let region = region as u32;
        active.filed.push(Filed { card: card.clone(), offset: place.offset, region });
        Ok((active.segment.clone(), place.offset, region))
    }

    /// Writes the blocks of a body; the checksum of each.
    async fn write_body(&self, active: &Active, region: u64, offer: &Offer) -> Result<Vec<u32>, DiskError> {
        let mut table = Vec::new();
        let mut under_way = VecDeque::new();
        let mut offset = active.end + region;
        let mut reader = offer.object.reader(0..offer.card.length);
        let mut block = Vec::with_capacity(BLOCK);
        loop {
            let piece = reader.next();
            let is_last = piece.is_none();
            let mut piece = piece.unwrap_or_default();
            loop {
                let more = piece.split_to(piece.len().min(BLOCK - block.len()));
                block.extend_from_slice(&more);
                if block.len() < BLOCK && (!is_last || block.is_empty()) {
                    break;
                }
                table.push(crc32fast::hash(&block));
                block.resize(block.len().next_multiple_of(EDGE as usize), 0);
                let octets = Bytes::from(std::mem::replace(&mut block, Vec::with_capacity(BLOCK)));
                let length = octets.len() as u64;
                under_way.push_back(self.engine.write(&active.segment.file, offset, octets));
                offset += length;
                if under_way.len() >= AHEAD {
                    under_way.pop_front().expect("not empty").await?;
                }
            }
            if is_last {
                break;
            }
        }
        for write in under_way {
            write.await?;
        }
        Ok(table)
    }

    /// Sees to it that the active segment has room for a record of `bytes`, and that they are taken from the space.
    async fn make_ready(&self, log: &mut Log, bytes: u64) -> Result<(), NotWritten> {
        if let Some(active) = &log.active {
            let is_gone = !self.index.lock().is_shelved(active.segment.number);
            let is_full = active.end > EDGE && active.end + bytes > self.bounds.segment;
            if is_gone {
                log.active = None;
            } else if is_full {
                self.seal(log).await?;
            }
        }
        let cards = log.active.as_ref().map_or(0, |active| active.cards) + 4 * EDGE + BUFFER as u64;
        let first = if log.active.is_none() { EDGE } else { 0 };
        self.make_room(log, (first + bytes, cards)).await?;
        if log.active.is_none()
            && let Err(error) = self.begin(log).await
        {
            self.space.give_back(first + bytes);
            return Err(error.into());
        }
        Ok(())
    }

    /// Takes `bytes` from the space, with room for what ends the segment, in place of the oldest segments.
    async fn make_room(&self, log: &mut Log, (bytes, beside): (u64, u64)) -> Result<(), NotWritten> {
        let active = log.active.as_ref().map(|active| active.segment.number);
        for _ in 0..MOST_RECLAIMED {
            self.unlink_doomed(log).await?;
            let has_room = self.index.lock().weight <= self.bounds.index;
            if has_room && self.space.try_take(bytes, beside) {
                return Ok(());
            }
            let oldest = self.index.lock().reclaim(active);
            let Some(oldest) = oldest else { break };
            self.figures.reclaimed.add(1);
            log.doomed.push(oldest);
        }
        self.unlink_doomed(log).await?;
        if self.space.try_take(bytes, beside) { Ok(()) } else { Err(NotWritten::NoRoom) }
    }

    async fn unlink_doomed(&self, log: &mut Log) -> Result<(), DiskError> {
        while let Some(segment) = log.doomed.last() {
            match self.engine.unlink(segment.path.clone()).await {
                Err(DiskError::System(error)) if error.kind() == std::io::ErrorKind::NotFound => {}
                unlinked => unlinked?,
            }
            log.doomed.pop();
        }
        Ok(())
    }

    /// Begins a segment; the room for its first block has been taken.
    async fn begin(&self, log: &mut Log) -> Result<(), DiskError> {
        let number = self.index.lock().next_number();
        let (nonce, path) = (random(), segment::path(&self.folder, number));
        let file = self.engine.open(path.clone(), OpenHow::New).await?.ok_or(DiskError::Ended)?;
        if let Err(error) = self.engine.write(&file, 0, segment::first_block(number, nonce).into()).await {
            // Its room is not taken: at the next start at the latest it goes.
            drop(self.engine.unlink(path));
            return Err(error);
        }
        let segment = Segment::new((number, nonce), file, path, (self.space.clone(), EDGE));
        self.index.lock().shelve(&segment);
        log.active = Some(Active { segment, end: EDGE, filed: Vec::new(), cards: 0 });
        Ok(())
    }

    /// Writes what ends the active segment, whose room was left for it.
    async fn seal(&self, log: &mut Log) -> Result<(), DiskError> {
        let Some(active) = log.active.take() else { return Ok(()) };
        let ending = Bytes::from(segment::ending(active.segment.nonce, active.end, &active.filed));
        self.space.take(ending.len() as u64);
        active.segment.grow(ending.len() as u64);
        let mut offset = active.end;
        for block in ending.chunks(BUFFER) {
            self.engine.write(&active.segment.file, offset, ending.slice_ref(block)).await?;
            offset += block.len() as u64;
        }
        self.engine.sync(&active.segment.file).await
    }
}

/// What its card takes at the end of a segment, and a little more.
fn card_weight(offer: &Offer) -> u64 {
    let card = &offer.card;
    let mut octets = super::codec::Encoder::default();
    card.write(&mut octets);
    octets.0.len() as u64 + 12
}
