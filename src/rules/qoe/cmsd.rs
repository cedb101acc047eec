//! Common Media Server Data (CTA-5006): what responses tell players. The static field is the origin's, kept with the
//! object and never changed here. The dynamic one is of a transmission: each hop adds a member, the origin's side first,
//! so that ours goes to the end; it is never stored. What is written can always be read. Players choose what they load by
//! `etp` and `mb`, so a number that is not known well is not said.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::rules::fields::structured::{self, Bare, Dictionary, Item, List, Member};

/// The origin's field.
pub const CMSD_STATIC: HeaderName = HeaderName::from_static("cmsd-static");
/// The field of hops.
pub const CMSD_DYNAMIC: HeaderName = HeaderName::from_static("cmsd-dynamic");
/// For how long this node held a request, in its member: `ht` is a key of the origin alone.
const HELD: &str = "com.weir-ht";
/// The most octets of others' members that are passed on.
const MOST_UPSTREAM: usize = 1_024;
/// The most hops before this one.
const MOST_HOPS: usize = 16;
/// The fewest packets that a path's estimate is made from.
const FEWEST_PACKETS: u64 = 10;
/// The largest number that a field may hold (RFC 9651 §3.3.1).
const LARGEST: u64 = 999_999_999_999_999;

/// What this node says of one transmission.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hop<'n> {
    /// The name of the node.
    pub node: &'n str,
    /// What the path to the viewer is estimated to carry, in kbit/s (`etp`).
    pub throughput_kbps: Option<u64>,
    /// From the request to the first octet of the body, in milliseconds, with the hold (`rd`).
    pub response_delay_ms: Option<u64>,
    /// The round trip to the viewer, in milliseconds (`rtt`).
    pub round_trip_ms: Option<u64>,
    /// For how long this node held the request, in milliseconds; said only where the origin has no `ht` of its own.
    pub hold_ms: Option<u64>,
    /// The most that a player should choose, in kbit/s; only where a policy says so (`mb`).
    pub most_kbps: Option<u64>,
    /// How the node is.
    pub condition: Condition,
}

/// How a node is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// As it should be; nothing is said of it.
    #[default]
    Well,
    /// It has more to do than it can (`du`).
    UnderDuress,
}

/// What a connection knows of its path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sending {
    /// The congestion window, in octets.
    pub congestion_window: u64,
    /// What the receiver takes, in octets; `None`: the transport does not say.
    pub receive_window: Option<u64>,
    /// The smoothed round trip, in microseconds.
    pub round_trip_us: u64,
    /// Packets that were sent on it so far.
    pub packets: u64,
}

impl Sending {
    /// What the path carries, in kbit/s: a window a round trip. `None`: too little was sent on it to tell.
    pub fn throughput_kbps(&self) -> Option<u64> {
        let window = self.receive_window.unwrap_or(u64::MAX).min(self.congestion_window);
        let bits = u128::from(window) * 8;
        let kbps = (bits * 1_000).checked_div(u128::from(self.round_trip_us))?;
        let is_known = self.packets >= FEWEST_PACKETS && kbps > 0;
        is_known.then(|| u64::try_from(kbps).unwrap_or(LARGEST).min(LARGEST))
    }
}

/// Adds this hop's member to the end of CMSD-Dynamic. What others said stays, in order, as long as it is a list of a size
/// that hops have.
pub fn append(headers: &mut HeaderMap, hop: &Hop<'_>) {
    let hold_ms = hop.hold_ms.filter(|_| held_by_origin_ms(headers).is_none());
    let ours = member(&Hop { hold_ms, ..*hop });
    let mut list = upstream(headers).unwrap_or_default();
    list.0.push(Member::Item(ours));
    let text = list.write().expect("it was read or is written from numbers and printable text");
    headers.insert(CMSD_DYNAMIC, HeaderValue::try_from(text).expect("a structured field is printable ASCII"));
}

/// For how long the origin says that it held the request, in milliseconds (`ht` of CMSD-Static).
pub fn held_by_origin_ms(headers: &HeaderMap) -> Option<u64> {
    let dictionary = Dictionary::parse(&structured::joined(headers, &CMSD_STATIC)?).ok()?;
    let Member::Item(Item { value: Bare::Integer(held), .. }) = dictionary.find("ht")? else { return None };
    u64::try_from(*held).ok()
}

/// Takes CMSD-Dynamic off a response that is to be stored; what its lines said, in order.
pub fn take_dynamic(headers: &mut HeaderMap) -> Vec<HeaderValue> {
    let said = headers.get_all(CMSD_DYNAMIC).iter().cloned().collect();
    headers.remove(CMSD_DYNAMIC);
    said
}

/// The hops before; `None`: there are none, or they are no list.
fn upstream(headers: &HeaderMap) -> Option<List> {
    let text = structured::joined(headers, &CMSD_DYNAMIC).filter(|text| text.len() <= MOST_UPSTREAM)?;
    List::parse(&text).ok().filter(|list| list.0.len() <= MOST_HOPS)
}

