//! Several nodes: one fetch for all of a region, whoever of them is asked, and whoever is lost; tiers above and below;
//! and a listener where only those are heard who prove that they belong to it.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use tempfile::TempDir;
use tokio::task::JoinSet;
use weir::admin::Command;
use weir::clock::WallTime;
use weir::config::{Config, Secret};
use weir::node::Node;
use weir::region::proof::{Message, Signer};
use weir_loadtest::client::{Client, Response, Trust, Way};
use weir_loadtest::origin::{Action, Gate, Origin, OriginConfig, Rule, Running};
use weir_loadtest::port::Reserved;

use crate::certificates::{Authority, Kind};
use crate::playlists::{LONG, Stream, body};
use crate::script::{Script, reply, written};
use crate::stage::{Blob, PAUSE, fresh_blob};

const SECRET: &str = "a secret of the region, of some length";
const OF_REGION: &str = "secret = \"region.secret\"";
/// However busy the machine is, a node that lives is waited for.
const LOCKED: &str = "connect = \"100s\"\nfirst_byte = \"100s\"\nsecret = \"region.secret\"";
const CERTIFIED: &str = "connect = \"100s\"\nfirst_byte = \"100s\"\n\
                         tls = { ca = \"ca.pem\", cert = \"node.pem\", key = \"node.key\" }";
const LAST_DEADLINE: Duration = Duration::from_secs(300);

/// Nodes of one region.
struct Region {
    nodes: Vec<Node>,
    ports: Vec<Reserved>,
    folder: TempDir,
    authority: Authority,
}

impl Region {
    /// `count` nodes that list each other, in front of one origin.
    async fn start(count: usize, origin: SocketAddr, lock: &str) -> Self {
        let ports: Vec<_> = (0..count).map(|_| Reserved::any().unwrap()).collect();
        let listed: Vec<_> = ports.iter().map(|port| format!("\"{}\"", port.addr())).collect();
        let listed = listed.join(", ");
        let peers = |index: usize| format!("self = \"{}\"\nnodes = [{listed}]\n{lock}", ports[index].addr());
        let mut region = Self::prepared();
        let texts: Vec<_> = (0..count)
            .map(|index| node_toml(&format!("node-{index}"), ports[index].addr(), &peers(index), &main_at(origin)))
            .collect();
        for text in &texts {
            region.open(text).await;
        }
        region.ports = ports;
        region
    }

    /// No node yet; certificates and the secret are there.
    fn prepared() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new("the region's authority");
        authority.leaf(folder.path(), "node", Kind::Ecdsa);
        authority.file(folder.path(), "ca.pem");
        std::fs::write(folder.path().join("region.secret"), SECRET).unwrap();
        Self { nodes: Vec::new(), ports: Vec::new(), folder, authority }
    }

    async fn open(&mut self, text: &str) {
        let (config, _) =
            Config::parse(text, self.folder.path()).unwrap_or_else(|problems| panic!("{problems}\n{text}"));
        self.nodes.push(Node::start(config, None).await.unwrap());
    }

    async fn viewer(&self, node: usize) -> Client {
        viewer_of(&self.nodes[node]).await
    }

    async fn end(self) {
        for node in self.nodes {
            tokio::time::timeout(LAST_DEADLINE, node.stop()).await.unwrap();
        }
        drop(self.ports);
    }
}

pub async fn viewer_of(node: &Node) -> Client {
    let address = node.address("http").unwrap();
    let client = Client::connect(&format!("http://{address}"), Way::H1, &Trust::AcceptAny).await.unwrap();
    client.with_deadline(LAST_DEADLINE)
}

fn main_at(origin: SocketAddr) -> String {
    format!("[origins.main]\nurl = \"http://{origin}\"\nfirst_byte = \"100s\"\nidle = \"100s\"")
}

/// A node that others name by `peers`, with these origins of which `main` is the route's.
fn node_toml(name: &str, address: SocketAddr, peers: &str, origins: &str) -> String {
    format!(
        r#"
[node]
name = "{name}"
workers = 2
[listen]
http = ["127.0.0.1:0"]
admin = "127.0.0.1:0"
peers = "{address}"
[cache]
memory = "64MiB"
[shutdown]
deadline = "1s"
[peers]
{peers}
{origins}
[[route]]
name = "all"
origins = ["main"]
"#
    )
}

