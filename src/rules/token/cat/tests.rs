//! What is signed here is read here; renewals; bounds of cost; answers where a claim fails.

use super::*;
use crate::rules::token::any::Unverified as Any;
use crate::rules::token::claims::Format;
use crate::rules::token::key::KeySet;
use crate::rules::token::renewal::{self, Carried, Deadline};
use crate::rules::token::scope::Asked;
use crate::rules::token::terms::CatrDeadline;
use crate::rules::token::uri_signing;

const NOW: u64 = 1_720_000_000;
const ASKED: Asked<'static> =
    Asked { scheme: "https", host: "live.example.com", port: None, path: "/event1/main.m3u8", query: None };

fn key(algorithm: Algorithm) -> SigningKey {
    let new = SigningKey::generate(algorithm).unwrap();
    match algorithm {
        Algorithm::Hs256 | Algorithm::Hs512 => {
            SigningKey::from_secret(new.private.as_bytes(), Some(algorithm), Some("k")).unwrap()
        }
        _ => SigningKey::from_pem(&new.private, Some(algorithm), Some("k")).unwrap(),
    }
}

fn keys(key: &SigningKey) -> KeySet {
    KeySet::of([key.verifier().clone()]).unwrap()
}

fn map<'a>(entries: impl IntoIterator<Item = (i128, Value<'a>)>) -> Value<'a> {
    let mut map = Map::default();
    entries.into_iter().for_each(|(label, value)| map.set(label, value));
    Value::Map(map)
}

fn whole<'a>(number: u64) -> Value<'a> {
    Value::Whole(number.into())
}

fn terms(deadline: Option<CatrDeadline>) -> FormatTerms {
    FormatTerms { formats: vec![Format::Cat, Format::UriSigning], catr_deadline: deadline, ..FormatTerms::default() }
}

fn read(token: &str, key: &SigningKey, terms: &FormatTerms) -> Result<Claims, Rejection> {
    Any::read(token)?.verify(&keys(key), terms, &ASKED).map(|verified| verified.claims)
}

#[test]
fn what_is_signed_here_is_read_here_by_each_algorithm() {
    for algorithm in [Algorithm::Hs256, Algorithm::Es256, Algorithm::Ps256, Algorithm::EdDsa] {
        let (key, other) = (key(algorithm), key(algorithm));
        // Half of the signatures of ECDSA would be high.
        for number in 0..8 {
            let claims = map([(label::EXP, whole(NOW + number)), (label::SUB, Value::Text("viewer".into()))]);
            let token = sign(&claims, &key).unwrap();
            let verified = read(&token, &key, &terms(None)).unwrap();
            assert_eq!((verified.expires, verified.subject.as_deref()), (Some(NOW + number), Some("viewer")));
            assert_eq!(read(&token, &other, &terms(None)).unwrap_err().reason, Reason::SignatureBad);
        }
    }
    for algorithm in [Algorithm::Hs512, Algorithm::Es384] {
        assert_eq!(sign(&map([]), &key(algorithm)), Err(BadKey::Algorithm.into()));
    }
}

#[test]
fn the_other_signature_of_two_is_the_one_with_a_low_s() {
    let mut high = vec![7; 64];
    high[32..].copy_from_slice(&ORDER);
    high[63] -= 1;
    let low = with_low_s(high.clone());
    let mut one = [0; 32];
    one[31] = 1;
    assert_eq!(low[32..], one);
    assert_eq!(low[..32], high[..32]);
    let mut half = high.clone();
    half[32..].copy_from_slice(&HALF_ORDER);
    assert!(!is_high(&half));
    half[63] += 1;
    assert!(is_high(&half));
    assert_eq!(with_low_s(half)[32..], HALF_ORDER);
    assert!(!is_high(&[0xff; 40]));
}

