//! `[origins.NAME]`: where media comes from.

use std::path::Path;
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, StatusCode, Uri};

use super::aws::{self, AwsSigV4};
use super::file::{Section, Value, ms};
use super::finding::{Complaint, Place};
use super::machine::is_token;
use super::{HealthProbe, HostHeader, Origin, OriginScheme, OriginTls, Proof, material};

/// Fields that belong to the connection or to the message's framing; whoever sets them breaks it (RFC 9110 §7.6.1).
const FRAMING: [&str; 9] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
const HOUR_MS: u64 = 3_600_000;
/// More hops are a loop.
const REDIRECTS: u64 = 10;

/// An origin as it was typed: its name exists even where the rest is no origin.
pub(super) struct Typed<'a> {
    pub(super) place: Place<'a>,
    pub(super) name: String,
    pub(super) origin: Option<Origin>,
}

/// All origins, in the order of the file.
pub(super) fn origins<'a>(section: Option<Section<'a>>, base: &Path) -> Vec<Typed<'a>> {
    let values = section.map(Section::named_values).unwrap_or_default();
    let typed = |(name, value): (String, Value<'a>)| Typed {
        place: value.place.clone(),
        origin: value.table().and_then(|section| origin(name.clone(), section, base)),
        name,
    };
    values.into_iter().map(typed).collect()
}

fn origin(name: String, mut section: Section<'_>, base: &Path) -> Option<Origin> {
    if !is_token(&name) {
        let complaint = Complaint::new("an origin's name is a label").found(name.clone());
        section.place.refuse(complaint.accepted("letters, digits, `-`, `_` and `.`"));
    }
    let url = section.required("url", "\"https://packager.example\"");
    let parts = url.and_then(|url| url_parts(&url));
    let host_header = section.value("host").and_then(|value| host_header(&value)).unwrap_or(HostHeader::Origin);
    let (mut set_headers, remove_headers) =
        section.table("headers").map(|table| fields(table, base)).unwrap_or_default();
    let aws = auth(&mut section, &mut set_headers, base);
    let tls_section = section.table("tls");
    let tls_place = tls_section.as_ref().map(|tls| tls.place.clone());
    let tls = tls(tls_section, base);
    let time = |value: Option<Value<'_>>, default_s| {
        value.and_then(|value| value.time(ms(1..HOUR_MS))).unwrap_or(Duration::from_secs(default_s))
    };
    let (connect, first_byte) = (time(section.value("connect"), 2), time(section.value("first_byte"), 5));
    let idle = time(section.value("idle"), 10);
    let count = |value: Option<Value<'_>>, default| {
        let count = value.and_then(|value| value.count(1..=1_000_000));
        count.and_then(|count| usize::try_from(count).ok()).unwrap_or(default)
    };
    let (connections, requests) = (count(section.value("connections"), 64), count(section.value("requests"), 512));
    let health = section.table("health").and_then(health);
    let secret = section.value("region_secret").and_then(|value| material::secret(&value, base));
    let proof = secret.map(|secret| Proof { secret: Some(secret), to: None });
    let missing = section.value("missing").map(|value| missing(&value)).unwrap_or_default();
    let redirects = section.value("redirects").and_then(|value| value.count(0..=REDIRECTS)).unwrap_or(0);
    let cookies = section.value("cookies").and_then(|value| value.flag()).unwrap_or(false);
    section.finish();
    let UrlParts { scheme, host, port, base_path } = parts?;
    if let (Some(place), OriginScheme::Http) = (tls_place, scheme) {
        let complaint = Complaint::new("`tls` is set, but the origin is asked in cleartext");
        place.refuse(complaint.remedy("write `url = \"https://…\"`, or remove `tls`"));
    }
    Some(Origin {
        name,
        scheme,
        host,
        port,
        base_path,
        host_header,
        set_headers,
        remove_headers,
        tls,
        connect,
        first_byte,
        idle,
        connections,
        requests,
        health,
        proof,
        aws,
        missing,
        redirects: u8::try_from(redirects).expect("its bound is small"),
        cookies,
    })
}

