//! Two nodes of a region: a session opened at one goes on at the other, what they ask each other has no token, and the
//! origin is asked once.

use weir::config::Config;
use weir::node::Node;
use weir_loadtest::port::Reserved;

use super::{MAIN, SECRET, Stream, body, named, resolved, secret_file, token};
use crate::region::viewer_of;

fn node_toml(name: &str, own: &Reserved, nodes: &str, origin: std::net::SocketAddr) -> String {
    let own = own.addr();
    format!(
        r#"
[node]
name = "{name}"
workers = 2
secrets = "node.keys"
[listen]
http = ["127.0.0.1:0"]
admin = "127.0.0.1:0"
peers = "{own}"
[cache]
memory = "64MiB"
[shutdown]
deadline = "1s"
[peers]
self = "{own}"
nodes = [{nodes}]
connect = "100s"
first_byte = "100s"
secret = "region.secret"
[origins.main]
url = "http://{origin}"
first_byte = "100s"
idle = "100s"
[access.members]
issuer = "https://issuer.test"
hmac_secret_file = "issuer.secret"
[[route]]
name = "gated"
path = "/live/{{stream}}/"
origins = ["main"]
access = "members"
"#
    )
}

#[tokio::test]
async fn a_session_of_one_node_goes_on_at_another_and_objects_are_fetched_once() {
    let stream = Stream::start().await;
    let folder = tempfile::tempdir().unwrap();
    secret_file(&folder.path().join("issuer.secret"), SECRET);
    secret_file(&folder.path().join("region.secret"), "a secret of the region, of some length");
    secret_file(&folder.path().join("node.keys"), &"0123456789abcdef".repeat(4));
    let ports = [Reserved::any().unwrap(), Reserved::any().unwrap()];
    let nodes = ports.iter().map(|port| format!("\"{}\"", port.addr())).collect::<Vec<_>>().join(", ");
    let mut region: Vec<Node> = Vec::new();
    for (index, port) in ports.iter().enumerate() {
        let text = node_toml(&format!("node-{index}"), port, &nodes, stream.origin.addr);
        let (config, _) = Config::parse(&text, folder.path()).unwrap_or_else(|problems| panic!("{problems}\n{text}"));
        region.push(Node::start(config, None).await.unwrap());
    }
    let viewers = [viewer_of(&region[0]).await, viewer_of(&region[1]).await];
    let main = body(viewers[0].get(&format!("{MAIN}?token={}", token("one")), &[]).await.unwrap()).await;
    let hi = named(&main, "hi.m3u8");
    let mut sessions = Vec::new();
    for viewer in &viewers {
        let answer = viewer.get(&hi, &[]).await.unwrap();
        assert_eq!(answer.status, 200);
        sessions.push(answer.header("weir-session").to_owned());
        let playlist = body(answer).await;
        for piece in ["init.mp4", "s100.m4s", "s101.m4s", "s102.m4s", "s104.0.m4s"] {
            let target = resolved(&hi, &named(&playlist, piece));
            let answer = viewer.get(&target, &[]).await.unwrap();
            assert_eq!(answer.status, 200, "{target}");
            assert!(body(answer).await.starts_with("octets of /live/a/v/"));
        }
    }
    assert_eq!(sessions[0], sessions[1]);
    assert_eq!(viewers[1].get("/live/a/v/s100.m4s", &[]).await.unwrap().status, 401);
    for piece in ["init.mp4", "s100.m4s", "s101.m4s", "s102.m4s", "s104.0.m4s"] {
        let asked = stream.origin.seen().iter().filter(|seen| seen.target.ends_with(piece)).count();
        assert_eq!(asked, 1, "{piece}");
    }
    assert!(!stream.heard().contains(".weir") && !stream.heard().contains("token"), "{}", stream.heard());
    drop(viewers);
    for node in region {
        node.stop().await;
    }
}
