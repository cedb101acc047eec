//! The closed list of what is told of a session and of the node. An entry is what the journal keeps, what goes upstream as
//! one line of JSON, and what a story is made of. It holds nothing that must not leave the node: no token, no full URL, no
//! address beyond what `qoe.addresses` allows, and a player's `sid` only as a keyed hash.
//!
//! Fields are only ever added; what is read may lack any that is optional.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::rules::qoe::report::Report;
use crate::rules::session::SessionId;

/// The version of the lines that entries are written as.
pub const SCHEMA: u32 = 1;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// When, by the node's clock, in milliseconds since the epoch.
    pub at: u64,
    /// In which session; `None`: it concerns the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// On which route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<Arc<str>>,
    /// Of which stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<Arc<str>>,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A session was first seen on this node.
    Began(Began),
    /// A token was judged.
    Verdict(Verdict),
    /// One request that is worth a line of its own: a miss, an error, a refusal, a long hold, a slow answer.
    Request(Box<Request>),
    /// Requests of one second that went as they should.
    Served(Box<Served>),
    /// An origin was asked, whoever waited for it.
    Fetch(Box<Fetch>),
    /// What a player says of itself.
    Report(Box<Report>),
    /// How the path to the viewer is.
    Path(Path),
    /// A session is over on this node.
    Ended(Ended),
    /// Something changed on the node.
    Node(NodeChange),
    /// Entries or reports were lost, and how many.
    Lost(Lost),
}

impl Event {
    /// The words of all of them, as `event` says them.
    pub const WORDS: [&str; 10] =
        ["began", "verdict", "request", "served", "fetch", "report", "path", "ended", "node", "lost"];
}

/// A session was first seen on this node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Began {
    /// Under which access; `None`: its route is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<Arc<str>>,
    /// The print of its subject, as sixteen hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Box<str>>,
    /// `h1`, `h2` or `h3`.
    pub protocol: Box<str>,
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// What it is watched on, by a word of the closed list of devices.
    pub device: Box<str>,
    /// The player's family and major version, as `Chrome 142`; `None`: it is not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub player: Option<Box<str>>,
    /// The address, shortened or as a keyed hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Box<str>>,
    /// The country, as two letters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<Box<str>>,
}

/// A token was judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Under which access.
    pub access: Arc<str>,
    /// Why it was refused, by the stable word; `None`: it was good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Box<str>>,
}

/// What a request asks for, in the words of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A multivariant playlist.
    Multivariant,
    /// A media playlist.
    Playlist,
    /// A part.
    Part,
    /// A segment.
    Segment,
    /// An initialisation section.
    Init,
    /// A decryption key.
    Key,
    /// Anything else.
    #[default]
    Plain,
}

/// One request. Its entry's moment is the one in which its answer ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// What was asked for.
    pub kind: Kind,
    /// Its path, without query and without carriers.
    pub path: Box<str>,
    /// `h1`, `h2` or `h3`.
    pub protocol: Box<str>,
    /// The status of the answer.
    pub status: u16,
    /// Where the answer came from: `hit`, `stale`, `joined`, `miss`, `pass`, `own`, `refused`.
    pub cache: Box<str>,
    /// Why the origin was asked, by the words of RFC 9211 §2.2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Box<str>>,
    /// Why it was refused, by the stable word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Box<str>>,
    /// Whose fault a refusal is: `viewer`, `origin` or `node`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Box<str>>,
    /// Octets of body that were sent.
    pub bytes: u64,
    /// To the first octet of the body, in milliseconds, without the hold.
    pub first_byte_ms: u64,
    /// To the last octet, in milliseconds.
    pub took_ms: u64,
    /// For how long it was held until the playlist had come far enough, in milliseconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub hold_ms: u64,
    /// Whether the whole body was sent.
    pub complete: bool,
    /// Who broke it off, where it was not: `viewer`, `network`, `origin`, `issuer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken: Option<Box<str>>,
    /// How long ago its origin had last said that the media playlist of a live stream is current, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub playlist_age_ms: Option<u64>,
    /// That playlist's target duration, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub playlist_target_ms: Option<u64>,
    /// How long before the request what was asked for began on its live stream's calendar (EXT-X-PROGRAM-DATE-TIME), in
    /// milliseconds; below zero: it is ahead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind_ms: Option<i64>,
    /// The origin's part, where this request waited for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Fetch>,
    /// The request's identifier, as X-Request-Id says it.
    pub id: Box<str>,
}

