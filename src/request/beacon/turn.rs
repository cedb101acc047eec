//! A worker's time for one body: it works in turns, and between two of them on whatever else waits, so that no body holds
//! up those who play, whatever is in it.

use std::time::Duration;

use crate::clock::Tick;
use crate::request::edge::Edge;

/// So much is done in one turn, in octets: half a millisecond.
const MOST: usize = 16 << 10;

/// What a record costs beside its octets, in the same.
const EACH: usize = 512;

/// The turns of one body. What they took is counted, the last one where it is dropped.
pub struct Turn<'e> {
    edge: &'e Edge,
    began: Tick,
    /// What this thread had worked until then.
    worked: Duration,
    done: usize,
}

impl<'e> Turn<'e> {
    /// The first one begins.
    pub fn new(edge: &'e Edge) -> Self {
        Self { edge, began: edge.clock.now(), worked: edge.clock.worked(), done: 0 }
    }

    /// A record of so many octets was worked on; completes at once, or in the next turn.
    pub async fn worked_on(&mut self, octets: usize) {
        self.done += octets + EACH;
        if self.done >= MOST {
            self.end();
            tokio::task::yield_now().await;
            (self.began, self.worked, self.done) = (self.edge.clock.now(), self.edge.clock.worked(), 0);
        }
    }

    fn end(&self) {
        let took = self.edge.clock.worked().saturating_sub(self.worked);
        self.edge.beacons.worked(self.began, took);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.end();
    }
}
