//! What the admin API answers, and how each answer reads on a terminal.
//!
//! Every field may be missing: a tool may be older or newer than the node it asks. Names come from the outside
//! (a stream is named by whoever asks for it), so control characters are never written as they are.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Deserialize;
use serde_json::Value;

use super::Outcome;
use super::journal_status::JournalStatus;
use super::summary::count;
use crate::config::value::rough_size;

/// `GET /status`
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Status {
    node: String,
    release: String,
    uptime_seconds: u64,
    draining: bool,
    /// By protocol.
    connections: BTreeMap<String, u64>,
    /// Counts and sizes; names that end in `bytes` are sizes.
    cache: BTreeMap<String, Value>,
    /// Bytes by kind, and the `ceiling`.
    memory: BTreeMap<String, u64>,
    resident: Option<Resident>,
    disk: Option<DiskStatus>,
    origins: Vec<OriginStatus>,
    routes: Vec<RouteStatus>,
    streams: Vec<StreamStatus>,
    listeners: Vec<ListenerStatus>,
    live: LiveStatus,
    journal: Option<JournalStatus>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Resident {
    bytes: u64,
    growth: u64,
    share: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct OriginStatus {
    name: String,
    healthy: bool,
    in_flight: u64,
    connections: u64,
    requests: u64,
    errors: u64,
    standing: String,
    why: Option<String>,
    stalled: Vec<String>,
    addresses: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RouteStatus {
    name: String,
    serves: String,
    origins: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct StreamStatus {
    name: String,
    requests: u64,
    bytes: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct LiveStatus {
    playlists: u64,
    held: u64,
    renditions: Vec<PlaylistStatus>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PlaylistStatus {
    stream: String,
    path: String,
    state: String,
    position: Option<String>,
    behind_seconds: Option<f64>,
    held: u64,
    idle_seconds: f64,
    findings: BTreeMap<String, u64>,
    last_error: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ListenerStatus {
    kind: String,
    address: String,
}

impl Status {
    /// Connections of viewers, all protocols.
    pub(super) fn connections(&self) -> u64 {
        self.connections.values().sum()
    }

    /// Whether the node sends its viewers away.
    pub(super) fn is_draining(&self) -> bool {
        self.draining
    }

    pub(super) fn text(&self) -> String {
        let state = if self.draining { "draining" } else { "serving" };
        let mut text =
            format!("{} ({}), up {}, {state}\n", plain(&self.node), plain(&self.release), up(self.uptime_seconds));
        let kinds = self.connections.iter().map(|(kind, number)| format!("{} {number}", plain(kind)));
        row(&mut text, "connections", &list(kinds));
        row(&mut text, "memory", &self.memory_text());
        row(&mut text, "resident", &self.resident.as_ref().map(Resident::text).unwrap_or_default());
        row(&mut text, "disk", &self.disk.as_ref().map(DiskStatus::text).unwrap_or_default());
        row(&mut text, "journal", &self.journal.as_ref().map(JournalStatus::text).unwrap_or_default());
        let cache = self.cache.iter().map(|(name, value)| format!("{} {}", plain(name), fact(name, value)));
        row(&mut text, "cache", &list(cache));
        let listeners = self.listeners.iter().map(|door| format!("{} {}", plain(&door.kind), plain(&door.address)));
        row(&mut text, "listeners", &list(listeners));
        for origin in &self.origins {
            let why = origin.why.as_deref().map(|why| format!(" ({})", plain(why))).unwrap_or_default();
            let health = match (origin.healthy, origin.standing.as_str()) {
                (true, "" | "well") => "well".to_owned(),
                (true, standing) => plain(standing).to_string(),
                (false, "") => "NOT WELL".to_owned(),
                (false, standing) => format!("NOT WELL: {}{why}", plain(standing)),
            };
            let stalled = match origin.stalled.as_slice() {
                [] => String::new(),
                streams => format!(", stalled {}", list(streams.iter().map(|stream| plain(stream)))),
            };
            let facts = format!(
                "{health}, {} in flight on {}, {} in all, {}{stalled}",
                origin.in_flight,
                count(origin.connections as usize, "connection"),
                count(origin.requests as usize, "request"),
                count(origin.errors as usize, "error"),
            );
            row(&mut text, &format!("origin {}", plain(&origin.name)), &facts);
        }
        for route in &self.routes {
            let origins = list(route.origins.iter().map(|name| plain(name)));
            row(
                &mut text,
                &format!("route {}", plain(&route.name)),
                &format!("{} from {origins}", plain(&route.serves)),
            );
        }
        for stream in &self.streams {
            let facts = format!("{}, {}", count(stream.requests as usize, "request"), rough_size(stream.bytes));
            row(&mut text, &format!("stream {}", plain(&stream.name)), &facts);
        }
        text + &self.live.text()
    }

    fn memory_text(&self) -> String {
        let kinds = self.memory.iter().filter(|(kind, _)| *kind != "ceiling");
        let kinds = list(kinds.map(|(kind, bytes)| format!("{} {}", plain(kind), rough_size(*bytes))));
        match self.memory.get("ceiling") {
            Some(ceiling) => format!("{kinds}; ceiling {}", rough_size(*ceiling)),
            None => kinds,
        }
    }
}

/// The disk under the memory.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct DiskStatus {
    engine: String,
    path: String,
    objects: u64,
    bodies: u64,
    bytes: u64,
    size: u64,
    state: String,
}

impl DiskStatus {
    fn text(&self) -> String {
        let objects = count(usize::try_from(self.objects).unwrap_or(usize::MAX), "object");
        let (bodies, bytes, size) = (rough_size(self.bodies), rough_size(self.bytes), rough_size(self.size));
        let (path, engine, state) = (plain(&self.path), plain(&self.engine), plain(&self.state));
        format!("{objects} of {bodies}, {bytes} of {size} in {path} over {engine}, {state}")
    }
}

impl Resident {
    fn text(&self) -> String {
        let share = self.share.map(|share| format!(", {:.0} % accounted for", share * 100.0)).unwrap_or_default();
        format!("{}, {} since the start{share}", rough_size(self.bytes), rough_size(self.growth))
    }
}

impl LiveStatus {
    /// A table of playlists, with what is wrong with each below it.
    fn text(&self) -> String {
        let mut text = String::new();
        if self.playlists == 0 {
            return text;
        }
        let held = count(self.held as usize, "held reload");
        row(&mut text, "live", &format!("{}, {held}", count(self.playlists as usize, "playlist")));
        let mut table = vec![["stream", "playlist", "state", "position", "behind", "held", "asked"].map(str::to_owned)];
        table.extend(self.renditions.iter().map(PlaylistStatus::cells));
        let width = |column: usize| table.iter().map(|cells| cells[column].chars().count()).max().unwrap_or_default();
        let widths: [usize; 7] = std::array::from_fn(width);
        for (index, cells) in table.iter().enumerate() {
            let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
            _ = writeln!(text, "    {}", padded.collect::<Vec<_>>().join("  ").trim_end());
            let rendition = index.checked_sub(1).and_then(|index| self.renditions.get(index));
            if let Some(trouble) = rendition.and_then(PlaylistStatus::trouble) {
                _ = writeln!(text, "      {trouble}");
            }
        }
        let left_out = self.playlists.saturating_sub(self.renditions.len() as u64);
        if left_out > 0 {
            _ = writeln!(text, "    and {left_out} more");
        }
        text
    }
}

impl PlaylistStatus {
    fn cells(&self) -> [String; 7] {
        [
            plain(&self.stream),
            plain(&self.path),
            plain(&self.state),
            self.position.as_deref().map(plain).unwrap_or_default(),
            self.behind_seconds.map(|seconds| format!("{seconds:.1} s")).unwrap_or_default(),
            self.held.to_string(),
            format!("{} ago", up(self.idle_seconds as u64)),
        ]
    }

    /// What was noticed about its origin.
    fn trouble(&self) -> Option<String> {
        let findings = self.findings.iter().map(|(finding, count)| format!("{} {count}", plain(finding)));
        let trouble = list(findings.chain(self.last_error.as_deref().map(plain)));
        (!trouble.is_empty()).then_some(trouble)
    }
}

/// `POST /warm`
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Warmed {
    route: String,
    playlist: String,
}

impl Warmed {
    /// `time` says for how long.
    pub(super) fn text(&self, time: &str) -> String {
        format!("{} of route {} is followed {time}\n", plain(&self.playlist), plain(&self.route))
    }
}

/// `POST /purge`
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Purged {
    mode: String,
    dry_run: bool,
    objects: u64,
    bytes: u64,
    fills: u64,
    playlists: u64,
    disk: Option<GoneBelow>,
    nodes: Vec<PurgedElsewhere>,
    silent: Vec<String>,
}

/// What another node made of it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PurgedElsewhere {
    node: String,
    objects: u64,
    error: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct GoneBelow {
    objects: u64,
    bytes: u64,
}

impl Purged {
    /// A node that did not answer may still have what was meant.
    pub(super) fn outcome(&self) -> Outcome {
        let is_done = self.silent.is_empty() && self.nodes.iter().all(|node| node.error.is_none());
        if is_done { Outcome::Good } else { Outcome::Finding }
    }

    /// `what` says what was meant.
    pub(super) fn text(&self, what: &str) -> String {
        let becomes = match (self.dry_run, self.mode == "soft") {
            (true, true) => "would be stale",
            (true, false) => "would be gone",
            (false, true) => "is stale",
            (false, false) => "is gone",
        };
        let mut text = format!("{} {becomes}\n", plain(what));
        row(&mut text, "memory", &format!("{}, {}", count(self.objects as usize, "object"), rough_size(self.bytes)));
        if let Some(GoneBelow { objects, bytes }) = &self.disk {
            row(&mut text, "disk", &format!("{}, {}", count(*objects as usize, "object"), rough_size(*bytes)));
        }
        if self.fills > 0 {
            let fetches = if self.fills == 1 { "fetch" } else { "fetches" };
            row(&mut text, "not stored", &format!("{} {fetches} in progress", self.fills));
        }
        if self.playlists > 0 {
            row(&mut text, "asked for anew", &count(self.playlists as usize, "playlist"));
        }
        for PurgedElsewhere { node, objects, error } in &self.nodes {
            let said = match error {
                Some(why) => format!("nothing: {}", plain(why)),
                None => count(*objects as usize, "object"),
            };
            row(&mut text, &format!("on {}", plain(node)), &said);
        }
        for node in &self.silent {
            row(&mut text, &format!("on {}", plain(node)), "no answer: order it again once it is back");
        }
        text
    }
}

/// `POST /reload`: 200 with what changed, or 422 with problems and nothing changed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Reload {
    changed: Vec<String>,
    problems: Vec<Remark>,
    warnings: Vec<Remark>,
}

/// A problem or a warning of the node's configuration.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Remark {
    file: Option<String>,
    line: Option<u64>,
    column: Option<u64>,
    key: String,
    found: Option<String>,
    accepted: Option<String>,
    message: String,
    remedy: Option<String>,
}

impl Reload {
    /// Whether the node took the configuration.
    pub(super) fn is_taken(&self) -> bool {
        self.problems.is_empty()
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for (kind, remarks) in [("problem", &self.problems), ("warning", &self.warnings)] {
            for remark in remarks {
                _ = writeln!(text, "{kind}: {}", remark.text());
            }
        }
        let changed = list(self.changed.iter().map(|name| plain(name)));
        text += &match (self.is_taken(), self.changed.is_empty()) {
            (false, _) => "refused: the old configuration goes on\n".to_owned(),
            (true, true) => "taken: nothing changed\n".to_owned(),
            (true, false) => format!("taken: {changed}\n"),
        };
        text
    }
}

impl Remark {
    fn text(&self) -> String {
        let mut text = String::new();
        if let Some(file) = &self.file {
            text += &plain(file);
            for number in [self.line, self.column].into_iter().flatten() {
                _ = write!(text, ":{number}");
            }
            text += ": ";
        }
        if !self.key.is_empty() {
            text += &format!("{}: ", plain(&self.key));
        }
        text += &plain(&self.message);
        for (word, fact) in [("found", &self.found), ("accepted", &self.accepted), ("remedy", &self.remedy)] {
            if let Some(fact) = fact {
                _ = write!(text, "\n  {word}: {}", plain(fact));
            }
        }
        text
    }
}

/// What any answer with another status says: a refusal's words.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Refused {
    reason: String,
    detail: String,
}

impl Refused {
    pub(super) fn text(&self) -> String {
        match (self.reason.is_empty(), self.detail.is_empty()) {
            (true, true) => String::new(),
            (false, true) => format!(": {}", plain(&self.reason)),
            (true, false) => format!(": {}", plain(&self.detail)),
            (false, false) => format!(": {} ({})", plain(&self.reason), plain(&self.detail)),
        }
    }
}

pub(super) fn row(text: &mut String, name: &str, facts: &str) {
    if !facts.is_empty() {
        _ = writeln!(text, "  {name:<16} {facts}");
    }
}

pub(super) fn list(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}

fn fact(name: &str, value: &Value) -> String {
    match value.as_u64() {
        Some(bytes) if name.ends_with("bytes") => rough_size(bytes),
        _ => plain(&value.to_string()),
    }
}

fn up(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// The text without anything that a terminal would obey.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            plain.extend(character.escape_default());
        } else {
            plain.push(character);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_reads_like_a_page() {
        let status: Status = serde_json::from_str(
            r#"{"node":"edge-1","release":"0.1.0","uptime_seconds":7500,"draining":false,
                "connections":{"h1":2,"h2":1,"h3":40},"cache":{"hits":12,"object_bytes":3145728},
                "memory":{"bodies":1048576,"heads":2048,"ceiling":2147483648},
                "resident":{"bytes":20971520,"at_start":10485760,"growth":10485760,"accounted":9437184,"share":0.9},
                "disk":{"engine":"io_uring","path":"/c","objects":2,"bodies":3145728,"bytes":4194304,"size":8388608,"state":"good"},
                "origins":[{"name":"primary","healthy":true,"in_flight":3,"connections":1,"requests":7,"errors":0}],
                "routes":[{"name":"live","serves":"/live/","origins":["primary","backup"]}],
                "streams":[{"name":"one\u001b[2J","requests":9,"bytes":2048}],
                "listeners":[{"kind":"http","address":"[::]:8080"}],"later":true,
                "live":{"playlists":3,"held":12,"renditions":[
                {"stream":"news","path":"/news/master.m3u8","state":"multivariant","idle_seconds":3.7},
                {"stream":"news","path":"/news/v1.m3u8","state":"stalled","position":"41.3","behind_seconds":7.25,
                "held":12,"findings":{"stall":2},"last_error":"connection refused"}]}}"#,
        )
        .unwrap();
        assert_eq!(
            status.text(),
            "edge-1 (0.1.0), up 2 h 5 min, serving
  connections      h1 2, h2 1, h3 40
  memory           bodies 1 MiB, heads 2 KiB; ceiling 2 GiB
  resident         20 MiB, 10 MiB since the start, 90 % accounted for
  disk             2 objects of 3 MiB, 4 MiB of 8 MiB in /c over io_uring, good
  cache            hits 12, object_bytes 3 MiB
  listeners        http [::]:8080
  origin primary   well, 3 in flight on 1 connection, 7 requests in all, 0 errors
  route live       /live/ from primary, backup
  stream one\\u{1b}[2J 9 requests, 2 KiB
  live             3 playlists, 12 held reloads
    stream  playlist           state         position  behind  held  asked
    news    /news/master.m3u8  multivariant                    0     3 s ago
    news    /news/v1.m3u8      stalled       41.3      7.2 s   12    0 s ago
      stall 2, connection refused
    and 1 more
"
        );
        assert_eq!(status.connections(), 43);
    }

    #[test]
    fn a_purge_says_what_became_of_what() {
        let text = |json: &str| serde_json::from_str::<Purged>(json).unwrap().text("stream o\u{1b}ne");
        assert_eq!(
            text(
                r#"{"mode":"hard","dry_run":false,"objects":12,"bytes":3145728,"fills":2,"playlists":4,
                    "disk":{"objects":1,"bytes":2048}}"#
            ),
            "stream o\\u{1b}ne is gone
  memory           12 objects, 3 MiB
  disk             1 object, 2 KiB
  not stored       2 fetches in progress
  asked for anew   4 playlists
"
        );
        assert_eq!(
            text(r#"{"mode":"soft","dry_run":true,"disk":null,"later":1}"#),
            "stream o\\u{1b}ne would be stale\n  memory           0 objects, 0 B\n"
        );
        assert_eq!(
            text(
                r#"{"mode":"hard","objects":1,"bytes":1024,"silent":["edge-4"],"nodes":[{"node":"edge-2","objects":7},
                    {"node":"edge-3","error":"no route serves this host"}]}"#
            ),
            "stream o\\u{1b}ne is gone
  memory           1 object, 1 KiB
  on edge-2        7 objects
  on edge-3        nothing: no route serves this host
  on edge-4        no answer: order it again once it is back
"
        );
    }

    #[test]
    fn a_refused_reload_says_that_nothing_changed() {
        let reload: Reload = serde_json::from_str(
            r#"{"problems":[{"file":"edge.toml","line":3,"column":1,"key":"node.nmae","message":"unknown key","remedy":"did you mean `name`?"}]}"#,
        )
        .unwrap();
        assert!(!reload.is_taken());
        assert_eq!(
            reload.text(),
            "problem: edge.toml:3:1: node.nmae: unknown key
  remedy: did you mean `name`?
refused: the old configuration goes on
"
        );
    }
}
