//! What a write makes out of date (RFC 9111 §4.4): when an unsafe method succeeds, what is stored under its target is
//! no longer what a GET would bring, and so with Location and Content-Location, as far as they lie on the same origin:
//! one origin must not empty the cache of another.

use std::borrow::Cow;

use http::header::{CONTENT_LOCATION, EXPIRES, LOCATION};
use http::{HeaderMap, Method, StatusCode};

use super::control::{Control, Source, TARGETS};
use crate::rules::uri::{Strictness, Target};

/// The address that was written to, as it was asked for upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written<'a> {
    /// `http` or `https`.
    pub scheme: &'a str,
    /// Host and port.
    pub authority: &'a str,
    /// Path and query, canonical.
    pub target: &'a str,
}

/// Paths and queries, canonical, whose stored responses are no longer to be used without validation: none where the
/// method is safe or failed.
pub fn invalidated(written: &Written<'_>, method: &Method, status: StatusCode, response: &HeaderMap) -> Vec<String> {
    if method.is_safe() || !(status.is_success() || status.is_redirection()) {
        return Vec::new();
    }
    let mut targets = vec![written.target.to_owned()];
    for name in [LOCATION, CONTENT_LOCATION] {
        let named = response.get(name).and_then(|value| value.to_str().ok());
        if let Some(target) = named.and_then(|reference| on_same_origin(written, reference))
            && !targets.contains(&target)
        {
            targets.push(target);
        }
    }
    targets
}

/// Whether the answer to a POST is also what a GET of the same target would bring (RFC 9110 §9.3.3): it says so by
/// Content-Location, and for how long.
pub fn stands_for_get(written: &Written<'_>, method: &Method, status: StatusCode, response: &HeaderMap) -> bool {
    if *method != Method::POST || status != StatusCode::OK {
        return false;
    }
    let mut named = response.get_all(CONTENT_LOCATION).iter();
    let (Some(location), None) = (named.next(), named.next()) else { return false };
    let target = location.to_str().ok().and_then(|reference| on_same_origin(written, reference));
    let control = Control::of(response, &TARGETS);
    let expires = control.source != Source::Targeted && response.contains_key(EXPIRES);
    target.as_deref() == Some(written.target) && (control.max_age.is_some() || control.s_maxage.is_some() || expires)
}

/// The target of `reference`, if it lies on the origin that was written to.
fn on_same_origin(written: &Written<'_>, reference: &str) -> Option<String> {
    let reference = reference.split('#').next().unwrap_or_default();
    let local = match reference.split_once("://") {
        Some((scheme, rest)) if !scheme.contains(['/', '?']) => {
            if !scheme.eq_ignore_ascii_case(written.scheme) {
                return None;
            }
            after_authority(written, rest)?
        }
        _ => match reference.strip_prefix("//") {
            Some(rest) => after_authority(written, rest)?,
            None => reference,
        },
    };
    let (path, query) = match local.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (local, None),
    };
    let own_path = written.target.split('?').next().unwrap_or_default();
    let path = match path {
        "" if local.len() == reference.len() => Cow::Borrowed(own_path),
        _ if path.is_empty() || path.starts_with('/') => Cow::Borrowed(path),
        // Relative to the folder of what was written (RFC 3986 §5.2.3).
        _ => Cow::Owned(format!("{}{path}", &own_path[..=own_path.rfind('/')?])),
    };
    let target = Target::canonical(&path, query, Strictness::Lenient).ok()?;
    Some(target.path_and_query())
}

