//! The fields that the node adds, takes away and passes on.

use std::collections::HashSet;

use serde_json::Value;
use weir_loadtest::client::{Client, Network, Server, Trust, Way};

use crate::script::{Script, reply};
use crate::stage::{PAUSE, Setup, Stage, WAYS, fresh_blob, on_every_protocol, tell, with};

#[tokio::test]
async fn every_answer_says_what_became_of_the_request() {
    on_every_protocol(async |stage| {
        let blob = fresh_blob(10, "");
        let mut ids = HashSet::new();
        for expected in ["edge-test;fwd=uri-miss;stored;ttl=", "edge-test;hit;ttl="] {
            let mut answer = stage.get(&blob.path).await;
            blob.read_all(&mut answer).await.unwrap();
            stage.settled().await;
            // Seconds may pass between the two.
            let told = answer.header("cache-status");
            let left: u64 = told.strip_prefix(expected).unwrap_or_else(|| panic!("{told}")).parse().unwrap();
            let age = answer.header("age");
            assert_eq!(age.is_empty(), told.contains("fwd"), "{age:?}");
            let age = if age.is_empty() { 0 } else { age.parse::<u64>().unwrap() };
            assert!((3_599..=3_600).contains(&(left + age)), "{told} {age}");
            assert_eq!(answer.header("via"), "1.1 edge-test");
            assert!(answer.header("server-timing").contains("edge;dur="), "{}", answer.header("server-timing"));
            assert!(ids.insert(answer.header("x-request-id").to_owned()), "each request has an id of its own");
        }
        assert!(ids.iter().all(|id| !id.is_empty()));
    })
    .await;
}

#[tokio::test]
async fn age_counts_on_from_what_the_origin_said() {
    let fields = [("cache-control", "max-age=1000"), ("age", "100")];
    let origin = Script::start(move |_| reply(200, &fields, "old")).await;
    let setup = Setup { upstream: Some(origin.addr), ..Setup::default() };
    tell(Way::H2, setup, async |stage: &Stage| {
        let viewer = stage.viewer().await;
        let age = async || -> u64 {
            let mut answer = viewer.get("/old", &[]).await.unwrap();
            answer.bytes().await.unwrap();
            answer.header("age").parse().unwrap()
        };
        let first = age().await;
        assert!((100..110).contains(&first), "{first}");
        // Age is in whole seconds: asked for again and again it grows.
        while age().await <= first {
            tokio::time::sleep(PAUSE).await;
        }
        assert_eq!(origin.count(), 1);
    })
    .await;
}

#[tokio::test]
async fn viewers_on_tls_over_tcp_learn_of_http3() {
    on_every_protocol(async |stage| {
        let blob = fresh_blob(10, "");
        let port = stage.node.address("h3").unwrap().port();
        let expected = match stage.way {
            Way::H1Tls | Way::H2 => format!("h3=\":{port}\"; ma=3600"),
            Way::H1 | Way::H2Cleartext | Way::H3 => String::new(),
        };
        assert_eq!(stage.get(&blob.path).await.header("alt-svc"), expected);
    })
    .await;
    for way in [Way::H1Tls, Way::H2] {
        let setup = Setup { tables: "[http3]\nenabled = false\n".to_owned(), ..Setup::default() };
        tell(way, setup, async |stage: &Stage| {
            assert_eq!(stage.node.address("h3"), None);
            assert_eq!(stage.get("/blob/x?size=1").await.header("alt-svc"), "clear");
        })
        .await;
    }
}

#[tokio::test]
async fn a_request_that_has_passed_here_is_a_loop() {
    on_every_protocol(async |stage| {
        for field in [("cdn-loop", "other, edge-test"), ("via", "1.1 other, 2 edge-test")] {
            let mut answer = stage.get_with("/blob/loop?size=1", &[field]).await;
            assert_eq!(answer.status.as_u16(), 508, "{field:?}");
            let body: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
            assert_eq!(body["reason"], "loop-detected");
            assert_eq!(body["request"], answer.header("x-request-id"));
            assert_eq!(answer.header("cache-control"), "no-store");
        }
        let passed = stage.get_with("/blob/loop?size=1", &[("cdn-loop", "other"), ("via", "1.1 other")]).await;
        assert_eq!(passed.status.as_u16(), 200);
        assert_eq!(stage.origin.requests_for("/blob/loop"), 1);
    })
    .await;
}

