//! How many connections, requests and waiters an origin has at most.

use super::*;
use crate::origin::places::{Bounds, Serial, Wish};
use crate::origin::pool::{Patience, Pool};
use crate::outbound::addresses::Addresses;
use crate::outbound::addresses::tests::Told;
use crate::outbound::dial::Dial;
use crate::outbound::link::Driver;

const EMPTY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

#[tokio::test]
async fn no_more_connections_are_opened_than_allowed() {
    let origin = ByHand::new().await;
    let edge = Edge::new(&[Origin { connections: 2, ..origin_at(origin.port) }]);
    let fetches: Vec<_> = (0..5).map(|_| edge.reading(get("/"))).collect();
    let (mut first, _) = origin.asked().await;
    let (mut second, _) = origin.asked().await;
    edge.until(|figures| figures.waiting == 3).await;
    assert_eq!(edge.figures("primary").connections, 2);
    first.say(EMPTY).await;
    first.head().await.unwrap();
    second.say(EMPTY).await;
    second.head().await.unwrap();
    first.say(EMPTY).await;
    first.head().await.unwrap();
    first.say(EMPTY).await;
    second.say(EMPTY).await;
    for fetch in fetches {
        fetch.await.unwrap().unwrap();
    }
    assert_eq!(edge.figures("primary").connections, 2);
}

#[tokio::test]
async fn requests_in_flight_are_bounded_and_those_who_wait_are_served_in_order() {
    let origin = ByHand::new().await;
    let edge = Edge::new(&[Origin { requests: 1, ..origin_at(origin.port) }]);
    let first = edge.reading(get("/1"));
    let (mut hand, _) = origin.asked().await;
    let second = edge.reading(get("/2"));
    edge.until(|figures| figures.waiting == 1).await;
    let third = edge.reading(get("/3"));
    edge.until(|figures| figures.waiting == 2).await;
    for path in ["/2", "/3"] {
        hand.say(EMPTY).await;
        assert!(hand.head().await.unwrap().starts_with(&format!("GET {path} ")));
    }
    hand.say(EMPTY).await;
    for fetch in [first, second, third] {
        fetch.await.unwrap().unwrap();
    }
    assert_eq!(edge.figures("primary").connections, 1);
}

