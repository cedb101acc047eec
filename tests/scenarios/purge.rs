//! Purges over a running node: what is meant is gone, or stale, from the answer on, and nothing else is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use bytes::Bytes;
use http::Method;
use serde_json::Value;
use tokio::sync::Notify;
use weir_loadtest::client::Way;

use crate::script::{Body, Script, Seen, reply, written};
use crate::stage::{Setup, Stage, WAYS, tell};

fn to(origin: &Script) -> Setup {
    Setup {
        upstream: Some(origin.addr),
        path: "/live/{stream}/",
        route: "live = \"off\"".to_owned(),
        ..Setup::default()
    }
}

/// An origin whose every answer is another one, and lives long.
async fn counting(fields: &'static [(&'static str, &'static str)]) -> Script {
    let count = AtomicUsize::new(0);
    Script::start(move |seen: Seen| -> http::Response<Body> {
        let number = count.fetch_add(1, SeqCst);
        if seen.headers.contains_key("if-none-match") {
            return reply(304, fields, "");
        }
        reply(200, fields, format!("answer {number}"))
    })
    .await
}

async fn purge(stage: &Stage, order: &'static str) -> Value {
    let (code, text) = stage.admin(Method::POST, "/purge", order).await;
    assert_eq!(code, 200, "{order}: {text}");
    serde_json::from_str(&text).unwrap()
}

async fn read(stage: &Stage, path: &str) -> Bytes {
    stage.get(path).await.bytes().await.unwrap()
}

const PATHS: [&str; 4] = ["/live/one/a?x=1", "/live/one/b", "/live/two/a", "/live/two/b"];

