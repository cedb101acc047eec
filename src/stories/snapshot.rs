//! The figures of this moment as they are shown: by the dashboard and by `/status`.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::rules::qoe::figures::{Received, Spread};

/// The figures of this moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct Snapshot {
    /// When, by the node's clock, in milliseconds since the epoch.
    pub at: u64,
    /// How many are watching.
    pub viewers: u64,
    /// Sessions of which something is known, those that ended a moment ago too.
    pub sessions: u64,
    /// Sessions that found no place: nothing is told of them here.
    pub untracked: u64,
    /// Everybody together.
    pub all: Labelled,
    /// By stream; `other` for all beyond the bound.
    pub streams: Vec<Labelled>,
    /// By rendition of a stream.
    pub renditions: Vec<Labelled>,
    /// By protocol: `h1`, `h2` or `h3`.
    pub protocols: Vec<Labelled>,
    /// By country; `unknown` where it is not known, `other` for all beyond the bound.
    pub regions: Vec<Labelled>,
    /// Reports of all players.
    pub received: Received,
    /// Why origins were asked for viewers, by the words of RFC 9211 §2.2.
    #[schema(value_type = BTreeMap<String, u64>)]
    pub causes: BTreeMap<Box<str>, u64>,
}

/// The figures of all who share something.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct Labelled {
    /// What they share.
    pub label: String,
    /// The stream of a rendition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// How many are watching.
    pub viewers: u64,
    /// Since one to two minutes.
    pub recent: Sources,
    /// Since the node started.
    pub total: Sources,
}

/// The same figures from both sources.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct Sources {
    /// What players report.
    pub reported: Aggregate,
    /// What the node infers from requests, and from what comes with them.
    pub inferred: Aggregate,
}

/// What many views come to together. A ratio is that of the sums, never a mean of ratios.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct Aggregate {
    /// Views that have played for a second or longer: what all else here is of.
    pub views: u64,
    /// Views that did not play for a second.
    pub left_out: u64,
    /// Time of playing, in seconds.
    pub playing_seconds: f64,
    /// To the first picture, in milliseconds.
    pub startup_ms: Option<Spread>,
    /// Rebuffering as a share of rebuffering and playing.
    pub rebuffer_ratio: Option<f64>,
    /// Rebufferings in each hour of playing.
    pub rebuffers_per_hour: Option<f64>,
    /// The bit rate that was played, in kilobits per second.
    pub bit_rate_kbps: Option<f64>,
    /// Changes of the bit rate in each hour of playing.
    pub switches_per_hour: Option<f64>,
    /// How far behind live, in milliseconds.
    pub latency_ms: Option<Spread>,
    /// Frames that were not shown, in each minute of playing.
    pub dropped_frames_per_minute: Option<f64>,
    /// The throughput that was measured, in kilobits per second.
    pub throughput_kbps: Option<Spread>,
    /// Viewers who left before anything was played.
    pub exits_before_start: u64,
    /// Views that failed before anything was played.
    pub start_failures: u64,
    /// Views that failed after something was played.
    pub playback_failures: u64,
}
