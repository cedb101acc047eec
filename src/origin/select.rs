//! Which origin of a group is asked next: the memory of health behind a lock, one per origin.

use std::sync::Arc;

use parking_lot::Mutex;
use smallvec::SmallVec;

use crate::clock::Tick;
use crate::origin::Upstream;
use crate::rules::upstream::health::{Cause, Class, Health, Rate, Standing};
use crate::rules::upstream::select::{Turn, order};

/// The memory of one origin's health.
#[derive(Debug, Default)]
pub(super) struct Memory(Mutex<Health>);

/// Who is asked, in this order, each as it stood.
pub(super) type Candidates = SmallVec<[(Arc<Upstream>, Standing); 4]>;

impl Memory {
    pub fn standing(&self, now: Tick) -> Standing {
        self.0.lock().standing(now)
    }

    /// Since when it has been at rest, or has not.
    pub fn since(&self) -> Tick {
        self.0.lock().since()
    }

    pub fn succeeded(&self, now: Tick) {
        self.0.lock().succeeded(now);
    }

    pub fn failed(&self, now: Tick, class: Class) {
        self.0.lock().failed(now, class);
    }

    pub fn eject(&self, now: Tick, cause: Cause) {
        self.0.lock().eject(now, cause);
    }

    pub fn probe_answered(&self, now: Tick) {
        self.0.lock().probe_answered(now);
    }

    pub fn probe_failed(&self, now: Tick) {
        self.0.lock().probe_failed(now);
    }

    pub fn order_rest(&self, now: Tick) {
        self.0.lock().order_rest(now);
    }

    pub fn order_return(&self, now: Tick) {
        self.0.lock().order_return(now);
    }

    /// What an origin that is configured otherwise keeps: the operator's word.
    pub fn inherit(&self, before: &Self, now: Tick) {
        if before.0.lock().is_ordered_to_rest() {
            self.order_rest(now);
        }
    }

    fn rate(&self) -> Rate {
        self.0.lock().rate()
    }

    /// How it stands; an origin on trial is tried by the caller alone, and one that returns is given what is its share.
    pub fn claimed(&self, now: Tick) -> (Standing, Turn) {
        let mut health = self.0.lock();
        let standing = health.standing(now);
        let turn = match standing {
            Standing::OnTrial => {
                health.tried(now);
                Turn::Taken
            }
            Standing::Returning if !health.takes_one(now) => Turn::Left,
            Standing::Well | Standing::Returning | Standing::Resting(_) => Turn::Taken,
        };
        (standing, turn)
    }
}

/// The origins of a group in the order in which they are asked. A trial is claimed only where it comes first.
pub(super) fn in_order(group: &[Arc<Upstream>], now: Tick) -> Candidates {
    let mut first_is_known = false;
    let standings: SmallVec<[(Standing, Turn); 4]> = group
        .iter()
        .map(|upstream| {
            let (standing, turn) = match first_is_known {
                false => upstream.memory.claimed(now),
                true => (upstream.memory.standing(now), Turn::Taken),
            };
            first_is_known |= !matches!(standing, Standing::Resting(_)) && turn == Turn::Taken;
            (standing, turn)
        })
        .collect();
    order(standings.iter().copied()).map(|index| (group[index].clone(), standings[index].0)).collect()
}

/// An origin of a group failed in this way. One that fails far more often than its peers rests, streak or not.
pub(super) fn failed(group: &[Arc<Upstream>], upstream: &Arc<Upstream>, now: Tick, class: Class) {
    upstream.memory.failed(now, class);
    let peers = group.iter().filter(|peer| !Arc::ptr_eq(peer, upstream)).map(|peer| peer.memory.rate());
    if upstream.memory.standing(now).is_well() && upstream.memory.rate().stands_out(peers) {
        upstream.memory.eject(now, Cause::Outlier);
    }
    if !upstream.memory.standing(now).is_well() {
        upstream.stirred.notify_one();
    }
}
