//! Three nodes of a region, and the NATS server between them, which is lost and comes back: what is said to one of them
//! is in force on all.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use weir::config::Config;
use weir::node::Node;
use weir_loadtest::client::{Client, Response, Trust, Way};

use super::{MAIN, Stream, body, mint, named, now, secret_file};
use crate::nats::Server;
use crate::stage::PAUSE;

/// Whatever is awaited here takes milliseconds; only a failure takes this long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Nodes of one region before one origin.
struct Region {
    stream: Stream,
    server: Server,
    nodes: Vec<Node>,
    folder: TempDir,
    access: &'static str,
}

impl Region {
    async fn start(count: usize, access: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        secret_file(&folder.path().join("issuer.secret"), super::SECRET);
        secret_file(&folder.path().join("node.keys"), &"0123456789abcdeffedcba98765432".repeat(3)[..64]);
        let (stream, server) = (Stream::start().await, Server::start(None));
        let mut region = Self { stream, server, nodes: Vec::new(), folder, access };
        for _ in 0..count {
            region.join().await;
        }
        for node in 0..count {
            region.in_step(node, count - 1).await;
        }
        region
    }

    /// One node more.
    async fn join(&mut self) {
        let text = format!(
            r#"
[node]
name = "node-{}"
workers = 2
region = "ams"
secrets = "node.keys"
[listen]
http = ["127.0.0.1:0"]
admin = "127.0.0.1:0"
[nats]
servers = ["{}"]
answer_within = "59s"
[cache]
memory = "64MiB"
[shutdown]
deadline = "1s"
[access.members]
issuer = "https://issuer.test"
hmac_secret_file = "issuer.secret"
{}
[origins.main]
url = "http://{}"
first_byte = "100s"
idle = "100s"
[[route]]
name = "gated"
path = "/live/{{stream}}/"
origins = ["main"]
access = "members"
[[route]]
name = "all"
origins = ["main"]
"#,
            self.nodes.len(),
            self.server.url("nats"),
            self.access,
            self.stream.origin.addr
        );
        let (config, _) =
            Config::parse(&text, self.folder.path()).unwrap_or_else(|problems| panic!("{problems}\n{text}"));
        self.nodes.push(Node::start(config, None).await.unwrap());
    }

    async fn viewer(&self, node: usize) -> Client {
        let address = self.nodes[node].address("http").unwrap();
        Client::connect(&format!("http://{address}"), Way::H1, &Trust::AcceptAny).await.unwrap()
    }

    async fn get(&self, node: usize, path: &str) -> Response {
        self.viewer(node).await.get(path, &[]).await.unwrap()
    }

