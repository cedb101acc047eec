//! What players report: who may, what is answered, into whose story it goes, and what of it reaches nobody.

mod kept;

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::Method;
use serde_json::{Value, json};
use weir_loadtest::client::{Client, Response};

use crate::gated::{MAIN, Stream, body, mint, named, now, resolved, token};
use crate::script::Script;
use crate::stage::{PAUSE, Setup, Stage, WAYS, tell, with};

const CMCD: (&str, &str) = ("content-type", "application/cmcd");
const JSON: (&str, &str) = ("content-type", "application/json");
const SITE: (&str, &str) = ("origin", "https://player.example");

/// Where the node tells what happened.
const TOLD: &str = "told.ndjson";

fn qoe(more: &str) -> String {
    format!("[qoe]\n{more}\n[qoe.sinks.file]\ntype = \"file\"\npath = \"{TOLD}\"\nevery = \"1ms\"\n")
}

/// A node with a gated route before an open one.
fn both(upstream: &Script, more: (&str, &str)) -> Setup {
    let gated = crate::gated::gated_with(upstream, "", more.0);
    Setup { tables: format!("{}{}", qoe(more.1), gated.tables), ..gated }
}

/// Milliseconds since the epoch.
fn millis() -> u64 {
    now() * 1_000
}

/// A record of the event `e`, with what more it says.
fn record(e: &str, sid: &str, more: &str) -> String {
    format!("e={e},sid=\"{sid}\",ts={},v=2{more}", millis())
}

