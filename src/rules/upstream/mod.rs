//! Which origin is asked, and whether it is well.

pub mod fair;
pub mod health;
pub mod home;
pub mod rendezvous;
pub mod retry;
pub mod select;
