//! The keys that signatures are verified with. A key has one algorithm, whatever a token says (RFC 8725 §3.1), was parsed
//! once, cannot be printed, and is wiped when it is dropped.

use std::fmt;

use aws_lc_rs::digest;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use smallvec::SmallVec;
use zeroize::Zeroizing;

use super::algorithm::{Algorithm, Kind};
use super::reason::{Reason, Rejection};

/// The most keys of a set.
pub const MOST_KEYS: usize = 100;
/// The most keys that are tried where a token names none.
pub const MOST_TRIED: usize = 4;
/// The least bits of an RSA modulus (RFC 7518 §3.3), and the most.
pub(super) const RSA_BITS: std::ops::RangeInclusive<usize> = 2_048..=8_192;

/// Why something is no key, or no set of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum BadKey {
    /// It is none of the forms that are read.
    #[error("not a public key: neither PEM (PUBLIC KEY, RSA PUBLIC KEY, CERTIFICATE) nor a JWK")]
    Form,
    /// It is not JSON, or not an object, or it has a member twice.
    #[error("not a JWK set: {0}")]
    Json(super::json::BadJson),
    /// There is no list `keys`.
    #[error("not a JWK set: a list `keys` is missing")]
    NoList,
    /// A member has another type than RFC 7517 and 7518 give it.
    #[error("a key of the set has a member of the wrong type, or a number that is not base64url")]
    Member,
    /// It is of no kind that is used here.
    #[error("keys are RSA, EC on P-256 or P-384, Ed25519, or shared secrets")]
    Kind,
    /// It is not a point of its curve, or an impossible modulus.
    #[error("the key's numbers are no key of its kind")]
    Numbers,
    /// Its modulus is too short, or longer than anybody's.
    #[error("an RSA key has 2048 to 8192 bits")]
    Weak,
    /// It encrypts, or must not verify (`use`, `key_ops`).
    #[error("the key is not for verifying signatures")]
    Purpose,
    /// A private key lies where a public one belongs.
    #[error("a private key: whoever reads it signs tokens; give the public part here and replace the key")]
    Private,
    /// The secret is shorter than the hash of its algorithm.
    #[error("a shared secret has at least as many octets as its hash: 32 for HS256, 48 for HS384, 64 for HS512")]
    Short,
    /// Everybody knows the secret.
    #[error("a public key cannot be a shared secret: everybody knows it")]
    PublicSecret,
    /// None of the algorithms that may be is one of this key.
    #[error("the key's algorithm is not among `algorithms`, or does not fit its kind")]
    Algorithm,
    /// Two different keys under one identifier.
    #[error("two different keys have the same `kid`")]
    Duplicate,
    /// More than a hundred.
    #[error("more than 100 keys")]
    TooMany,
    /// More than one certificate: a chain, whose upper keys sign certificates and not tokens.
    #[error("more than one certificate: give that of the issuer alone")]
    Chain,
}

/// A key. Two are equal where they are the same key for the same algorithm under the same identifier.
#[derive(Clone)]
pub struct Key {
    algorithm: Algorithm,
    kid: Option<Box<str>>,
    /// SHA-256 of its public part in the form of RFC 7638; of a secret likewise.
    print: [u8; 32],
    verifier: DecodingKey,
    /// The octets of a shared secret; empty for others.
    secret: Zeroizing<Vec<u8>>,
}

