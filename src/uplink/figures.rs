//! How sinks do, in numbers.

use crate::clock::Tick;
use crate::rules::delivery::progress::Progress;
use crate::telemetry::metrics::{Family, Labels, Value};

use super::Attempt;

/// How one sink does.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Its name.
    pub sink: String,
    /// `http`, `nats` or `file`.
    pub kind: &'static str,
    /// How it is.
    pub health: Health,
    /// How far it has come, and what has become of all before.
    pub progress: Progress,
    /// Batches that it took since the node started.
    pub batches: u64,
    /// Octets of lines that it took since the node started.
    pub octets: u64,
    /// What is in the log and not dealt with.
    pub behind: Behind,
    /// Attempts since the node started, by what they came to.
    pub attempts: Vec<(Attempt, u64)>,
    /// What the last one came to.
    pub last: Option<Attempt>,
    /// The same for people; empty: it was taken.
    pub detail: String,
    /// When something was last taken.
    pub delivered_at: Option<Tick>,
    /// Times that its cursor could not be written down.
    pub cursor_failures: u64,
}

/// How far behind a sink is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Behind {
    /// Records.
    pub records: u64,
    /// Octets, by the mean length of what the log holds.
    pub octets: u64,
    /// Since the oldest of them was told, in seconds.
    pub seconds: f64,
}

/// How a sink is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It takes what it is told.
    Up,
    /// It refused the last batch for good.
    Refusing,
    /// It does not take its batch now.
    Down,
    /// It has said that it wants nothing more.
    Gone,
}

impl Health {
    /// Its word in status.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Refusing => "refusing",
            Self::Down => "down",
            Self::Gone => "gone",
        }
    }
}

/// The metrics of all sinks.
pub fn families(all: &[Figures]) -> Vec<Family> {
    if all.is_empty() {
        return Vec::new();
    }
    type Read = fn(&Figures) -> Value;
    let one = |name, help, read: Read| {
        all.iter().fold(Family::new(name, help), |family, figures| family.with(labels(figures, None), read(figures)))
    };
    let mut records = Family::new("weir_uplink_records", "What has become of records, by sink; over restarts");
    let mut attempts = Family::new("weir_uplink_attempts", "Attempts to deliver a batch, by what they came to");
    for figures in all {
        for (fate, count) in fates(&figures.progress) {
            records = records.with(labels(figures, Some(("fate", fate))), Value::Counter(count));
        }
        for (attempt, count) in &figures.attempts {
            attempts = attempts.with(labels(figures, Some(("result", attempt.word()))), Value::Counter(*count));
        }
    }
    let again = |figures: &Figures| {
        let is_retry = |attempt: Attempt| !matches!(attempt, Attempt::Taken | Attempt::Refused | Attempt::Gone);
        let counts = figures.attempts.iter().filter(|(attempt, _)| is_retry(*attempt));
        Value::Counter(counts.map(|(_, count)| count).sum())
    };
    vec![
        one("weir_uplink_up", "Whether a sink takes what it is told: 0 is an alarm", |figures| {
            Value::Gauge(f64::from(u8::from(figures.health == Health::Up)))
        }),
        records,
        attempts,
        one("weir_uplink_delivered", "Records that a sink acknowledged; over restarts", |figures| {
            Value::Counter(figures.progress.delivered)
        }),
        one("weir_uplink_quarantined", "Records that a sink refused and that are laid aside", |figures| {
            Value::Counter(figures.progress.quarantined)
        }),
        one("weir_uplink_retries", "Attempts after which a batch is sent again", again),
        one("weir_uplink_batches", "Batches that a sink took", |figures| Value::Counter(figures.batches)),
        one("weir_uplink_bytes", "Octets of lines that a sink took, before compression", |figures| {
            Value::Counter(figures.octets)
        }),
        one("weir_uplink_behind_records", "Records that a sink is still to have", |figures| {
            Value::Gauge(figures.behind.records as f64)
        }),
        one("weir_uplink_behind_bytes", "About so many octets are they", |figures| {
            Value::Gauge(figures.behind.octets as f64)
        }),
        one("weir_uplink_behind_seconds", "Since the oldest of them was told", |figures| {
            Value::Gauge(figures.behind.seconds)
        }),
        one("weir_uplink_cursor_failures", "Times that a cursor could not be written down", |figures| {
            Value::Counter(figures.cursor_failures)
        }),
    ]
}

/// What has become of the records that are no longer in the log for a sink.
fn fates(progress: &Progress) -> [(&'static str, u64); 5] {
    [
        ("delivered", progress.delivered),
        ("quarantined", progress.quarantined),
        ("refused", progress.refused),
        ("left-out", progress.left_out),
        ("missed", progress.missed),
    ]
}

fn labels(figures: &Figures, further: Option<(&'static str, &str)>) -> Labels {
    let further = further.map(|(name, value)| (name, value.to_owned()));
    [("sink", figures.sink.clone())].into_iter().chain(further).collect()
}
