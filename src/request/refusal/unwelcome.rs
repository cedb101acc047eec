//! Why what players report is not taken in. Players act on the status alone: they send again after 429, never after 410, and
//! drop what any other refusal is for (CTA-5004-B §6.15).

use std::time::Duration;

use http::header::{ACCEPT, ACCEPT_ENCODING, ALLOW};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::Fault;

/// Why what players report is not taken in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unwelcome {
    /// It is not taken here: a player sends no more of it.
    #[error("no reports of players are taken here")]
    Off,
    /// It comes with POST alone.
    #[error("reports are sent with POST")]
    NotPosted,
    /// The body is of another type than this one.
    #[error("a body of reports has the type {0} here")]
    Type(&'static str),
    /// The body is in a coding that is not taken.
    #[error("a body of reports has no content coding, or gzip")]
    Coding,
    /// Nothing of the body can be read, first of all because of this.
    #[error("no record of the body can be read; the first of them: {0}")]
    Empty(&'static str),
    /// It cannot be kept now: players keep it meanwhile, and send larger batches.
    #[error("reports cannot be kept now: send them again in {} s", super::seconds(*retry))]
    NotKept {
        /// When to send it again.
        retry: Duration,
    },
}

impl Unwelcome {
    /// The stable words.
    pub const WORDS: [&'static str; 6] = [
        "beacons-off",
        "beacon-not-posted",
        "beacon-type-unknown",
        "beacon-coding-unknown",
        "beacon-empty",
        "beacons-not-kept",
    ];

    /// Position in [`Unwelcome::WORDS`].
    pub const fn index(&self) -> usize {
        match self {
            Self::Off => 0,
            Self::NotPosted => 1,
            Self::Type(_) => 2,
            Self::Coding => 3,
            Self::Empty(_) => 4,
            Self::NotKept { .. } => 5,
        }
    }

    /// The status code.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Off => StatusCode::GONE,
            Self::NotPosted => StatusCode::METHOD_NOT_ALLOWED,
            Self::Type(_) | Self::Coding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Empty(_) => StatusCode::BAD_REQUEST,
            Self::NotKept { .. } => StatusCode::TOO_MANY_REQUESTS,
        }
    }

    /// Whose fault it is.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::NotKept { .. } => Fault::Node,
            Self::Off | Self::NotPosted | Self::Type(_) | Self::Coding | Self::Empty(_) => Fault::Viewer,
        }
    }

    /// When to try again, where that can help.
    pub const fn retry(&self) -> Option<Duration> {
        match self {
            Self::NotKept { retry } => Some(*retry),
            Self::Off | Self::NotPosted | Self::Type(_) | Self::Coding | Self::Empty(_) => None,
        }
    }

    /// Fields that say what would be taken (RFC 9110 §15.5.6, §15.5.16).
    pub fn fields(&self) -> HeaderMap {
        let field = match self {
            Self::NotPosted => (ALLOW, "POST, OPTIONS"),
            Self::Type(accepted) => (ACCEPT, *accepted),
            Self::Coding => (ACCEPT_ENCODING, "gzip"),
            Self::Off | Self::Empty(_) | Self::NotKept { .. } => return HeaderMap::new(),
        };
        HeaderMap::from_iter([(field.0, HeaderValue::from_static(field.1))])
    }
}
