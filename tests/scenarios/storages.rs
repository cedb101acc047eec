//! Storages and packagers with ways of their own: what a node that knows them makes of their answers.

use std::fs;
use std::process::Command;

use http::Method;
use serde_json::Value;
use weir::config::Config;
use weir::node::Node;
use weir_loadtest::client::{Client, Network, Response, Server, Trust, Way};
use weir_loadtest::origin::{Origin, OriginConfig};

use crate::script::{Script, Seen, reply};
use crate::stage::{Setup, Stage, WAYS, tell};

const PLAYLIST: &str = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:7\n#EXTINF:2,\n\
                        v7.ts\n#EXTINF:2,\nv8.ts\n#EXT-X-ENDLIST\n";
const KIND: (&str, &str) = ("content-type", "application/vnd.apple.mpegurl");
const DENIED: &str = "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code><HostId>secret</HostId></Error>";

async fn body(answer: &mut Response) -> String {
    String::from_utf8(answer.bytes().await.unwrap().to_vec()).unwrap()
}

async fn reason(answer: &mut Response) -> String {
    let body: Value = serde_json::from_str(&body(answer).await).unwrap();
    body["reason"].as_str().unwrap().to_owned()
}

async fn explained(stage: &Stage, path: &str) -> String {
    let (code, text) = stage.admin(Method::GET, &format!("/explain?url=http://x.example{path}"), "").await;
    assert_eq!(code, 200, "{text}");
    text
}

/// Says 403 for what it does not have, and nothing of lifetimes.
fn bucket(seen: Seen) -> http::Response<crate::script::Body> {
    let long_ago = ("last-modified", "Mon, 02 Nov 2015 10:00:00 GMT");
    if !seen.field("authorization").starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/") {
        return reply(403, &[("content-type", "application/xml")], "<Error><Code>SignatureDoesNotMatch</Code></Error>");
    }
    match seen.target.as_str() {
        "/live/v.m3u8" => reply(200, &[KIND, long_ago], PLAYLIST),
        "/live/v7.ts" => reply(200, &[("content-type", "binary/octet-stream"), long_ago], "seven"),
        "/page.txt" => reply(200, &[("content-type", "text/plain"), long_ago], "page"),
        _ => reply(403, &[("content-type", "application/xml"), ("x-amz-request-id", "7")], DENIED),
    }
}

#[tokio::test]
async fn a_private_bucket_is_signed_for_and_what_it_forbids_is_absent() {
    for way in WAYS {
        let origin = Script::start(bucket).await;
        let setup = Setup {
            upstream: Some(origin.addr),
            origin:
                "auth = { aws_sigv4 = { region = \"eu-central-1\", credentials_file = \"keys\" } }\nmissing = [403]"
                    .into(),
            prepare: Some(|folder, _| {
                let keys = "[default]\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = verysecret\n";
                fs::write(folder.join("keys"), keys).unwrap();
            }),
            ..Setup::default()
        };
        tell(way, setup, async |stage: &Stage| {
            let mut playlist = stage.get("/live/v.m3u8").await;
            assert_eq!((playlist.status.as_u16(), body(&mut playlist).await.as_str()), (200, PLAYLIST));
            let before = origin.count();
            for _ in 0..2 {
                let mut media = stage.get("/live/v7.ts").await;
                assert_eq!((media.status.as_u16(), body(&mut media).await.as_str()), (200, "seven"));
                assert!(media.header("cache-control").starts_with("max-age="), "it lives by the stream");
                let mut plain = stage.get("/page.txt").await;
                assert_eq!(body(&mut plain).await, "page");
                stage.settled().await;
            }
            assert_eq!(origin.count(), before + 2, "media by the stream, plain by the rule of thumb: once each");

            for (path, word) in
                [("/live/v8.ts", "origin-missing"), ("/x.txt", "origin-missing"), ("/x.m3u8", "origin-status")]
            {
                let mut absent = stage.get(path).await;
                assert_eq!((absent.status.as_u16(), absent.header("x-amz-request-id")), (404, ""), "{path}");
                assert_eq!(reason(&mut absent).await, word, "{path}");
            }
            let status = stage.status().await.to_string();
            assert!(!status.contains("\"server-error\":1"), "{status}");
            let told = explained(stage, "/page.txt").await;
            assert!(told.contains("main signs GET, HEAD for s3 in eu-central-1 (AWS Signature V4)"), "{told}");
            assert!(told.contains("main takes 403 for 404") && !told.contains("verysecret"), "{told}");
        })
        .await;
    }
}

