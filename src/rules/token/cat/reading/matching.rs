//! What components of the URI (`catu`) and fields of the request (`cath`) must be like: maps of a match type to what it is
//! compared with. Where there are several for one, all hold.

use http::HeaderName;

use crate::rules::token::cat::field::FieldMatch;
use crate::rules::token::cat::uri::{Component, UriMatch};
use crate::rules::token::cbor::{Key, Map, Value};
use crate::rules::token::pattern::Pattern;
use crate::rules::token::text_match::{LONGEST, MOST_GROUPS, TextMatch};

use super::{Read, malformed, unknown};

/// What the URI must be like.
pub(super) fn uri(value: &Value<'_>) -> Read<Vec<UriMatch>> {
    let bad = malformed("catu is a map of components of the URI to what they must be like, at most 32 in all");
    let mut all = Vec::new();
    for (key, value) in filled(value).ok_or(bad)?.entries() {
        let Key::Whole(label) = key else { return Err(bad) };
        let component = Component::of_label(*label).ok_or(unknown("catu names a component that is not known here"))?;
        all.extend(matches(value)?.into_iter().map(|expected| UriMatch::new(component, expected)));
    }
    if all.len() <= UriMatch::MOST { Ok(all) } else { Err(bad) }
}

/// What fields must be like.
pub(super) fn fields(value: &Value<'_>) -> Read<Vec<FieldMatch>> {
    let bad = malformed("cath is a map of names of fields to what they must be like, at most 32 in all");
    let mut all = Vec::new();
    for (key, value) in filled(value).ok_or(bad)?.entries() {
        let Key::Text(name) = key else { return Err(bad) };
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad)?;
        all.extend(matches(value)?.into_iter().map(|expected| FieldMatch::new(name.clone(), expected)));
    }
    if all.len() <= FieldMatch::MOST { Ok(all) } else { Err(bad) }
}

/// A map with entries: one without would restrict nothing, though its claim is there to restrict.
fn filled<'v, 'a>(value: &'v Value<'a>) -> Option<&'v Map<'a>> {
    value.map().filter(|map| !map.is_empty())
}

fn matches(value: &Value<'_>) -> Read<Vec<TextMatch>> {
    let bad = malformed("what must match is a map of match types to texts, patterns or hashes");
    let matches = filled(value).ok_or(bad)?.entries().iter();
    matches
        .map(|(key, value)| match key {
            Key::Whole(kind) => text_match(*kind, value),
            Key::Text(_) => Err(bad),
        })
        .collect()
}

fn text_match(kind: i128, value: &Value<'_>) -> Read<TextMatch> {
    let bad = malformed("what is compared is a text of at most 1024 octets");
    let text = || value.text().filter(|text| text.len() <= LONGEST).map(Into::into).ok_or(bad);
    let hash = || hash(value).ok_or(malformed("a hash to compare with is 32 octets, or the same in hex"));
    Ok(match kind {
        0 => TextMatch::Exact(text()?),
        1 => TextMatch::Prefix(text()?),
        2 => TextMatch::Suffix(text()?),
        3 => TextMatch::Contains(text()?),
        4 => pattern(value)
            .ok_or(malformed("a pattern is one of POSIX, at most 1024 octets, perhaps with its groups"))?,
        -1 => TextMatch::Sha256(hash()?),
        -2 => TextMatch::Sha512Of256(hash()?),
        _ => return Err(unknown("a match type is not known here")),
    })
}

/// `[pattern, group, …]`: groups are texts, or null where they may be anything.
fn pattern(value: &Value<'_>) -> Option<TextMatch> {
    let (pattern, groups) = match value {
        Value::Text(text) => (&**text, &[][..]),
        _ => {
            let (pattern, groups) = value.list()?.split_first()?;
            (pattern.text()?, groups)
        }
    };
    let group = |value: &Value<'_>| match value {
        Value::Null => Some(None),
        Value::Text(text) if text.len() <= LONGEST => Some(Some((&**text).into())),
        _ => None,
    };
    let groups = groups.iter().map(group).collect::<Option<Vec<_>>>().filter(|groups| groups.len() <= MOST_GROUPS)?;
    Some(TextMatch::Pattern(Pattern::read(pattern)?, groups))
}

fn hash(value: &Value<'_>) -> Option<[u8; 32]> {
    let from_hex = |text: &str| -> Option<[u8; 32]> {
        let digit = |octet: &u8| char::from(*octet).to_digit(16).map(|digit| digit as u8);
        let pairs = text.as_bytes().chunks(2).map(|pair| Some(digit(&pair[0])? << 4 | digit(pair.get(1)?)?));
        pairs.collect::<Option<Vec<_>>>()?.try_into().ok()
    };
    match value {
        Value::Octets(octets) => octets[..].try_into().ok(),
        Value::Text(text) if text.len() == 64 => from_hex(text),
        _ => None,
    }
}
