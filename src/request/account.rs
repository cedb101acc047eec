//! What became of one answer: counted and logged once, when its body was sent or dropped.

use std::ops::Range;
use std::sync::Arc;

use tracing::debug;

use crate::clock::{Clock, Tick};
use crate::telemetry::access_log::{AccessLog, Line};
use crate::telemetry::streams::{Answered, Asked, Streams};
use crate::telemetry::traffic::{Passage, RouteTraffic};

use super::body::BodyError;
use super::witness::{Sent, Witness};

/// The account of one answer; dropping it closes it.
pub struct Account {
    clock: Clock,
    received: Tick,
    first_byte: Option<Tick>,
    passage: Passage,
    /// Octets that make the answer whole, where that is known from the start.
    whole: Option<u64>,
    end: Option<Sent>,
    traffic: Arc<RouteTraffic>,
    streams: Option<(Arc<Streams>, Asked)>,
    /// What was asked for, and where in it the stream's name stands.
    path: (String, Range<usize>),
    witness: Option<Witness>,
    log: Option<Box<(AccessLog, Line)>>,
}

impl Account {
    /// Opens the account of an answer whose request's head was complete at `received`.
    pub fn open(clock: &Clock, received: Tick, passage: Passage, traffic: Arc<RouteTraffic>) -> Self {
        Self {
            clock: clock.clone(),
            received,
            first_byte: None,
            passage,
            whole: None,
            end: None,
            traffic,
            streams: None,
            path: (String::new(), 0..0),
            witness: None,
            log: None,
        }
    }

    /// Also counts for a stream, whose name stands somewhere in the path.
    #[must_use]
    pub fn of_stream(mut self, streams: &Arc<Streams>, (path, stream): (String, Range<usize>), asked: Asked) -> Self {
        self.streams = (!stream.is_empty()).then(|| (streams.clone(), asked));
        self.path = (path, stream);
        self
    }

    /// Also becomes part of a story.
    #[must_use]
    pub fn witnessed(mut self, witness: Option<Witness>) -> Self {
        self.witness = witness;
        self
    }

    /// Also writes a line to the access log.
    #[must_use]
    pub fn logged(mut self, log: AccessLog, line: Line) -> Self {
        self.log = Some(Box::new((log, line)));
        self
    }

    /// The answer is whole after this many octets; transports may not ask a body for its end once they have them.
    #[must_use]
    pub fn whole_at(mut self, octets: Option<u64>) -> Self {
        self.whole = octets;
        self
    }

    /// That many octets more were handed to the transport.
    pub(super) fn sent(&mut self, octets: usize) {
        if self.first_byte.is_none() {
            self.first_byte = Some(self.clock.now());
        }
        self.passage.octets += octets as u64;
    }

    /// The body ended as it should.
    pub(super) fn complete(&mut self) {
        self.end = Some(Sent::Whole);
    }

    /// The body ended in an error.
    pub(super) fn failed(&mut self, error: &BodyError) {
        self.end = Some(match error {
            BodyError::Revoked => Sent::Revoked,
            BodyError::Fill(_) | BodyError::Short | BodyError::Origin(_) => Sent::Short,
        });
        debug!(%error, cause = ?std::error::Error::source(error).map(ToString::to_string), "answer was cut");
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let now = self.clock.now();
        self.passage.whole = now.since(self.received);
        self.passage.first_byte = self.first_byte.unwrap_or(now).since(self.received);
        self.traffic.record(&self.passage);
        let (path, stream) = &self.path;
        if let Some(((streams, asked), stream)) = self.streams.as_ref().zip(path.get(stream.clone())) {
            let Passage { status, octets, .. } = self.passage;
            streams.record(stream, &Answered { asked: *asked, status, octets, at: now });
        }
        let is_whole = self.whole == Some(self.passage.octets);
        let end = self.end.filter(|_| !is_whole).unwrap_or(if is_whole { Sent::Whole } else { Sent::Cut });
        let complete = end == Sent::Whole;
        if let Some(witness) = &self.witness {
            witness.ended((path, stream.clone()), &self.passage, end, &self.clock);
        }
        if let Some(log) = self.log.take() {
            let (log, mut line) = *log;
            line.octets = self.passage.octets;
            line.took = self.passage.whole;
            line.first_byte = self.passage.first_byte;
            line.complete = complete;
            log.log(line);
        }
    }
}
