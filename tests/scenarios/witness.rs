//! What the node itself knows of a viewer is read back from its timeline: who began, what was served, what was a miss, why
//! somebody was refused, and when it was over.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::sync::watch;
use weir_loadtest::client::{Client, Response};
use weir_loadtest::origin::{Action, Rule};
use weir_loadtest::port::Reserved;

use crate::gated::{MAIN, Stream, body, gated, mint, now, play, token};
use crate::script::{Script, reply};
use crate::stage::{Setup, Stage, WAYS, tell};

/// The lines of the node's timeline, once one of them is as wanted.
async fn lines(stage: &Stage, is_wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
    all_lines(stage, |lines| lines.iter().any(&is_wanted)).await
}

/// The lines of the node's timeline, once they are as wanted.
async fn all_lines(stage: &Stage, are_wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let log = stage.node.stories().log();
    let told = tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            let next = log.figures().next;
            let lines: Vec<Value> = log
                .read(1, usize::MAX)
                .await
                .unwrap()
                .iter()
                .map(|numbered| serde_json::from_slice(&numbered.record.line).unwrap())
                .collect();
            if are_wanted(&lines) {
                return lines;
            }
            log.reached(next).await;
        }
    });
    match told.await {
        Ok(lines) => lines,
        Err(_) => panic!("the node does not tell of it: {:?}", log.read(1, usize::MAX).await),
    }
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
            let expected = [("session", &*session), ("stream", "live/a"), ("route", "all"), ("device", "browser")];
            assert!(is(began, "began", &expected), "{began}");
            assert!(is(began, "began", &[("player", "Chrome 142"), ("address", "127.0.0.0/24")]), "{began}");
            let request = of(&told, "request")[0];
            let expected = [("kind", "multivariant"), ("cache", "miss"), ("cause", "uri-miss")];
            assert!(is(request, "request", &expected), "{request}");
            assert!(request["playlist_age_ms"].is_null(), "it is no media playlist: {request}");
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
            // What the node had before its viewer came is added up, and has no line of its own.
            let added_up =
                |lines: &[Value]| -> u64 { of(lines, "served").iter().filter_map(|line| line["media"].as_u64()).sum() };
            let own = |lines: &[Value], kind: &str| of(lines, "request").iter().any(|line| line["kind"] == kind);
            let all = |lines: &[Value]| {
                let media = ["segment", "part"].iter().filter(|kind| own(lines, kind)).count() as u64;
                own(lines, "multivariant") && media + added_up(lines) >= 2
            };
            let told = all_lines(stage, all).await;
            let [began] = of(&told, "began")[..] else { panic!("{told:#?}") };
            assert!(is(began, "began", &[("access", "members"), ("stream", "a"), ("route", "gated")]), "{began}");
            assert_eq!(began["subject"].as_str().map(str::len), Some(16));
            assert!(!began.to_string().contains("alice"));
            let [verdict] = of(&told, "verdict")[..] else { panic!("{told:#?}") };
            assert!(verdict["reason"].is_null() && verdict["session"] == began["session"]);
            let requests = of(&told, "request");
            assert!(requests.iter().all(|line| line["session"] == began["session"]));
            // By its date, media begins up to four segments after the stream.
            let behind = |line: &&Value| line["behind_ms"].as_i64().is_some_and(|ms| (-16_000..600_000).contains(&ms));
            assert!(requests.iter().copied().filter(behind).any(|line| line["kind"] == "part"), "{requests:#?}");
            // Whoever is held is told with its hold, and with the rendition that it plays.
            let told = lines(stage, |line| line["event"] == "served" && line["rendition"] == "v").await;
            let aged = |line: &&Value| line["playlist_age_ms"].is_u64();
            assert!(told.iter().any(|line| aged(&line)), "{told:#?}");
            let targets: Vec<_> = told.iter().filter(aged).map(|line| line["playlist_target_ms"].as_u64()).collect();
            assert!(targets.iter().all(|target| target.is_some_and(|ms| ms >= 1_000)), "{targets:?}");
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

