//! Wakers of one connection: each stream has its own, which notes that the stream is ready and wakes the connection.
//! One poll of the connection then looks at the streams that are ready and at no other.
//!
//! A stream is in the list at most once, so the list is never longer than there are streams with living wakers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use parking_lot::Mutex;

use crate::transport::quic::streams::StreamId;

/// The ready streams of one connection.
#[derive(Debug, Default)]
pub struct Ready(Mutex<List>);

#[derive(Debug, Default)]
struct List {
    streams: Vec<Arc<StreamWaker>>,
    connection: Option<Waker>,
}

/// The waker of one stream.
#[derive(Debug)]
pub struct StreamWaker {
    id: StreamId,
    listed: AtomicBool,
    ready: Arc<Ready>,
}

impl StreamWaker {
    /// A waker for the stream `id` of the connection that owns `ready`.
    pub fn new(id: StreamId, ready: &Arc<Ready>) -> Arc<Self> {
        Arc::new(Self { id, listed: AtomicBool::new(false), ready: ready.clone() })
    }

    /// The stream.
    pub fn id(&self) -> StreamId {
        self.id
    }

    /// Notes that the stream is ready, without waking the connection: for the one who polls it anyway.
    pub fn note(self: &Arc<Self>) {
        if !self.listed.swap(true, Ordering::AcqRel) {
            self.ready.0.lock().streams.push(self.clone());
        }
    }
}

impl Wake for StreamWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.listed.swap(true, Ordering::AcqRel) {
            return;
        }
        let connection = {
            let mut list = self.ready.0.lock();
            list.streams.push(self.clone());
            list.connection.clone()
        };
        if let Some(connection) = connection {
            connection.wake();
        }
    }
}

impl Ready {
    /// Moves the streams that are ready to `taken`, which is empty; later ones wake `connection`.
    pub fn take(&self, connection: &Waker, taken: &mut Vec<Arc<StreamWaker>>) {
        {
            let mut list = self.0.lock();
            if !list.connection.as_ref().is_some_and(|known| known.will_wake(connection)) {
                list.connection = Some(connection.clone());
            }
            std::mem::swap(&mut list.streams, taken);
        }
        for waker in taken {
            waker.listed.store(false, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Woken(std::sync::atomic::AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_stream_woken_many_times_is_listed_once_and_wakes_the_connection_once() {
        let ready = Arc::new(Ready::default());
        let woken = Arc::new(Woken::default());
        let take = || {
            let mut taken = Vec::new();
            ready.take(&woken.clone().into(), &mut taken);
            taken.iter().map(|waker| waker.id().0).collect::<Vec<_>>()
        };
        assert!(take().is_empty());
        let waker: Waker = StreamWaker::new(StreamId(4), &ready).into();
        waker.wake_by_ref();
        waker.wake_by_ref();
        assert_eq!((take(), woken.0.load(Ordering::SeqCst)), (vec![4], 1));
        waker.wake();
        assert_eq!((take(), woken.0.load(Ordering::SeqCst)), (vec![4], 2));
    }
}
