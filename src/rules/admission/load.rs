//! What a node has been doing lately: a moving average in whole numbers, so that a burst of segments is no load and a
//! pause between them no idleness.

use std::time::Duration;

/// Octets sent, as an average of bits per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Average {
    bits: u64,
    over: Duration,
}

impl Average {
    /// Nothing so far; what is older than `over` counts little.
    pub const fn over(over: Duration) -> Self {
        Self { bits: 0, over }
    }

    /// Octets that were sent in a time that has just ended.
    #[must_use]
    pub fn with(self, octets: u64, elapsed: Duration) -> Self {
        let (elapsed, over) = (elapsed.as_nanos(), self.over.as_nanos());
        if elapsed == 0 {
            return self;
        }
        let sample = u128::from(octets) * 8 * 1_000_000_000 / elapsed;
        // Weighted by time: (old × over + new × elapsed) / (over + elapsed).
        let bits = (u128::from(self.bits) * over + sample * elapsed) / (over + elapsed);
        Self { bits: u64::try_from(bits).unwrap_or(u64::MAX), ..self }
    }

    /// Bits per second.
    pub const fn bits(self) -> u64 {
        self.bits
    }
}

/// The share of its cores that a process used, in thousandths, from its CPU time over a time that has just ended.
pub fn cpu_share(used: Duration, elapsed: Duration, cores: usize) -> u64 {
    let whole = elapsed.as_nanos().saturating_mul(cores.max(1) as u128);
    let share = (used.as_nanos() * 1_000).checked_div(whole).unwrap_or_default();
    u64::try_from(share).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_average_comes_to_what_goes_on_and_forgets_what_is_over() {
        let quarter = Duration::from_millis(250);
        let mut average = Average::over(Duration::from_secs(1));
        for _ in 0..40 {
            average = average.with(250_000, quarter);
        }
        assert!((7_990_000..=8_000_000).contains(&average.bits()), "{average:?}");
        for _ in 0..40 {
            average = average.with(0, quarter);
        }
        assert!(average.bits() < 10_000, "{average:?}");
        assert_eq!(average.with(1_000, Duration::ZERO), average);
    }

    #[test]
    fn a_busy_core_of_two_is_half_of_the_node() {
        assert_eq!(cpu_share(Duration::from_millis(250), Duration::from_millis(250), 2), 500);
        assert_eq!(cpu_share(Duration::from_millis(250), Duration::ZERO, 2), 0);
    }

    proptest! {
        #[test]
        fn an_average_stays_between_what_it_was_and_what_came(
            before in 0_u64..1 << 40, octets in 0_u64..1 << 34, ms in 1_u64..10_000
        ) {
            let average = Average { bits: before, over: Duration::from_secs(1) };
            let elapsed = Duration::from_millis(ms);
            let sample = octets * 8 * 1_000 / ms;
            let after = average.with(octets, elapsed).bits();
            prop_assert!(after + 2 >= before.min(sample) && after <= before.max(sample) + 2, "{before} {sample} {after}");
        }
    }
}
