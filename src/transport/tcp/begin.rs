//! The first octets of a connection: the PROXY protocol where it is expected, the TLS handshake, and which version of
//! HTTP is spoken. Each within a deadline.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::{ServerConfig, ServerConnection};

use super::Spoken;
use crate::clock::Tick;
use crate::rules::proxy_protocol::{self, HEADER_MAX, Header};
use crate::transport::alarm::Alarm;
use crate::transport::stream::{Blocking, Socket};

/// The first octets of HTTP/2 with prior knowledge (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Why a connection did not begin.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    /// The deadline passed.
    #[error("nothing came in time")]
    Late,
    /// The viewer left, or the socket failed.
    #[error("the connection ended")]
    Gone(#[source] io::Error),
    /// Not a PROXY protocol header.
    #[error("malformed PROXY protocol header")]
    Proxy,
    /// The handshake failed.
    #[error("TLS handshake failed")]
    Tls(#[source] rustls::Error),
}

/// Runs `beginning` until `deadline`.
async fn within<T>(
    alarm: &mut Alarm,
    deadline: Tick,
    beginning: impl Future<Output = Result<T, Failed>>,
) -> Result<T, Failed> {
    let mut beginning = std::pin::pin!(beginning);
    poll_fn(|cx| {
        if let Poll::Ready(result) = beginning.as_mut().poll(cx) {
            return Poll::Ready(result);
        }
        ready!(alarm.poll_at(cx, deadline));
        Poll::Ready(Err(Failed::Late))
    })
    .await
}

/// Reads on; `Gone` at the end of the stream.
async fn more(socket: &mut Socket, max: usize) -> Result<(), Failed> {
    match poll_fn(|cx| socket.poll_read_early(cx, max)).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(Failed::Gone(io::ErrorKind::UnexpectedEof.into())),
        Err(error) => Err(Failed::Gone(error)),
    }
}

/// Takes the PROXY protocol header off the front; `None` where the proxy speaks for itself.
pub(super) async fn proxied(
    socket: &mut Socket,
    alarm: &mut Alarm,
    deadline: Tick,
) -> Result<Option<SocketAddr>, Failed> {
    within(alarm, deadline, async {
        loop {
            if !socket.early().is_empty() {
                match proxy_protocol::parse(socket.early()).map_err(|_| Failed::Proxy)? {
                    Header::Whole { length, source } => {
                        socket.skip(length);
                        return Ok(source);
                    }
                    Header::Partial => {}
                }
            }
            more(socket, HEADER_MAX).await?;
        }
    })
    .await
}

/// Which version cleartext speaks: HTTP/2 where it begins with the whole preface, else HTTP/1.
pub(super) async fn spoken(socket: &mut Socket, alarm: &mut Alarm, deadline: Tick) -> Result<Spoken, Failed> {
    within(alarm, deadline, async {
        loop {
            let seen = socket.early();
            let shared = seen.len().min(PREFACE.len());
            if seen[..shared] != PREFACE[..shared] {
                return Ok(Spoken::H1);
            }
            if shared == PREFACE.len() {
                return Ok(Spoken::H2);
            }
            // Octets beyond the preface stay in the socket's hands; a small bound is enough to tell.
            more(socket, PREFACE.len()).await?;
        }
    })
    .await
}

/// The TLS handshake; on failure the viewer is told by an alert.
pub(super) async fn handshake(
    socket: &mut Socket,
    config: Arc<ServerConfig>,
    alarm: &mut Alarm,
    deadline: Tick,
) -> Result<(Box<ServerConnection>, Spoken), Failed> {
    let mut tls = Box::new(ServerConnection::new(config).map_err(Failed::Tls)?);
    // Our own bound is on what waits, in octets sent; a limit inside would only shorten writes.
    tls.set_buffer_limit(None);
    within(alarm, deadline, poll_fn(|cx| poll_handshake(socket, &mut tls, cx))).await?;
    let spoken = match tls.alpn_protocol() {
        Some(b"h2") => Spoken::H2,
        _ => Spoken::H1,
    };
    Ok((tls, spoken))
}

fn poll_handshake(socket: &mut Socket, tls: &mut ServerConnection, cx: &mut Context<'_>) -> Poll<Result<(), Failed>> {
    loop {
        while tls.wants_write() {
            match tls.write_tls(&mut Blocking { socket, cx }) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(Failed::Gone(error))),
            }
        }
        if !tls.is_handshaking() {
            return Poll::Ready(Ok(()));
        }
        match tls.read_tls(&mut Blocking { socket, cx }) {
            Ok(0) => return Poll::Ready(Err(Failed::Gone(io::ErrorKind::UnexpectedEof.into()))),
            Ok(_) => {
                if let Err(error) = tls.process_new_packets() {
                    // The alert; a socket that does not take it at once is not waited for.
                    _ = tls.write_tls(&mut Blocking { socket, cx });
                    _ = socket.poll_shutdown(cx);
                    return Poll::Ready(Err(Failed::Tls(error)));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
            Err(error) => return Poll::Ready(Err(Failed::Gone(error))),
        }
    }
}
