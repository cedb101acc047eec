//! A frame: how long, a checksum, a body. The checksum (CRC-32C, RFC 3720 §12.1) also covers the number of the file, so
//! that an old file's frames are never taken for a new one's.

use crate::disk::BUFFER;

/// Octets before the body.
pub(super) const HEAD: usize = 8;

/// Octets of the longest body: a frame is written at once.
pub(super) const LONGEST: usize = BUFFER - HEAD;

/// Octets at the beginning of a file.
pub(super) const PREAMBLE: usize = 20;

const MAGIC: &[u8; 8] = b"WeirJrn1";

fn crc32c(parts: &[&[u8]]) -> u32 {
    parts.iter().fold(0, |crc, part| crc32c::crc32c_append(crc, part))
}

/// The beginning of a file.
pub(super) fn preamble(number: u64) -> [u8; PREAMBLE] {
    let mut octets = [0; PREAMBLE];
    octets[..8].copy_from_slice(MAGIC);
    octets[8..16].copy_from_slice(&number.to_le_bytes());
    let crc = crc32c(&[&octets[..16]]);
    octets[16..].copy_from_slice(&crc.to_le_bytes());
    octets
}

/// Octets of a frame with a body of this length.
pub(super) const fn size(body: usize) -> usize {
    HEAD + body
}

/// Writes a frame into a file of this number. Its body is what `parts` are one behind the other.
pub(super) fn write(into: &mut Vec<u8>, number: u64, parts: &[&[u8]]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    debug_assert!(length <= LONGEST, "a frame is written at once");
    let length = u32::try_from(length).expect("bodies are short").to_le_bytes();
    let start = into.len();
    into.extend(length);
    into.extend([0; 4]);
    parts.iter().for_each(|part| into.extend(*part));
    let crc = crc32c(&[&number.to_le_bytes(), &length, &into[start + HEAD..]]);
    into[start + 4..start + HEAD].copy_from_slice(&crc.to_le_bytes());
}

/// What may be a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    /// Its body, if it is one.
    pub body: &'a [u8],
    crc: u32,
}

impl<'a> Frame<'a> {
    /// What stands at the beginning of `octets`, unchecked, and what is behind it. `None`: not all of a frame is there.
    pub fn at(octets: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (length, rest) = octets.split_first_chunk::<4>()?;
        let (crc, rest) = rest.split_first_chunk::<4>()?;
        let size = u32::from_le_bytes(*length) as usize;
        if size > LONGEST {
            return None;
        }
        let (body, rest) = rest.split_at_checked(size)?;
        Some((Self { body, crc: u32::from_le_bytes(*crc) }, rest))
    }

    /// Whether it is one, in a file of this number.
    pub fn is_whole(self, number: u64) -> bool {
        let length = u32::try_from(self.body.len()).expect("it was read from four octets");
        crc32c(&[&number.to_le_bytes(), &length.to_le_bytes(), self.body]) == self.crc
    }

    /// Octets that it takes.
    pub const fn size(self) -> usize {
        size(self.body.len())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_checksum_is_castagnolis() {
        // RFC 3720 §B.4
        assert_eq!(crc32c(&[b"123456789"]), 0xe306_9283);
        assert_eq!(crc32c(&[&[0; 32]]), 0x8a91_36aa);
        assert_eq!(crc32c(&[&[0xff; 16], &[0xff; 16]]), 0x62a8_ab43);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_what_is_changed_is_not(
            event in proptest::collection::vec(any::<u8>(), 0..200), number: u64, at: prop::sample::Index, bit in 0..8u8,
        ) {
            let read = |octets: &[u8], number| {
                Frame::at(octets).filter(|(frame, _)| frame.is_whole(number)).map(|(frame, _)| frame.body.to_vec())
            };
            let mut octets = Vec::new();
            write(&mut octets, number, &[&[1], &event]);
            prop_assert_eq!(octets.len(), size(1 + event.len()));
            prop_assert_eq!(read(&octets, number), Some([&[1], &event[..]].concat()));
            prop_assert_eq!(read(&octets, number ^ 1), None);
            for short in 0..octets.len() {
                prop_assert_eq!(read(&octets[..short], number), None);
            }
            let at = at.index(octets.len());
            octets[at] ^= 1 << bit;
            prop_assert_eq!(read(&octets, number), None);
        }

        #[test]
        fn anything_is_read_without_harm(octets in proptest::collection::vec(any::<u8>(), 0..200), number: u64) {
            _ = Frame::at(&octets).map(|(frame, _)| frame.is_whole(number));
        }
    }
}
