//! A whole evening of a gated event, told in seconds: the node's clock is moved by hand, segment by segment. Tokens live for
//! five minutes, what they opened plays for two hours, and nobody asks for the multivariant playlist twice.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use tokio::sync::watch;
use weir::clock::{Clock, WallTime};
use weir::config::Config;
use weir::node::Node;
use weir_loadtest::client::{Client, Network, Server, Trust, Way};

use crate::gated::{body, mint, named, resolved};
use crate::script::{Script, Seen, reply};

/// When it begins: in whole seconds since the epoch.
const BEGIN: u64 = 1_800_000_000;
const SEGMENT: u64 = 6;
/// Segments of a playlist.
const WINDOW: u64 = 5;
const EVENING: u64 = 2 * 3_600;
const MAIN: &str = "/live/a/main.m3u8";
/// What the node and the issuer share.
const SECRET: &str = "a secret of thirty-two octets, or more of them";
const PATIENCE: Duration = Duration::from_secs(60);
/// A node that has nothing to wait for asks within this time.
const MOMENT: Duration = Duration::from_millis(200);

/// An origin whose stream goes on when it is told to, and a node whose clock does.
struct Evening {
    origin: Script,
    /// The newest segment.
    newest: watch::Sender<u64>,
    /// The one that the node waits for at the origin.
    awaited: watch::Receiver<u64>,
    node: Node,
    clock: Clock,
    _folder: tempfile::TempDir,
}

impl Evening {
    async fn begin(accesses: &str) -> Self {
        let (newest, seen) = watch::channel(WINDOW);
        let (asks, awaited) = watch::channel(0);
        let origin = Script::start_with(move |request| Box::pin(answer(request, seen.clone(), asks.clone()))).await;
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("issuer.secret");
        std::fs::write(&secret, SECRET).unwrap();
        std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
        let text = format!(
            r#"
[node]
workers = 1
[listen]
http = ["127.0.0.1:0"]
admin = "127.0.0.1:0"
[cache]
memory = "64MiB"
[origins.main]
url = "http://{}"
{accesses}
"#,
            origin.addr
        );
        let (config, _) = Config::parse(&text, folder.path()).unwrap_or_else(|problems| panic!("{problems}\n{text}"));
        let clock = Clock::manual(WallTime::at(Duration::from_secs(BEGIN)));
        let node = Node::start_at(config, None, clock.clone()).await.unwrap();
        Self { origin, newest, awaited, node, clock, _folder: folder }
    }

    /// A segment's time passes, step by step, until the node waits at the origin for one more; then there is one.
    async fn segment(&self) -> u64 {
        let next = *self.newest.borrow() + 1;
        for _ in 0..SEGMENT {
            self.second().await;
        }
        let follows = async {
            // A second of the clock is a moment of this machine, which may be busy: the node has its time to ask.
            let mut awaited = self.awaited.clone();
            while tokio::time::timeout(MOMENT, awaited.wait_for(|asked| *asked >= next)).await.is_err() {
                self.second().await;
            }
        };
        tokio::time::timeout(PATIENCE, follows).await.expect("the node follows");
        self.newest.send_replace(next);
        next
    }

