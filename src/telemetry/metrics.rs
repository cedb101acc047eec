//! The text form of metrics (OpenMetrics). Whoever keeps counters is a `Source`; a scrape asks all of them. Label values
//! come from closed or bounded sets: never from a URL, a token or a field.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::counters::{BOUNDS, DurationsSum};

/// One metric with all its label sets.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// Name without the `_total` of counters.
    pub name: &'static str,
    /// What it counts, as a sentence without its full stop.
    pub help: &'static str,
    /// One for each label set.
    pub samples: Vec<Sample>,
}

/// Label names and values.
pub type Labels = Vec<(&'static str, String)>;

/// One value and its labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// What tells it from the others of its family.
    pub labels: Labels,
    /// What it is now.
    pub value: Value,
}

/// A measured value; all of one family are of one kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Only grows.
    Counter(u64),
    /// Goes up and down.
    Gauge(f64),
    /// Durations in buckets.
    Durations(DurationsSum),
    /// Seconds that only grow.
    Seconds(f64),
    /// Values in buckets of their own.
    Buckets(Buckets),
}

/// Values in buckets.
#[derive(Debug, Clone, PartialEq)]
pub struct Buckets {
    /// Their upper bounds; one more holds what is beyond.
    pub bounds: &'static [f64],
    /// Values in each bucket, one more than there are bounds.
    pub counts: Vec<u64>,
    /// All values together.
    pub sum: f64,
}

impl Family {
    /// A family without samples yet.
    pub const fn new(name: &'static str, help: &'static str) -> Self {
        Self { name, help, samples: Vec::new() }
    }

    /// Adds a sample.
    #[must_use]
    pub fn with(mut self, labels: Labels, value: Value) -> Self {
        self.samples.push(Sample { labels, value });
        self
    }

    /// A family of one number without labels that only grows.
    pub fn counter(name: &'static str, help: &'static str, value: u64) -> Self {
        Self::new(name, help).with(Vec::new(), Value::Counter(value))
    }

    /// A family of one number without labels that goes up and down.
    pub fn gauge(name: &'static str, help: &'static str, value: f64) -> Self {
        Self::new(name, help).with(Vec::new(), Value::Gauge(value))
    }
}

/// Something that counts.
pub trait Source: Send + Sync {
    /// Its present values.
    fn families(&self) -> Vec<Family>;
}

impl<F: Fn() -> Vec<Family> + Send + Sync> Source for F {
    fn families(&self) -> Vec<Family> {
        self()
    }
}

/// All sources of a node.
#[derive(Default)]
pub struct Exposition(Vec<Box<dyn Source>>);

impl Exposition {
    /// Adds a source.
    pub fn add(&mut self, source: impl Source + 'static) {
        self.0.push(Box::new(source));
    }

    /// All present values as OpenMetrics text.
    pub fn render(&self) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Scrape(self.0.iter().flat_map(|source| source.families()).collect())));
        let mut page = String::new();
        text::encode(&mut page, &registry).expect("writing to a string never fails");
        page
    }
}

/// The families of one scrape.
#[derive(Debug)]
struct Scrape(Vec<Family>);

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for family in &self.0 {
            let Some(first) = family.samples.first() else { continue };
            let kind = match first.value {
                Value::Counter(_) | Value::Seconds(_) => MetricType::Counter,
                Value::Gauge(_) => MetricType::Gauge,
                Value::Durations(_) | Value::Buckets(_) => MetricType::Histogram,
            };
            let mut metric = encoder.encode_descriptor(family.name, family.help, None, kind)?;
            for sample in &family.samples {
                if sample.labels.is_empty() {
                    encode(&mut metric, &sample.value)?;
                } else {
                    encode(&mut metric.encode_family(&sample.labels)?, &sample.value)?;
                }
            }
        }
        Ok(())
    }
}

fn encode(metric: &mut MetricEncoder<'_>, value: &Value) -> fmt::Result {
    match value {
        Value::Counter(value) => metric.encode_counter::<NoLabelSet, u64, u64>(value, None),
        Value::Gauge(value) => metric.encode_gauge(value),
        Value::Seconds(value) => metric.encode_counter::<NoLabelSet, f64, u64>(value, None),
        Value::Buckets(Buckets { bounds, counts, sum }) => {
            let buckets: Vec<_> = bounds.iter().copied().chain([f64::INFINITY]).zip(counts.iter().copied()).collect();
            metric.encode_histogram::<NoLabelSet>(*sum, counts.iter().sum(), &buckets, None)
        }
        Value::Durations(sum) => {
            let bounds = BOUNDS.into_iter().chain([f64::INFINITY]);
            let buckets: Vec<_> = bounds.zip(sum.buckets).collect();
            metric.encode_histogram::<NoLabelSet>(sum.seconds, sum.buckets.iter().sum(), &buckets, None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scrape_shows_every_kind_with_its_labels() {
        let mut exposition = Exposition::default();
        exposition.add(|| {
            let mut sum = DurationsSum::default();
            sum.buckets[0] = 2;
            sum.seconds = 0.5;
            vec![
                Family::new("weir_requests", "Requests")
                    .with(vec![("route", "live".to_owned()), ("protocol", "h3".to_owned())], Value::Counter(7)),
                Family::gauge("weir_held_requests", "Held", 3.0),
                Family::new("weir_request_seconds", "Time").with(Vec::new(), Value::Durations(sum)),
            ]
        });
        let page = exposition.render();
        assert!(page.contains("weir_requests_total{route=\"live\",protocol=\"h3\"} 7\n"), "{page}");
        assert!(page.contains("weir_held_requests 3.0\n"), "{page}");
        assert!(page.contains("weir_request_seconds_bucket{le=\"0.0005\"} 2\n"), "{page}");
        assert!(page.contains("weir_request_seconds_bucket{le=\"+Inf\"} 2\n"), "{page}");
        assert!(page.ends_with("# EOF\n"));
    }
}
