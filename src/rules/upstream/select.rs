//! A simple memory of health, and the order in which the origins of a group are asked.
//!
//! An origin that failed [`STREAK`] times in a row, each failure within [`MEMORY`] of the one before, rests for a
//! while that doubles with each further failure. A resting origin is asked last. When the rest is over, one request
//! tries it in its old place; the others go on as if it rested until that one has shown something.

use std::time::Duration;

use crate::clock::Tick;

/// Failures in a row that send an origin to rest.
pub const STREAK: u32 = 3;
/// A failure is forgotten after this long.
pub const MEMORY: Duration = Duration::from_secs(10);
/// The first rest.
pub const FIRST_REST: Duration = Duration::from_secs(1);
/// The longest rest.
pub const LONGEST_REST: Duration = Duration::from_secs(30);
/// A trial that has shown nothing after this long is given up, and another request may try.
pub const TRIAL: Duration = Duration::from_secs(10);

/// What is remembered of one origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    failures: u32,
    last_failure: Tick,
    rests_until: Tick,
    tried_at: Option<Tick>,
}

/// How an origin stands at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Asked in its place.
    Well,
    /// Its rest is over: one request may try it in its place.
    OnTrial,
    /// Asked when nothing else is left.
    Resting,
}

impl Health {
    /// How it stands at `now`.
    pub fn standing(&self, now: Tick) -> Standing {
        let trial_runs = self.tried_at.is_some_and(|at| now < at + TRIAL);
        match self.failures {
            ..STREAK => Standing::Well,
            _ if now < self.rests_until || trial_runs => Standing::Resting,
            _ => Standing::OnTrial,
        }
    }

    /// A request tries it.
    pub fn tried(&mut self, now: Tick) {
        self.tried_at = Some(now);
    }

    /// It answered.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// It failed. Failures while it rests say nothing new, except that of the trial.
    pub fn failed(&mut self, now: Tick) {
        let resting = self.failures >= STREAK && now < self.rests_until;
        if resting {
            return;
        }
        let remembered = self.failures >= STREAK || now < self.last_failure + MEMORY;
        self.failures = if remembered { self.failures.saturating_add(1) } else { 1 };
        self.last_failure = now;
        self.tried_at = None;
        if let Some(doublings) = self.failures.checked_sub(STREAK) {
            self.rests_until = now + (FIRST_REST * 2_u32.pow(doublings.min(5))).min(LONGEST_REST);
        }
    }
}

/// The order in which a group's origins are asked: as configured, the resting ones last.
pub fn order(standings: impl IntoIterator<Item = Standing>) -> impl Iterator<Item = usize> {
    let (resting, others): (Vec<_>, Vec<_>) =
        standings.into_iter().enumerate().partition(|(_, standing)| *standing == Standing::Resting);
    others.into_iter().chain(resting).map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: Tick = Tick::at(Duration::from_secs(100));

    fn failing(times: u32) -> Health {
        let mut health = Health::default();
        (0..times).for_each(|_| health.failed(START));
        health
    }

    #[test]
    fn an_origin_rests_after_a_streak_of_failures() {
        assert_eq!(failing(STREAK - 1).standing(START), Standing::Well);
        assert_eq!(failing(STREAK).standing(START), Standing::Resting);
    }

    #[test]
    fn a_success_ends_the_streak() {
        let mut health = failing(STREAK - 1);
        health.succeeded();
        health.failed(START);
        assert_eq!(health.standing(START), Standing::Well);
    }

    #[test]
    fn failures_far_apart_are_no_streak() {
        let mut health = Health::default();
        for round in 0..10 {
            health.failed(START + MEMORY * round);
        }
        assert_eq!(health.standing(START + MEMORY * 9), Standing::Well);
    }

    #[test]
    fn after_its_rest_one_request_tries_it() {
        let mut health = failing(STREAK);
        let later = START + FIRST_REST;
        assert_eq!(health.standing(later), Standing::OnTrial);
        health.tried(later);
        assert_eq!(health.standing(later), Standing::Resting);
        assert_eq!(health.standing(later + TRIAL), Standing::OnTrial, "a trial that was lost is given up");
        health.succeeded();
        assert_eq!(health.standing(later), Standing::Well);
    }

    #[test]
    fn a_failed_trial_doubles_the_rest() {
        let mut health = failing(STREAK);
        let trial = START + FIRST_REST;
        health.tried(trial);
        health.failed(trial);
        assert_eq!(health.standing(trial + FIRST_REST), Standing::Resting);
        assert_eq!(health.standing(trial + FIRST_REST * 2), Standing::OnTrial);
    }

    #[test]
    fn the_resting_ones_are_asked_last() {
        use Standing::{OnTrial, Resting, Well};
        let order: Vec<_> = order([Resting, Well, OnTrial, Resting]).collect();
        assert_eq!(order, [1, 2, 0, 3]);
    }

    proptest! {
        #[test]
        fn a_rest_always_ends(failures in 0_u32..100, wait in 0_u64..5) {
            let mut health = Health::default();
            let mut now = START;
            for _ in 0..failures {
                health.failed(now);
                now = now + Duration::from_secs(wait);
            }
            prop_assert_ne!(health.standing(now + LONGEST_REST), Standing::Resting);
        }
    }
}
