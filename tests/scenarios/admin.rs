//! The admin API over its own listeners.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::Method;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use weir_loadtest::client::{Client, Network, Server, Way};

use crate::script::{Pen, Script, reply, written};
use crate::stage::{Setup, Stage, fresh_blob, tell};

/// The metrics of the contract that exist by now, as they are written: a counter's samples end in `_total`.
const METRICS: [&str; 21] = [
    "weir_requests_total",
    "weir_response_bytes_total",
    "weir_request_seconds_count",
    "weir_first_byte_seconds_count",
    "weir_origin_requests_total",
    "weir_origin_seconds_count",
    "weir_fill_readers",
    "weir_cache_bytes",
    "weir_connections",
    "weir_refusals_total",
    "weir_events_dropped_total",
    "weir_memory_bytes",
    "weir_memory_ceiling_bytes",
    "weir_cache_objects",
    "weir_tasks",
    "weir_fills",
    "weir_purges_total",
    "weir_purged_objects_total",
    "weir_held_requests",
    "weir_hold_seconds_count",
    "weir_playlist_requests_total",
];

#[tokio::test]
async fn health_and_status_tell_how_the_node_is() {
    tell(Way::H1, Setup::default(), async |stage: &Stage| {
        let blob = fresh_blob(1_000, "");
        for way in Way::ALL {
            blob.read_all(&mut stage.viewer_by(way).await.get(&blob.path, &[]).await.unwrap()).await.unwrap();
        }
        let viewer = stage.viewer_by(Way::H3).await;
        assert_eq!(viewer.get("/.weir/live", &[]).await.unwrap().status.as_u16(), 200);
        assert_eq!(stage.admin(Method::GET, "/healthz", "").await, (200, "alive\n".to_owned()));
        let (code, text) = stage.admin(Method::GET, "/readyz", "").await;
        let ready: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((code, &ready["ready"], ready["workers"].as_array().unwrap().len()), (200, &true.into(), 2));

        stage.until("the viewer over HTTP/3 is counted", |status| status["connections"]["h3"] == 1).await;
        let status = stage.status().await;
        assert_eq!((&status["node"], &status["draining"]), (&"edge-test".into(), &false.into()));
        let kinds: Vec<_> = status["listeners"].as_array().unwrap().iter().map(|one| &one["kind"]).collect();
        assert_eq!(kinds, ["http", "https", "h3", "admin"]);
        assert_eq!(status["routes"][0]["name"], "all");
        assert_eq!((&status["origins"][0]["name"], &status["origins"][0]["requests"]), (&"main".into(), &1.into()));
        assert!(status["memory"]["bodies"].as_u64().unwrap() >= 1_000, "{status}");
        for kind in ["heads", "index", "fills", "playlists", "names", "held", "connections", "ceiling"] {
            assert!(status["memory"][kind].is_u64(), "{kind}: {status}");
        }
        assert!(status["memory"]["connections"].as_u64().unwrap() > 0, "{status}");
        let resident = &status["resident"];
        assert!(resident["bytes"].as_u64() >= resident["at_start"].as_u64() && resident["growth"].is_u64(), "{status}");
        assert_eq!(status["disk"], Value::Null);
    })
    .await;
}

#[tokio::test]
async fn metrics_are_openmetrics_and_all_of_the_contract() {
    tell(Way::H2, Setup::default(), async |stage: &Stage| {
        stage.get("/blob/x?size=1").await.bytes().await.unwrap();
        let (code, text) = stage.admin(Method::GET, "/metrics", "").await;
        assert_eq!(code, 200);
        let families = parse(&text);
        for metric in METRICS {
            assert!(families.contains(metric), "{metric} is missing in\n{text}");
        }
    })
    .await;
}

#[tokio::test]
async fn every_metric_of_a_running_node_is_explained() {
    let page = include_str!("../../docs/metrics.md");
    tell(Way::H1, Setup::default(), async |stage: &Stage| {
        stage.get("/blob/x?size=1").await.bytes().await.unwrap();
        let (_, text) = stage.admin(Method::GET, "/metrics", "").await;
        let mut count = 0;
        for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
            let (name, kind) = line.split_once(' ').unwrap();
            assert!(page.contains(&format!("| `{name}` | {kind} |")), "docs/metrics.md says nothing of {line}");
            count += 1;
        }
        assert!(count > 60, "{count} families");
    })
    .await;
}

