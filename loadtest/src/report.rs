//! What many viewers met with, as text for people and JSON for machines.
//!
//! Times are milliseconds. In the JSON a field is never left out; what was not measured is `null` or has a count of 0.

use std::fmt::{self, Write as _};
use std::time::Duration;

use serde::Serialize;

use crate::stats::OriginCounts;
use crate::viewer::{Errors, Outcome, Requests, Times};

/// A distribution.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Quantiles {
    /// How many values.
    pub count: u64,
    /// Mean, in milliseconds, as all below.
    pub mean: f64,
    /// Half are not above it.
    pub p50: f64,
    /// 90 % are not above it.
    pub p90: f64,
    /// 99 % are not above it.
    pub p99: f64,
    /// The largest.
    pub max: f64,
}

fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e5).round() / 100.0
}

impl From<&Times> for Quantiles {
    fn from(times: &Times) -> Self {
        Self {
            count: times.count(),
            mean: ms(times.mean()),
            p50: ms(times.quantile(0.5)),
            p90: ms(times.quantile(0.9)),
            p99: ms(times.quantile(0.99)),
            max: ms(times.max()),
        }
    }
}

impl fmt::Display for Quantiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.count == 0 {
            return f.write_str("none");
        }
        let Self { p50, p90, p99, max, .. } = self;
        write!(f, "p50 {p50:.1}  p90 {p90:.1}  p99 {p99:.1}  max {max:.1} ms")
    }
}

/// Dry buffers of all viewers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct StallReport {
    /// How many.
    pub count: u64,
    /// Viewers who had one.
    pub viewers: u64,
    /// All together, in milliseconds.
    pub total_ms: f64,
    /// The longest, in milliseconds.
    pub longest_ms: f64,
}

/// What a crowd of viewers met with.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// The way of HTTP, by its name.
    pub way: String,
    /// Viewers who came.
    pub viewers: u64,
    /// Viewers whose playback began.
    pub started: u64,
    /// Viewers who gave up.
    pub gave_up: u64,
    /// From arrival to playback.
    pub startup: Quantiles,
    /// Dry buffers.
    pub stalls: StallReport,
    /// Latency to live.
    pub latency: Quantiles,
    /// Age of the newest listed part when its playlist had come.
    pub edge: Quantiles,
    /// First byte of media.
    pub first_byte: Quantiles,
    /// Whole media.
    pub whole: Quantiles,
    /// Requests.
    pub requests: Requests,
    /// Body bytes.
    pub bytes: u64,
    /// Seconds of media received, all tracks of all viewers.
    pub media_seconds: f64,
    /// Times that playback had to skip.
    pub jumps: u64,
    /// Connections opened.
    pub connections: u64,
    /// Errors.
    pub errors: Errors,
    /// Seconds that the run took.
    pub seconds: f64,
    /// What the origin counted, where it was asked.
    pub origin: Option<OriginCounts>,
}

impl Report {
    /// Sums up.
    pub fn new(way: &str, outcomes: &[Outcome], took: Duration) -> Self {
        let mut report = Self {
            way: way.to_owned(),
            viewers: outcomes.len() as u64,
            seconds: (took.as_secs_f64() * 1000.0).round() / 1000.0,
            ..Self::default()
        };
        let mut times: [Times; 5] = Default::default();
        for outcome in outcomes {
            if let Some(startup) = outcome.startup {
                report.started += 1;
                times[0].record(i64::try_from(startup.as_micros()).unwrap_or(i64::MAX));
            }
            times[1].add(&outcome.latency);
            times[2].add(&outcome.edge);
            times[3].add(&outcome.first_byte);
            times[4].add(&outcome.whole);
            report.add(outcome);
        }
        [report.startup, report.latency, report.edge, report.first_byte, report.whole] =
            times.each_ref().map(Quantiles::from);
        report
    }

    fn add(&mut self, outcome: &Outcome) {
        let stalls = outcome.stalls;
        self.gave_up += u64::from(outcome.gave_up);
        self.stalls.count += stalls.count;
        self.stalls.viewers += u64::from(stalls.count > 0);
        self.stalls.total_ms += stalls.total as f64 / 1e3;
        self.stalls.longest_ms = self.stalls.longest_ms.max(stalls.longest as f64 / 1e3);
        self.requests.add(outcome.requests);
        self.bytes += outcome.bytes;
        self.media_seconds += outcome.appended as f64 / 1e6;
        self.jumps += outcome.jumps;
        self.connections += outcome.connections;
        self.errors.add(&outcome.errors);
    }

