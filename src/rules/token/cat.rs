//! Common Access Tokens (CTA-5007): a CWT (RFC 8392) under one MAC or one signature (RFC 9052), in base64url.
//!
//! The envelope is scanned strictly first: it is tag 61 (or not), tag 17 or 18, and four members; a label occurs once in
//! both headers together; nothing stands behind the end. Then `coset` reads it again for what was signed. A key has one
//! algorithm, and an algorithm one of the two forms. What a token restricts and nobody here can judge refuses it.

mod answer;
mod field;
mod label;
mod reading;
mod uri;

pub use answer::FailureAnswer;
pub use field::FieldMatch;
pub use uri::{Component, UriMatch};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use coset::{CoseMac0, CoseSign1, TaggedCborSerializable, iana};

use super::algorithm::Algorithm;
use super::cbor::{BadCbor, Key as Label, Lengths, Map, Value};
use super::claims::Claims;
use super::jws::{LARGEST_TOKEN, LONGEST_KID};
use super::jwt::Verified;
use super::key::{BadKey, Key, KeySet};
use super::mint::{MintError, SigningKey};
use super::reason::{Reason, Rejection};
use super::renewal::Times;
use super::terms::FormatTerms;

/// Tags (RFC 8392 §6, RFC 9052 §2), and the two octets that 61 is written with.
const CWT: u64 = 61;
const MAC0: u64 = 17;
const SIGN1: u64 = 18;
const CWT_HEAD: [u8; 2] = [0xd8, 61];
/// Labels of headers (RFC 9052 §3.1, RFC 9597).
const ALG: i128 = 1;
const CRIT: i128 = 2;
const KID: i128 = 4;
const CWT_CLAIMS: i128 = 15;

const fn malformed(detail: &'static str) -> Rejection {
    Rejection::new(Reason::TokenMalformed, detail)
}

/// A token that was taken apart. Nothing of it is verified.
#[derive(Debug)]
pub struct Unverified {
    message: Message,
    payload: Vec<u8>,
    algorithm: Algorithm,
    kid: Option<Box<str>>,
}

#[derive(Debug)]
enum Message {
    Mac0(Box<CoseMac0>),
    Sign1(Box<CoseSign1>),
}

impl Unverified {
    /// Takes a token apart.
    pub fn read(token: &str) -> Result<Self, Rejection> {
        if token.len() > LARGEST_TOKEN {
            return Err(Rejection::new(Reason::TokenTooLarge, "a token has at most 8192 octets"));
        }
        let octets =
            URL_SAFE_NO_PAD.decode(token).map_err(|_| malformed("the token is not base64url without padding"))?;
        Self::read_octets(&octets)
    }

    /// Takes the octets of a token apart.
    pub fn read_octets(octets: &[u8]) -> Result<Self, Rejection> {
        let envelope = Value::read(octets, Lengths::Definite).map_err(bad_envelope)?;
        let (form, members) = members(&envelope)?;
        let [protected, unprotected, payload, _] = members else {
            return Err(malformed("a COSE message has four members"));
        };
        let protected = protected.octets().ok_or(malformed("the protected header is octets"))?;
        let protected = Value::read(protected, Lengths::Definite).map_err(bad_header)?;
        let protected = protected.map().ok_or(malformed("the protected header is a map"))?;
        let unprotected = unprotected.map().ok_or(malformed("the unprotected header is a map"))?;
        let (algorithm, kid) = header(protected, unprotected)?;
        if (form == MAC0) != (algorithm == Algorithm::Hs256) {
            let detail = "HMAC goes with COSE_Mac0 (tag 17), signatures go with COSE_Sign1 (tag 18)";
            return Err(Rejection::new(Reason::AlgRefused, detail));
        }
        let payload = payload.octets().ok_or(malformed("the payload is detached, or not octets"))?.to_vec();
        Value::read(&payload, Lengths::Any).map_err(bad_payload)?;
        let message = octets.strip_prefix(&CWT_HEAD).unwrap_or(octets);
        let unread = |_| malformed("the token is not a COSE message");
        let message = match form {
            MAC0 => Message::Mac0(Box::new(CoseMac0::from_tagged_slice(message).map_err(unread)?)),
            _ => Message::Sign1(Box::new(CoseSign1::from_tagged_slice(message).map_err(unread)?)),
        };
        Ok(Self { message, payload, algorithm, kid })
    }

    /// The issuer that it names, for finding its keys and for nothing else.
    pub fn issuer(&self) -> Option<Box<str>> {
        let payload = Value::read(&self.payload, Lengths::Any).ok()?;
        payload.map()?.at(label::ISS)?.text().map(Into::into)
    }

