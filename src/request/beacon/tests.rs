//! What waits where the node has more to keep than it can, and what is looked at of a sender.

use super::records::Batch;
use super::*;
use crate::rules::qoe::read::Allow;
use crate::telemetry::beacons::Beacons;

fn batch(events: &[&str]) -> Batch {
    let record = |event: &&str| {
        let more = match *event {
            "ps" => ",sta=p",
            "e" => ",ec=(\"1\")",
            "rr" => ",url=\"/x\"",
            _ => "",
        };
        format!("e={event}{more},ts=1700000000000,v=2")
    };
    let body = events.iter().map(record).collect::<Vec<_>>().join("\n");
    Batch::read(&Beacons::new(1), &Allow::default(), (Kind::Cmcd, body.as_bytes())).unwrap()
}

#[test]
fn what_comes_again_and_again_waits_first() {
    let waits = |pressure, events: &[&str]| put_off(pressure, &batch(events)).is_err();
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
    let told = put_off(100, &batch(&["t"])).unwrap_err();
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