/// What a key is made of, decoded.
pub(super) enum Parts<'a> {
    Secret(&'a [u8]),
    Rsa {
        modulus: &'a [u8],
        exponent: &'a [u8],
    },
    /// Both coordinates have their full length.
    Point {
        kind: Kind,
        x: &'a [u8],
        y: &'a [u8],
    },
    Ed25519(&'a [u8]),
}

impl Parts<'_> {
    pub(super) const fn kind(&self) -> Kind {
        match self {
            Self::Secret(_) => Kind::Secret,
            Self::Rsa { .. } => Kind::Rsa,
            Self::Point { kind, .. } => *kind,
            Self::Ed25519(_) => Kind::Ed25519,
        }
    }

    /// The required members in the order of their names (RFC 7638 §3.2, RFC 8037 §2).
    pub(super) fn canonical_jwk(&self) -> Zeroizing<String> {
        let text = |octets: &[u8]| Zeroizing::new(URL_SAFE_NO_PAD.encode(octets));
        Zeroizing::new(match self {
            Self::Secret(octets) => format!(r#"{{"k":"{}","kty":"oct"}}"#, *text(octets)),
            Self::Rsa { modulus, exponent } => {
                format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, *text(exponent), *text(modulus))
            }
            Self::Point { kind, x, y } => {
                let curve = if *kind == Kind::P384 { "P-384" } else { "P-256" };
                format!(r#"{{"crv":"{curve}","kty":"EC","x":"{}","y":"{}"}}"#, *text(x), *text(y))
            }
            Self::Ed25519(x) => format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, *text(x)),
        })
    }

    pub(super) fn print(&self) -> [u8; 32] {
        let hash = digest::digest(&digest::SHA256, self.canonical_jwk().as_bytes());
        hash.as_ref().try_into().expect("SHA-256 has 32 octets")
    }

    fn verifier(&self, algorithm: Algorithm) -> Result<DecodingKey, BadKey> {
        match *self {
            Self::Secret(octets) => match octets.len() < algorithm.hash_length() {
                true => Err(BadKey::Short),
                false => Ok(DecodingKey::from_secret(octets)),
            },
            Self::Rsa { modulus, exponent } => {
                let bits = modulus.len() * 8 - modulus.first().map_or(0, |first| first.leading_zeros() as usize);
                if !RSA_BITS.contains(&bits) {
                    return Err(BadKey::Weak);
                }
                // An even modulus or exponent, and an exponent of 1, are nobody's key.
                let is_odd = |number: &[u8]| number.last().is_some_and(|last| last % 2 == 1);
                if !is_odd(modulus) || !is_odd(exponent) || exponent == [1] || exponent.len() > 8 {
                    return Err(BadKey::Numbers);
                }
                Ok(DecodingKey::from_rsa_raw_components(modulus, exponent))
            }
            Self::Point { kind, x, y } => {
                let point = [&[4], x, y].concat();
                let curve = if kind == Kind::P384 { &ECDSA_P384_SHA384_FIXED } else { &ECDSA_P256_SHA256_FIXED };
                UnparsedPublicKey::new(curve, &point).parse().map_err(|_| BadKey::Numbers)?;
                Ok(DecodingKey::from_ec_der(&point))
            }
            Self::Ed25519(x) if x.len() == 32 => Ok(DecodingKey::from_ed_der(x)),
            Self::Ed25519(_) => Err(BadKey::Numbers),
        }
    }
}

impl Key {
    /// A key of these parts. Its algorithm is the one it names, else the first of `algorithms` that fits its kind, else
    /// its kind's own; `algorithms`, where there are any, must have it.
    pub(super) fn of(
        parts: &Parts<'_>,
        kid: Option<&str>,
        named: Option<Algorithm>,
        algorithms: &[Algorithm],
    ) -> Result<Self, BadKey> {
        let kind = parts.kind();
        let fitting = || algorithms.iter().copied().find(|algorithm| algorithm.kind() == kind);
        let algorithm = named.or_else(fitting).unwrap_or(Algorithm::of_kind(kind));
        let is_allowed = match algorithms.is_empty() {
            true => !algorithm.must_be_named(),
            false => algorithms.contains(&algorithm),
        };
        if algorithm.kind() != kind || !is_allowed {
            return Err(BadKey::Algorithm);
        }
        let verifier = parts.verifier(algorithm)?;
        let secret = Zeroizing::new(if let Parts::Secret(octets) = parts { octets.to_vec() } else { Vec::new() });
        Ok(Self { algorithm, kid: kid.map(Into::into), print: parts.print(), verifier, secret })
    }

