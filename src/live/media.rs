//! What followed playlists name: for how long a name lives, in which generation, and how it is delivered; and the
//! prefetch of what they hint.

use std::sync::Arc;
use std::time::Duration;

use crate::cache::Cache;
use crate::clock::{Clock, Tick};
use crate::origin::Origins;
use crate::rules::caching::Key;
use crate::rules::hls::Published;
use crate::rules::hls::multivariant::Role;
use crate::tasks::Tasks;

use super::Asked;

/// Something that a followed playlist names.
#[derive(Clone, Debug, PartialEq)]
pub struct Named {
    /// What it is.
    pub kind: Kind,
    /// The rendition's role in its stream, as far as it is known.
    pub role: Option<Role>,
    /// The object in the cache: the key of the name in its generation.
    pub key: Key,
    /// For how long it is still needed; `None`: for as long as it is listed, which it is.
    pub needed_until: Option<Tick>,
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A media initialisation section.
    Init,
    /// A media segment.
    Segment,
    /// A partial segment that is a resource of its own: sent once it can be sent whole.
    Part,
    /// A segment that still grows, and whose parts are ranges of it.
    Growing,
    /// A decryption key.
    DecryptionKey,
}

/// Whether anybody watches a rendition: what is hinted is fetched only then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watched {
    /// Somebody does.
    Now,
    /// Nobody did for a while.
    NotNow,
}

/// Names and prefetches of the whole node.
pub struct Media {}

impl Media {
    /// No names; at most `names` at once.
    pub fn new(
        _names: usize,
        _cache: Arc<Cache>,
        _origins: Arc<Origins>,
        (_clock, _workers): (Clock, Vec<Tasks>),
    ) -> Arc<Self> {
        unimplemented!("media")
    }

    /// From now on so many names, and these origins.
    pub fn reconfigure(&self, _names: usize, _origins: Arc<Origins>) {
        unimplemented!("media")
    }

    /// What `playlist` names at a key (without generation), if a followed playlist names it.
    pub fn find(&self, _key: &Key) -> Option<Named> {
        unimplemented!("media")
    }

    /// A playlist has a new version: names come and go, and what it hints is fetched. `window` is for how long its
    /// longest version lasted.
    pub fn published(
        self: &Arc<Self>,
        _asked: &Asked,
        (_before, _now): (Option<&Published>, &Published),
        _watched: Watched,
        _role: Option<Role>,
    ) {
        unimplemented!("media")
    }

    /// A playlist is no longer followed: its names live on for `margin`.
    pub fn retired(&self, _asked: &Asked, _last: &Published, _margin: Duration) {
        unimplemented!("media")
    }

    /// Whether a parameter of a query counts because a followed playlist of the route writes it into the URIs that it
    /// lists.
    pub fn writes_parameter(&self, _route: &str, _name: &str) -> bool {
        unimplemented!("media")
    }
}