    /// The identifier of the key that it names: the octets as text, else in base64url.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The octets of its payload.
    pub(super) fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Its claims, if one of `keys` has signed it.
    pub fn verify<'k>(&self, keys: &'k KeySet, terms: &FormatTerms) -> Result<Verified<'k>, Rejection> {
        let candidates = keys.choose(self.kid(), self.algorithm)?;
        self.check_low_s()?;
        let key = candidates.into_iter().find(|key| self.is_signed_with(key));
        let key = key.ok_or(Rejection::new(Reason::SignatureBad, "the signature does not hold"))?;
        let payload = Value::read(&self.payload, Lengths::Any).map_err(bad_payload)?;
        let payload = payload.map().ok_or(malformed("the payload is not a map of claims"))?;
        let claims: Claims = reading::claims(payload, &self.payload, terms)?;
        Ok(Verified { claims, key })
    }

    fn is_signed_with(&self, key: &Key) -> bool {
        let holds = |signature: &[u8], message: &[u8]| if key.verifies(message, signature) { Ok(()) } else { Err(()) };
        match &self.message {
            Message::Mac0(message) => message.verify_payload_tag(&[], || (), holds).is_ok(),
            Message::Sign1(message) => message.verify_signature(&[], holds).is_ok(),
        }
    }

    /// Of the two signatures of ECDSA that hold for one message only one is taken, so that a token has one form.
    fn check_low_s(&self) -> Result<(), Rejection> {
        match &self.message {
            Message::Sign1(message) if self.algorithm == Algorithm::Es256 && is_high(&message.signature) => {
                Err(Rejection::new(Reason::SignatureBad, "the signature's s is above half of the curve's order"))
            }
            Message::Sign1(_) | Message::Mac0(_) => Ok(()),
        }
    }
}

/// The form (17 or 18) and the members of a message.
fn members<'v, 'a>(envelope: &'v Value<'a>) -> Result<(u64, &'v [Value<'a>]), Rejection> {
    let nested = malformed("a token is tag 17 or 18, perhaps within tag 61, and no other");
    let (tag, inner) = match envelope {
        Value::Tag(CWT, inner) => match &**inner {
            Value::Tag(tag, inner) => (*tag, inner),
            _ => return Err(nested),
        },
        Value::Tag(tag, inner) => (*tag, inner),
        _ => return Err(nested),
    };
    match (tag, inner.list()) {
        (MAC0 | SIGN1, Some(list)) => Ok((tag, list)),
        (MAC0 | SIGN1, None) => Err(malformed("a COSE message is a list")),
        _ => Err(nested),
    }
}

/// What the headers say that matters here.
fn header(protected: &Map<'_>, unprotected: &Map<'_>) -> Result<(Algorithm, Option<Box<str>>), Rejection> {
    let both = || protected.entries().iter().chain(unprotected.entries());
    if unprotected.entries().iter().any(|(label, _)| protected.entries().iter().any(|(other, _)| label == other)) {
        return Err(malformed("a label stands in both headers"));
    }
    if both().any(|(label, _)| *label == Label::Whole(CRIT)) {
        let detail = "crit names what is not understood here, or what need not be named";
        return Err(Rejection::new(Reason::CritUnknown, detail));
    }
    if both().any(|(label, _)| *label == Label::Whole(CWT_CLAIMS)) {
        return Err(Rejection::new(
            Reason::ClaimUnknown,
            "claims in headers are not read: they belong into the payload",
        ));
    }
    let refused = |detail| Rejection::new(Reason::AlgRefused, detail);
    let algorithm = protected.at(ALG).ok_or(refused("the protected header has no alg"))?;
    let algorithm = match algorithm.whole() {
        Some(5) => Algorithm::Hs256,
        Some(-7) => Algorithm::Es256,
        Some(-8) => Algorithm::EdDsa,
        Some(-37) => Algorithm::Ps256,
        _ => return Err(refused("alg is none that is accepted here: 5 (HS256), -7 (ES256), -8 (EdDSA), -37 (PS256)")),
    };
    let kid = protected.at(KID).or(unprotected.at(KID));
    let kid = kid.map(|kid| kid.octets().ok_or(malformed("kid is octets"))).transpose()?;
    let kid: Option<Box<str>> = kid.map(|octets| match std::str::from_utf8(octets) {
        Ok(text) => text.into(),
        Err(_) => URL_SAFE_NO_PAD.encode(octets).into(),
    });
    match kid.as_ref().is_some_and(|kid| kid.chars().nth(LONGEST_KID).is_some()) {
        true => Err(malformed("kid has at most 128 octets")),
        false => Ok((algorithm, kid)),
    }
}

/// Half of the order of P-256, rounded down; and the order.
const HALF_ORDER: [u8; 32] = [
    0x7f, 0xff, 0xff, 0xff, 0x80, 0x00, 0x00, 0x00, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xde, 0x73, 0x7d,
    0x56, 0xd3, 0x8b, 0xcf, 0x42, 0x79, 0xdc, 0xe5, 0x61, 0x7e, 0x31, 0x92, 0xa8,
];
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa,
    0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// Whether the second half of a signature of P-256 is above half of the order.