    /// Its one algorithm.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Its identifier.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// SHA-256 of its required members (RFC 7638); in base64url it is the usual identifier. Of a secret: for comparing
    /// within the process only.
    pub const fn print(&self) -> &[u8; 32] {
        &self.print
    }

    /// The octets of a shared secret; `None` for public keys. For formats that use other functions than HMAC by RFC 7518.
    pub fn secret(&self) -> Option<&[u8]> {
        (self.algorithm.kind() == Kind::Secret).then_some(&self.secret)
    }

    /// Whether `signature` is one of `message` by this key and its algorithm. Those of HMAC are compared in constant time;
    /// those of ECDSA are r‖s of exactly that length, both within 1…n−1 (RFC 7518 §3.4).
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        if self.algorithm.signature_length().is_some_and(|length| length != signature.len()) {
            return false;
        }
        let text = URL_SAFE_NO_PAD.encode(signature);
        self.verifies_text(message, &text)
    }

    /// The same for a signature that is base64url already, and whose length was judged.
    pub(super) fn verifies_text(&self, message: &[u8], signature: &str) -> bool {
        jsonwebtoken::crypto::verify(signature, message, &self.verifier, self.algorithm.of_library()).unwrap_or(false)
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.algorithm == other.algorithm && self.kid == other.kid && self.print == other.print
    }
}

impl Eq for Key {}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({} {})", self.algorithm.name(), self.kid().unwrap_or("without kid"))
    }
}

/// Keys that go together: those of one issuer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySet {
    keys: Vec<Key>,
    passed_over: Vec<BadKey>,
}

impl KeySet {
    /// A set of these; the same key twice is one.
    pub fn of(keys: impl IntoIterator<Item = Key>) -> Result<Self, BadKey> {
        let mut set = Self::default();
        for key in keys {
            if set.keys.contains(&key) {
                continue;
            }
            if key.kid.is_some() && set.keys.iter().any(|other| other.kid == key.kid) {
                return Err(BadKey::Duplicate);
            }
            if set.keys.len() == MOST_KEYS {
                return Err(BadKey::TooMany);
            }
            set.keys.push(key);
        }
        Ok(set)
    }

    pub(super) fn beside(self, passed_over: Vec<BadKey>) -> Self {
        Self { passed_over, ..self }
    }

    /// Why keys that stood beside these are not among them.
    pub fn passed_over(&self) -> &[BadKey] {
        &self.passed_over
    }

    /// Its keys.
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The keys that a token may be signed with: the one that it names, else those of its algorithm, at most
    /// [`MOST_TRIED`]. A set in which no key has an identifier has nothing to compare: there, too, the algorithm chooses.
    ///
    /// Errors: `key-unknown` where nothing has that identifier, which a newer set may have; `alg-refused` where the key, or
    /// every key, is of another algorithm.
    pub fn choose(&self, kid: Option<&str>, algorithm: Algorithm) -> Result<SmallVec<[&Key; MOST_TRIED]>, Rejection> {
        let chosen: SmallVec<[&Key; MOST_TRIED]> = match kid {
            Some(kid) if self.keys.iter().any(|key| key.kid.is_some()) => {
                let Some(key) = self.keys.iter().find(|key| key.kid() == Some(kid)) else {
                    return Err(UNKNOWN);
                };
                if key.algorithm != algorithm {
                    return Err(OTHER_ALGORITHM);
                }
                SmallVec::from_slice(&[key])
            }
            _ => self.keys.iter().filter(|key| key.algorithm == algorithm).take(MOST_TRIED).collect(),
        };
        match chosen.is_empty() {
            true if self.keys.is_empty() => Err(UNKNOWN),
            true => Err(OTHER_ALGORITHM),
            false => Ok(chosen),
        }
    }
}

const UNKNOWN: Rejection = Rejection::new(Reason::KeyUnknown, "no key of the issuer has the token's kid");
const OTHER_ALGORITHM: Rejection =
    Rejection::new(Reason::AlgRefused, "the token's alg is not that of the issuer's key, which has exactly one");