#[tokio::test]
async fn whatever_is_meant_is_fetched_anew_and_nothing_else_is() {
    const FIELDS: &[(&str, &str)] = &[("cache-control", "max-age=600"), ("cache-tag", "news, all"), ("etag", "\"1\"")];
    for (order, fetched, objects) in [
        (r#"{"url": "https://any.example/live/one/a?x=1"}"#, 1, 1),
        (r#"{"url": "/live/one/%61?x=1"}"#, 1, 1),
        (r#"{"url": "/live/one/a"}"#, 0, 0),
        (r#"{"prefix": "/live/one/"}"#, 2, 2),
        (r#"{"prefix": "http://localhost/live/t"}"#, 2, 2),
        (r#"{"stream": "two"}"#, 2, 2),
        (r#"{"stream": "t"}"#, 0, 0),
        (r#"{"tag": "news"}"#, 4, 4),
        (r#"{"tag": "new"}"#, 0, 0),
        (r#"{"all": true}"#, 4, 4),
        (r#"{"all": true, "dry_run": true}"#, 0, 4),
    ] {
        let origin = counting(FIELDS).await;
        tell(Way::H2, to(&origin), async |stage: &Stage| {
            let mut before = Vec::new();
            for path in PATHS {
                let mut answer = stage.get(path).await;
                assert_eq!((answer.header("cache-tag"), answer.header("etag")), ("", "\"1\""));
                before.push(answer.bytes().await.unwrap());
            }
            stage.settled().await;
            let answer = purge(stage, order).await;
            assert_eq!((&answer["objects"], &answer["disk"]), (&objects.into(), &Value::Null), "{order}: {answer}");
            let mut changed = 0;
            for (path, before) in PATHS.iter().zip(&before) {
                changed += usize::from(read(stage, path).await != before);
            }
            assert_eq!((changed, origin.count()), (fetched, PATHS.len() + fetched), "{order}");
            assert!(origin.seen().iter().all(|seen| seen.field("if-none-match").is_empty()), "{order}");
        })
        .await;
    }
}

#[tokio::test]
async fn what_is_purged_softly_is_validated_or_sent_while_it_is() {
    for way in WAYS {
        const FIELDS: &[(&str, &str)] = &[("cache-control", "max-age=600"), ("etag", "\"1\"")];
        let origin = counting(FIELDS).await;
        tell(way, to(&origin), async |stage: &Stage| {
            assert_eq!(read(stage, "/live/one/a").await, "answer 0");
            stage.settled().await;
            assert_eq!(purge(stage, r#"{"stream": "one", "mode": "soft"}"#).await["objects"], 1);
            for _ in 0..2 {
                assert_eq!(read(stage, "/live/one/a").await, "answer 0", "the origin has confirmed it");
                stage.settled().await;
            }
            assert_eq!((origin.count(), origin.last().field("if-none-match").as_str()), (2, "\"1\""));
        })
        .await;
    }
    const FIELDS: &[(&str, &str)] = &[("cache-control", "max-age=600, stale-while-revalidate=600")];
    let origin = counting(FIELDS).await;
    tell(Way::H1, to(&origin), async |stage: &Stage| {
        assert_eq!(read(stage, "/live/one/a").await, "answer 0");
        stage.settled().await;
        purge(stage, r#"{"url": "/live/one/a", "mode": "soft"}"#).await;
        assert_eq!(read(stage, "/live/one/a").await, "answer 0", "sent at once, while the origin is asked");
        stage.settled().await;
        assert_eq!(read(stage, "/live/one/a").await, "answer 1");
    })
    .await;
}

#[tokio::test]
async fn a_fetch_in_progress_reaches_its_viewer_and_is_not_stored() {
    for way in WAYS {
        let (pen, held) = written(&[("cache-control", "max-age=600")]);
        let held = Arc::new(std::sync::Mutex::new(Some(held)));
        let origin = Script::start(move |_| match held.lock().unwrap().take() {
            Some(held) => held,
            None => reply(200, &[("cache-control", "max-age=600")], "new"),
        })
        .await;
        tell(way, to(&origin), async |stage: &Stage| {
            let viewer = stage.viewer().await;
            pen.send(Ok(Bytes::from_static(b"ol"))).await.unwrap();
            let mut old = viewer.get("/live/one/a", &[]).await.unwrap();
            assert_eq!(purge(stage, r#"{"stream": "one"}"#).await["fills"], 1);
            assert_eq!(read(stage, "/live/one/a").await, "new", "nobody joins it any more");
            pen.send(Ok(Bytes::from_static(b"d"))).await.unwrap();
            drop(pen);
            assert_eq!(old.bytes().await.unwrap(), "old");
            stage.settled().await;
            assert_eq!(read(stage, "/live/one/a").await, "new");
            assert_eq!(origin.count(), 2);
        })
        .await;
    }
}

#[tokio::test]
async fn what_was_posted_for_before_a_purge_is_not_kept_after_it() {
    let (asked, gate) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let held = (asked.clone(), gate.clone());
    let origin = Script::start_with(move |seen| {
        let (asked, gate) = held.clone();
        Box::pin(async move {
            if seen.method == Method::POST {
                asked.notify_one();
                gate.notified().await;
            }
            let fields = [("cache-control", "max-age=600"), ("content-location", "/live/one/a")];
            reply(200, &fields, seen.method.to_string())
        })
    })
    .await;
    tell(Way::H2, to(&origin), async |stage: &Stage| {
        for order in [None, Some(r#"{"stream": "one"}"#)] {
            let posted = stage.ask(Method::POST, "/live/one/a", &[], b"form");
            let meanwhile = async {
                asked.notified().await;
                if let Some(order) = order {
                    purge(stage, order).await;
                }
                gate.notify_one();
            };
            let (mut posted, ()) = tokio::join!(posted, meanwhile);
            assert_eq!(posted.bytes().await.unwrap(), "POST");
            stage.settled().await;
            let kept = if order.is_none() { "POST" } else { "GET" };
            assert_eq!(read(stage, "/live/one/a").await, kept);
        }
    })
    .await;
}

#[tokio::test]
async fn a_live_stream_is_fetched_anew_from_its_playlists_down() {
    tell(Way::H2, Setup::default(), async |stage: &Stage| {
        let master = String::from_utf8(read(stage, "/live/master.m3u8").await.to_vec()).unwrap();
        let uri = |text: &str| text.lines().find(|line| !line.starts_with('#') && !line.is_empty()).unwrap().to_owned();
        let playlist = format!("/live/{}", uri(&master));
        let text = String::from_utf8(read(stage, &playlist).await.to_vec()).unwrap();
        let segment = format!("{}/{}", playlist.rsplit_once('/').unwrap().0, uri(&text));
        let before = read(stage, &segment).await;
        assert_eq!(read(stage, &segment).await, before);
        let asked = |path: &str| stage.origin.requests_for(path);
        let counts = [asked("/live/master.m3u8"), asked(&segment)];
        assert_eq!(counts, [1, 1]);

        let answer = purge(stage, r#"{"stream": "live"}"#).await;
        assert!(answer["objects"].as_u64().unwrap() >= 1, "{answer}");
        assert!(answer["playlists"].as_u64().unwrap() >= 2, "{answer}");
        // Old names are still known for a while: what they stand for is not.
        assert_eq!(read(stage, &segment).await, before);
        read(stage, "/live/master.m3u8").await;
        assert_eq!([asked("/live/master.m3u8"), asked(&segment)], [2, 2]);
        let again = String::from_utf8(read(stage, &playlist).await.to_vec()).unwrap();
        let msn = |text: &str| -> u64 {
            text.lines().find_map(|line| line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:")).unwrap().parse().unwrap()
        };
        assert!(msn(&again) >= msn(&text), "its numbers go on");

        let counts = [asked("/live/master.m3u8"), asked(&segment)];
        assert_eq!(purge(stage, r#"{"url": "/live/master.m3u8?CMCD=x"}"#).await["playlists"], 1);
        read(stage, "/live/master.m3u8").await;
        assert_eq!([asked("/live/master.m3u8"), asked(&segment)], [counts[0] + 1, counts[1]]);
    })
    .await;
}

#[tokio::test]
async fn nonsense_is_refused_with_its_place_and_what_would_help() {
    let origin = counting(&[]).await;
    tell(Way::H1, to(&origin), async |stage: &Stage| {
        for (order, place, said) in [
            ("", "body", "write one of"),
            (r#"{"urll": "/x"}"#, "body", "unknown field `urll`"),
            (r#"{"url": "/x", "tag": "y"}"#, "body", "exclude each other"),
            (r#"{"mode": "soft"}"#, "body", "say what is meant"),
            (r#"{"url": "ftp://a/x"}"#, "url", "neither http nor https"),
            (r#"{"url": "/.weir/live"}"#, "url", "the node itself"),
            (r#"{"url": "/elsewhere"}"#, "url", "weir explain"),
            (r#"{"stream": "one/two"}"#, "stream", "use `prefix`"),
            (r#"{"stream": ""}"#, "stream", "as /status lists it"),
            (r#"{"tag": " "}"#, "tag", "Surrogate-Key"),
        ] {
            let (code, text) = stage.admin(Method::POST, "/purge", order).await;
            let answer: Value = serde_json::from_str(&text).unwrap();
            assert_eq!((code, &answer["reason"]), (400, &place.into()), "{order}: {text}");
            assert!(answer["detail"].as_str().unwrap().contains(said), "{order}: {text}");
        }
        read(stage, "/live/one/a").await;
        purge(stage, r#"{"all": true}"#).await;
        purge(stage, r#"{"all": true, "mode": "soft"}"#).await;
        for (mode, count) in [("hard", 1.0), ("soft", 1.0)] {
            let label = format!("mode=\"{mode}\"");
            assert_eq!(stage.metric("weir_purges_total", &[&label]).await, Some(count), "{mode}");
        }
        assert!(stage.metric("weir_purged_objects_total", &["kind=\"memory\""]).await.is_some());
    })
    .await;
}