/// The value of a metric of a node that has `label`; 0 where it has none.
async fn metric(node: &Node, name: &str, label: &str) -> f64 {
    let addr = node.address("admin").unwrap();
    let admin = Client::connect(&addr.to_string(), Way::H1, &Trust::AcceptAny).await.unwrap();
    let text = body(&mut admin.get("/metrics", &[]).await.unwrap()).await;
    let is_it = |line: &&str| line.split(['{', ' ']).next() == Some(name) && line.contains(label);
    text.lines().find(is_it).and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_default()
}

/// Asks every node for every blob at once, and compares each octet.
async fn ask_everybody(region: &Region, blobs: &[Blob]) -> Vec<String> {
    let mut asking = JoinSet::new();
    for node in 0..region.nodes.len() {
        for share in blobs.chunks(blobs.len().div_ceil(8)) {
            let (viewer, share) = (region.viewer(node).await, share.to_vec());
            asking.spawn(async move {
                let mut traces = Vec::new();
                for blob in share {
                    let mut answer = viewer.get(&blob.path, &[]).await.unwrap();
                    assert_eq!(answer.status, 200);
                    let members = answer.headers.get_all("cache-status").iter().map(|member| member.to_str().unwrap());
                    traces.push(members.collect::<Vec<_>>().join(", "));
                    blob.read_all(&mut answer).await.unwrap();
                }
                traces
            });
        }
    }
    asking.join_all().await.concat()
}

fn objects() -> usize {
    std::env::var("REGION_OBJECTS").ok().and_then(|count| count.parse().ok()).unwrap_or(200)
}

async fn one_request_for_each(lock: &str) {
    let origin = Origin::start(OriginConfig::default()).await.unwrap();
    let region = Region::start(3, origin.addr(), lock).await;
    let blobs: Vec<_> = (0..objects()).map(|_| fresh_blob(20_000, "")).collect();
    let traces = ask_everybody(&region, &blobs).await;
    let asked: u64 = blobs.iter().map(|blob| origin.requests_for(&blob.path)).sum();
    assert_eq!(asked, blobs.len() as u64, "the origin is asked once for each");
    // Nearest to the origin first (RFC 9211 §2).
    let by_two = traces.iter().filter(|trace| trace.matches("node-").count() == 2).count();
    assert!(by_two > 0, "{:?}", traces.first());
    for node in &region.nodes {
        assert!(metric(node, "weir_peer_requests_total", "result=\"answered\"").await > 0.0);
        assert!(metric(node, "weir_peer_requests_total", "result=\"own\"").await > 0.0);
        assert_eq!(metric(node, "weir_peers_up", "").await, 2.0);
    }
    region.end().await;
    origin.stop().await;
}

#[tokio::test]
async fn three_nodes_ask_the_origin_once_for_what_all_of_them_are_asked() {
    one_request_for_each(LOCKED).await;
}

#[tokio::test]
async fn three_nodes_that_prove_themselves_by_certificate_do_the_same() {
    one_request_for_each(CERTIFIED).await;
}

#[tokio::test]
async fn nobody_comes_in_by_certificate_who_has_none() {
    let origin = Script::start(|_| reply(200, &[], "x")).await;
    let region = Region::start(2, origin.addr, CERTIFIED).await;
    let peers = format!("https://{}", region.ports[0].addr());
    let trust = region.authority.trust(region.folder.path());
    let refused = match Client::connect(&peers, Way::H1Tls, &trust).await {
        Ok(client) => client.get("/x", &[]).await.is_err(),
        Err(_) => true,
    };
    assert!(refused, "who has no certificate of the region got an answer");
    assert_eq!(origin.count(), 0);
    region.end().await;
}

/// Cuts off a node at once.
async fn kill(node: Node) {
    node.commands().send(Command::Drain(Some(Duration::ZERO))).await.unwrap();
    node.stop().await;
}

fn stalled(origin: &Running, blob: &Blob, after: u64) -> Gate {
    origin.desk().gate(Rule::new(&blob.path, Action::Stall { after })).unwrap()
}

