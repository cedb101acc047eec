//! Who is let in, how fast they may go, and from where; and that whoever plays is not hindered.

use std::path::Path;

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use weir_loadtest::client::{Client, Network, Response, Server, Way};

use crate::certificates::Authority;
use crate::gated::{MAIN, Stream, body, gated, gated_with, keys, mint, named, now, resolved, secret_file, token};
use crate::stage::{Setup, Stage, WAYS, fresh_blob, tell, with};

const MASTER: &str = "/live/master.m3u8";

/// The stable word of a refusal, and when to come back.
async fn refused(answer: Response) -> (u16, String, String) {
    let (status, retry) = (answer.status.as_u16(), answer.header("retry-after").to_owned());
    assert_eq!(answer.header("access-control-allow-origin"), "*", "scripts may read it");
    let problem: Value = serde_json::from_str(&body(answer).await).unwrap();
    (status, problem["reason"].as_str().unwrap().to_owned(), retry)
}

async fn as_player(stage: &Stage, name: &str, path: &str) -> Response {
    stage.get_with(path, &[("user-agent", name), ("origin", "https://player.example")]).await
}

#[tokio::test]
async fn an_address_that_asks_for_too_much_is_told_when_to_come_back() {
    let setup = || Setup { tables: "[limits]\nrequests_per_prefix = \"3/h\"\n".to_owned(), ..Setup::default() };
    with(setup, async |stage| {
        let blob = fresh_blob(10, "");
        for _ in 0..3 {
            assert_eq!(stage.get(&blob.path).await.status, 200);
        }
        let (status, word, retry) = refused(as_player(stage, "any", &blob.path).await).await;
        assert_eq!((status, &*word), (429, "too-many-requests"));
        assert!((1..=1_200).contains(&retry.parse::<u64>().unwrap()), "{retry}");
        let exceeded = stage.metric("weir_limits_exceeded_total", &["address-requests"]).await;
        assert_eq!(exceeded, Some(1.0));
    })
    .await;
}

fn database(folder: &Path, _: &Authority) {
    std::fs::copy("tests/fixtures/geo/countries.mmdb", folder.join("countries.mmdb")).unwrap();
}

#[tokio::test]
async fn a_route_is_served_where_it_may_be_seen() {
    let setup = || Setup {
        listen: "trusted_proxies = [\"127.0.0.0/8\"]\n".to_owned(),
        tables: "[geo]\nheader = \"CF-IPCountry\"\n".to_owned(),
        route: "countries = { allow = [\"DE\", \"AT\"] }\n".to_owned(),
        ..Setup::default()
    };
    with(setup, async |stage| {
        let from = async |fields: &[(&str, &str)]| {
            let fields: Vec<_> = fields.iter().copied().chain([("origin", "https://player.example")]).collect();
            let answer = stage.get_with("/blob/x?size=1", &fields).await;
            if answer.status == 200 { "served".to_owned() } else { refused(answer).await.1 }
        };
        // Balancers speak no HTTP/3: what is said by it is the viewer's own word.
        let believed = stage.way != Way::H3;
        let expected = |word: &str| if believed { word.to_owned() } else { "geo-unknown".to_owned() };
        assert_eq!(from(&[("cf-ipcountry", "DE")]).await, expected("served"));
        assert_eq!(from(&[("cf-ipcountry", "US")]).await, expected("geo-refused"));
        assert_eq!(from(&[("cf-ipcountry", "XX")]).await, "geo-unknown");
        assert_eq!(from(&[("cf-ipcountry", "DE"), ("cf-ipcountry", "AT")]).await, "geo-unknown");
        assert_eq!(from(&[]).await, "geo-unknown");
    })
    .await;
}

