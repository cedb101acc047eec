//! A configuration in sentences: what the node will do, and its memory in sum.

mod limits;
mod sinks;

use serde::Serialize;

use crate::config::value::{rough_size, write_time};
use crate::config::{
    Address, Config, DiskEngine, HostHeader, Keys, Listener, LiveMode, LogPath, Machine, Origin, OriginScheme,
    Playlists, Route, TlsVersion,
};

/// Measured for an idle connection over TLS, HTTP/2 or HTTP/3, with the kernel's share left out.
const CONNECTION_COST: u64 = 48 << 10;

/// Memory in bytes.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Memory {
    /// The ceiling of bodies, heads, index and fills.
    cache: u64,
    /// As many idle connections as `limits.connections` lets in.
    connections: u64,
    /// Both.
    sum: u64,
    /// What this process may use.
    machine: u64,
}

impl Memory {
    pub(super) fn of(config: &Config, machine: &Machine) -> Self {
        let connections = CONNECTION_COST.saturating_mul(config.limits.connections as u64);
        let cache = config.cache.memory;
        Self { cache, connections, sum: cache.saturating_add(connections), machine: machine.memory }
    }

    fn sentence(&self, config: &Config) -> String {
        let fits = if self.sum <= self.machine {
            String::new()
        } else {
            " A full house would not fit: lower `limits.connections` or `cache.memory`.".to_owned()
        };
        format!(
            "Memory: the cache takes up to {}; {} idle connections take about {} more; together {} of the {} here.{fits}",
            rough_size(self.cache),
            config.limits.connections,
            rough_size(self.connections),
            rough_size(self.sum),
            rough_size(self.machine),
        )
    }
}

/// What the node will do, a sentence each.
pub(super) fn sentences(config: &Config, machine: &Machine) -> Vec<String> {
    let mut sentences = vec![node(config)];
    sentences.extend(listeners(config));
    sentences.push(admin(config));
    for asked in &config.origins {
        sentences.push(origin(asked));
        sentences.extend(asked.terms().into_iter().map(|term| format!("Origin `{}`: the node {term}.", asked.name)));
    }
    for served in &config.routes {
        sentences.push(route(served));
        sentences.extend(treatment(served));
    }
    sentences.extend(streams(config));
    sentences.extend(limits::sentences(config));
    sentences.push(state(config));
    sentences.extend(journal(config));
    sentences.extend(disk(config));
    sentences.extend(sinks::sentences(config));
    sentences.push(log(config));
    sentences.push(format!(
        "On SIGTERM it accepts for {} more, then lets viewers finish within {}.",
        write_time(config.shutdown.delay),
        write_time(config.shutdown.deadline)
    ));
    sentences.push(Memory::of(config, machine).sentence(config));
    sentences
}

fn node(config: &Config) -> String {
    let region = config.node.region.as_ref().map(|region| format!(" in region {region}")).unwrap_or_default();
    format!("The node calls itself `{}`{region} and runs {}.", config.node.name, count(config.node.workers, "worker"))
}

fn listeners(config: &Config) -> Vec<String> {
    let listen = &config.listen;
    let mut sentences = Vec::new();
    if !listen.http.is_empty() {
        sentences.push(format!("Viewers in cleartext (HTTP/1.1, HTTP/2) come to {}.", doors(&listen.http)));
    }
    if !listen.https.is_empty() {
        let http3 = if config.http3.enabled { ", HTTP/3 on the same UDP port" } else { "" };
        let version = match config.tls.min_version {
            TlsVersion::V12 => "TLS 1.2 and 1.3",
            TlsVersion::V13 => "TLS 1.3",
        };
        let certificates = count(config.tls.certificates.len(), "certificate");
        let doors = doors(&listen.https);
        sentences
            .push(format!("Viewers over TLS (HTTP/1.1, HTTP/2{http3}) come to {doors}; {certificates}, {version}."));
    }
    if !listen.trusted_proxies.is_empty() {
        let prefixes: Vec<String> = listen.trusted_proxies.iter().map(ToString::to_string).collect();
        sentences.push(format!("{} may say where a viewer comes from.", prefixes.join(", ")));
    }
    sentences
}

fn doors(listeners: &[Listener]) -> String {
    let door = |listener: &Listener| match listener.proxy_protocol.as_slice() {
        [] => listener.address.to_string(),
        from => {
            let from: Vec<String> = from.iter().map(ToString::to_string).collect();
            format!("{} (PROXY protocol from {})", listener.address, from.join(", "))
        }
    };
    listeners.iter().map(door).collect::<Vec<_>>().join(", ")
}

fn admin(config: &Config) -> String {
    let monitor = match &config.listen.monitor {
        Some(address) => format!(" Health and metrics are open to all on {address}."),
        None => String::new(),
    };
    let admin = match &config.listen.admin {
        None => "There is no admin API.".to_owned(),
        Some(address @ Address::Socket(socket)) if !socket.ip().is_loopback() => {
            format!("The admin API is on {address}, over TLS, for {}.", count(config.admin.tokens.len(), "token"))
        }
        Some(address) => format!("The admin API is on {address}."),
    };
    admin + &monitor
}

