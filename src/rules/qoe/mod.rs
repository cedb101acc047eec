//! What viewers experience: what players report of it, what it comes to, and what responses tell players.

pub mod figures;
pub mod report;
pub mod sketch;
