//! What one viewer met with.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::playhead::Stalls;
use super::time::Micros;

const EXAMPLES: usize = 5;

/// A distribution of times in microseconds, to two digits.
#[derive(Clone)]
pub struct Times(Histogram<u32>);

impl fmt::Debug for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (half, most, max) = (self.quantile(0.5), self.quantile(0.99), self.max());
        write!(f, "{} times, p50 {half:?}, p99 {most:?}, max {max:?}", self.count())
    }
}

impl Default for Times {
    fn default() -> Self {
        Self(Histogram::new(2).expect("two digits are allowed"))
    }
}

impl Times {
    /// Counts a time; one below zero as zero.
    pub fn record(&mut self, time: Micros) {
        // An automatically resized histogram takes every value.
        let _ = self.0.record(u64::try_from(time).unwrap_or_default());
    }

    /// Adds those of `other`.
    pub fn add(&mut self, other: &Self) {
        // As above.
        let _ = self.0.add(&other.0);
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The time that `quantile` (0 to 1) of all do not exceed.
    pub fn quantile(&self, quantile: f64) -> Duration {
        Duration::from_micros(self.0.value_at_quantile(quantile))
    }

    /// The longest.
    pub fn max(&self) -> Duration {
        Duration::from_micros(self.0.max())
    }

    /// The mean.
    pub fn mean(&self) -> Duration {
        Duration::from_secs_f64(self.0.mean() / 1e6)
    }
}

/// Requests by what was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Requests {
    /// Multivariant playlists.
    pub multivariant: u64,
    /// Media playlists.
    pub playlists: u64,
    /// Initialization sections.
    pub inits: u64,
    /// Segments and parts.
    pub media: u64,
}

impl Requests {
    /// All of them.
    pub fn total(self) -> u64 {
        self.multivariant + self.playlists + self.inits + self.media
    }

    /// Adds those of `other`.
    pub fn add(&mut self, other: Self) {
        self.multivariant += other.multivariant;
        self.playlists += other.playlists;
        self.inits += other.inits;
        self.media += other.media;
    }
}

/// Errors by a stable word, with the first few in full.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Errors {
    /// How many of each: the words of [`crate::client::ClientError::word`], `status-404` and the like, `range`, `length`,
    /// `encoding`, `playlist`, `delta`, `foreign`, `media`.
    pub counts: BTreeMap<String, u64>,
    /// The first five, as sentences.
    pub examples: Vec<String>,
}

impl Errors {
    /// Counts one.
    pub fn note(&mut self, word: &str, example: String) {
        *self.counts.entry(word.to_owned()).or_default() += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push(example);
        }
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Adds those of `other`.
    pub fn add(&mut self, other: &Self) {
        for (word, count) in &other.counts {
            *self.counts.entry(word.clone()).or_default() += count;
        }
        let free = EXAMPLES - self.examples.len();
        let more = other.examples.iter().take(free).cloned();
        self.examples.extend(more);
    }
}

/// What one viewer met with.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// From the arrival, connecting included, to the first picture with sound; none if playback never began.
    pub startup: Option<Duration>,
    /// Dry buffers.
    pub stalls: Stalls,
    /// Live edge of the calendar minus what is shown, at each piece that came while playing.
    pub latency: Times,
    /// How old the newest listed part was when the playlist that lists it had come by a blocking request.
    pub edge: Times,
    /// Of media: from the request to the first byte of the body.
    pub first_byte: Times,
    /// Of media: from the request to the last byte.
    pub whole: Times,
    /// Requests sent.
    pub requests: Requests,
    /// Body bytes received.
    pub bytes: u64,
    /// Media appended, in microseconds, over all tracks.
    pub appended: Micros,
    /// Times that playback had to skip, because what came next had left the playlist.
    pub jumps: u64,
    /// Connections opened.
    pub connections: u64,
    /// What went wrong.
    pub errors: Errors,
    /// The viewer gave up before the end: the last of its retries had failed.
    pub gave_up: bool,
}

impl Outcome {
    /// Whether the viewer saw the whole of it without a flaw: started, no stall, no jump, no error.
    pub fn is_good(&self) -> bool {
        self.startup.is_some() && self.stalls.count == 0 && self.jumps == 0 && self.errors.total() == 0 && !self.gave_up
    }
}
