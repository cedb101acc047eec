//! What HTTP/3 counts, for metrics: one set a node, a shard a worker.

use super::code::{self, Code};
use crate::telemetry::counters::{Counter, Sharded};

/// Why a message is malformed (RFC 9114 §4.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Malformed {
    /// A name with upper-case letters, or with octets that no name has.
    FieldName,
    /// A value with control characters, or with blanks at an end.
    FieldValue,
    /// A field that speaks of one HTTP/1.1 connection, or `te` other than `trailers`.
    ConnectionField,
    /// `:method`, `:scheme` or `:path` is missing.
    MissingPseudo,
    /// A pseudo field comes twice.
    RepeatedPseudo,
    /// A pseudo field behind a field.
    PseudoAfterFields,
    /// A pseudo field that requests do not have.
    UnknownPseudo,
    /// A pseudo field in trailers.
    PseudoInTrailers,
    /// Trailers beyond the bounds of a head.
    TrailersTooLarge,
    /// `:method` is no token.
    Method,
    /// `:scheme` is neither http nor https.
    Scheme,
    /// `:path` is empty or no path.
    Path,
    /// No authority, two that differ, or one with userinfo.
    Authority,
    /// Content-Length is no number, comes twice, or disagrees with the body.
    ContentLength,
    /// CONNECT with a path or scheme, or without authority.
    Connect,
}

impl Malformed {
    /// All of them with their names in metrics, in the order of their numbers.
    pub const NAMES: [(Self, &'static str); 15] = [
        (Self::FieldName, "field-name"),
        (Self::FieldValue, "field-value"),
        (Self::ConnectionField, "connection-field"),
        (Self::MissingPseudo, "missing-pseudo-field"),
        (Self::RepeatedPseudo, "repeated-pseudo-field"),
        (Self::PseudoAfterFields, "pseudo-field-after-fields"),
        (Self::UnknownPseudo, "unknown-pseudo-field"),
        (Self::PseudoInTrailers, "pseudo-field-in-trailers"),
        (Self::TrailersTooLarge, "trailers-too-large"),
        (Self::Method, "method"),
        (Self::Scheme, "scheme"),
        (Self::Path, "path"),
        (Self::Authority, "authority"),
        (Self::ContentLength, "content-length"),
        (Self::Connect, "connect"),
    ];
}

/// Events by error code.
#[derive(Debug, Default)]
pub struct ByCode([Counter; code::NAMES.len() + 1]);

impl ByCode {
    /// One more with `code`.
    pub fn add(&self, code: Code) {
        let index = code::NAMES.iter().position(|(known, _)| *known == code).unwrap_or(code::NAMES.len());
        self.0[index].add(1);
    }

    /// Name and number of each code; codes of no standard come last.
    pub fn values(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let names = code::NAMES.iter().map(|(_, name)| *name).chain(["other"]);
        names.zip(self.0.iter().map(Counter::value))
    }
}

/// What one worker counts.
#[derive(Debug, Default)]
pub struct Counters {
    /// Header sections that became a request.
    pub requests: Counter,
    /// Streams that we reset.
    pub resets_sent: ByCode,
    /// Streams that clients reset or asked to stop.
    pub resets_received: ByCode,
    /// Connections that we closed for an error.
    pub closes: ByCode,
    /// GOAWAY frames sent.
    pub goaways: Counter,
    malformed: [Counter; Malformed::NAMES.len()],
}

/// What all workers count.
pub type Shards = Sharded<Counters>;

impl Counters {
    /// A malformed message more.
    pub fn add_malformed(&self, reason: Malformed) {
        self.malformed[reason as usize].add(1);
    }

    /// Name and number of each reason.
    pub fn malformed(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Malformed::NAMES.iter().map(|(_, name)| *name).zip(self.malformed.iter().map(Counter::value))
    }
}
