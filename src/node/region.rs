//! What this node and the others, and this node and the backends, hear of each other: sessions and revocations are turned
//! into words for them, and their words into deeds.

use std::sync::Arc;
use std::time::Duration;

use crate::access::webhooks::{self, Webhooks};
use crate::admin::{RegionNode, RegionStatus, WebhookStatus};
use crate::cache::Act;
use crate::clock::{Clock, Tick};
use crate::config::Config;
use crate::region::bus::{self, Bus, Figures, Started};
use crate::region::message::{NodeId, Presence};
use crate::region::secrets::RegionKeys;
use crate::region::wire::Wire;
use crate::request::{Edge, purge};
use crate::rules::caching::purge::{Meant, Mode};
use crate::rules::session::{Event, EventKind, Revocation, SessionId};
use crate::rules::token::Reason;
use crate::sessions::{self, Session, Sessions, Source, Told};
use crate::tasks::Tasks;
use crate::telemetry::metrics::{Family, Value};

use super::StartError;

/// What another node said of its sessions counts until it says otherwise or is gone: longer than any session.
const EVER: Duration = Duration::from_secs(10 * 365 * 86_400);
/// What the bus's keys are for: they open nothing else.
pub(super) const PURPOSE: &str = "bus";
/// The region of nodes that name none.
const NAMELESS: &str = "default";
/// At the end of a drain, for what others must still learn.
pub(super) const FAREWELL: Duration = Duration::from_secs(3);

/// The node's voice, and what gives it breath once everything else is there.
pub(super) struct Voice {
    pub bus: Bus,
    started: Option<(Started, NodeId)>,
}

/// A voice in the region, or none.
pub(super) fn voice(config: &Config, secrets: &RegionKeys) -> Voice {
    if config.nats.is_none() {
        return Voice { bus: Bus::silent(), started: None };
    }
    let id = NodeId::random();
    let node = bus::Node {
        name: config.node.name.clone(),
        region: region(config).to_owned(),
        id,
        keys: secrets.keys(PURPOSE),
        revocations: config.limits.revocations,
    };
    let (bus, started) = Bus::new(&node);
    Voice { bus, started: Some((started, id)) }
}

fn region(config: &Config) -> &str {
    config.node.region.as_deref().unwrap_or(NAMELESS)
}

impl Voice {
    /// Connects, and speaks and listens from now on.
    ///
    /// # Errors
    /// What can never work; servers that are away are waited for.
    pub async fn speak(self, config: &Config, edge: &Arc<Edge>, tasks: &Tasks) -> Result<(), StartError> {
        let Some((started, id)) = self.started else { return Ok(()) };
        let Some(wire) = wire(config, id, tasks).await? else { return Ok(()) };
        let ear = Arc::new(Ear(edge.clone()));
        tasks.spawn("region", started.run(ear, wire, (edge.clock.clone(), tasks.clone())));
        Ok(())
    }
}

#[cfg(feature = "nats")]
async fn wire(config: &Config, id: NodeId, tasks: &Tasks) -> Result<Option<Wire>, StartError> {
    use crate::region::nats::{Subjects, connect};
    let Some(nats) = &config.nats else { return Ok(None) };
    let subjects = Subjects::new(&nats.prefix, region(config), id);
    Ok(Some(connect(nats, &config.node.name, subjects, tasks).await?))
}

/// A configuration that names NATS is refused where there is none.
#[cfg(not(feature = "nats"))]
async fn wire(_: &Config, _: NodeId, _: &Tasks) -> Result<Option<Wire>, StartError> {
    Ok(None)
}

/// Hears the other nodes.
struct Ear(Arc<Edge>);

impl bus::Listener for Ear {
    fn revoked(&self, revocations: &[Revocation]) {
        // It is written whether or not anybody waits for that.
        _ = self.0.sessions.revoke(revocations, Source::Region, self.0.clock.wall());
    }

