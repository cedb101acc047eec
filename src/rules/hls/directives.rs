//! Delivery directives: `_HLS_msn`, `_HLS_part`, `_HLS_skip` (§6.2.5).

/// What a request asks of a media playlist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    /// `_HLS_msn`.
    pub msn: Option<u64>,
    /// `_HLS_part`.
    pub part: Option<u64>,
    /// `_HLS_skip`.
    pub skip: Option<Skipping>,
}

/// What a delta update may leave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Skipping {
    /// `YES`: segments.
    Segments,
    /// `v2`: date ranges too.
    SegmentsAndDateRanges,
}

/// Why directives are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadDirectives {
    /// A value that is no decimal integer.
    #[error("the value of {0} is not a decimal integer of at most 20 digits")]
    NotANumber(&'static str),
    /// A directive that occurs twice.
    #[error("{0} occurs more than once")]
    Repeated(&'static str),
}

impl Directives {
    /// Takes the directives out of a query, and everything else that begins with `_HLS_`; what is left, if anything, is
    /// the query of the playlist.
    ///
    /// # Errors
    /// [`BadDirectives`] with what is left, for a playlist that has ended ignores them.
    pub fn take(_query: Option<&str>) -> (Result<Self, BadDirectives>, Option<String>) {
        unimplemented!("reload")
    }
}
