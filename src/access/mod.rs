//! Who sees what is gated, and who is told of it.

pub mod webhooks;
