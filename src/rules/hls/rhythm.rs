//! When an origin without blocking reload publishes next, and when it is asked (§6.3.4).

use std::time::Duration;

use crate::clock::Tick;

/// What is known of an origin's publishing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rhythm {
    target_duration: Duration,
    part_target: Option<Duration>,
}

impl Rhythm {
    /// Takes on the outcome of a poll that was sent at `asked` and answered at `answered`: whether the playlist had
    /// changed, the duration of its last segment, its targets, and how many polls changed nothing since.
    pub fn observe(&mut self, _poll: &Poll) {
        unimplemented!("window")
    }

    /// When to ask next: at most two polls a target duration on average.
    pub fn next(&self) -> Tick {
        unimplemented!("window")
    }
}

/// What a poll came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Poll {
    /// When it was sent.
    pub asked: Tick,
    /// When it was answered.
    pub answered: Tick,
    /// Whether the playlist had changed.
    pub changed: bool,
    /// The duration of the last segment.
    pub last_segment: Duration,
    /// EXT-X-TARGETDURATION.
    pub target_duration: Duration,
    /// PART-TARGET.
    pub part_target: Option<Duration>,
}
