//! What followers did and noticed, for metrics and `/status`: counted for each playlist and for the node.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use parking_lot::Mutex;

use crate::clock::{Tick, WallTime};
use crate::rules::hls::window::Finding;
use crate::rules::hls::{MediaPlaylist, Position};
use crate::rules::timeline::event::Fetch;
use crate::telemetry::counters::Counter;
use crate::telemetry::metrics::{Family, Source, Value};

use super::playlist::Playlist;
use super::state::State;

/// Why an origin was asked for a playlist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Nothing was known of it.
    First,
    /// The next version, which the origin is to hold the answer for.
    Reload,
    /// Whether there is a next version.
    Poll,
    /// Either of these, as a delta update.
    Delta,
    /// A whole playlist, because a delta update could not be merged.
    FailedMerge,
    /// What is kept was out of date, and somebody wanted it.
    Refresh,
    /// The request before it failed, or told nothing.
    Recovery,
    /// The stream moves to another origin.
    Failover,
}

impl Why {
    const ALL: [Self; 8] = [
        Self::First,
        Self::Reload,
        Self::Poll,
        Self::Delta,
        Self::FailedMerge,
        Self::Refresh,
        Self::Recovery,
        Self::Failover,
    ];

    /// The label in metrics and logs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Reload => "reload",
            Self::Poll => "poll",
            Self::Delta => "delta",
            Self::FailedMerge => "failed-merge",
            Self::Refresh => "refresh",
            Self::Recovery => "recovery",
            Self::Failover => "failover",
        }
    }
}

/// Something about an origin that is worth a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A blocking reload was answered before the position was there.
    EarlyAnswer,
    /// A playlist did not advance in time.
    Stall,
    /// A delta update skipped what was not known.
    FailedMerge,
    /// Directives were refused.
    RefusedDirectives,
    /// An older version than the last one.
    Behind,
    /// A version that cannot follow what viewers have.
    Refused,
    /// No answer, or none that is a playlist.
    Failure,
    /// The sequence went backwards, and viewers see a discontinuity.
    Restart,
    /// The target duration or the part target changed.
    MovingTarget,
    /// A segment or part is longer or shorter than announced.
    UnevenDuration,
    /// A hint is missing, or was not kept.
    Hint,
    /// What left the list was counted wrongly, or left too early.
    Removal,
    /// A hold-back is missing, or less than is allowed.
    HoldBack,
    /// The list of another origin is followed now.
    Failover,
}

impl Notice {
    const ALL: [Self; 14] = [
        Self::EarlyAnswer,
        Self::Stall,
        Self::FailedMerge,
        Self::RefusedDirectives,
        Self::Behind,
        Self::Refused,
        Self::Failure,
        Self::Restart,
        Self::MovingTarget,
        Self::UnevenDuration,
        Self::Hint,
        Self::Removal,
        Self::HoldBack,
        Self::Failover,
    ];

    /// The label in metrics and logs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::EarlyAnswer => "early-answer",
            Self::Stall => "stall",
            Self::FailedMerge => "failed-merge",
            Self::RefusedDirectives => "refused-directives",
            Self::Behind => "behind",
            Self::Refused => "refused",
            Self::Failure => "failure",
            Self::Restart => "restart",
            Self::MovingTarget => "moving-target",
            Self::UnevenDuration => "uneven-duration",
            Self::Hint => "hint",
            Self::Removal => "removal",
            Self::HoldBack => "hold-back",
            Self::Failover => "failover",
        }
    }

    /// What a finding counts as.
    pub(super) const fn of(finding: &Finding) -> Self {
        match finding {
            Finding::TargetDurationChanged { .. } | Finding::PartTargetChanged { .. } => Self::MovingTarget,
            Finding::SegmentTooLong { .. } | Finding::UnevenPart { .. } => Self::UnevenDuration,
            Finding::MissingHint | Finding::HintNotKept => Self::Hint,
            Finding::Restarted { .. } => Self::Restart,
            Finding::RemovedTooEarly { .. } | Finding::DiscontinuitySequence { .. } => Self::Removal,
            Finding::HoldBack { .. } => Self::HoldBack,
            Finding::NumberTooLarge | Finding::NotMerged => Self::Refused,
        }
    }
}