#[tokio::test]
async fn a_page_in_place_of_a_playlist_is_the_origins_error_and_is_not_kept() {
    for way in WAYS {
        let origin =
            Script::start(|_| reply(200, &[("content-type", "text/html"), ("cache-control", "max-age=600")], "<html>"))
                .await;
        let setup = Setup { upstream: Some(origin.addr), ..Setup::default() };
        tell(way, setup, async |stage: &Stage| {
            let mut answer = stage.get("/live/v.m3u8").await;
            assert_eq!((answer.status.as_u16(), answer.header("cache-control")), (502, "no-store"));
            let said = body(&mut answer).await;
            assert!(said.contains("\"not-a-playlist\"") && said.contains("#EXTM3U"), "{said}");
            let told: Value = serde_json::from_str(&explained(stage, "/live/v.m3u8").await).unwrap();
            assert_eq!(told["class"], "playlist");
        })
        .await;
    }
}

#[tokio::test]
async fn redirects_pass_where_they_are_plain_and_are_errors_in_a_stream() {
    for way in WAYS {
        let origin = Script::start(|seen| match seen.target.as_str() {
            "/live/v.m3u8" => reply(200, &[KIND], PLAYLIST),
            "/own" => {
                let location = format!("http://{}/moved?x=1", seen.field("host"));
                reply(302, &[("location", &location)], "")
            }
            _ => reply(302, &[("location", "https://elsewhere.example/x")], ""),
        })
        .await;
        let setup = Setup { upstream: Some(origin.addr), ..Setup::default() };
        tell(way, setup, async |stage: &Stage| {
            for (path, location) in [("/own", "/moved?x=1"), ("/foreign", "https://elsewhere.example/x")] {
                let answer = stage.get(path).await;
                assert_eq!((answer.status.as_u16(), answer.header("location")), (302, location));
            }
            assert_eq!(stage.get("/live/v.m3u8").await.status, 200);
            for path in ["/live/v7.ts", "/live/gone.m3u8"] {
                let mut answer = stage.get(path).await;
                assert_eq!(answer.status, 502, "{path}");
                assert_eq!(reason(&mut answer).await, "origin-redirect", "{path}");
            }
        })
        .await;
    }
}

#[tokio::test]
async fn redirects_to_declared_origins_are_followed_for_all() {
    for way in WAYS {
        let second = Script::start(|seen| match seen.target.as_str() {
            "/store/live/v.m3u8" => reply(200, &[KIND], PLAYLIST),
            "/store/live/v7.ts" => reply(200, &[("content-type", "video/mp2t")], "seven"),
            _ => reply(404, &[], ""),
        })
        .await;
        let store = format!("http://{}/store", second.addr);
        let origin = {
            let store = store.clone();
            Script::start(move |seen| reply(302, &[("location", &format!("{store}{}", seen.target))], "")).await
        };
        let setup = Setup {
            upstream: Some(origin.addr),
            origin: "redirects = 1\nheaders = { set = { x-key = \"of-the-first\" } }".into(),
            tables: format!("[origins.second]\nurl = \"{store}\"\n"),
            origins: "[\"main\", \"second\"]",
            ..Setup::default()
        };
        tell(way, setup, async |stage: &Stage| {
            let mut playlist = stage.get("/live/v.m3u8").await;
            assert_eq!(playlist.status, 200);
            let text = body(&mut playlist).await;
            assert!(text.lines().any(|line| line == "/live/v7.ts" || line == "v7.ts"), "{text}");
            let mut media = stage.get("/live/v7.ts").await;
            assert_eq!((media.status.as_u16(), body(&mut media).await.as_str()), (200, "seven"));
            assert_eq!(second.last().field("x-key"), "", "what is the first's stays there");
            assert!(explained(stage, "/live/v7.ts").await.contains("main follows up to 1 redirects"));
        })
        .await;
    }
}