/// Requests of one session within one second that went as they should.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Served {
    /// `h1`, `h2` or `h3`.
    pub protocol: Box<str>,
    /// Requests.
    pub requests: u32,
    /// Of these, for playlists.
    #[serde(default, skip_serializing_if = "is_zero_u32")]
    pub playlists: u32,
    /// Of these, for parts and segments.
    #[serde(default, skip_serializing_if = "is_zero_u32")]
    pub media: u32,
    /// Of these, answered from memory or together with others.
    #[serde(default, skip_serializing_if = "is_zero_u32")]
    pub hits: u32,
    /// Octets of bodies.
    pub bytes: u64,
    /// The longest time to a first octet, in milliseconds, without holds.
    pub first_byte_ms: u64,
    /// Time in which bodies were sent, in milliseconds.
    pub sending_ms: u64,
    /// The longest hold, in milliseconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub hold_ms: u64,
    /// The rendition that was asked for last: the folder of its media playlist and its media below the stream; where it has
    /// none, its media playlist's name without the ending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rendition: Option<Arc<str>>,
    /// How long ago its origin had last said that the last media playlist of a live stream is current, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub playlist_age_ms: Option<u64>,
    /// That playlist's target duration, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub playlist_target_ms: Option<u64>,
    /// How long before its request the last of the media began on its live stream's calendar, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind_ms: Option<i64>,
    /// Where a view may have begun in this second: when the first of the playlists was asked for, in milliseconds since the
    /// epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub playlist_at: Option<u64>,
    /// Likewise, when the first of the media was sent whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_at: Option<u64>,
}

/// An origin was asked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Fetch {
    /// Which fetch of this process: those who waited for one fetch bear its number.
    pub id: u64,
    /// Which origin.
    pub origin: Arc<str>,
    /// Its status; `None`: it did not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What went wrong, in a word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Box<str>>,
    /// To the first octet of its answer, in milliseconds.
    pub wait_ms: u64,
}

/// How the path to a viewer is, as the kernel or QUIC says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Path {
    /// The smoothed round trip, in microseconds.
    pub rtt_us: u32,
    /// Packets or segments that were sent again, since the connection began.
    pub retransmits: u64,
    /// The congestion window, in octets.
    pub window: u64,
    /// What the path is estimated to carry, in kbit/s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throughput_kbps: Option<u64>,
}

/// A session is over on this node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// `idle`, or the stable word of the reason.
    pub reason: Box<str>,
    /// Requests of it on this node.
    pub requests: u64,
    /// Octets that were sent to it.
    pub bytes: u64,
}

/// What changed on the node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeChange {
    /// What, by a word of a closed list: `started`, `reloaded`, `draining`, `drain-cancelled`, `stopping`, `origin-down`,
    /// `origin-up`, `playlist-late`, `playlist-again`, `keys-unavailable`, `keys-available`, `webhook-down`, `webhook-up`,
    /// `sink-down`, `sink-up`, `alarm`.
    pub what: Box<str>,
    /// What it concerns: the origin, the rendition, the access, the sink.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<Box<str>>,
    /// In a sentence, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<Box<str>>,
    /// The routes that may ask an origin; empty: it is none, or nothing is known of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Arc<str>>,
    /// Those of them that have no other origin.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only_for: Vec<Arc<str>>,
}

/// What was lost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lost {
    /// Where and why, by a word of a closed list.
    pub reason: Box<str>,
    /// How many since the last such entry.
    pub count: u64,
}

impl Lost {
    /// Why entries are missing that are there: a session has too many of them to be told from all.
    pub const LEFT_OUT: &str = "left-out";
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over references")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over references")]
const fn is_zero_u32(number: &u32) -> bool {
    *number == 0
}
