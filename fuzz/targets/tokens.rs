//! Tokens of every format, their keys, and sessions.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use weir::rules::session::Seals;
use weir::rules::token::any::Unverified as AnyToken;
use weir::rules::token::cat::UriMatch;
use weir::rules::token::cbor::{Key as Label, Lengths, Value as Cbor};
use weir::rules::token::hdnts::Acl;
use weir::rules::token::json::{GREATEST, Object, Rounding};
use weir::rules::token::jws::{Compact, Header as TokenHeader};
use weir::rules::token::jwt::{JwtTerms, Unverified};
use weir::rules::token::mint::SigningKey;
use weir::rules::token::scope::Asked as AskedUri;
use weir::rules::token::terms::CatrDeadline;
use weir::rules::token::uri_signing::Container;
use weir::rules::token::verdict::Terms;
use weir::rules::token::{
    Algorithm, Format, FormatTerms, KeySet, Reason, Scope, cat, jwk, jwt, renewal, scope, verdict,
};
use weir::rules::uri::{Strictness, Target};

/// What is read as an object another reader reads too, with the same members; what no other reads is not read.
pub fn token_json(data: &[u8]) {
    let other = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(data);
    let Ok(object) = Object::read(data) else { return };
    let other = other.expect("another reader reads it");
    assert!(object.members().map(|(name, _)| name).eq(other.keys().map(String::as_str)));
    for (name, value) in object.members() {
        assert_eq!(object.member(name), Some(value));
        assert_eq!(value.text(), other[name].as_str());
        let (down, up) = (value.date(Rounding::Down), value.date(Rounding::Up));
        assert!(down <= up && up.is_none_or(|moment| moment <= GREATEST));
        assert!(down.is_none() || other[name].is_number());
    }
}

/// A token has one form: what was taken apart is put together to the same, and it can be taken apart alone.
pub fn token_jws(data: &[u8]) {
    let Ok(token) = std::str::from_utf8(data) else { return };
    let Ok(compact) = Compact::read(token) else {
        assert!(Unverified::read(token).is_err());
        return;
    };
    let parts = [&compact.header, &compact.payload, &compact.signature].map(|part| URL_SAFE_NO_PAD.encode(part));
    assert_eq!(parts.join("."), token);
    assert_eq!(format!("{}.{}", compact.signed, compact.signature_text), token);
    if let Ok(header) = TokenHeader::read(&compact.header) {
        assert!(header.kid.is_none_or(|kid| kid.chars().count() <= 128));
        assert!(header.token_type.is_none_or(|name| !name.contains(|c: char| c.is_ascii_uppercase())));
    }
}

/// Whatever is a key verifies no signature that nobody made, says nothing of itself, and is found by its identifier.
pub fn token_keys(data: &[u8]) {
    const TRIED: usize = 8;
    let secret = jwk::read_secret(data, None, &[]).into_iter();
    let sets = [jwk::read_set(data, &Algorithm::ALL), jwk::read_pem(data, Some("a"), &[]), KeySet::of(secret)];
    for set in sets.into_iter().flatten() {
        for key in set.keys().iter().take(TRIED) {
            let length = key.algorithm().signature_length().unwrap_or(256);
            assert!(!key.verifies(b"message", &vec![0; length]) && !key.verifies(b"message", b""));
            assert!(key.secret().is_none_or(|secret| secret.len() >= key.algorithm().hash_length()));
            let found = set.choose(key.kid(), key.algorithm()).expect("it is there");
            assert!(key.kid().is_none() || found[0] == key);
        }
        assert!(set.keys().len() <= 100);
    }
}