    /// A second passes, and what waits for it has a moment to go on.
    async fn second(&self) {
        self.clock.advance(Duration::from_secs(1));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    fn now(&self) -> u64 {
        self.clock.wall().since_epoch().as_secs()
    }

    async fn viewer(&self) -> Client {
        let addr = self.node.address("http").unwrap();
        let server = Server { addr, authority: "edge.example".to_owned() };
        Client::connect_to(server, Way::H1, &Network::new(&Trust::AcceptAny)).await.unwrap()
    }

    async fn admin(&self, method: Method, path: &str, order: &Value) -> (u16, Value) {
        let addr = self.node.address("admin").unwrap();
        let admin = Client::connect(&addr.to_string(), Way::H1, &Trust::AcceptAny).await.unwrap();
        let fields = [("content-type", "application/json")];
        let mut answer = admin.request(method, path, &fields, Bytes::from(order.to_string())).await.unwrap();
        let text = answer.bytes().await.unwrap();
        (answer.status.as_u16(), serde_json::from_slice(&text).unwrap_or_default())
    }

    /// How often the origin was asked for the multivariant playlist.
    fn openings(&self) -> usize {
        self.origin.seen().iter().filter(|seen| seen.target.contains("main.m3u8")).count()
    }

    async fn end(self) {
        drop(self.origin);
        let (clock, node) = (self.clock, self.node.stop());
        // Deadlines of the drain pass by this clock.
        let passing = async {
            loop {
                tokio::time::sleep(Duration::from_millis(10)).await;
                clock.advance(Duration::from_secs(1));
            }
        };
        tokio::select! {
            () = node => {}
            () = passing => {}
        }
    }
}

async fn answer(
    seen: Seen,
    mut newest: watch::Receiver<u64>,
    asks: watch::Sender<u64>,
) -> http::Response<crate::script::Body> {
    let list = ("content-type", "application/vnd.apple.mpegurl");
    let (path, query) = seen.target.split_once('?').unwrap_or((&seen.target, ""));
    if path.ends_with("main.m3u8") {
        let text = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1000000\nv/media.m3u8\n";
        return reply(200, &[list, ("cache-control", "max-age=60")], text);
    }
    if !path.ends_with("media.m3u8") {
        return reply(200, &[("cache-control", "max-age=600")], format!("octets of {path}"));
    }
    let wanted = query.split('&').find_map(|parameter| parameter.strip_prefix("_HLS_msn=")?.parse::<u64>().ok());
    if let Some(wanted) = wanted {
        asks.send_if_modified(|asked| std::mem::replace(asked, (*asked).max(wanted)) < wanted);
    }
    let newest = *newest.wait_for(|newest| wanted.is_none_or(|wanted| *newest >= wanted)).await.unwrap();
    let first = newest + 1 - WINDOW;
    let mut text = format!(
        "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:{SEGMENT}\n\
         #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES\n#EXT-X-MEDIA-SEQUENCE:{first}\n"
    );
    for msn in first..=newest {
        text += &format!("#EXTINF:{SEGMENT}.0,\ns{msn}.m4s\n");
    }
    reply(200, &[list, ("cache-control", "max-age=1")], text)
}

/// An access `name`, and its route.
fn access(name: &str, path: &str, more: &str) -> String {
    format!(
        r#"
[access.{name}]
issuer = "https://issuer.test"
hmac_secret_file = "issuer.secret"
{more}
[[route]]
name = "{name}"
path = "{path}"
origins = ["main"]
access = "{name}"
"#
    )
}

/// A token of five minutes.
fn token(now: u64, subject: &str, more: Value) -> String {
    let mut claims = json!({
        "iss": "https://issuer.test", "sub": subject, "jti": format!("{subject}-{now}"), "iat": now, "exp": now + 300,
    });
    claims.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    mint(&claims)
}

/// A viewer who repeats neither fields nor cookies: all it has is the URIs that it was given.
struct Player {
    client: Client,
    playlist: String,
    device: String,
    session: String,
    /// Why it was turned away, with the status.
    refused: Option<(u16, String)>,
}

impl Player {
    async fn open(evening: &Evening, token: &str, device: &str, path: &str) -> Self {
        let client = evening.viewer().await;
        let asked = format!("/.weir/t/{token}{path}");
        let answer = client.get(&asked, &[("user-agent", device)]).await.unwrap();
        let (status, session) = (answer.status.as_u16(), answer.header("weir-session").to_owned());
        let text = body(answer).await;
        let refused = (status != 200).then(|| (status, reason(&text)));
        let playlist = if refused.is_some() { String::new() } else { resolved(&asked, &named(&text, "media.m3u8")) };
        Self { client, playlist, device: device.to_owned(), session, refused }
    }

    /// Waits for a segment's place in the playlist, and loads the segment. Whether it still plays.
    async fn watch(&mut self, msn: u64) -> bool {
        if self.refused.is_some() {
            return false;
        }
        let reload = format!("{}?_HLS_msn={msn}", self.playlist);
        let Some(text) = self.get(&reload).await else { return false };
        let segment = resolved(&self.playlist, &named(&text, &format!("s{msn}.m4s")));
        self.get(&segment).await.is_some()
    }

