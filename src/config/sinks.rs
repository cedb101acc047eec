//! `[qoe.sinks.NAME]`: whom the node tells what viewers experience, and how.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Uri};

use crate::rules::delivery::batch;
use crate::rules::timeline::event::Event;
use crate::rules::timeline::spans;

use super::file::{Section, Value, ms};
use super::finding::Complaint;
use super::nats::{self, NatsLogin, NatsServer, NatsTls};
use super::{OriginTls, origin, webhook};

/// Sinks at once: each may hold a few batches in memory.
const MOST: usize = 16;
const EXPOSED: &str = "anybody on the way can read what viewers do";
const MINUTE_MS: u64 = 60_000;

/// `[qoe.sinks.NAME]`
#[derive(Clone, Debug, PartialEq)]
pub struct Sink {
    /// The table's name: a metric label, and the name of its files.
    pub name: String,
    /// Where it is.
    pub to: To,
    /// The words of the events that it is to have; empty: all of them.
    pub events: BTreeSet<&'static str>,
    /// Octets of a batch.
    pub batch: usize,
    /// A batch that is not full is sent after this.
    pub every: Duration,
    /// For one attempt, connection included.
    pub timeout: Duration,
    /// Octets of batches that are laid aside because it refused them.
    pub quarantine: u64,
}

/// Where a sink is.
#[derive(Clone, Debug, PartialEq)]
pub enum To {
    /// A URL that batches are POSTed to.
    Http(HttpSink),
    /// A subject that a JetStream stream listens to.
    Nats(NatsSink),
    /// A file.
    File(FileSink),
}

/// `type = "http"`
#[derive(Clone, Debug, PartialEq)]
pub struct HttpSink {
    /// Where batches are sent.
    pub url: Uri,
    /// Further fields of each request.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// What bodies hold.
    pub format: Format,
    /// How bodies are made smaller.
    pub compression: Compression,
    /// TLS towards it.
    pub tls: OriginTls,
}

/// What the bodies of batches hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// The lines as they are.
    #[default]
    Lines,
    /// Spans of requests and fetches, as OTLP traces in JSON.
    OtlpTraces,
}

impl Format {
    const WORDS: [(&str, Self); 2] = [("lines", Self::Lines), ("otlp-traces", Self::OtlpTraces)];
}

/// How bodies are made smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip (RFC 1952)
    Gzip,
    /// Zstandard (RFC 8878)
    Zstd,
}

impl Compression {
    const WORDS: [(&str, Self); 3] = [("none", Self::None), ("gzip", Self::Gzip), ("zstd", Self::Zstd)];

    /// Its content coding; `None`: there is none.
    pub const fn coding(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Gzip => Some("gzip"),
            Self::Zstd => Some("zstd"),
        }
    }
}

/// `type = "nats"`
#[derive(Clone, Debug, PartialEq)]
pub struct NatsSink {
    /// One of them is used; the others where it is lost.
    pub servers: Vec<NatsServer>,
    /// Who this node is to the servers.
    pub login: NatsLogin,
    /// TLS towards them.
    pub tls: NatsTls,
    /// What batches are published under.
    pub subject: String,
}

/// `type = "file"`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSink {
    /// What is appended to.
    pub path: PathBuf,
    /// Octets after which a new file begins.
    pub rotate: u64,
    /// Earlier files that are kept.
    pub keep: usize,
}

#[derive(Clone, Copy)]
enum Kind {
    Http,
    Nats,
    File,
}

const KINDS: [(&str, Kind); 3] = [("http", Kind::Http), ("nats", Kind::Nats), ("file", Kind::File)];

/// `sinks` in `[qoe]`
pub(super) fn sinks(section: Option<Section<'_>>, base: &Path) -> Vec<Sink> {
    let Some(section) = section else { return Vec::new() };
    let place = section.place.clone();
    let values = section.named_values();
    if values.len() > MOST {
        let complaint = Complaint::new("so many sinks are not told").found(values.len().to_string());
        place.refuse(complaint.accepted(format!("up to {MOST}")));
    }
    values.into_iter().filter_map(|(name, value)| sink(name, value.table()?, base)).collect()
}

