//! Paths of HTTP/2 heads on their way to the library: what stands raw in a query (`uri::is_raw`) is percent-encoded, for
//! the library resets such a stream as malformed. Nothing is judged and nothing else changed.
//!
//! Only what touches no table can be written otherwise: a path as a literal without indexing (RFC 7541 §6.2.2, §6.2.3),
//! as clients write what is different each time, in a head of one frame. What is to be indexed must keep its size (§4.1)
//! and goes on as it came. The beginning of a frame with a head is held until all of it is there: one frame at most.

use std::borrow::Cow;
use std::ops::Range;

use super::h3::qpack::{huffman, prefix_int};
use crate::rules::uri;

/// The first octets of a connection (RFC 9113 §3.4).
const PREFACE: usize = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len();
/// Octets before a frame's payload.
const FRAME_HEAD: usize = 9;
/// The largest payload that we take (RFC 9113 §4.2).
const LARGEST: usize = 16 << 10;
const HEADERS: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;
/// The entries of the static table that are named `:path` (RFC 7541 Appendix A).
const PATH: [u64; 2] = [4, 5];

/// Walks over the octets of one connection, from the first one on.
#[derive(Debug)]
pub(super) struct Paths {
    /// Octets that pass as they come.
    passing: usize,
    /// The beginning of a frame.
    held: Vec<u8>,
}

impl Default for Paths {
    fn default() -> Self {
        Self { passing: PREFACE, held: Vec::new() }
    }
}

/// A frame that is written otherwise.
struct Edit {
    place: Range<usize>,
    frame: Vec<u8>,
}

impl Paths {
    /// Takes the next octets; what goes on of them and of those that were held. It may be nothing.
    pub(super) fn pass<'o>(&mut self, octets: &'o [u8]) -> Cow<'o, [u8]> {
        let all = match self.held.is_empty() {
            true => Cow::Borrowed(octets),
            false => {
                self.held.extend_from_slice(octets);
                Cow::Owned(std::mem::take(&mut self.held))
            }
        };
        let (edits, whole) = self.walk(&all);
        if whole == 0 {
            self.held = all.into_owned();
            return Cow::Borrowed(&[]);
        }
        if edits.is_empty() && whole == all.len() {
            return all;
        }
        self.held = all[whole..].to_vec();
        let mut written = Vec::with_capacity(whole);
        let mut from = 0;
        for Edit { place, frame } in edits {
            written.extend_from_slice(&all[from..place.start]);
            written.extend_from_slice(&frame);
            from = place.end;
        }
        written.extend_from_slice(&all[from..whole]);
        Cow::Owned(written)
    }

    /// What of `octets` is to be written otherwise, and how many of them go on.
    fn walk(&mut self, octets: &[u8]) -> (Vec<Edit>, usize) {
        let mut edits = Vec::new();
        let mut at = 0;
        loop {
            let step = self.passing.min(octets.len() - at);
            self.passing -= step;
            at += step;
            let rest = &octets[at..];
            let Some([high, middle, low, kind, flags, ..]) = rest.first_chunk::<FRAME_HEAD>() else {
                return (edits, at);
            };
            let length = u32::from_be_bytes([0, *high, *middle, *low]) as usize;
            if *kind != HEADERS || flags & END_HEADERS == 0 || length > LARGEST {
                self.passing = FRAME_HEAD + length;
                continue;
            }
            let Some(frame) = rest.get(..FRAME_HEAD + length) else { return (edits, at) };
            let place = at..at + frame.len();
            at = place.end;
            edits.extend(encoded(frame).map(|frame| Edit { place, frame }));
        }
    }
}

/// A HEADERS frame (RFC 9113 §6.2) with its path encoded; `None` where it goes on as it is.
fn encoded(frame: &[u8]) -> Option<Vec<u8>> {
    let (head, payload) = frame.split_at(FRAME_HEAD);
    let has = |flag| head[4] & flag != 0;
    let padding = if has(PADDED) { usize::from(*payload.first()?) } else { 0 };
    let start = usize::from(has(PADDED)) + if has(PRIORITY) { 5 } else { 0 };
    let block = payload.get(start..payload.len().checked_sub(padding)?)?;
    let (place, string) = path(block)?;
    let (before, behind) = (&payload[..start + place.start], &payload[start + place.end..]);
    let length = Some(before.len() + string.len() + behind.len()).filter(|length| *length <= LARGEST)?;
    let [_, high, middle, low] = u32::try_from(length).ok()?.to_be_bytes();
    Some([&[high, middle, low], &head[3..], before, &string, behind].concat())
}

