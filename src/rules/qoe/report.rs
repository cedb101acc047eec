//! What a player says of itself, in typed values: the model behind CMCD (CTA-5004, CTA-5004-B) in all its forms and behind
//! the generic beacon. Players' words stay claims: nothing of the node's own is ever put in their place.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};
use smallvec::SmallVec;

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

/// Such numbers. Nearly always there is one, which has its place here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Vec<Rated>")]
pub struct Numbers(SmallVec<[Rated; 1]>);

impl Numbers {
    /// Forgets them.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

impl Deref for Numbers {
    type Target = [Rated];

    fn deref(&self) -> &[Rated] {
        &self.0
    }
}

impl Serialize for Numbers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl From<Rated> for Numbers {
    fn from(one: Rated) -> Self {
        Self(SmallVec::from_buf([one]))
    }
}

impl From<Vec<Rated>> for Numbers {
    fn from(numbers: Vec<Rated>) -> Self {
        Self(numbers.into())
    }
}

impl FromIterator<Rated> for Numbers {
    fn from_iter<I: IntoIterator<Item = Rated>>(numbers: I) -> Self {
        Self(numbers.into_iter().collect())
    }
}

/// A word of a closed list; one that was read back has memory of its own.
pub type Word = Cow<'static, str>;

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
    #[serde(skip_serializing_if = "<[_]>::is_empty")] pub ab: Numbers,
    #[serde(skip_serializing_if = "<[_]>::is_empty")] pub lab: Numbers,
    #[serde(skip_serializing_if = "<[_]>::is_empty")] pub tab: Numbers,
    #[serde(skip_serializing_if = "Option::is_none")] pub bg: Option<bool>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")] pub bl: Numbers,
    #[serde(skip_serializing_if = "<[_]>::is_empty")] pub br: Numbers,
    #[serde(skip_serializing_if = "Option::is_none")] pub bs: Option<bool>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")] pub bsa: Numbers,
    #[serde(skip_serializing_if = "<[_]>::is_empty")] pub bsd: Numbers,
    #[serde(skip_serializing_if = "<[_]>::is_empty")] pub bsda: Numbers,
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
    #[serde(skip_serializing_if = "Option::is_none")] pub e: Option<Word>,
    #[serde(skip_serializing_if = "Vec::is_empty")] pub ec: Vec<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")] pub h: Option<Box<str>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")] pub lb: Numbers,
    #[serde(skip_serializing_if = "Option::is_none")] pub ltc: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")] pub msd: Option<u64>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")] pub mtp: Numbers,
    #[serde(skip_serializing_if = "Vec::is_empty")] pub nor: Vec<Next>,
    #[serde(skip_serializing_if = "Option::is_none")] pub nr: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")] pub nrr: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")] pub ot: Option<ObjectType>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")] pub pb: Numbers,
    #[serde(skip_serializing_if = "Option::is_none")] pub pr: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")] pub pt: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")] pub rc: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")] pub rtp: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")] pub sf: Option<Word>,
    #[serde(skip_serializing_if = "Option::is_none")] pub smrt: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")] pub sn: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")] pub st: Option<Word>,
    #[serde(skip_serializing_if = "Option::is_none")] pub sta: Option<State>,
    #[serde(skip_serializing_if = "Option::is_none")] pub su: Option<bool>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")] pub tb: Numbers,
    #[serde(skip_serializing_if = "<[_]>::is_empty")] pub tbl: Numbers,
    #[serde(skip_serializing_if = "<[_]>::is_empty")] pub tpb: Numbers,
    #[serde(skip_serializing_if = "Option::is_none")] pub ts: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")] pub ttfb: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")] pub ttfbb: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")] pub ttlb: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")] pub url: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")] pub v: Option<u64>,
}
