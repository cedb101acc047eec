//! What is counted of each origin: raw numbers, read at a scrape.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::clock::Tick;
use crate::origin::failure::Outcome;
use crate::rules::upstream::health::Standing;
use crate::telemetry::counters::{Durations, DurationsSum};

/// Counters of one origin; they outlive a change of its configuration.
#[derive(Debug, Default)]
pub(super) struct Figures {
    outcomes: [AtomicU64; Outcome::ALL.len()],
    retries: AtomicU64,
    failovers: AtomicU64,
    spared: AtomicU64,
    refused: AtomicU64,
    connect: Durations,
    first_byte: Durations,
}

/// The figures of one origin at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct OriginFigures {
    /// Its name.
    pub name: Arc<str>,
    /// How it stands in the memory of health.
    pub standing: Standing,
    /// Requests by how they ended.
    pub outcomes: [(Outcome, u64); Outcome::ALL.len()],
    /// Requests sent again on a fresh connection.
    pub retries: u64,
    /// Requests that went on to the next origin from here.
    pub failovers: u64,
    /// Requests that were not sent again because too many were.
    pub spared: u64,
    /// Requests that were refused while it rests.
    pub refused: u64,
    /// Since when it has been at rest, or has not.
    pub since: Tick,
    /// Extra requests that may still be sent, of the group in which the fewest may.
    pub retries_left: Option<u64>,
    /// The addresses of its name, as last resolved.
    pub addresses: Vec<SocketAddr>,
    /// Streams that are followed at it.
    pub streams: usize,
    /// Streams that stall, or stalled, at it.
    pub stalled: Vec<String>,
    /// Connections, those being opened included.
    pub connections: usize,
    /// Requests that hold a place.
    pub in_flight: usize,
    /// Requests that wait for a place.
    pub waiting: usize,
    /// How long TCP and TLS took.
    pub connect: DurationsSum,
    /// How long the head of an answer took, from the request.
    pub first_byte: DurationsSum,
}

/// What of an origin's places is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    pub connections: usize,
    pub in_flight: usize,
    pub waiting: usize,
}

impl Figures {
    pub fn count(&self, outcome: Outcome) {
        self.outcomes[outcome as usize].fetch_add(1, Relaxed);
    }

    pub fn retried(&self) {
        self.retries.fetch_add(1, Relaxed);
    }

    pub fn failed_over(&self) {
        self.failovers.fetch_add(1, Relaxed);
    }

    pub fn spared(&self) {
        self.spared.fetch_add(1, Relaxed);
    }

    pub fn refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    pub fn connected(&self, took: Duration) {
        self.connect.record(took);
    }

    pub fn first_byte(&self, took: Duration) {
        self.first_byte.record(took);
    }

    pub fn snapshot(&self, name: &Arc<str>, standing: Standing, taken: Taken) -> OriginFigures {
        OriginFigures {
            name: name.clone(),
            standing,
            outcomes: Outcome::ALL.map(|outcome| (outcome, self.outcomes[outcome as usize].load(Relaxed))),
            retries: self.retries.load(Relaxed),
            failovers: self.failovers.load(Relaxed),
            spared: self.spared.load(Relaxed),
            refused: self.refused.load(Relaxed),
            since: Tick::default(),
            retries_left: None,
            addresses: Vec::new(),
            streams: 0,
            stalled: Vec::new(),
            connections: taken.connections,
            in_flight: taken.in_flight,
            waiting: taken.waiting,
            connect: self.connect.sum(),
            first_byte: self.first_byte.sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_has_its_own_number() {
        let figures = Figures::default();
        for (times, outcome) in Outcome::ALL.into_iter().enumerate() {
            (0..times).for_each(|_| figures.count(outcome));
        }
        let counted = figures.snapshot(&"a".into(), Standing::Well, Taken::default()).outcomes;
        assert!(counted.iter().enumerate().all(|(times, (_, count))| *count == times as u64));
    }
}
