//! Tokens that run out while they are used, and tokens that say what to answer where they open nothing.

use std::path::Path;

use serde_json::json;
use weir::rules::token::Algorithm;
use weir::rules::token::cat;
use weir::rules::token::cbor::{Lengths, Map, Value};
use weir::rules::token::mint::SigningKey;

use super::{MAIN, SECRET, Stream, body, gated, keys, mint, now, secret_file};
use crate::certificates::Authority;
use crate::stage::{Setup, Stage, WAYS, tell};

/// Labels of claims (RFC 8392 §4, CTA-5007).
const ISS: i128 = 1;
const EXP: i128 = 4;
const CTI: i128 = 7;
const CATIF: i128 = 322;
const CATR: i128 = 323;

/// Who renews is whoever has this key: the nodes of one region.
fn keys_and_another(folder: &Path, authority: &Authority) {
    keys(folder, authority);
    let renewal = SigningKey::generate(Algorithm::Es256).unwrap();
    secret_file(&folder.join("renewal.pem"), &renewal.private);
}

fn renewing(stream: &Stream) -> Setup {
    let access = "formats = [\"cat\", \"uri-signing\"]\ninherit = \"none\"\nrenewal_key_file = \"renewal.pem\"";
    Setup { prepare: Some(keys_and_another), ..gated(&stream.origin, access) }
}

fn map<'a>(entries: impl IntoIterator<Item = (i128, Value<'a>)>) -> Value<'a> {
    let mut map = Map::default();
    entries.into_iter().for_each(|(label, value)| map.set(label, value));
    Value::Map(map)
}

/// A Common Access Token of the issuer's.
fn common<'a>(expires: u64, more: impl IntoIterator<Item = (i128, Value<'a>)>) -> String {
    let own = [
        (ISS, Value::Text("https://issuer.test".into())),
        (EXP, Value::Whole(expires.into())),
        (CTI, Value::Octets(b"one"[..].into())),
    ];
    let key = SigningKey::from_secret(SECRET.as_bytes(), None, None).unwrap();
    cat::sign(&map(own.into_iter().chain(more)), &key).unwrap()
}

#[tokio::test]
async fn a_token_that_runs_out_is_followed_by_another_the_way_it_came() {
    for way in WAYS {
        let stream = Stream::start().await;
        tell(way, renewing(&stream), async |stage: &Stage| {
            let catr = || [(CATR, map([(0, Value::Whole(0)), (1, Value::Whole(300))]))];
            let fresh = common(now() + 299, catr());
            let answer = stage.get_with(MAIN, &[("cta-common-access-token", &*fresh)]).await;
            assert_eq!((answer.status.as_u16(), answer.header("cta-common-access-token")), (200, ""));
            let old = common(now() + 20, catr());
            let answer = stage.get_with(MAIN, &[("cta-common-access-token", &*old)]).await;
            let new = answer.header("cta-common-access-token").to_owned();
            assert!(new.starts_with("2D3") && new != old, "{new}");
            assert!(answer.header("cache-control").contains("private"), "{}", answer.header("cache-control"));
            let answer = stage.get_with(MAIN, &[("cta-common-access-token", &*new)]).await;
            assert_eq!((answer.status.as_u16(), answer.header("cta-common-access-token")), (200, ""));
            let cookie = format!("cta-common-access-token={old}");
            let answer = stage.get_with(MAIN, &[("cookie", &*cookie)]).await;
            let cookie = answer.header("set-cookie").split(';').next().unwrap().to_owned();
            assert!(cookie.starts_with("cta-common-access-token=2D3"), "{cookie}");
            assert_eq!(stage.get_with(MAIN, &[("cookie", &*cookie)]).await.status, 200);
        })
        .await;
    }
}

#[tokio::test]
async fn a_package_is_followed_by_another_in_its_cookie() {
    for way in WAYS {
        let stream = Stream::start().await;
        tell(way, renewing(&stream), async |stage: &Stage| {
            let package = mint(&json!({
                "iss": "https://issuer.test", "exp": now() + 10, "cdniuc": "regex:https?://[^/]*/live/a/.*", "cdniets": 60,
                "cdnistt": 1, "cdnistd": 2,
            }));
            let answer = stage.get(&format!("{MAIN}?URISigningPackage={package}")).await;
            let cookie = answer.header("set-cookie").to_owned();
            assert!(cookie.starts_with("URISigningPackage=eyJ") && cookie.contains("; Path=/live/a; Max-Age=60"), "{cookie}");
            let cookie = cookie.split(';').next().unwrap();
            let answer = stage.get_with("/live/a/v/hi.m3u8", &[("cookie", cookie)]).await;
            assert_eq!((answer.status.as_u16(), answer.header("set-cookie")), (200, ""));
            assert_eq!(stage.get_with("/live/b/main.m3u8", &[("cookie", cookie)]).await.status, 403);
            assert!(!stream.heard().contains("eyJ") && !stream.heard().contains("URISigning"), "{}", stream.heard());
        })
        .await;
    }
}

#[tokio::test]
async fn a_token_may_say_what_is_answered_where_it_opens_nothing() {
    for way in WAYS {
        let stream = Stream::start().await;
        tell(way, renewing(&stream), async |stage: &Stage| {
            let fields = texts(&[("Location", "https://paywall.example/again"), ("Set-Cookie", "a=b")]);
            let fields = Value::read(&fields, Lengths::Definite).unwrap();
            let catif = map([(EXP, Value::List(vec![Value::Whole(302), fields]))]);
            let old = common(now() - 60, [(CATIF, catif)]);
            let answer = stage.get_with(MAIN, &[("cta-common-access-token", &*old)]).await;
            assert_eq!((answer.status.as_u16(), answer.header("location")), (302, "https://paywall.example/again"));
            assert_eq!((answer.header("set-cookie"), answer.header("cache-control")), ("", "no-store"));
            assert!(body(answer).await.contains("\"reason\":\"token-expired\""));
            // One inside the signature: of the last one not every bit counts.
            let at = old.len() - 4;
            let other = if old.as_bytes()[at] == b'A' { "B" } else { "A" };
            let forged = format!("{}{other}{}", &old[..at], &old[at + 1..]);
            let answer = stage.get_with(MAIN, &[("cta-common-access-token", &*forged)]).await;
            assert_eq!((answer.status.as_u16(), answer.header("location")), (401, ""));
        })
        .await;
    }
}

/// A map of texts, in octets.
fn texts(pairs: &[(&'static str, &'static str)]) -> Vec<u8> {
    let mut octets = vec![0xa0 | pairs.len() as u8];
    for text in pairs.iter().flat_map(|(name, value)| [*name, *value]) {
        Value::Text(text.into()).write(&mut octets);
    }
    octets
}
