//! How a node is: for `/status`, for readiness, for metrics. Reads counters that others keep.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::admin::{
    CacheStatus, Connections, ListenerStatus, Node, OriginStatus, Resident, RouteStatus, Status, StreamStatus,
    WorkerHealth,
};
use crate::clock::Tick;
use crate::origin::peers::PeerFigures;
use crate::origin::{OriginFigures, Origins, Outcome};
use crate::request::Readiness;
use crate::rules::session::SessionId;
use crate::rules::upstream::health::Standing;
use crate::telemetry::metrics::{Family, Labels, Source, Value};
use crate::telemetry::streams::StreamTotals;
use crate::transport::head::BadRequest;
use crate::transport::quic::counters::Counters;
use crate::transport::tcp::{self, Deadline};

use super::doors::Doors;
use super::{Shared, access, disk, journals, limits, memory, region, sessions, streams, uplink, witness};

/// A worker whose loop takes longer than this to answer is stuck.
const ANSWERS_WITHIN: Duration = Duration::from_secs(1);

impl Node for Shared {
    fn status(&self) -> Status {
        let policies = self.edge.policies();
        let kinds = memory::kinds(self);
        let doors = self.open_doors();
        let bound = doors.bound.iter().chain(&self.admin_bound);
        Status {
            node: policies.config.node.name.clone(),
            release: env!("CARGO_PKG_VERSION"),
            uptime_seconds: self.clock.now().since(self.started).as_secs(),
            draining: self.edge.readiness() == Readiness::Draining,
            listeners: bound.map(|bound| ListenerStatus { kind: bound.kind, address: bound.address.clone() }).collect(),
            connections: self.connections(),
            cache: CacheStatus { objects: self.edge.cache.objects(), max_object_bytes: self.edge.cache.max_object() },
            resident: self.resident(&kinds),
            memory: kinds.into_iter().chain([("ceiling", self.edge.cache.usage().ceiling)]).collect(),
            disk: self.edge.cache.spill().map(|spill| disk::status(spill)),
            origins: policies.origins.snapshot().iter().map(|figures| origin(figures, self.clock.now())).collect(),
            peers: peers(&policies.origins)
                .iter()
                .flat_map(|region| &region.members)
                .map(|figures| origin(figures, self.clock.now()))
                .collect(),
            routes: policies
                .routes
                .iter()
                .map(|route| RouteStatus {
                    name: route.name.to_string(),
                    serves: format!("{}{}", route.config.hosts.join(","), route.config.path),
                    origins: route.config.origins.clone(),
                })
                .collect(),
            streams: self.edge.traffic.streams.totals().into_iter().map(stream).collect(),
            live: streams::status(self),
            access: access::status(self),
            sessions: sessions::status(self),
            journal: journals::status(self),
            capacity: limits::status(self),
            tasks: self.living_tasks(),
            region: region::status(&self.edge.bus, self.clock.now()),
            webhooks: region::backends(&self.edge.webhooks, self.clock.now()),
            viewers: self.edge.stories.live.lock().snapshot(),
            sinks: uplink::status(&self.uplink, self.clock.now()),
        }
    }

    fn erase(&self, session: SessionId) -> Pin<Box<dyn Future<Output = io::Result<u64>> + Send>> {
        Box::pin(self.uplink.erase(session))
    }

    fn workers(&self) -> Pin<Box<dyn Future<Output = Vec<WorkerHealth>> + Send>> {
        let probes: Vec<_> =
            self.workers.iter().map(|worker| worker.tasks.spawn("probe", std::future::ready(()))).collect();
        let clock = self.clock.clone();
        Box::pin(async move {
            let deadline = clock.now() + ANSWERS_WITHIN;
            let mut health = Vec::new();
            for (worker, probe) in probes.into_iter().enumerate() {
                let answers = tokio::select! {
                    biased;
                    answered = probe => answered.is_ok(),
                    () = clock.sleep_until(deadline) => false,
                };
                health.push(WorkerHealth { worker, answers });
            }
            health
        })
    }
}

