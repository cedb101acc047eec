//! Public keys as PEM and DER: SubjectPublicKeyInfo (RFC 5280 §4.1), RSAPublicKey (RFC 8017 §A.1.1), and the key of a
//! certificate. Only what these forms need of DER is read: definite lengths, low tags.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::algorithm::Kind;
use super::key::{BadKey, Parts};

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OBJECT: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
/// The version of a certificate.
const EXPLICIT_0: u8 = 0xa0;

const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];

/// A public key, decoded.
#[derive(Debug)]
pub(super) enum PublicKey {
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    Point { kind: Kind, x: Vec<u8>, y: Vec<u8> },
    Ed25519(Vec<u8>),
}

impl PublicKey {
    pub(super) fn parts(&self) -> Parts<'_> {
        match self {
            Self::Rsa { modulus, exponent } => Parts::Rsa { modulus, exponent },
            Self::Point { kind, x, y } => Parts::Point { kind: *kind, x, y },
            Self::Ed25519(x) => Parts::Ed25519(x),
        }
    }
}

/// What is between two lines of PEM (RFC 7468).
struct Block<'t> {
    label: &'t str,
    octets: Zeroizing<Vec<u8>>,
}

fn blocks(text: &str) -> Result<Vec<Block<'_>>, BadKey> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("-----BEGIN ") {
        let (label, after) = after.split_once("-----").ok_or(BadKey::Form)?;
        let (body, after) = after.split_once("-----END ").ok_or(BadKey::Form)?;
        rest = after.strip_prefix(label).and_then(|after| after.strip_prefix("-----")).ok_or(BadKey::Form)?;
        // An encrypted or otherwise annotated block has fields before its body; only private keys do.
        let body = Zeroizing::new(body.split_ascii_whitespace().collect::<String>());
        let octets = Zeroizing::new(STANDARD.decode(&*body).unwrap_or_default());
        found.push(Block { label, octets });
    }
    Ok(found)
}

/// The label and the octets of a text of one block, for private keys.
pub(super) fn single_block(text: &str) -> Option<(&str, Zeroizing<Vec<u8>>)> {
    let mut blocks = blocks(text).ok()?;
    let only = blocks.pop()?;
    blocks.is_empty().then_some((only.label, only.octets))
}

/// The public keys of a text.
pub(super) fn read_pem(text: &[u8]) -> Result<Vec<PublicKey>, BadKey> {
    let text = std::str::from_utf8(text).map_err(|_| BadKey::Form)?;
    let blocks = blocks(text)?;
    let certificates = blocks.iter().filter(|block| block.label.ends_with("CERTIFICATE")).count();
    if certificates > 1 || (certificates == 1 && blocks.len() > 1) {
        return Err(BadKey::Chain);
    }
    if blocks.is_empty() {
        return Err(BadKey::Form);
    }
    let key = |block: &Block<'_>| match block.label {
        "PUBLIC KEY" => Der(&block.octets).only().and_then(spki),
        "RSA PUBLIC KEY" => Der(&block.octets).only().and_then(rsa),
        "CERTIFICATE" | "X509 CERTIFICATE" => Der(&block.octets).only().and_then(signed_key),
        label if label.contains("PRIVATE KEY") => Err(BadKey::Private),
        _ => Err(BadKey::Form),
    };
    blocks.iter().map(key).collect()
}

/// Whether these octets begin with a public key, or a certificate, in DER. DER says itself where it ends: its last octets
/// are not taken for the spaces that an editor adds, nor those for a part of it.
pub(super) fn begins_with_key(octets: &[u8]) -> bool {
    Der(octets).take(SEQUENCE).is_some_and(|content| [spki, rsa, signed_key].iter().any(|read| read(content).is_ok()))
}

/// What is left to read.
struct Der<'d>(&'d [u8]);

