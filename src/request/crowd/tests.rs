use proptest::prelude::*;

use super::*;
use crate::rules::admission::capacity::{self, WhenFull};

const MBIT: u64 = 1_000_000;
const ALL_QUIET: Amounts = [0; 4];

fn capacity(egress: u64) -> Capacity {
    Capacity {
        rule: capacity::Capacity {
            bounds: [Some(egress), Some(1_000), None, None],
            tiers: 1,
            share: 100,
            when_full: WhenFull::Refuse,
        },
        tiers: vec!["gold".to_owned()],
        retry_after: Duration::from_secs(10),
        viewer_idle: Duration::from_secs(60),
        viewers: 1_000,
    }
}

fn at(seconds: u64) -> Tick {
    Tick::at(Duration::from_secs(seconds))
}

struct Scene {
    crowd: Crowd,
    route: Arc<str>,
    promise: Promise,
}

impl Scene {
    fn new(capacity: &Capacity, promise: Promise) -> Self {
        let (crowd, route) = (Crowd::new(2, Some(capacity)), Arc::from("live"));
        crowd.configure(Some(capacity), [(Arc::clone(&route), promise)].into_iter());
        Self { crowd, route, promise }
    }

    fn ask(&self, viewer: u64, tier: Option<&str>, (sign, seconds): (Sign, u64)) -> Result<Ladder, Full> {
        self.by_connection((viewer, 0), tier, (sign, seconds))
    }

    fn by_connection(
        &self,
        (viewer, connection): (u64, u16),
        tier: Option<&str>,
        (sign, seconds): (Sign, u64),
    ) -> Result<Ladder, Full> {
        let who = self.crowd.who(viewer, connection);
        let comer = Comer { who, route: &self.route, promise: self.promise, tier };
        self.crowd.enter(&comer, at(seconds), || sign)
    }

    fn first(&self, viewer: u64, seconds: u64) -> bool {
        self.ask(viewer, None, (Sign::First, seconds)).is_ok()
    }
}

const SIX: Promise = Promise { viewers: 0, bit_rate: Some(6 * MBIT) };

#[test]
fn those_who_come_are_counted_by_what_they_may_take_and_those_who_play_go_on() {
    let scene = Scene::new(&capacity(60 * MBIT), SIX);
    let let_in: Vec<_> = (0..13).filter(|viewer| scene.first(*viewer, 0)).collect();
    assert_eq!(let_in, (0..9).collect::<Vec<_>>(), "a tenth is kept for gold");
    assert!(scene.ask(100, Some("gold"), (Sign::First, 1)).is_ok());
    let full = scene.ask(101, Some("gold"), (Sign::First, 1)).unwrap_err();
    assert_eq!((full.resource, full.retry), (Resource::Egress, Duration::from_secs(10)));
    scene.crowd.measured([0, 5_000, 0, 0], at(2));
    assert!(let_in.iter().all(|viewer| scene.first(*viewer, 3)), "whatever is measured");
    assert_eq!(scene.ask(200, None, (Sign::None, 3)), Ok(Ladder::Whole), "what playlists name is never refused");
    assert!(scene.ask(300, None, (Sign::Playing, 3)).is_ok(), "nor who began elsewhere, or before a restart");
    let figures = scene.crowd.figures().unwrap();
    assert_eq!((figures.viewers, figures.committed, figures.admitted), (11, 66 * MBIT, (11, 0)));
    assert_eq!(figures.refused, [5, 0, 0, 0]);
}

#[test]
fn those_behind_one_address_have_a_seat_each_and_whoever_reconnects_keeps_theirs() {
    let scene = Scene::new(&capacity(60 * MBIT), SIX);
    let ask = |connection, sign, seconds| scene.by_connection((7, connection), None, (sign, seconds)).is_ok();
    assert_eq!((0..20).filter(|connection| ask(*connection, Sign::First, 0)).count(), 9);
    for sign in [Sign::Below, Sign::Playing] {
        assert!((20..40).all(|connection| ask(connection, sign, 0)), "others of a player's connections");
    }
    assert_eq!(scene.crowd.figures().unwrap().viewers, 9, "take no seats");
    assert!(scene.by_connection((8, 0), None, (Sign::Below, 0)).is_err(), "but not without a seat");
    assert!((1..9).all(|connection| ask(connection, Sign::Below, 3)));
    assert!(ask(50, Sign::First, 3), "connection 0 has been quiet");
    assert!(!ask(51, Sign::First, 3) && !ask(0, Sign::First, 3), "nobody else has");
    assert_eq!(scene.crowd.figures().unwrap().viewers, 9);
    (0..SHARDS).for_each(|_| scene.crowd.measured(ALL_QUIET, at(70)));
    assert!(scene.crowd.shards.iter().all(|shard| shard.lock().groups.is_empty()));
}

