//! HTTP/1.1 and HTTP/2 connections of one worker: accept, admit, begin, serve.
//!
//! Life of a connection: a place (`Permit`), the PROXY protocol where the peer must speak it, the TLS handshake, the
//! version by ALPN or by its first octets, then hyper beneath our own driver until it ends. Each runs in one task of
//! its worker; HTTP/2 streams are tasks beside it. A panic in the service ends its connection (HTTP/1) or its stream
//! (HTTP/2), never the worker.

pub(super) mod answer;
mod begin;
mod body;
mod counters;
mod drive;
mod exchange;
mod glue;
mod interim;
mod wire;

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use hyper::server::conn::{http1, http2};
use ipnet::IpNet;
use parking_lot::Mutex;
use rustls::ServerConfig;
use tokio::net::{TcpListener, UnixListener};
use tracing::{debug, warn};

pub use counters::{Counters, Deadline, Snapshot, Spoken};

use self::begin::Failed;
use self::counters::count;
use self::drive::Driver;
use self::exchange::Exchanges;
use self::glue::{Glue, NextStream, Streams};
use self::wire::{Io, Wire};
use super::Service;
use super::admission::{Admission, Permit};
use super::alarm::Alarm;
use super::drain::Drain;
use super::flush::Session;
use super::guard::{Inlet, Reader};
use super::listener::{Accepting, WorkerListener};
use super::paths::Paths;
use super::stream::{Socket, Stream};
use crate::clock::{Clock, Tick};
use crate::config::Limits;
use crate::outbound::rt::ClockTimer;
use crate::request::Scheme;
use crate::rules::forwarded::is_trusted;
use crate::rules::http1::{Bounds, Guard};
use crate::rules::http2::HeadWatch;
use crate::tasks::Tasks;

/// hyper's buffers for one HTTP/1 connection, each way.
const H1_BUFFER: usize = 256 << 10;
/// A request line where a head may be larger: the library above takes no longer target. RFC 9112 §3 asks for 8,000 at
/// least.
const REQUEST_LINE_MAX: usize = u16::MAX as usize - 1;
/// PING after so much silence, and how long its answer may take (HTTP/2).
const PING_AFTER: Duration = Duration::from_secs(20);
const PONG_WITHIN: Duration = Duration::from_secs(10);
/// Streams that the viewer reset before we took them up (CVE-2023-44487).
const PENDING_RESETS: usize = 20;
/// Resets of ours that the viewer caused, in a connection's life (CVE-2025-8671).
const CAUSED_RESETS: usize = 1_024;
/// The wait after accept failed, doubled from the first to the last while it keeps failing.
const ACCEPT_PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// What connections follow of the configuration; a reload swaps it, and connections accepted later follow the new one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// Bounds and deadlines.
    pub limits: Limits,
    /// Who may say where a viewer comes from (Forwarded, X-Forwarded-For).
    pub trusted_proxies: Vec<IpNet>,
}

/// What the connections of one worker share.
pub struct TcpContext<S> {
    /// What answers.
    pub service: S,
    /// Bounds, deadlines, trusted proxies.
    pub settings: Arc<ArcSwap<Settings>>,
    /// Time.
    pub clock: Clock,
    /// Tasks of this worker's runtime.
    pub tasks: Tasks,
    /// Places, shared by all workers and protocols.
    pub admission: Arc<Admission>,
    /// The signal to end.
    pub drain: Drain,
    /// Counters of this worker.
    pub counters: Arc<Counters>,
}

/// What is behind one listener.
#[derive(Clone, Default)]
pub struct Door {
    /// TLS; `None`: cleartext.
    pub tls: Option<Arc<ServerConfig>>,
    /// Peers that begin every connection with a PROXY protocol header.
    pub proxy_protocol: Arc<[IpNet]>,
}

/// Accepts connections until the drain begins; what was accepted lives on in tasks of the context.
///
/// # Errors
/// The listener cannot be used in this runtime.
pub async fn serve<S: Service>(listener: WorkerListener, door: Door, context: Arc<TcpContext<S>>) -> io::Result<()> {
    let listener = listener.accepting()?;
    let mut begun = std::pin::pin!(context.drain.begun());
    let mut pause = ACCEPT_PAUSE.0;
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut begun => return Ok(()),
            accepted = accept(&listener) => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                pause = ACCEPT_PAUSE.0;
                open(stream, peer, &door, &context);
            }
            // The viewer was faster (accept(2)).
            Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) => {}
            Err(error) => {
                count(&context.counters.accept_errors);
                warn!(%error, "accepting failed");
                tokio::select! {
                    () = &mut begun => return Ok(()),
                    () = context.clock.sleep(pause) => {}
                }
                pause = (pause * 2).min(ACCEPT_PAUSE.1);
            }
        }
    }
}

