//! Where the heads are in what a viewer sends over HTTP/2, so that one that never ends can have a deadline, and how many
//! frames carry nothing (RFC 9113 §10.5). Frames are walked over, never judged: that is the work of whoever parses them
//! (RFC 9113 §4.1, §6.2, §6.10).

use super::flood::Allowance;
use crate::clock::Tick;

/// The first octets of a connection (RFC 9113 §3.4).
const PREFACE: usize = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len();
/// Octets before a frame's payload.
const FRAME_HEAD: usize = 9;
const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const RST_STREAM: u8 = 0x3;
const WINDOW_UPDATE: u8 = 0x8;
const CONTINUATION: u8 = 0x9;
const END_HEADERS: u8 = 0x4;

/// Walks over the octets of one connection, from the first one on.
#[derive(Debug)]
pub struct HeadWatch {
    /// Octets to walk over: of the preface, or of a payload.
    left: usize,
    /// The head of the next frame, as far as it has come.
    frame: [u8; FRAME_HEAD],
    have: usize,
    /// What `left` belongs to.
    piece: Piece,
    heads: u64,
    allowance: Allowance,
    floods: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    /// Nothing of a head.
    Other,
    /// Of a head that goes on in a further frame.
    Head,
    /// The last of a head.
    LastOfHead,
}

impl Default for HeadWatch {
    fn default() -> Self {
        Self {
            left: PREFACE,
            frame: [0; FRAME_HEAD],
            have: 0,
            piece: Piece::Other,
            heads: 0,
            allowance: Allowance::default(),
            floods: false,
        }
    }
}

impl HeadWatch {
    /// Takes the next octets, which came now.
    pub fn feed(&mut self, mut octets: &[u8], now: Tick) {
        while !octets.is_empty() {
            let step = self.left.min(octets.len());
            self.left -= step;
            octets = &octets[step..];
            if self.left == 0 {
                octets = self.between(octets, now);
            }
        }
    }

    /// Whether a head has begun and not ended.
    pub fn in_head(&self) -> bool {
        self.piece != Piece::Other
    }

    /// Whether more frames came that carry nothing than any honest viewer needs.
    pub fn floods(&self) -> bool {
        self.floods
    }

    /// Heads that have ended.
    pub fn heads(&self) -> u64 {
        self.heads
    }

    /// Takes what there is of the next frame's head; what remains of `octets`.
    fn between<'a>(&mut self, octets: &'a [u8], now: Tick) -> &'a [u8] {
        if self.piece == Piece::LastOfHead {
            self.piece = Piece::Other;
            self.heads += 1;
        }
        let step = (FRAME_HEAD - self.have).min(octets.len());
        self.frame[self.have..self.have + step].copy_from_slice(&octets[..step]);
        self.have += step;
        if self.have == FRAME_HEAD {
            self.have = 0;
            self.begin(now);
        }
        &octets[step..]
    }

    fn begin(&mut self, now: Tick) {
        let [high, middle, low, kind, flags, ..] = self.frame;
        self.left = u32::from_be_bytes([0, high, middle, low]) as usize;
        let carries_nothing = match kind {
            DATA | CONTINUATION => self.left == 0,
            // Resets are counted with the requests that they end, windows belong to octets on their way.
            HEADERS | RST_STREAM | WINDOW_UPDATE => false,
            _ => true,
        };
        self.floods |= carries_nothing && !self.allowance.take(now);
        self.piece = match kind {
            HEADERS | CONTINUATION if flags & END_HEADERS != 0 => Piece::LastOfHead,
            HEADERS | CONTINUATION => Piece::Head,
            // Within a head no other frame may come; whoever parses them ends the connection.
            _ => Piece::Other,
        };
        if self.left == 0 && self.piece == Piece::LastOfHead {
            self.piece = Piece::Other;
            self.heads += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let [_, high, middle, low] = u32::try_from(payload).unwrap().to_be_bytes();
        let mut frame = vec![high, middle, low, kind, flags, 0, 0, 0, 1];
        frame.resize(FRAME_HEAD + payload, 0xff);
        frame
    }

    /// After each octet, whether a head is open; and the heads that ended.
    fn walked(frames: &[Vec<u8>]) -> (Vec<bool>, u64) {
        let mut watch = HeadWatch::default();
        watch.feed(&[b'P'; PREFACE], Tick::default());
        assert!(!watch.in_head());
        let mut open = Vec::new();
        for octet in frames.concat() {
            watch.feed(&[octet], Tick::default());
            open.push(watch.in_head());
        }
        (open, watch.heads())
    }

    #[test]
    fn a_head_lasts_from_its_frame_to_its_last_octet() {
        let (open, heads) = walked(&[frame(HEADERS, END_HEADERS, 3), frame(0, 0, 2)]);
        assert_eq!(open, [vec![false; 8], vec![true; 3], vec![false; 12]].concat());
        assert_eq!(heads, 1);
    }

    #[test]
    fn a_head_in_several_frames_is_open_between_them() {
        let (open, heads) =
            walked(&[frame(HEADERS, 0, 2), frame(CONTINUATION, 0, 0), frame(CONTINUATION, END_HEADERS, 1)]);
        assert_eq!(open, [vec![false; 8], vec![true; 21], vec![false]].concat());
        assert_eq!(heads, 1);
    }

    #[test]
    fn pieces_of_any_size_lead_to_the_same() {
        let octets = [
            vec![b'P'; PREFACE],
            frame(4, 0, 12),
            frame(HEADERS, END_HEADERS | 1, 70_000),
            frame(HEADERS, END_HEADERS, 0),
            frame(0, 1, 300),
            frame(HEADERS, 0, 5),
        ]
        .concat();
        for size in [1, 2, 7, 9, 24, 100, octets.len()] {
            let mut watch = HeadWatch::default();
            octets.chunks(size).for_each(|piece| watch.feed(piece, Tick::default()));
            assert_eq!((watch.in_head(), watch.heads()), (true, 2), "pieces of {size}");
        }
    }

    #[test]
    fn frames_that_carry_nothing_are_counted_and_others_are_not() {
        let floods = |frame: Vec<u8>| {
            let mut watch = HeadWatch::default();
            watch.feed(&[b'P'; PREFACE], Tick::default());
            watch.feed(&frame.repeat(301), Tick::default());
            watch.floods()
        };
        for kind in [2, 4, 6, 7, 99] {
            assert!(floods(frame(kind, 0, 8)), "{kind}");
        }
        assert!(floods(frame(DATA, 0, 0)) && floods(frame(CONTINUATION, 0, 0)));
        for kind in [DATA, HEADERS, RST_STREAM, WINDOW_UPDATE, CONTINUATION] {
            assert!(!floods(frame(kind, 0, 8)), "{kind}");
        }
    }
}