fn origin(origin: &Origin) -> String {
    let host = match &origin.host_header {
        HostHeader::Origin => String::new(),
        HostHeader::Viewer => ", with the viewer's Host".to_owned(),
        HostHeader::Name(name) => format!(", as Host {name}"),
    };
    format!(
        "Origin `{}` is {}{host}: up to {} and {}; {} to connect, {} to the first byte, {} of silence.",
        origin.name,
        url(origin),
        count(origin.connections, "connection"),
        count(origin.requests, "request"),
        write_time(origin.connect),
        write_time(origin.first_byte),
        write_time(origin.idle),
    )
}

/// The URL of an origin, default ports left out.
pub(super) fn url(origin: &Origin) -> String {
    let (scheme, default_port) = match origin.scheme {
        OriginScheme::Http => ("http", 80),
        OriginScheme::Https => ("https", 443),
    };
    let host = if origin.host.contains(':') { format!("[{}]", origin.host) } else { origin.host.clone() };
    let port = if origin.port == default_port { String::new() } else { format!(":{}", origin.port) };
    format!("{scheme}://{host}{port}{}", origin.base_path)
}

fn route(route: &Route) -> String {
    let hosts = if route.hosts.is_empty() { "any host".to_owned() } else { route.hosts.join(", ") };
    let origins: Vec<String> = route.origins.iter().map(|name| format!("`{name}`")).collect();
    let strip = if route.strip.is_empty() { String::new() } else { format!(", without {}", route.strip) };
    let only = if route.https_only { "; cleartext is redirected to TLS" } else { "" };
    format!("Route `{}` serves {} of {hosts} from {}{strip}{only}.", route.name, route.path, origins.join(", then "))
}

/// How a route treats live streams, where that is not the usual way.
fn treatment(route: &Route) -> Option<String> {
    if route.live == LiveMode::Off {
        return Some(format!("Route `{}` knows no playlists: all its responses are plain.", route.name));
    }
    let mut said = Vec::new();
    match route.playlists {
        Playlists::Auto => {}
        Playlists::Shared => said.push("its playlists are the same for all, whatever they say".to_owned()),
        Playlists::PerViewer => {
            said.push("each viewer gets playlists of their own, straight from the origin".to_owned())
        }
    }
    if !route.query_keep.is_empty() {
        said.push(format!("{} in a query makes another playlist", route.query_keep.join(", ")));
    }
    if route.keys == Keys::Shared {
        said.push("decryption keys are cached".to_owned());
    }
    if !route.warm.is_empty() {
        said.push(format!("{} is followed from the start", route.warm.join(", ")));
    }
    (!said.is_empty()).then(|| format!("Route `{}`: {}.", route.name, said.join("; ")))
}

fn streams(config: &Config) -> Option<String> {
    let lives = config.routes.iter().any(|route| route.live == LiveMode::Auto);
    let limits = &config.limits;
    lives.then(|| {
        format!(
            "Up to {} are followed at once, {} after their last viewer, and {} held.",
            count(limits.followers, "playlist"),
            write_time(limits.follow_grace),
            count(limits.held_reloads, "reload"),
        )
    })
}

fn state(config: &Config) -> String {
    match &config.node.state {
        Some(folder) => format!("What must survive a restart is kept in {}.", folder.display()),
        None => "A restart forgets how far each stream had come: `state` in [node] names no folder.".to_owned(),
    }
}

fn journal(config: &Config) -> Option<String> {
    let journal = &config.journal;
    if !config.qoe.enabled {
        return None;
    }
    let kept = "What viewers experience is kept for";
    let (keep, size) = (write_time(journal.keep), rough_size(journal.size));
    Some(match &config.node.state {
        Some(_) => {
            let (engine, sync) = (by(journal.engine), write_time(journal.sync));
            format!("{kept} {keep}, up to {size}, {engine}, on the disk {sync} after it was written.")
        }
        None => format!(
            "{kept} {keep}, up to {} of memory; a restart forgets it: `state` in [node] names no folder.",
            rough_size(journal.in_memory())
        ),
    })
}

const fn by(engine: DiskEngine) -> &'static str {
    match engine {
        DiskEngine::Auto => "over io_uring where the kernel allows it, by threads elsewhere",
        DiskEngine::IoUring => "over io_uring",
        DiskEngine::Threads => "by threads",
    }
}

fn disk(config: &Config) -> Option<String> {
    let disk = config.cache.disk.as_ref()?;
    let engine = by(disk.engine);
    let (path, size) = (disk.path.display(), rough_size(disk.size));
    Some(format!("What memory lets go of is kept in {path}, up to {size}, {engine}."))
}

fn log(config: &Config) -> String {
    match &config.access_log {
        None => "Requests are not logged.".to_owned(),
        Some(log) => match &log.path {
            LogPath::Stdout => "Requests are logged to standard output.".to_owned(),
            LogPath::File(path) => format!("Requests are logged to {}.", path.display()),
        },
    }
}

/// A number and its noun.
pub(super) fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
