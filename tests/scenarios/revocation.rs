//! Something is taken back while it is watched: held reloads and open bodies learn of it by the event, new requests by
//! their answer, other subjects and other nodes' restarts not at all.

use std::sync::Arc;

use http::Method;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use weir::config::Config;
use weir::node::Node;
use weir_loadtest::client::{Client, Response, Trust, Way};

use crate::gated::{MAIN, Stream, body, gated, mint, named, now, resolved, signed, token};
use crate::script::{Pen, Script, reply, written};
use crate::stage::{PAUSE, Stage, WAYS, tell};

const ALICE: &str = r#"{"access": "members", "subject": "alice"}"#;

fn read(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// What a refusal says.
async fn refusal(answer: Response) -> (u16, String) {
    let status = answer.status.as_u16();
    let said = read(&body(answer).await);
    (status, said["reason"].as_str().unwrap().to_owned())
}

/// The path of a rendition as a viewer finds it with its token.
async fn rendition(stage: &Stage, token: &str) -> String {
    let path = format!("{MAIN}?token={token}");
    let answer = stage.get(&path).await;
    assert_eq!(answer.status, 200);
    resolved(MAIN, &named(&body(answer).await, "hi.m3u8"))
}

#[tokio::test]
async fn a_held_reload_ends_when_its_subject_is_revoked_and_nobody_else_does() {
    for way in WAYS {
        let stream = Stream::start().await;
        tell(way, gated(&stream.origin, ""), async |stage: &Stage| {
            let mut held = JoinSet::new();
            let (alice, bob) = (token("alice"), token("bob"));
            for viewer in [&alice, &bob] {
                let path = format!("{}?_HLS_msn=104&_HLS_part=1", rendition(stage, viewer).await);
                let (client, is_alice) = (stage.viewer().await, viewer == &alice);
                held.spawn(async move {
                    (
                        is_alice,
                        client
                            .get(&path, &[])
                            .await
                            .unwrap_or_else(|error| panic!("{} {is_alice} {error:?}", way.name())),
                    )
                });
            }
            stage.until_metric("weir_held_requests", |held| held == 2.0).await;
            let (code, said) = stage.admin(Method::POST, "/revoke", ALICE).await;
            let outcome = read(&said);
            assert_eq!(
                (code, &outcome["sessions_ended"], &outcome["known"]),
                (200, &1.into(), &false.into()),
                "{said}"
            );
            assert_eq!((&outcome["durable"], outcome["warning"].is_string()), (&false.into(), true), "no state folder");
            // Nothing has been published: the event alone has ended it.
            let (is_alice, answer) = held.join_next().await.unwrap().unwrap();
            assert!(is_alice);
            assert_eq!(refusal(answer).await, (403, "revoked".to_owned()));
            stream.publish();
            let (_, answer) = held.join_next().await.unwrap().unwrap();
            assert_eq!(answer.status, 200, "the other subject is left alone");
            // New requests, by token and by session, and another token of the subject.
            let again = [format!("{MAIN}?token={alice}"), format!("{MAIN}?token={}", token("alice"))];
            for path in again {
                assert_eq!(refusal(stage.get(&path).await).await, (403, "revoked".to_owned()));
            }
            let (_, said) = stage.admin(Method::POST, "/revoke", ALICE).await;
            assert_eq!((&read(&said)["sessions_ended"], &read(&said)["known"]), (&0.into(), &true.into()));
            assert_eq!(stage.metric("weir_sessions", &["access=\"members\""]).await, Some(1.0));
            assert_eq!(stage.metric("weir_revocations", &[]).await, Some(1.0));
        })
        .await;
    }
}

/// An origin with one long object, which is written when the story wants it.
async fn long() -> (Script, Arc<Mutex<Option<Pen>>>) {
    let pen = Arc::new(Mutex::new(None));
    let kept = pen.clone();
    let origin = Script::start(move |seen| match seen.target.contains("long") {
        true => {
            let (pen, answer) = written(&[("content-length", "8"), ("cache-control", "max-age=60")]);
            *kept.lock() = Some(pen);
            answer
        }
        false => reply(404, &[], ""),
    });
    (origin.await, pen)
}

#[tokio::test]
async fn an_open_body_is_cut_or_finished_as_the_access_says() {
    for way in WAYS {
        for bodies in ["cut", "finish"] {
            let (origin, pen) = long().await;
            let setup = gated(&origin, &format!("revoked_bodies = \"{bodies}\""));
            tell(way, setup, async |stage: &Stage| {
                let viewer = stage.viewer().await;
                let path = format!("/live/a/long?token={}", token("alice"));
                let asking = viewer.get(&path, &[]);
                let writing = async {
                    let pen = loop {
                        if let Some(pen) = pen.lock().take() {
                            break pen;
                        }
                        tokio::time::sleep(PAUSE).await;
                    };
                    pen.send(Ok("1234".into())).await.unwrap();
                    pen
                };
                let (answer, pen) = tokio::join!(asking, writing);
                let mut answer = answer.unwrap();
                assert_eq!(answer.chunk().await.unwrap().unwrap().bytes, "1234");
                let (_, said) = stage.admin(Method::POST, "/revoke", ALICE).await;
                assert_eq!(read(&said)["sessions_ended"], 1, "{said}");
                if bodies == "cut" {
                    assert!(answer.chunk().await.is_err(), "an error on the wire, before the origin says more");
                } else {
                    pen.send(Ok("5678".into())).await.unwrap();
                    assert_eq!(answer.chunk().await.unwrap().unwrap().bytes, "5678");
                    assert!(answer.chunk().await.unwrap().is_none());
                }
                assert_eq!(refusal(stage.get(&path).await).await, (403, "revoked".to_owned()));
            })
            .await;
        }
    }
}

#[tokio::test]
async fn sessions_are_counted_shown_and_ended_one_by_one() {
    let stream = Stream::start().await;
    tell(Way::H1, gated(&stream.origin, ""), async |stage: &Stage| {
        let alice = token("alice");
        let path = rendition(stage, &alice).await;
        let answer = stage.get_with(&path, &[("user-agent", "Lavf/61.7.100")]).await;
        let id = answer.headers["weir-session"].to_str().unwrap().to_owned();
        drop(answer);
        assert_eq!(read(&stage.admin(Method::GET, "/sessions?access=members", "").await.1)["sessions"], 1);
        assert_eq!(read(&stage.admin(Method::GET, "/sessions?access=others", "").await.1)["sessions"], 0);
        let (code, text) = stage.admin(Method::GET, &format!("/sessions/{id}"), "").await;
        let session = read(&text);
        assert_eq!((code, &session["access"], &session["standing"]), (200, &"members".into(), &"living".into()));
        assert!(session["requests"].as_u64().unwrap() >= 2, "{text}");
        assert!(!text.contains(&alice[..20]) && !text.contains("alice"), "{text}");
        for (path, code) in [("/sessions/00", 400), ("/sessions/000000000000000000000000", 404)] {
            assert_eq!(stage.admin(Method::GET, path, "").await.0, code);
        }
        let order = format!(r#"{{"access": "members", "session": "{id}", "for": "1h"}}"#);
        let (_, said) = stage.admin(Method::POST, "/revoke", order.leak()).await;
        assert_eq!((&read(&said)["sessions_ended"], &read(&said)["what"]), (&1.into(), &"session".into()), "{said}");
        assert_eq!(refusal(stage.get(&path).await).await, (403, "revoked".to_owned()));
        // It goes on no more; its story is there.
        let (code, text) = stage.admin(Method::GET, &format!("/sessions/{id}"), "").await;
        assert_eq!((code, &read(&text)["standing"]), (200, &"over".into()), "{text}");
        for (order, place) in [
            (r#"{"access": "nobody", "subject": "alice"}"#, "access"),
            (r#"{"access": "members"}"#, "body"),
            (r#"{"access": "members", "subject": "alice", "for": "10"}"#, "for"),
        ] {
            let (code, said) = stage.admin(Method::POST, "/revoke", order).await;
            assert_eq!((code, &read(&said)["reason"]), (400, &place.into()), "{said}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_limit_ends_where_the_token_says_so() {
    let stream = Stream::start().await;
    tell(Way::H1, gated(&stream.origin, "handover_grace = \"0s\""), async |stage: &Stage| {
        let one = |id: &str| {
            mint(&json!({
                "iss": "https://issuer.test", "sub": "alice", "jti": id, "iat": now(), "exp": now() + 300,
                "path": "/live/a", "max_sessions": 1,
            }))
        };
        assert_eq!(stage.get(&format!("{MAIN}?token={}", one("first"))).await.status, 200);
        let second = stage.get(&format!("{MAIN}?token={}", one("second"))).await;
        assert_eq!(refusal(second).await, (403, "session-limit".to_owned()));
        assert_eq!(stage.get(&format!("{MAIN}?token={}", one("first"))).await.status, 200);
        assert_eq!(stage.metric("weir_session_limit_total", &[]).await, Some(1.0));
    })
    .await;
}

/// An answer of a node's admin API.
async fn admin(node: &Node, method: Method, path: &str, order: &'static str) -> Value {
    let address = node.address("admin").unwrap().to_string();
    let client = Client::connect(&address, Way::H1, &Trust::AcceptAny).await.unwrap();
    let json = [("content-type", "application/json")];
    let answer = client.request(method, path, &json, order.into()).await.unwrap();
    read(&body(answer).await)
}

async fn get(node: &Node, path: &str) -> Response {
    let address = node.address("http").unwrap().to_string();
    Client::connect(&address, Way::H1, &Trust::AcceptAny).await.unwrap().get(path, &[]).await.unwrap()
}

#[tokio::test]
async fn a_restart_remembers_who_was_revoked_and_refuses_nobody_else() {
    let stream = Stream::start().await;
    tell(Way::H1, gated(&stream.origin, ""), async |stage: &Stage| {
        let text = std::fs::read_to_string(&stage.config).unwrap();
        let config = stage.folder().join("kept.toml");
        std::fs::write(&config, text.replace("[node]", "[node]\nstate = \"state\"")).unwrap();
        let start = async || Node::start(Config::load(&config).unwrap().0, Some(config.clone())).await.unwrap();
        let node = start().await;
        let (alice, bob) = (token("alice"), token("bob"));
        let playing = async |node: &Node, token: &str| {
            let main = body(get(node, &format!("{MAIN}?token={token}")).await).await;
            resolved(MAIN, &named(&main, "hi.m3u8"))
        };
        let (hers, his) = (playing(&node, &alice).await, playing(&node, &bob).await);
        let outcome = admin(&node, Method::POST, "/revoke", ALICE).await;
        assert_eq!((&outcome["durable"], &outcome["sessions_ended"]), (&true.into(), &1.into()), "{outcome}");
        node.stop().await;
        let node = start().await;
        for path in [hers, format!("{MAIN}?token={alice}")] {
            assert_eq!(refusal(get(&node, &path).await).await, (403, "revoked".to_owned()));
        }
        assert_eq!(get(&node, &his).await.status, 200, "who plays on is asked for nothing");
        assert_eq!(admin(&node, Method::GET, "/status", "").await["sessions"]["durable"], true);
        node.stop().await;
    })
    .await;
}

/// A backend whose feed says what it is told to say, from the cursor on that it is asked for.
async fn backend(batches: Arc<Mutex<Vec<Value>>>) -> Script {
    Script::start(move |seen| {
        let behind = |rest: &str| rest.parse::<usize>().unwrap();
        let from = seen.target.split_once("cursor=").map_or(0, |(_, cursor)| behind(cursor));
        let batches = batches.lock();
        let etag = format!("\"{}\"", batches.len());
        if seen.field("if-none-match") == etag {
            return reply(304, &[("etag", &etag)], "");
        }
        let Some(entry) = batches.get(from) else { return reply(204, &[], "") };
        let payload = json!({
            "access": "members", "cursor": (from + 1).to_string(), "more": from + 1 < batches.len(), "revocations": [entry],
        });
        reply(200, &[("etag", &etag)], signed("weir-revocations+jwt", &payload))
    })
    .await
}

#[tokio::test]
async fn a_backend_is_asked_what_it_takes_back_and_nothing_is_missed() {
    let stream = Stream::start().await;
    let batches = Arc::new(Mutex::new(vec![json!({ "subject": "alice" })]));
    let backend = backend(batches.clone()).await;
    let feed = format!(
        "feed = {{ url = \"http://{}/revoked\", hmac_secret_file = \"issuer.secret\", interval = \"500ms\" }}",
        backend.addr
    );
    tell(Way::H1, gated(&stream.origin, &feed), async |stage: &Stage| {
        stage.until_metric("weir_revocations", |count| count == 1.0).await;
        let revoked = async |viewer: &str| refusal(stage.get(&format!("{MAIN}?token={}", token(viewer))).await).await;
        assert_eq!(revoked("alice").await, (403, "revoked".to_owned()));
        let path = rendition(stage, &token("bob")).await;
        // Three at once, one behind the other: they are fetched in one round.
        batches.lock().extend(["carol", "dave", "bob"].map(|subject| json!({ "subject": subject })));
        stage.until_metric("weir_revocations", |count| count == 4.0).await;
        assert_eq!(refusal(stage.get(&path).await).await, (403, "revoked".to_owned()));
        assert_eq!(stage.metric("weir_revocation_feed_alarm", &[]).await, Some(0.0));
        // What is not signed for this, or not understood, is not taken; what is in force stays so.
        batches.lock().push(json!({ "colour": "red" }));
        stage.until_metric("weir_revocation_feed_failures_total", |count| count >= 1.0).await;
        assert_eq!(stage.metric("weir_revocations", &[]).await, Some(4.0));
        assert_eq!(revoked("alice").await, (403, "revoked".to_owned()));
        *batches.lock().last_mut().unwrap() = json!({ "subject": "erin" });
        stage.until_metric("weir_revocations", |count| count == 5.0).await;
    })
    .await;
}
