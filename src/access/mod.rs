//! Who may see what is gated: keys, verdicts and sealed sessions of each access.

pub mod countries;
mod gate;

pub use gate::{Accesses, Gate};
