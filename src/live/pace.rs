//! When a follower asks again, and as of when its view counts as current: small decisions without a clock of their own.

use std::time::Duration;

use crate::clock::Tick;

/// Between the starts of two requests for one playlist, whatever the origin does.
const SPACING: Duration = Duration::from_millis(10);
/// The shortest pause after a failure.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// For how long an answer counts as current at least (Appendix C).
const CURRENT: Duration = Duration::from_secs(1);

/// When a reload that was answered well is followed by the next.
pub(super) fn after_reload(asked: Tick) -> Tick {
    asked + SPACING
}

/// When an origin that does not hold what it should is asked again: half a part later, as somebody would who polls for
/// parts; without parts, at the pace of polling (§6.3.4).
pub(super) fn after_early(asked: Tick, target_duration: Duration, part_target: Option<Duration>) -> Tick {
    asked + (part_target.unwrap_or(target_duration) / 2).max(SPACING)
}

/// When an origin that failed `failures` times in a row is asked again: soon at first, then once a target duration.
pub(super) fn after_failure(now: Tick, failures: u32, target_duration: Duration) -> Tick {
    let first = (target_duration / 4).max(FIRST_PAUSE);
    now + first.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1).min(8))).min(target_duration.max(first))
}

/// As of when a view counts as current that was confirmed at `confirmed`: within a part target, or a second where that
/// is longer, nothing newer is to be expected. Ages are whole seconds, so the second itself needs no adding.
pub(super) fn current(confirmed: Tick, part_target: Option<Duration>) -> Tick {
    confirmed + part_target.unwrap_or_default().saturating_sub(CURRENT)
}

/// When a held reload is given up for a plain one: a target duration after it was to be answered. What is wrong shows
/// then: an origin that began anew holds a reload of its old numbers for ever.
pub(super) fn patience(asked: Tick, stalled_from: Option<Tick>, target_duration: Duration) -> Tick {
    stalled_from.map_or(asked, |tick| tick.max(asked)) + target_duration
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Tick = Tick::at(Duration::from_secs(100));
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_view_is_current_for_a_part_or_for_a_second() {
        let age = |part: Option<Duration>, later: Duration| (START + later).since(current(START, part)).as_secs();
        assert_eq!(age(None, Duration::from_millis(999)), 0);
        assert_eq!(age(None, SECOND), 1);
        assert_eq!(age(Some(SECOND / 3), Duration::from_millis(999)), 0);
        assert_eq!(age(Some(SECOND / 3), SECOND * 5), 5);
        assert_eq!(age(Some(SECOND * 2), Duration::from_millis(1_999)), 0);
    }

    #[test]
    fn an_origin_that_fails_is_asked_less_and_less_but_once_a_target_duration() {
        let pauses: Vec<_> = (1..6).map(|failures| after_failure(START, failures, SECOND * 4).since(START)).collect();
        assert_eq!(pauses, [SECOND, SECOND * 2, SECOND * 4, SECOND * 4, SECOND * 4]);
        assert_eq!(after_failure(START, 1, Duration::ZERO).since(START), FIRST_PAUSE);
        assert_eq!(after_failure(START, u32::MAX, SECOND).since(START), SECOND);
    }

    #[test]
    fn an_origin_that_answers_early_is_asked_at_the_pace_of_its_parts() {
        assert_eq!(after_early(START, SECOND * 4, Some(SECOND)).since(START), SECOND / 2);
        assert_eq!(after_early(START, SECOND * 4, None).since(START), SECOND * 2);
    }

    #[test]
    fn a_held_reload_is_given_up_a_target_duration_after_it_was_due() {
        assert_eq!(patience(START, Some(START + SECOND), SECOND * 4), START + SECOND * 5);
        assert_eq!(patience(START, Some(START - SECOND), SECOND * 4), START + SECOND * 4);
    }
}