/// Where in a header block the path's value stands, and how it is written encoded; `None` where nothing is to be done.
fn path(block: &[u8]) -> Option<(Range<usize>, Vec<u8>)> {
    let mut rest = block;
    loop {
        let first = *rest.first()?;
        // RFC 7541 §6: indexed, a change of the table's size, or a literal.
        let (prefix, is_literal) = match first {
            0x80.. => (7, false),
            0x40.. => (6, true),
            0x20.. => (5, false),
            _ => (4, true),
        };
        let index = prefix_int::decode(prefix, &mut rest).ok()?;
        if !is_literal {
            continue;
        }
        let is_path = match index {
            0 => string(&mut rest)? == (Coding::Plain, b":path"),
            index => PATH.contains(&index),
        };
        let start = block.len() - rest.len();
        let value = string(&mut rest)?;
        if is_path {
            let place = start..block.len() - rest.len();
            let is_indexed = first >= 0x40;
            return Some((place, written(value)?)).filter(|_| !is_indexed);
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Plain,
    Huffman,
}

/// The string in front (RFC 7541 §5.2).
fn string<'s>(rest: &mut &'s [u8]) -> Option<(Coding, &'s [u8])> {
    let coding = if rest.first()? & 0x80 == 0 { Coding::Plain } else { Coding::Huffman };
    let length = usize::try_from(prefix_int::decode(7, rest).ok()?).ok()?;
    let (string, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    Some((coding, string))
}

/// A path as a string with what stands raw in its query encoded; `None` where nothing does.
fn written((coding, value): (Coding, &[u8])) -> Option<Vec<u8>> {
    let mut decoded = Vec::new();
    let value = match coding {
        Coding::Plain => value,
        Coding::Huffman => {
            huffman::decode(value, &mut decoded).ok()?;
            &decoded
        }
    };
    let query = memchr::memchr(b'?', value)?;
    let raw: Vec<_> = (query..value.len()).filter(|at| uri::is_raw(value[*at])).collect();
    if raw.is_empty() {
        return None;
    }
    let path = uri::encoded_at(value, &raw);
    let mut string = Vec::with_capacity(path.len() + 4);
    prefix_int::encode(7, 0, path.len() as u64, &mut string);
    string.extend_from_slice(&path);
    Some(string)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let [_, high, middle, low] = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&[high, middle, low, kind, flags, 0, 0, 0, 1], payload].concat()
    }

    fn text(value: &[u8], coding: Coding) -> Vec<u8> {
        let mut coded = Vec::new();
        let (high, octets) = match coding {
            Coding::Plain => (0, value),
            Coding::Huffman => {
                huffman::encode(value, &mut coded);
                (0x80, &coded[..])
            }
        };
        let mut string = Vec::new();
        prefix_int::encode(7, high, octets.len() as u64, &mut string);
        [&string, octets].concat()
    }

    /// A head block with indexed fields, a path whose representation begins with `first`, and another field.
    fn block(first: &[u8], path: &[u8], coding: Coding) -> Vec<u8> {
        let other = [&[0x40][..], &text(b"a?\"", Coding::Plain), &text(b"?\"<", Coding::Huffman)].concat();
        [&[0x3f, 0x01, 0x82, 0x87, 0x41], &text(b"x", Coding::Plain)[..], first, &text(path, coding), &other].concat()
    }

    fn passed(octets: &[u8], size: usize) -> Vec<u8> {
        let mut paths = Paths::default();
        let passed = octets.chunks(size).flat_map(|piece| paths.pass(piece).into_owned()).collect();
        assert!(paths.held.is_empty(), "all of it was whole");
        passed
    }

    #[test]
    fn what_stands_raw_in_a_query_is_encoded_and_all_else_is_as_it_came() {
        let (raw, fine) = (b"/a\"?b=\"<\xc3\xa4\xff>", b"/a\"?b=%22%3C%C3%A4%FF%3E");
        let end = END_HEADERS | 1;
        let name = text(b":path", Coding::Plain);
        let by_name = [&[0x10][..], &name].concat();
        let (mut sent, mut expected) = (vec![b'P'; PREFACE], vec![b'P'; PREFACE]);
        for first in [&[0x04][..], &[0x05], &[0x14], &by_name] {
            for coding in [Coding::Plain, Coding::Huffman] {
                sent.extend(
                    [frame(4, 0, b""), frame(HEADERS, end, &block(first, raw, coding)), frame(0, 1, raw)].concat(),
                );
                let whole = frame(HEADERS, end, &block(first, fine, Coding::Plain));
                expected.extend([frame(4, 0, b""), whole, frame(0, 1, raw)].concat());
            }
        }
        let around = |path: &[u8], coding| [&[3][..], &[0; 5], &block(&[0x04], path, coding), &[0; 3]].concat();
        sent.extend(frame(HEADERS, end | PADDED | PRIORITY, &around(raw, Coding::Huffman)));
        expected.extend(frame(HEADERS, end | PADDED | PRIORITY, &around(fine, Coding::Plain)));
        for size in [1, 2, 9, 30, 100, sent.len()] {
            assert_eq!(passed(&sent, size), expected, "in pieces of {size}");
        }
    }

    #[test]
    fn what_cannot_be_written_otherwise_goes_on_as_it_came() {
        let raw = b"/a?\"";
        let many = [b"/?", &[b'"'; 6_000][..]].concat();
        for payload in [
            block(&[0x44], raw, Coding::Huffman),
            block(&[0x04], b"/\"<>", Coding::Plain),
            block(&[0x04], b"/a?%22", Coding::Huffman),
            block(&[0x04], &many, Coding::Plain),
            block(&[0x04], raw, Coding::Plain)[..12].to_vec(),
            [&[0x82, 0x04, 0x83], &[0xff; 3][..]].concat(),
            vec![0xff; 30],
            vec![],
        ] {
            let sent =
                [vec![b'P'; PREFACE], frame(HEADERS, END_HEADERS, &payload), frame(HEADERS, 0, &payload)].concat();
            assert_eq!(passed(&sent, 7), sent);
            assert!(matches!(Paths::default().pass(&sent), Cow::Borrowed(_)), "and is not copied");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_goes_on_the_same_in_any_pieces(
            frames in proptest::collection::vec(
                (0u8..3, any::<u8>(), prop_oneof![
                    proptest::collection::vec(any::<u8>(), 0..40),
                    Just(block(&[0x04], b"/?\"", Coding::Huffman)),
                ]).prop_map(|(kind, flags, payload)| frame(kind, flags, &payload)), 0..6),
            size in 1usize..60,
        ) {
            let sent = [vec![b'P'; PREFACE], frames.concat()].concat();
            prop_assert_eq!(passed(&sent, size), passed(&sent, sent.len()));
        }
    }
}
