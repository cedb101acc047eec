//! Sessions: one viewer's play on one device, and what it may go on doing.

mod event;
mod grant;
mod identity;
pub mod revocation;
pub mod standing;

pub use event::{Event, EventKind, Theirs};
pub use grant::Grant;
pub use identity::SessionId;
pub use revocation::{Revocation, What};