/// `health = { path, interval, timeout, expect }`
fn health(mut section: Section<'_>) -> Option<HealthProbe> {
    let path = section.required("path", "\"/healthz\"").and_then(|value| probe_path(&value));
    let time = |value: Option<Value<'_>>, default_s| {
        value.and_then(|value| value.time(ms(100..HOUR_MS))).unwrap_or(Duration::from_secs(default_s))
    };
    let (interval, timeout) = (time(section.value("interval"), 5), time(section.value("timeout"), 2));
    let expect = section.value("expect").and_then(|value| value.count(100..=599));
    let expect = expect.and_then(|code| StatusCode::from_u16(u16::try_from(code).ok()?).ok());
    section.finish();
    Some(HealthProbe { path: path?, interval, timeout, expect: expect.unwrap_or(StatusCode::OK) })
}

fn probe_path(value: &Value<'_>) -> Option<PathAndQuery> {
    let text = value.text()?;
    let path = text.starts_with('/').then(|| text.parse().ok()).flatten();
    if path.is_none() {
        let complaint = Complaint::new("not a path").found(value.place.typed());
        value.place.refuse(complaint.accepted("a path at the origin, like \"/healthz\""));
    }
    path
}

struct UrlParts {
    scheme: OriginScheme,
    host: String,
    port: u16,
    base_path: String,
}

