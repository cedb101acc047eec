//! Long playlists in blocks: runs of segments whose edges are media sequence numbers, so that a block stays the same
//! while the window slides over it. Its text is joined once and compressed once, and versions share it through a
//! `Shelf`. Segments before the first and behind the last whole block are written anew in each version.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use parking_lot::Mutex;

use super::gzip::Piece;
use crate::rules::hls::MediaPlaylist;
use crate::rules::hls::playlist::Segment;

/// Segments of a block.
pub const SEGMENTS: u64 = 64;

/// Shorter playlists have no blocks: one piece is smaller than several, and quickly made.
const SHORT: usize = 2 * SEGMENTS as usize;

/// A run of segments.
pub struct Block {
    segments: Box<[Arc<Segment>]>,
    text: OnceLock<Bytes>,
    piece: OnceLock<Piece>,
}

impl Block {
    fn new(segments: &[Arc<Segment>]) -> Arc<Self> {
        Arc::new(Self { segments: segments.into(), text: OnceLock::new(), piece: OnceLock::new() })
    }

    fn is(&self, segments: &[Arc<Segment>]) -> bool {
        let same = |(one, other): (&Arc<Segment>, &Arc<Segment>)| Arc::ptr_eq(one, other) || one.text == other.text;
        self.segments.len() == segments.len() && self.segments.iter().zip(segments).all(same)
    }

    /// Its text.
    pub fn text(&self) -> &Bytes {
        self.text.get_or_init(|| texts(&self.segments).collect::<String>().into())
    }

    /// Its text, compressed.
    pub fn piece(&self) -> &Piece {
        self.piece.get_or_init(|| Piece::of(texts(&self.segments)))
    }
}

/// What segments say, one after the other.
pub fn texts(segments: &[Arc<Segment>]) -> impl DoubleEndedIterator<Item = &str> {
    segments.iter().map(|segment| &*segment.text)
}

/// The blocks that the last versions of one playlist are made of.
#[derive(Default)]
pub struct Shelf(Mutex<BTreeMap<u64, Arc<Block>>>);

/// A playlist's segments as they are written.
pub struct Cut {
    /// Segments before the first block.
    pub front: Range<usize>,
    /// Whole blocks.
    pub blocks: Vec<Arc<Block>>,
    /// Segments behind the last block.
    pub back: Range<usize>,
}

impl Shelf {
    /// Cuts a playlist into blocks, those that an earlier version had among them. Blocks that have left its window are
    /// let go.
    pub fn cut(&self, playlist: &MediaPlaylist) -> Cut {
        let length = playlist.segments.len();
        let whole = whole(playlist.msn(0), length);
        let Some(numbers) = whole else { return Cut { front: 0..0, blocks: Vec::new(), back: 0..length } };
        let index = |number: u64| usize::try_from(number * SEGMENTS - playlist.msn(0)).expect("inside the playlist");
        let (front, back) = (0..index(numbers.start), index(numbers.end)..length);
        let mut shelf = self.0.lock();
        shelf.retain(|number, _| numbers.contains(number));
        let blocks = numbers.map(|number| {
            let segments = &playlist.segments[index(number)..index(number + 1)];
            let kept = shelf.get(&number).filter(|block| block.is(segments)).cloned();
            kept.unwrap_or_else(|| {
                let block = Block::new(segments);
                shelf.insert(number, block.clone());
                block
            })
        });
        Cut { front, blocks: blocks.collect(), back }
    }
}

/// The numbers of the blocks that lie wholly in a playlist of `length` segments from `first` on.
fn whole(first: u64, length: usize) -> Option<Range<u64>> {
    let end = first.checked_add(length as u64)?;
    let numbers = first.div_ceil(SEGMENTS)..end / SEGMENTS;
    (length >= SHORT && !numbers.is_empty()).then_some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_lie_between_multiples_and_short_playlists_have_none() {
        assert_eq!(whole(0, 127), None);
        assert_eq!(whole(0, 128), Some(0..2));
        assert_eq!(whole(1, 128), Some(1..2));
        assert_eq!(whole(63, 200), Some(1..4));
        assert_eq!(whole(u64::MAX - 3, 200), None);
    }
}
