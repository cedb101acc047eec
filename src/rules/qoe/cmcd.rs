//! Common Media Client Data of both versions (CTA-5004, CTA-5004-B): with a request, in its fields or its query, and in
//! batches of events. What is wrong is dropped key by key, or field by field where it breaks the grammar of structured
//! fields; it is counted, and never a reason to refuse anything.

mod dictionary;
mod key;
mod request;
mod value;

use std::borrow::Cow;

use http::HeaderName;

use self::dictionary::{Bare, Member, Members, Unreadable, Value};
use self::key::{EVENTS, Form, Place};
use self::value::Source;
use super::fault::{Fault, Faults};
use super::path::plain;
use super::read::Read;
use super::report::{Data, Numbers, ObjectType};

pub use self::dictionary::{MOST_ITEMS, MOST_MEMBERS};
pub(super) use self::key::{FASTEST, Key, OPENING};
pub use self::request::from_request;
pub(super) use self::value::is_longer;

/// The query parameter; its case matters (CTA-5004-B §3.2).
pub const PARAMETER: &str = "CMCD";
/// The four request fields (CTA-5004-B §3.1).
pub const FIELDS: [HeaderName; 4] = [
    HeaderName::from_static("cmcd-request"),
    HeaderName::from_static("cmcd-object"),
    HeaderName::from_static("cmcd-status"),
    HeaderName::from_static("cmcd-session"),
];
/// What the names of all fields of players begin with; those that the standard does not know say nothing.
const PREFIX: &str = "cmcd-";
/// The most octets of a record.
pub const LONGEST_RECORD: usize = 4 << 10;
/// The most records of a body.
pub const MOST_RECORDS: usize = 500;
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

/// Whether a field is one by which players tell of themselves, in whatever case its name is.
pub fn is_field(name: &[u8]) -> bool {
    name.get(..PREFIX.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(PREFIX.as_bytes()))
}

