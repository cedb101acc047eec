//! One gzip member put together from pieces that were compressed apart (RFC 1951, RFC 1952): browsers read no second
//! member. Each piece ends at an octet's edge and refers to nothing before it, so that it can stand in any member; the
//! checksum of the whole follows from those of the pieces.

use std::cell::RefCell;

use bytes::Bytes;
use flate2::{Compress, Compression, Crc, FlushCompress};

/// A gzip head that names neither file, time nor system (RFC 1952 §2.3).
pub const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// A last block without content: fixed codes, and at once the end of the block (RFC 1951 §3.2.6).
const LAST_BLOCK: [u8; 2] = [0x03, 0x00];

/// Room that a piece gets beyond what it compresses to at worst: block heads and the empty block at its end.
const ROOM: usize = 64;

thread_local! {
    /// Tables of some hundred kilobytes: made once for each thread.
    static COMPRESSOR: RefCell<Compress> = RefCell::new(Compress::new(Compression::default(), false));
}

/// A piece of text, compressed.
#[derive(Clone)]
pub struct Piece {
    /// Deflate blocks, none of them the last.
    pub octets: Bytes,
    sum: Sum,
}

impl Piece {
    /// Compresses what `texts` are one after the other.
    pub fn of<'t>(texts: impl IntoIterator<Item = &'t str>) -> Self {
        let mut sum = Crc::new();
        let mut out = Vec::new();
        COMPRESSOR.with_borrow_mut(|compressor| {
            compressor.reset();
            for text in texts {
                sum.update(text.as_bytes());
                run(compressor, text.as_bytes(), FlushCompress::None, &mut out);
            }
            if sum.amount() > 0 {
                run(compressor, &[], FlushCompress::Full, &mut out);
            }
        });
        Self { octets: out.into_boxed_slice().into(), sum: Sum(sum) }
    }

    /// Checksum and length of the text.
    pub fn sum(&self) -> &Sum {
        &self.sum
    }
}

/// Feeds a compressor until it has taken all, and given all that the flush asks for.
fn run(compressor: &mut Compress, mut input: &[u8], flush: FlushCompress, out: &mut Vec<u8>) {
    loop {
        out.reserve(input.len() / 4 + ROOM);
        let before = compressor.total_in();
        compressor.compress_vec(input, out, flush).expect("a compressor in its own state takes any input");
        let taken = usize::try_from(compressor.total_in() - before).expect("no more than there was");
        input = &input[taken..];
        // Room that is left means that nothing was held back for want of it.
        if input.is_empty() && out.len() < out.capacity() {
            return;
        }
    }
}

/// CRC-32 and length of a text, to which those of the text behind it can be added.
#[derive(Default)]
pub struct Sum(Crc);

impl Clone for Sum {
    fn clone(&self) -> Self {
        let mut sum = Self::default();
        sum.add(self);
        sum
    }
}

impl Sum {
    /// Goes on with the text that `next` is the sum of.
    pub fn add(&mut self, next: &Self) {
        self.0.combine(&next.0);
    }

    /// What ends the member: a last block, checksum and length (RFC 1952 §2.3.1).
    pub fn end(&self) -> [u8; 10] {
        let mut end = [0; 10];
        end[..2].copy_from_slice(&LAST_BLOCK);
        end[2..6].copy_from_slice(&self.0.sum().to_le_bytes());
        end[6..].copy_from_slice(&self.0.amount().to_le_bytes());
        end
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use proptest::prelude::*;

    use super::*;

    fn gunzip(member: &[u8]) -> String {
        let mut text = String::new();
        // Not the decoder of several members: a second one would be found out.
        let mut decoder = flate2::bufread::GzDecoder::new(member);
        decoder.read_to_string(&mut text).unwrap();
        assert!(decoder.into_inner().is_empty(), "nothing stands behind the member");
        text
    }

    fn member(pieces: &[&Piece]) -> Vec<u8> {
        let mut sum = Sum::default();
        let mut member = HEAD.to_vec();
        for piece in pieces {
            member.extend_from_slice(&piece.octets);
            sum.add(piece.sum());
        }
        member.extend_from_slice(&sum.end());
        member
    }

    proptest! {
        #[test]
        fn pieces_in_any_order_are_one_member(
            texts in proptest::collection::vec("[a-f0-9#:\n]{0,400}", 0..8),
            order in proptest::collection::vec(any::<proptest::sample::Index>(), 0..12),
        ) {
            let pieces: Vec<Piece> = texts.iter().map(|text| Piece::of([text.as_str()])).collect();
            let order: Vec<usize> = match texts.len() {
                0 => Vec::new(),
                length => order.iter().map(|index| index.index(length)).collect(),
            };
            let expected: String = order.iter().map(|index| texts[*index].as_str()).collect();
            let chosen: Vec<&Piece> = order.iter().map(|index| &pieces[*index]).collect();
            prop_assert_eq!(gunzip(&member(&chosen)), expected);
        }
    }

    #[test]
    fn a_piece_of_noise_is_whole_too() {
        let mut state = 1u64;
        let noise: String = (0..300_000)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                char::from_u32(32 + (state >> 40) as u32 % 3_000).unwrap()
            })
            .collect();
        let piece = Piece::of([noise.as_str()]);
        assert_eq!(gunzip(&member(&[&piece, &piece])), noise.repeat(2));
    }
}
