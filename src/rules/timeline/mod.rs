//! What happens to viewers and to the node, as entries of one timeline, and what it comes to for one of them.

pub mod event;
pub mod figures;
pub mod line;
pub mod spans;
pub mod story;
