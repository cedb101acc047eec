//! Stories told over every protocol, by a real node between real viewers and a real origin, all of it in this process
//! and on loopback. Order is forced by gates of the origin and by what viewers have received, never by time.
#![allow(
    clippy::disallowed_methods,
    clippy::excessive_nesting,
    clippy::unwrap_used,
    reason = "a story is told in one closure, with tasks and a last deadline of its own; what fails in it is to panic"
)]

mod addresses;
mod admin;
mod beacons;
mod certificates;
mod coalescing;
mod continuity;
mod cors;
mod disk;
mod drain;
mod evening;
mod failover;
mod fields;
mod gated;
mod limits;
mod media;
#[cfg(feature = "nats")]
mod nats;
mod playlists;
mod process;
mod purge;
mod ranges;
mod raw;
mod region;
mod reload;
mod revocation;
mod script;
mod series;
mod sharing;
mod stage;
mod standards;
mod storages;
mod stories;
mod together;
mod trouble;
mod uplink;
mod warm;
mod window;
mod witness;
