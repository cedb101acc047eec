//! Which parameters of a viewer's query name a different playlist or object, and go upstream.

use std::borrow::Cow;

/// Parameters by which packagers are asked for another time: catch-up, delayed streams.
pub const OF_PACKAGERS: [&str; 3] = ["start", "end", "time_delay"];
/// What the names of further such parameters begin with.
pub const PACKAGER_PREFIX: &str = "aws.";

/// What is left of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept<'q> {
    /// The parameters that count, sorted by name; those of one name keep their order.
    pub query: Option<Cow<'q, str>>,
    /// How many were dropped.
    pub dropped: usize,
}

/// Keeps what packagers use and what `keeps` wants by its name as written.
pub fn keep<'q>(_query: Option<&'q str>, _keeps: impl Fn(&str) -> bool) -> Kept<'q> {
    unimplemented!("reload")
}
