//! How layers wake their connection. A waker puts the connection's key into the worker's queue, once until the driver
//! has taken it, and wakes the driver's task once for all keys that wait. It may be called from any thread, and may
//! outlive its connection: then it costs the next owner of the key one needless call.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use parking_lot::Mutex;

/// The connections of one worker whose wakers were woken. Never longer than there are wakers.
#[derive(Default)]
pub(super) struct Ready(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    driver: Option<Waker>,
    keys: Vec<usize>,
}

impl Ready {
    /// From now on `waker` is woken when there is something to do.
    pub(super) fn register(&self, waker: &Waker) {
        let mut waiting = self.0.lock();
        match &mut waiting.driver {
            Some(driver) => driver.clone_from(waker),
            None => waiting.driver = Some(waker.clone()),
        }
    }

    /// Wakes the driver's task.
    pub(super) fn wake_driver(&self) {
        let driver = self.0.lock().driver.clone();
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    /// Appends the keys that wait to `keys`.
    pub(super) fn take(&self, keys: &mut Vec<usize>) {
        keys.append(&mut self.0.lock().keys);
    }

    fn push(&self, key: usize) {
        let driver = {
            let mut waiting = self.0.lock();
            waiting.keys.push(key);
            if waiting.keys.len() == 1 { waiting.driver.clone() } else { None }
        };
        if let Some(driver) = driver {
            driver.wake();
        }
    }
}

/// What the waker of one connection refers to.
pub(super) struct ConnectionWaker {
    key: usize,
    queued: AtomicBool,
    ready: Arc<Ready>,
}

impl ConnectionWaker {
    pub(super) fn new(key: usize, ready: &Arc<Ready>) -> Arc<Self> {
        Arc::new(Self { key, queued: AtomicBool::new(false), ready: ready.clone() })
    }

    /// Says whether it was woken, and makes it ready to be woken again. Called before the layer is polled: a wake-up
    /// that comes during the poll must not be lost.
    pub(super) fn take(&self) -> bool {
        self.queued.swap(false, Ordering::AcqRel)
    }
}

impl Wake for ConnectionWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            self.ready.push(self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn many_wake_ups_are_one_key_and_one_call_of_the_driver() {
        let ready = Arc::new(Ready::default());
        let wakes = Arc::new(Wakes::default());
        ready.register(&wakes.clone().into());
        let connections = [3, 4].map(|key| ConnectionWaker::new(key, &ready));
        for connection in &connections {
            let waker: Waker = connection.clone().into();
            waker.wake_by_ref();
            waker.wake();
        }
        let mut keys = Vec::new();
        ready.take(&mut keys);
        assert_eq!((keys, wakes.0.load(Ordering::Relaxed)), (vec![3, 4], 1));
        assert!(connections[0].take());
        Waker::from(connections[0].clone()).wake();
        assert_eq!(wakes.0.load(Ordering::Relaxed), 2);
    }
}
