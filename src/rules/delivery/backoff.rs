//! When a batch is tried again: after a pause chosen by lot between nothing and a bound that doubles, so that nodes that
//! failed together do not come back together ("full jitter").

use std::time::Duration;

/// The bound of the first pause; it doubles from then on.
pub const FIRST: Duration = Duration::from_millis(500);
/// The bound of every pause.
pub const LONGEST: Duration = Duration::from_secs(60);
/// What a receiver may ask for by Retry-After.
pub const LONGEST_WISH: Duration = Duration::from_secs(300);

/// The pause after so many failures behind each other; `lot`: 0 is the shortest, `u16::MAX` the longest.
pub fn pause(failures: u32, lot: u16) -> Duration {
    let bound = FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(LONGEST);
    bound.mul_f64(f64::from(lot) / f64::from(u16::MAX))
}

/// The same where the receiver asks for a pause of its own: never less than that.
pub fn pause_at_least(wish: Option<Duration>, failures: u32, lot: u16) -> Duration {
    pause(failures, lot).max(wish.unwrap_or_default().min(LONGEST_WISH))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_bound_doubles_from_half_a_second_to_a_minute() {
        let longest = |failures| pause(failures, u16::MAX).as_millis();
        assert_eq!([1, 2, 3, 7, 8, 9, u32::MAX].map(longest), [500, 1_000, 2_000, 32_000, 60_000, 60_000, 60_000]);
        assert_eq!(pause(9, 0), Duration::ZERO);
    }

    #[test]
    fn what_a_receiver_asks_for_is_the_least() {
        let wish = Some(Duration::from_secs(7));
        assert_eq!(pause_at_least(wish, 1, u16::MAX), Duration::from_secs(7));
        assert_eq!(pause_at_least(wish, 9, u16::MAX), LONGEST);
        assert_eq!(pause_at_least(Some(Duration::from_secs(86_400)), 1, 0), LONGEST_WISH);
    }

    proptest! {
        #[test]
        fn no_pause_is_longer_than_its_bound(failures: u32, lot: u16) {
            prop_assert!(pause(failures, lot) <= LONGEST);
            prop_assert!(pause(failures, lot) <= pause(failures, u16::MAX));
        }
    }
}
