//! Viewers and sums by what they share. Labels come from closed or bounded sets: streams that were served to somebody who
//! has their playlist have one of their own until nobody was there for an hour, all others share `other`.

use std::collections::HashMap;

use crate::rules::qoe::claims::HOUR_MS;
use crate::rules::qoe::figures::Spread;
use crate::rules::qoe::sums::{Both, Sums};
pub(super) use crate::telemetry::streams::OTHER;
use crate::telemetry::streams::named;

use super::snapshot::{Aggregate, Labelled, Sources};

/// A stream of which there was no session for so many halves gives its label back: an hour.
const SILENT_HALVES: u32 = 60;

/// The label of a country that is not known.
const UNKNOWN: &str = "unknown";

/// Protocols, in the order of their labels.
const PROTOCOLS: [&str; 3] = ["h1", "h2", "h3"];

/// Countries with a label of their own.
const REGIONS: usize = 64;

/// Renditions of a stream with a label of their own.
const RENDITIONS: usize = 12;

/// What is recent goes in halves of this.
const HALF_MS: u64 = 60_000;

/// All who share a label.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// How many are watching.
    pub viewers: u64,
    /// Since the node started.
    pub total: Both,
    /// Since one to two minutes, in two halves, the newer one first.
    recent: [Both; 2],
    /// Halves that are over since there was a session of it.
    silent: u32,
}

impl Group {
    fn add(&mut self, new: &Both) {
        self.total.merge(new);
        self.recent[0].merge(new);
    }

    fn weight(&self) -> usize {
        self.total.weight() + self.recent.iter().map(Both::weight).sum::<usize>()
    }

    fn turn(&mut self) {
        self.recent[1] = std::mem::take(&mut self.recent[0]);
        self.silent = self.silent.saturating_add(1);
    }

    fn shown(&self, label: &str, stream: Option<&str>) -> Labelled {
        let mut recent = self.recent[0].clone();
        recent.merge(&self.recent[1]);
        Labelled {
            label: label.to_owned(),
            stream: stream.map(str::to_owned),
            viewers: self.viewers,
            recent: sources(&recent),
            total: sources(&self.total),
        }
    }
}

/// A set of labels that is bounded. The first one is for all that have none.
#[derive(Debug)]
pub(super) struct Labels {
    known: HashMap<Box<str>, usize, foldhash::quality::RandomState>,
    /// By label; empty: it was given back.
    names: Vec<Box<str>>,
    groups: Vec<Group>,
    free: Vec<usize>,
}

impl Labels {
    fn new(first: &[&str]) -> Self {
        let mut labels = Self { known: HashMap::default(), names: Vec::new(), groups: Vec::new(), free: Vec::new() };
        first.iter().for_each(|name| _ = labels.admit(name, usize::MAX));
        labels
    }

    /// The label of a name that has one.
    fn find(&self, name: &str) -> Option<usize> {
        self.known.get(name).copied()
    }

    /// The label of a name, a new one while there are less than `most`.
    fn admit(&mut self, name: &str, most: usize) -> usize {
        if let Some(label) = self.find(name) {
            return label;
        }
        if self.known.len() >= most {
            return 0;
        }
        let label = self.free.pop().unwrap_or_else(|| {
            self.names.push("".into());
            self.groups.push(Group::default());
            self.names.len() - 1
        });
        self.known.insert(name.into(), label);
        self.names[label] = name.into();
        label
    }

    /// A label is given back, and its sums are forgotten.
    fn remove(&mut self, label: usize) -> Box<str> {
        let name = std::mem::take(&mut self.names[label]);
        self.known.remove(&name);
        self.groups[label] = Group::default();
        self.free.push(label);
        name
    }

    /// Every name with its group.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Group)> {
        self.names.iter().map(|name| &**name).zip(&self.groups).filter(|(name, _)| !name.is_empty())
    }

    fn shown(&self) -> Vec<Labelled> {
        let used = self.iter().filter(|(_, group)| group.viewers > 0 || !group.total.is_empty());
        used.map(|(name, group)| group.shown(name, None)).collect()
    }
}

