//! A playlist as a request names it: what is left of its query, and what its origin is asked, for all its viewers alike.

use http::header::USER_AGENT;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue};

use crate::config::LiveMode;
use crate::live::Asked;
use crate::origin::peers::Shared;
use crate::origin::supply::Located;
use crate::rules::caching::Key;
use crate::rules::fields::loops;
use crate::rules::hls::directives::{BadDirectives, Directives};
use crate::rules::hls::query;
use crate::rules::upstream::rendezvous::Print;

use super::cached;
use super::edge::Edge;
use super::policies::Policies;
use super::route::Resource;
use super::{Caller, Head, Refusal};

/// How the node calls itself where it asks for nobody in particular.
const NODE: HeaderValue = HeaderValue::from_static(concat!("weir/", env!("CARGO_PKG_VERSION")));

/// In Via: viewers of several versions share what is asked for here.
const VERSION: &str = "1.1";

/// What a request asks for, if it is a playlist.
pub struct Asking {
    /// What makes two requests the same playlist.
    pub key: Key,
    /// Public path and query, without directives, and with the parameters that count.
    pub target: String,
    /// Path and query as asked for upstream.
    pub upstream: PathAndQuery,
    /// Its delivery directives.
    pub directives: Result<Directives, BadDirectives>,
    /// How many parameters of the query do not count.
    pub dropped: usize,
}

impl Asking {
    /// The same as an object of its own, for what a playlist lists.
    pub fn resource<'a>(&self, resource: &Resource<'a>) -> Resource<'a> {
        Resource {
            route: resource.route,
            upstream: self.upstream.clone(),
            viewer_authority: resource.viewer_authority.clone(),
            key: self.key.clone(),
            target: self.target.clone(),
            admission: resource.admission.clone(),
            ladder: resource.ladder,
            watcher: resource.watcher.clone(),
        }
    }

    /// The playlist, and how its origin is asked for it.
    pub fn asked(&self, policies: &Policies, resource: &Resource<'_>) -> Asked {
        Asked {
            key: self.key.clone(),
            target: self.target.as_str().into(),
            upstream: self.upstream.clone(),
            fields: fields(policies),
            viewer_authority: resource.viewer_authority.clone(),
            rules: resource.route.rules.clone(),
        }
    }
}

/// What a shareable request asks for, if the live edge has a word in it.
pub fn shared(edge: &Edge, head: &Head, resource: &Resource<'_>) -> Option<Asking> {
    let is_live = resource.route.config.live == LiveMode::Auto && cached::names_nobody(head);
    is_live.then(|| playlist(edge, resource)).flatten()
}

/// Whether another node means the object that its request comes to here: else the two are configured otherwise, and one
/// would have the other's object under its own name.
///
/// # Errors
/// `PeersDisagree`.
pub fn agree(edge: &Edge, head: &Head, resource: &Resource<'_>) -> Result<(), Refusal> {
    let Caller::Node(Some(meant)) = head.caller else { return Ok(()) };
    let is_meant = |key: &Key| Print::of(key.as_str()) == meant;
    let is_same = is_meant(&resource.key) || playlist(edge, resource).is_some_and(|asking| is_meant(&asking.key));
    if is_same { Ok(()) } else { Err(Refusal::PeersDisagree) }
}

/// How the region's owner of an object is asked before its origins are; a request that comes from another node goes to
/// no third one.
pub fn regional(head: &Head, resource: &Resource<'_>) -> Option<Shared> {
    match head.caller {
        Caller::Node(_) => None,
        Caller::Viewer => {
            let supply = &resource.route.supply;
            supply.shared(&resource.key, &resource.target, resource.viewer_authority.as_deref())
        }
    }
}

/// Whether a canonical path is a playlist's by its ending: what comes without `#EXTM3U` is an error of the origin then.
pub fn is_playlist_path(path: &str) -> bool {
    let ending = path.rsplit_once('.').map_or("", |(_, ending)| ending);
    ending.eq_ignore_ascii_case("m3u8") || ending.eq_ignore_ascii_case("m3u")
}

/// The playlist that `resource` would be; `None`: its origin cannot be asked for it.
pub fn playlist(edge: &Edge, resource: &Resource<'_>) -> Option<Asking> {
    let route = resource.route;
    let (path, query) = match resource.target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (&*resource.target, None),
    };
    let (directives, rest) = Directives::take(query);
    let counts = |name: &str| {
        route.config.query_keep.iter().any(|kept| kept == name) || edge.live.writes_parameter(&route.name, name)
    };
    let kept = query::keep(rest.as_deref(), counts);
    let target = match kept.query {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let Located { key, upstream } = route.supply.locate(&target, resource.viewer_authority.as_deref())?;
    Some(Asking { key, target, upstream, directives, dropped: kept.dropped })
}

/// The fields of what the node asks for on behalf of all: nothing of a viewer, so that what comes fits them all.
pub fn fields(policies: &Policies) -> HeaderMap {
    let mut fields = HeaderMap::from_iter([(USER_AGENT, NODE)]);
    loops::append_via(&mut fields, VERSION, &policies.pseudonym);
    loops::append_cdn_loop(&mut fields, &policies.pseudonym);
    fields
}
