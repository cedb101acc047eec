//! The numbers that a player gives its reports (`sn`): which are missing, which came twice. They rise by one from zero on
//! for each view and each way of reporting.

/// A number so much higher than all before begins a new count: it is no gap.
const LEAP: u64 = 10_000;

/// Records that are known again by what they say: those of the largest body that is sent again.
const KNOWN: usize = super::cmcd::MOST_RECORDS;

/// The numbers of one view by one way.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Serials {
    span: Option<(u64, u64)>,
    /// The last 64 numbers, the highest in the lowest bit.
    seen: u64,
    distinct: u64,
    missing_before: u64,
}

/// What a number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Serial {
    /// It comes for the first time.
    New,
    /// It was there before.
    Doubled,
}

impl Serials {
    /// A report has come with this number.
    pub(super) fn note(&mut self, sn: u64) -> Serial {
        let Some((first, last)) = self.span.filter(|(_, last)| sn < last.saturating_add(LEAP)) else {
            self.missing_before = self.missing();
            (self.span, self.seen, self.distinct) = (Some((sn, sn)), 1, 1);
            return Serial::New;
        };
        if sn > last {
            let step = sn - last;
            self.seen = if step < 64 { self.seen << step | 1 } else { 1 };
        } else if let back @ 0..64 = last - sn {
            if self.seen & 1 << back != 0 {
                return Serial::Doubled;
            }
            self.seen |= 1 << back;
        } else if self.missing() == self.missing_before && sn >= first {
            return Serial::Doubled;
        }
        self.distinct += 1;
        self.span = Some((first.min(sn), last.max(sn)));
        Serial::New
    }

    /// How many numbers between the lowest and the highest never came.
    pub(super) fn missing(&self) -> u64 {
        let expected = self.span.map_or(0, |(first, last)| last - first + 1);
        self.missing_before + expected.saturating_sub(self.distinct)
    }
}

/// The last records, by what they say: a player sends a batch again, octet by octet, if it heard no answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    records: Vec<u64>,
    next: usize,
}

impl Known {
    /// What it takes beside itself, in bytes.
    pub(super) const fn room(&self) -> usize {
        self.records.capacity() * size_of::<u64>()
    }

    /// Whether a record was there before; it is from now on. `record`: hexadecimal digits.
    pub(super) fn is_again(&mut self, record: &str) -> bool {
        let Some(record) = record.get(..16).and_then(|digits| u64::from_str_radix(digits, 16).ok()) else {
            return false;
        };
        if self.records.contains(&record) {
            return true;
        }
        if self.records.len() < KNOWN {
            self.records.push(record);
        } else {
            self.records[self.next] = record;
            self.next = (self.next + 1) % KNOWN;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(numbers: &[u64]) -> (u64, usize) {
        let mut serials = Serials::default();
        let doubled = numbers.iter().filter(|sn| serials.note(**sn) == Serial::Doubled).count();
        (serials.missing(), doubled)
    }

    #[test]
    fn gaps_are_counted_and_filled_by_what_comes_late() {
        let cases: [(&[u64], u64, usize); 9] = [
            (&[], 0, 0),
            (&[0, 1, 2], 0, 0),
            (&[0, 1, 4], 2, 0),
            (&[0, 4, 1, 3], 1, 0),
            (&[0, 1, 1, 2], 0, 1),
            (&[3, 4, 0], 2, 0),
            (&[0, 100], 99, 0),
            (&[0, 100, 5], 98, 0),
            (&[0, 2, 1_000_000, 1_000_001], 1, 0),
        ];
        for (numbers, missing, doubled) in cases {
            assert_eq!(of(numbers), (missing, doubled), "{numbers:?}");
        }
    }

    #[test]
    fn a_record_that_is_sent_again_is_known_again() {
        let mut known = Known::default();
        let record = |number: u64| format!("{number:016x}0123456789abcdef");
        assert!(!known.is_again(&record(1)) && known.is_again(&record(1)));
        let most = KNOWN as u64;
        (2..=most).for_each(|number| assert!(!known.is_again(&record(number))));
        assert!(known.is_again(&record(1)), "a whole body is known again");
        assert!(!known.is_again(&record(most + 1)) && !known.is_again(&record(1)), "it is bounded");
        assert!(!known.is_again("") && !known.is_again("no digits at all"));
    }

    proptest! {
        #[test]
        fn what_is_missing_does_not_depend_on_the_order(
            numbers in prop::collection::hash_set(0..60_u64, 1..60), seed in any::<u64>(),
        ) {
            let mut sorted: Vec<_> = numbers.into_iter().collect();
            sorted.sort_unstable();
            let expected = sorted.last().unwrap() - sorted[0] + 1 - sorted.len() as u64;
            let mut shuffled = sorted;
            let mut state = seed | 1;
            for at in (1..shuffled.len()).rev() {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                shuffled.swap(at, (state >> 33) as usize % (at + 1));
            }
            prop_assert_eq!(of(&shuffled), (expected, 0));
        }
    }
}
