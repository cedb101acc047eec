//! The body of a viewer's answer while it is sent: what is sent is measured, and waits where its session is ahead of its
//! rate. Whoever is being sent something plays.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Frame;

use crate::clock::Clock;
use crate::sessions::quota::Pacer;

use super::body::{BodyError, Content};
use super::crowd::Crowd;

/// What a body is measured by.
pub struct Meter {
    /// Where what is sent is counted, and for whom.
    pub crowd: Option<(Arc<Crowd>, Option<u64>)>,
    /// What it waits for.
    pub pacer: Option<Pacer>,
    /// Time.
    pub clock: Clock,
}

/// A body that is measured.
pub struct Metered {
    content: Content,
    meter: Meter,
    waiting: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Metered {
    /// A body, and what it is measured by.
    pub fn new(content: Content, meter: Meter) -> Self {
        Self { content, meter, waiting: None }
    }

    pub(super) fn length(&self) -> Option<u64> {
        self.content.length()
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.waiting.is_none()
            && self.content.length() != Some(0)
            && let Some(until) = self.meter.pacer.as_ref().and_then(Pacer::wait)
        {
            self.waiting = Some(Box::pin(self.meter.clock.sleep_until(until)));
        }
        if let Some(waiting) = &mut self.waiting {
            ready!(waiting.as_mut().poll(cx));
            self.waiting = None;
        }
        let frame = ready!(self.content.poll(cx));
        if let Some(octets) = frame.as_ref().and_then(|frame| frame.as_ref().ok()).and_then(Frame::data_ref) {
            let octets = octets.len() as u64;
            if let Some((crowd, _)) = &self.meter.crowd {
                crowd.sent(octets);
            }
            if let Some(pacer) = &self.meter.pacer {
                pacer.sent(octets);
            }
        }
        Poll::Ready(frame)
    }
}

impl Drop for Metered {
    fn drop(&mut self) {
        if let Some((crowd, Some(viewer))) = &self.meter.crowd {
            crowd.touch(*viewer, self.meter.clock.now());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;
    use crate::clock::WallTime;
    use crate::config::Limits;
    use crate::rules::session::SessionId;
    use crate::sessions::quota::Quota;

    use super::super::body::Chunks;

    fn pieces(count: usize) -> Content {
        let chunks: Arc<[Bytes]> = (0..count).map(|_| Bytes::from_static(&[7; 65_536])).collect();
        Content::Chunks(Chunks::new(chunks, count as u64 * 65_536))
    }

    /// Reads until it must wait or is over: octets, and whether it is over.
    async fn read(body: &mut Metered) -> (usize, bool) {
        let mut octets = 0;
        loop {
            let polled = poll_fn(|cx| Poll::Ready(body.poll(cx))).await;
            match polled {
                Poll::Pending => return (octets, false),
                Poll::Ready(None) => return (octets, true),
                Poll::Ready(Some(frame)) => octets += frame.unwrap().into_data().unwrap().len(),
            }
        }
    }

    #[tokio::test]
    async fn a_body_that_is_ahead_of_its_rate_waits_and_comes_whole() {
        let clock = Clock::manual(WallTime::default());
        clock.advance(Duration::from_secs(100));
        let quota = Quota::new(clock.clone(), &Limits { session_rate: 65_536, ..Limits::default() });
        let pacer = quota.pacer(SessionId([1; 12]));
        let mut body = Metered::new(pieces(8), Meter { crowd: None, pacer, clock: clock.clone() });
        assert_eq!(body.length(), Some(8 * 65_536));
        let (mut octets, over) = read(&mut body).await;
        assert_eq!((octets / 65_536, over), (5, false), "four seconds ahead, and the piece that goes over");
        assert_eq!(read(&mut body).await, (0, false));
        for _ in 0..3 {
            clock.advance(Duration::from_secs(1));
            octets += read(&mut body).await.0;
        }
        assert_eq!((octets, read(&mut body).await), (8 * 65_536, (0, true)));
        assert_eq!(quota.figures().paced, 3);
    }
}
