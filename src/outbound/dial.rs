//! From a name to a byte stream: resolve, connect, prove. The addresses of a name race (RFC 8305): the next one is
//! tried when the one before has failed, or has not connected within a quarter of a second.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
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
use crate::outbound::addresses::Addresses;
use crate::outbound::tls::TlsClient;

/// After this long the next address is tried beside the ones before (RFC 8305 §5).
pub const STAGGER: Duration = Duration::from_millis(250);

/// The kernel asks a silent peer for life after this long.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Where a connection goes.
#[derive(Clone)]
pub struct Dial {
    /// Those of a name, or one address.
    pub addresses: Arc<Addresses>,
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
    peer: SocketAddr,
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
        let (socket, peer) = self.socket(clock, deadline).await?;
        tune(&socket);
        let stream = match &self.tls {
            None => Stream::Clear(socket),
            Some(tls) => {
                let connector = TlsConnector::from(tls.config());
                let shaken = connector.connect(tls.name(), socket).await;
                Stream::Tls(Box::new(shaken.map_err(|error| DialError::Tls(Arc::new(error)))?))
            }
        };
        Ok(Wire { stream, heard: Heard::default(), peer })
    }

    async fn socket(&self, clock: &Clock, deadline: Tick) -> Result<(TcpStream, SocketAddr), DialError> {
        let resolved = self.addresses.in_order(clock).await;
        let addresses = resolved.map_err(|error| DialError::Resolve(Arc::new(error)))?;
        let connect = |address: SocketAddr| async move { (address, TcpStream::connect(address).await) };
        let mut waiting = addresses.into_iter();
        let mut racing: Vec<Pin<Box<dyn Future<Output = _> + Send>>> = Vec::new();
        let mut last = DialError::Resolve(Arc::new(io::ErrorKind::NotFound.into()));
        loop {
            match waiting.next() {
                Some(address) => racing.push(Box::pin(connect(address))),
                None if racing.is_empty() => return Err(last),
                None => {}
            }
            let next = if waiting.len() > 0 { clock.now() + STAGGER } else { deadline };
            let mut patience = pin!(clock.sleep_until(next));
            let came = poll_fn(|cx| match first(&mut racing, cx) {
                Poll::Ready(came) => Poll::Ready(Some(came)),
                Poll::Pending => patience.as_mut().poll(cx).map(|()| None),
            });
            match came.await {
                Some((address, Ok(socket))) => {
                    self.addresses.took(address);
                    return Ok((socket, address));
                }
                Some((address, Err(error))) => {
                    self.addresses.failed(address, clock.now());
                    last = DialError::Connect(Arc::new(error));
                }
                None if clock.now() >= deadline => return Err(DialError::Timeout),
                None => {}
            }
        }
    }
}

/// The first of those that race to come to an end; it leaves the race.
fn first<T>(racing: &mut Vec<Pin<Box<dyn Future<Output = T> + Send>>>, cx: &mut Context<'_>) -> Poll<T> {
    for index in 0..racing.len() {
        if let Poll::Ready(came) = racing[index].as_mut().poll(cx) {
            drop(racing.swap_remove(index));
            return Poll::Ready(came);
        }
    }
    Poll::Pending
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

    /// Whom it leads to.
    pub fn peer(&self) -> SocketAddr {
        self.peer
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
    use weir_loadtest::port::Reserved;

    use super::*;
    use crate::clock::WallTime;
    use crate::outbound::addresses::System;
    use crate::outbound::addresses::tests::Told;

    async fn listener(address: &str) -> (tokio::net::TcpListener, SocketAddr) {
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    fn told(addresses: &[SocketAddr]) -> Dial {
        let resolver = Arc::new(Told::default());
        *resolver.0.lock() = Some(addresses.to_vec());
        Dial { addresses: Addresses::new("origin.test", 1, resolver), tls: None }
    }

    #[tokio::test]
    async fn the_addresses_of_a_name_are_tried_until_one_connects() {
        // `localhost` has an IPv6 address too on most machines; nobody listens there.
        let (_listener, address) = listener("127.0.0.1:0").await;
        let addresses = Addresses::new("localhost", address.port(), Arc::new(System));
        let dial = Dial { addresses, tls: None };
        let clock = Clock::manual(WallTime::default());
        let wire = dial.wire(&clock, clock.now() + Duration::from_secs(2)).await.unwrap();
        assert_eq!((wire.protocol(), wire.peer()), (Protocol::H1, address));
    }

    #[tokio::test]
    async fn an_address_that_refuses_is_passed_over_at_once_and_tried_last_from_then_on() {
        let port = Reserved::any().unwrap();
        let dead = port.addr();
        let (_listener, alive) = listener("127.0.0.1:0").await;
        let dial = told(&[dead, alive]);
        let clock = Clock::manual(WallTime::default());
        let wire = dial.wire(&clock, clock.now() + Duration::from_secs(2)).await.unwrap();
        assert_eq!(wire.peer(), alive);
        assert_eq!(dial.addresses.in_order(&clock).await.unwrap(), [alive, dead]);
    }

    #[tokio::test]
    async fn a_silent_address_delays_the_next_by_a_quarter_of_a_second() {
        // A listener whose backlog is full answers no SYN.
        let silent = tokio::net::TcpSocket::new_v4().unwrap();
        silent.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let full = silent.listen(1).unwrap();
        let address = full.local_addr().unwrap();
        let mut fillers = Vec::new();
        for _ in 0..16 {
            let mut filler = Box::pin(TcpStream::connect(address));
            _ = filler.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop()));
            fillers.push(filler);
        }
        let (_listener, alive) = listener("127.0.0.1:0").await;
        let dial = told(&[address, alive]);
        let clock = Clock::manual(WallTime::default());
        let begun = clock.now();
        let mut wire = pin!(dial.wire(&clock, begun + Duration::from_secs(2)));
        assert!(wire.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop())).is_pending());
        clock.advance(STAGGER);
        assert_eq!(wire.await.unwrap().peer(), alive);
        assert_eq!(clock.now().since(begun), STAGGER);
    }

    #[tokio::test]
    async fn a_port_where_nobody_listens_is_a_failure_to_connect() {
        let dead = Reserved::any().unwrap();
        let dial = told(&[dead.addr()]);
        let clock = Clock::manual(WallTime::default());
        let outcome = dial.wire(&clock, clock.now() + Duration::from_secs(2)).await;
        assert!(matches!(outcome, Err(DialError::Connect(_))));
    }
}
