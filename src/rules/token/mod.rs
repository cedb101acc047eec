//! Tokens: where they travel, what they say, and whether that opens what is asked for. Every format becomes the same
//! [`Claims`]; [`verdict`] judges them.

pub mod carrier;
pub mod cat;
pub mod claims;
pub mod hdnts;
pub mod reason;
pub mod renewal;
pub mod scope;
pub mod uri_signing;
pub mod verdict;

pub use claims::{Claims, Format};
pub use reason::{Reason, Rejection};
pub use scope::Scope;
