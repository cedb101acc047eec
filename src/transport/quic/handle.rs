//! What the rest of the node holds of a driver: orders to end, and its counters.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::connection::Draining;
use super::counters::Counters;
use super::ready::Ready;

/// States of a drain, in the order in which they may follow; only a gentle one can be taken back.
const GOING: u8 = 0;
const GENTLY: u8 = 1;
const AT_ONCE: u8 = 2;
const ENDED: u8 = 3;

/// What a driver and its handles share.
#[derive(Default)]
pub(super) struct Orders {
    draining: AtomicU8,
    pub(super) ready: Arc<Ready>,
    pub(super) counters: Arc<Counters>,
}

impl Orders {
    /// Whether a driver without connections may end: not where its drain was taken back in the same moment.
    pub(super) fn may_end(&self) -> bool {
        let ending = self.draining.compare_exchange(GENTLY, ENDED, Ordering::AcqRel, Ordering::Acquire);
        !matches!(ending, Err(GOING))
    }

    pub(super) fn draining(&self) -> Draining {
        match self.draining.load(Ordering::Acquire) {
            GOING => Draining::No,
            GENTLY => Draining::Gently,
            _ => Draining::AtOnce,
        }
    }
}

/// A driver from outside; from any thread. That its task has ended says that it has no connection left.
#[derive(Clone)]
pub struct Handle(Arc<Orders>);

impl Handle {
    pub(super) fn new(orders: Arc<Orders>) -> Self {
        Self(orders)
    }

    /// No new connections; those that are there end as they finish, by GOAWAY (RFC 9114 §5.2).
    pub fn drain(&self) {
        self.order(GENTLY);
    }

    /// Takes a gentle drain back: new connections are taken again. False where the driver has ended meanwhile; then its
    /// socket needs a new one.
    pub fn resume(&self) -> bool {
        let resumed = self.0.draining.compare_exchange(GENTLY, GOING, Ordering::AcqRel, Ordering::Acquire);
        self.0.ready.wake_driver();
        matches!(resumed, Ok(_) | Err(GOING))
    }

    /// Ends all connections now.
    pub fn close(&self) {
        self.order(AT_ONCE);
    }

    /// What the driver counts.
    pub fn counters(&self) -> &Counters {
        &self.0.counters
    }

    fn order(&self, step: u8) {
        self.0.draining.fetch_max(step, Ordering::AcqRel);
        self.0.ready.wake_driver();
    }
}
