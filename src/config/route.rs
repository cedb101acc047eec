//! `[[route]]`: what is served from where.

use std::path::Path;
use std::time::Duration;

use http::Uri;

use super::file::{Section, Value, ms};
use super::finding::{Complaint, Place};
use super::{Cors, CorsRules, LiveMode, Route, capacity, live, origin, reports, sharing};
use crate::rules::caching::negative::{Errors, Statuses};
use crate::rules::uri::Strictness;

/// Paths that the node answers itself.
const RESERVED: &str = "/.weir";
const DAY_MS: u64 = 86_400_000;
const HOUR_MS: u64 = 3_600_000;

/// A route with the places that are compared with the rest of the file.
pub(super) struct Typed<'a> {
    pub(super) route: Route,
    /// The route's table.
    pub(super) place: Place<'a>,
    /// Its name, where one was typed.
    pub(super) name: Option<Place<'a>>,
    /// Its path, where one was typed.
    pub(super) path: Option<Place<'a>>,
    /// Its `warm`, where it was typed.
    pub(super) warm: Option<Place<'a>>,
    /// Its `countries`, where they were typed.
    pub(super) countries: Option<Place<'a>>,
    /// The names of its origins.
    pub(super) origins: Vec<Value<'a>>,
    /// The name of its access, where one was typed.
    pub(super) access: Option<Value<'a>>,
    /// Whether host and path are as typed, so that routes can be compared.
    pub(super) comparable: bool,
}

/// All routes, in the order of the file.
pub(super) fn routes<'a>(value: Option<Value<'a>>, base: &Path) -> Vec<Typed<'a>> {
    let tables = value.map(|value| value.tables()).unwrap_or_default();
    tables.into_iter().map(|section| route(section, base)).collect()
}

#[expect(clippy::too_many_lines, reason = "each key of a route once, in the order of the file")]
fn route<'a>(mut section: Section<'a>, base: &Path) -> Typed<'a> {
    let name = section.value("name");
    let hosts = section.value("host").and_then(|value| value.one_or_many()).unwrap_or_default();
    let typed_hosts = hosts.len();
    let hosts: Vec<String> = hosts.iter().filter_map(host).collect();
    let typed_path = section.value("path");
    let good_path = typed_path.as_ref().map_or_else(|| Some("/".to_owned()), path);
    let comparable = good_path.is_some() && hosts.len() == typed_hosts;
    let path = good_path.unwrap_or_default();
    let origins = section.required("origins", "[\"primary\"]");
    let strip = section.value("strip").and_then(|value| strip(&value, &path)).unwrap_or_default();
    let cors = section.value("cors").map(cors).unwrap_or_else(|| Cors::Edge(CorsRules::default()));
    let https_only = section.value("https_only").and_then(|value| value.flag()).unwrap_or(false);
    let access = section.value("access").filter(|value| value.text().is_some());
    let strict_paths = section.value("strict_paths").and_then(|value| value.flag());
    let max_body = section.value("max_body").and_then(|value| value.size(0..=1 << 40)).unwrap_or(16 << 20);
    let errors = section.value("errors").and_then(|value| value.table()).map(errors).unwrap_or_default();
    let headers = section.table("headers").map(|table| origin::fields(table, base));
    let (set_headers, remove_headers) = headers.unwrap_or_default();
    let treatment = live::treatment(&mut section, &path);
    let sharing = sharing::sharing(&mut section);
    let (countries, countries_place) = capacity::countries(section.value("countries"));
    let promise = capacity::promise(&mut section);
    let reporting = reports::reporting(&mut section);
    let retention = section.value("retention").and_then(|value| value.time(ms(60_000..400 * DAY_MS)));
    let place = section.place.clone();
    section.finish();
    let (origins, weights): (Vec<Value<'_>>, Vec<Option<u32>>) = choices(origins).into_iter().unzip();
    let label = name.as_ref().and_then(Value::text);
    let route = Route {
        name: label.map_or_else(|| format!("{}{path}", hosts.join(",")), str::to_owned),
        hosts,
        path,
        origins: origins.iter().filter_map(Value::as_text).map(str::to_owned).collect(),
        weights,
        failover_after: treatment.failover_after,
        failback: treatment.failback,
        strip,
        cors,
        https_only,
        access: access.as_ref().and_then(Value::as_text).map(str::to_owned),
        strict_paths: match strict_paths.unwrap_or(access.is_some() || treatment.live != LiveMode::Off) {
            true => Strictness::Strict,
            false => Strictness::Lenient,
        },
        max_body,
        live: treatment.live,
        playlists: treatment.playlists,
        keys: treatment.keys,
        query_keep: treatment.query_keep,
        warm: treatment.warm,
        stale_playlist_for: treatment.stale_playlist_for,
        sharing,
        errors,
        set_headers,
        remove_headers,
        countries,
        promise,
        reporting,
        retention,
    };
    let (name, path) = (name.map(|name| name.place), typed_path.map(|path| path.place));
    let countries = countries_place;
    Typed { route, place, name, path, warm: treatment.warm_place, countries, origins, access, comparable }
}