#[tokio::test]
async fn whoever_reads_from_a_node_that_lives_notices_nothing_of_one_that_dies() {
    const SIZE: u64 = 400_000;
    let origin = Origin::start(OriginConfig::default()).await.unwrap();
    let mut region = Region::start(3, origin.addr(), LOCKED).await;
    let blobs: Vec<_> = (0..64).map(|_| fresh_blob(SIZE, "")).collect();
    let gates: Vec<_> = blobs.iter().map(|blob| stalled(&origin, blob, SIZE / 2)).collect();
    let mut reading: Vec<(Blob, Response)> = Vec::new();
    for (index, blob) in blobs.iter().enumerate() {
        let viewer = region.viewer(index % 2).await;
        let mut answer = viewer.get(&blob.path, &[]).await.unwrap();
        blob.read_to(&mut answer, SIZE / 4).await.unwrap();
        reading.push((blob.clone(), answer));
    }
    let dying = region.nodes.pop().unwrap();
    assert!(metric(&dying, "weir_fills", "").await > 0.0, "it owns some of them");
    kill(dying).await;
    gates.into_iter().for_each(Gate::open);
    for (blob, mut answer) in reading {
        blob.read_all(&mut answer).await.unwrap();
    }
    let mut resumed = 0.0;
    for node in &region.nodes {
        resumed += metric(node, "weir_peer_requests_total", "result=\"resumed\"").await;
    }
    assert!(resumed > 0.0, "none was read from the node that died");
    // What is cold is asked of those who live.
    let cold: Vec<_> = (0..20).map(|_| fresh_blob(20_000, "")).collect();
    ask_everybody(&region, &cold).await;
    let asked: u64 = cold.iter().map(|blob| origin.requests_for(&blob.path)).sum();
    assert_eq!(asked, 20);
    region.end().await;
    origin.stop().await;
}

#[tokio::test]
async fn a_body_that_cannot_be_told_from_another_is_cut_and_not_put_together() {
    let (pens, kept) = std::sync::mpsc::channel();
    let origin = Script::start(move |seen| {
        if !seen.target.starts_with("/x") {
            return reply(404, &[], "");
        }
        let (pen, answer) = written(&[("content-length", "10"), ("cache-control", "max-age=60")]);
        pen.try_send(Ok("12345".into())).unwrap();
        pens.send(pen).unwrap();
        answer
    })
    .await;
    let mut region = Region::start(2, origin.addr, LOCKED).await;
    let dying = region.nodes.pop().unwrap();
    // One that the node that dies owns.
    let mut path = String::new();
    let viewer = region.viewer(0).await;
    let mut answer = None;
    for index in 0..64 {
        path = format!("/x{index}");
        let mut asked = viewer_of(&region.nodes[0]).await.get(&path, &[]).await.unwrap();
        assert_eq!(&asked.chunk().await.unwrap().unwrap().bytes[..], b"12345");
        if asked.header("cache-status").contains("node-1") {
            answer = Some(asked);
            break;
        }
    }
    kill(dying).await;
    let cut = answer.expect("it owns about half").bytes().await;
    assert!(cut.is_err(), "{path}: {cut:?}");
    drop((viewer, kept));
    region.end().await;
}