fn url_parts(value: &Value<'_>) -> Option<UrlParts> {
    let text = value.text()?;
    let refuse = |message: &str, remedy: &str| {
        let complaint = Complaint::new(message).found(value.place.typed());
        value.place.refuse(complaint.accepted("\"https://HOST[:PORT][/PATH]\" or \"http://…\"").remedy(remedy));
        None::<UrlParts>
    };
    let Ok(uri) = text.parse::<Uri>() else { return refuse("not a URL", "write \"https://packager.example\"") };
    let scheme = match uri.scheme_str() {
        Some("http") => OriginScheme::Http,
        Some("https") => OriginScheme::Https,
        Some(_) => return refuse("origins are asked over HTTP", "use an http or https URL"),
        None => return refuse("the URL has no scheme", &format!("did you mean \"https://{text}\"?")),
    };
    let Some(authority) = uri.authority() else { return refuse("the URL has no host", "name the origin's host") };
    if authority.as_str().contains('@') {
        return refuse("the URL carries credentials", "use `auth = { header = …, value_file = … }`");
    }
    if uri.query().is_some() || text.contains('#') {
        return refuse("the URL carries a query or a fragment", "end it with the path prefix");
    }
    let default_port = if scheme == OriginScheme::Http { 80 } else { 443 };
    let explicit = authority.as_str().len() > authority.host().len();
    let port = authority.port_u16().unwrap_or(if explicit { 0 } else { default_port });
    if port == 0 {
        return refuse("the URL's port is not one", "write a port from 1 to 65535, or leave it out");
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    Some(UrlParts { scheme, host, port, base_path: uri.path().trim_end_matches('/').to_owned() })
}

fn host_header(value: &Value<'_>) -> Option<HostHeader> {
    match value.text()? {
        "viewer" => Some(HostHeader::Viewer),
        name if name.parse::<http::uri::Authority>().is_ok_and(|name| !name.as_str().contains('@')) => {
            Some(HostHeader::Name(name.to_ascii_lowercase()))
        }
        _ => {
            let complaint = Complaint::new("not a Host").found(value.place.typed());
            value.place.refuse(complaint.accepted("\"viewer\", or a host name with an optional port"));
            None
        }
    }
}

/// Fields and their values.
pub(super) type Fields = Vec<(HeaderName, HeaderValue)>;

/// `headers = { set, remove }`. A value is a text, or kept elsewhere: `{ env = "NAME" }`, `{ file = "NAME" }`.
pub(super) fn fields(mut headers: Section<'_>, base: &Path) -> (Fields, Vec<HeaderName>) {
    let set = headers.table("set").map(|section| set_fields(section, base)).unwrap_or_default();
    let names = headers.value("remove").and_then(|value| value.list()).unwrap_or_default();
    let remove = names.iter().filter_map(|name| field_name(name.text()?, &name.place)).collect();
    headers.finish();
    (set, remove)
}

/// Fields to set, by name.
pub(super) fn set_fields(section: Section<'_>, base: &Path) -> Fields {
    let mut set = Fields::new();
    for (name, value) in section.named_values() {
        let field = field_name(&name, &value.place);
        let text = match value.is_table() {
            true => material::kept_elsewhere(&value, base).map(|secret| sensitive(&secret)),
            false => value.text().and_then(|text| field_value(text, &value.place)),
        };
        set.extend(field.zip(text));
    }
    set
}

fn sensitive(secret: &material::Secret) -> HeaderValue {
    let mut value = HeaderValue::from_str(secret.reveal()).expect("a secret is visible ASCII");
    value.set_sensitive(true);
    value
}

/// `auth`: one more field to set, or a signature on each request.
fn auth(section: &mut Section<'_>, set: &mut Fields, base: &Path) -> Option<AwsSigV4> {
    let mut auth = section.table("auth")?;
    if let Some(signed) = auth.value("aws_sigv4") {
        if auth.value("header").or(auth.value("value_file")).is_some() {
            let complaint = Complaint::new("`auth` is of two kinds");
            auth.place.refuse(complaint.remedy("keep `aws_sigv4`, and move the field to `headers.set`"));
        }
        auth.finish();
        return aws::sigv4(&signed, base);
    }
    let header = auth.required("header", "\"X-CDN-Identifier\"");
    let secret = auth.required("value_file", "\"origin.secret\"");
    auth.finish();
    let name = header.as_ref().and_then(|header| field_name(header.text()?, &header.place));
    let secret = secret.and_then(|value| material::secret(&value, base));
    if let (Some(header), Some(name)) = (&header, &name)
        && set.iter().any(|(other, _)| other == name)
    {
        header.place.refuse(Complaint::new("the field is also in `headers.set`").remedy("keep one of the two"));
    }
    set.extend(name.zip(secret.as_ref().map(sensitive)));
    None
}

/// `missing`: statuses that mean that there is no such object. 404 and 410 mean it anyway.
fn missing(value: &Value<'_>) -> Vec<StatusCode> {
    let statuses = value.list().unwrap_or_default();
    let statuses = statuses.iter().filter_map(|value| value.count(400..=499));
    let statuses = statuses.filter_map(|status| StatusCode::from_u16(u16::try_from(status).ok()?).ok());
    statuses.filter(|status| ![StatusCode::NOT_FOUND, StatusCode::GONE].contains(status)).collect()
}

/// A field that may be set or removed.
pub(super) fn field_name(text: &str, place: &Place<'_>) -> Option<HeaderName> {
    let name = HeaderName::from_bytes(text.as_bytes()).ok();
    match &name {
        None => place.refuse(Complaint::new("not a field name").found(text).accepted("letters, digits and `-`")),
        Some(name) if FRAMING.contains(&name.as_str()) => {
            let complaint = Complaint::new(format!("`{name}` belongs to the connection, not to a configuration"));
            place.refuse(complaint.remedy(if name == "host" { "use the origin's key `host`" } else { "remove it" }));
            return None;
        }
        Some(_) => {}
    }
    name
}

fn field_value(text: &str, place: &Place<'_>) -> Option<HeaderValue> {
    let value = HeaderValue::from_str(text).ok();
    if value.is_none() {
        place.refuse(Complaint::new("not a field value").found(place.typed()).accepted("one line of visible text"));
    }
    value
}

pub(super) fn tls(section: Option<Section<'_>>, base: &Path) -> OriginTls {
    let Some(mut section) = section else { return OriginTls::default() };
    let ca = section.value("ca").and_then(|value| material::authorities(&value, base));
    let client = material::client(&mut section, base);
    let sni = section.value("sni").and_then(|value| server_name(&value));
    section.finish();
    OriginTls { ca, client, sni }
}

pub(super) fn server_name(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    let valid = rustls_pki_types::DnsName::try_from(text).is_ok();
    if !valid {
        let complaint = Complaint::new("not a server name").found(value.place.typed());
        value.place.refuse(complaint.accepted("a DNS name, like \"packager.example\""));
    }
    valid.then(|| text.to_ascii_lowercase())
}
