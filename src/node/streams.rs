//! How the live streams are: for `/status` and for metrics.

use std::collections::BTreeMap;

use crate::admin::{LiveStatus, PlaylistStatus};
use crate::live::figures::Snapshot;
use crate::request::Policies;
use crate::telemetry::metrics::{Family, Source, Value};

use super::Shared;

/// So many playlists are told of, those that were asked for last: `/status` is read by people and by scripts that poll.
const MOST: usize = 1_000;

/// The live streams of this moment.
pub(super) fn status(shared: &Shared) -> LiveStatus {
    let live = &shared.edge.live;
    let policies = shared.edge.policies();
    let mut snapshots = live.snapshots();
    let playlists = snapshots.len();
    if snapshots.len() > MOST {
        snapshots.sort_by(|one, other| one.idle.total_cmp(&other.idle));
        snapshots.truncate(MOST);
        snapshots.sort_by(|one, other| (&one.route, &one.path).cmp(&(&other.route, &other.path)));
    }
    LiveStatus {
        playlists,
        held: live.held.now(),
        renditions: snapshots.into_iter().map(|snapshot| playlist(&policies, snapshot)).collect(),
    }
}

fn playlist(policies: &Policies, snapshot: Snapshot) -> PlaylistStatus {
    PlaylistStatus {
        stream: stream(policies, &snapshot).to_owned(),
        route: snapshot.route,
        path: snapshot.path,
        state: snapshot.state,
        position: snapshot.next.map(|next| next.to_string()),
        target_seconds: snapshot.target_duration,
        part_target_seconds: snapshot.part_target,
        version: snapshot.version,
        generation: snapshot.generation,
        behind_seconds: snapshot.behind,
        held: snapshot.waiting,
        idle_seconds: snapshot.idle,
        requests: snapshot.asked.into_iter().collect(),
        findings: snapshot.noticed.into_iter().collect(),
        last_error: snapshot.last_error,
        origin: snapshot.origin,
    }
}

/// The stream that a playlist belongs to, as metrics call it.
fn stream<'s>(policies: &'s Policies, snapshot: &'s Snapshot) -> &'s str {
    let route = policies.routes.iter().find(|route| *route.name == *snapshot.route);
    route.map_or("", |route| route.stream(&snapshot.path))
}

/// The figures of the live streams. Streams have the labels that those of their requests have.
pub(super) fn families(shared: &Shared) -> Vec<Family> {
    let live = &shared.edge.live;
    let policies = shared.edge.policies();
    let mut states = BTreeMap::from([("per-viewer", live.per_viewer())]);
    let mut behind = BTreeMap::<String, f64>::new();
    for snapshot in live.snapshots() {
        *states.entry(snapshot.state).or_default() += 1;
        if let Some(seconds) = snapshot.behind {
            let label = shared.edge.traffic.streams.label(stream(&policies, &snapshot)).to_owned();
            let worst = behind.entry(label).or_insert(seconds);
            *worst = worst.max(seconds);
        }
    }
    let mut families = live.figures.families();
    families.push(states.into_iter().fold(
        Family::new("weir_playlists", "Playlists that are known, by what they are"),
        |family, (state, count)| family.with(vec![("state", state.to_owned())], Value::Gauge(count as f64)),
    ));
    families.push(behind.into_iter().fold(
        Family::new(
            "weir_playlist_behind_seconds",
            "How far the end of a stream's playlists is behind its origin's clock, the worst rendition",
        ),
        |family, (stream, seconds)| family.with(vec![("stream", stream)], Value::Gauge(seconds)),
    ));
    families.push(Family::gauge("weir_held_requests", "Playlist reloads that are held", live.held.now() as f64));
    families
}
