//! From a complaint to its cause: what happened to a viewer is one story, and its first sentence says whose fault it was.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use clap::Parser;
use http::Method;
use serde_json::{Value, json};
use weir::config::Config;
use weir::node::Node;
use weir::ops::{Arguments, Command, Outcome};
use weir_loadtest::client::{Client, Trust, Way};
use weir_loadtest::origin::{Action, Rule};

use crate::gated::{body, keys, mint, now};
use crate::script::{Script, reply};
use crate::stage::{PAUSE, Setup, Stage, tell};

/// A story is complete five seconds after the last event where the machine is not busy: what it took is printed.
const SOON: Duration = Duration::from_secs(60);
/// What the origin of the incident takes longer.
const SLOW_MS: u64 = 8_000;
const LIST: &str = "/live/v0/media.m3u8";

fn setup() -> Setup {
    let tables = r#"
[access.members]
issuer = "https://issuer.test"
hmac_secret_file = "issuer.secret"
[[route]]
name = "gated"
path = "/gated/{stream}/"
strip = "/gated"
origins = ["main"]
access = "members"
"#;
    Setup { tables: tables.to_owned(), prepare: Some(keys), ..Setup::default() }
}

fn millis() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// A viewer of the open route, who is known by what it calls itself.
struct Viewer<'a> {
    client: Client,
    agent: &'a str,
    session: String,
    code: String,
    list: String,
    number: u64,
}

impl<'a> Viewer<'a> {
    async fn comes(stage: &Stage, agent: &'a str) -> Self {
        let client = stage.viewer().await;
        let answer = client.get(LIST, &[("user-agent", agent)]).await.unwrap();
        let (session, code) = (answer.header("weir-session").to_owned(), answer.header("weir-support-code").to_owned());
        assert_eq!((session.len(), code.len()), (24, 9), "an open route says what its session is called, too");
        Self { client, agent, session, code, list: body(answer).await, number: 0 }
    }

    async fn gets(&self, path: &str) -> u16 {
        let mut answer = self.client.get(path, &[("user-agent", self.agent)]).await.unwrap();
        answer.bytes().await.unwrap();
        answer.status.as_u16()
    }

    async fn reports(&mut self, state: &str) {
        self.number += 1;
        let record = format!("e=ps,sta={state},sid=\"{}\",sn={},ts={},v=2", self.agent, self.number, millis());
        let fields = [("content-type", "application/cmcd"), ("user-agent", self.agent)];
        let answer = self.client.request(Method::POST, "/.weir/cmcd", &fields, Bytes::from(record)).await.unwrap();
        assert_eq!(answer.status.as_u16(), 204);
    }

    /// The address of a segment that the list names.
    fn segment(&self, back: usize) -> String {
        let named: Vec<_> = self.list.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
        crate::gated::resolved(LIST, named[named.len() - 1 - back])
    }
}

async fn ask(node: &Node, method: Method, path: &str, order: &'static str) -> (u16, Value) {
    let address = node.address("admin").unwrap().to_string();
    let client = Client::connect(&address, Way::H1, &Trust::AcceptAny).await.unwrap();
    let json = [("content-type", "application/json")];
    let answer = client.request(method, path, &json, order.into()).await.unwrap();
    let status = answer.status.as_u16();
    (status, serde_json::from_str(&body(answer).await).unwrap_or_default())
}

/// The story of a session, once its cause is this one.
async fn story(stage: &Stage, name: &str, cause: &str) -> Value {
    let mut last = Value::Null;
    let asked = Instant::now();
    let look = async {
        loop {
            let (_, story) = ask(&stage.node, Method::GET, &format!("/sessions/{name}/story"), "").await;
            if story["cause"] == cause {
                return story;
            }
            last = story;
            tokio::time::sleep(PAUSE).await;
        }
    };
    let found = tokio::time::timeout(SOON, look).await;
    println!("{cause} over {} after {:?}", stage.way.name(), asked.elapsed());
    found.unwrap_or_else(|_| panic!("not {cause} within {SOON:?} over {}: {last:#}", stage.way.name()))
}

