//! Requests and octets by stream. Streams are named by whoever asks, so only so many have a label of their own: those of
//! which media was served that a playlist names which the node follows. Who is silent for an hour gives the label back and
//! its series end; all others share `other`. A request waits for no other worker here, but for the one that finds no label
//! free and looks, once a minute at most, whether there is a silent one.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::counters::Sharded;
use super::metrics::{Family, Source, Value};
use crate::clock::Tick;

/// The label of all that have none.
pub const OTHER: &str = "other";

/// The label of a stream that is called so: no path is written like this (RFC 3986 §6.2.2.2).
const NAMED_OTHER: &str = "%6Fther";

/// A label is given back after so long without an answer.
const SILENT: Duration = Duration::from_secs(3_600);

/// Who finds no label free looks for silent ones no more often than this.
const LOOK: Duration = Duration::from_secs(60);

type Map<T> = HashMap<Box<str>, T, foldhash::quality::RandomState>;

/// What a stream is called where it has a label of its own.
pub fn named(stream: &str) -> &str {
    if stream == OTHER { NAMED_OTHER } else { stream }
}

/// What passed of one stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamTotals {
    /// Requests answered.
    pub requests: u64,
    /// Octets of bodies sent.
    pub octets: u64,
}

/// What a stream was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Media that a followed playlist names: the stream exists.
    Media,
    /// Anything else.
    Other,
}

/// One answer of a stream.
#[derive(Clone, Copy, Debug)]
pub struct Answered {
    /// To what.
    pub asked: Asked,
    /// Its status code.
    pub status: u16,
    /// Octets of its body that left.
    pub octets: u64,
    /// When it ended.
    pub at: Tick,
}

/// What passed of each stream. Each worker counts in a map of its own.
pub struct Streams {
    most: AtomicUsize,
    /// The streams that have a label, and since when.
    known: ArcSwap<Map<Tick>>,
    /// When silent ones were looked for, in milliseconds since the start.
    looked: AtomicU64,
    shards: Sharded<Mutex<Shard>>,
}

#[derive(Default)]
struct Shard {
    labelled: Map<(StreamTotals, Tick)>,
    others: StreamTotals,
}

impl Streams {
    /// Counters of `workers` workers for `most` streams with a label of their own.
    pub fn new(workers: usize, most: usize) -> Self {
        Self { most: most.into(), known: ArcSwap::default(), looked: 0.into(), shards: Sharded::new(workers) }
    }

    /// From now on so many streams have a label of their own; those that have one keep it.
    pub fn set_most(&self, most: usize) {
        self.most.store(most, Relaxed);
    }

    /// Counts one answer of `stream`; one without a stream, or of a stream that does not exist, is not counted.
    pub fn record(&self, stream: &str, answered: &Answered) {
        if stream.is_empty() || !(200..400).contains(&answered.status) {
            return;
        }
        let name = named(stream);
        let is_admitted = || answered.asked == Asked::Media && self.admits(name, answered.at);
        let is_counted = self.counts(name, answered) || is_admitted() && self.counts(name, answered);
        if !is_counted {
            self.shards.mine().lock().others.add(answered.octets);
        }
    }

    /// Counts an answer where its stream has a label.
    fn counts(&self, name: &str, answered: &Answered) -> bool {
        let mut shard = self.shards.mine().lock();
        if let Some((totals, last)) = shard.labelled.get_mut(name) {
            totals.add(answered.octets);
            *last = answered.at;
            return true;
        }
        // Looked at while the shard is held: who takes labels back does so before he comes to it.
        let is_known = self.known.load().contains_key(name);
        if is_known {
            let (totals, last) = shard.labelled.entry(name.into()).or_default();
            totals.add(answered.octets);
            *last = answered.at;
        }
        is_known
    }

    /// Whether a stream that has no label gets one.
    fn admits(&self, name: &str, now: Tick) -> bool {
        let is_full = || self.known.load().len() >= self.most.load(Relaxed);
        if is_full() && self.may_look(now) {
            self.give_back(now);
        }
        if is_full() {
            return false;
        }
        self.known.rcu(|known| {
            let mut known = Map::clone(known);
            if known.len() < self.most.load(Relaxed) {
                known.insert(name.into(), now);
            }
            known
        });
        self.known.load().contains_key(name)
    }

    fn may_look(&self, now: Tick) -> bool {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let (now, before) = (millis(now.since_start()), self.looked.load(Relaxed));
        let is_due = before == 0 || now.saturating_sub(before) >= millis(LOOK);
        is_due && self.looked.compare_exchange(before, now.max(1), Relaxed, Relaxed).is_ok()
    }