    /// What is not as it should be, in words; empty if all is well.
    pub fn findings(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut say = |count: u64, what: &str| {
            if count > 0 {
                found.push(format!("{count} {what}"));
            }
        };
        say(self.viewers - self.started, "viewers never saw a picture");
        say(self.gave_up, "viewers gave up");
        say(self.stalls.count, "stalls");
        say(self.jumps, "jumps over media that had left the playlist");
        say(self.errors.total(), "errors");
        found.extend(self.origin.iter().flat_map(OriginCounts::findings));
        found
    }

    /// As text.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let rows = [
            ("startup", &self.startup),
            ("latency to live", &self.latency),
            ("playlist edge", &self.edge),
            ("media first byte", &self.first_byte),
            ("media whole", &self.whole),
        ];
        let Self { viewers, way, seconds, started, .. } = self;
        let _ = writeln!(out, "{viewers} viewers over {way} for {seconds:.1} s; {started} started");
        for (name, quantiles) in rows {
            let _ = writeln!(out, "{name:<17} {quantiles}");
        }
        let stalls = self.stalls;
        let _ = writeln!(
            out,
            "stalls            {} of {} viewers, {:.0} ms in all, longest {:.0} ms",
            stalls.count, stalls.viewers, stalls.total_ms, stalls.longest_ms
        );
        let requests = self.requests;
        let _ = writeln!(
            out,
            "requests          {} ({:.0}/s): {} playlists, {} media, {} init, {} multivariant; {} connections",
            requests.total(),
            requests.total() as f64 / seconds.max(0.001),
            requests.playlists,
            requests.media,
            requests.inits,
            requests.multivariant,
            self.connections
        );
        let _ = writeln!(
            out,
            "bytes             {} ({:.1} Mbit/s); {:.0} s of media",
            self.bytes,
            self.bytes as f64 * 8e-6 / seconds.max(0.001),
            self.media_seconds
        );
        errors(&mut out, &self.errors);
        if let Some(origin) = &self.origin {
            out.push_str(&origin.text());
        }
        verdict(&mut out, &self.findings());
        out
    }
}

/// Appends the errors.
pub(crate) fn errors(out: &mut String, errors: &Errors) {
    // Writing to a String cannot fail, here and above.
    let _ = writeln!(out, "errors            {}", errors.total());
    for (word, count) in &errors.counts {
        let _ = writeln!(out, "  {word:<15} {count}");
    }
    for example in &errors.examples {
        let _ = writeln!(out, "  e.g. {example}");
    }
}

/// Appends the last line.
pub(crate) fn verdict(out: &mut String, findings: &[String]) {
    let _ = match findings {
        [] => writeln!(out, "good"),
        findings => writeln!(out, "found: {}", findings.join("; ")),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(startup_ms: Option<u64>) -> Outcome {
        let mut outcome = Outcome { startup: startup_ms.map(Duration::from_millis), bytes: 1000, ..Outcome::default() };
        outcome.latency.record(1_200_000);
        outcome
    }

    #[test]
    fn a_report_sums_up_and_says_what_is_wrong() {
        let mut bad = outcome(None);
        bad.errors.note("cut", "/x: cut after 3 bytes".to_owned());
        bad.stalls.count = 2;
        let good = Report::new("h3", &[outcome(Some(100)), outcome(Some(300))], Duration::from_secs(2));
        assert_eq!((good.findings().len(), good.bytes, good.latency.count), (0, 2000, 2));
        assert!(good.text().ends_with("good\n"), "{}", good.text());
        let report = Report::new("h3", &[outcome(Some(100)), bad], Duration::from_secs(2));
        let findings = ["1 viewers never saw a picture", "2 stalls", "1 errors"];
        assert_eq!(report.findings(), findings);
        assert!(report.text().contains("e.g. /x: cut after 3 bytes"));
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!((&json["errors"]["counts"]["cut"], &json["origin"]), (&1.into(), &serde_json::Value::Null));
        assert_eq!(json["startup"]["count"], 1);
    }
}
