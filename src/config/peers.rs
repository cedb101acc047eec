//! `[peers]`: the other nodes of the region, and how they prove themselves to each other.

use std::net::Ipv6Addr;
use std::path::Path;
use std::time::Duration;

use http::uri::Authority;

use super::file::{Section, Value, ms};
use super::finding::{Complaint, Place, Report};
use super::{Address, Config, Members, OriginScheme, PeerTls, Peers, material};

const NODES: &str = "\"http://10.0.0.2:9443\", or \"https://…\" with `tls`";
const HOUR_MS: u64 = 3_600_000;

/// `[peers]` as it was typed.
pub(super) struct Typed<'a> {
    place: Place<'a>,
    pub(super) peers: Peers,
}

/// A node as a list names it.
struct Name {
    /// `host:port`, lower case.
    authority: String,
    /// How it is asked; `None`: that is not said.
    scheme: Option<OriginScheme>,
}

/// `[peers]`
pub(super) fn peers<'a>(mut section: Section<'a>, base: &Path) -> Typed<'a> {
    let place = section.place.clone();
    let secret = section.value("secret");
    let tls_section = section.table("tls");
    let has_lock = secret.is_some() || tls_section.is_some();
    let secret = secret.and_then(|value| material::secret(&value, base));
    let tls = tls_section.and_then(|section| tls(section, base));
    let scheme = if tls.is_some() { OriginScheme::Https } else { OriginScheme::Http };
    let own = section.value("self");
    let own_name = own.as_ref().and_then(|value| node(value, scheme));
    let members = members(&mut section, scheme);
    if let (Some(own), Some(name), Members::Listed(nodes)) = (&own, &own_name, &members)
        && !nodes.contains(name)
    {
        let complaint = Complaint::new("`nodes` does not name this node itself").found(own.place.typed());
        own.place.refuse(complaint.remedy("write the same list on every node, and `self` as it stands there"));
    }
    let time = |value: Option<Value<'_>>, default_ms| {
        value.and_then(|value| value.time(ms(1..HOUR_MS))).unwrap_or(Duration::from_millis(default_ms))
    };
    let connect = time(section.value("connect"), 1_000);
    let first_byte = time(section.value("first_byte"), 6_000);
    let refresh = time(section.value("refresh"), 10_000);
    section.finish();
    let refused = |what: &str, remedy: &str| place.refuse_absence(Complaint::new(what).remedy(remedy));
    if !has_lock {
        refused(
            "anybody could say that they are a node of this region",
            "add `secret = \"region.secret\"`, or `tls = { ca = …, cert = …, key = … }`",
        );
    }
    if own.is_none() && members != Members::Nobody {
        refused("this node does not know which of the peers it is", "add `self = \"HOST:PORT\"` as the others name it");
    }
    let peers = Peers { own: own_name, members, secret, tls, connect, first_byte, refresh };
    Typed { place, peers }
}

fn members(section: &mut Section<'_>, scheme: OriginScheme) -> Members {
    let (nodes, dns) = (section.value("nodes"), section.value("dns"));
    if let (Some(_), Some(dns)) = (&nodes, &dns) {
        let complaint = Complaint::new("the peers are both listed and named");
        dns.place.refuse(complaint.remedy("keep one of `nodes` and `dns`"));
    }
    match (nodes, dns) {
        (None, None) => Members::Nobody,
        (Some(nodes), _) => {
            let listed = nodes.list().unwrap_or_default();
            let mut names: Vec<String> = Vec::new();
            for value in &listed {
                let Some(name) = node(value, scheme) else { continue };
                if names.contains(&name) {
                    let complaint = Complaint::new("the node is listed twice").found(value.place.typed());
                    value.place.refuse(complaint.remedy("list it once"));
                }
                names.push(name);
            }
            Members::Listed(names)
        }
        (None, Some(dns)) => named(&dns).unwrap_or(Members::Nobody),
    }
}

