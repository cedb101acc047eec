//! HTTP/2 towards an origin: how connections are shared, and when one is not used any more.

use super::secure::{Authority, Secure};
use super::*;

use h2::Reason;
use h2::server::{Builder, SendResponse};
use http::{Request, Response};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::server::TlsStream;

/// A request that an origin got, to be answered by hand.
struct Got {
    request: Request<h2::RecvStream>,
    respond: SendResponse<Bytes>,
}

impl Got {
    fn say(&mut self, status: u16, body: &'static str) {
        let mut stream = self.begin(status);
        stream.send_data(Bytes::from_static(body.as_bytes()), true).unwrap();
    }

    fn begin(&mut self, status: u16) -> h2::SendStream<Bytes> {
        self.respond.send_response(Response::builder().status(status).body(()).unwrap(), false).unwrap()
    }
}

/// One HTTP/2 connection of an origin.
struct Connection {
    requests: mpsc::Receiver<Got>,
    orders: mpsc::Sender<Order>,
}

enum Order {
    ShutDown,
    Abort(Reason),
}

impl Connection {
    async fn got(&mut self) -> Got {
        self.requests.recv().await.unwrap()
    }
}

struct Streams {
    secure: Secure,
    authority: Authority,
}

impl Streams {
    async fn new() -> Self {
        let authority = Authority::new();
        Self { secure: Secure::new(&authority, &["h2", "http/1.1"]).await, authority }
    }

    fn edge(&self) -> Edge {
        Edge::new(&[self.secure.config(self.authority.trusted())])
    }

    async fn accept(&self, builder: &Builder) -> Connection {
        Self::greeted(self.secure.accept().await.unwrap(), builder).await.unwrap()
    }

    async fn greeted(stream: TlsStream<TcpStream>, builder: &Builder) -> Result<Connection, h2::Error> {
        let mut connection = builder.handshake(stream).await?;
        let (give, requests) = mpsc::channel(100);
        let (orders, mut taken) = mpsc::channel(1);
        Tasks::current().spawn("origin", async move {
            loop {
                tokio::select! {
                    request = connection.accept() => match request {
                        Some(Ok((request, respond))) => _ = give.send(Got { request, respond }).await,
                        Some(Err(_)) | None => return,
                    },
                    order = taken.recv() => match order {
                        Some(Order::ShutDown) => connection.graceful_shutdown(),
                        Some(Order::Abort(reason)) => connection.abrupt_shutdown(reason),
                        None => return,
                    },
                }
            }
        });
        Ok(Connection { requests, orders })
    }
}

#[tokio::test]
async fn one_connection_carries_those_who_come_before_it_is_open() {
    let origin = Streams::new().await;
    let edge = origin.edge();
    let fetches: Vec<_> = (0..10).map(|_| edge.reading(get("/a"))).collect();
    let mut connection = origin.accept(&Builder::new()).await;
    for _ in 0..10 {
        let mut got = connection.got().await;
        assert_eq!(got.request.uri().path(), "/a");
        assert_eq!(got.request.uri().scheme_str(), Some("https"));
        got.say(200, "hello");
    }
    for fetch in fetches {
        assert_eq!(fetch.await.unwrap().unwrap(), "hello");
    }
    assert_eq!(edge.figures("primary").connections, 1);
}

#[tokio::test]
async fn the_peers_bound_on_streams_is_kept() {
    let origin = Streams::new().await;
    let edge = origin.edge();
    let builder = Builder::new().max_concurrent_streams(1).clone();
    let fetch = edge.reading(get("/"));
    let mut first = origin.accept(&builder).await;
    first.got().await.say(200, "");
    fetch.await.unwrap().unwrap();
    // The bound is known since the answer.
    let held = edge.reading(get("/1"));
    let mut on_first = first.got().await;
    let other = edge.reading(get("/2"));
    let mut second = origin.accept(&builder).await;
    second.got().await.say(200, "2");
    assert_eq!(other.await.unwrap().unwrap(), "2");
    on_first.say(200, "1");
    assert_eq!(held.await.unwrap().unwrap(), "1");
}

#[tokio::test]
async fn a_body_that_is_dropped_resets_its_stream_alone() {
    let origin = Streams::new().await;
    let edge = origin.edge();
    let fetch = edge.fetching(get("/"));
    let mut connection = origin.accept(&Builder::new()).await;
    let mut got = connection.got().await;
    let mut stream = got.begin(200);
    stream.send_data(Bytes::from_static(b"hello"), false).unwrap();
    drop(fetch.await.unwrap().unwrap());
    let reason = std::future::poll_fn(|cx| stream.poll_reset(cx)).await.unwrap();
    assert_eq!(reason, Reason::CANCEL);

    let fetch = edge.reading(get("/"));
    connection.got().await.say(200, "again");
    assert_eq!(fetch.await.unwrap().unwrap(), "again");
}

