//! Who the viewer is, when proxies stand in between: Forwarded (RFC 7239) and X-Forwarded-For, believed only as far as
//! the hops that wrote them are trusted. Read from the right: each address was written by the hop to its right, so
//! the first one that is not a trusted proxy is the viewer, and everything to its left is hearsay.
//!
//! Where both fields are present X-Forwarded-For decides: it is what nearly every proxy appends to, and a proxy that
//! does so usually lets a Forwarded of the viewer's own making pass.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

/// Hops that are looked at; more are a loop or an attack.
const HOPS_MAX: usize = 32;

/// What trusted proxies said of the viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The viewer's address; port 0 where nobody named it.
    pub address: SocketAddr,
    /// The scheme the viewer used, where the hop that saw the viewer named it.
    pub secure: Option<bool>,
}

/// The values of the fields that proxies write, in the order of the request.
#[derive(Clone, Debug, Default)]
pub struct Said<'a> {
    /// Forwarded (RFC 7239 §4)
    pub forwarded: Vec<&'a [u8]>,
    /// X-Forwarded-For
    pub for_list: Vec<&'a [u8]>,
    /// X-Forwarded-Proto
    pub proto: Option<&'a [u8]>,
}

/// Whether an address lies in one of the prefixes. An IPv4 address mapped into IPv6 counts as the IPv4 address.
pub fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    let address = address.to_canonical();
    trusted.iter().any(|prefix| prefix.contains(&address))
}

/// The viewer behind `peer`.
pub fn viewer(peer: SocketAddr, said: &Said<'_>, trusted: &[IpNet]) -> Origin {
    if trusted.is_empty() || !is_trusted(peer.ip(), trusted) {
        return Origin { address: peer, secure: None };
    }
    let mut secure = said.proto.and_then(|proto| scheme(last_of(proto)));
    let mut address = peer;
    let mut take = |hop: Hop| {
        secure = hop.secure.or(secure);
        let Some(next) = hop.address else { return false };
        address = next;
        is_trusted(next.ip(), trusted)
    };
    if said.for_list.is_empty() {
        let elements = said.forwarded.iter().rev().flat_map(|value| split(value, b',').into_iter().rev());
        _ = elements.take(HOPS_MAX).map(forwarded_element).all(&mut take);
    } else {
        let addresses = said.for_list.iter().rev().flat_map(|value| split(value, b',').into_iter().rev());
        let hops = addresses.take(HOPS_MAX).map(|text| Hop { address: node(trim(text)), secure: None });
        _ = { hops }.all(&mut take);
    }
    Origin { address, secure }
}

/// What one hop said of the hop before it.
#[derive(Default)]
struct Hop {
    /// `None`: unknown, hidden or malformed; nothing to the left of it can be believed either.
    address: Option<SocketAddr>,
    secure: Option<bool>,
}

/// `for=…;proto=…;by=…` (RFC 7239 §4)
fn forwarded_element(element: &[u8]) -> Hop {
    let mut hop = Hop::default();
    for pair in split(element, b';') {
        let Some(equals) = memchr::memchr(b'=', pair) else { continue };
        let (name, value) = (trim(&pair[..equals]), unquote(trim(&pair[equals + 1..])));
        if name.eq_ignore_ascii_case(b"for") {
            hop.address = node(&value);
        } else if name.eq_ignore_ascii_case(b"proto") {
            hop.secure = scheme(&value);
        }
    }
    hop
}

/// An address with or without port; IPv6 with or without brackets (X-Forwarded-For knows no rule).
fn node(text: &[u8]) -> Option<SocketAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let address = match text.parse::<SocketAddr>() {
        Ok(address) => address,
        Err(_) => {
            let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
            SocketAddr::new(bare.parse().ok()?, 0)
        }
    };
    Some(SocketAddr::new(address.ip().to_canonical(), address.port()))
}

fn scheme(value: &[u8]) -> Option<bool> {
    match value {
        _ if value.eq_ignore_ascii_case(b"https") => Some(true),
        _ if value.eq_ignore_ascii_case(b"http") => Some(false),
        _ => None,
    }
}

fn last_of(list: &[u8]) -> &[u8] {
    trim(split(list, b',').pop().unwrap_or_default())
}

