//! What the rest of the node holds of a driver: orders to end, and its counters.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::sync::watch;

use super::connection::Draining;
use super::counters::Counters;
use super::ready::Ready;

/// What a driver and its handles share.
#[derive(Default)]
pub(super) struct Orders {
    step: AtomicU8,
    /// Whether no connection is left while none is taken.
    vacant: watch::Sender<bool>,
    pub(super) ready: Arc<Ready>,
    pub(super) counters: Arc<Counters>,
}

impl Orders {
    pub(super) fn draining(&self) -> Draining {
        match self.step.load(Ordering::Acquire) {
            OPEN => Draining::No,
            PAUSED | DRAINING => Draining::Gently,
            _ => Draining::AtOnce,
        }
    }

    /// Whether the driver ends with its last connection.
    pub(super) fn ends(&self) -> bool {
        self.step.load(Ordering::Acquire) >= DRAINING
    }

    /// Tells those who wait for it that no connection is left.
    pub(super) fn tell_vacant(&self) {
        self.vacant.send_if_modified(|told| !std::mem::replace(told, true));
    }

    /// From now on connections are taken.
    pub(super) fn tell_open(&self) {
        self.vacant.send_replace(false);
    }
}

const OPEN: u8 = 0;
const PAUSED: u8 = 1;
const DRAINING: u8 = 2;
const CLOSING: u8 = 3;

/// A driver from outside; from any thread. That its task has ended says that it has no connection left.
#[derive(Clone)]
pub struct Handle(Arc<Orders>);

impl Handle {
    pub(super) fn new(orders: Arc<Orders>) -> Self {
        Self(orders)
    }

    /// No new connections; those that are there end as they finish, by GOAWAY (RFC 9114 §5.2). The driver keeps its
    /// socket, so that those of its group stay where the kernel's steering looks for them, and waits to be told more.
    pub fn pause(&self) {
        self.order(PAUSED);
    }

    /// Takes a pause back; `false` where the driver has been told to end.
    pub fn resume(&self) -> bool {
        let resumed = self.0.step.compare_exchange(PAUSED, OPEN, Ordering::AcqRel, Ordering::Acquire);
        self.0.ready.wake_driver();
        resumed.is_ok() || resumed == Err(OPEN)
    }

    /// Completes when a paused driver has no connection left.
    pub async fn vacated(&self) {
        // The sender lives as long as this handle.
        _ = self.0.vacant.subscribe().wait_for(|vacant| *vacant).await;
    }

    /// As a pause, and the driver ends with its last connection.
    pub fn drain(&self) {
        self.order(DRAINING);
    }

    /// Ends all connections now, and the driver.
    pub fn close(&self) {
        self.order(CLOSING);
    }

    /// What the driver counts.
    pub fn counters(&self) -> &Counters {
        &self.0.counters
    }

    fn order(&self, step: u8) {
        self.0.step.fetch_max(step, Ordering::AcqRel);
        self.0.ready.wake_driver();
    }
}
