//! The gate of one access: a token, of whatever format it takes, or a session becomes a grant, or the reason why not.
//!
//! A token's signature is verified once and remembered; a session is opened with one HMAC. Nothing here waits: where a key
//! is missing that may have come since, [`Gate::refreshed`] waits, once, for whoever wants to ask again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use aws_lc_rs::digest;
use http::HeaderValue;
use http::header::USER_AGENT;
use parking_lot::Mutex;

use crate::clock::Clock;
use crate::config::access::{Access, Inherit};
use crate::rules::session::{Grant, Identity, Named, Opener, PrintKey, Seals};
use crate::rules::token::any::Unverified;
use crate::rules::token::carrier::{Credential, Kind};
use crate::rules::token::cat::FailureAnswer;
use crate::rules::token::claims::Replay;
use crate::rules::token::key::{KeySet, MOST_TRIED};
use crate::rules::token::mint::SigningKey;
use crate::rules::token::renewal::{self, Journey, Sent};
use crate::rules::token::terms::FormatTerms;
use crate::rules::token::verdict::{self, Facts, Terms};
use crate::rules::token::{Claims, Format, Reason, Rejection};

use super::keys::IssuerKeys;
use super::verified::{Memory, Name, Verified};

/// Tokens that may be used once and are remembered; beyond, none is taken.
const MOST_USED: usize = 200_000;

/// For how long after the end of a credential a report may come with it, in seconds.
const LATE: u64 = 15 * 60;

const LATE_REPORT: Rejection = Rejection::new(Reason::EntitlementOver, "the session was over long before this report");
const MISSING_KEYS: Rejection =
    Rejection::new(Reason::KeysUnavailable, "the issuer's keys could not be fetched yet: try again in a moment");
const NOBODY: Rejection = Rejection::new(Reason::IssuerUnknown, "iss is not an issuer that is configured here");
const NAMELESS: Rejection = Rejection::new(Reason::IssuerUnknown, "iss is missing, and there are several issuers");
const REPLAYED: Rejection = Rejection::new(Reason::Replayed, "the token may be used once, and was");
const NO_ROOM: Rejection =
    Rejection::new(Reason::KeysUnavailable, "too many tokens of a single use: try again in a moment");

/// What all gates of a node share, and what outlives a reload.
pub(super) struct Common {
    pub memory: Memory,
    pub figures: Figures,
    /// Tokens of a single use that were used, each until it expires.
    used: Mutex<BTreeMap<(u64, u64), u64>>,
}

/// What became of tokens so far.
pub(super) struct Figures {
    /// Tokens that were verified and judged, by reason; the last one: those that hold.
    pub results: [AtomicU64; Reason::WORDS.len() + 1],
    /// Those that had been verified a moment ago.
    pub remembered: AtomicU64,
    /// Tokens that ask that their second use be reported, used again.
    pub reused: AtomicU64,
}

/// What a token opened.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// What it allows.
    pub grant: Grant,
    /// What it says.
    pub claims: Arc<Claims>,
}

/// What renews the tokens of an issuer, and verifies them.
struct Renewer {
    key: SigningKey,
    keys: KeySet,
}

impl Renewer {
    fn new(key: &SigningKey) -> Self {
        let keys = KeySet::of([key.verifier().clone()]).expect("one key is a set");
        Self { key: key.clone(), keys }
    }
}

struct Issuer {
    name: Option<Box<str>>,
    /// The name as a list, as verdicts want it.
    names: Vec<Box<str>>,
    audience: Option<Box<str>>,
    max_lifetime: Option<Duration>,
    terms: FormatTerms,
    keys: Arc<IssuerKeys>,
    renewer: Option<Renewer>,
}

impl Issuer {
    /// What is asked of its tokens.
    fn terms_of(&self, leeway: Duration) -> Terms<'_> {
        let audience = self.audience.as_deref();
        Terms { issuers: &self.names, audience, leeway, max_lifetime: self.max_lifetime }
    }
}

