//! What an `edge.toml` means. `file` is what was typed; between the two everything is checked once and all problems
//! are reported together. A `Config` cannot hold nonsense: whoever has one need not check it again.

pub mod access;
pub mod aws;
mod capacity;
mod checks;
pub mod feed;
mod file;
mod finding;
mod formats;
mod issuer;
mod key_source;
mod limits;
mod listen;
mod live;
mod machine;
mod material;
mod nats;
mod origin;
mod peers;
pub mod qoe;
mod read;
pub mod reports;
mod route;
mod secrets;
mod sharing;
pub mod sinks;
mod suggest;
mod syntax;
mod tables;
mod terms;
#[cfg(test)]
mod tests;
pub mod value;
mod webhook;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::rules::caching::negative::Errors;

pub use capacity::{Capacity, Geo, Promise};
pub use finding::{Finding, Problems};
pub use limits::Limits;
pub use machine::Machine;
pub use material::{Secret, read_up_to};
pub use nats::{Nats, NatsLogin, NatsServer, NatsTls};
pub use secrets::{BadSecrets, Secrets};
pub use sharing::{Sharing, Wishes};
pub use value::Rate;
pub use webhook::Webhook;

/// A whole, checked configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Who this node is.
    pub node: Node,
    /// Where it listens.
    pub listen: Listen,
    /// HTTP/3 beside HTTPS.
    pub http3: Http3,
    /// Certificates for TLS and QUIC.
    pub tls: Tls,
    /// The memory cache.
    pub cache: Cache,
    /// Where media comes from, in the order of the file.
    pub origins: Vec<Origin>,
    /// What is served from where; the first that matches wins.
    pub routes: Vec<Route>,
    /// Where requests are logged; `None`: nowhere.
    pub access_log: Option<AccessLog>,
    /// Bounds of everything.
    pub limits: Limits,
    /// How the node stops.
    pub shutdown: Shutdown,
    /// Who may use the admin API off loopback.
    pub admin: Admin,
    /// Label cardinality of metrics.
    pub metrics: Metrics,
    /// The other nodes of the region, and how they prove themselves; `None`: this node stands alone.
    pub peers: Option<Peers>,
    /// How much the node can do, and who goes first; `None`: everybody is let in.
    pub capacity: Option<Capacity>,
    /// Who says where viewers are.
    pub geo: Geo,
    /// How the nodes of the region tell each other what happens; `None`: this one tells nobody.
    pub nats: Option<Nats>,
    /// What is kept and told of viewers' experience.
    pub qoe: qoe::Qoe,
    /// Where it is kept.
    pub journal: qoe::Journal,
    /// Who sees what is gated.
    pub accesses: Vec<access::Access>,
}

/// `[node]`
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// In Via, Cache-Status, CDN-Loop and events; a token (RFC 9110 §5.6.2). Default: the host name.
    pub name: String,
    /// Label of the place it stands in.
    pub region: Option<String>,
    /// Worker threads; default: one per core the process may use.
    pub workers: usize,
    /// The folder of what must survive a restart; `None`: nothing does.
    pub state: Option<PathBuf>,
    /// What keys are derived from that nodes of the region share; `None`: a secret of its own, kept in `state`.
    pub secrets: Option<Secrets>,
}

/// `[listen]`
#[derive(Clone, Debug, PartialEq)]
pub struct Listen {
    /// Cleartext HTTP/1.1 and HTTP/2 with prior knowledge.
    pub http: Vec<Listener>,
    /// HTTP/1.1 and HTTP/2 over TLS, HTTP/3 on the same UDP port.
    pub https: Vec<Listener>,
    /// The admin API; `None`: none.
    pub admin: Option<Address>,
    /// Health and metrics alone, without credentials.
    pub monitor: Option<Address>,
    /// The other nodes of the region, and lower tiers; whoever comes here must prove that it belongs to them.
    pub peers: Option<Listener>,
    /// TCP congestion control by the kernel's name; `None`: the kernel's default.
    pub congestion: Option<String>,
    /// Who may say where a viewer comes from (Forwarded, X-Forwarded-For).
    pub trusted_proxies: Vec<IpNet>,
}

