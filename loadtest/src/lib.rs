//! A live LL-HLS origin and virtual viewers.
#![allow(
    clippy::disallowed_methods,
    reason = "the bans keep time and tasks of the node in one place; this crate is not the node"
)]

pub mod client;
pub mod origin;
pub mod viewer;
