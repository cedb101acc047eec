//! Stories told over every protocol, by a real node between real viewers and a real origin, all of it in this process
//! and on loopback. Order is forced by gates of the origin and by what viewers have received, never by time.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a story has tasks and a last deadline of its own; what fails in it is to panic"
)]

mod certificates;
mod coalescing;
mod fields;
mod ranges;
mod script;
mod sharing;
mod stage;
mod cors;
mod window;
mod trouble;
mod drain;
mod process;
mod reload;
mod addresses;
mod admin;
mod live;
