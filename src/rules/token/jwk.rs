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
        || spki::begins_with_key(octets.trim_ascii_start())
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
        ("oct", _) => match number("k")? {
            secret if is_public(&secret) => Err(BadKey::PublicSecret),
            secret => key(&Parts::Secret(&secret)),
        },
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

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
    use base64::engine::general_purpose::STANDARD;
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::rules::token::json::BadJson;
    use crate::rules::token::mint::SigningKey;

    fn public(algorithm: Algorithm) -> Json {
        SigningKey::generate(algorithm).unwrap().public.unwrap()
    }

    fn with(mut key: Json, name: &str, value: Json) -> Json {
        key[name] = value;
        key
    }

    fn read(keys: &[&Json]) -> Result<KeySet, BadKey> {
        read_set(json!({ "keys": keys }).to_string().as_bytes(), &[])
    }

    fn passed_over(key: &Json) -> BadKey {
        let set = read(&[key]).unwrap();
        assert!(set.is_empty());
        set.passed_over()[0]
    }

    #[test]
    fn a_key_that_is_for_something_else_is_passed_over_and_the_others_stay() {
        let (good, rsa) = (public(Algorithm::Es256), public(Algorithm::Rs256));
        for (key, reason) in [
            (with(rsa.clone(), "use", json!("enc")), BadKey::Purpose),
            (with(rsa.clone(), "key_ops", json!(["encrypt", "wrapKey"])), BadKey::Purpose),
            (with(rsa.clone(), "key_ops", json!([])), BadKey::Purpose),
            (with(rsa.clone(), "alg", json!("RSA-OAEP")), BadKey::Algorithm),
            (with(rsa.clone(), "alg", json!("RS512")), BadKey::Algorithm),
            (with(rsa.clone(), "alg", json!("ES256")), BadKey::Algorithm),
            (with(rsa.clone(), "alg", json!("none")), BadKey::Algorithm),
            (with(rsa.clone(), "alg", json!(1)), BadKey::Member),
            (with(rsa.clone(), "kty", json!("XYZ")), BadKey::Kind),
            (with(rsa.clone(), "kid", json!(7)), BadKey::Member),
            (with(rsa.clone(), "n", json!("AQAB")), BadKey::Weak),
            (with(rsa.clone(), "n", json!("not base64url!")), BadKey::Member),
            (with(rsa.clone(), "e", json!("AQ")), BadKey::Numbers),
            (with(rsa.clone(), "e", json!("Ag")), BadKey::Numbers),
            (with(good.clone(), "crv", json!("P-521")), BadKey::Kind),
            (with(good.clone(), "crv", json!("secp256k1")), BadKey::Kind),
            (with(good.clone(), "crv", json!("P-384")), BadKey::Numbers),
            (with(good.clone(), "x", good["y"].clone()), BadKey::Numbers),
            (with(good.clone(), "x", json!("AA")), BadKey::Numbers),
            (with(public(Algorithm::EdDsa), "x", json!("AA")), BadKey::Numbers),
            (json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode([7; 31])}), BadKey::Short),
            (json!({"kty": "oct", "alg": "HS512", "k": URL_SAFE_NO_PAD.encode([7; 63])}), BadKey::Short),
            (json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode(rsa.to_string())}), BadKey::PublicSecret),
            (json!({"kty": "oct"}), BadKey::Member),
            (json!({}), BadKey::Member),
        ] {
            assert_eq!(passed_over(&key), reason, "{key}");
            let set = read(&[&key, &good]).unwrap();
            assert_eq!((set.keys().len(), set.passed_over()), (1, &[reason][..]));
        }
        for (name, value) in [("use", json!("sig")), ("key_ops", json!(["sign", "verify"])), ("x5c", json!(["AAAA"]))] {
            assert_eq!(read(&[&with(good.clone(), name, value)]).unwrap().keys().len(), 1);
        }
    }

    #[test]
    fn a_private_part_or_one_identifier_for_two_keys_refuses_the_set() {
        let (one, other) = (public(Algorithm::Es256), public(Algorithm::Es256));
        for name in ["d", "p", "q", "dp", "dq", "qi", "oth"] {
            assert_eq!(read(&[&other, &with(one.clone(), name, json!("AA"))]), Err(BadKey::Private), "{name}");
        }
        assert_eq!(read(&[&one, &with(other.clone(), "kid", one["kid"].clone())]), Err(BadKey::Duplicate));
        assert_eq!(read(&[&one, &one]).unwrap().keys().len(), 1, "the same key twice is one");
        assert_eq!(read(&[&one, &other]).unwrap().keys().len(), 2);
    }

    #[test]
    fn what_is_no_set_is_refused_whole() {
        let set = |text: &str| read_set(text.as_bytes(), &[]);
        assert_eq!(set(""), Err(BadKey::Json(BadJson::Syntax)));
        assert_eq!(set("[]"), Err(BadKey::Json(BadJson::NotAnObject)));
        assert_eq!(set(r#"{"keys":[],"keys":[]}"#), Err(BadKey::Json(BadJson::Duplicate)));
        assert_eq!(set("{}"), Err(BadKey::NoList));
        assert_eq!(set(r#"{"keys":{}}"#), Err(BadKey::NoList));
        assert_eq!(set(r#"{"keys":[7]}"#), Err(BadKey::Member));
        assert_eq!(set(&format!(r#"{{"keys":[{}{{}}]}}"#, "{},".repeat(100))), Err(BadKey::TooMany));
        assert_eq!(set(&format!(r#"{{"keys":[]}}{}"#, " ".repeat(LARGEST_SET))), Err(BadKey::TooMany));
        assert_eq!(set(r#"{"keys":[]}"#), Ok(KeySet::default()));
    }

    #[test]
    fn a_secret_that_everybody_can_have_is_none() {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let der = AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()).unwrap().as_ref().to_vec();
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(&der));
        let certificate = rcgen::generate_simple_self_signed(["issuer.test".to_owned()]).unwrap().cert;
        let jwk = public(Algorithm::Rs256).to_string();
        let ed25519 = |last: u8| [&b"0*0\x05\x06\x03+ep\x03!\0"[..], &[7; 31], &[last]].concat();
        for octets in [
            pem.as_bytes(),
            pem.trim_end().as_bytes(),
            &der,
            &[&der[..], b"\n"].concat(),
            &[b"\n", &der[..], b" \r\n\n"].concat(),
            &[&der[..], b"of the issuer"].concat(),
            // The last octets of a key may look like spaces.
            &ed25519(b'\r'),
            &[ed25519(b'\r'), b"\n".to_vec()].concat(),
            &[ed25519(b'\n'), b"\n".to_vec()].concat(),
            &[ed25519(b' '), b"\r\n".to_vec()].concat(),
            certificate.der(),
            certificate.pem().as_bytes(),
            jwk.as_bytes(),
            format!(r#"{{"keys":[{jwk}]}}"#).as_bytes(),
            b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIF7Lw0kX issuer",
        ] {
            let fault = read_secret(octets, None, &[]);
            assert_eq!(fault, Err(BadKey::PublicSecret), "{}", String::from_utf8_lossy(octets));
        }
        assert!(read_secret(&[0x30; 32], None, &[]).is_ok());
        assert_eq!(read_secret(&[7; 31], None, &[]), Err(BadKey::Short));
        let keys = read_pem(pem.as_bytes(), Some("a"), &[]).unwrap();
        assert_eq!((keys.keys()[0].algorithm(), keys.keys()[0].kid()), (Algorithm::Es256, Some("a")));
    }

    #[test]
    fn a_file_holds_public_keys_or_one_certificate() {
        let private = SigningKey::generate(Algorithm::Es256).unwrap().private;
        let certificate = || rcgen::generate_simple_self_signed(["issuer.test".to_owned()]).unwrap().cert.pem();
        let pem = |text: &str| read_pem(text.as_bytes(), None, &[]);
        let (one, broken) = (certificate(), "-----BEGIN PUBLIC KEY-----\nMAA=\n-----END PUBLIC KEY-----\n");
        assert_eq!(pem(&one).unwrap().keys().len(), 1);
        assert_eq!(pem(&format!("Subject: issuer.test\n{one}\n")).unwrap().keys().len(), 1);
        for (text, fault) in [
            (one.clone() + &certificate(), BadKey::Chain),
            (private.to_string(), BadKey::Private),
            (private.replace("PRIVATE KEY", "RSA PRIVATE KEY"), BadKey::Private),
            (private.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"), BadKey::Private),
            (private.replace("PRIVATE KEY", "PUBLIC KEY"), BadKey::Form),
            (broken.to_owned(), BadKey::Form),
            (broken.replace("END PUBLIC", "END OTHER"), BadKey::Form),
            ("-----BEGIN PUBLIC KEY-----".to_owned(), BadKey::Form),
            (String::new(), BadKey::Form),
            ("a secret".to_owned(), BadKey::Form),
        ] {
            assert_eq!(pem(&text), Err(fault), "{text}");
        }
        assert_eq!(read_pem(one.as_bytes(), None, &[Algorithm::Rs256]), Err(BadKey::Algorithm));
    }

    #[test]
    fn the_configuration_chooses_where_a_key_does_not() {
        let mut rsa = public(Algorithm::Rs256);
        rsa.as_object_mut().unwrap().remove("alg");
        let of = |key: &Json, algorithms: &[Algorithm]| {
            let set = read_set(json!({ "keys": [key] }).to_string().as_bytes(), algorithms).unwrap();
            set.keys().first().map(Key::algorithm)
        };
        assert_eq!(of(&rsa, &[]), Some(Algorithm::Rs256));
        assert_eq!(of(&rsa, &[Algorithm::Es256, Algorithm::Ps256, Algorithm::Rs256]), Some(Algorithm::Ps256));
        assert_eq!(of(&rsa, &[Algorithm::Rs512]), Some(Algorithm::Rs512));
        assert_eq!(of(&rsa, &[Algorithm::Es256]), None);
        assert_eq!(of(&with(rsa, "alg", json!("RS256")), &[Algorithm::Ps256]), None);
    }
}
