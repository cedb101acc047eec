//! The JSON that the admin API speaks.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use utoipa::ToSchema;

use crate::config::Finding;
use crate::stories::snapshot::Snapshot;

/// `GET /status`
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Status {
    /// The node's name.
    pub node: String,
    /// The software's version.
    pub release: &'static str,
    /// Seconds since the start.
    pub uptime_seconds: u64,
    /// Whether it is on its way out.
    pub draining: bool,
    /// Where it listens.
    pub listeners: Vec<ListenerStatus>,
    /// Living connections.
    pub connections: Connections,
    /// The memory cache.
    pub cache: CacheStatus,
    /// The disk under it, if there is one.
    pub disk: Option<DiskStatus>,
    /// Octets by what holds them, and the `ceiling` of `bodies`, `heads`, `index` and `fills` together.
    pub memory: BTreeMap<&'static str, u64>,
    /// The process's memory as the system sees it; `null`: it does not tell.
    pub resident: Option<Resident>,
    /// Every origin.
    pub origins: Vec<OriginStatus>,
    /// Every other node of the region.
    pub peers: Vec<OriginStatus>,
    /// Every route.
    pub routes: Vec<RouteStatus>,
    /// Streams that have a label of their own.
    pub streams: Vec<StreamStatus>,
    /// The live edge.
    pub live: LiveStatus,
    /// Whose tokens count, and the keys of those who issue them.
    pub access: Vec<AccessStatus>,
    /// Who is watching what is gated, and what was revoked.
    pub sessions: SessionsStatus,
    /// Where what viewers experience is kept.
    pub journal: JournalStatus,
    /// How full the node is; `null`: everybody is let in.
    pub capacity: Option<CapacityStatus>,
    /// Living tasks by name, all workers together.
    pub tasks: BTreeMap<&'static str, usize>,
    /// The nodes that are told of revocations, sessions and purges; `null`: this one tells nobody.
    pub region: Option<RegionStatus>,
    /// The backends that are told of sessions.
    pub webhooks: Vec<WebhookStatus>,
    /// Who is watching, and what they experience.
    pub viewers: Snapshot,
    /// The sinks that are told what viewers experience.
    pub sinks: Vec<SinkStatus>,
}

/// An access.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AccessStatus {
    /// Its name.
    pub name: String,
    /// Its issuers, in the order of the configuration.
    pub issuers: Vec<IssuerStatus>,
}

/// An issuer of tokens.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct IssuerStatus {
    /// Its name in `iss`; `null`: that is not checked.
    pub issuer: Option<String>,
    /// Its keys that are in force; none: tokens are refused with `keys-unavailable`.
    pub keys: Vec<KeyStatus>,
    /// Since they last came from it; `null`: they did not, or are kept in files.
    pub fetched_seconds_ago: Option<f64>,
    /// What the last attempt to get them failed with; the last good ones stay in force.
    pub trouble: Option<String>,
    /// Whether they could not be fetched for a day.
    pub alarm: bool,
}

/// A key that verifies tokens.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct KeyStatus {
    /// Its identifier.
    pub kid: Option<String>,
    /// Its algorithm.
    pub algorithm: &'static str,
    /// Tokens whose signature it has verified since the node started.
    pub used: u64,
    /// When it last did, in seconds since the epoch; `null`: never.
    pub last_used: Option<u64>,
}

/// The nodes that are told of revocations, sessions and purges.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RegionStatus {
    /// Whether they can be told and heard.
    pub connected: bool,
    /// Those that are there.
    pub nodes: Vec<RegionNode>,
}

/// Another node of the region.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RegionNode {
    /// Its name.
    pub name: String,
    /// Since it was last heard.
    pub heard_seconds: f64,
    /// Whether everything that it has told is known here.
    pub in_step: bool,
    /// Its sessions that count for limits.
    pub sessions: usize,
}

/// The backend of an access.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct WebhookStatus {
    /// The access.
    pub access: String,
    /// Events that wait or are being sent.
    pub waiting: usize,
    /// Events that it took.
    pub delivered: u64,
    /// Events that it was not told: the queue was full, or the time for trying was over.
    pub dropped: u64,
    /// What the last attempt came to: `taken`, `status`, `gone`, `connect`, `timeout` or `broken`.
    pub last: Option<&'static str>,
    /// Since it last took something.
    pub delivered_seconds_ago: Option<f64>,
    /// Whether it has said that it wants nothing more (410).
    pub gone: bool,
}

