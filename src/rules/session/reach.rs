//! Which paths of a host a session may open, and where it stands in them: those of all routes of its access, of whose
//! patterns the first that matches counts, as for requests.

use crate::rules::token::carrier::{self, CarrierPosition};
use crate::rules::uri::PathPattern;

/// The routes of a host as one access sees them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach(Vec<(PathPattern, Gated)>);

/// Whether a route is behind the access in question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gated {
    /// It is.
    ByIt,
    /// It is open, or behind another one.
    Otherwise,
}

impl Reach {
    /// Routes in the order in which they match.
    pub fn new(routes: impl IntoIterator<Item = (PathPattern, Gated)>) -> Self {
        Self(routes.into_iter().collect())
    }

    /// What is left of a path below the route that serves it, where that is behind the access.
    fn below<'p>(&self, path: &'p str) -> Option<&'p str> {
        let (pattern, gated) = self.0.iter().find(|(pattern, _)| pattern.name_in(path).is_some())?;
        pattern.below(path).filter(|_| *gated == Gated::ByIt)
    }

    /// Whether a path, with or without a query, is behind the access.
    pub fn covers(&self, target: &str) -> bool {
        self.below(target.split(['?', '#']).next().unwrap_or_default()).is_some()
    }

    /// A path, with or without a query, as it is asked for in a session; `None`: the session does not open it.
    pub fn in_session(&self, target: &str, session: &str, position: CarrierPosition) -> Option<String> {
        let path = target.split(['?', '#']).next().unwrap_or_default();
        let below = self.below(path)?;
        let at = match position {
            CarrierPosition::Root => 0,
            CarrierPosition::Route => path.len().saturating_sub(below.len()),
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
        Reach::new(routes.map(|(path, gated)| (PathPattern::parse(path).unwrap(), gated)))
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
