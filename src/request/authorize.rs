//! Who may see what is asked for: what a request presents → its grant → its session. Below here nobody knows a token.
//!
//! It comes before the look into the cache, for every method, for stale answers and errors too. What another node asks
//! for was judged there.

use std::borrow::Cow;
use std::sync::Arc;

use http::HeaderValue;
use http::header::USER_AGENT;

use crate::access::{self, Gate};
use crate::clock::Tick;
use crate::rules::admission::country::Country;
use crate::rules::session::{Device, Grant};
use crate::rules::token::carrier::{Credential, Kind, Place, Presented};
use crate::rules::token::cat::FailureAnswer;
use crate::rules::token::renewal::{Journey, Sent};
use crate::rules::token::scope::{Asked, comparable_query};
use crate::rules::token::verdict::Facts;
use crate::rules::token::{Claims, Reason, Rejection};
use crate::sessions::{NotEntered, Session};

use super::edge::Edge;
use super::policies::{Gating, RoutePolicy};
use super::route::Resource;
use super::{Caller, Head, Protocol, Refusal, Scheme, admit, tell, witness};

const MISSING: Rejection = Rejection::new(Reason::TokenMissing, "this needs a token, and the request has none");
const NO_GATE: Rejection = Rejection::new(Reason::KeysUnavailable, "the access is being set up");

/// A request that was let in.
pub struct Admission {
    /// Its session.
    pub session: Arc<Session>,
    /// What it may do.
    pub grant: Grant,
    /// What it presented, and where.
    pub how: (Kind, Place),
    /// What its token says, where it presented one.
    pub claims: Option<Arc<Claims>>,
    /// The session as it presented it.
    sealed: Option<Box<str>>,
    /// What its carrier is called, where that has a name.
    pub name: Box<str>,
    /// Who let it in.
    pub gate: Arc<Gate>,
}

/// What a request presents, rejected.
#[derive(Debug)]
pub struct Denied {
    /// Why.
    pub why: Rejection,
    /// What the token wants to be answered then.
    answer: Option<Arc<FailureAnswer>>,
}

impl From<Denied> for Refusal {
    fn from(Denied { why, answer }: Denied) -> Self {
        match answer {
            Some(answer) => Self::TokenAnswer(why, answer),
            None => Self::Token(why),
        }
    }
}

impl Admission {
    /// The session as URIs and cookies carry it: the same octets while it lives.
    ///
    /// # Errors
    /// Where what it covers does not fit in a URI.
    pub fn sealed(&self) -> Result<Cow<'_, str>, Rejection> {
        match &self.sealed {
            Some(sealed) => Ok(Cow::Borrowed(sealed)),
            None => self.gate.seal(&self.grant).map(Cow::Owned),
        }
    }

    /// The token that follows its own, where it is time for one, on its way to the viewer.
    pub fn successor(&self, claims: &Claims, journey: &Journey<'_>, now: u64) -> Option<Sent> {
        self.gate.successor(claims, journey, now)
    }

    /// When what was paid for is over, as the clock sees it.
    fn over_at(&self, edge: &Edge) -> Option<Tick> {
        let left = u128::from(self.grant.ends?) * 1_000_000_000;
        let left = left.saturating_sub(edge.clock.wall().since_epoch().as_nanos());
        let left = u64::try_from(left).unwrap_or(u64::MAX);
        Some(edge.clock.now() + std::time::Duration::from_nanos(left))
    }
}

/// What a request presents, judged.
pub struct Verdict<'p> {
    /// What was used.
    pub credential: &'p Credential,
    /// What it allows.
    pub grant: Grant,
    /// What it says, where it is a token.
    pub claims: Option<Arc<Claims>>,
}

/// Whether a verdict is acted upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// It is: a token of a single use is used up by it.
    Entering,
    /// It is only told.
    Explaining,
}