#[tokio::test]
async fn whoever_is_no_trusted_proxy_is_where_the_database_says() {
    let setup = || Setup {
        tables: "[geo]\nheader = \"CF-IPCountry\"\ndatabase = \"countries.mmdb\"\n".to_owned(),
        listen: "trusted_proxies = [\"192.0.2.0/24\"]\n".to_owned(),
        route: "countries = { deny = [\"NL\"] }\n".to_owned(),
        prepare: Some(database),
        ..Setup::default()
    };
    with(setup, async |stage| {
        let forged = [("cf-ipcountry", "DE"), ("origin", "https://player.example")];
        let (status, word, _) = refused(stage.get_with("/blob/x?size=1", &forged).await).await;
        assert_eq!((status, &*word), (403, "geo-refused"));
    })
    .await;
}

/// What a viewer gets who stays on its connection.
async fn asks(viewer: &Client, path: &str) -> Response {
    viewer.get(path, &[("origin", "https://player.example")]).await.unwrap()
}

#[tokio::test]
async fn those_who_play_go_on_while_those_who_come_are_told_when_to_come_back() {
    let setup = || Setup {
        tables: "[capacity]\negress = \"1Gbit/s\"\nretry_after = \"7s\"\n".to_owned(),
        route: "bitrate = \"400Mbit/s\"\n".to_owned(),
        ..Setup::default()
    };
    with(setup, async |stage| {
        // All of them from one address, with one player.
        let viewers = [stage.viewer().await, stage.viewer().await];
        for viewer in &viewers {
            assert!(body(asks(viewer, MASTER).await).await.contains("#EXT-X-STREAM-INF"));
        }
        let third = stage.viewer().await;
        let (status, word, retry) = refused(asks(&third, MASTER).await).await;
        assert_eq!((status, &*word, &*retry), (503, "node-full", "7"));
        for viewer in &viewers {
            let main = body(asks(viewer, MASTER).await).await;
            let media = resolved(MASTER, &named(&main, "media.m3u8"));
            let answer = asks(viewer, &media).await;
            assert_eq!(answer.status, 200);
            let init = resolved(&media, &named(&body(answer).await, "init"));
            let answer = asks(viewer, &init).await;
            assert_eq!(answer.status, 200);
            body_octets(answer).await;
        }
        let status = stage.status().await;
        let capacity = &status["capacity"];
        let counts = (&capacity["viewers"], &capacity["admitted"], &capacity["refused"]["egress"]);
        assert_eq!(counts, (&json!(2), &json!(2), &json!(1)), "{capacity}");
        assert_eq!(capacity["routes"][0], json!({ "route": "all", "viewers": 2, "promised": 0 }));
        assert_eq!(stage.metric("weir_admission_refused_total", &["egress"]).await, Some(1.0));
        // What no playlist names is nobody's stream.
        assert_eq!(asks(&third, "/blob/x?size=1").await.status, 200);
    })
    .await;
}

async fn body_octets(mut answer: Response) {
    answer.bytes().await.unwrap();
}

#[tokio::test]
async fn a_lower_ladder_makes_room_for_more() {
    let setup = Setup {
        tables: "[capacity]\negress = \"1Gbit/s\"\nwhen_full = \"lower-ladder\"\n".to_owned(),
        route: "bitrate = \"400Mbit/s\"\n".to_owned(),
        ..Setup::default()
    };
    tell(Way::H2, setup, async |stage: &Stage| {
        let variants = async |viewer: &Client| {
            let text = body(asks(viewer, MASTER).await).await;
            text.matches("#EXT-X-STREAM-INF").count()
        };
        let viewers = [stage.viewer().await, stage.viewer().await, stage.viewer().await, stage.viewer().await];
        let whole = variants(&viewers[0]).await;
        assert!(whole > 1 && variants(&viewers[1]).await == whole);
        assert_eq!(variants(&viewers[2]).await, whole.div_ceil(2), "the last eighth is for those who do with less");
        assert_eq!(variants(&viewers[2]).await, whole.div_ceil(2), "and they stay with it");
        assert_eq!(variants(&viewers[0]).await, whole);
        let (status, word, _) = refused(asks(&viewers[3], MASTER).await).await;
        assert_eq!((status, &*word), (503, "node-full"));
        assert_eq!(stage.status().await["capacity"]["lowered"], 1);
    })
    .await;
}

