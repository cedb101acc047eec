//! What the node itself knows of a viewer is read back from its timeline: who began, what was served, what was a miss, why
//! somebody was refused, and when it was over.

use std::time::Duration;

use serde_json::{Value, json};
use weir_loadtest::client::Response;

use crate::gated::{MAIN, Stream, body, gated, mint, now, play, token};
use crate::stage::{Setup, Stage, WAYS, tell};

/// The lines of the node's timeline, once one of them is as wanted.
async fn lines(stage: &Stage, is_wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
    let log = stage.node.stories().log();
    let told = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            let next = log.figures().next;
            let lines: Vec<Value> = log
                .read(1, usize::MAX)
                .await
                .unwrap()
                .iter()
                .map(|numbered| serde_json::from_slice(&numbered.record.line).unwrap())
                .collect();
            if lines.iter().any(&is_wanted) {
                return lines;
            }
            log.reached(next).await;
        }
    });
    told.await.expect("the node tells of it")
}

fn of<'l>(lines: &'l [Value], event: &str) -> Vec<&'l Value> {
    lines.iter().filter(|line| line["event"] == event).collect()
}

fn is(line: &Value, event: &str, of: &[(&str, &str)]) -> bool {
    line["event"] == event && of.iter().all(|(key, value)| line[*key] == *value)
}