#[tokio::test]
async fn a_packagers_cookie_is_the_nodes_and_no_viewers() {
    for way in WAYS {
        let origin = Script::start(|seen| {
            let cookie = ("set-cookie", "sid=of-the-node; Path=/; HttpOnly");
            match (seen.field("cookie").contains("sid=of-the-node"), seen.target.as_str()) {
                (false, _) => reply(403, &[cookie], "no cookie"),
                (true, "/live/v.m3u8") => reply(200, &[KIND, cookie], PLAYLIST),
                (true, _) => reply(200, &[("content-type", "video/mp2t"), cookie], "seven"),
            }
        })
        .await;
        let setup = Setup { upstream: Some(origin.addr), origin: "cookies = true".into(), ..Setup::default() };
        tell(way, setup, async |stage: &Stage| {
            for path in ["/live/v.m3u8", "/live/v7.ts", "/plain.bin"] {
                let mut answer = stage.get_with(path, &[("cookie", "viewer=1")]).await;
                assert_eq!((answer.status.as_u16(), answer.header("set-cookie")), (200, ""), "{path}");
                body(&mut answer).await;
            }
            let seen = origin.seen();
            assert_eq!(seen.len(), 4, "only the first was asked twice");
            assert!(seen.iter().all(|seen| !seen.field("cookie").contains("viewer")), "{seen:?}");
            assert!(explained(stage, "/live/v7.ts").await.contains("main sends its cookies back"));
        })
        .await;
    }
}

#[tokio::test]
async fn a_route_has_the_last_word_on_fields_towards_viewers() {
    let origin = Script::start(|_| reply(200, &[("server", "packager/1"), ("x-frame-options", "DENY")], "x")).await;
    let setup = Setup {
        upstream: Some(origin.addr),
        route: "headers = { set = { X-Frame-Options = \"SAMEORIGIN\", X-Edge = \"1\" }, remove = [\"server\"] }".into(),
        ..Setup::default()
    };
    tell(Way::H1, setup, async |stage: &Stage| {
        for path in ["/x", "/x.m3u8"] {
            let answer = stage.get(path).await;
            assert_eq!((answer.header("server"), answer.header("x-edge")), ("", "1"), "{path}");
            assert_eq!(answer.header("x-frame-options"), "SAMEORIGIN");
        }
    })
    .await;
}

#[tokio::test]
async fn what_init_writes_for_an_origin_plays() {
    let origin = Origin::start(OriginConfig::default()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("edge.toml");
    let url = format!("http://{}/live/master.m3u8", origin.addr());
    let (out, argument) = (file.clone(), url.clone());
    let ran = tokio::task::spawn_blocking(move || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
        command.args(["init", "--origin", &argument, "--out"]).arg(&out).output().unwrap()
    });
    let ran = ran.await.unwrap();
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(ran.status.success(), "{ran:?}");
    assert!(said.contains("/live/master.m3u8 is a multivariant playlist"), "{said}");
    assert!(said.contains("(low latency); it holds reloads"), "{said}");

    let text = fs::read_to_string(&file).unwrap().replace("[::]:8080", "127.0.0.1:0") + "\n";
    let text = text.replace("[listen]\n", "[listen]\nadmin = false\n");
    fs::write(&file, &text).unwrap();
    let (config, warnings) = Config::load(&file).unwrap_or_else(|problems| panic!("{problems}\n{text}"));
    assert!(warnings.is_empty(), "{warnings:?}");
    let node = Node::start(config, None).await.unwrap();
    let addr = node.address("http").unwrap();
    let server = Server { addr, authority: format!("localhost:{}", addr.port()) };
    let network = Network::new(&Trust::AcceptAny);
    let viewer = Client::connect_to(server, Way::H1, &network).await.unwrap();
    let mut answer = viewer.get("/live/master.m3u8", &[]).await.unwrap();
    assert!(body(&mut answer).await.starts_with("#EXTM3U"));
    drop((answer, viewer, network));
    node.stop().await;
    origin.stop().await;
}