/// One entry of `listen.http` or `listen.https`.
#[derive(Clone, Debug, PartialEq)]
pub struct Listener {
    /// What is bound or inherited.
    pub address: Address,
    /// Peers that begin every connection with a PROXY protocol header; others must not send one.
    pub proxy_protocol: Vec<IpNet>,
}

/// Where a listener listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// An IP address and port; `[::]` accepts IPv4 too.
    Socket(SocketAddr),
    /// A socket inherited from the service manager, by its name (`fd:NAME`).
    Inherited(String),
    /// A Unix stream socket.
    Unix(PathBuf),
}

/// `[http3]`
#[derive(Clone, Debug, PartialEq)]
pub struct Http3 {
    /// Whether the `https` listeners also answer HTTP/3.
    pub enabled: bool,
    /// The port that Alt-Svc names; `None`: the listener's own.
    pub advertise_port: Option<u16>,
    /// How long players may remember Alt-Svc.
    pub max_age: Duration,
    /// Whether the kernel may split large sends into datagrams (UDP GSO).
    pub gso: bool,
}

/// `[tls]`
#[derive(Clone, Debug, PartialEq)]
pub struct Tls {
    /// Pairs by SNI; the first serves clients without SNI. Several for one name are chosen by key type.
    pub certificates: Vec<Certificate>,
    /// The lowest version on TCP; QUIC is always TLS 1.3.
    pub min_version: TlsVersion,
}

/// A certificate chain and its key, as PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The chain, leaf first.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// A TLS version that may be configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2 (with ECDHE and AEAD only)
    V12,
    /// TLS 1.3
    V13,
}

/// `[cache]`
#[derive(Clone, Debug, PartialEq)]
pub struct Cache {
    /// A hard ceiling for bodies, heads, index and fills, in bytes.
    pub memory: u64,
    /// Larger objects pass through and are not stored, in bytes.
    pub max_object: u64,
    /// What is this near to a followed live edge is never evicted by anything older.
    pub live_reserve: Duration,
    /// Where what memory lets go of is kept, if anywhere.
    pub disk: Option<Disk>,
    /// For how long requests are not put together after an answer that was for one viewer alone.
    pub uncacheable_for: Duration,
}

/// `disk` in `[cache]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// The folder, for this node alone.
    pub path: PathBuf,
    /// What all its files may take, in bytes.
    pub size: u64,
    /// How it is read and written.
    pub engine: DiskEngine,
}

/// How the disk is read and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskEngine {
    /// Over io_uring where the kernel allows it, by threads elsewhere.
    Auto,
    /// Over io_uring; without it the node does not start.
    IoUring,
    /// By a few threads.
    Threads,
}

/// `[origins.NAME]`
#[derive(Clone, Debug, PartialEq)]
pub struct Origin {
    /// The table's name.
    pub name: String,
    /// Its scheme.
    pub scheme: OriginScheme,
    /// Host as the URL wrote it: a name, an IPv4 address, or an IPv6 address without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Path prefix without a trailing slash; empty for none.
    pub base_path: String,
    /// The Host that is sent.
    pub host_header: HostHeader,
    /// Fields set on each request to it.
    pub set_headers: Vec<(http::HeaderName, http::HeaderValue)>,
    /// Fields removed from each request to it.
    pub remove_headers: Vec<http::HeaderName>,
    /// TLS towards it.
    pub tls: OriginTls,
    /// Deadline for TCP and TLS.
    pub connect: Duration,
    /// Deadline from request to the first byte of the answer.
    pub first_byte: Duration,
    /// Longest silence inside a body.
    pub idle: Duration,
    /// Connections at once.
    pub connections: usize,
    /// Requests in flight at once; more wait within `first_byte`.
    pub requests: usize,
    /// How it is asked whether it is well; `None`: what viewers' requests come to says so.
    pub health: Option<HealthProbe>,
    /// How the node proves itself, where it asks the peers' listener of another node.
    pub proof: Option<Proof>,
    /// How its requests are signed, where it is a private bucket.
    pub aws: Option<aws::AwsSigV4>,
    /// Statuses that mean the same as 404, beside 404 and 410.
    pub missing: Vec<http::StatusCode>,
    /// How many redirects to declared origins are followed.
    pub redirects: u8,
    /// Whether the cookies that it gives to the node are sent back to it.
    pub cookies: bool,
}

