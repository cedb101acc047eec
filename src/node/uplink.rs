//! The sinks of a node: started, followed on reload, given what is there before the end, and shown.

use std::sync::Arc;

use crate::admin::SinkStatus;
use crate::clock::{Clock, Tick};
use crate::config::Config;
use crate::config::sinks::Sink;
use crate::outbound::tls::TlsSetupError;
use crate::stories::Stories;
use crate::tasks::Tasks;
use crate::telemetry::metrics::Family;
use crate::uplink::{self, Attempt, Figures, Uplink};

use super::{Shared, region};

/// The sinks of a node that starts; none is told anything yet.
pub(super) fn open(config: &Config, stories: &Arc<Stories>, with: (Clock, Tasks)) -> Uplink {
    Uplink::new(stories.clone(), config.node.state.clone(), with)
}

/// Those that a configuration names.
fn wanted(config: &Config) -> &[Sink] {
    if config.qoe.enabled { &config.qoe.sinks } else { &[] }
}

/// Follows a configuration.
///
/// # Errors
/// Where TLS towards one cannot be set up; nothing has changed then.
pub(super) fn follow(uplink: &Uplink, config: &Config) -> Result<(), TlsSetupError> {
    uplink.follow(wanted(config))
}

/// What was told until now is kept, and sinks that take it at once have it. Without a disk nobody else would.
pub(super) async fn flush(shared: &Shared) {
    let (clock, stories) = (&shared.clock, &shared.edge.stories);
    let until = clock.now() + region::FAREWELL;
    tokio::select! {
        // Whether it is kept or not, it is all that there is.
        () = stories.close() => {}
        () = clock.sleep_until(until) => {}
    }
    shared.uplink.flush(until).await;
}

/// The sinks in `/status`.
pub(super) fn status(uplink: &Uplink, now: Tick) -> Vec<SinkStatus> {
    let status = |figures: Figures| SinkStatus {
        name: figures.sink,
        kind: figures.kind,
        health: figures.health.word(),
        delivered: figures.progress.delivered,
        quarantined: figures.progress.quarantined,
        refused: figures.progress.refused,
        left_out: figures.progress.left_out,
        missed: figures.progress.missed,
        next: figures.progress.next,
        behind_records: figures.behind.records,
        behind_bytes: figures.behind.octets,
        behind_seconds: figures.behind.seconds,
        last: figures.last.map(Attempt::word),
        detail: Some(figures.detail).filter(|detail| !detail.is_empty()),
        delivered_seconds_ago: figures.delivered_at.map(|at| now.since(at).as_secs_f64()),
    };
    uplink.figures().into_iter().map(status).collect()
}

/// Their metrics.
pub(super) fn families(uplink: &Uplink) -> Vec<Family> {
    uplink::families(&uplink.figures())
}
