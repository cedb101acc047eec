//! The origin's time: Unix milliseconds, from the machine or from a hand that a test turns.
//!
//! The machine's clock is read once, at the start; afterwards monotonic time is added, so that a step of the wall clock never
//! moves the live edge.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

/// Where the origin takes its time from. Cheap to clone; clones show the same time.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Kind>);

#[derive(Debug)]
enum Kind {
    Machine { wall_ms: u64, at: Instant },
    Manual(watch::Sender<u64>),
}

impl Clock {
    /// The machine's clock.
    pub fn machine() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall_ms = u64::try_from(wall.as_millis()).unwrap_or(u64::MAX);
        Self(Arc::new(Kind::Machine { wall_ms, at: Instant::now() }))
    }

    /// A clock that stands at `unix_ms` until [`Clock::set`] or [`Clock::advance`] moves it.
    pub fn manual(unix_ms: u64) -> Self {
        Self(Arc::new(Kind::Manual(watch::Sender::new(unix_ms))))
    }

    /// Unix time in milliseconds.
    pub fn now(&self) -> u64 {
        match &*self.0 {
            Kind::Machine { wall_ms, at } => wall_ms + u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX / 2),
            Kind::Manual(time) => *time.borrow(),
        }
    }

    /// Returns once [`Clock::now`] is `unix_ms` or later.
    pub async fn sleep_until(&self, unix_ms: u64) {
        match &*self.0 {
            Kind::Machine { wall_ms, at } => {
                let due = *at + Duration::from_millis(unix_ms.saturating_sub(*wall_ms));
                tokio::time::sleep_until(due.into()).await;
            }
            Kind::Manual(time) => {
                let mut seen = time.subscribe();
                // The sender lives in `self`, so the wait can only end by the time having come.
                let _ = seen.wait_for(|now| *now >= unix_ms).await;
            }
        }
    }

    /// Returns after `ms` milliseconds of this clock.
    pub async fn sleep(&self, ms: u64) {
        self.sleep_until(self.now().saturating_add(ms)).await;
    }

    /// Turns a manual clock to `unix_ms`; the machine's clock is not moved.
    pub fn set(&self, unix_ms: u64) {
        if let Kind::Manual(time) = &*self.0 {
            time.send_replace(unix_ms);
        }
    }

    /// Turns a manual clock on by `ms`; the machine's clock is not moved.
    pub fn advance(&self, ms: u64) {
        if let Kind::Manual(time) = &*self.0 {
            time.send_modify(|now| *now += ms);
        }
    }
}