/// The gate of one access.
pub struct Gate {
    name: Arc<str>,
    /// No other gate of this process has it.
    number: u64,
    issuers: Vec<Issuer>,
    leeway: Duration,
    inherit: Inherit,
    session_life: Duration,
    max_sessions: Option<u32>,
    seals: Seals,
    prints: PrintKey,
    common: Arc<Common>,
    clock: Clock,
}

impl Common {
    pub fn new() -> Self {
        Self { memory: Memory::new(), figures: Figures::default(), used: Mutex::default() }
    }

    /// Notes the use of a token of a single use.
    fn use_once(&self, token: (u64, u64), until: u64, now: u64) -> Result<(), Rejection> {
        let mut used = self.used.lock();
        if used.get(&token).is_some_and(|until| now < *until) {
            return Err(REPLAYED);
        }
        if used.len() >= MOST_USED {
            used.retain(|_, until| now < *until);
        }
        if used.len() >= MOST_USED {
            return Err(NO_ROOM);
        }
        used.insert(token, until);
        Ok(())
    }

    fn was_used(&self, token: (u64, u64), now: u64) -> bool {
        self.used.lock().get(&token).is_some_and(|until| now < *until)
    }
}

impl Default for Figures {
    fn default() -> Self {
        Self {
            results: std::array::from_fn(|_| AtomicU64::new(0)),
            remembered: AtomicU64::new(0),
            reused: AtomicU64::new(0),
        }
    }
}

/// Who seals and names for a gate.
#[derive(Clone)]
pub(super) struct Sealing {
    pub seals: Seals,
    pub prints: PrintKey,
}

fn hash_of(token: &str) -> [u8; 32] {
    digest::digest(&digest::SHA256, token.as_bytes()).as_ref().try_into().expect("SHA-256 has 32 octets")
}

impl Gate {
    /// A gate; `keys`: those of its issuers, in their order. `number`: no other gate of the process has it.
    pub(super) fn new(
        access: &Access,
        keys: Vec<Arc<IssuerKeys>>,
        sealing: Sealing,
        (common, clock): (Arc<Common>, Clock),
        number: u64,
    ) -> Self {
        let issuer = |(issuer, keys): (&crate::config::access::Issuer, Arc<IssuerKeys>)| Issuer {
            name: issuer.issuer.as_deref().map(Into::into),
            names: issuer.issuer.iter().map(|name| name.as_str().into()).collect(),
            audience: issuer.audience.as_deref().map(Into::into),
            max_lifetime: issuer.max_lifetime,
            terms: issuer.terms(),
            keys,
            renewer: issuer.renewal_key.as_ref().map(Renewer::new),
        };
        Self {
            name: access.name.as_str().into(),
            number,
            issuers: access.issuers.iter().zip(keys).map(issuer).collect(),
            leeway: access.leeway,
            inherit: access.inherit,
            session_life: access.session_life,
            max_sessions: access.max_sessions,
            seals: sealing.seals,
            prints: sealing.prints,
            common,
            clock,
        }
    }

    /// The name of its access.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What a token allows, for this request and now (seconds since the epoch). A token of a single use is used by it.
    ///
    /// # Errors
    /// The first rejection. After `key-unknown` and `keys-unavailable`, [`Gate::refreshed`] may have news.
    pub fn verify(&self, token: &str, facts: &Facts<'_>, now: u64) -> Result<Grant, Rejection> {
        self.enter(token, facts, now).map(|verdict| verdict.grant)
    }

    /// The same, with what the token says.
    ///
    /// # Errors
    /// As [`Gate::verify`].
    pub fn enter(&self, token: &str, facts: &Facts<'_>, now: u64) -> Result<Verdict, Rejection> {
        let verdict = self.examine(token, facts, now).and_then(|verdict| self.note_use(verdict, now));
        let result = verdict.as_ref().err().map_or(Reason::WORDS.len(), |rejection| rejection.reason.index());
        self.common.figures.results[result].fetch_add(1, Relaxed);
        verdict
    }