/// Lets a viewer in, where its route asks who it is. Where [`lacks_keys`] says so, [`admit_by_newer_keys`] may still.
///
/// # Errors
/// `Token`, `TokenAnswer`, `TooManySessions`.
pub fn admit(
    edge: &Edge,
    head: &Head,
    resource: &Resource<'_>,
    presented: Option<&Presented>,
) -> Result<Option<Arc<Admission>>, Refusal> {
    let Some(gated) = resource.route.gated.as_ref().filter(|_| head.caller == Caller::Viewer) else { return Ok(None) };
    let gate = edge.accesses.gate(&gated.access.name).ok_or(NO_GATE)?;
    let nothing = Presented::default();
    let presented = presented.unwrap_or(&nothing);
    let verdict = judge(edge, head, (resource, gated), (&gate, presented, Use::Entering)).map_err(|denied| {
        let why = denied.why;
        let refusal = Refusal::from(denied);
        if !lacks_keys(&refusal) {
            tell::refused(edge, &gated.terms.access, why, None);
        }
        refusal
    })?;
    let session = enter(edge, (head, resource.route), gated, &verdict)?;
    let Verdict { credential, grant, claims } = verdict;
    let sealed = (credential.kind == Kind::Session).then(|| credential.text.clone());
    let how = (credential.kind, credential.place);
    let name = credential.name.clone();
    Ok(Some(Arc::new(Admission { session, grant, how, claims, sealed, name, gate })))
}

/// Whether a refusal says that a key is missing, which may have come since.
pub const fn lacks_keys(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::Token(Rejection { reason: Reason::KeyUnknown | Reason::KeysUnavailable, .. }))
}

/// Lets a viewer in after all who was refused for want of a key, if that has come: waits for some seconds at most, and
/// only where the issuer's keys may be asked for now.
///
/// # Errors
/// As [`admit`].
pub async fn admit_by_newer_keys(
    edge: &Edge,
    head: &Head,
    resource: &Resource<'_>,
    presented: Option<&Presented>,
    refusal: Refusal,
) -> Result<Option<Arc<Admission>>, Refusal> {
    let (Some(gated), Refusal::Token(why)) = (&resource.route.gated, &refusal) else { return Err(refusal) };
    let gate = edge.accesses.gate(&gated.access.name);
    let token = presented.and_then(|presented| presented.first.as_ref());
    let outcome = match gate.zip(token) {
        Some((gate, token)) if gate.refreshed(&token.text, why).await => admit(edge, head, resource, presented),
        _ => Err(refusal),
    };
    outcome.inspect_err(|refusal| {
        if let (true, Refusal::Token(why)) = (lacks_keys(refusal), refusal) {
            tell::refused(edge, &gated.terms.access, *why, None);
        }
    })
}

/// The session of a request that may enter one.
fn enter(
    edge: &Edge,
    (head, route): (&Head, &RoutePolicy),
    gated: &Gating,
    verdict: &Verdict<'_>,
) -> Result<Arc<Session>, Refusal> {
    let Verdict { grant, claims, .. } = verdict;
    let moment = (edge.clock.now(), edge.clock.wall());
    let session = edge.sessions.enter(&gated.terms, grant, moment).map_err(|why| {
        head.notes.note(|noted| noted.shut_out = Some(grant.session));
        match why {
            NotEntered::Rejected(rejection) => {
                tell::refused(edge, &gated.terms.access, rejection, Some(grant.session));
                Refusal::Token(rejection)
            }
            NotEntered::Full => Refusal::TooManySessions,
        }
    })?;
    session.used_on(&route.name);
    if session.is_news() {
        let user_agent = head.headers.get(USER_AGENT).map(HeaderValue::as_bytes);
        session.watched_on(Device::of(user_agent.unwrap_or_default()));
        tell::began(edge, &session, claims.as_deref());
        witness::let_in(edge, (head, route), &session);
    }
    Ok(session)
}

