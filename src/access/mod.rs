//! Who sees what is gated, and who is told of it.

pub mod countries;
mod gate;
pub mod webhooks;

pub use gate::{Accesses, Gate};
