//! What an answer is before it is dressed for the viewer.

use std::time::Duration;

use http::{HeaderMap, StatusCode};

use crate::rules::fields::cache_status::Handling;
use crate::telemetry::traffic::Origination;

use super::body::Content;

/// An answer before `respond` dresses it.
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its end-to-end fields.
    pub headers: HeaderMap,
    /// Its body.
    pub content: Content,
    /// Where it comes from.
    pub origination: Origination,
    /// What Cache-Status says of it; `None` for answers that the node makes itself.
    pub provenance: Option<Provenance>,
    /// Time that the origin took to begin its answer, where this request waited for it.
    pub origin_wait: Option<Duration>,
    /// Time for which it was held until the playlist had come far enough.
    pub held: Option<Duration>,
    /// When it is sent among others of its connection (RFC 9218 §4.1), 0 to 7, the smallest first; `None`: as any other.
    pub urgency: Option<u8>,
    /// Who may read it.
    pub access: Access,
}

/// Where an answer's CORS fields come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// From the route's rules.
    OfRoute,
    /// It has those that it needs: it answers a preflight.
    Settled,
}

/// What this node did with an answer of the origin's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// For Cache-Status (RFC 9211 §2).
    pub handling: Handling,
    /// Seconds of freshness left; negative where stale; `None`: it is not kept.
    pub ttl: Option<i64>,
    /// Where Age comes from.
    pub age: Age,
    /// What else there is to say, in a word.
    pub detail: Option<&'static str>,
}

/// The Age of an answer (RFC 9111 §5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// What the origin's side said, if anything.
    AsReceived,
    /// Current age in seconds (RFC 9111 §4.2.3).
    Seconds(u64),
}

impl Answer {
    /// An answer of the node's own, without a body.
    pub fn own(status: StatusCode, headers: HeaderMap) -> Self {
        Self {
            status,
            headers,
            content: Content::Empty,
            origination: Origination::Own,
            provenance: None,
            origin_wait: None,
            held: None,
            urgency: None,
            access: Access::OfRoute,
        }
    }
}
