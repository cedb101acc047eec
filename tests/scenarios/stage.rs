//! The stage of a story: an origin, a node in front of it, and viewers who come to it one way or another.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde_json::Value;
use tempfile::TempDir;
use weir::config::Config;
use weir::node::Node;
use weir_loadtest::client::{Client, ClientError, Network, Receive, Response, Server, Trust, Way};
use weir_loadtest::origin::{Origin, OriginConfig, Running, blob_bytes};

use crate::certificates::{Authority, Kind};

/// Ways of HTTP that every story is told over.
pub const WAYS: [Way; 4] = [Way::H1, Way::H1Tls, Way::H2, Way::H3];
/// A story that is not over by then will never be.
const LAST_DEADLINE: Duration = Duration::from_secs(300);
/// What a node comes to, it comes to by then.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at what rings no bell: who looks without a pause takes a processor from what is to come to pass.
pub const PAUSE: Duration = Duration::from_millis(3);

/// What is particular about a story's node: pieces of its `edge.toml`.
#[derive(Default)]
pub struct Setup {
    /// Keys of `[listen]`, beside one listener of each kind.
    pub listen: String,
    /// Keys of `[cache]` in place of 64 MiB.
    pub cache: String,
    /// Keys of `[origins.main]`.
    pub origin: String,
    /// The path of the route `all` in place of `/`.
    pub path: &'static str,
    /// Further keys of the route `all`.
    pub route: String,
    /// Whole tables, before the route.
    pub tables: String,
    /// The route's origins in place of `["main"]`.
    pub origins: &'static str,
    /// The first pair of certificates in place of `edge`, without the ending.
    pub certificate: &'static str,
    /// Puts further files in place before the node starts.
    pub prepare: Option<fn(&Path, &Authority)>,
    /// Another origin than the demo's.
    pub upstream: Option<SocketAddr>,
    /// The deadline of a drain in place of five seconds.
    pub deadline: Option<&'static str>,
}

/// Tells `story` over every protocol, on a stage of its own each time.
pub async fn on_every_protocol(story: impl AsyncFn(&Stage)) {
    with(Setup::default, story).await;
}

/// Tells `story` over every protocol, with a node set up otherwise.
pub async fn with(setup: impl Fn() -> Setup, story: impl AsyncFn(&Stage)) {
    for way in WAYS {
        tell(way, setup(), async |stage: &Stage| story(stage).await).await;
    }
}

/// Tells `story` over one protocol.
pub async fn tell(way: Way, setup: Setup, story: impl AsyncFnOnce(&Stage)) {
    let stage = Stage::start(way, setup).await;
    let told = tokio::time::timeout(LAST_DEADLINE, story(&stage)).await;
    assert!(told.is_ok(), "the story over {} came to no end", way.name());
    stage.end().await;
}

/// Origin, node and how viewers come.
pub struct Stage {
    pub way: Way,
    pub origin: Running,
    pub node: Node,
    pub authority: Authority,
    pub config: PathBuf,
    pub network: Network,
    folder: TempDir,
}

