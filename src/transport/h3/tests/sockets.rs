//! The layer over the real driver and real sockets, under foreign clients: the h3 crate, and bare QUIC for what that
//! one would not say.

use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU8;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use h3::error::{Code, StreamError};
use http::{Method, Request, Response};
use http_body_util::BodyExt;
use quinn::crypto::rustls::QuicClientConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use super::mock::{frame, request, varint};
use super::service::{Script, TestBody, TestService};
use crate::clock::Clock;
use crate::config::Limits;
use crate::request::{Head, Upload};
use crate::tasks::Tasks;
use crate::transport::h3::counters::Shards;
use crate::transport::h3::frame::kind;
use crate::transport::h3::{Maker, code};
use crate::transport::quic::{Driver, Handle, QuicKeys, Seat, Segmentation, Settings, SharedKeys};
use crate::transport::steer::Group;

/// A test that waits longer has failed.
const PATIENCE: Duration = Duration::from_secs(120);
const LARGE: usize = 8 << 20;

/// What the service tells of itself.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Waits,
    Left,
}

struct Leaves(UnboundedSender<Told>);

impl Drop for Leaves {
    fn drop(&mut self) {
        _ = self.0.send(Told::Left);
    }
}

async fn serve(head: Head, upload: Upload, told: UnboundedSender<Told>) -> Response<TestBody> {
    match head.path.as_str() {
        "/large" => Response::new(TestBody::full(pattern(LARGE))),
        "/echo" => Response::new(TestBody::full(upload.collect().await.expect("it comes whole").to_bytes())),
        "/hold" => {
            let _leaves = Leaves(told.clone());
            _ = told.send(Told::Waits);
            pending().await
        }
        "/broken" => {
            let script = Script::default().exact(100);
            script.data("begun");
            script.fail();
            Response::new(script.body())
        }
        path => Response::builder().header("x-path", path).body(TestBody::full("hello")).unwrap(),
    }
}

fn pattern(octets: usize) -> Bytes {
    (0..octets).map(|index| (index % 251) as u8).collect()
}

struct Node {
    address: SocketAddr,
    handle: Handle,
    running: JoinHandle<std::io::Result<()>>,
    told: UnboundedReceiver<Told>,
    client: quinn::ClientConfig,
    counters: Arc<Shards>,
}

impl Node {
    fn start() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let versions = [&rustls::version::TLS13];
        let server = rustls::ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(&versions);
        let server = server.unwrap().with_no_client_auth();
        let mut server = server.with_single_cert(vec![made.cert.der().clone()], key.into()).unwrap();
        server.alpn_protocols = vec![b"h3".to_vec()];
        let mut roots = rustls::RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let client = rustls::ClientConfig::builder_with_provider(provider).with_protocol_versions(&versions).unwrap();
        let mut client = client.with_root_certificates(roots).with_no_client_auth();
        client.alpn_protocols = vec![b"h3".to_vec()];
        let clock = Clock::system();
        let settings = Settings {
            tls: Arc::new(server),
            keys: SharedKeys::new(&QuicKeys::random()),
            limits: Limits::default(),
            segmentation: Segmentation::Offloaded,
            clock: clock.clone(),
            admit: Arc::new(|_| Some(Box::new(()))),
            generation: 0,
        };
        let (tell, told) = unbounded_channel();
        let service = TestService::new(move |head, upload| Box::pin(serve(head, upload, tell.clone())));
        let counters = Arc::new(Shards::new(1));
        let maker = Maker { service, limits: Arc::default(), clock, counters: counters.clone() };
        let mut group = Group::bind((Ipv4Addr::LOCALHOST, 0).into(), NonZeroU8::MIN).unwrap();
        let address = group.address().unwrap();
        let (driver, handle) = Driver::new(group.sockets.remove(0), Seat::ALONE, &settings, maker).unwrap();
        let running = Tasks::current().spawn("quic", driver.run());
        let client = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(client).unwrap()));
        Self { address, handle, running, told, client, counters }
    }

    async fn try_quic(&self) -> Result<quinn::Connection, quinn::ConnectionError> {
        let mut endpoint = quinn::Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        endpoint.set_default_client_config(self.client.clone());
        endpoint.connect(self.address, "localhost").unwrap().await
    }

    async fn quic(&self) -> quinn::Connection {
        self.try_quic().await.unwrap()
    }

    async fn viewer(&self) -> Viewer {
        let quic = h3_quinn::Connection::new(self.quic().await);
        let (mut connection, requests) = h3::client::new(quic).await.unwrap();
        let closed =
            Tasks::current().spawn("viewer", async move { std::future::poll_fn(|cx| connection.poll_close(cx)).await });
        Viewer { requests, closed }
    }
}

