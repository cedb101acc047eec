//! What a token costs: at first sight (taken apart, signature, claims), what is refused before a signature is looked at,
//! and the verdict that every request of a living session gets.

use std::time::Duration;

use divan::{Bencher, black_box};
use http::{HeaderMap, Method};
use serde_json::{Map, Value, json};
use weir::rules::token::jwt::{JwtTerms, Unverified};
use weir::rules::token::mint::SigningKey;
use weir::rules::token::scope::Asked;
use weir::rules::token::verdict::{Facts, Terms};
use weir::rules::token::{Algorithm, KeySet, jwt, verdict};

const NOW: u64 = 1_720_000_000;

fn main() {
    divan::main();
}

fn claims() -> Map<String, Value> {
    let Value::Object(claims) = json!({
        "iss": "https://issuer.test", "aud": "weir-edge", "sub": "viewer-7", "jti": "0b4f6a52-3c1e-4d6c-9a39-6a7f1f0f4c52",
        "iat": NOW - 10, "exp": NOW + 300, "path": "/live/event1", "max_sessions": 2,
    }) else {
        unreachable!("an object")
    };
    claims
}

/// A token, and the set of ten keys that has its key.
fn token(algorithm: Algorithm) -> (String, KeySet) {
    let key = || {
        let new = SigningKey::generate(algorithm).expect("a key");
        match algorithm.signature_length() {
            Some(_) if new.public.is_none() => {
                SigningKey::from_secret(new.private.as_bytes(), Some(algorithm), Some(&new.private[..8]))
                    .expect("a key")
            }
            _ => SigningKey::from_pem(&new.private, Some(algorithm), None).expect("a key"),
        }
    };
    let keys: Vec<_> = std::iter::repeat_with(key).take(10).collect();
    let token = keys[9].sign("JWT", &claims()).expect("a token");
    (token, KeySet::of(keys.iter().map(|key| key.verifier().clone())).expect("a set"))
}

/// Once for each token that was not seen before.
#[divan::bench(args = [Algorithm::Hs256, Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa, Algorithm::Rs256, Algorithm::Ps256])]
fn first_sight(bencher: Bencher, algorithm: Algorithm) {
    let ((token, keys), terms) = (token(algorithm), JwtTerms::default());
    bencher.bench(|| jwt::verify(black_box(&token), &keys, &terms).expect("it holds"));
}

/// What is done before a signature is looked at: an ordinary token, and the dearest that 8 KiB allow.
#[divan::bench(args = ["ordinary", "members", "escapes", "nested"])]
fn taking_apart(bencher: Bencher, form: &str) {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
    let payload = match form {
        "members" => format!("{{{}\"z\":0}}", (0..700).map(|n| format!("\"{n:x}\":0,")).collect::<String>()),
        "escapes" => format!("{{\"a\":\"{}\"}}", "\\u0061".repeat(980)),
        "nested" => format!("{{\"a\":{}}}", "[".repeat(5_900)),
        _ => Value::Object(claims()).to_string(),
    };
    let token = format!("{}.{}.AAAA", BASE64.encode(r#"{"alg":"HS256","kid":"a"}"#), BASE64.encode(payload));
    bencher.bench(|| Unverified::read(black_box(&token)).map(|_| ()).map_err(|rejection| rejection.reason));
}

/// Once for each request with a token, or within a session.
#[divan::bench(sample_size = 1_000)]
fn of_a_request(bencher: Bencher) {
    let ((token, keys), issuers) = (token(Algorithm::Hs256), ["https://issuer.test".into()]);
    let claims = jwt::verify(&token, &keys, &JwtTerms::default()).expect("it holds").claims;
    let leeway = Duration::from_secs(5);
    let terms = Terms { issuers: &issuers, audience: Some("weir-edge"), leeway, max_lifetime: None };
    let headers = HeaderMap::new();
    let asked =
        Asked { scheme: "https", host: "live.example.com", port: None, path: "/live/event1/main.m3u8", query: None };
    let address = [192, 0, 2, 7].into();
    let facts = Facts { asked, method: &Method::GET, address, alpn: Some("h2"), country: None, headers: &headers };
    bencher.bench(|| verdict::judge(black_box(&claims), &terms, black_box(&facts), NOW));
}
