//! What makes a batch: records that follow each other, at most a megabyte of them, none of which waits for longer than a
//! second to be sent.

use std::fmt::Write;
use std::time::Duration;

/// Octets of a batch, at most, line ends included; a single longer line is a batch of its own.
pub const LARGEST: usize = 1 << 20;

/// How many of these lines make one batch: as many as fit, at least one. Lengths are without line ends.
pub fn cut(lengths: impl IntoIterator<Item = usize>, most: usize) -> usize {
    let mut octets = 0_usize;
    let fits = |(index, length): &(usize, usize)| {
        octets = octets.saturating_add(length + 1);
        *index == 0 || octets <= most
    };
    lengths.into_iter().enumerate().take_while(fits).count()
}

/// How long a batch that is not full yet may wait for more: until its oldest record has waited for `every`. Clocks that
/// jump make nothing wait for longer. Moments are in milliseconds since the epoch.
pub fn patience(oldest: u64, now: u64, every: Duration) -> Duration {
    every.saturating_sub(Duration::from_millis(now.saturating_sub(oldest)))
}

/// What a receiver knows a batch by that it gets twice. `check`, of its octets: another batch that begins with the same
/// record has another key.
pub fn key(node: &str, boot: u64, first: u64, check: u32) -> String {
    format!("{node}/{boot:x}/{first}-{check:08x}")
}

/// What a batch holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// The number of its first record.
    pub first: u64,
    /// The number of its last record.
    pub last: u64,
    /// Its records.
    pub count: u64,
    /// When its earliest record was told, in milliseconds since the epoch.
    pub from: u64,
    /// When its latest one was.
    pub to: u64,
}

impl Extent {
    /// With one more record.
    #[must_use]
    pub fn with(self, number: u64, at: u64) -> Self {
        if self.count == 0 {
            return Self { first: number, last: number, count: 1, from: at, to: at };
        }
        Self { last: number, count: self.count + 1, from: self.from.min(at), to: self.to.max(at), ..self }
    }

    /// As a structured field (RFC 9651 §3.2).
    pub fn field(&self) -> String {
        let Self { first, last, count, from, to } = self;
        let mut field = String::with_capacity(96);
        // A String takes whatever is written.
        _ = write!(field, "first={first}, last={last}, count={count}, from={from}, to={to}");
        field
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_batch_takes_what_fits_and_never_nothing() {
        assert_eq!(cut([10, 10, 10], 22), 2);
        assert_eq!(cut([10, 10, 10], 33), 3);
        assert_eq!(cut([500, 1], 22), 1);
        assert_eq!(cut([], 22), 0);
    }

    #[test]
    fn a_record_waits_for_a_second_however_the_clock_jumps() {
        let second = Duration::from_secs(1);
        assert_eq!(patience(5_000, 5_250, second), Duration::from_millis(750));
        assert_eq!(patience(5_000, 9_000, second), Duration::ZERO);
        assert_eq!(patience(5_000, 4_000, second), second);
    }

    #[test]
    fn an_extent_says_what_is_inside() {
        let extent = [(7, 30), (8, 10), (11, 20)].iter().fold(Extent::default(), |all, (n, at)| all.with(*n, *at));
        assert_eq!(extent, Extent { first: 7, last: 11, count: 3, from: 10, to: 30 });
        assert_eq!(extent.field(), "first=7, last=11, count=3, from=10, to=30");
        assert_eq!(key("edge-ams-1", 0x19a, 7, 0xabcd), "edge-ams-1/19a/7-0000abcd");
    }

    proptest! {
        #[test]
        fn every_line_is_in_one_batch(lengths in proptest::collection::vec(0_usize..3_000, 0..200), most in 1_usize..4_096) {
            let mut rest = lengths.as_slice();
            let mut taken = 0;
            while !rest.is_empty() {
                let count = cut(rest.iter().copied(), most);
                prop_assert!(count > 0);
                let octets: usize = rest[..count].iter().map(|length| length + 1).sum();
                prop_assert!(count == 1 || octets <= most);
                (taken, rest) = (taken + count, &rest[count..]);
            }
            prop_assert_eq!(taken, lengths.len());
        }
    }
}
