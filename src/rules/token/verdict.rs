//! Claims × request × now → whether that opens what is asked for, or the reason why not.
//!
//! Two halves, in this order: time and parties, which are the same for every request with that token; then the request.
//! The first failure ends it. Moments are whole seconds since the epoch.

use std::net::IpAddr;
use std::time::Duration;

use http::{HeaderMap, Method};
use ipnet::IpNet;

use crate::rules::session::Grant;

use super::claims::{Claims, Format};
use super::reason::{Reason, Rejection};
use super::scope::{Asked, Scope};

/// What is asked of every token of an access, beside what the token says itself.
#[derive(Clone, Debug, Default)]
pub struct Terms<'a> {
    /// Issuers that are known; empty: any.
    pub issuers: &'a [Box<str>],
    /// Who this node is to issuers; `None`: not asked for.
    pub audience: Option<&'a str>,
    /// How far clocks may be apart.
    pub leeway: Duration,
    /// How long a token may still live at most; `None`: as long as it says.
    pub max_lifetime: Option<Duration>,
}

/// What is known of a request.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// What is asked for.
    pub asked: Asked<'a>,
    /// The method.
    pub method: &'a Method,
    /// The viewer's own address, IPv4 where it is one in IPv6's form.
    pub address: IpAddr,
    /// The ALPN identifier of the connection, where the node ends it; `None`: not known.
    pub alpn: Option<&'a str>,
    /// The viewer's country (ISO 3166-1, upper case), perhaps with a subdivision (`US-CA`); `None`: not known.
    pub country: Option<&'a str>,
    /// The request's fields.
    pub headers: &'a HeaderMap,
}

/// Judges a token by all that is known.
pub fn judge(claims: &Claims, terms: &Terms<'_>, facts: &Facts<'_>, now: u64) -> Result<(), Rejection> {
    of_time_and_party(claims, terms, now)?;
    of_request(claims, facts)
}

/// Whether a token holds at this moment, comes from a known issuer, and is for this node.
pub fn of_time_and_party(claims: &Claims, terms: &Terms<'_>, now: u64) -> Result<(), Rejection> {
    of_time_and_party_asks().iter().try_for_each(|question| (question.judge)(claims, terms, now))
}

/// Whether a token covers this request.
pub fn of_request(claims: &Claims, facts: &Facts<'_>) -> Result<(), Rejection> {
    of_request_asks().iter().try_for_each(|question| (question.judge)(claims, facts, 0))
}

/// A question, and who answers it.
pub(super) struct Question<T> {
    pub(super) name: &'static str,
    pub(super) question: &'static str,
    pub(super) judge: fn(&Claims, &T, u64) -> Result<(), Rejection>,
}

/// What [`of_time_and_party`] asks, one by one.
pub(super) const fn of_time_and_party_asks<'a>() -> [Question<Terms<'a>>; 3] {
    [
        Question { name: "time", question: "does it hold now, and not for too long?", judge: of_time },
        Question { name: "issuer", question: "is its issuer one that is configured?", judge: of_issuer },
        Question { name: "audience", question: "is it for this service?", judge: of_audience },
    ]
}

/// What [`of_request`] asks, one by one.
pub(super) const fn of_request_asks<'a>() -> [Question<Facts<'a>>; 6] {
    [
        Question {
            name: "uri",
            question: "does it cover the URI?",
            judge: |claims, facts, _| of_scope(&claims.scope, facts),
        },
        Question {
            name: "method",
            question: "does it allow the method?",
            judge: |claims, facts, _| of_method(claims, facts),
        },
        Question {
            name: "address",
            question: "may this address use it?",
            judge: |claims, facts, _| of_address(claims.networks.as_deref(), facts),
        },
        Question {
            name: "protocol",
            question: "may this connection's protocol carry it?",
            judge: |claims, facts, _| of_protocol(claims, facts),
        },
        Question {
            name: "country",
            question: "does it hold in the viewer's country?",
            judge: |claims, facts, _| of_country(claims.countries.as_deref(), facts),
        },
        Question {
            name: "fields",
            question: "are the request's fields what it asks for?",
            judge: |claims, facts, _| of_fields(claims, facts),
        },
    ]
}

