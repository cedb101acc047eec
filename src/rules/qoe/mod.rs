//! What viewers experience: what players report of it, what it comes to, and what responses tell players.

pub mod ahead;
pub mod beacon;
pub mod cmcd;
pub mod cmsd;
pub mod fault;
mod path;
pub mod read;
pub mod report;
