//! How far a sink has come in the log, and what has become of every record before: one of a few things, exactly. It is
//! written down before a batch is first sent and after it is dealt with, so that whoever starts anew sends the same batch
//! under the same key, or the next one.
//!
//! Law, at any moment: `next - since = delivered + quarantined + refused + left_out + missed`.

use serde::{Deserialize, Serialize};

/// How far a sink has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The first record that it was to have.
    pub since: u64,
    /// The first record of which nothing has become yet.
    pub next: u64,
    /// Records that the receiver has acknowledged.
    #[serde(default)]
    pub delivered: u64,
    /// Records that the receiver refused and that are laid aside.
    #[serde(default)]
    pub quarantined: u64,
    /// Records that the receiver refused, and that there was no place for.
    #[serde(default)]
    pub refused: u64,
    /// Records that the sink is not to have.
    #[serde(default)]
    pub left_out: u64,
    /// Records that were no longer in the log when their turn came.
    #[serde(default)]
    pub missed: u64,
    /// The batch that may be with the receiver already.
    #[serde(default)]
    pub under_way: Option<UnderWay>,
}

/// A batch that was sent, perhaps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnderWay {
    /// The last number that it covers; it begins with `next`.
    pub last: u64,
    /// Records in it.
    pub count: u64,
    /// Records of this stretch that the sink is not to have.
    #[serde(default)]
    pub left_out: u64,
    /// The CRC-32 of its octets: what was taken out of the log meanwhile makes it another batch.
    pub check: u32,
    /// Its idempotency key.
    pub key: String,
}

/// What has become of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The receiver has it.
    Delivered,
    /// The receiver refused it; it is laid aside.
    Quarantined,
    /// The receiver refused it, and there was no place to lay it.
    Refused,
}

impl Progress {
    /// Of a sink that is to have everything from a record on.
    pub const fn from(first: u64) -> Self {
        Self {
            since: first,
            next: first,
            delivered: 0,
            quarantined: 0,
            refused: 0,
            left_out: 0,
            missed: 0,
            under_way: None,
        }
    }

    /// The same in a log whose next record gets the number `next`. A log that is behind has lost its end, or began anew:
    /// what comes now is not what was sent under these numbers.
    #[must_use]
    pub fn in_log(self, next: u64) -> Self {
        let last = self.under_way.as_ref().map_or(self.next, |under_way| under_way.last + 1);
        match self.next.max(self.since) > next {
            true => Self::from(1),
            false if last > next => Self { under_way: None, ..self },
            false => self,
        }
    }

    /// The batch under way has come to its end; nothing happens where there is none.
    pub fn settle(&mut self, fate: Fate) {
        let Some(UnderWay { last, count, left_out, .. }) = self.under_way.take() else { return };
        match fate {
            Fate::Delivered => self.delivered += count,
            Fate::Quarantined => self.quarantined += count,
            Fate::Refused => self.refused += count,
        }
        self.pass(last, count, left_out);
    }

    /// Nothing up to `last` is sent: `left_out` records are not for this sink, the others are gone.
    pub fn pass_over(&mut self, last: u64, left_out: u64) {
        self.pass(last, 0, left_out);
    }

    fn pass(&mut self, last: u64, count: u64, left_out: u64) {
        self.left_out += left_out;
        self.missed += (last + 1).saturating_sub(self.next).saturating_sub(count + left_out);
        self.next = self.next.max(last + 1);
    }

    /// Records that became nothing that is counted: always 0.
    pub const fn unaccounted(&self) -> i128 {
        let counted = self.delivered as i128
            + self.quarantined as i128
            + self.refused as i128
            + self.left_out as i128
            + self.missed as i128;
        self.next as i128 - self.since as i128 - counted
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn under_way(last: u64, count: u64, left_out: u64) -> Option<UnderWay> {
        Some(UnderWay { last, count, left_out, check: 0, key: "n/1/1".to_owned() })
    }

    #[test]
    fn what_is_missing_within_a_batch_was_missed() {
        let mut progress = Progress::from(5);
        progress.under_way = under_way(14, 6, 1);
        progress.settle(Fate::Delivered);
        assert_eq!((progress.next, progress.delivered, progress.left_out, progress.missed), (15, 6, 1, 3));
        progress.pass_over(19, 2);
        assert_eq!((progress.next, progress.left_out, progress.missed), (20, 3, 6));
        assert_eq!(progress.unaccounted(), 0);
    }

    #[test]
    fn a_log_that_lost_its_end_is_told_anew() {
        let mut progress = Progress::from(5);
        progress.under_way = under_way(14, 10, 0);
        assert_eq!(progress.clone().in_log(15), progress);
        assert_eq!(progress.clone().in_log(12), Progress::from(5));
        progress.settle(Fate::Delivered);
        assert_eq!(progress.clone().in_log(15), progress);
        assert_eq!(progress.in_log(14), Progress::from(1));
    }

    proptest! {
        #[test]
        fn every_record_has_become_exactly_one_thing(
            steps in proptest::collection::vec((0_u64..50, 0_u64..50, 0_u64..50, 0_u8..4), 0..100),
        ) {
            let mut progress = Progress::from(1);
            for (count, left_out, missed, fate) in steps {
                let last = progress.next + count + left_out + missed;
                if count == 0 || fate == 3 {
                    progress.pass_over(last, left_out);
                } else {
                    progress.under_way = under_way(last, count, left_out);
                    let fates = [Fate::Delivered, Fate::Quarantined, Fate::Refused];
                    progress.settle(fates[usize::from(fate)]);
                }
                prop_assert_eq!(progress.unaccounted(), 0);
            }
        }
    }
}
