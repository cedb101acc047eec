//! How fast the bodies of one session may be sent: a bucket in virtual time. Its state is one number, the moment up to
//! which what was sent is paid for, so that all bodies of a session share it.

use std::time::Duration;

use crate::clock::Tick;

/// Octets per second, and how far ahead of that a session may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Octets per second; not 0.
    pub rate: u64,
    /// What may be sent at once, in the time that it takes at `rate`.
    pub ahead: Duration,
}

impl Pace {
    /// Charges octets that were sent at `now` to a session that is paid up to `paid`: the new state.
    pub fn charge(self, paid: Tick, octets: u64, now: Tick) -> Tick {
        let nanos = u128::from(octets) * 1_000_000_000 / u128::from(self.rate.max(1));
        paid.max(now) + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// From when on more may be sent.
    pub fn ready(self, paid: Tick) -> Tick {
        paid - self.ahead
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_session_gets_its_burst_and_then_its_rate() {
        let pace = Pace { rate: 1_000, ahead: Duration::from_secs(2) };
        let start = Tick::at(Duration::from_secs(100));
        let paid = pace.charge(Tick::default(), 2_000, start);
        assert_eq!(pace.ready(paid), start, "the burst is free");
        let paid = pace.charge(paid, 500, start);
        assert_eq!(pace.ready(paid), start + Duration::from_millis(500));
        let later = start + Duration::from_secs(60);
        assert!(pace.ready(pace.charge(paid, 1, later)) < later, "rest is not saved up, and debt not kept");
    }

    proptest! {
        #[test]
        fn over_any_time_no_more_leaves_than_rate_and_burst_allow(
            rate in 1_u64..1 << 30,
            ahead in 0_u64..10,
            pieces in proptest::collection::vec(1_u64..65_536, 1..200),
        ) {
            let pace = Pace { rate, ahead: Duration::from_secs(ahead) };
            let (mut paid, mut now, mut sent) = (Tick::default(), Tick::at(Duration::from_secs(60)), 0_u128);
            let start = now;
            for octets in pieces {
                // Sent as soon as it may be.
                now = now.max(pace.ready(paid));
                let elapsed = now.since(start).as_nanos();
                let allowed = (elapsed * u128::from(rate)).div_ceil(1_000_000_000) + u128::from(rate * ahead);
                // A piece is never cut: the one before may have gone over by its own length.
                prop_assert!(sent <= allowed + 65_536);
                sent += u128::from(octets);
                paid = pace.charge(paid, octets, now);
            }
        }
    }
}
