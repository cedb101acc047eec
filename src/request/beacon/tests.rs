//! What waits where the node has more to keep than it can, and whose requests are kept.

use super::*;

#[test]
fn what_comes_again_and_again_waits_first() {
    let waits = |pressure, events: &[&str]| put_off(pressure, events.iter().copied()).is_err();
    for pressure in [0, 79] {
        assert!(!waits(pressure, &["t", "rr"]), "{pressure}");
    }
    for pressure in [80, 89] {
        assert!(waits(pressure, &["t"]) && waits(pressure, &["rr", "t"]), "{pressure}");
        assert!(!waits(pressure, &["t", "bc"]) && !waits(pressure, &["ps"]), "{pressure}");
    }
    for pressure in [90, 100] {
        assert!(waits(pressure, &["t"]) && waits(pressure, &["bc", "m"]), "{pressure}");
        assert!(!waits(pressure, &["t", "ps"]) && !waits(pressure, &["e"]), "{pressure}");
    }
    let told = put_off(100, ["t"].into_iter()).unwrap_err();
    assert_eq!((told.status().as_u16(), told.retry_after()), (429, Some(RETRY)));
}

#[test]
fn one_session_in_so_many_is_chosen_and_always_the_same() {
    let session = |number: u32| {
        let mut id = [7; 12];
        id[8..].copy_from_slice(&number.to_be_bytes());
        SessionId(id)
    };
    assert!((0..100).all(|number| is_chosen(session(number), 1) && !is_chosen(session(number), 0)));
    assert_eq!((0..1_000).filter(|number| is_chosen(session(*number), 10)).count(), 100);
}
