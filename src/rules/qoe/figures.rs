//! What a view comes to: the standard figures, by the definitions of `docs/metrics.md`. What players report of themselves
//! and what the node infers from requests stand side by side and are never mixed.

use serde::Serialize;
use utoipa::ToSchema;

use super::sketch::Sketch;
use crate::rules::session::SessionId;

/// How many values there were, their median, and what 95 of 100 do not exceed; within one per cent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Spread {
    /// The median.
    pub p50: u64,
    /// What 95 of 100 do not exceed.
    pub p95: u64,
}

impl Spread {
    /// Of all values of a sketch; `None`: it holds nothing.
    pub fn of(sketch: &Sketch) -> Option<Self> {
        Some(Self { p50: sketch.quantile(0.5)?, p95: sketch.quantile(0.95)? })
    }
}

/// How a view began and ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Nothing is known of how it began.
    #[default]
    Unknown,
    /// It is starting.
    Starting,
    /// It has played.
    Played,
    /// Its viewer left before anything was played.
    ExitBeforeStart,
    /// It failed before anything was played.
    StartFailure,
    /// It failed after something was played.
    PlaybackFailure,
}

/// Time in each state, in milliseconds. Together they are the time of the view from its first report to its last proof of
/// life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct States {
    /// Before the first picture.
    pub starting: u64,
    /// Playing; in the background, and slower or faster, too.
    pub playing: u64,
    /// Seeking.
    pub seeking: u64,
    /// Rebuffering.
    pub rebuffering: u64,
    /// Paused.
    pub paused: u64,
    /// Waiting.
    pub waiting: u64,
    /// Preloading.
    pub preloading: u64,
    /// Playing without being rendered.
    pub unseen: u64,
}

impl States {
    /// All of them together.
    pub const fn wall(&self) -> u64 {
        let Self { starting, playing, seeking, rebuffering, paused, waiting, preloading, unseen } = *self;
        starting + playing + seeking + rebuffering + paused + waiting + preloading + unseen
    }
}

/// The figures of one view from one source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct Figures {
    /// How it began and ended.
    pub outcome: Outcome,
    /// From the start to the first picture, in milliseconds.
    pub startup_ms: Option<u64>,
    /// Whether that is an estimate: from the first playlist to the end of the first media, or to where its requests are not
    /// urgent any more.
    pub startup_estimated: bool,
    /// Time in each state; of what is inferred, only how long it played.
    pub states: States,
    /// Time of rebuffering, in milliseconds; `null`: nothing is known of it.
    pub rebuffer_ms: Option<u64>,
    /// Whether that is an estimate: from where the buffer that was told came to its end to where its requests are
    /// not urgent any more.
    pub rebuffer_estimated: bool,
    /// Rebuffering as a share of rebuffering and playing; `null`: it played less than a second.
    pub rebuffer_ratio: Option<f64>,
    /// How often it rebuffered.
    pub rebuffers: Option<u64>,
    /// The same for each hour of playing.
    pub rebuffers_per_hour: Option<f64>,
    /// The bit rate that was played, each second of playing counted alike, in kilobits per second.
    pub bit_rate_kbps: Option<f64>,
    /// Changes to a higher bit rate.
    pub switches_up: u64,
    /// Changes to a lower bit rate.
    pub switches_down: u64,
    /// Both for each hour of playing.
    pub switches_per_hour: Option<f64>,
    /// How far it was behind live, each second of playing counted alike, in milliseconds.
    pub latency_ms: Option<Spread>,
    /// What that grew by in the last five minutes, in milliseconds each minute.
    pub latency_drift_ms_per_minute: Option<f64>,
    /// Frames that were not shown.
    pub dropped_frames: Option<u64>,
    /// The same for each minute of playing.
    pub dropped_frames_per_minute: Option<f64>,
    /// The throughput that was measured, in kilobits per second.
    pub throughput_kbps: Option<u64>,
    /// To the first octet of an answer, without what the node held it for, in milliseconds.
    pub first_byte_ms: Option<Spread>,
    /// To its last octet, likewise.
    pub last_byte_ms: Option<Spread>,
}

/// Reports of one view: how many there were, and what is wrong with them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Received {
    /// Reports that count.
    pub reports: u64,
    /// Reports that are missing by their numbers.
    pub missing: u64,
    /// Reports that came twice; they count once.
    pub again: u64,
    /// Reports with the number of another one: a second instance of the player.
    pub doubled: u64,
    /// Reports with a time that is more than a day off; they do not count.
    pub off: u64,
    /// Reports that came more than a quarter of an hour after their view had ended; they do not count.
    pub late: u64,
    /// Reports that came after those of a later time had been counted: what they say of states is not.
    pub unordered: u64,
}

impl Received {
    /// Adds those of another view.
    pub const fn add(&mut self, other: &Self) {
        self.reports += other.reports;
        self.missing += other.missing;
        self.again += other.again;
        self.doubled += other.doubled;
        self.off += other.off;
        self.late += other.late;
        self.unordered += other.unordered;
    }
}

/// Why a view is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// The player said that the media has ended.
    Ended,
    /// The player said that it failed.
    Failed,
    /// The player said that its viewer left.
    Quit,
    /// Nothing was heard of it any more.
    Silence,
    /// Its session ended: its token, a revocation, a limit.
    Session,
}

/// One view: what one player showed without being loaded anew.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ViewFigures {
    /// Its identifier; `null`: its player names none.
    #[schema(value_type = Option<String>)]
    pub view: Option<SessionId>,
    /// The first that was heard of it, in milliseconds since the epoch by the node's clock.
    pub began: u64,
    /// The last.
    pub last: u64,
    /// Why it is over; `null`: it goes on.
    pub end: Option<End>,
    /// What the player's clock has to be set forward by, in milliseconds; `null`: it never told its time.
    pub clock_offset_ms: Option<i64>,
    /// What the player reports.
    pub reported: Figures,
    /// What the node infers from requests, and from what comes with them.
    pub inferred: Figures,
    /// Its reports.
    pub received: Received,
}

/// All views of a session, in the order in which they began.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct SessionFigures {
    /// Its views.
    pub views: Vec<ViewFigures>,
    /// Views that are over and are not listed any more.
    pub earlier_views: u64,
    /// Requests that were answered.
    pub requests: u64,
    /// Octets of bodies that were sent.
    pub bytes: u64,
}
