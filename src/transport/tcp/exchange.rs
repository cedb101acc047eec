//! What is going on on a connection: requests that wait for an answer or whose answer is being sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use crate::clock::{Clock, Tick};

/// The exchanges of one connection.
pub(super) struct Exchanges {
    clock: Clock,
    open: AtomicUsize,
    last_end: AtomicU64,
    last_is_http10: AtomicBool,
    malformed: Arc<AtomicBool>,
}

/// One exchange, from its head to the end of its answer; dropping it ends it.
pub(super) struct Exchange(Arc<Exchanges>);

/// Since when one stream's answer waits for the transport.
#[derive(Debug, Default)]
pub(super) struct Waiting(AtomicU64);

impl Exchanges {
    pub(super) fn new(clock: Clock) -> Arc<Self> {
        let now = nanos(clock.now());
        Arc::new(Self {
            clock,
            open: 0.into(),
            last_end: now.into(),
            last_is_http10: false.into(),
            malformed: Arc::default(),
        })
    }

    pub(super) fn begin(self: &Arc<Self>, http10: bool) -> Exchange {
        self.open.fetch_add(1, Relaxed);
        self.last_is_http10.store(http10, Relaxed);
        Exchange(self.clone())
    }

    pub(super) fn open(&self) -> usize {
        self.open.load(Relaxed)
    }

    /// When the last one ended; before the first, when the connection began.
    pub(super) fn last_end(&self) -> Tick {
        tick(self.last_end.load(Relaxed))
    }

    /// Whether an answer may have no other end than the connection's.
    pub(super) fn last_is_http10(&self) -> bool {
        self.last_is_http10.load(Relaxed)
    }

    /// Where the guard notes that it refused octets.
    pub(super) fn malformed(&self) -> &Arc<AtomicBool> {
        &self.malformed
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.0.last_end.store(nanos(self.0.clock.now()), Relaxed);
        self.0.open.fetch_sub(1, Relaxed);
    }
}

impl Waiting {
    /// The transport was given octets and has not asked for more.
    pub(super) fn begin(&self, now: Tick) {
        self.0.store(nanos(now) + 1, Relaxed);
    }

    /// The transport asked for more.
    pub(super) fn end(&self) {
        self.0.store(0, Relaxed);
    }

    pub(super) fn since(&self) -> Option<Tick> {
        self.0.load(Relaxed).checked_sub(1).map(tick)
    }
}

fn nanos(tick: Tick) -> u64 {
    u64::try_from(tick.since_start().as_nanos()).unwrap_or(u64::MAX - 1)
}

fn tick(nanos: u64) -> Tick {
    Tick::at(Duration::from_nanos(nanos))
}
