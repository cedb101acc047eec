//! What many views come to together: sums, of which those of parts add up to that of the whole. A ratio is taken of sums
//! at the end and never before.

use super::sketch::Sketch;

/// Numbers that only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Views that have played for a second or longer.
    pub views: u64,
    /// Views that are over and have not.
    pub left_out: u64,
    /// Time of playing, in milliseconds.
    pub playing_ms: u64,
    /// Time of rebuffering, in milliseconds.
    pub rebuffer_ms: u64,
    /// The time of playing of views whose rebuffering is known, in milliseconds.
    pub watched_ms: u64,
    /// Times of rebuffering.
    pub rebuffers: u64,
    /// Bit rate times time, in bits.
    pub bits: u64,
    /// The time in which the bit rate is known, in milliseconds.
    pub rated_ms: u64,
    /// Changes to a higher bit rate.
    pub switches_up: u64,
    /// Changes to a lower bit rate.
    pub switches_down: u64,
    /// Frames that were not shown.
    pub dropped_frames: u64,
    /// The time of playing of views that count frames, in milliseconds.
    pub frames_ms: u64,
    /// Viewers who left before anything was played.
    pub exits_before_start: u64,
    /// Views that failed before anything was played.
    pub start_failures: u64,
    /// Views that failed after something was played.
    pub playback_failures: u64,
}

impl Counts {
    fn with(self, other: Self, of: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            views: of(self.views, other.views),
            left_out: of(self.left_out, other.left_out),
            playing_ms: of(self.playing_ms, other.playing_ms),
            rebuffer_ms: of(self.rebuffer_ms, other.rebuffer_ms),
            watched_ms: of(self.watched_ms, other.watched_ms),
            rebuffers: of(self.rebuffers, other.rebuffers),
            bits: of(self.bits, other.bits),
            rated_ms: of(self.rated_ms, other.rated_ms),
            switches_up: of(self.switches_up, other.switches_up),
            switches_down: of(self.switches_down, other.switches_down),
            dropped_frames: of(self.dropped_frames, other.dropped_frames),
            frames_ms: of(self.frames_ms, other.frames_ms),
            exits_before_start: of(self.exits_before_start, other.exits_before_start),
            start_failures: of(self.start_failures, other.start_failures),
            playback_failures: of(self.playback_failures, other.playback_failures),
        }
    }

    /// What is new in these since `before`, which becomes the larger of both. A late report may make a number smaller
    /// than it was; nothing is new then until it is larger again, for sums never shrink.
    pub(super) fn since(self, before: &mut Self) -> Self {
        let new = self.with(*before, u64::saturating_sub);
        *before = self.with(*before, u64::max);
        new
    }
}

/// The sums of many views from one source.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sums {
    /// Numbers.
    pub counts: Counts,
    /// To the first picture, in milliseconds.
    pub startup: Sketch,
    /// How far behind live, in milliseconds, by milliseconds of playing.
    pub latency: Sketch,
    /// Throughput, in kilobits per second.
    pub throughput: Sketch,
}

impl Sums {
    /// Adds those of others. A number that has run over begins anew, as readers of counters expect it; one that stayed at
    /// its largest would be wrong from then on.
    pub fn merge(&mut self, other: &Self) {
        self.counts = self.counts.with(other.counts, u64::wrapping_add);
        self.startup.merge(&other.startup);
        self.latency.merge(&other.latency);
        self.throughput.merge(&other.throughput);
    }

    /// What it takes beside itself, in bytes.
    const fn room(&self) -> usize {
        self.startup.room() + self.latency.room() + self.throughput.room()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.counts == Counts::default() && self.startup.is_empty() && self.throughput.is_empty()
    }
}

/// Sums from both sources, kept apart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Both {
    /// What players report.
    pub reported: Sums,
    /// What the node infers from requests, and from what comes with them.
    pub inferred: Sums,
}

impl Both {
    /// Adds those of others.
    pub fn merge(&mut self, other: &Self) {
        self.reported.merge(&other.reported);
        self.inferred.merge(&other.inferred);
    }

    /// What it takes, in bytes.
    pub const fn weight(&self) -> usize {
        size_of::<Self>() + self.reported.room() + self.inferred.room()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.reported.is_empty() && self.inferred.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_that_has_run_over_goes_on() {
        let of = |bits| Sums { counts: Counts { bits, ..Counts::default() }, ..Sums::default() };
        let mut sums = of(u64::MAX);
        sums.merge(&of(1));
        sums.merge(&of(5));
        assert_eq!(sums.counts.bits, 5);
    }
}
