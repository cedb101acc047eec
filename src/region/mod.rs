//! The other nodes: how one that asks proves that it belongs to the region, and what it says of itself; and what all of
//! them tell each other.
//!
//! Nodes ask each other for objects on a listener of their own. Who comes there has a certificate of the region's
//! authority, or knows the region's secret, or both; everybody else is refused before anything of the request counts.
//! What happens they tell each other over NATS (`bus`), sealed with a key of the region's.

mod book;
pub mod bus;
pub mod message;
#[cfg(feature = "nats")]
pub mod nats;
mod others;
pub mod proof;
mod replay;
mod rounds;
pub mod secrets;
#[cfg(test)]
mod tests;
mod track;
pub mod wire;
