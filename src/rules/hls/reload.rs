//! Blocking playlist reload: answer now, wait for a position, or refuse (§6.2.5.2).

use std::time::Duration;

use super::directives::Directives;
use super::position::Position;

/// How far a playlist has come, as far as waiting is concerned.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Frontier {
    /// The first position that is not listed yet.
    pub next: Position,
    /// Parts that each of the last closed segments had, oldest first; the last entry is that of `next.msn - 1`.
    pub closed_parts: Vec<u64>,
    /// EXT-X-TARGETDURATION.
    pub target_duration: Duration,
    /// PART-TARGET.
    pub part_target: Option<Duration>,
    /// Nothing will be added: there is nothing to wait for.
    pub is_ended: bool,
}

/// What a waiting viewer waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Wanted {
    /// A part, or anything behind it.
    Part(Position),
    /// A complete segment, or one behind it.
    Segment(u64),
}

/// What becomes of a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// The present version answers it.
    Now,
    /// It waits.
    Wait(Wanted),
    /// It is refused.
    Refuse(TooFar),
}

/// Why a reload is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooFar {
    /// `_HLS_part` without `_HLS_msn`.
    #[error("_HLS_part needs _HLS_msn")]
    PartAlone,
    /// More than two segments beyond the last complete one.
    #[error("_HLS_msn={asked} is too far ahead: the last complete segment is {last}")]
    Segment {
        /// What was asked for.
        asked: u64,
        /// The last complete segment.
        last: u64,
    },
    /// More parts ahead than the advance part limit.
    #[error("_HLS_part={asked} is too far ahead: the next part is {next}")]
    Part {
        /// What was asked for.
        asked: u64,
        /// The next part.
        next: u64,
    },
}

impl Frontier {
    /// What becomes of a reload with `directives`.
    pub fn judge(&self, _directives: &Directives) -> Reload {
        unimplemented!("reload")
    }

    /// What becomes of somebody who waits already, now that the playlist has come this far: `Now`, or `Wait` for the
    /// same or another position. Never refuses.
    pub fn judge_waiting(&self, _wanted: Wanted) -> Reload {
        unimplemented!("reload")
    }

    /// For how long a reload may be held: three target durations.
    pub fn hold(&self) -> Duration {
        self.target_duration * 3
    }
}
