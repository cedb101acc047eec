//! One request and its whole answer, on a connection of its own: for what a node asks or tells other machines now and
//! then (webhooks, key sets, feeds). Redirects are answers like others; whoever asked decides.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, Version};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::clock::Tick;

use super::dial::{Dial, DialError};
use super::link::{self, Broken, Driver, Link, SendError};
use super::payload::{Payload, SourceError};

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answered {
    /// Its status.
    pub status: StatusCode,
    /// Its fields.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// Why there is no whole answer.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// No connection.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The connection broke, or the peer violated HTTP.
    #[error("the exchange broke: {0:?}")]
    Broken(Broken),
    /// The deadline passed first.
    #[error("no whole answer within the deadline")]
    Timeout,
    /// The answer's body is larger than it may be.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
}

/// Until when, and how much.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The whole answer is there until then.
    pub deadline: Tick,
    /// Octets of the answer's body, at most.
    pub answer: usize,
}

/// Sends a request whose URI is absolute, and waits for its whole answer. Host and length are added.
///
/// # Errors
/// [`ExchangeError`].
pub async fn exchange(
    dial: &Dial,
    driver: Driver<'_>,
    request: Request<Bytes>,
    bounds: Bounds,
) -> Result<Answered, ExchangeError> {
    tokio::select! {
        biased;
        answered = exchanged(dial, driver, request, bounds) => answered,
        () = driver.clock.sleep_until(bounds.deadline) => Err(ExchangeError::Timeout),
    }
}

async fn exchanged(
    dial: &Dial,
    driver: Driver<'_>,
    request: Request<Bytes>,
    bounds: Bounds,
) -> Result<Answered, ExchangeError> {
    let wire = dial.wire(driver.clock, bounds.deadline).await?;
    let link = link::open(wire, driver, ()).await.map_err(ExchangeError::Broken)?;
    // The link lives until the body has been read: an HTTP/1.1 connection ends with it.
    match link {
        Link::One(mut link) => {
            let sent = link.send(prepared(request, driver, Version::HTTP_11)).await;
            whole(sent.map_err(unsent)?, bounds.answer).await
        }
        Link::Many(link) => {
            let sent = link.send(prepared(request, driver, Version::HTTP_2)).await;
            whole(sent.map_err(unsent)?, bounds.answer).await
        }
    }
}

fn unsent(error: SendError) -> ExchangeError {
    match error {
        SendError::Unsent(_) => ExchangeError::Broken(Broken::Refused),
        SendError::Broken(broken) => ExchangeError::Broken(broken),
    }
}

fn prepared(request: Request<Bytes>, driver: Driver<'_>, version: Version) -> Request<Payload> {
    let (mut head, body) = request.into_parts();
    if !body.is_empty() {
        head.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    head.version = version;
    if version == Version::HTTP_11 {
        let authority = head.uri.authority().map(|authority| HeaderValue::from_str(authority.as_str()));
        if let Some(Ok(host)) = authority {
            head.headers.insert(HOST, host);
        }
        let target = head.uri.path_and_query().cloned();
        head.uri = target.map_or_else(|| Uri::from_static("/"), Uri::from);
    }
    let payload = match body.is_empty() {
        true => Payload::none(),
        false => Payload::new(Box::pin(Whole(Some(body))), driver.clock).0,
    };
    Request::from_parts(head, payload)
}

async fn whole(answer: Response<Incoming>, most: usize) -> Result<Answered, ExchangeError> {
    let (head, mut incoming) = answer.into_parts();
    let mut body = BytesMut::new();
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|error| ExchangeError::Broken(link::broken(&error)))?;
        let Ok(octets) = frame.into_data() else { continue };
        if body.len() + octets.len() > most {
            return Err(ExchangeError::TooLarge(most));
        }
        body.extend_from_slice(&octets);
    }
    Ok(Answered { status: head.status, headers: head.headers, body: body.freeze() })
}

/// A body that is there at once.
struct Whole(Option<Bytes>);

impl Body for Whole {
    type Data = Bytes;
    type Error = SourceError;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, SourceError>>> {
        Poll::Ready(self.0.take().map(|octets| Ok(Frame::data(octets))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |octets| octets.len() as u64))
    }
}
