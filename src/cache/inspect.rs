//! What the cache holds under a name, for explanations. Nothing is counted as used by it.

use std::sync::Arc;

use http::HeaderMap;

use crate::rules::caching::Key;
use crate::rules::caching::purge::Mode;

use super::object::Object;
use super::{Cache, fill::Fill};

/// What is known of a name.
pub struct Inspection {
    /// What is stored in memory, in every generation, the newest of each first.
    pub held: Vec<Held>,
    /// Fetches in progress.
    pub fills: Vec<Filling>,
    /// Each request asks for itself, for a while: the last answer was one viewer's alone.
    pub is_apart: bool,
    /// A purge that may cover it is being carried out.
    pub purge: Option<Mode>,
    /// Whether something that fits the request lies below the memory; `None`: nothing can.
    pub below: Option<bool>,
}

/// One stored response.
pub struct Held {
    /// The response.
    pub object: Arc<Object>,
    /// Its generation.
    pub generation: u32,
    /// What it takes, in bytes.
    pub bytes: u64,
    /// Whether it is near a live edge, and so let go last.
    pub is_near: bool,
}

/// One fetch in progress.
pub struct Filling {
    /// Viewers who read it or wait for it.
    pub readers: usize,
    /// Octets that have arrived.
    pub arrived: u64,
    /// Octets of the body, where they are known.
    pub length: Option<u64>,
    /// Whether it will be stored, as far as is known now.
    pub stores: bool,
}

impl Filling {
    fn of(fill: &Fill) -> Self {
        Self {
            readers: fill.arrival.readers(),
            arrived: fill.arrival.arrived(),
            length: fill.arrival.length(),
            stores: fill.will_be_stored(),
        }
    }
}

impl Cache {
    /// What there is under `name`, a key without a generation; `request` says whose variant is looked for on the disk.
    pub fn inspect(&self, name: &Key, request: &HeaderMap) -> Inspection {
        let parts = &self.parts;
        // Of too many generations the first must do.
        let keys = parts.purges.generations(name).map_or_else(|| vec![name.clone()], Iterator::collect);
        let held = |key: &Key| {
            let is_near = parts.store.is_near(key);
            let of = |object: Arc<Object>| {
                let bytes = object.weight();
                Held { object, generation: key.generation(), bytes, is_near }
            };
            parts.store.variants(key).into_iter().map(of).collect::<Vec<_>>()
        };
        Inspection {
            held: keys.iter().rev().flat_map(held).collect(),
            fills: keys.iter().flat_map(|key| parts.flights.of(key)).map(|fill| Filling::of(&fill)).collect(),
            is_apart: parts.apart.holds(name, parts.clock.now()),
            purge: parts.purges.in_force(name),
            below: parts.spill.as_ref().map(|spill| keys.iter().any(|key| spill.holds(key, request))),
        }
    }
}