impl<'d> Der<'d> {
    /// The next value, if it has this tag.
    fn take(&mut self, tag: u8) -> Option<&'d [u8]> {
        let [found, length, rest @ ..] = self.0 else { return None };
        if *found != tag {
            return None;
        }
        let (length, rest) = match *length {
            short @ 0..=0x7f => (usize::from(short), rest),
            0x81 => (usize::from(*rest.first()?), &rest[1..]),
            0x82 => (usize::from(u16::from_be_bytes(rest.first_chunk().copied()?)), &rest[2..]),
            _ => return None,
        };
        let value = rest.get(..length)?;
        self.0 = &rest[length..];
        Some(value)
    }

    /// The content of the one sequence that this is.
    fn only(mut self) -> Result<&'d [u8], BadKey> {
        let content = self.take(SEQUENCE).ok_or(BadKey::Form)?;
        if self.0.is_empty() { Ok(content) } else { Err(BadKey::Form) }
    }

    /// A number that is not negative, without the octet that says so.
    fn number(&mut self) -> Option<&'d [u8]> {
        let number = self.take(INTEGER)?;
        Some(number.strip_prefix(&[0]).unwrap_or(number))
    }

    /// A string of whole octets.
    fn bits(&mut self) -> Option<&'d [u8]> {
        self.take(BIT_STRING)?.strip_prefix(&[0])
    }
}

fn rsa(content: &[u8]) -> Result<PublicKey, BadKey> {
    let mut der = Der(content);
    match (der.number(), der.number(), der.0) {
        (Some(modulus), Some(exponent), []) => {
            Ok(PublicKey::Rsa { modulus: modulus.to_vec(), exponent: exponent.to_vec() })
        }
        _ => Err(BadKey::Form),
    }
}

fn spki(content: &[u8]) -> Result<PublicKey, BadKey> {
    let mut der = Der(content);
    let (algorithm, bits) = der.take(SEQUENCE).zip(der.bits()).ok_or(BadKey::Form)?;
    match kind(algorithm)? {
        Kind::Rsa => Der(bits).only().and_then(rsa),
        kind @ (Kind::P256 | Kind::P384) => {
            let length = if kind == Kind::P384 { 48 } else { 32 };
            match bits.strip_prefix(&[4]) {
                Some(point) if point.len() == 2 * length => {
                    let (x, y) = point.split_at(length);
                    Ok(PublicKey::Point { kind, x: x.to_vec(), y: y.to_vec() })
                }
                _ => Err(BadKey::Numbers),
            }
        }
        Kind::Ed25519 => Ok(PublicKey::Ed25519(bits.to_vec())),
        Kind::Secret => Err(BadKey::Kind),
    }
}

/// The kind that an AlgorithmIdentifier names.
fn kind(algorithm: &[u8]) -> Result<Kind, BadKey> {
    let mut der = Der(algorithm);
    match der.take(OBJECT).ok_or(BadKey::Form)? {
        RSA => Ok(Kind::Rsa),
        ED25519 => Ok(Kind::Ed25519),
        EC => match der.take(OBJECT) {
            Some(P256) => Ok(Kind::P256),
            Some(P384) => Ok(Kind::P384),
            _ => Err(BadKey::Kind),
        },
        _ => Err(BadKey::Kind),
    }
}

/// The key in the content of a certificate.
fn signed_key(content: &[u8]) -> Result<PublicKey, BadKey> {
    let mut signed = Der(content);
    let mut der = Der(signed.take(SEQUENCE).ok_or(BadKey::Form)?);
    _ = der.take(EXPLICIT_0);
    der.take(INTEGER).ok_or(BadKey::Form)?;
    // The algorithm of its signature, its issuer, its validity, its subject.
    for _ in 0..4 {
        der.take(SEQUENCE).ok_or(BadKey::Form)?;
    }
    spki(der.take(SEQUENCE).ok_or(BadKey::Form)?)
}

/// A private key in PKCS #8 (RFC 5208 §5).
pub(super) struct PrivateKey<'d> {
    pub(super) kind: Kind,
    /// The key in the form of its own kind.
    pub(super) octets: &'d [u8],
}

/// Looks at a private key in PKCS #8, without judging its numbers.
pub(super) fn private_key(octets: &[u8]) -> Result<PrivateKey<'_>, BadKey> {
    let mut der = Der(Der(octets).only()?);
    der.take(INTEGER).ok_or(BadKey::Form)?;
    let algorithm = der.take(SEQUENCE).ok_or(BadKey::Form)?;
    let octets = der.take(OCTET_STRING).ok_or(BadKey::Form)?;
    Ok(PrivateKey { kind: kind(algorithm)?, octets })
}
