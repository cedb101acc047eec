//! The endless timeline: which segment and part exists when. Pure functions of (epoch, part plan, now, number).
//!
//! Time runs on a grid of video frames since the epoch. Segment N is frames 60·N to 60·(N+1) and takes its content from the
//! clip's segment N mod 8. A part exists once its last frame is over; all renditions advance at the same instant. Audio is cut
//! at the last AAC frame that begins at or before the video cut, as packagers do, so its parts differ by one frame in length.

use super::clip::{FPS, SEGMENT_FRAMES, SEGMENT_MS, Track};

/// Target duration in seconds.
pub const TARGET_S: u64 = 2;

/// A partial segment: its segment's media sequence number and its place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Media sequence number.
    pub msn: u64,
    /// Index in the segment, from 0.
    pub part: u64,
}

/// Frames per part, which may change from one segment to the next: `(first segment, frames)` in rising order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartPlan(Vec<(u64, u64)>);

/// The shortest part, 133 ms: below it, whole AAC frames cannot keep parts within 85 % of the part target.
pub const MIN_PART_FRAMES: u64 = 4;
const MAX_CHANGES: usize = 64;

impl PartPlan {
    /// Parts of `ms` milliseconds throughout, to the nearest frame, from 133 ms up to a segment.
    pub fn new(ms: u64) -> Self {
        Self(vec![(0, Self::frames_of(ms))])
    }

    fn frames_of(ms: u64) -> u64 {
        ((ms.saturating_mul(FPS) + 500) / 1000).clamp(MIN_PART_FRAMES, SEGMENT_FRAMES)
    }

    /// From segment `msn` on, parts of `ms` milliseconds. The oldest changes are forgotten beyond 64.
    pub fn change(&mut self, msn: u64, ms: u64) {
        self.0.retain(|(from, _)| *from < msn || *from == 0);
        if msn == 0 {
            self.0.clear();
        }
        self.0.push((msn, Self::frames_of(ms)));
        if self.0.len() > MAX_CHANGES {
            self.0.remove(0);
            self.0[0].0 = 0;
        }
    }

    /// Frames of a part of segment `msn`.
    pub fn frames(&self, msn: u64) -> u64 {
        self.0.iter().rev().find(|(from, _)| *from <= msn).map_or(MIN_PART_FRAMES, |(_, frames)| *frames)
    }

    /// Number of parts of segment `msn`.
    pub fn parts(&self, msn: u64) -> u64 {
        SEGMENT_FRAMES.div_ceil(self.frames(msn))
    }

    /// First frame and the frame after the last of a part, on the grid.
    pub fn span(&self, at: Position) -> (u64, u64) {
        let (start, end) = (at.msn * SEGMENT_FRAMES, (at.msn + 1) * SEGMENT_FRAMES);
        let from = start + at.part * self.frames(at.msn);
        (from.min(end), (from + self.frames(at.msn)).min(end))
    }

    /// Part target of `track` at segment `msn`, in 10 µs, rounded up.
    pub fn target(&self, track: &Track, msn: u64) -> u64 {
        let samples = (self.frames(msn) * u64::from(track.timescale)).div_ceil(FPS * u64::from(track.sample_duration));
        (samples * u64::from(track.sample_duration) * 100_000).div_ceil(u64::from(track.timescale))
    }
}

/// What is complete: segments before `open`, and `parts` parts of segment `open`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    /// The segment that is being made.
    pub open: u64,
    /// Its parts that exist; fewer than it will have.
    pub parts: u64,
}

impl Edge {
    /// Whether the part at `at` exists.
    pub fn has(self, at: Position) -> bool {
        at.msn < self.open || at.msn == self.open && at.part < self.parts
    }

    /// The part that comes next.
    pub fn next(self) -> Position {
        Position { msn: self.open, part: self.parts }
    }

    /// The newest part, none before the first.
    pub fn last(self, plan: &PartPlan) -> Option<Position> {
        if self.parts > 0 {
            return Some(Position { msn: self.open, part: self.parts - 1 });
        }
        let msn = self.open.checked_sub(1)?;
        Some(Position { msn, part: plan.parts(msn) - 1 })
    }
}

/// A timeline that began at `epoch_ms`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeline {
    /// Unix time of frame 0 of segment 0, in milliseconds.
    pub epoch_ms: u64,
    /// How segments are cut into parts.
    pub plan: PartPlan,
}

