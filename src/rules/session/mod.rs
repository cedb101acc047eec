//! Sessions: one viewer's play on one device, and what it may go on doing.

pub mod batch;
mod device;
mod event;
mod grant;
mod identity;
pub mod naming;
mod player;
mod reach;
pub mod revocation;
mod seal;
pub mod standing;
mod support;

pub use device::Device;
pub use event::{Event, EventKind, Theirs};
pub use grant::Grant;
pub use identity::{Identity, Named, Opener, PrintKey, SessionId, truncated};
pub use player::player;
pub use reach::{Gated, Reach};
pub use revocation::{Revocation, What};
pub use seal::Seals;
pub use support::support_code;
