//! Which of several nodes owns an object: rendezvous hashing (highest random weight). Every node that knows the same
//! members names the same owner, and a member that comes or goes moves only the objects that it owns.
//!
//! A node only ever asks a member that weighs more than itself for an object. Whatever the lists of two nodes have in
//! common, nobody can therefore wait for one who waits for him. The weights are part of how nodes of different releases
//! understand each other: they never change.

use std::cmp::Reverse;

use smallvec::SmallVec;

/// What a text comes to on every node: FNV-1a, whose octets are then mixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Print(pub u64);

/// Endings of what belongs to the playlists in its folder.
const OF_A_STREAM: [&str; 16] = [
    ".m3u8", ".m3u", ".m4s", ".mp4", ".m4v", ".m4a", ".m4f", ".cmfv", ".cmfa", ".cmft", ".ts", ".aac", ".vtt",
    ".webvtt", ".key", ".mpd",
];

impl Print {
    /// The print of a text.
    pub fn of(text: &str) -> Self {
        let fold = |hash: u64, octet: u8| (hash ^ u64::from(octet)).wrapping_mul(0x0000_0100_0000_01b3);
        Self(mixed(text.bytes().fold(0xcbf2_9ce4_8422_2325, fold)))
    }

    /// The print by which the owner of an object is found, from the text of its key. Playlists and media are owned by
    /// their folder: the node that follows a playlist has its parts before anybody else can ask for them.
    pub fn of_ownership(key: &str) -> Self {
        let path = key.split(['?', '#']).next().unwrap_or_default();
        let is_of_a_stream = OF_A_STREAM.iter().any(|ending| {
            let start = path.len().saturating_sub(ending.len());
            path.is_char_boundary(start) && path[start..].eq_ignore_ascii_case(ending)
        });
        match path.rfind('/') {
            Some(slash) if is_of_a_stream => Self::of(&path[..=slash]),
            _ => Self::of(key),
        }
    }
}

/// How much a member weighs for an object.
pub fn weight(member: Print, object: Print) -> u64 {
    mixed(member.0 ^ object.0.rotate_left(32).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// The members in the order in which they own an object, by their places in `members`: the heaviest first.
pub fn order(members: impl IntoIterator<Item = Print>, object: Print) -> SmallVec<[usize; 8]> {
    let mut weighed: SmallVec<[(u64, Print, usize); 8]> =
        members.into_iter().enumerate().map(|(index, member)| (weight(member, object), member, index)).collect();
    weighed.sort_unstable_by_key(|(weight, member, _)| Reverse((*weight, *member)));
    weighed.into_iter().map(|(.., index)| index).collect()
}

/// The last step of MurmurHash3: each bit of the input turns about half of the output.
const fn mixed(mut hash: u64) -> u64 {
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn members(count: usize) -> Vec<Print> {
        (0..count).map(|index| Print::of(&format!("10.0.0.{index}:9443"))).collect()
    }

    fn objects(count: usize) -> impl Iterator<Item = Print> {
        (0..count).map(|index| Print::of_ownership(&format!("main https://a.example/blob/{index}")))
    }

    #[test]
    fn prints_and_weights_are_the_same_in_every_release() {
        assert_eq!(Print::of(""), Print(0xefd0_1f60_ba99_2926));
        assert_eq!(Print::of("10.0.0.1:9443"), Print(0x871b_1a0f_0a41_fc03));
        assert_eq!(weight(Print(1), Print(2)), 0x6e9b_566a_1528_8ae6);
    }

    #[test]
    fn what_belongs_to_a_playlist_has_its_owner() {
        let folder = "main https://a.example/live/one/v0/";
        let owner = Print::of_ownership(&format!("{folder}index.m3u8"));
        for leaf in ["seg1.m4s", "seg1.part2.m4s?a=b", "init.MP4", "index.m3u8?start=1", "seg1.m4s#3"] {
            assert_eq!(Print::of_ownership(&format!("{folder}{leaf}")), owner, "{leaf}");
        }
        assert_ne!(Print::of_ownership("main https://a.example/live/one/v1/seg1.m4s"), owner);
        assert_ne!(Print::of_ownership(&format!("{folder}a.jpg")), Print::of_ownership(&format!("{folder}b.jpg")));
    }

    #[test]
    fn each_of_several_members_owns_about_as_much_as_the_others() {
        let members = members(5);
        let mut owned = [0_usize; 5];
        for object in objects(10_000) {
            owned[order(members.iter().copied(), object)[0]] += 1;
        }
        assert!(owned.iter().all(|owned| (1_800..=2_200).contains(owned)), "{owned:?}");
    }

    #[test]
    fn a_member_that_leaves_moves_only_what_it_owned() {
        let all = members(8);
        let (mut moved, mut seen) = (0, 0);
        for object in objects(8_000) {
            let before = order(all.iter().copied(), object);
            let after = order(all[..7].iter().copied(), object);
            seen += 1;
            match before[0] {
                7 => {
                    moved += 1;
                    assert_eq!(after[0], before[1], "the next in order owns it then");
                }
                owner => assert_eq!(after[0], owner),
            }
        }
        assert!((seen / 10..=seen / 6).contains(&moved), "{moved} of {seen} moved");
    }

    proptest! {
        #[test]
        fn nobody_can_wait_for_one_who_waits_for_him(
            lists in proptest::collection::vec(proptest::collection::vec(any::<bool>(), 6), 6),
            object in any::<u64>(),
        ) {
            // Each node has a list of its own, and asks the first of it that weighs more than itself.
            let all = members(6);
            let object = Print(object);
            for start in 0..6 {
                let (mut at, mut steps) = (start, 0);
                loop {
                    let known: Vec<usize> = (0..6).filter(|other| *other == at || lists[at][*other]).collect();
                    let first = known[order(known.iter().map(|index| all[*index]), object)[0]];
                    if first == at {
                        break;
                    }
                    at = first;
                    steps += 1;
                    prop_assert!(steps < 6);
                }
            }
        }

        #[test]
        fn the_order_of_a_list_does_not_matter(mut names in proptest::collection::vec("[a-z]{1,8}", 1..8), object in any::<u64>()) {
            names.sort();
            names.dedup();
            let prints: Vec<_> = names.iter().map(|name| Print::of(name)).collect();
            let reversed: Vec<_> = prints.iter().rev().copied().collect();
            let first = order(prints.iter().copied(), Print(object));
            let second = order(reversed.iter().copied(), Print(object));
            let named = |order: &[usize], list: &[Print]| order.iter().map(|index| list[*index]).collect::<Vec<_>>();
            prop_assert_eq!(named(&first, &prints), named(&second, &reversed));
        }
    }
}
