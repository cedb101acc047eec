//! Sessions: one viewer's play on one device, and what it may go on doing.

mod grant;
mod identity;
mod reach;
mod support;

pub use grant::Grant;
pub use identity::SessionId;
pub use reach::{Gated, Reach};
pub use support::support_code;
