//! Who sees what is gated, and from where.

pub mod countries;
