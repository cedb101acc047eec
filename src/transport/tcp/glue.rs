//! Between hyper and our service: a request becomes `Head` and `Upload`, the response gets our body around it. Also
//! what hyper starts for each HTTP/2 stream, with an end for streams whose viewer takes nothing.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{Request, Response};
use http_body::Body as _;
use hyper::body::Incoming;
use parking_lot::Mutex;

use super::answer;
use super::body::{Arriving, Cut, Outgoing};
use super::counters::{Counters, Deadline};
use super::exchange::{Exchange, Exchanges, Waiting};
use super::interim::Interlude;
use super::wire::Wire;
use super::{Settings, Spoken};
use crate::clock::Clock;
use crate::request::{Line, Protocol, Scheme, Upload};
use crate::tasks::Tasks;
use crate::transport::Service;
use crate::transport::alarm::Alarm;
use crate::transport::head::{self, Arrival, BadRequest};

/// A full HTTP/2 frame of this many octets is one TLS record of the largest size together with its frame header.
const SLICE_TLS: usize = (16 << 10) - 9;
const SLICE_CLEAR: usize = 16 << 10;

/// What the requests of one connection have in common.
pub(super) struct Glue<S> {
    pub(super) service: S,
    pub(super) settings: Arc<Settings>,
    pub(super) exchanges: Arc<Exchanges>,
    pub(super) counters: Arc<Counters>,
    pub(super) clock: Clock,
    pub(super) peer: SocketAddr,
    pub(super) address: SocketAddr,
    pub(super) scheme: Scheme,
    pub(super) spoken: Spoken,
    /// What is known of the way to the viewer.
    pub(super) line: Line,
    /// Where interim answers are written.
    pub(super) wire: Arc<Mutex<Wire>>,
    /// Where the next stream that hyper starts finds what to watch.
    pub(super) next_stream: NextStream,
}

/// hyper calls the service and starts the stream's task right after, in one poll: what the one leaves here is the
/// other's.
pub(super) type NextStream = Arc<Mutex<Option<Arc<Waiting>>>>;

impl<S: Service> Glue<S> {
    fn answer(&self, request: Request<Incoming>) -> Answering<S::Body> {
        let exchange = self.exchanges.begin(request.version());
        self.wire.lock().look();
        let cut = self.cut();
        let (parts, body) = request.into_parts();
        let arrival = Arrival {
            peer: self.peer,
            address: self.address,
            scheme: self.scheme,
            protocol: head::protocol(parts.version),
            trusted: &self.settings.trusted_proxies,
            fields: self.settings.limits.head_fields,
            received: exchange.began(),
        };
        let is_told = arrival.protocol == Protocol::Http11;
        let interlude = is_told.then(|| Interlude::new(self.wire.clone()));
        let answer = match head::read(parts, &arrival) {
            Ok(mut head) => {
                head.interims = interlude.as_ref().map(Interlude::interims).unwrap_or_default();
                head.line = self.line.clone();
                Answer::Service(self.service.serve(head, self.upload(body)))
            }
            Err(bad) => Answer::Bad(bad),
        };
        if let Answer::Bad(bad) = &answer {
            self.counters.bad_request(*bad);
        }
        Answering { answer, interlude, rest: Some((cut, exchange)) }
    }

    fn cut(&self) -> Cut {
        match self.spoken {
            Spoken::H1 => Cut::Whole,
            Spoken::H2 => {
                let waiting = Arc::<Waiting>::default();
                *self.next_stream.lock() = Some(waiting.clone());
                let max = match self.scheme {
                    Scheme::Https => SLICE_TLS,
                    Scheme::Http => SLICE_CLEAR,
                };
                Cut::Slices { max, waiting, clock: self.clock.clone() }
            }
        }
    }

    fn upload(&self, body: Incoming) -> Upload {
        if body.is_end_stream() {
            return Upload::Empty;
        }
        Upload::Streaming(Box::pin(Arriving::new(
            body,
            self.exchanges.clone(),
            self.counters.clone(),
            self.clock.clone(),
            self.settings.limits.write_progress,
        )))
    }
}

impl<S: Service> hyper::service::Service<Request<Incoming>> for Glue<S> {
    type Response = Response<Outgoing<S::Body>>;
    type Error = Infallible;
    type Future = Answering<S::Body>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.answer(request)
    }
}

/// A request on its way to its answer.
pub(super) struct Answering<B> {
    answer: Answer<B>,
    interlude: Option<Interlude>,
    rest: Option<(Cut, Exchange)>,
}

enum Answer<B> {
    Service(Pin<Box<dyn Future<Output = Response<B>> + Send>>),
    Bad(BadRequest),
}

impl<B: http_body::Body> Future for Answering<B> {
    type Output = Result<Response<Outgoing<B>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = match &mut self.answer {
            Answer::Service(serving) => serving.as_mut().poll(cx).map(Ok),
            Answer::Bad(bad) => Poll::Ready(Err(*bad)),
        };
        if let Some(interlude) = &self.interlude {
            interlude.write(cx);
        }
        let answer = ready!(answer);
        let (cut, exchange) = self.rest.take().expect("an answer is given once");
        Poll::Ready(Ok(match answer {
            Ok(response) => response.map(|body| Outgoing::service(body, cut, exchange)),
            Err(bad) => answer::bad_request(bad).map(|body| Outgoing::own(body, exchange)),
        }))
    }
}

/// Starts the tasks of HTTP/2 streams.
#[derive(Clone)]
pub(super) struct Streams {
    pub(super) tasks: Tasks,
    pub(super) clock: Clock,
    pub(super) counters: Arc<Counters>,
    pub(super) next_stream: NextStream,
    /// How long a stream's answer may wait for the viewer to take some of it.
    pub(super) patience: Duration,
}

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let Some(waiting) = self.next_stream.lock().take() else {
            self.tasks.spawn("h2-upgrade", stream);
            return;
        };
        let mut alarm = Alarm::new(self.clock.clone());
        let (counters, patience) = (self.counters.clone(), self.patience);
        // The future is large; one allocation, the task's own, holds it.
        self.tasks.spawn("h2-stream", async move {
            let mut stream = std::pin::pin!(stream);
            std::future::poll_fn(|cx| {
                if stream.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                let Some(since) = waiting.since() else { return Poll::Pending };
                // Dropping the stream unfinished resets it (CANCEL); the connection goes on.
                ready!(alarm.poll_at(cx, since + patience));
                counters.missed(Deadline::Write);
                Poll::Ready(())
            })
            .await;
        });
    }
}
