//! Bodies as they cross hyper: the answer on its way out, the upload on its way in.

use std::error::Error as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::counters::{Counters, Deadline};
use super::exchange::{Exchange, Exchanges, Waiting};
use crate::clock::{Clock, Tick};
use crate::request::UploadError;
use crate::transport::alarm::Alarm;

/// How an answer is cut for the transport.
pub(super) enum Cut {
    /// As it comes (HTTP/1.x).
    Whole,
    /// Into slices of at most so many octets (HTTP/2), noting when the transport keeps it waiting.
    Slices { max: usize, waiting: Arc<Waiting>, clock: Clock },
}

/// An answer's body on its way out.
pub(super) struct Outgoing<B> {
    source: Source<B>,
    rest: Bytes,
    cut: Cut,
    exchange: Exchange,
}

enum Source<B> {
    Service(B),
    /// The transport's own answer.
    Own,
}

impl<B> Outgoing<B> {
    pub(super) fn service(body: B, cut: Cut, mut exchange: Exchange) -> Self
    where
        B: Body,
    {
        // hyper does not ask an empty body for anything.
        if body.is_end_stream() {
            exchange.settle();
        }
        Self { source: Source::Service(body), rest: Bytes::new(), cut, exchange }
    }

    pub(super) fn own(body: Bytes, exchange: Exchange) -> Self {
        Self { source: Source::Own, rest: body, cut: Cut::Whole, exchange }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Outgoing<B> {
    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match &mut self.source {
            Source::Service(body) => Pin::new(body).poll_frame(cx),
            Source::Own => Poll::Ready(None),
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Outgoing<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if let Cut::Slices { waiting, .. } = &self.cut {
            waiting.end();
        }
        if self.rest.is_empty() {
            match ready!(self.poll_source(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(octets) => self.rest = octets,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                end => {
                    self.exchange.settle();
                    return Poll::Ready(end);
                }
            }
        }
        let whole = self.rest.len();
        let taken = match &self.cut {
            Cut::Whole => whole,
            Cut::Slices { max, waiting, clock } => {
                waiting.begin(clock.now());
                whole.min(*max)
            }
        };
        let slice = self.rest.split_to(taken);
        // hyper asks for nothing after the last one.
        if self.is_end_stream() {
            self.exchange.settle();
        }
        Poll::Ready(Some(Ok(Frame::data(slice))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
            && match &self.source {
                Source::Service(body) => body.is_end_stream(),
                Source::Own => true,
            }
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        let mut hint = match &self.source {
            Source::Service(body) => body.size_hint(),
            Source::Own => SizeHint::with_exact(0),
        };
        match hint.upper() {
            Some(upper) if upper == hint.lower() => hint.set_exact(upper + rest),
            Some(upper) => {
                hint.set_upper(upper + rest);
                hint.set_lower(hint.lower() + rest);
            }
            None => hint.set_lower(hint.lower() + rest),
        }
        hint
    }
}

/// A request body on its way in. Trailers are dropped: nothing below could tell safe ones from others
/// (RFC 9110 §6.5.1).
pub(super) struct Arriving {
    body: Incoming,
    exchanges: Arc<Exchanges>,
    counters: Arc<Counters>,
    clock: Clock,
    alarm: Alarm,
    /// Longest silence.
    patience: Duration,
    silent_since: Option<Tick>,
}

impl Arriving {
    pub(super) fn new(
        body: Incoming,
        exchanges: Arc<Exchanges>,
        counters: Arc<Counters>,
        clock: Clock,
        patience: Duration,
    ) -> Self {
        let alarm = Alarm::new(clock.clone());
        Self { body, exchanges, counters, clock, alarm, patience, silent_since: None }
    }

    fn poll_octets(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, UploadError>>> {
        loop {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if let Ok(octets) = frame.into_data() {
                        return Poll::Ready(Some(Ok(octets)));
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(self.fault(&error)))),
                None => return Poll::Ready(None),
            }
        }
    }

    fn fault(&self, error: &hyper::Error) -> UploadError {
        let source = error.source();
        let of_octets = source
            .and_then(|source| source.downcast_ref::<io::Error>())
            .is_some_and(|error| matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData));
        let of_frames = source
            .and_then(|source| source.downcast_ref::<h2::Error>())
            .is_some_and(|error| error.reason() == Some(h2::Reason::PROTOCOL_ERROR));
        if of_octets || of_frames || self.exchanges.malformed().load(Relaxed) {
            UploadError::Malformed
        } else {
            UploadError::Cancelled
        }
    }
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        let this = self.get_mut();
        if let Poll::Ready(octets) = this.poll_octets(cx) {
            this.silent_since = None;
            return Poll::Ready(octets.map(|octets| octets.map(Frame::data)));
        }
        let since = *this.silent_since.get_or_insert_with(|| this.clock.now());
        ready!(this.alarm.poll_at(cx, since + this.patience));
        this.counters.missed(Deadline::Upload);
        Poll::Ready(Some(Err(UploadError::Stalled)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
