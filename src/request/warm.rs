//! Playlists that are followed though nobody watches: those that routes name, and those that an operator asks for.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use tracing::warn;

use crate::config::{LiveMode, Playlists};
use crate::live::{Asked, Refused};

use super::policies::RoutePolicy;
use super::route::{self, Target};
use super::{Edge, Head, Policies, Refusal, asked, explain};

/// How often routes are looked at.
const LOOK: Duration = Duration::from_secs(30);

/// What is followed from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warmed {
    /// The route.
    pub route: String,
    /// Path and query of the playlist, as far as they count.
    pub target: String,
}

/// Why nothing is followed.
#[derive(Debug, thiserror::Error)]
pub enum NotWarmed {
    /// The URL cannot be read.
    #[error("{0}")]
    Url(&'static str),
    /// A viewer would be refused.
    #[error("a viewer would be refused: {0}")]
    Refused(#[from] Refusal),
    /// What it is cannot be followed.
    #[error("{0}")]
    NotFollowed(&'static str),
    /// As many playlists as allowed are followed.
    #[error(transparent)]
    Full(#[from] Refused),
}

/// Follows the playlist at `url` for a time; `None`: until the node ends.
///
/// # Errors
/// [`NotWarmed`].
pub fn warm(edge: &Edge, url: &str, time: Option<Duration>) -> Result<Warmed, NotWarmed> {
    let mut head = explain::head(url, HeaderMap::new()).map_err(NotWarmed::Url)?;
    let policies = edge.policies();
    let (route, asked) = playlist(edge, &policies, &mut head)?;
    edge.live.warm(&asked, time)?;
    Ok(Warmed { route: route.name.to_string(), target: asked.target.to_string() })
}

/// Keeps warm what routes name, for as long as they name it: what a reload leaves out cools down, and what could not be
/// followed at first is tried again.
pub async fn keep_routes(edge: Arc<Edge>) {
    loop {
        follow_routes(&edge);
        edge.clock.sleep(LOOK).await;
    }
}

/// Follows what the routes of this moment's policies name.
pub fn follow_routes(edge: &Edge) {
    let policies = edge.policies();
    for route in &policies.routes {
        for target in &route.config.warm {
            let head = explain::head(&route.url(target), HeaderMap::new());
            let followed = head.map_err(NotWarmed::Url).and_then(|mut head| {
                let (_, asked) = playlist(edge, &policies, &mut head)?;
                Ok(edge.live.warm(&asked, Some(2 * LOOK)).map(drop)?)
            });
            if let Err(error) = followed {
                warn!(route = %route.name, playlist = %target, %error, "a playlist to be kept warm is not followed");
            }
        }
    }
}

/// The playlist that `head` asks for.
fn playlist<'a>(edge: &Edge, policies: &'a Policies, head: &mut Head) -> Result<(&'a RoutePolicy, Asked), NotWarmed> {
    let resource = match route::enter(policies, head).target? {
        Target::Resource(resource) => resource,
        Target::Beacon(_) | Target::Page(_) | Target::Answered(_) => {
            return Err(NotWarmed::NotFollowed("the node answers this by itself"));
        }
    };
    let route = resource.route;
    if route.config.live == LiveMode::Off {
        return Err(NotWarmed::NotFollowed("nothing is followed on its route, which has `live = \"off\"`"));
    }
    if route.config.playlists == Playlists::PerViewer {
        return Err(NotWarmed::NotFollowed("its route has `playlists = \"per-viewer\"`: nobody else would get it"));
    }
    let asking = asked::playlist(edge, &resource);
    let asking = asking.ok_or(NotWarmed::NotFollowed("the origin cannot be asked for this path"))?;
    Ok((route, asking.asked(policies, &resource)))
}
