//! A signed token in its compact form (RFC 7515 §7.1), and what its header may say. Nothing here is verified yet.

use std::fmt;

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::NO_PAD;

use super::algorithm::Algorithm;
use super::json::{BadJson, Object, Value};
use super::reason::{Reason, Rejection};

/// The most octets of a token.
pub const LARGEST_TOKEN: usize = 8 * 1_024;
/// The most characters of a key's identifier.
pub const LONGEST_KID: usize = 128;

/// Without padding, and with the unused bits of the last character zero: every octet string has one form (RFC 7515 §2).
const BASE64URL: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, NO_PAD);

const fn malformed(detail: &'static str) -> Rejection {
    Rejection::new(Reason::TokenMalformed, detail)
}

const fn crit(detail: &'static str) -> Rejection {
    Rejection::new(Reason::CritUnknown, detail)
}

/// A token in three parts. It cannot be printed.
#[derive(Clone)]
pub struct Compact<'t> {
    /// What is signed: both parts as they came, and the dot between.
    pub signed: &'t str,
    /// The signature as it came: base64url.
    pub signature_text: &'t str,
    /// The octets of the header.
    pub header: Vec<u8>,
    /// The octets of the payload.
    pub payload: Vec<u8>,
    /// The octets of the signature.
    pub signature: Vec<u8>,
}

impl fmt::Debug for Compact<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Compact(..)")
    }
}

impl<'t> Compact<'t> {
    /// Takes a token apart.
    pub fn read(token: &'t str) -> Result<Self, Rejection> {
        if token.len() > LARGEST_TOKEN {
            return Err(Rejection::new(Reason::TokenTooLarge, "a token has at most 8192 octets"));
        }
        if token.starts_with('{') {
            return Err(malformed("the JSON serialisation is not accepted: send the compact one"));
        }
        let parts: Vec<_> = token.split('.').take(6).collect();
        let [header, payload, signature] = parts[..] else {
            return Err(malformed(match parts.len() {
                5 => "five parts: encrypted tokens are not accepted",
                _ => "a token has three parts, with one dot between each two",
            }));
        };
        let part = |text: &str| BASE64URL.decode(text).map_err(|_| bad_part(text));
        let read = (part(header)?, part(payload)?, part(signature)?);
        if header.is_empty() {
            return Err(malformed("the header is empty"));
        }
        if payload.is_empty() {
            return Err(malformed("the payload is detached: it belongs into the token"));
        }
        Ok(Self {
            signed: &token[..header.len() + 1 + payload.len()],
            signature_text: signature,
            header: read.0,
            payload: read.1,
            signature: read.2,
        })
    }
}

fn bad_part(text: &str) -> Rejection {
    malformed(match text.bytes().find(|octet| !octet.is_ascii_alphanumeric() && !matches!(octet, b'-' | b'_')) {
        Some(b'=') => "base64url in tokens has no padding",
        Some(b'+' | b'/') => "base64url has - and _ in place of + and /",
        Some(octet) if octet.is_ascii_whitespace() => "white space stands in the token",
        Some(_) => "a character of no base64url stands in the token",
        None => "a part is cut short, or the unused bits of its last character are not zero",
    })
}

/// What a header says that matters here. Keys and places of keys that it brings itself (`jwk`, `jku`, `x5u`, `x5c`) are not
/// among it: nobody is asked and nobody is believed (RFC 8725 §3.10).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its algorithm.
    pub algorithm: Algorithm,
    /// The identifier of its key.
    pub kid: Option<Box<str>>,
    /// The type of the whole (`typ`), in lower case and without `application/`.
    pub token_type: Option<Box<str>>,
    /// Whether it brings a key of its own, or a place for one.
    pub brings_key: bool,
}

impl Header {
    /// Judges a header.
    pub fn read(octets: &[u8]) -> Result<Self, Rejection> {
        let header = Object::read(octets).map_err(bad_header)?;
        let text = |name, detail| match header.member(name) {
            None => Ok(None),
            Some(value) => value.text().map(Some).ok_or(malformed(detail)),
        };
        if header.member("enc").is_some() {
            return Err(malformed("the header is that of an encrypted token"));
        }
        let algorithm = algorithm(header.member("alg"))?;
        if let Some(value) = header.member("crit") {
            return Err(bad_crit(value, &header));
        }
        if header.member("b64").is_some_and(|value| *value != Value::Bool(true)) {
            return Err(crit("b64: a payload that is not base64url is not accepted (RFC 7797)"));
        }
        if header.member("zip").is_some() {
            return Err(malformed("zip: compressed payloads are not accepted"));
        }
        let kid = text("kid", "kid is a text")?;
        if kid.is_some_and(|kid| kid.chars().nth(LONGEST_KID).is_some()) {
            return Err(malformed("kid has at most 128 characters"));
        }
        let content_type = text("cty", "cty is a text")?.map(media_type);
        if content_type.as_deref() == Some("jwt") {
            return Err(malformed("cty: a token within a token is not accepted"));
        }
        Ok(Self {
            algorithm,
            kid: kid.map(Into::into),
            token_type: text("typ", "typ is a text")?.map(media_type),
            brings_key: ["jwk", "jku", "x5u", "x5c"].into_iter().any(|name| header.member(name).is_some()),
        })
    }
}

fn bad_header(fault: BadJson) -> Rejection {
    malformed(match fault {
        BadJson::NotUtf8 => "the header is not UTF-8",
        BadJson::ByteOrderMark => "the header begins with a byte order mark",
        BadJson::Syntax => "the header is not JSON",
        BadJson::NotAnObject => "the header is not a JSON object",
        BadJson::Duplicate => "the header has a member twice",
        BadJson::Deep => "the header is nested too deeply",
        BadJson::Many => "the header has too many values",
    })
}

fn algorithm(value: Option<&Value<'_>>) -> Result<Algorithm, Rejection> {
    let refused = |detail| Err(Rejection::new(Reason::AlgRefused, detail));
    let Some(value) = value else { return refused("the header has no alg") };
    let Some(name) = value.text() else { return refused("alg is a text") };
    match Algorithm::named(name) {
        Some(algorithm) => Ok(algorithm),
        None if name.trim().eq_ignore_ascii_case("none") => refused("unsigned tokens are not accepted"),
        None if name.is_empty() => refused("alg is empty"),
        None => refused("alg is none that is accepted here; names are written as in RFC 7518 and RFC 9864"),
    }
}

/// Why a header with `crit` is refused; it always is, for nothing that it could name is understood here (RFC 7515 §4.1.11).
fn bad_crit(value: &Value<'_>, header: &Object<'_>) -> Rejection {
    let Value::List(names) = value else { return crit("crit is a list") };
    let Some(names) = names.iter().map(Value::text).collect::<Option<Vec<_>>>() else {
        return crit("crit is a list of texts");
    };
    if names.is_empty() {
        return crit("crit is not empty where it is there");
    }
    if names.iter().enumerate().any(|(index, name)| names[..index].contains(name)) {
        return crit("crit names something twice");
    }
    if names.iter().any(|name| header.member(name).is_none()) {
        return crit("crit names what the header does not have");
    }
    if names.contains(&"b64") {
        return crit("crit, b64: a payload that is not base64url is not accepted (RFC 7797)");
    }
    crit("crit names what is not understood here")
}

/// A media type without `application/`, which may be left out (RFC 7515 §4.1.9), in lower case.
pub(super) fn media_type(text: &str) -> Box<str> {
    let lower = text.to_ascii_lowercase();
    lower.strip_prefix("application/").unwrap_or(&lower).into()
}