#[tokio::test]
async fn all_who_wait_for_one_request_upstream_bear_its_number() {
    for way in WAYS {
        let (open, gate) = watch::channel(false);
        let origin = Script::start_with(move |_| {
            let mut gate = gate.clone();
            Box::pin(async move {
                gate.wait_for(|open| *open).await.unwrap();
                reply(503, &[], "not now")
            })
        })
        .await;
        let route = "live = \"off\"".to_owned();
        let setup = Setup { upstream: Some(origin.addr), route, ..Setup::default() };
        tell(way, setup, async |stage: &Stage| {
            let (first, second) = (stage.viewer().await, stage.viewer().await);
            let ask = |viewer: Client, player: &'static str| {
                tokio::spawn(
                    async move { viewer.get("/live/one.mp4", &[("user-agent", player)]).await.unwrap().status },
                )
            };
            let leader = ask(first, "leader");
            stage.until_metric("weir_fill_readers", |readers| readers >= 1.0).await;
            let joiner = ask(second, "joiner");
            stage.until_metric("weir_fill_readers", |readers| readers >= 2.0).await;
            open.send_replace(true);
            assert_eq!(
                (leader.await.unwrap(), joiner.await.unwrap()),
                (503.try_into().unwrap(), 503.try_into().unwrap())
            );
            let both = |lines: &[Value]| of(lines, "request").len() >= 2 && !of(lines, "fetch").is_empty();
            let told = all_lines(stage, both).await;
            let fetch = of(&told, "fetch")[0];
            assert_eq!((&fetch["origin"], &fetch["status"]), (&json!("main"), &json!(503)));
            let requests = of(&told, "request");
            assert_eq!((&fetch["route"], &fetch["stream"]), (&json!("all"), &requests[0]["stream"]), "{fetch}");
            assert!(requests.iter().all(|line| line["origin"]["id"] == fetch["id"]), "{requests:#?} {fetch}");
            let roles: Vec<_> = requests.iter().map(|line| line["cache"].as_str().unwrap()).collect();
            assert!(roles.contains(&"miss") && roles.contains(&"joined"), "{roles:?}");
            assert_ne!(requests[0]["session"], requests[1]["session"]);
        })
        .await;
    }
}

#[tokio::test]
async fn a_question_that_nobody_waited_for_is_told_of_its_stream() {
    tell(WAYS[0], Setup::default(), async |stage: &Stage| {
        body(stage.get_with("/live/v0/media.m3u8", &[CHROME]).await).await;
        stage.origin.desk().add(Rule::new("*", Action::Status { code: 503, location: None })).unwrap();
        let is_told = |lines: &[Value]| {
            let Some(began) = of(lines, "began").first().copied() else { return false };
            let is_of_it = |line: &&Value| line["route"] == began["route"] && line["stream"] == began["stream"];
            of(lines, "fetch")
                .into_iter()
                .filter(is_of_it)
                .any(|line| line["status"] == 503 && line["session"].is_null())
        };
        let told = all_lines(stage, is_told).await;
        assert!(of(&told, "began")[0]["stream"].is_string());
    })
    .await;
}

#[tokio::test]
async fn who_drops_what_they_had_begun_is_not_taken_for_a_broken_way() {
    tell(WAYS[2], Setup { route: "live = \"off\"".to_owned(), ..Setup::default() }, async |stage: &Stage| {
        let viewer = stage.viewer().await;
        let mut answer = viewer.get("/blob/one.mp4?size=8000000", &[CHROME]).await.unwrap();
        assert!(answer.chunk().await.unwrap().is_some());
        drop(answer);
        let told = lines(stage, |line| line["complete"] == false).await;
        let request = told.iter().find(|line| line["complete"] == false).unwrap();
        assert_eq!(request["broken"], "viewer", "{request}");
    })
    .await;
}

