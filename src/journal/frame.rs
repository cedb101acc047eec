//! A frame: how long, a checksum, a kind, an event. The checksum (CRC-32C, RFC 3720 §12.1) also covers the number of the
//! file, so that an old file's frames are never taken for a new one's.

use super::LONGEST;

/// Octets before the kind.
pub(super) const HEAD: usize = 8;

/// Octets at the beginning of a file.
pub(super) const PREAMBLE: usize = 20;

const MAGIC: &[u8; 8] = b"WeirJrn1";

/// The reflected polynomial of Castagnoli.
const POLYNOMIAL: u32 = 0x82f6_3b78;

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut octet = 0;
    while octet < 256 {
        let mut crc = octet as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        table[octet] = crc;
        octet += 1;
    }
    table
};

fn crc32c(parts: &[&[u8]]) -> u32 {
    let step = |crc: u32, octet: &u8| (crc >> 8) ^ TABLE[((crc ^ u32::from(*octet)) & 0xff) as usize];
    !parts.iter().copied().flatten().fold(!0, step)
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

/// Octets of a frame with an event of this length.
pub(super) const fn size(event: usize) -> usize {
    HEAD + 1 + event
}

/// Writes a frame.
pub(super) fn write(into: &mut Vec<u8>, number: u64, (kind, event): (u8, &[u8])) {
    let length = u32::try_from(1 + event.len()).expect("events are short");
    let crc = crc32c(&[&number.to_le_bytes(), &length.to_le_bytes(), &[kind], event]);
    into.extend(length.to_le_bytes());
    into.extend(crc.to_le_bytes());
    into.push(kind);
    into.extend(event);
}

/// The frame at the beginning of `octets`: its kind, its event, and what is behind it. `None`: nothing whole is there.
pub(super) fn read(octets: &[u8], number: u64) -> Option<(u8, &[u8], &[u8])> {
    let (length, rest) = octets.split_first_chunk::<4>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let size = u32::from_le_bytes(*length) as usize;
    if size > LONGEST + 1 {
        return None;
    }
    let (body, rest) = rest.split_at_checked(size)?;
    let (kind, event) = body.split_first()?;
    let is_whole = crc32c(&[&number.to_le_bytes(), length, body]) == u32::from_le_bytes(*crc);
    is_whole.then_some((*kind, event, rest))
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
            let mut octets = Vec::new();
            write(&mut octets, number, (1, &event));
            prop_assert_eq!(octets.len(), size(event.len()));
            prop_assert_eq!(read(&octets, number), Some((1, &event[..], &[][..])));
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
            _ = read(&octets, number);
        }
    }
}
