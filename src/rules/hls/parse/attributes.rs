//! Attribute lists by the strict grammar of RFC 8216bis §4.2: no white space around `=` and `,`, quoted strings may
//! hold commas, and an attribute that occurs twice spoils its list.

use std::time::Duration;

use memchr::{memchr, memchr2};
use smallvec::SmallVec;

use super::values;

/// More attributes than this in one list are none: looking for repeats stays cheap.
const MOST: usize = 128;

/// Reads a list attribute by attribute. It ends behind the first error.
#[derive(Clone, Debug)]
pub struct Attributes<'t> {
    rest: Option<&'t str>,
    names: SmallVec<[&'t str; 8]>,
}

/// The text is no attribute list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the attribute list does not keep to the grammar")]
pub struct BadList;

/// The value of an attribute, as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value<'t>(&'t str);

impl<'t> Attributes<'t> {
    /// The attributes of `list`, which is all that follows the colon of a tag.
    pub fn of(list: &'t str) -> Self {
        Self { rest: Some(list).filter(|list| !list.is_empty()), names: SmallVec::new() }
    }

    fn read(&mut self, list: &'t str) -> Option<(&'t str, Value<'t>)> {
        let octets = list.as_bytes();
        let name_end = octets.iter().position(|octet| !is_of_name(*octet))?;
        if name_end == 0 || octets[name_end] != b'=' {
            return None;
        }
        let (name, value) = (&list[..name_end], &list[name_end + 1..]);
        let length = match value.as_bytes() {
            [b'"', quoted @ ..] => memchr2(b'"', b'\r', quoted).filter(|end| quoted[*end] == b'"')? + 2,
            plain => memchr(b',', plain).unwrap_or(plain.len()),
        };
        let (value, rest) = value.split_at(length);
        let is_plain = |octet: u8| octet > b' ' && octet != b'"' && octet != 0x7f;
        if value.is_empty() || !(value.starts_with('"') || value.bytes().all(is_plain)) {
            return None;
        }
        if self.names.len() == MOST || self.names.contains(&name) {
            return None;
        }
        self.names.push(name);
        self.rest = match rest.as_bytes() {
            [] => None,
            [b',', ..] => Some(&rest[1..]),
            _ => return None,
        };
        Some((name, Value(value)))
    }
}

fn is_of_name(octet: u8) -> bool {
    matches!(octet, b'A'..=b'Z' | b'0'..=b'9' | b'-')
}

impl<'t> Iterator for Attributes<'t> {
    type Item = Result<(&'t str, Value<'t>), BadList>;

    fn next(&mut self) -> Option<Self::Item> {
        let list = self.rest.take()?;
        let attribute = self.read(list);
        if attribute.is_none() {
            self.rest = None;
        }
        Some(attribute.ok_or(BadList))
    }
}

impl<'t> Value<'t> {
    /// What stands between the quotes of a quoted string.
    pub fn quoted(self) -> Option<&'t str> {
        self.0.strip_prefix('"')?.strip_suffix('"')
    }

    /// A quoted string that is not empty: a URI or a name.
    pub fn filled(self) -> Option<&'t str> {
        self.quoted().filter(|text| !text.is_empty())
    }

    /// An enumerated string.
    pub fn word(self) -> Option<&'t str> {
        (!self.0.starts_with('"')).then_some(self.0)
    }

    /// Whether it is the enumerated string YES.
    pub fn is_yes(self) -> bool {
        self.0 == "YES"
    }

    /// A decimal integer.
    pub fn integer(self) -> Option<u64> {
        values::integer(self.0)
    }

    /// A decimal number of seconds.
    pub fn duration(self) -> Option<Duration> {
        values::duration(self.0)
    }
}
