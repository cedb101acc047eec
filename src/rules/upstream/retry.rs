//! Once more or not: extra requests are a small share of all, so that an origin in trouble is not made busier by those
//! who were let down by it.
//!
//! An extra request is one that is sent where one was sent before. Each request earns a tenth of one; what is earned
//! within a [`WINDOW`] is kept, and a quiet node has a few besides.

use std::time::Duration;

use crate::clock::Tick;

/// Requests that earn one extra request.
pub const SHARE: u64 = 10;
/// What was earned is forgotten in the course of two of these.
pub const WINDOW: Duration = Duration::from_secs(10);
/// Extra requests in a window that need not be earned.
pub const FLOOR: u64 = 10;

/// The extra requests of one group of origins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    began: Tick,
    now: Count,
    before: Count,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    asked: u64,
    extra: u64,
}

impl Budget {
    /// A request is sent for the first time.
    pub fn asked(&mut self, now: Tick) {
        self.turn(now);
        self.now.asked = self.now.asked.saturating_add(1);
    }

    /// Whether one may be sent once more; it counts as sent then.
    pub fn spend(&mut self, now: Tick) -> bool {
        self.turn(now);
        let may = self.left(now) > 0;
        self.now.extra += u64::from(may);
        may
    }

    /// Extra requests that may be sent now.
    pub fn left(&self, now: Tick) -> u64 {
        let mut turned = *self;
        turned.turn(now);
        let asked = turned.now.asked + turned.before.asked;
        let extra = turned.now.extra + turned.before.extra;
        (FLOOR + asked / SHARE).saturating_sub(extra)
    }

    fn turn(&mut self, now: Tick) {
        let age = now.since(self.began);
        if age >= WINDOW * 2 {
            (self.began, self.now, self.before) = (now, Count::default(), Count::default());
        } else if age >= WINDOW {
            (self.began, self.before, self.now) = (self.began + WINDOW, self.now, Count::default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: Tick = Tick::at(Duration::from_secs(100));

    #[test]
    fn a_quiet_node_may_retry_a_few_times() {
        let mut budget = Budget::default();
        budget.asked(START);
        let sent = (0..FLOOR * 3).filter(|_| budget.spend(START)).count();
        assert_eq!(sent as u64, FLOOR);
        assert!(budget.spend(START + WINDOW * 2), "the window has passed");
    }

    #[test]
    fn ten_requests_earn_one() {
        let mut budget = Budget::default();
        (0..1_000).for_each(|_| budget.asked(START));
        assert_eq!(budget.left(START), FLOOR + 100);
    }

    proptest! {
        #[test]
        fn extra_requests_stay_below_a_tenth_and_the_floor(steps in prop::collection::vec((0_u64..500, 0_u32..5), 1..400)) {
            let (mut budget, mut now) = (Budget::default(), START);
            let mut history = Vec::new();
            for (wait, extras) in steps {
                now = now + Duration::from_millis(wait);
                budget.asked(now);
                let sent = (0..extras).filter(|_| budget.spend(now)).count() as u64;
                history.push((now, sent));
                // What is kept reaches back between one window and two.
                let recent = history.iter().filter(|(at, _)| *at + WINDOW > now);
                let extra: u64 = recent.map(|(_, sent)| sent).sum();
                let asked = history.iter().filter(|(at, _)| *at + WINDOW * 2 > now).count() as u64;
                prop_assert!(extra <= FLOOR + asked / SHARE, "{extra} extra beside {asked}");
            }
        }
    }
}
