//! `[nats]`: how the nodes of a region tell each other what happens.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Uri;

use super::file::{Section, Value, ms};
use super::finding::{Complaint, Place, Report};
use super::{Certificate, Config, Secret, material};

const SERVERS: &str = "\"nats://10.0.0.5:4222\" or \"tls://nats.example\"";
const PORT: u16 = 4_222;

/// `[nats]`
#[derive(Clone, Debug, PartialEq)]
pub struct Nats {
    /// One of them is used; the others where it is lost.
    pub servers: Vec<NatsServer>,
    /// What subjects begin with.
    pub prefix: String,
    /// Who this node is to the servers.
    pub login: NatsLogin,
    /// TLS towards them.
    pub tls: NatsTls,
    /// How long an order waits for the answers of other nodes.
    pub answer_within: Duration,
}

/// A server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatsServer {
    /// Its name or address; IPv6 without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether TLS is a must.
    pub tls: bool,
}

impl NatsServer {
    /// As a URL.
    pub fn url(&self) -> String {
        let scheme = if self.tls { "tls" } else { "nats" };
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        format!("{scheme}://{host}:{}", self.port)
    }
}

/// Who a node is to its servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NatsLogin {
    /// Nobody.
    None,
    /// A name and a password.
    Password(String, Secret),
    /// An nkey's seed.
    Nkey(Secret),
    /// The text of a credentials file: a JWT and a seed.
    Credentials(Secret),
}

/// TLS towards NATS servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NatsTls {
    /// A PEM file of authorities that replaces the system's.
    pub ca: Option<PathBuf>,
    /// A client certificate.
    pub client: Option<Certificate>,
}

/// Checks the table against the node: what nodes say to each other is sealed with what they share.
pub(super) fn together(config: &Config, report: &Report, place: Option<&Place<'_>>) {
    let Some(place) = place.filter(|_| config.nats.is_some()) else { return };
    if config.node.secrets.is_none() {
        let complaint = Complaint::new("anybody on these servers could say that they are a node of this region");
        let remedy = "add `secrets = \"node.keys\"` in `[node]`, the same file on every node of the region";
        report.refuse_absence(place, "node.secrets", complaint.remedy(remedy));
    }
    if config.node.region.is_none() {
        let complaint = Complaint::new("the region has no name, so that it is one with all others that have none");
        place.warn(complaint.remedy("add `region = \"ams\"` in `[node]`"));
    }
}

/// `[nats]`
pub(super) fn nats(mut section: Section<'_>, base: &Path) -> Option<Nats> {
    if cfg!(not(feature = "nats")) {
        let complaint = Complaint::new("this binary was built without NATS");
        section.place.refuse(complaint.remedy("build it with the feature `nats`, or remove the table"));
    }
    let servers = section.required("servers", "[\"nats://10.0.0.5:4222\"]");
    let servers = servers.and_then(|value| value.one_or_many()).unwrap_or_default();
    let login = login(&mut section, base);
    let tls = section.table("tls").map(|section| tls(section, base)).unwrap_or_default();
    let prefix = section.value("prefix").and_then(|value| prefix(&value)).unwrap_or_else(|| "weir".to_owned());
    let answer_within = section.value("answer_within").and_then(|value| value.time(ms(10..60_000)));
    section.finish();
    let exposed = "anybody on the way can read who is revoked and what is purged";
    let servers: Vec<_> = servers.iter().filter_map(|value| server(value, &tls, exposed)).collect();
    (!servers.is_empty()).then(|| Nats {
        servers,
        prefix,
        login,
        tls,
        answer_within: answer_within.unwrap_or(Duration::from_secs(2)),
    })
}

/// One of `servers`; `exposed` is what is said of one on the way to which others can read.
pub(super) fn server(value: &Value<'_>, tls: &NatsTls, exposed: &str) -> Option<NatsServer> {
    let text = value.text()?;
    let refuse = |message: &str, remedy: Option<&str>| {
        let complaint = Complaint::new(message).accepted(SERVERS).perhaps(remedy.map(str::to_owned));
        value.place.refuse(complaint);
        None
    };
    let Ok(uri) = text.parse::<Uri>() else { return refuse("not the URL of a NATS server", None) };
    let Some(authority) = uri.authority() else { return refuse("not the URL of a NATS server", None) };
    if authority.as_str().contains('@') {
        // What was typed is a secret, and not repeated.
        return refuse("the URL carries credentials", Some("use `credentials`, `nkey`, or `user` and `password`"));
    }
    let is_tls = match uri.scheme_str() {
        Some("nats") => *tls != NatsTls::default(),
        Some("tls") => true,
        _ => return refuse("NATS is spoken over nats:// or tls://", None),
    };
    let explicit = authority.as_str().len() > authority.host().len();
    let port = authority.port_u16().or((!explicit).then_some(PORT)).filter(|port| *port > 0);
    let Some(port) = port else { return refuse("the URL's port is not one", None) };
    let host = authority.host().trim_matches(['[', ']']).to_ascii_lowercase();
    if !is_tls && !material::is_this_machine(&host) {
        value.place.warn(Complaint::new(exposed).found(value.place.typed()).remedy("use tls://"));
    }
    Some(NatsServer { host, port, tls: is_tls })
}

pub(super) fn login(section: &mut Section<'_>, base: &Path) -> NatsLogin {
    let credentials = section.value("credentials");
    let nkey = section.value("nkey");
    let (user, password) = (section.value("user"), section.value("password"));
    let given: Vec<_> = [&credentials, &nkey, &user].into_iter().flatten().collect();
    if let [_, second, ..] = given.as_slice() {
        let complaint = Complaint::new("the node says in several ways who it is");
        second.place.refuse(complaint.remedy("keep one of `credentials`, `nkey`, and `user` with `password`"));
    }
    let half = |value: &Value<'_>, missing: &str| {
        value.place.refuse(Complaint::new(format!("`{missing}` is missing")).remedy(format!("add `{missing} = …`")));
    };
    match (&user, &password) {
        (Some(user), None) => half(user, "password"),
        (None, Some(password)) => half(password, "user"),
        (Some(user), Some(password)) => {
            let login = user.text().zip(material::secret(password, base));
            return login.map_or(NatsLogin::None, |(user, secret)| NatsLogin::Password(user.to_owned(), secret));
        }
        (None, None) => {}
    }
    let seed = nkey.and_then(|value| material::secret(&value, base)).map(NatsLogin::Nkey);
    let file = credentials.and_then(|value| material::text(&value, base)).map(NatsLogin::Credentials);
    seed.or(file).unwrap_or(NatsLogin::None)
}

pub(super) fn tls(mut section: Section<'_>, base: &Path) -> NatsTls {
    let ca = section.value("ca").and_then(|value| material::authorities(&value, base));
    let client = material::client(&mut section, base);
    section.finish();
    NatsTls { ca, client }
}

/// Subjects are words with dots between them.
pub(super) fn prefix(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    let is_word = |word: &str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    if text.len() > 128 || !text.split('.').all(is_word) {
        let complaint = Complaint::new("not the beginning of a subject").found(value.place.typed());
        value.place.refuse(complaint.accepted("words of letters, digits, `-` and `_`, with dots between them"));
        return None;
    }
    Some(text.to_owned())
}