/// The labels of a session.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    stream: usize,
    rendition: usize,
    protocol: usize,
    region: usize,
}

/// All groups.
#[derive(Debug)]
pub(super) struct Groups {
    /// Everybody.
    pub all: Group,
    /// By stream.
    pub streams: Labels,
    /// By stream and rendition, with a space between them.
    pub renditions: Labels,
    renditions_of: HashMap<usize, usize, foldhash::quality::RandomState>,
    /// By protocol.
    pub protocols: Labels,
    /// By country.
    pub regions: Labels,
    most: usize,
    turned: u64,
}

impl Groups {
    /// No viewers yet; so many streams have a label of their own.
    pub(super) fn new(most: usize) -> Self {
        Self {
            all: Group::default(),
            streams: Labels::new(&[OTHER]),
            renditions: Labels::new(&[OTHER]),
            renditions_of: HashMap::default(),
            protocols: Labels::new(&[OTHER, PROTOCOLS[0], PROTOCOLS[1], PROTOCOLS[2]]),
            regions: Labels::new(&[OTHER, UNKNOWN]),
            most,
            turned: 0,
        }
    }

    /// From now on so many streams have a label of their own; those that have one keep it.
    pub(super) const fn set_most(&mut self, most: usize) {
        self.most = most;
    }

    /// Where a session is before anything is known of it.
    pub(super) fn nowhere(&self) -> Place {
        Place { region: self.regions.find(UNKNOWN).unwrap_or_default(), ..Place::default() }
    }

    /// A session comes from a country.
    pub(super) fn from(&mut self, place: &mut Place, country: Option<&str>) {
        let is_country = |text: &&str| text.len() == 2 && text.bytes().all(|octet| octet.is_ascii_uppercase());
        place.region = self.regions.admit(country.filter(is_country).unwrap_or(UNKNOWN), REGIONS);
    }

    /// A session was served over a protocol.
    pub(super) fn over(&self, place: &mut Place, protocol: &str) {
        place.protocol = self.protocols.find(protocol).unwrap_or_default();
    }

    /// Media of a stream was served to a session: it exists, and may have a label of its own.
    pub(super) fn served(&mut self, place: &mut Place, stream: &str, rendition: Option<&str>) {
        if stream.is_empty() {
            return;
        }
        let stream = named(stream);
        let label = self.streams.admit(stream, self.most.saturating_add(1));
        if label != place.stream {
            (place.stream, place.rendition) = (label, 0);
        }
        let Some(rendition) = rendition else { return };
        if label == 0 {
            return;
        }
        let name = format!("{stream} {rendition}");
        place.rendition = self.renditions.find(&name).unwrap_or_else(|| {
            let count = self.renditions_of.entry(label).or_default();
            if *count >= RENDITIONS {
                return 0;
            }
            *count += 1;
            self.renditions.admit(&name, usize::MAX)
        });
    }

    /// A session is of a stream that has a label, or is of none that has.
    pub(super) fn of(&self, place: &mut Place, stream: &str) {
        if let Some(label) = self.streams.find(named(stream)).filter(|label| *label != place.stream) {
            (place.stream, place.rendition) = (label, 0);
        }
    }

    /// Nobody watches, until they are counted again.
    pub(super) fn empty(&mut self) {
        self.all.viewers = 0;
        for labels in [&mut self.streams, &mut self.renditions, &mut self.protocols, &mut self.regions] {
            labels.groups.iter_mut().for_each(|group| group.viewers = 0);
        }
    }

