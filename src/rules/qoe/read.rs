//! What was read of one report before it is kept. All texts of it are cut already, `url` and `nor` to paths: no host, no
//! query, no carrier. A player's `sid` and its custom keys stand apart, so that nothing of them is kept but what is allowed.

use super::fault::{Fault, Faults};
use super::report::Data;

/// One report as it was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Read {
    /// What it says, without `sid` and custom keys.
    pub data: Data,
    /// What the player calls its session; never kept as it is.
    pub sid: Option<Box<str>>,
    /// Custom keys, in the order of their first appearance.
    pub custom: Vec<(Box<str>, Box<str>)>,
    /// What of it was dropped.
    pub faults: Faults,
}

/// What is kept beyond the keys of the standard that tell of nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allow {
    /// Custom keys by name; one that ends in `*` allows all that begin so.
    pub custom: Box<[Box<str>]>,
    /// What becomes of `tpb`, which tells devices apart.
    pub fingerprints: Fingerprints,
}

/// What becomes of keys that tell devices apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fingerprints {
    /// They are dropped.
    #[default]
    Dropped,
    /// They are kept.
    Kept,
}

impl Read {
    /// Takes over what is allowed; what is not is dropped and counted in `faults`.
    pub fn permit(&mut self, allow: &Allow) {
        for (key, value) in std::mem::take(&mut self.custom) {
            if allow.permits(&key) {
                self.data.custom.insert(key, value);
            } else {
                self.faults.add(Fault::NotAllowed);
            }
        }
        if allow.fingerprints == Fingerprints::Dropped && !self.data.tpb.is_empty() {
            self.data.tpb.clear();
            self.faults.add(Fault::NotAllowed);
        }
    }
}

impl Allow {
    fn permits(&self, key: &str) -> bool {
        self.custom.iter().any(|name| match name.strip_suffix('*') {
            Some(begin) => key.starts_with(begin),
            None => **name == *key,
        })
    }
}