    /// What a token would allow; a token of a single use is not used by it.
    ///
    /// # Errors
    /// As [`Gate::verify`].
    pub fn examine(&self, token: &str, facts: &Facts<'_>, now: u64) -> Result<Verdict, Rejection> {
        let hash = hash_of(token);
        let verified = self.verified(token, hash, facts, now)?;
        let issuer = &self.issuers[verified.issuer];
        let terms = issuer.terms_of(self.leeway);
        verdict::judge(&verified.claims, &terms, facts, now)?;
        let grant = self.grant(&verified, facts);
        let is_single = verified.claims.replay == Replay::Prohibited;
        if let Some(token) = grant.token.filter(|_| is_single)
            && self.common.was_used((self.access_print(), token), now)
        {
            return Err(REPLAYED);
        }
        Ok(Verdict { grant, claims: verified.claims })
    }

    /// What a session allows, for this request and now.
    ///
    /// # Errors
    /// The first rejection.
    pub fn open(&self, sealed: &str, facts: &Facts<'_>, now: u64) -> Result<Grant, Rejection> {
        let grant = self.seals.open(&self.name, sealed)?;
        verdict::judge_grant(&grant, facts, now)?;
        Ok(grant)
    }

    /// Whose a report is that comes with a token or a session. It opens nothing, so what the credential covers does not
    /// count; and a player reports that its token has expired, so one that has may be late.
    ///
    /// # Errors
    /// The first rejection.
    pub fn recognise(&self, credential: &Credential, facts: &Facts<'_>, now: u64) -> Result<Grant, Rejection> {
        if credential.kind == Kind::Session {
            let grant = self.seals.open(&self.name, &credential.text)?;
            verdict::of_grants_sender(&grant, facts)?;
            return match grant.ends {
                Some(end) if now >= end.saturating_add(LATE) => Err(LATE_REPORT),
                Some(_) | None => Ok(grant),
            };
        }
        let verified = self.verified(&credential.text, hash_of(&credential.text), facts, now)?;
        let issuer = &self.issuers[verified.issuer];
        let terms = issuer.terms_of(self.leeway);
        match verdict::of_time_and_party(&verified.claims, &terms, now) {
            Err(Rejection { expired: Some(end), .. }) if now < end.saturating_add(LATE) => {
                // The rest is judged as of its last second.
                verdict::of_time_and_party(&verified.claims, &terms, end.saturating_sub(1))?;
            }
            judged => judged?,
        }
        verdict::of_sender(&verified.claims, facts)?;
        Ok(self.grant(&verified, facts))
    }

    /// A grant as a URI carries it: always the same octets.
    ///
    /// # Errors
    /// `token-too-large` where what it covers does not fit.
    pub fn seal(&self, grant: &Grant) -> Result<String, Rejection> {
        self.seals.seal(&self.name, grant)
    }

    /// The token that follows the one that says this, where it is time for one, on its way to its viewer: signed with the
    /// region's own key where it has one, else with what its issuer and this node share.
    pub fn successor(&self, claims: &Claims, journey: &Journey<'_>, now: u64) -> Option<Sent> {
        let renewal = claims.renewal.as_ref()?;
        let is_theirs = |issuer: &&Issuer| claims.issuer.as_ref().is_some_and(|name| issuer.names.contains(name));
        let issuer = match self.issuers.as_slice() {
            [issuer] => issuer,
            issuers => issuers.iter().find(is_theirs)?,
        };
        let times = renewal::renew(claims, now, None)?;
        let key = match &issuer.renewer {
            Some(own) => own.key.clone(),
            None => shared(&issuer.keys)?,
        };
        let token = renewal.token(times, &key).ok()?;
        renewal.carried.send(&token, times, journey)
    }

