//! One session as a story: what many clocks told, in one order and in plain words, and at the top the sentence that says
//! what happened and whose fault it was.
//!
//! A pure function of entries. Whoever has the entries of several nodes hands over all of them: a viewer crosses nodes. The
//! same entries make the same story, however they are ordered between themselves.

mod away;
mod blame;
mod cause;
mod clocks;
mod facts;
mod judge;
mod lines;
mod marks;
mod play;
mod said;
mod spells;
pub mod words;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::rules::session::{SessionId, support_code};

use super::event::{Entry, Event, Lost, NodeChange};
use clocks::{Moment, Ordered};
use facts::{Facts, Window};
use play::Play;

pub use cause::{Cause, Fault};
pub use clocks::Told;
pub use marks::Marks;

/// What nodes tell of themselves belongs to a story that begins or ends so shortly before or after it.
const AROUND_MS: u64 = 30_000;

/// One session, told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Story {
    /// The session.
    #[schema(value_type = String, example = "5f0c1e2d3b4a59687786a5b4")]
    pub session: SessionId,
    /// What a viewer tells on the phone.
    #[schema(example = "BW61-WB9V")]
    pub support_code: String,
    /// What happened and whose fault it was, in one sentence.
    pub headline: String,
    /// Whose fault it was.
    pub fault: Fault,
    /// Why, by a word of a closed list.
    pub cause: Cause,
    /// What the sentence rests on, in sentences.
    pub evidence: Vec<String>,
    /// When it began, in milliseconds since the epoch.
    pub began: u64,
    /// When it was last heard of, in milliseconds since the epoch.
    pub ended: u64,
    /// Who watched what, and where.
    #[serde(flatten)]
    pub who: Who,
    /// What happened, in its order.
    pub lines: Vec<Line>,
    /// Lines that were left out because there were too many: those of the least weight.
    pub omitted: u64,
    /// What it comes to.
    pub figures: Figures,
}

/// The story of a session, from what nodes wrote down of it and of themselves; `None`: nothing is of this session.
pub fn story(session: SessionId, told: &[Told]) -> Option<Story> {
    let is_theirs = |told: &&Told| told.entry.session == Some(session);
    let life = lifetime(told.iter().filter(is_theirs))?;
    let nodes: BTreeSet<&str> = told.iter().filter(is_theirs).map(|told| &*told.node).collect();
    let who = Who::of(told.iter().filter(is_theirs));
    let told_already = fetches(told.iter().filter(is_theirs));
    let belongs =
        |told: &&Told| is_theirs(told) || (concerns(told, &nodes, &who, &life) && !is_of_fetches(told, &told_already));
    let Ordered { moments, dropped, missing } = clocks::ordered(told.iter().filter(belongs));
    let play = play::play(&moments, life.to);
    let facts = Facts::of(&moments, life.to, who.route.as_deref());
    let verdict = judge::verdict(&facts, &play, &life);
    let (lines, omitted) = lines::lines(&moments);
    let figures =
        Figures { reports_dropped: dropped, reports_missing: missing, ..Figures::of(&moments, &facts, &play) };
    Some(Story {
        session,
        support_code: support_code(&session),
        headline: verdict.headline,
        fault: verdict.cause.fault(),
        cause: verdict.cause,
        evidence: verdict.evidence,
        began: life.from,
        ended: life.to,
        who,
        lines,
        omitted,
        figures,
    })
}

impl Story {
    /// From the first to the last line that tells of what hurt the viewer, else of what may have; else its whole time. In
    /// milliseconds since the epoch.
    pub fn hurt(&self) -> (u64, u64) {
        let of = |severity| {
            let at = || self.lines.iter().filter(move |line| line.severity == severity).map(|line| line.at);
            Some((at().min()?, at().max()?))
        };
        of(Severity::Error).or_else(|| of(Severity::Warning)).unwrap_or((self.began, self.ended))
    }
}

/// From the first to the last that was heard of a session, by the clock of nodes.
fn lifetime<'a>(told: impl Iterator<Item = &'a Told>) -> Option<Window> {
    let at = told.map(|told| told.entry.at);
    at.fold(None, |life, at| {
        let life = life.unwrap_or(Window { from: at, to: at });
        Some(Window { from: life.from.min(at), to: life.to.max(at) })
    })
}

/// The questions to origins that requests of a session waited for: each node's by their numbers.
fn fetches<'a>(told: impl Iterator<Item = &'a Told>) -> BTreeSet<(&'a str, u64)> {
    let number = |told: &'a Told| match &told.entry.event {
        Event::Request(request) => request.origin.as_ref().map(|fetch| (&*told.node, fetch.id)),
        _ => None,
    };
    told.filter_map(number).collect()
}

fn is_of_fetches(told: &Told, fetches: &BTreeSet<(&str, u64)>) -> bool {
    matches!(&told.entry.event, Event::Fetch(fetch) if fetches.contains(&(&*told.node, fetch.id)))
}

