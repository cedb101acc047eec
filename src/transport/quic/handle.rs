//! What the rest of the node holds of a driver: orders to end, and its counters.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::connection::Draining;
use super::counters::Counters;
use super::ready::Ready;

/// What a driver and its handles share.
#[derive(Default)]
pub(super) struct Orders {
    draining: AtomicU8,
    pub(super) ready: Arc<Ready>,
    pub(super) counters: Arc<Counters>,
}

impl Orders {
    pub(super) fn draining(&self) -> Draining {
        match self.draining.load(Ordering::Acquire) {
            0 => Draining::No,
            1 => Draining::Gently,
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
        self.order(1);
    }

    /// Ends all connections now.
    pub fn close(&self) {
        self.order(2);
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
