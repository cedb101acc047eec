//! What may be shared is, and what may not is not: Vary, no-store, private, queries, methods with bodies.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use bytes::Bytes;
use http::Method;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use weir_loadtest::client::Way;
use weir_loadtest::origin::{Action, Rule};

use crate::script::{Script, reply};
use crate::stage::{Setup, Stage, WAYS, fresh_blob, on_every_protocol, tell};

fn to(origin: &Script) -> Setup {
    Setup { upstream: Some(origin.addr), ..Setup::default() }
}

#[tokio::test]
async fn two_encodings_are_kept_apart() {
    for way in WAYS {
        let origin = Script::start(|seen| {
            let life = ("cache-control", "max-age=60");
            let vary = ("vary", "accept-encoding");
            match seen.field("accept-encoding").contains("gzip") {
                true => reply(200, &[life, vary, ("content-encoding", "gzip")], "zipped"),
                false => reply(200, &[life, vary], "plain"),
            }
        })
        .await;
        tell(way, to(&origin), async |stage: &Stage| {
            for _ in 0..2 {
                for (accepted, coding, body) in [("gzip, deflate", "gzip", "zipped"), ("identity", "", "plain")] {
                    let mut answer = stage.get_with("/varied", &[("accept-encoding", accepted)]).await;
                    assert_eq!(answer.header("content-encoding"), coding);
                    assert_eq!(answer.bytes().await.unwrap(), body);
                }
            }
            assert_eq!(origin.count(), 2);
        })
        .await;
    }
}

#[tokio::test]
async fn the_query_is_part_of_the_key() {
    on_every_protocol(async |stage| {
        for _ in 0..2 {
            for query in ["size=1&a=1", "size=1&a=2"] {
                stage.get(&format!("/blob/queried?{query}")).await.bytes().await.unwrap();
            }
        }
        let counts =
            ["size=1&a=1", "size=1&a=2"].map(|query| stage.origin.requests_for(&format!("/blob/queried?{query}")));
        assert_eq!(counts, [1, 1]);
    })
    .await;
}

#[tokio::test]
async fn what_is_not_shared_lets_those_who_waited_go_at_once() {
    on_every_protocol(async |stage| {
        for life in ["no-store", "private"] {
            let blob = fresh_blob(100_000, &format!("&cc={life}"));
            let head = stage.origin.hold(&blob.path).unwrap();
            // The first body stops half-way: who waits for it would wait for ever.
            let rule = Rule::new(&blob.path, Action::Stall { after: 50_000 }).times(1);
            let body = stage.origin.desk().gate(rule).unwrap();
            let mut asking = JoinSet::new();
            for _ in 0..5 {
                let viewer = stage.viewer().await;
                let blob = blob.clone();
                asking.spawn(async move {
                    let mut answer = viewer.get(&blob.path, &[]).await.unwrap();
                    assert!(!answer.header("cache-status").contains("stored"), "{}", answer.header("cache-status"));
                    blob.read_all(&mut answer).await.unwrap();
                });
            }
            stage.until_metric("weir_fill_readers", |readers| readers == 5.0).await;
            head.open();
            for _ in 0..4 {
                asking.join_next().await.unwrap().unwrap();
            }
            body.open();
            asking.join_next().await.unwrap().unwrap();
            assert_eq!(stage.origin.requests_for(&blob.path), 5, "{life}: each asked for itself");
        }
    })
    .await;
}

#[tokio::test]
async fn a_body_is_forwarded_with_its_request() {
    for way in WAYS {
        let origin = Script::start(|seen| {
            let method = seen.method.to_string();
            reply(201, &[("x-method", &method)], seen.body)
        })
        .await;
        tell(way, to(&origin), async |stage: &Stage| {
            for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
                let fields = [("content-type", "text/x-story"), ("cookie", "who=me")];
                let mut answer = stage.ask(method.clone(), "/forms?x=1", &fields, b"what happened").await;
                assert_eq!((answer.status.as_u16(), answer.header("x-method")), (201, method.as_str()));
                assert_eq!(answer.bytes().await.unwrap(), "what happened");
                assert_eq!(answer.header("cache-status"), "edge-test;fwd=method");
                let seen = origin.last();
                assert_eq!((seen.target.as_str(), seen.field("content-type")), ("/forms?x=1", "text/x-story".into()));
                assert_eq!(
                    (seen.field("cookie"), seen.field("x-forwarded-for")),
                    ("who=me".into(), "127.0.0.1".into())
                );
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_body_beyond_the_routes_limit_is_refused() {
    for way in WAYS {
        let origin = Script::start(|seen| reply(200, &[], seen.body)).await;
        let setup = Setup { route: "max_body = \"1kB\"".to_owned(), ..to(&origin) };
        tell(way, setup, async |stage: &Stage| {
            let viewer = stage.viewer().await;
            let fits = viewer.request(Method::POST, "/forms", &[], Bytes::from_static(&[b'x'; 1_000])).await.unwrap();
            assert_eq!(fits.status.as_u16(), 200);
            let large = Bytes::from_static(&[b'x'; 1_001]);
            let mut refused = viewer.request(Method::POST, "/forms", &[], large).await.unwrap();
            assert_eq!(refused.status.as_u16(), 413);
            let body: Value = serde_json::from_slice(&refused.bytes().await.unwrap()).unwrap();
            assert_eq!(body["reason"], "body-too-large");
            assert_eq!(origin.count(), 1);
        })
        .await;
    }
}

#[tokio::test]
async fn a_body_of_unannounced_length_is_refused_when_it_grows_beyond_the_limit() {
    let origin = Script::start(|seen| reply(200, &[], seen.body)).await;
    let setup = Setup { route: "max_body = \"1kB\"".to_owned(), ..to(&origin) };
    tell(Way::H1, setup, async |stage: &Stage| {
        let mut stream = tokio::net::TcpStream::connect(stage.server(Way::H1).addr).await.unwrap();
        stream
            .write_all(b"POST /forms HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
            .await
            .unwrap();
        let chunk = [&b"200\r\n"[..], &[b'x'; 0x200], b"\r\n"].concat();
        for _ in 0..3 {
            stream.write_all(&chunk).await.unwrap();
        }
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 413");
        assert!(origin.seen().iter().all(|seen| !seen.complete), "the origin never saw it as a whole");
    })
    .await;
}

#[tokio::test]
async fn what_was_changed_through_the_node_is_not_served_from_memory() {
    for way in WAYS {
        let version = Arc::new(AtomicUsize::new(1));
        let of_origin = version.clone();
        let origin = Script::start(move |seen| {
            if seen.method == Method::PUT {
                of_origin.fetch_add(1, SeqCst);
            }
            reply(200, &[("cache-control", "max-age=60")], of_origin.load(SeqCst).to_string())
        })
        .await;
        tell(way, to(&origin), async |stage: &Stage| {
            for (method, body) in [(Method::GET, "1"), (Method::GET, "1"), (Method::PUT, "2"), (Method::GET, "2")] {
                let mut answer = stage.ask(method, "/versioned", &[], b"").await;
                assert_eq!(answer.bytes().await.unwrap(), body);
            }
            assert_eq!(origin.count(), 3);
        })
        .await;
    }
}
