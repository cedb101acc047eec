//! What a player says of itself, in typed values: the model behind CMCD (CTA-5004, CTA-5004-B) in all its forms and behind
//! the generic beacon. Players' words stay claims: nothing of the node's own is ever put in their place.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::rules::session::SessionId;

/// How a report came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// With a media request, in query or fields.
    Request,
    /// In a batch of CMCD events.
    Event,
    /// In a generic beacon.
    Beacon,
}

/// One report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// How it came.
    pub mode: Mode,
    /// The view that it belongs to: a keyed hash of the player's `sid`; `None`: it said none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub view: Option<SessionId>,
    /// SHA-256/128 of the session and the record as it was sent, as 32 hexadecimal digits; `None`: it came with a request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<Box<str>>,
    /// What it says.
    #[serde(flatten)]
    pub data: Data,
}

/// What an object is (`ot`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ObjectType {
    /// A manifest or playlist
    #[serde(rename = "m")]
    Manifest,
    /// Sound alone
    #[serde(rename = "a")]
    Audio,
    /// Pictures alone
    #[serde(rename = "v")]
    Video,
    /// Both
    #[serde(rename = "av")]
    Muxed,
    /// An initialisation section
    #[serde(rename = "i")]
    Init,
    /// A caption or subtitle
    #[serde(rename = "c")]
    Caption,
    /// A timed text track
    #[serde(rename = "tt")]
    TimedText,
    /// A key, licence or certificate
    #[serde(rename = "k")]
    Key,
    /// Anything else
    #[serde(rename = "o")]
    Other,
}

/// What a player does (`sta`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum State {
    /// Starting
    #[serde(rename = "s")]
    Starting,
    /// Playing
    #[serde(rename = "p")]
    Playing,
    /// Seeking
    #[serde(rename = "k")]
    Seeking,
    /// Rebuffering
    #[serde(rename = "r")]
    Rebuffering,
    /// Paused
    #[serde(rename = "a")]
    Paused,
    /// Waiting
    #[serde(rename = "w")]
    Waiting,
    /// Ended
    #[serde(rename = "e")]
    Ended,
    /// Failed
    #[serde(rename = "f")]
    Failed,
    /// Left
    #[serde(rename = "q")]
    Quit,
    /// Preloading
    #[serde(rename = "d")]
    Preloading,
}

/// A number of some object type; without one, of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rated {
    /// The number.
    pub value: u64,
    /// Of what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<ObjectType>,
}

/// An object that will be asked for next (`nor`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Next {
    /// Its path, relative to the object that is asked for now.
    pub path: Box<str>,
    /// Which octets of it, as `first-`, `first-last` or `-length`.
    #[serde(default, rename = "r", skip_serializing_if = "Option::is_none")]
    pub range: Option<Box<str>>,
}

/// The keys of CMCD, by their own names (CTA-5004-B §5), and those of `custom` that are allowed. What is absent was not
/// said, or was said wrongly. `url` and `nor` are paths; no text has a host, query or carrier of a URI.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "each is a key of CTA-5004-B §5 by its own name")]
#[rustfmt::skip]
pub struct Data {
    #[serde(skip_serializing_if = "Vec::is_empty")] pub ab: Vec<Rated>,
    #[serde(skip_serializing_if = "Vec::is_empty")] pub lab: Vec<Rated>,
    #[serde(skip_serializing_if = "Vec::is_empty")] pub tab: Vec<Rated>,
    #[serde(skip_serializing_if = "Option::is_none")] pub bg: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")] pub bl: Vec<Rated>,
    #[serde(skip_serializing_if = "Vec::is_empty")] pub br: Vec<Rated>,
    #[serde(skip_serializing_if = "Option::is_none")] pub bs: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")] pub bsa: Vec<Rated>,
    #[serde(skip_serializing_if = "Vec::is_empty")] pub bsd: Vec<Rated>,
    #[serde(skip_serializing_if = "Vec::is_empty")] pub bsda: Vec<Rated>,
    #[serde(skip_serializing_if = "Option::is_none")] pub cdn: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")] pub cen: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")] pub cid: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")] pub cmsdd: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")] pub cmsds: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")] pub cs: Option<Box<str>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")] pub custom: BTreeMap<Box<str>, Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")] pub d: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")] pub dfa: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")] pub dl: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")] pub e: Option<Box<str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")] pub ec: Vec<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")] pub h: Option<Box<str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")] pub lb: Vec<Rated>,
    #[serde(skip_serializing_if = "Option::is_none")] pub ltc: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")] pub msd: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")] pub mtp: Vec<Rated>,
    #[serde(skip_serializing_if = "Vec::is_empty")] pub nor: Vec<Next>,
    #[serde(skip_serializing_if = "Option::is_none")] pub nr: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")] pub nrr: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")] pub ot: Option<ObjectType>,
    #[serde(skip_serializing_if = "Vec::is_empty")] pub pb: Vec<Rated>,
    #[serde(skip_serializing_if = "Option::is_none")] pub pr: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")] pub pt: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")] pub rc: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")] pub rtp: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")] pub sf: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")] pub smrt: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")] pub sn: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")] pub st: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")] pub sta: Option<State>,
    #[serde(skip_serializing_if = "Option::is_none")] pub su: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")] pub tb: Vec<Rated>,
    #[serde(skip_serializing_if = "Vec::is_empty")] pub tbl: Vec<Rated>,
    #[serde(skip_serializing_if = "Vec::is_empty")] pub tpb: Vec<Rated>,
    #[serde(skip_serializing_if = "Option::is_none")] pub ts: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")] pub ttfb: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")] pub ttfbb: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")] pub ttlb: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")] pub url: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")] pub v: Option<u64>,
}