/// The claims of a signed payload: what is read is within its bounds, paths are canonical, and the token holds until its
/// end and not a second longer.
pub fn token_claims(data: &[u8]) {
    let key = SigningKey::from_secret(&[7; 32], None, None).expect("long enough");
    let keys = KeySet::of([key.verifier().clone()]).expect("one key");
    let message = format!("eyJhbGciOiJIUzI1NiJ9.{}", URL_SAFE_NO_PAD.encode(data));
    let signature = key.sign_octets(message.as_bytes()).expect("a signature");
    let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature));
    let verified = match jwt::verify(&token, &keys, &JwtTerms::default()) {
        Ok(verified) => verified,
        Err(rejection) => {
            let malformed = matches!(rejection.reason, Reason::TokenMalformed | Reason::AudienceMismatch);
            assert!(malformed || data.len() > 6_000, "{rejection:?}");
            return;
        }
    };
    let claims = verified.claims;
    assert!(claims.subject.iter().chain(&claims.id).chain(&claims.session).all(|name| name.chars().count() <= 256));
    assert!(claims.max_sessions.is_none_or(|sessions| sessions > 0));
    if let Scope::Paths(paths) = &claims.scope {
        for path in paths {
            let canonical = Target::canonical(path, None, Strictness::Strict).expect("it was read");
            assert!(canonical.path == **path && path.starts_with('/'));
        }
    }
    let terms = Terms { leeway: Duration::from_secs(5), ..Terms::default() };
    let Some(end) = claims.expires else { return };
    let expired = verdict::of_time_and_party(&claims, &terms, end + 5).expect_err("it is over");
    assert_eq!((expired.reason, expired.expired), (Reason::TokenExpired, Some(end)));
    let before = verdict::of_time_and_party(&claims, &terms, end + 4);
    assert!(before.err().is_none_or(|rejection| rejection.reason != Reason::TokenExpired));
}

/// A prefix covers itself and what lies below it, and nothing else. Two lines: the prefix and the path; a third is a query.
pub fn token_scope(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.split('\n');
    let (Some(prefix), Some(path)) = (lines.next(), lines.next()) else { return };
    let canonical = |path| Target::canonical(path, None, Strictness::Strict).map(|target| target.path.into_owned());
    let (Ok(prefix), Ok(path)) = (canonical(prefix), canonical(path)) else { return };
    let scope = Scope::Paths(vec![prefix.as_str().into()]);
    let covers =
        |path: &str| scope.covers(&AskedUri { scheme: "https", host: "a.test", port: None, path, query: None });
    let folder = prefix.trim_end_matches('/');
    assert_eq!(covers(&path), path == prefix || path.starts_with(&format!("{folder}/")));
    assert!(covers(&prefix) && covers(&format!("{folder}/x")));
    assert!(folder.is_empty() || !covers(&format!("{folder}0")));
    let Some(query) = lines.next() else { return };
    let comparable = |query| scope::comparable_query(query, |name| name == "token");
    if let Some(compared) = comparable(query) {
        assert!(!compared.is_empty() && !compared.split('&').any(|part| part.starts_with("_HLS_")));
        assert_eq!(comparable(&compared), Some(compared.clone()));
    }
}

/// A key that signs what a target makes, and the set that holds it.
fn token_key() -> (SigningKey, KeySet) {
    let key = SigningKey::from_secret(&[7; 32], None, None).expect("long enough");
    let keys = KeySet::of([key.verifier().clone()]).expect("one key");
    (key, keys)
}

const ASKED: AskedUri<'static> =
    AskedUri { scheme: "https", host: "live.example.com", port: None, path: "/event1/main.m3u8", query: Some("a=1") };

fn all_formats() -> FormatTerms {
    let formats = vec![Format::Jwt, Format::UriSigning, Format::Cat, Format::Hdnts];
    FormatTerms { formats, catr_deadline: Some(CatrDeadline::Absolute), ..FormatTerms::default() }
}

/// A scope that goes into a session comes out of it the same, whatever stands behind it.
fn scope_keeps(scope: &Scope) {
    let mut out = Vec::new();
    let back = match scope {
        Scope::Everything | Scope::Paths(_) => return,
        Scope::Container(container) => {
            container.write(&mut out);
            Container::read(&mut &[&out[..], b"rest"].concat()[..]).map(Scope::Container)
        }
        Scope::Acl(acl) => {
            acl.write(&mut out);
            Acl::read(&mut &[&out[..], b"rest"].concat()[..]).map(Scope::Acl)
        }
        Scope::Components(matches) => {
            matches.iter().for_each(|one| one.write(&mut out));
            let mut input = &out[..];
            let back = matches.iter().map(|_| UriMatch::read(&mut input)).collect::<Option<_>>();
            assert!(input.is_empty());
            back.map(Scope::Components)
        }
    };
    assert_eq!(back.as_ref(), Some(scope));
    assert_eq!(back.map(|back| back.covers(&ASKED)), Some(scope.covers(&ASKED)));
}

