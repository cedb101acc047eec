//! Delivery directives and the decision they lead to (draft-pantos-hls-rfc8216bis section 6.2.5): answer now, hold until an
//! instant, or refuse. Pure.

use super::timeline::{Edge, Position, TARGET_S, Timeline};

/// `_HLS_msn`, `_HLS_part` and `_HLS_skip` of a playlist request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    /// `_HLS_msn`.
    pub msn: Option<u64>,
    /// `_HLS_part`.
    pub part: Option<u64>,
    /// `_HLS_skip` was `YES` or `v2`.
    pub skip: bool,
}

/// Why directives are answered by 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not a decimal-integer of 1 to 20 digits within 64 bits.
    #[error("a directive is not a decimal integer")]
    Number,
    /// The same directive twice.
    #[error("a directive is given twice")]
    Twice,
    /// `_HLS_part` without `_HLS_msn`.
    #[error("_HLS_part without _HLS_msn")]
    PartAlone,
}

impl Directives {
    /// Reads them from a query; other parameters are ignored.
    pub fn parse(query: &str) -> Result<Self, Malformed> {
        let mut read = Self::default();
        for (name, value) in query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, ""))) {
            let slot = match name {
                "_HLS_msn" => &mut read.msn,
                "_HLS_part" => &mut read.part,
                "_HLS_skip" => {
                    read.skip |= value == "YES" || value == "v2";
                    continue;
                }
                _ => continue,
            };
            let digits = (1..=20).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_digit());
            let number = value.parse().ok().filter(|_| digits).ok_or(Malformed::Number)?;
            if slot.replace(number).is_some() {
                return Err(Malformed::Twice);
            }
        }
        if read.part.is_some() && read.msn.is_none() {
            return Err(Malformed::PartAlone);
        }
        Ok(read)
    }
}

/// What to do with a playlist request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// The position exists, or none was asked for.
    Now,
    /// It will exist at this Unix millisecond, if the timeline goes on.
    At(u64),
    /// Further ahead than a player may ask: 400.
    TooFar,
}

const ONE_SECOND: u64 = 100_000;

/// Decides on `asked` at `edge`; `part_target` is in 10 µs.
pub fn decide(asked: Directives, timeline: &Timeline, edge: Edge, part_target: u64) -> Reload {
    let Some(msn) = asked.msn else {
        return Reload::Now;
    };
    if msn < edge.open {
        return Reload::Now;
    }
    if msn > edge.open + 1 {
        return Reload::TooFar; // more than two beyond the last complete segment
    }
    let Some(part) = asked.part else {
        return Reload::At(timeline.segment_due(msn));
    };
    // Parts ahead of the newest one: the next part of the open segment is 1 ahead; a later segment counts from its part 0.
    let ahead = if msn == edge.open { (part + 1).saturating_sub(edge.parts) } else { part };
    if ahead.saturating_mul(part_target.min(ONE_SECOND)) > 3 * ONE_SECOND {
        return Reload::TooFar;
    }
    let at = Position { msn, part };
    if edge.has(at) {
        return Reload::Now;
    }
    if part >= timeline.plan.parts(msn) {
        return Reload::At(timeline.due(Position { msn: msn + 1, part: 0 }));
    }
    Reload::At(timeline.due(at))
}

/// How long a request is held at most, in milliseconds, before 503.
pub const MAX_HOLD_MS: u64 = 3 * TARGET_S * 1000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::timeline::PartPlan;

    fn asked(query: &str) -> Directives {
        Directives::parse(query).unwrap()
    }

    #[test]
    fn malformed_directives_are_told_from_good_ones() {
        assert_eq!(asked("a=1&_HLS_part=2&_HLS_msn=7"), Directives { msn: Some(7), part: Some(2), skip: false });
        assert_eq!(asked("_HLS_skip=v2"), Directives { skip: true, ..Directives::default() });
        assert_eq!(asked("_HLS_skip=yes&_HLS_push=1"), Directives::default());
        for bad in
            ["_HLS_msn=", "_HLS_msn=-1", "_HLS_msn=1x", "_HLS_msn=18446744073709551616", "_HLS_msn=+1", "_HLS_msn"]
        {
            assert_eq!(Directives::parse(bad), Err(Malformed::Number), "{bad}");
        }
        assert_eq!(Directives::parse("_HLS_msn=1&_HLS_msn=1"), Err(Malformed::Twice));
        assert_eq!(Directives::parse("_HLS_part=1"), Err(Malformed::PartAlone));
    }

    #[test]
    fn the_vectors_of_the_specification_hold() {
        // The list ends with segment 272 complete and parts 0 to 2 of 273.
        let timeline = Timeline { epoch_ms: 0, plan: PartPlan::new(133) };
        let edge = timeline.edge(timeline.due(Position { msn: 273, part: 2 }));
        let ask = |query| decide(asked(query), &timeline, edge, 33_334);
        for now in
            ["", "_HLS_msn=272", "_HLS_msn=273&_HLS_part=2", "_HLS_msn=1&_HLS_part=0", "_HLS_msn=272&_HLS_part=99"]
        {
            assert_eq!(ask(now), Reload::Now, "{now}");
        }
        assert_eq!(ask("_HLS_msn=273&_HLS_part=3"), Reload::At(timeline.due(Position { msn: 273, part: 3 })));
        assert_eq!(ask("_HLS_msn=273"), Reload::At(timeline.segment_due(273)));
        assert_eq!(ask("_HLS_msn=274&_HLS_part=0"), Reload::At(timeline.due(Position { msn: 274, part: 0 })));
        assert_eq!(ask("_HLS_msn=274"), Reload::At(timeline.segment_due(274)));
        assert_eq!(ask("_HLS_msn=273&_HLS_part=10"), Reload::At(timeline.due(Position { msn: 273, part: 10 })));
        for far in
            ["_HLS_msn=275", "_HLS_msn=275&_HLS_part=0", "_HLS_msn=273&_HLS_part=11", "_HLS_msn=18446744073709551615"]
        {
            assert_eq!(ask(far), Reload::TooFar, "{far}");
        }
    }

    #[test]
    fn a_part_beyond_the_end_of_its_segment_is_the_first_of_the_next() {
        let timeline = Timeline { epoch_ms: 0, plan: PartPlan::new(333) };
        let edge = timeline.edge(timeline.due(Position { msn: 9, part: 4 }));
        let ask = decide(asked("_HLS_msn=9&_HLS_part=7"), &timeline, edge, 33_334);
        assert_eq!(ask, Reload::At(timeline.due(Position { msn: 10, part: 0 })));
    }
}
