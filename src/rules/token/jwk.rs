//! JWK sets (RFC 7517, RFC 7518 §6, RFC 8037 §2), and single keys in other forms.
//!
//! A key of a set that is not for verifying signatures, or that is not understood, is passed over (RFC 7517 §5), for
//! issuers publish others beside it. A private part, and two keys under one identifier, refuse the set: the last good one
//! stays in force.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use super::algorithm::{Algorithm, Kind};
use super::json::{Object, Value};
use super::key::{BadKey, Key, KeySet, MOST_KEYS, Parts};
use super::spki;

/// The most octets of a set.
pub const LARGEST_SET: usize = 64 * 1_024;

/// Reads a set. `algorithms`: what its keys may be of; empty: whatever they name.
pub fn read_set(octets: &[u8], algorithms: &[Algorithm]) -> Result<KeySet, BadKey> {
    if octets.len() > LARGEST_SET {
        return Err(BadKey::TooMany);
    }
    let set = Object::read_many(octets).map_err(BadKey::Json)?;
    let Some(Value::List(members)) = set.member("keys") else { return Err(BadKey::NoList) };
    if members.len() > MOST_KEYS {
        return Err(BadKey::TooMany);
    }
    let (mut keys, mut passed_over) = (Vec::with_capacity(members.len()), Vec::new());
    for member in members {
        let Value::Object(member) = member else { return Err(BadKey::Member) };
        match read_key(member, algorithms) {
            Ok(key) => keys.push(key),
            Err(BadKey::Private) => return Err(BadKey::Private),
            Err(reason) => passed_over.push(reason),
        }
    }
    Ok(KeySet::of(keys)?.beside(passed_over))
}

/// A public key as PEM: `PUBLIC KEY` (several may live at once), `RSA PUBLIC KEY`, or one `CERTIFICATE`, of which nothing
/// but the key is looked at.
pub fn read_pem(text: &[u8], kid: Option<&str>, algorithms: &[Algorithm]) -> Result<KeySet, BadKey> {
    let found = spki::read_pem(text)?;
    KeySet::of(found.iter().map(|key| Key::of(&key.parts(), kid, None, algorithms)).collect::<Result<Vec<_>, _>>()?)
}

/// A shared secret: these octets as they are. A text that everybody can have, a public key in any form, is none
/// (RFC 8725 §2.1).
pub fn read_secret(octets: &[u8], kid: Option<&str>, algorithms: &[Algorithm]) -> Result<Key, BadKey> {
    if is_public(octets) {
        return Err(BadKey::PublicSecret);
    }
    Key::of(&Parts::Secret(octets), kid, None, algorithms)
}

fn is_public(octets: &[u8]) -> bool {
    let text = octets.trim_ascii();
    let is_jwk = || {
        Object::read_many(text).is_ok_and(|object| object.member("kty").is_some() || object.member("keys").is_some())
    };
    text.starts_with(b"-----BEGIN ")
        || [&b"ssh-rsa "[..], b"ssh-ed25519 ", b"ecdsa-sha2-"].iter().any(|name| text.starts_with(name))
        || spki::is_key(octets)
        || spki::is_key(text)
        || is_jwk()
}

fn read_key(member: &Object<'_>, algorithms: &[Algorithm]) -> Result<Key, BadKey> {
    let text = |name: &str| member.member(name).map(|value| value.text().ok_or(BadKey::Member)).transpose();
    let kind = text("kty")?.ok_or(BadKey::Member)?;
    let is_private = ["d", "p", "q", "dp", "dq", "qi", "oth"].iter().any(|name| member.member(name).is_some());
    if is_private && kind != "oct" {
        return Err(BadKey::Private);
    }
    if text("use")?.is_some_and(|purpose| purpose != "sig") || !may_verify(member)? {
        return Err(BadKey::Purpose);
    }
    let named = text("alg")?.map(|name| Algorithm::named(name).ok_or(BadKey::Algorithm)).transpose()?;
    let number = |name: &str| {
        let text = text(name)?.ok_or(BadKey::Member)?;
        URL_SAFE_NO_PAD.decode(text).map(Zeroizing::new).map_err(|_| BadKey::Member)
    };
    let curve = text("crv")?;
    let kid = text("kid")?;
    let key = |parts: &Parts<'_>| Key::of(parts, kid, named, algorithms);
    match (kind, curve) {
        ("oct", _) => key(&Parts::Secret(&number("k")?)),
        ("RSA", _) => key(&Parts::Rsa { modulus: unsigned(&number("n")?), exponent: unsigned(&number("e")?) }),
        ("EC", Some("P-256")) => key(&point(Kind::P256, 32, &number("x")?, &number("y")?)?),
        ("EC", Some("P-384")) => key(&point(Kind::P384, 48, &number("x")?, &number("y")?)?),
        ("OKP", Some("Ed25519")) => key(&Parts::Ed25519(&number("x")?)),
        _ => Err(BadKey::Kind),
    }
}

/// Whether `key_ops` has `verify`, where it is there (RFC 7517 §4.3).
fn may_verify(member: &Object<'_>) -> Result<bool, BadKey> {
    match member.member("key_ops") {
        None => Ok(true),
        Some(Value::List(operations)) => {
            let operations = operations.iter().map(Value::text).collect::<Option<Vec<_>>>().ok_or(BadKey::Member)?;
            Ok(operations.contains(&"verify"))
        }
        Some(_) => Err(BadKey::Member),
    }
}

/// Some issuers write leading zeros, which RFC 7518 §6.3.1.1 forbids and which change nothing.
fn unsigned(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|octet| **octet == 0).count();
    &number[zeros..]
}

/// Coordinates have the full length (RFC 7518 §6.2.1.2).
fn point<'a>(kind: Kind, length: usize, x: &'a [u8], y: &'a [u8]) -> Result<Parts<'a>, BadKey> {
    match x.len() == length && y.len() == length {
        true => Ok(Parts::Point { kind, x, y }),
        false => Err(BadKey::Numbers),
    }
}
