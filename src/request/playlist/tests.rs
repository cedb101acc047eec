use super::*;

/// Octets of the future that a call makes.
fn octets<F: Future>(_: impl FnOnce() -> F) -> usize {
    size_of::<F>()
}

#[expect(unreachable_code, reason = "nothing is called")]
#[test]
fn whoever_waits_takes_less_than_two_kibibytes() {
    let waiting = octets(|| follow(unreachable!(), unreachable!(), unreachable!(), unreachable!()));
    assert!(waiting <= 640, "{waiting}");
    let request = octets(|| crate::request::serve(unreachable!(), unreachable!(), unreachable!()));
    assert!(request <= 2_048, "{request}");
}

#[test]
fn whoever_waited_in_vain_comes_back_after_a_part_and_not_before_a_second() {
    for (part, seconds) in [(None, 1), (Some(200), 1), (Some(1_000), 1), (Some(1_001), 2), (Some(4_000), 4)] {
        let frontier = Frontier { part_target: part.map(Duration::from_millis), ..Frontier::default() };
        assert_eq!(retry(&frontier), Duration::from_secs(seconds));
    }
}
