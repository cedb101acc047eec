//! The record of the generic beacon, for players that do not speak CMCD: JSON in plain words, read into the same model by
//! the same rules. `docs/beacon.schema.json` is its published form. What is wrong is dropped member by member and counted.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer;
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::cmcd::{
    FASTEST, Key, LONGEST_CUSTOM, LONGEST_RECORD, MOST_ITEMS, MOST_MEMBERS, MOST_RECORDS, OPENING, is_custom,
    is_longer, is_whole, settle,
};
use super::fault::Fault;
use super::path::{opening, path_of, plain};
use super::read::Read;
use super::report::{Data, Numbers, ObjectType, Rated, State, Word};

/// A record in its canonical writing, with what it says; or why it is dropped.
pub type Record = Result<(String, Read), Fault>;

/// The version of the record that is understood.
const VERSION: u64 = 1;

type Choices = &'static [(&'static str, &'static str)];

/// What a member of a record says.
enum Says {
    /// The version of the record.
    Version,
    /// What the player calls its session.
    Session,
    /// A whole number, not negative, and at most what the key may be.
    Whole(Key, fn(&mut Data) -> &mut Option<u64>),
    /// Such a number of all, or one for each kind of object.
    Rated(Key, fn(&mut Data) -> &mut Numbers),
    /// A number.
    Rate,
    /// True or false.
    Flag(fn(&mut Data) -> &mut Option<bool>),
    /// A text of at most so many characters.
    Text(usize, fn(&mut Data) -> &mut Option<Box<str>>),
    /// A word of a list, for a key's own.
    Choice(Choices, fn(&mut Data) -> &mut Option<Word>),
    /// What the player does.
    State,
    /// What is played.
    Content,
    /// Codes of errors.
    Errors,
    /// A URL, of which the path is kept.
    Url,
    /// Keys of the player's own.
    Custom,
}

const EVENTS: Choices = &[
    ("ad-break-end", "abe"),
    ("ad-break-start", "abs"),
    ("ad-end", "ae"),
    ("ad-start", "as"),
    ("background", "b"),
    ("bitrate", "bc"),
    ("collapse", "pc"),
    ("content", "c"),
    ("custom", "ce"),
    ("error", "e"),
    ("expand", "pe"),
    ("host", "h"),
    ("interval", "t"),
    ("mute", "m"),
    ("rate", "pr"),
    ("response", "rr"),
    ("skip", "sk"),
    ("state", "ps"),
    ("unmute", "um"),
];
const FORMATS: Choices = &[("dash", "d"), ("hesp", "e"), ("hls", "h"), ("other", "o"), ("smooth", "s")];
const STREAMS: Choices = &[("live", "l"), ("low-latency", "ll"), ("vod", "v")];
const STATES: [(&str, State); 10] = [
    ("ended", State::Ended),
    ("failed", State::Failed),
    ("paused", State::Paused),
    ("playing", State::Playing),
    ("preloading", State::Preloading),
    ("quit", State::Quit),
    ("rebuffering", State::Rebuffering),
    ("seeking", State::Seeking),
    ("starting", State::Starting),
    ("waiting", State::Waiting),
];
const OBJECTS: [(&str, ObjectType); 4] = [
    ("audio", ObjectType::Audio),
    ("caption", ObjectType::Caption),
    ("muxed", ObjectType::Muxed),
    ("video", ObjectType::Video),
];