/// A proof for a GET of `target` at `host`.
fn proof(secret: &str, (host, target): (&str, &str), now: WallTime) -> String {
    let signer = Signer::new(Some(&Secret::from(secret.to_owned())), None, 77);
    let message = Message { method: &Method::GET, host, target };
    signer.sign(message, None, now).to_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_listener_for_nodes_hears_only_those_who_prove_themselves() {
    let fields = [("cache-control", "max-age=60"), ("cdn-cache-control", "max-age=600"), ("cache-tag", "news")];
    let origin = Script::start(move |_| reply(200, &fields, "hello")).await;
    let region = Region::start(2, origin.addr, LOCKED).await;
    let host = region.ports[0].addr().to_string();
    let peers = Client::connect(&format!("http://{host}"), Way::H1, &Trust::AcceptAny).await.unwrap();
    let now = WallTime::from(std::time::SystemTime::now());
    let at = |seconds: u64| WallTime::at(Duration::from_secs(now.since_epoch().as_secs() - seconds));
    let forged = proof("another secret, of some length", (&host, "/x"), now);
    let old = proof(SECRET, (&host, "/x"), at(40));
    let elsewhere = proof(SECRET, (&host, "/y"), now);
    for (field, why) in
        [(None, "nothing"), (Some(forged), "forged"), (Some(old), "old"), (Some(elsewhere), "elsewhere")]
    {
        let fields: Vec<_> = field.iter().map(|field| ("weir-peer", field.as_str())).collect();
        let mut answer = peers.get("/x", &fields).await.unwrap();
        assert_eq!(answer.status, 403, "{why}");
        assert_eq!(answer.header("weir-peer"), "refused");
        assert!(body(&mut answer).await.contains("not-a-peer"), "{why}");
    }
    assert_eq!(origin.count(), 0);

    let good = proof(SECRET, (&host, "/x"), now);
    let fields = [("weir-peer", good.as_str()), ("x-forwarded-for", "203.0.113.7")];
    let answer = peers.get("/x", &fields).await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!((answer.header("cdn-cache-control"), answer.header("cache-tag")), ("max-age=600", "news"));
    assert_eq!(origin.last().field("weir-peer"), "", "the proof goes no further");
    let replayed = peers.get("/x", &fields).await.unwrap();
    assert_eq!(replayed.status, 403);
    let viewed = region.viewer(0).await.get("/x", &[]).await.unwrap();
    assert_eq!((viewed.status.as_u16(), viewed.header("cache-tag")), (200, ""));
    region.end().await;
}

#[tokio::test]
async fn a_viewers_address_is_believed_of_a_node_and_of_nobody_else() {
    let origin = Script::start(|_| reply(200, &[], "hello")).await;
    let region = Region::start(1, origin.addr, LOCKED).await;
    let host = region.ports[0].addr().to_string();
    let peers = Client::connect(&format!("http://{host}"), Way::H1, &Trust::AcceptAny).await.unwrap();
    let signer = Signer::new(Some(&Secret::from(SECRET.to_owned())), None, 78);
    let message = Message { method: &Method::DELETE, host: &host, target: "/x" };
    let good = signer.sign(message, None, WallTime::from(std::time::SystemTime::now())).to_str().unwrap().to_owned();
    let mine = [("x-forwarded-for", "203.0.113.7"), ("weir-peer", good.as_str())];
    let delete =
        async |client: Client, fields| client.request(Method::DELETE, "/x", fields, Bytes::new()).await.unwrap();
    assert_eq!(delete(peers, &mine).await.status, 200);
    assert_eq!(origin.last().field("x-forwarded-for"), "203.0.113.7");
    assert_eq!(delete(region.viewer(0).await, &mine[..1]).await.status, 200);
    assert_eq!(origin.last().field("x-forwarded-for"), "127.0.0.1");
    region.end().await;
}

#[tokio::test]
async fn lists_that_disagree_cost_a_question_and_lead_nowhere() {
    let origin = Origin::start(OriginConfig::default()).await.unwrap();
    let ports: Vec<_> = (0..3).map(|_| Reserved::any().unwrap()).collect();
    let [a, b, c] = [0, 1, 2].map(|index| ports[index].addr());
    let mut region = Region::prepared();
    // The first names the third otherwise than that does itself; the second knows nothing of the third; the third
    // knows one that does not exist.
    let alias = format!("localhost:{}", c.port());
    let lists = [
        (a, format!("\"{a}\", \"{b}\", \"{alias}\"")),
        (b, format!("\"{a}\", \"{b}\"")),
        (c, format!("\"{a}\", \"{b}\", \"{c}\", \"127.0.0.1:1\"")),
    ];
    for (index, (own, list)) in lists.iter().enumerate() {
        let peers = format!("self = \"{own}\"\nnodes = [{list}]\n{LOCKED}");
        region.open(&node_toml(&format!("node-{index}"), *own, &peers, &main_at(origin.addr()))).await;
    }
    let blobs: Vec<_> = (0..60).map(|_| fresh_blob(5_000, "")).collect();
    ask_everybody(&region, &blobs).await;
    let asked: u64 = blobs.iter().map(|blob| origin.requests_for(&blob.path)).sum();
    assert!((60..=180).contains(&asked), "{asked} requests");
    assert!(metric(&region.nodes[0], "weir_peer_requests_total", "result=\"disagreed\"").await > 0.0);
    region.end().await;
    origin.stop().await;
}

#[tokio::test]
async fn an_owner_that_says_nothing_is_passed_over_after_its_deadline() {
    let origin = Origin::start(OriginConfig::default()).await.unwrap();
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = Reserved::any().unwrap();
    let (own, other) = (port.addr(), silent.local_addr().unwrap());
    let mut region = Region::prepared();
    let peers = format!("self = \"{own}\"\nnodes = [\"{own}\", \"{other}\"]\nfirst_byte = \"200ms\"\n{OF_REGION}");
    region.open(&node_toml("node-0", own, &peers, &main_at(origin.addr()))).await;
    let blobs: Vec<_> = (0..60).map(|_| fresh_blob(5_000, "")).collect();
    ask_everybody(&region, &blobs).await;
    assert!(metric(&region.nodes[0], "weir_peer_requests_total", "result=\"failed\"").await > 0.0);
    assert_eq!(metric(&region.nodes[0], "weir_peers_up", "").await, 0.0, "it rests after three failures");
    region.end().await;
    origin.stop().await;
}

/// A node below another one.
async fn tiers(upper_peers: &Reserved, origin: SocketAddr) -> Region {
    let mut region = Region::prepared();
    region.open(&node_toml("upper", upper_peers.addr(), LOCKED, &main_at(origin))).await;
    let above = format!("{}\nregion_secret = \"region.secret\"", main_at(upper_peers.addr()));
    region.open(&lower_toml(&above)).await;
    region
}

fn lower_toml(origins: &str) -> String {
    let text = node_toml("lower", ([127, 0, 0, 1], 0).into(), LOCKED, origins);
    text.replace("peers = \"127.0.0.1:0\"\n", "").replace(&format!("[peers]\n{LOCKED}\n"), "")
}

#[tokio::test]
async fn nodes_whose_origins_are_each_other_refuse_to_go_round() {
    let ports = [Reserved::any().unwrap(), Reserved::any().unwrap()];
    let mut region = Region::prepared();
    for (own, other) in [(0, 1), (1, 0)] {
        let (own, other) = (ports[own].addr(), ports[other].addr());
        let above = format!("[origins.main]\nurl = \"http://{other}\"\nregion_secret = \"region.secret\"");
        // Both have one name, so that each believes the other to be a tier of its own, once.
        region.open(&node_toml("node", own, LOCKED, &above)).await;
    }
    // A write is joined by nobody: it goes round until it is recognised.
    let viewer = region.viewer(0).await;
    let mut answer = viewer.request(Method::DELETE, "/x", &[], Bytes::new()).await.unwrap();
    assert_eq!(answer.status, 508);
    assert!(body(&mut answer).await.contains("loop-detected"));
    region.end().await;
}

#[tokio::test]
async fn a_live_stream_goes_through_two_tiers_and_the_packager_is_asked_once() {
    let stream = Stream::start(LONG).await;
    let port = Reserved::any().unwrap();
    let region = tiers(&port, stream.origin.addr).await;
    watched_by_many(&stream, &region, &[1]).await;
    region.end().await;
}

#[tokio::test]
async fn a_live_stream_is_followed_once_for_a_region() {
    let stream = Stream::start(LONG).await;
    let region = Region::start(3, stream.origin.addr, LOCKED).await;
    watched_by_many(&stream, &region, &[0, 1, 2]).await;
    region.end().await;
}

/// Viewers of these nodes wait for each part, and get it with one request to the packager.
async fn watched_by_many(stream: &Stream, region: &Region, nodes: &[usize]) {
    for node in nodes {
        let first = body(&mut region.viewer(*node).await.get("/live/hi.m3u8", &[]).await.unwrap()).await;
        assert!(first.contains("s112.0.m4s"), "{first}");
    }
    for part in 1..5 {
        let position = format!("_HLS_msn=112&_HLS_part={part}");
        let mut waiting = JoinSet::new();
        for index in 0..6 * nodes.len() {
            let viewer = region.viewer(nodes[index % nodes.len()]).await;
            let skip = if index % 2 == 0 { "&_HLS_skip=YES" } else { "" };
            let path = format!("/live/hi.m3u8?{position}{skip}");
            waiting.spawn(async move { body(&mut viewer.get(&path, &[]).await.unwrap()).await });
        }
        for node in nodes {
            let held = async {
                while metric(&region.nodes[*node], "weir_held_requests", "").await < 6.0 {
                    tokio::time::sleep(PAUSE).await;
                }
            };
            tokio::time::timeout(LAST_DEADLINE, held).await.unwrap();
        }
        stream.publish(|edge| edge.parts = part + 1);
        for text in waiting.join_all().await {
            assert!(text.contains(&format!("URI=\"s112.{part}.m4s\"")), "{text}");
        }
        assert_eq!(stream.asked_for(&position), 1, "one reload for all");
        for node in nodes {
            let mut media = region.viewer(*node).await.get(&format!("/live/s112.{part}.m4s"), &[]).await.unwrap();
            assert_eq!(body(&mut media).await, "media");
        }
        assert_eq!(stream.asked_for(&format!("/live/s112.{part}.m4s")), 1, "one request for the part");
    }
}
