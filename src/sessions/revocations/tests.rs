use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn token(print: u64, until: u64) -> Revocation {
    Revocation { access: "a".into(), what: What::Token(print), at: 0, until }
}

fn holds(revocations: &Revocations, print: u64, now: u64) -> bool {
    revocations.cover_names("a", (&[What::Token(print)], u64::MAX), now)
}

#[test]
fn what_is_said_twice_is_known_and_what_is_said_for_longer_counts_longer() {
    let revocations = Revocations::new(10);
    assert_eq!(revocations.note(&token(1, 100), 0), Noted::New);
    assert_eq!(revocations.note(&token(1, 100), 0), Noted::Known);
    assert_eq!(revocations.note(&token(1, 50), 0), Noted::Known);
    assert_eq!(revocations.note(&token(1, 200), 0), Noted::Longer);
    assert!(holds(&revocations, 1, 199) && !holds(&revocations, 1, 200));
    assert_eq!(revocations.note(&token(1, 300), 250), Noted::New);
    assert_eq!(revocations.count(), 1);
}

#[test]
fn moments_of_issue_count_for_their_access_until_their_end() {
    let revocations = Revocations::new(10);
    let before = |before, until| Revocation { access: "a".into(), what: What::IssuedBefore(before), at: 0, until };
    let is_old = |issued_at, now| revocations.cover_names("a", (&[], issued_at), now);
    assert_eq!(revocations.note(&before(50, 100), 0), Noted::New);
    assert_eq!(revocations.note(&before(40, 100), 0), Noted::Known);
    assert_eq!(revocations.note(&before(30, 200), 0), Noted::Longer);
    assert!(is_old(49, 99) && !is_old(50, 99) && !is_old(49, 100) && is_old(29, 150));
    assert!(!revocations.cover_names("b", (&[], 10), 10));
    assert_eq!(revocations.note(&before(60, 300), 0), Noted::New);
    assert!(is_old(59, 299));
    assert_eq!(revocations.count(), 1);
}

#[test]
fn the_one_that_ends_first_goes_first_where_there_is_no_room() {
    let revocations = Revocations::new(1_000);
    for print in 0..1_000 {
        revocations.note(&token(print, 10_000 - print), 0);
    }
    assert_eq!((revocations.count(), revocations.pushed_out()), (1_000, 0));
    for print in 0..300 {
        revocations.note(&token(100_000 + print, 20_000), 0);
    }
    assert_eq!((revocations.count(), revocations.pushed_out()), (1_000, 300));
    let held = (0..1_000).filter(|print| holds(&revocations, *print, 0)).collect::<Vec<_>>();
    assert_eq!(held, (0..700).collect::<Vec<_>>());
    assert!((0..300).all(|print| holds(&revocations, 100_000 + print, 0)));
    // One that is to end before all others counts all the same, and goes next.
    revocations.note(&token(7_000_000, 5), 0);
    assert!(holds(&revocations, 7_000_000, 0));
    revocations.note(&token(7_000_001, 50_000), 0);
    assert!(!holds(&revocations, 7_000_000, 0) && !holds(&revocations, 699, 0) && holds(&revocations, 698, 0));
}

#[test]
fn what_is_over_makes_room_without_an_alarm() {
    let revocations = Revocations::new(1_000);
    for round in 0..20 {
        for print in 0..1_000 {
            revocations.note(&token(round * 1_000 + print, round * 100 + 100), round * 100);
        }
        assert!((0..1_000).all(|print| holds(&revocations, round * 1_000 + print, round * 100)));
    }
    assert_eq!(revocations.pushed_out(), 0);
    assert!(revocations.octets() < 100_000, "{}", revocations.octets());
}

#[test]
fn readers_see_whole_entries_while_one_writes() {
    let revocations = Revocations::new(2_000);
    for print in 0..500 {
        revocations.note(&token(print, 1_000_000), 0);
    }
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            for round in 0..200_u64 {
                assert!((0..500).all(|print| holds(&revocations, print, 500)));
                assert!((0..100).all(|print| !holds(&revocations, 900_000_000 + round * 100 + print, 500)));
            }
        });
        for print in 0..50_000 {
            // Over at the time of those who read: places are written again and again, and the table is built anew.
            revocations.note(&token(1_000_000 + print, 400), if print % 3 == 0 { 450 } else { 0 });
        }
        reader.join().unwrap();
    });
}

proptest! {
    #[test]
    fn it_agrees_with_a_plain_map(
        says in proptest::collection::vec((0..40u64, 0..60u64, 0..3u64), 1..400),
    ) {
        let revocations = Revocations::new(10_000);
        let (mut plain, mut now) = (BTreeMap::<u64, u64>::new(), 0);
        for (print, lasts, later) in says {
            now += later;
            let until = now + lasts;
            revocations.note(&token(print, until), now);
            let known = plain.entry(print).or_default();
            *known = until.max(*known);
            for print in 0..40 {
                prop_assert_eq!(holds(&revocations, print, now), plain.get(&print).is_some_and(|until| *until > now));
            }
        }
    }
}
