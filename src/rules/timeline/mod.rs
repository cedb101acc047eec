//! What happens to viewers and to the node, as entries of one timeline.

pub mod event;
pub mod figures;