impl Shared {
    /// What the system says of the process, beside what is accounted for in `kinds`.
    fn resident(&self, kinds: &[(&'static str, u64)]) -> Option<Resident> {
        let bytes = memory::resident()?;
        let accounted = kinds.iter().map(|(_, bytes)| bytes).sum();
        let growth = bytes.saturating_sub(self.resident_at_start);
        let share = (growth > 0).then(|| accounted as f64 / growth as f64);
        Some(Resident { bytes, at_start: self.resident_at_start, growth, accounted, share })
    }

    pub(super) fn connections(&self) -> Connections {
        let snapshots: Vec<_> = self.hall.tcp.iter().map(|counters| counters.snapshot()).collect();
        Connections {
            h1: snapshots.iter().map(|snapshot| snapshot.open_h1).sum(),
            h2: snapshots.iter().map(|snapshot| snapshot.open_h2).sum(),
            h3: self.open_doors().handles().map(|handle| handle.counters().connections.value()).sum(),
        }
    }

    fn living_tasks(&self) -> BTreeMap<&'static str, usize> {
        let mut living = BTreeMap::new();
        for tasks in self.all_tasks() {
            for (name, count) in tasks.living() {
                *living.entry(name).or_default() += count;
            }
        }
        living
    }
}

fn origin(figures: &OriginFigures, now: Tick) -> OriginStatus {
    let requests = figures.outcomes.iter().map(|(_, count)| count).sum();
    let answered = figures.outcomes.iter().filter(|(outcome, _)| *outcome == Outcome::Answered);
    let answered: u64 = answered.map(|(_, count)| count).sum();
    OriginStatus {
        name: figures.name.to_string(),
        healthy: figures.standing.is_well(),
        connections: figures.connections as u64,
        in_flight: figures.in_flight as u64,
        waiting: figures.waiting as u64,
        requests,
        errors: requests - answered,
        standing: figures.standing.word(),
        why: match figures.standing {
            Standing::Resting(cause) => Some(cause.word()),
            Standing::Well | Standing::Returning | Standing::OnTrial => None,
        },
        since_seconds: now.since(figures.since).as_secs(),
        addresses: figures.addresses.iter().map(ToString::to_string).collect(),
        streams: figures.streams,
        stalled: figures.stalled.clone(),
        failovers: figures.failovers,
        retries: figures.retries,
        retries_left: figures.retries_left,
    }
}

/// The region as it is now; `None`: the node stands alone.
fn peers(origins: &Origins) -> Option<PeerFigures> {
    origins.peers().map(|peers| peers.figures())
}

fn of_region(region: &PeerFigures) -> Vec<Family> {
    let requests = Family::new(
        "weir_peer_requests",
        "What became of fetches that another node of the region could answer: by it, by the own origin, or in vain",
    );
    let counted = region.results.iter().fold(requests, |family, (result, count)| {
        family.with(labelled("result", result.word()), Value::Counter(*count))
    });
    let up = region.members.iter().filter(|member| member.standing == Standing::Well).count();
    let listed = region.members.len();
    vec![
        counted,
        Family::gauge("weir_peers", "Other nodes of the region", listed as f64),
        Family::gauge("weir_peers_up", "Other nodes of the region that answer", up as f64),
    ]
}

fn stream((name, totals): (String, StreamTotals)) -> StreamStatus {
    StreamStatus { name, requests: totals.requests, bytes: totals.octets }
}

/// All metrics of a node.
pub(super) struct Metrics(pub Arc<Shared>);

impl Source for Metrics {
    fn families(&self) -> Vec<Family> {
        let shared = &self.0;
        let mut families = shared.edge.traffic.families();
        families.extend(shared.edge.beacons.families());
        families.extend(streams::families(shared));
        families.extend(cache(shared));
        families.extend(sessions::families(shared));
        families.extend(journals::families(shared));
        families.extend(shared.edge.cache.spill().into_iter().flat_map(|spill| disk::families(spill)));
        families.extend(shared.edge.live.media.families());
        families.extend(connections(shared));
        families.extend(origins(&shared.edge.policies().origins.snapshot()));
        families.extend(peers(&shared.edge.policies().origins).iter().flat_map(of_region));
        families.extend(region::families(&shared.edge));
        families.extend(uplink::families(&shared.uplink));
        families.extend(limits::families(shared));
        families.extend(shared.edge.stories.live.lock().families());
        families.extend(witness::families(shared));
        families.extend(shared.edge.accesses.families());
        families.extend(http3(shared));
        families.extend(quic(&shared.open_doors()));
        let dropped = shared.edge.policies().access_log.as_ref().map_or(0, |log| log.dropped());
        families.push(
            Family::new("weir_events_dropped", "Events that were lost because a queue was full or a disk failed")
                .with(vec![("queue", "access-log".to_owned())], Value::Counter(dropped)),
        );
        families
    }
}

fn labelled(name: &'static str, value: &str) -> Labels {
    vec![(name, value.to_owned())]
}

fn cache(shared: &Shared) -> Vec<Family> {
    let usage = shared.edge.cache.usage();
    let memory = Family::new(
        "weir_memory_bytes",
        "Octets by what holds them: bodies, heads, index and fills are below the ceiling, the others are estimates",
    );
    let memory = memory::kinds(shared)
        .iter()
        .fold(memory, |memory, (kind, bytes)| memory.with(labelled("kind", kind), Value::Gauge(*bytes as f64)));
    let resident = memory::resident().unwrap_or_default();
    let living = shared.living_tasks();
    let fills = living.get("fill").copied().unwrap_or_default();
    let purges = shared.edge.cache.purges();
    vec![
        Family::new("weir_purges", "Purges that were ordered, by mode")
            .with(labelled("mode", "hard"), Value::Counter(purges.hard))
            .with(labelled("mode", "soft"), Value::Counter(purges.soft)),
        Family::new("weir_purged_objects", "What purges covered: objects in memory and on disk, fetches in progress")
            .with(labelled("kind", "memory"), Value::Counter(purges.objects))
            .with(labelled("kind", "disk"), Value::Counter(purges.disk))
            .with(labelled("kind", "fills"), Value::Counter(purges.fills)),
        memory,
        Family::gauge("weir_resident_bytes", "Octets of the process that are in memory", resident as f64),
        Family::new("weir_cache_bytes", "Octets of stored and arriving objects, by kind")
            .with(labelled("kind", "memory"), Value::Gauge(usage.total() as f64)),
        Family::gauge("weir_memory_ceiling_bytes", "The memory ceiling", usage.ceiling as f64),
        Family::gauge("weir_cache_objects", "Complete objects in memory", shared.edge.cache.objects() as f64),
        Family::gauge("weir_fills", "Fetches in progress", fills as f64),
        Family::gauge(
            "weir_fill_readers",
            "Viewers who read, or wait for, a shared response that is still arriving",
            shared.edge.cache.fill_readers() as f64,
        ),
        Family::gauge(
            "weir_uncacheable_keys",
            "Keys under which no request waits for another's, after an answer that was for one viewer alone",
            shared.edge.cache.apart().0 as f64,
        ),
        Family::counter(
            "weir_uncacheable_keys_unplaced",
            "Keys that could not be remembered so, as their table was full",
            shared.edge.cache.apart().1,
        ),
        living.iter().fold(Family::new("weir_tasks", "Living tasks by name"), |family, (name, count)| {
            family.with(labelled("task", name), Value::Gauge(*count as f64))
        }),
    ]
}

fn connections(shared: &Shared) -> Vec<Family> {
    let open = shared.connections();
    let connections = [("h1", open.h1), ("h2", open.h2), ("h3", open.h3)];
    let connections = connections
        .iter()
        .fold(Family::new("weir_connections", "Living connections of viewers"), |family, (protocol, count)| {
            family.with(labelled("protocol", protocol), Value::Gauge(*count as f64))
        });
    let snapshots: Vec<_> = shared.hall.tcp.iter().map(|counters| counters.snapshot()).collect();
    let sum = |of: fn(&tcp::Snapshot) -> u64| -> u64 { snapshots.iter().map(of).sum() };
    let deadlines = Deadline::ALL.iter().enumerate().fold(
        Family::new("weir_deadlines_missed", "TCP connections that missed a deadline"),
        |family, (index, deadline)| {
            let count = snapshots.iter().map(|snapshot| snapshot.deadlines[index]).sum();
            family.with(labelled("deadline", deadline.label()), Value::Counter(count))
        },
    );
    let bad = BadRequest::WORDS.iter().enumerate().fold(
        Family::new("weir_bad_requests", "HTTP/1.1 and HTTP/2 requests refused before routing"),
        |family, (index, word)| {
            let count = snapshots.iter().map(|snapshot| snapshot.bad_requests[index]).sum();
            family.with(labelled("reason", word), Value::Counter(count))
        },
    );
    let outdated = shared.hall.certificates.as_ref().map_or(0, |certificates| certificates.outdated());
    let refused = sum(|snapshot| snapshot.refused);
    vec![
        connections,
        Family::counter("weir_connections_accepted", "TCP connections accepted", sum(|snapshot| snapshot.accepted)),
        Family::counter("weir_connections_refused", "TCP connections closed because there was no place", refused),
        Family::counter("weir_accept_errors", "Failures to accept", sum(|snapshot| snapshot.accept_errors)),
        Family::new("weir_handshakes", "TLS handshakes over TCP")
            .with(labelled("result", "ok"), Value::Counter(sum(|snapshot| snapshot.handshakes)))
            .with(labelled("result", "failed"), Value::Counter(sum(|snapshot| snapshot.handshakes_failed))),
        Family::counter(
            "weir_proxy_headers_malformed",
            "Connections that should have begun with a PROXY protocol header and did not",
            sum(|snapshot| snapshot.proxy_malformed),
        ),
        Family::counter(
            "weir_connections_abusive",
            "HTTP/2 connections closed because their resets cost too much",
            sum(|snapshot| snapshot.abusive),
        ),
        Family::counter("weir_waiters_gone", "Viewers that left while they waited", sum(|snapshot| snapshot.gone)),
        deadlines,
        bad,
        Family::gauge("weir_certificates_outdated", "Pairs whose files cannot be used", outdated as f64),
    ]
}

fn origins(figures: &[OriginFigures]) -> Vec<Family> {
    let mut requests = Family::new("weir_origin_requests", "Requests to origins, by how they ended");
    let mut standing = Family::new("weir_origin_healthy", "Whether requests go to the origin in its place");
    let mut open = Family::new("weir_origin_connections", "Connections to origins");
    let mut waiting = Family::new("weir_origin_waiting", "Requests that wait for a place at an origin");
    let mut extra =
        Family::new("weir_origin_extra_requests", "Requests sent once more, not sent for want of budget, refused");
    let mut flying = Family::new("weir_origin_in_flight", "Requests in flight at an origin");
    let mut left = Family::new("weir_origin_retries_left", "Extra requests that may be sent now");
    let mut streams = Family::new("weir_origin_streams", "Streams that are followed at an origin");
    let mut stalled =
        Family::new("weir_origin_stalled_streams", "Streams that stall at an origin, or did a moment ago");
    let mut connect = Family::new("weir_origin_connect_seconds", "How long TCP and TLS took");
    let mut seconds = Family::new("weir_origin_seconds", "From a request to the head of the origin's answer");
    for one in figures {
        let name = one.name.as_ref();
        for (outcome, count) in &one.outcomes {
            let labels = vec![("origin", name.to_owned()), ("why", outcome.word().to_owned())];
            requests = requests.with(labels, Value::Counter(*count));
        }
        let well = f64::from(u8::from(one.standing.is_well()));
        standing = standing.with(labelled("origin", name), Value::Gauge(well));
        open = open.with(labelled("origin", name), Value::Gauge(one.connections as f64));
        waiting = waiting.with(labelled("origin", name), Value::Gauge(one.waiting as f64));
        let kinds =
            [("retry", one.retries), ("failover", one.failovers), ("no-budget", one.spared), ("at-rest", one.refused)];
        for (kind, count) in kinds {
            extra = extra.with(vec![("origin", name.to_owned()), ("kind", kind.to_owned())], Value::Counter(count));
        }
        flying = flying.with(labelled("origin", name), Value::Gauge(one.in_flight as f64));
        if let Some(retries) = one.retries_left {
            left = left.with(labelled("origin", name), Value::Gauge(retries as f64));
        }
        streams = streams.with(labelled("origin", name), Value::Gauge(one.streams as f64));
        stalled = stalled.with(labelled("origin", name), Value::Gauge(one.stalled.len() as f64));
        connect = connect.with(labelled("origin", name), Value::Durations(one.connect.clone()));
        seconds = seconds.with(labelled("origin", name), Value::Durations(one.first_byte.clone()));
    }
    vec![requests, standing, open, waiting, extra, flying, left, streams, stalled, connect, seconds]
}

fn http3(shared: &Shared) -> Vec<Family> {
    let shards: Vec<_> = shared.hall.h3.all().collect();
    let mut malformed = BTreeMap::<&'static str, u64>::new();
    let mut resets = BTreeMap::<(&'static str, &'static str), u64>::new();
    for shard in &shards {
        for (reason, count) in shard.malformed() {
            *malformed.entry(reason).or_default() += count;
        }
        let sides = [("node", &shard.resets_sent), ("viewer", &shard.resets_received), ("closed", &shard.closes)];
        for (side, by_code) in sides {
            for (code, count) in by_code.values().filter(|(_, count)| *count > 0) {
                *resets.entry((side, code)).or_default() += count;
            }
        }
    }
    let requests = shards.iter().map(|shard| shard.requests.value()).sum();
    let malformed = malformed
        .iter()
        .fold(Family::new("weir_h3_malformed", "Malformed HTTP/3 messages"), |family, (reason, count)| {
            family.with(labelled("reason", reason), Value::Counter(*count))
        });
    let resets = resets.iter().fold(
        Family::new("weir_h3_resets", "HTTP/3 streams reset, and connections closed, by who did it and why"),
        |family, ((side, code), count)| {
            let labels = vec![("side", (*side).to_owned()), ("code", (*code).to_owned())];
            family.with(labels, Value::Counter(*count))
        },
    );
    vec![Family::counter("weir_h3_requests", "HTTP/3 requests", requests), malformed, resets]
}

fn quic(doors: &Doors) -> Vec<Family> {
    type Read = fn(&Counters) -> u64;
    let sum = |of: Read| -> u64 { doors.handles().map(|handle| of(handle.counters())).sum() };
    let counters: [(&'static str, &'static str, Read); 11] = [
        ("weir_quic_accepted", "QUIC connections taken", |c| c.accepted.value()),
        ("weir_quic_refused", "QUIC connections refused", |c| c.refused.value()),
        ("weir_quic_retries", "QUIC clients asked to show their address first", |c| c.retries.value()),
        ("weir_quic_handshakes", "QUIC handshakes completed", |c| c.handshakes.value()),
        ("weir_quic_handshake_failures", "QUIC handshakes failed", |c| c.handshake_failures.value()),
        ("weir_quic_migrations", "Changes of a QUIC viewer's address", |c| c.migrations.value()),
        ("weir_quic_stalled", "QUIC connections closed because nothing was taken", |c| c.stalled.value()),
        ("weir_quic_datagrams_in", "UDP datagrams received", |c| c.datagrams_in.value()),
        ("weir_quic_datagrams_out", "UDP datagrams sent", |c| c.datagrams_out.value()),
        ("weir_quic_send_errors", "UDP sends refused by the system", |c| c.send_errors.value()),
        ("weir_quic_packets_lost", "QUIC packets lost, of connections that ended", |c| c.packets_lost.value()),
    ];
    let mut families: Vec<_> = counters.iter().map(|(name, help, of)| Family::counter(name, help, sum(*of))).collect();
    families.push(Family::gauge(
        "weir_quic_receive_drops",
        "UDP datagrams the kernel dropped because the receive buffer was full",
        sum(|c| c.receive_drops.value()) as f64,
    ));
    families
}