    async fn get(&mut self, path: &str) -> Option<String> {
        let fields = [("user-agent", self.device.as_str())];
        let asked = tokio::time::timeout(PATIENCE, self.client.get(path, &fields)).await;
        let answer = asked.expect("nobody waits for ever").unwrap();
        let status = answer.status.as_u16();
        let text = body(answer).await;
        if status == 200 {
            return Some(text);
        }
        self.refused = Some((status, reason(&text)));
        None
    }
}

fn reason(text: &str) -> String {
    let refusal: Value = serde_json::from_str(text).unwrap_or_default();
    refusal["reason"].as_str().unwrap_or(text).to_owned()
}

#[tokio::test]
async fn two_hours_play_on_a_token_of_five_minutes_and_end_within_a_segment_of_what_was_paid_for() {
    let evening = Evening::begin(&access("members", "/live/", "")).await;
    let paid = token(BEGIN, "paid", json!({ "session_end": BEGIN + EVENING, "path": "/live/a" }));
    let free = token(BEGIN, "free", json!({ "path": "/live/a" }));
    let mut paid_for = Player::open(&evening, &paid, "phone", MAIN).await;
    let mut open_end = Player::open(&evening, &free, "television", MAIN).await;
    // Somebody must ask before the node follows.
    assert!(paid_for.get(&paid_for.playlist.clone()).await.is_some(), "{:?}", paid_for.refused);
    while evening.now() + 2 * SEGMENT < BEGIN + EVENING {
        let msn = evening.segment().await;
        let (one, other) = tokio::join!(paid_for.watch(msn), open_end.watch(msn));
        assert!(one && other, "after {} s: {:?} {:?}", evening.now() - BEGIN, paid_for.refused, open_end.refused);
    }
    assert_eq!(evening.openings(), 1, "the source was asked for again");
    // The last segments before the end, and the first one behind it.
    let mut msn = evening.segment().await;
    while evening.now() < BEGIN + EVENING {
        msn = evening.segment().await;
    }
    assert!(evening.now() < BEGIN + EVENING + 2 * SEGMENT, "the end was overslept");
    assert!(!paid_for.watch(msn).await, "what was paid for is over");
    assert_eq!(paid_for.refused, Some((410, "entitlement-over".to_owned())));
    assert!(open_end.watch(msn).await, "{:?}", open_end.refused);
    // The link itself has long expired, whatever it opened.
    let late = Player::open(&evening, &free, "laptop", MAIN).await;
    assert_eq!(late.refused, Some((401, "token-expired".to_owned())));
    evening.end().await;
}

#[tokio::test]
async fn a_cast_to_the_television_plays_on_where_one_session_is_allowed() {
    let evening = Evening::begin(&access("members", "/live/", "")).await;
    let link = token(BEGIN, "viewer", json!({ "max_sessions": 1 }));
    let mut phone = Player::open(&evening, &link, "phone", MAIN).await;
    assert!(phone.get(&phone.playlist.clone()).await.is_some(), "{:?}", phone.refused);
    for _ in 0..3 {
        let msn = evening.segment().await;
        assert!(phone.watch(msn).await, "{:?}", phone.refused);
    }
    // The phone hands over, and asks for nothing more.
    let mut television = Player::open(&evening, &link, "television", MAIN).await;
    assert_eq!(television.refused, None);
    for _ in 0..30 {
        let msn = evening.segment().await;
        assert!(television.watch(msn).await, "after {} s: {:?}", evening.now() - BEGIN, television.refused);
    }
    evening.end().await;
}

#[tokio::test]
async fn a_link_on_fifty_devices_is_counted_as_fifty() {
    let evening = Evening::begin(&access("members", "/live/", "")).await;
    let link = token(BEGIN, "viewer", json!({}));
    let mut sessions = std::collections::BTreeSet::new();
    for device in 0..50 {
        let player = Player::open(&evening, &link, &format!("device {device}"), MAIN).await;
        assert_eq!(player.refused, None);
        sessions.insert(player.session);
    }
    assert_eq!(sessions.len(), 50);
    let (status, counts) = evening.admin(Method::GET, "/sessions", &Value::Null).await;
    assert_eq!((status, &counts["sessions"], &counts["accesses"]["members"]), (200, &json!(50), &json!(50)));
    // The same device again continues its own.
    let again = Player::open(&evening, &link, "device 7", MAIN).await;
    assert!(sessions.contains(&again.session));
    // Where two are allowed, two more are let in as hand-overs, and everybody else is told.
    let two = token(BEGIN, "other", json!({ "max_sessions": 2 }));
    let mut refused = 0;
    for device in 0..50 {
        let player = Player::open(&evening, &two, &format!("device {device}"), MAIN).await;
        refused += usize::from(player.refused == Some((403, "session-limit".to_owned())));
    }
    assert_eq!(refused, 46, "of 50 devices where two are allowed");
    evening.end().await;
}

#[tokio::test]
async fn one_tenants_revocation_leaves_the_other_tenants_same_subject_alone() {
    let accesses = access("north", "/live/", "") + &access("south", "/south/", "");
    let evening = Evening::begin(&accesses).await;
    let link = token(BEGIN, "viewer-17", json!({}));
    let mut north = Player::open(&evening, &link, "phone", MAIN).await;
    let mut south = Player::open(&evening, &link, "phone", "/south/a/main.m3u8").await;
    for player in [&mut north, &mut south] {
        assert!(player.get(&player.playlist.clone()).await.is_some(), "{:?}", player.refused);
    }
    let msn = evening.segment().await;
    assert!(north.watch(msn).await && south.watch(msn).await, "{:?} {:?}", north.refused, south.refused);
    let order = json!({ "access": "north", "subject": "viewer-17" });
    let (status, told) = evening.admin(Method::POST, "/revoke", &order).await;
    assert_eq!(status, 200, "{told}");
    let msn = evening.segment().await;
    assert!(!north.watch(msn).await);
    assert_eq!(north.refused, Some((403, "revoked".to_owned())));
    assert!(south.watch(msn).await, "{:?}", south.refused);
    let again = Player::open(&evening, &link, "laptop", MAIN).await;
    assert_eq!(again.refused, Some((403, "revoked".to_owned())));
    let elsewhere = Player::open(&evening, &link, "laptop", "/south/a/main.m3u8").await;
    assert_eq!(elsewhere.refused, None);
    evening.end().await;
}
