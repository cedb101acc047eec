//! RFC 9111 and 9110 for a shared cache.

pub mod control;
pub mod freshness;
pub mod invalidate;
pub mod key;
pub mod media;
pub mod negative;
pub mod partial;
pub mod purge;
pub mod range;
pub mod reason;
pub mod storable;
pub mod validator;
pub mod vary;
pub mod wish;

pub use control::{Control, Directive, Wish};
pub use freshness::Freshness;
pub use key::Key;
pub use vary::Variant;
