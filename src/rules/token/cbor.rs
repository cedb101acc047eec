//! Strict CBOR (RFC 8949) for what others sign: one reading, or none.
//!
//! Keys of maps are whole numbers or texts, and occur once. Depth and values are bounded, nothing stands behind the end,
//! reserved values are refused. Indefinite lengths are read only where the caller says so. Deterministic
//! encoding is not asked for: `exp` may be written in eight octets where five would do. Octets are borrowed but for those
//! that came in pieces.

use std::borrow::Cow;

/// The deepest nesting of lists, maps and tags.
pub const DEEPEST: u8 = 8;
/// The most values, keys included.
pub const MOST_VALUES: u16 = 1_024;

/// Why octets are not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum BadCbor {
    /// They end too early.
    #[error("cut short")]
    CutShort,
    /// Something stands behind the end.
    #[error("octets behind the end")]
    Trailing,
    /// The same key twice in one map.
    #[error("a key twice")]
    Duplicate,
    /// A length that is not said beforehand, where it must be.
    #[error("an indefinite length")]
    Indefinite,
    /// Nested deeper than [`DEEPEST`].
    #[error("nested deeper than 8")]
    Deep,
    /// More values than [`MOST_VALUES`].
    #[error("more than 1024 values")]
    Many,
    /// A text that is not UTF-8.
    #[error("a text that is not UTF-8")]
    NotUtf8,
    /// A form that means nothing (yet), a break out of place, or a simple value other than false, true, null and undefined.
    #[error("a form that means nothing")]
    Reserved,
    /// A key that is neither a whole number nor a text.
    #[error("a key that is neither a whole number nor a text")]
    Key,
}

