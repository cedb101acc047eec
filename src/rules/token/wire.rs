//! What of a token goes into a sealed grant, as few octets: numbers of seven bits an octet, texts after their length. One
//! value has one form; reading takes no other.

/// Writes a number.
pub fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Reads a number.
pub fn take_number(input: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let octet = take_octet(input)?;
        let bits = u64::from(octet & 0x7f);
        if bits << shift >> shift != bits || (octet == 0 && shift > 0) {
            return None;
        }
        number |= bits << shift;
        if octet < 0x80 {
            return Some(number);
        }
    }
    None
}

/// Reads a number of at most `most`.
pub fn take_count(input: &mut &[u8], most: usize) -> Option<usize> {
    take_number(input)?.try_into().ok().filter(|count| *count <= most)
}

/// Reads an octet.
pub fn take_octet(input: &mut &[u8]) -> Option<u8> {
    let (first, rest) = input.split_first()?;
    *input = rest;
    Some(*first)
}

/// Reads as many octets as there are in `N`.
pub fn take_octets<const N: usize>(input: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = input.split_first_chunk()?;
    *input = rest;
    Some(*first)
}

/// Writes a text.
pub fn put_text(out: &mut Vec<u8>, text: &str) {
    put_number(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// Reads a text of at most `longest` octets.
pub fn take_text<'i>(input: &mut &'i [u8], longest: usize) -> Option<&'i str> {
    let length = take_count(input, longest)?;
    let (text, rest) = input.split_at_checked(length)?;
    *input = rest;
    std::str::from_utf8(text).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_number_has_one_form() {
        for octets in [&[][..], &[0x80], &[0x80, 0], &[0xff, 0x80, 0], &[0xff; 10], &[0xff; 11]] {
            assert_eq!(take_number(&mut &*octets), None, "{octets:?}");
        }
        let mut largest = &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1][..];
        assert_eq!(take_number(&mut largest), Some(u64::MAX));
        assert_eq!(take_number(&mut &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2][..]), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(number: u64, text in ".{0,40}", rest: Vec<u8>) {
            let mut out = Vec::new();
            put_number(&mut out, number);
            put_text(&mut out, &text);
            out.extend_from_slice(&rest);
            let mut input = &out[..];
            prop_assert_eq!(take_number(&mut input), Some(number));
            prop_assert_eq!(take_text(&mut input, 160), Some(&*text));
            prop_assert_eq!(input, &rest[..]);
        }

        #[test]
        fn what_is_read_is_written_the_same(octets: Vec<u8>) {
            let mut input = &octets[..];
            if let Some(number) = take_number(&mut input) {
                let mut out = Vec::new();
                put_number(&mut out, number);
                prop_assert_eq!(&out[..], &octets[..octets.len() - input.len()]);
            }
        }
    }
}
