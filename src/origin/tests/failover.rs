//! Second chances: a fresh connection, another origin, and when there is none.

use weir_loadtest::port::Reserved;

use super::*;
use crate::rules::upstream::health::{Cause, Class, FIRST_REST, Standing};

const EMPTY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// An edge with a connection to the origin that is open and idle.
async fn with_idle_connection(origin: &ByHand) -> (Edge, Hand) {
    let edge = Edge::new(&[origin_at(origin.port)]);
    let fetch = edge.fetching(get("/first"));
    let (mut hand, _) = origin.asked().await;
    hand.say(EMPTY).await;
    whole(fetch.await.unwrap().unwrap()).await.unwrap();
    (edge, hand)
}

#[tokio::test]
async fn a_stale_connection_is_replaced_unseen() {
    let origin = ByHand::new().await;
    let (edge, mut stale) = with_idle_connection(&origin).await;
    let fetch = edge.fetching(get("/second"));
    stale.head().await.unwrap();
    drop(stale);
    let (mut fresh, head) = origin.asked().await;
    assert!(head.starts_with("GET /second "));
    fresh.say(EMPTY).await;
    assert_eq!(fetch.await.unwrap().unwrap().status, 200);
    assert_eq!(edge.figures("primary").retries, 1);
}

#[tokio::test]
async fn there_is_one_retry_and_no_more() {
    let origin = ByHand::new().await;
    let (edge, mut stale) = with_idle_connection(&origin).await;
    let fetch = edge.fetching(get("/second"));
    stale.head().await.unwrap();
    drop(stale);
    drop(origin.asked().await);
    assert!(matches!(fetch.await.unwrap(), Err(FetchError::Reset { .. })));
}

#[tokio::test]
async fn a_request_that_got_octets_is_not_sent_again_to_the_same_origin() {
    let origin = ByHand::new().await;
    let (edge, mut hand) = with_idle_connection(&origin).await;
    let fetch = edge.fetching(get("/second"));
    hand.head().await.unwrap();
    hand.say("HTTP/1.1 2").await;
    drop(hand);
    assert!(matches!(fetch.await.unwrap(), Err(FetchError::Reset { .. } | FetchError::Malformed { .. })));
    assert_eq!(edge.figures("primary").retries, 0);
}

#[tokio::test]
async fn a_post_that_was_sent_is_never_sent_again() {
    let origin = ByHand::new().await;
    let (edge, mut stale) = with_idle_connection(&origin).await;
    for ask in [post("/", "hello"), Ask { method: Method::POST, ..get("/") }] {
        let fetch = edge.fetching(ask);
        stale.head().await.unwrap();
        drop(stale);
        assert!(matches!(fetch.await.unwrap(), Err(FetchError::Reset { .. })));
        let again = edge.fetching(get("/"));
        (stale, _) = origin.asked().await;
        stale.say(EMPTY).await;
        whole(again.await.unwrap().unwrap()).await.unwrap();
    }
    assert_eq!(edge.figures("primary").retries, 0);
}

/// An edge with a primary origin at one port and a backup at another.
fn before(primary: u16, backup: u16) -> Edge {
    Edge::new(&[origin_at(primary), Origin { name: "backup".into(), ..origin_at(backup) }])
}

async fn two() -> (ByHand, ByHand, Edge) {
    let (primary, backup) = (ByHand::new().await, ByHand::new().await);
    let edge = before(primary.port, backup.port);
    (primary, backup, edge)
}

#[tokio::test]
async fn the_next_origin_answers_for_one_that_cannot_be_reached() {
    let backup = ByHand::new().await;
    let port = Reserved::any().unwrap();
    let edge = before(port.addr().port(), backup.port);
    let fetch = edge.fetching(post("/", "hello"));
    let (mut hand, _) = backup.asked().await;
    let mut body = [0; 5];
    hand.0.read_exact(&mut body).await.unwrap();
    assert_eq!(&body, b"hello", "nothing was sent, so even a POST may go on");
    hand.say(EMPTY).await;
    assert_eq!(&*fetch.await.unwrap().unwrap().origin, "backup");
    assert_eq!(edge.counted(Outcome::Connect), 1);
    assert_eq!(edge.figures("primary").failovers, 1);
}

#[tokio::test]
async fn the_next_origin_answers_for_one_that_is_silent_or_broken() {
    let answers = ["", "nonsense\r\n\r\n", "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"];
    for said in answers {
        let (primary, backup, edge) = two().await;
        let fetch = edge.fetching(get("/"));
        let (mut hand, _) = primary.asked().await;
        hand.say(said).await;
        if said.is_empty() {
            edge.clock.advance(Duration::from_secs(5));
        }
        let (mut hand, _) = backup.asked().await;
        hand.say(EMPTY).await;
        assert_eq!(&*fetch.await.unwrap().unwrap().origin, "backup");
    }
}

