//! Why a fetch failed: a variant for each cause, each naming the origin.

use std::io;
use std::sync::Arc;

use crate::outbound::dial::DialError;
use crate::outbound::link::Broken;
use crate::rules::upstream::health::Class;

/// Why an origin gave no answer, or no whole one.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FetchError {
    /// The group names no origin that exists.
    #[error("no origin to ask")]
    NoOrigin,
    /// The request cannot be written for this origin (its path is too long together with the origin's own).
    #[error("origin {origin}: the request cannot be written")]
    Unaskable {
        /// Which one.
        origin: Arc<str>,
    },
    /// It cannot be resolved or takes no connection.
    #[error("origin {origin} cannot be reached: {source}")]
    Connect {
        /// Which one.
        origin: Arc<str>,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// It failed TLS: certificate, name, version.
    #[error("origin {origin} failed TLS: {source}")]
    Tls {
        /// Which one.
        origin: Arc<str>,
        /// What TLS said.
        source: Arc<io::Error>,
    },
    /// A deadline passed.
    #[error("origin {origin}: deadline for {which}")]
    Timeout {
        /// Which one.
        origin: Arc<str>,
        /// What was waited for.
        which: Wait,
    },
    /// It ended the exchange before its answer began.
    #[error("origin {origin} broke off: {detail}")]
    Reset {
        /// Which one.
        origin: Arc<str>,
        /// How it showed.
        detail: String,
    },
    /// It ended the body early (HC-120).
    #[error("origin {origin} sent {got} of {} octets", announced.map_or("an unknown number of".to_owned(), |n| n.to_string()))]
    CutShort {
        /// Which one.
        origin: Arc<str>,
        /// Octets that came.
        got: u64,
        /// Octets that were to come, where it said so.
        announced: Option<u64>,
    },
    /// Its answer violates HTTP or exceeds the bounds of a head.
    #[error("origin {origin} sent a malformed answer: {what}")]
    Malformed {
        /// Which one.
        origin: Arc<str>,
        /// In which way.
        what: String,
    },
    /// It has failed too often, and rests.
    #[error("origin {origin} rests: it has failed too often")]
    Resting {
        /// Which one.
        origin: Arc<str>,
    },
    /// It says that media or a playlist is elsewhere: at no declared origin, or after too many hops.
    #[error("origin {origin} redirects to where it is not followed")]
    Redirected {
        /// Which one.
        origin: Arc<str>,
    },
    /// As many requests as may wait for it are waiting.
    #[error("origin {origin}: too many requests are waiting")]
    QueueFull {
        /// Which one.
        origin: Arc<str>,
    },
    /// The body of the request broke off on the viewer's side.
    #[error("the request body for origin {origin} broke off")]
    Upload {
        /// Which one.
        origin: Arc<str>,
    },
}

/// What a deadline was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// A place among the requests and connections of the origin.
    Place,
    /// TCP and TLS.
    Connect,
    /// The head of the answer.
    FirstByte,
    /// The next octets of a body.
    Idle,
}

impl std::fmt::Display for Wait {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Place => "a free place",
            Self::Connect => "a connection",
            Self::FirstByte => "the first byte",
            Self::Idle => "the next octets of the body",
        })
    }
}

/// How a request to an origin ended, as a metric label. An answer whose body fails later counts twice: as answered,
/// and by its failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Any answer below 500.
    Answered,
    /// An answer of 500 or above.
    ServerError,
    /// See [`FetchError::Connect`].
    Connect,
    /// See [`FetchError::Tls`].
    Tls,
    /// See [`FetchError::Timeout`].
    Timeout,
    /// See [`FetchError::Reset`].
    Reset,
    /// See [`FetchError::CutShort`].
    CutShort,
    /// See [`FetchError::Malformed`].
    Malformed,
    /// See [`FetchError::QueueFull`].
    QueueFull,
    /// See [`FetchError::Resting`].
    Resting,
    /// The request itself failed: [`FetchError::Upload`], [`FetchError::Unaskable`], [`FetchError::NoOrigin`].
    Unsent,
}