    /// The print of what a text names within this access.
    pub fn print(&self, named: Named, text: &str) -> u64 {
        self.prints.print(&self.name, named, text)
    }

    /// After a rejection for want of a key: whether the issuer's keys are others now, so that it is worth while to ask
    /// again. Waits for a fetch that goes on or may begin, for some seconds at most.
    pub async fn refreshed(&self, token: &str, why: &Rejection) -> bool {
        if !matches!(why.reason, Reason::KeyUnknown | Reason::KeysUnavailable) {
            return false;
        }
        let keys = {
            let Ok(token) = Unverified::read(token) else { return false };
            let Ok(candidates) = self.candidates(&token) else { return false };
            candidates.first().map(|index| self.issuers[*index].keys.clone())
        };
        match keys {
            Some(keys) => keys.refreshed(&self.clock).await,
            None => false,
        }
    }

    /// What a token whose signature holds wants to be answered where it is rejected.
    pub fn answer(&self, token: &str, facts: &Facts<'_>, (why, now): (&Rejection, u64)) -> Option<FailureAnswer> {
        let claims = self.verified(token, hash_of(token), facts, now).ok()?.claims;
        claims.answers.iter().find(|answer| answer.is_for(why.reason)).cloned()
    }

    fn verified(&self, token: &str, hash: [u8; 32], facts: &Facts<'_>, now: u64) -> Result<Verified, Rejection> {
        let name: Name = (self.number, hash);
        let memory = &self.common.memory;
        if let Some(known) = memory.look(&name, now, |issuer| self.issuers[issuer].keys.generation()) {
            self.common.figures.remembered.fetch_add(1, Relaxed);
            return known;
        }
        let unverified = Unverified::read(token);
        // An edge token may hold for the URL of this request alone.
        let is_alike = !matches!(unverified, Ok(Unverified::Hdnts(_)));
        let verified = unverified.and_then(|token| self.verified_anew(&token, facts, now));
        match &verified {
            Ok(verified) if is_alike => memory.keep(name, verified.clone(), now),
            // Other keys may come.
            Err(why) if is_alike && !matches!(why.reason, Reason::KeyUnknown | Reason::KeysUnavailable) => {
                memory.refuse(name, *why, now);
            }
            _ => {}
        }
        verified
    }

    fn verified_anew(&self, token: &Unverified<'_>, facts: &Facts<'_>, now: u64) -> Result<Verified, Rejection> {
        let mut last = NOBODY;
        for index in self.candidates(token)? {
            let issuer = &self.issuers[index];
            // The name of our own key is made of it: none of the issuer's has it.
            let own = issuer.renewer.as_ref().filter(|own| own.key.kid().is_some() && own.key.kid() == token.kid());
            let held = issuer.keys.held();
            let (set, generation) = match (own, &held) {
                (Some(own), _) => (&own.keys, issuer.keys.generation()),
                (None, Some(held)) => (&held.set, held.generation),
                (None, None) => {
                    last = MISSING_KEYS;
                    continue;
                }
            };
            match token.verify(set, &issuer.terms, &facts.asked) {
                Ok(verified) => {
                    held.iter().for_each(|held| held.used(verified.key, now));
                    let key = verified.key.kid().map(|kid| self.print(Named::Key, kid));
                    let claims = Arc::new(verified.claims);
                    return Ok(Verified { claims, print: token.print(), issuer: index, generation, key });
                }
                Err(why) => last = why,
            }
        }
        Err(last)
    }

