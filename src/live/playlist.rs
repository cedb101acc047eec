//! A playlist as viewers of every worker see it: its state, who waits for the next one, and who watches.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use arc_swap::ArcSwap;

use crate::clock::Tick;
use crate::rules::hls::reports::Sibling;

use super::Asked;
use super::parking::Parking;
use super::state::State;

/// A playlist that is asked for, followed or kept.
pub struct Playlist {
    /// How it was first asked for.
    pub asked: Asked,
    /// Who waits for a later version.
    pub parking: Arc<Parking>,
    state: ArcSwap<State>,
    /// When a viewer last asked for it, in nanoseconds of the clock.
    touched: AtomicU64,
    /// When its view was last known to be current, in nanoseconds of the clock.
    current: AtomicU64,
}

impl Playlist {
    /// A playlist of which nothing is known yet.
    pub fn new(asked: Asked, parking: Arc<Parking>, now: Tick) -> Self {
        let now = AtomicU64::new(nanos(now));
        Self { asked, parking, state: ArcSwap::from_pointee(State::Asked), touched: nanos_of(&now), current: now }
    }

    /// What is known of it.
    pub fn state(&self) -> Arc<State> {
        self.state.load_full()
    }

    /// From now on viewers see `state`; whoever waits for it is to be released afterwards.
    pub(super) fn set_state(&self, state: State) -> Arc<State> {
        let state = Arc::new(state);
        self.state.store(state.clone());
        state
    }

    /// A viewer asked for it.
    pub fn touch(&self, now: Tick) {
        self.touched.store(nanos(now), Relaxed);
    }

    /// When a viewer last asked for it.
    pub fn touched(&self) -> Tick {
        tick(&self.touched)
    }

    /// Its view is current at `now`.
    pub(super) fn set_current(&self, now: Tick) {
        self.current.store(nanos(now), Relaxed);
    }

    /// When its view was last known to be current: while it is followed without trouble, that is now (Appendix C: Age).
    pub fn current(&self) -> Tick {
        tick(&self.current)
    }

    /// What is known at this moment of the other renditions of its stream, and a stamp that changes with it.
    pub fn siblings(&self) -> (u64, Vec<Sibling>) {
        unimplemented!("follower")
    }

    /// The stamp of [`Playlist::siblings`] alone.
    pub fn siblings_stamp(&self) -> u64 {
        unimplemented!("follower")
    }
}

fn nanos(tick: Tick) -> u64 {
    u64::try_from(tick.since_start().as_nanos()).unwrap_or(u64::MAX)
}

fn nanos_of(value: &AtomicU64) -> AtomicU64 {
    AtomicU64::new(value.load(Relaxed))
}

fn tick(value: &AtomicU64) -> Tick {
    Tick::at(std::time::Duration::from_nanos(value.load(Relaxed)))
}
