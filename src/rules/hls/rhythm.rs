//! When an origin without blocking reload publishes next, and when it is asked (RFC 8216bis §6.3.4).
//!
//! A poll says only whether the next version was there when it was asked. So the moment of publication is searched for
//! by halves: the next poll goes into the middle of where the last publication lay, one period on, and a second one
//! catches what the first missed. Once the moment is known to a tenth of a second, the first poll follows it: a little
//! earlier after each that came late enough, more than that later after each that came too early, so that one in four
//! comes too early and shows that the origin has not moved. The timeline goes on by the durations of segments; one
//! that is published late does not move it, two in a row do.
//!
//! Never more than two polls a target duration on average, of any ten; with parts, two a part.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::Tick;

/// Polls in [`SPAN`] units at most: two a unit.
const MOST: usize = 20;
/// Units over which polls are averaged.
const SPAN: u32 = 10;
/// From so many polls in that time on they are spread out, so that those that are left last.
const SPREAD_FROM: usize = 18;
/// Between a first poll and the second one of a period.
const PAUSE: Duration = Duration::from_millis(100);
/// A moment that is known so well is followed and not searched for.
const KNOWN: f64 = 0.15;
/// How much earlier the first poll goes after one that came late enough, in seconds.
const EARLIER: f64 = 0.01;
/// First polls that may come too early, of all; fewer where segments are shorter than the target duration, which leaves
/// fewer second polls.
const TOO_EARLY: f64 = 0.25;
/// First polls in a row that came late enough, after which the steps grow: the origin may have moved.
const PATIENCE: i32 = 8;

/// What is known of an origin's publishing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rhythm {
    target_duration: Duration,
    part_target: Option<Duration>,
    /// When the last polls were sent.
    polls: VecDeque<Tick>,
    phase: Phase,
    /// From one publication to the next, as far as is known.
    period: f64,
    /// Polls since the last change that changed nothing.
    unchanged: u32,
    next: Tick,
}

/// When the last version was published, in seconds of the clock.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Phase {
    /// Nothing is known.
    #[default]
    Unknown,
    /// Between these two moments.
    Between(f64, f64),
    /// The first poll of its period belongs here.
    Known {
        /// Where.
        aim: f64,
        /// First polls in a row that were late enough; below zero: that were too early.
        run: i32,
        /// Whether the version before came late.
        was_late: bool,
    },
}

/// What a poll came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Poll {
    /// When it was sent.
    pub asked: Tick,
    /// When it was answered.
    pub answered: Tick,
    /// Whether the playlist had come further.
    pub changed: bool,
    /// The duration of the last segment.
    pub last_segment: Duration,
    /// EXT-X-TARGETDURATION.
    pub target_duration: Duration,
    /// PART-TARGET.
    pub part_target: Option<Duration>,
}

impl Rhythm {
    /// Takes on the outcome of a poll.
    pub fn observe(&mut self, poll: &Poll) {
        (self.target_duration, self.part_target) = (poll.target_duration.max(PAUSE), poll.part_target);
        let before = self.polls.back().map(|asked| seconds(*asked));
        self.polls.push_back(poll.asked);
        if self.polls.len() > MOST {
            self.polls.pop_front();
        }
        if poll.changed {
            let whole = if poll.last_segment.is_zero() { self.target_duration } else { poll.last_segment };
            self.period = self.part_target.unwrap_or(whole).as_secs_f64().max(0.02);
            self.locate(before, seconds(poll.answered));
            self.unchanged = 0;
        } else {
            self.unchanged = self.unchanged.saturating_add(1);
        }
        self.next = self.plan(poll);
    }

    /// When to ask next: at most two polls a target duration on average.
    pub fn next(&self) -> Tick {
        self.next
    }

