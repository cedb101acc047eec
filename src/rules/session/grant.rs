//! What a verified token allows, here and now, and for as long as its session goes on.
//!
//! A grant is all that a session's requests are judged by: sealed into the path (`/.weir/s/SESSION/`) it is valid on every
//! node of the region, and after a restart, without a word between them.

use ipnet::IpNet;

use crate::rules::token::Scope;

use super::SessionId;

/// What a session may do.
#[derive(Clone, Debug, PartialEq)]
pub struct Grant {
    /// The session.
    pub session: SessionId,
    /// A keyed print of the subject within its access; `None`: the token names none.
    pub subject: Option<u64>,
    /// A keyed print of the token's identifier within its access; `None`: it has none.
    pub token: Option<u64>,
    /// A keyed print of the identifier of the key that signed it (`kid`) within its access; `None`: it names none.
    pub key: Option<u64>,
    /// A keyed print of its issuer within its access; `None`: it names none.
    pub issuer: Option<u64>,
    /// When the token was issued, else when the session began, in seconds since the epoch.
    pub issued_at: u64,
    /// When it is over, in seconds since the epoch; `None`: when it is idle.
    pub ends: Option<u64>,
    /// What it covers.
    pub scope: Scope,
    /// Whose addresses may use it; `None`: anybody's.
    pub networks: Option<Vec<IpNet>>,
    /// The countries in which it holds; `None`: all.
    pub countries: Option<Vec<Box<str>>>,
    /// How many sessions of its subject may go on at once.
    pub max_sessions: Option<u32>,
    /// Where it stands when the node is nearly full.
    pub tier: Option<Box<str>>,
}