/// The entries of `origins`, at least one.
fn choices(origins: Option<Value<'_>>) -> Vec<(Value<'_>, Option<u32>)> {
    let Some((place, list)) = origins.and_then(|origins| Some((origins.place.clone(), origins.list()?))) else {
        return Vec::new();
    };
    if list.is_empty() {
        place.refuse(Complaint::new("the route has no origin").remedy("name one: `origins = [\"primary\"]`"));
    }
    list.into_iter().filter_map(choice).collect()
}

/// An entry of `origins`: a name, or `{ name, weight }`.
fn choice(value: Value<'_>) -> Option<(Value<'_>, Option<u32>)> {
    if !value.is_table() {
        return value.text().is_some().then_some((value, None));
    }
    let mut section = value.table()?;
    let name = section.required("name", "\"primary\"");
    let weight = section.required("weight", "1").and_then(|weight| weight.count(1..=1_000));
    section.finish();
    let name = name.filter(|name| name.text().is_some())?;
    Some((name, weight.and_then(|weight| u32::try_from(weight).ok())))
}

/// For how long errors are kept, by status or class.
fn errors(section: Section<'_>) -> Errors {
    let mut lifetimes = Vec::new();
    for (name, value) in section.named_values() {
        let Some(statuses) = Statuses::parse(&name) else {
            let complaint = Complaint::new("no error that may be kept").found(format!("\"{name}\""));
            let remedy = "428, 429, 431 and 511 are never kept (RFC 6585); what succeeds lives by its Cache-Control";
            value.place.refuse(complaint.accepted("a status like \"404\", or \"4xx\", \"5xx\"").remedy(remedy));
            continue;
        };
        if let Some(lifetime) = value.time(ms(0..HOUR_MS)) {
            lifetimes.push((statuses, lifetime));
        }
    }
    Errors::new(lifetimes)
}

/// A host or a wildcard, in lower case.
fn host(value: &Value<'_>) -> Option<String> {
    let text = value.text()?.to_ascii_lowercase();
    let refuse = |message: &str, remedy: Option<String>| {
        let complaint = Complaint::new(message).found(value.place.typed());
        value.place.refuse(complaint.accepted("a host name or \"*.example.com\"").perhaps(remedy));
        None
    };
    if text == "*" {
        return refuse("any host is meant", Some("leave `host` out".to_owned()));
    }
    if let Some((_, rest)) = text.split_once("://") {
        let meant = rest.split(['/', ':']).next().unwrap_or_default();
        return refuse("a URL is no host", Some(format!("did you mean \"{meant}\"?")));
    }
    let literal = text.starts_with('[') && text.ends_with(']');
    if literal {
        let inner = text[1..text.len() - 1].parse::<std::net::Ipv6Addr>();
        return if inner.is_ok() { Some(text) } else { refuse("not an IPv6 address", None) };
    }
    if let Some((name, _)) = text.rsplit_once(':') {
        return refuse("the port is no part of a route", Some(format!("did you mean \"{name}\"?")));
    }
    let name = text.strip_prefix("*.").unwrap_or(&text);
    let label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        !label.is_empty() && label.len() <= 63 && label.bytes().all(inner)
    };
    if name.len() > 253 || !name.split('.').all(label) {
        return refuse("not a host name", None);
    }
    Some(text)
}

/// A path prefix in canonical form, with at most one `{stream}`.
fn path(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    let refuse = |message: &str, remedy: Option<String>| {
        let complaint = Complaint::new(message).found(value.place.typed());
        value.place.refuse(complaint.accepted("a path like \"/live/{stream}/\"").perhaps(remedy));
        None
    };
    if !text.starts_with('/') {
        return refuse("a path starts with `/`", Some(format!("did you mean \"/{text}\"?")));
    }
    if text.contains(['?', '#']) {
        return refuse("a route is chosen by path alone", Some("end it before the `?` or `#`".to_owned()));
    }
    if let Some(folder) = text.strip_suffix('*') {
        return refuse("a path is a prefix already", Some(format!("did you mean \"{folder}\"?")));
    }
    let segments: Vec<&str> = text.split('/').collect();
    if segments.iter().any(|segment| matches!(*segment, "." | "..")) || text.contains("//") {
        return refuse("no request has such a path: dots and double slashes are resolved before", None);
    }
    let placeholders = segments.iter().filter(|segment| **segment == "{stream}").count();
    let braces = text.matches(['{', '}']).count();
    if braces != 2 * placeholders {
        let other = segments.iter().find(|segment| segment.contains(['{', '}']) && **segment != "{stream}");
        let message = format!("`{}` is no placeholder", other.unwrap_or(&""));
        return refuse(&message, Some("only `{stream}`, as a whole segment, names something".to_owned()));
    }
    if placeholders > 1 {
        return refuse("`{stream}` stands there twice", Some("keep the one that names the stream".to_owned()));
    }
    if text == RESERVED || text.starts_with("/.weir/") {
        return refuse("paths under `/.weir/` are the node's own", Some("choose another path".to_owned()));
    }
    let plain = text.replace("{stream}", "stream");
    if plain.parse::<Uri>().map(|uri| uri.path() == plain).unwrap_or(false) && escapes_hold(&plain) {
        return Some(text.to_owned());
    }
    refuse("a path holds visible ASCII and percent escapes", Some("write other characters as %XX".to_owned()))
}

