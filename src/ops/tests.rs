//! Commands against a node that answers from a script.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls_pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use weir_loadtest::port::Reserved;

use super::*;
use crate::clock::WallTime;
use crate::tasks::Tasks;

/// Reads one request whole and answers it.
async fn answer<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, status: &str, body: &str) -> String {
    let mut request = String::new();
    let mut buffer = [0; 4096];
    while !is_whole(&request) {
        let count = stream.read(&mut buffer).await.unwrap();
        assert!(count > 0, "the request ends early: {request}");
        request.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
    }
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    stream.write_all((head + body).as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    request
}

fn is_whole(request: &str) -> bool {
    let Some((head, body)) = request.split_once("\r\n\r\n") else { return false };
    let length =
        head.to_ascii_lowercase().lines().find_map(|line| Some(line.strip_prefix("content-length: ")?.to_owned()));
    body.len() == length.map_or(0, |length| length.parse().unwrap())
}

/// A node on loopback that gives these answers, one for each connection, and tells what it was asked.
async fn node(answers: &[(&'static str, &'static str)]) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let answers = answers.to_vec();
    let asked = Tasks::current().spawn("node", async move {
        let mut asked = Vec::new();
        for (status, body) in answers {
            let (stream, _) = listener.accept().await.unwrap();
            asked.push(answer(stream, status, body).await);
        }
        asked
    });
    (address, asked)
}

fn arguments(admin: &str) -> NodeArguments {
    NodeArguments {
        admin: Some(admin.to_owned()),
        admin_token_file: None,
        admin_ca: None,
        config: PathBuf::from("edge.toml"),
        json: false,
    }
}

/// Keeps what is written, and tells when it is flushed.
struct Told {
    bytes: Vec<u8>,
    told: tokio::sync::mpsc::UnboundedSender<()>,
}

