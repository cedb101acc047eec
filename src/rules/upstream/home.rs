//! Where a stream is at home: the origin whose playlists its viewers see. It stays there while it advances, moves on
//! where it stalls, and comes back when the operator says so or, by policy, when the better place has been well for
//! long enough: longer each time, so that it does not go to and fro.

use std::time::Duration;

use crate::clock::Tick;

/// A better place has to be well for this long before a stream comes back by itself.
pub const SETTLED: Duration = Duration::from_mins(1);
/// The longest that it may have to be.
pub const LONGEST_SETTLING: Duration = Duration::from_mins(30);
/// A place at which a stream stalled is not gone to again for this long, if there is another.
pub const AVOIDED: Duration = Duration::from_secs(30);

/// Whether streams come back by themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Failback {
    /// When the origin that is preferred has been well for a while.
    #[default]
    Auto,
    /// When the operator says so.
    Manual,
}

/// How an origin of the group is, as far as a stream cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It answers, since then.
    Well(Tick),
    /// It does not, or is not to be asked.
    Away,
}

/// Where one stream is at home.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Home {
    at: Option<usize>,
    since: Tick,
    /// Where it stalled, and when.
    stalled: Vec<(usize, Tick)>,
    /// How often it had to leave a place that it came back to.
    relapses: u32,
    came_back: Option<Tick>,
}

impl Home {
    /// The place in the group's order, and since when.
    pub fn at(&self) -> Option<(usize, Tick)> {
        self.at.map(|at| (at, self.since))
    }

    /// The places at which it stalled a while ago at most.
    pub fn avoids(&self, now: Tick) -> impl Iterator<Item = usize> + '_ {
        self.stalled.iter().filter(move |(_, at)| now < *at + AVOIDED).map(|(place, _)| *place)
    }

    /// A playlist came from there: that is its home if it had none, or another one did not answer.
    pub fn answered(&mut self, place: usize, now: Tick) {
        if self.at != Some(place) {
            self.leave(now);
            (self.at, self.since) = (Some(place), now);
        }
    }

    /// It does not advance where it is. The first of `order` that is well and at which it has not stalled lately is its
    /// home from now on; without one, that at which it stalled longest ago. Whether it has moved.
    pub fn stalled(&mut self, order: &[(usize, Place)], now: Tick) -> bool {
        let Some(left) = self.at else { return false };
        self.stalled.retain(|(place, at)| *place != left && now < *at + AVOIDED);
        let others = || order.iter().filter(|(place, _)| *place != left);
        let is_well = |(_, place): &&(usize, Place)| matches!(place, Place::Well(_));
        let stalled_at = |place: usize| self.stalled.iter().find(|(other, _)| *other == place).map(|(_, at)| *at);
        let fresh = others().filter(is_well).find(|(place, _)| stalled_at(*place).is_none());
        let next = fresh.or_else(|| others().filter(is_well).min_by_key(|(place, _)| stalled_at(*place)));
        let Some(next) = next.map(|(place, _)| *place) else { return false };
        self.stalled.push((left, now));
        self.leave(now);
        (self.at, self.since) = (Some(next), now);
        true
    }

    /// Whether it moves to a better place of `order`, whose first well one is the best: its own is away, or the better
    /// one has been well for long enough.
    pub fn reconsider(&mut self, order: &[(usize, Place)], failback: Failback, now: Tick) -> bool {
        let Some(at) = self.at else { return false };
        let own = order.iter().find(|(place, _)| *place == at).map_or(Place::Away, |(_, place)| *place);
        let avoided: Vec<_> = self.avoids(now).collect();
        let best = order.iter().find_map(|(place, how)| match how {
            Place::Well(since) if !avoided.contains(place) => Some((*place, *since)),
            Place::Well(_) | Place::Away => None,
        });
        let Some((best, well_since)) = best.filter(|(best, _)| *best != at) else { return false };
        let settled = well_since.max(self.since) + self.settling();
        match own {
            Place::Away => {}
            Place::Well(_) if failback == Failback::Auto && is_before(order, best, at) && now >= settled => {
                self.came_back = Some(now);
            }
            Place::Well(_) => return false,
        }
        (self.at, self.since) = (Some(best), now);
        true
    }

    /// The operator wants it back at the best place that is well: nothing is held against any.
    pub fn recalled(&mut self, order: &[(usize, Place)], now: Tick) -> bool {
        (self.relapses, self.came_back) = (0, None);
        self.stalled.clear();
        let best = order.iter().find(|(_, place)| matches!(place, Place::Well(_))).map(|(place, _)| *place);
        let moves = self.at.is_some() && best.is_some() && best != self.at;
        if moves {
            (self.at, self.since) = (best, now);
        }
        moves
    }

    /// How long a better place has to be well.
    pub fn settling(&self) -> Duration {
        SETTLED.saturating_mul(2_u32.saturating_pow(self.relapses)).min(LONGEST_SETTLING)
    }

    /// It leaves where it is. What it came back to and has to leave soon is trusted less.
    fn leave(&mut self, now: Tick) {
        if let Some(came_back) = self.came_back.take() {
            self.relapses =
                if now < came_back + LONGEST_SETTLING { self.relapses.saturating_add(1).min(16) } else { 0 };
        }
    }
}

