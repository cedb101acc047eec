//! The keys of CMCD: in which version each is of which form and how large, where it may stand and in which request field
//! (CTA-5004 §3, CTA-5004-B §3.1, §5). The one table that reading goes by; `nrr`, which version 2 has given up, is read of
//! it too, as the open library still does.

use super::value::{Field, Source};
use crate::rules::qoe::fault::Fault;
use crate::rules::qoe::report::Data;

/// Of what form a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One whole number, not negative and at most so large.
    Whole(u64),
    /// One number, not negative and at most so large, of which the fraction is rounded away.
    Rounded(u64),
    /// A list of such, each perhaps of an object type.
    Rated(u64),
    /// A number, perhaps with a fraction, perhaps negative.
    Number,
    /// True or false.
    Flag,
    /// A text of at most so many characters.
    Text(usize),
    /// A text of any length, of which so many characters are kept.
    Opening(usize),
    /// Octets in base64, in a text.
    Base64,
    /// A word of a list.
    Word(&'static [&'static str]),
    /// A list of texts, of each of which so many characters are kept.
    Texts(usize),
    /// A URL, of which the path is kept.
    Url,
    /// A URI in percent-encoding.
    Encoded,
    /// A list of URIs, each perhaps with a range.
    Uris,
    /// A range of octets.
    Range,
}

/// Where a key may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// With a request and in an event.
    Anywhere,
    /// In an event alone.
    Event,
    /// In the event of a received response alone.
    Response,
}

/// In which of the four request fields a key belongs (CTA-5004-B §3.1), in the order of
/// [`FIELDS`](super::FIELDS).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shard {
    /// `CMCD-Request`: what varies from request to request.
    Request,
    /// `CMCD-Object`: what varies with the object.
    Object,
    /// `CMCD-Status`: what varies with neither.
    Status,
    /// `CMCD-Session`: what stays.
    Session,
    /// None of them: it comes with events alone.
    Nowhere,
}

/// What a key must be like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its form in version 1; `None`: it is not in it.
    pub one: Option<Form>,
    /// Its form in version 2; `None`: it is not in it.
    pub two: Option<Form>,
    /// Where it may stand.
    pub place: Place,
    /// In which field.
    pub shard: Shard,
}

/// The events (CTA-5004-B §5.12).
pub const EVENTS: &[&str] =
    &["abe", "abs", "ae", "as", "b", "bc", "c", "ce", "e", "h", "m", "pc", "pe", "pr", "ps", "rr", "sk", "t", "um"];
const OBJECT_TYPES: &[&str] = &["m", "a", "v", "av", "i", "c", "tt", "k", "o"];
const STATES: &[&str] = &["s", "p", "k", "r", "a", "w", "e", "f", "q", "d"];
/// Players of version 1 send `ll` too.
const STREAM_TYPES: &[&str] = &["v", "l", "ll"];
const FORMATS_ONE: &[&str] = &["d", "h", "s", "o"];
const FORMATS: &[&str] = &["d", "h", "e", "s", "o"];

/// What no stream is encoded with, in kilobits per second: ten gigabits.
const RATE: u64 = 10_000_000;
/// What no network brings to a player, in kilobits per second: a hundred gigabits. Players measure short bursts.
const SPEED: u64 = 100_000_000;
/// Nothing that a player waits for or buffers lasts longer than a day, in milliseconds.
const DAY: u64 = 24 * 60 * 60 * 1_000;
/// No live stream goes back further than a month, in milliseconds.
const MONTH: u64 = 31 * DAY;
/// Nobody sees playback stop more often.
const STALLS: u64 = 1_000_000;
/// What a player drops in five days at 240 frames a second.
const FRAMES: u64 = 100_000_000;
/// The year 2100, in milliseconds since 1970.
const CALENDAR: u64 = 4_102_444_800_000;
/// The largest whole number there is (RFC 9651 §3.3.1).
const DIGITS: u64 = 999_999_999_999_999;
/// The largest status (RFC 9110 §15).
const STATUS: u64 = 999;
/// What of texts is kept that the standard leaves open.
pub const OPENING: usize = 64;
/// Nothing is played faster than this, forwards or backwards.
pub const FASTEST: f64 = 64.0;

/// A key's name as a number, so that it is found in a few comparisons.
const fn code(name: &[u8]) -> u64 {
    let (mut code, mut at) = (0, 0);
    while at < name.len() {
        code = code << 8 | name[at] as u64;
        at += 1;
    }
    code
}

macro_rules! keys {
    ($($name:ident $field:ident: $one:expr, $two:expr, $place:ident, $shard:ident;)*) => {
        /// A key that is kept as it is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        #[allow(missing_docs, reason = "each is a key of CTA-5004-B §5 by its own name")]
        pub enum Key { $($name,)* Sid, V }

        /// How many there are.
        pub const KEYS: usize = Key::V as usize + 1;

        impl Key {
            /// The key of this name.
            #[allow(non_upper_case_globals, reason = "a constant for each row")]
            pub fn of(name: &str) -> Option<Self> {
                $(const $name: u64 = code(stringify!($field).as_bytes());)*
                const SID: u64 = code(b"sid");
                const V: u64 = code(b"v");
                match if name.len() <= 5 { code(name.as_bytes()) } else { 0 } {
                    $($name => Some(Self::$name),)*
                    SID => Some(Self::Sid),
                    V => Some(Self::V),
                    _ => None,
                }
            }

            /// What it must be like.
            pub const fn rule(self) -> Rule {
                let (one, two, place, shard) = match self {
                    $(Self::$name => ($one, $two, Place::$place, Shard::$shard),)*
                    Self::Sid => (Some(Form::Text(64)), Some(Form::Text(64)), Place::Anywhere, Shard::Session),
                    Self::V => (Some(Form::Whole(DIGITS)), Some(Form::Whole(DIGITS)), Place::Anywhere, Shard::Session),
                };
                Rule { one, two, place, shard }
            }

            /// The largest number that it may stand for.
            pub const fn most(self) -> u64 {
                match self.rule().two {
                    Some(Form::Whole(most) | Form::Rounded(most) | Form::Rated(most)) => most,
                    _ => u64::MAX,
                }
            }

            /// Sets what it stands for, where the value is of the form.
            pub fn set(self, data: &mut Data, value: &Source<'_, '_>, form: Form) -> Result<(), Fault> {
                match self {
                    $(Self::$name => data.$field = Field::of(value, form)?,)*
                    Self::Sid | Self::V => {}
                }
                Ok(())
            }
        }
    };
}