#[tokio::test]
async fn the_queue_is_bounded() {
    let origin = ByHand::new().await;
    let limits = Limits { origin_queue: 1, ..Limits::default() };
    let edge = Edge::with_limits(&[Origin { requests: 1, ..origin_at(origin.port) }], &limits);
    let first = edge.reading(get("/1"));
    let (mut hand, _) = origin.asked().await;
    let second = edge.reading(get("/2"));
    edge.until(|figures| figures.waiting == 1).await;
    assert!(matches!(edge.fetch(get("/3")).await, Err(FetchError::QueueFull { .. })));
    assert_eq!(edge.counted(Outcome::QueueFull), 1);

    second.abort();
    edge.until(|figures| figures.waiting == 0).await;
    let fourth = edge.reading(get("/4"));
    edge.until(|figures| figures.waiting == 1).await;
    hand.say(EMPTY).await;
    assert!(hand.head().await.unwrap().starts_with("GET /4 "), "one who left has left its place in the queue");
    hand.say(EMPTY).await;
    first.await.unwrap().unwrap();
    fourth.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_request_that_waits_too_long_for_a_place_is_told() {
    let origin = ByHand::new().await;
    let edge = Edge::new(&[Origin { requests: 1, first_byte: Duration::from_secs(60), ..origin_at(origin.port) }]);
    let first = edge.fetching(Ask { first_byte: Some(Duration::from_secs(600)), ..get("/1") });
    let (_hand, _) = origin.asked().await;
    let second = edge.fetching(get("/2"));
    edge.until(|figures| figures.waiting == 1).await;
    edge.clock.advance(Duration::from_secs(60));
    let error = second.await.unwrap().map(|answer| answer.status).unwrap_err();
    assert!(matches!(error, FetchError::Timeout { which: crate::origin::Wait::Place, .. }), "{error:?}");
    first.abort();
}

#[tokio::test]
async fn an_idle_connection_is_not_used_again_after_a_minute() {
    let origin = ByHand::new().await;
    let edge = Edge::new(&[origin_at(origin.port)]);
    let fetch = edge.fetching(get("/1"));
    let (mut old, _) = origin.asked().await;
    old.say(EMPTY).await;
    whole(fetch.await.unwrap().unwrap()).await.unwrap();
    edge.clock.advance(Duration::from_secs(60));
    let fetch = edge.fetching(get("/2"));
    let (mut new, _) = origin.asked().await;
    new.say(EMPTY).await;
    whole(fetch.await.unwrap().unwrap()).await.unwrap();
    old.closed().await;
}

/// Answers all that is asked on one connection. The edge closes it where the one who asked has left.
async fn greet(mut hand: Hand) {
    while hand.head().await.is_some() {
        _ = hand.0.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_where_many_come_and_some_leave() {
    let origin = ByHand::new().await;
    let edge = Edge::new(&[Origin { requests: 10, connections: 6, ..origin_at(origin.port) }]);
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = edge.tasks.spawn("origin", async move {
        loop {
            let hand = tokio::select! {
                hand = origin.accept() => hand,
                _ = &mut stopped => return,
            };
            Tasks::current().spawn("origin", greet(hand));
        }
    });
    let fetches: Vec<_> = (0..600)
        .map(|index| {
            let fetch = edge.reading(get("/"));
            if index % 3 == 0 {
                fetch.abort();
            }
            fetch
        })
        .collect();
    for (index, fetch) in fetches.into_iter().enumerate() {
        match fetch.await {
            Ok(body) => assert_eq!(body.unwrap(), "hello"),
            Err(_) => assert_eq!(index % 3, 0),
        }
    }
    edge.until(|figures| figures.in_flight == 0 && figures.waiting == 0).await;
    assert!(edge.figures("primary").connections <= 6);
    stop.send(()).unwrap();
    serving.await.unwrap();
}

#[tokio::test]
async fn a_stream_with_many_requests_delays_another_by_one() {
    let origin = ByHand::new().await;
    let edge = Edge::new(&[Origin { requests: 1, ..origin_at(origin.port) }]);
    let of = |path, stream| Ask { course: Course { stream: Some(StreamId(stream)), ..Course::default() }, ..get(path) };
    let first = edge.reading(of("/busy", 1));
    let (mut hand, _) = origin.asked().await;
    let busy: Vec<_> = (0..10).map(|_| edge.reading(of("/busy", 1))).collect();
    edge.until(|figures| figures.waiting == 10).await;
    let quiet = edge.reading(of("/quiet", 2));
    edge.until(|figures| figures.waiting == 11).await;
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    hand.say(answer).await;
    first.await.unwrap().unwrap();
    let mut heads = Vec::new();
    for _ in 0..11 {
        heads.push(hand.head().await.unwrap());
        hand.say(answer).await;
    }
    assert!(heads[1].starts_with("GET /quiet "), "{heads:?}");
    quiet.await.unwrap().unwrap();
    for fetch in busy {
        fetch.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn connections_to_an_address_that_vanished_are_not_used_again() {
    let (old, new) = (ByHand::new().await, ByHand::new().await);
    let told = Arc::new(Told::default());
    let clock = Clock::manual(WallTime::default());
    let tasks = Tasks::current();
    let at = |origin: &ByHand| format!("127.0.0.1:{}", origin.port);
    told.say(Some(&[&at(&old)]));
    let dial = Dial { addresses: Addresses::new("origin.test", 1, told.clone()), tls: None };
    let patience = Patience { place: Duration::from_secs(5), connect: Duration::from_secs(2) };
    let bounds = Bounds { connections: 4, requests: 4, queue: 4, age: Duration::from_secs(3_600) };
    let pool = Pool::new(dial, patience, bounds, clock.clone(), Arc::default());
    let wish = Wish { younger_than: Serial::default(), lane: 0 };
    let lease = || pool.lease(Driver { clock: &clock, tasks: &tasks }, wish);

    let one = lease().await.unwrap();
    let (mut first, _) = tokio::join!(old.accept(), std::future::ready(()));
    told.say(Some(&[&at(&new)]));
    pool.resolve().await;
    let other = lease().await.unwrap();
    let _second = new.accept().await;
    drop((one, other));
    first.closed().await;
    told.say(None);
    pool.resolve().await;
    assert_eq!(pool.addresses().all(), [at(&new).parse().unwrap()], "the last good one stays");
}
