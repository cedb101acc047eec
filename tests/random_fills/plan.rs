//! What an object is, what its origin does wrong, and how it is read: all of it from one number.

use std::sync::LazyLock;

const KIB: usize = 1 << 10;
/// Octets of the largest body.
const MOST: usize = 1_500 * KIB;

/// Numbers that follow from a seed (SplitMix64).
#[derive(Clone)]
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    pub fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Framing {
    Length,
    Chunked,
    Close,
}

/// What the origin does wrong, after so many octets of the body.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    None,
    /// The connection ends in order.
    Cut(usize),
    /// It is reset.
    Reset(usize),
    /// It is reset before any answer.
    NoAnswer,
    /// More comes than was announced.
    TooLong,
    /// Nothing comes until the others are done.
    Stall(usize),
    /// Nothing comes any more.
    Silence(usize),
}

/// One object, as the origin has it and as it gives it.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub length: usize,
    pub framing: Framing,
    pub fault: Fault,
    /// Requests that meet the fault; later ones are answered well.
    pub bad: usize,
    pub piece: usize,
    pub readers: Vec<Viewer>,
}

/// How somebody reads.
#[derive(Clone, Debug)]
pub struct Viewer {
    /// Turns of the others before it comes, and between its chunks.
    pub late: usize,
    pub slow: usize,
    pub start: usize,
    /// Octets after which it has enough, or leaves.
    pub enough: Option<usize>,
    pub leaves: bool,
}

impl Plan {
    pub fn roll(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let length = match dice.below(10) {
            0 => dice.below(3),
            1..=5 => dice.below(20 * KIB),
            6..=8 => dice.below(300 * KIB),
            _ => dice.below(MOST),
        };
        let framing = [Framing::Length, Framing::Length, Framing::Chunked, Framing::Close][dice.below(4)];
        let at = dice.below(length);
        let fault = match (dice.below(10), framing, length) {
            (0, Framing::Length | Framing::Chunked, 1..) => Fault::Cut(at),
            (1, _, 1..) => Fault::Reset(at),
            (2, _, _) => Fault::NoAnswer,
            (3, Framing::Length, _) => Fault::TooLong,
            (4, _, 1..) => Fault::Stall(at),
            (5, _, 1..) => Fault::Silence(at),
            _ => Fault::None,
        };
        let readers = (0..1 + dice.below(4)).map(|_| Viewer::roll(&mut dice, length)).collect();
        Self { seed, length, framing, fault, bad: 1 + dice.below(2), piece: 1 + dice.below(40 * KIB), readers }
    }

    /// A piece of a pool of chance, from a place of its own: no two objects look the same for long.
    pub fn body(&self) -> &'static [u8] {
        static POOL: LazyLock<Vec<u8>> = LazyLock::new(|| {
            let mut dice = Dice(0x5eed);
            std::iter::repeat_with(|| dice.next().to_le_bytes()).take(MOST).flatten().collect()
        });
        let from = Dice(self.seed ^ 0x5eed).below(POOL.len() - MOST);
        &POOL[from..from + self.length]
    }

    /// Whether every answer to it is good, if late.
    pub fn is_sound(&self) -> bool {
        matches!(self.fault, Fault::None | Fault::Stall(_))
    }
}

impl Viewer {
    pub fn roll(dice: &mut Dice, length: usize) -> Self {
        let start = if dice.one_in(4) { dice.below(length) } else { 0 };
        Self {
            late: if dice.one_in(2) { 0 } else { dice.below(30) },
            slow: if dice.one_in(3) { dice.below(20) } else { 0 },
            start,
            enough: dice.one_in(3).then(|| dice.below(length - start)),
            leaves: dice.one_in(2),
        }
    }
}
