//! Fetches against real sockets: origins written by hand, octet by octet, and hyper's servers over TLS.

mod bodies;
mod bounds;
mod deadlines;
mod failover;
mod heads;
mod secure;
mod storages;
mod streams;

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use std::sync::Arc;

use crate::clock::{Clock, WallTime};
use crate::config::{HostHeader, Limits, Origin, OriginScheme, OriginTls};
use crate::origin::{Answer, Ask, Course, FetchError, OriginFigures, Origins, Outcome, StreamId};
use crate::tasks::Tasks;

/// A cleartext origin on this port of loopback.
pub(super) fn origin_at(port: u16) -> Origin {
    Origin {
        name: "primary".into(),
        scheme: OriginScheme::Http,
        host: "127.0.0.1".into(),
        port,
        base_path: String::new(),
        host_header: HostHeader::Origin,
        set_headers: Vec::new(),
        remove_headers: Vec::new(),
        tls: OriginTls::default(),
        connect: Duration::from_secs(2),
        first_byte: Duration::from_secs(5),
        idle: Duration::from_secs(10),
        connections: 64,
        requests: 512,
        health: None,
        proof: None,
        aws: None,
        missing: Vec::new(),
        redirects: 0,
        cookies: false,
    }
}

/// The node's side: a clock that is moved by hand, and origins.
#[derive(Clone)]
struct Edge {
    clock: Clock,
    tasks: Tasks,
    origins: Arc<Origins>,
    group: Vec<String>,
}

impl Edge {
    fn new(origins: &[Origin]) -> Self {
        Self::with_limits(origins, &Limits::default())
    }

    fn with_limits(origins: &[Origin], limits: &Limits) -> Self {
        let clock = Clock::manual(WallTime::default());
        Self {
            tasks: Tasks::current(),
            origins: Arc::new(Origins::new(origins, limits, clock.clone()).unwrap()),
            clock,
            group: origins.iter().map(|origin| origin.name.clone()).collect(),
        }
    }

    async fn fetch(&self, ask: Ask) -> Result<Answer, FetchError> {
        self.origins.fetch(&self.tasks, &self.group, ask).await
    }

    /// Starts a fetch that goes on beside the test.
    fn fetching(&self, ask: Ask) -> JoinHandle<Result<Answer, FetchError>> {
        let edge = self.clone();
        self.tasks.spawn("fetch", async move { edge.fetch(ask).await })
    }

    /// The same, and the whole body read too.
    fn reading(&self, ask: Ask) -> JoinHandle<Result<Bytes, FetchError>> {
        let edge = self.clone();
        self.tasks.spawn("fetch", async move { whole(edge.fetch(ask).await?).await })
    }

    fn figures(&self, name: &str) -> OriginFigures {
        self.origins.snapshot().into_iter().find(|figures| &*figures.name == name).unwrap()
    }

    fn counted(&self, outcome: Outcome) -> u64 {
        self.figures("primary").outcomes[outcome as usize].1
    }

    /// Lets everything that can go on go on, until `done`.
    async fn until(&self, done: impl Fn(&OriginFigures) -> bool) {
        while !done(&self.figures("primary")) {
            tokio::task::yield_now().await;
        }
    }
}

fn get(path: &'static str) -> Ask {
    Ask {
        method: Method::GET,
        path_and_query: PathAndQuery::from_static(path),
        headers: HeaderMap::new(),
        viewer_authority: None,
        body: None,
        first_byte: None,
        course: Course::default(),
    }
}

fn post(path: &'static str, body: &'static str) -> Ask {
    let body = http_body_util::Full::new(Bytes::from_static(body.as_bytes()));
    Ask { method: Method::POST, body: Some(Box::pin(body.map_err(|never| match never {}))), ..get(path) }
}

/// The whole body, read to its end.
async fn whole(answer: Answer) -> Result<Bytes, FetchError> {
    answer.body.collect().await.map(|collected| collected.to_bytes())
}

/// One poll that finds nothing: what has a deadline now waits for it.
fn is_pending<F: Future>(future: &mut std::pin::Pin<&mut F>) -> bool {
    matches!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Pending)
}

/// An origin that says what the test says, octet by octet.
struct ByHand {
    listener: TcpListener,
    port: u16,
}

impl ByHand {
    async fn new() -> Self {
        Self::at((Ipv4Addr::LOCALHOST, 0).into()).await
    }

