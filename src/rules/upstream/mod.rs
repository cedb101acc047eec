//! Which origin is asked, and whether it is well.

pub mod rendezvous;
pub mod select;
