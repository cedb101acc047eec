//! Common Media Client Data of both versions (CTA-5004, CTA-5004-B): with a request, in its fields or its query, and in
//! batches of events. What is wrong is dropped key by key, or field by field where it breaks the grammar of structured
//! fields; it is counted, and never a reason to refuse anything.

mod dictionary;
mod key;
mod value;

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode;

use self::dictionary::{Bare, Members, Unreadable};
use self::key::{EVENTS, Form, Key, Place};
use self::value::Source;
use super::fault::{Fault, Faults};
use super::read::Read;
use super::report::{Data, ObjectType};

pub use self::dictionary::{MOST_ITEMS, MOST_MEMBERS};

/// The query parameter; its case matters (CTA-5004-B §3.2).
pub const PARAMETER: &str = "CMCD";
/// The four request fields (CTA-5004-B §3.1).
pub const FIELDS: [HeaderName; 4] = [
    HeaderName::from_static("cmcd-request"),
    HeaderName::from_static("cmcd-object"),
    HeaderName::from_static("cmcd-status"),
    HeaderName::from_static("cmcd-session"),
];
/// The most octets of a record.
pub const LONGEST_RECORD: usize = 4 << 10;
/// The most records of a body.
pub const MOST_RECORDS: usize = 500;
/// The most octets of one of the fields.
const LONGEST_FIELD: usize = 4 << 10;
/// The most octets of the parameter, decoded.
const LONGEST_PARAMETER: usize = 8 << 10;
/// The most characters of a custom key's value.
pub const LONGEST_CUSTOM: usize = 64;

/// Which rules the keys of a report follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// How a report came, which says what may stand in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    WithRequest,
    InEvent,
    OfResponse,
}

/// What a request says; `None`: neither fields nor the parameter are there. Where there are fields, the parameter says
/// nothing (CTA-5004-B §6); of several parameters the first counts.
pub fn from_request(query: Option<&str>, headers: &HeaderMap) -> Option<Read> {
    if headers.keys().any(|name| name.as_str().starts_with("cmcd-")) {
        let fields = FIELDS.map(|name| field(headers, &name));
        if fields.iter().any(Option::is_some) {
            return Some(from_fields(&fields));
        }
    }
    parameter(query?).map(from_parameter)
}