    fn changes(&self) -> Option<Vec<Presence>> {
        match self.0.sessions.presence_changes() {
            Told::Changes(changes) => Some(changes.into_iter().map(ours).collect()),
            Told::All(_) => None,
        }
    }

    fn living(&self) -> Vec<Presence> {
        self.0.sessions.presence().into_iter().map(ours).collect()
    }

    fn apply(&self, node: NodeId, changes: &[Presence]) {
        let theirs: Vec<_> = changes.iter().map(theirs).collect();
        let now = self.0.clock.now();
        self.0.sessions.apply_presence(node.0, &theirs, (now, now + EVER));
    }

    fn purge(&self, meant: &Meant, mode: Mode) -> Result<(u64, u64), String> {
        let outcome = purge::purge(&self.0, meant, Act::Purge(mode)).map_err(|error| error.to_string())?;
        tracing::info!(objects = outcome.cache.memory.objects, "purged, as another node was told to");
        Ok((outcome.cache.memory.objects, outcome.playlists as u64))
    }
}

fn ours(told: sessions::Presence) -> Presence {
    let sessions::Presence { access, subject, session, began_ms, goes_on } = told;
    Presence { access, subject, session, began_ms, goes_on }
}

fn theirs(told: &Presence) -> sessions::Presence {
    let Presence { access, subject, session, began_ms, goes_on } = told.clone();
    sessions::Presence { access, subject, session, began_ms, goes_on }
}

/// Tells other nodes and backends what happens to sessions.
struct Teller {
    bus: Bus,
    webhooks: Arc<Webhooks>,
    clock: Clock,
}

/// From now on other nodes and backends are told what happens to sessions.
pub(super) fn tell_of(sessions: &Sessions, bus: &Bus, webhooks: &Arc<Webhooks>, clock: &Clock) {
    sessions.tell(Arc::new(Teller { bus: bus.clone(), webhooks: webhooks.clone(), clock: clock.clone() }));
}

impl Teller {
    fn tell(&self, kind: EventKind, (access, session): (&Arc<str>, SessionId), reason: &'static str) {
        self.webhooks.tell(Event {
            kind,
            access: access.clone(),
            session: Some(session),
            subject: None,
            token: None,
            reason: Some(reason),
            at: self.clock.wall(),
        });
    }

    fn ended(&self, session: &Session, reason: Option<Reason>) {
        let kind = match reason {
            Some(Reason::Revoked) => EventKind::Revoked,
            Some(Reason::SessionLimit) => EventKind::Limit,
            Some(_) | None => EventKind::End,
        };
        self.tell(kind, (session.access(), session.id()), reason.map_or("idle", Reason::word));
    }
}

impl sessions::Listener for Teller {
    fn hear(&self, event: &sessions::Event<'_>) {
        match event {
            // Whoever let it in tells of it, for the token is known there.
            sessions::Event::Began(_) => {}
            sessions::Event::Ended(session, reason) => self.ended(session, *reason),
            sessions::Event::Refused(access, session) => {
                self.tell(EventKind::Limit, (access, *session), Reason::SessionLimit.word());
            }
            sessions::Event::Revoked(revocation, Source::Here | Source::Feed) => self.bus.tell(revocation),
            sessions::Event::Revoked(revocation, Source::Region) => self.bus.note(revocation),
        }
    }
}

/// The region in `/status`.
pub(super) fn status(bus: &Bus, now: Tick) -> Option<RegionStatus> {
    let Figures { connected, nodes, .. } = bus.figures()?;
    let node = |node: &bus::NodeFigures| RegionNode {
        name: node.name.clone(),
        heard_seconds: now.since(node.heard).as_secs_f64(),
        in_step: node.is_whole,
        sessions: node.sessions,
    };
    Some(RegionStatus { connected, nodes: nodes.iter().map(node).collect() })
}

