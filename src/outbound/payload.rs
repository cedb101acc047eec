//! What a request carries up. It remembers when the peer last took a piece of it and whether it is waiting for its own
//! source, so that a deadline can tell a peer that takes nothing from a viewer who sends nothing.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::clock::{Clock, Tick};

/// Why a source of bytes failed; only its owner can know more.
pub type SourceError = Box<dyn Error + Send + Sync>;

/// Where the bytes of a request body come from.
pub type Source = Pin<Box<dyn Body<Data = Bytes, Error = SourceError> + Send>>;

/// A request body on its way to a peer, or none.
pub struct Payload(Option<(Source, Uptake)>);

/// How far a peer has taken a [`Payload`]. Clones tell of the same one.
#[derive(Clone)]
pub struct Uptake(Arc<UptakeState>);

struct UptakeState {
    clock: Clock,
    last_nanos: AtomicU64,
    waits_for_source: AtomicBool,
}

impl Payload {
    /// No body.
    pub fn none() -> Self {
        Self(None)
    }

    /// A body, and the view of its progress.
    pub fn new(source: Source, clock: &Clock) -> (Self, Uptake) {
        let uptake = Uptake(Arc::new(UptakeState {
            clock: clock.clone(),
            last_nanos: AtomicU64::new(nanos(clock.now())),
            waits_for_source: AtomicBool::new(false),
        }));
        (Self(Some((source, uptake.clone()))), uptake)
    }

    /// Gives the source back, as far as it was not read.
    pub fn into_source(self) -> Option<Source> {
        self.0.map(|(source, _)| source)
    }
}

impl Uptake {
    /// The moment from which the peer's silence counts: now, while the source has nothing to give.
    pub fn silent_since(&self) -> Tick {
        if self.0.waits_for_source.load(Relaxed) {
            return self.0.clock.now();
        }
        Tick::at(Duration::from_nanos(self.0.last_nanos.load(Relaxed)))
    }

    fn taken(&self) {
        self.0.waits_for_source.store(false, Relaxed);
        self.0.last_nanos.store(nanos(self.0.clock.now()), Relaxed);
    }
}

fn nanos(tick: Tick) -> u64 {
    tick.since_start().as_nanos() as u64
}

impl Body for Payload {
    type Data = Bytes;
    type Error = SourceError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, SourceError>>> {
        let Some((source, uptake)) = &mut self.0 else { return Poll::Ready(None) };
        let polled = source.as_mut().poll_frame(cx);
        match polled.is_pending() {
            true => uptake.0.waits_for_source.store(true, Relaxed),
            false => uptake.taken(),
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|(source, _)| source.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(|| SizeHint::with_exact(0), |(source, _)| source.size_hint())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::WallTime;
    use std::task::Waker;

    /// Gives one byte, then nothing more.
    struct Once(Option<Bytes>);

    impl Body for Once {
        type Data = Bytes;
        type Error = SourceError;
        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, SourceError>>> {
            match self.0.take() {
                Some(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
                None => Poll::Pending,
            }
        }
    }

    #[test]
    fn silence_counts_against_the_peer_only_while_there_is_something_to_take() {
        let clock = Clock::manual(WallTime::default());
        let (mut payload, uptake) = Payload::new(Box::pin(Once(Some(Bytes::from_static(b"x")))), &clock);
        let start = clock.now();
        clock.advance(Duration::from_secs(3));
        assert_eq!(uptake.silent_since(), start);

        let mut cx = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut payload).poll_frame(&mut cx).is_ready());
        clock.advance(Duration::from_secs(4));
        assert_eq!(uptake.silent_since(), start + Duration::from_secs(3));

        assert!(Pin::new(&mut payload).poll_frame(&mut cx).is_pending());
        assert_eq!(uptake.silent_since(), clock.now());
    }
}
