//! Where a sink's batches go, and what an attempt comes to.

use std::pin::Pin;
use std::sync::Arc;

use crate::config::sinks::{self, To};
use crate::outbound::tls::TlsSetupError;
use crate::rules::delivery::verdict::Verdict;

use super::With;
use super::file::File;
use super::http::Http;
#[cfg(feature = "nats")]
use super::nats::Nats;
use super::parcel::Parcel;

/// What one attempt came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// The receiver took the batch.
    Taken,
    /// It answered that it cannot now.
    Status,
    /// It answered that it never will.
    Refused,
    /// It wants nothing more.
    Gone,
    /// No connection.
    Connect,
    /// No answer in time.
    Timeout,
    /// The connection broke.
    Broken,
    /// The disk did not take it.
    Disk,
}

impl Attempt {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::Taken, Self::Status, Self::Refused, Self::Gone, Self::Connect, Self::Timeout, Self::Broken, Self::Disk];

    /// Its word in metrics and status.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Status => "status",
            Self::Refused => "refused",
            Self::Gone => "gone",
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Broken => "broken",
            Self::Disk => "disk",
        }
    }
}

/// An attempt, what it means, and what is to be said of it to people.
pub(super) struct Outcome {
    pub attempt: Attempt,
    pub verdict: Verdict,
    pub detail: String,
}

impl Outcome {
    pub fn taken() -> Self {
        Self { attempt: Attempt::Taken, verdict: Verdict::Taken, detail: String::new() }
    }

    pub fn again(attempt: Attempt, why: &dyn std::fmt::Display) -> Self {
        Self { attempt, verdict: Verdict::Again(None), detail: why.to_string() }
    }
}

/// What an attempt is while it is made.
pub(super) type Attempting<'a> = Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// Where batches go.
pub(super) trait Target: Send + Sync {
    /// Tries once to bring a batch there.
    fn attempt<'a>(&'a self, parcel: &'a Parcel, with: &'a With) -> Attempting<'a>;
}

/// The target of a configuration. `had`: the one that the same configuration had before, which may be connected.
///
/// # Errors
/// Where TLS towards it cannot be set up.
pub(super) fn ready(
    config: &sinks::Sink,
    had: Option<Arc<dyn Target>>,
    with: &With,
) -> Result<Arc<dyn Target>, TlsSetupError> {
    Ok(match (&config.to, had) {
        // Its certificates may have been replaced under their names.
        (To::Http(http), _) => Arc::new(Http::new(http, config.timeout)?),
        (To::File(_) | To::Nats(_), Some(had)) => had,
        (To::File(file), None) => Arc::new(File::new(file)),
        #[cfg(feature = "nats")]
        (To::Nats(nats), None) => Arc::new(Nats::new(nats, config.timeout, with.stories.name())),
        #[cfg(not(feature = "nats"))]
        (To::Nats(_), None) => unreachable!("a configuration that names NATS is refused where there is none"),
    })
}