/// The members of a record, in order.
const MEMBERS: [(&str, Says); 31] = [
    ("background", Says::Flag(|data| &mut data.bg)),
    ("bitrate_kbps", Says::Rated(Key::Br, |data| &mut data.br)),
    ("buffer_ms", Says::Rated(Key::Bl, |data| &mut data.bl)),
    ("cdn", Says::Text(128, |data| &mut data.cdn)),
    ("content", Says::Content),
    ("custom", Says::Custom),
    ("dropped_frames", Says::Whole(Key::Dfa, |data| &mut data.dfa)),
    ("errors", Says::Errors),
    ("event", Says::Choice(EVENTS, |data| &mut data.e)),
    ("first_byte_ms", Says::Whole(Key::Ttfb, |data| &mut data.ttfb)),
    ("format", Says::Choice(FORMATS, |data| &mut data.sf)),
    ("host", Says::Text(128, |data| &mut data.h)),
    ("last_byte_ms", Says::Whole(Key::Ttlb, |data| &mut data.ttlb)),
    ("latency_ms", Says::Whole(Key::Ltc, |data| &mut data.ltc)),
    ("name", Says::Text(64, |data| &mut data.cen)),
    ("number", Says::Whole(Key::Sn, |data| &mut data.sn)),
    ("played_kbps", Says::Rated(Key::Pb, |data| &mut data.pb)),
    ("position_ms", Says::Whole(Key::Pt, |data| &mut data.pt)),
    ("rate", Says::Rate),
    ("session", Says::Session),
    ("stalled_ms", Says::Rated(Key::Bsda, |data| &mut data.bsda)),
    ("stalls", Says::Rated(Key::Bsa, |data| &mut data.bsa)),
    ("startup_ms", Says::Whole(Key::Msd, |data| &mut data.msd)),
    ("state", Says::State),
    ("status", Says::Whole(Key::Rc, |data| &mut data.rc)),
    ("stream", Says::Choice(STREAMS, |data| &mut data.st)),
    ("throughput_kbps", Says::Rated(Key::Mtp, |data| &mut data.mtp)),
    ("time_ms", Says::Whole(Key::Ts, |data| &mut data.ts)),
    ("top_bitrate_kbps", Says::Rated(Key::Tb, |data| &mut data.tb)),
    ("url", Says::Url),
    ("version", Says::Version),
];

/// The records of a body, one object or an array of them, each read when it is asked for; and how many there are beyond
/// the most that are taken.
///
/// # Errors
/// The body is not JSON, or neither an object nor an array.
pub fn from_beacon(body: &[u8]) -> Result<(impl ExactSizeIterator<Item = Record>, usize), Fault> {
    let (records, beyond) = match body.trim_ascii_start().first() {
        Some(b'[') => {
            let mut text = serde_json::Deserializer::from_slice(body);
            let found = text.deserialize_seq(Records).and_then(|found| text.end().map(|()| found));
            found.map_err(|_| Fault::Malformed)?
        }
        Some(b'{') => (vec![serde_json::from_slice(body).map_err(|_| Fault::Malformed)?], 0),
        Some(_) | None => return Err(Fault::Malformed),
    };
    Ok((records.into_iter().map(read), beyond))
}

/// Finds where each record is, and makes nothing of it: a body of small numbers would take five hundred times its octets.
struct Records;

impl<'b> Visitor<'b> for Records {
    type Value = (Vec<&'b RawValue>, usize);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of records")
    }

    fn visit_seq<A: SeqAccess<'b>>(self, mut all: A) -> Result<Self::Value, A::Error> {
        let (mut records, mut beyond) = (Vec::new(), 0);
        while records.len() < MOST_RECORDS {
            match all.next_element()? {
                Some(record) => records.push(record),
                None => return Ok((records, 0)),
            }
        }
        while all.next_element::<IgnoredAny>()?.is_some() {
            beyond += 1;
        }
        Ok((records, beyond))
    }
}

fn read(sent: &RawValue) -> Record {
    if sent.get().len() > LONGEST_RECORD {
        return Err(Fault::TooLarge);
    }
    let members: Map<_, _> = serde_json::from_str(sent.get()).map_err(|_| Fault::Malformed)?;
    let read = record(&members)?;
    Ok((Value::Object(members).to_string(), read))
}

fn record(members: &Map<String, Value>) -> Result<Read, Fault> {
    if members.len() > MOST_MEMBERS {
        return Err(Fault::TooLarge);
    }
    if members.get("version").is_some_and(|version| version.as_u64() != Some(VERSION)) {
        return Err(Fault::Version);
    }
    let event = members.get("event").ok_or(Fault::MissingKey)?;
    let is_known = |event: &str| EVENTS.iter().any(|(word, _)| *word == event);
    if event.as_str().is_some_and(|event| !is_known(event)) {
        return Err(Fault::UnknownEvent);
    }
    let mut read = Read::default();
    for (name, value) in members {
        if let Err(fault) = member(name, value, &mut read) {
            read.faults.add(fault);
        }
    }
    if !is_whole(&read.data) {
        return Err(Fault::MissingKey);
    }
    settle(&mut read.data, &mut read.faults);
    keep_in_place(&mut read);
    Ok(read)
}

/// What tells of a response stands in the event of one.
fn keep_in_place(read: &mut Read) {
    let Data { e, url, rc, ttfb, ttlb, .. } = &mut read.data;
    if e.as_deref() == Some("rr") {
        return;
    }
    for number in [rc, ttfb, ttlb] {
        if number.take().is_some() {
            read.faults.add(Fault::Misplaced);
        }
    }
    if url.take().is_some() {
        read.faults.add(Fault::Misplaced);
    }
}

