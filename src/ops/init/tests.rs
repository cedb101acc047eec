//! Origins of all kinds, what is said of them, and the files that are written for them.

use std::fs;
use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use weir_loadtest::port::Reserved;

use super::*;
use crate::config::{Config, Machine};
use crate::tasks::Tasks;

const MEDIA: &str = "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:4\n\
    #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=24,PART-HOLD-BACK=1.5\n#EXT-X-PART-INF:PART-TARGET=0.5\n\
    #EXT-X-MEDIA-SEQUENCE:1\n#EXTINF:4,\na.m4s\n";
const MULTIVARIANT: &str =
    "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlow.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=2\nhigh.m3u8\n";

/// An origin that answers a request's head with a status line, fields and a body.
async fn origin(answer: impl Fn(&str, &str) -> (u16, String, String) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let own = address.clone();
    drop(Tasks::current().spawn("origin", async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read_u8().await {
                    // A handshake of TLS begins so, and is no request.
                    Ok(0x16) | Err(_) => break,
                    Ok(octet) => head.push(octet),
                }
            }
            let head = String::from_utf8_lossy(&head).into_owned();
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            let (status, fields, body) = answer(&path, &head);
            let fields = fields.replace("ORIGIN", &own);
            let answer = format!(
                "HTTP/1.1 {status} X\r\n{fields}content-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            _ = stream.write_all(answer.as_bytes()).await;
        }
    }));
    address
}

fn with(status: u16, fields: &str, body: &str) -> (u16, String, String) {
    (status, fields.to_owned(), body.to_owned())
}

fn arguments(origin: String, folder: &Path) -> InitArguments {
    InitArguments { origin, out: folder.join("edge.toml"), force: false, ca: None, json: false }
}

/// What was said (or complained of), and the file, with names in place of what differs each time.
async fn told(arguments: &InitArguments, address: &str) -> (Outcome, String, String) {
    let (mut out, mut complaints) = (Vec::new(), Vec::new());
    let outcome = run(arguments, &Clock::system(), &mut out, &mut complaints).await.unwrap();
    let named = |text: String| {
        let folder = arguments.out.parent().unwrap().display().to_string();
        text.replace(address, "ORIGIN").replace(&format!("{folder}/"), "")
    };
    let said = named(String::from_utf8([out, complaints].concat()).unwrap());
    let file = fs::read_to_string(&arguments.out).unwrap_or_default();
    if outcome == Outcome::Good {
        let machine = Machine { name: "edge".into(), cores: 1, memory: 1 << 30 };
        let (_, warnings) =
            Config::parse_on(&machine, &file, Path::new("")).unwrap_or_else(|why| panic!("{why}\n{file}"));
        assert_eq!(warnings, [], "{file}");
    }
    (outcome, said, named(file))
}

#[tokio::test]
async fn a_low_latency_origin_is_told_of_and_a_file_is_written_for_it() {
    let address = origin(|path, head| match path {
        "/live/one/master.m3u8" => {
            assert!(head.contains("origin: https://player.example\r\n"), "{head}");
            with(200, "access-control-allow-origin: *\r\ncache-control: no-cache\r\n", MULTIVARIANT)
        }
        "/live/one/low.m3u8" => with(200, "", MEDIA),
        _ => with(404, "", ""),
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let mut arguments = arguments(format!("http://{address}/live/one/master.m3u8"), folder.path());
    let (outcome, said, file) = told(&arguments, &address).await;
    assert_eq!(outcome, Outcome::Good, "{said}");
    assert_eq!(
        said,
        "http://ORIGIN answers in cleartext, HTTP/1.1.\n\
         /live/one/master.m3u8 is a multivariant playlist of 2 renditions.\n\
         Its segments last up to 4 s, its parts 0.5 s (low latency); it holds reloads and has delta updates.\n\
         It says of lifetimes: cache-control: no-cache. Media of a live stream lives by the stream all the same.\n\
         It sends CORS fields; the node replaces them by its own, which let every page play.\n\
         It says 404 for what does not exist.\n\n\
         Wrote edge.toml. Next: `weir check --config edge.toml`, then `weir serve --config edge.toml`, and play \
         http://localhost:8080/live/one/master.m3u8\n"
    );
    assert_eq!(
        file,
        "# Weir in front of http://ORIGIN, as `weir init` found it. `weir check` says what the node will do; the shipped\n\
         # edge.toml names every key.\n\n\
         [listen]\n\
         # Cleartext, IPv4 and IPv6. For TLS and HTTP/3 add: https = [\"[::]:8443\"], and [tls] with a certificate.\n\
         http = [\"[::]:8080\"]\n\n\
         [origins.primary]\n\
         url = \"http://ORIGIN\"\n\n\
         # A low-latency stream: its playlists are followed once for all viewers, and reloads are held here.\n\
         [[route]]\n\
         name = \"live\"\n\
         path = \"/\"\n\
         # Several are asked in this order.\n\
         origins = [\"primary\"]\n"
    );

    fs::write(&arguments.out, "# mine").unwrap();
    let (outcome, said, file) = told(&arguments, &address).await;
    assert_eq!((outcome, file.as_str()), (Outcome::WrongUse, "# mine"));
    assert!(said.contains("edge.toml exists") && said.contains("--force"), "{said}");
    arguments.force = true;
    arguments.json = true;
    let (outcome, said, file) = told(&arguments, &address).await;
    assert_eq!(outcome, Outcome::Good);
    assert!(file.contains("[origins.primary]"), "{file}");
    let facts: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&facts["kind"], &facts["playlist"]["part_target_ms"]), (&"multivariant".into(), &500.into()));
}