/// Splits at `separator` outside of quoted strings.
fn split(value: &[u8], separator: u8) -> Vec<&[u8]> {
    let (mut parts, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, octet) in value.iter().enumerate() {
        match octet {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            octet if *octet == separator && !quoted => {
                parts.push(&value[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&value[start..]);
    parts
}

fn unquote(value: &[u8]) -> Vec<u8> {
    let inner = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
    let Some(inner) = inner else { return value.to_vec() };
    let mut plain = Vec::with_capacity(inner.len());
    let mut octets = inner.iter();
    while let Some(octet) = octets.next() {
        plain.push(match octet {
            b'\\' => octets.next().copied().unwrap_or_default(),
            octet => *octet,
        });
    }
    plain
}

fn trim(value: &[u8]) -> &[u8] {
    value.trim_ascii()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn trusted() -> Vec<IpNet> {
        vec!["10.0.0.0/8".parse().unwrap(), "2001:db8:1::/48".parse().unwrap()]
    }

    fn forwarded(peer: &str, values: &[&str]) -> Origin {
        let said = Said { forwarded: values.iter().map(|value| value.as_bytes()).collect(), ..Said::default() };
        viewer(peer.parse().unwrap(), &said, &trusted())
    }

    fn for_list(peer: &str, values: &[&str]) -> Origin {
        let said = Said { for_list: values.iter().map(|value| value.as_bytes()).collect(), ..Said::default() };
        viewer(peer.parse().unwrap(), &said, &trusted())
    }

    #[test]
    fn a_peer_that_is_not_trusted_cannot_say_who_it_is() {
        for origin in [for_list("192.0.2.9:5", &["198.51.100.1"]), forwarded("192.0.2.9:5", &["for=198.51.100.1"])] {
            assert_eq!(origin, Origin { address: "192.0.2.9:5".parse().unwrap(), secure: None });
        }
    }

    #[test]
    fn the_viewer_is_the_rightmost_address_that_is_no_trusted_proxy() {
        for (values, address) in [
            (&["198.51.100.1"][..], "198.51.100.1:0"),
            (&["203.0.113.7, 198.51.100.1"], "198.51.100.1:0"),
            (&["203.0.113.7, 198.51.100.1, 10.2.2.2"], "198.51.100.1:0"),
            (&["203.0.113.7", "198.51.100.1,10.2.2.2 "], "198.51.100.1:0"),
            (&["198.51.100.1:1234, 10.9.9.9:1"], "198.51.100.1:1234"),
            (&["[2001:db8:2::1]:443"], "[2001:db8:2::1]:443"),
            (&["2001:db8:2::1, 2001:db8:1::5"], "[2001:db8:2::1]:0"),
            (&["::ffff:198.51.100.1"], "198.51.100.1:0"),
            (&["10.3.3.3"], "10.3.3.3:0"),
            (&["nonsense, 10.3.3.3"], "10.3.3.3:0"),
            (&["nonsense"], "10.1.1.1:7"),
            (&[""], "10.1.1.1:7"),
        ] {
            assert_eq!(for_list("10.1.1.1:7", values).address, address.parse().unwrap(), "{values:?}");
        }
    }

    #[test]
    fn forwarded_is_read_as_the_standard_writes_it() {
        for (values, address, secure) in [
            (&["for=198.51.100.1;proto=https"][..], "198.51.100.1:0", Some(true)),
            (&["For=\"[2001:db8:2::1]:4711\""], "[2001:db8:2::1]:4711", None),
            (&["for=203.0.113.7;proto=http, by=_x;for=198.51.100.1;proto=\"https\""], "198.51.100.1:0", Some(true)),
            (&["for=\"a,for=9.9.9.9\";proto=http"], "10.1.1.1:7", Some(false)),
            (&["for=203.0.113.7", "for=10.4.4.4"], "203.0.113.7:0", None),
            (&["for=203.0.113.7, for=unknown"], "10.1.1.1:7", None),
            (&["for=203.0.113.7, for=_hidden, for=10.5.5.5"], "10.5.5.5:0", None),
        ] {
            let origin = forwarded("10.1.1.1:7", values);
            assert_eq!(origin, Origin { address: address.parse().unwrap(), secure }, "{values:?}");
        }
    }

    #[test]
    fn a_forged_forwarded_does_not_beat_what_the_proxy_appended() {
        let said = Said {
            forwarded: vec![b"for=9.9.9.9;proto=https"],
            for_list: vec![b"9.9.9.9, 198.51.100.1"],
            proto: Some(b"https, http"),
        };
        let origin = viewer("10.1.1.1:7".parse().unwrap(), &said, &trusted());
        assert_eq!(origin, Origin { address: "198.51.100.1:0".parse().unwrap(), secure: Some(false) });
    }

    proptest! {
        #[test]
        fn no_value_of_an_untrusted_peer_changes_its_address(value in proptest::collection::vec(any::<u8>(), 0..60)) {
            let peer = "192.0.2.9:5".parse().unwrap();
            let said = Said { forwarded: vec![&value], for_list: vec![&value], proto: Some(&value) };
            prop_assert_eq!(viewer(peer, &said, &trusted()).address, peer);
            viewer("10.1.1.1:7".parse().unwrap(), &said, &trusted());
        }
    }
}
