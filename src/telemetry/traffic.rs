//! What passed: requests, octets and durations by route and protocol, refusals by their word.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use utoipa::ToSchema;

use super::counters::{Counter, Durations, DurationsSum, Sharded};
use super::folders::Folders;
use super::metrics::{Family, Source, Value};
use super::streams::Streams;

/// How an answer came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origination {
    /// From memory.
    Hit,
    /// From memory although stale, because the origin cannot answer.
    Stale,
    /// From memory after the origin said that it still holds.
    Revalidated,
    /// Fetched, and this request was the one that asked.
    Miss,
    /// Fetched, and another request had asked already.
    Joined,
    /// Straight from the origin, neither looked up nor stored.
    Pass,
    /// Made by the node itself.
    Own,
    /// Refused.
    Refused,
}

impl Origination {
    const ALL: [Self; 8] =
        [Self::Hit, Self::Stale, Self::Revalidated, Self::Miss, Self::Joined, Self::Pass, Self::Own, Self::Refused];

    /// The label in metrics and logs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Stale => "stale",
            Self::Revalidated => "revalidated",
            Self::Miss => "miss",
            Self::Joined => "joined",
            Self::Pass => "pass",
            Self::Own => "own",
            Self::Refused => "refused",
        }
    }
}

/// Protocol labels in the order of the counters.
const PROTOCOLS: [&str; 3] = ["h1", "h2", "h3"];
/// Classes of status codes in the order of the counters.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// One finished answer.
#[derive(Clone, Copy, Debug)]
pub struct Passage {
    /// `h1`, `h2` or `h3`.
    pub protocol: &'static str,
    /// Where the answer came from.
    pub origination: Origination,
    /// Its status code.
    pub status: u16,
    /// Octets of its body that left.
    pub octets: u64,
    /// From the head of the request to the first octet of the answer's body (or its end).
    pub first_byte: Duration,
    /// From the head of the request to the end of the answer.
    pub whole: Duration,
}

/// All that passed, on all routes together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct Totals {
    /// Requests by where their answers came from.
    pub answers: BTreeMap<&'static str, u64>,
    /// Requests by protocol.
    pub protocols: BTreeMap<&'static str, u64>,
    /// Refusals by their word.
    pub refusals: BTreeMap<&'static str, u64>,
    /// Octets of bodies.
    pub octets: u64,
}

/// The counters of one route.
#[derive(Debug)]
pub struct RouteTraffic {
    shards: Sharded<Shard>,
    has_dropped: AtomicBool,
    /// Where its streams are.
    pub folders: Folders,
}

#[derive(Debug, Default)]
struct Shard {
    protocols: [ProtocolShard; 3],
    holds: Durations,
    dropped: Counter,
}

/// Whether something was the first of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// It was.
    Yes,
    /// It was not.
    No,
}

#[derive(Debug, Default)]
struct ProtocolShard {
    requests: [[Counter; CLASSES.len()]; Origination::ALL.len()],
    octets: Counter,
    first_byte: Durations,
    whole: Durations,
}

impl RouteTraffic {
    /// Counts one answer.
    pub fn record(&self, passage: &Passage) {
        let protocol = PROTOCOLS.iter().position(|label| *label == passage.protocol).unwrap_or_default();
        let shard = &self.shards.mine().protocols[protocol];
        let class = usize::from(passage.status / 100).clamp(1, CLASSES.len()) - 1;
        shard.requests[passage.origination as usize][class].add(1);
        shard.octets.add(passage.octets);
        shard.first_byte.record(passage.first_byte);
        shard.whole.record(passage.whole);
    }

    /// Counts a request that was held until its playlist had come far enough, or for nothing.
    pub fn held(&self, duration: Duration) {
        self.shards.mine().holds.record(duration);
    }

    /// Counts query parameters that neither the key nor the origin gets to see.
    pub fn dropped(&self, parameters: usize) -> First {
        self.shards.mine().dropped.add(parameters as u64);
        if self.has_dropped.load(Relaxed) || self.has_dropped.swap(true, Relaxed) { First::No } else { First::Yes }
    }

    fn sum(&self, protocol: usize, of: impl Fn(&ProtocolShard) -> u64) -> u64 {
        self.shards.all().map(|shard| of(&shard.protocols[protocol])).sum()
    }

    fn holds(&self) -> DurationsSum {
        let mut sum = DurationsSum::default();
        self.shards.all().for_each(|shard| shard.holds.add_to(&mut sum));
        sum
    }

    fn durations(&self, protocol: usize, of: impl Fn(&ProtocolShard) -> &Durations) -> DurationsSum {
        let mut sum = DurationsSum::default();
        self.shards.all().for_each(|shard| of(&shard.protocols[protocol]).add_to(&mut sum));
        sum
    }
}

/// All that passed. Routes keep their counters over a reload.
pub struct Traffic {
    workers: usize,
    routes: Mutex<BTreeMap<String, Arc<RouteTraffic>>>,
    refusals: Sharded<Vec<Counter>>,
    words: &'static [&'static str],
    /// What passed of each stream.
    pub streams: Arc<Streams>,
}

