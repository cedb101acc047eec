//! Listeners and connections: HTTP/1.1 and HTTP/2 on one port, in clear (by the HTTP/2 preface) or over TLS (by ALPN).
//!
//! A listener's task owns its connections. It stops when told to; when the origin dies it closes the socket and resets every
//! connection, and listens at the same address again when the origin is revived. The port stays ours meanwhile.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::service::Origin;
use crate::port::Reserved;

const MAX_CONNECTIONS: usize = 65_536;
const MAX_STREAMS: u32 = 1_000;
const OPENING: Duration = Duration::from_secs(10);
const HEAD_AND_IDLE: Duration = Duration::from_secs(75);
const REBIND_PAUSE: Duration = Duration::from_millis(50);
const REBIND_TRIES: u32 = 100;

/// A connection as a request sees it: it can be reset.
#[derive(Debug, Default)]
pub struct Line {
    reset: AtomicBool,
    told: Notify,
}

impl Line {
    /// Resets the connection (TCP RST); never returns, for the task that waits is dropped with it.
    pub async fn reset<T>(&self) -> T {
        self.reset.store(true, Ordering::Release);
        self.told.notify_one();
        std::future::pending().await
    }
}

/// What listeners listen to.
#[derive(Clone, Debug)]
pub struct Orders {
    /// Whether the origin lives.
    pub alive: watch::Receiver<bool>,
    /// Becomes true when the origin is to stop for good.
    pub stop: watch::Receiver<bool>,
}

/// Returns once `flag` is true, and not at all if its owner went without that.
async fn raised(flag: &mut watch::Receiver<bool>) {
    if flag.wait_for(|flag| *flag).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Returns once `flag` is false, and not at all if its owner went without that.
async fn lowered(flag: &mut watch::Receiver<bool>) {
    if flag.wait_for(|flag| !*flag).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// A bound address with what is spoken there.
pub struct Port {
    /// Address, its number known.
    pub addr: SocketAddr,
    /// Keeps it while the origin is dead.
    reserved: Reserved,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
}

impl Port {
    /// Binds `addr`; with a TLS configuration, `h2` and `http/1.1` are offered by ALPN.
    pub async fn bind(addr: SocketAddr, tls: Option<Arc<rustls::ServerConfig>>) -> io::Result<Self> {
        let reserved = Reserved::at(addr)?;
        let addr = reserved.addr();
        let listener = TcpListener::bind(addr).await?;
        let tls = tls.map(|config| {
            let mut config = (*config).clone();
            config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
            TlsAcceptor::from(Arc::new(config))
        });
        Ok(Self { addr, reserved, listener, tls })
    }

    /// Serves until told to stop.
    pub async fn serve(self, origin: Arc<Origin>, mut orders: Orders) {
        let (addr, tls, _reserved) = (self.addr, self.tls, self.reserved);
        let mut listener = Some(self.listener);
        while !*orders.stop.borrow() {
            if let Some(bound) = listener.take() {
                accept(bound, tls.as_ref(), &origin, &mut orders).await;
            }
            let mut stop = orders.stop.clone();
            tokio::select! {
                () = raised(&mut stop) => return,
                () = raised(&mut orders.alive) => {}
            }
            listener = rebind(addr).await;
        }
    }
}

/// Listens again at an address that stayed ours. There may be no descriptor for it for a moment.
async fn rebind(addr: SocketAddr) -> Option<TcpListener> {
    for _ in 0..REBIND_TRIES {
        if let Ok(listener) = TcpListener::bind(addr).await {
            return Some(listener);
        }
        tokio::time::sleep(REBIND_PAUSE).await;
    }
    eprintln!("weir-origin: {addr} cannot be bound again");
    None
}

/// Accepts until the origin dies or stops; then its connections are reset or closed.
async fn accept(listener: TcpListener, tls: Option<&TlsAcceptor>, origin: &Arc<Origin>, orders: &mut Orders) {
    let mut connections = JoinSet::new();
    let mut alive = orders.alive.clone();
    loop {
        tokio::select! {
            () = raised(&mut orders.stop) => break,
            () = lowered(&mut alive) => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if connections.len() < MAX_CONNECTIONS => {
                    connections.spawn(connection(stream, tls.cloned(), origin.clone(), orders.alive.clone()));
                }
                Ok(_) => {}
                Err(_) => tokio::time::sleep(REBIND_PAUSE).await, // out of descriptors: let some go first
            },
        }
    }
    drop(listener);
    if *orders.stop.borrow() {
        connections.abort_all();
    }
    while connections.join_next().await.is_some() {}
}

async fn connection(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    origin: Arc<Origin>,
    mut alive: watch::Receiver<bool>,
) {
    // Small answers go out at once; a socket that refuses the option still works.
    let _ = stream.set_nodelay(true);
    let line = Arc::new(Line::default());
    let wire = Wire { stream, line: line.clone(), ahead: Bytes::new() };
    let death = async {
        lowered(&mut alive).await;
        line.reset.store(true, Ordering::Release); // here, for the wire is dropped before a branch is entered
    };
    tokio::select! {
        () = line.told.notified() => {}
        () = death => {}
        () = speak(wire, tls, origin, line.clone()) => {}
    }
}

#[derive(Clone, Copy)]
enum Version {
    Http1,
    Http2,
}

async fn speak(mut wire: Wire, tls: Option<TlsAcceptor>, origin: Arc<Origin>, line: Arc<Line>) {
    let Some(tls) = tls else {
        let Ok(Ok(version)) = tokio::time::timeout(OPENING, wire.version()).await else {
            return;
        };
        return http(wire, version, origin, line).await;
    };
    let Ok(Ok(stream)) = tokio::time::timeout(OPENING, tls.accept(wire)).await else {
        return;
    };
    let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    http(stream, if h2 { Version::Http2 } else { Version::Http1 }, origin, line).await;
}

async fn http<S>(stream: S, version: Version, origin: Arc<Origin>, line: Arc<Line>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let (origin, line) = (origin.clone(), line.clone());
        async move { Ok::<_, Infallible>(origin.serve(line, request).await) }
    });
    // How a connection ended concerns nobody: what was sent is in the log.
    match version {
        Version::Http1 => {
            let mut builder = hyper::server::conn::http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(HEAD_AND_IDLE);
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
        }
        Version::Http2 => {
            let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            builder.timer(TokioTimer::new()).max_concurrent_streams(MAX_STREAMS);
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
        }
    }
}

/// A TCP stream that is reset rather than closed if its line says so, with bytes that were read to tell the protocol.
struct Wire {
    stream: TcpStream,
    line: Arc<Line>,
    ahead: Bytes,
}

impl Wire {
    /// HTTP/2 if the first bytes are those of its preface, `PRI`; no method of HTTP/1.1 that we answer begins so.
    async fn version(&mut self) -> io::Result<Version> {
        let mut first = [0; 3];
        self.stream.read_exact(&mut first).await?;
        self.ahead = Bytes::copy_from_slice(&first);
        Ok(if &first == b"PRI" { Version::Http2 } else { Version::Http1 })
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.line.reset.load(Ordering::Acquire) {
            // With a linger time of 0 closing sends RST; without, the peer sees an early end, which is a fault as well.
            let _ = socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            let take = self.ahead.len().min(buf.remaining());
            buf.put_slice(&self.ahead[..take]);
            self.ahead.advance(take);
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