    /// Takes back the labels of streams that were silent for too long.
    fn give_back(&self, now: Tick) {
        let mut last = Map::clone(&self.known.load());
        for shard in self.shards.all() {
            for (name, (_, at)) in &shard.lock().labelled {
                last.entry(name.clone()).and_modify(|last| *last = (*last).max(*at));
            }
        }
        last.retain(|_, last| now.since(*last) >= SILENT);
        if last.is_empty() {
            return;
        }
        self.known.rcu(|known| {
            let mut known = Map::clone(known);
            known.retain(|name, _| !last.contains_key(name));
            known
        });
        self.shards.all().for_each(|shard| shard.lock().labelled.retain(|name, _| !last.contains_key(name)));
    }

    /// The label of a stream: its own, if it has one.
    pub fn label<'s>(&self, stream: &'s str) -> &'s str {
        let name = named(stream);
        if self.known.load().contains_key(name) { name } else { OTHER }
    }

    /// The totals of each label.
    pub fn totals(&self) -> Vec<(String, StreamTotals)> {
        let lasts = self.shards.all().filter_map(|shard| shard.lock().labelled.values().map(|(_, last)| *last).max());
        if let Some(now) = lasts.max() {
            self.give_back(now);
        }
        let mut sum = BTreeMap::<String, StreamTotals>::new();
        for shard in self.shards.all() {
            let shard = shard.lock();
            let labelled = shard.labelled.iter().map(|(name, (totals, _))| (&**name, totals));
            for (label, totals) in labelled.chain([(OTHER, &shard.others)]).filter(|(_, totals)| totals.requests > 0) {
                let entry = sum.entry(label.to_owned()).or_default();
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
    use crate::telemetry::counters::this_thread_is_worker;

    fn at(seconds: u64, asked: Asked) -> Answered {
        Answered { asked, status: 200, octets: 10, at: Tick::at(Duration::from_secs(seconds)) }
    }

    fn labels(streams: &Streams) -> Vec<(String, u64)> {
        streams.totals().into_iter().map(|(label, totals)| (label, totals.requests)).collect()
    }

    fn told(expected: &[(&str, u64)]) -> Vec<(String, u64)> {
        expected.iter().map(|(label, requests)| ((*label).to_owned(), *requests)).collect()
    }

    #[test]
    fn streams_beyond_the_bound_share_a_label() {
        let streams = Streams::new(2, 2);
        for stream in ["one", "two", "three", "four", "one", ""] {
            streams.record(stream, &at(1, Asked::Media));
        }
        streams.record("five", &Answered { status: 404, ..at(1, Asked::Media) });
        this_thread_is_worker(1);
        streams.record("one", &at(1, Asked::Other));
        streams.record("three", &at(1, Asked::Media));
        this_thread_is_worker(0);
        assert_eq!((streams.label("one"), streams.label("three"), streams.label("")), ("one", OTHER, OTHER));
        assert_eq!(labels(&streams), told(&[("one", 3), (OTHER, 3), ("two", 1)]));
        assert_eq!(streams.totals()[0].1, StreamTotals { requests: 3, octets: 30 });
    }

    #[test]
    fn names_that_no_playlist_stands_behind_take_no_label() {
        let streams = Streams::new(1, 2);
        (0..1_000).for_each(|number| streams.record(&format!("x/{number}"), &at(1, Asked::Other)));
        streams.record("real", &at(2, Asked::Media));
        streams.record("real", &at(2, Asked::Other));
        assert_eq!(labels(&streams), told(&[(OTHER, 1_000), ("real", 2)]));
    }

    #[test]
    fn a_stream_that_is_silent_for_an_hour_gives_its_label_back() {
        let streams = Streams::new(1, 2);
        streams.record("one", &at(1, Asked::Media));
        streams.record("two", &at(1, Asked::Media));
        streams.record("three", &at(3_000, Asked::Media));
        streams.record("two", &at(3_500, Asked::Other));
        assert_eq!(streams.label("three"), OTHER);
        streams.record("three", &at(3_602, Asked::Media));
        assert_eq!((streams.label("one"), streams.label("two"), streams.label("three")), (OTHER, "two", "three"));
        assert_eq!(labels(&streams), told(&[(OTHER, 1), ("three", 1), ("two", 2)]));
        streams.record("three", &at(7_200, Asked::Media));
        assert_eq!(labels(&streams), told(&[(OTHER, 1), ("three", 2)]), "a reader finds the silent ones too");
    }

    #[test]
    fn a_stream_that_is_called_other_is_not_mixed_with_the_rest() {
        let streams = Streams::new(1, 1);
        streams.record(OTHER, &at(1, Asked::Media));
        streams.record("two", &at(1, Asked::Media));
        assert_eq!(streams.label(OTHER), NAMED_OTHER);
        assert_eq!(labels(&streams), told(&[(NAMED_OTHER, 1), (OTHER, 1)]));
    }

    #[test]
    fn an_answer_without_a_label_waits_for_no_other_worker() {
        let streams = Streams::new(2, 1);
        streams.record("one", &at(1, Asked::Media));
        let _held: Vec<_> = streams.shards.all().skip(1).map(|shard| shard.lock()).collect();
        // It would wait for good.
        streams.record("two", &at(2, Asked::Other));
        assert_eq!(streams.label("two"), OTHER);
    }
}
