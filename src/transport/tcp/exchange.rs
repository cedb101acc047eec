//! What is going on on a connection: requests that wait for an answer or whose answer is being sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use http::Version;
use parking_lot::Mutex;

use crate::clock::{Clock, Tick};
use crate::rules::resets::{Resets, Verdict};

/// The exchanges of one connection.
pub(super) struct Exchanges {
    clock: Clock,
    open: AtomicUsize,
    last_end: AtomicU64,
    last_is_http10: AtomicBool,
    malformed: Arc<AtomicBool>,
    resets: Mutex<Resets>,
    abusive: AtomicBool,
}

/// One exchange, from its head to the end of its answer. Dropped before [`Exchange::settle`], the viewer cancelled it.
pub(super) struct Exchange {
    all: Arc<Exchanges>,
    began: Tick,
    settled: bool,
}

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
            resets: Mutex::default(),
            abusive: false.into(),
        })
    }

    pub(super) fn begin(self: &Arc<Self>, version: Version) -> Exchange {
        let began = self.clock.now();
        self.open.fetch_add(1, Relaxed);
        self.last_is_http10.store(version <= Version::HTTP_10, Relaxed);
        self.resets.lock().opened(began);
        Exchange { all: self.clone(), began, settled: false }
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

    /// Whether the viewer opens streams only to cancel them.
    pub(super) fn is_abusive(&self) -> bool {
        self.abusive.load(Relaxed)
    }

    /// Where the guard notes that it refused octets.
    pub(super) fn malformed(&self) -> &Arc<AtomicBool> {
        &self.malformed
    }
}

impl Exchange {
    /// When its head was complete.
    pub(super) fn began(&self) -> Tick {
        self.began
    }

    /// The answer is complete, or broken by no fault of the viewer.
    pub(super) fn settle(&mut self) {
        self.settled = true;
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let all = &self.all;
        let now = all.clock.now();
        if !self.settled && all.resets.lock().cancelled(now, now.since(self.began)) == Verdict::Abusive {
            all.abusive.store(true, Relaxed);
        }
        all.last_end.store(nanos(now), Relaxed);
        all.open.fetch_sub(1, Relaxed);
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
