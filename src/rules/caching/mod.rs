//! RFC 9111 and 9110 for a shared cache.

pub mod freshness;
pub mod key;
pub mod vary;

pub use freshness::Freshness;
pub use key::Key;
pub use vary::Variant;
