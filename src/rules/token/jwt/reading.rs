//! A verified payload → claims. A claim that is read here and has another type than it should refuses the token: a
//! restriction that is not understood is not one that may be passed over. Claims that are not read are ignored
//! (RFC 7519 §4).

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use crate::rules::token::claims::Claims;
use crate::rules::token::json::{Object, Rounding, Value};
use crate::rules::token::reason::{Reason, Rejection};
use crate::rules::token::scope::Scope;
use crate::rules::uri::{Strictness, Target};

use super::names::{Claim, ClaimNames};

/// The most characters of `sub`, `jti` and the name of a session.
const LONGEST_NAME: usize = 256;
/// The most entries of a list.
const LONGEST_LIST: usize = 64;

type Read<T> = Result<T, Rejection>;

const fn malformed(detail: &'static str) -> Rejection {
    Rejection::new(Reason::TokenMalformed, detail)
}

/// What a verified payload says.
pub(super) fn claims(payload: &Object<'_>, names: &ClaimNames) -> Read<Claims> {
    let ours = |claim| payload.member(names.of(claim));
    let date = |name, rounding, detail| optional(payload.member(name), |value| value.date(rounding), detail);
    let session = name(ours(Claim::WeirSession), "weir_session is a text of at most 256 characters")?;
    let sid = name(ours(Claim::Sid), "sid is a text of at most 256 characters")?;
    Ok(Claims {
        issuer: name(payload.member("iss"), "iss is a text of at most 256 characters")?,
        subject: name(ours(Claim::Subject), "sub is a text of at most 256 characters")?,
        audience: audience(payload.member("aud"))?,
        id: name(ours(Claim::TokenId), "jti is a text of at most 256 characters")?,
        session: session.or(sid),
        expires: date("exp", Rounding::Down, "exp is a number of seconds between 0 and 2^53, not a text")?,
        not_before: date("nbf", Rounding::Up, "nbf is a number of seconds between 0 and 2^53, not a text")?,
        issued_at: date("iat", Rounding::Down, "iat is a number of seconds between 0 and 2^53, not a text")?,
        scope: scope(ours(Claim::Path))?,
        networks: optional(ours(Claim::Ip), |value| network(value.text()?), "ip is an address or a prefix, as a text")?
            .map(|network| vec![network]),
        countries: countries(ours(Claim::Geo))?,
        max_sessions: optional(ours(Claim::MaxSessions), at_least_one, "max_sessions is a whole number from 1 on")?,
        session_end: optional(
            ours(Claim::SessionEnd),
            |value| value.date(Rounding::Down),
            "session_end is a number of seconds between 0 and 2^53, not a text",
        )?,
        tier: name(ours(Claim::Tier), "tier is a text of at most 256 characters")?,
        ..super::nothing()
    })
}

/// A claim that may be left out, and otherwise is what `read` takes.
fn optional<'v, 'p, T>(
    value: Option<&'v Value<'p>>,
    read: impl FnOnce(&'v Value<'p>) -> Option<T>,
    detail: &'static str,
) -> Read<Option<T>> {
    value.map(|value| read(value).ok_or(malformed(detail))).transpose()
}

fn name(value: Option<&Value<'_>>, detail: &'static str) -> Read<Option<Box<str>>> {
    let short = |text: &&str| text.chars().nth(LONGEST_NAME).is_none();
    optional(value, |value| value.text().filter(short).map(Into::into), detail)
}

fn at_least_one(value: &Value<'_>) -> Option<u32> {
    value.whole().filter(|number| *number > 0).and_then(|number| number.try_into().ok())
}

/// A text, or a list of texts.
fn texts<'v>(value: &'v Value<'_>) -> Option<Vec<&'v str>> {
    match value {
        Value::Text(text) => Some(vec![text]),
        Value::List(values) if values.len() <= LONGEST_LIST => values.iter().map(Value::text).collect(),
        _ => None,
    }
}

fn audience(value: Option<&Value<'_>>) -> Read<Vec<Box<str>>> {
    let names = optional(value, texts, "aud is a text, or a list of at most 64 texts")?;
    match names {
        // A list without names is no claim that is missing: it names nobody.
        Some(names) if names.is_empty() => Err(Rejection::new(Reason::AudienceMismatch, "aud names nobody")),
        names => Ok(names.unwrap_or_default().into_iter().map(Into::into).collect()),
    }
}

