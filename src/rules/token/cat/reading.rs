//! A verified payload → claims. A claim that is not known, or known and not judged here, refuses the token: it may restrict
//! what the token opens, and whoever passes it over turns that off.

mod matching;
mod renewing;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::rules::token::cbor::{Key, Map, Value};
use crate::rules::token::claims::{Claims, Format, Replay};
use crate::rules::token::json::{GREATEST, Rounding};
use crate::rules::token::reason::{Reason, Rejection};
use crate::rules::token::scope::Scope;
use crate::rules::token::terms::FormatTerms;

use super::answer::FailureAnswer;
use super::label::{self, REFUSED};

/// The most characters of a name.
const LONGEST_NAME: usize = 256;
/// The most octets of `cti`.
const LONGEST_ID: usize = 128;
/// The most entries of a list.
const LONGEST_LIST: usize = 64;

type Read<T> = Result<T, Rejection>;

const fn malformed(detail: &'static str) -> Rejection {
    Rejection::new(Reason::TokenMalformed, detail)
}

const fn unknown(detail: &'static str) -> Rejection {
    Rejection::new(Reason::ClaimUnknown, detail)
}

/// What a verified payload says; `payload` is what it was read from.
pub(super) fn claims(map: &Map<'_>, payload: &[u8], terms: &FormatTerms) -> Read<Claims> {
    let mut claims = Claims::of(Format::Cat);
    // An older label is told of first: a token that has one has others that are not known either.
    if map.entries().iter().any(|(key, _)| matches!(key, Key::Whole(label) if label::is_of_draft(*label))) {
        let detail = "a claim has a label of an earlier draft of CTA-5007: labels are 308 to 324 now";
        return Err(Rejection::new(Reason::CatLabelUnknown, detail));
    }
    for (key, value) in map.entries() {
        match key {
            Key::Whole(label) if *label <= label::CTI => registered(&mut claims, *label, value)?,
            Key::Whole(label::CATR) => claims.renewal = Some(renewing::renewal(value, payload, terms)?),
            Key::Whole(label) => of_cta(&mut claims, *label, value)?,
            Key::Text(name) => ours(&mut claims, name, value)?,
        }
    }
    match claims.replay == Replay::Prohibited && claims.id.is_none() {
        true => Err(malformed("catreplay: a token that may be used once has an identifier (cti)")),
        false => Ok(claims),
    }
}

/// The claims of RFC 8392 §3.1.
fn registered(claims: &mut Claims, label: i128, value: &Value<'_>) -> Read<()> {
    let moment = |rounding, detail| date(value, rounding).ok_or(malformed(detail)).map(Some);
    match label {
        label::ISS => claims.issuer = Some(name(value, "iss is a text of at most 256 characters")?),
        label::SUB => claims.subject = Some(name(value, "sub is a text of at most 256 characters")?),
        label::AUD => claims.audience = texts(value, "aud is a text, or a list of at most 64 texts")?,
        label::EXP => claims.expires = moment(Rounding::Down, "exp is a number of seconds between 0 and 2^53")?,
        label::NBF => claims.not_before = moment(Rounding::Up, "nbf is a number of seconds between 0 and 2^53")?,
        label::IAT => claims.issued_at = moment(Rounding::Down, "iat is a number of seconds between 0 and 2^53")?,
        label::CTI => {
            let id = value.octets().filter(|id| !id.is_empty() && id.len() <= LONGEST_ID);
            let id = id.ok_or(malformed("cti is at most 128 octets"))?;
            claims.id = Some(URL_SAFE_NO_PAD.encode(id).into());
        }
        _ => return Err(not_known(label)),
    }
    Ok(())
}

/// The claims of CTA-5007.
fn of_cta(claims: &mut Claims, label: i128, value: &Value<'_>) -> Read<()> {
    match label {
        label::CATREPLAY => claims.replay = replay(value)?,
        label::CATV if value.whole() == Some(1) => {}
        label::CATV => return Err(unknown("catv: only version 1 is known")),
        label::CATNIP => claims.networks = Some(networks(value)?),
        label::CATU => claims.scope = Scope::Components(matching::uri(value)?),
        label::CATM => claims.methods = Some(listed(value, "catm is a list of at most 64 methods")?),
        label::CATALPN => claims.alpn = Some(protocols(value)?),
        label::CATH => claims.fields = matching::fields(value)?,
        label::CATGEOISO3166 => claims.countries = Some(countries(value)?),
        // It says something to whoever makes the answer of `catif`, and restricts nothing.
        label::CATIFDATA => {}
        label::CATIF => claims.answers = answers(value)?,
        _ => return Err(not_known(label)),
    }
    Ok(())
}