    /// Whose token it may be: that of the issuer that it names. One that is alone is not chosen by name: what the token
    /// says of it is judged after its signature. Edge tokens name nobody.
    fn candidates(&self, token: &Unverified<'_>) -> Result<Vec<usize>, Rejection> {
        if let [_] = self.issuers.as_slice() {
            return Ok(vec![0]);
        }
        let takes = |issuer: &Issuer| issuer.terms.takes(token.format());
        if token.format() == Format::Hdnts {
            let taking = self.issuers.iter().enumerate().filter(|(_, issuer)| takes(issuer));
            return Ok(taking.map(|(index, _)| index).take(MOST_TRIED).collect());
        }
        let name = token.issuer().ok_or(NAMELESS)?;
        let named = self.issuers.iter().position(|issuer| issuer.name.as_deref() == Some(&*name));
        named.map(|index| vec![index]).ok_or(NOBODY)
    }

    fn grant(&self, verified: &Verified, facts: &Facts<'_>) -> Grant {
        let claims = &*verified.claims;
        let identity = match (&claims.session, &claims.id) {
            (Some(session), _) => Identity::Session(session),
            (None, Some(id)) => Identity::Token(id),
            (None, None) => Identity::Octets(&verified.print),
        };
        let user_agent = facts.headers.get(USER_AGENT).map(HeaderValue::as_bytes).unwrap_or_default();
        let opener = Opener { address: facts.address, user_agent };
        let print = |named, text: &Option<Box<str>>| text.as_ref().map(|text| self.print(named, text));
        Grant {
            session: self.prints.session(&self.name, claims.issuer.as_deref(), identity, &opener),
            subject: print(Named::Subject, &claims.subject),
            token: print(Named::Token, &claims.id),
            key: verified.key,
            issuer: print(Named::Issuer, &claims.issuer),
            issued_at: claims.issued_at.or(claims.not_before).unwrap_or_default(),
            ends: self.end(claims),
            scope: claims.scope.clone(),
            networks: claims.networks.clone(),
            countries: claims.countries.clone(),
            max_sessions: claims.max_sessions.or(self.max_sessions),
            tier: claims.tier.clone(),
        }
    }

    /// When it is over. Where every request brings its token, that is when the token expires. A session goes on until
    /// what was paid for is over; where the token does not say when that is, for a while after it has expired: counted
    /// from there, so that a token that is used again gives the same session.
    fn end(&self, claims: &Claims) -> Option<u64> {
        let after = match self.inherit {
            Inherit::None => self.leeway,
            Inherit::Path | Inherit::Query | Inherit::Cookie if claims.session_end.is_some() => {
                return claims.session_end;
            }
            Inherit::Path | Inherit::Query | Inherit::Cookie => self.session_life,
        };
        let expires = claims.expires.or(claims.issued_at);
        let last = expires.map(|moment| moment.saturating_add(after.as_secs()));
        [last, claims.session_end].into_iter().flatten().min()
    }

    fn note_use(&self, verdict: Verdict, now: u64) -> Result<Verdict, Rejection> {
        let until = verdict.claims.expires.unwrap_or(u64::MAX).saturating_add(self.leeway.as_secs());
        match (verdict.claims.replay, verdict.grant.token) {
            (Replay::Permitted, _) => {}
            (Replay::Prohibited, Some(token)) => self.common.use_once((self.access_print(), token), until, now)?,
            (Replay::Prohibited, None) => return Err(REPLAYED),
            (Replay::Reported, Some(token)) => {
                if self.common.use_once((self.access_print(), token), until, now).is_err() {
                    self.common.figures.reused.fetch_add(1, Relaxed);
                }
            }
            (Replay::Reported, None) => {}
        }
        Ok(verdict)
    }

    /// The access by a number, the same after a reload.
    fn access_print(&self) -> u64 {
        self.print(Named::Issuer, "")
    }
}

/// What an issuer and this node share, for signing in its place.
fn shared(keys: &IssuerKeys) -> Option<SigningKey> {
    let held = keys.held()?;
    let mut keys = held.set.keys().iter();
    keys.find_map(|key| SigningKey::from_secret(key.secret()?, Some(key.algorithm()), key.kid()).ok())
}