/// The backends in `/status`.
pub(super) fn backends(webhooks: &Webhooks, now: Tick) -> Vec<WebhookStatus> {
    let status = |figures: webhooks::Figures| WebhookStatus {
        access: figures.access.to_string(),
        waiting: figures.waiting,
        delivered: figures.delivered,
        dropped: figures.dropped,
        last: figures.last.map(webhooks::Attempt::word),
        delivered_seconds_ago: figures.delivered_at.map(|at| now.since(at).as_secs_f64()),
        gone: figures.is_gone,
    };
    webhooks.figures().into_iter().map(status).collect()
}

/// Metrics of both.
pub(super) fn families(edge: &Edge) -> Vec<Family> {
    let mut families = edge.bus.figures().map(|figures| of_region(&figures)).unwrap_or_default();
    families.extend(of_webhooks(&edge.webhooks.figures()));
    families
}

fn of_region(figures: &Figures) -> Vec<Family> {
    let behind = figures.nodes.iter().filter(|node| !node.is_whole).count();
    let sessions: usize = figures.nodes.iter().map(|node| node.sessions).sum();
    let by = |name, help, label: &'static str, counts: Vec<(&'static str, u64)>| {
        let count = |family: Family, (word, count): (&'static str, u64)| {
            family.with(vec![(label, word.to_owned())], Value::Counter(count))
        };
        counts.into_iter().fold(Family::new(name, help), count)
    };
    let passed = figures.passed.iter().map(|(why, count)| (why.word(), *count)).collect();
    let dropped = vec![("out", figures.dropped.0), ("in", figures.dropped.1)];
    vec![
        Family::gauge(
            "weir_region_connected",
            "Whether other nodes can be told and heard: 0 is an alarm",
            f64::from(u8::from(figures.connected)),
        ),
        Family::gauge("weir_region_nodes", "Other nodes of the region that are there", figures.nodes.len() as f64),
        Family::gauge("weir_region_behind", "Of these, those of whom something is lacking still", behind as f64),
        Family::gauge("weir_region_sessions", "Sessions on other nodes that count for limits", sessions as f64),
        Family::gauge("weir_region_revocations", "Revocations kept for nodes that come later", figures.book.0 as f64),
        Family::counter("weir_region_revocations_dropped", "Of these, those that found no place", figures.book.1),
        Family::counter(
            "weir_region_caught_up",
            "Times that something missed was asked for and came",
            figures.caught_up,
        ),
        by("weir_region_sent", "Messages told to other nodes", "kind", figures.sent.clone()),
        by("weir_region_heard", "Messages of other nodes", "kind", figures.heard.clone()),
        by("weir_region_passed", "Messages passed over", "why", passed),
        by("weir_region_dropped", "Messages that found no room", "direction", dropped),
    ]
}

fn of_webhooks(all: &[webhooks::Figures]) -> Vec<Family> {
    if all.is_empty() {
        return Vec::new();
    }
    let access = |figures: &webhooks::Figures| vec![("access", figures.access.to_string())];
    let mut delivered = Family::new("weir_webhook_delivered", "Events that backends took");
    let mut dropped = Family::new("weir_webhook_dropped", "Events that backends were not told");
    let mut waiting = Family::new("weir_webhook_waiting", "Events that wait for their backend");
    let mut attempts = Family::new("weir_webhook_attempts", "Attempts to deliver a batch");
    for figures in all {
        delivered = delivered.with(access(figures), Value::Counter(figures.delivered));
        dropped = dropped.with(access(figures), Value::Counter(figures.dropped));
        waiting = waiting.with(access(figures), Value::Gauge(figures.waiting as f64));
        for (attempt, count) in &figures.attempts {
            let mut labels = access(figures);
            labels.push(("result", attempt.word().to_owned()));
            attempts = attempts.with(labels, Value::Counter(*count));
        }
    }
    vec![delivered, dropped, waiting, attempts]
}
