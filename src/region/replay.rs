//! What was seen before: each sender counts its requests, and each count is taken once. As in RFC 4303 §3.4.3, a window
//! slides over the last counts, so that requests may overtake each other; what lies behind it is too old.

use std::collections::HashMap;

use crate::clock::WallTime;

/// Counts that may be overtaken.
const WINDOW: u64 = 65_536;
const WORDS: usize = (WINDOW / 64) as usize;
/// Senders that are remembered: a node that starts anew is another one.
const SENDERS: usize = 256;

/// Who asked how often. Its memory is bounded: 8 KiB for each sender.
#[derive(Default)]
pub struct Replays(HashMap<u64, Sender>);

struct Sender {
    highest: u64,
    seen: Box<[u64; WORDS]>,
    heard: WallTime,
}

/// Why a count is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stale {
    /// It was taken before, or is so old that it may have been.
    Seen,
    /// As many senders as may be are remembered.
    Crowd,
}

impl Replays {
    /// Takes the count of a sender whose message was proven. Senders not heard for `seconds` are forgotten where room
    /// is needed: their messages are too old by their date.
    ///
    /// # Errors
    /// [`Stale`].
    pub fn take(&mut self, (sender, count): (u64, u64), now: WallTime, seconds: u64) -> Result<(), Stale> {
        if !self.0.contains_key(&sender) && self.0.len() >= SENDERS {
            let at = |time: WallTime| time.since_epoch().as_secs();
            self.0.retain(|_, other| at(now).saturating_sub(at(other.heard)) <= seconds);
            if self.0.len() >= SENDERS {
                return Err(Stale::Crowd);
            }
        }
        let fresh = || Sender { highest: 0, seen: Box::new([0; WORDS]), heard: now };
        let sender = self.0.entry(sender).or_insert_with(fresh);
        sender.heard = now;
        sender.take(count)
    }
}

impl Sender {
    fn take(&mut self, count: u64) -> Result<(), Stale> {
        if count.checked_add(WINDOW).is_some_and(|end| end <= self.highest) {
            return Err(Stale::Seen);
        }
        if count > self.highest {
            let steps = (count - self.highest).min(WINDOW);
            // What the window leaves behind is forgotten, octet for octet where it moves little.
            (count - steps + 1..=count).for_each(|passed| self.clear(passed));
            self.highest = count;
        }
        let (word, bit) = place(count);
        if self.seen[word] & bit != 0 {
            return Err(Stale::Seen);
        }
        self.seen[word] |= bit;
        Ok(())
    }

    fn clear(&mut self, count: u64) {
        let (word, bit) = place(count);
        self.seen[word] &= !bit;
    }
}

/// Where a count is noted.
fn place(count: u64) -> (usize, u64) {
    let at = count % WINDOW;
    ((at / 64) as usize, 1 << (at % 64))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> WallTime {
        WallTime::at(std::time::Duration::from_secs(seconds))
    }

    #[test]
    fn senders_that_fell_silent_make_room_and_others_do_not() {
        let mut replays = Replays::default();
        for sender in 0..SENDERS as u64 {
            assert_eq!(replays.take((sender, 1), at(100), 60), Ok(()));
        }
        assert_eq!(replays.take((1_000, 1), at(110), 60), Err(Stale::Crowd));
        assert_eq!(replays.take((1_000, 1), at(161), 60), Ok(()));
        assert_eq!(replays.take((1_000, 1), at(161), 60), Err(Stale::Seen));
    }

    #[test]
    fn the_largest_count_is_taken_once() {
        let mut replays = Replays::default();
        assert_eq!(replays.take((1, u64::MAX), at(1), 60), Ok(()));
        assert_eq!(replays.take((1, u64::MAX), at(1), 60), Err(Stale::Seen));
        assert_eq!(replays.take((1, 5), at(1), 60), Err(Stale::Seen));
    }

    proptest! {
        #[test]
        fn no_count_is_taken_twice_and_none_within_the_window_is_refused(
            jumps in proptest::collection::vec((0_u64..200, 0_u64..70_000), 1..200),
        ) {
            let mut replays = Replays::default();
            let (mut taken, mut highest) = (HashSet::new(), 0_u64);
            for (index, (back, ahead)) in jumps.into_iter().enumerate() {
                let count = match index % 3 { 0 => highest + ahead, _ => (highest + 3).saturating_sub(back) };
                let outcome = replays.take((7, count), at(1), 60);
                let is_old = count + WINDOW <= highest;
                prop_assert_eq!(outcome.is_ok(), !is_old && taken.insert(count), "{}", count);
                highest = highest.max(count);
            }
        }
    }
}
