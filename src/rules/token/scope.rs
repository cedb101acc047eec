//! What of a site a token covers. Paths are judged in their canonical form (`rules::uri`), and a prefix ends at the end
//! of a segment: `/event1` covers `/event1` and `/event1/…`, not `/event10`.

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