    /// Adds viewers and what is new of them.
    pub(super) fn add(&mut self, place: Place, viewers: u64, new: &Both) {
        let Self { all, streams, renditions, protocols, regions, .. } = self;
        let groups = [
            all,
            &mut streams.groups[place.stream],
            &mut renditions.groups[place.rendition],
            &mut protocols.groups[place.protocol],
            &mut regions.groups[place.region],
        ];
        for group in groups {
            group.viewers += viewers;
            group.silent = 0;
            if !new.is_empty() {
                group.add(new);
            }
        }
    }

    /// What all sums take, in bytes.
    pub(super) fn weight(&self) -> usize {
        let sets = [&self.streams, &self.renditions, &self.protocols, &self.regions];
        let groups = sets.iter().flat_map(|labels| &labels.groups).chain([&self.all]);
        groups.map(Group::weight).sum()
    }

    /// Time has come to this: what is recent moves on.
    pub(super) fn pass(&mut self, now: u64) {
        if now.saturating_sub(self.turned) < HALF_MS {
            return;
        }
        self.turned = now;
        self.all.turn();
        for labels in [&mut self.streams, &mut self.renditions, &mut self.protocols, &mut self.regions] {
            labels.groups.iter_mut().for_each(Group::turn);
        }
        self.give_back();
    }

    /// Takes back the labels of streams of which there was no session for long, so that no session has one of them.
    fn give_back(&mut self) {
        for label in 1..self.streams.names.len() {
            if self.streams.names[label].is_empty() || self.streams.groups[label].silent < SILENT_HALVES {
                continue;
            }
            let stream = self.streams.remove(label);
            if self.renditions_of.remove(&label).is_none() {
                continue;
            }
            let is_of = |name: &str| split(name).is_some_and(|(of, _)| of == &*stream);
            let of: Vec<_> = (1..self.renditions.names.len()).filter(|at| is_of(&self.renditions.names[*at])).collect();
            of.into_iter().for_each(|rendition| _ = self.renditions.remove(rendition));
        }
    }

    /// All groups as they are shown: everybody, streams, renditions, protocols, regions.
    pub(super) fn shown(&self) -> (Labelled, [Vec<Labelled>; 4]) {
        let mut renditions = self.renditions.shown();
        for shown in &mut renditions {
            if let Some((stream, rendition)) = split(&shown.label) {
                (shown.stream, shown.label) = (Some(stream.to_owned()), rendition.to_owned());
            }
        }
        (self.all.shown("all", None), [self.streams.shown(), renditions, self.protocols.shown(), self.regions.shown()])
    }
}

/// Stream and rendition of a label of both. Paths have no spaces.
pub(super) fn split(label: &str) -> Option<(&str, &str)> {
    label.split_once(' ')
}

fn sources(both: &Both) -> Sources {
    Sources { reported: aggregate(&both.reported), inferred: aggregate(&both.inferred) }
}

fn aggregate(sums: &Sums) -> Aggregate {
    let counts = &sums.counts;
    let ratio = |of: u64, by: u64, unit: f64| (by > 0).then(|| of as f64 * unit / by as f64);
    Aggregate {
        views: counts.views,
        left_out: counts.left_out,
        playing_seconds: counts.playing_ms as f64 / 1_000.0,
        startup_ms: Spread::of(&sums.startup),
        rebuffer_ratio: ratio(counts.rebuffer_ms, counts.rebuffer_ms + counts.watched_ms, 1.0),
        rebuffers_per_hour: ratio(counts.rebuffers, counts.playing_ms, HOUR_MS),
        bit_rate_kbps: ratio(counts.bits, counts.rated_ms, 1.0),
        switches_per_hour: ratio(counts.switches_up + counts.switches_down, counts.playing_ms, HOUR_MS),
        latency_ms: Spread::of(&sums.latency),
        dropped_frames_per_minute: ratio(counts.dropped_frames, counts.frames_ms, 60_000.0),
        throughput_kbps: Spread::of(&sums.throughput),
        exits_before_start: counts.exits_before_start,
        start_failures: counts.start_failures,
        playback_failures: counts.playback_failures,
    }
}
