//! What an issuer's tokens are like, beside what they say themselves: the configuration of formats.

use std::fmt;

use zeroize::Zeroizing;

use super::claims::Format;
use super::jwt::JwtTerms;

/// What the tokens of an issuer are like.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FormatTerms {
    /// The formats that are taken; empty: [`Format::Jwt`] alone.
    pub formats: Vec<Format>,
    /// What they call their claims, and their type.
    pub jwt: JwtTerms,
    /// How the deadline of a renewal (`catr`) is read; `None`: such a token is not renewed.
    pub catr_deadline: Option<CatrDeadline>,
    /// What edge tokens are like.
    pub hdnts: HdntsTerms,
}

impl FormatTerms {
    /// Whether tokens of this format are taken.
    pub fn takes(&self, format: Format) -> bool {
        match &self.formats[..] {
            [] => format == Format::Jwt,
            formats => formats.contains(&format),
        }
    }
}

/// How the deadline of a renewal is read: implementations differ (`catr`, key 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CatrDeadline {
    /// As a moment, in seconds since the epoch.
    Absolute,
    /// As seconds before `exp`.
    BeforeExpiry,
}

/// What edge tokens are like.
#[derive(Clone, Default, PartialEq)]
pub struct HdntsTerms {
    /// What is signed with them and not in them.
    pub salt: Option<Zeroizing<String>>,
    /// Beside HMAC-SHA256, which is always taken.
    pub older: OlderHash,
    /// Whether a pattern may cover everything (`acl=/*`).
    pub any: AnyPath,
}

impl fmt::Debug for HdntsTerms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HdntsTerms").field("older", &self.older).field("any", &self.any).finish_non_exhaustive()
    }
}

/// The hashes that are taken beside SHA-256. MD5 is not among them: an issuer that uses it has to move on first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OlderHash {
    /// None.
    #[default]
    Refused,
    /// HMAC-SHA1.
    Sha1,
}

/// Whether a pattern may cover everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AnyPath {
    /// It may not.
    #[default]
    Refused,
    /// It may.
    Allowed,
}
