//! What must not be forgotten: events in the order in which they were written, over restarts and kills.
//!
//! Files of frames, each frame with a checksum over what it holds and where it stands. What was written together is
//! synced together, and only then is anybody told that it is kept. A tail that was torn is cut at the next start; what
//! is damaged before it costs what stands there and nothing behind it. When the files have grown, what still counts is
//! written anew as one snapshot. An event may be read more than once, after an attempt that failed half way: events say
//! what is so, never what changes by how much.

mod appender;
mod files;
mod frame;
pub mod log;
mod open;
pub mod reader;
#[cfg(test)]
mod tests;

use std::ops::RangeInclusive;

pub use appender::{Figures, Journal, Keeping, NotKept};

/// Octets of the longest event.
pub const LONGEST: usize = 16 << 10;

/// Numbers that a file may bear. Who counts from 1 never comes to the last of them, and the one behind it is a number still.
const NUMBERS: RangeInclusive<u64> = 1..=u64::MAX >> 1;

/// What an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Something was taken back.
    Revoked,
}

impl Kind {
    const fn octet(self) -> u8 {
        match self {
            Self::Revoked => 1,
        }
    }

    const fn of(octet: u8) -> Option<Self> {
        match octet {
            1 => Some(Self::Revoked),
            _ => None,
        }
    }
}

/// How much room the journal takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Octets of a file, after which the next one begins.
    pub file: u64,
    /// Octets of all files together. Beyond them nothing is kept until a snapshot has made room.
    pub all: u64,
}

impl Default for Room {
    fn default() -> Self {
        Self { file: 8 << 20, all: 512 << 20 }
    }
}
