//! JSON Web Tokens (RFC 7519, by the rules of RFC 8725): octets × keys → claims.
//!
//! Parsed strictly, then the key is chosen, then the signature is verified, then claims are read. What is known of a token
//! before its signature is verified is good for one thing: finding the key (`iss`, `kid`). Time, parties and the request
//! are [`verdict`](super::verdict)'s.

use std::fmt;

use super::claims::{Claims, Format};
use super::json::{BadJson, Object, Value};
use super::jws::{Compact, Header, media_type};
use super::key::{Key, KeySet};
use super::reason::{Reason, Rejection};
use super::steps::Checked;

mod names;
mod reading;

pub use names::{BadName, ClaimNames};

/// What an issuer's tokens are like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JwtTerms {
    /// The type that they name (`typ`); `None`: `JWT`, or none (RFC 8725 §3.11).
    pub token_type: Option<Box<str>>,
    /// What their claims are called.
    pub names: ClaimNames,
}

/// A token whose signature holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Verified<'k> {
    /// What it says.
    pub claims: Claims,
    /// The key that it is signed with.
    pub key: &'k Key,
}

/// A token that was taken apart. Nothing of it is verified, and nothing of it is printed.
pub struct Unverified<'t> {
    compact: Compact<'t>,
    header: Header,
    issuer: Option<Box<str>>,
}

impl fmt::Debug for Unverified<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unverified(..)")
    }
}

/// Takes a token apart, verifies its signature with one of `keys`, and reads its claims.
pub fn verify<'k>(token: &str, keys: &'k KeySet, terms: &JwtTerms) -> Result<Verified<'k>, Rejection> {
    Unverified::read(token)?.verify(keys, terms)
}

/// The same, with what is needed to explain the verdict step by step.
pub fn check(token: &str, keys: &KeySet, terms: &JwtTerms) -> Checked {
    match Unverified::read(token).map(|token| token.verify(keys, terms).map(|verified| verified.claims)) {
        Err(rejection) => Checked::Unreadable(rejection),
        Ok(Err(rejection)) => Checked::Refused(rejection),
        Ok(Ok(claims)) => Checked::Verified(Box::new(claims)),
    }
}

impl<'t> Unverified<'t> {
    /// Takes a token apart.
    pub fn read(token: &'t str) -> Result<Self, Rejection> {
        let compact = Compact::read(token)?;
        let header = Header::read(&compact.header)?;
        let payload = Object::read(&compact.payload).map_err(bad_payload)?;
        let issuer = payload.member("iss").and_then(Value::text).map(Into::into);
        Ok(Self { compact, header, issuer })
    }

    /// The issuer that it names, for finding its keys in a fixed table and for nothing else; an `iss` that is no text is
    /// none.
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// What is signed.
    pub(super) const fn signed(&self) -> &str {
        self.compact.signed
    }

    /// The octets of its payload.
    pub(super) fn payload(&self) -> &[u8] {
        &self.compact.payload
    }

    /// The identifier of the key that it names.
    pub fn kid(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    /// Its claims, if one of `keys` has signed it.
    pub fn verify<'k>(&self, keys: &'k KeySet, terms: &JwtTerms) -> Result<Verified<'k>, Rejection> {
        let candidates = keys.choose(self.kid(), self.header.algorithm)?;
        let key = candidates.into_iter().find(|key| self.is_signed_with(key)).ok_or(self.unsigned())?;
        self.check_type(terms)?;
        let payload = Object::read(&self.compact.payload).map_err(bad_payload)?;
        let claims = reading::claims(&payload, &terms.names)?;
        Ok(Verified { claims, key })
    }

    fn check_type(&self, terms: &JwtTerms) -> Result<(), Rejection> {
        let refused = |detail| Err(Rejection::new(Reason::TypeMismatch, detail));
        let named = self.header.token_type.as_deref();
        match terms.token_type.as_deref().map(media_type) {
            Some(expected) if named == Some(&*expected) => Ok(()),
            Some(_) => refused("typ is not the type that the issuer's tokens have here"),
            None if matches!(named, None | Some("jwt")) => Ok(()),
            None => refused("typ is JWT, or left out"),
        }
    }

    fn is_signed_with(&self, key: &Key) -> bool {
        let length = self.compact.signature.len();
        key.algorithm().signature_length().is_none_or(|expected| expected == length)
            && key.verifies_text(self.compact.signed.as_bytes(), self.compact.signature_text)
    }

    fn unsigned(&self) -> Rejection {
        let detail = match self.header.algorithm.signature_length() {
            _ if self.compact.signature.is_empty() => "the token is not signed",
            _ if self.header.brings_key => {
                "the signature does not hold by the issuer's key; a key that a token brings itself is never used"
            }
            Some(length) if length != self.compact.signature.len() => {
                "the signature has another length than its algorithm's; ECDSA's is r and s in full, not DER"
            }
            _ => "the signature does not hold",
        };
        Rejection::new(Reason::SignatureBad, detail)
    }
}

fn bad_payload(fault: BadJson) -> Rejection {
    let detail = match fault {
        BadJson::NotUtf8 => "the payload is not UTF-8",
        BadJson::ByteOrderMark => "the payload begins with a byte order mark",
        BadJson::Syntax => "the payload is not JSON",
        BadJson::NotAnObject => "the payload is not a JSON object",
        BadJson::Duplicate => "the payload has a member twice",
        BadJson::Deep => "the payload is nested too deeply",
        BadJson::Many => "the payload has too many values",
    };
    Rejection::new(Reason::TokenMalformed, detail)
}

/// Claims of this format that say nothing.
fn nothing() -> Claims {
    Claims::of(Format::Jwt)
}
