//! `[access.NAME]`: who sees what is gated.

use std::path::PathBuf;
use std::time::Duration;

use crate::rules::token::Format;
pub use crate::rules::token::carrier::{Carrier, CarrierNames, CarrierPosition};

use super::Secret;

/// `[access.NAME]`
#[derive(Clone, Debug, PartialEq)]
pub struct Access {
    /// The table's name.
    pub name: String,
    /// Who issues its tokens; at least one.
    pub issuers: Vec<Issuer>,
    /// Where a token is looked for, in this order.
    pub carriers: Vec<Carrier>,
    /// What carriers are called.
    pub names: CarrierNames,
    /// How what a playlist names inherits the viewer's right to it.
    pub inherit: Inherit,
    /// Where a session stands in a path.
    pub carrier_position: CarrierPosition,
    /// A session ends when nothing was asked for this long.
    pub session_idle: Duration,
    /// For how long a session that has moved to another device may go on beside it.
    pub handover_grace: Duration,
    /// How far clocks may be apart.
    pub leeway: Duration,
    /// How many sessions of a subject may go on at once, where its token does not say; `None`: any number.
    pub max_sessions: Option<u32>,
    /// Who loses where there are too many.
    pub session_limit: SessionLimit,
    /// What becomes of bodies that are being sent when their session is revoked.
    pub revoked_bodies: RevokedBodies,
}

/// An issuer of tokens, and its keys.
#[derive(Clone, Debug, PartialEq)]
pub struct Issuer {
    /// Its name in `iss`; `None`: not checked.
    pub issuer: Option<String>,
    /// Who this node is to it; `None`: not checked.
    pub audience: Option<String>,
    /// Where its keys are.
    pub keys: KeySource,
    /// The algorithms that its keys may have; empty: those of the keys.
    pub algorithms: Vec<String>,
    /// The formats of its tokens.
    pub formats: Vec<Format>,
    /// The type that its tokens name (`typ`); `None`: `JWT` or none.
    pub token_type: Option<String>,
    /// What its claims are called, where not by their own names: ours, theirs.
    pub claims: Vec<(String, String)>,
    /// How long a token may still live at most.
    pub max_lifetime: Option<Duration>,
}

/// Where an issuer's keys are.
#[derive(Clone, Debug, PartialEq)]
pub enum KeySource {
    /// A JWK set (RFC 7517) that is fetched.
    Jwks(http::Uri),
    /// A JWK set in a file, which is watched.
    JwksFile(PathBuf),
    /// A public key as PEM.
    PublicKey(PathBuf),
    /// A shared secret.
    Hmac(Secret),
}

/// How what a playlist names inherits the viewer's right to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inherit {
    /// By a session in the path.
    Path,
    /// By a session in the query.
    Query,
    /// By a session in a cookie.
    Cookie,
    /// Not at all: every request brings its token.
    None,
}

/// Who loses where a subject has too many sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionLimit {
    /// The one that would begin.
    RefuseNewest,
    /// The one that has gone on for longest.
    EndOldest,
}

/// What becomes of bodies that are being sent when their session is revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevokedBodies {
    /// They are cut.
    Cut,
    /// They are sent to their end.
    Finish,
}
