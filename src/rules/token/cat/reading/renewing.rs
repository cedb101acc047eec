//! How a token is renewed (`catr`).

use http::HeaderName;

use crate::rules::token::cbor::{Key, Value};
use crate::rules::token::renewal::{Carried, Deadline, Renewal, Said};
use crate::rules::token::terms::{CatrDeadline, FormatTerms};

use super::{LONGEST_LIST, LONGEST_NAME, Read, date, malformed};
use crate::rules::token::json::Rounding;

/// The longest life of a renewed token, in seconds: a year.
const LONGEST_LIFE: i128 = 366 * 24 * 3_600;

/// Keys of the map.
const TYPE: i128 = 0;
const EXPADD: i128 = 1;
const DEADLINE: i128 = 2;
const COOKIE_NAME: i128 = 3;
const HEADER_NAME: i128 = 4;
const COOKIE_PARAMS: i128 = 5;
const HEADER_PARAMS: i128 = 6;
const STATUS: i128 = 7;

/// How a token is renewed; `payload` is what a new one says again. A key that is not known changes how, which nobody here
/// would know: it refuses the token.
pub(super) fn renewal(value: &Value<'_>, payload: &[u8], terms: &FormatTerms) -> Read<Renewal> {
    let map = value.map().ok_or(malformed("catr is a map"))?;
    if map.entries().iter().any(|(key, _)| !matches!(key, Key::Whole(TYPE..=STATUS))) {
        return Err(malformed("catr has a key that is not known: they are 0 to 7"));
    }
    let life = map.at(EXPADD).and_then(Value::whole).filter(|life| (1..=LONGEST_LIFE).contains(life));
    let life = life.ok_or(malformed("catr: expadd is a whole number of seconds, at most a year"))? as u64;
    let named = |key, detail| map.at(key).map(|value| token(value).ok_or(malformed(detail))).transpose();
    let listed = |key, detail| map.at(key).map_or(Some(Vec::new()), parameters).ok_or(malformed(detail));
    let carried = match map.at(TYPE).and_then(Value::whole) {
        Some(0) => Carried::Alike,
        Some(1) => Carried::Cookie {
            name: named(COOKIE_NAME, "catr: a cookie's name is a token of HTTP")?,
            attributes: listed(COOKIE_PARAMS, "catr: a cookie's attributes are a list of texts without ; and ,")?,
        },
        Some(2) => Carried::Field {
            name: named(HEADER_NAME, "catr: a field's name is a token of HTTP")?,
            parameters: listed(HEADER_PARAMS, "catr: a field's parameters are a list of texts without ; and ,")?,
        },
        Some(3) => Carried::Redirect { status: status(map.at(STATUS))? },
        _ => return Err(malformed("catr: the type is 0 (automatic), 1 (cookie), 2 (header) or 3 (redirect)")),
    };
    let deadline = deadline(map.at(DEADLINE), terms.catr_deadline)?;
    Ok(Renewal { life, deadline, carried, said: Said::Cbor(payload.into()) })
}

fn deadline(value: Option<&Value<'_>>, reading: Option<CatrDeadline>) -> Read<Deadline> {
    let Some(value) = value else { return Ok(Deadline::None) };
    let number = date(value, Rounding::Down).ok_or(malformed("catr: the deadline is a number of seconds"))?;
    Ok(match reading {
        None => Deadline::Unread,
        Some(CatrDeadline::Absolute) => Deadline::At(number),
        Some(CatrDeadline::BeforeExpiry) => Deadline::BeforeExpiry(number),
    })
}

fn status(value: Option<&Value<'_>>) -> Read<u16> {
    const FOUND: i128 = 302;
    match value.map_or(Some(FOUND), Value::whole) {
        Some(status @ (301 | 302 | 303 | 307 | 308)) => Ok(status as u16),
        _ => Err(malformed("catr: the status is 301, 302, 303, 307 or 308")),
    }
}

/// A name of a cookie or a field: a token (RFC 9110 §5.6.2), which is what names of fields are.
fn token(value: &Value<'_>) -> Option<Box<str>> {
    let text = value.text().filter(|text| text.len() <= LONGEST_NAME)?;
    HeaderName::from_bytes(text.as_bytes()).is_ok().then(|| text.into())
}

/// Texts that end neither their parameter nor the field.
fn parameters(value: &Value<'_>) -> Option<Vec<Box<str>>> {
    let is_parameter = |text: &&str| {
        let is_safe = |octet: u8| (0x20..=0x7e).contains(&octet) && !matches!(octet, b';' | b',');
        !text.is_empty() && text.len() <= LONGEST_NAME && text.bytes().all(is_safe)
    };
    let list = value.list().filter(|list| list.len() <= LONGEST_LIST)?;
    list.iter().map(|value| value.text().filter(is_parameter).map(Into::into)).collect()
}
