//! Structured fields (RFC 9651): items, lists and dictionaries, read strictly and written canonically. A field that
//! breaks the grammar anywhere is no field at all; there is no repair. Reading is linear in the text, and a container
//! has at most 1,024 members, as many as the standard asks every reader to take.

mod base64;
mod parse;
mod write;

use std::fmt;

use http::{HeaderMap, HeaderName};

pub use write::NotWritable;

/// What stands in one place of a structured field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bare {
    /// A whole number of at most 15 digits.
    Integer(i64),
    /// A number with one to three fractional digits.
    Decimal(Decimal),
    /// Text of printable ASCII.
    String(String),
    /// A word without quotes.
    Token(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// `?1` or `?0`; as a parameter or a member of a dictionary, true is written by leaving it out.
    Boolean(bool),
    /// Seconds since 1970.
    Date(i64),
    /// Text of any Unicode characters.
    Display(String),
}

/// A decimal number in thousandths: at most 12 digits before the point and 3 after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Decimal {
    /// The number times 1,000.
    pub thousandths: i64,
}

/// Names with values, in the order of their first appearance; a later value replaces an earlier one of its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named<T>(Vec<(String, T)>);

/// What qualifies an item or an inner list.
pub type Parameters = Named<Bare>;

/// A value with its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The value.
    pub value: Bare,
    /// What qualifies it.
    pub parameters: Parameters,
}

/// A member of a list or dictionary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Member {
    /// One item.
    Item(Item),
    /// Items in parentheses, with parameters of their own.
    Inner(Vec<Item>, Parameters),
}

/// Members in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List(pub Vec<Member>);

/// Named members.
pub type Dictionary = Named<Member>;

/// The text is no structured field of the type asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a structured field: octet {at} does not fit")]
pub struct Malformed {
    /// Where reading stopped, from 0.
    pub at: usize,
}

impl Item {
    /// Reads a field that is one item.
    pub fn parse(text: &[u8]) -> Result<Self, Malformed> {
        parse::whole(text, parse::item)
    }
}

impl List {
    /// Reads a field that is a list; lines are to be joined by `, ` before.
    pub fn parse(text: &[u8]) -> Result<Self, Malformed> {
        parse::whole(text, parse::list)
    }
}

impl Dictionary {
    /// Reads a field that is a dictionary; lines are to be joined by `, ` before.
    pub fn parse(text: &[u8]) -> Result<Self, Malformed> {
        parse::whole(text, parse::dictionary)
    }
}

impl<T> Named<T> {
    /// The value of `name`.
    pub fn find(&self, name: &str) -> Option<&T> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| value)
    }

    /// Sets `name`, in place where it is there already.
    pub fn set(&mut self, name: &str, value: T) {
        match self.0.iter_mut().find(|(own, _)| own == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// How many names there are.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl From<Bare> for Item {
    fn from(value: Bare) -> Self {
        Self { value, parameters: Parameters::default() }
    }
}

impl From<Item> for Member {
    fn from(item: Item) -> Self {
        Self::Item(item)
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.thousandths < 0 { "-" } else { "" };
        let size = self.thousandths.unsigned_abs();
        let fraction = format!("{:03}", size % 1_000);
        let fraction = fraction.trim_end_matches('0');
        write!(f, "{sign}{}.{}", size / 1_000, if fraction.is_empty() { "0" } else { fraction })
    }
}

/// All lines of a field as one text, as a list or dictionary is read; `None` where the field is absent.
pub fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<Vec<u8>> {
    let mut lines = headers.get_all(name).iter();
    let mut text = lines.next()?.as_bytes().to_vec();
    for line in lines {
        text.extend_from_slice(b", ");
        text.extend_from_slice(line.as_bytes());
    }
    Some(text)
}

#[cfg(test)]
mod tests;