type Stream = h3::client::RequestStream<h3_quinn::BidiStream<Bytes>, Bytes>;

struct Viewer {
    requests: h3::client::SendRequest<h3_quinn::OpenStreams, Bytes>,
    closed: JoinHandle<h3::error::ConnectionError>,
}

impl Viewer {
    async fn begin(&mut self, method: Method, path: &str) -> Stream {
        let uri = format!("https://localhost{path}");
        self.requests.send_request(Request::builder().method(method).uri(uri).body(()).unwrap()).await.unwrap()
    }

    async fn get(&mut self, path: &str) -> (Response<()>, Vec<u8>) {
        let mut stream = self.begin(Method::GET, path).await;
        stream.finish().await.unwrap();
        answer(&mut stream).await
    }
}

async fn answer(stream: &mut Stream) -> (Response<()>, Vec<u8>) {
    let response = stream.recv_response().await.unwrap();
    let mut body = Vec::new();
    while let Some(piece) = stream.recv_data().await.unwrap() {
        body.extend_from_slice(piece.chunk());
    }
    (response, body)
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it happens")
}

#[tokio::test]
async fn a_foreign_client_gets_heads_posts_and_large_bodies() {
    let node = Node::start();
    soon(async {
        let mut viewer = node.viewer().await;
        let (response, body) = viewer.get("/a/b").await;
        assert_eq!((response.status().as_u16(), &body[..]), (200, &b"hello"[..]));
        assert_eq!(response.headers()["x-path"], "/a/b");
        let mut head = viewer.begin(Method::HEAD, "/").await;
        head.finish().await.unwrap();
        let (response, body) = answer(&mut head).await;
        assert_eq!((response.status().as_u16(), body.len()), (200, 0));
        let (response, body) = viewer.get("/large").await;
        assert_eq!(response.headers()["content-length"], LARGE.to_string());
        assert!(body == pattern(LARGE));
        let mut post = viewer.begin(Method::POST, "/echo").await;
        let sent = pattern(3 << 20);
        for piece in sent.chunks(100_000) {
            post.send_data(Bytes::copy_from_slice(piece)).await.unwrap();
        }
        post.finish().await.unwrap();
        assert!(answer(&mut post).await.1 == sent);
        assert_eq!(node.counters.mine().requests.value(), 4);
    })
    .await;
}

