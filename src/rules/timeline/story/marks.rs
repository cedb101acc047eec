//! What may have hurt in a session, by a look at its entries one by one: few bits for each of very many sessions, so that
//! those that a cause may be behind are found without telling every story.

use crate::rules::qoe::report::State;

use super::super::event::{Entry, Event};
use super::cause::{Cause, Fault};
use super::facts::{SLOW_MS, has_trouble};

/// A start that took longer than this is looked at.
const START_MS: u64 = 3_000;

/// What may have hurt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks(u32);

impl Marks {
    /// A player stalled, gave up or took long.
    const FELT: Self = Self(1 << 31);

    const fn of_cause(cause: Cause) -> Self {
        Self(1 << cause as u32)
    }

    /// What an entry shows.
    pub fn of(entry: &Entry) -> Self {
        let refusal = |word: &str| Cause::of_refusal(word).map_or(Self::default(), Self::of_cause);
        match &entry.event {
            Event::Verdict(verdict) => verdict.reason.as_deref().map_or(Self::default(), refusal),
            Event::Ended(ended) => refusal(&ended.reason),
            Event::Request(request) => {
                let refused = request.reason.as_deref().map_or(Self::default(), refusal);
                let waited = request.origin.as_ref().and_then(has_trouble).map_or(Self::default(), Self::of_cause);
                let is_slow = request.first_byte_ms >= SLOW_MS || !request.complete || request.status >= 400;
                let slow = if is_slow { Self::FELT } else { Self::default() };
                refused.and(waited).and(slow)
            }
            Event::Served(served) if served.first_byte_ms >= SLOW_MS => Self::FELT,
            Event::Report(report) => {
                let data = &report.data;
                let stuck = matches!(data.sta, Some(State::Rebuffering | State::Failed | State::Waiting));
                let starved = data.bs == Some(true) || !data.bsd.is_empty();
                let slow = data.msd.is_some_and(|ms| ms > START_MS);
                if stuck || starved || slow { Self::FELT } else { Self::default() }
            }
            Event::Began(_) | Event::Served(_) | Event::Fetch(_) | Event::Path(_) | Event::Node(_) | Event::Lost(_) => {
                Self::default()
            }
        }
    }

    /// These and those.
    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Whether this cause may be behind it: a story tells.
    pub fn may_be(self, cause: Cause) -> bool {
        let has = |marks: Self| self.0 & marks.0 != 0;
        match cause {
            // What happens to nodes and to playlists leaves no mark on a session, and neither does what does not happen.
            Cause::NodeDrained | Cause::NodeRestarted | Cause::PlaylistLate | Cause::NothingWrong => true,
            _ => match cause.fault() {
                Fault::Viewer | Fault::Issuer => has(Self::of_cause(cause)),
                Fault::Node | Fault::Origin => has(Self::of_cause(cause).and(Self::FELT)),
                Fault::Network | Fault::Player | Fault::None => has(Self::FELT),
            },
        }
    }
}
