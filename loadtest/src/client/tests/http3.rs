//! The client over HTTP/3, before a small server of the h3 crate that can misbehave.

use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use bytes::{Buf, Bytes};
use h3::error::Code;
use h3::server::RequestStream;
use h3_quinn::BidiStream;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use quinn::crypto::rustls::QuicServerConfig;
use tokio::sync::{Notify, mpsc};

use super::server_tls;
use crate::client::{Client, ClientError, Network, Server, Trust, Way};

const WHOLE: u64 = 300_000;

/// A server, the roots to trust, a word for each request in hand and each stream stopped, and a gate that holds `/held`.
struct Stage {
    addr: SocketAddr,
    trust: Trust,
    told: mpsc::UnboundedReceiver<String>,
    gate: Arc<Notify>,
    endpoint: quinn::Endpoint,
}

type Stream = RequestStream<BidiStream<Bytes>, Bytes>;

impl Stage {
    fn start() -> Self {
        let (mut tls, trust) = server_tls();
        tls.alpn_protocols = vec![b"h3".to_vec()];
        let crypto = QuicServerConfig::try_from(tls).unwrap();
        let config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let endpoint = quinn::Endpoint::server(config, any).unwrap();
        let (teller, told) = mpsc::unbounded_channel();
        let gate = Arc::new(Notify::new());
        let (accepting, open) = (endpoint.clone(), gate.clone());
        tokio::spawn(async move {
            while let Some(incoming) = accepting.accept().await {
                tokio::spawn(serve(incoming, teller.clone(), open.clone()));
            }
        });
        Self { addr: endpoint.local_addr().unwrap(), trust, told, gate, endpoint }
    }

    async fn client(&self) -> Client {
        Client::connect(&self.addr.to_string(), Way::H3, &self.trust).await.unwrap()
    }
}

async fn serve(incoming: quinn::Incoming, told: mpsc::UnboundedSender<String>, gate: Arc<Notify>) {
    let quic = incoming.await.unwrap();
    let connection = h3_quinn::Connection::new(quic.clone());
    let mut connection = h3::server::Connection::new(connection).await.unwrap();
    while let Ok(Some(resolver)) = connection.accept().await {
        let (request, stream) = resolver.resolve_request().await.unwrap();
        let path = request.uri().path().to_owned();
        told.send(path.clone()).unwrap();
        let (told, gate) = (told.clone(), gate.clone());
        let quic = quic.clone();
        tokio::spawn(async move {
            match &*path {
                "/held" => {
                    gate.notified().await;
                    endless(stream, told).await;
                }
                "/endless" => endless(stream, told).await,
                _ => answer(request, stream, quic).await,
            }
        });
    }
}

/// Sends until the client has had enough, and tells.
async fn endless(mut stream: Stream, told: mpsc::UnboundedSender<String>) {
    // The client may have had enough before the head.
    let _ = stream.send_response(Response::new(())).await;
    while stream.send_data(Bytes::from_static(b"more")).await.is_ok() {
        tokio::task::yield_now().await;
    }
    told.send("stopped".to_owned()).unwrap();
}

async fn answer(request: Request<()>, mut stream: Stream, quic: quinn::Connection) {
    let head = |length: u64| {
        let head = Response::builder().header("content-length", length);
        head.body(()).unwrap()
    };
    let some = Bytes::from(vec![7; 1000]);
    match request.uri().path() {
        "/whole" => {
            stream.send_response(head(WHOLE)).await.unwrap();
            for _ in 0..WHOLE / 1000 {
                stream.send_data(some.clone()).await.unwrap();
            }
            let mut trailers = HeaderMap::new();
            trailers.insert("checked", HeaderValue::from_static("yes"));
            stream.send_trailers(trailers).await.unwrap();
            stream.finish().await.unwrap();
        }
        "/short" => {
            stream.send_response(head(WHOLE)).await.unwrap();
            stream.send_data(some).await.unwrap();
            stream.finish().await.unwrap();
        }
        "/reset" => {
            stream.send_response(head(WHOLE)).await.unwrap();
            stream.send_data(some).await.unwrap();
            stream.stop_stream(Code::H3_INTERNAL_ERROR);
        }
        "/close" => quic.close(0x107u32.into(), b""),
        "/echo" => {
            let mut body = Vec::new();
            while let Some(mut chunk) = stream.recv_data().await.unwrap() {
                body.extend_from_slice(&chunk.copy_to_bytes(chunk.remaining()));
            }
            stream.send_response(head(body.len() as u64)).await.unwrap();
            stream.send_data(body.into()).await.unwrap();
            stream.finish().await.unwrap();
        }
        path => panic!("{path}"),
    }
}

