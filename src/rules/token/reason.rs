//! Why a token does not open what is asked for: the closed list of stable words, and what a player's developer is told.
//!
//! A detail is fixed text, so that no octet of a token can reach an answer or a log by it.

/// The stable word of a rejection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// No carrier holds a token.
    TokenMissing,
    /// Two different tokens in one carrier.
    TokenDuplicate,
    /// It is no token of a format that is accepted here.
    TokenMalformed,
    /// It is larger than 8 KiB, or than 2 KiB in a path.
    TokenTooLarge,
    /// Its algorithm is not the key's (RFC 8725 §3.1).
    AlgRefused,
    /// No key of its issuer has its identifier.
    KeyUnknown,
    /// The signature does not hold.
    SignatureBad,
    /// Its time is over.
    TokenExpired,
    /// Its time has not come.
    TokenNotYet,
    /// Its issuer is not one of those configured.
    IssuerUnknown,
    /// It is for somebody else.
    AudienceMismatch,
    /// It is of another type than the issuer's (RFC 8725 §3.11).
    TypeMismatch,
    /// It says that something must be understood that is not (RFC 7515 §4.1.11).
    CritUnknown,
    /// It has a claim that is not known here, and that may not be ignored.
    ClaimUnknown,
    /// It has a label of an earlier draft of CTA-5007.
    CatLabelUnknown,
    /// It does not cover what is asked for.
    UriOutOfScope,
    /// What is asked for is not in the one canonical form.
    UriNotCanonical,
    /// It does not allow the method.
    MethodRefused,
    /// It is bound to another address.
    AddressMismatch,
    /// It is bound to another protocol.
    AlpnMismatch,
    /// It does not hold in the viewer's country.
    GeoRefused,
    /// The viewer's country is not known, and it is bound to one.
    GeoUnknown,
    /// It may be used once, and was.
    Replayed,
    /// It was taken back.
    Revoked,
    /// As many sessions as it allows are going on.
    SessionLimit,
    /// What was paid for is over.
    EntitlementOver,
    /// It lives longer than tokens may here.
    TokenLivesTooLong,
    /// The issuer's keys could not be had yet.
    KeysUnavailable,
}

impl Reason {
    /// Every word, in the order of the list.
    pub const WORDS: [&'static str; 28] = [
        "token-missing",
        "token-duplicate",
        "token-malformed",
        "token-too-large",
        "alg-refused",
        "key-unknown",
        "signature-bad",
        "token-expired",
        "token-not-yet",
        "issuer-unknown",
        "audience-mismatch",
        "type-mismatch",
        "crit-unknown",
        "claim-unknown",
        "cat-label-unknown",
        "uri-out-of-scope",
        "uri-not-canonical",
        "method-refused",
        "address-mismatch",
        "alpn-mismatch",
        "geo-refused",
        "geo-unknown",
        "replayed",
        "revoked",
        "session-limit",
        "entitlement-over",
        "token-lives-too-long",
        "keys-unavailable",
    ];

    /// Its place in [`Reason::WORDS`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The stable word.
    pub const fn word(self) -> &'static str {
        Self::WORDS[self.index()]
    }
}

/// Why a token does not open what is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Rejection {
    /// The stable word.
    pub reason: Reason,
    /// A sentence for the player's developer. It says which rule, never what would have matched.
    pub detail: &'static str,
    /// When the token expired, in seconds since the epoch, where that is the reason.
    pub expired: Option<u64>,
}

impl Rejection {
    /// A rejection.
    pub const fn new(reason: Reason, detail: &'static str) -> Self {
        Self { reason, detail, expired: None }
    }
}