#[tokio::test]
async fn what_concerns_one_hop_goes_no_further() {
    for way in WAYS {
        let fields = [
            ("connection", "x-secret"),
            ("x-secret", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-authenticate", "Basic"),
            ("x-kept", "1"),
            ("cache-control", "max-age=60"),
        ];
        let origin = Script::start(move |_| reply(200, &fields, "hops")).await;
        tell(way, Setup { upstream: Some(origin.addr), ..Setup::default() }, async |stage: &Stage| {
            // HTTP/2 and HTTP/3 have no such fields (RFC 9113 §8.2.2); `TE: trailers` is all they may say.
            let asked: &[(&str, &str)] = match way {
                Way::H1 | Way::H1Tls => {
                    &[("connection", "keep-alive, x-hop"), ("x-hop", "1"), ("te", "trailers"), ("x-end", "1")]
                }
                Way::H2 | Way::H2Cleartext | Way::H3 => &[("te", "trailers"), ("x-end", "1")],
            };
            let answer = stage.get_with("/hops", asked).await;
            assert_eq!(answer.status.as_u16(), 200);
            for gone in ["x-secret", "keep-alive", "proxy-authenticate"] {
                assert_eq!(answer.header(gone), "", "{gone}");
            }
            assert_eq!(answer.header("x-kept"), "1");
            let seen = origin.last();
            assert_eq!((seen.field("x-hop"), seen.field("te")), (String::new(), String::new()));
            assert_eq!(seen.field("x-end"), "1");
        })
        .await;
    }
}

#[tokio::test]
async fn what_is_asked_for_all_names_no_viewer() {
    for way in WAYS {
        let origin = Script::start(|_| reply(200, &[("cache-control", "max-age=60")], "shared")).await;
        tell(way, Setup { upstream: Some(origin.addr), ..Setup::default() }, async |stage: &Stage| {
            let fields = [
                ("cookie", "who=me"),
                ("origin", "https://player.example"),
                ("if-none-match", "\"mine\""),
                ("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT"),
                ("if-range", "\"mine\""),
                ("range", "bytes=0-1"),
                ("x-forwarded-for", "203.0.113.9"),
            ];
            stage.get_with("/shared?q=1", &fields).await.bytes().await.unwrap();
            let seen = origin.last();
            assert_eq!(seen.target, "/shared?q=1");
            for (field, _) in &fields[1..6] {
                assert_eq!(seen.field(field), "", "{field}");
            }
            assert_eq!(seen.field("cookie"), "who=me", "the answer says whose it is");
            assert_eq!(seen.field("cdn-loop"), "edge-test");
            let version = match way {
                Way::H1 | Way::H1Tls => "1.1",
                Way::H2 | Way::H2Cleartext => "2",
                Way::H3 => "3",
            };
            assert!(seen.field("via").starts_with(version), "{}", seen.field("via"));
            assert!(seen.field("via").ends_with("edge-test"));
            assert_eq!(seen.field("host"), origin.addr.to_string());
        })
        .await;
    }
}

#[tokio::test]
async fn a_path_without_a_route_is_refused_in_words_that_machines_read() {
    let setup = || Setup { path: "/blob/", route: "host = \"localhost\"".to_owned(), ..Setup::default() };
    with(setup, async |stage| {
        let anybody = Network::new(&Trust::AcceptAny);
        let ours = stage.server(stage.way);
        let other = Server { authority: format!("other.example:{}", ours.addr.port()), ..ours.clone() };
        for (server, path, status, word) in [
            (&ours, "/blob/x?size=1", 200, ""),
            (&ours, "/elsewhere", 404, "no-route"),
            (&other, "/blob/x?size=1", 421, "misdirected-host"),
        ] {
            let viewer = Client::connect_to(server.clone(), stage.way, &anybody).await.unwrap();
            let mut answer = viewer.get(path, &[]).await.unwrap();
            assert_eq!(answer.status.as_u16(), status, "{path}");
            let body = answer.bytes().await.unwrap();
            if status != 200 {
                let told: Value = serde_json::from_slice(&body).unwrap();
                assert_eq!((&told["reason"], &told["request"]), (&word.into(), &answer.header("x-request-id").into()));
                assert_eq!(answer.header("access-control-allow-origin"), "*", "scripts may read why");
            }
        }
        assert_eq!(stage.origin.stats().total(), 1);
    })
    .await;
}