/// Whether every `%` begins an escape.
fn escapes_hold(path: &str) -> bool {
    path.split('%').skip(1).all(|after| {
        let digits = after.as_bytes();
        digits.len() >= 2 && digits[..2].iter().all(u8::is_ascii_hexdigit)
    })
}

/// A prefix of the route's path, without its last slash.
fn strip(value: &Value<'_>, path: &str) -> Option<String> {
    let text = value.text()?.trim_end_matches('/');
    if path.is_empty() {
        return None; // the path is no path: said already
    }
    let fixed = path.split("/{stream}").next().unwrap_or_default();
    let rest = fixed.strip_prefix(text);
    let whole =
        text.is_empty() || (text.starts_with('/') && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')));
    if !whole {
        let complaint = Complaint::new("only what every path of the route begins with can be stripped");
        let accepted = format!("whole segments from the start of \"{path}\", before any placeholder");
        value.place.refuse(complaint.found(value.place.typed()).accepted(accepted));
        return None;
    }
    Some(text.to_owned())
}

impl Default for CorsRules {
    /// Every site may read, without cookies.
    fn default() -> Self {
        Self {
            origins: vec!["*".to_owned()],
            credentials: false,
            allow_headers: Vec::new(),
            expose_headers: Vec::new(),
            max_age: Duration::from_secs(7_200),
        }
    }
}

fn cors(value: Value<'_>) -> Cors {
    if let Some(word) = value.as_text() {
        if word != "origin" {
            let complaint = Complaint::new("unknown word").found(value.place.typed());
            value.place.refuse(complaint.accepted("\"origin\", or a table `{ origins = […], … }`"));
        }
        return Cors::Origin;
    }
    let mut rules = CorsRules::default();
    let Some(mut section) = value.table() else { return Cors::Edge(rules) };
    let origins = section.value("origins").and_then(|value| value.list().map(|list| (value, list)));
    let credentials = section.value("credentials");
    if let Some((place, list)) = &origins {
        rules.origins = list.iter().filter_map(cors_origin).collect();
        let all = rules.origins.iter().any(|origin| origin == "*");
        if all && rules.origins.len() > 1 {
            place
                .place
                .refuse(Complaint::new("`*` already allows every site").remedy("keep `*`, or the list without it"));
        }
    }
    rules.credentials = credentials.as_ref().and_then(|value| value.flag()).unwrap_or(false);
    if let Some(value) = &credentials
        && rules.credentials
        && rules.origins.iter().any(|origin| origin == "*")
    {
        let complaint = Complaint::new("credentials for every site would let any page read with a viewer's cookies");
        value
            .place
            .refuse(complaint.found("credentials = true with origins = [\"*\"]").remedy("list the sites in `origins`"));
    }
    let names = |value: Option<Value<'_>>| -> Vec<http::HeaderName> {
        let items = value.and_then(|value| value.list()).unwrap_or_default();
        items.iter().filter_map(|item| origin::field_name(item.text()?, &item.place)).collect()
    };
    rules.allow_headers = names(section.value("allow_headers"));
    rules.expose_headers = names(section.value("expose_headers"));
    rules.max_age = section.value("max_age").and_then(|value| value.time(ms(0..DAY_MS))).unwrap_or(rules.max_age);
    section.finish();
    Cors::Edge(rules)
}

/// An origin as a browser writes it (RFC 6454 §6.2), `null`, or `*`.
fn cors_origin(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    if matches!(text, "*" | "null") {
        return Some(text.to_owned());
    }
    let meant = text.parse::<Uri>().ok().and_then(|uri| {
        let (scheme, authority) =
            (uri.scheme_str()?.to_ascii_lowercase(), uri.authority()?.as_str().to_ascii_lowercase());
        let default = if scheme == "https" { ":443" } else { ":80" };
        Some(format!("{scheme}://{}", authority.strip_suffix(default).unwrap_or(&authority)))
    });
    if meant.as_deref() == Some(text) && !text.contains('*') {
        return Some(text.to_owned());
    }
    let complaint = Complaint::new("browsers send no such origin").found(value.place.typed());
    let meant = meant.or_else(|| format!("https://{text}").parse::<Uri>().ok().map(|_| format!("https://{text}")));
    let remedy = meant.filter(|meant| !meant.contains('*')).map(|meant| format!("did you mean \"{meant}\"?"));
    value.place.refuse(
        complaint.accepted("\"*\", \"null\", or a scheme and host like \"https://www.example.com\"").perhaps(remedy),
    );
    None
}
