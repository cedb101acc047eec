//! The seam under everything that threads share in a fill: parking_lot here, the model checker's lock in
//! `tests/fill_model.rs`, which compiles the same files over a seam of its own.

pub(super) use parking_lot::Mutex;