/// `[origins.NAME] health`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthProbe {
    /// What is asked for, below the base path.
    pub path: http::uri::PathAndQuery,
    /// Between two probes.
    pub interval: Duration,
    /// For the head of the answer.
    pub timeout: Duration,
    /// The status that says that it is well.
    pub expect: http::StatusCode,
}

/// How the node proves itself to another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The region's secret; `None`: a client certificate alone proves it.
    pub secret: Option<Secret>,
    /// What the other one is called in its region; `None`: it is asked from outside.
    pub to: Option<String>,
}

/// `[peers]`
#[derive(Clone, Debug, PartialEq)]
pub struct Peers {
    /// This node as the others name it (`host:port`); `None` where there are no others.
    pub own: Option<String>,
    /// The others.
    pub members: Members,
    /// What all nodes of the region know; `None`: their certificates prove them.
    pub secret: Option<Secret>,
    /// TLS in both directions; `None`: cleartext.
    pub tls: Option<PeerTls>,
    /// Deadline for TCP and TLS.
    pub connect: Duration,
    /// Deadline from request to the first byte of the answer.
    pub first_byte: Duration,
    /// How often the DNS name is asked.
    pub refresh: Duration,
}

/// Who belongs to the region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Members {
    /// Nobody is asked: only others ask.
    Nobody,
    /// These, as `host:port`, this node among them.
    Listed(Vec<String>),
    /// Every address of a name.
    Named {
        /// The name.
        host: String,
        /// The port of all.
        port: u16,
    },
}

/// `peers.tls`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerTls {
    /// A PEM file of the authorities that certify nodes of the region, and nobody else.
    pub ca: PathBuf,
    /// This node's own certificate, towards those who ask and those who are asked.
    pub own: Certificate,
    /// The name that every node's certificate bears; default: the host by which it is asked.
    pub name: Option<String>,
}

impl Origin {
    /// Host and port as its URL names them; the scheme's own port is left out (RFC 9110 §4.2.3).
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        match (self.scheme, self.port) {
            (OriginScheme::Http, 80) | (OriginScheme::Https, 443) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }
}

/// How an origin is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginScheme {
    /// Cleartext HTTP/1.1.
    Http,
    /// HTTP/2 or HTTP/1.1 over TLS, by ALPN.
    Https,
}

/// The Host that an origin sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostHeader {
    /// The authority of the origin's URL.
    Origin,
    /// What the viewer asked for; it then enters the cache key.
    Viewer,
    /// A fixed name.
    Name(String),
}

/// TLS towards an origin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OriginTls {
    /// A PEM file of authorities that replaces the system's.
    pub ca: Option<PathBuf>,
    /// A client certificate.
    pub client: Option<Certificate>,
    /// The name in SNI and verification; default: the host.
    pub sni: Option<String>,
}

impl OriginTls {
    /// The client certificate's chain and key.
    pub fn client_files(&self) -> Option<(&std::path::Path, &std::path::Path)> {
        self.client.as_ref().map(|pair| (pair.cert.as_path(), pair.key.as_path()))
    }
}

/// `[[route]]`
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Metric label; default: host and path.
    pub name: String,
    /// Hosts it serves, lower case; `*.example.com` covers one label or more; empty: any.
    pub hosts: Vec<String>,
    /// Path prefix that ends on a segment boundary; may hold one `{stream}`.
    pub path: String,
    /// Names of origins in order of preference.
    pub origins: Vec<String>,
    /// The weights of those that have one, in the same order.
    pub weights: Vec<Option<u32>>,
    /// For how many target durations a stream may stall at its origin before the next one is asked.
    pub failover_after: u32,
    /// Whether streams return by themselves to the origin that is preferred.
    pub failback: Failback,
    /// Path prefix removed before the request goes to the origin.
    pub strip: String,
    /// What browsers of other sites may do.
    pub cors: Cors,
    /// Only TLS and QUIC; cleartext requests are redirected.
    pub https_only: bool,
    /// The access that its viewers need; `None`: it is open to all.
    pub access: Option<String>,
    /// How much ambiguity of paths is accepted.
    pub strict_paths: crate::rules::uri::Strictness,
    /// Largest request body that is forwarded, in bytes.
    pub max_body: u64,
    /// Whether playlists are understood.
    pub live: LiveMode,
    /// Whether playlists are one viewer's each.
    pub playlists: Playlists,
    /// Whether keys are shared among viewers.
    pub keys: Keys,
    /// Query parameters of playlists and media that enter the key and go upstream.
    pub query_keep: Vec<String>,
    /// Playlists of the route that are followed from the start, and for ever.
    pub warm: Vec<String>,
    /// For how many target durations the last playlist is repeated while its origin fails.
    pub stale_playlist_for: u32,
    /// How far plain responses are shared.
    pub sharing: Sharing,
    /// For how long errors are kept that say nothing of it.
    pub errors: Errors,
    /// Fields set on each answer to viewers.
    pub set_headers: Vec<(http::HeaderName, http::HeaderValue)>,
    /// Fields removed from each answer to viewers.
    pub remove_headers: Vec<http::HeaderName>,
    /// Where it is served.
    pub countries: Countries,
    /// What is kept for it of the node's capacity.
    pub promise: Promise,
    /// What is taken of players' reports, and passed on.
    pub reporting: reports::Reporting,
    /// For how long what happens on it is kept, where that is shorter than for all.
    pub retention: Option<Duration>,
}

