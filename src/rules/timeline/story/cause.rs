//! Why a viewer was hurt, by a closed list of words, and whose fault each is.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Whose fault it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Fault {
    /// The viewer's, or the page's that sent them.
    Viewer,
    /// The path between node and viewer.
    Network,
    /// The origin.
    Origin,
    /// A node of ours, or who operates it.
    Node,
    /// The issuer of tokens.
    Issuer,
    /// The player.
    Player,
    /// Nobody's: nothing went wrong, or nothing says what did.
    None,
}

/// Why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The session was taken back.
    Revoked,
    /// The token had expired.
    TokenExpired,
    /// No token was sent.
    TokenMissing,
    /// The token does not open what was asked for, or cannot be read.
    TokenRefused,
    /// The issuer's tokens or keys are not as this node expects them.
    IssuerMismatch,
    /// The issuer's keys could not be had.
    KeysUnavailable,
    /// What was paid for was over.
    EntitlementOver,
    /// Too many sessions of one subject.
    SessionLimit,
    /// The viewer is where the stream must not be watched.
    PlaceRefused,
    /// More was asked for than one viewer may.
    RateLimited,
    /// What was asked for cannot be served as it was asked for.
    BadRequest,
    /// The node was drained, and the viewer sent elsewhere.
    NodeDrained,
    /// The node was started anew.
    NodeRestarted,
    /// The node had no room, or was slow itself.
    NodeOverloaded,
    /// The node is configured otherwise than the viewer needs.
    NodeConfiguration,
    /// The origin could not be reached.
    OriginDown,
    /// The origin answered with errors.
    OriginError,
    /// The origin answered late, or not in time.
    OriginSlow,
    /// The origin's playlist did not advance in time.
    PlaylistLate,
    /// The path carried less than the stream takes.
    NetworkSlow,
    /// The path lost packets.
    NetworkLossy,
    /// Nothing passed between viewer and node.
    NetworkDown,
    /// The player stalled although all was delivered in time.
    PlayerStalled,
    /// The player gave up although all was delivered in time.
    PlayerFailed,
    /// The viewer was hurt, and nothing that was kept says why.
    Unexplained,
    /// Nothing went wrong.
    NothingWrong,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Self; 26] = [
        Self::Revoked,
        Self::TokenExpired,
        Self::TokenMissing,
        Self::TokenRefused,
        Self::IssuerMismatch,
        Self::KeysUnavailable,
        Self::EntitlementOver,
        Self::SessionLimit,
        Self::PlaceRefused,
        Self::RateLimited,
        Self::BadRequest,
        Self::NodeDrained,
        Self::NodeRestarted,
        Self::NodeOverloaded,
        Self::NodeConfiguration,
        Self::OriginDown,
        Self::OriginError,
        Self::OriginSlow,
        Self::PlaylistLate,
        Self::NetworkSlow,
        Self::NetworkLossy,
        Self::NetworkDown,
        Self::PlayerStalled,
        Self::PlayerFailed,
        Self::Unexplained,
        Self::NothingWrong,
    ];

    /// Its word, which stays as it is.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::TokenExpired => "token-expired",
            Self::TokenMissing => "token-missing",
            Self::TokenRefused => "token-refused",
            Self::IssuerMismatch => "issuer-mismatch",
            Self::KeysUnavailable => "keys-unavailable",
            Self::EntitlementOver => "entitlement-over",
            Self::SessionLimit => "session-limit",
            Self::PlaceRefused => "place-refused",
            Self::RateLimited => "rate-limited",
            Self::BadRequest => "bad-request",
            Self::NodeDrained => "node-drained",
            Self::NodeRestarted => "node-restarted",
            Self::NodeOverloaded => "node-overloaded",
            Self::NodeConfiguration => "node-configuration",
            Self::OriginDown => "origin-down",
            Self::OriginError => "origin-error",
            Self::OriginSlow => "origin-slow",
            Self::PlaylistLate => "playlist-late",
            Self::NetworkSlow => "network-slow",
            Self::NetworkLossy => "network-lossy",
            Self::NetworkDown => "network-down",
            Self::PlayerStalled => "player-stalled",
            Self::PlayerFailed => "player-failed",
            Self::Unexplained => "unexplained",
            Self::NothingWrong => "nothing-wrong",
        }
    }

    /// The cause of a word; `None`: there is none.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.word() == word)
    }

    /// Whose fault it is.
    pub const fn fault(self) -> Fault {
        match self {
            Self::TokenExpired
            | Self::TokenMissing
            | Self::TokenRefused
            | Self::EntitlementOver
            | Self::SessionLimit
            | Self::PlaceRefused
            | Self::RateLimited
            | Self::BadRequest => Fault::Viewer,
            Self::Revoked | Self::IssuerMismatch | Self::KeysUnavailable => Fault::Issuer,
            Self::NodeDrained | Self::NodeRestarted | Self::NodeOverloaded | Self::NodeConfiguration => Fault::Node,
            Self::OriginDown | Self::OriginError | Self::OriginSlow | Self::PlaylistLate => Fault::Origin,
            Self::NetworkSlow | Self::NetworkLossy | Self::NetworkDown => Fault::Network,
            Self::PlayerStalled | Self::PlayerFailed => Fault::Player,
            Self::Unexplained | Self::NothingWrong => Fault::None,
        }
    }

    /// The cause behind a refusal's stable word; `None`: it is no word of one.
    pub fn of_refusal(word: &str) -> Option<Self> {
        Some(match word {
            "revoked" => Self::Revoked,
            "token-expired" => Self::TokenExpired,
            "token-missing" => Self::TokenMissing,
            "key-unknown"
            | "signature-bad"
            | "alg-refused"
            | "issuer-unknown"
            | "audience-mismatch"
            | "type-mismatch"
            | "crit-unknown"
            | "claim-unknown"
            | "cat-label-unknown"
            | "token-lives-too-long" => Self::IssuerMismatch,
            "keys-unavailable" => Self::KeysUnavailable,
            "entitlement-over" => Self::EntitlementOver,
            "session-limit" => Self::SessionLimit,
            "geo-refused" | "geo-unknown" | "address-mismatch" => Self::PlaceRefused,
            "too-many-requests" | "too-many-connections" => Self::RateLimited,
            "token-duplicate" | "token-malformed" | "token-too-large" | "token-not-yet" | "uri-out-of-scope"
            | "uri-not-canonical" | "method-refused" | "alpn-mismatch" | "replayed" => Self::TokenRefused,
            "memory-full" | "too-many-fills" | "too-many-readers" | "too-many-held" | "too-many-playlists"
            | "too-many-sessions" | "node-full" | "playlist-let-go" | "fill-wait" => Self::NodeOverloaded,
            "misdirected-host" | "no-route" | "loop-detected" | "peers-disagree" | "not-a-peer" => {
                Self::NodeConfiguration
            }
            "origin-unreachable" | "origin-untrusted" | "origin-reset" => Self::OriginDown,
            "origin-timeout" | "origin-busy" => Self::OriginSlow,
            "hold-timeout" => Self::PlaylistLate,
            "origin-cut-short" | "origin-malformed" | "origin-redirect" | "origin-status" | "not-a-playlist"
            | "no-longer-named" => Self::OriginError,
            "bad-request" | "head-too-large" | "body-too-large" | "method-not-allowed" | "expectation-failed"
            | "not-stored" | "target-too-long" | "bad-directives" | "position-too-far" | "coding-unknown"
            | "version-unknown" => Self::BadRequest,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_is_read_by_the_word_that_it_is_written_with() {
        for cause in Cause::ALL {
            assert_eq!(Cause::of_word(cause.word()), Some(cause));
            assert_eq!(serde_json::to_string(&cause).unwrap(), format!("\"{}\"", cause.word()));
        }
        assert_eq!(Cause::of_word("weather"), None);
    }
}
