//! What was verified a moment ago: a token's signature costs up to 60 µs, a look costs one hash of it.
//!
//! An entry holds for one gate and one set of keys: a key that is withdrawn, or a reload, makes it worthless at once. It
//! lives until the token expires, at most a minute; a refusal, and a token that has expired, for some seconds. Time, parties, the request, revocations
//! and sessions are judged anew at every request.

use std::sync::Arc;

use moka::sync::Cache;

use crate::rules::token::{Claims, Rejection};

/// How long a verified token is remembered, in seconds.
const LIFE: u64 = 60;
/// The same of one that was refused.
const SHORT_LIFE: u64 = 5;
/// Octets that verified tokens may take in memory.
const ROOM: u64 = 64 << 20;
/// Refused tokens that are remembered.
const REFUSED: u64 = 20_000;

/// A token that was verified.
#[derive(Clone, Debug)]
pub(super) struct Verified {
    /// What it says.
    pub claims: Arc<Claims>,
    /// What it is known by where it has no identifier: SHA-256 of what is signed.
    pub print: [u8; 32],
    /// Whose it is, among the issuers of the access.
    pub issuer: usize,
    /// The generation of that issuer's keys.
    pub generation: u64,
    /// The print of the key's identifier.
    pub key: Option<u64>,
}

/// A gate, and SHA-256 of a token.
pub(super) type Name = (u64, [u8; 32]);

/// The memory of all gates of a node.
pub(super) struct Memory {
    good: Cache<Name, (Verified, u64), foldhash::quality::RandomState>,
    bad: Cache<Name, (Rejection, u64), foldhash::quality::RandomState>,
}

impl Memory {
    pub fn new() -> Self {
        let good = Cache::builder().max_capacity(ROOM).weigher(|_, (verified, _)| weight(verified));
        let bad = Cache::builder().max_capacity(REFUSED);
        Self {
            good: good.build_with_hasher(foldhash::quality::RandomState::default()),
            bad: bad.build_with_hasher(foldhash::quality::RandomState::default()),
        }
    }

    /// What became of a token, if that was a moment ago and still counts. `generation`: that of an issuer's keys.
    pub fn look(
        &self,
        name: &Name,
        now: u64,
        generation: impl Fn(usize) -> u64,
    ) -> Option<Result<Verified, Rejection>> {
        if let Some((verified, until)) = self.good.get(name) {
            let counts = now < until && verified.generation == generation(verified.issuer);
            return counts.then_some(Ok(verified));
        }
        let (rejection, until) = self.bad.get(name)?;
        (now < until).then_some(Err(rejection))
    }

    /// Remembers a token that was verified. One that has expired, too, for a moment: it is asked for again, and what it
    /// says of that may be answered.
    pub fn keep(&self, name: Name, verified: Verified, now: u64) {
        let expires = verified.claims.expires.unwrap_or(u64::MAX).max(now.saturating_add(SHORT_LIFE));
        let until = expires.min(now.saturating_add(LIFE));
        self.good.insert(name, (verified, until));
    }

    /// Remembers one that was refused.
    pub fn refuse(&self, name: Name, rejection: Rejection, now: u64) {
        self.bad.insert(name, (rejection, now.saturating_add(SHORT_LIFE)));
    }

    /// How many are remembered: verified, refused.
    pub fn counts(&self) -> (u64, u64) {
        (self.good.entry_count(), self.bad.entry_count())
    }
}

/// Roughly what an entry takes: the texts of its claims beside a fixed part.
fn weight(verified: &Verified) -> u32 {
    let claims = &*verified.claims;
    let texts = [&claims.issuer, &claims.subject, &claims.id, &claims.session, &claims.tier];
    let texts: usize = texts.into_iter().flatten().map(|text| text.len()).sum();
    let paths = match &claims.scope {
        crate::rules::token::Scope::Paths(paths) => paths.iter().map(|path| path.len() + 16).sum(),
        // A regular expression is compiled.
        crate::rules::token::Scope::Container(_) | crate::rules::token::Scope::Components(_) => 64 << 10,
        crate::rules::token::Scope::Everything | crate::rules::token::Scope::Acl(_) => 0,
    };
    u32::try_from(1_024 + texts + paths).unwrap_or(u32::MAX)
}