/// The records of a body, each as it was sent (without blanks at its ends) with what it says, or why it is dropped.
pub fn from_batch(body: &[u8]) -> impl Iterator<Item = (&[u8], Result<Read, Fault>)> {
    let lines = body.split(|octet| *octet == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    lines.enumerate().map(|(index, line)| match index < MOST_RECORDS {
        true => (line, record(line)),
        false => (line, Err(Fault::TooMany)),
    })
}

/// What a request says, with what was wrong before.
fn of_request(members: &Members<'_>, mut faults: Faults) -> Read {
    faults.add_all(Fault::Misplaced, members.misplaced());
    let version = match version(members) {
        None => Ok(Version::One),
        Some(Ok(1)) => Ok(Version::One),
        Some(Ok(2)) => Ok(Version::Two),
        Some(Ok(0)) => Err(Fault::UnknownValue),
        Some(Ok(_)) => {
            faults.add(Fault::Version);
            return Read { faults, ..Read::default() };
        }
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
    Some(value.item().ok_or(Fault::WrongType).and_then(|value| value::whole(value, Key::V.most())))
}

/// One event (CTA-5004-B §5): of version 2, with what its kind needs.
fn record(line: &[u8]) -> Result<Read, Fault> {
    if line.len() > LONGEST_RECORD {
        return Err(Fault::TooLarge);
    }
    let mut members = Members::default();
    members.read(line, None)?;
    if version(&members) != Some(Ok(2)) {
        return Err(Fault::Version);
    }
    let event = members.find(Key::E).and_then(Value::item).ok_or(Fault::MissingKey)?;
    let told = match event {
        Bare::Token("rr") => Told::OfResponse,
        Bare::Token(event) if EVENTS.contains(&event) => Told::InEvent,
        Bare::Token(_) => return Err(Fault::UnknownEvent),
        _ => return Err(Fault::MissingKey),
    };
    let mut read = Report { members: &members, version: Version::Two, told }.read(Faults::default());
    if !is_whole(&read.data) {
        return Err(Fault::MissingKey);
    }
    if !tells_its_change(&read.data) {
        read.faults.add(Fault::Irregular);
    }
    Ok(read)
}

/// Whether an event of a change says what it changed to. That something changed is worth knowing without it.
fn tells_its_change(data: &Data) -> bool {
    match data.e.as_deref() {
        Some("b") => data.bg.is_some(),
        Some("bc") => !data.br.is_empty(),
        Some("c") => data.cid.is_some(),
        Some("pr") => data.pr.is_some(),
        _ => true,
    }
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

impl<'t> Report<'_, 't> {
    fn read(&self, faults: Faults) -> Read {
        let mut read = Read { faults, ..Read::default() };
        for member in self.members.iter() {
            if let Err(fault) = self.take(member, &mut read) {
                read.faults.add(fault);
            }
        }
        if self.members.has_letters() {
            read.faults.add(Fault::Irregular);
        }
        settle(&mut read.data, &mut read.faults);
        read
    }

    fn take(&self, member: &Member<'t>, read: &mut Read) -> Result<(), Fault> {
        let source = Source { members: self.members, value: member.value };
        let Some(key) = member.key else { return custom(member, &source, read) };
        let rule = key.rule();
        let form = match self.version {
            Version::One => rule.one,
            Version::Two => rule.two,
        };
        let form = form.ok_or(Fault::UnknownKey)?;
        let is_in_place = match rule.place {
            Place::Anywhere => true,
            Place::Event => self.told != Told::WithRequest,
            Place::Response => self.told == Told::OfResponse,
        };
        if !is_in_place {
            return Err(Fault::Misplaced);
        }
        if member.is_qualified && !matches!(form, Form::Word(_)) {
            read.faults.add(Fault::Irregular);
        }
        match key {
            Key::Sid => read.sid = Some(name_of_session(&source, form)?),
            // What is wrong with it was said when all was read by it.
            Key::V => read.data.v = version(self.members).and_then(Result::ok).filter(|version| *version > 0),
            _ => key.set(&mut read.data, &source, form)?,
        }
        Ok(())
    }
}

fn name_of_session(source: &Source<'_, '_>, form: Form) -> Result<Box<str>, Fault> {
    let text = source.text()?;
    match form {
        Form::Text(most) if is_longer(&text, most) => Err(Fault::TooLong),
        _ if text.is_empty() => Err(Fault::UnknownValue),
        _ => Ok(text.into()),
    }
}

/// A key with a hyphen within is somebody's own: a text or a token (CTA-5004-B §4.1.5).
fn custom(member: &Member<'_>, source: &Source<'_, '_>, read: &mut Read) -> Result<(), Fault> {
    if !is_custom(member.name) {
        return Err(Fault::UnknownKey);
    }
    let value = match source.value.item() {
        Some(Bare::Text(text)) => dictionary::unescaped(text),
        Some(Bare::Token(token)) => Cow::Borrowed(token),
        _ => return Err(Fault::WrongType),
    };
    if is_longer(&value, LONGEST_CUSTOM) {
        return Err(Fault::TooLong);
    }
    if member.is_qualified || !is_regular(member.name) {
        read.faults.add(Fault::Irregular);
    }
    read.custom.push((member.name.into(), plain(value).into()));
    Ok(())
}

/// Whether a key is somebody's own: a prefix, a hyphen, a name.
pub fn is_custom(name: &str) -> bool {
    name.split_once('-').is_some_and(|(prefix, rest)| !prefix.is_empty() && !rest.is_empty())
}

/// Whether a custom key is written as they should be: in small letters, from the first on.
fn is_regular(name: &str) -> bool {
    let fits = |octet: u8| matches!(octet, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-');
    name.starts_with(|first: char| first.is_ascii_lowercase()) && name.bytes().all(fits)
}

/// What one key says of another: of two that contradict each other the weaker is dropped, and what does not belong to
/// this object or event.
pub fn settle(data: &mut Data, faults: &mut Faults) {
    let mut drop_list = |is_wrong: bool, list: &mut Numbers, fault| {
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