#[tokio::test]
async fn a_reload_of_the_configuration_makes_room_without_disturbing_who_plays() {
    let setup = Setup {
        tables: "[capacity]\negress = \"1Gbit/s\"\n".to_owned(),
        route: "bitrate = \"600Mbit/s\"\n".to_owned(),
        ..Setup::default()
    };
    tell(Way::H1, setup, async |stage: &Stage| {
        assert_eq!(as_player(stage, "one", MASTER).await.status, 200);
        assert_eq!(as_player(stage, "two", MASTER).await.status, 503);
        let text = std::fs::read_to_string(&stage.config).unwrap();
        std::fs::write(&stage.config, text.replace("1Gbit/s", "2Gbit/s")).unwrap();
        let (code, reloaded) = stage.admin(Method::POST, "/reload", "").await;
        assert!(code == 200 && reloaded.contains("capacity"), "{reloaded}");
        assert_eq!(as_player(stage, "two", MASTER).await.status, 200);
        assert_eq!(stage.status().await["capacity"]["viewers"], 2);
    })
    .await;
}

#[tokio::test]
async fn a_gold_viewer_comes_in_where_others_wait() {
    let stream = Stream::start().await;
    let tables =
        "carriers = [\"header\"]\n[capacity]\negress = \"1Gbit/s\"\ntiers = [\"gold\"]\ntier_share = \"40%\"\n";
    let setup = gated_with(&stream.origin, tables, "bitrate = \"500Mbit/s\"\n");
    tell(Way::H2, setup, async |stage: &Stage| {
        let ask = async |viewer: &str, tier: Option<&str>| {
            let mut claims =
                json!({ "iss": "https://issuer.test", "sub": viewer, "exp": now() + 300, "path": "/live/a" });
            if let Some(tier) = tier {
                claims["tier"] = json!(tier);
            }
            let bearer = format!("Bearer {}", mint(&claims));
            stage.get_with(MAIN, &[("authorization", &bearer)]).await
        };
        let first = ask("one", None).await;
        assert_eq!(first.status, 200);
        let inside = resolved(MAIN, &named(&body(first).await, "hi.m3u8"));
        assert_eq!(ask("two", None).await.status, 503);
        assert_eq!(ask("three", Some("gold")).await.status, 200);
        assert_eq!(ask("four", Some("gold")).await.status, 503);
        assert_eq!(stage.get(&inside).await.status, 200, "whoever plays goes on");
    })
    .await;
}

#[tokio::test]
async fn one_session_is_held_to_its_share_and_others_have_theirs() {
    for way in WAYS {
        let stream = Stream::start().await;
        let limits = "[limits]\nrequests_per_session = \"5/h\"\nheld_per_session = 1\n";
        tell(way, gated(&stream.origin, limits), async |stage: &Stage| {
            let enter = async |viewer: &str| {
                let bearer = format!("Bearer {}", token(viewer));
                let answer = stage.get_with(MAIN, &[("authorization", &bearer)]).await;
                assert_eq!(answer.status, 200);
                resolved(MAIN, &named(&body(answer).await, "hi.m3u8"))
            };
            let (one, other) = (enter("one").await, enter("other").await);
            assert_eq!(stage.get(&one).await.status, 200);
            let viewer = stage.viewer().await;
            let reload = format!("{one}?_HLS_msn=104&_HLS_part=1");
            let held = {
                let reload = reload.clone();
                tokio::spawn(async move { viewer.get(&reload, &[]).await.unwrap() })
            };
            stage.until_metric("weir_held_requests", |held| held == 1.0).await;
            let (status, word, retry) = refused(as_player(stage, "any", &reload).await).await;
            assert_eq!((status, &*word, &*retry), (429, "too-many-requests", "1"), "one is held already");
            stream.publish();
            assert_eq!(held.await.unwrap().status, 200);
            assert_eq!(stage.get(&one).await.status, 200);
            let (status, word, _) = refused(as_player(stage, "any", &one).await).await;
            assert_eq!((status, &*word), (429, "too-many-requests"));
            assert_eq!(stage.get(&other).await.status, 200);
        })
        .await;
    }
}

