//! What happens to sessions, as the backend that issues the tokens is told it.

use std::fmt;
use std::sync::Arc;

use crate::clock::WallTime;

use super::SessionId;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// A session was first seen on this node.
    Start,
    /// It is over on this node: idle, or at the end of what the token allows.
    End,
    /// A token was refused.
    Refused,
    /// A session was refused or ended, because its subject had too many.
    Limit,
    /// A session was ended by a revocation.
    Revoked,
}

impl EventKind {
    /// All kinds, with the words that configurations and backends know them by.
    pub const WORDS: [(&'static str, Self); 5] = [
        ("start", Self::Start),
        ("end", Self::End),
        ("refused", Self::Refused),
        ("limit", Self::Limit),
        ("revoked", Self::Revoked),
    ];

    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::End => "end",
            Self::Refused => "refused",
            Self::Limit => "limit",
            Self::Revoked => "revoked",
        }
    }
}

/// A name that the issuer gave (`sub`, `jti`): it goes back to the issuer's own backend and nowhere else, so it cannot be
/// printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Theirs(Arc<str>);

impl Theirs {
    /// The name, for the one who gave it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Theirs {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl fmt::Debug for Theirs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Theirs(..)")
    }
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// What.
    pub kind: EventKind,
    /// Under which access.
    pub access: Arc<str>,
    /// To which session, where there is one.
    pub session: Option<SessionId>,
    /// The token's subject, where this node saw the token.
    pub subject: Option<Theirs>,
    /// The token's identifier, where this node saw the token and it has one.
    pub token: Option<Theirs>,
    /// Why, by the word that the viewer was told.
    pub reason: Option<&'static str>,
    /// When.
    pub at: WallTime,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_the_word_that_it_is_listed_under() {
        for (word, kind) in EventKind::WORDS {
            assert_eq!(kind.word(), word);
        }
    }

    #[test]
    fn what_the_issuer_named_is_never_printed() {
        let event = Event {
            kind: EventKind::Start,
            access: "members".into(),
            session: Some(SessionId([7; 12])),
            subject: Some("alice@example".into()),
            token: Some("ticket-4711".into()),
            reason: None,
            at: WallTime::default(),
        };
        let printed = format!("{event:?}");
        assert!(!printed.contains("alice") && !printed.contains("4711"), "{printed}");
    }
}
