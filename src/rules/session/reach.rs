//! Which paths of a host a session may open, and where it stands in them: those of all routes of its access, of whose
//! patterns the first that matches counts, as for requests.

use crate::rules::token::carrier::{self, CarrierPosition};
use crate::rules::uri::PathPattern;

/// The routes of a host as one access sees them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    hosts: Vec<String>,
    routes: Vec<(PathPattern, Gated)>,
}

/// Whether a route is behind the access in question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gated {
    /// It is.
    ByIt,
    /// It is open, or behind another one.
    Otherwise,
}

impl Reach {
    /// Routes of `hosts`, in the order in which they match.
    pub fn new(hosts: Vec<String>, routes: impl IntoIterator<Item = (PathPattern, Gated)>) -> Self {
        Self { hosts, routes: routes.into_iter().collect() }
    }

    /// What is left of a path below the route that serves it, where that is behind the access.
    fn below<'p>(&self, path: &'p str) -> Option<&'p str> {
        let (pattern, gated) = self.routes.iter().find(|(pattern, _)| pattern.name_in(path).is_some())?;
        pattern.below(path).filter(|_| *gated == Gated::ByIt)
    }

    /// What a URI names on these hosts: all of a rooted one, and what stands behind the authority of an absolute one
    /// that names one of them, or what a viewer calls the edge. `None`: it is relative, or names another host.
    pub fn local<'u>(&self, uri: &'u str, viewer: Option<&str>) -> Option<&'u str> {
        let begins = |scheme: &&str| uri.get(..scheme.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(scheme));
        let Some(scheme) = ["http://", "https://", "//"].into_iter().find(begins) else {
            return uri.starts_with('/').then_some(uri);
        };
        let rest = &uri[scheme.len()..];
        let (authority, local) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let host = match authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|octet| octet.is_ascii_digit()) => host,
            _ => authority,
        };
        let is_own = viewer.is_some_and(|viewer| viewer.eq_ignore_ascii_case(authority))
            || self.hosts.iter().any(|own| own.eq_ignore_ascii_case(host));
        (is_own && local.starts_with('/')).then_some(local)
    }

    /// What stands before what is left of a path below its route; `None`: it is not behind the access.
    pub fn front<'p>(&self, target: &'p str) -> Option<&'p str> {
        let path = target.split(['?', '#']).next().unwrap_or_default();
        let below = self.below(path)?;
        Some(&path[..path.len().saturating_sub(below.len())])
    }

    /// Whether a path, with or without a query, is behind the access.
    pub fn covers(&self, target: &str) -> bool {
        self.front(target).is_some()
    }

    /// A path, with or without a query, as it is asked for in a session; `None`: the session does not open it.
    pub fn in_session(&self, target: &str, session: &str, position: CarrierPosition) -> Option<String> {
        let front = self.front(target)?;
        let at = match position {
            CarrierPosition::Root => 0,
            CarrierPosition::Route => front.len(),
        };
        let (front, rest) = target.split_at(at);
        Some([front, &carrier::session_path(session), rest].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach() -> Reach {
        let routes = [("/live/open/", Gated::Otherwise), ("/live/{stream}/", Gated::ByIt), ("/", Gated::Otherwise)];
        Reach::new(
            vec!["edge.example".to_owned()],
            routes.map(|(path, gated)| (PathPattern::parse(path).unwrap(), gated)),
        )
    }

    #[test]
    fn own_hosts_are_those_of_the_routes_and_what_a_viewer_calls_the_edge() {
        for (uri, local) in [
            ("/a/b?c", Some("/a/b?c")),
            ("https://EDGE.example:8443/a", Some("/a")),
            ("//edge.example/a", Some("/a")),
            ("http://127.0.0.1:8080/a", Some("/a")),
            ("http://127.0.0.1:8081/a", None),
            ("https://ads.example/a", None),
            ("https://edge.example", None),
            ("a/b", None),
            ("skd://edge.example/a", None),
        ] {
            assert_eq!(reach().local(uri, Some("127.0.0.1:8080")), local, "{uri}");
        }
    }

    #[test]
    fn a_session_stands_at_the_root_or_after_the_path_of_the_route() {
        for (target, root, route) in [
            ("/live/a/x.m3u8?q=/b", Some("/.weir/s/S/live/a/x.m3u8?q=/b"), Some("/live/a/.weir/s/S/x.m3u8?q=/b")),
            ("/live/a/b/c.ts", Some("/.weir/s/S/live/a/b/c.ts"), Some("/live/a/.weir/s/S/b/c.ts")),
            ("/live/open/x.m3u8", None, None),
            ("/ads/x.ts", None, None),
            ("/live", None, None),
        ] {
            assert_eq!(reach().in_session(target, "S", CarrierPosition::Root).as_deref(), root, "{target}");
            assert_eq!(reach().in_session(target, "S", CarrierPosition::Route).as_deref(), route, "{target}");
            assert_eq!(reach().covers(target), root.is_some());
        }
    }
}