fn field(answer: &Response, name: &str) -> Option<String> {
    answer.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

const CHROME: (&str, &str) = ("user-agent", "Mozilla/5.0 (X11; Linux x86_64) Chrome/142.0.0.0 Safari/537.36");

#[tokio::test]
async fn a_viewer_of_an_open_stream_has_a_session_that_the_node_opened() {
    for way in WAYS {
        let stream = Stream::start().await;
        let setup = Setup { upstream: Some(stream.origin.addr), ..Setup::default() };
        tell(way, setup, async |stage: &Stage| {
            let answer = stage.get_with(MAIN, &[CHROME]).await;
            let session = field(&answer, "weir-session").expect("a playlist names the session");
            assert_eq!(field(&answer, "weir-support-code").map(|code| code.len()), Some(9));
            body(answer).await;
            let told = lines(stage, |line| is(line, "request", &[("session", &session), ("path", MAIN)])).await;
            let [began] = of(&told, "began")[..] else { panic!("{told:#?}") };
            let expected = [("session", &*session), ("stream", "live"), ("route", "all"), ("device", "browser")];
            assert!(is(began, "began", &expected), "{began}");
            assert!(is(began, "began", &[("player", "Chrome 142"), ("address", "127.0.0.0/24")]), "{began}");
            let request = of(&told, "request")[0];
            let expected = [("kind", "multivariant"), ("cache", "miss"), ("cause", "uri-miss")];
            assert!(is(request, "request", &expected), "{request}");
            // From memory from now on: added up, and not a line each.
            for _ in 0..3 {
                let answer = stage.get_with(MAIN, &[CHROME]).await;
                assert_eq!(field(&answer, "weir-session").as_deref(), Some(&*session));
                body(answer).await;
            }
            let told = lines(stage, |line| is(line, "served", &[("session", &session)])).await;
            assert_eq!((of(&told, "began").len(), of(&told, "request").len()), (1, 1), "{told:#?}");
            let other = stage.get_with(MAIN, &[("user-agent", "Lavf/61.7.100")]).await;
            assert_ne!(field(&other, "weir-session"), Some(session));
        })
        .await;
    }
}

#[tokio::test]
async fn what_a_gated_viewer_plays_is_told_from_its_token_to_its_parts() {
    for way in WAYS {
        let stream = Stream::start().await;
        tell(way, gated(&stream.origin, ""), async |stage: &Stage| {
            let bearer = format!("Bearer {}", token("alice"));
            play(stage, &stream, MAIN, &[("authorization", &bearer)]).await;
            let told = lines(stage, |line| line["kind"] == "part").await;
            let [began] = of(&told, "began")[..] else { panic!("{told:#?}") };
            assert!(is(began, "began", &[("access", "members"), ("stream", "a"), ("route", "gated")]), "{began}");
            assert_eq!(began["subject"].as_str().map(str::len), Some(16));
            assert!(!began.to_string().contains("alice"));
            let [verdict] = of(&told, "verdict")[..] else { panic!("{told:#?}") };
            assert!(verdict["reason"].is_null() && verdict["session"] == began["session"]);
            let requests = of(&told, "request");
            for kind in ["multivariant", "segment", "part"] {
                assert!(requests.iter().any(|line| line["kind"] == kind), "no {kind}: {requests:#?}");
            }
            assert!(requests.iter().all(|line| line["session"] == began["session"]));
            // Whoever is held is told with its hold, and with the rendition that it plays.
            let told = lines(stage, |line| line["event"] == "served" && line["rendition"] == "v").await;
            assert!(of(&told, "served").iter().all(|line| line["route"] == "gated"));
        })
        .await;
    }
}

#[tokio::test]
async fn who_is_refused_has_a_story_that_says_why() {
    for way in WAYS {
        let stream = Stream::start().await;
        tell(way, gated(&stream.origin, ""), async |stage: &Stage| {
            let old = json!({ "iss": "https://issuer.test", "sub": "bob", "jti": "old", "iat": now() - 900,
                "exp": now() - 600, "path": "/live/a" });
            let bearer = format!("Bearer {}", mint(&old));
            let refused = stage.get_with(MAIN, &[("authorization", &bearer), CHROME]).await;
            assert_eq!(refused.status, 401);
            let id = field(&refused, "x-request-id").unwrap();
            let told = lines(stage, |line| line["event"] == "request").await;
            let [request] = of(&told, "request")[..] else { panic!("{told:#?}") };
            let expected = [("reason", "token-expired"), ("fault", "viewer"), ("cache", "refused"), ("id", &*id)];
            assert!(is(request, "request", &expected), "{request}");
            let [verdict] = of(&told, "verdict")[..] else { panic!("{told:#?}") };
            assert!(is(verdict, "verdict", &[("access", "members"), ("reason", "token-expired")]), "{verdict}");
            assert!(verdict["session"].is_string() && verdict["session"] == request["session"]);
            assert!(of(&told, "began").is_empty(), "nobody watches");
        })
        .await;
    }
}

#[tokio::test]
async fn a_viewer_who_falls_silent_is_over_after_a_while() {
    let setup = || Setup {
        tables: "[qoe]\nsession_idle = \"1s\"\n".to_owned(),
        route: "live = \"off\"".to_owned(),
        ..Setup::default()
    };
    for way in WAYS {
        tell(way, setup(), async |stage: &Stage| {
            let mut answer = stage.get("/blob/one.mp4?size=1000").await;
            assert_eq!(answer.bytes().await.unwrap().len(), 1000);
            let told = lines(stage, |line| line["event"] == "ended").await;
            let (began, ended) = (of(&told, "began"), of(&told, "ended"));
            assert_eq!(began[0]["session"], ended[0]["session"]);
            assert!(is(ended[0], "ended", &[("reason", "idle"), ("stream", "blob")]), "{}", ended[0]);
            assert_eq!((&ended[0]["requests"], &ended[0]["bytes"]), (&json!(1), &json!(1000)));
        })
        .await;
    }
}

#[tokio::test]
async fn without_stories_nothing_is_told_of_viewers() {
    let stream = Stream::start().await;
    let setup =
        Setup { upstream: Some(stream.origin.addr), tables: "[qoe]\nenabled = false\n".to_owned(), ..Setup::default() };
    tell(WAYS[0], setup, async |stage: &Stage| {
        let answer = stage.get(MAIN).await;
        assert_eq!(field(&answer, "weir-session"), None);
        let told = lines(stage, |line| line["event"] == "node").await;
        assert!(told.iter().all(|line| line["session"].is_null()), "{told:#?}");
    })
    .await;
}
