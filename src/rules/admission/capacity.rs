//! Who is let in when a node is nearly full. Those who play are never refused; of those who come, higher tiers are let in
//! for longer, because a share of everything is kept free for each of them; and what is promised to a route is kept for it.
//!
//! Ranks number the tiers: 0 is the highest, the last is everybody without a tier. The limit of a rank is never above that
//! of a higher one, so that the ranks that are let in are always the first ones: their number is all that is remembered.

/// What is measured of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    /// Bits per second sent to viewers.
    Egress,
    /// Living connections.
    Connections,
    /// Octets of the process in memory.
    Memory,
    /// Thousandths of its cores.
    Cpu,
}

impl Resource {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Egress, Self::Connections, Self::Memory, Self::Cpu];

    /// The word in metrics and `/status`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Egress => "egress",
            Self::Connections => "connections",
            Self::Memory => "memory",
            Self::Cpu => "cpu",
        }
    }
}

/// A number for each resource, in the order of [`Resource::ALL`].
pub type Amounts = [u64; Resource::ALL.len()];

/// What a node has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capacity {
    /// Of each resource; `None`: it is not looked at.
    pub bounds: [Option<u64>; Resource::ALL.len()],
    /// Tiers that have a name; everybody else is one rank below the lowest.
    pub tiers: usize,
    /// What is kept free for each tier, in thousandths: at most 500 for all.
    pub share: u64,
    /// What becomes of those for whom there is no room.
    pub when_full: WhenFull,
}

/// What becomes of those for whom there is no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// They are told to come back later.
    #[default]
    Refuse,
    /// The last eighth of egress is given to viewers who do without the highest variants; then they are refused too.
    LowerLadder,
}

/// Somebody who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// They are playing.
    Playing,
    /// They would begin, within what is promised to their route.
    Promised,
    /// They would begin.
    New,
}

/// What of egress is spoken for, in bits per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spoken {
    /// What is sent.
    pub measured: u64,
    /// What those who play may take by their routes' bit rates.
    pub committed: u64,
    /// What is promised to routes and not taken up.
    pub promised: u64,
}

impl Spoken {
    fn all(self) -> u64 {
        self.measured.max(self.committed).saturating_add(self.promised)
    }
}

/// What becomes of somebody who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They are let in.
    Admit,
    /// They are let in without the highest variants.
    Lower,
    /// This resource is used up for their rank.
    Refuse(Resource),
}

impl Capacity {
    /// The number of ranks.
    pub const fn ranks(&self) -> usize {
        self.tiers + 1
    }

    /// What a rank may use of a bound.
    fn limit(&self, bound: u64, rank: usize) -> u64 {
        let kept = (self.share * rank.min(self.tiers) as u64).min(500);
        let kept = u128::from(bound) * u128::from(kept) / 1_000;
        bound - u64::try_from(kept).expect("no more than half of the bound")
    }

    /// What becomes of somebody of `rank` who needs `need` bits per second.
    pub fn judge(&self, gate: &Gate, who: (Standing, usize), spoken: Spoken, need: u64) -> Verdict {
        let (standing, rank) = who;
        if standing == Standing::Playing {
            return Verdict::Admit;
        }
        let closed = |resource: &Resource| !gate.is_open(*resource, rank.min(self.tiers));
        if let Some(resource) = Resource::ALL[1..].iter().find(|resource| closed(resource)) {
            return Verdict::Refuse(*resource);
        }
        let Some(bound) = self.bounds[0].filter(|_| standing != Standing::Promised) else { return Verdict::Admit };
        if closed(&Resource::Egress) {
            return Verdict::Refuse(Resource::Egress);
        }
        let (limit, spoken) = (self.limit(bound, rank), spoken.all());
        let fits = |need: u64, limit: u64| spoken.saturating_add(need) <= limit;
        match self.when_full {
            WhenFull::Refuse if fits(need, limit) => Verdict::Admit,
            WhenFull::LowerLadder if fits(need, limit - limit / 8) => Verdict::Admit,
            WhenFull::LowerLadder if fits(need / 2, limit) => Verdict::Lower,
            WhenFull::Refuse | WhenFull::LowerLadder => Verdict::Refuse(Resource::Egress),
        }
    }
}