fn is_high(signature: &[u8]) -> bool {
    signature.get(32..).is_some_and(|s| s.len() == 32 && *s > HALF_ORDER[..])
}

/// The other signature that holds for the same message, where this one's `s` is high.
fn with_low_s(mut signature: Vec<u8>) -> Vec<u8> {
    if is_high(&signature) {
        let mut borrow = 0;
        for (octet, order) in signature[32..].iter_mut().zip(ORDER).rev() {
            let left = i16::from(order) - i16::from(*octet) - borrow;
            borrow = i16::from(left < 0);
            *octet = left.rem_euclid(256) as u8;
        }
    }
    signature
}

/// A token that says this, signed.
pub fn sign(claims: &Value<'_>, key: &SigningKey) -> Result<String, MintError> {
    let mut payload = Vec::new();
    claims.write(&mut payload);
    let algorithm = match key.algorithm() {
        Algorithm::Hs256 => iana::Algorithm::HMAC_256_256,
        Algorithm::Es256 => iana::Algorithm::ES256,
        Algorithm::EdDsa => iana::Algorithm::EdDSA,
        Algorithm::Ps256 => iana::Algorithm::PS256,
        _ => return Err(BadKey::Algorithm.into()),
    };
    let protected = coset::HeaderBuilder::new().algorithm(algorithm).build();
    let kid = key.kid().map_or_else(Vec::new, |kid| kid.as_bytes().to_vec());
    let unprotected = coset::Header { key_id: kid, ..coset::Header::default() };
    let message = match key.algorithm() {
        Algorithm::Hs256 => coset::CoseMac0Builder::new()
            .protected(protected)
            .unprotected(unprotected)
            .payload(payload)
            .try_create_tag(&[], |message| key.sign_octets(message))?
            .build()
            .to_tagged_vec(),
        _ => coset::CoseSign1Builder::new()
            .protected(protected)
            .unprotected(unprotected)
            .payload(payload)
            .try_create_signature(&[], |message| key.sign_octets(message).map(|signature| low(key, signature)))?
            .build()
            .to_tagged_vec(),
    };
    let message = message.map_err(|_| MintError::Library)?;
    Ok(URL_SAFE_NO_PAD.encode([&CWT_HEAD[..], &message].concat()))
}

fn low(key: &SigningKey, signature: Vec<u8>) -> Vec<u8> {
    if key.algorithm() == Algorithm::Es256 { with_low_s(signature) } else { signature }
}

/// The same claims with new times, signed. `cti` stays: it is what ties the viewer's requests to one session.
pub(super) fn sign_again(payload: &[u8], times: Times, key: &SigningKey) -> Result<String, MintError> {
    let Ok(Value::Map(mut claims)) = Value::read(payload, Lengths::Any) else {
        unreachable!("a verified payload is a map");
    };
    claims.set(label::EXP, Value::Whole(times.expires.into()));
    if claims.at(label::IAT).is_some() {
        claims.set(label::IAT, Value::Whole(times.issued_at.into()));
    }
    sign(&Value::Map(claims), key)
}

fn bad_envelope(fault: BadCbor) -> Rejection {
    malformed(match fault {
        BadCbor::CutShort => "the token is cut short",
        BadCbor::Trailing => "octets stand behind the token",
        BadCbor::Duplicate => "a header has a label twice",
        BadCbor::Indefinite => "the envelope has an indefinite length",
        BadCbor::Deep => "the token is nested too deeply",
        BadCbor::Many => "the token has too many values",
        BadCbor::NotUtf8 => "a text of the token is not UTF-8",
        BadCbor::Reserved => "the token is not CBOR",
        BadCbor::Key => "a label is neither a whole number nor a text",
    })
}

fn bad_header(fault: BadCbor) -> Rejection {
    malformed(match fault {
        BadCbor::Duplicate => "the protected header has a label twice",
        BadCbor::Indefinite => "the protected header has an indefinite length",
        BadCbor::Trailing => "octets stand behind the protected header",
        BadCbor::Deep => "the protected header is nested too deeply",
        BadCbor::CutShort | BadCbor::Many | BadCbor::NotUtf8 | BadCbor::Reserved | BadCbor::Key => {
            "the protected header is not CBOR as it should be"
        }
    })
}

fn bad_payload(fault: BadCbor) -> Rejection {
    malformed(match fault {
        BadCbor::Duplicate => "the payload has a claim, or a key within one, twice",
        BadCbor::Trailing => "octets stand behind the payload",
        BadCbor::Deep => "the payload is nested too deeply",
        BadCbor::Many => "the payload has too many values",
        BadCbor::CutShort => "the payload is cut short",
        BadCbor::NotUtf8 => "a text of the payload is not UTF-8",
        BadCbor::Indefinite | BadCbor::Reserved => "the payload is not CBOR",
        BadCbor::Key => "a key in the payload is neither a whole number nor a text",
    })
}

#[cfg(test)]
mod tests;
