//! The other nodes: how one that asks proves that it belongs to the region, and what it says of itself.
//!
//! Nodes speak to each other on a listener of their own. Who comes there has a certificate of the region's authority,
//! or knows the region's secret, or both; everybody else is refused before anything of the request counts.

pub mod proof;
mod replay;
