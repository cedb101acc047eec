//! What is kept of a window that is not followed any more: a few numbers, no segments.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::control::Offered;
use super::numbering::{Numbering, Seen};
use super::relation::Mark;

/// Where viewers of a rendition were, and how its numbers were counted. The default remembers nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Remembered {
    pub(super) numbering: Numbering,
    pub(super) seen: Seen,
    pub(super) generation: u32,
    pub(super) target_duration: Duration,
    pub(super) offered: Offered,
    /// The discontinuity sequence number of the last thing that viewers saw.
    pub(super) discontinuity: u64,
    /// Where the origin's list had come to.
    pub(super) mark: Option<Mark>,
}