/// The records of a body, each as it was sent (without blanks at its ends) with what it says, or why it is dropped.
pub fn from_batch(body: &[u8]) -> impl Iterator<Item = (&[u8], Result<Read, Fault>)> {
    let lines = body.split(|octet| *octet == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    lines.enumerate().map(|(index, line)| match index < MOST_RECORDS {
        true => (line, record(line)),
        false => (line, Err(Fault::TooMany)),
    })
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

fn from_fields(fields: &[Option<Cow<'_, [u8]>>; 4]) -> Read {
    let (mut members, mut faults) = (Members::default(), Faults::default());
    for text in fields.iter().flatten() {
        if text.len() > LONGEST_FIELD {
            faults.add(Fault::TooLarge);
            continue;
        }
        let mut more = members.clone();
        match more.read(text) {
            Ok(()) => members = more,
            Err(fault) => faults.add(fault.into()),
        }
    }
    of_request(&members, faults)
}

fn parameter(query: &str) -> Option<&str> {
    query.split('&').find_map(|parameter| {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        (name == PARAMETER || name.contains('%') && form_decoded(name) == PARAMETER.as_bytes()).then_some(value)
    })
}

fn from_parameter(value: &str) -> Read {
    let dropped = |fault: Fault| Read { faults: fault.into(), ..Read::default() };
    if value.len() > 3 * LONGEST_PARAMETER {
        return dropped(Fault::TooLarge);
    }
    let text = form_decoded(value);
    if text.len() > LONGEST_PARAMETER {
        return dropped(Fault::TooLarge);
    }
    let mut members = Members::default();
    match members.read(&text) {
        Ok(()) => of_request(&members, Faults::default()),
        Err(fault) => dropped(fault.into()),
    }
}

/// Players write parameters as forms do: a blank may be `+`.
fn form_decoded(text: &str) -> Cow<'_, [u8]> {
    if !text.contains('+') {
        return percent_decode(text.as_bytes()).into();
    }
    let blanks: Vec<u8> = text.bytes().map(|octet| if octet == b'+' { b' ' } else { octet }).collect();
    Cow::Owned(percent_decode(&blanks).collect())
}

fn of_request(members: &Members<'_>, mut faults: Faults) -> Read {
    let version = match version(members) {
        None => Ok(Version::One),
        Some(Ok(1)) => Ok(Version::One),
        Some(Ok(2)) => Ok(Version::Two),
        Some(Ok(0)) => Err(Fault::UnknownValue),
        Some(Ok(_)) => return Read { faults: Fault::Version.into(), ..Read::default() },
        Some(Err(fault)) => Err(fault),
    };
    let version = version.unwrap_or_else(|fault| {
        faults.add(fault);
        Version::One
    });
    Report { members, version, told: Told::WithRequest }.read(faults)
}

/// What `v` says.
fn version(members: &Members<'_>) -> Option<Result<u64, Fault>> {
    let value = members.find(Key::V)?;
    Some(match members.item(value) {
        Some(Bare::Integer(whole)) => u64::try_from(whole).map_err(|_| Fault::Negative),
        _ => Err(Fault::WrongType),
    })
}

/// One event (CTA-5004-B §5): of version 2, with what its kind needs.
fn record(line: &[u8]) -> Result<Read, Fault> {
    if line.len() > LONGEST_RECORD {
        return Err(Fault::TooLarge);
    }
    let mut members = Members::default();
    members.read(line)?;
    if version(&members) != Some(Ok(2)) {
        return Err(Fault::Version);
    }
    let event = members.find(Key::E).and_then(|value| members.item(value)).ok_or(Fault::MissingKey)?;
    let told = match event {
        Bare::Token("rr") => Told::OfResponse,
        Bare::Token(event) if EVENTS.contains(&event) => Told::InEvent,
        Bare::Token(_) => return Err(Fault::UnknownEvent),
        _ => return Err(Fault::MissingKey),
    };
    let read = Report { members: &members, version: Version::Two, told }.read(Faults::default());
    if is_whole(&read.data) { Ok(read) } else { Err(Fault::MissingKey) }
}

/// Whether an event says when it was, and what an event of its kind must say.
pub fn is_whole(data: &Data) -> bool {
    let has_its_own = match data.e.as_deref() {
        Some("ps") => data.sta.is_some(),
        Some("e") => !data.ec.is_empty(),
        Some("rr") => data.url.is_some(),
        Some("ce") => data.cen.is_some(),
        Some(_) => true,
        None => false,
    };
    has_its_own && data.ts.is_some()
}

/// Members that are read as one report.
struct Report<'m, 't> {
    members: &'m Members<'t>,
    version: Version,
    told: Told,
}

impl Report<'_, '_> {
    fn read(&self, faults: Faults) -> Read {
        let mut read = Read { faults, ..Read::default() };
        for (key, name, value) in self.members.iter() {
            let source = Source { members: self.members, value };
            let taken = match key {
                Some(Key::V) => {
                    read.data.v = version(self.members).and_then(Result::ok).filter(|version| *version > 0);
                    Ok(())
                }
                Some(key) => self.take(key, &source, &mut read),
                None => custom(name, &source, &mut read),
            };
            if let Err(fault) = taken {
                read.faults.add(fault);
            }
        }
        settle(&mut read.data, &mut read.faults);
        read
    }

    fn take(&self, key: Key, source: &Source<'_, '_>, read: &mut Read) -> Result<(), Fault> {
        let (one, two, place) = key.rule();
        let form = match self.version {
            Version::One => one,
            Version::Two => two,
        };
        let form = form.ok_or(Fault::UnknownKey)?;
        let is_in_place = match place {
            Place::Anywhere => true,
            Place::Event => self.told != Told::WithRequest,
            Place::Response => self.told == Told::OfResponse,
        };
        if !is_in_place {
            return Err(Fault::Misplaced);
        }
        match key {
            Key::Sid => read.sid = Some(name_of_session(source, form)?),
            _ => key.set(&mut read.data, source, form)?,
        }
        Ok(())
    }
}

fn name_of_session(source: &Source<'_, '_>, form: Form) -> Result<Box<str>, Fault> {
    let text = source.text()?;
    match form {
        Form::Text(most) if text.len() > most => Err(Fault::TooLong),
        _ if text.is_empty() => Err(Fault::UnknownValue),
        _ => Ok(text.into()),
    }
}

/// A key with a hyphen within is somebody's own: a text or a token (CTA-5004-B §4.1.5).
fn custom(name: &str, source: &Source<'_, '_>, read: &mut Read) -> Result<(), Fault> {
    if !is_custom(name) {
        return Err(Fault::UnknownKey);
    }
    let value = match source.members.item(source.value) {
        Some(Bare::Text(text)) => dictionary::unescaped(text),
        Some(Bare::Token(token)) => Cow::Borrowed(token),
        _ => return Err(Fault::WrongType),
    };
    if value.len() > LONGEST_CUSTOM {
        return Err(Fault::TooLong);
    }
    read.custom.push((name.into(), value.into()));
    Ok(())
}

/// Whether a key is somebody's own: a prefix, a hyphen, a name.
pub fn is_custom(name: &str) -> bool {
    name.split_once('-').is_some_and(|(prefix, rest)| !prefix.is_empty() && !rest.is_empty() && !rest.ends_with('-'))
}

/// What one key says of another: of two that contradict each other the weaker is dropped, and what does not belong to
/// this object or event.
pub fn settle(data: &mut Data, faults: &mut Faults) {
    let mut drop_list = |is_wrong: bool, list: &mut Vec<_>, fault| {
        if is_wrong && !list.is_empty() {
            list.clear();
            faults.add(fault);
        }
    };
    drop_list(!data.br.is_empty(), &mut data.ab, Fault::Impossible);
    drop_list(!data.lb.is_empty(), &mut data.lab, Fault::Impossible);
    drop_list(!data.tb.is_empty(), &mut data.tab, Fault::Impossible);
    let is_played = !matches!(data.ot, Some(ObjectType::Manifest | ObjectType::Init | ObjectType::Key));
    let is_seen = is_played && !matches!(data.ot, Some(ObjectType::TimedText | ObjectType::Other));
    drop_list(!is_seen, &mut data.tpb, Fault::Misplaced);
    if !is_played && data.v == Some(2) && data.d.take().is_some() {
        faults.add(Fault::Misplaced);
    }
    if data.e.as_deref() != Some("ce") && data.cen.take().is_some() {
        faults.add(Fault::Misplaced);
    }
    settle_times(data, faults);
}

/// A first octet after the last one tells nothing of either.
fn settle_times(data: &mut Data, faults: &mut Faults) {
    let is_after = |earlier: Option<u64>, later: Option<u64>| earlier.zip(later).is_some_and(|(a, b)| a > b);
    if is_after(data.ttfb, data.ttlb) {
        (data.ttfb, data.ttlb) = (None, None);
        faults.add(Fault::Impossible);
        faults.add(Fault::Impossible);
    }
    if is_after(data.ttfb, data.ttfbb) || is_after(data.ttfbb, data.ttlb) {
        data.ttfbb = None;
        faults.add(Fault::Impossible);
    }
}

impl From<Unreadable> for Fault {
    fn from(fault: Unreadable) -> Self {
        match fault {
            Unreadable::Grammar => Self::Malformed,
            Unreadable::TooMany => Self::TooLarge,
        }
    }
}

#[cfg(test)]
mod tests;