#[tokio::test]
async fn a_stream_that_is_reset_is_a_cut_body_whatever_its_reason() {
    let origin = Streams::new().await;
    let edge = origin.edge();
    let mut connection = None;
    for reason in [Reason::INTERNAL_ERROR, Reason::NO_ERROR] {
        let fetch = edge.fetching(get("/"));
        if connection.is_none() {
            connection = Some(origin.accept(&Builder::new()).await);
        }
        let mut got = connection.as_mut().unwrap().got().await;
        let mut stream = got.begin(200);
        stream.send_data(Bytes::from_static(b"hello"), false).unwrap();
        let mut body = fetch.await.unwrap().unwrap().body;
        body.frame().await.unwrap().unwrap();
        stream.send_reset(reason);
        let error = body.frame().await.unwrap().unwrap_err();
        assert!(matches!(error, FetchError::CutShort { got: 5, .. }), "{reason:?}: {error:?}");
    }
}

#[tokio::test]
async fn a_body_that_differs_from_its_length_is_an_error() {
    for said in ["hell", "hello!"] {
        let origin = Streams::new().await;
        let edge = origin.edge();
        let fetch = edge.reading(get("/"));
        let mut connection = origin.accept(&Builder::new()).await;
        let mut got = connection.got().await;
        let head = Response::builder().header("content-length", 5).body(()).unwrap();
        let mut stream = got.respond.send_response(head, false).unwrap();
        stream.send_data(Bytes::from_static(said.as_bytes()), true).unwrap();
        assert!(matches!(fetch.await.unwrap(), Err(FetchError::Malformed { .. } | FetchError::CutShort { .. })));
    }
}

#[tokio::test]
async fn a_refused_stream_is_asked_for_again_on_a_fresh_connection() {
    for reason in [Reason::REFUSED_STREAM, Reason::ENHANCE_YOUR_CALM] {
        let origin = Streams::new().await;
        let edge = origin.edge();
        let fetch = edge.reading(get("/"));
        let mut first = origin.accept(&Builder::new()).await;
        first.got().await.respond.send_reset(reason);
        let mut second = origin.accept(&Builder::new()).await;
        second.got().await.say(200, "hello");
        assert_eq!(fetch.await.unwrap().unwrap(), "hello", "{reason:?}");
        assert_eq!(edge.figures("primary").retries, 1);
    }
}

#[tokio::test]
async fn a_connection_that_is_told_to_calm_down_is_replaced() {
    let origin = Streams::new().await;
    let edge = origin.edge();
    let fetch = edge.reading(get("/"));
    let mut first = origin.accept(&Builder::new()).await;
    let _got = first.got().await;
    first.orders.send(Order::Abort(Reason::ENHANCE_YOUR_CALM)).await.unwrap();
    let mut second = origin.accept(&Builder::new()).await;
    second.got().await.say(200, "hello");
    assert_eq!(fetch.await.unwrap().unwrap(), "hello");
}

#[tokio::test]
async fn a_connection_that_is_shut_down_finishes_its_streams_and_takes_no_more() {
    let origin = Streams::new().await;
    let edge = origin.edge();
    let fetch = edge.fetching(get("/1"));
    let mut first = origin.accept(&Builder::new()).await;
    let mut got = first.got().await;
    let mut stream = got.begin(200);
    let answer = fetch.await.unwrap().unwrap();
    first.orders.send(Order::ShutDown).await.unwrap();

    let other = edge.reading(get("/2"));
    let (builder, mut second) = (Builder::new(), None);
    tokio::select! {
        opened = origin.accept(&builder) => second = Some(opened),
        // The order may reach the edge after the request: the request is then taken.
        mut taken = first.got() => taken.say(200, "2"),
    }
    if let Some(second) = &mut second {
        second.got().await.say(200, "2");
    }
    assert_eq!(other.await.unwrap().unwrap(), "2");
    stream.send_data(Bytes::from_static(b"1"), true).unwrap();
    assert_eq!(whole(answer).await.unwrap(), "1");
}