    /// A version was published after `before`, the poll that did not have it, and not after `now`.
    fn locate(&mut self, before: Option<f64>, now: f64) {
        let period = self.period;
        let earliest = before.unwrap_or(now - period);
        self.phase = match self.phase {
            Phase::Unknown => Phase::Between(earliest.max(now - period), now),
            Phase::Between(from, to) => {
                let missed = ((earliest - (to + period)) / period).ceil().max(0.0) + 1.0;
                let (from, to) = ((from + missed * period).max(earliest), (to + missed * period).min(now));
                if from < to { self.narrowed(from, to) } else { self.narrowed(earliest.max(now - period), now) }
            }
            Phase::Known { aim, run, was_late } => self.followed((aim, run, was_late), earliest, now),
        };
    }

    /// Between two moments, or well enough known.
    fn narrowed(&self, from: f64, to: f64) -> Phase {
        match to - from > KNOWN.min(self.period / 4.0) {
            true => Phase::Between(from, to),
            false => Phase::Known { aim: from + 0.75 * (to - from), run: 0, was_late: false },
        }
    }

    /// Steps of the first poll, for a version that was published between two moments.
    fn followed(&self, (aim, run, was_late): (f64, i32, bool), from: f64, to: f64) -> Phase {
        let period = self.period;
        let missed = ((from - period - aim) / period).floor().max(0.0);
        let due = aim + (1.0 + missed) * period;
        let grown =
            |step: f64, times: i32| (step.min(period / 20.0) * f64::from(1 << times.clamp(0, 10))).min(period / 4.0);
        match self.unchanged {
            0 => {
                let run = run.max(0) + 1;
                // What was published after the poll before cannot have been due earlier.
                let aim = (due - grown(EARLIER, run - PATIENCE)).max(from).min(to);
                Phase::Known { aim, run, was_late: false }
            }
            1 => {
                let run = run.min(0) - 1;
                Phase::Known { aim: (due + grown(self.later(), -run - 2)).min(to), run, was_late: false }
            }
            _ if was_late || missed > 0.0 => self.narrowed(from, to),
            _ => Phase::Known { aim: due, run: 0, was_late: true },
        }
    }

    /// How much later the first poll goes after one that came too early.
    fn later(&self) -> f64 {
        let polls = 2.0 * self.period / self.unit().as_secs_f64();
        let share = (0.4 * (polls - 1.0)).clamp(0.05, TOO_EARLY);
        EARLIER * (1.0 - share) / share
    }

    fn plan(&self, poll: &Poll) -> Tick {
        let first = match self.phase {
            Phase::Unknown => seconds(poll.answered) + self.unit().as_secs_f64() / 2.0,
            Phase::Between(from, to) => (from + to) / 2.0 + self.period,
            Phase::Known { aim, .. } => aim + self.period,
        };
        let wanted = match (self.unchanged, self.phase) {
            (0, _) => tick(first),
            (_, Phase::Unknown) => poll.asked + self.unit() / 2,
            // The second one of a search comes when the version must be there.
            (1, Phase::Between(_, to)) => (poll.asked + self.pause()).max(tick(to + self.period)),
            (times, _) => poll.asked + (self.pause() * 3_u32.pow((times - 1).min(8))).min(self.unit() / 2),
        };
        wanted.max(poll.answered).max(self.allowed(poll.asked))
    }

    /// The earliest next poll that keeps to two a unit.
    fn allowed(&self, asked: Tick) -> Tick {
        let span = self.unit() * SPAN;
        let full = if self.polls.len() == MOST { self.polls[0] + span } else { Tick::default() };
        let recent = self.polls.iter().filter(|poll| **poll + span > asked).count();
        let spread = if recent >= SPREAD_FROM { asked + self.unit() / 2 } else { asked };
        let spacing = if self.part_target.is_some() { asked + self.pause() } else { asked };
        full.max(spread).max(spacing)
    }

    /// What two polls are allowed in: a target duration; with parts, a part.
    fn unit(&self) -> Duration {
        self.part_target.unwrap_or(self.target_duration)
    }

    fn pause(&self) -> Duration {
        self.part_target.map_or(PAUSE, |part| part / 2)
    }
}

fn seconds(tick: Tick) -> f64 {
    tick.since_start().as_secs_f64()
}

fn tick(seconds: f64) -> Tick {
    Tick::at(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

#[cfg(test)]
mod tests;
