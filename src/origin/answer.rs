//! An origin's answer: its head, judged, and its body, which is whole or an error.
//!
//! A body ends well only if what was announced arrived, or the end was said (last chunk, END_STREAM), or the connection
//! was closed where nothing else ends it; and only if nothing came after it (HC-112, HC-120, HC-128). The connection
//! then goes back to the pool. Dropping an unfinished body closes the connection (HTTP/1.1) or resets the stream.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, Method, Response, StatusCode, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::clock::Clock;
use crate::origin::Upstream;
use crate::origin::failure::{FetchError, Wait};
use crate::origin::pool::Lease;
use crate::outbound::dial::Protocol;
use crate::outbound::link::{Broken, HEAD_FIELDS, HEAD_SIZE, Rest, broken};

/// An origin's answer.
pub struct Answer {
    /// Its status; never 1xx.
    pub status: StatusCode,
    /// The version it came by.
    pub version: Version,
    /// Its end-to-end fields, Content-Length included.
    pub headers: HeaderMap,
    /// Its body. Poll it to the end, even past the last announced octet: only then it is known to be whole.
    pub body: AnswerBody,
    /// Who answered.
    pub origin: Arc<str>,
    /// What Content-Length says, also in answers to HEAD and in a 304.
    pub announced_length: Option<u64>,
    /// How the end of the body shows.
    pub framing: Framing,
    /// How long things took.
    pub timing: Timing,
    /// Its URL, where redirects led away from what was asked for.
    pub found_at: Option<String>,
}

/// How the end of a body shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// By its length, its last chunk, or the end of its stream.
    Delimited,
    /// By the end of a TLS connection, which is told apart from a cut.
    ClosedProven,
    /// By the end of a cleartext connection: a cut looks the same, so the body should not be stored (HC-121).
    ClosedUnproven,
}

/// How long things took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// From the call to the moment the request was sent: a place, a connection, earlier attempts.
    pub before: Duration,
    /// From then to the head of the answer.
    pub first_byte: Duration,
}

/// A head that was judged.
pub(super) struct Judged {
    pub announced_length: Option<u64>,
    pub framing: Framing,
    /// Content-Length where it counts octets that must come.
    pub expected: Option<u64>,
}

/// What a body is held to.
pub(super) struct Expects {
    /// Octets that must come, where they are announced.
    pub octets: Option<u64>,
    /// Whether its end waits for the connection.
    pub settles: Settles,
}

/// The body of an [`Answer`]. Trailers are dropped.
pub struct AnswerBody {
    /// Given up with the lease when the body ends, well or not.
    incoming: Option<Incoming>,
    lease: Option<Lease>,
    upstream: Arc<Upstream>,
    clock: Clock,
    silence: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    idle: Duration,
    got: u64,
    expected: Option<u64>,
    settles: Settles,
    phase: Phase,
    instead: Option<Instead>,
}

type Hears = Box<dyn FnOnce(&[u8]) + Send>;

/// What is said in place of the origin's octets, which are read all the same, so that the connection can be used again.
struct Instead {
    octets: Bytes,
    /// Told the beginning of what the origin said.
    hears: Hears,
    heard: Vec<u8>,
}

/// So many octets of an answer that nobody reads are waited for.
const UNREAD: u64 = 16 << 10;
/// So many of them are told.
const HEARD: usize = 1 << 10;

/// Whether the end of a body waits for the connection to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settles {
    /// The request is wholly sent, so the connection will be.
    WithTheConnection,
    /// The request's own body may still be on its way up.
    AtOnce,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Octets come.
    Streaming,
    /// All came; what becomes of the connection decides.
    Settling,
    Done,
}

