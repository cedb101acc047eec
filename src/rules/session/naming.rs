//! What an order or a feed names that is to be taken back, before it is told by prints.

use serde::Deserialize;

use super::{Named, SessionId};

/// What is named: exactly one of these.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Naming {
    /// A session, by its hexadecimal digits.
    pub session: Option<String>,
    /// A subject (`sub`).
    pub subject: Option<String>,
    /// A token, by its identifier (`jti`, `cti`).
    pub token_id: Option<String>,
    /// A key, by its identifier.
    pub kid: Option<String>,
    /// An issuer.
    pub issuer: Option<String>,
    /// Whatever was issued before this moment, in seconds since the epoch.
    pub issued_before: Option<u64>,
    /// Everything.
    pub all: bool,
    /// Until when it counts, in seconds since the epoch.
    pub until: Option<u64>,
}

/// The one thing that is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meant {
    /// A session.
    Session(SessionId),
    /// What a text names.
    Text(Named, String),
    /// Whatever was issued before this moment.
    IssuedBefore(u64),
    /// Everything.
    All,
}

/// Why it is not clear what is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unclear {
    /// Nothing is named.
    #[error("say what is revoked")]
    Nothing,
    /// Two things are.
    #[error("{0} and {1} exclude each other: one after the other")]
    Both(&'static str, &'static str),
    /// A session that is none.
    #[error("a session is the 24 hexadecimal digits of Weir-Session and of the logs")]
    Session,
    /// A text that is empty.
    #[error("it is empty")]
    Empty(&'static str),
}

impl Unclear {
    /// The place that it is about; `None`: the whole.
    pub const fn place(self) -> Option<&'static str> {
        match self {
            Self::Nothing | Self::Both(..) => None,
            Self::Session => Some("session"),
            Self::Empty(word) => Some(word),
        }
    }
}

impl Meant {
    /// The word of its kind.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Session(_) => "session",
            Self::Text(Named::Subject, _) => "subject",
            Self::Text(Named::Token, _) => "token_id",
            Self::Text(Named::Key, _) => "kid",
            Self::Text(Named::Issuer, _) => "issuer",
            Self::IssuedBefore(_) => "issued_before",
            Self::All => "all",
        }
    }
}

impl Naming {
    /// The one thing that is meant.
    ///
    /// # Errors
    /// [`Unclear`].
    pub fn meant(self) -> Result<Meant, Unclear> {
        let session = self.session.as_deref().map(|text| SessionId::read(text).ok_or(Unclear::Session));
        let text = |named, text: Option<String>| text.map(|text| Meant::Text(named, text));
        let named = [
            session.transpose()?.map(Meant::Session),
            text(Named::Subject, self.subject),
            text(Named::Token, self.token_id),
            text(Named::Key, self.kid),
            text(Named::Issuer, self.issuer),
            self.issued_before.map(Meant::IssuedBefore),
            self.all.then_some(Meant::All),
        ];
        let mut named = named.into_iter().flatten();
        match (named.next(), named.next()) {
            (None, _) => Err(Unclear::Nothing),
            (Some(one), Some(other)) => Err(Unclear::Both(one.word(), other.word())),
            (Some(Meant::Text(named, text)), None) if text.is_empty() => {
                Err(Unclear::Empty(Meant::Text(named, text).word()))
            }
            (Some(meant), None) => Ok(meant),
        }
    }
}
