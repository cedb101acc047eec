//! Living sessions: who is watching, how each stands, and how much each may ask for.

pub mod quota;
mod sets;
