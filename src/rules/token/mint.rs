//! Claims → a signed token, and new keys. For issuers that have no library, for renewal, and for demonstrations; whoever
//! verifies (`jwt.rs`) never sees a private key.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::{self, SystemRandom};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair, RsaKeyPair, RsaPublicKeyComponents,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::algorithm::{Algorithm, Kind};
use super::jwk;
use super::key::{BadKey, Key};
use super::spki::{self, PublicKey};

/// Why nothing was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum MintError {
    /// The text is no private key.
    #[error(
        "not a private key in PKCS #8 (PEM, BEGIN PRIVATE KEY); openssl pkcs8 -topk8 -nocrypt makes one of older forms"
    )]
    Form,
    /// The key, or its secret, is none that may be used.
    #[error(transparent)]
    Key(#[from] BadKey),
    /// The library refused.
    #[error("the cryptographic library refused")]
    Library,
}

impl From<aws_lc_rs::error::Unspecified> for MintError {
    fn from(_: aws_lc_rs::error::Unspecified) -> Self {
        Self::Library
    }
}

impl From<aws_lc_rs::error::KeyRejected> for MintError {
    fn from(_: aws_lc_rs::error::KeyRejected) -> Self {
        Self::Form
    }
}

/// A key that signs tokens. It cannot be printed, and is wiped when it is dropped.
#[derive(Clone)]
pub struct SigningKey {
    kid: Option<Box<str>>,
    signer: EncodingKey,
    /// What verifies its signatures.
    verifier: Key,
    /// Its public part; a secret has none.
    public: Option<Value>,
}

/// They are equal where they are the same key.
impl PartialEq for SigningKey {
    fn eq(&self, other: &Self) -> bool {
        self.verifier == other.verifier
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({})", self.algorithm().name())
    }
}

/// A new key, as the two files that it goes into.
pub struct NewKey {
    /// What signs: PKCS #8 as PEM, or a text of random characters whose octets are the secret.
    pub private: Zeroizing<String>,
    /// What verifies, as a JWK (RFC 7517); a secret has no public part.
    pub public: Option<Value>,
}

impl SigningKey {
    /// A private key from PEM. Its algorithm is `algorithm`, else that of its kind; its identifier is `kid`, else its
    /// thumbprint (RFC 7638).
    pub fn from_pem(text: &str, algorithm: Option<Algorithm>, kid: Option<&str>) -> Result<Self, MintError> {
        let (label, octets) = spki::single_block(text).ok_or(MintError::Form)?;
        if label != "PRIVATE KEY" {
            return Err(MintError::Form);
        }
        let private = spki::private_key(&octets).map_err(|_| MintError::Form)?;
        let (signer, public) = match private.kind {
            Kind::Rsa => {
                let pair = RsaKeyPair::from_pkcs8(&octets)?;
                let RsaPublicKeyComponents { n: modulus, e: exponent } = pair.public_key().into();
                (EncodingKey::from_rsa_der(private.octets), PublicKey::Rsa { modulus, exponent })
            }
            kind @ (Kind::P256 | Kind::P384) => {
                let pair = EcdsaKeyPair::from_pkcs8(curve(kind), &octets)?;
                let (x, y) = pair.public_key().as_ref()[1..].split_at(if kind == Kind::P384 { 48 } else { 32 });
                (EncodingKey::from_ec_der(&octets), PublicKey::Point { kind, x: x.to_vec(), y: y.to_vec() })
            }
            Kind::Ed25519 => {
                let pair = Ed25519KeyPair::from_pkcs8(&octets)?;
                (EncodingKey::from_ed_der(&octets), PublicKey::Ed25519(pair.public_key().as_ref().to_vec()))
            }
            Kind::Secret => return Err(MintError::Form),
        };
        let parts = public.parts();
        let thumbprint = URL_SAFE_NO_PAD.encode(parts.print());
        let kid = kid.unwrap_or(&thumbprint);
        let algorithm = algorithm.unwrap_or(Algorithm::of_kind(private.kind));
        let verifier = Key::of(&parts, Some(kid), Some(algorithm), &[algorithm])?;
        let mut public: Value = serde_json::from_str(&parts.canonical_jwk()).expect("a JWK is JSON");
        public["kid"] = json!(kid);
        public["alg"] = json!(algorithm.name());
        public["use"] = json!("sig");
        Ok(Self { kid: Some(kid.into()), signer, verifier, public: Some(public) })
    }