/// A sink that is told what viewers experience.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SinkStatus {
    /// Its name.
    pub name: String,
    /// `http`, `nats` or `file`.
    pub kind: &'static str,
    /// `up`, `down`, `refusing` (it refused the last batch for good) or `gone` (it wants nothing more: 410).
    pub health: &'static str,
    /// Records that it acknowledged, over restarts.
    pub delivered: u64,
    /// Records that it refused and that are laid aside.
    pub quarantined: u64,
    /// Records that it refused and that there was no place for.
    pub refused: u64,
    /// Records that it is not to have.
    pub left_out: u64,
    /// Records that the journal had let go of before their turn came.
    pub missed: u64,
    /// The number of the first record of which nothing has become yet.
    pub next: u64,
    /// Records that it is still to have.
    pub behind_records: u64,
    /// About so many bytes are they.
    pub behind_bytes: u64,
    /// Since the oldest of them was told.
    pub behind_seconds: f64,
    /// What the last attempt came to: `taken`, `status`, `refused`, `gone`, `connect`, `timeout`, `broken` or `disk`.
    pub last: Option<&'static str>,
    /// The same for people, where it was not taken.
    pub detail: Option<String>,
    /// Since it last took something.
    pub delivered_seconds_ago: Option<f64>,
}

/// How full the node is, and who was let in.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CapacityStatus {
    /// What is measured and bounded: `egress` (bits per second), `connections`, `memory` (bytes), `cpu` (thousandths).
    pub resources: BTreeMap<&'static str, ResourceStatus>,
    /// Viewers who play.
    pub viewers: u64,
    /// What they may take by the bit rates of their routes, in bits per second.
    pub committed_bits: u64,
    /// What is promised to routes and not taken up, in bits per second.
    pub promised_bits: u64,
    /// Routes on which somebody plays, or that something is promised to.
    pub routes: Vec<RouteRoom>,
    /// Viewers let in so far.
    pub admitted: u64,
    /// Viewers let in without the highest variants so far.
    pub lowered: u64,
    /// Viewers who were told to come back so far, by what was used up.
    pub refused: BTreeMap<&'static str, u64>,
}

/// One bounded resource.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct ResourceStatus {
    /// What is used.
    pub used: u64,
    /// What there is.
    pub bound: u64,
    /// Whether there is room for viewers of every tier, as far as this is concerned.
    pub lets_all_in: bool,
}

/// The viewers of one route.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RouteRoom {
    /// Its name.
    pub route: String,
    /// Those who play.
    pub viewers: u64,
    /// Those whom room is kept for.
    pub promised: u64,
}

/// The process's memory as the system sees it, in bytes.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct Resident {
    /// What is in memory now.
    pub bytes: u64,
    /// What was, once the node had started.
    pub at_start: u64,
    /// What has come since.
    pub growth: u64,
    /// What `memory` accounts for.
    pub accounted: u64,
    /// The part of the growth that is accounted for; `null` where nothing has come.
    pub share: Option<f64>,
}

/// One listener.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ListenerStatus {
    /// `http`, `https`, `h3`, `peers`, `admin` or `monitor`.
    pub kind: &'static str,
    /// Where it is bound.
    pub address: String,
}

/// Living connections by protocol.
#[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
pub struct Connections {
    /// HTTP/1.1
    pub h1: u64,
    /// HTTP/2
    pub h2: u64,
    /// HTTP/3
    pub h3: u64,
}

/// The memory cache.
#[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
pub struct CacheStatus {
    /// Complete objects.
    pub objects: u64,
    /// Octets above which an object is not stored.
    pub max_object_bytes: u64,
}

/// The disk under the memory cache.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DiskStatus {
    /// What reads and writes it: `io_uring` or `threads`.
    pub engine: &'static str,
    /// Whether the page cache is passed by.
    pub direct: bool,
    /// Its folder.
    pub path: String,
    /// Objects on it.
    pub objects: u64,
    /// Octets of their bodies.
    pub bodies: u64,
    /// Octets that its files take: bodies, heads, and what has been removed but not yet given back.
    pub bytes: u64,
    /// Octets that they may take.
    pub size: u64,
    /// Octets that wait to be written.
    pub waiting: u64,
    /// `good`, `not-writing` (it was full or failed, and is tried again) or `failing` (it is left alone for a while).
    pub state: &'static str,
}

/// One origin.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct OriginStatus {
    /// Its name in the configuration.
    pub name: String,
    /// Whether requests go to it.
    pub healthy: bool,
    /// Open connections.
    pub connections: u64,
    /// Requests in flight.
    pub in_flight: u64,
    /// Requests that wait for a place.
    pub waiting: u64,
    /// Requests so far.
    pub requests: u64,
    /// Requests that failed so far.
    pub errors: u64,
    /// `well`, `returning`, `on-trial` or `resting`.
    pub standing: &'static str,
    /// Why it rests.
    pub why: Option<&'static str>,
    /// For how long it has been at rest, or has not.
    pub since_seconds: u64,
    /// The addresses of its name, as last resolved.
    pub addresses: Vec<String>,
    /// Streams that are followed at it.
    pub streams: usize,
    /// Streams that stall at it, or stalled a moment ago and have moved.
    pub stalled: Vec<String>,
    /// Requests that went on to the next origin.
    pub failovers: u64,
    /// Requests that were sent again on a fresh connection.
    pub retries: u64,
    /// Requests that may be sent again now, of the group of origins in which the fewest may.
    pub retries_left: Option<u64>,
}

