//! The seam under what threads share while they wait: parking_lot and the standard atomics here, the model checker's in
//! `tests/parking_model.rs`, which compiles the same file over a seam of its own.

pub(super) use std::sync::atomic::{AtomicUsize, Ordering};

pub(super) use parking_lot::Mutex;