    async fn admin(&self, node: usize, method: Method, path: &str, order: &Value) -> Value {
        let address = self.nodes[node].address("admin").unwrap();
        let admin = Client::connect(&address.to_string(), Way::H1, &Trust::AcceptAny).await.unwrap();
        let json = [("content-type", "application/json")];
        let order = if order.is_null() { Bytes::new() } else { Bytes::from(order.to_string()) };
        let answer = admin.request(method, path, &json, order).await.unwrap();
        let (status, text) = (answer.status, body(answer).await);
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    async fn revoke(&self, node: usize, subject: &str) {
        let order = json!({ "access": "members", "subject": subject });
        self.admin(node, Method::POST, "/revoke", &order).await;
    }

    /// The node rings no bell for its status: it is asked again and again.
    async fn until(&self, node: usize, what: &str, wanted: impl Fn(&Value) -> bool) {
        let look = async {
            while !wanted(&self.admin(node, Method::GET, "/status", &Value::Null).await) {
                tokio::time::sleep(PAUSE).await;
            }
        };
        if tokio::time::timeout(PATIENCE, look).await.is_err() {
            let status = self.admin(node, Method::GET, "/status", &Value::Null).await;
            panic!("never came to pass on node {node}: {what}\n{status:#}");
        }
    }

    async fn in_step(&self, node: usize, others: usize) {
        self.until(node, "in step with all others", |status| {
            let nodes = status["region"]["nodes"].as_array().unwrap();
            status["region"]["connected"] == true
                && nodes.len() == others
                && nodes.iter().all(|node| node["in_step"] == true)
        })
        .await;
    }

    /// The paths of a session of this subject: a media playlist.
    async fn open(&self, node: usize, subject: &str, more: Value) -> (u16, String) {
        let id = format!("{subject}-{:?}", Instant::now());
        let mut claims = json!({
            "iss": "https://issuer.test", "sub": subject, "jti": id, "iat": now(), "exp": now() + 300,
            "path": "/live/a",
        });
        claims.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        let answer = self.get(node, &format!("{MAIN}?token={}", mint(&claims))).await;
        let (status, text) = (answer.status.as_u16(), body(answer).await);
        (status, if status == 200 { named(&text, "hi.m3u8") } else { text })
    }

    async fn end(self) {
        for node in self.nodes {
            tokio::time::timeout(PATIENCE, node.stop()).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_revocation_ends_held_reloads_on_all_nodes_and_none_is_missed_for_good() {
    let mut region = Region::start(3, "").await;
    let (status, hi) = region.open(0, "alice", Value::Null).await;
    assert_eq!(status, 200, "{hi}");
    let (_, of_bob) = region.open(0, "bob", Value::Null).await;
    let mut held = Vec::new();
    for node in 0..3 {
        assert_eq!(region.get(node, &hi).await.status, 200, "a session opened on one node is one on all");
        let viewer = region.viewer(node).await;
        let reload = format!("{hi}?_HLS_msn=104&_HLS_part=1");
        held.push(tokio::spawn(async move { viewer.get(&reload, &[]).await.unwrap() }));
        region.until(node, "a held reload", |status| status["live"]["held"] == 1).await;
    }
    let begun = Instant::now();
    region.revoke(0, "alice").await;
    for waiting in held {
        let answer = waiting.await.unwrap();
        assert_eq!(answer.status, 403);
        assert!(body(answer).await.contains("\"revoked\""));
    }
    let took = begun.elapsed();
    println!("held reloads on three nodes ended {took:?} after the order");
    for node in 0..3 {
        assert_eq!(region.get(node, &hi).await.status, 403);
        assert_eq!(region.get(node, &of_bob).await.status, 200);
    }

    region.server.kill();
    for node in 0..3 {
        region.until(node, "alone", |status| status["region"]["connected"] == false).await;
        assert_eq!(region.get(node, &of_bob).await.status, 200, "it serves on");
    }
    region.revoke(1, "bob").await;
    assert_eq!(region.get(1, &of_bob).await.status, 403, "it is in force where it was said");
    assert_eq!(region.get(2, &of_bob).await.status, 200, "and nowhere else");
    region.server.restart();
    let begun = Instant::now();
    for node in 0..3 {
        region.in_step(node, 2).await;
        assert_eq!(region.get(node, &of_bob).await.status, 403, "{node}");
    }
    println!("what was missed was in force {:?} after the server came back", begun.elapsed());

    region.join().await;
    region.in_step(3, 3).await;
    for of_whom in [&hi, &of_bob] {
        assert_eq!(region.get(3, of_whom).await.status, 403, "a node that comes late knows");
    }
    region.end().await;
}

#[tokio::test]
async fn one_session_of_a_subject_is_one_on_all_nodes() {
    let region = Region::start(3, "max_sessions = 1\nhandover_grace = \"0s\"").await;
    let (status, hi) = region.open(0, "carol", Value::Null).await;
    assert_eq!(status, 200, "{hi}");
    let begun = Instant::now();
    for node in [1, 2] {
        region
            .until(node, "the session is known", |status| {
                let mut nodes = status["region"]["nodes"].as_array().unwrap().iter();
                nodes.any(|other| other["name"] == "node-0" && other["sessions"] == 1)
            })
            .await;
        let (status, text) = region.open(node, "carol", Value::Null).await;
        assert_eq!(status, 403, "{text}");
        assert!(text.contains("session-limit"), "{text}");
        let (status, text) = region.open(node, &format!("dave-{node}"), Value::Null).await;
        assert_eq!(status, 200, "{text}");
    }
    println!("a limit of one held on three nodes {:?} after the session began", begun.elapsed());
    assert_eq!(region.get(1, &hi).await.status, 200, "the one that goes on may go to another node");
    assert_eq!(region.get(0, &hi).await.status, 200);
    region.end().await;
}

#[tokio::test]
async fn a_purge_on_one_node_is_one_on_all() {
    let mut region = Region::start(3, "").await;
    let asked = |region: &Region| region.stream.origin.seen().iter().filter(|seen| seen.target == "/p/x").count();
    for node in 0..3 {
        // To its end: what its only viewer leaves may never be stored.
        assert_eq!(body(region.get(node, "/p/x").await).await, "octets of /p/x");
        region.until(node, "it is stored", |status| status["cache"]["objects"] == 1).await;
    }
    assert_eq!(asked(&region), 3);
    let outcome = region.admin(0, Method::POST, "/purge", &json!({ "prefix": "/p/", "scope": "node" })).await;
    assert_eq!((&outcome["objects"], &outcome["nodes"]), (&json!(1), &json!([])));
    let outcome = region.admin(1, Method::POST, "/purge", &json!({ "prefix": "/p/" })).await;
    let mut nodes: Vec<_> = outcome["nodes"].as_array().unwrap().iter().map(Value::to_string).collect();
    nodes.sort();
    let expected = [
        r#"{"error":null,"node":"node-0","objects":0,"playlists":0}"#,
        r#"{"error":null,"node":"node-2","objects":1,"playlists":0}"#,
    ];
    assert_eq!((nodes, &outcome["silent"]), (expected.map(str::to_owned).to_vec(), &json!([])));
    for node in 0..3 {
        region.until(node, "nothing is stored", |status| status["cache"]["objects"] == 0).await;
    }
    region.server.kill();
    region.until(0, "alone", |status| status["region"]["connected"] == false).await;
    let outcome = region.admin(0, Method::POST, "/purge", &json!({ "all": true })).await;
    assert_eq!(outcome["silent"].as_array().unwrap().len(), 2, "{outcome}");
    region.end().await;
}