impl Outcome {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 11] = [
        Self::Answered,
        Self::ServerError,
        Self::Connect,
        Self::Tls,
        Self::Timeout,
        Self::Reset,
        Self::CutShort,
        Self::Malformed,
        Self::QueueFull,
        Self::Resting,
        Self::Unsent,
    ];

    /// Its stable word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::ServerError => "server-error",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::CutShort => "cut-short",
            Self::Malformed => "malformed",
            Self::QueueFull => "queue-full",
            Self::Resting => "resting",
            Self::Unsent => "unsent",
        }
    }
}

impl FetchError {
    /// The metric label of this failure.
    pub const fn outcome(&self) -> Outcome {
        match self {
            Self::NoOrigin | Self::Unaskable { .. } | Self::Upload { .. } => Outcome::Unsent,
            // The answer that it was has been counted.
            Self::Redirected { .. } => Outcome::Answered,
            Self::Connect { .. } => Outcome::Connect,
            Self::Tls { .. } => Outcome::Tls,
            Self::Timeout { .. } => Outcome::Timeout,
            Self::Reset { .. } => Outcome::Reset,
            Self::CutShort { .. } => Outcome::CutShort,
            Self::Malformed { .. } => Outcome::Malformed,
            Self::QueueFull { .. } => Outcome::QueueFull,
            Self::Resting { .. } => Outcome::Resting,
        }
    }

    /// In which way it speaks against the origin's health; a full queue and a viewer who leaves do not.
    pub(super) const fn class(&self) -> Option<Class> {
        match self {
            Self::Connect { .. } => Some(Class::Connect),
            Self::Tls { .. } => Some(Class::Tls),
            Self::Reset { .. } | Self::CutShort { .. } => Some(Class::Reset),
            Self::Malformed { .. } => Some(Class::Malformed),
            Self::Timeout { which: Wait::Place, .. } => None,
            Self::Timeout { .. } => Some(Class::Timeout),
            Self::NoOrigin | Self::Unaskable { .. } | Self::Upload { .. } => None,
            Self::QueueFull { .. } | Self::Resting { .. } | Self::Redirected { .. } => None,
        }
    }

    /// Whether the origin gave no sign of life: another one may be asked for a stream at once.
    pub const fn is_dead(&self) -> bool {
        matches!(self, Self::Connect { .. } | Self::Tls { .. } | Self::Reset { .. } | Self::Resting { .. })
    }

    /// The origin that it is about.
    pub const fn origin(&self) -> Option<&Arc<str>> {
        match self {
            Self::NoOrigin => None,
            Self::Unaskable { origin }
            | Self::Connect { origin, .. }
            | Self::Tls { origin, .. }
            | Self::Timeout { origin, .. }
            | Self::Reset { origin, .. }
            | Self::CutShort { origin, .. }
            | Self::Malformed { origin, .. }
            | Self::Resting { origin }
            | Self::Redirected { origin }
            | Self::QueueFull { origin }
            | Self::Upload { origin } => Some(origin),
        }
    }

    pub(super) fn dial(origin: &Arc<str>, error: DialError) -> Self {
        let origin = origin.clone();
        match error {
            DialError::Resolve(source) | DialError::Connect(source) => Self::Connect { origin, source },
            DialError::Tls(source) => Self::Tls { origin, source },
            DialError::Timeout => Self::Timeout { origin, which: Wait::Connect },
        }
    }

    pub(super) fn broken(origin: &Arc<str>, broken: Broken) -> Self {
        let origin = origin.clone();
        match broken {
            Broken::Refused => Self::Reset { origin, detail: "the connection takes no more requests".into() },
            Broken::Malformed(what) => Self::Malformed { origin, what },
            Broken::Source => Self::Upload { origin },
            Broken::StreamReset(detail) | Broken::Reset(detail) => Self::Reset { origin, detail },
        }
    }
}
