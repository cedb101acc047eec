//! The origin from outside, over its sockets.

mod delivery;
mod faults;
mod playlists;

use std::net::SocketAddr;

use bytes::Bytes;
use http::header::HeaderMap;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use super::{Clock, Origin, OriginConfig, Running};

/// A moment at which segment 16 opens, for origins with a window of 15 that started with it.
const START: u64 = 1_800_000_000_000;

#[derive(Debug)]
struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
    whole: bool,
}

impl Reply {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

async fn manual() -> (Running, Clock) {
    let clock = Clock::manual(START);
    (Origin::start(OriginConfig { clock: clock.clone(), ..OriginConfig::default() }).await.unwrap(), clock)
}

async fn start() -> Running {
    Origin::start(OriginConfig::default()).await.unwrap()
}

fn request(method: &str, url: &str, fields: &[(&str, &str)], body: &str) -> Request<Full<Bytes>> {
    let builder = Request::builder().method(method).uri(url).header("host", "origin");
    let builder = fields.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value));
    builder.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap()
}

async fn read(response: http::Response<hyper::body::Incoming>) -> Reply {
    let (head, mut incoming) = response.into_parts();
    let mut body = Vec::new();
    let whole = loop {
        match incoming.frame().await {
            None => break true,
            Some(Err(_)) => break false,
            Some(Ok(frame)) => body.extend_from_slice(frame.data_ref().unwrap_or(&Bytes::new())),
        }
    };
    Reply { status: head.status, headers: head.headers, body, whole }
}

/// A request on a connection of its own; an error is a connection that ended before the answer's head.
async fn send(addr: SocketAddr, request: Request<Full<Bytes>>) -> Result<Reply, hyper::Error> {
    let stream = TokioIo::new(TcpStream::connect(addr).await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
    let connection = tokio::spawn(connection);
    let reply = read(sender.send_request(request).await?).await;
    drop(sender);
    let _ = connection.await;
    Ok(reply)
}

async fn send_h2(addr: SocketAddr, url: &str) -> Result<Reply, hyper::Error> {
    let stream = TokioIo::new(TcpStream::connect(addr).await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await?;
    tokio::spawn(connection);
    let request = Request::builder().uri(format!("http://{addr}{url}")).body(Full::new(Bytes::new())).unwrap();
    Ok(read(sender.send_request(request).await?).await)
}

async fn get_with(addr: SocketAddr, url: &str, fields: &[(&str, &str)]) -> Reply {
    send(addr, request("GET", url, fields, "")).await.unwrap()
}

async fn get(addr: SocketAddr, url: &str) -> Reply {
    get_with(addr, url, &[]).await
}

/// Starts a request, and returns when the origin has it in hand.
async fn begin(origin: &Running, url: &'static str, fields: &'static [(&str, &str)]) -> tokio::task::JoinHandle<Reply> {
    let (addr, before) = (origin.addr(), origin.stats().total());
    let task = tokio::spawn(async move { get_with(addr, url, fields).await });
    origin.stats().until(|stats| stats.total() > before).await;
    task
}