/// Whether what was lost is of the moment in which that is told: what made room for others is older, and what was not told
/// of questions to origins is in the requests that waited for them.
fn is_of_now(lost: &Lost) -> bool {
    matches!(&*lost.reason, "ring-full" | "log-disk-late" | "log-record-too-long")
}

/// Whether an entry tells of a node what may explain something in the stories of its sessions.
pub fn is_of_nodes(entry: &Entry) -> bool {
    let is_telling = match &entry.event {
        Event::Node(change) => !change.what.starts_with("sink-"),
        Event::Fetch(fetch) => facts::has_trouble(fetch).is_some() && entry.stream.is_some(),
        Event::Lost(lost) => is_of_now(lost),
        Event::Began(_)
        | Event::Verdict(_)
        | Event::Request(_)
        | Event::Served(_)
        | Event::Report(_)
        | Event::Path(_)
        | Event::Ended(_) => false,
    };
    entry.session.is_none() && is_telling
}

/// Whether what a node tells of itself is part of a session's story.
fn concerns(told: &Told, nodes: &BTreeSet<&str>, who: &Who, life: &Window) -> bool {
    let entry = &told.entry;
    let around = Window { from: life.from.saturating_sub(AROUND_MS), to: life.to.saturating_add(AROUND_MS) };
    let is_its = |own: &Option<Arc<str>>, theirs: &Option<String>| {
        own.as_deref().is_none_or(|own| theirs.as_deref().is_none_or(|theirs| own == theirs))
    };
    is_of_nodes(entry)
        && nodes.contains(&*told.node)
        && around.holds(entry.at)
        && is_its(&entry.stream, &who.stream)
        && is_its(&entry.route, &who.route)
        && !matches!(&entry.event, Event::Node(change) if is_of_other_routes(change, who))
}

/// Whether it concerns an origin that the session's route does not ask.
fn is_of_other_routes(change: &NodeChange, who: &Who) -> bool {
    let route = who.route.as_deref();
    route.is_some_and(|route| !change.routes.is_empty() && !change.routes.iter().any(|other| **other == *route))
}

/// Who watched what, and where, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Who {
    /// Under which access; none: its route is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<String>,
    /// The route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// The stream that was watched last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// The nodes that served it, in their order.
    pub nodes: Vec<String>,
    /// `h1`, `h2`, `h3`, in the order in which they were used.
    pub protocols: Vec<String>,
    /// What it was watched on, by a word of the closed list of devices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The player's family and major version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub player: Option<String>,
    /// The country, as two letters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
}

impl Who {
    fn of<'a>(told: impl Iterator<Item = &'a Told>) -> Self {
        let mut who = Self::default();
        let mut told: Vec<_> = told.collect();
        told.sort_by_key(|told| told.entry.at);
        for Told { node, entry } in told {
            once(&mut who.nodes, node);
            let text = |text: &Option<Arc<str>>| text.as_deref().map(str::to_owned);
            who.route = text(&entry.route).or(who.route);
            who.stream = text(&entry.stream).or(who.stream);
            match &entry.event {
                Event::Began(began) => {
                    let text = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
                    who.access = began.access.as_deref().map(str::to_owned).or(who.access);
                    who.device = Some(began.device.to_string()).filter(|device| !device.is_empty()).or(who.device);
                    who.player = text(&began.player).or(who.player);
                    who.country = text(&began.country).or(who.country);
                    once(&mut who.protocols, &began.protocol);
                }
                Event::Verdict(verdict) => who.access = Some(verdict.access.to_string()),
                Event::Request(request) => once(&mut who.protocols, &request.protocol),
                Event::Served(served) => once(&mut who.protocols, &served.protocol),
                Event::Fetch(_)
                | Event::Report(_)
                | Event::Path(_)
                | Event::Ended(_)
                | Event::Node(_)
                | Event::Lost(_) => {}
            }
        }
        who
    }
}

/// Adds what is not there yet, up to a few.
fn once(texts: &mut Vec<String>, text: &str) {
    const FEW: usize = 16;
    if !text.is_empty() && texts.len() < FEW && !texts.iter().any(|there| there == text) {
        texts.push(text.to_owned());
    }
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Line {
    /// When, by the node's clock, in milliseconds since the epoch: a player's own time is corrected to it.
    pub at: u64,
    /// Who says so.
    pub source: Source,
    /// Which node wrote it down.
    #[schema(value_type = String)]
    pub node: Arc<str>,
    /// What it is about.
    pub kind: Kind,
    /// How much it matters.
    pub severity: Severity,
    /// What happened, in plain words.
    pub text: String,
}

/// Who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The node saw it.
    Node,
    /// The player claims it.
    Player,
    /// The origin did it, as the node saw it.
    Origin,
}

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The beginning or the end of the session on a node.
    Session,
    /// A verdict on a token.
    Token,
    /// One request.
    Request,
    /// Requests that went as they should, in sum.
    Served,
    /// A question to an origin.
    Fetch,
    /// The player's state: starting, playing, stalled, paused, ended.
    State,
    /// Something else that the player says.
    Report,
    /// The path to the viewer.
    Path,
    /// A change of a node or of its configuration, an alert.
    Change,
    /// Something is missing from the story.
    Lost,
}