use Form::{Base64, Encoded, Flag, Number, Opening, Range, Rated, Rounded, Text, Texts, Uris, Url, Whole, Word};

keys! {
    Ab ab: None, Some(Rated(RATE)), Anywhere, Object;
    Lab lab: None, Some(Rated(RATE)), Anywhere, Object;
    Tab tab: None, Some(Rated(RATE)), Anywhere, Object;
    Bg bg: None, Some(Flag), Anywhere, Status;
    Bl bl: Some(Whole(DAY)), Some(Rated(DAY)), Anywhere, Request;
    Br br: Some(Rounded(RATE)), Some(Rated(RATE)), Anywhere, Object;
    Bs bs: Some(Flag), Some(Flag), Anywhere, Status;
    Bsa bsa: None, Some(Rated(STALLS)), Anywhere, Status;
    Bsd bsd: None, Some(Rated(DAY)), Anywhere, Status;
    Bsda bsda: None, Some(Rated(DAY)), Anywhere, Status;
    Cdn cdn: None, Some(Text(128)), Anywhere, Status;
    Cen cen: None, Some(Text(64)), Event, Nowhere;
    Cid cid: Some(Text(128)), Some(Text(128)), Anywhere, Session;
    Cmsdd cmsdd: None, Some(Base64), Response, Nowhere;
    Cmsds cmsds: None, Some(Base64), Response, Nowhere;
    Cs cs: None, Some(Opening(OPENING)), Anywhere, Request;
    D d: Some(Whole(DAY)), Some(Whole(DAY)), Anywhere, Object;
    Dfa dfa: None, Some(Whole(FRAMES)), Anywhere, Request;
    Dl dl: Some(Whole(DAY)), Some(Whole(DAY)), Anywhere, Request;
    E e: None, Some(Word(EVENTS)), Event, Nowhere;
    Ec ec: None, Some(Texts(OPENING)), Anywhere, Status;
    H h: None, Some(Text(128)), Event, Nowhere;
    Lb lb: None, Some(Rated(RATE)), Anywhere, Object;
    Ltc ltc: None, Some(Whole(MONTH)), Anywhere, Request;
    Msd msd: None, Some(Whole(DAY)), Anywhere, Session;
    Mtp mtp: Some(Whole(SPEED)), Some(Rated(SPEED)), Anywhere, Request;
    Nor nor: Some(Encoded), Some(Uris), Anywhere, Request;
    Nr nr: None, Some(Flag), Anywhere, Status;
    Nrr nrr: Some(Range), Some(Range), Anywhere, Request;
    Ot ot: Some(Word(OBJECT_TYPES)), Some(Word(OBJECT_TYPES)), Anywhere, Object;
    Pb pb: None, Some(Rated(RATE)), Anywhere, Request;
    Pr pr: Some(Number), Some(Number), Anywhere, Status;
    Pt pt: None, Some(Whole(CALENDAR)), Anywhere, Status;
    Rc rc: None, Some(Whole(STATUS)), Response, Nowhere;
    Rtp rtp: Some(Whole(SPEED)), Some(Whole(SPEED)), Anywhere, Status;
    Sf sf: Some(Word(FORMATS_ONE)), Some(Word(FORMATS)), Anywhere, Session;
    Smrt smrt: None, Some(Base64), Response, Nowhere;
    Sn sn: None, Some(Whole(DIGITS)), Anywhere, Request;
    St st: Some(Word(STREAM_TYPES)), Some(Word(STREAM_TYPES)), Anywhere, Session;
    Sta sta: None, Some(Word(STATES)), Anywhere, Request;
    Su su: Some(Flag), Some(Flag), Anywhere, Request;
    Tb tb: Some(Rounded(RATE)), Some(Rated(RATE)), Anywhere, Object;
    Tbl tbl: None, Some(Rated(DAY)), Anywhere, Request;
    Tpb tpb: None, Some(Rated(RATE)), Anywhere, Object;
    Ts ts: None, Some(Whole(DIGITS)), Event, Nowhere;
    Ttfb ttfb: None, Some(Whole(DAY)), Response, Nowhere;
    Ttfbb ttfbb: None, Some(Whole(DAY)), Response, Nowhere;
    Ttlb ttlb: None, Some(Whole(DAY)), Response, Nowhere;
    Url url: None, Some(Url), Response, Nowhere;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_by_its_whole_name_alone() {
        assert_eq!((Key::of("ab"), Key::of("ttfbb"), Key::of("v")), (Some(Key::Ab), Some(Key::Ttfbb), Some(Key::V)));
        for other in ["", "a", "AB", "abc", "ttfbbb", "sids", "com.example-v"] {
            assert_eq!(Key::of(other), None, "{other}");
        }
    }
}
