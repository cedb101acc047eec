//! `[access.NAME.webhook]`: whom an access tells what happens to its sessions.

use std::path::Path;
use std::time::Duration;

use http::Uri;

use crate::rules::session::EventKind;

use super::file::{Section, Value, ms};
use super::finding::Complaint;
use super::{OriginTls, Secret, material, origin};

/// A key of at least this many octets is worth an HMAC-SHA-256.
const SHORTEST_SECRET: usize = 16;
const DAY_MS: u64 = 86_400_000;
const MINUTE_MS: u64 = 60_000;

/// `[access.NAME.webhook]`
#[derive(Clone, Debug, PartialEq)]
pub struct Webhook {
    /// Where events are sent.
    pub url: Uri,
    /// What they are signed with.
    pub secret: Secret,
    /// Which are sent.
    pub events: Vec<EventKind>,
    /// For one attempt, connection included.
    pub timeout: Duration,
    /// Events that may wait; beyond, the oldest goes.
    pub queue: usize,
    /// For how long a batch is tried.
    pub retry_for: Duration,
    /// TLS towards it.
    pub tls: OriginTls,
}

/// `webhook` of an access.
pub(super) fn webhook(mut section: Section<'_>, base: &Path) -> Option<Webhook> {
    let url = section.required("url", "\"https://paywall.example/weir-events\"");
    let secret = section.required("secret", "\"webhook.secret\"");
    let events = section.value("events").map(|value| events(&value));
    let time = |value: Option<Value<'_>>, (least, most), default| {
        value.and_then(|value| value.time(ms(least..most))).unwrap_or(default)
    };
    let timeout = time(section.value("timeout"), (100, MINUTE_MS), Duration::from_secs(5));
    let retry_for = time(section.value("retry_for"), (0, DAY_MS), Duration::from_secs(600));
    let queue = section.value("queue").and_then(|value| value.count(1..=1_000_000));
    let tls = section.table("tls");
    let tls_place = tls.as_ref().map(|tls| tls.place.clone());
    let tls = origin::tls(tls, base);
    section.finish();
    let url = url.and_then(|value| address(&value, "events name subjects, and anybody on the way can read them"));
    let secret = secret.and_then(|value| key(&value, base));
    let url = url?;
    if let (Some(place), Some("http")) = (tls_place, url.scheme_str()) {
        let complaint = Complaint::new("`tls` is set, but the events are sent in cleartext");
        place.refuse(complaint.remedy("write `url = \"https://…\"`, or remove `tls`"));
    }
    Some(Webhook {
        url,
        secret: secret?,
        events: events.unwrap_or_else(|| EventKind::WORDS.map(|(_, kind)| kind).to_vec()),
        timeout,
        queue: queue.and_then(|count| usize::try_from(count).ok()).unwrap_or(10_000),
        retry_for,
        tls,
    })
}

fn events(value: &Value<'_>) -> Vec<EventKind> {
    let mut kinds = Vec::new();
    for kind in value.list().unwrap_or_default().iter().filter_map(|word| word.choice(&EventKind::WORDS)) {
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    kinds
}

fn key(value: &Value<'_>, base: &Path) -> Option<Secret> {
    material::secret(value, base).filter(|secret| {
        let is_long = secret.reveal().len() >= SHORTEST_SECRET;
        if !is_long {
            let complaint = Complaint::new(format!("the secret has fewer than {SHORTEST_SECRET} characters"));
            value.place.refuse(complaint.remedy("make one with `openssl rand -hex 32`"));
        }
        is_long
    })
}

/// Where events are sent; `exposed` is what is said of a URL on which others can read them.
pub(super) fn address(value: &Value<'_>, exposed: &str) -> Option<Uri> {
    let text = value.text()?;
    let uri = text.parse::<Uri>().ok().filter(|uri| {
        let authority = uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
        let port = uri.authority().is_some_and(|authority| {
            let explicit = authority.as_str().len() > authority.host().len();
            !explicit || authority.port_u16().is_some_and(|port| port > 0)
        });
        matches!(uri.scheme_str(), Some("http" | "https")) && authority && port && !text.contains('#')
    });
    let Some(uri) = uri else {
        let complaint = Complaint::new("not a URL that events can be sent to").found(value.place.typed());
        value.place.refuse(complaint.accepted("\"https://HOST[:PORT]/PATH\", without credentials"));
        return None;
    };
    if uri.scheme_str() == Some("http") && !material::is_this_machine(uri.host().unwrap_or_default()) {
        let complaint = Complaint::new(exposed);
        value.place.warn(complaint.found(value.place.typed()).remedy("use https"));
    }
    Some(uri)
}
