//! Who the viewer is, and how many of them there may be.

use super::*;

fn behind(proxy_protocol: &[&str], trusted: &[&str]) -> Stage {
    let parse = |prefixes: &[&str]| prefixes.iter().map(|prefix| prefix.parse().unwrap()).collect();
    let settings = Settings { trusted_proxies: parse(trusted), ..Settings::default() };
    Set { proxy_protocol: parse(proxy_protocol), settings, ..Set::default() }.open()
}

const REQUEST: &str = "GET /head HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";

#[tokio::test]
async fn the_proxy_protocol_names_the_viewer() {
    let stage = behind(&["127.0.0.0/8"], &[]);
    let head = stage.say(format!("PROXY TCP4 198.51.100.1 10.0.0.1 4660 80\r\n{REQUEST}\r\n")).await;
    assert!(head.contains("address: 198.51.100.1:4660"), "{head}");
    assert!(head.contains("peer: 127.0.0.1:"), "{head}");
    let v2 = [
        &b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc6\x33\x64\x02\x0a\0\0\x01\x12\x34\0\x50"[..],
        REQUEST.as_bytes(),
        b"\r\n",
    ];
    let head = stage.say(v2.concat()).await;
    assert!(head.contains("address: 198.51.100.2:4660"), "{head}");
    let local = [&b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"[..], REQUEST.as_bytes(), b"\r\n"];
    let head = stage.say(local.concat()).await;
    assert!(head.contains("address: 127.0.0.1:"), "{head}");
}

#[tokio::test]
async fn the_proxy_protocol_may_come_in_pieces_and_before_tls() {
    let prefix = "127.0.0.0/8".parse().unwrap();
    let stage = Set { tls: true, proxy_protocol: vec![prefix], ..Set::default() }.open();
    let mut stream = stage.raw().await;
    for piece in ["PROX", "Y TCP4 198.51.100.1 10.0.", "0.1 4660 80\r", "\n"] {
        stream.write_all(piece.as_bytes()).await.unwrap();
        stage.settle().await;
    }
    let name = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(Arc::new(stage.authority.client()));
    let mut h1 = H1::over(connector.connect(name, stream).await.unwrap()).await;
    let head = octets(h1.get("/head").await).await.unwrap();
    assert!(String::from_utf8_lossy(&head).contains("address: 198.51.100.1:4660"));
}

#[tokio::test]
async fn one_that_must_speak_it_and_does_not_is_closed_and_others_must_not() {
    let stage = behind(&["127.0.0.0/8"], &[]);
    assert_eq!(stage.say(format!("{REQUEST}\r\n")).await, "");
    assert_eq!(stage.counters.snapshot().proxy_malformed, 1);
    let stage = behind(&["10.0.0.0/8"], &[]);
    let answer = stage.say(format!("PROXY TCP4 198.51.100.1 10.0.0.1 4660 80\r\n{REQUEST}\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}

#[tokio::test]
async fn forwarded_fields_count_only_from_trusted_proxies_and_go_no_further() {
    let forged = "X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: https\r\nForwarded: for=9.9.9.9\r\n";
    let stage = behind(&[], &[]);
    let head = stage.say(format!("{REQUEST}{forged}\r\n")).await;
    assert!(head.contains("address: 127.0.0.1:") && head.contains("scheme: Http,"), "{head}");
    assert!(!head.contains("9.9.9.9"), "{head}");
    let stage = behind(&[], &["127.0.0.0/8"]);
    let said = "X-Forwarded-For: 9.9.9.9, 198.51.100.1\r\nX-Forwarded-Proto: https\r\n";
    let head = stage.say(format!("{REQUEST}{said}\r\n")).await;
    assert!(head.contains("address: 198.51.100.1:0") && head.contains("scheme: Https,"), "{head}");
    assert!(!head.contains("9.9.9.9"), "{head}");
}

#[tokio::test]
async fn beyond_the_bound_connections_are_closed_at_once() {
    let stage = Set { connections: 2, ..Set::default() }.open();
    let mut first = stage.h1().await;
    let second = stage.h1().await;
    octets(first.get("/").await).await.unwrap();
    let mut third = stage.raw().await;
    assert_eq!(rest(&mut third).await, "");
    assert_eq!(stage.counters.snapshot().refused, 1);
    drop(second);
    stage.until(|| stage.admission.total() == 1).await;
    assert_eq!(octets(stage.h1().await.get("/").await).await.unwrap(), "hello");
}

#[tokio::test]
async fn one_viewer_is_counted_behind_the_proxy_that_speaks_for_it() {
    let stage = behind(&["127.0.0.0/8"], &[]);
    stage.admission.set_bounds(100, 1);
    let hold = "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n";
    let from = |host: u8| format!("PROXY TCP4 198.51.100.{host} 10.0.0.1 4660 80\r\n{hold}");
    let mut held = Vec::new();
    for host in [1, 2] {
        let mut stream = stage.raw().await;
        stream.write_all(from(host).as_bytes()).await.unwrap();
        held.push(stream);
    }
    stage.serving(2).await;
    assert_eq!(stage.say(from(1)).await, "");
    assert_eq!(stage.counters.snapshot().refused, 1);
}

#[tokio::test]
async fn an_ipv6_only_viewer_is_served() {
    let stage = Stage::clear();
    let address: SocketAddr = ([0, 0, 0, 0, 0, 0, 0, 1], stage.address.port()).into();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("{REQUEST}\r\n").as_bytes()).await.unwrap();
    let head = rest(&mut stream).await;
    assert!(head.contains("address: [::1]:"), "{head}");
}