async fn accept(listener: &Accepting) -> io::Result<(Stream, SocketAddr)> {
    let stream = match listener {
        Accepting::Tcp(listener) => Stream::Tcp(TcpListener::accept(listener).await?.0),
        Accepting::Unix(listener) => Stream::Unix(UnixListener::accept(listener).await?.0),
    };
    let peer = stream.peer().map_err(|_| io::ErrorKind::ConnectionAborted)?;
    Ok((stream, peer))
}

fn open<S: Service>(stream: Stream, peer: SocketAddr, door: &Door, context: &Arc<TcpContext<S>>) {
    count(&context.counters.accepted);
    let settings = context.settings.load_full();
    let speaks_proxy = is_trusted(peer.ip(), &door.proxy_protocol);
    let stands_for_many = speaks_proxy || is_trusted(peer.ip(), &settings.trusted_proxies);
    let permit = match stands_for_many {
        true => context.admission.admit_proxy(),
        false => context.admission.admit(peer.ip()),
    };
    let Some(permit) = permit else {
        count(&context.counters.refused);
        return;
    };
    let newcomer = Newcomer { socket: Socket::new(stream), peer, permit, settings, speaks_proxy };
    let (door, context) = (door.clone(), context.clone());
    let tasks = context.tasks.clone();
    tasks.spawn("connection", async move { newcomer.serve(door, context).await });
}

/// A connection that was admitted and has said nothing yet.
struct Newcomer {
    socket: Socket,
    peer: SocketAddr,
    permit: Permit,
    settings: Arc<Settings>,
    speaks_proxy: bool,
}

/// A connection of which is known who is there and what is spoken.
struct Known {
    socket: Socket,
    session: Session,
    spoken: Spoken,
    peer: SocketAddr,
    address: SocketAddr,
    settings: Arc<Settings>,
    began: Tick,
}

impl Newcomer {
    async fn serve<S: Service>(self, door: Door, context: Arc<TcpContext<S>>) {
        let counters = context.counters.clone();
        let mut permit = None;
        let begun = tokio::select! {
            biased;
            begun = self.begin(door, &context, &mut permit) => begun,
            // A connection that has not said anything is idle.
            () = context.drain.begun() => return,
        };
        match begun {
            Ok(known) => known.serve(&context).await,
            Err((Failed::Late, deadline)) => counters.missed(deadline),
            Err((Failed::Proxy, _)) => count(&counters.proxy_malformed),
            Err((Failed::Tls(error), _)) => {
                count(&counters.handshakes_failed);
                debug!(%error, "TLS handshake failed");
            }
            Err((Failed::Gone(error), _)) => debug!(%error, "a connection ended before its first request"),
        }
    }

    async fn begin<S: Service>(
        mut self,
        door: Door,
        context: &TcpContext<S>,
        kept: &mut Option<Permit>,
    ) -> Result<Known, (Failed, Deadline)> {
        let mut alarm = Alarm::new(context.clock.clone());
        let limits = &self.settings.limits;
        let accepted = context.clock.now();
        let mut address = self.peer;
        let first_byte = accepted + limits.first_byte;
        if self.speaks_proxy {
            let source = begin::proxied(&mut self.socket, &mut alarm, first_byte)
                .await
                .map_err(|failed| (failed, Deadline::FirstByte))?;
            address = source.unwrap_or(address);
            if source.is_some_and(|source| !self.permit.count_for(source.ip())) {
                count(&context.counters.refused);
                return Err((Failed::Gone(io::ErrorKind::ConnectionRefused.into()), Deadline::FirstByte));
            }
        }
        *kept = Some(self.permit);
        let (session, spoken) = match door.tls {
            None => {
                let spoken = begin::spoken(&mut self.socket, &mut alarm, first_byte)
                    .await
                    .map_err(|failed| (failed, Deadline::FirstByte))?;
                (Session::Clear, spoken)
            }
            Some(config) => {
                let deadline = accepted + limits.handshake;
                let (tls, spoken) = begin::handshake(&mut self.socket, config, &mut alarm, deadline)
                    .await
                    .map_err(|failed| (failed, Deadline::Handshake))?;
                count(&context.counters.handshakes);
                (Session::Tls(tls), spoken)
            }
        };
        let began = context.clock.now();
        Ok(Known { socket: self.socket, session, spoken, peer: self.peer, address, settings: self.settings, began })
    }
}