fn sink(name: String, mut section: Section<'_>, base: &Path) -> Option<Sink> {
    let is_label = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if name.is_empty() || name.len() > 64 || !name.bytes().all(is_label) {
        let complaint = Complaint::new("a sink's name is a label and the name of its files").found(name.clone());
        section.place.refuse(complaint.accepted("up to 64 letters, digits, `-` and `_`"));
    }
    let kind = section.required("type", "\"http\"").and_then(|value| value.choice(&KINDS));
    let events = section.value("events").map(|value| events(&value)).unwrap_or_default();
    let largest = batch::LARGEST as u64;
    let batch = section.value("batch").and_then(|value| value.size(1 << 10..=largest));
    let every = section.value("every").and_then(|value| value.time(ms(0..MINUTE_MS)));
    let timeout = section.value("timeout").and_then(|value| value.time(ms(100..10 * MINUTE_MS)));
    let quarantine = section.value("quarantine").and_then(|value| value.size(0..=1 << 40));
    // Where the kind is wrong, which keys are is not known.
    let to = match kind? {
        Kind::Http => http(&mut section, base).map(To::Http),
        Kind::Nats => nats(&mut section, base).map(To::Nats),
        Kind::File => file(&mut section, base).map(To::File),
    };
    section.finish();
    let is_of_spans = matches!(&to, Some(To::Http(http)) if http.format == Format::OtlpTraces);
    let events = if is_of_spans && events.is_empty() { spans::EVENTS.into() } else { events };
    // What a server takes in one message is one MiB unless it says otherwise, fields included.
    let default = if matches!(to, Some(To::Nats(_))) { largest / 2 } else { largest };
    Some(Sink {
        name,
        to: to?,
        events,
        batch: usize::try_from(batch.unwrap_or(default)).unwrap_or(batch::LARGEST),
        every: every.unwrap_or(Duration::from_secs(1)),
        timeout: timeout.unwrap_or(Duration::from_secs(30)),
        quarantine: quarantine.unwrap_or(64 << 20),
    })
}

fn events(value: &Value<'_>) -> BTreeSet<&'static str> {
    let words = Event::WORDS.map(|word| (word, word));
    let typed = value.list().unwrap_or_default();
    if typed.is_empty() {
        value.place.refuse(Complaint::new("the sink is told nothing").remedy("name events, or remove the key"));
    }
    typed.iter().filter_map(|word| word.choice(&words)).collect()
}

fn http(section: &mut Section<'_>, base: &Path) -> Option<HttpSink> {
    let url = section.required("url", "\"https://qoe.example/v1/batches\"");
    let headers = section.table("headers").map(|table| headers(table, base)).unwrap_or_default();
    let format = section.value("format").and_then(|value| value.choice(&Format::WORDS)).unwrap_or_default();
    let compression = section.value("compression").and_then(|value| value.choice(&Compression::WORDS));
    let tls = section.table("tls");
    let tls_place = tls.as_ref().map(|tls| tls.place.clone());
    let tls = origin::tls(tls, base);
    let url = url.and_then(|value| webhook::address(&value, EXPOSED))?;
    if let (Some(place), Some("http")) = (tls_place, url.scheme_str()) {
        let complaint = Complaint::new("`tls` is set, but batches are sent in cleartext");
        place.refuse(complaint.remedy("write `url = \"https://…\"`, or remove `tls`"));
    }
    Some(HttpSink { url, headers, format, compression: compression.unwrap_or(Compression::Gzip), tls })
}

/// Fields and their values, which may be kept elsewhere.
fn headers(section: Section<'_>, base: &Path) -> Vec<(HeaderName, HeaderValue)> {
    let place = section.place.clone();
    let set = origin::set_fields(section, base);
    let ours = |name: &HeaderName| {
        [CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LENGTH].contains(name) || *name == "idempotency-key"
    };
    if let Some((name, _)) = set.iter().find(|(name, _)| ours(name)) {
        place.refuse(Complaint::new(format!("`{name}` is the node's own")).remedy("remove it"));
    }
    set
}

fn nats(section: &mut Section<'_>, base: &Path) -> Option<NatsSink> {
    if cfg!(not(feature = "nats")) {
        let complaint = Complaint::new("this binary was built without NATS");
        section.place.refuse(complaint.remedy("build it with the feature `nats`, or remove the table"));
    }
    let servers = section.required("servers", "[\"nats://10.0.0.5:4222\"]");
    let place = servers.as_ref().map(|servers| servers.place.clone());
    let servers = servers.and_then(|value| value.one_or_many()).unwrap_or_default();
    if let Some(place) = place.filter(|_| servers.is_empty()) {
        place.refuse(Complaint::new("no server is named").remedy("name one"));
    }
    let login = nats::login(section, base);
    let tls = section.table("tls").map(|section| nats::tls(section, base)).unwrap_or_default();
    let subject = section.value("subject").map_or(Some("weir.qoe".to_owned()), |value| nats::prefix(&value));
    let servers: Vec<_> = servers.iter().filter_map(|value| nats::server(value, &tls, EXPOSED)).collect();
    (!servers.is_empty()).then_some(())?;
    Some(NatsSink { servers, login, tls, subject: subject? })
}

fn file(section: &mut Section<'_>, base: &Path) -> Option<FileSink> {
    let path = section.required("path", "\"/var/log/weir/qoe.ndjson\"");
    let rotate = section.value("rotate").and_then(|value| value.size(1 << 20..=1 << 40));
    let keep = section.value("keep").and_then(|value| value.count(0..=10_000));
    let path = base.join(path?.text()?);
    Some(FileSink {
        path,
        rotate: rotate.unwrap_or(256 << 20),
        keep: keep.and_then(|count| usize::try_from(count).ok()).unwrap_or(8),
    })
}
