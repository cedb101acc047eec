//! Tokens: where they travel, what they say, and whether that opens what is asked for. Every format becomes the same
//! [`Claims`]; [`verdict`] judges them.

pub mod algorithm;
pub mod any;
pub mod carrier;
pub mod cat;
pub mod cbor;
pub mod claims;
pub mod hdnts;
pub mod json;
pub mod jwk;
pub mod jws;
pub mod jwt;
pub mod key;
pub mod mint;
pub mod pattern;
pub mod reason;
pub mod refresh;
pub mod renewal;
pub mod scope;
mod spki;
pub mod steps;
pub mod terms;
pub mod text_match;
pub mod uri_signing;
pub mod verdict;
pub mod wire;

pub use algorithm::Algorithm;
pub use claims::{Claims, Format};
pub use key::{BadKey, Key, KeySet};
pub use reason::{Reason, Rejection};
pub use scope::Scope;
pub use terms::FormatTerms;