/// What follows the authority in `rest`, if it is the one that was written to.
fn after_authority<'r>(written: &Written<'_>, rest: &'r str) -> Option<&'r str> {
    let (authority, local) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let default = if written.scheme.eq_ignore_ascii_case("https") { ":443" } else { ":80" };
    let without_port = |authority: &'r str| authority.strip_suffix(default).unwrap_or(authority);
    let own = written.authority.strip_suffix(default).unwrap_or(written.authority);
    without_port(authority).eq_ignore_ascii_case(own).then_some(local)
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_answer_to_post_stands_for_get_where_it_says_so() {
        let written = Written { scheme: "http", authority: "o", target: "/a?b" };
        let judge = |method: &Method, status: u16, lines: &[(&'static str, &'static str)]| {
            let fields = lines
                .iter()
                .map(|(name, value)| (http::HeaderName::from_static(name), http::HeaderValue::from_static(value)));
            stands_for_get(&written, method, StatusCode::from_u16(status).unwrap(), &fields.collect())
        };
        let life = ("cache-control", "max-age=60");
        for location in ["/a?b", "http://o/a?b", "http://O:80/a?b", "?b"] {
            assert!(judge(&Method::POST, 200, &[life, ("content-location", location)]), "{location}");
        }
        let own = ("content-location", "/a?b");
        assert!(judge(&Method::POST, 200, &[own, ("expires", "Thu, 18 Aug 2050 02:01:18 GMT")]));
        assert!(!judge(&Method::POST, 200, &[own]), "no lifetime");
        assert!(!judge(&Method::POST, 200, &[own, ("cache-control", "public")]), "none that is said");
        assert!(!judge(&Method::POST, 201, &[life, own]));
        assert!(!judge(&Method::PUT, 200, &[life, own]));
        assert!(!judge(&Method::POST, 200, &[life, ("content-location", "/other")]));
        assert!(!judge(&Method::POST, 200, &[life, ("content-location", "http://other/a?b")]));
        assert!(!judge(&Method::POST, 200, &[life]));
    }

    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    const WRITTEN: Written<'static> = Written { scheme: "https", authority: "origin.example", target: "/a/b?q" };

    fn after(method: Method, status: u16, lines: &[(&'static str, &'static str)]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        invalidated(&WRITTEN, &method, StatusCode::from_u16(status).unwrap(), &headers)
    }

    #[test]
    fn a_write_that_succeeds_makes_its_target_stale() {
        let unknown = Method::from_bytes(b"FOO").unwrap();
        for method in [Method::PUT, Method::POST, Method::DELETE, Method::PATCH, unknown] {
            assert_eq!(after(method.clone(), 200, &[]), ["/a/b?q"], "{method}");
            assert_eq!(after(method.clone(), 303, &[]), ["/a/b?q"], "{method}");
            for status in [400, 404, 500, 503] {
                assert!(after(method.clone(), status, &[]).is_empty(), "{method} {status}");
            }
        }
        for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
            assert!(after(method, 200, &[("location", "/x")]).is_empty());
        }
    }

    #[test]
    fn what_a_write_points_to_goes_too_on_the_same_origin_alone() {
        for (reference, target) in [
            ("/x", Some("/x")),
            ("/x?y#z", Some("/x?y")),
            ("x", Some("/a/x")),
            ("../x", Some("/x")),
            ("?r", Some("/a/b?r")),
            ("https://origin.example/x", Some("/x")),
            ("https://origin.example", Some("/")),
            ("https://origin.example?r", Some("/?r")),
            ("HTTPS://Origin.Example:443/x", Some("/x")),
            ("//origin.example/x", Some("/x")),
            ("http://origin.example/x", None),
            ("https://origin.example:8443/x", None),
            ("https://other.example/x", None),
            ("//other.example/x", None),
            ("/a b", None),
        ] {
            for name in ["location", "content-location"] {
                let expected: Vec<_> = ["/a/b?q"].into_iter().chain(target).collect();
                assert_eq!(after(Method::POST, 201, &[(name, reference)]), expected, "{name}: {reference}");
            }
        }
        let both = [("location", "/x"), ("content-location", "/x")];
        assert_eq!(after(Method::POST, 201, &both), ["/a/b?q", "/x"]);
    }

    proptest! {
        #[test]
        fn any_reference_is_read_without_a_panic(reference in "[a-c:/?#.%\\\\ -]{0,20}") {
            let mut headers = HeaderMap::new();
            headers.insert(HeaderName::from_static("location"), HeaderValue::try_from(reference).unwrap());
            for target in invalidated(&WRITTEN, &Method::POST, StatusCode::CREATED, &headers) {
                prop_assert!(target.starts_with('/'));
            }
        }
    }
}
