//! What is noticed about an origin while its playlist advances (RFC 8216bis §4.4.3, §4.4.4.9, §6.2.1, §6.2.2): facts with
//! their evidence, each told once until it has been absent for a while. Nobody is refused for them.

use std::sync::Arc;
use std::time::Duration;

use crate::rules::hls::playlist::{HintKind, MediaPlaylist, PartialSegment, PreloadHint, Segment, Tag};
use crate::rules::hls::position::Position;

/// Something noticed about the origin, for events and counters (§6.2.1, §6.2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// EXT-X-TARGETDURATION changed.
    TargetDurationChanged {
        /// Before.
        from: Duration,
        /// Now.
        to: Duration,
    },
    /// PART-TARGET changed.
    PartTargetChanged {
        /// Before.
        from: Duration,
        /// Now.
        to: Duration,
    },
    /// A segment is longer than the target duration, rounded.
    SegmentTooLong {
        /// Its number for viewers.
        msn: u64,
        /// Its duration.
        duration: Duration,
    },
    /// A part is longer than the part target, or too short in the middle of its parent.
    UnevenPart {
        /// Its parent's number for viewers.
        msn: u64,
        /// Its index.
        part: u64,
        /// Its duration.
        duration: Duration,
    },
    /// A playlist with parts has no hint.
    MissingHint,
    /// A hinted part came under another URI.
    HintNotKept,
    /// Segments were removed although less than three target durations are left.
    RemovedTooEarly {
        /// The duration that is left.
        left: Duration,
    },
    /// EXT-X-DISCONTINUITY-SEQUENCE does not count the discontinuities that were removed, or others came and went. Its
    /// word is taken as long as it does not fall: other renditions, which nobody watched meanwhile, have it too.
    DiscontinuitySequence {
        /// The number of a listed segment as it was.
        expected: u64,
        /// Its number now.
        found: u64,
    },
    /// HOLD-BACK or PART-HOLD-BACK is missing where it is required, or less than is allowed; viewers see more.
    HoldBack {
        /// What viewers see.
        least: Duration,
    },
    /// The sequence went backwards, or a listed segment changed: viewers see a discontinuity.
    Restarted {
        /// The origin's last number before.
        from: u64,
        /// Its first number now.
        to: u64,
    },
    /// A sequence number is so large that counting on from it might overflow.
    NumberTooLarge,
    /// A delta update that was not merged.
    NotMerged,
}

/// Kinds of findings, each with a memory of its own.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cause {
    TargetDuration,
    PartTarget,
    SegmentTooLong,
    UnevenPart,
    MissingHint,
    HintNotKept,
    RemovedTooEarly,
    DiscontinuitySequence,
    HoldBack,
}

/// A cause is told again after it was absent this many times it was looked for.
const REARMED_AFTER: u8 = 64;
/// Rounding of decimal numbers is no finding.
const ROUNDING: Duration = Duration::from_millis(1);

/// What was noticed, and how recently.
#[derive(Clone, Debug, Default)]
pub(super) struct Watch {
    told: [u8; Cause::HoldBack as usize + 1],
    judged: Position,
    found: Vec<Finding>,
}

impl Watch {
    /// Notes whether `cause` is there; `finding` is told if it was not there lately.
    pub(super) fn note(&mut self, cause: Cause, finding: Option<Finding>) {
        let told = &mut self.told[cause as usize];
        let Some(finding) = finding else {
            *told = told.saturating_sub(1);
            return;
        };
        if std::mem::replace(told, REARMED_AFTER) == 0 {
            self.found.push(finding);
        }
    }

    /// Tells that another list goes on from `next`.
    pub(super) fn restart(&mut self, finding: Finding, next: Position) {
        self.judged = next;
        self.found.push(finding);
    }

    /// What is to be told.
    pub(super) fn take(&mut self) -> Vec<Finding> {
        std::mem::take(&mut self.found)
    }

    /// Looks at how the origin went from `before` to `after`, versions as it published them.
    pub(super) fn compare(&mut self, before: &MediaPlaylist, after: &MediaPlaylist) {
        let (old, new) = (&before.facts, &after.facts);
        let (from, to) = (old.target_duration, new.target_duration);
        self.note(Cause::TargetDuration, (from != to).then_some(Finding::TargetDurationChanged { from, to }));
        if let (Some(from), Some(to)) = (old.part_target, new.part_target) {
            self.note(Cause::PartTarget, (from != to).then_some(Finding::PartTargetChanged { from, to }));
        }
        if after.msn(0) > before.msn(0) && !new.is_ended {
            let least = new.target_duration * 3;
            let left = duration_up_to(after, least);
            self.note(Cause::RemovedTooEarly, (left < least).then_some(Finding::RemovedTooEarly { left }));
        }
        self.count_discontinuities(before, after);
        self.hint(before, after);
    }

