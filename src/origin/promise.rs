//! What a stream has promised, and its origin may not have yet: a hinted part or initialisation section, or one that
//! was listed a moment ago. A 404 for it means "not yet" until the promise is withdrawn or has lasted too long.

use std::time::Duration;

use tokio::sync::watch;

use crate::clock::{Clock, Tick};

/// How a promise stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is hinted.
    Hinted,
    /// It is listed, so that a 404 after this moment is one.
    Listed(Tick),
    /// A newer version neither hints nor lists it.
    Withdrawn,
}

/// A promise is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stream no longer promises it, or its origin does not have it")]
pub struct Withdrawn;

/// A promise as the one who fetches sees it.
#[derive(Clone)]
pub struct Promise {
    standing: watch::Receiver<Standing>,
    /// The shortest time from one request to the next.
    pace: Duration,
    /// For how long an origin may hold a request, and for how long it is asked in all.
    pub(super) patience: Duration,
}

impl Promise {
    /// A promise whose requests are `pace` apart at least, and are given up after `patience`.
    pub fn new(standing: watch::Receiver<Standing>, pace: Duration, patience: Duration) -> Self {
        Self { standing, pace, patience }
    }

    /// Completes when the promise is withdrawn; never where there is none.
    pub(super) async fn withdrawn(promise: Option<&mut Self>) {
        let Some(promise) = promise else { return std::future::pending().await };
        if promise.standing.wait_for(|standing| *standing == Standing::Withdrawn).await.is_err() {
            // Nobody is left who could.
            std::future::pending().await
        }
    }

    /// Waits for the time of the next request, where the last one was sent at `requested`, the first at `began`.
    ///
    /// # Errors
    /// [`Withdrawn`] where there is none.
    pub(super) async fn not_yet(&mut self, clock: &Clock, (began, requested): (Tick, Tick)) -> Result<(), Withdrawn> {
        let next = clock.now().max(requested + self.pace);
        let is_over = match *self.standing.borrow() {
            Standing::Hinted => next.since(began) >= self.patience,
            Standing::Listed(until) => next >= until,
            Standing::Withdrawn => true,
        };
        if is_over {
            return Err(Withdrawn);
        }
        let was_hinted = *self.standing.borrow() == Standing::Hinted;
        let changed = self.standing.wait_for(|standing| match standing {
            Standing::Hinted => false,
            // What has just been listed is there, however soon after the last request.
            Standing::Listed(_) => was_hinted,
            Standing::Withdrawn => true,
        });
        tokio::select! {
            () = clock.sleep_until(next) => Ok(()),
            Ok(standing) = changed => if *standing == Standing::Withdrawn { Err(Withdrawn) } else { Ok(()) },
        }
    }
}
