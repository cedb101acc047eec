//! What of a site a token covers. Paths are judged in their canonical form (`rules::uri`), and a prefix ends at the end
//! of a segment: `/event1` covers `/event1` and `/event1/…`, not `/event10`.

use std::borrow::Cow;

use crate::rules::uri;

use super::cat::UriMatch;
use super::hdnts::Acl;
use super::uri_signing::Container;

/// What a token covers.
#[derive(Clone, Debug, PartialEq)]
pub enum Scope {
    /// Whatever the route serves.
    Everything,
    /// Paths at and below any of these.
    Paths(Vec<Box<str>>),
    /// URIs by a hash or a regular expression (RFC 9246 §2.1.15).
    Container(Container),
    /// Paths by patterns, or one alone.
    Acl(Acl),
    /// URIs by their components (`catu`); all must match.
    Components(Vec<UriMatch>),
}

/// The URI that is asked for, canonical, without any carrier.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// `http` or `https`.
    pub scheme: &'a str,
    /// Host, lower case, without port.
    pub host: &'a str,
    /// Port, where it is not the scheme's own.
    pub port: Option<u16>,
    /// The path.
    pub path: &'a str,
    /// The query without carrier, `_HLS_*` and `CMCD`; `None`: there is none.
    pub query: Option<&'a str>,
}

impl Scope {
    /// Whether it covers what is asked for.
    pub fn covers(&self, asked: &Asked<'_>) -> bool {
        match self {
            Self::Everything => true,
            Self::Paths(prefixes) => prefixes.iter().any(|prefix| uri::is_under(asked.path, prefix)),
            Self::Container(container) => container.matches(asked),
            Self::Acl(acl) => acl.matches(asked),
            // A claim without components would restrict nothing: it covers nothing.
            Self::Components(matches) => !matches.is_empty() && matches.iter().all(|part| part.matches(asked)),
        }
    }
}

/// A query for comparing it with what a token says of queries: without the carriers of tokens, without reload directives
/// (`_HLS_*`) and `CMCD`, in its order, for a hash or a signature is of one order alone; `None` where nothing is left. Where
/// order means nothing (`catu`), whoever compares sorts.
pub fn comparable_query<'q>(query: &'q str, is_carrier: impl Fn(&str) -> bool) -> Option<Cow<'q, str>> {
    let is_kept = |name: &str| !name.starts_with("_HLS_") && name != "CMCD" && !is_carrier(name);
    uri::filter_query(query, is_kept).filter(|kept| !kept.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(path: &str) -> Asked<'_> {
        Asked { scheme: "https", host: "live.example.com", port: None, path, query: None }
    }

    #[test]
    fn a_prefix_ends_where_a_segment_ends() {
        let scope = |prefix: &str| Scope::Paths(vec![prefix.into()]);
        for (prefix, path, covers) in [
            ("/event1", "/event1", true),
            ("/event1", "/event1/", true),
            ("/event1", "/event1/main.m3u8", true),
            ("/event1", "/event10/main.m3u8", false),
            ("/event1", "/event1.m3u8", false),
            ("/event1", "/event1%2Fmain.m3u8", false),
            ("/event1", "/Event1/main.m3u8", false),
            ("/event1", "/", false),
            ("/event1", "/live/event1/main.m3u8", false),
            ("/event1/", "/event1/main.m3u8", true),
            ("/event1/", "/event1/", true),
            ("/event1/", "/event1", false),
            ("/", "/", true),
            ("/", "/event1/main.m3u8", true),
            ("/*", "/event1", false),
            ("/event1/main.m3u8", "/event1/main.m3u8", true),
            ("/event1/main.m3u8", "/event1/main.m3u8x", false),
        ] {
            assert_eq!(scope(prefix).covers(&asked(path)), covers, "{prefix} {path}");
        }
        assert!(Scope::Everything.covers(&asked("/event1")));
        assert!(!Scope::Paths(Vec::new()).covers(&asked("/")));
        assert!(Scope::Paths(vec!["/a".into(), "/b".into()]).covers(&asked("/b/c")));
    }

    #[test]
    fn queries_are_compared_without_what_is_not_the_issuers() {
        let comparable = |query| comparable_query(query, |name| name == "token");
        assert_eq!(comparable("a=1&b=2").as_deref(), Some("a=1&b=2"));
        assert_eq!(comparable("b=2&a=1&token=x&_HLS_msn=3&CMCD=br%3D1").as_deref(), Some("b=2&a=1"));
        assert_eq!(comparable("a=2&&a=1&token=x").as_deref(), Some("a=2&&a=1"));
        assert_eq!(comparable("_HLS_msn=3&token=x"), None);
        assert_eq!(comparable(""), None);
    }
}
