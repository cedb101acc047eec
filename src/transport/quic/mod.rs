//! QUIC for one worker: a driver loop on quinn-proto and quinn-udp, behind a narrow trait towards `h3`.

mod cid;
mod connection;
pub mod counters;
mod driver;
mod handle;
mod incoming;
mod keys;
pub mod layer;
mod ready;
mod settings;
mod socket;
pub mod streams;
mod table;
#[cfg(test)]
mod tests;
mod timers;
mod wire;

pub use cid::Seat;
pub use driver::Driver;
pub use handle::Handle;
pub use keys::{QuicKeys, SharedKeys};
pub use settings::{Admit, Permit, Segmentation, Settings, StartError};
