//! Attribute lists by the strict grammar of RFC 8216bis §4.2: no white space around `=` and `,`, quoted strings may
//! hold commas, and an attribute that occurs twice spoils its list.

use std::time::Duration;

use memchr::memchr2;
use smallvec::SmallVec;

use super::values;

/// More attributes than this in one list are none: looking for repeats stays cheap.
const MOST: usize = 128;

/// Reads a list attribute by attribute. It ends behind the first error.
#[derive(Clone, Debug)]
pub struct Attributes<'t> {
    rest: Option<&'t str>,
    names: SmallVec<[&'t str; 8]>,
    /// One bit for every name, by its length and ends: most names are seen to be new without a comparison.
    marks: u64,
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
        Self { rest: Some(list).filter(|list| !list.is_empty()), names: SmallVec::new(), marks: 0 }
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
            plain => plain.iter().position(|octet| !is_plain(*octet)).unwrap_or(plain.len()),
        };
        let (value, rest) = value.split_at(length);
        self.rest = match rest.as_bytes() {
            [] => None,
            [b',', ..] => Some(&rest[1..]),
            _ => return None,
        };
        (!value.is_empty() && self.is_new(name)).then_some((name, Value(value)))
    }

    fn is_new(&mut self, name: &'t str) -> bool {
        let octets = name.as_bytes();
        let mark = 1 << ((octets.len() * 7 + usize::from(octets[0]) * 3 + usize::from(octets[octets.len() - 1])) % 64);
        if self.names.len() == MOST || (self.marks & mark != 0 && self.names.contains(&name)) {
            return false;
        }
        self.marks |= mark;
        self.names.push(name);
        true
    }
}

/// Whether an octet may stand in a value without quotes.
fn is_plain(octet: u8) -> bool {
    octet > b' ' && octet != b'"' && octet != b',' && octet != 0x7f
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
    /// All of it, with its quotes if it has them.
    pub fn written(self) -> &'t str {
        self.0
    }

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

    /// A decimal integer from which can be counted on.
    pub fn sequence(self) -> Option<u64> {
        values::sequence(self.0)
    }

    /// A decimal number of seconds.
    pub fn duration(self) -> Option<Duration> {
        values::duration(self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(list: &str) -> Option<Vec<(&str, &str)>> {
        Attributes::of(list).map(|attribute| attribute.ok().map(|(name, value)| (name, value.0))).collect()
    }

    #[test]
    fn a_list_keeps_to_the_grammar_or_is_none() {
        let long = |count: usize| (0..count).map(|index| format!("A{index}=1")).collect::<Vec<_>>().join(",");
        assert_eq!(read("").unwrap(), []);
        assert_eq!(read("A=1").unwrap(), [("A", "1")]);
        assert_eq!(
            read("URI=\"a,b=c\",X-9=0xAB,R=1x2,E=\"\"").unwrap(),
            [("URI", "\"a,b=c\""), ("X-9", "0xAB"), ("R", "1x2"), ("E", "\"\"")]
        );
        assert_eq!(read("A=\"\u{fc}\",B=\u{fc}").unwrap(), [("A", "\"\u{fc}\""), ("B", "\u{fc}")]);
        assert_eq!(read(&long(MOST)).unwrap().len(), MOST);
        for list in [
            "A",
            "A=",
            "=1",
            "A=1,",
            ",A=1",
            "A=1,,B=2",
            "A=1, B=2",
            "A= 1",
            "A =1",
            "A=1 ",
            "a=1",
            "A=\"",
            "A=\"x",
            "A=\"x\"y",
            "A=x\"y\"",
            "A=\"x\ry\"",
            "A=1,A=1",
            "A=1,B=2,A=3",
            "A=\t",
            "\u{fc}=1",
            &long(MOST + 1),
        ] {
            assert_eq!(read(list), None, "{list}");
        }
    }

    #[test]
    fn a_list_ends_behind_its_first_error() {
        assert_eq!(Attributes::of("A=1,b=2,C=3").map(|attribute| attribute.is_ok()).collect::<Vec<_>>(), [true, false]);
    }

    proptest! {
        #[test]
        fn what_is_read_is_the_list(list in "([AB]{1,2}=(\"[a,= ]{0,3}\"|[a1]{0,2}),?){0,4}|\\PC{0,20}") {
            if let Some(attributes) = read(&list) {
                let written: Vec<_> = attributes.iter().map(|(name, value)| format!("{name}={value}")).collect();
                prop_assert_eq!(written.join(","), list);
            }
        }
    }
}