impl Stage {
    /// Sets the stage.
    pub async fn start(way: Way, setup: Setup) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new("the story's authority");
        authority.leaf(folder.path(), "edge", Kind::Ecdsa);
        if let Some(prepare) = setup.prepare {
            prepare(folder.path(), &authority);
        }
        let origin = Origin::start(OriginConfig::default()).await.unwrap();
        let text = edge_toml(&setup, setup.upstream.unwrap_or(origin.addr()));
        let config = folder.path().join("edge.toml");
        std::fs::write(&config, &text).unwrap();
        let (parsed, _) = Config::load(&config).unwrap_or_else(|problems| panic!("{problems}\n{text}"));
        let node = Node::start(parsed, Some(config.clone())).await.unwrap();
        let network = Network::new(&authority.trust(folder.path()));
        Self { way, origin, node, authority, config, network, folder }
    }

    /// Everybody leaves, the node stops, the origin ends.
    pub async fn end(self) {
        drop(self.network);
        let stopped = tokio::time::timeout(LAST_DEADLINE, self.node.stop()).await;
        assert!(stopped.is_ok(), "the node over {} did not stop", self.way.name());
        self.origin.stop().await;
    }

    /// The folder of configuration and certificates.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where viewers come to by `way`.
    pub fn server(&self, way: Way) -> Server {
        let kind = match way {
            Way::H1 | Way::H2Cleartext => "http",
            Way::H1Tls | Way::H2 => "https",
            Way::H3 => "h3",
        };
        let addr = self.node.address(kind).unwrap();
        Server { addr, authority: format!("localhost:{}", addr.port()) }
    }

    /// A new viewer by the story's way.
    pub async fn viewer(&self) -> Client {
        self.viewer_by(self.way).await
    }

    /// A new viewer by another way.
    pub async fn viewer_by(&self, way: Way) -> Client {
        self.patient(Client::connect_to(self.server(way), way, &self.network).await)
    }

    /// A new viewer who takes in as little as possible before reading.
    pub async fn narrow_viewer(&self) -> Client {
        let network = Network::with(&self.trust(), Receive::NARROW);
        self.patient(Client::connect_to(self.server(self.way), self.way, &network).await)
    }

    /// A viewer who waits for as long as the story lasts.
    fn patient(&self, client: Result<Client, ClientError>) -> Client {
        client.unwrap().with_deadline(LAST_DEADLINE)
    }

    /// Trust in the stage's authority.
    pub fn trust(&self) -> Trust {
        self.authority.trust(self.folder.path())
    }

    /// What a new viewer gets for `path`.
    pub async fn get(&self, path: &str) -> Response {
        self.get_with(path, &[]).await
    }

    /// The same with fields.
    pub async fn get_with(&self, path: &str, fields: &[(&str, &str)]) -> Response {
        self.viewer().await.get(path, fields).await.unwrap()
    }

    /// Any request of a new viewer.
    pub async fn ask(&self, method: Method, path: &str, fields: &[(&str, &str)], body: &'static [u8]) -> Response {
        let viewer = self.viewer().await;
        viewer.request(method, path, fields, Bytes::from_static(body)).await.unwrap()
    }

    /// An answer of the admin API.
    pub async fn admin(&self, method: Method, path: &str, body: &'static str) -> (u16, String) {
        let addr = self.node.address("admin").unwrap();
        let admin = Client::connect(&addr.to_string(), Way::H1, &Trust::AcceptAny).await.unwrap();
        let json = [("content-type", "application/json")];
        let mut answer = admin.request(method, path, &json, Bytes::from_static(body.as_bytes())).await.unwrap();
        let text = answer.bytes().await.unwrap();
        (answer.status.as_u16(), String::from_utf8(text.to_vec()).unwrap())
    }

    /// `GET /status`.
    pub async fn status(&self) -> Value {
        let (code, text) = self.admin(Method::GET, "/status", "").await;
        assert_eq!(code, 200, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Completes when the node's status is as wanted. The node rings no bell for that, so its admin API is asked
    /// again and again.
    pub async fn until(&self, what: &str, wanted: impl Fn(&Value) -> bool) {
        let look = async {
            while !wanted(&self.status().await) {
                tokio::time::sleep(PAUSE).await;
            }
        };
        if tokio::time::timeout(PATIENCE, look).await.is_err() {
            panic!("never came to pass over {}: {what}\n{:#}", self.way.name(), self.status().await);
        }
    }

    /// Completes when a metric's value is as wanted, as [`Stage::until`].
    pub async fn until_metric(&self, name: &str, wanted: impl Fn(f64) -> bool) {
        let look = async {
            while !self.metric(name, &[]).await.is_some_and(&wanted) {
                tokio::time::sleep(PAUSE).await;
            }
        };
        if tokio::time::timeout(PATIENCE, look).await.is_err() {
            let value = self.metric(name, &[]).await;
            panic!("{name} never came to be as wanted over {}: it is {value:?}", self.way.name());
        }
    }

    /// Completes when nothing arrives from origins any more: the last octet of a body reaches viewers just before the
    /// object is stored.
    pub async fn settled(&self) {
        self.until_metric("weir_fills", |fills| fills == 0.0).await;
    }

    /// The value of a metric's first sample that has all of `labels`.
    pub async fn metric(&self, name: &str, labels: &[&str]) -> Option<f64> {
        let (_, text) = self.admin(Method::GET, "/metrics", "").await;
        let is_it = |line: &&str| {
            line.split(['{', ' ']).next() == Some(name) && labels.iter().all(|label| line.contains(label))
        };
        text.lines().find(is_it)?.rsplit(' ').next()?.parse().ok()
    }
}

fn edge_toml(setup: &Setup, upstream: SocketAddr) -> String {
    let Setup { listen, cache, origin, route, tables, deadline, .. } = setup;
    let path = if setup.path.is_empty() { "/" } else { setup.path };
    let origins = if setup.origins.is_empty() { "[\"main\"]" } else { setup.origins };
    // However busy the machine is, gates are opened before an origin counts as silent.
    let origin = if origin.is_empty() { "first_byte = \"100s\"\nidle = \"100s\"" } else { origin };
    let pair = if setup.certificate.is_empty() { "edge" } else { setup.certificate };
    let pairs = if pair == "edge" { vec!["edge"] } else { vec![pair, "edge"] };
    let pairs: Vec<_> = pairs.iter().map(|pair| format!("{{ cert = \"{pair}.pem\", key = \"{pair}.key\" }}")).collect();
    let pairs = pairs.join(", ");
    let cache = if cache.is_empty() { "memory = \"64MiB\"" } else { cache };
    let deadline = deadline.unwrap_or("5s");
    let lines = |kind: &str, default: &str| match listen.lines().any(|line| line.starts_with(kind)) {
        true => String::new(),
        false => format!("{kind} = {default}\n"),
    };
    let doors = [
        lines("http ", r#"["127.0.0.1:0"]"#),
        lines("https ", r#"["127.0.0.1:0"]"#),
        lines("admin ", r#""127.0.0.1:0""#),
    ];
    format!(
        r#"
[node]
name = "edge-test"
workers = 2
[listen]
{}{listen}
[tls]
certificates = [{pairs}]
[cache]
{cache}
[shutdown]
deadline = "{deadline}"
{tables}
[origins.main]
url = "http://{upstream}"
{origin}
[[route]]
name = "all"
path = "{path}"
origins = {origins}
{route}
"#,
        doors.concat()
    )
}

/// A path of a blob that nobody has asked for before.
pub fn fresh_blob(size: u64, rest: &str) -> Blob {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let name = format!("b{}", NEXT.fetch_add(1, Relaxed));
    Blob { path: format!("/blob/{name}?size={size}{rest}"), name, size }
}

/// A blob of the demo origin.
#[derive(Clone)]
pub struct Blob {
    pub path: String,
    name: String,
    size: u64,
}

impl Blob {
    /// What the origin makes of it from `offset` to `end`.
    pub fn bytes(&self, offset: u64, end: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while offset + (bytes.len() as u64) < end {
            let at = offset + bytes.len() as u64;
            bytes.extend_from_slice(&blob_bytes(&self.name, at, end - at));
        }
        bytes
    }

    /// All of it.
    pub fn whole(&self) -> Vec<u8> {
        self.bytes(0, self.size)
    }

    /// Reads on until `end` octets have come in all, each compared; not beyond the piece that brings the last of them.
    pub async fn read_to(&self, answer: &mut Response, end: u64) -> Result<(), ClientError> {
        while answer.got() < end {
            let at = answer.got();
            let Some(chunk) = answer.chunk().await? else { break };
            self.check(at, &chunk.bytes);
        }
        Ok(())
    }

    /// Reads to the true end, and compares each octet.
    pub async fn read_all(&self, answer: &mut Response) -> Result<(), ClientError> {
        self.read_to(answer, u64::MAX).await?;
        assert_eq!(answer.got(), self.size, "the body is as long as the object");
        Ok(())
    }

    fn check(&self, at: u64, bytes: &[u8]) {
        let mut done = 0;
        while done < bytes.len() {
            let expected = blob_bytes(&self.name, at + done as u64, (bytes.len() - done) as u64);
            assert!(
                bytes[done..].starts_with(&expected),
                "a wrong byte between {} and {}",
                at,
                at + bytes.len() as u64
            );
            done += expected.len();
        }
    }
}
