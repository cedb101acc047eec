//! Sessions: one viewer's play on one device, and what it may go on doing.

mod grant;
mod identity;

pub use grant::Grant;
pub use identity::SessionId;