    /// A shared secret: these octets as they are.
    pub fn from_secret(octets: &[u8], algorithm: Option<Algorithm>, kid: Option<&str>) -> Result<Self, MintError> {
        let algorithm = algorithm.unwrap_or(Algorithm::Hs256);
        let verifier = jwk::read_secret(octets, kid, &[algorithm])?;
        if verifier.algorithm() != algorithm {
            return Err(BadKey::Algorithm.into());
        }
        Ok(Self { kid: kid.map(Into::into), signer: EncodingKey::from_secret(octets), verifier, public: None })
    }

    /// A new key for this algorithm.
    pub fn generate(algorithm: Algorithm) -> Result<NewKey, MintError> {
        let random = SystemRandom::new();
        let octets = Zeroizing::new(match algorithm.kind() {
            Kind::Secret => {
                let mut secret = Zeroizing::new(vec![0; algorithm.hash_length()]);
                rand::fill(&mut secret)?;
                return Ok(NewKey { private: Zeroizing::new(URL_SAFE_NO_PAD.encode(&*secret)), public: None });
            }
            Kind::Rsa => {
                let pair = RsaKeyPair::generate(KeySize::Rsa2048)?;
                AsDer::<Pkcs8V1Der<'_>>::as_der(&pair)?.as_ref().to_vec()
            }
            kind @ (Kind::P256 | Kind::P384) => EcdsaKeyPair::generate_pkcs8(curve(kind), &random)?.as_ref().to_vec(),
            Kind::Ed25519 => Ed25519KeyPair::generate_pkcs8v1(&random)?.as_ref().to_vec(),
        });
        let private = pem(&octets);
        let public = Self::from_pem(&private, Some(algorithm), None)?.public;
        Ok(NewKey { private, public })
    }

    /// Its algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.verifier.algorithm()
    }

    /// Its identifier.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// Its public part as a JWK; a secret has none.
    pub fn public_jwk(&self) -> Option<&Value> {
        self.public.as_ref()
    }

    /// What verifies its signatures.
    pub const fn verifier(&self) -> &Key {
        &self.verifier
    }

    /// A token that says this, of this type (`typ`).
    pub fn sign(&self, token_type: &str, claims: &Map<String, Value>) -> Result<String, MintError> {
        let header = Header {
            typ: Some(token_type.to_owned()),
            kid: self.kid.as_deref().map(str::to_owned),
            ..Header::new(self.algorithm().of_library())
        };
        jsonwebtoken::encode(&header, claims, &self.signer).map_err(|_| MintError::Library)
    }

    /// The signature of `message`, for formats that are not JWT.
    pub fn sign_octets(&self, message: &[u8]) -> Result<Vec<u8>, MintError> {
        let text = jsonwebtoken::crypto::sign(message, &self.signer, self.algorithm().of_library());
        let text = text.map_err(|_| MintError::Library)?;
        Ok(URL_SAFE_NO_PAD.decode(text).expect("the library wrote base64url"))
    }
}

const fn curve(kind: Kind) -> &'static EcdsaSigningAlgorithm {
    match kind {
        Kind::P384 => &ECDSA_P384_SHA384_FIXED_SIGNING,
        _ => &ECDSA_P256_SHA256_FIXED_SIGNING,
    }
}