/// What is read another reader reads too, is written in one form, and is read from that the same. And scopes: what comes out
/// of octets goes back into the same.
pub fn token_cbor(data: &[u8]) {
    if let Ok(value) = Cbor::read(data, Lengths::Any) {
        assert!(ciborium::from_reader::<ciborium::Value, _>(data).is_ok());
        let (mut once, mut twice) = (Vec::new(), Vec::new());
        value.write(&mut once);
        Cbor::read(&once, Lengths::Definite).expect("it was written here").write(&mut twice);
        assert_eq!(once, twice);
    }
    let mut out = Vec::new();
    let mut input = data;
    if let Some(one) = UriMatch::read(&mut input) {
        one.write(&mut out);
        assert_eq!(out, data[..data.len() - input.len()]);
        one.matches(&ASKED);
    }
    let (mut out, mut input) = (Vec::new(), data);
    if let Some(container) = Container::read(&mut input) {
        container.write(&mut out);
        assert_eq!(out, data[..data.len() - input.len()]);
    }
    let (mut out, mut input) = (Vec::new(), data);
    if let Some(acl) = Acl::read(&mut input) {
        acl.write(&mut out);
        assert_eq!(out, data[..data.len() - input.len()]);
        acl.matches(&ASKED);
    }
}

/// A Common Access Token, as a whole and as a signed payload: what is accepted has no claim that is not judged here, and its
/// scope keeps.
pub fn token_cat(data: &[u8]) {
    assert!(cat::Unverified::read_octets(data).is_err() || data.len() > 20);
    let (key, keys) = token_key();
    let head = |length: usize| match length {
        0..24 => vec![0x40 | length as u8],
        24..256 => vec![0x58, length as u8],
        _ => vec![0x59, (length >> 8) as u8, length as u8],
    };
    if data.len() > 6_000 {
        return;
    }
    let payload = [&head(data.len()), data].concat();
    let message = [&b"\x84\x64MAC0\x43\xa1\x01\x05\x40"[..], &payload].concat();
    let tag = key.sign_octets(&message).expect("a tag");
    let token = [&b"\xd1\x84\x43\xa1\x01\x05\xa0"[..], &payload, b"\x58\x20", &tag].concat();
    let token = URL_SAFE_NO_PAD.encode(token);
    let verified = AnyToken::read(&token).and_then(|token| token.verify(&keys, &all_formats(), &ASKED));
    let claims = match verified {
        Ok(verified) => verified.claims,
        Err(rejection) => {
            let reasons = [Reason::TokenMalformed, Reason::ClaimUnknown, Reason::CatLabelUnknown];
            assert!(reasons.contains(&rejection.reason), "{rejection:?}");
            return;
        }
    };
    let payload = Cbor::read(data, Lengths::Any).expect("it was read");
    for (label, _) in payload.map().expect("a map").entries() {
        let is_judged = |label: i128| matches!(label, 1..=7 | 308 | 310..=316 | 320 | 322 | 323);
        assert!(matches!(label, Label::Text(_)) || matches!(label, Label::Whole(label) if is_judged(*label)));
    }
    assert!(claims.networks.as_ref().is_none_or(|networks| !networks.is_empty()));
    scope_keeps(&claims.scope);
    if let (Some(renewal), Some(times)) = (&claims.renewal, renewal::renew(&claims, 1_720_000_000, None)) {
        let token = renewal.token(times, &key).expect("a token");
        let again = AnyToken::read(&token).and_then(|token| token.verify(&keys, &all_formats(), &ASKED));
        assert_eq!(again.expect("it was made here").claims.expires, Some(times.expires));
    }
}