fn member(hop: &Hop<'_>) -> Item {
    let node = hop.node.chars().filter(|character| matches!(character, ' '..='~')).collect();
    let mut item = Item::from(Bare::String(node));
    if hop.condition == Condition::UnderDuress {
        item.parameters.set("du", Bare::Boolean(true));
    }
    let numbers = [
        ("etp", hop.throughput_kbps),
        ("mb", hop.most_kbps),
        ("rd", hop.response_delay_ms),
        ("rtt", hop.round_trip_ms),
        (HELD, hop.hold_ms),
    ];
    for (name, number) in numbers {
        if let Some(number) = number {
            item.parameters.set(name, Bare::Integer(number.min(LARGEST).cast_signed()));
        }
    }
    item
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOP: Hop<'_> = Hop {
        node: "weir-fra1",
        throughput_kbps: Some(52_000),
        response_delay_ms: Some(4),
        round_trip_ms: Some(23),
        hold_ms: None,
        most_kbps: None,
        condition: Condition::Well,
    };
    const OURS: &str = r#""weir-fra1";etp=52000;rd=4;rtt=23"#;

    fn dynamic(headers: &HeaderMap) -> &str {
        headers[CMSD_DYNAMIC].to_str().unwrap()
    }

    fn with(fields: &[(&HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_hop_says_what_it_knows_and_nothing_else() {
        for (hop, text) in [
            (HOP, OURS),
            (Hop { node: "n", ..Hop::default() }, r#""n""#),
            (Hop { throughput_kbps: None, ..HOP }, r#""weir-fra1";rd=4;rtt=23"#),
            (Hop { hold_ms: Some(380), ..HOP }, r#""weir-fra1";etp=52000;rd=4;rtt=23;com.weir-ht=380"#),
            (Hop { condition: Condition::UnderDuress, ..HOP }, r#""weir-fra1";du;etp=52000;rd=4;rtt=23"#),
            (Hop { most_kbps: Some(3_000), ..HOP }, r#""weir-fra1";etp=52000;mb=3000;rd=4;rtt=23"#),
            (Hop { node: "wéir \"1\"", ..Hop::default() }, r#""wir \"1\"""#),
            (Hop { node: "n", round_trip_ms: Some(u64::MAX), ..Hop::default() }, r#""n";rtt=999999999999999"#),
        ] {
            let mut headers = HeaderMap::new();
            append(&mut headers, &hop);
            assert_eq!(dynamic(&headers), text);
        }
    }

    #[test]
    fn hops_before_stay_in_order_and_ours_comes_last() {
        let mut headers =
            with(&[(&CMSD_DYNAMIC, r#""origin";rd=7, "shield";etp=96;rtt=8"#), (&CMSD_DYNAMIC, r#""mid";du"#)]);
        append(&mut headers, &HOP);
        let whole = format!(r#""origin";rd=7, "shield";etp=96;rtt=8, "mid";du, {OURS}"#);
        assert_eq!(dynamic(&headers), whole);
        assert_eq!(headers.get_all(CMSD_DYNAMIC).iter().count(), 1);
    }

    #[test]
    fn what_is_no_list_of_hops_does_not_spoil_ours() {
        let many = vec![r#""a""#; MOST_HOPS + 1].join(", ");
        for broken in [r#""open"#, "\"a\",", "é", &many, &format!("\"{}\"", "a".repeat(MOST_UPSTREAM))] {
            let mut headers = with(&[(&CMSD_DYNAMIC, broken)]);
            append(&mut headers, &HOP);
            assert_eq!(dynamic(&headers), OURS, "{broken}");
        }
    }

    #[test]
    fn the_static_field_stays_and_its_own_hold_is_not_told_twice() {
        for (origin, is_told) in [
            (r#"at=1720000000000,br=4500,d=334,ht=120,n="origin",ot=v,sf=h,st=l,v=1"#, false),
            (r#"br=4500,n="origin""#, true),
            (r#"ht="120""#, true),
            ("ht=-1", true),
            ("ht=1,", true),
        ] {
            let mut headers = with(&[(&CMSD_STATIC, origin)]);
            append(&mut headers, &Hop { hold_ms: Some(380), ..HOP });
            assert_eq!(dynamic(&headers).ends_with(";com.weir-ht=380"), is_told, "{origin}");
            assert_eq!(headers[CMSD_STATIC], origin);
        }
    }

    #[test]
    fn what_was_said_of_one_transmission_is_not_kept_for_another() {
        let mut headers = with(&[(&CMSD_DYNAMIC, OURS), (&CMSD_STATIC, "br=4500")]);
        assert_eq!(take_dynamic(&mut headers), [OURS]);
        assert_eq!((headers.get(CMSD_DYNAMIC), headers.len()), (None, 1));
    }

    #[test]
    fn a_path_carries_a_window_a_round_trip() {
        let path = Sending { congestion_window: 149_500, receive_window: None, round_trip_us: 23_000, packets: 100 };
        assert_eq!(path.throughput_kbps(), Some(52_000));
        assert_eq!(Sending { receive_window: Some(74_750), ..path }.throughput_kbps(), Some(26_000));
        assert_eq!(Sending { receive_window: Some(1 << 30), ..path }.throughput_kbps(), Some(52_000));
        assert_eq!(Sending { packets: 9, ..path }.throughput_kbps(), None);
        assert_eq!(Sending { round_trip_us: 0, ..path }.throughput_kbps(), None);
        assert_eq!(Sending { congestion_window: 0, ..path }.throughput_kbps(), None);
        let widest = Sending { congestion_window: u64::MAX, round_trip_us: 1, ..path };
        assert_eq!(widest.throughput_kbps(), Some(LARGEST));
    }

    proptest! {
        #[test]
        fn the_field_is_a_list_whatever_stood_in_it(text in "[ -~]{0,40}", node in ".{0,8}", number: u64) {
            let mut headers = with(&[(&CMSD_DYNAMIC, &text)]);
            append(&mut headers, &Hop { node: &node, round_trip_ms: Some(number), ..Hop::default() });
            let list = List::parse(dynamic(&headers).as_bytes()).unwrap();
            let is_ours = matches!(list.0.last(), Some(Member::Item(Item { value: Bare::String(_), .. })));
            prop_assert!(is_ours);
        }
    }
}
