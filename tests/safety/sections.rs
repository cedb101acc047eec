//! Field sections of HTTP/2 and 3 by hand: literals that touch no table, and the status of an answer.

use crate::corpus::octets;

/// `name=value | name=value` → names and values as octets.
pub fn fields(text: &str, id: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let texts = text.split(" | ").map(str::trim_start).filter(|text| !text.is_empty());
    let pairs = texts.map(|text| text.split_once('=').expect("a field has a name and a value"));
    pairs.map(|(name, value)| (octets(name, id), octets(value, id))).collect()
}

/// A header block (RFC 7541) of literals without indexing.
pub fn hpack(fields: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        string(&mut block, 7, 0, name);
        string(&mut block, 7, 0, value);
    }
    block
}

/// A field section (RFC 9204) of literals with literal names.
pub fn qpack(fields: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut section = vec![0, 0];
    for (name, value) in fields {
        string(&mut section, 3, 0x20, name);
        string(&mut section, 7, 0, value);
    }
    section
}

fn string(out: &mut Vec<u8>, prefix: u32, first: u8, octets: &[u8]) {
    let most = (1 << prefix) - 1;
    if octets.len() < most {
        out.push(first | octets.len() as u8);
    } else {
        out.push(first | most as u8);
        let mut rest = octets.len() - most;
        while rest >= 128 {
            out.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        out.push(rest as u8);
    }
    out.extend_from_slice(octets);
}

/// The status at the front of a header block that is the first of its connection, or one of its kind.
pub fn hpack_status(block: &[u8]) -> Option<u16> {
    const INDEXED: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
    match block {
        [0x20..=0x3f, rest @ ..] => hpack_status(rest),
        [index @ 0x88..=0x8e, ..] => Some(INDEXED[usize::from(index - 0x88)]),
        // A literal whose name is one of the seven indices of :status.
        [0x08..=0x0e | 0x18..=0x1e | 0x48..=0x4e, length, rest @ ..] => {
            let octets = rest.get(..usize::from(length & 0x7f))?;
            if length & 0x80 == 0 { std::str::from_utf8(octets).ok()?.parse().ok() } else { coded(octets) }
        }
        _ => None,
    }
}

/// Three digits in Huffman's code (RFC 7541 appendix B: those of 0 to 2 have five bits, of 3 to 9 six).
fn coded(octets: &[u8]) -> Option<u16> {
    let bits: Vec<_> = octets.iter().flat_map(|octet| (0..8).rev().map(move |bit| (octet >> bit) & 1)).collect();
    let value = |bits: &[u8]| bits.iter().fold(0u16, |sum, bit| sum << 1 | u16::from(*bit));
    let (mut status, mut at) = (0, 0);
    for _ in 0..3 {
        let five = value(bits.get(at..at + 5)?);
        let (digit, length) = if five <= 2 { (five, 5) } else { (value(bits.get(at..at + 6)?) - 0x19 + 3, 6) };
        status = status * 10 + digit;
        at += length;
    }
    Some(status)
}