/// Which ranks a node has room for, by what is measured. It closes at a limit and opens a sixteenth below, so that it
/// does not flap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gate {
    /// How many ranks, from the highest on, each resource lets in.
    open: [usize; Resource::ALL.len()],
}

impl Default for Gate {
    fn default() -> Self {
        Self { open: [usize::MAX; Resource::ALL.len()] }
    }
}

impl Gate {
    /// Whether a resource lets a rank in.
    pub fn is_open(&self, resource: Resource, rank: usize) -> bool {
        rank < self.open[resource as usize]
    }

    /// How it stands once `used` was measured.
    #[must_use]
    pub fn measured(mut self, capacity: &Capacity, used: &Amounts) -> Self {
        for ((open, bound), used) in self.open.iter_mut().zip(&capacity.bounds).zip(used) {
            let Some(bound) = *bound else {
                *open = usize::MAX;
                continue;
            };
            *open = (*open).min(capacity.ranks());
            while *open > 0 && *used >= capacity.limit(bound, *open - 1) {
                *open -= 1;
            }
            let reopens = |rank: usize| {
                let limit = capacity.limit(bound, rank);
                *used < limit - limit / 16
            };
            while *open < capacity.ranks() && reopens(*open) {
                *open += 1;
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GBIT: u64 = 1_000_000_000;

    fn capacity(egress: u64) -> Capacity {
        Capacity { bounds: [Some(egress), Some(1_000), None, Some(900)], tiers: 2, share: 50, ..Capacity::default() }
    }

    #[test]
    fn shares_are_kept_free_for_higher_tiers_and_promises_for_their_routes() {
        let (capacity, gate) = (capacity(GBIT), Gate::default());
        let judge = |who, spoken, need| capacity.judge(&gate, who, spoken, need);
        let spoken = Spoken { measured: 900_000_000, committed: 0, promised: 0 };
        assert_eq!(judge((Standing::New, 2), spoken, 5_000_000), Verdict::Refuse(Resource::Egress));
        assert_eq!(judge((Standing::New, 1), spoken, 5_000_000), Verdict::Admit);
        let spoken = Spoken { measured: 980_000_000, ..spoken };
        assert_eq!(judge((Standing::New, 1), spoken, 5_000_000), Verdict::Refuse(Resource::Egress));
        assert_eq!(judge((Standing::New, 0), spoken, 5_000_000), Verdict::Admit);
        let spoken = Spoken { measured: 100, committed: 200, promised: GBIT - 200 };
        assert_eq!(judge((Standing::New, 0), spoken, 1), Verdict::Refuse(Resource::Egress));
        assert_eq!(judge((Standing::Promised, 2), spoken, 1), Verdict::Admit);
        assert_eq!(judge((Standing::Playing, 2), spoken, 1), Verdict::Admit);
    }

    #[test]
    fn a_lower_ladder_is_offered_before_anybody_is_refused() {
        let capacity = Capacity { when_full: WhenFull::LowerLadder, tiers: 0, ..capacity(800) };
        let judge = |measured| {
            capacity.judge(&Gate::default(), (Standing::New, 0), Spoken { measured, ..Spoken::default() }, 20)
        };
        assert_eq!(judge(680), Verdict::Admit);
        assert_eq!(judge(681), Verdict::Lower);
        assert_eq!(judge(790), Verdict::Lower);
        assert_eq!(judge(791), Verdict::Refuse(Resource::Egress));
    }

    #[test]
    fn a_gate_that_closed_opens_only_when_there_is_air() {
        let capacity = Capacity { tiers: 0, ..capacity(1_600) };
        let mut gate = Gate::default();
        for (egress, open) in
            [(1_599, true), (1_600, false), (1_599, false), (1_500, false), (1_499, true), (1_599, true)]
        {
            gate = gate.measured(&capacity, &[egress, 0, u64::MAX, 0]);
            assert_eq!(gate.is_open(Resource::Egress, 0), open, "{egress}");
            assert!(gate.is_open(Resource::Memory, 0), "what has no bound is not looked at");
        }
        let spoken = Spoken::default();
        let gate = gate.measured(&capacity, &[0, 1_000, 0, 0]);
        assert_eq!(capacity.judge(&gate, (Standing::Promised, 0), spoken, 0), Verdict::Refuse(Resource::Connections));
        assert_eq!(capacity.judge(&gate, (Standing::Playing, 0), spoken, 0), Verdict::Admit);
    }

    fn any_capacity() -> impl Strategy<Value = Capacity> {
        let bound = || proptest::option::of(1_u64..10_000);
        let full = prop_oneof![Just(WhenFull::Refuse), Just(WhenFull::LowerLadder)];
        ([bound(), bound(), bound(), bound()], 0_usize..6, 0_u64..200, full)
            .prop_map(|(bounds, tiers, share, when_full)| Capacity { bounds, tiers, share, when_full })
    }

    fn any_spoken() -> impl Strategy<Value = Spoken> {
        (0_u64..12_000, 0_u64..12_000, 0_u64..4_000).prop_map(|(measured, committed, promised)| Spoken {
            measured,
            committed,
            promised,
        })
    }

    /// How good a verdict is for the one who asks.
    fn worth(verdict: Verdict) -> u8 {
        match verdict {
            Verdict::Admit => 2,
            Verdict::Lower => 1,
            Verdict::Refuse(_) => 0,
        }
    }

    proptest! {
        #[test]
        fn whoever_plays_is_never_refused_and_a_higher_tier_never_before_a_lower(
            capacity in any_capacity(),
            measured in proptest::collection::vec(proptest::array::uniform4(0_u64..12_000), 0..20),
            (spoken, need) in (any_spoken(), 0_u64..2_000),
            promised in any::<bool>(),
        ) {
            let gate = measured.iter().fold(Gate::default(), |gate, used| gate.measured(&capacity, used));
            let standing = if promised { Standing::Promised } else { Standing::New };
            let verdicts: Vec<_> =
                (0..capacity.ranks()).map(|rank| capacity.judge(&gate, (standing, rank), spoken, need)).collect();
            prop_assert!(verdicts.is_sorted_by(|higher, lower| worth(*higher) >= worth(*lower)), "{verdicts:?}");
            for rank in 0..capacity.ranks() + 2 {
                prop_assert_eq!(capacity.judge(&gate, (Standing::Playing, rank), spoken, need), Verdict::Admit);
            }
        }

        #[test]
        fn more_load_never_makes_a_verdict_better(
            capacity in any_capacity(),
            (less, more) in (any_spoken(), any_spoken()),
            (need, rank) in (0_u64..2_000, 0_usize..7),
        ) {
            let more = Spoken {
                measured: less.measured + more.measured,
                committed: less.committed + more.committed,
                promised: less.promised + more.promised,
            };
            let judge = |spoken| worth(capacity.judge(&Gate::default(), (Standing::New, rank), spoken, need));
            prop_assert!(judge(less) >= judge(more));
        }

        #[test]
        fn a_gate_keeps_its_word_between_its_two_thresholds(
            capacity in any_capacity(),
            measured in proptest::collection::vec(proptest::array::uniform4(0_u64..12_000), 1..30),
        ) {
            let mut gate = Gate::default();
            for used in &measured {
                let after = gate.measured(&capacity, used);
                prop_assert_eq!(after.measured(&capacity, used), after, "the same measure changes nothing");
                for (index, resource) in Resource::ALL.into_iter().enumerate() {
                    let Some(bound) = capacity.bounds[index] else { continue };
                    for rank in 0..capacity.ranks() {
                        let limit = capacity.limit(bound, rank);
                        let (was, is) = (gate.is_open(resource, rank), after.is_open(resource, rank));
                        prop_assert!(used[index] < limit || !is);
                        prop_assert!(used[index] >= limit - limit / 16 || is);
                        let between = used[index] < limit && used[index] >= limit - limit / 16;
                        prop_assert!(!between || was == is);
                    }
                }
                gate = after;
            }
        }
    }
}
