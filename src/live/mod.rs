//! The live edge: one follower for each watched rendition, what it published, who waits for more, and what it names.
//!
//! A `Playlist` is anything under a playlist's URL: asked for once however many want it, then followed (a live media
//! playlist), kept (a multivariant one, or one that has ended), or known to be made per viewer. Its task lives on its
//! home worker; viewers on every worker read its state, and wait in its `Parking`.

pub mod edition;
mod follower;
pub mod media;
pub mod parking;
pub mod playlist;
pub mod state;
mod sync;

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use http::uri::PathAndQuery;

use crate::cache::{Bells, Cache};
use crate::clock::Clock;
use crate::origin::Origins;
use crate::origin::supply::Supply;
use crate::rules::caching::Key;
use crate::tasks::Tasks;

use media::Media;
use playlist::Playlist;

/// The bounds of the live edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveConfig {
    /// Playlists that are followed, or known, at once.
    pub followers: usize,
    /// Requests held at once, on the whole node.
    pub held: usize,
    /// For how long a rendition is followed after its last viewer.
    pub grace: Duration,
    /// Names of media that are remembered at once.
    pub names: usize,
}

/// A playlist as a request names it.
#[derive(Clone)]
pub struct Asked {
    /// What makes two requests the same playlist: without directives, and with the query that counts.
    pub key: Key,
    /// Public path and query, without directives.
    pub target: Arc<str>,
    /// Path and query as asked for upstream.
    pub upstream: PathAndQuery,
    /// The fields of the request to the origin: nothing that names a viewer.
    pub fields: HeaderMap,
    /// What the viewer called the edge, where the origin wants to see it.
    pub viewer_authority: Option<String>,
    /// How its route treats it.
    pub rules: Arc<Rules>,
}

/// How a route treats live streams.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// The route's name.
    pub route: Arc<str>,
    /// Where its objects come from.
    pub supply: Arc<Supply>,
    /// Whether its playlists are one viewer's each.
    pub playlists: crate::config::Playlists,
    /// Whether keys are shared among viewers.
    pub keys: crate::config::Keys,
    /// Query parameters that count, beside the packagers' own and those that playlists write.
    pub query_keep: Vec<String>,
    /// For how many target durations the last playlist is repeated while its origin fails.
    pub stale_playlist_for: u32,
}

/// Why a playlist is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// As many playlists as allowed are followed.
    #[error("as many playlists as allowed are followed")]
    Followers,
}

/// All playlists of the node, and what they name.
pub struct Live {
    /// What followed playlists name.
    pub media: Arc<Media>,
}

impl Live {
    /// A live edge in which nothing is followed. `workers` has the tasks of each worker.
    pub fn new(
        _config: LiveConfig,
        _cache: Arc<Cache>,
        _origins: Arc<Origins>,
        _bells: Arc<Bells>,
        (_clock, _workers): (Clock, Vec<Tasks>),
    ) -> Arc<Self> {
        unimplemented!("follower")
    }

    /// The playlist that a request names; asked for now if nobody did, and followed for as long as it is watched.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn open(self: &Arc<Self>, _asked: &Asked) -> Result<Arc<Playlist>, Refused> {
        unimplemented!("follower")
    }

    /// The playlist under a key, if it is known.
    pub fn find(&self, _key: &Key) -> Option<Arc<Playlist>> {
        unimplemented!("follower")
    }

    /// Takes on changed bounds and origins.
    pub fn reconfigure(&self, _config: LiveConfig, _origins: Arc<Origins>) {
        unimplemented!("follower")
    }

    /// All playlists that are known.
    pub fn playlists(&self) -> Vec<Arc<Playlist>> {
        unimplemented!("follower")
    }
}
