//! Strict JSON for what others sign: one reading, or none.
//!
//! A member name that occurs twice in an object, at any depth, refuses the text: readers differ in which one they take
//! (RFC 7519 §4, RFC 8725 §2.4). So do octets that are not UTF-8, a byte order mark, anything behind the end, and more
//! depth or values than a token has. Texts are borrowed where no escape stands in them.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer;
use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};

/// The deepest nesting; an object by itself has depth 1.
pub const DEEPEST: u8 = 8;
/// The most values of a text, in all objects and lists together.
pub const MOST_VALUES: u16 = 1_024;
/// The greatest whole number that every reader of JSON reads alike, and a moment after which nothing is dated: 2^53.
pub const GREATEST: u64 = 1 << 53;

/// Why a text is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum BadJson {
    /// Octets that are no characters.
    #[error("not UTF-8")]
    NotUtf8,
    /// U+FEFF at the beginning.
    #[error("a byte order mark")]
    ByteOrderMark,
    /// Not JSON (RFC 8259), a number that no reader can hold, or something behind the end.
    #[error("not JSON")]
    Syntax,
    /// JSON, but not an object.
    #[error("not an object")]
    NotAnObject,
    /// The same member name twice in one object.
    #[error("a member name twice")]
    Duplicate,
    /// Nested deeper than [`DEEPEST`].
    #[error("nested deeper than 8")]
    Deep,
    /// More values than [`MOST_VALUES`].
    #[error("more than 1024 values")]
    Many,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A whole number that is not negative.
    Whole(u64),
    /// Any other number; finite.
    Number(f64),
    /// A text.
    Text(Cow<'a, str>),
    /// An array.
    List(Vec<Value<'a>>),
    /// An object.
    Object(Object<'a>),
}

/// An object: its members, sorted by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object<'a>(Vec<(Cow<'a, str>, Value<'a>)>);

impl<'a> Object<'a> {
    /// Reads an object, and nothing else.
    pub fn read(octets: &'a [u8]) -> Result<Self, BadJson> {
        Self::read_within(octets, MOST_VALUES)
    }

    /// Reads a set of keys, which has more values than a token.
    pub(super) fn read_many(octets: &'a [u8]) -> Result<Self, BadJson> {
        Self::read_within(octets, 8 * MOST_VALUES)
    }

    fn read_within(octets: &'a [u8], most: u16) -> Result<Self, BadJson> {
        let text = std::str::from_utf8(octets).map_err(|_| BadJson::NotUtf8)?;
        if text.starts_with('\u{feff}') {
            return Err(BadJson::ByteOrderMark);
        }
        let mut limits = Limits { left: most, fault: None };
        let mut reader = serde_json::Deserializer::from_str(text);
        let read = Nested { limits: &mut limits, depth: 0 }.deserialize(&mut reader);
        let read = read.and_then(|value| reader.end().map(|()| value));
        match read {
            Ok(Value::Object(object)) => Ok(object),
            Ok(_) => Err(BadJson::NotAnObject),
            Err(_) => Err(limits.fault.unwrap_or(BadJson::Syntax)),
        }
    }

    /// The member of this name.
    pub fn member(&self, name: &str) -> Option<&Value<'a>> {
        let at = self.0.binary_search_by(|(other, _)| (**other).cmp(name)).ok()?;
        Some(&self.0[at].1)
    }

    /// All members, sorted by name.
    pub fn members(&self) -> impl Iterator<Item = (&str, &Value<'a>)> {
        self.0.iter().map(|(name, value)| (&**name, value))
    }
}

/// Which way a fraction of a second goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// To the second before.
    Down,
    /// To the second after.
    Up,
}

impl Value<'_> {
    /// The text.
    pub fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// A moment in seconds since the epoch (RFC 7519 §2, NumericDate), perhaps with a fraction; at most [`GREATEST`].
    pub fn date(&self, rounding: Rounding) -> Option<u64> {
        match *self {
            Self::Whole(seconds) if seconds <= GREATEST => Some(seconds),
            Self::Number(seconds) if seconds.is_sign_positive() && seconds <= GREATEST as f64 => Some(match rounding {
                Rounding::Down => seconds.floor() as u64,
                Rounding::Up => seconds.ceil() as u64,
            }),
            _ => None,
        }
    }

    /// A whole number; `3.0` is one.
    pub fn whole(&self) -> Option<u64> {
        match *self {
            Self::Whole(number) => Some(number),
            Self::Number(number) if number.fract() == 0.0 => self.date(Rounding::Down),
            _ => None,
        }
    }
}

/// What is left of the bounds, and the first one that was broken: the library's errors cannot carry ours.
struct Limits {
    left: u16,
    fault: Option<BadJson>,
}

impl Limits {
    fn broken<E: de::Error>(&mut self, fault: BadJson) -> E {
        self.fault.get_or_insert(fault);
        E::custom(fault)
    }
}

struct Nested<'l> {
    limits: &'l mut Limits,
    depth: u8,
}

impl Nested<'_> {
    fn below<E: de::Error>(&mut self) -> Result<Nested<'_>, E> {
        if self.depth == DEEPEST {
            return Err(self.limits.broken(BadJson::Deep));
        }
        Ok(Nested { limits: self.limits, depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Nested<'_> {
    type Value = Value<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value<'de>, D::Error> {
        match self.limits.left.checked_sub(1) {
            Some(left) => self.limits.left = left,
            None => return Err(self.limits.broken(BadJson::Many)),
        }
        deserializer.deserialize_any(self)
    }
}

/// A member's name: read like a value, so that one without escapes is borrowed.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