fn named(dns: &Value<'_>) -> Option<Members> {
    let name = name(dns, "\"weir-peers.internal:9443\"")?;
    let (host, port) = name.authority.rsplit_once(':')?;
    Some(Members::Named { host: host.to_owned(), port: port.parse().ok()? })
}

/// `host:port` of a node.
fn node(value: &Value<'_>, scheme: OriginScheme) -> Option<String> {
    let name = name(value, NODES)?;
    if name.scheme.is_some_and(|other| other != scheme) {
        let remedy = match scheme {
            OriginScheme::Https => "write https, for `tls` is set",
            OriginScheme::Http => "add `tls = { ca = …, cert = …, key = … }`, or write http",
        };
        value
            .place
            .refuse(Complaint::new("the node's scheme does not fit `tls`").found(value.place.typed()).remedy(remedy));
        return None;
    }
    Some(name.authority)
}

fn name(value: &Value<'_>, accepted: &str) -> Option<Name> {
    let text = value.text()?;
    let (scheme, rest) = match text.split_once("://") {
        Some(("http", rest)) => (Some(OriginScheme::Http), rest),
        Some(("https", rest)) => (Some(OriginScheme::Https), rest),
        Some(_) => (None, ""),
        None => (None, text),
    };
    let authority = rest.trim_end_matches('/').to_ascii_lowercase();
    let parsed = authority.parse::<Authority>().ok().filter(|parsed| !parsed.as_str().contains('@'));
    let host_and_port = parsed.as_ref().and_then(|parsed| Some((parsed.host(), parsed.port_u16()?)));
    match host_and_port {
        Some((host, port)) if port != 0 && is_host(host) => Some(Name { authority, scheme }),
        _ => {
            let complaint = Complaint::new("not a node with its port").found(value.place.typed());
            value.place.refuse(complaint.accepted(accepted));
            None
        }
    }
}

/// What stands in a field of ours unquoted.
fn is_host(host: &str) -> bool {
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)),
    }
}

fn tls(mut section: Section<'_>, base: &Path) -> Option<PeerTls> {
    let ca = section.required("ca", "\"region-ca.pem\"");
    let cert = section.required("cert", "\"node.pem\"");
    let key = section.required("key", "\"node.key\"");
    let name = section.value("name").and_then(|value| value.text()).map(str::to_ascii_lowercase);
    section.finish();
    let ca = ca.and_then(|value| material::authorities(&value, base));
    let own = cert.zip(key).and_then(|(cert, key)| material::pair(&cert, &key, base));
    Some(PeerTls { ca: ca?, own: own?, name })
}

/// Checks the table against the listener: who asks can be asked, and who can be asked knows who may.
pub(super) fn together<'a>(
    config: &Config,
    report: &'a Report,
    typed: Option<&Typed<'a>>,
    addresses: &[(Place<'a>, Address)],
) {
    match (&config.listen.peers, typed) {
        (Some(listener), None) => {
            let place = addresses.iter().find(|(_, address)| *address == listener.address);
            let place = place.map_or_else(|| report.file(), |(place, _)| place.clone());
            let complaint = Complaint::new("nothing says how those who come to `listen.peers` prove themselves");
            let remedy = "add `[peers]` with `secret = \"region.secret\"`, or with `tls`";
            report.refuse_absence(&place, "peers", complaint.remedy(remedy));
        }
        (None, Some(typed)) => {
            let complaint = Complaint::new("nobody can ask this node: it does not listen for its peers");
            typed.place.refuse_absence(complaint.remedy("add `peers = \"10.0.0.1:9443\"` in `[listen]`"));
        }
        (Some(_), Some(_)) | (None, None) => {}
    }
}

/// Whether anything but the list of nodes differs: that alone is followed while the node runs.
pub(super) fn differ(old: Option<&Peers>, new: Option<&Peers>) -> bool {
    let without_list = |peers: &Peers| match peers.members {
        Members::Listed(_) => Peers { members: Members::Listed(Vec::new()), ..peers.clone() },
        Members::Nobody | Members::Named { .. } => peers.clone(),
    };
    old.map(without_list) != new.map(without_list)
}
