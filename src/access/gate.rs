//! An access as requests use it. Until it has keys, nobody is let in.

use std::sync::Arc;

use crate::rules::session::Grant;
use crate::rules::token::verdict::Facts;
use crate::rules::token::{Reason, Rejection};
use crate::sessions::{Named, Prints};

const NO_KEYS: Rejection = Rejection::new(Reason::KeysUnavailable, "the keys of the token's issuer are not there yet");

/// All accesses of a node.
#[derive(Debug, Default)]
pub struct Accesses;

/// One access.
#[derive(Debug)]
pub struct Gate;

impl Accesses {
    /// The access of this name.
    pub fn gate(&self, _: &str) -> Option<Arc<Gate>> {
        None
    }
}

impl Prints for Accesses {
    fn accesses(&self) -> Vec<Arc<str>> {
        Vec::new()
    }

    fn print(&self, _: &str, _: Named, _: &str) -> Option<u64> {
        None
    }
}

impl Gate {
    /// What a token of any format that the access accepts allows, for this request and now.
    ///
    /// # Errors
    /// Why it allows nothing.
    pub fn verify(&self, _: &str, _: &Facts<'_>, _: u64) -> Result<Grant, Rejection> {
        Err(NO_KEYS)
    }

    /// What a sealed session allows, for this request and now.
    ///
    /// # Errors
    /// Why it allows nothing.
    pub fn open(&self, _: &str, _: &Facts<'_>, _: u64) -> Result<Grant, Rejection> {
        Err(NO_KEYS)
    }

    /// A grant as a path carries it.
    ///
    /// # Errors
    /// Where it does not fit.
    pub fn seal(&self, _: &Grant) -> Result<String, Rejection> {
        Err(NO_KEYS)
    }
}