impl<'de> Visitor<'de> for Nested<'_> {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value<'de>, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value<'de>, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value<'de>, E> {
        Ok(Value::Whole(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value<'de>, E> {
        Ok(u64::try_from(value).map_or(Value::Number(value as f64), Value::Whole))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value<'de>, E> {
        match value.is_finite() {
            true => Ok(Value::Number(value)),
            false => Err(self.limits.broken(BadJson::Syntax)),
        }
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Value<'de>, A::Error> {
        let mut values = Vec::new();
        loop {
            match list.next_element_seed(self.below()?)? {
                Some(value) => values.push(value),
                None => return Ok(Value::List(values)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Value<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some(name) = map.next_key_seed(Name)? {
            members.push((name, map.next_value_seed(self.below()?)?));
        }
        members.sort_by(|(one, _), (other, _): &(Cow<'_, str>, _)| one.cmp(other));
        if members.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(self.limits.broken(BadJson::Duplicate));
        }
        Ok(Value::Object(Object(members)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fault(text: &str) -> BadJson {
        Object::read(text.as_bytes()).expect_err(text)
    }

    #[test]
    fn a_name_may_occur_once_in_an_object_however_it_is_written() {
        for text in [
            r#"{"exp":1,"exp":1}"#,
            r#"{"exp":1,"a":2,"\u0065xp":3}"#,
            r#"{"a":{"b":1,"b":2}}"#,
            r#"{"a":[[{"b":1,"c":0,"b":2}]]}"#,
            r#"{"":1,"":2}"#,
        ] {
            assert_eq!(fault(text), BadJson::Duplicate, "{text}");
        }
        assert!(Object::read(br#"{"a":{"a":{"a":1}},"A":2,"a ":3}"#).is_ok());
    }

    #[test]
    fn what_has_more_than_one_reading_has_none() {
        for text in [
            "",
            "{",
            "{}x",
            "{} {}",
            "{'a':1}",
            r#"{"a":1,}"#,
            r#"{"a":NaN}"#,
            r#"{"a":Infinity}"#,
            r#"{"a":-Infinity}"#,
            r#"{"a":1e400}"#,
            r#"{"a":-1e400}"#,
            r#"{"a":01}"#,
            r#"{"a":+1}"#,
            r#"{"a":.5}"#,
            r#"{"a":0x10}"#,
            r#"{"a":"\ud800"}"#,
            r#"{"a":"\x41"}"#,
            "{\"a\":\"\n\"}",
            "{\"a\":1}\0",
            "/**/{}",
            r#"{a:1}"#,
        ] {
            assert_eq!(fault(text), BadJson::Syntax, "{text}");
        }
        for text in ["[]", "1", "null", r#""eyJ""#, "true", r#"[{"a":1}]"#] {
            assert_eq!(fault(text), BadJson::NotAnObject, "{text}");
        }
        assert_eq!(fault("\u{feff}{}"), BadJson::ByteOrderMark);
        assert_eq!(Object::read(b"{\"a\":\"\xc0\xaf\"}"), Err(BadJson::NotUtf8));
        assert_eq!(Object::read(b"\xff\xfe{\0}\0"), Err(BadJson::NotUtf8));
        assert!(Object::read(b" \t\r\n{ \"a\" : [ ] }\n").is_ok());
    }

    #[test]
    fn depth_and_values_are_bounded() {
        let nested = |depth: usize| format!("{}{}", r#"{"a":"#.repeat(depth), "1") + &"}".repeat(depth);
        assert!(Object::read(nested(8).as_bytes()).is_ok());
        assert_eq!(fault(&nested(9)), BadJson::Deep);
        assert_eq!(fault(&format!(r#"{{"a":{}"#, "[".repeat(100_000))), BadJson::Deep);
        let list = |length: usize| format!(r#"{{"a":[{}0]}}"#, "0,".repeat(length - 1));
        assert!(Object::read(list(1_022).as_bytes()).is_ok());
        assert_eq!(fault(&list(1_023)), BadJson::Many);
    }

    #[test]
    fn dates_are_numbers_of_seconds_that_everybody_reads_alike() {
        let date = |text: &str, rounding| {
            let text = format!(r#"{{"d":{text}}}"#);
            Object::read(text.as_bytes()).expect("JSON").member("d").expect("a member").date(rounding)
        };
        for (text, down, up) in [
            ("0", 0, 0),
            ("1720000000", 1_720_000_000, 1_720_000_000),
            ("1720000000.9", 1_720_000_000, 1_720_000_001),
            ("1720000000.0", 1_720_000_000, 1_720_000_000),
            ("1.72e9", 1_720_000_000, 1_720_000_000),
            ("9007199254740992", GREATEST, GREATEST),
        ] {
            assert_eq!((date(text, Rounding::Down), date(text, Rounding::Up)), (Some(down), Some(up)), "{text}");
        }
        for text in [
            "9007199254740993",
            "18446744073709551615",
            "18446744073709551616",
            "1e300",
            "-1",
            "-0.5",
            "-0.0",
            "null",
            "true",
            r#""1720000000""#,
            "[1720000000]",
            "{}",
        ] {
            assert_eq!(date(text, Rounding::Down), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_another_reader_reads(text in r#"\{("[ab]":([0-9]{1,3}|-?[0-9]\.[0-9]|"[xé]*"|null|true|\[\]),?){0,3}\}"#) {
            let ours = Object::read(text.as_bytes());
            let theirs = serde_json::from_str::<serde_json::Value>(&text);
            match (&ours, &theirs) {
                (Ok(object), Ok(serde_json::Value::Object(other))) => {
                    prop_assert!(object.members().map(|(name, _)| name).eq(other.keys().map(String::as_str)));
                }
                (Err(BadJson::Duplicate), Ok(_)) | (Err(BadJson::Syntax), Err(_)) => {}
                _ => prop_assert!(false, "{ours:?} {theirs:?}"),
            }
        }
    }
}
