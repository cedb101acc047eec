//! Counters of names, prefetches and part requests.

use crate::telemetry::counters::{Counter, Sharded};
use crate::telemetry::metrics::{Family, Value};

/// How a request for a part was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartAnswer {
    /// From memory.
    Hit,
    /// Together with others, once it had arrived.
    Join,
    /// It was the first to ask, and nothing had been fetched before.
    Lead,
}

/// What is counted.
pub(super) struct Figures {
    parts: Sharded<[Counter; 3]>,
    /// Requests for parts that did not exist yet.
    pub holds: Sharded<Counter>,
    /// Prefetches by what became of them.
    pub prefetched: Counter,
    pub failed: Counter,
    pub octets: Counter,
    pub wasted: Counter,
    pub grown: Counter,
}

impl Figures {
    pub fn new(workers: usize) -> Self {
        Self {
            parts: Sharded::new(workers),
            holds: Sharded::new(workers),
            prefetched: Counter::default(),
            failed: Counter::default(),
            octets: Counter::default(),
            wasted: Counter::default(),
            grown: Counter::default(),
        }
    }

    pub fn part(&self, answer: PartAnswer) {
        self.parts.mine()[answer as usize].add(1);
    }

    /// The present values, with `names`, those refused, and segments that grow now.
    pub fn families(&self, (names, refused, growing): (usize, u64, usize)) -> Vec<Family> {
        let part = |answer: PartAnswer| self.parts.all().map(|of_worker| of_worker[answer as usize].value()).sum();
        let holds = self.holds.all().map(Counter::value).sum();
        let by = |name, help, label: &'static str, values: &[(&str, u64)]| {
            values.iter().fold(Family::new(name, help), |family, (value, count)| {
                family.with(vec![(label, (*value).to_owned())], Value::Counter(*count))
            })
        };
        vec![
            Family::gauge("weir_media_names", "Names of media that followed playlists list or listed", names as f64),
            Family::counter("weir_media_names_refused", "Names of media that found no place in the table", refused),
            by(
                "weir_part_requests",
                "Requests for partial segments that the node answered itself",
                "by",
                &[("hit", part(PartAnswer::Hit)), ("join", part(PartAnswer::Join)), ("lead", part(PartAnswer::Lead))],
            ),
            Family::counter("weir_part_holds", "Requests for partial segments that did not exist yet", holds),
            by(
                "weir_prefetches",
                "Hinted resources that were asked for before they existed, by outcome",
                "outcome",
                &[("done", self.prefetched.value()), ("failed", self.failed.value())],
            ),
            Family::counter("weir_prefetched_bytes", "Bytes that were prefetched", self.octets.value()),
            Family::counter(
                "weir_prefetch_wasted_bytes",
                "Prefetched bytes that nobody asked for",
                self.wasted.value(),
            ),
            Family::gauge(
                "weir_growing_segments",
                "Segments that grow now, their parts ranges of them",
                growing as f64,
            ),
            Family::counter("weir_grown_segments", "Growing segments that were put together whole", self.grown.value()),
        ]
    }
}
