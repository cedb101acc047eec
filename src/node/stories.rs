//! The stories of a node: where they are kept, and what keeps them in order.

use std::sync::Arc;

use tracing::warn;

use crate::clock::Clock;
use crate::config::Config;
use crate::journal::log::Log;
use crate::region::secrets::RegionKeys;
use crate::rules::session::PrintKey;
use crate::stories::live::Bounds;
use crate::stories::{Names, Stories};

use super::{Shared, witness};

/// What a log in memory takes of what one on disk would.
const IN_MEMORY: u64 = 16;

/// The stories of a node that starts.
pub(super) fn open(config: &Config, clock: &Clock, secrets: &RegionKeys) -> Arc<Stories> {
    if config.qoe.enabled {
        warn!("what viewers experience is kept in memory only: `state` is not set in [node]");
    }
    let names = Names {
        node: config.node.name.as_str().into(),
        region: config.node.region.as_deref().map(Into::into),
        boot: u64::try_from(clock.wall().since_epoch().as_millis()).unwrap_or_default(),
    };
    let kept = (Log::in_memory(config.journal.size / IN_MEMORY), PrintKey::new(&secrets.key("stories")));
    let stories = Arc::new(Stories::new(clock.clone(), names, config.node.workers, kept));
    stories.live.lock().set_bounds(bounds(config));
    stories
}

/// What bounds the figures of this moment.
pub(super) const fn bounds(config: &Config) -> Bounds {
    Bounds { streams: config.metrics.streams, sessions: config.limits.sessions, idle: config.qoe.session_idle }
}

/// Starts what keeps them in order until the node has stopped.
pub(super) fn keep_up(shared: &Arc<Shared>) {
    shared.keep("stories", Box::pin(shared.edge.stories.clone().keep()));
    witness::keep_up(shared);
    shared.keep("remembering sessions", Box::pin(shared.edge.stories.clone().remember()));
    shared.keep("letting go of sessions", Box::pin(shared.edge.stories.clone().let_go()));
}
