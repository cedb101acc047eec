//! Held reloads of one playlist: who waits for the same thing stands in one group, in a list for each worker, and is
//! released with the same version. Bounded on the node; a place is free again the moment its viewer leaves.

use std::sync::Arc;

use crate::cache::Bells;
use crate::rules::hls::reload::Wanted;

use super::state::State;

/// What somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Want {
    /// Anything at all: the playlist has only just been asked for.
    First,
    /// A position.
    Reload(Wanted),
}

/// What becomes of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is released.
    Release,
    /// It waits for this from now on.
    Wait(Want),
}

/// Why nobody else can wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// As many requests as allowed are held on the node.
    #[error("as many requests as allowed are held")]
    Node,
}

/// How many requests are held on the node, and how many may be.
pub struct Held {}

impl Held {
    /// Nobody waits; `most` may.
    pub fn new(_most: usize) -> Arc<Self> {
        unimplemented!("edition")
    }

    /// How many wait now.
    pub fn now(&self) -> usize {
        unimplemented!("edition")
    }

    /// From now on so many may wait.
    pub fn set_most(&self, _most: usize) {
        unimplemented!("edition")
    }
}

/// Who waits for one playlist.
pub struct Parking {}

/// A place; dropping it frees it.
pub struct Parked {}

impl Parking {
    /// Nobody waits. Those who will are woken through `bells`.
    pub fn new(_bells: Arc<Bells>, _held: Arc<Held>) -> Arc<Self> {
        unimplemented!("edition")
    }

    /// A place among those who want the same. The caller looks at the state once more after it has the place, so that
    /// it misses no release.
    ///
    /// # Errors
    /// [`Full`].
    pub fn park(self: &Arc<Self>, _want: Want) -> Result<Parked, Full> {
        unimplemented!("edition")
    }

    /// Judges every group, and releases those that `judge` releases with `state`.
    pub fn release(&self, _state: &Arc<State>, _judge: impl Fn(Want) -> Fate) {
        unimplemented!("edition")
    }

    /// How many wait here.
    pub fn waiting(&self) -> usize {
        unimplemented!("edition")
    }
}

impl Parked {
    /// The state that it was released with.
    pub async fn released(self) -> Arc<State> {
        unimplemented!("edition")
    }
}
