//! A byte stream to the server: TCP, and TLS over it.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::network::Receive;
use super::{ClientError, Server};

/// Bytes in clear or under TLS.
pub(crate) enum Stream {
    Clear(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Connects, with TLS if a configuration is given.
pub(crate) async fn connect(
    server: &Server,
    tls: Option<Arc<ClientConfig>>,
    receive: Receive,
) -> Result<Stream, ClientError> {
    let stream = tcp(server.addr, receive).await.map_err(ClientError::Connect)?;
    let Some(config) = tls else {
        return Ok(Stream::Clear(stream));
    };
    let name = ServerName::try_from(server.name().to_owned()).map_err(|error| ClientError::Handshake(error.into()))?;
    let wanted = config.alpn_protocols.first().cloned();
    let stream =
        TlsConnector::from(config).connect(name, stream).await.map_err(|error| ClientError::Handshake(error.into()))?;
    // A server that answers no ALPN at all speaks HTTP/1.1 (RFC 7301, 3.2; RFC 9113, 3.2).
    let agreed = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
    if agreed != wanted && (agreed.is_some() || wanted.as_deref() != Some(b"http/1.1")) {
        return Err(ClientError::Handshake("the server did not agree to the protocol".into()));
    }
    Ok(Stream::Tls(Box::new(stream)))
}

async fn tcp(addr: SocketAddr, receive: Receive) -> io::Result<TcpStream> {
    let socket = if addr.is_ipv6() { TcpSocket::new_v6()? } else { TcpSocket::new_v4()? };
    if let Some(size) = receive.tcp {
        socket.set_recv_buffer_size(size)?;
    }
    socket.set_nodelay(true)?;
    socket.connect(addr).await
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Clear(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Clear(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Clear(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Clear(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
