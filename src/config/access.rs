//! `[access.NAME]`: who sees what is gated.

use std::path::Path;
use std::time::Duration;

use http::HeaderName;

use crate::rules::token::Format;
pub use crate::rules::token::carrier::{Carrier, CarrierNames, CarrierPosition};

use super::feed::{self, Feed};
use super::file::{Section, Value, ms};
use super::finding::{Complaint, Place};
pub use super::issuer::Issuer;
use super::issuer::issuers;
pub use super::key_source::{Encoding, KeptKeys, KeyForm, KeyPlace, KeySource, UnusableKeys};
use super::machine::is_token;
use super::webhook::{self, Webhook};

/// Clocks that are further apart are wrong, not apart (RFC 7519 §4.1.4: "a few minutes" at most).
const LEEWAY_MS: u64 = 60_000;
const HOUR_MS: u64 = 3_600_000;
/// Fields that say something else already.
const TAKEN_FIELDS: [&str; 8] =
    ["host", "cookie", "referer", "content-length", "transfer-encoding", "connection", "range", "origin"];
/// Parameters that say something else already.
const TAKEN_PARAMETERS: [&str; 5] = ["_HLS_msn", "_HLS_part", "_HLS_skip", "CMCD", "weir_session"];

/// `[access.NAME]`
#[derive(Clone, Debug, PartialEq)]
pub struct Access {
    /// The table's name.
    pub name: String,
    /// Who issues its tokens; at least one.
    pub issuers: Vec<Issuer>,
    /// Where a token is looked for, in this order.
    pub carriers: Vec<Carrier>,
    /// What carriers are called.
    pub names: CarrierNames,
    /// How what a playlist names inherits the viewer's right to it.
    pub inherit: Inherit,
    /// Where a session stands in a path.
    pub carrier_position: CarrierPosition,
    /// A session ends when nothing was asked for this long.
    pub session_idle: Duration,
    /// For how long a session goes on after its token has expired, where that does not say when what was paid for is over.
    pub session_life: Duration,
    /// For how long a session that has moved to another device may go on beside it.
    pub handover_grace: Duration,
    /// How far clocks may be apart.
    pub leeway: Duration,
    /// How many sessions of a subject may go on at once, where its token does not say; `None`: any number.
    pub max_sessions: Option<u32>,
    /// Who loses where there are too many.
    pub session_limit: SessionLimit,
    /// What becomes of bodies that are being sent when their session is revoked.
    pub revoked_bodies: RevokedBodies,
    /// Whom it tells what happens to its sessions.
    pub webhook: Option<Webhook>,
    /// From where it learns what its backend takes back.
    pub feed: Option<Feed>,
}

/// How what a playlist names inherits the viewer's right to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inherit {
    /// By a session in the path.
    Path,
    /// By a session in the query.
    Query,
    /// By a session in a cookie.
    Cookie,
    /// Not at all: every request brings its token.
    None,
}

/// Who loses where a subject has too many sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionLimit {
    /// The one that would begin.
    RefuseNewest,
    /// The one that has gone on for longest.
    EndOldest,
}

/// What becomes of bodies that are being sent when their session is revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevokedBodies {
    /// They are cut.
    Cut,
    /// They are sent to their end.
    Finish,
}

/// An access as it was typed: its name exists even where the rest is none.
pub(super) struct Typed<'a> {
    pub(super) place: Place<'a>,
    pub(super) name: String,
    pub(super) access: Option<Access>,
}

/// All accesses, in the order of the file.
pub(super) fn accesses<'a>(section: Option<Section<'a>>, base: &Path) -> Vec<Typed<'a>> {
    let values = section.map(Section::named_values).unwrap_or_default();
    let typed = |(name, value): (String, Value<'a>)| Typed {
        place: value.place.clone(),
        access: value.table().and_then(|section| access(name.clone(), section, base)),
        name,
    };
    values.into_iter().map(typed).collect()
}