#[tokio::test]
async fn bodies_trailers_and_uploads_come_whole_over_one_connection() {
    let stage = Stage::start();
    let client = stage.client().await;
    for _ in 0..3 {
        let mut answer = client.get("/whole", &[]).await.unwrap();
        assert_eq!((answer.status, answer.version), (StatusCode::OK, http::Version::HTTP_3));
        assert_eq!(answer.trailers(), None);
        assert_eq!(answer.bytes().await.unwrap(), vec![7; 300_000]);
        assert_eq!(answer.trailers().unwrap()["checked"], "yes");
    }
    let upload = Bytes::from(vec![9; 100_000]);
    let echo = client.request(Method::POST, "/echo", &[], upload.clone());
    assert_eq!(echo.await.unwrap().bytes().await.unwrap(), upload);
    assert_eq!(client.connections(), 1);
}

#[tokio::test]
async fn a_short_body_a_reset_and_a_closed_connection_are_told_apart() {
    let stage = Stage::start();
    let client = stage.client().await;
    let mut answer = client.get("/short", &[]).await.unwrap();
    let error = answer.bytes().await.unwrap_err();
    assert!(matches!(error, ClientError::Cut { got: 1000, announced: Some(WHOLE) }), "{error:?}");
    // A reset may overtake the head.
    let reset = async { client.get("/reset", &[]).await?.bytes().await };
    let error = reset.await.unwrap_err();
    assert!(matches!(error, ClientError::Reset { code: 0x102 }), "{error:?}");
    let error = client.get("/close", &[]).await.unwrap_err();
    assert!(matches!(error, ClientError::Closed { code: Some(0x107) }), "{error:?}");
    assert_eq!(client.get("/whole", &[]).await.unwrap().drain().await.unwrap(), WHOLE);
    assert_eq!(client.connections(), 2);
}

async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

#[tokio::test]
async fn a_dropped_body_or_request_stops_its_stream() {
    let mut stage = Stage::start();
    let client = stage.client().await;
    let mut answer = client.get("/endless", &[]).await.unwrap();
    answer.chunk().await.unwrap().unwrap();
    drop(answer);
    let mut reading = client.get("/endless", &[]).await.unwrap();
    let mut told = async || stage.told.recv().await.unwrap();
    let mut first = [told().await, told().await, told().await];
    first.sort();
    assert_eq!(first, ["/endless", "/endless", "stopped"]);
    // Dropped in the middle of a read: what was sent so far is read, and no more is sent while nobody else runs.
    while let Poll::Ready(chunk) = poll_once(pin!(reading.chunk())).await {
        chunk.unwrap().unwrap();
    }
    drop(reading);
    assert_eq!(told().await, "stopped");
    tokio::select! {
        _ = client.get("/held", &[]) => panic!("it is held"),
        held = told() => assert_eq!(held, "/held"),
    }
    stage.gate.notify_one();
    assert_eq!(stage.told.recv().await.unwrap(), "stopped");
    assert_eq!(client.connections(), 1);
}

#[tokio::test]
async fn clients_share_a_few_sockets_which_can_be_moved() {
    let mut stage = Stage::start();
    let network = Network::new(&stage.trust);
    let server = Server { addr: stage.addr, authority: "localhost".to_owned() };
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(Client::connect_to(server.clone(), Way::H3, &network).await.unwrap());
    }
    network.rebind().unwrap();
    for client in &clients {
        assert_eq!(client.get("/whole", &[]).await.unwrap().drain().await.unwrap(), WHOLE);
        assert_eq!(client.connections(), 1);
    }
    for _ in 0..8 {
        stage.told.recv().await.unwrap();
    }
    drop(clients);
    network.ended().await;
    stage.endpoint.wait_idle().await;
}