/// The names of samples of an OpenMetrics text; panics where it is none: each sample belongs to the family announced
/// last, which has a type and a help before its first sample, families are not interleaved, and the text ends.
fn parse(text: &str) -> BTreeSet<String> {
    let (mut names, mut families) = (BTreeSet::new(), BTreeSet::new());
    let (mut family, mut kind) = (String::new(), String::new());
    let body = text.strip_suffix("# EOF\n").expect("it ends with # EOF");
    for line in body.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            let (what, name, rest) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap_or_default());
            assert!(["HELP", "TYPE", "UNIT"].contains(&what), "{line}");
            if name != family {
                assert!(families.insert(name.to_owned()), "{name} comes twice");
                name.clone_into(&mut family);
            }
            if what == "TYPE" {
                rest.clone_into(&mut kind);
            }
            continue;
        }
        let (sample, value) = line.rsplit_once(' ').unwrap();
        let name = sample.split('{').next().unwrap();
        let ending = name.strip_prefix(&*family).unwrap_or_else(|| panic!("{line} does not belong to {family}"));
        let endings: &[&str] = match &*kind {
            "counter" => &["_total", "_created"],
            "gauge" => &[""],
            "histogram" => &["_bucket", "_sum", "_count", "_created"],
            other => panic!("{family} is a {other}"),
        };
        assert!(endings.contains(&ending), "{line} is no sample of a {kind}");
        assert!(value.parse::<f64>().is_ok(), "{line}");
        names.insert(name.to_owned());
    }
    names
}

#[tokio::test]
async fn the_api_describes_every_route_of_its_own() {
    tell(Way::H1, Setup::default(), async |stage: &Stage| {
        let (_, text) = stage.admin(Method::GET, "/openapi.json", "").await;
        let api: Value = serde_json::from_str(&text).unwrap();
        assert!(api["openapi"].as_str().unwrap().starts_with("3."), "{api}");
        let paths = api["paths"].as_object().unwrap();
        for path in ["/healthz", "/readyz", "/metrics", "/status", "/explain", "/reload", "/warm", "/purge", "/drain"] {
            let methods = paths[path].as_object().unwrap();
            for (method, described) in methods {
                assert!(!described["responses"].as_object().unwrap().is_empty(), "{path}");
                assert_eq!(
                    method,
                    if ["/reload", "/warm", "/purge", "/drain"].contains(&path) { "post" } else { "get" }
                );
            }
        }
        for path in paths.keys() {
            let method = if paths[path].get("post").is_some() { Method::PUT } else { Method::POST };
            assert_eq!(stage.admin(method, path, "{}").await.0, 405, "{path} is served");
        }
        // Every reference leads somewhere.
        for reference in text.split("\"$ref\": \"#").skip(1).map(|rest| rest.split('"').next().unwrap()) {
            assert!(api.pointer(reference).is_some(), "{reference}");
        }
    })
    .await;
}

#[tokio::test]
async fn explain_walks_the_way_of_a_request_without_taking_it() {
    tell(Way::H1, Setup::default(), async |stage: &Stage| {
        let (code, text) = stage.admin(Method::GET, "/explain?url=http://x.example/blob/y%3Fsize=1", "").await;
        let told: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((code, &told["route"], &told["class"]), (200, &"all".into(), &"plain".into()), "{told}");
        assert_eq!(told["origin_url"], format!("http://{}/blob/y?size=1", stage.origin.addr()));
        assert_eq!(stage.origin.stats().total(), 0);
        for wrong in ["", "?url=http://%5B", "?header=A:b", "?url=/x&header=no-colon", "?url=/x&header=a%20b:c"] {
            assert_eq!(stage.admin(Method::GET, &format!("/explain{wrong}"), "").await.0, 400, "{wrong}");
        }
        for (headers, told) in [
            ("header=Authorization:%20Basic%20x", ("sharing", "per-viewer")),
            ("header=A:%20b&header=CDN-Loop:%20edge-test", ("refusal", "loop-detected")),
            ("header=Expect:%20much", ("refusal", "expectation-failed")),
            ("header=Host:%20b.example", ("url", "http://b.example/blob/y")),
        ] {
            let (_, text) = stage.admin(Method::GET, &format!("/explain?url=/blob/y&{headers}"), "").await;
            let explained: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(explained[told.0], told.1, "{headers}: {text}");
        }
    })
    .await;
}