fn access(name: String, mut section: Section<'_>, base: &Path) -> Option<Access> {
    if !is_token(&name) || name.len() > 64 {
        let complaint = Complaint::new("an access's name is a label").found(name.clone());
        section.place.refuse(complaint.accepted("up to 64 letters, digits, `-`, `_` and `.`"));
    }
    let issuers = issuers(&mut section, base);
    let carriers = section.value("carriers").and_then(|value| carriers(&value));
    let inherit = choice(&mut section, "inherit", &INHERIT);
    let typed_position = section.value("carrier_position");
    let position = typed_position.as_ref().and_then(|value| value.choice(&POSITIONS));
    let names = section.table("names").map(typed_names).unwrap_or_default();
    let session_idle = time(&mut section, "session_idle", (1_000, HOUR_MS));
    let session_life = time(&mut section, "session_life", (1_000, 366 * 24 * HOUR_MS));
    let handover_grace = time(&mut section, "handover_grace", (0, 10 * 60_000));
    let leeway = time(&mut section, "leeway", (0, LEEWAY_MS));
    let max_sessions = section.value("max_sessions").and_then(|value| value.count(1..=1_000_000));
    let session_limit = choice(&mut section, "session_limit", &LIMITS);
    let revoked_bodies = choice(&mut section, "revoked_bodies", &BODIES);
    let webhook = section.table("webhook").and_then(|section| webhook::webhook(section, base));
    let feed = section.table("feed").and_then(|section| feed::feed(section, base));
    section.finish();
    let inherit = inherit.unwrap_or(Inherit::Path);
    if let Some(value) = typed_position.filter(|_| inherit != Inherit::Path) {
        let complaint = Complaint::new("nothing stands in the path: `inherit` says otherwise");
        value.place.warn(complaint.found(value.place.typed()).remedy("remove the key, or set `inherit = \"path\"`"));
    }
    let issuers = issuers?;
    Some(Access {
        name,
        names: names.or_defaults(&issuers),
        issuers,
        carriers: carriers.unwrap_or_else(|| CARRIERS.map(|(_, carrier)| carrier).to_vec()),
        inherit,
        carrier_position: position.unwrap_or(CarrierPosition::Root),
        session_idle: session_idle.unwrap_or(Duration::from_secs(60)),
        session_life: session_life.unwrap_or(Duration::from_hours(24)),
        handover_grace: handover_grace.unwrap_or(Duration::from_secs(30)),
        leeway: leeway.unwrap_or(Duration::from_secs(5)),
        max_sessions: max_sessions.and_then(|count| u32::try_from(count).ok()),
        session_limit: session_limit.unwrap_or(SessionLimit::RefuseNewest),
        revoked_bodies: revoked_bodies.unwrap_or(RevokedBodies::Cut),
        webhook,
        feed,
    })
}

/// Where tokens are looked for, in the order in which they are.
const CARRIERS: [(&str, Carrier); 4] =
    [("path", Carrier::Path), ("header", Carrier::Header), ("cookie", Carrier::Cookie), ("query", Carrier::Query)];
const INHERIT: [(&str, Inherit); 4] =
    [("path", Inherit::Path), ("query", Inherit::Query), ("cookie", Inherit::Cookie), ("none", Inherit::None)];
const POSITIONS: [(&str, CarrierPosition); 2] = [("root", CarrierPosition::Root), ("route", CarrierPosition::Route)];
const LIMITS: [(&str, SessionLimit); 2] =
    [("refuse-newest", SessionLimit::RefuseNewest), ("end-oldest", SessionLimit::EndOldest)];
const BODIES: [(&str, RevokedBodies); 2] = [("cut", RevokedBodies::Cut), ("finish", RevokedBodies::Finish)];

fn choice<T: Copy>(section: &mut Section<'_>, key: &'static str, words: &[(&str, T)]) -> Option<T> {
    section.value(key).and_then(|value| value.choice(words))
}

fn time(section: &mut Section<'_>, key: &'static str, (least, most): (u64, u64)) -> Option<Duration> {
    section.value(key).and_then(|value| value.time(ms(least..most)))
}

