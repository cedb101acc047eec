//! From a name to a byte stream: resolve, connect, prove. The addresses of a name are tried one after another, each
//! with an equal share of the time that is left, so that a dead first address cannot eat the whole deadline.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::clock::{Clock, Tick};
use crate::outbound::tls::TlsClient;

/// Addresses of one name that are tried, at most.
const ADDRESSES: usize = 8;

/// The kernel asks a silent peer for life after this long.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Where a connection goes.
#[derive(Clone)]
pub struct Dial {
    /// A name, or an address without brackets.
    pub host: Arc<str>,
    /// The port.
    pub port: u16,
    /// `None`: cleartext.
    pub tls: Option<TlsClient>,
}

/// Why no connection came about.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DialError {
    /// The name has no address.
    #[error("the name cannot be resolved: {0}")]
    Resolve(Arc<io::Error>),
    /// No address took the connection; the last one's answer.
    #[error("{0}")]
    Connect(Arc<io::Error>),
    /// The peer took the connection and failed TLS: its certificate, its name, its version.
    #[error("TLS: {0}")]
    Tls(Arc<io::Error>),
    /// The deadline passed first.
    #[error("no connection within the deadline")]
    Timeout,
}

/// The protocol that both sides agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1
    H1,
    /// HTTP/2
    H2,
}

/// A connected byte stream, cleartext or TLS.
pub struct Wire {
    stream: Stream,
    heard: Heard,
}

enum Stream {
    Clear(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// How many octets a peer has sent on a connection. Clones tell of the same one.
#[derive(Clone, Debug, Default)]
pub struct Heard(Arc<AtomicU64>);

impl Heard {
    /// Octets so far, after decryption.
    pub fn octets(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Dial {
    /// Connects, with TLS where asked for, before `deadline`.
    ///
    /// # Errors
    /// [`DialError`]: the first step that failed.
    pub async fn wire(&self, clock: &Clock, deadline: Tick) -> Result<Wire, DialError> {
        tokio::select! {
            biased;
            wire = self.connect(clock, deadline) => wire,
            () = clock.sleep_until(deadline) => Err(DialError::Timeout),
        }
    }

    async fn connect(&self, clock: &Clock, deadline: Tick) -> Result<Wire, DialError> {
        let socket = self.socket(clock, deadline).await?;
        tune(&socket);
        let stream = match &self.tls {
            None => Stream::Clear(socket),
            Some(tls) => {
                let connector = TlsConnector::from(tls.config());
                let shaken = connector.connect(tls.name(), socket).await;
                Stream::Tls(Box::new(shaken.map_err(|error| DialError::Tls(Arc::new(error)))?))
            }
        };
        Ok(Wire { stream, heard: Heard::default() })
    }

    async fn socket(&self, clock: &Clock, deadline: Tick) -> Result<TcpStream, DialError> {
        let resolved = tokio::net::lookup_host((&*self.host, self.port)).await;
        let addresses: Vec<SocketAddr> =
            resolved.map_err(|error| DialError::Resolve(Arc::new(error)))?.take(ADDRESSES).collect();
        let mut last = DialError::Resolve(Arc::new(io::ErrorKind::NotFound.into()));
        for (tried, address) in addresses.iter().enumerate() {
            let now = clock.now();
            let share = deadline.since(now) / (addresses.len() - tried) as u32;
            tokio::select! {
                biased;
                connected = TcpStream::connect(address) => match connected {
                    Ok(socket) => return Ok(socket),
                    Err(error) => last = DialError::Connect(Arc::new(error)),
                },
                () = clock.sleep_until(now + share) => last = DialError::Timeout,
            }
        }
        Err(last)
    }
}

/// Neither option is worth a failed connection.
fn tune(socket: &TcpStream) {
    _ = socket.set_nodelay(true);
    _ = SockRef::from(socket).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEP_ALIVE).with_interval(KEEP_ALIVE));
}

impl Wire {
    /// What ALPN chose; HTTP/1.1 where nothing was chosen, and in cleartext.
    pub fn protocol(&self) -> Protocol {
        match &self.stream {
            Stream::Tls(tls) if tls.get_ref().1.alpn_protocol() == Some(b"h2") => Protocol::H2,
            Stream::Tls(_) | Stream::Clear(_) => Protocol::H1,
        }
    }

    /// Whether an end of the stream is told apart from a cut (TLS close_notify).
    pub fn end_is_proven(&self) -> bool {
        matches!(self.stream, Stream::Tls(_))
    }

    /// The count of octets received from now on.
    pub fn heard(&self) -> Heard {
        self.heard.clone()
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        let before = buf.filled().len();
        let polled = match &mut wire.stream {
            Stream::Clear(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Stream::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        };
        wire.heard.0.fetch_add((buf.filled().len() - before) as u64, Relaxed);
        polled
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().stream {
            Stream::Clear(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Stream::Tls(tls) => Pin::new(tls).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().stream {
            Stream::Clear(tcp) => Pin::new(tcp).poll_write_vectored(cx, bufs),
            Stream::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Clear(tcp) => Pin::new(tcp).poll_flush(cx),
            Stream::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Clear(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Stream::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::WallTime;

    #[tokio::test]
    async fn the_addresses_of_a_name_are_tried_until_one_connects() {
        // `localhost` has an IPv6 address too on most machines; nobody listens there.
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let dial = Dial { host: "localhost".into(), port, tls: None };
        let clock = Clock::manual(WallTime::default());
        let wire = dial.wire(&clock, clock.now() + Duration::from_secs(2)).await.unwrap();
        assert_eq!(wire.protocol(), Protocol::H1);
    }

    #[tokio::test]
    async fn a_port_where_nobody_listens_is_a_failure_to_connect() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let dial = Dial { host: "127.0.0.1".into(), port, tls: None };
        let clock = Clock::manual(WallTime::default());
        let outcome = dial.wire(&clock, clock.now() + Duration::from_secs(2)).await;
        assert!(matches!(outcome, Err(DialError::Connect(_))));
    }
}