/// An origin whose answers vary on `x-kind`, with one that is slow and one that is private.
async fn varied() -> (Pen, Script) {
    let (pen, held) = written(&[("content-length", "4"), ("cache-control", "max-age=60")]);
    let held = std::sync::Mutex::new(Some(held));
    let origin = Script::start(move |seen| match seen.target.as_str() {
        "/slow" => held.lock().unwrap().take().unwrap(),
        "/private" => reply(200, &[("cache-control", "private")], "mine"),
        _ => {
            let zipped = seen.field("accept-encoding").contains("gzip");
            let life = if zipped { "max-age=600" } else { "s-maxage=60" };
            let tag = if zipped { "\"z\"" } else { "\"p\"" };
            let fields = [("cache-control", life), ("vary", "x-kind"), ("etag", tag), ("surrogate-key", "a b")];
            reply(200, &fields, "12345")
        }
    })
    .await;
    (pen, origin)
}

#[tokio::test]
async fn explain_tells_what_is_stored_and_what_is_under_way() {
    let (pen, origin) = varied().await;
    let setup = Setup { upstream: Some(origin.addr), ..Setup::default() };
    tell(Way::H1, setup, async |stage: &Stage| {
        let explained = async |rest: &str| -> Value {
            let (_, text) = stage.admin(Method::GET, &format!("/explain?url={rest}"), "").await;
            serde_json::from_str(&text).unwrap()
        };
        for kind in ["one", "two"] {
            stage.get_with("/x", &[("x-kind", kind), ("accept-encoding", "identity")]).await.bytes().await.unwrap();
        }
        stage.settled().await;
        let told = explained("/x").await;
        let variants = told["stored"]["variants"].as_array().unwrap();
        assert_eq!(variants.len(), 2, "{told}");
        let newest = &variants[0];
        assert_eq!((&newest["vary"][0], &newest["octets"]), (&"x-kind: two".into(), &5.into()), "{told}");
        assert_eq!((&newest["lifetime"], &newest["fresh"]), (&"s-maxage=60 in cache-control".into(), &true.into()));
        assert_eq!((&newest["validators"][0], &newest["tags"][0]), (&"\"p\"".into(), &"a b".into()), "{told}");
        assert!(newest["ttl_seconds"].as_i64().unwrap() > 50 && newest["bytes"].as_u64().unwrap() > 5, "{told}");
        assert_eq!((&told["stored"]["on_disk"], &told["stored"]["purge"]), (&Value::Null, &Value::Null));

        let viewer = stage.viewer().await;
        pen.send(Ok(Bytes::from_static(b"12"))).await.unwrap();
        let mut slow = viewer.get("/slow", &[]).await.unwrap();
        let told = explained("/slow").await;
        let fill = &told["stored"]["fills"][0];
        assert_eq!(
            (&fill["readers"], &fill["length"], &fill["stores"]),
            (&1.into(), &4.into(), &true.into()),
            "{told}"
        );
        assert!(told["verdict"].as_str().unwrap().starts_with("joins"), "{told}");
        pen.send(Ok(Bytes::from_static(b"34"))).await.unwrap();
        slow.bytes().await.unwrap();

        stage.get("/private").await.bytes().await.unwrap();
        let told = explained("/private").await;
        assert_eq!(told["stored"]["hit_for_miss"], true, "{told}");
        let told = explained("/live/v1.m3u8%3FCMCD=x%26_HLS_msn=7%26start=1").await;
        assert_eq!(
            (&told["dropped"], &told["directives"]),
            (&serde_json::json!(["CMCD"]), &"_HLS_msn=7".into()),
            "{told}"
        );
        stage.admin(Method::POST, "/purge", r#"{"url": "/x", "mode": "soft"}"#).await;
        let told = explained("/x").await;
        let newest = &told["stored"]["variants"][0];
        assert_eq!((&newest["lifetime"], &newest["fresh"]), (&"a purge made it stale".into(), &false.into()), "{told}");
    })
    .await;
}

#[tokio::test]
async fn a_web_page_cannot_drive_a_local_admin() {
    tell(Way::H1, Setup::default(), async |stage: &Stage| {
        let addr = stage.node.address("admin").unwrap();
        let admin = Client::connect(&addr.to_string(), Way::H1, &stage.trust()).await.unwrap();
        for (method, fields, status) in [
            (Method::GET, vec![("host", "rebound.example")], 421),
            (Method::POST, vec![("host", "rebound.example"), ("content-type", "application/json")], 421),
            (Method::POST, vec![("content-type", "text/plain")], 415),
            (Method::POST, vec![], 415),
            (Method::POST, vec![("content-type", "application/json")], 422), // a typing error does not drain the node
        ] {
            let path = if method == Method::GET { "/status" } else { "/drain" };
            let answer = admin.request(method, path, &fields, Bytes::from_static(b"{\"cancle\":true}")).await.unwrap();
            assert_eq!(answer.status.as_u16(), status, "{fields:?}");
        }
        assert_eq!(stage.status().await["draining"], false);
    })
    .await;
}

#[tokio::test]
async fn the_monitor_tells_health_and_nothing_else() {
    let setup = Setup { listen: "monitor = \"127.0.0.1:0\"\n".to_owned(), ..Setup::default() };
    tell(Way::H1, setup, async |stage: &Stage| {
        let addr = stage.node.address("monitor").unwrap();
        let monitor = Client::connect(&addr.to_string(), Way::H1, &stage.trust()).await.unwrap();
        for (path, status) in
            [("/healthz", 200), ("/readyz", 200), ("/metrics", 200), ("/status", 404), ("/drain", 404)]
        {
            let fields = [("host", "monitor.example")];
            assert_eq!(monitor.get(path, &fields).await.unwrap().status.as_u16(), status, "{path}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_unix_socket_serves_whoever_may_open_it() {
    let setup = Setup { listen: "admin = \"unix:admin.sock\"\n".to_owned(), ..Setup::default() };
    tell(Way::H1, setup, async |stage: &Stage| {
        let mut stream = tokio::net::UnixStream::connect(stage.folder().join("admin.sock")).await.unwrap();
        let request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("alive\n"), "{answer}");
    })
    .await;
}

#[tokio::test]
async fn elsewhere_a_token_with_the_fitting_role_is_asked_for() {
    let tokens = "[[admin.tokens]]\nfile = \"viewer.token\"\nroles = [\"view\"]\n\
                  [[admin.tokens]]\nfile = \"operator.token\"\nroles = [\"view\", \"operate\"]\n\
                  [[admin.tokens]]\nfile = \"purger.token\"\nroles = [\"purge\"]\n";
    let setup = Setup {
        listen: "admin = \"0.0.0.0:0\"\n".to_owned(),
        tables: tokens.to_owned(),
        prepare: Some(|folder, _| {
            for name in ["viewer", "operator", "purger"] {
                let token = format!("{name}-{}", "0123456789abcdef".repeat(3));
                std::fs::write(folder.join(format!("{name}.token")), token).unwrap();
            }
        }),
        ..Setup::default()
    };
    tell(Way::H1, setup, async |stage: &Stage| {
        let port = stage.node.address("admin").unwrap().port();
        let server = Server { addr: ([127, 0, 0, 1], port).into(), authority: format!("localhost:{port}") };
        let network = Network::new(&stage.trust());
        let admin = Client::connect_to(server, Way::H1Tls, &network).await.unwrap();
        let bearer = |name| format!("Bearer {name}-{}", "0123456789abcdef".repeat(3));
        for (method, path, token, status) in [
            (Method::GET, "/status", String::new(), 401),
            (Method::GET, "/status", bearer("somebody"), 401),
            (Method::GET, "/status", bearer("viewer"), 200),
            (Method::POST, "/reload", bearer("viewer"), 403),
            (Method::POST, "/reload", bearer("operator"), 200),
            (Method::POST, "/purge", bearer("operator"), 403),
            (Method::POST, "/purge", bearer("purger"), 400),
            (Method::POST, "/reload", bearer("purger"), 403),
        ] {
            let json = ("content-type", "application/json");
            let fields = if token.is_empty() { vec![json] } else { vec![json, ("authorization", &*token)] };
            let answer = admin.request(method, path, &fields, Bytes::from_static(b"{}")).await.unwrap();
            assert_eq!(answer.status.as_u16(), status, "{path} {token}");
            assert_eq!(answer.header("www-authenticate"), if status == 401 { "Bearer" } else { "" });
        }
    })
    .await;
}
