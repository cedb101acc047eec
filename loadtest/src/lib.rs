//! A live LL-HLS origin and virtual viewers.
//!
//! [`origin`] makes the stream; [`client`] speaks HTTP in five ways; [`viewer`] plays like hls.js; [`crowd`] and [`herd`] let
//! many come at once, and [`load`] as many as a server can take; [`token`] lets them into gated streams; [`report`] and
//! [`stats`] say what happened. [`port`] keeps a port where nobody listens.
#![allow(
    clippy::disallowed_methods,
    reason = "the bans keep time and tasks of the node in one place; this crate is not the node"
)]

pub mod cli;
pub mod client;
pub mod crowd;
pub mod held;
pub mod herd;
pub mod load;
pub mod origin;
pub mod port;
#[cfg(test)]
mod punctual;
pub mod report;
pub mod stats;
pub mod token;
pub mod viewer;
