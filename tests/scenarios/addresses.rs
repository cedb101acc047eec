//! Who the viewer is, behind balancers and on any network, as the access log has it; and clients of long ago.

use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use weir_loadtest::client::{Client, Trust, Way};

use crate::certificates::Kind;
use crate::stage::{PAUSE, Setup, Stage, tell, with};

const LOGGED: &str = "[access_log]\npath = \"access.log\"\n";

/// The access log's lines, once there are `count`. Its writer rings no bell.
async fn lines(stage: &Stage, count: usize) -> Vec<Value> {
    let file = stage.folder().join("access.log");
    let mut lines = Vec::new();
    for _ in 0..20_000 {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        lines = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        if lines.len() >= count {
            return lines;
        }
        tokio::time::sleep(PAUSE).await;
    }
    panic!("there are {} lines and not {count}: {lines:?}", lines.len());
}

/// The address that the log has for the last of `count` requests.
async fn logged(stage: &Stage, count: usize) -> String {
    lines(stage, count).await[count - 1]["address"].as_str().unwrap().to_owned()
}

/// What a server says to `octets` until it closes.
async fn said(stage: &Stage, octets: &[u8]) -> String {
    let mut stream = TcpStream::connect(stage.server(Way::H1).addr).await.unwrap();
    stream.write_all(octets).await.unwrap();
    let mut answer = Vec::new();
    // A server that refuses may reset.
    _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

const REQUEST: &[u8] = b"GET /.weir/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// PROXY protocol, version 2: a TCP connection over IPv6 from `2001:db8::7`.
fn version_two() -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24".to_vec();
    header.extend("2001:db8::7".parse::<std::net::Ipv6Addr>().unwrap().octets());
    header.extend([0; 15]);
    header.extend([1, 0x15, 0xb3, 0x1f, 0x90]);
    header
}

#[tokio::test]
async fn a_balancer_with_the_proxy_protocol_names_the_viewer() {
    let listen = "http = [{ addr = \"127.0.0.1:0\", proxy_protocol = [\"127.0.0.0/8\"] }]\n";
    let setup = Setup { listen: listen.to_owned(), tables: LOGGED.to_owned(), ..Setup::default() };
    tell(Way::H1, setup, async |stage: &Stage| {
        let one = b"PROXY TCP4 203.0.113.7 127.0.0.1 5555 8080\r\n";
        assert!(said(stage, &[one, REQUEST].concat()).await.starts_with("HTTP/1.1 200"));
        assert_eq!(logged(stage, 1).await, "203.0.113.7");
        assert!(said(stage, &[&version_two(), REQUEST].concat()).await.starts_with("HTTP/1.1 200"));
        assert_eq!(logged(stage, 2).await, "2001:db8::7");
        // Who should send a header and does not is no balancer.
        assert_eq!(said(stage, REQUEST).await, "");
        stage.until_metric("weir_proxy_headers_malformed_total", |count| count == 1.0).await;
    })
    .await;
}

