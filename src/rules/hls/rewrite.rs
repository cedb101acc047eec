//! Which URIs of a playlist are rewritten, line by line (§14 of the conformance page): relative ones stay, absolute and
//! rooted ones of the mapped origin become the node's, all others stay.

use std::borrow::Cow;

/// Rewrites the URIs of a playlist of either kind: `node` gives the new form of one URI, or `None` where it stays.
/// Everything else stays as it is. Relative URIs, and those with variables, are not asked about.
pub fn rewrite(_text: &str, _node: impl FnMut(&str) -> Option<String>) -> Cow<'_, str> {
    unimplemented!("rewrite")
}

/// `uri` as seen from `base`, an absolute path with or without a query (RFC 3986 §5.2): an absolute path with its
/// query, canonical; `None` for a URI of another authority, another scheme (`data:`, `skd:`), or one that is malformed.
pub fn resolve(_base: &str, _uri: &str) -> Option<String> {
    unimplemented!("rewrite")
}