impl Timeline {
    /// What exists at `now`.
    pub fn edge(&self, now: u64) -> Edge {
        let frames = now.saturating_sub(self.epoch_ms) * FPS / 1000;
        let open = frames / SEGMENT_FRAMES;
        Edge { open, parts: frames % SEGMENT_FRAMES / self.plan.frames(open) }
    }

    /// The first millisecond at which the part at `at` exists.
    pub fn due(&self, at: Position) -> u64 {
        self.epoch_ms + (self.plan.span(at).1 * 1000).div_ceil(FPS)
    }

    /// The first millisecond at which segment `msn` is complete.
    pub fn segment_due(&self, msn: u64) -> u64 {
        self.epoch_ms + msn.saturating_add(1).saturating_mul(SEGMENT_MS)
    }

    /// Unix milliseconds of the first sample of segment `msn` in `track`.
    pub fn date(&self, track: &Track, msn: u64) -> u64 {
        let units = track.cut(msn * SEGMENT_FRAMES) * u64::from(track.sample_duration);
        self.epoch_ms + units * 1000 / u64::from(track.timescale)
    }
}

/// Units of the track's timescale between two frames of the grid, as its samples are cut.
pub fn units(track: &Track, from: u64, to: u64) -> u64 {
    (track.cut(to) - track.cut(from)) * u64::from(track.sample_duration)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::clip::Clip;

    fn timeline() -> Timeline {
        Timeline { epoch_ms: 1_000_000, plan: PartPlan::new(333) }
    }

    #[test]
    fn a_part_exists_from_its_due_millisecond_and_not_before() {
        let timeline = timeline();
        for msn in [0, 7, 8, 1_000_003] {
            for part in 0..6 {
                let at = Position { msn, part };
                let due = timeline.due(at);
                assert!(timeline.edge(due).has(at), "{at:?}");
                assert!(!timeline.edge(due - 1).has(at), "{at:?}");
                assert_eq!(timeline.edge(due - 1).next(), at);
            }
            assert_eq!(timeline.edge(timeline.segment_due(msn)), Edge { open: msn + 1, parts: 0 });
        }
    }

    #[test]
    fn parts_tile_the_segment_whatever_their_length() {
        for ms in [1, 133, 200, 333, 500, 1000, 1700, 9000] {
            let plan = PartPlan::new(ms);
            let mut at = 5 * SEGMENT_FRAMES;
            for part in 0..plan.parts(5) {
                let (from, to) = plan.span(Position { msn: 5, part });
                assert!(from == at && to > from, "{ms} ms, part {part}");
                at = to;
            }
            assert_eq!(at, 6 * SEGMENT_FRAMES);
        }
    }

    #[test]
    fn no_part_exceeds_its_target_or_falls_below_85_percent_of_it() {
        let clip = Clip::load().unwrap();
        for frames in MIN_PART_FRAMES..=SEGMENT_FRAMES {
            let plan = PartPlan::new((frames * 1000).div_ceil(FPS));
            assert_eq!(plan.frames(0), frames);
            for track in clip.tracks() {
                let target = plan.target(track, 0);
                for at in (0..16).flat_map(|msn| (0..plan.parts(msn)).map(move |part| Position { msn, part })) {
                    let (from, to) = plan.span(at);
                    let long = units(track, from, to) * 100_000;
                    let scale = u64::from(track.timescale);
                    assert!(long <= target * scale, "{} {frames} {at:?}", track.name);
                    let exempt = at.part + 1 == plan.parts(at.msn) || track.is_video() && at.part == 0;
                    assert!(exempt || long * 100 >= target * scale * 85, "{} {frames} {at:?}", track.name);
                }
            }
        }
    }

    #[test]
    fn a_changed_part_length_leaves_earlier_segments_alone() {
        let mut plan = PartPlan::new(333);
        plan.change(10, 500);
        plan.change(12, 200);
        assert_eq!([9, 10, 11, 12, 99].map(|msn| plan.frames(msn)), [10, 15, 15, 6, 6]);
        for msn in 20..200 {
            plan.change(msn, 1000);
        }
        assert_eq!((plan.frames(0), plan.0.len() <= MAX_CHANGES), (30, true));
    }
}
