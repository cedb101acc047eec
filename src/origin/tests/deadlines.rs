//! Deadlines, by a clock that is moved by hand.

use super::*;
use crate::origin::Wait;

fn which(error: &FetchError) -> Wait {
    match error {
        FetchError::Timeout { which, .. } => *which,
        other => panic!("not a deadline: {other:?}"),
    }
}

#[tokio::test]
async fn an_origin_that_says_nothing_is_given_up() {
    let origin = ByHand::new().await;
    let edge = Edge::new(&[origin_at(origin.port)]);
    let fetch = edge.fetching(get("/"));
    let (mut hand, _) = origin.asked().await;
    edge.clock.advance(Duration::from_secs(5));
    assert_eq!(which(&fetch.await.unwrap().map(|answer| answer.status).unwrap_err()), Wait::FirstByte);
    hand.closed().await;
    assert_eq!(edge.figures("primary").retries, 0, "a deadline is not extended by a retry");
}

#[tokio::test]
async fn half_a_head_is_not_an_answer() {
    let origin = ByHand::new().await;
    let edge = Edge::new(&[origin_at(origin.port)]);
    let fetch = edge.fetching(get("/"));
    let (mut hand, _) = origin.asked().await;
    hand.say("HTTP/1.1 200 OK\r\nContent-").await;
    edge.clock.advance(Duration::from_secs(5));
    assert_eq!(which(&fetch.await.unwrap().map(|answer| answer.status).unwrap_err()), Wait::FirstByte);
}

#[tokio::test]
async fn an_origin_that_may_hold_a_request_is_given_longer() {
    let origin = ByHand::new().await;
    let edge = Edge::new(&[origin_at(origin.port)]);
    let fetch = edge.fetching(Ask { first_byte: Some(Duration::from_secs(20)), ..get("/") });
    let (mut hand, _) = origin.asked().await;
    edge.clock.advance(Duration::from_secs(19));
    hand.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let answer = fetch.await.unwrap().unwrap();
    assert_eq!(answer.timing.first_byte, Duration::from_secs(19));
}

#[tokio::test]
async fn a_body_that_falls_silent_is_given_up() {
    let origin = ByHand::new().await;
    let edge = Edge::new(&[origin_at(origin.port)]);
    let fetch = edge.fetching(get("/"));
    let (mut hand, _) = origin.asked().await;
    hand.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello").await;
    let mut body = fetch.await.unwrap().unwrap().body;
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "hello");
    // Nobody reads for a while: that is not the origin's silence.
    edge.clock.advance(Duration::from_secs(60));
    let mut next = pin!(body.frame());
    assert!(is_pending(&mut next));
    edge.clock.advance(Duration::from_secs(9));
    assert!(is_pending(&mut next));
    edge.clock.advance(Duration::from_secs(1));
    assert_eq!(which(&next.await.unwrap().unwrap_err()), Wait::Idle);
    hand.closed().await;
}

#[tokio::test]
async fn a_handshake_that_never_comes_is_given_up() {
    let origin = ByHand::new().await;
    let config = Origin { scheme: OriginScheme::Https, ..origin_at(origin.port) };
    let ca = secure::Authority::new();
    let edge = Edge::new(&[Origin { tls: ca.trusted(), ..config }]);
    let fetch = edge.fetching(get("/"));
    let mut hand = origin.accept().await;
    hand.0.read_u8().await.unwrap();
    edge.clock.advance(Duration::from_secs(2));
    assert_eq!(which(&fetch.await.unwrap().map(|answer| answer.status).unwrap_err()), Wait::Connect);
    edge.until(|figures| figures.connections == 0 && figures.in_flight == 0).await;
}
