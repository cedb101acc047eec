//! Which origin of a group is asked next: the memory of health behind a lock, one per origin.

use std::sync::Arc;

use parking_lot::Mutex;
use smallvec::SmallVec;

use crate::clock::Tick;
use crate::origin::Upstream;
use crate::rules::upstream::select::{Health, Standing, order};

/// The memory of one origin's health.
#[derive(Debug, Default)]
pub(super) struct Memory(Mutex<Health>);

impl Memory {
    pub fn standing(&self, now: Tick) -> Standing {
        self.0.lock().standing(now)
    }

    pub fn succeeded(&self) {
        self.0.lock().succeeded();
    }

    pub fn failed(&self, now: Tick) {
        self.0.lock().failed(now);
    }

    /// How it stands; an origin on trial is tried by the caller alone.
    pub fn claimed(&self, now: Tick) -> Standing {
        let mut health = self.0.lock();
        let standing = health.standing(now);
        if standing == Standing::OnTrial {
            health.tried(now);
        }
        standing
    }
}

/// The origins of a group in the order in which they are asked. A trial is claimed only where it comes first.
pub(super) fn in_order(group: &[Arc<Upstream>], now: Tick) -> SmallVec<[Arc<Upstream>; 4]> {
    let mut first_is_known = false;
    let standings: SmallVec<[Standing; 4]> = group
        .iter()
        .map(|upstream| {
            let standing = match first_is_known {
                false => upstream.memory.claimed(now),
                true => upstream.memory.standing(now),
            };
            first_is_known |= standing != Standing::Resting;
            standing
        })
        .collect();
    order(standings).map(|index| group[index].clone()).collect()
}