#[tokio::test]
async fn an_old_connection_is_replaced() {
    let origin = Streams::new().await;
    let limits = Limits { connection_age: Duration::from_secs(30), ..Limits::default() };
    let edge = Edge::with_limits(&[origin.secure.config(origin.authority.trusted())], &limits);
    let fetch = edge.reading(get("/"));
    let mut first = origin.accept(&Builder::new()).await;
    first.got().await.say(200, "1");
    fetch.await.unwrap().unwrap();
    edge.clock.advance(Duration::from_secs(30));
    let fetch = edge.reading(get("/"));
    let mut second = origin.accept(&Builder::new()).await;
    second.got().await.say(200, "2");
    assert_eq!(fetch.await.unwrap().unwrap(), "2");
    assert!(first.requests.recv().await.is_none(), "the old one was closed");
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_not_asked_again() {
    let origin = Streams::new().await;
    let edge = origin.edge();
    let fetch = edge.reading(get("/"));
    let mut first = origin.accept(&Builder::new()).await;
    first.got().await.say(200, "1");
    fetch.await.unwrap().unwrap();

    let fetch = edge.reading(get("/"));
    let _silent = first.got().await;
    // What the peer had to say of the stream before is said by now.
    edge.clock.advance(Duration::from_secs(5));
    let error = fetch.await.unwrap().unwrap_err();
    assert!(matches!(error, FetchError::Timeout { which: crate::origin::Wait::FirstByte, .. }), "{error:?}");

    let fetch = edge.reading(get("/"));
    let mut second = origin.accept(&Builder::new()).await;
    second.got().await.say(200, "2");
    assert_eq!(fetch.await.unwrap().unwrap(), "2");
}

#[tokio::test]
async fn a_post_whose_stream_broke_is_never_sent_again() {
    let origin = Streams::new().await;
    let edge = origin.edge();
    let fetch = edge.fetching(post("/", "hello"));
    let mut connection = origin.accept(&Builder::new()).await;
    let mut got = connection.got().await;
    assert_eq!(got.request.headers()["content-length"], "5");
    got.request.body_mut().data().await.unwrap().unwrap();
    got.respond.send_reset(Reason::INTERNAL_ERROR);
    assert!(matches!(fetch.await.unwrap(), Err(FetchError::Reset { .. })));
    assert_eq!(edge.figures("primary").retries, 0);
}

#[tokio::test]
async fn a_herd_that_is_refused_comes_back_on_one_fresh_connection() {
    let origin = Streams::new().await;
    let edge = origin.edge();
    let fetches: Vec<_> = (0..20).map(|_| edge.reading(get("/"))).collect();
    let mut first = origin.accept(&Builder::new()).await;
    for _ in 0..20 {
        first.got().await.respond.send_reset(Reason::REFUSED_STREAM);
    }
    let mut second = origin.accept(&Builder::new()).await;
    for _ in 0..20 {
        second.got().await.say(200, "hello");
    }
    for fetch in fetches {
        assert_eq!(fetch.await.unwrap().unwrap(), "hello");
    }
    edge.until(|figures| figures.connections == 1).await;
}

#[tokio::test]
async fn a_reset_of_one_stream_leaves_the_connection_in_use() {
    let origin = Streams::new().await;
    let edge = origin.edge();
    let fetch = edge.reading(get("/"));
    let mut connection = origin.accept(&Builder::new()).await;
    connection.got().await.respond.send_reset(Reason::INTERNAL_ERROR);
    connection.got().await.say(200, "hello");
    assert_eq!(fetch.await.unwrap().unwrap(), "hello");
}

#[tokio::test]
async fn one_who_gives_up_while_it_opens_a_connection_leaves_that_to_the_next() {
    let origin = Streams::new().await;
    let edge = origin.edge();
    let first = edge.reading(get("/1"));
    edge.until(|figures| figures.connections == 1).await;
    let second = edge.reading(get("/2"));
    edge.until(|figures| figures.waiting == 1).await;
    first.abort();
    assert!(first.await.is_err());
    assert!(origin.secure.accept().await.is_err(), "the first one's handshake was given up");
    let mut connection = origin.accept(&Builder::new()).await;
    connection.got().await.say(200, "2");
    assert_eq!(second.await.unwrap().unwrap(), "2");
    edge.until(|figures| figures.in_flight == 0 && figures.connections == 1).await;
}

#[tokio::test]
async fn those_who_wait_for_a_connection_that_cannot_be_opened_fail_with_it() {
    let authority = Authority::new();
    let port = weir_loadtest::port::Reserved::any().unwrap();
    let origin = Origin { scheme: OriginScheme::Https, tls: authority.trusted(), ..origin_at(port.addr().port()) };
    let edge = Edge::new(&[origin]);
    let fetches: Vec<_> = (0..5).map(|_| edge.reading(get("/"))).collect();
    for fetch in fetches {
        assert!(matches!(fetch.await.unwrap(), Err(FetchError::Connect { .. })));
    }
    edge.until(|figures| figures.connections == 0 && figures.in_flight == 0).await;
}

/// Answers all that is asked on one connection. Those who left have reset their streams.
async fn greet(mut connection: Connection) {
    while let Some(mut got) = connection.requests.recv().await {
        let mut stream = got.begin(200);
        _ = stream.send_data(Bytes::from_static(b"hello"), true);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_where_many_come_and_some_leave() {
    let origin = Streams::new().await;
    let config = Origin { requests: 30, connections: 2, ..origin.secure.config(origin.authority.trusted()) };
    let edge = Edge::new(&[config]);
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = edge.tasks.spawn("origin", async move {
        let builder = Builder::new();
        loop {
            let stream = tokio::select! {
                stream = origin.secure.accept() => stream,
                _ = &mut stopped => return,
            };
            // Whoever opened it may have left before it was there.
            let Ok(stream) = stream else { continue };
            let Ok(connection) = Streams::greeted(stream, &builder).await else { continue };
            Tasks::current().spawn("origin", greet(connection));
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
    assert!(edge.figures("primary").connections <= 2);
    stop.send(()).unwrap();
    serving.await.unwrap();
}
