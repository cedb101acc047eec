//! What an issuer calls the claims that are ours.

use std::collections::BTreeMap;

/// A claim of ours that an issuer may call otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Claim {
    /// Whom a token was issued to.
    Subject,
    /// Its identifier.
    TokenId,
    /// Path prefixes that it covers.
    Path,
    /// The address or prefix that may use it.
    Ip,
    /// How many sessions of its subject may go on at once.
    MaxSessions,
    /// When what was paid for is over.
    SessionEnd,
    /// Where its bearer stands when the node is nearly full.
    Tier,
    /// The countries in which it holds.
    Geo,
    /// The session that it names.
    Sid,
    /// The same, for those whose `sid` is something else.
    WeirSession,
}

impl Claim {
    const ALL: [Self; 10] = [
        Self::Subject,
        Self::TokenId,
        Self::Path,
        Self::Ip,
        Self::MaxSessions,
        Self::SessionEnd,
        Self::Tier,
        Self::Geo,
        Self::Sid,
        Self::WeirSession,
    ];

    /// Its own name.
    pub const fn own_name(self) -> &'static str {
        match self {
            Self::Subject => "sub",
            Self::TokenId => "jti",
            Self::Path => "path",
            Self::Ip => "ip",
            Self::MaxSessions => "max_sessions",
            Self::SessionEnd => "session_end",
            Self::Tier => "tier",
            Self::Geo => "geo",
            Self::Sid => "sid",
            Self::WeirSession => "weir_session",
        }
    }
}

/// Claims whose meaning the standard fixes (RFC 7519 §4.1), and which no other claim can stand for.
const FIXED: [&str; 5] = ["iss", "aud", "exp", "nbf", "iat"];

/// Why claims cannot be called so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// No claim of ours has this name.
    #[error(
        "claims that may have other names: sub, jti, path, ip, max_sessions, session_end, tier, geo, sid, weir_session"
    )]
    Unknown,
    /// The other name is empty, or one whose meaning the standard fixes.
    #[error("a claim cannot be called so: iss, aud, exp, nbf and iat mean what RFC 7519 says")]
    Taken,
    /// Two claims would have the same name.
    #[error("two claims have the same name")]
    Twice,
}

/// What an issuer calls the claims that are ours; by their own names where nothing else is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimNames(BTreeMap<Claim, Box<str>>);

impl ClaimNames {
    /// Names from pairs: ours, theirs.
    pub fn new<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, BadName> {
        let mut names = BTreeMap::new();
        for (ours, theirs) in pairs {
            let claim = Claim::ALL.into_iter().find(|claim| claim.own_name() == ours).ok_or(BadName::Unknown)?;
            if theirs.is_empty() || FIXED.contains(&theirs) {
                return Err(BadName::Taken);
            }
            if names.insert(claim, theirs.into()).is_some() {
                return Err(BadName::Twice);
            }
        }
        let names = Self(names);
        let mut all = Claim::ALL.map(|claim| names.of(claim));
        all.sort_unstable();
        match all.windows(2).any(|pair| pair[0] == pair[1]) {
            true => Err(BadName::Twice),
            false => Ok(names),
        }
    }

    /// What a claim is called.
    pub fn of(&self, claim: Claim) -> &str {
        self.0.get(&claim).map_or(claim.own_name(), |name| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_has_one_name_and_a_name_is_of_one_claim() {
        let names = ClaimNames::new([("path", "https://paywall.example/paths"), ("sub", "user")]).unwrap();
        assert_eq!(names.of(Claim::Path), "https://paywall.example/paths");
        assert_eq!(names.of(Claim::Subject), "user");
        assert_eq!(names.of(Claim::Ip), "ip");
        for (pairs, fault) in [
            ([("paths", "p"), ("ip", "i")], BadName::Unknown),
            ([("exp", "expires"), ("ip", "i")], BadName::Unknown),
            ([("path", "exp"), ("ip", "i")], BadName::Taken),
            ([("path", ""), ("ip", "i")], BadName::Taken),
            ([("path", "p"), ("path", "q")], BadName::Twice),
            ([("path", "p"), ("ip", "p")], BadName::Twice),
            ([("path", "ip"), ("tier", "t")], BadName::Twice),
        ] {
            assert_eq!(ClaimNames::new(pairs), Err(fault), "{pairs:?}");
        }
        assert!(ClaimNames::new([("path", "ip"), ("ip", "path")]).is_ok());
    }
}
