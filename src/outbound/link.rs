//! HTTP over a connected wire: hyper's client connections with our limits, our clock and our tasks.
//!
//! A link's task owns the connection and drives it. It ends when the peer closes, the connection fails, or every
//! handle is dropped and nothing is in flight; dropping the answer to an unfinished exchange ends it at once (HTTP/1.1)
//! or resets the stream (HTTP/2). The caller's `place` is dropped with it: that is how a pool counts connections.

use std::error::Error;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Method, Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWrite;
use tokio::sync::oneshot;

use crate::clock::Clock;
use crate::outbound::dial::{Heard, Protocol, Wire};
use crate::outbound::guard::{Guarded, SharedAnswers};
use crate::outbound::payload::Payload;
use crate::outbound::rt::{ClockTimer, TaskExecutor};
use crate::rules::http1::{Asked, Bounds};
use crate::tasks::Tasks;

/// Octets of an answer's head, at most.
pub const HEAD_SIZE: usize = 64 << 10;
/// Fields of an answer's head, at most.
pub const HEAD_FIELDS: usize = 200;

const ANSWER_BOUNDS: Bounds = Bounds { head_size: HEAD_SIZE, fields: HEAD_FIELDS, request_line: HEAD_SIZE };

/// Octets that one read of an HTTP/1.1 connection gathers, at most.
const READ_BUFFER: usize = 128 << 10;
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;
const FRAME_SIZE: u32 = 64 << 10;
const SEND_BUFFER: usize = 256 << 10;
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// What drives connections.
#[derive(Clone, Copy)]
pub struct Driver<'a> {
    /// Deadlines and pings.
    pub clock: &'a Clock,
    /// Where the connection's tasks run.
    pub tasks: &'a Tasks,
}

/// An HTTP connection.
pub enum Link {
    /// HTTP/1.1: one exchange at a time.
    One(OneLink),
    /// HTTP/2: many at once.
    Many(ManyLink),
}

/// The sending side of an HTTP/1.1 connection.
pub struct OneLink {
    sender: http1::SendRequest<Payload>,
    answers: SharedAnswers,
    ending: oneshot::Receiver<Ending>,
    heard: Heard,
    end_is_proven: bool,
}

/// The sending side of an HTTP/2 connection; clones share it.
#[derive(Clone)]
pub struct ManyLink {
    sender: http2::SendRequest<Payload>,
    streams: Arc<AtomicUsize>,
    heard: Heard,
}

/// What was left when an HTTP/1.1 connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Clean,
    Surplus,
}

/// The state of an HTTP/1.1 connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// The answer was framed and wholly read: the connection takes another request.
    Reusable,
    /// The connection has ended, as it should.
    Ended,
    /// The peer sent more than the answer (HC-112, HC-128).
    Surplus,
}

/// A request that got no answer.
pub enum SendError {
    /// Nothing of it was sent; here it is.
    Unsent(Box<Request<Payload>>),
    /// It may have been sent.
    Broken(Broken),
}

/// What broke an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The peer says that it did not take it, and wants no more on this connection (GOAWAY, REFUSED_STREAM,
    /// ENHANCE_YOUR_CALM).
    Refused,
    /// The peer violated HTTP.
    Malformed(String),
    /// The source of the request's body failed.
    Source,
    /// The peer reset the stream; its connection goes on.
    StreamReset(String),
    /// The connection ended early.
    Reset(String),
}

/// Speaks HTTP over `wire`; `place` is kept until the connection has ended.
///
/// # Errors
/// [`Broken`] where the HTTP/2 preface could not be sent.
pub async fn open(wire: Wire, driver: Driver<'_>, place: impl Send + 'static) -> Result<Link, Broken> {
    match wire.protocol() {
        Protocol::H1 => open_one(wire, driver, place).await.map(Link::One),
        Protocol::H2 => open_many(wire, driver, place).await.map(Link::Many),
    }
}

async fn open_one(wire: Wire, driver: Driver<'_>, place: impl Send + 'static) -> Result<OneLink, Broken> {
    let (heard, end_is_proven) = (wire.heard(), wire.end_is_proven());
    let (wire, answers) = Guarded::new(wire, ANSWER_BOUNDS);
    let mut builder = http1::Builder::new();
    builder.max_headers(HEAD_FIELDS).max_header_size(2 * HEAD_SIZE).max_buf_size(READ_BUFFER);
    let (sender, mut connection) = builder.handshake(TokioIo::new(wire)).await.map_err(|error| broken(&error))?;
    let (report, ending) = oneshot::channel();
    driver.tasks.spawn("outbound-h1", async move {
        // Its error has reached whoever waits for an answer; what is left in the buffer tells the rest.
        _ = poll_fn(|cx| connection.poll_without_shutdown(cx)).await;
        let parts = connection.into_parts();
        let ending = if parts.read_buf.is_empty() { Ending::Clean } else { Ending::Surplus };
        _ = report.send(ending);
        say_goodbye(parts.io.into_inner().into_inner()).await;
        drop(place);
    });
    Ok(OneLink { sender, answers, ending, heard, end_is_proven })
}

