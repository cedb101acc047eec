//! One session as a story: what many clocks told, in one order and in plain words, and at the top the sentence that says
//! what happened and whose fault it was.
//!
//! A pure function of entries. Whoever has the entries of several nodes hands over all of them: a viewer crosses nodes. The
//! same entries make the same story, however they are ordered between themselves.

mod cause;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::rules::session::SessionId;

pub use cause::{Cause, Fault};

/// One session, told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Story {
    /// The session.
    #[schema(value_type = String, example = "5f0c1e2d3b4a59687786a5b4")]
    pub session: SessionId,
    /// What a viewer tells on the phone.
    #[schema(example = "BW61-W7SV")]
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