    async fn at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        Self { listener, port }
    }

    async fn accept(&self) -> Hand {
        Hand(self.listener.accept().await.unwrap().0)
    }

    /// Accepts, reads one request head and returns it with the connection.
    async fn asked(&self) -> (Hand, String) {
        let mut hand = self.accept().await;
        let head = hand.head().await.unwrap();
        (hand, head)
    }
}

/// One connection of [`ByHand`]; dropping it closes it.
struct Hand(TcpStream);

impl Hand {
    /// A request head, blank line included; `None` when the edge has closed.
    async fn head(&mut self) -> Option<String> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.0.read_u8().await.ok()?);
        }
        Some(String::from_utf8(head).unwrap())
    }

    async fn say(&mut self, octets: impl AsRef<[u8]>) {
        self.0.write_all(octets.as_ref()).await.unwrap();
    }

    /// Completes when the edge has closed the connection.
    async fn closed(&mut self) {
        while !matches!(self.0.read(&mut [0; 1024]).await, Ok(0) | Err(_)) {}
    }
}

#[tokio::test]
async fn an_answer_comes_with_its_fields_and_its_body() {
    let origin = ByHand::new().await;
    let edge = Edge::new(&[origin_at(origin.port)]);
    let fetch = edge.fetching(get("/a.m3u8?x=1"));
    let (mut hand, head) = origin.asked().await;
    assert_eq!(head, format!("GET /a.m3u8?x=1 HTTP/1.1\r\nhost: 127.0.0.1:{}\r\n\r\n", origin.port));
    hand.say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: \"1\"\r\nKeep-Alive: 5\r\nX-Hop: 1\r\nConnection: x-hop\r\n\r\nhello")
        .await;
    let answer = fetch.await.unwrap().unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(&*answer.origin, "primary");
    assert_eq!(answer.announced_length, Some(5));
    let names: Vec<_> = answer.headers.keys().map(http::HeaderName::as_str).collect();
    assert_eq!(names, ["content-length", "etag"]);
    assert_eq!(whole(answer).await.unwrap(), "hello");
    assert_eq!(edge.counted(Outcome::Answered), 1);
}

#[tokio::test]
async fn a_group_of_unknown_names_has_no_origin() {
    let edge = Edge::new(&[]);
    assert!(matches!(edge.fetch(get("/")).await, Err(FetchError::NoOrigin)));
}

#[tokio::test]
async fn a_reload_keeps_the_connections_of_what_did_not_change() {
    let origin = ByHand::new().await;
    let config = origin_at(origin.port);
    let mut edge = Edge::new(std::slice::from_ref(&config));
    let fetch = edge.fetching(get("/1"));
    let (mut hand, _) = origin.asked().await;
    hand.say("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1").await;
    whole(fetch.await.unwrap().unwrap()).await.unwrap();

    let same = [config.clone(), Origin { name: "other".into(), ..config.clone() }];
    edge.origins = Arc::new(edge.origins.reconfigured(&same, &Limits::default()).unwrap());
    let fetch = edge.fetching(get("/2"));
    assert!(hand.head().await.unwrap().starts_with("GET /2 "), "on the connection that was open");
    hand.say("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2").await;
    whole(fetch.await.unwrap().unwrap()).await.unwrap();

    let changed = [Origin { base_path: "/new".into(), ..config }];
    edge.origins = Arc::new(edge.origins.reconfigured(&changed, &Limits::default()).unwrap());
    hand.closed().await;
    let fetch = edge.fetching(get("/3"));
    let (mut hand, head) = origin.asked().await;
    assert!(head.starts_with("GET /new/3 "));
    hand.say("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n3").await;
    whole(fetch.await.unwrap().unwrap()).await.unwrap();
    assert_eq!(edge.counted(Outcome::Answered), 3, "figures go on by name");
}

#[tokio::test]
async fn all_tasks_end_when_the_origins_are_dropped() {
    let origin = ByHand::new().await;
    let edge = Edge::new(&[origin_at(origin.port)]);
    let fetch = edge.fetching(get("/1"));
    let (mut hand, _) = origin.asked().await;
    hand.say("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1").await;
    whole(fetch.await.unwrap().unwrap()).await.unwrap();
    let tasks = edge.tasks.clone();
    drop(edge);
    tasks.close();
    pin!(tasks.joined()).await;
}