/// Sends close_notify if the socket takes it at once: nobody waits for a goodbye.
async fn say_goodbye(mut wire: Wire) {
    poll_fn(|cx| {
        _ = Pin::new(&mut wire).poll_shutdown(cx);
        Poll::Ready(())
    })
    .await;
}

async fn open_many(wire: Wire, driver: Driver<'_>, place: impl Send + 'static) -> Result<ManyLink, Broken> {
    let heard = wire.heard();
    let executor = TaskExecutor::new(driver.tasks.clone(), "outbound-h2-stream");
    let (sender, mut connection) = http2::Builder::new(executor)
        .timer(ClockTimer::new(driver.clock.clone()))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .adaptive_window(false)
        .max_frame_size(FRAME_SIZE)
        .max_header_list_size(HEAD_SIZE as u32)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .handshake(TokioIo::new(wire))
        .await
        .map_err(|error| broken(&error))?;
    let streams = Arc::new(AtomicUsize::new(connection.current_max_send_streams()));
    let seen = streams.clone();
    driver.tasks.spawn("outbound-h2", async move {
        _ = poll_fn(|cx| {
            let polled = Pin::new(&mut connection).poll(cx);
            seen.store(connection.current_max_send_streams(), Relaxed);
            polled
        })
        .await;
        drop(connection);
        drop(place);
    });
    Ok(ManyLink { sender, streams, heard })
}

impl OneLink {
    /// Sends one request and waits for the head of its answer. The caller has seen [`OneLink::is_idle`].
    pub fn send(
        &mut self,
        request: Request<Payload>,
    ) -> impl Future<Output = Result<Response<Incoming>, SendError>> + use<> {
        self.answers.ask(if *request.method() == Method::HEAD { Asked::Head } else { Asked::Other });
        let sent = self.sender.try_send_request(request);
        async move { sent.await.map_err(send_error) }
    }

    /// Whether it could take a request now.
    pub fn is_idle(&self) -> bool {
        self.sender.is_ready()
    }

    /// Whether it has ended.
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// After the last octet of an answer: what has become of the connection.
    pub fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<Rest> {
        match self.sender.poll_ready(cx) {
            Poll::Pending => Poll::Pending,
            // hyper is ready for the next request a moment before it looks at what else it has read.
            Poll::Ready(Ok(())) if self.answers.has_surplus() => Poll::Ready(Rest::Surplus),
            Poll::Ready(Ok(())) => Poll::Ready(Rest::Reusable),
            Poll::Ready(Err(_)) => Pin::new(&mut self.ending).poll(cx).map(|ending| match ending {
                Ok(Ending::Surplus) => Rest::Surplus,
                Ok(Ending::Clean) | Err(_) => Rest::Ended,
            }),
        }
    }

    /// The count of octets received.
    pub fn heard(&self) -> &Heard {
        &self.heard
    }

    /// Whether an end of the stream is told apart from a cut.
    pub fn end_is_proven(&self) -> bool {
        self.end_is_proven
    }
}

impl ManyLink {
    /// Sends one request and waits for the head of its answer.
    pub fn send(
        &self,
        request: Request<Payload>,
    ) -> impl Future<Output = Result<Response<Incoming>, SendError>> + use<> {
        let sent = self.sender.clone().try_send_request(request);
        async move { sent.await.map_err(send_error) }
    }

    /// Whether it has ended or takes nothing more.
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// How many streams at once the peer allows, as far as it has said so.
    pub fn streams(&self) -> usize {
        self.streams.load(Relaxed)
    }

    /// The count of octets received.
    pub fn heard(&self) -> &Heard {
        &self.heard
    }
}

fn send_error(mut error: TrySendError<Request<Payload>>) -> SendError {
    match error.take_message() {
        Some(request) => SendError::Unsent(Box::new(request)),
        None => SendError::Broken(broken(&error.into_error())),
    }
}

/// Says in our words what hyper says of an exchange.
pub fn broken(error: &hyper::Error) -> Broken {
    if let Some(h2) = cause::<h2::Error>(error) {
        return match h2.reason() {
            Some(h2::Reason::REFUSED_STREAM | h2::Reason::ENHANCE_YOUR_CALM) => Broken::Refused,
            _ if h2.is_go_away() && h2.is_remote() => Broken::Refused,
            Some(_) if h2.is_library() => Broken::Malformed(h2.to_string()),
            Some(_) if h2.is_reset() => Broken::StreamReset(h2.to_string()),
            _ => Broken::Reset(h2.to_string()),
        };
    }
    if error.is_user() && !error.is_shutdown() && cause::<std::io::Error>(error).is_none() {
        return Broken::Source;
    }
    if error.is_parse() {
        return Broken::Malformed(error.to_string());
    }
    match cause::<std::io::Error>(error) {
        Some(io) if matches!(io.kind(), std::io::ErrorKind::InvalidData | std::io::ErrorKind::InvalidInput) => {
            Broken::Malformed(io.to_string())
        }
        Some(io) => Broken::Reset(io.to_string()),
        None => Broken::Reset(error.to_string()),
    }
}

fn cause<T: Error + 'static>(error: &hyper::Error) -> Option<&T> {
    let mut next = error.source();
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}
