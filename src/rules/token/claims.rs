//! What a verified token says, whatever its format. Times are whole seconds since the epoch: a fractional `exp` was
//! rounded down and a fractional `nbf` up, so that a token never holds longer than it says.

use ipnet::IpNet;

use super::scope::Scope;

/// The format of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// JSON Web Token (RFC 7519).
    Jwt,
    /// CDNI URI signing (RFC 9246).
    UriSigning,
    /// Common Access Token (CTA-5007).
    Cat,
    /// The edge token that is usually called `hdnts`.
    Hdnts,
}

/// What a token claims. Whoever has one knows that its signature holds, and nothing else.
#[derive(Clone, Debug, PartialEq)]
pub struct Claims {
    /// Its format.
    pub format: Format,
    /// Who issued it.
    pub issuer: Option<Box<str>>,
    /// Whom it was issued to.
    pub subject: Option<Box<str>>,
    /// For whom it is; empty: nobody in particular.
    pub audience: Vec<Box<str>>,
    /// Its identifier (`jti`; `cti` in base64url).
    pub id: Option<Box<str>>,
    /// The session that it names itself (`sid`, `weir_session`).
    pub session: Option<Box<str>>,
    /// It holds before this moment.
    pub expires: Option<u64>,
    /// It holds from this moment on.
    pub not_before: Option<u64>,
    /// When it was issued.
    pub issued_at: Option<u64>,
    /// What it covers.
    pub scope: Scope,
    /// Whose addresses may use it; `None`: anybody's.
    pub networks: Option<Vec<IpNet>>,
    /// The methods that it allows; `None`: all.
    pub methods: Option<Vec<Box<str>>>,
    /// The countries in which it holds, in upper case (ISO 3166-1, or -2 with its subdivision); `None`: all.
    pub countries: Option<Vec<Box<str>>>,
    /// The ALPN identifiers of connections that may carry it; `None`: all.
    pub alpn: Option<Vec<Box<str>>>,
    /// Fields that a request must have, each with what it must be like.
    pub fields: Vec<super::cat::FieldMatch>,
    /// How many sessions of its subject may go on at once.
    pub max_sessions: Option<u32>,
    /// When what was paid for is over.
    pub session_end: Option<u64>,
    /// Where its bearer stands when the node is nearly full.
    pub tier: Option<Box<str>>,
    /// Whether it may be used again.
    pub replay: Replay,
    /// How it is renewed.
    pub renewal: Option<super::renewal::Renewal>,
    /// What to answer where a claim fails (`catif`).
    pub answers: Vec<super::cat::FailureAnswer>,
}

/// Whether a token may be used more than once (`catreplay`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Replay {
    /// It may.
    #[default]
    Permitted,
    /// It may not: it can only be exchanged for a session.
    Prohibited,
    /// It may, and is counted.
    Reported,
}

impl Claims {
    /// Claims of a format that say nothing.
    pub fn of(format: Format) -> Self {
        Self {
            format,
            issuer: None,
            subject: None,
            audience: Vec::new(),
            id: None,
            session: None,
            expires: None,
            not_before: None,
            issued_at: None,
            scope: Scope::Everything,
            networks: None,
            methods: None,
            countries: None,
            alpn: None,
            fields: Vec::new(),
            max_sessions: None,
            session_end: None,
            tier: None,
            replay: Replay::Permitted,
            renewal: None,
            answers: Vec::new(),
        }
    }
}
