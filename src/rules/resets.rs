//! Streams that a viewer opens and cancels at once. Each costs the node work and the viewer nothing (CVE-2023-44487);
//! a player that gives up a held request has waited for it, and is not meant.

use std::time::Duration;

use crate::clock::Tick;

/// A stream that lived no longer than this was cancelled at once.
pub const AT_ONCE: Duration = Duration::from_millis(100);
/// Counts begin anew after so long.
const WINDOW: Duration = Duration::from_secs(10);
/// Streams cancelled at once in one window.
const CANCELLED_MAX: u32 = 200;
/// From so many streams on, no more than half of them may be cancelled at once.
const ENOUGH_TO_JUDGE: u32 = 100;

/// Counts the streams of one connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct Resets {
    since: Tick,
    opened: u32,
    cancelled: u32,
}

/// What to do with the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    Bearable,
    /// It is closed.
    Abusive,
}

impl Resets {
    /// A stream was opened.
    pub fn opened(&mut self, now: Tick) {
        self.roll(now);
        self.opened += 1;
    }

    /// A stream was cancelled by the viewer after it had `lived` that long.
    pub fn cancelled(&mut self, now: Tick, lived: Duration) -> Verdict {
        self.roll(now);
        if lived > AT_ONCE {
            return Verdict::Bearable;
        }
        self.cancelled += 1;
        let most = self.opened > ENOUGH_TO_JUDGE && self.cancelled > self.opened / 2;
        if self.cancelled > CANCELLED_MAX || most { Verdict::Abusive } else { Verdict::Bearable }
    }

    fn roll(&mut self, now: Tick) {
        if now.since(self.since) >= WINDOW {
            *self = Self { since: now, opened: 0, cancelled: 0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(1);

    fn at(seconds: u64) -> Tick {
        Tick::at(Duration::from_secs(seconds))
    }

    #[test]
    fn one_that_cancels_at_once_again_and_again_is_abusive() {
        let mut resets = Resets::default();
        let verdicts = (0..150).map(|_| {
            resets.opened(at(1));
            resets.cancelled(at(1), SHORT)
        });
        assert_eq!(verdicts.take_while(|verdict| *verdict == Verdict::Bearable).count(), 100);
    }

    #[test]
    fn a_few_among_many_are_borne_up_to_a_bound() {
        let mut resets = Resets::default();
        (0..1_000).for_each(|_| resets.opened(at(1)));
        let verdicts: Vec<Verdict> = (0..201).map(|_| resets.cancelled(at(2), SHORT)).collect();
        assert_eq!(verdicts[199..], [Verdict::Bearable, Verdict::Abusive]);
        assert_eq!(resets.cancelled(at(20), SHORT), Verdict::Bearable);
    }

    #[test]
    fn giving_up_a_held_request_is_normal() {
        let mut resets = Resets::default();
        for _ in 0..1_000 {
            resets.opened(at(1));
            assert_eq!(resets.cancelled(at(1), Duration::from_secs(1)), Verdict::Bearable);
        }
    }
}