/// The seconds that a sentence has after these words.
fn seconds_after(sentence: &str, words: &str) -> f64 {
    let number = sentence.split_once(words).and_then(|(_, rest)| rest.split_once(" s ")?.0.parse().ok());
    number.unwrap_or_else(|| panic!("no seconds after {words:?}: {sentence}"))
}

/// `weir session`, as it is typed.
async fn typed(words: Vec<String>) -> (Outcome, String, String) {
    let run = move || {
        let arguments = Arguments::try_parse_from(["weir".to_owned(), "session".to_owned()].into_iter().chain(words));
        let Command::Tool(tool) = arguments.unwrap().command else { panic!("it is a tool") };
        let (mut out, mut complaints) = (Vec::new(), Vec::new());
        let outcome = weir::ops::run(tool, &mut out, &mut complaints).unwrap();
        (outcome, String::from_utf8(out).unwrap(), String::from_utf8(complaints).unwrap())
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

fn at(stage: &Stage) -> [String; 2] {
    ["--admin".to_owned(), format!("http://{}", stage.node.address("admin").unwrap())]
}

#[expect(clippy::too_many_lines, reason = "one evening, told in its order")]
#[tokio::test]
async fn three_complaints_of_one_evening_are_told_with_three_causes() {
    tell(Way::H2, setup(), async |stage: &Stage| {
        // One plays while the origin is slow for eight seconds.
        let mut slow = Viewer::comes(stage, "Slow/1").await;
        slow.reports("s").await;
        assert_eq!(slow.gets(&slow.segment(1)).await, 200);
        slow.reports("p").await;
        let path = slow.segment(0);
        let rule = stage.origin.desk().add(Rule::new(&path, Action::Delay { ms: SLOW_MS })).unwrap();
        let (client, agent) = (stage.viewer().await, slow.agent);
        let waiting = {
            let path = path.clone();
            tokio::spawn(async move {
                let mut answer = client.get(&path, &[("user-agent", "Slow/1")]).await.unwrap();
                answer.bytes().await.unwrap();
                answer.status.as_u16()
            })
        };
        slow.reports("r").await;
        assert_eq!((waiting.await.unwrap(), agent), (200, "Slow/1"));
        slow.reports("p").await;
        stage.origin.desk().remove(&rule);

        // The token of another is taken back.
        let claims = json!({
            "iss": "https://issuer.test", "sub": "carol", "jti": "c1", "iat": now(), "exp": now() + 300, "path": "/gated",
        });
        let gated = format!("/gated{LIST}?token={}", mint(&claims));
        let carol = stage.viewer().await;
        let answer = carol.get(&gated, &[("user-agent", "Carol/1")]).await.unwrap();
        let session = answer.header("weir-session").to_owned();
        assert_eq!(answer.status.as_u16(), 200);
        body(answer).await;
        let order = r#"{"access":"members","subject":"carol"}"#;
        assert_eq!(stage.admin(Method::POST, "/revoke", order).await.0, 200);
        assert_eq!(carol.get(&gated, &[("user-agent", "Carol/1")]).await.unwrap().status.as_u16(), 403);

        let told = story(stage, &slow.code.to_lowercase().replace('-', ""), "origin-slow").await;
        let sentence = told["headline"].as_str().unwrap();
        assert!(sentence.starts_with("Playback stalled for ") && sentence.ends_with("(fault: origin)."), "{sentence}");
        assert!(seconds_after(sentence, "stalled for ") >= 7.0, "{sentence}");
        assert!(seconds_after(sentence, "origin main was slow, up to ") >= 8.0, "{sentence}");
        assert_eq!((&told["session"], &told["figures"]["stalls"]), (&slow.session.as_str().into(), &1.into()), "{told:#}");

        let told = story(stage, &session, "revoked").await;
        let sentence = told["headline"].as_str().unwrap();
        assert!(sentence.contains("shut out") && sentence.ends_with("the issuer took the session back (revoked) (fault: issuer)."), "{sentence}");

        // What a support engineer types.
        let words = |name: &str, more: &[&str]| {
            let more = more.iter().map(|word| (*word).to_owned());
            [name.to_owned()].into_iter().chain(at(stage)).chain(more).collect::<Vec<_>>()
        };
        let (outcome, text, complaints) = typed(words("carol", &["--access", "members"])).await;
        assert_eq!((outcome, complaints.as_str()), (Outcome::Good, ""), "{text}");
        assert!(text.contains("the issuer took the session back") && text.contains(&session), "{text}");
        assert!(!text.contains("carol") && !text.contains("token="), "{text}");
        let (outcome, text, complaints) = typed(words(&slow.code, &["--json", "--others"])).await;
        assert_eq!(complaints, "");
        let facts: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((outcome, &facts["cause"], &facts["others"][0]["sessions"]), (Outcome::Good, &"origin-slow".into(), &0.into()));
        let (outcome, text, complaints) = typed(words("nobody", &[])).await;
        assert_eq!((outcome, text.as_str()), (Outcome::Finding, ""));
        assert!(complaints.contains("help: "), "{complaints}");

        // The third plays when the node is drained.
        let mut moved = Viewer::comes(stage, "Moved/1").await;
        moved.reports("s").await;
        assert_eq!(moved.gets(&moved.segment(1)).await, 200);
        moved.reports("p").await;
        // While somebody waits, the node does not go.
        let path = moved.segment(0);
        let gate = stage.origin.hold(&path).unwrap();
        let client = stage.viewer().await;
        let waiting = tokio::spawn(async move { client.get(&path, &[("user-agent", "Stays/1")]).await.map(|answer| answer.status) });
        stage.until_metric("weir_fill_readers", |readers| readers >= 1.0).await;
        assert_eq!(stage.admin(Method::POST, "/drain", r#"{"by_seconds":100}"#).await.0, 202);
        let told = story(stage, &moved.session, "node-drained").await;
        let sentence = told["headline"].as_str().unwrap();
        assert!(sentence.contains("sent away") && sentence.ends_with("node edge-test was drained (fault: node)."), "{sentence}");
        assert_eq!(story(stage, &slow.session, "origin-slow").await["fault"], "origin", "a drain afterwards changes nothing");
        gate.open();
        waiting.abort();
    })
    .await;
}

#[tokio::test]
async fn who_else_had_this_is_found_by_cause_and_by_search() {
    tell(Way::H1Tls, setup(), async |stage: &Stage| {
        let expired = |subject: &str| {
            let claims = json!({ "iss": "https://issuer.test", "sub": subject, "iat": now() - 900, "exp": now() - 600, "path": "/gated" });
            format!("/gated{LIST}?token={}", mint(&claims))
        };
        // A token that opens nothing begins no session, so it runs out while somebody watches.
        let mut sessions = Vec::new();
        // Two of them look like a support code and like a session.
        let subjects = ["one", "jonathan", "0123456789abcdef01234567"];
        for subject in subjects {
            let claims = json!({
                "iss": "https://issuer.test", "sub": subject, "jti": subject, "iat": now(), "exp": now() + 300, "path": "/gated",
            });
            let viewer = stage.viewer().await;
            let fields = [("user-agent", subject)];
            let answer = viewer.get(&format!("/gated{LIST}?token={}", mint(&claims)), &fields).await.unwrap();
            sessions.push(answer.header("weir-session").to_owned());
            body(answer).await;
        }
        for order in [r#"{"access":"members","subject":"one"}"#, r#"{"access":"members","subject":"jonathan"}"#] {
            assert_eq!(stage.admin(Method::POST, "/revoke", order).await.0, 200);
        }
        for (subject, session) in subjects.iter().zip(&sessions) {
            let target = format!("/sessions/{subject}/story?access=members");
            let (code, told) = ask(&stage.node, Method::GET, &target, "").await;
            assert_eq!((code, &told["session"]), (200, &session.as_str().into()), "{subject}");
        }
        assert_eq!(stage.get(&expired("four")).await.status.as_u16(), 401);
        story(stage, &sessions[0], "revoked").await;
        let (_, others) = ask(&stage.node, Method::GET, &format!("/sessions/{}/others", sessions[0]), "").await;
        assert_eq!((&others["sessions"], &others["complete"]), (&1.into(), &true.into()), "{others:#}");
        assert_eq!(others["found"][0]["session"], sessions[1].as_str());
        for (query, count) in [
            ("search=0123456789abcdef01234567&access=members", 1),
            ("search=&limit=2", 2),
            ("cause=revoked", 2),
            ("cause=revoked&search=jonathan", 1),
            ("search=no-such-stream", 0),
            ("access=guests&search=", 0),
        ] {
            let (code, found) = ask(&stage.node, Method::GET, &format!("/sessions?{query}"), "").await;
            assert_eq!((code, found["found"].as_array().unwrap().len()), (200, count), "{query}: {found:#}");
        }
        assert_eq!(ask(&stage.node, Method::GET, "/sessions?cause=weather", "").await.0, 400);
        let (code, several) = ask(&stage.node, Method::GET, "/sessions/nobody/story", "").await;
        assert_eq!((code, &several["reason"]), (404, &"no-such-session".into()));
    })
    .await;
}

/// Whether any file below a folder holds this text.
fn holds(folder: &Path, text: &str) -> bool {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found = false;
    for path in entries {
        found |= match path.is_dir() {
            true => holds(&path, text),
            false => {
                // What is only there while it is written may have gone.
                let octets = std::fs::read(&path).unwrap_or_default();
                octets.windows(text.len()).any(|window| window == text.as_bytes())
            }
        };
    }
    found
}

#[tokio::test]
async fn what_is_erased_is_in_no_file_and_in_no_answer() {
    tell(Way::H1, setup(), async |stage: &Stage| {
        let text = std::fs::read_to_string(&stage.config).unwrap();
        let config = stage.folder().join("kept.toml");
        let refuses = Script::start(|_| reply(400, &[], "")).await;
        let sink = format!("[qoe.sinks.main]\ntype = \"http\"\nurl = \"http://{}/in\"\nevery = \"0s\"\n", refuses.addr);
        let text = text.replace("[node]", "[node]\nstate = \"state\"");
        std::fs::write(&config, format!("{text}\n{sink}")).unwrap();
        let start = async || Node::start(Config::load(&config).unwrap().0, Some(config.clone())).await.unwrap();
        let node = start().await;
        let plays = async |agent: &str| {
            let address = node.address("http").unwrap().to_string();
            let client = Client::connect(&address, Way::H1, &Trust::AcceptAny).await.unwrap();
            let answer = client.get(LIST, &[("user-agent", agent)]).await.unwrap();
            let session = answer.header("weir-session").to_owned();
            body(answer).await;
            session
        };
        let (gone, stays) = (plays("Gone/1").await, plays("Stays/1").await);
        for session in [&gone, &stays] {
            assert_eq!(ask(&node, Method::GET, &format!("/sessions/{session}/story"), "").await.0, 200);
        }
        let state = stage.folder().join("state");
        assert!(holds(&state, &gone) && holds(&state, &stays), "both are in the journal");
        let aside = state.join("uplink/main.refused");
        while !(aside.is_dir() && holds(&aside, &gone) && holds(&aside, &stays)) {
            tokio::task::yield_now().await;
        }
        let (code, erased) = ask(&node, Method::DELETE, &format!("/sessions/{gone}"), "").await;
        assert_eq!((code, erased["entries"].as_u64().is_some_and(|entries| entries > 0)), (200, true), "{erased}");
        let looked = async |node: &Node| {
            for path in ["", "/story", "/entries", "/others"] {
                assert_eq!(ask(node, Method::GET, &format!("/sessions/{gone}{path}"), "").await.0, 404, "{path}");
            }
            let (_, found) = ask(node, Method::GET, "/sessions?search=", "").await;
            assert!(!found.to_string().contains(&gone), "{found:#}");
            assert_eq!(ask(node, Method::GET, &format!("/sessions/{stays}/story"), "").await.0, 200);
            assert_eq!(ask(node, Method::DELETE, &format!("/sessions/{gone}"), "").await.0, 404);
        };
        looked(&node).await;
        assert!(!holds(&state, &gone) && holds(&state, &stays), "one is in no file any more");
        assert!(holds(&aside, &stays), "what was refused of the other is there");
        node.stop().await;
        assert!(!holds(&state, &gone), "nor is its end");
        // After a restart the rest is found again by its code.
        let node = start().await;
        looked(&node).await;
        node.stop().await;
    })
    .await;
}
