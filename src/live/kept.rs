//! A multivariant playlist: kept, and asked for anew when it is out of date and somebody wants it.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use crate::clock::{Tick, WallTime};
use crate::rules::caching::Control;
use crate::rules::caching::control::TARGETS;
use crate::rules::caching::freshness::{Lifetime, Policy, Received, Times};
use crate::rules::caching::validator::Validators;

use super::ask::Came;
use super::state::Document;
use super::streams::Stream;

/// For how long a multivariant playlist is fresh whose origin says nothing of it.
const FRESH: Duration = Duration::from_secs(2);
/// For how long it is sent while it is asked for anew; beyond that, viewers wait for the new one.
const WHILE_ASKING: Duration = Duration::from_secs(10);
/// For how long it stands in for an origin that fails.
const IF_ERROR: Duration = Duration::from_mins(10);
/// Between two attempts at an origin that fails.
const PAUSE: Duration = Duration::from_secs(2);
/// One that nobody asks for, but is kept warm, is asked for no more often than this.
const WARM: Duration = Duration::from_secs(30);

/// A multivariant playlist that is kept.
pub(super) struct Kept {
    pub(super) document: Arc<Document>,
    pub(super) stream: Arc<Stream>,
    pub(super) validators: Validators,
    /// When the origin last confirmed it.
    pub(super) confirmed: Tick,
    fresh_until: Tick,
}

/// When a kept playlist is looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Schedule {
    /// From here on a viewer's request is reason enough to ask.
    pub(super) due: Tick,
    /// From here on viewers wait.
    pub(super) blank: Tick,
    /// Asked for then, viewers or not, while it is kept warm.
    pub(super) warm: Tick,
}

impl Kept {
    pub(super) fn new(document: Arc<Document>, stream: Arc<Stream>, came: &Came, wall: WallTime) -> Self {
        Self {
            document,
            stream,
            validators: Validators::of(&came.headers, wall),
            confirmed: came.answered,
            fresh_until: came.answered + lifetime(came, wall).unwrap_or(FRESH),
        }
    }

    /// The origin says that it still holds.
    pub(super) fn confirm(&mut self, came: &Came, wall: WallTime) {
        self.confirmed = came.answered;
        self.fresh_until = came.answered + lifetime(came, wall).unwrap_or(FRESH);
    }

    pub(super) fn schedule(&self) -> Schedule {
        let due = self.fresh_until;
        Schedule { due, blank: due + WHILE_ASKING, warm: due.max(self.confirmed + WARM) }
    }

    /// The origin failed at `now`: whether the old one stands in for it, and until when.
    pub(super) fn stands_in(&self, now: Tick) -> Option<Schedule> {
        let blank = self.confirmed + IF_ERROR;
        (now < blank).then_some(Schedule { due: now + PAUSE, blank, warm: now + WARM })
    }
}

/// For how long an answer is fresh by its own words, if at all.
pub(super) fn lifetime(came: &Came, wall: WallTime) -> Option<Duration> {
    let times = Times { requested: came.asked, responded: came.answered, responded_wall: wall };
    let received = Received { status: StatusCode::OK, headers: &came.headers, times };
    let lifetime = Lifetime::of(&received, &Control::of(&came.headers, &TARGETS), &Policy::MEDIA);
    u64::try_from(lifetime.ttl(came.answered)).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs)
}