/// Judges the head of an answer to `method`.
///
/// # Errors
/// In which way it is malformed: the parts of HC-103, HC-104 and of the bounds that hyper and h2 let pass.
pub(super) fn judge<B>(answer: &Response<B>, method: &Method, lease: &Lease) -> Result<Judged, String> {
    let headers = answer.headers();
    let size: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if headers.len() > HEAD_FIELDS || size > HEAD_SIZE {
        return Err("its head is too large".into());
    }
    if !(200..600).contains(&answer.status().as_u16()) {
        return Err(format!("status {} ends no exchange", answer.status().as_u16()));
    }
    let announced_length = content_length(headers)?;
    let chunked = chunked(headers)?;
    if chunked && announced_length.is_some() {
        return Err("Content-Length beside Transfer-Encoding".into());
    }
    let bodiless =
        *method == Method::HEAD || matches!(answer.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let delimited = bodiless || chunked || announced_length.is_some() || lease.protocol() == Protocol::H2;
    let framing = match (delimited, lease.end_is_proven()) {
        (true, _) => Framing::Delimited,
        (false, true) => Framing::ClosedProven,
        (false, false) => Framing::ClosedUnproven,
    };
    Ok(Judged { announced_length, framing, expected: if bodiless { None } else { announced_length } })
}

/// Exactly one decimal number, or none (HC-103).
fn content_length(headers: &HeaderMap) -> Result<Option<u64>, String> {
    let mut fields = headers.get_all(CONTENT_LENGTH).iter();
    let Some(field) = fields.next() else { return Ok(None) };
    let digits = field.as_bytes();
    let valid = fields.next().is_none() && !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let number = field.to_str().ok().filter(|_| valid).and_then(|digits| digits.parse().ok());
    number.map(Some).ok_or_else(|| "an invalid Content-Length".into())
}

/// Exactly one field that says `chunked`, or none (HC-104).
fn chunked(headers: &HeaderMap) -> Result<bool, String> {
    let mut fields = headers.get_all(TRANSFER_ENCODING).iter();
    match (fields.next(), fields.next()) {
        (None, _) => Ok(false),
        (Some(field), None) if field.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(true),
        (Some(_), _) => Err("an unknown Transfer-Encoding".into()),
    }
}

impl AnswerBody {
    pub(super) fn new(incoming: Incoming, lease: Lease, upstream: &Arc<Upstream>, expects: Expects) -> Self {
        Self {
            incoming: Some(incoming),
            lease: Some(lease),
            upstream: upstream.clone(),
            clock: upstream.clock.clone(),
            silence: None,
            idle: upstream.config.idle,
            got: 0,
            expected: expects.octets,
            settles: expects.settles,
            phase: Phase::Streaming,
            instead: None,
        }
    }

    /// Says `octets` in place of the origin's, and tells `hears` how those began.
    pub(super) fn says_instead(&mut self, octets: Bytes, hears: impl FnOnce(&[u8]) + Send + 'static) {
        self.instead = Some(Instead { octets, hears: Box::new(hears), heard: Vec::new() });
    }

    /// Reads on without a reader, so far as that is worth a connection.
    pub(super) async fn unread(mut self) {
        if self.expected.is_some_and(|expected| expected > UNREAD) {
            return;
        }
        while self.got <= UNREAD && std::future::poll_fn(|cx| self.poll_own(cx)).await.is_some_and(|next| next.is_ok())
        {
        }
    }

    fn poll_instead(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, FetchError>>> {
        while self.got <= UNREAD {
            let Some(Ok(frame)) = ready!(self.poll_own(cx)) else { break };
            if let (Some(instead), Some(octets)) = (&mut self.instead, frame.data_ref()) {
                let room = HEARD - instead.heard.len();
                instead.heard.extend_from_slice(&octets[..octets.len().min(room)]);
            }
        }
        self.phase = Phase::Done;
        self.lease = None;
        self.incoming = None;
        let said = self.instead.take().map(|instead| {
            (instead.hears)(&instead.heard);
            Ok(Frame::data(instead.octets))
        });
        Poll::Ready(said)
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, FetchError>>> {
        loop {
            let Some(incoming) = &mut self.incoming else { return Poll::Ready(None) };
            match ready!(Pin::new(incoming).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    self.silence = None;
                    if let Ok(octets) = frame.into_data() {
                        self.got += octets.len() as u64;
                        return Poll::Ready(Some(Ok(octets)));
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(self.body_error(&error)))),
                None if self.is_short() => return Poll::Ready(Some(Err(self.cut_short()))),
                None => return Poll::Ready(None),
            }
        }
    }

    /// hyper takes RST_STREAM with NO_ERROR for an end; only END_STREAM is one.
    fn is_short(&self) -> bool {
        let is_stream = self.lease.as_ref().is_some_and(|lease| lease.protocol() == Protocol::H2);
        let stream_was_cut = is_stream && !self.has_no_more();
        stream_was_cut || self.expected.is_some_and(|expected| expected != self.got)
    }

    fn has_no_more(&self) -> bool {
        self.incoming.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn body_error(&self, error: &hyper::Error) -> FetchError {
        match broken(error) {
            Broken::Malformed(what) => FetchError::Malformed { origin: self.upstream.name.clone(), what },
            Broken::Refused | Broken::Source | Broken::StreamReset(_) | Broken::Reset(_) => self.cut_short(),
        }
    }

    fn cut_short(&self) -> FetchError {
        FetchError::CutShort { origin: self.upstream.name.clone(), got: self.got, announced: self.expected }
    }

    fn poll_settled(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), FetchError>> {
        let Some(lease) = &mut self.lease else { return Poll::Ready(Ok(())) };
        let rest = match lease.poll_rest(cx) {
            Poll::Ready(rest) => rest,
            Poll::Pending if self.settles == Settles::AtOnce => Rest::Ended,
            Poll::Pending => return Poll::Pending,
        };
        match rest {
            Rest::Reusable => self.lease.take().expect("seen above").give_back(),
            Rest::Ended => self.lease = None,
            Rest::Surplus => {
                let what = "octets after the end of its body".into();
                return Poll::Ready(Err(FetchError::Malformed { origin: self.upstream.name.clone(), what }));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Silence counts from the first poll that found nothing: a reader who comes late is not the origin's fault.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<FetchError> {
        let (clock, idle) = (&self.clock, self.idle);
        let sleep = self.silence.get_or_insert_with(|| Box::pin(clock.sleep(idle)));
        ready!(sleep.as_mut().poll(cx));
        Poll::Ready(FetchError::Timeout { origin: self.upstream.name.clone(), which: Wait::Idle })
    }

    fn poll_own(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, FetchError>>> {
        if self.phase == Phase::Streaming {
            match self.poll_data(cx) {
                Poll::Ready(Some(Ok(octets))) => return Poll::Ready(Some(Ok(Frame::data(octets)))),
                Poll::Ready(Some(Err(error))) => return self.fail(error),
                Poll::Ready(None) => self.phase = Phase::Settling,
                Poll::Pending => {}
            }
        }
        if self.phase == Phase::Settling {
            match self.poll_settled(cx) {
                Poll::Ready(Ok(())) => self.phase = Phase::Done,
                Poll::Ready(Err(error)) => return self.fail(error),
                Poll::Pending => {}
            }
        }
        if self.phase == Phase::Done {
            return Poll::Ready(None);
        }
        let error = ready!(self.poll_silence(cx));
        self.fail(error)
    }

    fn fail(&mut self, error: FetchError) -> Poll<Option<Result<Frame<Bytes>, FetchError>>> {
        self.phase = Phase::Done;
        self.lease = None;
        self.incoming = None;
        self.upstream.figures.count(error.outcome());
        if let Some(class) = error.class() {
            self.upstream.memory.failed(self.clock.now(), class);
        }
        Poll::Ready(Some(Err(error)))
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = FetchError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, FetchError>>> {
        let this = self.get_mut();
        match this.instead {
            Some(_) => this.poll_instead(cx),
            None => this.poll_own(cx),
        }
    }

    /// True beforehand only for answers without a body; else once the end was seen.
    fn is_end_stream(&self) -> bool {
        self.instead.is_none() && (self.phase == Phase::Done || (self.got == 0 && self.has_no_more()))
    }

    fn size_hint(&self) -> SizeHint {
        if let Some(instead) = &self.instead {
            return SizeHint::with_exact(instead.octets.len() as u64);
        }
        match self.expected {
            Some(expected) => SizeHint::with_exact(expected.saturating_sub(self.got)),
            None if self.is_end_stream() => SizeHint::with_exact(0),
            None => SizeHint::default(),
        }
    }
}

impl Drop for AnswerBody {
    /// An answer without a body needs no polling for its connection to be used again.
    fn drop(&mut self) {
        if self.got == 0
            && self.has_no_more()
            && let Some(lease) = self.lease.take()
        {
            lease.give_back();
        }
    }
}
