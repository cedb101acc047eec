//! A service of closures, and bodies that a test feeds.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;

use crate::request::{Head, Upload};
use crate::transport::Service;

type Serve = dyn Fn(Head, Upload) -> Pin<Box<dyn Future<Output = Response<TestBody>> + Send>> + Send + Sync;

#[derive(Clone)]
pub struct TestService(Arc<Serve>);

impl TestService {
    pub fn new(
        serve: impl Fn(Head, Upload) -> Pin<Box<dyn Future<Output = Response<TestBody>> + Send>> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(serve))
    }
}

impl Service for TestService {
    type Body = TestBody;
    fn serve(&self, head: Head, upload: Upload) -> Pin<Box<dyn Future<Output = Response<TestBody>> + Send>> {
        (self.0)(head, upload)
    }
}

/// A body that a test feeds.
#[derive(Clone, Default)]
pub struct Script(Arc<Mutex<ScriptState>>);

#[derive(Default)]
struct ScriptState {
    frames: VecDeque<Result<Frame<Bytes>, io::Error>>,
    is_ended: bool,
    exact: Option<u64>,
    reader: Option<Waker>,
    pulls: usize,
    is_dropped: bool,
}

impl Script {
    pub fn exact(self, octets: u64) -> Self {
        self.0.lock().exact = Some(octets);
        self
    }

    pub fn data(&self, data: impl Into<Bytes>) {
        self.push(Ok(Frame::data(data.into())));
    }

    pub fn trailers(&self, trailers: HeaderMap) {
        self.push(Ok(Frame::trailers(trailers)));
    }

    pub fn fail(&self) {
        self.push(Err(io::Error::other("the origin broke off")));
    }

    fn push(&self, frame: Result<Frame<Bytes>, io::Error>) {
        let mut state = self.0.lock();
        state.frames.push_back(frame);
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
    }

    pub fn end(&self) {
        let mut state = self.0.lock();
        state.is_ended = true;
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
    }

    pub fn left(&self) -> usize {
        self.0.lock().frames.len()
    }

    pub fn pulls(&self) -> usize {
        self.0.lock().pulls
    }

    pub fn is_dropped(&self) -> bool {
        self.0.lock().is_dropped
    }

    pub fn body(&self) -> TestBody {
        TestBody(self.clone())
    }
}

pub struct TestBody(Script);

impl TestBody {
    pub fn full(data: impl Into<Bytes>) -> Self {
        let data = data.into();
        let script = Script::default().exact(data.len() as u64);
        script.data(data);
        script.end();
        script.body()
    }
}

impl Drop for TestBody {
    fn drop(&mut self) {
        self.0.0.lock().is_dropped = true;
    }
}

impl Body for TestBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let mut state = self.0.0.lock();
        state.pulls += 1;
        match state.frames.pop_front() {
            Some(frame) => Poll::Ready(Some(frame)),
            None if state.is_ended => Poll::Ready(None),
            None => {
                state.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let state = self.0.0.lock();
        state.frames.is_empty() && state.is_ended
    }

    fn size_hint(&self) -> SizeHint {
        self.0.0.lock().exact.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
