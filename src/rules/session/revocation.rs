//! What is taken back, and whom that concerns.
//!
//! A revocation holds within one access name and until a moment: the last token and session that it can affect have
//! ended by then. What it names, it names by prints, so that it can be kept and told without saying who was meant.

use crate::rules::session::{Grant, SessionId};

/// What is taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum What {
    /// One session.
    Session(SessionId),
    /// All sessions and tokens of a subject, by its print.
    Subject(u64),
    /// A token, by the print of its identifier, and what it opened.
    Token(u64),
    /// All that a key has signed, by the print of its identifier.
    Key(u64),
    /// All of an issuer, by its print.
    Issuer(u64),
    /// All that was issued before a moment, in seconds since the epoch.
    IssuedBefore(u64),
    /// Everything: the event is over.
    All,
}

/// Something is taken back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Revocation {
    /// The access name within which it holds.
    pub access: Box<str>,
    /// What is taken back.
    pub what: What,
    /// When that was said, in seconds since the epoch.
    pub at: u64,
    /// When it can affect nobody any more, in seconds since the epoch.
    pub until: u64,
}

impl What {
    /// Everything that would take a grant back, but for a moment of issue: looked up by name.
    pub fn naming(grant: &Grant) -> impl Iterator<Item = What> {
        let names = [
            Some(What::All),
            Some(What::Session(grant.session)),
            grant.subject.map(What::Subject),
            grant.token.map(What::Token),
            grant.key.map(What::Key),
            grant.issuer.map(What::Issuer),
        ];
        names.into_iter().flatten()
    }

    /// Whether it concerns a grant of its access.
    pub fn concerns(&self, grant: &Grant) -> bool {
        match self {
            Self::IssuedBefore(moment) => grant.issued_at < *moment,
            named => Self::naming(grant).any(|name| name == *named),
        }
    }
}

impl Revocation {
    /// Whether it takes a grant of `access` back at `now` (seconds since the epoch).
    pub fn covers(&self, access: &str, grant: &Grant, now: u64) -> bool {
        now < self.until && *self.access == *access && self.what.concerns(grant)
    }

    /// As octets, for the journal and for other nodes.
    pub fn write(&self) -> Vec<u8> {
        let (kind, value): (u8, [u8; 12]) = match self.what {
            What::Session(SessionId(id)) => (0, id),
            What::Subject(print) => (1, wide(print)),
            What::Token(print) => (2, wide(print)),
            What::Key(print) => (3, wide(print)),
            What::Issuer(print) => (4, wide(print)),
            What::IssuedBefore(moment) => (5, wide(moment)),
            What::All => (6, wide(0)),
        };
        let mut octets = Vec::with_capacity(29 + self.access.len());
        octets.push(kind);
        octets.extend(value);
        octets.extend(self.at.to_le_bytes());
        octets.extend(self.until.to_le_bytes());
        octets.extend(self.access.as_bytes());
        octets
    }

    /// What [`Revocation::write`] wrote; `None`: it is something else.
    pub fn read(octets: &[u8]) -> Option<Self> {
        let (kind, rest) = octets.split_first()?;
        let (value, rest) = rest.split_first_chunk::<12>()?;
        let (at, rest) = rest.split_first_chunk::<8>()?;
        let (until, access) = rest.split_first_chunk::<8>()?;
        let (number, padding) = value.split_first_chunk::<8>()?;
        let number = u64::from_le_bytes(*number);
        if *kind != 0 && padding != [0; 4] {
            return None;
        }
        let what = match kind {
            0 => What::Session(SessionId(*value)),
            1 => What::Subject(number),
            2 => What::Token(number),
            3 => What::Key(number),
            4 => What::Issuer(number),
            5 => What::IssuedBefore(number),
            6 if number == 0 => What::All,
            _ => return None,
        };
        let access = std::str::from_utf8(access).ok()?.into();
        Some(Self { access, what, at: u64::from_le_bytes(*at), until: u64::from_le_bytes(*until) })
    }
}

fn wide(number: u64) -> [u8; 12] {
    let mut octets = [0; 12];
    octets[..8].copy_from_slice(&number.to_le_bytes());
    octets
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rules::token::Scope;

    fn grant(session: u8, subject: Option<u64>, issued_at: u64) -> Grant {
        Grant {
            session: SessionId([session; 12]),
            subject,
            token: Some(u64::from(session) + 100),
            key: Some(7),
            issuer: Some(8),
            issued_at,
            ends: None,
            scope: Scope::Everything,
            networks: None,
            countries: None,
            max_sessions: None,
            tier: None,
        }
    }

    fn revoked(access: &str, what: What) -> Revocation {
        Revocation { access: access.into(), what, at: 1_000, until: 2_000 }
    }

    #[test]
    fn a_revocation_takes_back_what_it_names_and_nothing_else() {
        let one = grant(1, Some(11), 500);
        for (what, is_meant) in [
            (What::Session(SessionId([1; 12])), true),
            (What::Session(SessionId([2; 12])), false),
            (What::Subject(11), true),
            (What::Subject(12), false),
            (What::Token(101), true),
            (What::Token(11), false),
            (What::Key(7), true),
            (What::Key(8), false),
            (What::Issuer(8), true),
            (What::Issuer(7), false),
            (What::IssuedBefore(501), true),
            (What::IssuedBefore(500), false),
            (What::All, true),
        ] {
            assert_eq!(revoked("a", what).covers("a", &one, 1_500), is_meant, "{what:?}");
        }
        assert!(!revoked("a", What::Subject(11)).covers("a", &grant(1, None, 500), 1_500));
    }

    #[test]
    fn another_access_and_a_later_time_are_left_alone() {
        let one = grant(1, Some(11), 500);
        assert!(!revoked("a", What::Subject(11)).covers("b", &one, 1_500));
        assert!(revoked("a", What::Subject(11)).covers("a", &one, 1_999));
        assert!(!revoked("a", What::Subject(11)).covers("a", &one, 2_000));
    }

    fn whats() -> impl Strategy<Value = What> {
        prop_oneof![
            any::<[u8; 12]>().prop_map(|id| What::Session(SessionId(id))),
            any::<u64>().prop_map(What::Subject),
            any::<u64>().prop_map(What::Token),
            any::<u64>().prop_map(What::Key),
            any::<u64>().prop_map(What::Issuer),
            any::<u64>().prop_map(What::IssuedBefore),
            Just(What::All),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(what in whats(), at: u64, until: u64, access in "[a-z]{0,20}") {
            let revocation = Revocation { access: access.as_str().into(), what, at, until };
            prop_assert_eq!(Revocation::read(&revocation.write()), Some(revocation));
        }

        #[test]
        fn anything_else_is_read_without_harm(octets in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Some(read) = Revocation::read(&octets) {
                prop_assert_eq!(read.write(), octets);
            }
        }
    }
}