/// One route.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RouteStatus {
    /// Its name.
    pub name: String,
    /// Hosts and path prefix.
    pub serves: String,
    /// Its origins in order.
    pub origins: Vec<String>,
}

/// One stream.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct StreamStatus {
    /// Its name; `other` for all beyond the bound.
    pub name: String,
    /// Requests answered well.
    pub requests: u64,
    /// Octets of bodies sent.
    pub bytes: u64,
}

/// The live edge.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct LiveStatus {
    /// Playlists that are known.
    pub playlists: usize,
    /// Reloads that are held.
    pub held: usize,
    /// Each of the playlists, or a thousand of them: those that were asked for last.
    pub renditions: Vec<PlaylistStatus>,
}

/// Who is watching what is gated, and what was revoked.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct SessionsStatus {
    /// Sessions that go on, by access name.
    pub sessions: BTreeMap<String, u64>,
    /// Sessions that began so far.
    pub began: u64,
    /// Sessions that were refused or ended so far, as their subject had too many.
    pub limited: u64,
    /// Sessions that were ended by a revocation so far.
    pub revoked: u64,
    /// Revocations in force.
    pub revocations: usize,
    /// Revocations that went before their time so far: `limits.revocations` is too small.
    pub revocations_pushed_out: u64,
    /// Whether a restart remembers every revocation; `null`: there is no folder for that, and it forgets them.
    pub durable: Option<bool>,
}

/// Where what viewers experience is kept.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct JournalStatus {
    /// `good`, `failing` (the disk does not take it: it waits in memory), or `memory-only` (a restart forgets it).
    pub state: &'static str,
    /// Below which folder; `null`: it is in memory only.
    pub path: Option<String>,
    /// Records that this process kept.
    pub records: u64,
    /// The number of the next one.
    pub next: u64,
    /// Octets that it takes.
    pub bytes: u64,
    /// Octets that its files may take.
    pub size: u64,
    /// Octets that wait to be written.
    pub waiting: u64,
    /// Attempts to write that failed.
    pub failures: u64,
    /// Records that went before their time, by why.
    pub lost: BTreeMap<&'static str, u64>,
    /// Records that went when their time was over.
    pub expired: u64,
    /// Records that were erased.
    pub erased: u64,
}

/// One playlist.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PlaylistStatus {
    /// The route that serves it.
    pub route: String,
    /// Its stream.
    pub stream: String,
    /// Its path as viewers ask for it, without query.
    pub path: String,
    /// `asked`, `live`, `stalled`, `ended`, `multivariant`, `per-viewer` or `failed`.
    pub state: &'static str,
    /// The first position that it does not list yet, as `MSN.PART`.
    pub position: Option<String>,
    /// Its target duration.
    pub target_seconds: Option<f64>,
    /// Its part target; `None`: it has no parts.
    pub part_target_seconds: Option<f64>,
    /// Running number of its version.
    pub version: Option<u64>,
    /// How often its origin has started again.
    pub generation: Option<u32>,
    /// How far its end is behind the origin's clock, where the origin writes dates.
    pub behind_seconds: Option<f64>,
    /// Reloads that are held for it.
    pub held: usize,
    /// Since when no viewer has asked for it.
    pub idle_seconds: f64,
    /// Requests to the origin, by why.
    pub requests: BTreeMap<&'static str, u64>,
    /// What was noticed about the origin, and how often.
    pub findings: BTreeMap<&'static str, u64>,
    /// The last failure.
    pub last_error: Option<String>,
    /// The origin that it comes from, where the route has several.
    pub origin: Option<String>,
}

/// Whether one worker's loop answers.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct WorkerHealth {
    /// Its index.
    pub worker: usize,
    /// Whether it answered within a second.
    pub answers: bool,
}

/// `POST /reload` that was taken.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct Reloaded {
    /// What changed, in words.
    pub changed: Vec<String>,
    /// What is allowed and probably not meant.
    pub warnings: Vec<Problem>,
}

/// One problem or oddity of a configuration.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Problem {
    /// The file.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// The key with its tables.
    pub key: String,
    /// What was found there.
    pub found: Option<String>,
    /// What would have been accepted.
    pub accepted: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub remedy: Option<String>,
}

impl Problem {
    /// A finding in `file`.
    pub fn new(file: &Path, finding: Finding) -> Self {
        let Finding { line, column, key, message, found, accepted, remedy, .. } = finding;
        Self { file: file.display().to_string(), line, column, key, found, accepted, message, remedy }
    }
}