/// URI signing: the claims of a signed payload, else a container and, in a second line, the URI's path. A pattern covers no
/// more than one without anchors would.
pub fn token_uri_signing(data: &[u8]) {
    let (key, keys) = token_key();
    let message = format!("eyJhbGciOiJIUzI1NiJ9.{}", URL_SAFE_NO_PAD.encode(data));
    let signature = key.sign_octets(message.as_bytes()).expect("a signature");
    let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature));
    if let Ok(verified) = AnyToken::read(&token).and_then(|token| token.verify(&keys, &all_formats(), &ASKED)) {
        let is_uri_signing = verified.claims.format == Format::UriSigning;
        assert_eq!(is_uri_signing, matches!(verified.claims.scope, Scope::Container(_)));
        scope_keeps(&verified.claims.scope);
    }
    let Some((container, path)) = std::str::from_utf8(data).ok().and_then(|text| text.split_once('\n')) else { return };
    let (Some(read), Ok(target)) = (Container::parse(container), Target::canonical(path, None, Strictness::Strict))
    else {
        return;
    };
    let scope = Scope::Container(read);
    scope_keeps(&scope);
    let asked = AskedUri { path: &target.path, query: None, ..ASKED };
    let other = AskedUri { host: "other.example.org", ..asked };
    assert!(!(container.starts_with("hash:") && scope.covers(&asked) && scope.covers(&other)));
}

/// Edge tokens: fields, and in a second line the path. What is signed is read or refused, a changed hash never holds, and a
/// pattern covers nothing that does not begin as it does.
pub fn token_hdnts(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (fields, path) = text.split_once('\n').unwrap_or((text, "/event1/main.m3u8"));
    let Ok(target) = Target::canonical(path, None, Strictness::Strict) else { return };
    let asked = AskedUri { path: &target.path, query: None, ..ASKED };
    let (key, keys) = token_key();
    let tag = key.sign_octets(fields.as_bytes()).expect("a tag");
    let hex = |octets: &[u8]| octets.iter().map(|octet| format!("{octet:02x}")).collect::<String>();
    let verify = |token: &str| {
        let token = AnyToken::read(token)?;
        token.verify(&keys, &all_formats(), &asked).map(|verified| verified.claims)
    };
    let mut changed = tag.clone();
    changed[0] ^= 1;
    assert!(verify(&format!("{fields}~hmac={}", hex(&changed))).is_err());
    let Ok(claims) = verify(&format!("{fields}~hmac={}", hex(&tag))) else { return };
    scope_keeps(&claims.scope);
    let Scope::Acl(Acl::Patterns(patterns)) = &claims.scope else { return };
    let begins = |pattern: &str| {
        let literal = pattern.split(['*', '?']).next().unwrap_or_default();
        literal.starts_with('/') && target.path.starts_with(literal)
    };
    assert!(!claims.scope.covers(&asked) || patterns.iter().any(|pattern| begins(pattern)));
}

/// A session: as it comes it opens nothing, and what is sealed with the region's key is read in one way or not at all.
pub fn session_seal(data: &[u8]) {
    const ACCESS: &str = "members";
    let seals = Seals::new(&[7; 32], Some(&[8; 32]));
    if let Ok(text) = std::str::from_utf8(data) {
        assert!(seals.open(ACCESS, text).is_err());
    }
    let key = SigningKey::from_secret(&[7; 32], None, None).expect("a secret");
    let tag = |message: &[u8]| key.sign_octets(message).expect("a tag");
    let octets = [&[1, tag(b"generation")[0]], data].concat();
    let covered = [&(ACCESS.len() as u64).to_be_bytes(), ACCESS.as_bytes(), &octets].concat();
    let text = URL_SAFE_NO_PAD.encode([&octets, &tag(&covered)[..16]].concat());
    if let Ok(grant) = seals.open(ACCESS, &text) {
        assert_eq!(seals.seal(ACCESS, &grant), Ok(text));
        scope_keeps(&grant.scope);
    }
}