/// How much something matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It is as it should be.
    Info,
    /// It may explain something.
    Warning,
    /// The viewer was hurt by it, or must have been.
    Error,
}

/// What a story comes to. What the player said is never mixed with what the node saw.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Figures {
    /// Requests that nodes answered.
    pub requests: u64,
    /// Of these, for playlists.
    pub playlists: u64,
    /// Of these, for parts and segments.
    pub media: u64,
    /// Of these, answered from memory or together with others.
    pub hits: u64,
    /// Of these, refused or failed.
    pub refused: u64,
    /// Octets of bodies that were sent.
    pub bytes: u64,
    /// The longest wait for an origin, in milliseconds.
    pub origin_wait_ms: u64,
    /// The longest time to a first octet, in milliseconds, without holds.
    pub first_byte_ms: u64,
    /// The longest hold, in milliseconds.
    pub hold_ms: u64,
    /// The smoothed round trip to the viewer at its worst, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtt_ms: Option<f64>,
    /// Packets that were sent again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retransmits: Option<u64>,
    /// What the path carried, in kbit/s: octets by the time in which they were sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throughput_kbps: Option<u64>,
    /// Reports of players.
    pub reports: u64,
    /// Reports that bear a time more than a day from that of their arrival, and those that came twice.
    pub reports_dropped: u64,
    /// Reports whose numbers are missing between others.
    pub reports_missing: u64,
    /// From start to picture, in milliseconds, as the player says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub startup_ms: Option<u64>,
    /// Whether that is an estimate, by what the player asked for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub startup_estimated: bool,
    /// Time in which something was played, in milliseconds, as the player says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub played_ms: Option<u64>,
    /// Stalls, as the player says.
    pub stalls: u64,
    /// Time in them, in milliseconds.
    pub stalled_ms: u64,
    /// The bit rate that was played last, in kbit/s, as the player says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kbps: Option<u64>,
    /// Changes of the bit rate, as the player says.
    pub switches: u64,
    /// The latency to live that was said last, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<u64>,
    /// Frames that were dropped, as the player says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropped_frames: Option<u64>,
}

impl Figures {
    fn of(moments: &[Moment<'_>], facts: &Facts<'_>, play: &Play) -> Self {
        let mut figures = Self {
            refused: facts.refusals.len() as u64,
            reports: play.reports,
            startup_ms: play.startup.map(|start| start.took),
            startup_estimated: play.startup.is_some_and(|start| start.is_estimate),
            played_ms: play.played_ms,
            stalls: play.stalls.len() as u64,
            stalled_ms: play
                .stalls
                .iter()
                .fold(0, |sum, stall| sum.saturating_add(stall.to.saturating_sub(stall.from))),
            kbps: play.kbps,
            switches: play.switches,
            latency_ms: play.latency_ms,
            dropped_frames: play.dropped_frames,
            throughput_kbps: blame::carried(facts, &Window { from: 0, to: u64::MAX }),
            ..Self::default()
        };
        moments.iter().for_each(|moment| figures.add(&moment.told.entry.event));
        figures
    }

    fn add(&mut self, event: &Event) {
        match event {
            Event::Request(request) => {
                self.requests += 1;
                self.bytes = self.bytes.saturating_add(request.bytes);
                self.first_byte_ms = self.first_byte_ms.max(request.first_byte_ms);
                self.hold_ms = self.hold_ms.max(request.hold_ms);
                let wait = request.origin.as_ref().map_or(0, |fetch| fetch.wait_ms);
                self.origin_wait_ms = self.origin_wait_ms.max(wait);
                use super::event::Kind::{Init, Key, Multivariant, Part, Plain, Playlist, Segment};
                match request.kind {
                    Multivariant | Playlist => self.playlists += 1,
                    Part | Segment => self.media += 1,
                    Init | Key | Plain => {}
                }
                self.hits += u64::from(matches!(&*request.cache, "hit" | "stale" | "joined"));
            }
            Event::Served(served) => {
                self.requests += u64::from(served.requests);
                self.playlists += u64::from(served.playlists);
                self.media += u64::from(served.media);
                self.hits += u64::from(served.hits);
                self.bytes = self.bytes.saturating_add(served.bytes);
                self.first_byte_ms = self.first_byte_ms.max(served.first_byte_ms);
                self.hold_ms = self.hold_ms.max(served.hold_ms);
            }
            Event::Path(path) => {
                let rtt = f64::from(path.rtt_us) / 1_000.0;
                self.rtt_ms = Some(self.rtt_ms.map_or(rtt, |worst| worst.max(rtt)));
                self.retransmits = Some(self.retransmits.map_or(path.retransmits, |most| most.max(path.retransmits)));
            }
            Event::Began(_)
            | Event::Verdict(_)
            | Event::Fetch(_)
            | Event::Report(_)
            | Event::Ended(_)
            | Event::Node(_)
            | Event::Lost(_) => {}
        }
    }
}

#[cfg(test)]
mod tests;
