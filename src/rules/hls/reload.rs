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
    #[error("_HLS_msn={asked} is too far ahead: the segment in progress is {open}")]
    Segment {
        /// What was asked for.
        asked: u64,
        /// The first segment that is not complete.
        open: u64,
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
    pub fn judge(&self, directives: &Directives) -> Reload {
        match (directives.msn, directives.part) {
            _ if self.is_ended => Reload::Now,
            (None, None) => Reload::Now,
            (None, Some(_)) => Reload::Refuse(TooFar::PartAlone),
            (Some(msn), part) => match self.too_far(msn, part) {
                Some(too_far) => Reload::Refuse(too_far),
                None => {
                    self.judge_waiting(part.map_or(Wanted::Segment(msn), |part| Wanted::Part(Position::new(msn, part))))
                }
            },
        }
    }

    /// What becomes of somebody who waits already, now that the playlist has come this far: `Now`, or `Wait` for the
    /// same or another position. Never refuses.
    pub fn judge_waiting(&self, wanted: Wanted) -> Reload {
        let wanted = match wanted {
            // Without parts, what holds every part of a segment is the segment.
            Wanted::Part(Position { msn, .. }) if self.part_target.is_none() => Wanted::Segment(msn),
            Wanted::Part(position) => Wanted::Part(self.existing(position)),
            Wanted::Segment(_) => wanted,
        };
        let is_listed = match wanted {
            Wanted::Part(position) => position < self.next,
            Wanted::Segment(msn) => msn < self.next.msn,
        };
        if is_listed || self.is_ended { Reload::Now } else { Reload::Wait(wanted) }
    }

    /// For how long a reload may be held: three target durations.
    pub fn hold(&self) -> Duration {
        self.target_duration.saturating_mul(3)
    }

    /// A part that its parent closed without is the first of the next parent. A parent that closed without any part
    /// stands for all that were asked of it, and so does one whose parts are not known any more.
    fn existing(&self, position: Position) -> Position {
        let is_last = position.msn.checked_add(1) == Some(self.next.msn);
        match self.closed_parts.last().filter(|parts| is_last && **parts > 0) {
            Some(parts) if position.part >= *parts => Position::segment(self.next.msn),
            _ => position,
        }
    }

    /// Two segments beyond the last complete one are as far as may be asked; of parts, as many as make three seconds,
    /// at least three, counted from the last one of the same parent.
    fn too_far(&self, msn: u64, part: Option<u64>) -> Option<TooFar> {
        let open = self.next.msn;
        if msn > open.saturating_add(1) {
            return Some(TooFar::Segment { asked: msn, open });
        }
        let (asked, part_target) = part.zip(self.part_target)?;
        let next = if msn == open { self.next.part } else { 0 };
        // A parent without parts is measured like one that has the first, so that what may be asked of it while it is
        // the one after the open one may still be asked when it is the open one.
        let ahead = asked.saturating_sub(next.saturating_sub(1));
        (msn >= open && ahead_of_limit(ahead, part_target)).then_some(TooFar::Part { asked, next })
    }
}

/// Whether so many parts are more than the advance part limit: 3 s / PART-TARGET, which is not rounded, and 3 for a
/// PART-TARGET of a second and more (§6.2.5.2).
fn ahead_of_limit(parts: u64, part_target: Duration) -> bool {
    let limit = Duration::from_secs(3).as_nanos();
    u128::from(parts) * part_target.min(Duration::from_secs(1)).as_nanos() > limit
}

#[cfg(test)]
mod tests;
