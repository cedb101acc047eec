//! Deadlines, by a clock that is moved by hand.

use super::*;

use std::pin::Pin;

use crate::origin::Wait;
use http_body::{Body, Frame};
use tokio::sync::mpsc;

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

/// A request body whose pieces the test hands out.
struct Pieces(mpsc::Receiver<Result<Bytes, crate::outbound::payload::SourceError>>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = crate::outbound::payload::SourceError;
    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, crate::outbound::payload::SourceError>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}

#[tokio::test]
async fn a_viewer_who_uploads_slowly_is_not_the_origins_silence() {
    let origin = ByHand::new().await;
    let edge = Edge::new(&[origin_at(origin.port)]);
    let (pieces, source) = mpsc::channel(1);
    let ask = Ask { method: Method::POST, body: Some(Box::pin(Pieces(source))), ..get("/") };
    let fetch = edge.fetching(ask);
    let (mut hand, head) = origin.asked().await;
    assert!(head.contains("transfer-encoding: chunked\r\n"), "{head}");
    pieces.send(Ok(Bytes::from_static(b"hello"))).await.unwrap();
    let mut said = [0; 10];
    hand.0.read_exact(&mut said).await.unwrap();
    assert_eq!(&said, b"5\r\nhello\r\n");
    for _ in 0..10 {
        edge.clock.advance(Duration::from_secs(5));
        tokio::task::yield_now().await;
    }
    assert!(!fetch.is_finished());
    drop(pieces);
    hand.0.read_exact(&mut said[..5]).await.unwrap();
    assert_eq!(&said[..5], b"0\r\n\r\n");
    let sent = edge.clock.now();
    while !fetch.is_finished() {
        edge.clock.advance(Duration::from_millis(1));
        tokio::task::yield_now().await;
    }
    let took = edge.clock.now().since(sent);
    assert!((5_000..10_000).contains(&took.as_millis()), "{took:?}");
    assert_eq!(which(&fetch.await.unwrap().map(|answer| answer.status).unwrap_err()), Wait::FirstByte);
}

#[tokio::test]
async fn a_viewer_who_breaks_off_is_not_the_origins_fault() {
    let origin = ByHand::new().await;
    let edge = Edge::new(&[origin_at(origin.port)]);
    let (pieces, source) = mpsc::channel(1);
    let ask = Ask { method: Method::POST, body: Some(Box::pin(Pieces(source))), ..get("/") };
    let fetch = edge.fetching(ask);
    let (mut hand, _) = origin.asked().await;
    pieces.send(Err("the viewer left".into())).await.unwrap();
    assert!(matches!(fetch.await.unwrap(), Err(FetchError::Upload { .. })));
    hand.closed().await;
}