#[tokio::test]
async fn trusted_proxies_say_who_the_viewer_is_and_nobody_else() {
    let setup = || Setup {
        listen: "trusted_proxies = [\"127.0.0.0/8\"]\n".to_owned(),
        tables: LOGGED.to_owned(),
        ..Setup::default()
    };
    with(setup, async |stage| {
        let cases = [
            (("x-forwarded-for", "203.0.113.9"), "203.0.113.9"),
            // Only what a trusted hop has added counts: the rest may be forged.
            (("x-forwarded-for", "6.6.6.6, 203.0.113.9, 127.0.0.1"), "203.0.113.9"),
            (("forwarded", "for=\"[2001:db8::9]:4711\";proto=https"), "2001:db8::9"),
            (("x-forwarded-for", "nonsense"), "127.0.0.1"),
        ];
        for (number, (field, address)) in cases.into_iter().enumerate() {
            assert_eq!(stage.get_with("/.weir/live", &[field]).await.status.as_u16(), 200);
            // Balancers speak no HTTP/3 to those behind them: over HTTP/3 the fields are the viewer's own make.
            let expected = if stage.way == Way::H3 { "127.0.0.1" } else { address };
            assert_eq!(logged(stage, number + 1).await, expected, "{field:?}");
        }
    })
    .await;
    let setup = || Setup { tables: LOGGED.to_owned(), ..Setup::default() };
    with(setup, async |stage| {
        let forged = [("x-forwarded-for", "203.0.113.9"), ("forwarded", "for=203.0.113.9")];
        let mut answer = stage.get_with("/blob/x?size=1&token=secret", &forged).await;
        assert_eq!((answer.status.as_u16(), answer.bytes().await.unwrap().len()), (200, 1));
        let line = &lines(stage, 1).await[0];
        let expected = match stage.way {
            Way::H1 | Way::H1Tls => "1.1",
            Way::H2 | Way::H2Cleartext => "2",
            Way::H3 => "3",
        };
        for (key, value) in [("address", "127.0.0.1"), ("route", "all"), ("path", "/blob/x"), ("protocol", expected)] {
            assert_eq!(line[key], value, "{line}");
        }
        assert_eq!((&line["status"], &line["bytes"], &line["complete"]), (&200.into(), &1.into(), &true.into()));
    })
    .await;
}

#[tokio::test]
async fn a_probe_of_long_ago_without_host_is_answered() {
    tell(Way::H1, Setup::default(), async |stage: &Stage| {
        for page in ["live", "ready"] {
            let answer = said(stage, format!("GET /.weir/{page} HTTP/1.0\r\n\r\n").as_bytes()).await;
            assert!(answer.starts_with("HTTP/1.") && answer.contains(" 200 "), "{answer}");
            assert!(answer.ends_with(&format!("{page}\n")), "{answer}");
        }
        let answer = said(stage, b"GET /blob/x?size=1 HTTP/1.1\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 400"), "HTTP/1.1 asks for Host: {answer}");
    })
    .await;
}

#[tokio::test]
async fn an_old_television_speaks_tls_1_2_with_rsa_and_names_no_host() {
    let setup = Setup {
        certificate: "rsa",
        prepare: Some(|folder, authority| drop(authority.leaf(folder, "rsa", Kind::Rsa))),
        ..Setup::default()
    };
    tell(Way::H1Tls, setup, async |stage: &Stage| {
        let Trust::Roots(roots) = stage.trust() else { unreachable!("an authority has roots") };
        let mut stream = old_television(stage, roots).await;
        stream.write_all(REQUEST).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        // Others get ECDSA beside it, on HTTP/3 too.
        for way in [Way::H2, Way::H3] {
            let answer = stage.viewer_by(way).await.get("/.weir/live", &[]).await.unwrap();
            assert_eq!(answer.status.as_u16(), 200);
        }
    })
    .await;
}

async fn old_television(stage: &Stage, roots: Arc<RootCertStore>) -> tokio_rustls::client::TlsStream<TcpStream> {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.cipher_suites.retain(|suite| format!("{:?}", suite.suite()).starts_with("TLS_ECDHE_RSA"));
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.enable_sni = false;
    let stream = TcpStream::connect(stage.server(Way::H1Tls).addr).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}

#[tokio::test]
async fn one_listener_serves_both_families_of_addresses() {
    let listen = "http = [\"[::]:0\"]\nhttps = [\"[::]:0\"]\n";
    let setup = || Setup { listen: listen.to_owned(), tables: LOGGED.to_owned(), ..Setup::default() };
    with(setup, async |stage| {
        for (number, host) in ["127.0.0.1", "::1"].into_iter().enumerate() {
            let mut server = stage.server(stage.way);
            server.addr.set_ip(host.parse().unwrap());
            let viewer = Client::connect_to(server, stage.way, &stage.network).await.unwrap();
            assert_eq!(viewer.get("/.weir/live", &[]).await.unwrap().status.as_u16(), 200);
            assert_eq!(logged(stage, number + 1).await, host);
        }
    })
    .await;
}