/// Whether lengths must be said beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lengths {
    /// They must.
    Definite,
    /// They need not.
    Any,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// A whole number.
    Whole(i128),
    /// Octets.
    Octets(Cow<'a, [u8]>),
    /// A text.
    Text(Cow<'a, str>),
    /// An array.
    List(Vec<Value<'a>>),
    /// A map.
    Map(Map<'a>),
    /// A value with a tag.
    Tag(u64, Box<Value<'a>>),
    /// `false` or `true`.
    Bool(bool),
    /// `null`, or `undefined`
    Null,
    /// Any other number.
    Float(f64),
}

/// A key of a map.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key<'a> {
    /// A whole number.
    Whole(i128),
    /// A text.
    Text(Cow<'a, str>),
}

/// A map: its entries, sorted by key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Map<'a>(Vec<(Key<'a>, Value<'a>)>);

impl<'a> Map<'a> {
    /// The value of this number.
    pub fn at(&self, label: i128) -> Option<&Value<'a>> {
        let at = self.0.binary_search_by(|(key, _)| key.cmp(&Key::Whole(label))).ok()?;
        Some(&self.0[at].1)
    }

    /// All entries, sorted by key.
    pub fn entries(&self) -> &[(Key<'a>, Value<'a>)] {
        &self.0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts a value in place of what that number had.
    pub fn set(&mut self, label: i128, value: Value<'a>) {
        match self.0.binary_search_by(|(key, _)| key.cmp(&Key::Whole(label))) {
            Ok(at) => self.0[at].1 = value,
            Err(at) => self.0.insert(at, (Key::Whole(label), value)),
        }
    }
}

impl<'a> Value<'a> {
    /// Reads one value, and nothing else.
    pub fn read(octets: &'a [u8], lengths: Lengths) -> Result<Self, BadCbor> {
        let mut reader = Reader { rest: octets, lengths, values: 0 };
        let value = reader.value(0)?;
        match reader.rest {
            [] => Ok(value),
            _ => Err(BadCbor::Trailing),
        }
    }

    /// The text.
    pub fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The octets.
    pub fn octets(&self) -> Option<&[u8]> {
        if let Self::Octets(octets) = self { Some(octets) } else { None }
    }

    /// The whole number.
    pub fn whole(&self) -> Option<i128> {
        if let Self::Whole(number) = self { Some(*number) } else { None }
    }

    /// The array.
    pub fn list(&self) -> Option<&[Self]> {
        if let Self::List(list) = self { Some(list) } else { None }
    }

    /// The map.
    pub fn map(&self) -> Option<&Map<'a>> {
        if let Self::Map(map) = self { Some(map) } else { None }
    }

    /// Writes it in its shortest form, with the keys of maps in the order of RFC 8949 §4.2.1 where they are of one sign.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Whole(number) => put_whole(out, *number),
            Self::Octets(octets) => {
                put_head(out, BYTES, octets.len() as u64);
                out.extend_from_slice(octets);
            }
            Self::Text(text) => put_text(out, text),
            Self::List(list) => {
                put_head(out, LIST, list.len() as u64);
                list.iter().for_each(|value| value.write(out));
            }
            Self::Map(map) => {
                put_head(out, MAP, map.0.len() as u64);
                for (key, value) in &map.0 {
                    match key {
                        Key::Whole(number) => put_whole(out, *number),
                        Key::Text(text) => put_text(out, text),
                    }
                    value.write(out);
                }
            }
            Self::Tag(tag, value) => {
                put_head(out, TAG, *tag);
                value.write(out);
            }
            Self::Bool(value) => out.push(if *value { 0xf5 } else { 0xf4 }),
            Self::Null => out.push(0xf6),
            Self::Float(number) => {
                out.push(0xfb);
                out.extend_from_slice(&number.to_be_bytes());
            }
        }
    }
}

/// Major types (RFC 8949 §3.1).
const NATURAL: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const LIST: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;

fn put_head(out: &mut Vec<u8>, major: u8, number: u64) {
    let first = major << 5;
    match number {
        0..24 => out.push(first | number as u8),
        24..=0xff => out.extend_from_slice(&[first | 24, number as u8]),
        0x100..=0xffff => {
            out.push(first | 25);
            out.extend_from_slice(&(number as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            out.push(first | 26);
            out.extend_from_slice(&(number as u32).to_be_bytes());
        }
        _ => {
            out.push(first | 27);
            out.extend_from_slice(&number.to_be_bytes());
        }
    }
}

/// Numbers are what was read, so that they fit: −2^64…2^64−1.
fn put_whole(out: &mut Vec<u8>, number: i128) {
    match number {
        0.. => put_head(out, NATURAL, number as u64),
        _ => put_head(out, NEGATIVE, (-1 - number) as u64),
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_head(out, TEXT, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// How many there are, or that an end will be told.
#[derive(Clone, Copy)]
enum Length {
    Said(u64),
    Open,
}

struct Reader<'a> {
    rest: &'a [u8],
    lengths: Lengths,
    values: u16,
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: u8) -> Result<Value<'a>, BadCbor> {
        self.counts_value()?;
        let [first] = self.take()?;
        let (major, info) = (first >> 5, first & 0x1f);
        match major {
            NATURAL => Ok(Value::Whole(self.number(info)?.into())),
            NEGATIVE => Ok(Value::Whole(-1 - i128::from(self.number(info)?))),
            BYTES => Ok(Value::Octets(self.string(BYTES, info)?)),
            TEXT => Ok(Value::Text(match self.string(TEXT, info)? {
                Cow::Borrowed(octets) => Cow::Borrowed(std::str::from_utf8(octets).map_err(|_| BadCbor::NotUtf8)?),
                Cow::Owned(octets) => Cow::Owned(String::from_utf8(octets).map_err(|_| BadCbor::NotUtf8)?),
            })),
            LIST => self.list(info, below(depth)?),
            MAP => self.map(info, below(depth)?),
            TAG => {
                let tag = self.number(info)?;
                Ok(Value::Tag(tag, Box::new(self.value(below(depth)?)?)))
            }
            _ => self.simple(info),
        }
    }

    fn list(&mut self, info: u8, depth: u8) -> Result<Value<'a>, BadCbor> {
        let mut left = self.length(info)?;
        let mut list = Vec::new();
        while self.goes_on(&mut left)? {
            list.push(self.value(depth)?);
        }
        Ok(Value::List(list))
    }

    fn map(&mut self, info: u8, depth: u8) -> Result<Value<'a>, BadCbor> {
        let mut left = self.length(info)?;
        let mut entries = Vec::new();
        while self.goes_on(&mut left)? {
            let key = match self.value(depth)? {
                Value::Whole(number) => Key::Whole(number),
                Value::Text(text) => Key::Text(text),
                _ => return Err(BadCbor::Key),
            };
            entries.push((key, self.value(depth)?));
        }
        entries.sort_by(|(one, _), (other, _)| one.cmp(other));
        match entries.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            true => Err(BadCbor::Duplicate),
            false => Ok(Value::Map(Map(entries))),
        }
    }

    /// Whether another value follows.
    fn goes_on(&mut self, left: &mut Length) -> Result<bool, BadCbor> {
        match left {
            Length::Said(0) => Ok(false),
            Length::Said(count) => {
                *count -= 1;
                Ok(true)
            }
            Length::Open => Ok(!self.takes_break()?),
        }
    }

    fn takes_break(&mut self) -> Result<bool, BadCbor> {
        match self.rest {
            [] => Err(BadCbor::CutShort),
            [0xff, rest @ ..] => {
                self.rest = rest;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Octets at once, or in pieces of the same kind with a length each (RFC 8949 §3.2.3).
    fn string(&mut self, major: u8, info: u8) -> Result<Cow<'a, [u8]>, BadCbor> {
        if let Length::Said(length) = self.length(info)? {
            return self.octets(length).map(Cow::Borrowed);
        }
        let mut whole = Vec::new();
        while !self.takes_break()? {
            self.counts_value()?;
            let [first] = self.take()?;
            match self.length(first & 0x1f)? {
                Length::Said(length) if first >> 5 == major => {
                    let piece = self.octets(length)?;
                    if major == TEXT && std::str::from_utf8(piece).is_err() {
                        return Err(BadCbor::NotUtf8);
                    }
                    whole.extend_from_slice(piece);
                }
                Length::Said(_) | Length::Open => return Err(BadCbor::Reserved),
            }
        }
        Ok(Cow::Owned(whole))
    }

    fn length(&mut self, info: u8) -> Result<Length, BadCbor> {
        const OPEN: u8 = 31;
        match (info, self.lengths) {
            (OPEN, Lengths::Any) => Ok(Length::Open),
            (OPEN, Lengths::Definite) => Err(BadCbor::Indefinite),
            _ => self.number(info).map(Length::Said),
        }
    }

    /// What follows the first octet: the number that it begins.
    fn number(&mut self, info: u8) -> Result<u64, BadCbor> {
        match info {
            0..24 => Ok(info.into()),
            24 => self.take::<1>().map(|[octet]| octet.into()),
            25 => self.take().map(|octets| u16::from_be_bytes(octets).into()),
            26 => self.take().map(|octets| u32::from_be_bytes(octets).into()),
            27 => self.take().map(u64::from_be_bytes),
            _ => Err(BadCbor::Reserved),
        }
    }

    fn simple(&mut self, info: u8) -> Result<Value<'a>, BadCbor> {
        match info {
            20 => Ok(Value::Bool(false)),
            21 => Ok(Value::Bool(true)),
            // Null, and undefined: a library of JavaScript writes it for what is left out of a list.
            22 | 23 => Ok(Value::Null),
            25 => self.take().map(|octets| Value::Float(half(u16::from_be_bytes(octets)))),
            26 => self.take().map(|octets| Value::Float(f32::from_be_bytes(octets).into())),
            27 => self.take().map(|octets| Value::Float(f64::from_be_bytes(octets))),
            _ => Err(BadCbor::Reserved),
        }
    }

    fn counts_value(&mut self) -> Result<(), BadCbor> {
        self.values += 1;
        if self.values > MOST_VALUES { Err(BadCbor::Many) } else { Ok(()) }
    }

    fn octets(&mut self, length: u64) -> Result<&'a [u8], BadCbor> {
        let length = usize::try_from(length).map_err(|_| BadCbor::CutShort)?;
        let (octets, rest) = self.rest.split_at_checked(length).ok_or(BadCbor::CutShort)?;
        self.rest = rest;
        Ok(octets)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], BadCbor> {
        let (octets, rest) = self.rest.split_first_chunk().ok_or(BadCbor::CutShort)?;
        self.rest = rest;
        Ok(*octets)
    }
}

fn below(depth: u8) -> Result<u8, BadCbor> {
    if depth == DEEPEST { Err(BadCbor::Deep) } else { Ok(depth + 1) }
}

/// A number in two octets (IEEE 754 binary16; RFC 8949 appendix D).
fn half(bits: u16) -> f64 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f64::from(bits & 0x3ff));
    let size = match exponent {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (fraction + 1_024.0) * 2f64.powi(exponent - 25),
    };
    if bits >> 15 == 0 { size } else { -size }
}

#[cfg(test)]
mod tests;
