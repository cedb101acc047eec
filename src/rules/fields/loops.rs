//! Who a message has passed: Via (RFC 9110 §7.6.3) and CDN-Loop (RFC 8586). Both are appended to, never rewritten, so
//! that a request that comes back is recognised.

use http::header::VIA;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::list::{self, Members, is_token};

/// The caches that a request has passed (RFC 8586 §2).
pub const CDN_LOOP: HeaderName = HeaderName::from_static("cdn-loop");

/// The name of a node in Via and CDN-Loop: a token, so that both grammars hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pseudonym(Box<str>);

impl Pseudonym {
    /// `name` as it can be written: what no token may hold becomes `-`; an empty name becomes `weir`.
    pub fn of(name: &str) -> Self {
        let fits = |character: char| {
            let byte = u8::try_from(character).unwrap_or_default();
            if list::is_token_byte(byte) { character } else { '-' }
        };
        let name: String = name.chars().map(fits).collect();
        Self(if name.is_empty() { "weir".into() } else { name.into() })
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Adds this node to Via; `version` is that of the message as it was received, such as `1.1` or `3`.
pub fn append_via(headers: &mut HeaderMap, version: &str, own: &Pseudonym) {
    let member = HeaderValue::try_from(format!("{version} {}", own.as_str()));
    headers.append(VIA, member.expect("a version and a token are visible ASCII"));
}

/// How often `own` is in Via: once means that the message has been here.
pub fn passes_in_via(headers: &HeaderMap, own: &Pseudonym) -> usize {
    list::field(headers, &VIA).filter(|member| received_by(member) == Some(own.as_str().as_bytes())).count()
}

/// Adds this node to CDN-Loop of a request that goes on.
pub fn append_cdn_loop(request: &mut HeaderMap, own: &Pseudonym) {
    let member = HeaderValue::try_from(own.as_str()).expect("a token is visible ASCII");
    request.append(CDN_LOOP, member);
}

/// How often `own` is in CDN-Loop. Tiers of nodes that share a name may allow more than none.
pub fn passes_in_cdn_loop(request: &HeaderMap, own: &Pseudonym) -> usize {
    let ids = list::field(request, &CDN_LOOP).filter_map(|member| Members::parameters(member).next());
    // Names of hosts, which an id may be, have no letter case.
    ids.filter(|id| id.eq_ignore_ascii_case(own.as_str().as_bytes())).count()
}

/// `received-by` of a member of Via: the second word. A comment may follow.
fn received_by(member: &[u8]) -> Option<&[u8]> {
    let mut words = member.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
    let protocol = words.next()?;
    let is_protocol = protocol.split(|byte| *byte == b'/').all(is_token);
    if is_protocol { words.next() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn with(name: &HeaderName, lines: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name, HeaderValue::from_static(line));
        }
        headers
    }

    #[test]
    fn via_is_appended_after_what_others_wrote() {
        let mut headers = with(&VIA, &["1.0 fred, 1.1 example.com (Apache/1.1)"]);
        append_via(&mut headers, "3", &Pseudonym::of("edge-ams-1"));
        let lines: Vec<_> = headers.get_all(VIA).iter().collect();
        assert_eq!(lines, ["1.0 fred, 1.1 example.com (Apache/1.1)", "3 edge-ams-1"]);
    }

    #[test]
    fn the_own_name_is_found_in_via() {
        let own = Pseudonym::of("edge");
        for (lines, passes) in [
            (&["1.1 edge"][..], 1),
            (&["1.0 fred, HTTP/2 edge (a comment)"], 1),
            (&["1.1\t edge", "3 edge"], 2),
            (&["1.1 edge-2"], 0),
            (&["1.1 fred (edge)"], 0),
            (&["edge 1.1"], 0),
            (&["edge"], 0),
            (&[""], 0),
        ] {
            assert_eq!(passes_in_via(&with(&VIA, lines), &own), passes, "{lines:?}");
        }
    }

    #[test]
    fn the_own_name_is_counted_in_cdn_loop() {
        let own = Pseudonym::of("edge.example");
        for (lines, passes) in [
            (&["other; x=y, edge.example"][..], 1),
            (&["EDGE.example ; abc=\"a, edge.example\"; b"], 1),
            (&["edge.example", "edge.example;a"], 2),
            (&["edge.example:80"], 0),
            (&["\"edge.example\""], 0),
            (&[], 0),
        ] {
            assert_eq!(passes_in_cdn_loop(&with(&CDN_LOOP, lines), &own), passes, "{lines:?}");
        }
        let mut request = with(&CDN_LOOP, &["other"]);
        append_cdn_loop(&mut request, &own);
        assert_eq!(passes_in_cdn_loop(&request, &own), 1);
        assert_eq!(request.get_all(CDN_LOOP).iter().count(), 2);
    }

    #[test]
    fn any_name_becomes_a_token() {
        for (name, written) in [("edge 1", "edge-1"), ("kante-münchen", "kante-m-nchen"), ("", "weir"), ("a,b", "a-b")]
        {
            assert_eq!(Pseudonym::of(name).as_str(), written);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_searched_without_a_panic(
            bytes in proptest::collection::vec(any::<u8>().prop_filter("a field value", |b| *b >= 32 && *b != 127), 0..60)
        ) {
            let mut headers = HeaderMap::new();
            for name in [VIA, CDN_LOOP] {
                headers.insert(name, HeaderValue::from_bytes(&bytes).unwrap());
            }
            let own = Pseudonym::of("edge");
            passes_in_via(&headers, &own);
            passes_in_cdn_loop(&headers, &own);
            let before = passes_in_via(&headers, &own);
            append_via(&mut headers, "1.1", &own);
            prop_assert_eq!(passes_in_via(&headers, &own), before + 1);
        }
    }
}