#[test]
fn a_renewed_token_says_the_same_but_for_its_times() {
    let key = key(Algorithm::Es256);
    let catr = |more: &[(i128, u64)]| {
        map([(0, whole(1)), (1, whole(120))].into_iter().chain(more.iter().map(|(key, value)| (*key, whole(*value)))))
    };
    let claims = |catr| {
        map([
            (label::EXP, whole(NOW + 50)),
            (label::IAT, whole(NOW - 70)),
            (label::CTI, Value::Octets(vec![1, 2].into())),
            (label::CATM, Value::List(vec![Value::Text("GET".into())])),
            (label::CATR, catr),
        ])
    };
    let old = read(&sign(&claims(catr(&[])), &key).unwrap(), &key, &terms(None)).unwrap();
    let times = renewal::renew(&old, NOW, None).unwrap();
    assert_eq!(times.expires, NOW + 120);
    let token = old.renewal.as_ref().unwrap().token(times, &key).unwrap();
    let new = read(&token, &key, &terms(None)).unwrap();
    assert_eq!((new.expires, new.issued_at), (Some(NOW + 120), Some(NOW)));
    let same = Claims { expires: old.expires, issued_at: old.issued_at, renewal: None, ..new.clone() };
    assert_eq!(same, Claims { renewal: None, ..old });
    assert_eq!(new.renewal.map(|renewal| renewal.carried), Some(Carried::Cookie { name: None, attributes: vec![] }));
    for (terms, deadline) in [
        (terms(None), Deadline::Unread),
        (terms(Some(CatrDeadline::Absolute)), Deadline::At(30)),
        (terms(Some(CatrDeadline::BeforeExpiry)), Deadline::BeforeExpiry(30)),
    ] {
        let token = sign(&claims(catr(&[(2, 30)])), &key).unwrap();
        assert_eq!(read(&token, &key, &terms).unwrap().renewal.map(|renewal| renewal.deadline), Some(deadline));
    }
}

#[test]
fn a_renewed_package_says_the_same_but_for_its_times() {
    let key = key(Algorithm::EdDsa);
    let claims = serde_json::json!({
        "iss": "https://issuer.test", "exp": NOW + 20, "iat": NOW - 40, "jti": "one", "cdniuc": "regex:.*", "cdniets": 60,
        "cdnistt": 1, "cdnistd": 1, "other": {"kept": [1.5, null]},
    });
    let serde_json::Value::Object(claims) = claims else { unreachable!("it is an object") };
    let token = key.sign("JWT", &claims).unwrap();
    let old = read(&token, &key, &terms(None)).unwrap();
    assert_eq!(old.format, Format::UriSigning);
    let renewal = old.renewal.as_ref().unwrap();
    assert_eq!(renewal.carried, Carried::Package { segments: 1 });
    let new = renewal.token(renewal::renew(&old, NOW, None).unwrap(), &key).unwrap();
    let new = read(&new, &key, &terms(None)).unwrap();
    assert_eq!((new.expires, new.issued_at, new.id.as_deref()), (Some(NOW + 60), Some(NOW), Some("one")));
    assert_eq!(new.scope, old.scope);
    assert_eq!(renewal::renew(&new, NOW, None), None);
    assert!(uri_signing::Unverified::read(&token).unwrap().kid().is_some());
}

#[test]
fn an_answer_of_a_token_has_a_status_and_fields_that_it_may_choose() {
    let answer = |status, fields: &[(&'static str, &'static str)]| {
        FailureAnswer::new(label::EXP, status, fields.iter().copied())
    };
    for status in [0, 200, 299, 500, 503, 999, 1_000] {
        assert_eq!(answer(status, &[]), None, "{status}");
    }
    let chosen = [
        ("Location", "https://example.com/login?a=b"),
        ("Set-Cookie", "a=b"),
        ("Access-Control-Allow-Origin", "*"),
        ("Content-Length", "0"),
        ("Retry-After", "5"),
        ("Cache-Control", "no-store\r\nSet-Cookie: a=b"),
        ("no name", "x"),
    ];
    let answer_of_all = answer(302, &chosen).unwrap();
    let names: Vec<_> = answer_of_all.fields().iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!((answer_of_all.status().as_u16(), &names[..]), (302, &["location", "retry-after"][..]));
    for place in ["javascript:alert(1)", "//example.com/", "/\\example.com", "data:x", ""] {
        assert!(answer(302, &[("Location", place)]).unwrap().fields().is_empty(), "{place}");
    }
    assert!(answer_of_all.is_for(Reason::TokenExpired));
    assert!(!answer_of_all.is_for(Reason::TokenNotYet));
    assert!(!answer_of_all.is_for(Reason::Revoked));
}

#[test]
fn what_is_known_before_the_signature_is_who_issued_it_and_its_key() {
    let key = key(Algorithm::Hs256);
    let token = sign(&map([(label::ISS, Value::Text("https://issuer.test".into()))]), &key).unwrap();
    let unverified = Any::read(&token).unwrap();
    assert_eq!(unverified.format(), Format::Cat);
    assert_eq!(unverified.issuer().as_deref(), Some("https://issuer.test"));
    assert_eq!(unverified.kid(), Some("k"));
}
