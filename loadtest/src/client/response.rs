//! An answer: its head, and its body piece by piece with the time each piece came.

use std::fmt;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode, Version, header};
use hyper::body::{Body, Incoming};

use super::error::Stage;
use super::h1::Lease;
use super::h3::Exchange;
use super::{Client, ClientError};

/// A piece of a body.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// The bytes, never empty.
    pub bytes: Bytes,
    /// When they came.
    pub at: Instant,
}

/// An answer whose head has come. Dropping it before the end of the body cancels the exchange.
pub struct Response {
    /// Status.
    pub status: StatusCode,
    /// Version of HTTP it came by.
    pub version: Version,
    /// Header fields.
    pub headers: HeaderMap,
    /// When the head had come.
    pub head_at: Instant,
    source: Source,
    deadline: Instant,
    got: u64,
    announced: Option<u64>,
    trailers: Option<HeaderMap>,
    // Keeps the connection while the body is read.
    _client: Client,
}

pub(super) enum Source {
    H1(Incoming, Lease),
    H2(Incoming),
    H3(Box<Exchange>),
    Ended,
    /// An error was told; a body that failed never ends well.
    Failed,
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("version", &self.version)
            .field("headers", &self.headers)
            .field("got", &self.got)
            .finish_non_exhaustive()
    }
}

impl Response {
    pub(super) fn new(
        client: Client,
        method: &Method,
        head: http::response::Parts,
        (mut source, deadline): (Source, Instant),
    ) -> Self {
        if let Source::H1(body, lease) = &mut source
            && body.is_end_stream()
        {
            lease.give_back();
            source = Source::Ended;
        }
        let bodiless =
            *method == Method::HEAD || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let announced = head.headers.get(header::CONTENT_LENGTH);
        let announced = announced.and_then(|value| value.to_str().ok()?.parse().ok()).filter(|_| !bodiless);
        Self {
            status: head.status,
            version: head.version,
            headers: head.headers,
            head_at: Instant::now(),
            source,
            deadline,
            got: 0,
            announced,
            trailers: None,
            _client: client,
        }
    }

    /// A header field as text; empty if it is absent or not text.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Body bytes that have come so far.
    pub fn got(&self) -> u64 {
        self.got
    }

    /// Fields after the body, known once the body has ended.
    pub fn trailers(&self) -> Option<&HeaderMap> {
        self.trailers.as_ref()
    }

    /// The next piece of the body, none at its true end.
    ///
    /// # Errors
    /// [`ClientError::Cut`], [`ClientError::Reset`] or [`ClientError::Closed`] if the body was not completed,
    /// [`ClientError::Deadline`] if the exchange takes too long, [`ClientError::Malformed`] if it is not HTTP.
    pub async fn chunk(&mut self) -> Result<Option<Chunk>, ClientError> {
        let next = tokio::time::timeout_at(self.deadline.into(), self.next()).await;
        let next = next.unwrap_or(Err(ClientError::Deadline));
        match &next {
            Ok(Some(chunk)) => self.got += chunk.bytes.len() as u64,
            Ok(None) => self.source = Source::Ended,
            Err(_) => self.source = Source::Failed,
        }
        match (next, self.announced) {
            (Ok(None), Some(announced)) if announced != self.got => {
                Err(ClientError::Cut { got: self.got, announced: self.announced })
            }
            (next, _) => next,
        }
    }

    async fn next(&mut self) -> Result<Option<Chunk>, ClientError> {
        loop {
            let stage = Stage::Body { got: self.got, announced: self.announced };
            let bytes = match &mut self.source {
                Source::Ended => None,
                Source::Failed => return Err(stage.ended()),
                Source::H1(body, lease) => {
                    let bytes = data(body, &mut self.trailers, stage).await?;
                    if bytes.is_none() {
                        lease.give_back();
                    }
                    bytes
                }
                Source::H2(body) => data(body, &mut self.trailers, stage).await?,
                Source::H3(exchange) => {
                    let bytes = exchange.chunk(stage).await?;
                    if bytes.is_none() {
                        self.trailers = exchange.trailers(stage).await?;
                    }
                    bytes
                }
            };
            match bytes {
                Some(bytes) if bytes.is_empty() => {}
                bytes => {
                    let at = Instant::now();
                    return Ok(bytes.map(|bytes| Chunk { bytes, at }));
                }
            }
        }
    }

    /// The whole body.
    ///
    /// # Errors
    /// As [`Response::chunk`].
    pub async fn bytes(&mut self) -> Result<Bytes, ClientError> {
        let mut whole = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            whole.extend_from_slice(&chunk.bytes);
        }
        Ok(whole.freeze())
    }

    /// Reads the body to its end without keeping it, and says how long it was.
    ///
    /// # Errors
    /// As [`Response::chunk`].
    pub async fn drain(&mut self) -> Result<u64, ClientError> {
        while self.chunk().await?.is_some() {}
        Ok(self.got)
    }
}

/// The next data of a body; none at its end. Trailers are put aside.
async fn data(
    body: &mut Incoming,
    trailers: &mut Option<HeaderMap>,
    stage: Stage,
) -> Result<Option<Bytes>, ClientError> {
    use http_body_util::BodyExt;
    while let Some(frame) = body.frame().await {
        match frame.map_err(|error| stage.hyper(error))?.into_data() {
            Ok(bytes) => return Ok(Some(bytes)),
            Err(frame) => *trailers = frame.into_trailers().ok(),
        }
    }
    Ok(None)
}
