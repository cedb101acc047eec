//! The stories of a node: where they are kept, and what keeps them in order.

use std::sync::Arc;

use tracing::{info, warn};

use crate::clock::Clock;
use crate::config::Config;
use crate::disk::Engine;
use crate::journal::log::{self, Log};
use crate::region::secrets::RegionKeys;
use crate::rules::session::PrintKey;
use crate::stories::live::Bounds;
use crate::stories::{Names, Stories};
use crate::tasks::Tasks;

use super::{Shared, StartError, witness};

/// The folder of the log, below the one of what must survive.
const FOLDER: &str = "stories";

/// The stories of a node that starts.
pub(super) fn open(
    config: &Config,
    secrets: &RegionKeys,
    (engine, clock, tasks): (Option<Engine>, &Clock, &Tasks),
) -> Result<Arc<Stories>, StartError> {
    let names = Names {
        node: config.node.name.as_str().into(),
        region: config.node.region.as_deref().map(Into::into),
        boot: u64::try_from(clock.wall().since_epoch().as_millis()).unwrap_or_default(),
    };
    let kept = (log(config, (engine, clock, tasks))?, PrintKey::new(&secrets.key("stories")));
    let stories = Arc::new(Stories::new(clock.clone(), names, config.node.workers, kept));
    stories.live.lock().set_bounds(bounds(config));
    Ok(stories)
}

fn log(config: &Config, (engine, clock, tasks): (Option<Engine>, &Clock, &Tasks)) -> Result<Log, StartError> {
    let crate::config::qoe::Journal { size, keep, sync, .. } = config.journal;
    let folder = config.node.state.as_ref().filter(|_| config.qoe.enabled).map(|state| state.join(FOLDER));
    let Some((folder, engine)) = folder.zip(engine) else {
        if config.qoe.enabled {
            warn!("what viewers experience is kept in memory only: `state` is not set in [node]");
        }
        return Ok(Log::in_memory_within(log::Bounds { size: config.journal.in_memory(), keep, sync }));
    };
    let with = (engine, clock.clone(), tasks.clone());
    let opened = Log::open(&folder, with, log::Bounds { size, keep, sync });
    let log = opened.map_err(|source| StartError::State { folder: folder.display().to_string(), source })?;
    let log::Figures { first, next, octets, .. } = log.figures();
    info!(first, next, octets, "what viewers experienced is kept in {}", folder.display());
    Ok(log)
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
    shared.keep("log", Box::pin(shared.edge.stories.log().clone().work()));
}
