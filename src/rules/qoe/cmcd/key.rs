//! The keys of CMCD: in which version each is of which form, and where it may stand (CTA-5004 §3, CTA-5004-B §5). The one
//! table that reading goes by.

use super::value::{Field, Source};
use crate::rules::qoe::fault::Fault;
use crate::rules::qoe::report::Data;

/// Of what form a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One whole number, not negative.
    Whole,
    /// A list of whole numbers, each perhaps of an object type.
    Rated,
    /// A number, perhaps with a fraction.
    Number,
    /// True or false.
    Flag,
    /// A text of at most so many characters.
    Text(usize),
    /// Octets in base64, in a text.
    Base64,
    /// A word of a list.
    Word(&'static [&'static str]),
    /// A list of texts.
    Texts,
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

/// The events (CTA-5004-B §5.12).
pub const EVENTS: &[&str] =
    &["abe", "abs", "ae", "as", "b", "bc", "c", "ce", "e", "h", "m", "pc", "pe", "pr", "ps", "rr", "sk", "t", "um"];
const OBJECT_TYPES: &[&str] = &["m", "a", "v", "av", "i", "c", "tt", "k", "o"];
const STATES: &[&str] = &["s", "p", "k", "r", "a", "w", "e", "f", "q", "d"];
/// Players of version 1 send `ll` too.
const STREAM_TYPES: &[&str] = &["v", "l", "ll"];
const FORMATS: &[&str] = &["d", "h", "e", "s", "o"];
/// For texts that the standard leaves open: no more than a record holds.
const OPEN: usize = usize::MAX;

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
    ($($name:ident $field:ident: $one:expr, $two:expr, $place:ident;)*) => {
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

            /// Its form in version 1 and in version 2, and where it may stand.
            pub const fn rule(self) -> (Option<Form>, Option<Form>, Place) {
                match self {
                    $(Self::$name => ($one, $two, Place::$place),)*
                    Self::Sid => (Some(Form::Text(64)), Some(Form::Text(64)), Place::Anywhere),
                    Self::V => (Some(Form::Whole), Some(Form::Whole), Place::Anywhere),
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

use Form::{Base64, Encoded, Flag, Number, Range, Rated, Text, Texts, Uris, Url, Whole, Word};

keys! {
    Ab ab: None, Some(Rated), Anywhere;
    Lab lab: None, Some(Rated), Anywhere;
    Tab tab: None, Some(Rated), Anywhere;
    Bg bg: None, Some(Flag), Anywhere;
    Bl bl: Some(Whole), Some(Rated), Anywhere;
    Br br: Some(Whole), Some(Rated), Anywhere;
    Bs bs: Some(Flag), Some(Flag), Anywhere;
    Bsa bsa: None, Some(Rated), Anywhere;
    Bsd bsd: None, Some(Rated), Anywhere;
    Bsda bsda: None, Some(Rated), Anywhere;
    Cdn cdn: None, Some(Text(128)), Anywhere;
    Cen cen: None, Some(Text(64)), Event;
    Cid cid: Some(Text(64)), Some(Text(128)), Anywhere;
    Cmsdd cmsdd: None, Some(Base64), Response;
    Cmsds cmsds: None, Some(Base64), Response;
    Cs cs: None, Some(Text(OPEN)), Anywhere;
    D d: Some(Whole), Some(Whole), Anywhere;
    Dfa dfa: None, Some(Whole), Anywhere;
    Dl dl: Some(Whole), Some(Whole), Anywhere;
    E e: None, Some(Word(EVENTS)), Event;
    Ec ec: None, Some(Texts), Anywhere;
    H h: None, Some(Text(128)), Event;
    Lb lb: None, Some(Rated), Anywhere;
    Ltc ltc: None, Some(Whole), Anywhere;
    Msd msd: None, Some(Whole), Anywhere;
    Mtp mtp: Some(Whole), Some(Rated), Anywhere;
    Nor nor: Some(Encoded), Some(Uris), Anywhere;
    Nr nr: None, Some(Flag), Anywhere;
    Nrr nrr: Some(Range), None, Anywhere;
    Ot ot: Some(Word(OBJECT_TYPES)), Some(Word(OBJECT_TYPES)), Anywhere;
    Pb pb: None, Some(Rated), Anywhere;
    Pr pr: Some(Number), Some(Number), Anywhere;
    Pt pt: None, Some(Whole), Anywhere;
    Rc rc: None, Some(Whole), Response;
    Rtp rtp: Some(Whole), Some(Whole), Anywhere;
    Sf sf: Some(Word(FORMATS)), Some(Word(FORMATS)), Anywhere;
    Smrt smrt: None, Some(Base64), Response;
    Sn sn: None, Some(Whole), Anywhere;
    St st: Some(Word(STREAM_TYPES)), Some(Word(STREAM_TYPES)), Anywhere;
    Sta sta: None, Some(Word(STATES)), Anywhere;
    Su su: Some(Flag), Some(Flag), Anywhere;
    Tb tb: Some(Whole), Some(Rated), Anywhere;
    Tbl tbl: None, Some(Rated), Anywhere;
    Tpb tpb: None, Some(Rated), Anywhere;
    Ts ts: None, Some(Whole), Event;
    Ttfb ttfb: None, Some(Whole), Response;
    Ttfbb ttfbb: None, Some(Whole), Response;
    Ttlb ttlb: None, Some(Whole), Response;
    Url url: None, Some(Url), Response;
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
