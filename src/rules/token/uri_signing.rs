//! CDNI URI signing (RFC 9246): a JWT whose claims `cdni…` say which URIs it covers and how it is renewed.
//!
//! Everything of [`jwt`] holds here too, so that these tokens may have the claims of an issuer's others
//! (`session_end`, `tier`, …). Its scope is `cdniuc` alone.

mod container;

pub use container::Container;

use serde_json::{Map, Value as Json};

use super::claims::Format;
use super::json::{Object, Value};
use super::jwt::{self, JwtTerms, Verified};
use super::key::KeySet;
use super::mint::{MintError, SigningKey};
use super::reason::{Reason, Rejection};
use super::renewal::{Carried, Deadline, Renewal, Said, Times};
use super::scope::Scope;

/// What a package is called where nothing else is configured: a parameter of the query or the path, and a cookie.
pub const PACKAGE: &str = "URISigningPackage";

/// The claims that are understood: `cdnicrit` may name them.
const UNDERSTOOD: [&str; 13] =
    ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "cdniv", "cdnicrit", "cdniuc", "cdniets", "cdnistt", "cdnistd"];
/// The longest life of a renewed token, in seconds: a year.
const LONGEST_LIFE: u64 = 366 * 24 * 3_600;

const fn malformed(detail: &'static str) -> Rejection {
    Rejection::new(Reason::TokenMalformed, detail)
}

/// A token that was taken apart. Nothing of it is verified.
#[derive(Debug)]
pub struct Unverified<'t>(jwt::Unverified<'t>);

impl<'t> Unverified<'t> {
    /// Takes a token apart.
    pub fn read(token: &'t str) -> Result<Self, Rejection> {
        jwt::Unverified::read(token).map(Self)
    }

    /// A token that was taken apart as a JWT.
    pub(super) const fn of(token: jwt::Unverified<'t>) -> Self {
        Self(token)
    }

    /// Whether a JWT is of this format: it has a claim that only this one knows.
    pub(super) fn is_of(token: &jwt::Unverified<'_>) -> bool {
        Object::read(token.payload()).is_ok_and(|payload| payload.members().any(|(name, _)| name.starts_with("cdni")))
    }

    /// The issuer that it names, for finding its keys and for nothing else.
    pub fn issuer(&self) -> Option<&str> {
        self.0.issuer()
    }

    /// What is signed.
    pub(super) const fn signed(&self) -> &str {
        self.0.signed()
    }

    /// The identifier of the key that it names.
    pub fn kid(&self) -> Option<&str> {
        self.0.kid()
    }

    /// Its claims, if one of `keys` has signed it.
    pub fn verify<'k>(&self, keys: &'k KeySet, terms: &JwtTerms) -> Result<Verified<'k>, Rejection> {
        let Verified { mut claims, key } = self.0.verify(keys, terms)?;
        let payload = Object::read(self.0.payload()).map_err(|_| malformed("the payload is not a JSON object"))?;
        check_version(&payload)?;
        if claims.scope != Scope::Everything {
            return Err(malformed("cdniuc says what the token covers: a path beside it could say something else"));
        }
        claims.format = Format::UriSigning;
        claims.scope = Scope::Container(container(&payload)?);
        claims.renewal = renewal(&payload)?.map(|(life, segments)| Renewal {
            life,
            deadline: Deadline::None,
            carried: Carried::Package { segments },
            said: Said::Json(self.0.payload().into()),
        });
        Ok(Verified { claims, key })
    }
}

/// Whether all that must be understood is (RFC 9246 §2.1.8, §2.1.9, §2.1.10).
fn check_version(payload: &Object<'_>) -> Result<(), Rejection> {
    let version = payload.member("cdniv").map_or(Some(1), |value| match value {
        Value::Whole(version) => Some(*version),
        _ => None,
    });
    if version != Some(1) {
        return Err(Rejection::new(Reason::ClaimUnknown, "cdniv: only version 1 of the claims is known"));
    }
    if payload.member("cdniip").is_some() {
        return Err(Rejection::new(Reason::ClaimUnknown, "cdniip: encrypted addresses are not decrypted here"));
    }
    let Some(names) = payload.member("cdnicrit") else { return Ok(()) };
    let names = names.text().ok_or(malformed("cdnicrit is a text: names of claims, with commas between"))?;
    let is_understood = |name: &str| UNDERSTOOD.contains(&name);
    match names.split(',').map(|name| name.trim_matches(' ')).all(is_understood) {
        true => Ok(()),
        false => Err(Rejection::new(Reason::CritUnknown, "cdnicrit names a claim that is not understood here")),
    }
}

fn container(payload: &Object<'_>) -> Result<Container, Rejection> {
    let value = payload.member("cdniuc").ok_or(malformed("cdniuc is missing: it says which URIs the token covers"))?;
    let text = value.text().ok_or(malformed("cdniuc is a text"))?;
    Container::parse(text).ok_or(malformed(
        "cdniuc is hash:sha-256; with a hash in base64url, or regex: with a pattern in POSIX form of at most 1024 octets",
    ))
}

/// How long a new token lives, and for how many segments (RFC 9246 §2.1.12 to §2.1.14).
fn renewal(payload: &Object<'_>) -> Result<Option<(u64, u8)>, Rejection> {
    let number = |name, most, detail| {
        let number = |value: &Value<'_>| match value {
            Value::Whole(number) if *number <= most => Some(*number),
            _ => None,
        };
        payload.member(name).map(|value| number(value).ok_or(malformed(detail))).transpose()
    };
    let life = number("cdniets", LONGEST_LIFE, "cdniets is a whole number of seconds, at most a year")?;
    let transport = number("cdnistt", u64::MAX, "cdnistt is a whole number")?;
    let segments = number("cdnistd", u8::MAX.into(), "cdnistd is a whole number of path segments, at most 255")?;
    match (transport.unwrap_or(0), life) {
        (0, _) => Ok(None),
        (1, None | Some(0)) => Err(malformed("cdnistt asks for renewal: cdniets must say how long new tokens live")),
        (1, Some(life)) => Ok(Some((life, segments.unwrap_or(0) as u8))),
        _ => Err(Rejection::new(
            Reason::ClaimUnknown,
            "cdnistt: new tokens travel in cookies (1), or there are none (0)",
        )),
    }
}

/// The same claims with new times, signed. `jti` stays: it is what ties the viewer's requests to one session.
pub(super) fn sign_again(payload: &[u8], times: Times, key: &SigningKey) -> Result<String, MintError> {
    let mut claims: Map<String, Json> = serde_json::from_slice(payload).expect("a verified payload is an object");
    claims.insert("exp".into(), times.expires.into());
    if claims.contains_key("iat") {
        claims.insert("iat".into(), times.issued_at.into());
    }
    key.sign("JWT", &claims)
}