#[tokio::test]
async fn many_requests_at_once_are_all_answered() {
    let node = Node::start();
    soon(async {
        let mut viewer = node.viewer().await;
        for round in 0..4 {
            let mut streams = Vec::new();
            for index in 0..50 {
                let mut stream = viewer.begin(Method::GET, &format!("/{round}/{index}")).await;
                stream.finish().await.unwrap();
                streams.push(stream);
            }
            for stream in &mut streams {
                assert_eq!(answer(stream).await.1, b"hello");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_body_that_breaks_off_is_a_reset_for_the_client() {
    let node = Node::start();
    soon(async {
        let mut viewer = node.viewer().await;
        let mut stream = viewer.begin(Method::GET, "/broken").await;
        stream.finish().await.unwrap();
        let error = async {
            stream.recv_response().await?;
            while stream.recv_data().await?.is_some() {}
            Ok::<_, StreamError>(())
        };
        match error.await {
            Err(StreamError::RemoteTerminate { code, .. }) => assert_eq!(code, Code::H3_INTERNAL_ERROR),
            other => panic!("{other:?}"),
        }
        assert_eq!(viewer.get("/").await.1, b"hello");
    })
    .await;
}

#[tokio::test]
async fn waiting_requests_that_are_cancelled_free_their_places_at_once() {
    let mut node = Node::start();
    soon(async {
        let mut viewer = node.viewer().await;
        let mut held = Vec::new();
        for _ in 0..50 {
            let mut stream = viewer.begin(Method::GET, "/hold").await;
            stream.finish().await.unwrap();
            assert_eq!(node.told.recv().await, Some(Told::Waits));
            held.push(stream);
        }
        for mut stream in held {
            stream.stop_sending(Code::H3_REQUEST_CANCELLED);
        }
        for _ in 0..50 {
            assert_eq!(node.told.recv().await, Some(Told::Left));
        }
        assert_eq!(viewer.get("/").await.1, b"hello");
        let mut stream = viewer.begin(Method::GET, "/hold").await;
        stream.finish().await.unwrap();
        assert_eq!(node.told.recv().await, Some(Told::Waits));
        viewer.closed.abort();
        drop((viewer, stream));
        assert_eq!(node.told.recv().await, Some(Told::Left), "the connection went, and with it the request");
    })
    .await;
}

#[tokio::test]
async fn a_drain_says_goaway_lets_requests_finish_and_closes_without_error() {
    let mut node = Node::start();
    soon(async {
        let mut viewer = node.viewer().await;
        let mut stream = viewer.begin(Method::POST, "/echo").await;
        stream.send_data("kept".into()).await.unwrap();
        assert_eq!(viewer.get("/").await.1, b"hello");
        node.handle.drain();
        assert!(node.try_quic().await.is_err(), "no new connections");
        stream.finish().await.unwrap();
        assert_eq!(answer(&mut stream).await.1, b"kept");
        assert!(viewer.closed.await.unwrap().is_h3_no_error());
        (&mut node.running).await.unwrap().unwrap();
    })
    .await;
}

fn is_application(error: &quinn::ConnectionError, code: u64) -> bool {
    matches!(error, quinn::ConnectionError::ApplicationClosed(close) if close.error_code.into_inner() == code)
}

#[tokio::test]
async fn two_gibibytes_of_headers_are_refused_by_their_length_and_of_grease_by_their_octets() {
    let node = Node::start();
    soon(async {
        let quic = node.quic().await;
        let (mut send, mut receive) = quic.open_bi().await.unwrap();
        send.write_all(&[varint(kind::HEADERS), varint(2 << 30)].concat()).await.unwrap();
        let block = vec![0; 1 << 20];
        let mut sent = 0;
        let stopped = loop {
            match send.write(&block).await {
                Ok(octets) => sent += octets,
                Err(error) => break error,
            }
        };
        assert!(matches!(stopped, quinn::WriteError::Stopped(code) if code.into_inner() == code::NO_ERROR));
        assert!(sent <= Limits::default().stream_window as usize * 2, "{sent}");
        let answer = receive.read_to_end(1 << 20).await.unwrap();
        assert!(answer.windows(14).any(|window| window == b"head-too-large"));
        let (mut send, _receive) = quic.open_bi().await.unwrap();
        send.write_all(&[varint(0x21), varint(2 << 30)].concat()).await.unwrap();
        while send.write(&block).await.is_ok() {}
        assert!(is_application(&quic.closed().await, code::EXCESSIVE_LOAD));
    })
    .await;
}

#[tokio::test]
async fn malformed_requests_and_broken_frames_end_with_their_codes() {
    let node = Node::start();
    soon(async {
        let quic = node.quic().await;
        let (mut send, mut receive) = quic.open_bi().await.unwrap();
        send.write_all(&request("GET", "/", &[("connection", "close")])).await.unwrap();
        match receive.read_to_end(100).await {
            Err(quinn::ReadToEndError::Read(quinn::ReadError::Reset(code))) => {
                assert_eq!(code.into_inner(), code::MESSAGE_ERROR);
            }
            other => panic!("{other:?}"),
        }
        let (mut send, _receive) = quic.open_bi().await.unwrap();
        send.write_all(&frame(kind::DATA, b"x")).await.unwrap();
        assert!(is_application(&quic.closed().await, code::FRAME_UNEXPECTED));
        let quic = node.quic().await;
        let (mut send, _receive) = quic.open_bi().await.unwrap();
        send.write_all(&request("GET", "/", &[])[..5]).await.unwrap();
        send.finish().unwrap();
        assert!(is_application(&quic.closed().await, code::FRAME_ERROR));
    })
    .await;
}
