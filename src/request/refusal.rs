//! Why a request was not served, and whose fault it was: the closed list, each with its status code and its stable
//! word. Only this file knows status codes of refusals. The word is the same on the wire, in logs and in metrics.

mod unwelcome;

use std::sync::Arc;
use std::time::Duration;

use http::header::{ALLOW, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::region::proof::Unproven;
use crate::rules::hls::directives::BadDirectives;
use crate::rules::hls::reload::TooFar;
use crate::rules::token::cat::FailureAnswer;
use crate::rules::token::{Reason, Rejection};
use crate::rules::uri::BadTarget;

pub use unwelcome::Unwelcome;

/// Fields that go along with a status of the origin's: without them it says only half (RFC 9110 §10.2, §11.6.1).
const PASSED: [HeaderName; 4] = [LOCATION, RETRY_AFTER, WWW_AUTHENTICATE, ALLOW];

/// The words of all refusals but those of tokens.
const OWN_WORDS: [&str; 39] = [
    "bad-request",
    "head-too-large",
    "body-too-large",
    "method-not-allowed",
    "expectation-failed",
    "misdirected-host",
    "no-route",
    "loop-detected",
    "not-stored",
    "memory-full",
    "too-many-fills",
    "too-many-readers",
    "origin-unreachable",
    "origin-untrusted",
    "origin-timeout",
    "origin-reset",
    "origin-cut-short",
    "origin-malformed",
    "origin-busy",
    "target-too-long",
    "bad-directives",
    "position-too-far",
    "hold-timeout",
    "too-many-held",
    "too-many-playlists",
    "not-a-playlist",
    "playlist-let-go",
    "origin-status",
    "no-longer-named",
    "coding-unknown",
    "version-unknown",
    "fill-wait",
    "not-a-peer",
    "peers-disagree",
    "origin-redirect",
    "too-many-sessions",
    "too-many-requests",
    "too-many-connections",
    "node-full",
];

/// For how long whoever meets an issuer whose keys could not be had yet waits.
const KEYS_RETRY: Duration = Duration::from_secs(5);

/// Whose fault a refusal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The one who asks.
    Viewer,
    /// The origin.
    Origin,
    /// This node, or how it is configured.
    Node,
}

