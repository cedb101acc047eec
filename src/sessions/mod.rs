//! Living sessions: who is watching, how each stands, and what was taken back.
//!
//! A session is known by a request, not by a word between nodes: whoever brings a grant that holds is entered, after a
//! restart as well. From then on a request costs one look into a table of shards. Revocations are looked at where a
//! session begins and where its grant changes; those that come later find the sessions that they concern, and wake
//! whoever is held or being sent something.

mod entering;
pub mod quota;
mod remote;
mod revocations;
mod session;
mod sets;
mod subjects;
mod table;
#[cfg(test)]
mod tests;

pub use entering::NotEntered;
pub use remote::{Presence, Told};
pub use session::{Attached, Ended, Session, SessionTerms};
pub use table::{Bounds, Event, Kept, Listener, Prints, Revoked, Sessions, Snapshot, Source, what};
