//! The seam under everything that threads share in a fill: parking_lot and the standard atomics here, the model
//! checker's in `tests/fill_model.rs`, which compiles the same files over a seam of its own.

pub(super) use std::sync::atomic::{AtomicU64, AtomicUsize, fence};

pub(super) use parking_lot::{Mutex, MutexGuard};
