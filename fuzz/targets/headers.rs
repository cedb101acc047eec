//! Fields of requests and responses.

use std::net::SocketAddr;

use http::header::{ACCEPT_ENCODING, CONNECTION};
use http::{HeaderMap, HeaderValue};
use ipnet::IpNet;
use weir::rules::fields::cache_status::{CACHE_STATUS, CacheStatus, Handling};
use weir::rules::fields::structured::{Bare, Dictionary, Item, List, Member};
use weir::rules::fields::{cookies, date, encoding, hop, loops, structured};
use weir::rules::forwarded;
use weir::rules::forwarded::Said;

use super::{NOW, fields};

/// What is read is written, and what is written is read as the same.
pub fn structured_field(data: &[u8]) {
    if let Ok(item) = Item::parse(data) {
        assert_eq!(Item::parse(item.write().expect("it was read").as_bytes()), Ok(item));
    }
    if let Ok(list) = List::parse(data) {
        assert_eq!(List::parse(list.write().expect("it was read").as_bytes()), Ok(list));
    }
    if let Ok(dictionary) = Dictionary::parse(data) {
        assert_eq!(Dictionary::parse(dictionary.write().expect("it was read").as_bytes()), Ok(dictionary));
    }
}

/// Whatever stood in Cache-Status, the field is a list after ours was added, and ours is the last of it.
pub fn cache_status(data: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in data.split(|octet| *octet == b'\n').take(8) {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(CACHE_STATUS, value);
        }
    }
    let text = String::from_utf8_lossy(data);
    let status = CacheStatus { handling: Handling::Hit, ttl: Some(-1), detail: Some(&text), key: Some(&text) };
    status.append(&mut headers, "weir");
    let joined = structured::joined(&headers, &CACHE_STATUS).expect("a member was added");
    let list = List::parse(&joined).expect("Cache-Status is a list");
    let Some(Member::Item(ours)) = list.0.last() else { panic!("the last member is not ours") };
    assert_eq!(ours.value, Bare::Token("weir".to_owned()));
}

/// What is a date stays the same moment when it is written and read again.
pub fn date(data: &[u8]) {
    if let Some(time) = date::parse(data, NOW) {
        assert_eq!(date::parse(date::format(time).as_bytes(), NOW), Some(time));
    }
}

/// Only a trusted peer is believed, and only as far as the hops that wrote the fields are trusted.
pub fn forwarded(data: &[u8]) {
    let headers = fields(data);
    let said = Said {
        forwarded: headers.get_all("forwarded").iter().map(HeaderValue::as_bytes).collect(),
        for_list: headers.get_all("x-forwarded-for").iter().map(HeaderValue::as_bytes).collect(),
        proto: headers.get("x-forwarded-proto").map(HeaderValue::as_bytes),
    };
    let trusted: [IpNet; 2] = ["10.0.0.0/8", "fd00::/8"].map(|prefix| prefix.parse().expect("a prefix"));
    let stranger = SocketAddr::from(([192, 0, 2, 1], 4_000));
    let origin = forwarded::viewer(stranger, &said, &trusted);
    assert_eq!((origin.address, origin.secure), (stranger, None));
    let balancer = SocketAddr::from(([10, 0, 0, 1], 4_000));
    _ = forwarded::viewer(balancer, &said, &trusted);
    let mut longer = said;
    match longer.for_list.is_empty() {
        true => longer.forwarded.push(b"for=198.51.100.7"),
        false => longer.for_list.push(b"198.51.100.7"),
    }
    let origin = forwarded::viewer(balancer, &longer, &trusted);
    assert_eq!(origin.address, SocketAddr::from(([198, 51, 100, 7], 0)));
}

/// The fields of a request: each change of them is one that a second pass leaves as it is.
pub fn request_fields(data: &[u8]) {
    let once_is_enough = |change: fn(&mut HeaderMap)| {
        let mut once = fields(data);
        change(&mut once);
        let mut twice = once.clone();
        change(&mut twice);
        assert_eq!(once, twice);
        once
    };
    assert!(!once_is_enough(hop::strip_hop_by_hop).contains_key(CONNECTION));
    assert!(once_is_enough(encoding::normalise_accept_encoding).get_all(ACCEPT_ENCODING).iter().count() <= 1);
    assert!(once_is_enough(cookies::join).get_all("cookie").iter().count() <= 1);
    let own = loops::Pseudonym::of("weir");
    let mut headers = fields(data);
    let before = (loops::passes_in_via(&headers, &own), loops::passes_in_cdn_loop(&headers, &own));
    loops::append_via(&mut headers, "1.1", &own);
    loops::append_cdn_loop(&mut headers, &own);
    let after = (loops::passes_in_via(&headers, &own), loops::passes_in_cdn_loop(&headers, &own));
    assert_eq!(after, (before.0 + 1, before.1 + 1));
}
