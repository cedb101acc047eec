//! Bodies that come in steps, and what faults do to them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};

use super::clock::Clock;
use super::fault::Break;
use super::server::Line;
use super::stats::Stats;

/// A body was cut on purpose: hyper closes the connection or resets the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body was cut by the fault desk")]
pub struct Severed;

/// The body of every response.
pub type OriginBody = UnsyncBoxBody<Bytes, Severed>;

/// A body that is there already.
pub fn whole(bytes: Bytes) -> OriginBody {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

type Step<S> = Pin<Box<dyn Future<Output = Option<Result<(Bytes, S), Severed>>> + Send>>;

struct Steps<S, F> {
    step: F,
    running: Option<Step<S>>,
}

/// A body made step by step: `step` takes the state and gives the next bytes with the next state, or the end.
pub fn steps<S, F, Fut>(state: S, step: F) -> OriginBody
where
    S: 'static,
    F: Fn(S) -> Fut + Send + Unpin + 'static,
    Fut: Future<Output = Option<Result<(Bytes, S), Severed>>> + Send + 'static,
{
    let step = move |state| -> Step<S> { Box::pin(step(state)) };
    let running = Some(step(state));
    Steps { step, running }.boxed_unsync()
}

impl<S, F: Fn(S) -> Step<S> + Unpin> Body for Steps<S, F> {
    type Data = Bytes;
    type Error = Severed;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Severed>>> {
        let Some(running) = self.running.as_mut() else {
            return Poll::Ready(None);
        };
        let next = ready!(running.as_mut().poll(cx));
        self.running = None;
        Poll::Ready(next.map(|step| {
            let (bytes, state) = step?;
            self.running = Some((self.step)(state));
            Ok(Frame::data(bytes))
        }))
    }
}

/// `body` at `bytes_per_s`, in twentieths of a second.
pub fn drip(body: OriginBody, bytes_per_s: u64, clock: Clock) -> OriginBody {
    let piece = usize::try_from(bytes_per_s.div_ceil(20)).unwrap_or(usize::MAX);
    steps((body, Bytes::new()), move |(mut body, mut left)| {
        let clock = clock.clone();
        async move {
            while left.is_empty() {
                match body.frame().await? {
                    Ok(frame) => left = frame.into_data().unwrap_or_default(),
                    Err(severed) => return Some(Err(severed)),
                }
            }
            clock.sleep((piece.min(left.len()) as u64 * 1000).div_ceil(bytes_per_s)).await;
            let now = left.split_to(piece.min(left.len()));
            Some(Ok((now, (body, left))))
        }
    })
}

/// What was handed to hyper before a cut is given this long to leave the machine.
const FLUSH: Duration = Duration::from_millis(20);

/// `body`, broken after `after` bytes.
pub fn broken(body: OriginBody, after: u64, how: Break, line: Arc<Line>) -> OriginBody {
    steps((body, Bytes::new(), Some((after, how))), move |(mut body, mut ready, mut fault)| {
        let line = line.clone();
        async move {
            if let Some((0, how)) = fault.take_if(|(left, _)| *left == 0) {
                tokio::time::sleep(FLUSH).await;
                match how {
                    Break::Stall(barrier) => barrier.pass().await,
                    Break::Cut => return Some(Err(Severed)),
                    Break::Reset => line.reset().await,
                }
            }
            while ready.is_empty() {
                match body.frame().await? {
                    Ok(frame) => ready = frame.into_data().unwrap_or_default(),
                    Err(severed) => return Some(Err(severed)),
                }
            }
            let Some((left, _)) = &mut fault else {
                return Some(Ok((ready, (body, Bytes::new(), None))));
            };
            let take = ready.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= take as u64;
            let now = ready.split_to(take);
            Some(Ok((now, (body, ready, fault))))
        }
    })
}

/// A body whose bytes are counted into the log when it ends or is dropped.
pub struct Tallied {
    inner: OriginBody,
    stats: Arc<Stats>,
    seq: u64,
    expected: Option<u64>,
    sent: u64,
    ended: bool,
}

impl Tallied {
    /// Counts `inner` for request `seq`; `expected` is its Content-Length.
    pub fn new(inner: OriginBody, stats: Arc<Stats>, seq: u64, expected: Option<u64>) -> Self {
        Self { inner, stats, seq, expected, sent: 0, ended: false }
    }
}

impl Body for Tallied {
    type Data = Bytes;
    type Error = Severed;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Severed>>> {
        let polled = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        match &polled {
            Some(Ok(frame)) => self.sent += frame.data_ref().map_or(0, Bytes::len) as u64,
            Some(Err(_)) => {}
            None => self.ended = true,
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for Tallied {
    fn drop(&mut self) {
        let complete = self.ended || self.inner.is_end_stream() || Some(self.sent) == self.expected;
        self.stats.amend(self.seq, |entry| {
            entry.bytes = self.sent;
            entry.complete = complete;
        });
    }
}