impl Known {
    #[expect(clippy::too_many_lines, reason = "a connection from its first octet to its last")]
    async fn serve<S: Service>(self, context: &Arc<TcpContext<S>>) {
        let counters = context.counters.clone();
        let _open = counters.open(self.spoken);
        let limits = self.settings.limits.clone();
        let reader = match self.spoken {
            Spoken::H1 => Reader::Http1(Guard::new(Bounds {
                head_size: limits.head_size,
                fields: limits.head_fields,
                request_line: REQUEST_LINE_MAX.min(limits.head_size),
            })),
            Spoken::H2 => Reader::Http2(HeadWatch::default(), Paths::default()),
        };
        let scheme = match self.session {
            Session::Clear => Scheme::Http,
            Session::Tls(_) => Scheme::Https,
        };
        let exchanges = Exchanges::new(context.clock.clone());
        let next_stream = NextStream::default();
        let wire =
            Wire::new(self.socket, self.session, Inlet::new(reader, exchanges.malformed().clone()), &context.clock);
        let wire = Arc::new(Mutex::new(wire));
        let glue = Glue {
            service: context.service.clone(),
            settings: self.settings.clone(),
            exchanges: exchanges.clone(),
            counters: counters.clone(),
            clock: context.clock.clone(),
            peer: self.peer,
            address: self.address,
            scheme,
            spoken: self.spoken,
            line: wire.lock().line.clone(),
            wire: wire.clone(),
            next_stream: next_stream.clone(),
        };
        let io = Io(wire.clone());
        let timer = ClockTimer::new(context.clock.clone());
        let driver = Driver {
            wire,
            exchanges,
            counters: counters.clone(),
            settings: self.settings,
            clock: context.clock.clone(),
            drain: context.drain.clone(),
            spoken: self.spoken,
            began: self.began,
        };
        match self.spoken {
            Spoken::H1 => driver.run(h1(&limits, timer).serve_connection(io, glue)).await,
            Spoken::H2 => {
                let streams = Streams {
                    tasks: context.tasks.clone(),
                    clock: context.clock.clone(),
                    counters: counters.clone(),
                    next_stream,
                    patience: limits.write_progress,
                };
                driver.run(h2(&limits, timer, streams).serve_connection(io, glue)).await;
            }
        }
    }
}

fn h1(limits: &Limits, timer: ClockTimer) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(timer)
        // The driver keeps the deadlines of heads and of idle connections, without a timer for each request.
        .header_read_timeout(None)
        .half_close(true)
        .pipeline_flush(false)
        // The guard judges the size of a head; hyper's own bounds are only a net below it.
        .max_header_size(2 * limits.head_size)
        .max_buf_size(H1_BUFFER.max(2 * limits.head_size));
    // Any value of its own moves hyper's fields to the heap.
    if limits.head_fields != 100 {
        builder.max_headers(limits.head_fields);
    }
    builder
}

fn h2(limits: &Limits, timer: ClockTimer, streams: Streams) -> http2::Builder<Streams> {
    let mut builder = http2::Builder::new(streams);
    builder
        .timer(timer)
        .max_concurrent_streams(limits.h2_streams)
        .initial_stream_window_size(limits.stream_window)
        .initial_connection_window_size(limits.connection_window)
        .adaptive_window(false)
        .max_frame_size(16 << 10)
        .max_send_buf_size(limits.h2_send_buffer)
        .max_header_list_size(u32::try_from(limits.head_size).unwrap_or(u32::MAX))
        .keep_alive_interval(PING_AFTER)
        .keep_alive_timeout(PONG_WITHIN)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(CAUSED_RESETS);
    builder
}

impl<S: Service> drive::Connection for http1::Connection<Io, Glue<S>> {
    fn end_gracefully(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<S: Service> drive::Connection for http2::Connection<Io, Glue<S>, Streams> {
    fn end_gracefully(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

#[cfg(test)]
mod tests;