/// Whether a session may go on with this request: what its grant says of time, URI, address and country.
pub fn judge_grant(grant: &Grant, facts: &Facts<'_>, now: u64) -> Result<(), Rejection> {
    if grant.ends.is_some_and(|end| now >= end) {
        return Err(OVER);
    }
    of_scope(&grant.scope, facts)?;
    of_address(grant.networks.as_deref(), facts)?;
    of_country(grant.countries.as_deref(), facts)
}

/// Whether a token, which holds, stands for whoever sends this: what it says of address, protocol and country. Nothing is
/// opened by that, so neither the URI nor the method counts.
pub fn of_sender(claims: &Claims, facts: &Facts<'_>) -> Result<(), Rejection> {
    of_address(claims.networks.as_deref(), facts)?;
    of_protocol(claims, facts)?;
    of_country(claims.countries.as_deref(), facts)
}

/// The same of a session.
pub fn of_grants_sender(grant: &Grant, facts: &Facts<'_>) -> Result<(), Rejection> {
    of_address(grant.networks.as_deref(), facts)?;
    of_country(grant.countries.as_deref(), facts)
}

const OVER: Rejection = Rejection::new(Reason::EntitlementOver, "what the token stands for is over");

/// Expired from `exp` + leeway on, valid from `nbf` − leeway on (RFC 7519 §4.1.4, §4.1.5).
fn of_time(claims: &Claims, terms: &Terms<'_>, now: u64) -> Result<(), Rejection> {
    let leeway = terms.leeway.as_secs();
    match claims.expires {
        Some(expires) if now >= expires.saturating_add(leeway) => {
            let expired = Rejection::new(Reason::TokenExpired, "the token has expired: get a new one from the issuer");
            return Err(Rejection { expired: Some(expires), ..expired });
        }
        None if matches!(claims.format, Format::Jwt | Format::Hdnts) => {
            return Err(Rejection::new(Reason::TokenMalformed, "exp is missing: a token here has an end"));
        }
        _ => {}
    }
    let horizon = now.saturating_add(leeway);
    if claims.not_before.is_some_and(|moment| moment > horizon) {
        return Err(Rejection::new(Reason::TokenNotYet, "nbf lies in the future: the token does not hold yet"));
    }
    if claims.issued_at.is_some_and(|moment| moment > horizon) {
        return Err(Rejection::new(
            Reason::TokenNotYet,
            "iat lies in the future: compare the issuer's clock with `now`",
        ));
    }
    let outlives = |longest: Duration| claims.expires.is_none_or(|end| end.saturating_sub(now) > longest.as_secs());
    if terms.max_lifetime.is_some_and(outlives) {
        return Err(Rejection::new(Reason::TokenLivesTooLong, "exp lies further ahead than tokens may live here"));
    }
    match claims.session_end {
        Some(end) if now >= end => Err(OVER),
        _ => Ok(()),
    }
}

fn of_issuer(claims: &Claims, terms: &Terms<'_>, _now: u64) -> Result<(), Rejection> {
    let unknown = |detail| Err(Rejection::new(Reason::IssuerUnknown, detail));
    match &claims.issuer {
        _ if terms.issuers.is_empty() => Ok(()),
        // Edge tokens name nobody: whose they are is told by the key that they are signed with.
        None if claims.format == Format::Hdnts => Ok(()),
        None => unknown("iss is missing"),
        Some(issuer) if terms.issuers.contains(issuer) => Ok(()),
        Some(_) => unknown("iss is not an issuer that is configured here; it is compared octet by octet"),
    }
}

