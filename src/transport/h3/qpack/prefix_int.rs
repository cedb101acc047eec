//! Integers with a prefix (RFC 7541 §5.1, RFC 9204 §4.1.1), of at most 62 bits.

/// Why no integer could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntError {
    /// The octets end inside it.
    Truncated,
    /// It does not fit into 62 bits, or is written in more octets than those need.
    TooLarge,
}

/// The longest continuation that 62 bits need.
const CONTINUATION: usize = 9;

/// Reads an integer with a prefix of `prefix` bits from the front of `input`; the bits above are the caller's.
///
/// # Errors
/// The octets end too early, or the value needs more than 62 bits. `input` is then where it was.
pub fn decode(prefix: u8, input: &mut &[u8]) -> Result<u64, IntError> {
    let (&first, rest) = input.split_first().ok_or(IntError::Truncated)?;
    let mask = 0xff >> (8 - prefix);
    let mut value = u64::from(first & mask);
    if value < u64::from(mask) {
        *input = rest;
        return Ok(value);
    }
    for (index, octet) in rest.iter().enumerate() {
        if index == CONTINUATION {
            return Err(IntError::TooLarge);
        }
        value += u64::from(octet & 0x7f) << (7 * index);
        if value >> 62 != 0 {
            return Err(IntError::TooLarge);
        }
        if octet & 0x80 == 0 {
            *input = &rest[index + 1..];
            return Ok(value);
        }
    }
    if rest.len() >= CONTINUATION { Err(IntError::TooLarge) } else { Err(IntError::Truncated) }
}

/// Writes `value` with a prefix of `prefix` bits under the given high bits.
pub fn encode(prefix: u8, high: u8, value: u64, out: &mut Vec<u8>) {
    let mask = 0xff >> (8 - prefix);
    if value < u64::from(mask) {
        out.push(high | value as u8);
        return;
    }
    out.push(high | mask);
    let mut left = value - u64::from(mask);
    while left >= 0x80 {
        out.push(left as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_examples_of_rfc_7541_appendix_c_1_read_and_write_alike() {
        for (prefix, octets, value) in [(5, &[10u8][..], 10), (5, &[31, 154, 10], 1337), (8, &[42], 42)] {
            let mut input = octets;
            assert_eq!(decode(prefix, &mut input), Ok(value));
            assert!(input.is_empty());
            let mut out = Vec::new();
            encode(prefix, 0, value, &mut out);
            assert_eq!(out, octets);
        }
    }

    #[test]
    fn more_than_62_bits_and_endless_continuations_are_refused() {
        let mut most = Vec::new();
        encode(7, 0, (1 << 62) - 1, &mut most);
        assert_eq!(decode(7, &mut &most[..]), Ok((1 << 62) - 1));
        let mut more = Vec::new();
        encode(7, 0, 1 << 62, &mut more);
        assert_eq!(decode(7, &mut &more[..]), Err(IntError::TooLarge));
        let endless = [&[0xffu8][..], &[0x80; 20]].concat();
        assert_eq!(decode(7, &mut &endless[..]), Err(IntError::TooLarge));
        assert_eq!(decode(7, &mut &endless[..4]), Err(IntError::Truncated));
        assert_eq!(decode(7, &mut &[][..]), Err(IntError::Truncated));
    }

    proptest! {
        #[test]
        fn every_value_comes_back(prefix in 3u8..=8, value in 0u64..1 << 62) {
            let mut out = Vec::new();
            encode(prefix, 0, value, &mut out);
            prop_assert_eq!(decode(prefix, &mut &out[..]), Ok(value));
        }

        #[test]
        fn any_octets_are_read_or_refused(prefix in 3u8..=8, octets in proptest::collection::vec(any::<u8>(), 0..20)) {
            let mut input = &octets[..];
            let before = input.len();
            match decode(prefix, &mut input) {
                Ok(value) => prop_assert!(value < 1 << 62 && input.len() < before),
                Err(_) => prop_assert_eq!(input.len(), before),
            }
        }
    }
}
