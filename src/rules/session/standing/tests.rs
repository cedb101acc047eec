use proptest::prelude::*;

use super::*;

const IDLE: Duration = Duration::from_secs(60);
const GRACE: Duration = Duration::from_secs(30);

fn at(seconds: u64) -> Tick {
    Tick::at(Duration::from_secs(seconds))
}

fn limit(most: u32, policy: Policy) -> Limit {
    Limit { most, policy, grace: GRACE }
}

fn other(place: Place, began: u64, last: u64) -> Other {
    Other { place, began: at(began), last: at(last), idle: IDLE }
}

#[test]
fn a_cast_goes_on_beside_the_telephone_and_then_has_its_place() {
    let one = limit(1, Policy::RefuseNewest);
    let telephone = [other(Place::Taken, 0, 103)];
    assert_eq!(judge(None, (&telephone, 0), &one, at(100)), Standing::Graced(at(100)));
    assert_eq!(judge(Some(Place::Graced(at(100))), (&telephone, 0), &one, at(129)), Standing::Graced(at(100)));
    assert_eq!(judge(Some(Place::Graced(at(100))), (&telephone, 0), &one, at(130)), Standing::Follows(0));
}

#[test]
fn one_who_goes_on_with_both_is_refused_on_the_second_or_loses_the_first() {
    let telephone = [other(Place::Taken, 0, 125)];
    let graced = Some(Place::Graced(at(100)));
    assert_eq!(judge(graced, (&telephone, 0), &limit(1, Policy::RefuseNewest), at(131)), Standing::Refused);
    assert_eq!(judge(graced, (&telephone, 0), &limit(1, Policy::EndOldest), at(131)), Standing::Ends(0));
    // The refusal stays, however long the second one asks, until a place is free.
    let refused = Some(Place::Refused);
    assert_eq!(judge(refused, (&telephone, 0), &limit(1, Policy::RefuseNewest), at(150)), Standing::Refused);
    assert_eq!(judge(refused, (&telephone, 0), &limit(1, Policy::RefuseNewest), at(186)), Standing::Goes);
}

#[test]
fn the_oldest_is_the_one_that_began_first_and_not_the_one_that_asked_first() {
    let two = [other(Place::Taken, 50, 125), other(Place::Taken, 10, 128)];
    let graced = Some(Place::Graced(at(100)));
    assert_eq!(judge(graced, (&two, 0), &limit(2, Policy::EndOldest), at(130)), Standing::Ends(1));
}

#[test]
fn a_shared_link_has_one_grace_and_not_one_for_each_device() {
    let busy = [other(Place::Taken, 0, 100), other(Place::Graced(at(90)), 90, 99)];
    assert_eq!(judge(None, (&busy, 0), &limit(1, Policy::RefuseNewest), at(100)), Standing::TurnedAway);
    assert_eq!(judge(None, (&busy, 0), &limit(2, Policy::RefuseNewest), at(100)), Standing::Goes);
    let refused = [other(Place::Taken, 0, 100), other(Place::Refused, 50, 99)];
    assert_eq!(judge(None, (&refused, 0), &limit(1, Policy::RefuseNewest), at(100)), Standing::TurnedAway);
}

#[test]
fn what_goes_on_elsewhere_takes_places_too() {
    let one = limit(1, Policy::RefuseNewest);
    assert_eq!(judge(None, (&[], 1), &one, at(100)), Standing::Graced(at(100)));
    assert_eq!(judge(Some(Place::Graced(at(100))), (&[], 1), &one, at(130)), Standing::Refused);
    assert_eq!(judge(Some(Place::Graced(at(100))), (&[], 0), &one, at(101)), Standing::Goes);
    assert_eq!(judge(Some(Place::Taken), (&[], 5), &one, at(101)), Standing::Goes);
}

#[test]
fn without_a_grace_the_policy_decides_at_once() {
    let busy = [other(Place::Taken, 0, 100)];
    for (policy, standing) in [(Policy::RefuseNewest, Standing::TurnedAway), (Policy::EndOldest, Standing::Ends(0))] {
        let limit = Limit { most: 1, policy, grace: Duration::ZERO };
        assert_eq!(judge(None, (&busy, 0), &limit, at(100)), standing);
    }
}