/// Posts, again where the node had no time for reports at that moment, as it may on a busy machine: it asks for five
/// seconds then. Who reports too much is told to wait for longer.
async fn post(viewer: &Client, path: &str, fields: &[(&str, &str)], text: impl Into<Bytes>) -> Response {
    let text = text.into();
    loop {
        let answer = viewer.request(Method::POST, path, fields, text.clone()).await.unwrap();
        if answer.status != 429 || answer.header("retry-after") != "5" {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The lines that the node has told of an event. The last one may not be whole yet.
async fn told(folder: &Path, event: &str) -> Vec<Value> {
    let text = tokio::fs::read_to_string(folder.join(TOLD)).await.unwrap_or_default();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let lines = whole.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["event"] == event).collect()
}

/// The reports that were told, once there are as many as are waited for.
async fn reports(stage: &Stage, count: usize) -> Vec<Value> {
    loop {
        let all = told(stage.folder(), "report").await;
        if all.len() >= count {
            return all;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn dropped(stage: &Stage, reason: &str) -> f64 {
    let label = format!("reason=\"{reason}\"");
    stage.metric("weir_beacons_dropped_total", &[&label]).await.unwrap()
}

/// A viewer who plays the gated stream: where its session is, and its name.
async fn plays(stage: &Stage, viewer: &Client, subject: &str) -> (String, String) {
    let bearer = format!("Bearer {}", token(subject));
    let fields = [("authorization", bearer.as_str()), ("user-agent", subject)];
    let answer = viewer.get(MAIN, &fields).await.unwrap();
    let session = answer.header("weir-session").to_owned();
    let media = resolved(MAIN, &named(&body(answer).await, "hi.m3u8"));
    assert_eq!(viewer.get(&media, &[("user-agent", subject)]).await.unwrap().status.as_u16(), 200);
    let carrier = media.strip_suffix("/live/a/v/hi.m3u8").unwrap().to_owned();
    assert!(carrier.starts_with("/.weir/s/") && stage.way.name() != "");
    (carrier, session)
}

#[tokio::test]
async fn a_body_gets_the_answer_that_its_player_must_act_on() {
    for way in WAYS {
        let stream = Stream::start().await;
        tell(way, both(&stream.origin, ("", "")), async |stage: &Stage| {
            let viewer = stage.viewer().await;
            let (carrier, _) = plays(stage, &viewer, "one").await;
            let path = format!("{carrier}/.weir/cmcd");
            let good = record("ps", "s", ",sta=p");
            let ask = async |fields: &[(&str, &str)], text: Bytes| {
                let all: Vec<_> = fields.iter().copied().chain([SITE, ("user-agent", "one")]).collect();
                // A connection may end with a body that was not wanted.
                let answer = post(&stage.viewer().await, &path, &all, text).await;
                assert_eq!(answer.header("access-control-allow-origin"), "*", "{fields:?}");
                (answer.status.as_u16(), answer)
            };
            let good = Bytes::from(good);
            for kind in ["application/cmcd", "text/cmcd", "application/cmcd; charset=utf-8", "Text/CMCD"] {
                let (code, answer) = ask(&[("content-type", kind)], good.clone()).await;
                assert_eq!((code, answer.header("cache-control")), (204, "no-store"), "{kind}");
            }
            let long = format!("{}{}", record("t", "s", ",com.example-a=\""), "a".repeat(4_096));
            for (fields, text, code, reason) in [
                (&[CMCD][..], Bytes::new(), 400, "beacon-empty"),
                (&[CMCD], "\n\n".into(), 400, "beacon-empty"),
                (&[CMCD], "{\"e\":\"ps\"}".into(), 400, "beacon-empty"),
                (&[CMCD], "\u{fffd}\0=,,\"".into(), 400, "beacon-empty"),
                (&[CMCD], long.into(), 400, "beacon-empty"),
                (&[CMCD], "e=ps,sta=p,v=3,ts=1".into(), 400, "beacon-empty"),
                (&[CMCD], vec![b'a'; (64 << 10) + 1].into(), 413, "body-too-large"),
                (&[], good.clone(), 415, "beacon-type-unknown"),
                (&[JSON], good.clone(), 415, "beacon-type-unknown"),
                (&[("content-type", "text/plain")], good.clone(), 415, "beacon-type-unknown"),
                (&[CMCD, ("content-encoding", "br")], good.clone(), 415, "beacon-coding-unknown"),
                (&[CMCD, ("content-encoding", "gzip")], good.clone(), 400, "bad-request"),
                (&[CMCD, ("content-encoding", "gzip")], gzip(&vec![b'a'; 300_000]), 413, "body-too-large"),
            ] {
                let (got, mut answer) = ask(fields, text.clone()).await;
                let told = format!("{} {fields:?} {} octets", way.name(), text.len());
                assert_eq!(got, code, "{told}");
                let answer = answer.bytes().await.unwrap();
                assert!(String::from_utf8_lossy(&answer).contains(reason), "{told}: {answer:?}");
            }
            let (code, answer) = ask(&[JSON], good.clone()).await;
            assert_eq!((code, answer.header("accept")), (415, "application/cmcd"));
            let (code, _) = ask(&[CMCD, ("content-encoding", "gzip")], gzip(&good)).await;
            assert_eq!(code, 204);
            for method in [Method::GET, Method::PUT, Method::DELETE, Method::OPTIONS] {
                let answer = viewer.request(method.clone(), &path, &[SITE], Bytes::new()).await.unwrap();
                assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, "POST, OPTIONS"), "{method}");
            }
            for path in ["/.weir/cmcd/", "/.weir/cmcd/x", "/.weir/beacons", "/live/a/.weir/cmcd"] {
                assert_eq!(post(&viewer, path, &[CMCD], good.clone()).await.status.as_u16(), 404, "{path}");
            }
        })
        .await;
    }
}

fn gzip(octets: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(octets).unwrap();
    encoder.finish().unwrap().into()
}

#[tokio::test]
async fn a_preflight_of_reports_is_answered_for_whoever_may_play() {
    for (cors, site, allowed) in [
        ("", "https://player.example", "*"),
        ("cors = { origins = [\"https://player.example\"] }", "https://player.example", "https://player.example"),
        ("cors = { origins = [\"https://player.example\"] }", "https://elsewhere.example", ""),
        (
            "cors = { origins = [\"https://player.example\"], allow_headers = [\"X-Own\"] }",
            "https://player.example",
            "https://player.example",
        ),
    ] {
        with(
            || Setup { route: cors.to_owned(), ..Setup::default() },
            async |stage| {
                let fields = [
                    ("origin", site),
                    ("access-control-request-method", "POST"),
                    ("access-control-request-headers", "content-type"),
                ];
                for path in ["/.weir/cmcd", "/.weir/beacon", "/.weir/s/whatever/.weir/cmcd"] {
                    let answer = stage.ask(Method::OPTIONS, path, &fields, b"").await;
                    let told = format!("{} {cors} {site} {path}", stage.way.name());
                    assert_eq!(answer.status.as_u16(), 204, "{told}");
                    assert_eq!(answer.header("access-control-allow-origin"), allowed, "{told}");
                    if allowed.is_empty() {
                        continue;
                    }
                    assert_eq!(answer.header("access-control-allow-methods"), "POST", "{told}");
                    assert_eq!(answer.header("access-control-max-age"), "7200", "{told}");
                    let names = answer.header("access-control-allow-headers").to_ascii_lowercase();
                    assert!(names.split(", ").any(|name| name == "content-type"), "{told}: {names}");
                }
                assert_eq!(stage.origin.requests_for("/"), 0);
            },
        )
        .await;
    }
}

#[tokio::test]
async fn no_viewer_writes_into_the_story_of_another() {
    for way in WAYS {
        let stream = Stream::start().await;
        tell(way, both(&stream.origin, ("", "")), async |stage: &Stage| {
            let (alice, bob) = (stage.viewer().await, stage.viewer().await);
            let ((by_alice, of_alice), (by_bob, of_bob)) =
                (plays(stage, &alice, "alice").await, plays(stage, &bob, "bob").await);
            assert_ne!(of_alice, of_bob);
            let agent = ("user-agent", "alice");
            // Alice names Bob's session, his view and his stream wherever a record can.
            let claims = format!(
                "{}\n{}",
                record("ps", "bob's view", &format!(",sta=f,cid=\"{of_bob}\",h=\"{by_bob}\"")),
                record("rr", "bob's view", &format!(",url=\"http://localhost{by_bob}/live/a/v/s100.m4s\",rc=500")),
            );
            let answer = post(&alice, &format!("{by_alice}/.weir/cmcd"), &[CMCD, agent], claims.clone()).await;
            assert_eq!(answer.status.as_u16(), 204);
            let bobs = record("ps", "bob's view", ",sta=p");
            let answer = post(&bob, &format!("{by_bob}/.weir/cmcd"), &[CMCD, ("user-agent", "bob")], bobs).await;
            assert_eq!(answer.status.as_u16(), 204);
            // A session that was made up, changed, or belongs to nobody opens nothing.
            let last = by_bob.chars().last().unwrap();
            let forged = format!("{}{}", &by_bob[..by_bob.len() - 1], if last == 'A' { 'B' } else { 'A' });
            for carrier in [forged.as_str(), "/.weir/s/AAAA", "/.weir/t/a.b.c"] {
                let answer = post(&alice, &format!("{carrier}/.weir/cmcd"), &[CMCD, agent], claims.clone()).await;
                assert!(matches!(answer.status.as_u16(), 401 | 403), "{carrier}: {}", answer.status);
            }
            let foreign = mint(&json!({ "iss": "https://other.test", "sub": "bob", "exp": now() + 60 }));
            let bearer = format!("Bearer {foreign}");
            let fields = [CMCD, agent, ("authorization", bearer.as_str())];
            let answer = post(&alice, "/.weir/cmcd", &fields, claims.clone()).await;
            assert_eq!(answer.status.as_u16(), 403);
            // Without a credential a record of a gated stream is nobody's.
            let answer = post(&alice, "/.weir/cmcd", &[CMCD, agent], claims).await;
            assert_eq!((answer.status.as_u16(), dropped(stage, "unknown-viewer").await), (204, 2.0));

            let all = reports(stage, 3).await;
            let of = |session: &str| all.iter().filter(|line| line["session"] == session).collect::<Vec<_>>();
            assert_eq!((all.len(), of(&of_alice).len(), of(&of_bob).len()), (3, 2, 1), "{all:#?}");
            let states: Vec<_> = of(&of_bob).iter().map(|line| line["sta"].clone()).collect();
            assert_eq!(states, [json!("p")]);
            let views: Vec<_> = all.iter().map(|line| line["view"].as_str().unwrap()).collect();
            assert!(views.iter().all(|view| view.len() == 24), "{views:?}");
            assert_ne!(of(&of_alice)[0]["view"], of(&of_bob)[0]["view"], "one sid in two sessions is two views");
        })
        .await;
    }
}

#[tokio::test]
async fn a_report_comes_with_any_carrier_of_its_session_and_holds_nothing_of_it() {
    for way in WAYS {
        let stream = Stream::start().await;
        tell(way, both(&stream.origin, ("", "custom_keys = [\"com.example-*\"]")), async |stage: &Stage| {
            let viewer = stage.viewer().await;
            let token = token("one");
            let bearer = format!("Bearer {token}");
            let agent = ("user-agent", "one");
            let answer = viewer.get(MAIN, &[("authorization", &bearer), agent]).await.unwrap();
            let session = answer.header("weir-session").to_owned();
            let media = resolved(MAIN, &named(&body(answer).await, "hi.m3u8"));
            let carrier = media.strip_suffix("/live/a/v/hi.m3u8").unwrap();
            let cookie = format!("theme=dark; token={token}");
            let sealed = format!("weir_session={}", carrier.rsplit('/').next().unwrap());
            let whole = format!("https://localhost{carrier}/live/a/v/s100.m4s?token={token}");
            let short = format!("{carrier}/live/x");
            let texts = format!(
                ",url=\"{whole}\",rc=200,cs=\"{whole}\",ec=(\"404 {whole}\" \"{short}\"),cid=\"{short}\",cdn=\"{short}\",\
                 h=\"{short}\",nor=(\"{whole}\"),com.example-a=\"x?token=y\""
            );
            for (path, fields) in [
                ("/.weir/cmcd".to_owned(), vec![("authorization", bearer.as_str())]),
                (format!("/.weir/cmcd?token={token}"), vec![]),
                ("/.weir/cmcd".to_owned(), vec![("cookie", &cookie)]),
                ("/.weir/cmcd".to_owned(), vec![("cookie", &sealed)]),
                (format!("/.weir/t/{token}/.weir/cmcd"), vec![]),
                (format!("{carrier}/.weir/cmcd"), vec![]),
                (format!("/.weir/cmcd?{sealed}"), vec![]),
            ] {
                let fields: Vec<_> = fields.into_iter().chain([CMCD, agent]).collect();
                let text = record("rr", "view", &texts);
                assert_eq!(post(&viewer, &path, &fields, text).await.status.as_u16(), 204, "{path} {fields:?}");
            }
            let all = reports(stage, 7).await;
            for line in &all {
                assert_eq!((&line["session"], &line["route"]), (&json!(session), &json!("gated")), "{line}");
                assert_eq!((&line["stream"], &line["url"]), (&json!("a"), &json!("/live/a/v/s100.m4s")), "{line}");
                assert_eq!((&line["cs"], &line["ec"][0]), (&json!("/live/a/v/s100.m4s"), &json!("404 /live/a/v/s100.m4s")));
                assert_eq!((&line["ec"][1], &line["nor"][0]["path"]), (&json!("/live/x"), &json!("/live/a/v/s100.m4s")));
                assert_eq!(line["custom"]["com.example-a"], json!("x"));
                let text = line.to_string();
                assert!(
                    !text.contains(&token) && !text.contains("weir_session") && !text.contains("\"view\":\"view\"")
                );
                assert!(!text.contains(carrier.rsplit('/').next().unwrap()), "{text}");
            }
        })
        .await;
    }
}

#[tokio::test]
async fn what_is_wrong_is_dropped_piece_by_piece_and_what_is_right_is_kept() {
    for way in WAYS {
        let stream = Stream::start().await;
        tell(way, both(&stream.origin, ("", "custom_keys = [\"com.example-*\"]")), async |stage: &Stage| {
            let viewer = stage.viewer().await;
            let (carrier, _) = plays(stage, &viewer, "one").await;
            let batch = [
                record("ps", "s", ",sta=p,bl=(2000),com.example-a=\"x\",com.other-b=\"y\",tpb=(9000)"),
                "e=t,v=2".to_owned(),
                record("t", "s", ",bl=2000,br=(5000;v),mtp=(-1)"),
                "=".to_owned(),
                format!("e=t,sid=\"s\",ts={},v=2", millis() - 25 * 3_600_000),
                format!("e=t,ts={},v=2,bl=(1000)", millis()),
            ];
            let answer =
                post(&viewer, &format!("{carrier}/.weir/cmcd"), &[CMCD, ("user-agent", "one")], batch.join("\r\n"))
                    .await;
            assert_eq!(answer.status.as_u16(), 204);
            let all = reports(stage, 3).await;
            assert_eq!(all.len(), 3, "{all:#?}");
            assert_eq!((&all[0]["sta"], &all[0]["custom"]), (&json!("p"), &json!({ "com.example-a": "x" })));
            assert_eq!((&all[0]["tpb"], &all[0]["bl"]), (&Value::Null, &json!([{ "value": 2_000 }])));
            assert_eq!((&all[1]["br"], &all[1]["bl"]), (&json!([{ "value": 5_000, "of": "v" }]), &Value::Null));
            assert_eq!(all[2]["view"], Value::Null, "its token names its session");
            let mut keys: Vec<_> = all.iter().map(|line| line["key"].as_str().unwrap()).collect();
            keys.dedup();
            assert!(keys.len() == 3 && keys.iter().all(|key| key.len() == 32), "{keys:?}");
            for (reason, count) in
                [("missing-key", 1.0), ("malformed", 1.0), ("wrong-type", 1.0), ("clock", 1.0), ("not-allowed", 2.0)]
            {
                assert_eq!(dropped(stage, reason).await, count, "{reason}");
            }
            assert_eq!(stage.metric("weir_beacon_records_total", &["event"]).await, Some(3.0));
            // A batch that is sent again is known by its keys.
            let path = format!("{carrier}/.weir/cmcd");
            let again = post(&viewer, &path, &[CMCD, ("user-agent", "one")], batch[0].clone()).await;
            assert_eq!(again.status.as_u16(), 204);
            assert_eq!(reports(stage, 4).await[3]["key"], all[0]["key"]);
        })
        .await;
    }
}

#[tokio::test]
async fn who_reports_too_much_is_told_to_wait_and_nobody_else_is() {
    for way in WAYS {
        let stream = Stream::start().await;
        let limits = "[limits]\nbeacons_per_session = \"1/h\"\nrecords_per_session = \"5/h\"\n";
        let setup = || {
            let setup = both(&stream.origin, ("", ""));
            Setup { tables: format!("{limits}{}", setup.tables), ..setup }
        };
        tell(way, setup(), async |stage: &Stage| {
            let viewer = stage.viewer().await;
            let (one, _) = plays(stage, &viewer, "one").await;
            let (other, _) = plays(stage, &viewer, "other").await;
            let send = async |carrier: &str, agent: &str, records: usize| {
                let batch = vec![record("t", "s", ""); records].join("\n");
                let fields = [CMCD, SITE, ("user-agent", agent)];
                post(&viewer, &format!("{carrier}/.weir/cmcd"), &fields, batch).await
            };
            for _ in 0..5 {
                assert_eq!(send(&one, "one", 1).await.status.as_u16(), 204);
            }
            let answer = send(&one, "one", 1).await;
            assert_eq!((answer.status.as_u16(), answer.header("access-control-allow-origin")), (429, "*"));
            let wait: u64 = answer.header("retry-after").parse().unwrap();
            assert!((1..=3_600).contains(&wait), "{wait}");
            assert_eq!(send(&other, "other", 50).await.status.as_u16(), 204, "a session is not another's");
            assert_eq!(send(&other, "other", 1).await.status.as_u16(), 429, "its records count too");
            let playing = viewer.get(&format!("{one}/live/a/v/hi.m3u8"), &[("user-agent", "one")]).await.unwrap();
            assert_eq!(playing.status.as_u16(), 200, "playback is no report");
        })
        .await;
    }
}

#[tokio::test]
async fn on_an_open_stream_reports_find_the_session_of_their_device() {
    for way in WAYS {
        let stream = Stream::start().await;
        let setup = || Setup {
            upstream: Some(stream.origin.addr),
            path: "/live/{stream}/",
            tables: qoe(""),
            ..Setup::default()
        };
        tell(way, setup(), async |stage: &Stage| {
            let viewer = stage.viewer().await;
            let send = async |agent: &str, fields: &[(&str, &str)], text: String| {
                let fields: Vec<_> = fields.iter().copied().chain([CMCD, ("user-agent", agent)]).collect();
                post(&viewer, "/.weir/cmcd", &fields, text).await.status.as_u16()
            };
            assert_eq!(send("one", &[], record("ps", "early", ",sta=s")).await, 204);
            assert_eq!(dropped(stage, "unknown-viewer").await, 1.0, "nobody of that name watches");
            for agent in ["one", "two"] {
                let answer = viewer.get(MAIN, &[("user-agent", agent)]).await.unwrap();
                assert_eq!(answer.status.as_u16(), 200);
                body(answer).await;
            }
            assert_eq!(send("one", &[], record("ps", "s", ",sta=p")).await, 204);
            assert_eq!(send("one", &[], record("ps", "t", ",sta=p,cid=\"a\"")).await, 204);
            assert_eq!(send("two", &[], record("rr", "s", ",url=\"/live/a/v/s100.m4s\",rc=200")).await, 204);
            assert_eq!(send("three", &[], record("ps", "s", ",sta=p,cid=\"a\"")).await, 204);
            assert_eq!(send("one", &[], format!("e=ps,sta=p,ts={},v=2", millis())).await, 204);
            assert_eq!(dropped(stage, "unknown-viewer").await, 2.0);
            assert_eq!(dropped(stage, "no-session").await, 1.0, "without a sid, one viewer of a device is any of them");
            // A cookie that opens nothing here is none of the player's doing.
            assert_eq!(send("one", &[("cookie", "weir_session=AAAA")], record("ps", "s", ",sta=a")).await, 204);
            viewer.get(&format!("{MAIN}?CMCD=bl%3D1000%2Csid%3D%22s%22"), &[("user-agent", "two")]).await.unwrap();
            let all = reports(stage, 5).await;
            assert_eq!(all.len(), 5, "{all:#?}");
            let session = |at: usize| all[at]["session"].as_str().unwrap();
            assert!(session(0) == session(1) && session(0) == session(3) && session(2) == session(4), "{all:#?}");
            assert_ne!(session(0), session(2));
            assert_ne!(all[0]["view"], all[1]["view"], "a sid splits views");
            assert_eq!(all[2]["view"], all[4]["view"]);
            assert!(all.iter().all(|line| line["stream"] == "a" && line["route"] == "all"));
        })
        .await;
    }
}

#[tokio::test]
async fn players_without_cmcd_report_in_plain_words() {
    for way in WAYS {
        let stream = Stream::start().await;
        tell(way, both(&stream.origin, ("", "")), async |stage: &Stage| {
            let viewer = stage.viewer().await;
            let (carrier, session) = plays(stage, &viewer, "one").await;
            let path = format!("{carrier}/.weir/beacon");
            let fields = [JSON, ("user-agent", "one")];
            let good = json!({ "event": "state", "state": "playing", "time_ms": millis(), "session": "s" });
            let batch = json!([good, { "event": "nothing that is known" }, 7]);
            let answer = post(&viewer, &path, &fields, batch.to_string()).await;
            assert_eq!(answer.status.as_u16(), 204, "{:?}", told(stage.folder(), "report").await);
            let all = reports(stage, 1).await;
            assert_eq!((&all[0]["session"], &all[0]["mode"]), (&json!(session), &json!("beacon")), "{all:#?}");
            assert_eq!((all.len(), &all[0]["sta"]), (1, &json!("p")));
            for text in ["", "{", "7", "[]", "[{}]"] {
                assert_eq!(post(&viewer, &path, &fields, text).await.status.as_u16(), 400, "{text}");
            }
            assert_eq!(post(&viewer, &path, &[CMCD, fields[1]], good.to_string()).await.status.as_u16(), 415);
        })
        .await;
    }
}
