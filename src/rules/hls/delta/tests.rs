use proptest::prelude::*;

use crate::clock;
use crate::rules::hls;

mod history;

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn whoever_has_a_young_copy_gets_the_full_playlist_from_an_update(octets in prop::collection::vec(any::<u8>(), 3..400)) {
        history::run(&octets);
    }
}

#[test]
fn stats() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let s = prop::collection::vec(any::<u8>(), 3..400);
    let mut all = history::Seen::default();
    for _ in 0..100 {
        let v = s.new_tree(&mut runner).unwrap().current();
        let one = history::run(&v);
        all.merged += one.merged;
        all.unknown += one.unknown;
        all.exact += one.exact;
        all.skipped += one.skipped;
        all.dates += one.dates;
    }
    println!("{all:?}");
}