#[tokio::test]
async fn what_changes_on_the_node_is_told_too() {
    let port = Reserved::any().unwrap();
    let origin = Script::start_at(port.addr(), |_| reply(200, &[("cache-control", "no-store")], "ok")).await;
    let setup = Setup { upstream: Some(port.addr()), route: "live = \"off\"".to_owned(), ..Setup::default() };
    let stage = Stage::start(WAYS[0], setup).await;
    drop(origin);
    let is = |what: &'static str| move |line: &Value| line["event"] == "node" && line["what"] == what;
    for number in 0..4 {
        assert_eq!(stage.get(&format!("/x{number}")).await.status, 502);
    }
    let told = lines(&stage, is("origin-down")).await;
    let down = told.iter().find(|line| is("origin-down")(line)).unwrap();
    let all = json!(["all"]);
    assert_eq!((&down["of"], &down["routes"], &down["only_for"]), (&json!("main"), &all, &all), "{down}");
    assert!(of(&told, "fetch").iter().any(|line| line["error"] == "connect"), "{told:#?}");
    let _again = Script::start_at(port.addr(), |_| reply(200, &[], "ok")).await;
    lines(&stage, is("origin-up")).await;
    let text = std::fs::read_to_string(&stage.config).unwrap();
    std::fs::write(&stage.config, text + "\n[limits]\nheld_reloads = 77\n").unwrap();
    assert_eq!(stage.admin(Method::POST, "/reload", "").await.0, 200);
    let told = lines(&stage, is("reloaded")).await;
    let reloaded = told.iter().find(|line| is("reloaded")(line)).unwrap();
    assert_eq!(reloaded["detail"], "limits");
    let stories = stage.node.stories().clone();
    stage.end().await;
    let kept = stories.log().read(1, usize::MAX).await.unwrap();
    let words: Vec<String> = kept
        .iter()
        .filter_map(|numbered| {
            let line: Value = serde_json::from_slice(&numbered.record.line).unwrap();
            line["what"].as_str().map(str::to_owned)
        })
        .collect();
    for word in ["started", "draining", "stopping"] {
        assert!(words.iter().any(|told| told == word), "{word} in {words:?}");
    }
}

#[tokio::test]
async fn players_are_told_of_each_transmission_and_never_of_anothers() {
    for way in WAYS {
        let origin = Script::start(|_| {
            let fields = [
                ("cache-control", "max-age=60"),
                ("content-type", "video/mp4"),
                ("cmsd-static", "ot=v,br=4500"),
                ("cmsd-dynamic", "\"origin\";rd=7"),
            ];
            reply(200, &fields, vec![7_u8; 60_000])
        })
        .await;
        let route = "live = \"off\"".to_owned();
        let setup = Setup { upstream: Some(origin.addr), route, ..Setup::default() };
        tell(way, setup, async |stage: &Stage| {
            let viewer = stage.viewer().await;
            let mut told = Vec::new();
            let began = std::time::Instant::now();
            // The path is looked at once a second: until then nothing is known of it.
            while !told.last().is_some_and(|hops: &String| hops.contains("etp=")) {
                let mut answer = viewer.get("/live/one.mp4", &[CHROME]).await.unwrap();
                assert_eq!(answer.bytes().await.unwrap().len(), 60_000);
                assert_eq!(field(&answer, "cmsd-static").as_deref(), Some("ot=v,br=4500"));
                assert!(own_octets(&answer) <= 350, "{:?}", answer.headers);
                told.push(field(&answer, "cmsd-dynamic").expect("each transmission is told of"));
                // The next one is not to join this one's request upstream.
                stage.settled().await;
                assert!(began.elapsed() < Duration::from_secs(60), "{:?}", told.last());
            }
            assert!(told[0].starts_with("\"origin\";rd=7, \"edge-test\";rd="), "{}", told[0]);
            assert!(told[1..].iter().all(|hops| hops.starts_with("\"edge-test\";")), "{told:?}");
            assert!(!told.iter().any(|hops| hops.contains("mb=") || hops.contains("du")), "{told:?}");
            let paths = |line: &Value| line["event"] == "path" && line["throughput_kbps"].is_u64();
            let lines = lines(stage, paths).await;
            let path = of(&lines, "path").pop().unwrap();
            assert!(path["rtt_us"].as_u64().unwrap() > 0 && path["window"].as_u64().unwrap() > 1_000, "{path}");
        })
        .await;
    }
}

