//! How much of what another node has told was heard: a numbered row of news, some of which may be lost on the way.

/// One row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Track {
    /// Everything before this number is known, because it was asked for; `None`: it never was.
    base: Option<u64>,
    /// What was heard last without a gap, from the first of these to before the second.
    run: (u64, u64),
}

impl Track {
    /// News from `first` on came, so many.
    pub fn heard(&mut self, first: u64, count: u64) {
        let (start, end) = self.run;
        if first > end {
            self.settle();
            self.run = (first, first + count);
        } else if first >= start {
            self.run.1 = end.max(first + count);
        }
    }

    /// The other one says that it has told so many by now.
    pub fn stands_at(&mut self, told: u64) {
        self.heard(told, 0);
    }

    /// Everything before `upto` was asked for, and came.
    pub fn complete(&mut self, upto: u64) {
        self.base = Some(upto);
        self.settle();
    }

    /// Whether nothing is lacking.
    pub fn is_whole(&self) -> bool {
        self.base.is_some_and(|base| self.run.0 <= base)
    }

    /// The first number that may be lacking; `None`: all may be.
    pub fn lacks_from(&self) -> Option<u64> {
        self.base
    }

    /// What was heard without a gap after the base moves the base.
    fn settle(&mut self) {
        if self.is_whole() {
            self.base = self.base.max(Some(self.run.1));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_gap_is_noticed_and_asked_for_from_where_it_begins() {
        let mut track = Track::default();
        assert!(!track.is_whole() && track.lacks_from().is_none());
        track.complete(3);
        track.heard(3, 2);
        track.stands_at(5);
        assert!(track.is_whole());
        track.heard(7, 1);
        assert!(!track.is_whole());
        assert_eq!(track.lacks_from(), Some(5));
        track.complete(8);
        assert!(track.is_whole());
        track.stands_at(9);
        assert_eq!((track.is_whole(), track.lacks_from()), (false, Some(8)), "the last one was lost");
    }

    #[test]
    fn what_overtakes_the_answer_is_not_lacking() {
        let mut track = Track::default();
        track.stands_at(10);
        track.heard(10, 5);
        track.complete(12);
        assert!(track.is_whole());
        track.heard(17, 1);
        assert_eq!(track.lacks_from(), Some(15));
    }

    proptest! {
        /// News are lost by lot; whatever is asked for comes. In the end nothing is missing that is not known to be.
        #[test]
        fn nothing_is_lost_unnoticed(steps in proptest::collection::vec((0..4_u8, 1..4_u64), 1..60)) {
            let (mut track, mut told) = (Track::default(), 0_u64);
            let mut known = std::collections::BTreeSet::new();
            for (step, count) in steps {
                match step {
                    0 => {
                        track.heard(told, count);
                        known.extend(told..told + count);
                        told += count;
                    }
                    1 => told += count,
                    2 => track.stands_at(told),
                    _ => {
                        known.extend(track.lacks_from().unwrap_or(0)..told);
                        track.complete(told);
                    }
                }
                let end = track.run.1.max(track.base.unwrap_or(0));
                if track.is_whole() {
                    prop_assert!((0..end).all(|number| known.contains(&number)), "{track:?} {known:?}");
                }
            }
        }
    }
}
