//! Fields that concern one connection only (RFC 9110 §7.6.1): what must not be forwarded or stored.

use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, COOKIE, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION,
    SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, VARY, VIA,
};
use http::{HeaderMap, HeaderName};

use super::list;
use super::loops::CDN_LOOP;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const PROXY_AUTHENTICATION_INFO: HeaderName = HeaderName::from_static("proxy-authentication-info");

const HOP_BY_HOP: [HeaderName; 6] = [CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, TE, TRANSFER_ENCODING, UPGRADE];

/// What Connection cannot take away: a sender could otherwise hide credentials, lengths, lifetimes or loops from those
/// who must see them.
const PROTECTED: [HeaderName; 9] =
    [HOST, CONTENT_LENGTH, AUTHORIZATION, CACHE_CONTROL, COOKIE, SET_COOKIE, VARY, VIA, CDN_LOOP];

/// The most names in Connection that are looked at; a field with more is treated as if it ended there.
const MOST_NAMES: usize = 64;

/// Removes what concerns one connection only: what Connection names, then Connection, Keep-Alive, Proxy-Connection, TE,
/// Transfer-Encoding and Upgrade. A hop that goes on over HTTP/1.1 adds `TE: trailers` anew where it wants it.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let names = list::field(headers, &CONNECTION).take(MOST_NAMES);
        let names: Vec<_> = names.filter_map(|name| HeaderName::from_bytes(name).ok()).collect();
        for name in names.iter().filter(|name| !PROTECTED.contains(name)) {
            headers.remove(name);
        }
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

/// Removes from a response what must not be stored (RFC 9111 §3.1): what concerns one connection, what a proxy says for
/// itself, and the announcement of trailers, which are not kept.
pub fn strip_unstorable(headers: &mut HeaderMap) {
    strip_hop_by_hop(headers);
    for name in [PROXY_AUTHENTICATE, PROXY_AUTHENTICATION_INFO, PROXY_AUTHORIZATION, TRAILER] {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn of(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn what_connection_names_goes_before_connection_itself() {
        let mut headers = of(&[("connection", "a, B"), ("connection", "close"), ("a", "1"), ("b", "2"), ("c", "3")]);
        strip_hop_by_hop(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["c"]);
    }

    #[test]
    fn fields_of_one_connection_go_unnamed_too() {
        let names = ["connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"];
        for name in names {
            let mut headers = of(&[(name, "x")]);
            strip_hop_by_hop(&mut headers);
            assert!(headers.is_empty(), "{name}");
        }
        let mut kept = of(&[("trailer", "x"), ("x-unknown", "y"), ("set-cookie", "a=b")]);
        strip_hop_by_hop(&mut kept);
        assert_eq!(kept.len(), 3);
    }

    #[test]
    fn connection_cannot_hide_what_others_must_see() {
        let mut headers = of(&[
            ("connection", "authorization, cookie, cache-control, content-length, host, via, cdn-loop, vary, x"),
            ("authorization", "1"),
            ("cookie", "2"),
            ("cache-control", "3"),
            ("content-length", "4"),
            ("host", "5"),
            ("via", "6"),
            ("cdn-loop", "7"),
            ("vary", "8"),
            ("x", "9"),
        ]);
        strip_hop_by_hop(&mut headers);
        assert_eq!(headers.len(), 8);
        assert!(!headers.contains_key("x"));
    }

    #[test]
    fn what_a_proxy_says_for_itself_is_not_stored() {
        let names = ["proxy-authenticate", "proxy-authentication-info", "proxy-authorization", "trailer", "upgrade"];
        for name in names {
            let mut headers = of(&[(name, "x"), ("content-foo", "y")]);
            strip_unstorable(&mut headers);
            assert_eq!(headers.len(), 1, "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_connection_field_is_stripped_without_a_panic(
            bytes in proptest::collection::vec(any::<u8>().prop_filter("a field value", |b| *b >= 32 && *b != 127), 0..60)
        ) {
            let mut headers = HeaderMap::new();
            headers.insert(CONNECTION, HeaderValue::from_bytes(&bytes).unwrap());
            strip_hop_by_hop(&mut headers);
            prop_assert!(headers.is_empty());
        }
    }
}
