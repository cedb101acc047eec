//! What viewers experience, as metrics. Labels: the closed set of sources and the bounded one of streams, renditions,
//! protocols and countries.

use crate::rules::qoe::sketch::Sketch;
use crate::rules::qoe::sums::{Counts, Sums};
use crate::telemetry::counters::BOUNDS;
use crate::telemetry::metrics::{Buckets, Family, Labels, Source, Value};

use super::groups::{Group, Labels as Names, OTHER, split};
use super::live::Live;

/// Upper bounds of the buckets of latency to live, in seconds.
const LATENCIES: [f64; 14] = [0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 30.0, 60.0];

/// Name and meaning of a number, and how it is had.
type Count = (&'static str, &'static str, fn(&Counts) -> Value);

const COUNTS: [Count; 15] = [
    ("weir_qoe_views", "Views that played for a second or longer", |counts| Value::Counter(counts.views)),
    ("weir_qoe_views_left_out", "Views that ended before that", |counts| Value::Counter(counts.left_out)),
    ("weir_qoe_playing_seconds", "Time of playing", |counts| seconds(counts.playing_ms)),
    ("weir_qoe_rebuffer_seconds", "Time of rebuffering", |counts| seconds(counts.rebuffer_ms)),
    ("weir_qoe_watched_seconds", "Time of playing of views whose rebuffering is known", |counts| {
        seconds(counts.watched_ms)
    }),
    ("weir_qoe_rebuffers", "Times of rebuffering", |counts| Value::Counter(counts.rebuffers)),
    ("weir_qoe_played_bits", "Bit rate times time of playing", |counts| Value::Counter(counts.bits)),
    ("weir_qoe_rated_seconds", "Time of playing in which the bit rate is known", |counts| seconds(counts.rated_ms)),
    ("weir_qoe_switches_up", "Changes to a higher bit rate", |counts| Value::Counter(counts.switches_up)),
    ("weir_qoe_switches_down", "Changes to a lower bit rate", |counts| Value::Counter(counts.switches_down)),
    ("weir_qoe_dropped_frames", "Frames that were not shown", |counts| Value::Counter(counts.dropped_frames)),
    ("weir_qoe_frames_seconds", "Time of playing of views that count frames", |counts| seconds(counts.frames_ms)),
    ("weir_qoe_exits_before_start", "Viewers who left before anything was played", |counts| {
        Value::Counter(counts.exits_before_start)
    }),
    ("weir_qoe_start_failures", "Views that failed before anything was played", |counts| {
        Value::Counter(counts.start_failures)
    }),
    ("weir_qoe_playback_failures", "Views that failed after something was played", |counts| {
        Value::Counter(counts.playback_failures)
    }),
];

fn seconds(ms: u64) -> Value {
    Value::Seconds(ms as f64 / 1_000.0)
}

impl Source for Live {
    fn families(&self) -> Vec<Family> {
        let mut families = self.viewers();
        families
            .extend(COUNTS.map(|(name, help, of)| self.by_stream(Family::new(name, help), |sums| of(&sums.counts))));
        families.push(
            self.by_stream(Family::new("weir_qoe_startup_seconds", "From the start to the first picture"), |sums| {
                buckets(&sums.startup, &BOUNDS, 1)
            }),
        );
        families.push(self.by_stream(
            Family::new("weir_qoe_latency_seconds", "How far behind live, each second of playing counted once"),
            |sums| buckets(&sums.latency, &LATENCIES, 1_000),
        ));
        families.extend(self.reports());
        families
    }
}

impl Live {
    fn viewers(&self) -> Vec<Family> {
        let groups = &self.groups;
        let by = |name, help, label, labels: &Names| {
            labels.iter().fold(Family::new(name, help), |family, (value, group)| {
                family.with(vec![(label, value.to_owned())], Value::Gauge(group.viewers as f64))
            })
        };
        let family = Family::new("weir_viewers_by_rendition", "Viewers who are watching, by rendition of a stream");
        let renditions = groups.renditions.iter().fold(family, |family, (label, group)| {
            let (stream, rendition) = split(label).unwrap_or((label, label));
            let labels = vec![("stream", stream.to_owned()), ("rendition", rendition.to_owned())];
            family.with(labels, Value::Gauge(group.viewers as f64))
        });
        vec![
            by("weir_viewers", "Viewers who are watching, by stream", "stream", &groups.streams),
            renditions,
            by("weir_viewers_by_protocol", "Viewers who are watching, by protocol", "protocol", &groups.protocols),
            by("weir_viewers_by_country", "Viewers who are watching, by country", "country", &groups.regions),
            Family::gauge("weir_qoe_sessions", "Sessions of which something is known", self.sessions() as f64),
            Family::counter("weir_qoe_untracked", "Times that a session found no place", self.untracked),
            Family::counter("weir_qoe_shed", "Views counted for good before their time, for want of room", self.shed),
        ]
    }

    /// A value for each stream and source of which there is something; of those without a label of their own also where there is nothing.
    fn by_stream(&self, family: Family, of: impl Fn(&Sums) -> Value) -> Family {
        let labels = |stream: &str, source: &str| -> Labels {
            vec![("stream", stream.to_owned()), ("source", source.to_owned())]
        };
        let mut family = family;
        for (stream, Group { total, .. }) in self.groups.streams.iter() {
            let sources = [("reported", &total.reported), ("inferred", &total.inferred)];
            for (source, sums) in sources.into_iter().filter(|(_, sums)| stream == OTHER || !sums.is_empty()) {
                family = family.with(labels(stream, source), of(sums));
            }
        }
        family
    }

    fn reports(&self) -> Vec<Family> {
        let received = &self.received;
        let faults = [
            ("missing", received.missing),
            ("again", received.again),
            ("doubled", received.doubled),
            ("off", received.off),
            ("late", received.late),
            ("unordered", received.unordered),
        ];
        let help = "Reports that are missing by their numbers, came twice, too late or out of order, or tell an impossible time";
        vec![
            Family::counter("weir_qoe_reports", "Reports of players that count", received.reports),
            faults.iter().fold(Family::new("weir_qoe_reports_odd", help), |family, (why, count)| {
                family.with(vec![("why", (*why).to_owned())], Value::Counter(*count))
            }),
        ]
    }
}

/// Milliseconds of a sketch in buckets of seconds; `each`: the weight of one.
fn buckets(sketch: &Sketch, bounds: &'static [f64], each: u64) -> Value {
    let counts = sketch.between(bounds, 1_000.0).into_iter().map(|weight| weight / each).collect();
    Value::Buckets(Buckets { bounds, counts, sum: sketch.sum() / (1_000 * each) as f64 })
}