fn member(name: &str, value: &Value, read: &mut Read) -> Result<(), Fault> {
    let place = MEMBERS.binary_search_by(|(own, _)| (*own).cmp(name)).map_err(|_| Fault::UnknownKey)?;
    let data = &mut read.data;
    match &MEMBERS[place].1 {
        Says::Version => {}
        Says::Session => read.sid = Some(text(value, 64).and_then(named)?.into()),
        Says::Whole(key, field) => *field(data) = Some(whole(value, *key)?),
        Says::Rated(key, field) => *field(data) = rated(value, *key)?,
        Says::Rate => data.pr = Some(speed(value)?),
        Says::Flag(field) => *field(data) = Some(value.as_bool().ok_or(Fault::WrongType)?),
        Says::Text(most, field) => *field(data) = Some(plain(text(value, *most)?.into()).into()),
        Says::Choice(choices, field) => *field(data) = Some(choice(value, choices)?.into()),
        Says::State => data.sta = Some(choice(value, &STATES)?),
        Says::Content => data.cid = Some(plain(text(value, 128)?.into()).into()),
        Says::Errors => data.ec = errors(value)?,
        Says::Url => data.url = Some(path_of(text(value, LONGEST_RECORD)?)),
        Says::Custom => custom(value, read)?,
    }
    Ok(())
}

fn named(text: &str) -> Result<&str, Fault> {
    if text.is_empty() { Err(Fault::UnknownValue) } else { Ok(text) }
}

/// A number without a fraction; some write `5.0`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "of at most 15 digits (RFC 9651 §3.3.1), as was looked at"
)]
fn whole(value: &Value, key: Key) -> Result<u64, Fault> {
    let number = value.as_f64().ok_or(Fault::WrongType)?;
    match number {
        _ if number < 0.0 => Err(Fault::Negative),
        _ if number.fract() != 0.0 => Err(Fault::WrongType),
        _ if number > key.most() as f64 => Err(Fault::Impossible),
        _ => Ok(number as u64),
    }
}

fn speed(value: &Value) -> Result<f64, Fault> {
    let rate = value.as_f64().ok_or(Fault::WrongType)?;
    if rate.abs() > FASTEST { Err(Fault::Impossible) } else { Ok(rate) }
}

/// `5000`, or `{"audio": 128, "video": 5000}`.
fn rated(value: &Value, key: Key) -> Result<Numbers, Fault> {
    let Value::Object(kinds) = value else { return Ok(Rated { value: whole(value, key)?, of: None }.into()) };
    let of = |(kind, value): (&String, &Value)| {
        let (_, of) = OBJECTS.iter().find(|(own, _)| own == kind).ok_or(Fault::UnknownValue)?;
        Ok(Rated { value: whole(value, key)?, of: Some(*of) })
    };
    kinds.iter().map(of).collect()
}

fn text(value: &Value, most: usize) -> Result<&str, Fault> {
    let text = value.as_str().ok_or(Fault::WrongType)?;
    if is_longer(text, most) { Err(Fault::TooLong) } else { Ok(text) }
}

fn choice<T: Copy>(value: &Value, choices: &[(&str, T)]) -> Result<T, Fault> {
    let word = value.as_str().ok_or(Fault::WrongType)?;
    choices.iter().find(|(own, _)| *own == word).map(|(_, meant)| *meant).ok_or(Fault::UnknownValue)
}

fn errors(value: &Value) -> Result<Vec<Box<str>>, Fault> {
    let codes = value.as_array().ok_or(Fault::WrongType)?;
    if codes.len() > MOST_ITEMS {
        return Err(Fault::TooLong);
    }
    codes.iter().map(|code| Ok(opening(plain(text(code, LONGEST_RECORD)?.into()), OPENING).into())).collect()
}

/// Each key of it is judged alone.
fn custom(value: &Value, read: &mut Read) -> Result<(), Fault> {
    for (key, value) in value.as_object().ok_or(Fault::WrongType)? {
        match text(value, LONGEST_CUSTOM) {
            Ok(text) if is_custom(key) => read.custom.push((key.as_str().into(), plain(Cow::from(text)).into())),
            Ok(_) => read.faults.add(Fault::UnknownKey),
            Err(fault) => read.faults.add(fault),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
