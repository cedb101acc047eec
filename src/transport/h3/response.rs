//! A response on its way to its stream: the head in a HEADERS frame, the body in DATA frames of whole chunks, which are
//! never copied. The next chunk is asked for when the one before was taken, so a slow reader makes nobody buffer.
//!
//! A body whose length is announced is one DATA frame, whose head leaves together with the response's; a body that
//! breaks off, or has another length than was announced, is an error on the wire and never a clean end.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use http_body::Body;
use smallvec::{SmallVec, smallvec};

use super::code::Code;
use super::frame::{self, kind};
use super::message::is_of_connection;
use super::qpack::{self, Secrecy};
use crate::transport::quic::streams::{StreamId, Streams, Written};

/// What is left of a response.
pub struct Outgoing<B> {
    chunks: SmallVec<[Bytes; 3]>,
    body: Option<B>,
    length: Length,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    /// Octets that are still owed.
    Announced(u64),
    Open,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing was written yet: the head waits for the first chunk, if that is there.
    Head,
    Body,
}

/// How far a response came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// All of it was taken.
    Done,
    /// Its body has nothing at present; the context's waker is woken.
    AwaitsBody,
    /// The stream has no room; `taken` octets were taken before.
    Blocked {
        /// Octets.
        taken: usize,
    },
}

/// Why a response cannot be completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The client wants no more of it.
    Stopped(Code),
    /// Its body ended in an error, or has another length than was announced.
    Body,
}

enum Pulled {
    Chunk,
    End,
    Pending,
}

/// Chunks that one poll passes on at most, so that one response does not hold up the others of a worker.
const CHUNKS_A_POLL: usize = 64;

impl<B: Body<Data = Bytes> + Unpin> Outgoing<B> {
    /// A response to a request with `method`.
    pub fn new(response: Response<B>, method: &Method) -> Self {
        let (parts, body) = response.into_parts();
        let is_bare =
            *method == Method::HEAD || matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        if is_bare {
            let omitted = (parts.status == StatusCode::NO_CONTENT).then_some(header::CONTENT_LENGTH);
            return Self::bare(head(parts.status, &parts.headers, omitted.as_ref()));
        }
        let announced = parts.headers.get(header::CONTENT_LENGTH).and_then(number);
        let length = announced.or_else(|| body.size_hint().exact());
        let mut out = head(parts.status, &parts.headers, Some(&header::CONTENT_LENGTH));
        if let Some(length) = length {
            append(&mut out, |out| qpack::encode("content-length", length.to_string().as_bytes(), Secrecy::Open, out));
            if length > 0 {
                frame::put_head(kind::DATA, length, &mut out);
            }
        }
        let is_empty = length == Some(0) && body.is_end_stream();
        Self {
            chunks: smallvec![out.into()],
            body: (!is_empty).then_some(body),
            length: length.map_or(Length::Open, Length::Announced),
            stage: Stage::Head,
        }
    }

    /// A response that is there whole.
    pub fn whole(response: Response<Bytes>, method: &Method) -> Self {
        let (parts, body) = response.into_parts();
        let mut head = head(parts.status, &parts.headers, None);
        if *method == Method::HEAD || body.is_empty() {
            return Self::bare(head);
        }
        frame::put_head(kind::DATA, body.len() as u64, &mut head);
        let mut whole = Self::bare(head);
        whole.chunks.push(body);
        whole
    }

    fn bare(head: Vec<u8>) -> Self {
        Self { chunks: smallvec![head.into()], body: None, length: Length::Open, stage: Stage::Body }
    }