#[tokio::test]
async fn whoever_tries_tokens_is_told_to_wait_and_good_ones_still_open() {
    // Balancers speak no HTTP/3, and this machine is not counted.
    for way in WAYS.into_iter().filter(|way| *way != Way::H3) {
        let stream = Stream::start().await;
        let listen = "trusted_proxies = [\"127.0.0.0/8\"]\n".to_owned();
        tell(way, Setup { listen, ..gated(&stream.origin, "") }, async |stage: &Stage| {
            let viewer = stage.viewer().await;
            let ask = async |token: String| {
                let bearer = format!("Bearer {token}");
                let from = ("x-forwarded-for", "203.0.113.7");
                let fields = [("authorization", bearer.as_str()), ("origin", "https://player.example"), from];
                viewer.get(MAIN, &fields).await.unwrap()
            };
            let expired = mint(&json!({ "iss": "https://issuer.test", "exp": now() - 3_600, "path": "/live/a" }));
            for number in 0..20 {
                assert_eq!(ask(format!("bad.{number}.token")).await.status, 401);
                assert_eq!(ask(expired.clone()).await.status, 401, "it was good once: it is not counted");
            }
            let (status, word, retry) = refused(ask("bad.one.more".to_owned()).await).await;
            assert_eq!((status, &*word), (429, "too-many-requests"));
            assert!((1..=10).contains(&retry.parse::<u64>().unwrap()), "{retry}");
            assert_eq!(ask(token("good")).await.status, 200);
            assert_eq!(refused(ask("bad.and.another".to_owned()).await).await.0, 429);
        })
        .await;
    }
}

#[tokio::test]
async fn bodies_of_a_session_keep_to_its_rate_and_come_whole() {
    let stream = Stream::start().await;
    let setup = gated(&stream.origin, "[limits]\nsession_rate = \"64KiB/s\"\n");
    tell(Way::H2, setup, async |stage: &Stage| {
        let bearer = format!("Bearer {}", token("one"));
        let answer = stage.get_with(MAIN, &[("authorization", &bearer)]).await;
        let main = resolved(MAIN, &named(&body(answer).await, "hi.m3u8"));
        let media = body(stage.get(&main).await).await;
        let init = resolved(&main, &named(&media, "init.mp4"));
        assert_eq!(body(stage.get(&init).await).await, "octets of /live/a/v/init.mp4");
        assert_eq!(stage.metric("weir_bodies_paced_total", &[]).await, Some(0.0), "a player has four seconds ahead");
    })
    .await;
}

/// What a connection that a balancer opened for `203.0.113.7` brings.
async fn connection(stage: &Stage, port: u16) -> TcpStream {
    let mut stream = TcpStream::connect(stage.server(Way::H1).addr).await.unwrap();
    let header = format!("PROXY TCP4 203.0.113.7 127.0.0.1 {port} 8080\r\n");
    stream.write_all(header.as_bytes()).await.unwrap();
    stream
}

