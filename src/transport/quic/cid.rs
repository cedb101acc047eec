//! Connection IDs (RFC 9000 §5.1) whose first octet says which worker of which process owns the connection, so that the
//! kernel finds the worker's socket without state. The other octets are unpredictable.

use std::time::Duration;

use aws_lc_rs::rand;
use quinn_proto::{ConnectionId, ConnectionIdGenerator, InvalidCid};

/// Octets of a connection ID: 56 unpredictable bits.
const LENGTH: usize = 8;

/// A worker's place among those that share a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    /// Its index, in the order in which the sockets were bound.
    pub worker: u8,
    /// How many share the port; at least 1.
    pub workers: u8,
}

impl Seat {
    /// The only worker of its port.
    pub const ALONE: Self = Self { worker: 0, workers: 1 };

    /// The first octet of its connection IDs: the worker by remainder, the generation of the process above it.
    const fn octet(self, generation: u8) -> u8 {
        let generations = 256 / self.workers as u16;
        ((generation as u16 % generations) * self.workers as u16 + self.worker as u16) as u8
    }

    /// Whether a connection ID that begins with this octet is its own.
    const fn owns(self, octet: u8) -> bool {
        octet % self.workers == self.worker
    }
}

/// Makes the connection IDs of one worker.
pub(super) struct WorkerCids {
    seat: Seat,
    first: u8,
}

impl WorkerCids {
    pub(super) fn new(seat: Seat, generation: u8) -> Self {
        Self { seat, first: seat.octet(generation) }
    }
}

impl ConnectionIdGenerator for WorkerCids {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut octets = [0; LENGTH];
        rand::fill(&mut octets).expect("the system has random numbers");
        octets[0] = self.first;
        ConnectionId::new(&octets)
    }

    // A packet for another worker (it came before the filter was set) must not be answered with a stateless reset: all
    // workers share the reset key, so the reset would end the connection where it lives.
    fn validate(&self, cid: &ConnectionId) -> Result<(), InvalidCid> {
        match cid.first() {
            Some(octet) if self.seat.owns(*octet) => Ok(()),
            _ => Err(InvalidCid),
        }
    }

    fn cid_len(&self) -> usize {
        LENGTH
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_octet_names_its_worker_in_each_generation(workers in 1u8.., worker: u8, generation: u8) {
            let seat = Seat { worker: worker % workers, workers };
            prop_assert_eq!(seat.octet(generation) % workers, seat.worker);
        }
    }

    #[test]
    fn a_worker_validates_its_own_ids_and_no_others() {
        let seats = [0, 1, 2].map(|worker| Seat { worker, workers: 3 });
        for owner in seats {
            let cid = WorkerCids::new(owner, 7).generate_cid();
            for seat in seats {
                assert_eq!(WorkerCids::new(seat, 1).validate(&cid).is_ok(), seat == owner);
            }
        }
    }

    #[test]
    fn two_generations_of_a_worker_differ_in_the_first_octet() {
        let seat = Seat { worker: 1, workers: 4 };
        assert_ne!(seat.octet(0), seat.octet(1));
    }
}
