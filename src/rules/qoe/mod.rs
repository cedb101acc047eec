//! What viewers experience: what players report of it, what it comes to, and what responses tell players.

pub mod beacon;
pub mod claims;
pub mod cmcd;
pub mod cmsd;
pub mod fault;
pub mod figures;
mod path;
mod playback;
pub mod read;
pub mod report;
mod serials;
pub mod sketch;
pub mod sums;
pub mod tally;
mod view;
pub mod waits;