/// Prefixes in the one form in which paths are compared. One that could be read in two ways covers nothing that it seems
/// to, or more: such a token is refused.
fn scope(value: Option<&Value<'_>>) -> Read<Scope> {
    let Some(prefixes) = optional(value, texts, "path is a path, or a list of at most 64 paths")? else {
        return Ok(Scope::Everything);
    };
    let canonical = |prefix: &str| {
        let target = Target::canonical(prefix, None, Strictness::Strict).ok()?;
        (prefix.starts_with('/') && !prefix.contains('?')).then(|| target.path.into())
    };
    let detail = "path begins with / and is in canonical form: no dot segments, no //, no encoded / \\ or ., no query";
    Ok(Scope::Paths(prefixes.into_iter().map(canonical).collect::<Option<_>>().ok_or(malformed(detail))?))
}

/// An address, or a prefix; IPv4 in IPv6's form is IPv4.
fn network(text: &str) -> Option<IpNet> {
    const MAPPED: u8 = 96;
    let network = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text.parse().ok()?,
    };
    match network {
        IpNet::V6(v6) => match v6.addr().to_ipv4_mapped() {
            Some(address) if v6.prefix_len() >= MAPPED => {
                Some(Ipv4Net::new(address, v6.prefix_len() - MAPPED).ok()?.trunc().into())
            }
            _ => Some(v6.trunc().into()),
        },
        IpNet::V4(v4) => Some(v4.trunc().into()),
    }
}

fn countries(value: Option<&Value<'_>>) -> Read<Option<Vec<Box<str>>>> {
    let detail =
        "geo is a country's two letters (ISO 3166-1), perhaps with a subdivision (US-CA), or a list of at most 64";
    let country = |text: &str| {
        let (country, subdivision) = text.split_once('-').map_or((text, None), |(country, part)| (country, Some(part)));
        let is_country = country.len() == 2 && country.bytes().all(|octet| octet.is_ascii_alphabetic());
        let is_subdivision =
            |part: &str| (1..=3).contains(&part.len()) && part.bytes().all(|octet| octet.is_ascii_alphanumeric());
        (is_country && subdivision.is_none_or(is_subdivision)).then(|| text.to_ascii_uppercase().into())
    };
    optional(value, |value| texts(value)?.into_iter().map(country).collect::<Option<Vec<_>>>(), detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Claims {
        claims(&Object::read(text.as_bytes()).unwrap(), &ClaimNames::default()).unwrap()
    }

    #[test]
    fn what_is_said_is_what_is_kept_in_the_form_in_which_it_is_compared() {
        let said = read(
            r#"{"iss":"i","sub":"s","aud":["a","b"],"jti":"j","sid":"x","weir_session":"w","exp":10.9,"nbf":1.1,"iat":2.9,
                "path":["/%61","/b/"],"ip":"::ffff:192.0.2.9/120","geo":["de","us-ca"],"max_sessions":2.0,"session_end":99.9,
                "tier":"gold"}"#,
        );
        let text = |text: &str| Some(Box::from(text));
        assert_eq!((said.issuer, said.subject, said.id), (text("i"), text("s"), text("j")));
        assert_eq!((said.session, said.tier, said.max_sessions), (text("w"), text("gold"), Some(2)));
        assert_eq!(said.audience, ["a", "b"].map(Box::from));
        assert_eq!(
            (said.expires, said.not_before, said.issued_at, said.session_end),
            (Some(10), Some(2), Some(2), Some(99))
        );
        assert_eq!(said.scope, Scope::Paths(vec!["/a".into(), "/b/".into()]));
        assert_eq!(said.networks, Some(vec!["192.0.2.0/24".parse().unwrap()]));
        assert_eq!(said.countries, Some(vec!["DE".into(), "US-CA".into()]));
        assert_eq!(read(r#"{"sid":"x","aud":"a"}"#).session, text("x"));
        assert_eq!(read("{}"), super::super::nothing());
    }
}