fn is_before(order: &[(usize, Place)], one: usize, other: usize) -> bool {
    let rank = |wanted: usize| order.iter().position(|(place, _)| *place == wanted);
    rank(one) < rank(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: Tick = Tick::at(Duration::from_secs(10_000));
    const LONG: Tick = Tick::at(Duration::from_secs(1));
    const WELL: [(usize, Place); 2] = [(0, Place::Well(LONG)), (1, Place::Well(LONG))];

    fn at(place: usize) -> Home {
        let mut home = Home::default();
        home.answered(place, START);
        home
    }

    fn place(home: &Home) -> usize {
        home.at().unwrap().0
    }

    #[test]
    fn a_stream_that_stalls_moves_on_and_avoids_where_it_stalled() {
        let mut home = at(0);
        assert!(home.stalled(&WELL, START) && place(&home) == 1);
        assert!(!home.reconsider(&WELL, Failback::Auto, START + AVOIDED / 2));
        assert!(home.stalled(&WELL, START + AVOIDED / 2) && place(&home) == 0, "there is no other");
    }

    #[test]
    fn nothing_moves_to_what_is_away() {
        let mut home = at(0);
        assert!(!home.stalled(&[(0, Place::Well(LONG)), (1, Place::Away)], START));
        assert!(!home.reconsider(&[(0, Place::Away), (1, Place::Away)], Failback::Auto, START));
        assert!(home.reconsider(&[(0, Place::Away), (1, Place::Well(LONG))], Failback::Manual, START));
        assert_eq!(place(&home), 1);
    }

    #[test]
    fn it_comes_back_when_the_better_place_has_been_well_for_long_enough() {
        let mut home = at(1);
        assert!(!home.reconsider(&WELL, Failback::Auto, START + SETTLED - Duration::from_millis(1)));
        assert!(!home.clone().reconsider(&WELL, Failback::Manual, START + SETTLED * 100));
        let fresh = [(0, Place::Well(START + SETTLED)), WELL[1]];
        assert!(!home.clone().reconsider(&fresh, Failback::Auto, START + SETTLED), "it has just returned");
        assert!(home.reconsider(&WELL, Failback::Auto, START + SETTLED) && place(&home) == 0);
        home.answered(1, START + SETTLED);
        assert_eq!(home.settling(), SETTLED * 2, "it was left at once");
        assert!(home.recalled(&WELL, START + SETTLED) && place(&home) == 0);
        assert_eq!(home.settling(), SETTLED);
    }

    proptest! {
        #[test]
        fn it_does_not_go_to_and_fro_by_itself(waits in prop::collection::vec(1_u64..120, 1..300)) {
            // The better place stalls it each time, at once.
            let (mut home, mut now, mut moves) = (at(1), START, 0_u32);
            for wait in waits {
                now = now + Duration::from_secs(wait);
                if home.reconsider(&WELL, Failback::Auto, now) {
                    moves += 1;
                    prop_assert!(home.stalled(&WELL, now));
                }
            }
            // Waits double up to half an hour.
            let passed = now.since(START).as_secs() / 60;
            let halves = passed / 30 + 6;
            prop_assert!(u64::from(moves) <= halves.min(passed + 1), "{moves} in {passed} min");
        }
    }
}