#[tokio::test]
async fn a_bucket_that_forbids_what_is_absent_has_that_in_its_file() {
    let address = origin(|path, _| match path {
        "/bucket/" => with(200, "", "<ListBucketResult/>"),
        _ => with(403, "", "<Error/>"),
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let (outcome, said, file) = told(&arguments(format!("http://{address}/bucket/"), folder.path()), &address).await;
    assert_eq!(outcome, Outcome::Good, "{said}");
    assert!(file.contains("url = \"http://ORIGIN/bucket\"\n") && file.contains("\nmissing = [403]\n"), "{file}");
    assert!(said.contains("/bucket/ is a folder (200)") && said.contains("the node makes it 404"), "{said}");
    assert!(said.contains("play http://localhost:8080/\n"), "{said}");
}

#[tokio::test]
async fn a_packager_gets_its_cookie_back_and_the_file_says_so() {
    let address = origin(|path, head| match (path, head.contains("cookie: sid=7; b=8\r\n")) {
        ("/v.m3u8", true) => with(200, "", MEDIA),
        (_, true) => with(404, "", ""),
        (_, false) => with(403, "set-cookie: sid=7; Path=/\r\nset-cookie: b=8\r\n", ""),
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let (outcome, said, file) = told(&arguments(format!("http://{address}/v.m3u8"), folder.path()), &address).await;
    assert_eq!(outcome, Outcome::Good, "{said}");
    assert!(file.contains("\ncookies = true\n") && !file.contains("missing"), "{file}");
    assert!(said.contains("the node keeps and brings it"), "{said}");
}

#[tokio::test]
async fn redirects_are_followed_and_their_origins_declared() {
    let second = origin(|path, _| if path == "/store/v.m3u8" { with(200, "", MEDIA) } else { with(404, "", "") }).await;
    let there = format!("location: http://{second}/store/v.m3u8\r\n");
    let address = origin(move |path, _| match path {
        "/v.m3u8" => with(302, "location: moved.m3u8\r\n", ""),
        _ => with(302, &there, ""),
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let (outcome, said, file) = told(&arguments(format!("http://{address}/v.m3u8"), folder.path()), &address).await;
    assert_eq!(outcome, Outcome::Good, "{said}");
    assert!(file.contains("\nredirects = 2\n"), "{file}");
    assert!(file.contains(&format!("[origins.redirect1]\nurl = \"http://{second}\"\n")), "{file}");
    assert!(file.contains("origins = [\"primary\", \"redirect1\"]"), "{file}");
    assert!(
        said.contains(&format!("It redirects to http://ORIGIN/moved.m3u8, then http://{second}/store/v.m3u8")),
        "{said}"
    );
}

#[tokio::test]
async fn what_is_wrong_is_said_with_its_remedy_and_nothing_is_written() {
    let address = origin(|path, _| match path {
        "/page.m3u8" => with(200, "content-type: text/html\r\n", "<html>"),
        "/denied.m3u8" => with(403, "", ""),
        "/loop" => with(302, "location: /loop\r\n", ""),
        "/away" => with(302, "location: ftp://x\r\n", ""),
        "/ill.m3u8" => with(503, "", ""),
        _ => with(404, "", ""),
    })
    .await;
    let nobody = Reserved::any().unwrap();
    for (origin, outcome, words) in [
        (format!("http://{address}/page.m3u8"), Outcome::Finding, "answers with a page, not with a playlist"),
        (format!("http://{address}/denied.m3u8"), Outcome::Finding, "a private bucket needs `auth"),
        (format!("http://{address}/absent.m3u8"), Outcome::Finding, "does not exist (404): give a URL"),
        (format!("http://{address}/ill.m3u8"), Outcome::Finding, "is in trouble (503)"),
        (format!("http://{address}/loop"), Outcome::Finding, "more often than 5 times"),
        (format!("http://{address}/away"), Outcome::Finding, "redirects to ftp://x"),
        (format!("http://{}/", nobody.addr()), Outcome::Finding, "Is it running, and is the port right?"),
        (format!("https://{address}/"), Outcome::Finding, "no TLS connection"),
        ("http://no-such-host.invalid/".to_owned(), Outcome::Finding, "cannot be asked"),
        ("packager.example".to_owned(), Outcome::WrongUse, "is no origin: write --origin https://HOST"),
        ("ftp://packager.example/".to_owned(), Outcome::WrongUse, "is no origin"),
        ("http://user@packager.example/".to_owned(), Outcome::WrongUse, "is no origin"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (ended, said, file) = told(&arguments(origin, folder.path()), "no address").await;
        assert_eq!((ended, file.as_str()), (outcome, ""), "{said}");
        assert!(said.contains(words), "{words}: {said}");
    }
}
