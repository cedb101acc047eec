//! The sessions of a node: opened with what earlier processes were told, kept in order, and shown.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tracing::info;

use crate::admin::SessionsStatus;
use crate::clock::Clock;
use crate::config::Config;
use crate::disk::Engine;
use crate::journal::{Journal, Kind, Room};
use crate::region::bus::Bus;
use crate::rules::session::Revocation;
use crate::sessions::{Bounds, Sessions};
use crate::telemetry::metrics::{Family, Value};

use super::{Shared, StartError};

/// The folder of the journal, below the one of what must survive.
const FOLDER: &str = "journal";

/// How long a node that stops waits for its journal.
const FLUSH: Duration = Duration::from_secs(2);

pub(super) fn bounds(config: &Config) -> Bounds {
    Bounds { sessions: config.limits.sessions, revocations: config.limits.revocations }
}

/// The sessions of a node that starts: nobody is there, and what was revoked before is.
pub(super) fn open(
    config: &Config,
    (engine, clock): (Option<&Engine>, &Clock),
    bus: &Bus,
) -> Result<Arc<Sessions>, StartError> {
    let sessions = Arc::new(Sessions::new(bounds(config)));
    if let Some((state, engine)) = config.node.state.as_ref().zip(engine) {
        let folder = state.join(FOLDER);
        let opened = open_journal((&sessions, bus), &folder, (engine.clone(), clock.clone()));
        let journal = opened.map_err(|source| StartError::State { folder: folder.display().to_string(), source })?;
        info!(revocations = sessions.snapshot().revocations, "revocations of earlier processes are in force");
        sessions.keep_in(journal);
    }
    Ok(sessions)
}

fn open_journal(
    (sessions, bus): (&Sessions, &Bus),
    folder: &Path,
    (engine, clock): (Engine, Clock),
) -> io::Result<Journal> {
    let wall = clock.wall();
    Journal::open(folder, (engine, clock), Room::default(), |kind, event| match kind {
        Kind::Revoked => {
            sessions.remember(event, wall);
            // Nodes that come later are told of it too.
            if let Some(revocation) = Revocation::read(event) {
                bus.note(&revocation);
            }
        }
    })
}

/// Starts what keeps them in order until the node has stopped.
pub(super) fn keep_up(shared: &Arc<Shared>) {
    let (sessions, clock, tasks) = (&shared.edge.sessions, &shared.clock, &shared.tasks);
    shared.keep("sessions", Box::pin(sessions.clone().keep(clock.clone())));
    if let Some(journal) = sessions.journal() {
        shared.keep("journal", Box::pin(journal.clone().write(tasks.clone())));
        let (judge, clock) = (sessions.clone(), clock.clone());
        let counts = move |kind, event: &[u8]| match kind {
            Kind::Revoked => judge.counts(event, clock.wall()),
        };
        shared.keep("journal", Box::pin(journal.clone().compact(tasks.clone(), counts)));
    }
}

/// What was told to the node reaches the disk before it stops, where the disk lets it.
pub(super) async fn flush(shared: &Shared) {
    let Some(journal) = shared.edge.sessions.journal() else { return };
    tokio::select! {
        kept = journal.append(Kind::Revoked, []) => {
            if let Err(why) = kept {
                tracing::error!(%why, "the journal is left behind unfinished");
            }
        }
        () = shared.clock.sleep(FLUSH) => tracing::error!("the journal does not come to its end"),
    }
}

pub(super) fn status(shared: &Shared) -> SessionsStatus {
    let snapshot = shared.edge.sessions.snapshot();
    let journal = shared.edge.sessions.journal().map(Journal::figures);
    SessionsStatus {
        sessions: snapshot.sessions.iter().map(|(access, count)| (access.to_string(), *count)).collect(),
        began: snapshot.began,
        limited: snapshot.limited,
        revoked: snapshot.revoked,
        revocations: snapshot.revocations,
        revocations_pushed_out: snapshot.pushed_out,
        durable: journal.map(|figures| figures.waiting == 0),
    }
}

pub(super) fn families(shared: &Shared) -> Vec<Family> {
    let snapshot = shared.edge.sessions.snapshot();
    let sessions = snapshot
        .sessions
        .iter()
        .fold(Family::new("weir_sessions", "Sessions that go on, by access"), |family, (access, count)| {
            family.with(vec![("access", access.to_string())], Value::Gauge(*count as f64))
        });
    let mut families = vec![
        sessions,
        Family::counter("weir_sessions_began", "Sessions that began on this node", snapshot.began),
        Family::counter("weir_sessions_silent", "Sessions that ended in silence", snapshot.silent),
        Family::counter(
            "weir_session_limit",
            "Sessions refused or ended, as their subject had too many",
            snapshot.limited,
        ),
        Family::counter(
            "weir_presence_dropped",
            "Sessions of other nodes that there was no room to remember",
            snapshot.presence_dropped,
        ),
        Family::counter("weir_sessions_full", "Sessions that found no room on this node", snapshot.full),
        Family::counter("weir_revoked", "Sessions ended by a revocation", snapshot.revoked),
        Family::gauge("weir_revocations", "Revocations in force", snapshot.revocations as f64),
        Family::gauge(
            "weir_revocations_bytes",
            "What the table of revocations takes",
            snapshot.revocation_octets as f64,
        ),
        Family::counter(
            "weir_revocations_pushed_out",
            "Revocations that went before their time, as there were more than `limits.revocations`",
            snapshot.pushed_out,
        ),
    ];
    if let Some(figures) = shared.edge.sessions.journal().map(Journal::figures) {
        families.extend([
            Family::counter("weir_journal_events", "Events that were kept", figures.kept),
            Family::counter("weir_journal_failures", "Attempts to write the journal that failed", figures.failures),
            Family::gauge("weir_journal_bytes", "What the files of the journal take", figures.octets as f64),
            Family::gauge("weir_journal_waiting_bytes", "Events that are not kept yet", figures.waiting as f64),
        ]);
    }
    families.extend(of_feeds(shared));
    families
}

fn of_feeds(shared: &Shared) -> [Family; 4] {
    let mut batches = Family::new("weir_revocation_feed_batches", "Batches of the backend's feed that were taken");
    let mut failures = Family::new("weir_revocation_feed_failures", "Rounds of the backend's feed that failed");
    let mut age = Family::new("weir_revocation_feed_age_seconds", "Since the backend's feed was last up to date");
    let mut alarm = Family::new("weir_revocation_feed_alarm", "1 where the backend's feed is behind");
    for feed in shared.feeds.figures() {
        let labels = || vec![("access", feed.access.to_string())];
        batches = batches.with(labels(), Value::Counter(feed.batches));
        failures = failures.with(labels(), Value::Counter(feed.failures));
        if let Some(time) = feed.age {
            age = age.with(labels(), Value::Gauge(time.as_secs_f64()));
        }
        alarm = alarm.with(labels(), Value::Gauge(f64::from(u8::from(feed.alarm))));
    }
    [batches, failures, age, alarm]
}
