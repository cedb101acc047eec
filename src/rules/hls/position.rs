//! Where something stands in a media playlist: order and distance (RFC 8216bis §3.2, §6.2.5.2).

use std::fmt;

use serde::{Deserialize, Serialize};

/// A partial segment: the media sequence number of its parent, which may still be open, and its index in the parent.
/// A position is also read as "the first thing not listed yet".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// Media sequence number of the parent segment.
    pub msn: u64,
    /// Index of the part in its parent, from 0.
    pub part: u64,
}

impl Position {
    /// The part `part` of the segment `msn`.
    pub const fn new(msn: u64, part: u64) -> Self {
        Self { msn, part }
    }

    /// The beginning of the segment `msn`.
    pub const fn segment(msn: u64) -> Self {
        Self { msn, part: 0 }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.msn, self.part)
    }
}