#[tokio::test]
async fn a_proxys_connection_says_nothing_of_the_way_to_its_viewer() {
    let listen = "trusted_proxies = [\"127.0.0.0/8\"]\n".to_owned();
    let setup = Setup { listen, route: "live = \"off\"\nserver_timing = false".to_owned(), ..Setup::default() };
    tell(WAYS[2], setup, async |stage: &Stage| {
        let viewer = stage.viewer().await;
        let began = std::time::Instant::now();
        while began.elapsed() < Duration::from_millis(2_500) {
            let behind = [("x-forwarded-for", "192.0.2.77"), CHROME];
            let mut answer = viewer.get("/blob/one.mp4?size=60000", &behind).await.unwrap();
            answer.bytes().await.unwrap();
            let hops = field(&answer, "cmsd-dynamic").unwrap();
            assert!(hops.contains(";rd=") && !hops.contains("etp") && !hops.contains("rtt"), "{hops}");
            assert_eq!(field(&answer, "server-timing"), None);
        }
        let told = lines(stage, |line| line["event"] == "served").await;
        assert_eq!(of(&told, "began")[0]["address"], "192.0.2.0/24");
        assert!(of(&told, "path").is_empty());
    })
    .await;
}

#[tokio::test]
async fn players_are_told_of_duress_while_some_are_refused() {
    for way in WAYS {
        let (tables, route) = ("[capacity]\nconnections = 20\n".to_owned(), "live = \"off\"".to_owned());
        tell(way, Setup { tables, route, ..Setup::default() }, async |stage: &Stage| {
            let player = stage.viewer().await;
            // What is used is measured again and again, and no bell is rung: the player asks until it is as wanted.
            let hops = async |is_told: bool| {
                let began = std::time::Instant::now();
                loop {
                    let mut answer = player.get("/blob/one.mp4?size=10", &[]).await.unwrap();
                    answer.bytes().await.unwrap();
                    let hops = field(&answer, "cmsd-dynamic").unwrap();
                    if hops.contains("\"edge-test\";du;") == is_told {
                        return hops;
                    }
                    assert!(began.elapsed() < Duration::from_secs(20), "{hops}");
                }
            };
            assert!(!hops(false).await.contains("du"));
            let mut crowd = Vec::new();
            for _ in 0..20 {
                crowd.push(stage.viewer().await);
            }
            hops(true).await;
            drop(crowd);
            assert!(!hops(false).await.contains("du"));
        })
        .await;
    }
}

#[tokio::test]
async fn a_route_may_keep_what_its_transmissions_are_like() {
    let setup = Setup { route: "live = \"off\"\ncmsd = false".to_owned(), ..Setup::default() };
    tell(WAYS[0], setup, async |stage: &Stage| {
        let answer = stage.get("/blob/one.mp4?size=10").await;
        assert_eq!(field(&answer, "cmsd-dynamic"), None);
        assert!(field(&answer, "server-timing").unwrap().ends_with(", cache;desc=lead"));
    })
    .await;
}

/// Octets of fields that the node itself adds to media.
fn own_octets(answer: &Response) -> usize {
    const OWN: [&str; 8] = [
        "age",
        "cache-status",
        "via",
        "alt-svc",
        "x-request-id",
        "server-timing",
        "cmsd-dynamic",
        "access-control-allow-origin",
    ];
    let fields = answer.headers.iter().filter(|(name, _)| OWN.contains(&name.as_str()));
    fields.map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}
