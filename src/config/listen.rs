//! `[listen]`, `[http3]` and `[tls]`: the doors of the node.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;

use super::file::{Section, Value, ms};
use super::finding::{Complaint, Place};
use super::{Address, Http3, Listen, Listener, Tls, TlsVersion, material, value};

/// Where the admin API listens unless the file says otherwise.
const ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9180);
const DAY_MS: u64 = 86_400_000;
const ADDRESSES: &str = "\"[::]:8080\", \"127.0.0.1:8080\", \"fd:NAME\" or \"unix:/path\"";

impl fmt::Display for Address {
    /// As the configuration writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(address) => write!(f, "{address}"),
            Self::Inherited(name) => write!(f, "fd:{name}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// `[listen]`, and the place of each address for those who compare them.
pub(super) fn listen<'a>(section: Option<Section<'a>>, base: &Path) -> (Listen, Vec<(Place<'a>, Address)>) {
    let mut listen = Listen {
        http: Vec::new(),
        https: Vec::new(),
        admin: admin(None, base),
        monitor: None,
        peers: None,
        congestion: None,
        trusted_proxies: Vec::new(),
    };
    let Some(mut section) = section else { return (listen, Vec::new()) };
    let mut places = Vec::new();
    listen.http = listeners(section.value("http"), base, &mut places);
    listen.https = listeners(section.value("https"), base, &mut places);
    listen.admin = admin_of(&mut section, base, &mut places);
    listen.monitor = section.value("monitor").and_then(|monitor| single(&monitor, base, &mut places));
    let peers = section.value("peers").and_then(|peers| single(&peers, base, &mut places));
    listen.peers = peers.map(|address| Listener { address, proxy_protocol: Vec::new() });
    listen.congestion = section.value("congestion").and_then(|word| congestion(&word));
    listen.trusted_proxies = prefixes(section.value("trusted_proxies"));
    section.finish();
    (listen, places)
}

/// `listen.admin` alone.
pub(super) fn admin(section: Option<Section<'_>>, base: &Path) -> Option<Address> {
    match section {
        None => Some(Address::Socket(ADMIN)),
        Some(mut section) => admin_of(&mut section, base, &mut Vec::new()),
    }
}

fn admin_of<'a>(section: &mut Section<'a>, base: &Path, places: &mut Vec<(Place<'a>, Address)>) -> Option<Address> {
    match section.value("admin") {
        None => Some(Address::Socket(ADMIN)),
        Some(off) if off.is_false() => None,
        Some(admin) => single(&admin, base, places),
    }
}

fn listeners<'a>(value: Option<Value<'a>>, base: &Path, places: &mut Vec<(Place<'a>, Address)>) -> Vec<Listener> {
    let entries = value.and_then(|value| value.list()).unwrap_or_default();
    entries.iter().filter_map(|entry| listener(entry, base, places)).collect()
}

fn listener<'a>(entry: &Value<'a>, base: &Path, places: &mut Vec<(Place<'a>, Address)>) -> Option<Listener> {
    if !entry.is_table() {
        return Some(Listener { address: single(entry, base, places)?, proxy_protocol: Vec::new() });
    }
    let mut section = entry.table()?;
    let address = section.required("addr", "\"[::]:8080\"");
    let from = section.value("proxy_protocol");
    if let Some(from) = &from
        && from.list().is_some_and(|list| list.is_empty())
    {
        let complaint = Complaint::new("nobody may send a PROXY header, so nobody can connect");
        from.place.refuse(complaint.remedy("name the balancer's prefixes, or leave the key out"));
    }
    let proxy_protocol = prefixes(from);
    section.finish();
    Some(Listener { address: single(&address?, base, places)?, proxy_protocol })
}

fn single<'a>(value: &Value<'a>, base: &Path, places: &mut Vec<(Place<'a>, Address)>) -> Option<Address> {
    let address = address(value, base)?;
    places.push((value.place.clone(), address.clone()));
    Some(address)
}

fn address(value: &Value<'_>, base: &Path) -> Option<Address> {
    let text = value.as_digits().map_or_else(|| value.text(), Some)?;
    let refuse = |message: &str, remedy: Option<String>| {
        let complaint = Complaint::new(message).found(value.place.typed()).accepted(ADDRESSES);
        value.place.refuse(complaint.perhaps(remedy));
        None
    };
    if let Some(name) = text.strip_prefix("fd:") {
        return match name {
            "" => refuse("the inherited socket has no name", None),
            name => Some(Address::Inherited(name.to_owned())),
        };
    }
    if let Some(path) = text.strip_prefix("unix:") {
        return match path {
            "" => refuse("the Unix socket has no path", None),
            path => Some(Address::Unix(base.join(path))),
        };
    }
    if let Ok(address) = text.parse() {
        return Some(Address::Socket(address));
    }
    let meant = match text.rsplit_once(':') {
        _ if text.parse::<IpAddr>().is_ok() => {
            return refuse(
                "the address has no port",
                Some(format!("did you mean \"{}\"?", SocketAddr::new(text.parse().ok()?, 8080))),
            );
        }
        None if text.parse::<u16>().is_ok() => Some(format!("[::]:{text}")),
        Some(("" | "*", port)) => Some(format!("[::]:{port}")),
        Some(("localhost", port)) => Some(format!("127.0.0.1:{port}")),
        _ if text.starts_with('/') => Some(format!("unix:{text}")),
        _ => None,
    };
    refuse("not an address to listen on", meant.map(|meant| format!("did you mean \"{meant}\"?")))
}

/// The name of a congestion control of the kernel: it goes into a socket option of 16 octets.
fn congestion(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    let fits = text.len() < 16 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !fits {
        let complaint = Complaint::new("not a congestion control").found(value.place.typed());
        let accepted = "a name out of /proc/sys/net/ipv4/tcp_available_congestion_control, like \"cubic\" or \"bbr\"";
        value.place.refuse(complaint.accepted(accepted));
    }
    fits.then(|| text.to_owned())
}

/// A list of address prefixes.
pub(super) fn prefixes(value: Option<Value<'_>>) -> Vec<IpNet> {
    let items = value.and_then(|value| value.list()).unwrap_or_default();
    let prefix = |item: &Value<'_>| {
        let text = item.text()?;
        value::prefix(text).map_err(|error| item.bad("not an address prefix", error)).ok()
    };
    items.iter().filter_map(prefix).collect()
}

/// `[http3]`
pub(super) fn http3(section: Option<Section<'_>>) -> Http3 {
    let mut http3 = Http3 { enabled: true, advertise_port: None, max_age: Duration::from_secs(3_600), gso: true };
    let Some(mut section) = section else { return http3 };
    http3.enabled = section.value("enabled").and_then(|value| value.flag()).unwrap_or(http3.enabled);
    let port = section.value("advertise_port").and_then(|value| value.count(1..=65_535));
    http3.advertise_port = port.and_then(|port| u16::try_from(port).ok());
    let max_age = section.value("max_age").and_then(|value| value.time(ms(1_000..365 * DAY_MS)));
    http3.max_age = max_age.unwrap_or(http3.max_age);
    http3.gso = section.value("gso").and_then(|value| value.flag()).unwrap_or(http3.gso);
    section.finish();
    http3
}

/// `[tls]`
pub(super) fn tls(section: Option<Section<'_>>, base: &Path) -> Tls {
    let mut tls = Tls { certificates: Vec::new(), min_version: TlsVersion::V12 };
    let Some(mut section) = section else { return tls };
    let entries = section.value("certificates").map(|value| value.tables()).unwrap_or_default();
    tls.certificates = entries.into_iter().filter_map(|entry| material::certificate(entry, base)).collect();
    let words = [("1.2", TlsVersion::V12), ("1.3", TlsVersion::V13)];
    let version = section.value("min_version").and_then(|value| value.choice(&words));
    tls.min_version = version.unwrap_or(tls.min_version);
    section.finish();
    tls
}
