//! When a set of keys is fetched again: when it is as old as its issuer says it may be, sooner where fetching fails, and
//! once out of turn where a token names a key that is not in it.
//!
//! No request can make a node ask an issuer more often than every half minute.

use std::time::Duration;

use crate::clock::Tick;

/// A set is never fetched again sooner than this after it came, whatever its issuer says, …
pub const SOONEST: Duration = Duration::from_mins(5);
/// … nor later than this.
pub const LATEST: Duration = Duration::from_hours(24);
/// Between two fetches out of turn.
pub const OUT_OF_TURN: Duration = Duration::from_secs(30);
/// A set that could not be fetched again for so long is an alarm.
pub const ALARM: Duration = Duration::from_hours(24);
/// After the first failure.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// After many failures; without any set it is half a minute.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);
const LONGEST_PAUSE_WITHOUT: Duration = Duration::from_secs(30);

/// The rhythm of one set.
#[derive(Clone, Copy, Debug)]
pub struct Rhythm {
    due: Tick,
    failures: u32,
    /// The last fetch out of turn.
    asked: Option<Tick>,
    /// When the set last came, or was said to be the same.
    came: Option<Tick>,
    begun: Tick,
}

impl Rhythm {
    /// Nothing was fetched yet: that is due.
    pub const fn new(now: Tick) -> Self {
        Self { due: now, failures: 0, asked: None, came: None, begun: now }
    }

    /// When it is fetched next.
    pub const fn due(&self) -> Tick {
        self.due
    }

    /// It came, or is the same as before; `max_age`: how long its issuer says that it holds.
    pub fn came(&mut self, now: Tick, max_age: Option<Duration>) {
        self.failures = 0;
        self.came = Some(now);
        self.due = now + max_age.unwrap_or(SOONEST).clamp(SOONEST, LATEST);
    }

    /// It could not be fetched. `chance`: 0…1, which keeps nodes from asking together.
    pub fn failed(&mut self, now: Tick, chance: f64) {
        let longest = if self.came.is_some() { LONGEST_PAUSE } else { LONGEST_PAUSE_WITHOUT };
        let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(16)).min(longest);
        self.failures = self.failures.saturating_add(1);
        self.due = now + pause.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0);
    }

    /// A token names a key that is not in the set: whether it is fetched out of turn, at once.
    pub fn ask(&mut self, now: Tick) -> bool {
        let is_soon = self.asked.is_some_and(|asked| now < asked + OUT_OF_TURN);
        // What came a moment ago would come again.
        let is_new = self.came.is_some_and(|came| now < came + FIRST_PAUSE);
        if is_soon || is_new {
            return false;
        }
        self.asked = Some(now);
        self.due = now;
        true
    }

    /// How long ago the set came; `None`: it never did.
    pub fn age(&self, now: Tick) -> Option<Duration> {
        self.came.map(|came| now.since(came))
    }

    /// Whether somebody has to look at it.
    pub fn is_alarming(&self, now: Tick) -> bool {
        self.failures > 0 && now.since(self.came.unwrap_or(self.begun)) >= ALARM
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Tick {
        Tick::default() + Duration::from_secs(seconds)
    }

    #[test]
    fn a_set_is_fetched_again_when_its_issuer_says_within_bounds() {
        for (max_age, next) in [
            (None, 300),
            (Some(0), 300),
            (Some(299), 300),
            (Some(600), 600),
            (Some(86_400), 86_400),
            (Some(u64::MAX / 4), 86_400),
        ] {
            let mut rhythm = Rhythm::new(at(0));
            rhythm.came(at(10), max_age.map(Duration::from_secs));
            assert_eq!(rhythm.due(), at(10 + next), "{max_age:?}");
        }
    }

    #[test]
    fn failures_are_tried_again_at_growing_distances_and_for_ever() {
        let mut rhythm = Rhythm::new(at(0));
        let pauses = |rhythm: &mut Rhythm| -> Vec<u64> {
            (0..12).map(|_| (rhythm.failed(at(0), 1.0), rhythm.due().since(at(0)).as_secs()).1).collect()
        };
        assert_eq!(pauses(&mut rhythm), [1, 2, 4, 8, 16, 30, 30, 30, 30, 30, 30, 30]);
        rhythm.came(at(0), None);
        assert_eq!(pauses(&mut rhythm), [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        rhythm.failed(at(0), 0.0);
        assert_eq!(rhythm.due(), at(150));
    }

    #[test]
    fn unknown_keys_make_one_fetch_in_half_a_minute() {
        let mut rhythm = Rhythm::new(at(0));
        rhythm.came(at(0), None);
        assert!(!rhythm.ask(at(0)), "the set came just now");
        assert!(rhythm.ask(at(100)));
        assert_eq!(rhythm.due(), at(100));
        rhythm.came(at(101), None);
        assert!(!rhythm.ask(at(129)));
        assert!(rhythm.ask(at(130)));
    }

    #[test]
    fn a_day_without_news_is_an_alarm_and_no_end() {
        let mut rhythm = Rhythm::new(at(0));
        rhythm.came(at(0), None);
        assert!(!rhythm.is_alarming(at(90_000)), "nothing failed");
        rhythm.failed(at(86_399), 0.0);
        assert!(!rhythm.is_alarming(at(86_399)));
        assert!(rhythm.is_alarming(at(86_400)));
        assert_eq!(rhythm.age(at(86_400)), Some(ALARM));
        rhythm.came(at(86_500), None);
        assert!(!rhythm.is_alarming(at(200_000)));
        let mut never = Rhythm::new(at(0));
        never.failed(at(1), 0.0);
        assert!(never.is_alarming(at(86_400)));
    }
}