impl Traffic {
    /// Counters of `workers` workers; `words` are the stable words of refusals; `streams` get a label of their own.
    pub fn new(workers: usize, words: &'static [&'static str], streams: usize) -> Self {
        let refusals = Sharded::new_with(workers, || words.iter().map(|_| Counter::default()).collect());
        let streams = Arc::new(Streams::new(workers, streams));
        Self { workers, routes: Mutex::default(), refusals, words, streams }
    }

    /// The counters of a route; the number of routes is bounded by the configuration.
    pub fn route(&self, name: &str) -> Arc<RouteTraffic> {
        let mut routes = self.routes.lock();
        let fresh = || {
            let (shards, has_dropped) = (Sharded::new(self.workers), AtomicBool::new(false));
            Arc::new(RouteTraffic { shards, has_dropped, folders: Folders::default() })
        };
        routes.entry(name.to_owned()).or_insert_with(fresh).clone()
    }

    /// Forgets the counters of routes that `keep` does not name.
    pub fn retain_routes(&self, keep: impl Fn(&str) -> bool) {
        self.routes.lock().retain(|name, _| keep(name));
    }

    /// Counts a refusal by the index of its word.
    pub fn refused(&self, word: usize) {
        self.refusals.mine()[word].add(1);
    }

    fn by_protocol(&self, family: Family, value: impl Fn(&RouteTraffic, usize) -> Value) -> Family {
        let mut family = family;
        for (route, traffic) in self.routes.lock().iter() {
            for (index, protocol) in PROTOCOLS.iter().enumerate() {
                let labels = vec![("route", route.clone()), ("protocol", (*protocol).to_owned())];
                family = family.with(labels, value(traffic, index));
            }
        }
        family
    }

    fn by_route(&self, family: Family, value: impl Fn(&RouteTraffic) -> Value) -> Family {
        let routes = self.routes.lock();
        let labels = |route: &String| vec![("route", route.clone())];
        routes.iter().fold(family, |family, (route, traffic)| family.with(labels(route), value(traffic)))
    }

    fn requests(&self) -> Family {
        let mut family = Family::new("weir_requests", "Requests answered");
        for (route, traffic) in self.routes.lock().iter() {
            for (protocol, origination, class) in cells() {
                let count = traffic.sum(protocol, |shard| shard.requests[origination as usize][class].value());
                if count > 0 {
                    let labels = vec![
                        ("route", route.clone()),
                        ("protocol", PROTOCOLS[protocol].to_owned()),
                        ("cache", origination.label().to_owned()),
                        ("status", CLASSES[class].to_owned()),
                    ];
                    family = family.with(labels, Value::Counter(count));
                }
            }
        }
        family
    }

    /// All that passed since the node started.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for traffic in self.routes.lock().values() {
            for (protocol, origination, class) in cells() {
                let requests = traffic.sum(protocol, |shard| shard.requests[origination as usize][class].value());
                *totals.answers.entry(origination.label()).or_default() += requests;
                *totals.protocols.entry(PROTOCOLS[protocol]).or_default() += requests;
            }
            let octets = |protocol| traffic.sum(protocol, |shard| shard.octets.value());
            totals.octets += (0..PROTOCOLS.len()).map(octets).sum::<u64>();
        }
        for (index, word) in self.words.iter().enumerate() {
            let count = self.refusals.all().map(|shard| shard[index].value()).sum();
            totals.refusals.insert(word, count);
        }
        totals
    }

    fn refusals(&self) -> Family {
        let family = Family::new("weir_refusals", "Requests refused, by the stable word of the refusal");
        self.words.iter().enumerate().fold(family, |family, (index, word)| {
            let count = self.refusals.all().map(|shard| shard[index].value()).sum();
            family.with(vec![("reason", (*word).to_owned())], Value::Counter(count))
        })
    }
}

/// Protocol, origination and class of status of each counter of requests.
fn cells() -> impl Iterator<Item = (usize, Origination, usize)> {
    (0..PROTOCOLS.len()).flat_map(|protocol| {
        let originations = Origination::ALL.into_iter();
        originations.flat_map(move |origination| (0..CLASSES.len()).map(move |class| (protocol, origination, class)))
    })
}

impl Source for Traffic {
    fn families(&self) -> Vec<Family> {
        let mut families = vec![
            self.requests(),
            self.by_protocol(
                Family::new("weir_response_bytes", "Octets of response bodies sent"),
                |route, protocol| Value::Counter(route.sum(protocol, |shard| shard.octets.value())),
            ),
            self.by_protocol(
                Family::new("weir_first_byte_seconds", "From a request's head to the first octet of its answer"),
                |route, protocol| Value::Durations(route.durations(protocol, |shard| &shard.first_byte)),
            ),
            self.by_protocol(
                Family::new("weir_request_seconds", "From a request's head to the end of its answer"),
                |route, protocol| Value::Durations(route.durations(protocol, |shard| &shard.whole)),
            ),
            self.refusals(),
            self.by_route(Family::new("weir_hold_seconds", "For how long playlist reloads were held"), |route| {
                Value::Durations(route.holds())
            }),
            self.by_route(
                Family::new(
                    "weir_dropped_query_parameters",
                    "Query parameters of live requests that no playlist, packager or route names",
                ),
                |route| Value::Counter(route.shards.all().map(|shard| shard.dropped.value()).sum()),
            ),
        ];
        families.extend(self.streams.families());
        families
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_counted_under_its_route_protocol_and_result() {
        let traffic = Traffic::new(2, &["no-route"], 1);
        traffic.route("live").record(&Passage {
            protocol: "h3",
            origination: Origination::Joined,
            status: 206,
            octets: 10,
            first_byte: Duration::from_millis(1),
            whole: Duration::from_millis(2),
        });
        traffic.refused(0);
        let families = traffic.families();
        let labels = vec![
            ("route", "live".to_owned()),
            ("protocol", "h3".to_owned()),
            ("cache", "joined".to_owned()),
            ("status", "2xx".to_owned()),
        ];
        assert_eq!(families[0].samples, [super::super::metrics::Sample { labels, value: Value::Counter(1) }]);
        assert_eq!(families[1].samples[2].value, Value::Counter(10));
        assert_eq!(families[4].samples[0].value, Value::Counter(1));
    }
}