/// A token that names nobody is not for us where we have a name: its issuer has other consumers (RFC 8725 §3.9).
fn of_audience(claims: &Claims, terms: &Terms<'_>, _now: u64) -> Result<(), Rejection> {
    let mismatch = |detail| Err(Rejection::new(Reason::AudienceMismatch, detail));
    match terms.audience {
        None => Ok(()),
        Some(_) if claims.format == Format::Hdnts => Ok(()),
        Some(_) if claims.audience.is_empty() => mismatch("aud is missing"),
        Some(name) if claims.audience.iter().any(|other| **other == *name) => Ok(()),
        Some(_) => mismatch("aud does not name this service"),
    }
}

fn of_scope(scope: &Scope, facts: &Facts<'_>) -> Result<(), Rejection> {
    match scope.covers(&facts.asked) {
        true => Ok(()),
        false => Err(Rejection::new(Reason::UriOutOfScope, "the token does not cover this URI")),
    }
}

/// HEAD is judged as GET.
fn of_method(claims: &Claims, facts: &Facts<'_>) -> Result<(), Rejection> {
    let Some(methods) = &claims.methods else { return Ok(()) };
    let method = if facts.method == Method::HEAD { &Method::GET } else { facts.method };
    let is_named = |name: &str| methods.iter().any(|other| **other == *name);
    match is_named(method.as_str()) || is_named(facts.method.as_str()) {
        true => Ok(()),
        false => Err(Rejection::new(Reason::MethodRefused, "the token does not allow this method")),
    }
}

fn of_address(networks: Option<&[IpNet]>, facts: &Facts<'_>) -> Result<(), Rejection> {
    let Some(networks) = networks else { return Ok(()) };
    let address = facts.address.to_canonical();
    match networks.iter().any(|network| network.contains(&address)) {
        true => Ok(()),
        false => Err(Rejection::new(
            Reason::AddressMismatch,
            "the token is bound to another address; viewers change theirs, so bind to a prefix or not at all",
        )),
    }
}

fn of_protocol(claims: &Claims, facts: &Facts<'_>) -> Result<(), Rejection> {
    let mismatch = |detail| Err(Rejection::new(Reason::AlpnMismatch, detail));
    match (&claims.alpn, facts.alpn) {
        (None, _) => Ok(()),
        (Some(_), None) => mismatch("the token is bound to a protocol, and this connection's is not known"),
        (Some(allowed), Some(alpn)) if allowed.iter().any(|other| **other == *alpn) => Ok(()),
        (Some(_), Some(_)) => mismatch("the token is bound to another protocol"),
    }
}

/// `US` covers `US-CA`. A viewer of whom only the country is known may or may not be in `US-CA`: that is not known.
fn of_country(countries: Option<&[Box<str>]>, facts: &Facts<'_>) -> Result<(), Rejection> {
    let Some(allowed) = countries else { return Ok(()) };
    let Some(found) = facts.country else {
        return Err(Rejection::new(
            Reason::GeoUnknown,
            "the token is bound to countries, and the viewer's is not known",
        ));
    };
    let within =
        |whole: &str, part: &str| part.strip_prefix(whole).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    if allowed.iter().any(|country| within(country, found)) {
        return Ok(());
    }
    Err(match allowed.iter().any(|country| within(found, country)) {
        true => {
            Rejection::new(Reason::GeoUnknown, "the token is bound to a subdivision, and the viewer's is not known")
        }
        false => Rejection::new(Reason::GeoRefused, "the token does not hold in this country"),
    })
}

fn of_fields(claims: &Claims, facts: &Facts<'_>) -> Result<(), Rejection> {
    match claims.fields.iter().all(|field| field.matches(facts.headers)) {
        true => Ok(()),
        false => Err(Rejection::new(Reason::ClaimUnknown, "the token asks for fields that the request does not have")),
    }
}

#[cfg(test)]
mod tests;
