//! Decisions: pure, synchronous functions of (state, input, now). No socket, lock, task or clock is known here.

pub mod caching;
pub mod upstream;
