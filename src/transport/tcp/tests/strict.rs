//! Bad requests, told so in JSON, and what hyper alone would have let through.

use super::*;

fn is_refusal(answer: &str, status: &str) -> bool {
    answer.starts_with(&format!("HTTP/1.1 {status} "))
        && answer.contains("\r\nconnection: close\r\n")
        && answer.contains("\r\ncontent-type: application/json\r\n")
        && answer.contains(&format!("{{\"reason\":\"{}\",\"detail\":\"", word(status)))
}

fn word(status: &str) -> &str {
    match status {
        "405" => "method-not-allowed",
        "414" => "target-too-long",
        "417" => "expectation-failed",
        "431" => "head-too-large",
        "501" => "coding-unknown",
        "505" => "version-unknown",
        _ => "bad-request",
    }
}

fn statuses(answers: &str) -> Vec<&str> {
    answers.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect()
}

#[tokio::test]
async fn bad_requests_are_answered_in_json_and_the_connection_ends() {
    let stage = Stage::clear();
    let large = "a".repeat(65 << 10);
    // All the others are in `tests/safety/http1.toml`; here is one for each status.
    for (request, status) in [
        ("GET / HTTP/1.1\nHost: x\n\n".to_owned(), "400"),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n".to_owned(), "400"),
        ("CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n".to_owned(), "405"),
        // What the library above would answer by itself.
        ("GET /<a> HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), "400"),
        ("GET http://[a/ HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), "400"),
        ("GET http:///a HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), "400"),
        ("CONNECT x?y HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), "400"),
        (format!("GET /{large} HTTP/1.1\r\nHost: x\r\n\r\n"), "414"),
        ("GET / HTTP/1.1\r\nHost: x\r\nExpect: a miracle\r\n\r\n".to_owned(), "417"),
        (format!("GET / HTTP/1.1\r\nHost: x\r\na: {large}\r\n\r\n"), "431"),
        ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n".to_owned(), "501"),
        ("GET / HTTP/2.0\r\nHost: x\r\n\r\n".to_owned(), "505"),
    ] {
        let answer = stage.say(&request).await;
        assert!(is_refusal(&answer, status), "{:.60} -> {answer}", request);
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
    }
    let told: u64 = stage.counters.snapshot().bad_requests.iter().sum();
    assert_eq!(told, 12);
}

/// The answer to what is said piece by piece.
async fn said<'p>(stage: &Stage, pieces: impl IntoIterator<Item = &'p [u8]>) -> String {
    if stage.is_tls {
        return said_to(stage.secured("http/1.1").await, pieces).await;
    }
    said_to(stage.raw().await, pieces).await
}

async fn said_to<'p>(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    pieces: impl IntoIterator<Item = &'p [u8]>,
) -> String {
    for piece in pieces {
        stream.write_all(piece).await.unwrap();
        stream.flush().await.unwrap();
    }
    rest(&mut stream).await
}

#[tokio::test]
async fn what_stands_raw_in_a_query_is_served_however_it_arrives() {
    for stage in [Stage::clear(), Stage::tls()] {
        let end = "HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        let request = format!("GET /head?CMCD=sid=\"a\",x=<\u{e4}> {end}");
        for size in [1, 5, 1_000] {
            let head = said(&stage, request.as_bytes().chunks(size)).await;
            assert!(head.contains(r#"path: "/head", query: Some("CMCD=sid=%22a%22,x=%3C%C3%A4%3E")"#), "{head}");
        }
        // More than is read at once, once it is encoded.
        let request = format!("GET /head?{} {end}", "\"".repeat(10_000));
        let head = said(&stage, [request.as_bytes()]).await;
        assert!(head.contains(&format!("Some(\"{}\")", "%22".repeat(10_000))), "{head:.300}");
    }
}

#[tokio::test]
async fn a_refusal_over_tls_is_read_to_its_end() {
    let stage = Stage::tls();
    let mut stream = stage.secured("http/1.1").await;
    stream.write_all(b"GET / HTTP/1.1\nHost: x\n\n").await.unwrap();
    let mut answer = String::new();
    // The session is closed as it should be, or this would be an error.
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(is_refusal(&answer, "400"), "{answer}");
}

#[tokio::test]
async fn what_came_before_a_bad_request_is_answered_first() {
    let stage = Stage::clear();
    let answers = stage.say("GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /?7 HTTP/1.1\r\nHost: x\r\n\r\nBAD\r\n\r\n").await;
    assert_eq!(statuses(&answers), ["200", "200", "400"]);
}

#[tokio::test]
async fn a_bad_request_behind_a_held_one_waits_for_its_turn() {
    let stage = Stage::clear();
    let mut stream = stage.raw().await;
    stream.write_all(b"GET /hold HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    stage.serving(1).await;
    stream.write_all(b"BAD\r\n\r\n").await.unwrap();
    stage.settle().await;
    stage.service.gate.notify_one();
    let answers = rest(&mut stream).await;
    assert_eq!(statuses(&answers), ["200", "400"]);
}

#[tokio::test]
async fn a_malformed_chunk_is_told_to_the_service_and_ends_the_connection() {
    let stage = Stage::clear();
    let head = "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    for body in ["2\r\nhi\r\n0x1\r\n", "+2\r\nhi\r\n", "2\r\nhi\n0\r\n\r\n"] {
        let answer = stage.say(format!("{head}{body}")).await;
        assert!(answer.starts_with("HTTP/1.1 400") && answer.ends_with("the request body is malformed"), "{answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
    }
    assert_eq!(stage.service.uploads.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_head_becomes_ours_the_same_on_every_protocol() {
    let stage = Stage::clear();
    let head =
        stage.say("GET http://Example.com:8080/a?b=c HTTP/1.1\r\nHost: other\r\nConnection: close\r\n\r\n").await;
    assert!(
        head.contains(r#"authority: Some("example.com:8080"), path: "/a", query: Some("b=c")"#)
            || head.contains("hello")
    );
    let head = stage.say("GET /head?b=c HTTP/1.1\r\nHost: Example.COM:\r\nCookie: a=1\r\nCookie: b=2\r\nX-Forwarded-For: 1.2.3.4\r\nForwarded: for=1.2.3.4\r\nConnection: close\r\n\r\n").await;
    assert!(head.contains(r#"authority: Some("example.com"), path: "/head", query: Some("b=c")"#), "{head}");
    assert!(
        head.contains(r#""cookie": "a=1; b=2""#) && !head.contains("orwarded") && !head.contains(r#""host""#),
        "{head}"
    );
    let mut h2 = stage.h2().await;
    let request = Request::get("http://Example.COM/head?b=c").header("cookie", "a=1").header("cookie", "b=2");
    let answer = h2.send(request.body(Empty::new().boxed()).unwrap()).await.unwrap();
    let head = String::from_utf8(octets(answer).await.unwrap().to_vec()).unwrap();
    assert!(head.contains(r#"authority: Some("example.com"), path: "/head", query: Some("b=c")"#), "{head}");
    assert!(head.contains(r#""cookie": "a=1; b=2""#) && head.contains("protocol: Http2"), "{head}");
}

#[tokio::test]
async fn http_2_requests_that_contradict_themselves_are_refused() {
    let stage = Stage::clear();
    let mut h2 = stage.h2().await;
    let request = Request::get("http://example.com/").header("host", "other.example");
    let answer = h2.send(request.body(Empty::new().boxed()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), 400);
    assert_eq!(answer.headers()["content-type"], "application/json");
    let mut many = Request::get("http://example.com/");
    for at in 0..101 {
        many = many.header(format!("a{at}"), "b");
    }
    let answer = h2.send(many.body(Empty::new().boxed()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), 431);
    let large = Request::get("http://example.com/").header("a", "b".repeat(33 << 10));
    let answer = h2.send(large.body(Empty::new().boxed()).unwrap()).await;
    assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status() == 431));
}
