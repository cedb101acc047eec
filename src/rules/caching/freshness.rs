//! Stored response × policy × now → `Freshness` (RFC 9111 §4.2). The store never expires by a clock of its own.

use std::time::Duration;

/// Whether a stored response may be used now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// It may be sent without asking the origin, for as long as `left`.
    Fresh {
        /// Time until it is stale.
        left: Duration,
    },
    /// It must be validated; only where the origin cannot be asked may it be sent, and only for `usable_for`.
    Stale {
        /// Time since it became stale.
        age: Duration,
        /// Time for which it may still be sent when the origin cannot answer; zero: never.
        usable_for: Duration,
    },
    /// It must not be used, not even after validation.
    Unusable,
}
