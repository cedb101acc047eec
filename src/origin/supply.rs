//! What a route's public paths are called at its origins, and the other way round: the one translation between the two.

use http::uri::PathAndQuery;

use crate::config::{Origin, Route};
use crate::rules::caching::Key;

/// Where a route's objects come from, and under which names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Supply {
    /// Names of its origins, in order of preference.
    pub origins: Vec<String>,
}

/// A public target as it is asked for upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// The object that it is.
    pub key: Key,
    /// Path and query, before an origin's base path.
    pub upstream: PathAndQuery,
}

impl Supply {
    /// The supply of a route: `origins` are those that it names, in its order.
    pub fn new(_route: &Route, _origins: &[&Origin]) -> Self {
        unimplemented!("config")
    }

    /// What is asked for upstream where a viewer asks for `target`, a canonical path with or without a query. `viewer`
    /// is what the viewer called the edge; it counts where the origin wants to see it. `None`: it cannot be written.
    pub fn locate(&self, _target: &str, _viewer: Option<&str>) -> Option<Located> {
        unimplemented!("config")
    }

    /// The public form, rooted, of an absolute or rooted URI in a document of the origin's; `None`: it is foreign, lies
    /// outside the origin's base path, or is as viewers know it already. Any origin of the route counts, whatever the
    /// scheme; so does what the viewer called the edge.
    pub fn public(&self, _uri: &str, _viewer: Option<&str>) -> Option<String> {
        unimplemented!("config")
    }
}
