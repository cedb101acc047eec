//! When a body is whole, and what becomes of its connection.

use super::*;
use crate::origin::Framing;

/// One answer on one connection, and what the edge made of it.
async fn cut(answer: &'static str) -> FetchError {
    let origin = ByHand::new().await;
    let edge = Edge::new(&[origin_at(origin.port)]);
    let fetch = edge.fetching(get("/"));
    let (mut hand, _) = origin.asked().await;
    hand.say(answer).await;
    let answer = fetch.await.unwrap().unwrap();
    drop(hand);
    let error = whole(answer).await.unwrap_err();
    assert_eq!(edge.counted(Outcome::CutShort), 1);
    error
}

#[tokio::test]
async fn a_body_that_is_cut_is_an_error() {
    let error = cut("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello").await;
    assert!(matches!(error, FetchError::CutShort { got: 5, announced: Some(10), .. }), "{error:?}");
    let error = cut("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").await;
    assert!(matches!(error, FetchError::CutShort { got: 5, announced: None, .. }), "{error:?}");
}

#[tokio::test]
async fn a_body_that_ends_with_its_cleartext_connection_is_marked() {
    let origin = ByHand::new().await;
    let edge = Edge::new(&[origin_at(origin.port)]);
    let fetch = edge.fetching(get("/"));
    let (mut hand, _) = origin.asked().await;
    hand.say("HTTP/1.0 200 OK\r\n\r\nhello").await;
    drop(hand);
    let answer = fetch.await.unwrap().unwrap();
    assert_eq!(answer.framing, Framing::ClosedUnproven);
    assert_eq!(whole(answer).await.unwrap(), "hello");
}

/// Whether a second fetch goes over the connection of the first.
async fn is_reused(first: Ask, answer: &'static str) -> bool {
    let origin = ByHand::new().await;
    let edge = Edge::new(&[origin_at(origin.port)]);
    let fetch = edge.fetching(first);
    let (mut hand, _) = origin.asked().await;
    hand.say(answer).await;
    whole(fetch.await.unwrap().unwrap()).await.unwrap();
    let second = edge.fetching(get("/second"));
    let reused = tokio::select! {
        head = hand.head() => head.is_some(),
        _ = origin.listener.accept() => false,
    };
    second.abort();
    reused
}

#[tokio::test]
async fn a_connection_is_used_again_after_a_framed_answer() {
    assert!(is_reused(get("/"), "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").await);
    assert!(is_reused(get("/"), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n").await);
    assert!(is_reused(get("/"), "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n").await);
    assert!(is_reused(Ask { method: Method::HEAD, ..get("/") }, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n").await);
    assert!(is_reused(post("/", "body"), "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").await);
    assert!(!is_reused(get("/"), "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello").await);
    assert!(!is_reused(get("/"), "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello").await);
}

#[tokio::test]
async fn an_answer_without_a_body_frees_its_connection_unread() {
    let origin = ByHand::new().await;
    let edge = Edge::new(&[origin_at(origin.port)]);
    let fetch = edge.fetching(Ask { method: Method::HEAD, ..get("/") });
    let (mut hand, _) = origin.asked().await;
    hand.say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n").await;
    let answer = fetch.await.unwrap().unwrap();
    assert_eq!(answer.announced_length, Some(5));
    drop(answer);
    let second = edge.fetching(get("/second"));
    assert!(hand.head().await.unwrap().starts_with("GET /second"));
    second.abort();
}

#[tokio::test]
async fn a_body_that_is_dropped_closes_its_connection() {
    let origin = ByHand::new().await;
    let edge = Edge::new(&[origin_at(origin.port)]);
    let fetch = edge.fetching(get("/"));
    let (mut hand, _) = origin.asked().await;
    hand.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello").await;
    drop(fetch.await.unwrap().unwrap());
    hand.closed().await;
    edge.until(|figures| figures.connections == 0 && figures.in_flight == 0).await;
}

#[tokio::test]
async fn a_fetch_that_is_dropped_closes_its_connection() {
    let origin = ByHand::new().await;
    let edge = Edge::new(&[origin_at(origin.port)]);
    let fetch = edge.fetching(get("/"));
    let (mut hand, _) = origin.asked().await;
    fetch.abort();
    hand.closed().await;
    edge.until(|figures| figures.connections == 0 && figures.in_flight == 0).await;
}

#[tokio::test]
async fn a_request_body_goes_up_and_a_missing_one_is_said_to_be_empty() {
    let origin = ByHand::new().await;
    let edge = Edge::new(&[origin_at(origin.port)]);
    let fetch = edge.fetching(post("/", "hello"));
    let (mut hand, head) = origin.asked().await;
    assert!(head.contains("content-length: 5\r\n"), "{head}");
    let mut body = [0; 5];
    hand.0.read_exact(&mut body).await.unwrap();
    assert_eq!(&body, b"hello");
    hand.say("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(fetch.await.unwrap().unwrap().status, 204);

    let fetch = edge.fetching(Ask { method: Method::POST, ..get("/") });
    assert!(hand.head().await.unwrap().contains("content-length: 0\r\n"));
    fetch.abort();
}