impl Write for Told {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Write::write(&mut self.bytes, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        _ = self.told.send(());
        Ok(())
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn a_status_is_asked_for_with_a_token_and_shown_as_it_came_with_json() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    fs::write(&token, "open-sesame\n").unwrap();
    let (admin, asked) = node(&[("200 OK", "{\"node\":\"edge-1\",\"later\":1}\n")]).await;
    let arguments = NodeArguments { admin_token_file: Some(token), json: true, ..arguments(&admin) };
    let (mut out, mut complaints) = (Vec::new(), Vec::new());
    let outcome = client::status(&arguments, &Clock::system(), &mut out, &mut complaints).await.unwrap();
    assert_eq!((outcome, text(out)), (Outcome::Good, "{\"node\":\"edge-1\",\"later\":1}\n".to_owned()));
    let request = asked.await.unwrap().remove(0);
    assert!(request.starts_with("GET /status HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("authorization: Bearer open-sesame\r\n"), "{request}");
    assert!(request.contains(&format!("host: {}\r\n", admin.trim_start_matches("http://"))), "{request}");
}

#[tokio::test]
async fn a_question_keeps_its_url_whole_and_a_refusal_is_a_finding() {
    let (admin, asked) = node(&[
        ("200 OK", r#"{"url":"u","verdict":"served"}"#),
        ("200 OK", r#"{"url":"u","verdict":"refused with 404","refusal":"no-route"}"#),
    ])
    .await;
    let headers = vec!["Accept-Encoding: gzip".to_owned(), "X-Two: 2".to_owned()];
    let url = "http://a/x?y=1&z=ü".to_owned();
    let token = Some("e.y.J".to_owned());
    let arguments = ExplainArguments { url, headers, token, token_file: None, node: arguments(&admin) };
    for (outcome, said) in [
        (Outcome::Good, "u\n  verdict          served\n"),
        (Outcome::Finding, "u\n  verdict          refused with 404\n  refusal          no-route\n"),
    ] {
        let (mut out, mut complaints) = (Vec::new(), Vec::new());
        let ended = client::explain(&arguments, &Clock::system(), &mut out, &mut complaints).await.unwrap();
        assert_eq!((ended, text(out).as_str()), (outcome, said));
    }
    let request = asked.await.unwrap().remove(0);
    let line = "GET /explain?url=http%3A%2F%2Fa%2Fx%3Fy%3D1%26z%3D%C3%BC\
        &header=Accept%2DEncoding%3A%20gzip&header=X%2DTwo%3A%202 HTTP/1.1";
    assert_eq!(request.lines().next(), Some(line));
    assert!(request.contains("weir-viewer-token: e.y.J\r\n"), "{request}");
}

#[tokio::test]
async fn a_playlist_is_kept_warm_for_a_time_or_for_good() {
    let good = r#"{"route":"live","playlist":"/live/one/index.m3u8"}"#;
    let full = r#"{"reason":"followers","detail":"as many playlists as allowed are followed"}"#;
    let (admin, asked) = node(&[("200 OK", good), ("200 OK", good), ("503 Service Unavailable", full)]).await;
    let url = "https://a/live/one/index.m3u8?CMCD=x".to_owned();
    let lasting = WarmArguments { url, time: None, node: arguments(&admin) };
    let short = WarmArguments { time: Some(Duration::from_secs(600)), ..lasting.clone() };
    for (arguments, outcome, said) in [
        (&short, Outcome::Good, "/live/one/index.m3u8 of route live is followed for 10m\n"),
        (&lasting, Outcome::Good, "/live/one/index.m3u8 of route live is followed until the node ends\n"),
        (&lasting, Outcome::Finding, ""),
    ] {
        let (mut out, mut complaints) = (Vec::new(), Vec::new());
        let ended = client::warm(arguments, &Clock::system(), &mut out, &mut complaints).await.unwrap();
        assert_eq!((ended, text(out).as_str()), (outcome, said));
    }
    let requests = asked.await.unwrap();
    assert!(requests[0].starts_with("POST /warm HTTP/1.1\r\n"), "{}", requests[0]);
    let url = r#""url":"https://a/live/one/index.m3u8?CMCD=x""#;
    for (request, time) in [(&requests[0], "\"10m\""), (&requests[1], "null")] {
        assert!(request.contains(url) && request.contains(&format!("\"for\":{time}")), "{request}");
    }
}

#[tokio::test]
async fn a_purge_is_ordered_as_it_was_typed() {
    let good = r#"{"mode":"soft","dry_run":false,"objects":2,"bytes":2048,"fills":0,"playlists":0,"disk":null}"#;
    let refused = r#"{"reason":"stream","detail":"a stream is named by one segment"}"#;
    let (admin, asked) = node(&[("200 OK", good), ("200 OK", good), ("400 Bad Request", refused)]).await;
    let all = PurgeArguments {
        url: None,
        prefix: None,
        stream: None,
        tag: None,
        all: true,
        soft: false,
        dry_run: true,
        local: true,
        node: arguments(&admin),
    };
    let stream = PurgeArguments {
        stream: Some("one".into()),
        all: false,
        soft: true,
        dry_run: false,
        local: false,
        ..all.clone()
    };
    for (arguments, outcome, said) in [
        (&stream, Outcome::Good, "stream one is stale\n  memory           2 objects, 2 KiB\n"),
        (&all, Outcome::Good, "everything is stale\n  memory           2 objects, 2 KiB\n"),
        (&stream, Outcome::Finding, ""),
    ] {
        let (mut out, mut complaints) = (Vec::new(), Vec::new());
        let ended = client::purge(arguments, &Clock::system(), &mut out, &mut complaints).await.unwrap();
        assert_eq!((ended, text(out).as_str()), (outcome, said), "{}", text(complaints));
    }
    let requests = asked.await.unwrap();
    assert!(requests[0].starts_with("POST /purge HTTP/1.1\r\n"), "{}", requests[0]);
    assert!(requests[0].ends_with(r#"{"dry_run":false,"mode":"soft","stream":"one"}"#), "{}", requests[0]);
    assert!(requests[1].ends_with(r#"{"all":true,"dry_run":true,"mode":"hard","scope":"node"}"#), "{}", requests[1]);
}

#[tokio::test]
async fn a_reload_that_is_refused_is_a_finding_and_prints_the_diagnostics() {
    let refused = r#"{"problems":[{"file":"edge.toml","line":2,"key":"listen.http","message":"needs a restart"}]}"#;
    let taken = r#"{"changed":["routes"],"warnings":[]}"#;
    let (admin, asked) = node(&[("422 Unprocessable Content", refused), ("200 OK", taken)]).await;
    for (outcome, said) in [
        (
            Outcome::Finding,
            "problem: edge.toml:2: listen.http: needs a restart\nrefused: the old configuration goes on\n",
        ),
        (Outcome::Good, "taken: routes\n"),
    ] {
        let (mut out, mut complaints) = (Vec::new(), Vec::new());
        let ended = client::reload(&arguments(&admin), &Clock::system(), &mut out, &mut complaints).await.unwrap();
        assert_eq!((ended, text(out).as_str()), (outcome, said));
    }
    let request = asked.await.unwrap().remove(0);
    assert!(request.starts_with("POST /reload HTTP/1.1\r\n") && request.ends_with("\r\n\r\n{}"), "{request}");
    assert!(request.contains("content-type: application/json\r\n"), "{request}");
}

#[tokio::test]
async fn a_drain_shows_viewers_leaving_until_none_is_left() {
    let (admin, asked) = node(&[
        ("200 OK", "{}"),
        ("200 OK", r#"{"draining":true,"connections":{"h1":2,"h3":1}}"#),
        ("200 OK", r#"{"draining":true,"connections":{"h1":0,"h3":0}}"#),
    ])
    .await;
    let clock = Clock::manual(WallTime::default());
    let arguments = DrainArguments { by: Some(Duration::from_secs(600)), cancel: false, node: arguments(&admin) };
    let (told, mut telling) = tokio::sync::mpsc::unbounded_channel();
    let drain = async {
        let (mut out, mut complaints) = (Told { bytes: Vec::new(), told }, Vec::new());
        let outcome = client::drain(&arguments, &clock, &mut out, &mut complaints).await.unwrap();
        (outcome, text(out.bytes))
    };
    let next_look = async {
        // What was flushed is followed by a sleep within the same poll.
        telling.recv().await;
        clock.advance(Duration::from_secs(1));
    };
    let ((outcome, said), ()) = tokio::join!(drain, next_look);
    assert_eq!(outcome, Outcome::Good);
    assert_eq!(said, "viewers are asked to leave within 10m\n3 connections left\n0 connections left\n");
    assert!(asked.await.unwrap()[0].ends_with("{\"by_seconds\":600}"));
}

#[tokio::test]
async fn a_refusal_says_why_and_what_would_help() {
    let (admin, _asked) =
        node(&[("401 Unauthorized", r#"{"reason":"token-missing","detail":"no token was sent"}"#)]).await;
    let (mut out, mut complaints) = (Vec::new(), Vec::new());
    let outcome = client::status(&arguments(&admin), &Clock::system(), &mut out, &mut complaints).await.unwrap();
    assert_eq!((outcome, out.len()), (Outcome::Finding, 0));
    let said = "refused with 401 Unauthorized: token-missing (no token was sent); give it --admin-token-file\n";
    assert!(text(complaints).ends_with(said));
}

#[tokio::test]
async fn a_node_that_is_not_there_is_a_finding_and_a_bad_address_is_wrong_use() {
    let gone = Reserved::any().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let nobody = format!("unix:{}", folder.path().join("none.sock").display());
    for (admin, outcome, said) in [
        (gone.addr().to_string(), Outcome::Finding, "nobody answers there"),
        (nobody, Outcome::Finding, "nobody answers there"),
        ("unix:".to_owned(), Outcome::WrongUse, "no admin address"),
        ("ftp://a".to_owned(), Outcome::WrongUse, "no admin address"),
        ("http://a/path".to_owned(), Outcome::WrongUse, "no admin address"),
    ] {
        let (mut out, mut complaints) = (Vec::new(), Vec::new());
        let ended = client::status(&arguments(&admin), &Clock::system(), &mut out, &mut complaints).await.unwrap();
        let complaints = text(complaints);
        assert!(ended == outcome && complaints.contains(said), "{admin}: {ended:?} {complaints}");
    }
}

#[tokio::test]
async fn a_node_is_asked_over_a_unix_socket_and_over_tls_with_its_own_authority() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("admin.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let asked = Tasks::current().spawn("node", async move {
        answer(listener.accept().await.unwrap().0, "200 OK", r#"{"node":"by-socket"}"#).await
    });
    let (mut out, mut complaints) = (Vec::new(), Vec::new());
    let config = folder.path().join("edge.toml");
    fs::write(&config, "[listen]\nadmin = \"unix:admin.sock\"\n").unwrap();
    let by_config = NodeArguments { admin: None, config, ..arguments("") };
    client::status(&by_config, &Clock::system(), &mut out, &mut complaints).await.unwrap();
    assert!(text(out).starts_with("by-socket "), "{}", text(complaints));
    assert!(asked.await.unwrap().contains("host: localhost\r\n"));

    let (admin, ca, asked) = tls_node(folder.path(), r#"{"node":"by-tls"}"#).await;
    for (ca, outcome) in [(None, Outcome::Finding), (Some(ca), Outcome::Good)] {
        let (mut out, mut complaints) = (Vec::new(), Vec::new());
        let arguments = NodeArguments { admin_ca: ca, ..arguments(&admin) };
        let ended = client::status(&arguments, &Clock::system(), &mut out, &mut complaints).await.unwrap();
        assert_eq!(ended, outcome, "{}", text(complaints));
    }
    asked.await.unwrap();
}

/// A node over TLS, with the file of its authority. Connections that do not trust it are dropped.
async fn tls_node(folder: &Path, body: &'static str) -> (String, PathBuf, JoinHandle<String>) {
    let issued = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let ca = folder.join("ca.pem");
    fs::write(&ca, issued.cert.pem()).unwrap();
    let key = PrivateKeyDer::try_from(issued.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = builder.with_no_client_auth().with_single_cert(vec![issued.cert.der().clone()], key).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let asked = Tasks::current().spawn("node", async move {
        loop {
            if let Ok(stream) = acceptor.accept(listener.accept().await.unwrap().0).await {
                return answer(stream, "200 OK", body).await;
            }
        }
    });
    (address, ca, asked)
}

#[tokio::test]
async fn check_counts_warnings_only_when_strict_and_asks_origins_only_when_told() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("edge.toml");
    let (origin, asked) = node(&[("404 Not Found", "")]).await;
    let text_of = |more: &str| {
        format!(
            "[listen]\nhttp = [\"[::]:1\"]\n[origins.a]\nurl = \"{origin}/base\"\n[[route]]\norigins = [\"a\"]\n{more}"
        )
    };
    let unused = "[origins.b]\nurl = \"http://127.0.0.1:1\"\n";
    let run = async |strict: bool, probe: bool, json: bool| {
        let mut out = Vec::new();
        let arguments = CheckArguments { config: config.clone(), probe, strict, json };
        (check::run(&arguments, &Clock::system(), &mut out).await.unwrap(), text(out))
    };
    fs::write(&config, text_of(unused)).unwrap();
    let (outcome, said) = run(false, false, false).await;
    assert!(outcome == Outcome::Good && said.contains("⚠ origins.b: no route uses"), "{said}");
    assert!(said.ends_with("edge.toml: good, with 1 warning\n"), "{said}");
    let (outcome, said) = run(true, false, true).await;
    let facts: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(outcome, Outcome::Finding);
    assert_eq!((&facts["good"], &facts["warnings"][0]["line"]), (&false.into(), &7.into()));

    fs::write(&config, text_of("")).unwrap();
    let (outcome, said) = run(true, true, false).await;
    assert!(outcome == Outcome::Good && said.contains("Origin `a` answers: 404"), "{said}");
    let request = asked.await.unwrap().remove(0);
    assert!(request.starts_with("HEAD /base/ HTTP/1.1\r\n"), "{request}");
    let (outcome, said) = run(false, true, false).await;
    assert!(outcome == Outcome::Finding && said.contains("does not answer"), "{said}");

    fs::write(&config, "[listen\n").unwrap();
    let (outcome, said) = run(false, false, true).await;
    let facts: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((outcome, &facts["problems"][0]["line"]), (Outcome::Finding, &1.into()));
}