/// Requests by why, and what was noticed.
#[derive(Debug, Default)]
pub struct Tally {
    asked: [Counter; Why::ALL.len()],
    noticed: [Counter; Notice::ALL.len()],
}

impl Tally {
    pub(super) fn ask(&self, why: Why) {
        self.asked[why as usize].add(1);
    }

    pub(super) fn notice(&self, notice: Notice) {
        self.noticed[notice as usize].add(1);
    }

    /// How often an origin was asked for this reason.
    pub fn asked(&self, why: Why) -> u64 {
        self.asked[why as usize].value()
    }

    /// How often this was noticed.
    pub fn noticed(&self, notice: Notice) -> u64 {
        self.noticed[notice as usize].value()
    }

    /// All reasons with their numbers.
    pub fn all_asked(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Why::ALL.into_iter().map(|why| (why.label(), self.asked(why)))
    }

    /// All that was noticed, with numbers.
    pub fn all_noticed(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Notice::ALL.into_iter().map(|notice| (notice.label(), self.noticed(notice)))
    }
}

/// The node's figures of its live streams.
#[derive(Debug, Default)]
pub struct Figures {
    /// What all followers did and noticed.
    pub tally: Tally,
    /// Playlists that turned out to be one viewer's each.
    pub per_viewer: Counter,
    /// Playlists that were not followed because as many as allowed were.
    pub refused: Counter,
}

impl Source for Figures {
    fn families(&self) -> Vec<Family> {
        let by = |family: Family, label, all: &mut dyn Iterator<Item = (&'static str, u64)>| {
            all.fold(family, |family, (word, count)| family.with(vec![(label, word.to_owned())], Value::Counter(count)))
        };
        let asked = Family::new("weir_playlist_requests", "Requests to origins for followed playlists, by why");
        let noticed = Family::new("weir_playlist_findings", "What was noticed about playlists of origins");
        vec![
            by(asked, "why", &mut self.tally.all_asked()),
            by(noticed, "finding", &mut self.tally.all_noticed()),
            Family::counter(
                "weir_playlists_per_viewer",
                "Playlists found to be one viewer's each",
                self.per_viewer.value(),
            ),
            Family::counter("weir_playlists_refused", "Playlists not followed for want of room", self.refused.value()),
        ]
    }
}

/// What a playlist's follower did and noticed.
#[derive(Debug, Default)]
pub struct Activity {
    /// The numbers.
    pub tally: Tally,
    published: AtomicBool,
    stalled: AtomicBool,
    said: Mutex<[Option<Tick>; Notice::ALL.len()]>,
    last_error: Mutex<Option<(Tick, String)>>,
    last_fetch: Mutex<Option<Arc<Fetch>>>,
}

/// The same finding of the same playlist is an event no more often than this; it is counted always.
const QUIET: std::time::Duration = std::time::Duration::from_secs(10);

impl Activity {
    /// Whether there ever was a playlist.
    pub(super) fn has_published(&self) -> bool {
        self.published.load(Relaxed)
    }

    pub(super) fn set_published(&self) {
        self.published.store(true, Relaxed);
    }

    /// Whether it does not advance although it should.
    pub fn is_stalled(&self) -> bool {
        self.stalled.load(Relaxed)
    }

    pub(super) fn set_stalled(&self, now: Option<Tick>) {
        self.stalled.store(now.is_some(), Relaxed);
    }

    pub(super) fn set_error(&self, now: Tick, error: String) {
        *self.last_error.lock() = Some((now, error));
    }

    /// The last failure, and when it was.
    pub fn last_error(&self) -> Option<(Tick, String)> {
        self.last_error.lock().clone()
    }

    pub(super) fn set_fetch(&self, fetch: Fetch) {
        *self.last_fetch.lock() = Some(Arc::new(fetch));
    }

    /// The last request for it to an origin that came to an end.
    pub fn last_fetch(&self) -> Option<Arc<Fetch>> {
        self.last_fetch.lock().clone()
    }