/// Claims of our own, which have no numbers: the same as in a JWT.
fn ours(claims: &mut Claims, text: &str, value: &Value<'_>) -> Read<()> {
    match text {
        "session_end" => {
            let detail = "session_end is a number of seconds between 0 and 2^53";
            claims.session_end = Some(date(value, Rounding::Down).ok_or(malformed(detail))?);
        }
        "max_sessions" => {
            let number = value.whole().and_then(|number| u32::try_from(number).ok()).filter(|number| *number > 0);
            claims.max_sessions = Some(number.ok_or(malformed("max_sessions is a whole number from 1 on"))?);
        }
        "tier" => claims.tier = Some(name(value, "tier is a text of at most 256 characters")?),
        "weir_session" => claims.session = Some(name(value, "weir_session is a text of at most 256 characters")?),
        _ => return Err(unknown("the token has a claim that is not known here")),
    }
    Ok(())
}

fn not_known(label: i128) -> Rejection {
    let known = REFUSED.iter().find(|(other, _)| *other == label);
    unknown(known.map_or("the token has a claim that is not known here", |(_, detail)| detail))
}

/// A moment in seconds since the epoch, perhaps with tag 1 (RFC 8949 §3.4.2); at most [`GREATEST`].
fn date(value: &Value<'_>, rounding: Rounding) -> Option<u64> {
    let number = match value {
        Value::Tag(1, inner) => inner,
        _ => value,
    };
    match *number {
        Value::Whole(seconds) => u64::try_from(seconds).ok().filter(|seconds| *seconds <= GREATEST),
        Value::Float(seconds) if seconds.is_sign_positive() && seconds <= GREATEST as f64 => Some(match rounding {
            Rounding::Down => seconds.floor() as u64,
            Rounding::Up => seconds.ceil() as u64,
        }),
        _ => None,
    }
}

fn name(value: &Value<'_>, detail: &'static str) -> Read<Box<str>> {
    let short = |text: &&str| text.chars().nth(LONGEST_NAME).is_none();
    value.text().filter(short).map(Into::into).ok_or(malformed(detail))
}

/// A text, or a list of texts.
fn texts(value: &Value<'_>, detail: &'static str) -> Read<Vec<Box<str>>> {
    match value {
        Value::Text(text) => Ok(vec![(&**text).into()]),
        _ => listed(value, detail),
    }
}

/// A list of texts. One without entries would allow nothing, or everything: it is none.
fn listed(value: &Value<'_>, detail: &'static str) -> Read<Vec<Box<str>>> {
    let list = value.list().filter(|list| (1..=LONGEST_LIST).contains(&list.len())).ok_or(malformed(detail))?;
    list.iter().map(|value| value.text().map(Into::into)).collect::<Option<_>>().ok_or(malformed(detail))
}

fn replay(value: &Value<'_>) -> Read<Replay> {
    match value.whole() {
        Some(0) => Ok(Replay::Permitted),
        Some(1) => Ok(Replay::Prohibited),
        Some(2) => Ok(Replay::Reported),
        _ => Err(malformed("catreplay is 0, 1 or 2")),
    }
}

/// Any entry may match, so that one that cannot be judged (the number of a network) is passed over beside others.
fn networks(value: &Value<'_>) -> Read<Vec<IpNet>> {
    let detail = "catnip is a list of addresses and prefixes (tags 52 and 54) and network numbers, at most 64";
    let list = value.list().filter(|list| (1..=LONGEST_LIST).contains(&list.len())).ok_or(malformed(detail))?;
    let mut networks = Vec::new();
    for entry in list {
        match entry {
            Value::Whole(number) if u32::try_from(*number).is_ok() => {}
            Value::Tag(tag @ (52 | 54), inner) => networks.push(network(*tag, inner).ok_or(malformed(detail))?),
            _ => return Err(malformed(detail)),
        }
    }
    match networks.is_empty() {
        true => Err(unknown("catnip: numbers of networks alone cannot be judged here; name prefixes too")),
        false => Ok(networks),
    }
}

