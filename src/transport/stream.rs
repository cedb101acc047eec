//! The stream socket of one viewer, with the octets that were read before it was known what they are.
//!
//! A socket that is dropped without [`Socket::finished`] is reset, so that an answer that is cut short never looks like
//! one that ended (RFC 9112 §8: a body that ends with the connection).

use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::socket;
use crate::request::Sample;

/// What connects us to the viewer, or to the proxy before it.
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A stream and what was read ahead of it.
pub(super) struct Socket {
    stream: Stream,
    early: BytesMut,
    finished: bool,
}

impl Stream {
    /// The other end; a Unix socket counts as this machine.
    pub(super) fn peer(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Tcp(stream) => stream.peer_addr().map(|peer| SocketAddr::new(peer.ip().to_canonical(), peer.port())),
            Self::Unix(_) => Ok((Ipv4Addr::LOCALHOST, 0).into()),
        }
    }
}

impl Socket {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, early: BytesMut::new(), finished: false }
    }

    /// How the way to the viewer is, where the kernel says so.
    pub(super) fn sample(&self) -> Option<Sample> {
        match &self.stream {
            Stream::Tcp(stream) => socket::path(stream.as_fd()).ok(),
            Stream::Unix(_) => None,
        }
    }

    /// Octets that were read and not yet taken.
    pub(super) fn early(&self) -> &[u8] {
        &self.early
    }

    /// Takes octets off the front of what was read early.
    pub(super) fn skip(&mut self, octets: usize) {
        self.early.advance(octets);
    }

    /// Reads on into [`Socket::early`], up to `max` octets in all. `false` at the end of the stream.
    pub(super) fn poll_read_early(&mut self, cx: &mut Context<'_>, max: usize) -> Poll<io::Result<bool>> {
        let mut buffer = [0; 1024];
        let room = max.saturating_sub(self.early.len()).min(buffer.len());
        let read = ready!(self.poll_stream(cx, &mut buffer[..room]))?;
        self.early.extend_from_slice(&buffer[..read]);
        Poll::Ready(Ok(read > 0))
    }

    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.early.is_empty() {
            return self.poll_stream(cx, buffer);
        }
        let read = buffer.len().min(self.early.len());
        self.early.copy_to_slice(&mut buffer[..read]);
        if self.early.is_empty() {
            self.early = BytesMut::new();
        }
        Poll::Ready(Ok(read))
    }

    fn poll_stream(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        ready!(match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(cx, &mut buffer),
            Stream::Unix(stream) => Pin::new(stream).poll_read(cx, &mut buffer),
        })?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Stream::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    /// Says to the viewer that nothing more comes.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.finished = true;
        match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let (false, Stream::Tcp(stream)) = (self.finished, &self.stream) {
            // Fails only where the connection is gone already.
            _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }
}

/// A socket as blocking code sees it: `Pending` is `WouldBlock`.
pub(super) struct Blocking<'a, 'b> {
    pub(super) socket: &'a mut Socket,
    pub(super) cx: &'a mut Context<'b>,
}

fn would_block<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl io::Read for Blocking<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        would_block(self.socket.poll_read(self.cx, buffer))
    }
}

impl io::Write for Blocking<'_, '_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(buffer)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        would_block(self.socket.poll_write(self.cx, slices))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