pub use crate::rules::admission::country::Countries;
pub use crate::rules::upstream::home::Failback;

/// `route.live`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LiveMode {
    /// A response that is a playlist is handled by the playlist engine, and what it names is media.
    #[default]
    Auto,
    /// Everything is plain.
    Off,
}

/// `route.playlists`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Playlists {
    /// What each response says: `private` and `no-store` mean one viewer.
    #[default]
    Auto,
    /// All are shared.
    Shared,
    /// All are one viewer's each.
    PerViewer,
}

/// `route.keys`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Keys {
    /// A decryption key is fetched anew for each viewer.
    #[default]
    NoStore,
    /// Decryption keys are cached as the origin says.
    Shared,
}

/// `route.cors`
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cors {
    /// The edge answers for the route and replaces the origin's fields.
    Edge(CorsRules),
    /// The origin's own fields pass.
    Origin,
}

/// CORS as the edge speaks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorsRules {
    /// Allowed origins; `*` alone means all.
    pub origins: Vec<String>,
    /// Whether cookies may be sent; never together with `*`.
    pub credentials: bool,
    /// Request fields that a preflight allows; empty: whatever it asks for.
    pub allow_headers: Vec<http::HeaderName>,
    /// Response fields that scripts may read, beside our own.
    pub expose_headers: Vec<http::HeaderName>,
    /// How long a preflight may be remembered.
    pub max_age: Duration,
}

/// `[access_log]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLog {
    /// Where lines go.
    pub path: LogPath,
    /// How a line looks.
    pub format: LogFormat,
}

/// Where the access log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogPath {
    /// Standard output.
    Stdout,
    /// A file, reopened on SIGUSR1.
    File(PathBuf),
}

/// The access log's format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// The combined log format.
    Combined,
    /// W3C extended log format.
    W3c,
}

/// `[shutdown]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shutdown {
    /// Still accepting while balancers learn that the node is not ready.
    pub delay: Duration,
    /// After it, what still runs is cut.
    pub deadline: Duration,
}

/// `[[admin.tokens]]` and the admin listener's TLS.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Admin {
    /// Tokens and what each may do.
    pub tokens: Vec<AdminToken>,
    /// The certificate of the admin listener off loopback; `None`: the first of `[tls]`.
    pub certificate: Option<Certificate>,
    /// Authorities (PEM) whose client certificates are accepted with every role.
    pub client_ca: Option<PathBuf>,
    /// Whether `/readyz` counts origins.
    pub ready_needs_origins: bool,
}

/// One admin token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminToken {
    /// What its bearer presents.
    pub secret: Secret,
    /// What its bearer may do.
    pub roles: Vec<Role>,
    /// The accesses whose sessions its bearer may end; empty: all of them.
    pub access: Vec<String>,
}

/// What an admin caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Read status, metrics and explanations.
    View,
    /// Reload and drain.
    Operate,
    /// Purge what is stored.
    Purge,
    /// End sessions, of the accesses that the token names.
    Revoke,
    /// Change what a class of streams is served by.
    Release,
    /// Erase what is kept of viewers, of the accesses that the token names.
    Erase,
}

/// `[metrics]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metrics {
    /// That many streams get a label of their own; the rest share `other`.
    pub streams: usize,
}