/// The devices of one subject, as a table would remember them.
#[derive(Default)]
struct Devices(Vec<(u8, Other)>);

impl Devices {
    /// One of them asks; whether it is let in, and what it lost.
    fn ask(&mut self, device: u8, limit: &Limit, now: Tick) -> (bool, Option<Other>) {
        self.0.retain(|(_, other)| other.is_living(now));
        let own = self.0.iter().find(|(id, _)| *id == device).map(|(_, other)| *other);
        let others: Vec<_> = self.0.iter().filter(|(id, _)| *id != device).copied().collect();
        let seen: Vec<_> = others.iter().map(|(_, other)| *other).collect();
        let standing = judge(own.map(|own| own.place), (&seen, 0), limit, now);
        let mut lost = None;
        let place = match standing {
            Standing::Goes => Place::Taken,
            Standing::Graced(since) => Place::Graced(since),
            Standing::Follows(index) => {
                lost = Some(seen[index]);
                self.0.retain(|(id, _)| *id != others[index].0);
                Place::Taken
            }
            Standing::Ends(index) => {
                let ended = self.0.iter_mut().find(|(id, _)| *id == others[index].0).unwrap();
                ended.1.place = Place::Refused;
                Place::Taken
            }
            Standing::Refused => Place::Refused,
            Standing::TurnedAway => return (false, None),
        };
        let began = own.map_or(now, |own| own.began);
        self.0.retain(|(id, _)| *id != device);
        self.0.push((device, Other { place, began, last: now, idle: IDLE }));
        (place != Place::Refused, lost)
    }

    fn count(&self, is: fn(&Place) -> bool, now: Tick) -> usize {
        self.0.iter().filter(|(_, other)| is(&other.place) && other.is_living(now)).count()
    }
}

fn policies() -> impl Strategy<Value = Policy> {
    prop_oneof![Just(Policy::RefuseNewest), Just(Policy::EndOldest)]
}

proptest! {
    #[test]
    fn there_are_never_more_than_places_and_as_many_in_their_grace(
        most in 1..4u32, policy in policies(), asks in proptest::collection::vec((0..8u8, 0..20u64), 1..200),
    ) {
        let limit = limit(most, policy);
        let (mut devices, mut now) = (Devices::default(), 0);
        for (device, later) in asks {
            now += later;
            let (_, lost) = devices.ask(device, &limit, at(now));
            let taken = devices.count(|place| *place == Place::Taken, at(now));
            prop_assert!(taken <= most as usize, "{taken} places of {most}");
            let graced = devices.count(|place| matches!(place, Place::Graced(_)), at(now));
            prop_assert!(graced <= most as usize, "{graced} in their grace");
            if let Some(lost) = lost {
                prop_assert!(at(now).since(lost.last) > GRACE / 2, "one that was not silent lost its place");
            }
        }
    }

    #[test]
    fn who_has_a_place_and_goes_on_asking_keeps_it(
        most in 1..4u32, others in proptest::collection::vec((1..9u8, 0..14u64), 1..200),
    ) {
        let limit = limit(most, Policy::RefuseNewest);
        let (mut devices, mut now) = (Devices::default(), 0);
        for (device, later) in others {
            prop_assert!(devices.ask(0, &limit, at(now)).0);
            now += later;
            devices.ask(device, &limit, at(now));
        }
    }

    #[test]
    fn who_was_refused_stays_so_while_the_places_are_taken(
        asks in proptest::collection::vec(1..6u64, 40..100),
    ) {
        let limit = limit(1, Policy::RefuseNewest);
        let (mut devices, mut now, mut was_refused) = (Devices::default(), 0, false);
        for later in asks {
            now += later;
            prop_assert!(devices.ask(0, &limit, at(now)).0);
            let (goes, _) = devices.ask(1, &limit, at(now));
            prop_assert!(!(was_refused && goes), "it flutters");
            was_refused |= !goes;
        }
        prop_assert!(was_refused || now <= 36);
    }
}
