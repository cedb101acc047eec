//! What is told of a request to an origin, to those who waited for it and to whoever wants to hear of those that failed or
//! took long.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::rules::timeline::event::Fetch;

use super::{Answer, Concern, FetchError};

/// An origin that took so long to begin its answer was slow.
const SLOW: Duration = Duration::from_secs(1);

/// Hears of requests to origins that failed or took long, and of what they were for.
pub type Ear = Arc<dyn Fn(Fetch, Option<&Concern>) + Send + Sync>;

/// Who hears.
#[derive(Clone, Default)]
pub(super) struct Ears(Arc<OnceLock<Ear>>);

/// Whether an origin may take its time: it holds what does not exist yet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Haste {
    /// It should answer at once.
    AtOnce,
    /// It may hold the request.
    Held,
}

impl Ears {
    /// From now on `ear` hears; only the first does.
    pub fn hear(&self, ear: Ear) {
        // There is one timeline.
        _ = self.0.set(ear);
    }

    /// A request has come to its answer, or to none.
    pub fn tell(
        &self,
        (number, concern): (u64, Option<&Concern>),
        outcome: &Result<Answer, FetchError>,
        (waited, haste): (Duration, Haste),
    ) {
        let Some(ear) = self.0.get() else { return };
        let is_worth_it = match outcome {
            Ok(answer) => answer.status.is_server_error() || (haste == Haste::AtOnce && waited >= SLOW),
            // Nobody was asked, or it is the viewer who broke off.
            Err(FetchError::Resting { .. } | FetchError::NoOrigin) => false,
            Err(FetchError::Unaskable { .. } | FetchError::Upload { .. } | FetchError::Redirected { .. }) => false,
            Err(_) => true,
        };
        if is_worth_it {
            ear(fetch(number, outcome, waited), concern);
        }
    }
}

/// The number of the next request, different from those of all others of this process.
pub fn number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Relaxed)
}

/// What is told of a request that took so long to its answer, or to none.
pub fn fetch(number: u64, outcome: &Result<Answer, FetchError>, waited: Duration) -> Fetch {
    match outcome {
        Ok(answer) => answered(number, (&answer.origin, answer.status.as_u16()), waited),
        Err(error) => failed(number, error, waited),
    }
}

/// The same of one that was answered.
pub fn answered(number: u64, (origin, status): (&Arc<str>, u16), waited: Duration) -> Fetch {
    Fetch { id: number, origin: origin.clone(), status: Some(status), error: None, wait_ms: millis(waited) }
}

/// The same of one that was not.
pub fn failed(number: u64, error: &FetchError, waited: Duration) -> Fetch {
    let origin = error.origin().cloned().unwrap_or_else(|| "".into());
    let error = Some(error.outcome().word().into());
    Fetch { id: number, origin, status: None, error, wait_ms: millis(waited) }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
