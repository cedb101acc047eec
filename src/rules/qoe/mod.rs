//! What viewers experience: what players report of it, what it comes to, and what responses tell players.

pub mod claims;
pub mod figures;
mod playback;
pub mod report;
mod serials;
pub mod sketch;
pub mod sums;
pub mod tally;
mod view;