#[test]
fn whoever_leaves_makes_room() {
    let scene = Scene::new(&capacity(60 * MBIT), SIX);
    assert_eq!((0..20).filter(|viewer| scene.first(*viewer, 0)).count(), 9);
    assert!(scene.first(0, 50));
    (0..SHARDS).for_each(|_| scene.crowd.measured(ALL_QUIET, at(61)));
    assert_eq!(scene.crowd.figures().unwrap().viewers, 1);
    assert_eq!((30..50).filter(|viewer| scene.first(*viewer, 61)).count(), 8);
}

#[test]
fn what_is_promised_to_a_route_is_kept_for_it() {
    let mut scene = Scene::new(&capacity(60 * MBIT), Promise { viewers: 5, ..SIX });
    let promised = Arc::clone(&scene.route);
    (scene.route, scene.promise) = ("other".into(), SIX);
    assert_eq!((0..20).filter(|viewer| scene.first(*viewer, 0)).count(), 4, "54 less 30 that are promised");
    (scene.route, scene.promise) = (promised, Promise { viewers: 5, ..SIX });
    assert_eq!((20..40).filter(|viewer| scene.first(*viewer, 0)).count(), 5);
}

#[test]
fn what_is_sent_is_measured_where_no_bit_rate_is_known() {
    let scene = Scene::new(&capacity(8 * MBIT), Promise::default());
    assert!((0..50).all(|viewer| scene.first(viewer, 0)));
    for quarter in 1..40 {
        scene.crowd.sent(250_000);
        scene.crowd.measured(ALL_QUIET, Tick::at(Duration::from_millis(250) * quarter));
    }
    assert!(!scene.first(100, 10));
    assert!(scene.first(3, 10));
    for quarter in 40..80 {
        scene.crowd.measured(ALL_QUIET, Tick::at(Duration::from_millis(250) * quarter));
    }
    assert!(scene.first(100, 20));
}

#[test]
fn no_more_viewers_are_remembered_than_may_be() {
    let bounded = Capacity { viewers: 10, ..capacity(1 << 40) };
    let scene = Scene::new(&bounded, SIX);
    assert_eq!((0..50).filter(|viewer| scene.first(*viewer, 0)).count(), 10);
    assert!(scene.ask(60, None, (Sign::Playing, 0)).is_ok());
    assert_eq!(scene.crowd.figures().unwrap().viewers, 10);
}

#[derive(Clone, Debug)]
enum Step {
    Asks(u64, bool),
    Measured(u64),
    Sends(u64),
    Passes(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0_u64..40, any::<bool>()).prop_map(|(viewer, gold)| Step::Asks(viewer, gold)),
        1 => (0_u64..2_000).prop_map(Step::Measured),
        1 => (0_u64..50_000_000).prop_map(Step::Sends),
        1 => (0_u64..30).prop_map(Step::Passes),
    ];
    proptest::collection::vec(step, 1..200)
}

proptest! {
    #[test]
    fn whoever_was_let_in_and_keeps_asking_is_never_refused(steps in steps()) {
        let scene = Scene::new(&capacity(60 * MBIT), SIX);
        let (mut now, mut playing) = (0, std::collections::BTreeMap::new());
        for step in steps {
            match step {
                Step::Passes(seconds) => now += seconds,
                Step::Sends(octets) => scene.crowd.sent(octets),
                Step::Measured(connections) => scene.crowd.measured([0, connections, 0, 0], at(now)),
                Step::Asks(viewer, gold) => {
                    let outcome = scene.ask(viewer, gold.then_some("gold"), (Sign::First, now));
                    let plays = playing.get(&viewer).is_some_and(|last| now < last + 60);
                    prop_assert!(outcome.is_ok() || !plays);
                    if outcome.is_ok() {
                        playing.insert(viewer, now);
                    }
                }
            }
        }
        let figures = scene.crowd.figures().unwrap();
        prop_assert_eq!(figures.committed, figures.viewers as u64 * 6 * MBIT);
        prop_assert_eq!(figures.routes.iter().map(|(_, viewers, _)| *viewers).sum::<u64>(), figures.viewers as u64);
    }
}