    /// Discontinuities are counted alike up to every segment that both versions list. Those that are shared count alike.
    fn count_discontinuities(&mut self, before: &MediaPlaylist, after: &MediaPlaylist) {
        let first = before.msn(0).max(after.msn(0));
        let count = |segments: &[Arc<Segment>]| segments.iter().map(|one| u64::from(one.discontinuities)).sum::<u64>();
        let split = |list: &'_ MediaPlaylist| {
            let index = ((first - list.msn(0)) as usize).min(list.segments.len());
            (list.facts.discontinuity_sequence + count(&list.segments[..index]), index)
        };
        let ((mut expected, old), (mut found, new)) = (split(before), split(after));
        for (old, new) in before.segments[old..].iter().zip(&after.segments[new..]) {
            if !Arc::ptr_eq(old, new) {
                expected += u64::from(old.discontinuities);
                found += u64::from(new.discontinuities);
            }
            if expected != found {
                break;
            }
        }
        let wrong = first <= before.open_msn() && expected != found;
        let wrong = wrong.then_some(Finding::DiscontinuitySequence { expected, found });
        self.note(Cause::DiscontinuitySequence, wrong);
    }

    fn hint(&mut self, before: &MediaPlaylist, after: &MediaPlaylist) {
        let hinted = before.hints().find(|hint| hint.kind == HintKind::Part);
        if let Some(hinted) = hinted.filter(|_| after.next() > before.next())
            && let Some(came) = part_at(after, before.next())
        {
            self.note(Cause::HintNotKept, (!is_kept(hinted, came)).then_some(Finding::HintNotKept));
        }
    }

    /// Looks at the newest part of a version as viewers see it: everything from where it looked last.
    pub(super) fn look(&mut self, playlist: &MediaPlaylist) {
        let facts = &playlist.facts;
        let first = self.judged.msn.max(playlist.msn(0));
        for msn in first..playlist.open_msn() {
            let segment = &playlist.segments[(msn - playlist.msn(0)) as usize];
            let is_long = rounded(segment.duration) > facts.target_duration;
            let long = is_long.then_some(Finding::SegmentTooLong { msn, duration: segment.duration });
            self.note(Cause::SegmentTooLong, long);
            self.parts(msn, &segment.parts.iter().collect::<Vec<_>>(), facts.part_target);
            self.judged = Position::segment(msn + 1);
        }
        let open: Vec<_> = playlist.open_parts().collect();
        self.parts(playlist.open_msn(), &open, facts.part_target);
        if facts.part_target.is_some() && !facts.is_ended && has_parts(playlist) {
            let hinted = playlist.hints().any(|hint| hint.kind == HintKind::Part);
            self.note(Cause::MissingHint, (!hinted).then_some(Finding::MissingHint));
        }
    }

    /// Looks at the parts of one parent. Whether a part may be short is known when the next one is there, or never.
    fn parts(&mut self, msn: u64, parts: &[&PartialSegment], target: Option<Duration>) {
        let Some(target) = target else { return };
        let from = if self.judged.msn == msn { self.judged.part as usize } else { 0 };
        for index in from..parts.len() {
            let part = parts[index];
            let next = parts.get(index + 1);
            let may_be_short = part.is_independent || part.is_gap || next.is_none_or(|next| next.is_gap);
            let is_short = !may_be_short && part.duration + ROUNDING < target.mul_f64(0.85);
            let is_uneven = part.duration > target + ROUNDING || is_short;
            let uneven = Finding::UnevenPart { msn, part: index as u64, duration: part.duration };
            self.note(Cause::UnevenPart, is_uneven.then_some(uneven));
            if next.is_some() {
                self.judged = Position::new(msn, index as u64 + 1);
            }
        }
    }
}

/// A duration in whole seconds, as it is compared with the target duration (§4.4.3.1).
pub(super) fn rounded(duration: Duration) -> Duration {
    Duration::from_secs(duration.as_secs() + u64::from(duration.subsec_millis() >= 500))
}

/// The duration of a playlist, or `enough` if that is reached: a long one is not summed up.
pub(super) fn duration_up_to(playlist: &MediaPlaylist, enough: Duration) -> Duration {
    let mut sum = Duration::ZERO;
    for segment in playlist.segments.iter().rev() {
        sum += segment.duration;
        if sum >= enough {
            return enough;
        }
    }
    sum
}

fn has_parts(playlist: &MediaPlaylist) -> bool {
    let is_part = |tag: &Tag| matches!(tag, Tag::Part(_));
    playlist.tail.iter().any(|line| is_part(&line.tag))
        || playlist.segments.last().is_some_and(|segment| !segment.parts.is_empty())
}

/// The part at `position`, which may have become the first of the next parent.
fn part_at(playlist: &MediaPlaylist, position: Position) -> Option<&PartialSegment> {
    let index = position.msn.checked_sub(playlist.msn(0))? as usize;
    let part = position.part as usize;
    match playlist.segments.get(index) {
        Some(segment) if segment.parts.is_empty() => None,
        Some(segment) => segment.parts.get(part).or_else(|| part_at(playlist, Position::segment(position.msn + 1))),
        None if position.msn == playlist.open_msn() => playlist.open_parts().nth(part),
        None => None,
    }
}

fn is_kept(hint: &PreloadHint, part: &PartialSegment) -> bool {
    let start = part.byte_range.map_or(0, |range| range.start);
    hint.uri == part.uri && hint.range.is_none_or(|range| range.start == start)
}
