//! What this node says of one transmission to players: CMSD-Dynamic, its member after those of the hops before (CTA-5006),
//! and Server-Timing. A number that is not known well is not said, for players choose what they load by it.

use std::fmt::Write;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::rules::qoe::cmsd::{self, Condition, Hop};
use crate::rules::timeline::event::Kind;
use crate::telemetry::traffic::Origination;

use super::edge::Edge;
use super::policies::{Policies, RoutePolicy};
use super::witness::named;
use super::{Caller, Head, Proxy};

/// The field of what took how long.
pub const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// How long one answer took on this node.
#[derive(Clone, Copy, Debug)]
pub struct Took {
    /// From the request's head until now.
    pub whole: Duration,
    /// What the origin took of it.
    pub origin: Option<Duration>,
    /// What it was held of it.
    pub held: Option<Duration>,
    /// How it came about.
    pub origination: Origination,
}

/// Adds this node's member to what the hops before said of a stream's object, where the route tells players.
pub fn tell(
    edge: &Edge,
    policies: &Policies,
    (head, route): (&Head, &RoutePolicy),
    took: &Took,
    headers: &mut HeaderMap,
) {
    let kind = head.notes.kind().unwrap_or_else(|| named(&head.path));
    let is_told = route.config.reporting.cmsd.unwrap_or(policies.config.qoe.cmsd);
    if !is_told || head.caller != Caller::Viewer || kind == Kind::Plain {
        return;
    }
    for before in head.notes.hops() {
        headers.append(cmsd::CMSD_DYNAMIC, before);
    }
    // A proxy's connection says nothing of the way to the viewer.
    let is_direct = head.viewer.proxy == Proxy::None && head.viewer.address == head.viewer.peer;
    let sending = head.line.last().filter(|_| is_direct).map(|sample| sample.sending);
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let estimate = sending.and_then(|sending| Some((sending.throughput_kbps()?, sending.round_trip_us / 1_000)));
    cmsd::append(
        headers,
        &Hop {
            node: &policies.config.node.name,
            throughput_kbps: estimate.map(|(throughput, _)| throughput),
            response_delay_ms: Some(millis(took.whole)),
            round_trip_ms: estimate.map(|(_, round_trip)| round_trip),
            hold_ms: took.held.map(millis),
            most_kbps: None,
            condition: if edge.crowd.is_pressed() { Condition::UnderDuress } else { Condition::Well },
        },
    );
}

/// `edge`: from the request's head to now, without what was waited for; then each wait, and what the cache did.
pub fn server_timing(took: &Took) -> HeaderValue {
    let milliseconds = |duration: Duration| duration.as_secs_f64() * 1e3;
    let waits = [("origin", took.origin), ("hold", took.held)];
    let waited: Duration = waits.iter().filter_map(|(_, wait)| *wait).sum();
    let mut value = format!("edge;dur={:.1}", milliseconds(took.whole.saturating_sub(waited)));
    for (name, wait) in waits {
        if let Some(wait) = wait {
            _ = write!(value, ", {name};dur={:.1}", milliseconds(wait));
        }
    }
    if let Some(cache) = cache(took.origination) {
        _ = write!(value, ", cache;desc={cache}");
    }
    value.try_into().expect("words and digits are a field value")
}

const fn cache(origination: Origination) -> Option<&'static str> {
    match origination {
        Origination::Hit => Some("hit"),
        Origination::Stale => Some("stale"),
        Origination::Joined => Some("join"),
        Origination::Miss | Origination::Revalidated => Some("lead"),
        Origination::Pass | Origination::Own | Origination::Refused => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timing_has_four_entries_at_most_and_is_short() {
        let day = Duration::from_secs(86_400);
        let took = Took { whole: day, origin: Some(day), held: Some(day), origination: Origination::Revalidated };
        let value = server_timing(&took);
        assert_eq!(value, "edge;dur=0.0, origin;dur=86400000.0, hold;dur=86400000.0, cache;desc=lead");
        assert!(value.len() <= 200);
        let own = Took { whole: Duration::from_micros(1_250), origin: None, held: None, origination: Origination::Own };
        assert_eq!(server_timing(&own), "edge;dur=1.2");
    }
}