    /// Writes what is there and fits.
    ///
    /// # Errors
    /// The response cannot be completed; the stream is to be reset.
    pub fn write(&mut self, cx: &mut Context<'_>, id: StreamId, streams: &mut dyn Streams) -> Result<Progress, Broken> {
        if self.stage == Stage::Head {
            self.stage = Stage::Body;
            self.pull(cx)?;
        }
        let mut taken = 0;
        for _ in 0..CHUNKS_A_POLL {
            if self.chunks.is_empty() {
                match self.pull(cx)? {
                    Pulled::Chunk => {}
                    Pulled::End => return Ok(Progress::Done),
                    Pulled::Pending => return Ok(Progress::AwaitsBody),
                }
            }
            match streams.write(id, &mut self.chunks) {
                Written::Octets(0) | Written::Blocked => return Ok(Progress::Blocked { taken }),
                Written::Octets(octets) => taken += octets,
                Written::Stopped(code) => return Err(Broken::Stopped(code)),
            }
            self.chunks.retain(|chunk| !chunk.is_empty());
        }
        cx.waker().wake_by_ref();
        Ok(Progress::AwaitsBody)
    }

    /// Asks the body for its next frame.
    fn pull(&mut self, cx: &mut Context<'_>) -> Result<Pulled, Broken> {
        for _ in 0..CHUNKS_A_POLL {
            let Some(body) = &mut self.body else { return self.end() };
            let frame = match Pin::new(body).poll_frame(cx) {
                Poll::Pending => return Ok(Pulled::Pending),
                Poll::Ready(None) => {
                    self.body = None;
                    return self.end();
                }
                Poll::Ready(Some(frame)) => frame.map_err(|_| Broken::Body)?,
            };
            match frame.into_data() {
                Ok(data) if data.is_empty() => {}
                Ok(data) => {
                    self.data(data)?;
                    return Ok(Pulled::Chunk);
                }
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        self.body = None;
                        self.end()?;
                        self.chunks.push(section(|out| fields(&trailers, None, out)).into());
                        return Ok(Pulled::Chunk);
                    }
                }
            }
        }
        cx.waker().wake_by_ref();
        Ok(Pulled::Pending)
    }

    fn data(&mut self, data: Bytes) -> Result<(), Broken> {
        match &mut self.length {
            Length::Announced(left) => *left = left.checked_sub(data.len() as u64).ok_or(Broken::Body)?,
            Length::Open => {
                let mut head = Vec::with_capacity(9);
                frame::put_head(kind::DATA, data.len() as u64, &mut head);
                self.chunks.push(head.into());
            }
        }
        self.chunks.push(data);
        if self.body.as_ref().is_some_and(Body::is_end_stream) {
            self.body = None;
            self.end()?;
        }
        Ok(())
    }

    fn end(&self) -> Result<Pulled, Broken> {
        match self.length {
            Length::Announced(left) if left > 0 => Err(Broken::Body),
            Length::Announced(_) | Length::Open => Ok(Pulled::End),
        }
    }
}

fn number(value: &HeaderValue) -> Option<u64> {
    value.to_str().ok()?.parse().ok()
}

/// The head of a HEADERS frame whose length takes four octets, whatever it is.
const SECTION_AT: usize = 5;

/// A HEADERS frame with what `write` puts into it.
fn section(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    out.extend([kind::HEADERS as u8, 0x80, 0, 0, 0]);
    qpack::begin(&mut out);
    append(&mut out, write);
    out
}

/// Writes more into the HEADERS frame that `out` is.
fn append(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    write(out);
    let length = (out.len() - SECTION_AT) as u32 | 0x8000_0000;
    out[SECTION_AT - 4..SECTION_AT].copy_from_slice(&length.to_be_bytes());
}

fn head(status: StatusCode, headers: &HeaderMap, omitted: Option<&header::HeaderName>) -> Vec<u8> {
    section(|out| {
        qpack::encode(":status", status.as_str().as_bytes(), Secrecy::Open, out);
        fields(headers, omitted, out);
    })
}

fn fields(headers: &HeaderMap, omitted: Option<&header::HeaderName>, out: &mut Vec<u8>) {
    for (name, value) in headers {
        if Some(name) == omitted || is_of_connection(name) {
            continue;
        }
        let is_secret = value.is_sensitive() || *name == header::SET_COOKIE || *name == header::AUTHORIZATION;
        let secrecy = if is_secret { Secrecy::Secret } else { Secrecy::Open };
        qpack::encode(name.as_str(), value.as_bytes(), secrecy, out);
    }
}