/// PKCS #8 as text (RFC 7468 §10).
fn pem(octets: &[u8]) -> Zeroizing<String> {
    const LINE: usize = 64;
    let body = Zeroizing::new(STANDARD.encode(octets));
    let mut text = Zeroizing::new(String::with_capacity(body.len() + body.len() / LINE + 64));
    text.push_str("-----BEGIN PRIVATE KEY-----\n");
    for at in (0..body.len()).step_by(LINE) {
        text.push_str(&body[at..body.len().min(at + LINE)]);
        text.push('\n');
    }
    text.push_str("-----END PRIVATE KEY-----\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::token::key::KeySet;
    use crate::rules::token::reason::Reason;
    use crate::rules::token::{jwk, jwt};

    const MADE: [Algorithm; 8] = [
        Algorithm::Hs256,
        Algorithm::Hs384,
        Algorithm::Hs512,
        Algorithm::Es256,
        Algorithm::Es384,
        Algorithm::EdDsa,
        Algorithm::Rs256,
        Algorithm::Ps256,
    ];

    fn signing(algorithm: Algorithm, new: &NewKey) -> SigningKey {
        match algorithm.kind() {
            Kind::Secret => SigningKey::from_secret(new.private.as_bytes(), Some(algorithm), None).unwrap(),
            _ => SigningKey::from_pem(&new.private, Some(algorithm), None).unwrap(),
        }
    }

    #[test]
    fn what_a_new_key_signs_its_public_part_verifies_and_no_other() {
        let claims = json!({"iss": "https://issuer.test", "sub": "viewer", "exp": 1_720_000_000});
        let Value::Object(claims) = claims else { unreachable!() };
        for algorithm in MADE {
            let (new, other) = (SigningKey::generate(algorithm).unwrap(), SigningKey::generate(algorithm).unwrap());
            let key = signing(algorithm, &new);
            let token = key.sign("JWT", &claims).unwrap();
            let keys = match &new.public {
                Some(public) => jwk::read_set(json!({"keys": [public]}).to_string().as_bytes(), &[]).unwrap(),
                None => KeySet::of([key.verifier().clone()]).unwrap(),
            };
            let verified = jwt::verify(&token, &keys, &jwt::JwtTerms::default()).unwrap();
            assert_eq!(verified.claims.subject.as_deref(), Some("viewer"));
            assert_eq!(verified.key, key.verifier());
            let others = KeySet::of([signing(algorithm, &other).verifier().clone()]).unwrap();
            let reason = jwt::verify(&token, &others, &jwt::JwtTerms::default()).unwrap_err().reason;
            assert!(matches!(reason, Reason::KeyUnknown | Reason::SignatureBad), "{algorithm:?} {reason:?}");
            let message = b"any octets";
            let signature = key.sign_octets(message).unwrap();
            assert!(key.verifier().verifies(message, &signature));
            assert!(!key.verifier().verifies(b"other octets", &signature));
        }
    }

    #[test]
    fn an_identifier_is_the_thumbprint_of_the_public_part_and_nothing_private_is_printed() {
        let new = SigningKey::generate(Algorithm::Es256).unwrap();
        let key = signing(Algorithm::Es256, &new);
        let public = new.public.as_ref().unwrap();
        assert_eq!(public["kid"], json!(URL_SAFE_NO_PAD.encode(key.verifier().print())));
        assert!(public.get("d").is_none());
        assert_eq!(format!("{key:?}"), "SigningKey(ES256)");
        assert!(!format!("{:?}", key.verifier()).contains(public["x"].as_str().unwrap()));
    }

    #[test]
    fn only_private_keys_of_the_right_kind_and_secrets_of_the_right_length_sign() {
        let new = SigningKey::generate(Algorithm::Es256).unwrap();
        let of = |text: &str, algorithm| SigningKey::from_pem(text, algorithm, None).map(|_| ());
        assert_eq!(of(&new.private, Some(Algorithm::Rs256)), Err(BadKey::Algorithm.into()));
        assert_eq!(of(&new.private.replace("PRIVATE", "EC PRIVATE"), None), Err(MintError::Form));
        assert_eq!(of("", None), Err(MintError::Form));
        let secret = |octets: &[u8], algorithm| SigningKey::from_secret(octets, Some(algorithm), None).map(|_| ());
        assert_eq!(secret(&[7; 31], Algorithm::Hs256), Err(BadKey::Short.into()));
        assert_eq!(secret(&[7; 63], Algorithm::Hs512), Err(BadKey::Short.into()));
        assert_eq!(secret(&[7; 64], Algorithm::Hs512), Ok(()));
        assert_eq!(secret(&[7; 64], Algorithm::Es256), Err(BadKey::Algorithm.into()));
    }
}
