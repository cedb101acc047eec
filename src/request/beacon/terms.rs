//! What holds for a record: what its route says. Where it may be of several routes, the strictest that any of them says.

use std::time::Duration;

use crate::config::reports::Kept;
use crate::request::policies::RoutePolicy;

/// Over what a record must come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// Over TLS alone.
    Tls,
    /// Over anything.
    Any,
}

/// What holds for a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// What is kept of it.
    pub kept: Kept,
    /// Over what it comes.
    pub over: Over,
    /// Whether none of the routes that it may be of takes any: its player need not send more.
    pub takes_none: bool,
}

impl Terms {
    /// Of a record that is of one of these routes.
    pub fn of(routes: &[&RoutePolicy]) -> Self {
        let kept = |route: &&RoutePolicy| route.config.reporting.beacons;
        let is_over_tls = routes.iter().any(|route| route.config.https_only);
        Self {
            kept: routes.iter().map(kept).max_by_key(strictness).unwrap_or_default(),
            over: if is_over_tls { Over::Tls } else { Over::Any },
            takes_none: routes.iter().map(kept).all(|kept| kept == Kept::Off),
        }
    }
}

const fn strictness(kept: &Kept) -> u8 {
    match kept {
        Kept::All => 0,
        Kept::Essential => 1,
        Kept::Off => 2,
    }
}

/// Of routes that a record may be of, the one under whose name it is kept: that which keeps for the shortest time, of
/// several such the first.
pub fn told_of<'p>(routes: &[&'p RoutePolicy]) -> Option<&'p RoutePolicy> {
    routes.iter().copied().min_by_key(|route| route.config.retention.unwrap_or(Duration::MAX))
}
