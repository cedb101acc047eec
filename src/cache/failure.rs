//! Why a fill came to nothing, as its writer says it and as its readers see it.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// A limit of the node that a fill or a reader met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The memory ceiling leaves no room, and nothing stored could be let go for it.
    #[error("the memory ceiling leaves no room for another fill")]
    Memory,
    /// As many fills as allowed are in progress for the origin group.
    #[error("too many fills are in progress for the origin group")]
    Fills,
    /// As many readers as allowed read the fill.
    #[error("too many readers wait for one fill")]
    Readers,
}

/// Why the one who fetched could not complete a fill: an error of its own, which every reader sees.
#[derive(Clone)]
pub struct FillFailure(Arc<dyn Error + Send + Sync>);

impl FillFailure {
    /// A failure for this reason.
    pub fn new(why: impl Error + Send + Sync + 'static) -> Self {
        Self(Arc::new(why))
    }

    /// The reason, where it is of this type.
    pub fn downcast_ref<E: Error + 'static>(&self) -> Option<&E> {
        self.0.downcast_ref()
    }
}

impl fmt::Debug for FillFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for FillFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for FillFailure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

/// Why a reader gets no more of a fill.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FillEnd {
    /// The fetch failed; every reader sees the same.
    #[error(transparent)]
    Failed(FillFailure),
    /// The body ended before its announced length.
    #[error("origin sent {got} of {announced} bytes")]
    CutShort {
        /// Bytes that arrived.
        got: u64,
        /// Bytes that the response announced.
        announced: u64,
    },
    /// The body is longer than announced.
    #[error("origin sent more than the {announced} bytes it announced")]
    TooLong {
        /// Bytes that the response announced.
        announced: u64,
    },
    /// The fill met a limit of the node.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The fetch was given up without a word, or because nobody read it any more.
    #[error("the fetch was given up")]
    Abandoned,
    /// The response is for its first reader alone.
    #[error("the response may not be shared")]
    NotShared,
    /// What came is about the request of the one who fetched: the others ask again.
    #[error("the response is about another viewer's request")]
    NotMeant,
    /// The reader has waited for the response as long as it may.
    #[error("the response did not come in time")]
    TooLate,
    /// The reader held up others for too long.
    #[error("the reader held up others for too long")]
    TooSlow,
    /// The bytes at the reader's position are no longer kept, or the fill takes no further reader.
    #[error("the bytes asked for are no longer kept")]
    Gone,
}