/// What a request presents, judged without entering a session.
///
/// # Errors
/// The first rejection; where what is presented first has expired, that of what stands in for it.
pub fn judge<'p>(
    edge: &Edge,
    head: &Head,
    (resource, gated): (&Resource<'_>, &Gating),
    (gate, presented, how): (&Gate, &'p Presented, Use),
) -> Result<Verdict<'p>, Denied> {
    let first = presented.first.as_ref().ok_or(Denied { why: MISSING, answer: None })?;
    let (path, query) = resource.target.split_once('?').map_or((&*resource.target, None), |(p, q)| (p, Some(q)));
    let is_carrier = |name: &str| gated.access.names.query.iter().any(|own| own == name);
    let query = query.and_then(|query| comparable_query(query, is_carrier));
    let country = admit::country(&edge.countries, head);
    let facts = facts(head, (path, query.as_deref()), country.as_ref());
    let now = edge.clock.wall().since_epoch().as_secs();
    let of = |credential: &Credential| match (credential.kind, how) {
        (Kind::Token, Use::Entering) => gate.enter(&credential.text, &facts, now).map(opened),
        (Kind::Token, Use::Explaining) => gate.examine(&credential.text, &facts, now).map(opened),
        (Kind::Session, _) => gate.open(&credential.text, &facts, now).map(|grant| (grant, None)),
    };
    let verdict = |credential: &'p Credential| match of(credential) {
        Ok((grant, claims)) => Ok(Verdict { credential, grant, claims }),
        Err(why) => {
            let answer = Some(credential).filter(|credential| credential.kind == Kind::Token);
            let answer = answer.and_then(|token| gate.answer(&token.text, &facts, (&why, now)));
            Err(Denied { why, answer: answer.map(Arc::new) })
        }
    };
    match (verdict(first), &presented.second) {
        (Err(Denied { why: Rejection { reason: Reason::TokenExpired, .. }, .. }), Some(second)) => verdict(second),
        (judged, _) => judged,
    }
}

/// Whose a report is that comes with a credential: as [`judge`], but what it opens does not count.
///
/// # Errors
/// The first rejection.
pub fn recognise(edge: &Edge, head: &Head, gate: &Gate, credential: &Credential) -> Result<Grant, Rejection> {
    let country = admit::country(&edge.countries, head);
    let facts = facts(head, (&head.path, None), country.as_ref());
    gate.recognise(credential, &facts, edge.clock.wall().since_epoch().as_secs())
}

fn facts<'f>(head: &'f Head, (path, query): (&'f str, Option<&'f str>), country: Option<&'f Country>) -> Facts<'f> {
    Facts {
        asked: Asked {
            scheme: head.scheme.as_str(),
            host: head.host().trim_end_matches('.'),
            port: port(head),
            path,
            query,
        },
        method: &head.method,
        address: head.viewer.address.ip().to_canonical(),
        alpn: alpn(head),
        country: country.map(Country::code),
        headers: &head.headers,
    }
}

fn opened(verdict: access::Verdict) -> (Grant, Option<Arc<Claims>>) {
    (verdict.grant, Some(verdict.claims))
}

/// The port that the viewer named, where it is not the scheme's own.
fn port(head: &Head) -> Option<u16> {
    let authority = head.authority.as_deref()?;
    let port = authority[head.host().len()..].strip_prefix(':')?.parse().ok()?;
    let own = match head.scheme {
        Scheme::Http => 80,
        Scheme::Https => 443,
    };
    (port != own).then_some(port)
}

/// What the connection agreed on, where this node ended its TLS: behind a proxy that is not known.
fn alpn(head: &Head) -> Option<&'static str> {
    let is_ended_here = head.scheme == Scheme::Https && head.viewer.address == head.viewer.peer;
    is_ended_here.then_some(match head.protocol {
        Protocol::Http10 | Protocol::Http11 => "http/1.1",
        Protocol::Http2 => "h2",
        Protocol::Http3 => "h3",
    })
}

/// Does some work for a request for as long as its session goes on: whoever is held until the playlist has come far
/// enough is refused as soon as its session ends, and never held beyond what was paid for.
///
/// # Errors
/// Those of the work; why the session has ended.
pub async fn while_it_lasts<T>(
    edge: &Edge,
    admission: &Admission,
    work: impl Future<Output = Result<T, Refusal>>,
) -> Result<T, Refusal> {
    tokio::select! {
        biased;
        done = work => done,
        reason = admission.session.ended() => Err(ended(reason).into()),
        () = entitlement(edge, admission) => Err(ended(Reason::EntitlementOver).into()),
    }
}

/// Completes when what was paid for is over.
async fn entitlement(edge: &Edge, admission: &Admission) {
    match admission.over_at(edge) {
        Some(at) => edge.clock.sleep_until(at).await,
        None => std::future::pending().await,
    }
}

const fn ended(reason: Reason) -> Rejection {
    let detail = match reason {
        Reason::EntitlementOver => "what this token was issued for is over",
        Reason::SessionLimit => "the session has given way to another one of its subject",
        _ => "this session, its token or its subject was revoked",
    };
    Rejection::new(reason, detail)
}