/// The status of a request over it.
async fn status(stream: &mut TcpStream, path: &str, bearer: &str) -> u16 {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {bearer}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let (mut head, mut octet) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut octet).await.unwrap();
        head.push(octet[0]);
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
    let mut content = vec![0; length.unwrap().trim().parse().unwrap()];
    stream.read_exact(&mut content).await.unwrap();
    head.split(' ').nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn five_thousand_viewers_behind_one_address_do_not_hinder_each_other() {
    const CONNECTIONS: u16 = 50;
    const VIEWERS: u16 = 100;
    /// However long they take, its list lives for longer.
    const OVER: &str = "/live/a/over/main.m3u8";
    let stream = Stream::start().await;
    let limits = "[limits]\nrequests_per_session = \"10/h\"\nconnections_per_session = 2\nsession_rate = \"1MiB/s\"\n";
    let listen = "http = [{ addr = \"127.0.0.1:0\", proxy_protocol = [\"127.0.0.0/8\"] }]\n".to_owned();
    let setup = Setup { listen, ..gated(&stream.origin, limits) };
    tell(Way::H1, setup, async |stage: &Stage| {
        let mut crowd = JoinSet::new();
        for number in 0..CONNECTIONS {
            let mut stream = connection(stage, 10_000 + number).await;
            crowd.spawn(async move {
                for viewer in 0..VIEWERS {
                    let bearer = token(&format!("{number}-{viewer}"));
                    assert_eq!(status(&mut stream, OVER, &bearer).await, 200, "{number} {viewer}");
                }
            });
        }
        crowd.join_all().await;
        // Somebody at the same address who guesses is stopped, and nobody else is.
        let mut stranger = connection(stage, 9_000).await;
        let mut last = 0;
        for number in 0..21 {
            last = status(&mut stranger, OVER, &format!("bad.{number}.token")).await;
        }
        assert_eq!(last, 429);
        assert_eq!(status(&mut stranger, OVER, &token("good")).await, 200);
        let counted = stage.status().await["sessions"].clone();
        assert_eq!(counted["began"], 5_001, "each of them is a session of its own: {counted}");
        assert_eq!(stream.heard().matches(OVER).count(), 1, "the origin was asked once");
    })
    .await;
}

const BACKEND: &str = "backend-0123456789abcdef0123456789abcdef";

fn backend(folder: &Path, authority: &Authority) {
    keys(folder, authority);
    secret_file(&folder.join("backend.token"), BACKEND);
}

#[tokio::test]
async fn a_backend_ends_sessions_of_its_own_and_does_nothing_else() {
    let stream = Stream::start().await;
    let others = "[access.others]\nissuer = \"https://other.test\"\nhmac_secret_file = \"issuer.secret\"\n\
                  [[admin.tokens]]\nfile = \"backend.token\"\nroles = [\"revoke\"]\naccess = [\"members\"]\n\
                  [[route]]\nname = \"others\"\npath = \"/others/\"\norigins = [\"main\"]\naccess = \"others\"\n";
    let listen = "admin = \"0.0.0.0:0\"\n".to_owned();
    let setup = Setup { listen, prepare: Some(backend), ..gated(&stream.origin, others) };
    tell(Way::H1, setup, async |stage: &Stage| {
        let port = stage.node.address("admin").unwrap().port();
        let server = Server { addr: ([127, 0, 0, 1], port).into(), authority: format!("localhost:{port}") };
        let admin = Client::connect_to(server, Way::H1Tls, &Network::new(&stage.trust())).await.unwrap();
        let bearer = format!("Bearer {BACKEND}");
        let order = async |path: &str, order: Value| {
            let fields = [("authorization", bearer.as_str()), ("content-type", "application/json")];
            let answer = admin.request(Method::POST, path, &fields, Bytes::from(order.to_string())).await.unwrap();
            (answer.status.as_u16(), body(answer).await)
        };
        let viewer = format!("Bearer {}", token("alice"));
        let answer = stage.get_with(MAIN, &[("authorization", &viewer)]).await;
        let inside = resolved(MAIN, &named(&body(answer).await, "hi.m3u8"));
        let (status, text) = order("/revoke", json!({ "access": "others", "subject": "alice" })).await;
        assert!(status == 403 && text.contains("token-role"), "{text}");
        assert_eq!(stage.get(&inside).await.status, 200);
        for path in ["/purge", "/reload", "/drain", "/warm", "/origins/main"] {
            let (status, text) = order(path, json!({})).await;
            assert!(status == 403 && text.contains("token-role"), "{path}: {status} {text}");
        }
        let (status, text) = order("/revoke", json!({ "access": "members", "subject": "alice" })).await;
        assert_eq!(status, 200, "{text}");
        assert_eq!(stage.get(&inside).await.status, 403);
    })
    .await;
}
