//! CMCD that comes with a request: in its fields, else in its query (CTA-5004-B §3.1, §3.2, §6).

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode;
use smallvec::SmallVec;

use super::dictionary::Members;
use super::key::Shard;
use super::{FIELDS, PARAMETER, PREFIX, of_request};
use crate::rules::qoe::fault::{Fault, Faults};
use crate::rules::qoe::read::Read;

/// The most octets of one of the fields.
pub(super) const LONGEST_FIELD: usize = 4 << 10;
/// The most octets of the parameter, decoded.
pub(super) const LONGEST_PARAMETER: usize = 8 << 10;
/// Longer ones than this are decoded on the heap.
const ON_STACK: usize = 512;

/// What belongs in each of the fields, in their order.
const SHARDS: [Shard; 4] = [Shard::Request, Shard::Object, Shard::Status, Shard::Session];

/// What a request says; `None`: neither fields nor the parameter are there, where an empty field is none (RFC 9651 §3.2).
/// Where there are fields, the parameter says nothing (CTA-5004-B §6); of several parameters the first counts.
pub fn from_request(query: Option<&str>, headers: &HeaderMap) -> Option<Read> {
    let parameter = query.and_then(parameter);
    if headers.keys().any(|name| name.as_str().starts_with(PREFIX)) {
        let fields = FIELDS.map(|name| field(headers, &name));
        if fields.iter().flatten().any(|text| !text.is_empty()) {
            let is_beside = parameter.is_some_and(|value| !value.is_empty());
            let faults = if is_beside { Fault::Misplaced.into() } else { Faults::default() };
            return Some(from_fields(&fields, faults));
        }
    }
    parameter.map(from_parameter)
}

/// All lines of a field as one; empty ones add nothing.
fn field<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<Cow<'h, [u8]>> {
    let mut lines = headers.get_all(name).iter();
    let mut text = Cow::Borrowed(lines.next()?.as_bytes());
    for line in lines.map(HeaderValue::as_bytes).filter(|line| !line.is_empty()) {
        text = match text.len() {
            0 => Cow::Borrowed(line),
            1..=LONGEST_FIELD => Cow::Owned([&text, &b", "[..], line].concat()),
            _ => break,
        };
    }
    Some(text)
}

fn from_fields(fields: &[Option<Cow<'_, [u8]>>; 4], mut faults: Faults) -> Read {
    let mut members = Members::default();
    let mut sound: SmallVec<[(&[u8], Shard); 4]> = SmallVec::new();
    for (text, shard) in fields.iter().zip(SHARDS) {
        let Some(text) = text.as_deref() else { continue };
        if text.len() > LONGEST_FIELD {
            faults.add(Fault::TooLarge);
            continue;
        }
        match members.read(text, Some(shard)) {
            Ok(()) => sound.push((text, shard)),
            Err(fault) => {
                faults.add(fault.into());
                members = anew(&sound);
            }
        }
    }
    of_request(&members, faults)
}

/// What fields say that were read well before.
fn anew<'t>(sound: &[(&'t [u8], Shard)]) -> Members<'t> {
    let mut members = Members::default();
    for (text, shard) in sound {
        members.read(text, Some(*shard)).expect("it was read before, after the same others");
    }
    members
}

fn parameter(query: &str) -> Option<&str> {
    query.split('&').find_map(|parameter| {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        (name == PARAMETER || name.contains('%') && *form_decoded(name) == *PARAMETER.as_bytes()).then_some(value)
    })
}

fn from_parameter(value: &str) -> Read {
    let dropped = |fault: Fault| Read { faults: fault.into(), ..Read::default() };
    if value.is_empty() {
        // A dictionary without members is not written at all (RFC 9651 §3.2).
        return dropped(Fault::Irregular);
    }
    if value.len() > 3 * LONGEST_PARAMETER {
        return dropped(Fault::TooLarge);
    }
    let text = form_decoded(value);
    if text.len() > LONGEST_PARAMETER {
        return dropped(Fault::TooLarge);
    }
    let mut members = Members::default();
    match members.read(&text, None) {
        Ok(()) => of_request(&members, Faults::default()),
        Err(fault) => dropped(fault.into()),
    }
}

/// Players write parameters as forms do: a blank may be `+`.
fn form_decoded(text: &str) -> SmallVec<[u8; ON_STACK]> {
    let octets = text.as_bytes();
    let mut plain = SmallVec::from_elem(0, octets.len());
    let (mut from, mut to) = (0, 0);
    for place in &mut plain {
        let Some(octet) = octets.get(from) else { break };
        let escaped = if *octet == b'%' { escaped(&octets[from..]) } else { None };
        *place = escaped.unwrap_or(if *octet == b'+' { b' ' } else { *octet });
        from += if escaped.is_some() { 3 } else { 1 };
        to += 1;
    }
    plain.truncate(to);
    plain
}

/// What the escape stands for with which a text begins.
fn escaped(text: &[u8]) -> Option<u8> {
    let escape = text.first_chunk::<3>()?;
    let is_one = escape[1..].iter().all(u8::is_ascii_hexdigit);
    percent_decode(escape).next().filter(|_| is_one)
}
