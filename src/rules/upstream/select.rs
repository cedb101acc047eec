//! Which origin of a group is asked next: by preference and weight, then by health.
//!
//! Origins with a weight that stand side by side in the list are one preference. Which of them comes first is the same
//! for all that belongs together (a stream, a folder) and spreads by weight over the rest (rendezvous hashing): where one
//! goes, only what it had moves.

use crate::rules::upstream::health::Standing;

/// An origin of a group as the route names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The origin.
    pub name: String,
    /// Its share among its neighbours with weights; `None`: a preference of its own.
    pub weight: Option<u32>,
}

/// The order of `choices` for what belongs together under `affinity`, as indices.
pub fn arrange(choices: &[Choice], affinity: u64) -> Vec<usize> {
    let mut order = Vec::with_capacity(choices.len());
    let mut first = 0;
    while first < choices.len() {
        let is_alone = choices[first].weight.is_none();
        let tier = choices[first..].iter().take_while(|choice| choice.weight.is_some()).count();
        let end = first + if is_alone { 1 } else { tier };
        let mut tier: Vec<_> = (first..end).map(|index| (score(&choices[index], affinity), index)).collect();
        tier.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(&other.1)));
        order.extend(tier.into_iter().map(|(_, index)| index));
        first = end;
    }
    order
}

/// Weighted rendezvous hashing: the highest score wins, with a chance in proportion to the weight.
fn score(choice: &Choice, affinity: u64) -> f64 {
    let mixed = mix(hash(choice.name.as_bytes()) ^ mix(affinity));
    // From just above 0 to just below 1.
    let unit = ((mixed >> 12) as f64 + 0.5) / (1_u64 << 52) as f64;
    -f64::from(choice.weight.unwrap_or(1)) / unit.ln()
}

/// What stands for a text that belongs together: the same on every node and in every run (FNV-1a).
pub fn hash(octets: &[u8]) -> u64 {
    octets.iter().fold(0xcbf2_9ce4_8422_2325, |sum, octet| (sum ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3))
}

/// The finaliser of SplitMix64.
const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// The order in which a group's origins are asked: as arranged; those that were away and whose turn it is not yet come
/// after, and the resting ones last.
pub fn order(standings: impl IntoIterator<Item = (Standing, Turn)>) -> impl Iterator<Item = usize> {
    let rank = |(standing, turn): (Standing, Turn)| match (standing, turn) {
        (Standing::Well | Standing::OnTrial, _) | (Standing::Returning, Turn::Taken) => 0,
        (Standing::Returning, Turn::Left) => 1,
        (Standing::Resting(_), _) => 2,
    };
    let mut ranked: Vec<_> = standings.into_iter().map(rank).enumerate().collect();
    ranked.sort_by_key(|(_, rank)| *rank);
    ranked.into_iter().map(|(index, _)| index)
}

/// Whether an origin that returns is given a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It is one of its share.
    Taken,
    /// It is not.
    Left,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::upstream::health::{Cause, Class};
    use proptest::prelude::*;

    fn choices(weights: &[(&str, Option<u32>)]) -> Vec<Choice> {
        weights.iter().map(|(name, weight)| Choice { name: (*name).to_owned(), weight: *weight }).collect()
    }

    #[test]
    fn the_resting_ones_are_asked_last_and_the_returning_ones_in_their_turn() {
        let resting = Standing::Resting(Cause::Failures(Class::Connect));
        for (standings, expected) in [
            (vec![(resting, Turn::Left), (Standing::Well, Turn::Left), (Standing::OnTrial, Turn::Left)], vec![1, 2, 0]),
            (
                vec![(Standing::Returning, Turn::Left), (Standing::Well, Turn::Left), (resting, Turn::Left)],
                vec![1, 0, 2],
            ),
            (vec![(Standing::Returning, Turn::Taken), (Standing::Well, Turn::Left)], vec![0, 1]),
            (vec![(resting, Turn::Left), (resting, Turn::Left)], vec![0, 1]),
        ] {
            assert_eq!(order(standings).collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn without_weights_the_list_is_the_order() {
        let group = choices(&[("a", None), ("b", None), ("c", None)]);
        assert!((0..100).all(|affinity| arrange(&group, affinity) == [0, 1, 2]));
    }

    #[test]
    fn neighbours_with_weights_share_by_them() {
        let group = choices(&[("a", Some(3)), ("b", Some(1)), ("backup", None), ("c", Some(1)), ("d", Some(1))]);
        let (mut firsts, mut lasts) = ([0; 5], [0; 5]);
        for affinity in 0..10_000 {
            let order = arrange(&group, affinity);
            assert_eq!(order[2], 2, "preferences keep their places");
            firsts[order[0]] += 1;
            lasts[order[4]] += 1;
        }
        assert!((7_300..7_700).contains(&firsts[0]) && firsts[0] + firsts[1] == 10_000, "{firsts:?}");
        assert!((4_800..5_200).contains(&lasts[3]), "{lasts:?}");
    }

    proptest! {
        #[test]
        fn where_one_goes_only_what_it_had_moves(affinity in any::<u64>(), gone in 0_usize..4) {
            let all = choices(&[("a", Some(1)), ("b", Some(5)), ("c", Some(2)), ("d", Some(2))]);
            let mut rest = all.clone();
            rest.remove(gone);
            let names = |group: &[Choice]| -> Vec<String> {
                arrange(group, affinity).into_iter().map(|index| group[index].name.clone()).collect()
            };
            let without: Vec<_> = names(&all).into_iter().filter(|name| *name != all[gone].name).collect();
            prop_assert_eq!(names(&rest), without);
        }

        #[test]
        fn every_origin_is_in_the_order_once(weights in prop::collection::vec(prop::option::of(1_u32..100), 0..8), affinity in any::<u64>()) {
            let group: Vec<_> =
                weights.iter().enumerate().map(|(index, weight)| Choice { name: index.to_string(), weight: *weight }).collect();
            let mut order = arrange(&group, affinity);
            order.sort_unstable();
            prop_assert_eq!(order, (0..weights.len()).collect::<Vec<_>>());
        }
    }
}