/// An address, or a length and the beginning of one (RFC 9164 §3). Bits behind the length are zero; IPv4 in IPv6's form is
/// IPv4.
fn network(tag: u64, value: &Value<'_>) -> Option<IpNet> {
    let address = |octets: &[u8]| -> Option<IpAddr> {
        match tag {
            52 => Some(Ipv4Addr::from(padded::<4>(octets)?).into()),
            _ => Some(Ipv6Addr::from(padded::<16>(octets)?).into()),
        }
    };
    let full = if tag == 52 { 4 } else { 16 };
    let network = match value {
        Value::Octets(octets) if octets.len() == full => IpNet::from(address(octets)?),
        Value::List(pair) => {
            let [length, octets] = &pair[..] else { return None };
            IpNet::new(address(octets.octets()?)?, u8::try_from(length.whole()?).ok()?).ok()?
        }
        _ => return None,
    };
    (network.trunc() == network).then(|| unmapped(network))
}

fn padded<const N: usize>(octets: &[u8]) -> Option<[u8; N]> {
    let mut all = [0; N];
    all.get_mut(..octets.len())?.copy_from_slice(octets);
    Some(all)
}

fn unmapped(network: IpNet) -> IpNet {
    const MAPPED: u8 = 96;
    let v4 = |v6: Ipv6Net| {
        let address = v6.addr().to_ipv4_mapped().filter(|_| v6.prefix_len() >= MAPPED)?;
        Ipv4Net::new(address, v6.prefix_len() - MAPPED).ok().map(IpNet::from)
    };
    match network {
        IpNet::V6(v6) => v4(v6).unwrap_or(network),
        IpNet::V4(_) => network,
    }
}

/// Identifiers as texts, or as the octets that they are (RFC 7301 §3.1).
fn protocols(value: &Value<'_>) -> Read<Vec<Box<str>>> {
    let detail = "catalpn is a list of at most 64 ALPN identifiers";
    let list = value.list().filter(|list| (1..=LONGEST_LIST).contains(&list.len())).ok_or(malformed(detail))?;
    let identifier = |value: &Value<'_>| match value {
        Value::Text(text) => Some((&**text).into()),
        Value::Octets(octets) => std::str::from_utf8(octets).ok().map(Into::into),
        _ => None,
    };
    list.iter().map(identifier).collect::<Option<_>>().ok_or(malformed(detail))
}

fn countries(value: &Value<'_>) -> Read<Vec<Box<str>>> {
    let detail =
        "catgeoiso3166 is a list of at most 64 countries (ISO 3166-1, two letters), perhaps with a subdivision";
    let country = |text: &str| -> Option<Box<str>> {
        let (country, subdivision) = text.split_once('-').map_or((text, None), |(one, other)| (one, Some(other)));
        let is_country = country.len() == 2 && country.bytes().all(|octet| octet.is_ascii_alphabetic());
        let is_subdivision =
            |part: &str| (1..=3).contains(&part.len()) && part.bytes().all(|octet| octet.is_ascii_alphanumeric());
        (is_country && subdivision.is_none_or(is_subdivision)).then(|| text.to_ascii_uppercase().into())
    };
    texts(value, detail)?.iter().map(|text| country(text)).collect::<Option<_>>().ok_or(malformed(detail))
}

/// `[status, fields, ?kid]` by claim. One that would issue a token (a field whose value is not a text) is left out, as is
/// one whose status may not be chosen: they change an answer, not who gets in.
fn answers(value: &Value<'_>) -> Read<Vec<FailureAnswer>> {
    let bad = malformed("catif is a map of claims to a status and fields, at most 16");
    let map = value.map().filter(|map| (1..=FailureAnswer::MOST).contains(&map.entries().len())).ok_or(bad)?;
    let mut answers = Vec::new();
    for (key, value) in map.entries() {
        let (Key::Whole(claim), Some([status, rest @ ..])) = (key, value.list()) else { return Err(bad) };
        let status = status.whole().and_then(|status| u16::try_from(status).ok()).ok_or(bad)?;
        let fields = match rest {
            [] => &Map::default(),
            [fields] | [fields, _] => fields.map().ok_or(bad)?,
            _ => return Err(bad),
        };
        let texts: Option<Vec<_>> = fields
            .entries()
            .iter()
            .map(|(key, value)| match key {
                Key::Text(name) => value.text().map(|value| (&**name, value)),
                Key::Whole(_) => None,
            })
            .collect();
        answers.extend(texts.and_then(|texts| FailureAnswer::new(*claim, status, texts)));
    }
    Ok(answers)
}
