//! Requests and octets by stream. Streams are named by whoever asks, so only so many get a label of their own: the first
//! that were answered well; all others share `other`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use parking_lot::Mutex;

use super::counters::Sharded;
use super::metrics::{Family, Source, Value};

/// The label of all streams beyond the bound.
const OTHER: &str = "other";

/// What passed of one stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamTotals {
    /// Requests answered.
    pub requests: u64,
    /// Octets of bodies sent.
    pub octets: u64,
}

/// What passed of each stream. Each worker counts in a map of its own.
pub struct Streams {
    most: AtomicUsize,
    known: Mutex<HashMap<Box<str>, (), foldhash::quality::RandomState>>,
    shards: Sharded<Mutex<HashMap<Box<str>, StreamTotals, foldhash::quality::RandomState>>>,
}

impl Streams {
    /// Counters of `workers` workers for `most` streams with a label of their own.
    pub fn new(workers: usize, most: usize) -> Self {
        Self { most: most.into(), known: Mutex::default(), shards: Sharded::new(workers) }
    }

    /// From now on so many streams have a label of their own; those that have one keep it.
    pub fn set_most(&self, most: usize) {
        self.most.store(most, Relaxed);
    }

    /// Counts one answer of `stream`; one without a stream, or of a stream that does not exist, is not counted.
    pub fn record(&self, stream: &str, status: u16, octets: u64) {
        if stream.is_empty() || !(200..400).contains(&status) {
            return;
        }
        let mut shard = self.shards.mine().lock();
        if let Some(totals) = shard.get_mut(stream) {
            totals.add(octets);
            return;
        }
        let label = if self.admits(stream) { stream } else { OTHER };
        shard.entry(label.into()).or_default().add(octets);
    }

    /// Whether a stream that is new to this worker has a label of its own.
    fn admits(&self, stream: &str) -> bool {
        let mut known = self.known.lock();
        if known.contains_key(stream) {
            return true;
        }
        let admits = known.len() < self.most.load(Relaxed);
        if admits {
            known.insert(stream.into(), ());
        }
        admits
    }

    /// The label of a stream: its own, if it has one.
    pub fn label<'s>(&self, stream: &'s str) -> &'s str {
        if self.known.lock().contains_key(stream) { stream } else { OTHER }
    }

    /// The totals of each label.
    pub fn totals(&self) -> Vec<(String, StreamTotals)> {
        let mut sum = std::collections::BTreeMap::<String, StreamTotals>::new();
        for shard in self.shards.all() {
            for (label, totals) in shard.lock().iter() {
                let entry = sum.entry(label.to_string()).or_default();
                entry.requests += totals.requests;
                entry.octets += totals.octets;
            }
        }
        sum.into_iter().collect()
    }
}

impl StreamTotals {
    fn add(&mut self, octets: u64) {
        self.requests += 1;
        self.octets += octets;
    }
}

impl Source for Streams {
    fn families(&self) -> Vec<Family> {
        let totals = self.totals();
        let family = |name, help, of: fn(&StreamTotals) -> u64| {
            totals.iter().fold(Family::new(name, help), |family, (stream, totals)| {
                family.with(vec![("stream", stream.clone())], Value::Counter(of(totals)))
            })
        };
        vec![
            family("weir_stream_requests", "Requests answered well, by stream", |totals| totals.requests),
            family("weir_stream_bytes", "Octets of bodies sent, by stream", |totals| totals.octets),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_beyond_the_bound_share_a_label() {
        let streams = Streams::new(2, 2);
        for stream in ["one", "two", "three", "four", "one"] {
            streams.record(stream, 200, 10);
        }
        streams.record("", 200, 10);
        streams.record("five", 404, 10);
        let totals = |requests| StreamTotals { requests, octets: requests * 10 };
        let expected = [("one", totals(2)), (OTHER, totals(2)), ("two", totals(1))];
        assert_eq!((streams.label("one"), streams.label("three"), streams.label("")), ("one", OTHER, OTHER));
        assert_eq!(streams.totals(), expected.map(|(label, totals)| (label.to_owned(), totals)));
    }
}