fn carriers(value: &Value<'_>) -> Option<Vec<Carrier>> {
    let list = value.list()?;
    if list.is_empty() {
        let complaint = Complaint::new("a token that is looked for nowhere is never found");
        value.place.refuse(complaint.accepted("\"path\", \"header\", \"cookie\", \"query\"").remedy("name one"));
        return None;
    }
    let mut carriers = Vec::new();
    for item in &list {
        let Some(carrier) = item.choice(&CARRIERS) else { continue };
        if carriers.contains(&carrier) {
            item.place.refuse(Complaint::new("the carrier is named twice").remedy("name it once"));
        }
        carriers.push(carrier);
    }
    Some(carriers)
}

/// Names as they were typed; `None`: those of the formats.
#[derive(Default)]
struct TypedNames {
    query: Option<Vec<String>>,
    cookie: Option<Vec<String>>,
    header: Option<Vec<HeaderName>>,
}

fn typed_names(mut section: Section<'_>) -> TypedNames {
    let (query, cookie) = (section.value("query"), section.value("cookie"));
    let header = section.value("header");
    section.finish();
    let list = |value: Option<Value<'_>>, read: fn(&Value<'_>) -> Option<String>| -> Option<Vec<String>> {
        Some(value?.one_or_many()?.iter().filter_map(read).collect())
    };
    let fields = |value: Value<'_>| Some(value.one_or_many()?.iter().filter_map(field).collect());
    TypedNames {
        query: list(query, |value| name_of(value, &TAKEN_PARAMETERS)),
        cookie: list(cookie, |value| name_of(value, &["weir_session"])),
        header: header.and_then(fields),
    }
}

/// A name that stands in a query, a path or a cookie as it is.
fn name_of(value: &Value<'_>, taken: &[&str]) -> Option<String> {
    let text = value.text()?;
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.' | b'~');
    let complaint = if !text.bytes().all(plain) || text.len() > 64 {
        Complaint::new("not a name that stands in a URL as it is").accepted("letters, digits, `-`, `_`, `.` and `~`")
    } else if taken.contains(&text) {
        Complaint::new("the name says something else already").remedy("choose another")
    } else {
        return Some(text.to_owned());
    };
    value.place.refuse(complaint.found(value.place.typed()));
    None
}

fn field(value: &Value<'_>) -> Option<HeaderName> {
    let text = value.text()?;
    let complaint = match text.parse::<HeaderName>() {
        Ok(name) if name == http::header::AUTHORIZATION => {
            Complaint::new("Authorization is always looked at").remedy("remove it")
        }
        Ok(name) if !TAKEN_FIELDS.contains(&name.as_str()) => return Some(name),
        Ok(_) => Complaint::new("the field says something else already").remedy("choose another"),
        Err(_) => Complaint::new("not the name of a field").accepted("a name like \"X-Token\""),
    };
    value.place.refuse(complaint.found(value.place.typed()));
    None
}

impl TypedNames {
    /// With what the formats of these issuers call their carriers, where nothing else is said.
    fn or_defaults(self, issuers: &[Issuer]) -> CarrierNames {
        let has = |format: Format| issuers.iter().any(|issuer| issuer.formats.contains(&format));
        let (mut query, mut cookie) = (vec!["token"], vec!["token"]);
        let mut header = Vec::new();
        if has(Format::Cat) {
            query.extend(["CAT", "cat"]);
            cookie.extend(["cta-common-access-token", "common-access-token"]);
            header.extend(["cta-common-access-token", "common-access-token"].map(HeaderName::from_static));
        }
        if has(Format::UriSigning) {
            query.push("URISigningPackage");
            cookie.push("URISigningPackage");
        }
        if has(Format::Hdnts) {
            query.extend(["hdnts", "hdnea", "__token__", "__hdnea__"]);
            cookie.extend(["hdnts", "hdnea", "__token__", "__hdnea__"]);
        }
        let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
        CarrierNames {
            query: self.query.unwrap_or_else(|| owned(query)),
            cookie: self.cookie.unwrap_or_else(|| owned(cookie)),
            header: self.header.unwrap_or(header),
        }
    }
}

#[cfg(test)]
mod tests;