#[tokio::test]
async fn the_last_answer_counts_where_all_are_unwell() {
    let port = Reserved::any().unwrap();
    let (primary, backup) = (ByHand::new().await, ByHand::at(port.addr()).await);
    let edge = before(primary.port, backup.port);
    let fetch = edge.fetching(get("/"));
    let (mut first, _) = primary.asked().await;
    first.say("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n").await;
    let (mut second, _) = backup.asked().await;
    second.say("HTTP/1.1 502 Bad\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
    let answer = fetch.await.unwrap().unwrap();
    assert_eq!((&*answer.origin, answer.status.as_u16()), ("backup", 502));

    drop((answer, second, backup));
    let fetch = edge.fetching(get("/"));
    first.head().await.unwrap();
    first.say("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n").await;
    let answer = fetch.await.unwrap().unwrap();
    assert_eq!((&*answer.origin, answer.status.as_u16()), ("primary", 503), "an answer beats a failure");
}

#[tokio::test]
async fn errors_about_the_object_are_answers() {
    for status in [404, 410, 500] {
        let (primary, _backup, edge) = two().await;
        let fetch = edge.fetching(get("/"));
        let (mut hand, _) = primary.asked().await;
        hand.say(format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n")).await;
        assert_eq!(&*fetch.await.unwrap().unwrap().origin, "primary");
    }
}

#[tokio::test]
async fn an_origin_that_keeps_failing_rests_and_is_tried_again() {
    let backup = ByHand::new().await;
    let port = Reserved::any().unwrap();
    let edge = before(port.addr().port(), backup.port);
    let mut hands = None;
    for round in 0..5 {
        let fetch = edge.fetching(get("/"));
        let hand = match &mut hands {
            None => hands.insert(backup.asked().await.0),
            Some(hand) => {
                hand.head().await.unwrap();
                hand
            }
        };
        hand.say(EMPTY).await;
        whole(fetch.await.unwrap().unwrap()).await.unwrap();
        assert_eq!(edge.counted(Outcome::Connect), u64::min(round + 1, 3));
    }
    assert_eq!(edge.figures("primary").standing, Standing::Resting(Cause::Failures(Class::Connect)));

    edge.clock.advance(FIRST_REST);
    let primary = ByHand::at(port.addr()).await;
    let fetch = edge.fetching(get("/"));
    let mut hand = primary.accept().await;
    hand.head().await.unwrap();
    hand.say(EMPTY).await;
    assert_eq!(&*fetch.await.unwrap().unwrap().origin, "primary");
    assert_eq!(edge.figures("primary").standing, Standing::Returning);
}

#[tokio::test]
async fn a_reload_that_was_held_in_vain_says_nothing_of_the_origins_health() {
    let origin = ByHand::new().await;
    let edge = Edge::new(&[origin_at(origin.port)]);
    let held = || Ask { first_byte: Some(Duration::from_secs(8)), ..get("/live.m3u8?_HLS_msn=7") };
    let vain = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
    let fetch = edge.reading(held());
    let (mut hand, _) = origin.asked().await;
    hand.say(vain).await;
    fetch.await.unwrap().unwrap();
    for _ in 0..3 {
        let fetch = edge.reading(held());
        hand.head().await.unwrap();
        hand.say(vain).await;
        fetch.await.unwrap().unwrap();
    }
    assert_eq!(edge.figures("primary").standing, Standing::Well);
}

#[tokio::test]
async fn what_one_origin_alone_knows_is_asked_of_no_other() {
    let (primary, _backup, edge) = two().await;
    let only = |name: &str| Ask { course: Course { only: Some(name.into()), ..Course::default() }, ..get("/part") };
    let fetch = edge.fetching(only("primary"));
    let (mut hand, _) = primary.asked().await;
    hand.say("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!((fetch.await.unwrap().unwrap().status.as_u16(), edge.figures("primary").failovers), (503, 0));
    assert!(matches!(edge.fetch(only("none")).await, Err(FetchError::NoOrigin)));
}

#[tokio::test]
async fn what_a_dead_origin_alone_knows_is_refused_at_once() {
    let backup = ByHand::new().await;
    let port = Reserved::any().unwrap();
    let edge = before(port.addr().port(), backup.port);
    let only = || Ask { course: Course { only: Some("primary".into()), ..Course::default() }, ..get("/part") };
    for _ in 0..3 {
        assert!(matches!(edge.fetch(only()).await, Err(FetchError::Connect { .. })));
    }
    assert!(matches!(edge.fetch(only()).await, Err(FetchError::Resting { .. })));
    assert_eq!(edge.figures("primary").refused, 1);
}

#[tokio::test]
async fn extra_requests_are_a_tenth_of_all_and_a_few() {
    let origin = ByHand::new().await;
    let edge = Edge::new(&[origin_at(origin.port)]);
    let mut seen = 0;
    for _ in 0..30 {
        let fetch = edge.fetching(get("/"));
        // Each connection is closed after the request was read: it may have been taken.
        let (mut hand, _) = origin.asked().await;
        seen += 1;
        hand.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        whole(fetch.await.unwrap().unwrap()).await.unwrap();
        let fetch = edge.fetching(get("/"));
        hand.head().await.unwrap();
        drop(hand);
        let left = edge.figures("primary").retries_left.unwrap();
        if left > 0 {
            let (mut hand, _) = origin.asked().await;
            seen += 1;
            hand.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
            assert!(fetch.await.unwrap().is_ok());
        } else {
            assert!(matches!(fetch.await.unwrap(), Err(FetchError::Reset { .. })));
        }
    }
    let figures = edge.figures("primary");
    assert_eq!((figures.retries, figures.spared), (16, 14), "ten, and a tenth of sixty: {seen}");
}

#[tokio::test]
async fn an_origin_at_rest_is_sent_a_few_requests_and_no_more() {
    let origin = ByHand::new().await;
    let edge = Edge::new(&[origin_at(origin.port)]);
    edge.origins.order("primary", crate::origin::Order::Rest).unwrap();
    let held: Vec<_> = (0..16).map(|_| edge.fetching(get("/"))).collect();
    edge.until(|figures| figures.in_flight == 16).await;
    assert!(matches!(edge.fetch(get("/")).await, Err(FetchError::Resting { .. })));
    held.into_iter().for_each(|fetch| fetch.abort());
}