/// Why a request was not served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The request breaks a rule of HTTP.
    #[error("{0}")]
    BadRequest(&'static str),
    /// The request's target cannot be accepted.
    #[error("{0}")]
    BadTarget(#[from] BadTarget),
    /// The request head has too many or too large fields.
    #[error("the request head is larger than this node accepts")]
    HeadTooLarge,
    /// The request target is longer than the bound.
    #[error("the request target is longer than this node accepts")]
    TargetTooLong,
    /// The request body is larger than the route forwards.
    #[error("the request body is larger than {limit} octets, the most that is taken here")]
    BodyTooLarge {
        /// The route's bound in octets.
        limit: u64,
    },
    /// A method that is never forwarded.
    #[error("CONNECT and TRACE are not served here")]
    MethodNotAllowed,
    /// An expectation other than 100-continue (RFC 9110 §10.1.1).
    #[error("the only expectation that is met here is 100-continue")]
    ExpectationFailed,
    /// No route serves this host.
    #[error("this node serves no such host")]
    MisdirectedHost,
    /// A host of ours, but no route for the path.
    #[error("no route serves this path")]
    NoRoute,
    /// The request has passed here before (RFC 8586).
    #[error("the request has already passed this node: an origin leads back to it")]
    LoopDetected,
    /// `only-if-cached`, and nothing is stored (RFC 9111 §5.2.1.7).
    #[error("the request wants a stored answer only, and none is stored")]
    NotStored,
    /// The memory ceiling allows no further fill.
    #[error("this node's memory is full")]
    MemoryFull,
    /// Too many objects are being fetched at once.
    #[error("too many objects are being fetched at once")]
    TooManyFills,
    /// Too many viewers wait for one object.
    #[error("too many viewers are reading this object while it arrives")]
    TooManyReaders,
    /// What another viewer's request brings did not come in time.
    #[error("what another viewer's request brings did not come in time")]
    FillWait,
    /// The origin cannot be reached.
    #[error("the origin cannot be reached")]
    OriginUnreachable,
    /// TLS towards the origin failed.
    #[error("the origin does not prove who it is")]
    OriginUntrusted,
    /// The origin did not answer in time.
    #[error("the origin did not answer in time")]
    OriginTimeout,
    /// The origin closed the connection without an answer.
    #[error("the origin closed the connection without an answer")]
    OriginReset,
    /// The origin's answer ended early.
    #[error("the origin's answer ended early")]
    OriginCutShort,
    /// The origin's answer breaks a rule of HTTP.
    #[error("the origin's answer is malformed")]
    OriginMalformed,
    /// The origin says that media or a playlist is where this node does not follow.
    #[error("the origin redirects to where this node does not follow")]
    OriginRedirect,
    /// As many requests as allowed are in flight to the origin, and as many wait.
    #[error("too many requests wait for the origin")]
    OriginBusy,
    /// Delivery directives that cannot be read (RFC 8216bis §6.2.5).
    #[error("{0}")]
    BadDirectives(#[from] BadDirectives),
    /// A position too far ahead of the playlist (RFC 8216bis §6.2.5.2).
    #[error("{0}")]
    PositionTooFar(#[from] TooFar),
    /// What was waited for did not come within three target durations (RFC 8216bis §6.2.5.2).
    #[error("the playlist did not come this far in time")]
    HoldTimeout {
        /// When to ask again.
        retry: Duration,
    },
    /// As many reloads as allowed are held on this node.
    #[error("as many reloads as allowed are held on this node")]
    TooManyHeld,
    /// As many playlists as allowed are followed by this node.
    #[error("as many playlists as allowed are followed by this node")]
    TooManyPlaylists,
    /// The origin's answer is no playlist, though its name or type says so.
    #[error("the origin's answer is no playlist: {0}")]
    NotAPlaylist(&'static str),
    /// The playlist was let go of whenever it was looked at.
    #[error("the playlist was let go of in this very moment: ask again")]
    PlaylistLetGo,
    /// A hint was withdrawn, or its origin does not have what its playlist lists (RFC 8216bis §6.2.6).
    #[error("the stream no longer names it, or its origin does not have it")]
    NoLongerNamed,
    /// A transfer coding that this node does not know (RFC 9112 §6.1).
    #[error("the only transfer coding that is known here is chunked")]
    CodingUnknown,
    /// A version of HTTP that this node does not speak (RFC 9110 §15.6.6).
    #[error("this version of HTTP is not spoken here")]
    VersionUnknown,
    /// Whoever came to the listener for nodes has not proven to be one.
    #[error("only nodes of this region are served here: {0}")]
    NotAPeer(Unproven),
    /// Another node knows this one, or the object, by another name than this one does.
    #[error("the two nodes are configured otherwise")]
    PeersDisagree,
    /// As many sessions as allowed go on on this node.
    #[error("as many sessions as allowed go on on this node")]
    TooManySessions,
    /// A session or an address asks for more than it may.
    #[error("more is asked for than one viewer may ask for: come back in {} s", seconds(*retry))]
    TooManyRequests {
        /// When to come back.
        retry: Duration,
    },
    /// A session uses more connections than it may.
    #[error("the session uses more connections than it may")]
    TooManyConnections {
        /// When to come back.
        retry: Duration,
    },
    /// The node has no room for more viewers; those who play go on.
    #[error("this node has no room for more viewers: come back in {} s", seconds(*retry))]
    NodeFull {
        /// When to come back.
        retry: Duration,
    },
    /// What players report is not taken in.
    #[error("{0}")]
    Beacon(#[from] Unwelcome),
    /// No token or session opens what is asked for.
    #[error("{0}")]
    Token(#[from] Rejection),
    /// The same, where the token itself says what is answered then (`catif` of CTA-5007).
    #[error("{0}")]
    TokenAnswer(Rejection, Arc<FailureAnswer>),
    /// The origin answered with a status of its own, which is passed on.
    #[error("the origin answered with {status}")]
    OriginStatus {
        /// Its status.
        status: StatusCode,
        /// Its fields.
        headers: Arc<HeaderMap>,
    },
}

impl Refusal {
    /// The stable words, for metrics: the node's own, those of tokens, those of players' reports.
    pub const WORDS: [&'static str; OWN_WORDS.len() + Reason::WORDS.len() + Unwelcome::WORDS.len()] = {
        let mut words = [""; OWN_WORDS.len() + Reason::WORDS.len() + Unwelcome::WORDS.len()];
        let (tokens, reports) = (OWN_WORDS.len(), OWN_WORDS.len() + Reason::WORDS.len());
        let mut at = 0;
        while at < words.len() {
            words[at] = match at {
                at if at < tokens => OWN_WORDS[at],
                at if at < reports => Reason::WORDS[at - tokens],
                at => Unwelcome::WORDS[at - reports],
            };
            at += 1;
        }
        words
    };

    /// Position in [`Refusal::WORDS`].
    pub const fn index(&self) -> usize {
        match self {
            Self::BadRequest(_) | Self::BadTarget(_) => 0,
            Self::HeadTooLarge => 1,
            Self::BodyTooLarge { .. } => 2,
            Self::MethodNotAllowed => 3,
            Self::ExpectationFailed => 4,
            Self::MisdirectedHost => 5,
            Self::NoRoute => 6,
            Self::LoopDetected => 7,
            Self::NotStored => 8,
            Self::MemoryFull => 9,
            Self::TooManyFills => 10,
            Self::TooManyReaders => 11,
            Self::OriginUnreachable => 12,
            Self::OriginUntrusted => 13,
            Self::OriginTimeout => 14,
            Self::OriginReset => 15,
            Self::OriginCutShort => 16,
            Self::OriginMalformed => 17,
            Self::OriginBusy => 18,
            Self::TargetTooLong => 19,
            Self::BadDirectives(_) => 20,
            Self::PositionTooFar(_) => 21,
            Self::HoldTimeout { .. } => 22,
            Self::TooManyHeld => 23,
            Self::TooManyPlaylists => 24,
            Self::NotAPlaylist(_) => 25,
            Self::PlaylistLetGo => 26,
            Self::OriginStatus { .. } => 27,
            Self::NoLongerNamed => 28,
            Self::CodingUnknown => 29,
            Self::VersionUnknown => 30,
            Self::FillWait => 31,
            Self::NotAPeer(_) => 32,
            Self::PeersDisagree => 33,
            Self::OriginRedirect => 34,
            Self::TooManySessions => 35,
            Self::TooManyRequests { .. } => 36,
            Self::TooManyConnections { .. } => 37,
            Self::NodeFull { .. } => 38,
            Self::Beacon(why) => OWN_WORDS.len() + Reason::WORDS.len() + why.index(),
            Self::Token(rejection) | Self::TokenAnswer(rejection, _) => OWN_WORDS.len() + rejection.reason.index(),
        }
    }

    /// The stable word.
    pub const fn word(&self) -> &'static str {
        Self::WORDS[self.index()]
    }

    /// The status code (RFC 9110 §15, RFC 6585, RFC 7540 for 421).
    pub fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) | Self::BadTarget(_) | Self::BadDirectives(_) | Self::PositionTooFar(_) => {
                StatusCode::BAD_REQUEST
            }
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Beacon(why) => why.status(),
            Self::ExpectationFailed => StatusCode::EXPECTATION_FAILED,
            Self::NotAPeer(_) => StatusCode::FORBIDDEN,
            Self::MisdirectedHost | Self::PeersDisagree => StatusCode::MISDIRECTED_REQUEST,
            Self::NoRoute | Self::NoLongerNamed => StatusCode::NOT_FOUND,
            Self::CodingUnknown => StatusCode::NOT_IMPLEMENTED,
            Self::VersionUnknown => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::LoopDetected => StatusCode::LOOP_DETECTED,
            Self::NotStored | Self::OriginTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::MemoryFull
            | Self::TooManyFills
            | Self::TooManyReaders
            | Self::FillWait
            | Self::TooManyHeld
            | Self::TooManySessions
            | Self::TooManyPlaylists
            | Self::HoldTimeout { .. }
            | Self::PlaylistLetGo
            | Self::OriginBusy => StatusCode::SERVICE_UNAVAILABLE,
            Self::OriginUnreachable
            | Self::OriginUntrusted
            | Self::OriginReset
            | Self::OriginCutShort
            | Self::NotAPlaylist(_)
            | Self::OriginRedirect
            | Self::OriginMalformed => StatusCode::BAD_GATEWAY,
            Self::OriginStatus { status, .. } => *status,
            Self::Token(rejection) => of_token(rejection.reason),
            Self::TokenAnswer(_, answer) => answer.status(),
            Self::TooManyRequests { .. } | Self::TooManyConnections { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::NodeFull { .. } => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Whose fault it is.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::BadRequest(_)
            | Self::BadTarget(_)
            | Self::HeadTooLarge
            | Self::TargetTooLong
            | Self::BodyTooLarge { .. }
            | Self::MethodNotAllowed
            | Self::ExpectationFailed
            | Self::MisdirectedHost
            | Self::NoRoute
            | Self::BadDirectives(_)
            | Self::PositionTooFar(_)
            | Self::CodingUnknown
            | Self::VersionUnknown
            | Self::NotAPeer(_)
            | Self::PeersDisagree
            | Self::TooManyRequests { .. }
            | Self::TooManyConnections { .. }
            | Self::NotStored => Fault::Viewer,
            Self::Token(Rejection { reason: Reason::KeysUnavailable, .. }) => Fault::Node,
            Self::Token(_) | Self::TokenAnswer(..) => Fault::Viewer,
            Self::Beacon(why) => why.fault(),
            Self::LoopDetected
            | Self::MemoryFull
            | Self::TooManyFills
            | Self::TooManyReaders
            | Self::TooManyHeld
            | Self::TooManySessions
            | Self::TooManyPlaylists
            | Self::NodeFull { .. }
            | Self::PlaylistLetGo => Fault::Node,
            Self::OriginUnreachable
            | Self::OriginUntrusted
            | Self::OriginTimeout
            | Self::OriginReset
            | Self::OriginCutShort
            | Self::OriginMalformed
            | Self::OriginRedirect
            | Self::HoldTimeout { .. }
            | Self::FillWait
            | Self::NotAPlaylist(_)
            | Self::NoLongerNamed
            | Self::OriginStatus { .. }
            | Self::OriginBusy => Fault::Origin,
        }
    }

    /// When to try again, where trying again can help (RFC 9110 §10.2.3).
    pub fn retry_after(&self) -> Option<Duration> {
        match (self, self.status()) {
            (Self::HoldTimeout { retry }, _) => Some(*retry),
            (Self::TooManyRequests { retry } | Self::TooManyConnections { retry } | Self::NodeFull { retry }, _) => {
                Some(Duration::from_secs(seconds(*retry)))
            }
            (Self::Beacon(why), _) => why.retry(),
            (Self::Token(Rejection { reason: Reason::KeysUnavailable, .. }), _) => Some(KEYS_RETRY),
            // The origin said, or did not say, when to come back.
            (Self::OriginStatus { .. }, _) => None,
            (_, StatusCode::SERVICE_UNAVAILABLE) => Some(Duration::from_secs(1)),
            _ => None,
        }
    }

    /// Fields that say what to do now: the origin's, the token's, or the node's own.
    pub fn fields(&self) -> HeaderMap {
        const ALLOWED: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
        match self {
            Self::MethodNotAllowed => HeaderMap::from_iter([(ALLOW, ALLOWED)]),
            Self::Beacon(why) => why.fields(),
            Self::TokenAnswer(_, answer) => answer.fields().iter().cloned().collect(),
            Self::OriginStatus { headers, .. } => {
                PASSED.iter().filter_map(|name| Some((name.clone(), headers.get(name)?.clone()))).collect()
            }
            _ => HeaderMap::new(),
        }
    }
}

/// The status of a rejected token where fields may carry one; elsewhere 403 stands for 401 (RFC 9110 §15.5.2 wants a
/// challenge that a player could meet).
const fn of_token(reason: Reason) -> StatusCode {
    match reason {
        Reason::TokenMissing
        | Reason::TokenMalformed
        | Reason::TokenTooLarge
        | Reason::AlgRefused
        | Reason::KeyUnknown
        | Reason::SignatureBad
        | Reason::TokenExpired
        | Reason::TokenNotYet
        | Reason::IssuerUnknown
        | Reason::AudienceMismatch
        | Reason::TypeMismatch
        | Reason::CritUnknown
        | Reason::ClaimUnknown
        | Reason::CatLabelUnknown
        | Reason::TokenLivesTooLong => StatusCode::UNAUTHORIZED,
        Reason::UriOutOfScope
        | Reason::MethodRefused
        | Reason::AddressMismatch
        | Reason::AlpnMismatch
        | Reason::GeoRefused
        | Reason::GeoUnknown
        | Reason::Replayed
        | Reason::Revoked
        | Reason::SessionLimit => StatusCode::FORBIDDEN,
        Reason::TokenDuplicate | Reason::UriNotCanonical => StatusCode::BAD_REQUEST,
        Reason::EntitlementOver => StatusCode::GONE,
        Reason::KeysUnavailable => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// Whole seconds, at least one.
const fn seconds(duration: Duration) -> u64 {
    let whole = duration.as_secs() + (duration.subsec_nanos() > 0) as u64;
    if whole == 0 { 1 } else { whole }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_stable_lower_case_and_its_own() {
        let mut words = Refusal::WORDS.to_vec();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Refusal::WORDS.len());
        for word in words {
            assert!(word.bytes().all(|octet| octet.is_ascii_lowercase() || octet == b'-'), "{word}");
        }
    }

    #[test]
    fn an_overloaded_node_says_when_to_come_back() {
        for refusal in [Refusal::MemoryFull, Refusal::TooManyFills, Refusal::FillWait, Refusal::OriginBusy] {
            assert_eq!(refusal.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert!(refusal.retry_after().is_some());
        }
        assert_eq!(Refusal::NoRoute.retry_after(), None);
    }

    #[test]
    fn what_is_said_of_tokens_has_its_words_and_statuses() {
        for (reason, word, status) in [
            (Reason::TokenMissing, "token-missing", 401),
            (Reason::TokenDuplicate, "token-duplicate", 400),
            (Reason::UriNotCanonical, "uri-not-canonical", 400),
            (Reason::UriOutOfScope, "uri-out-of-scope", 403),
            (Reason::Revoked, "revoked", 403),
            (Reason::EntitlementOver, "entitlement-over", 410),
            (Reason::KeysUnavailable, "keys-unavailable", 503),
        ] {
            let refusal = Refusal::from(Rejection::new(reason, ""));
            assert_eq!((refusal.word(), refusal.status().as_u16()), (word, status));
            assert_eq!(refusal.retry_after().is_some(), status == 503);
        }
    }
}