    /// Whether a notice is to be an event too.
    pub(super) fn is_news(&self, notice: Notice, now: Tick) -> bool {
        let said = &mut self.said.lock()[notice as usize];
        let is_news = said.is_none_or(|at| now >= at + QUIET);
        if is_news {
            *said = Some(now);
        }
        is_news
    }
}

/// A playlist that does not advance although it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Late {
    /// Its route.
    pub route: Arc<str>,
    /// Its public path, without query.
    pub path: String,
}

/// How a playlist is at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// Its route.
    pub route: String,
    /// Its public path, without query.
    pub path: String,
    /// `asked`, `live`, `stalled`, `ended`, `multivariant`, `per-viewer` or `failed`.
    pub state: &'static str,
    /// The first position that is not listed yet.
    pub next: Option<Position>,
    /// EXT-X-TARGETDURATION in seconds.
    pub target_duration: Option<f64>,
    /// PART-TARGET in seconds.
    pub part_target: Option<f64>,
    /// Running number of its version.
    pub version: Option<u64>,
    /// Generation of the names that it lists.
    pub generation: Option<u32>,
    /// How far its end is behind the origin's clock, in seconds.
    pub behind: Option<f64>,
    /// Requests that are held for it.
    pub waiting: usize,
    /// Seconds since a viewer last asked for it.
    pub idle: f64,
    /// Requests to the origin, by why.
    pub asked: Vec<(&'static str, u64)>,
    /// What was noticed about the origin.
    pub noticed: Vec<(&'static str, u64)>,
    /// The last failure.
    pub last_error: Option<String>,
    /// The origin that it comes from, where the route has several.
    pub origin: Option<String>,
}

impl Snapshot {
    /// How `playlist` is at `now`, which the calendar calls `wall`.
    pub fn of(playlist: &Playlist, now: Tick, wall: WallTime) -> Self {
        let state = playlist.state();
        let published = match &*state {
            State::Media(edition) => Some(&*edition.published),
            State::Asked | State::Multivariant(_) | State::PerViewer | State::Failed(_) => None,
        };
        let seconds = |duration: std::time::Duration| duration.as_secs_f64();
        let tally = &playlist.activity.tally;
        Self {
            route: playlist.asked.rules.route.to_string(),
            path: playlist.asked.path().to_owned(),
            state: match &*state {
                State::Asked => "asked",
                State::Media(edition) if edition.published.frontier.is_ended => "ended",
                State::Media(_) if playlist.activity.is_stalled() => "stalled",
                State::Media(_) => "live",
                State::Multivariant(_) => "multivariant",
                State::PerViewer => "per-viewer",
                State::Failed(_) => "failed",
            },
            next: published.map(|published| published.frontier.next),
            target_duration: published.map(|published| seconds(published.frontier.target_duration)),
            part_target: published.and_then(|published| published.frontier.part_target).map(seconds),
            version: published.map(|published| published.version),
            generation: published.map(|published| published.generation),
            behind: published.and_then(|published| behind(&published.playlist, wall)),
            waiting: playlist.parking.waiting(),
            idle: seconds(now.since(playlist.touched())),
            asked: tally.all_asked().filter(|(_, count)| *count > 0).collect(),
            noticed: tally.all_noticed().filter(|(_, count)| *count > 0).collect(),
            last_error: playlist.activity.last_error().map(|(_, error)| error),
            origin: playlist.home().at().and_then(|(at, _)| playlist.asked.rules.supply.origins.get(at).cloned()),
        }
    }
}

/// How far the end of a live playlist is behind the clock by which its EXT-X-PROGRAM-DATE-TIME was written, in seconds.
fn behind(playlist: &MediaPlaylist, wall: WallTime) -> Option<f64> {
    if playlist.facts.is_ended {
        return None;
    }
    let dated = playlist.segments.iter().rposition(|segment| segment.program_date_time.is_some())?;
    let start = playlist.segments[dated].program_date_time? as f64 / 1_000.0;
    let since: f64 = playlist.segments[dated..].iter().map(|segment| segment.duration.as_secs_f64()).sum();
    let open: f64 = playlist.open_parts().map(|part| part.duration.as_secs_f64()).sum();
    Some(wall.since_epoch().as_secs_f64() - start - since - open)
}
