//! An issuer that answers as it is told, over real sockets, and time that moves by hand.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ciborium::Value;
use coset::{CoseMac0Builder, HeaderBuilder, TaggedCborSerializable, iana};
use http::{HeaderMap, HeaderValue, Method};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::clock::WallTime;
use crate::config::Machine;
use crate::rules::session::Grant;
use crate::rules::token::carrier::{Credential, Kind, Place};
use crate::rules::token::mint::{NewKey, SigningKey};
use crate::rules::token::scope::Asked;
use crate::rules::token::verdict::Facts;
use crate::rules::token::{Algorithm, Rejection, Scope};

const NOW: u64 = 1_795_000_000;
const SECRET: &str = "S3cret-of-the-paywall-0123456789";

/// An issuer's JWKS endpoint.
struct Issuer {
    listener: TcpListener,
    url: String,
}

impl Issuer {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
        Self { listener, url }
    }

    /// The head of the next request, and its connection.
    async fn asked(&self) -> (String, TcpStream) {
        let (mut socket, _) = self.listener.accept().await.unwrap();
        let (mut head, mut buffer) = (Vec::new(), [0; 1_024]);
        while !head.windows(4).any(|end| end == b"\r\n\r\n") {
            let read = socket.read(&mut buffer).await.unwrap();
            assert!(read > 0, "a request ended early");
            head.extend_from_slice(&buffer[..read]);
        }
        (String::from_utf8(head).unwrap(), socket)
    }

    /// Answers the next request; its head.
    async fn answer(&self, status: &str, fields: &str, body: &str) -> String {
        let (head, mut socket) = self.asked().await;
        let text = format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len());
        // A body that is too large is not read to its end.
        _ = socket.write_all(text.as_bytes()).await;
        _ = socket.read_to_end(&mut Vec::new()).await;
        head
    }

    async fn publish<const N: usize>(&self, keys: [&SigningKey; N], fields: &str) -> String {
        self.answer("200 OK", fields, &jwks(&keys)).await
    }
}

fn jwks(keys: &[&SigningKey]) -> String {
    json!({ "keys": keys.iter().map(|key| key.public_jwk().unwrap()).collect::<Vec<_>>() }).to_string()
}

fn key(kid: &str) -> SigningKey {
    let NewKey { private, .. } = SigningKey::generate(Algorithm::Es256).unwrap();
    SigningKey::from_pem(&private, None, Some(kid)).unwrap()
}

struct Stage {
    clock: Clock,
    accesses: Accesses,
    region: RegionKeys,
}

impl Stage {
    fn new(access: &str, folder: &Path) -> Self {
        let clock = Clock::manual(WallTime::at(Duration::from_secs(NOW)));
        let region = RegionKeys::random();
        let config = config(access, folder);
        let accesses = Accesses::new(&config, &region, (clock.clone(), Tasks::current())).unwrap();
        Self { clock, accesses, region }
    }

    fn fetching(url: &str) -> Self {
        Self::new(&format!("issuer = \"https://i\"\naudience = \"weir\"\njwks = \"{url}\""), Path::new(""))
    }

    fn gate(&self) -> Arc<Gate> {
        self.accesses.gate("m").unwrap()
    }

    fn keys(&self) -> Arc<IssuerKeys> {
        self.accesses.gates.load()["m"].keys[0].clone()
    }

    fn figures(&self) -> KeysFigures {
        self.accesses.figures().remove(0).issuers.remove(0)
    }

    fn now(&self) -> u64 {
        self.clock.wall().since_epoch().as_secs()
    }

    fn verify(&self, token: &str) -> Result<Grant, Rejection> {
        verify_at(&self.gate(), token, "/live/main.m3u8", self.now())
    }
}

fn config(access: &str, folder: &Path) -> Config {
    let text = format!(
        "[listen]\nhttp = [\"[::]:8080\"]\n[origins.a]\nurl = \"http://h\"\n[[route]]\norigins = [\"a\"]\naccess = \"m\"\n[access.m]\n{access}\n"
    );
    let machine = Machine { name: "edge-1".to_owned(), cores: 4, memory: 8 << 30 };
    Config::parse_on(&machine, &text, folder).unwrap_or_else(|problems| panic!("{problems}")).0
}

fn headers() -> HeaderMap {
    HeaderMap::from_iter([(http::header::USER_AGENT, HeaderValue::from_static("Player/1"))])
}

fn facts<'f>(path: &'f str, headers: &'f HeaderMap) -> Facts<'f> {
    Facts {
        asked: Asked { scheme: "https", host: "live.example.com", port: None, path, query: None },
        method: &Method::GET,
        address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)),
        alpn: None,
        country: None,
        headers,
    }
}

fn verify_at(gate: &Gate, token: &str, path: &str, now: u64) -> Result<Grant, Rejection> {
    let headers = headers();
    gate.verify(token, &facts(path, &headers), now)
}

fn word(outcome: Result<Grant, Rejection>) -> &'static str {
    outcome.map_or_else(|why| why.reason.word(), |_| "ok")
}

fn claims(more: serde_json::Value) -> serde_json::Map<String, serde_json::Value> {
    let mut claims = json!({ "iss": "https://i", "aud": "weir", "exp": NOW + 300, "iat": NOW, "sub": "alice", "jti": "t1", "path": "/live" });
    let all = claims.as_object_mut().unwrap();
    all.extend(more.as_object().cloned().unwrap_or_default());
    all.clone()
}

fn token(key: &SigningKey) -> String {
    key.sign("JWT", &claims(json!({}))).unwrap()
}

#[tokio::test]
async fn keys_are_fetched_kept_by_etag_and_counted() {
    let (issuer, one) = (Issuer::new().await, key("k1"));
    let stage = Stage::fetching(&issuer.url);
    assert_eq!(word(stage.verify(&token(&one))), "keys-unavailable");
    let head = issuer.publish([&one], "ETag: \"a\"\r\nCache-Control: max-age=600\r\n").await;
    assert!(head.starts_with("GET /jwks.json HTTP/1.1\r\n") && !head.contains("if-none-match"), "{head}");
    stage.keys().attempted(1).await;
    let by_one = token(&one);
    assert_eq!((word(stage.verify(&by_one)), word(stage.verify(&by_one))), ("ok", "ok"));
    let generation = stage.keys().generation();
    assert_eq!(
        stage.figures().keys,
        [KeyFigures { kid: Some("k1".into()), algorithm: "ES256", used: 1, last_used: Some(NOW) }]
    );
    assert_eq!(stage.accesses.common.figures.remembered.load(Relaxed), 1);

    stage.clock.advance(Duration::from_secs(600));
    let head = issuer.answer("304 Not Modified", "ETag: \"a\"\r\n", "").await;
    assert!(head.contains("if-none-match: \"a\""), "{head}");
    stage.keys().attempted(2).await;
    assert_eq!(stage.keys().generation(), generation);
    assert_eq!(stage.figures().age, Some(Duration::ZERO));
}

#[tokio::test]
async fn a_key_that_is_withdrawn_counts_no_more_not_even_for_what_it_had_verified() {
    let (issuer, old, new) = (Issuer::new().await, key("old"), key("new"));
    let stage = Stage::fetching(&issuer.url);
    issuer.publish([&old, &new], "").await;
    stage.keys().attempted(1).await;
    let (by_old, by_new) = (token(&old), token(&new));
    assert_eq!((word(stage.verify(&by_old)), word(stage.verify(&by_new))), ("ok", "ok"), "two keys live at once");
    let used = |stage: &Stage| stage.figures().keys.iter().map(|key| key.used).collect::<Vec<_>>();
    assert_eq!(used(&stage), [1, 1]);

    stage.clock.advance(Duration::from_secs(300));
    issuer.publish([&new], "").await;
    stage.keys().attempted(2).await;
    let later = json!({ "exp": NOW + 900 });
    let fresh = new.sign("JWT", &claims(later.clone())).unwrap();
    assert_eq!(word(stage.verify(&old.sign("JWT", &claims(later)).unwrap())), "key-unknown");
    assert_eq!(word(stage.verify(&fresh)), "ok");
    assert_eq!(used(&stage), [2], "a key that stays keeps its counter");
}

#[tokio::test]
async fn a_withdrawal_reaches_what_is_remembered_at_once() {
    let (issuer, old, new) = (Issuer::new().await, key("old"), key("new"));
    let stage = Stage::fetching(&issuer.url);
    issuer.publish([&old], "").await;
    stage.keys().attempted(1).await;
    let known = old.sign("JWT", &claims(json!({ "exp": NOW + 5_000 }))).unwrap();
    assert_eq!(word(stage.verify(&known)), "ok");
    stage.clock.advance(Duration::from_secs(31));
    // A token of the new key has the set fetched anew, out of turn, and the withdrawal comes with it.
    let gate = stage.gate();
    let by_new = new.sign("JWT", &claims(json!({}))).unwrap();
    let why = stage.verify(&by_new).unwrap_err();
    let (is_news, _) = tokio::join!(gate.refreshed(&by_new, &why), issuer.publish([&new], ""));
    assert!(is_news);
    assert_eq!(word(stage.verify(&by_new)), "ok");
    assert_eq!(word(stage.verify(&known)), "key-unknown");
}

#[tokio::test]
async fn unknown_keys_make_one_fetch_in_half_a_minute_however_many_ask() {
    let (issuer, one, foreign) = (Issuer::new().await, key("k1"), key("foreign"));
    let stage = Stage::fetching(&issuer.url);
    issuer.publish([&one], "").await;
    stage.keys().attempted(1).await;
    stage.clock.advance(Duration::from_secs(2));
    let (gate, stranger) = (stage.gate(), token(&foreign));
    let why = stage.verify(&stranger).unwrap_err();
    assert_eq!(why.reason, Reason::KeyUnknown);
    let (first, second, _) =
        tokio::join!(gate.refreshed(&stranger, &why), gate.refreshed(&stranger, &why), issuer.publish([&one], ""));
    assert!(!first && !second, "it is still not there");
    stage.clock.advance(Duration::from_secs(29));
    assert!(!gate.refreshed(&stranger, &why).await, "this did not ask the issuer");
    stage.clock.advance(Duration::from_secs(1));
    let (is_news, _) = tokio::join!(gate.refreshed(&stranger, &why), issuer.publish([&one, &foreign], ""));
    assert!(is_news);
    assert_eq!(word(stage.verify(&stranger)), "ok");
}

#[tokio::test]
async fn the_last_good_set_outlives_every_failure_with_an_alarm_after_a_day() {
    let (issuer, one) = (Issuer::new().await, key("k1"));
    let stage = Stage::fetching(&issuer.url);
    issuer.publish([&one], "").await;
    stage.keys().attempted(1).await;
    let mut attempts = 1;
    let fails = [
        ("500 Internal Server Error", "", "oops".to_owned()),
        ("200 OK", "", "not JSON".to_owned()),
        ("200 OK", "", json!({ "keys": [] }).to_string()),
        ("200 OK", "", format!("{{\"keys\":[],\"x\":\"{}\"}}", "y".repeat(70_000))),
        ("302 Found", "Location: http://127.0.0.1:1/jwks.json\r\n", String::new()),
        ("302 Found", "Location: //evil.example/jwks.json\r\n", String::new()),
        ("200 OK", "", json!({ "keys": [{ "kty": "oct", "k": URL_SAFE_NO_PAD.encode([7; 32]) }] }).to_string()),
        (
            "200 OK",
            "",
            json!({ "keys": [{ "kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "d": "AA" }] }).to_string(),
        ),
        ("304 Not Modified", "", String::new()),
    ];
    stage.clock.advance(Duration::from_secs(300));
    for (status, fields, body) in fails {
        issuer.answer(status, fields, &body).await;
        attempts += 1;
        stage.keys().attempted(attempts).await;
        let figures = stage.figures();
        assert!(figures.trouble.is_some() && !figures.alarm, "{status} {body}: {figures:?}");
        assert_eq!(figures.keys.len(), 1);
        stage.clock.advance(Duration::from_secs(300));
    }
    stage.clock.advance(Duration::from_hours(24));
    issuer.answer("503 Service Unavailable", "", "").await;
    stage.keys().attempted(attempts + 1).await;
    assert!(stage.figures().alarm);
    let families = stage.accesses.families();
    let alarm = families.iter().find(|family| family.name == "weir_access_keys_alarm").unwrap();
    assert_eq!(alarm.samples[0].value, crate::telemetry::metrics::Value::Gauge(1.0));
    let late = one.sign("JWT", &claims(json!({ "exp": stage.now() + 300 }))).unwrap();
    assert_eq!(word(stage.verify(&late)), "ok", "tokens are verified by the last good set");
}

#[tokio::test]
async fn an_issuer_that_answers_too_slowly_is_given_up_and_asked_again() {
    let (issuer, one) = (Issuer::new().await, key("k1"));
    let stage = Stage::fetching(&issuer.url);
    let (_, silent) = issuer.asked().await;
    stage.clock.advance(jwks::PATIENCE);
    stage.keys().attempted(1).await;
    assert_eq!(stage.figures().trouble.as_deref(), Some("no whole answer within the deadline"));
    drop(silent);
    stage.clock.advance(Duration::from_secs(1));
    issuer.publish([&one], "").await;
    stage.keys().attempted(2).await;
    assert_eq!(word(stage.verify(&token(&one))), "ok");
}

#[tokio::test]
async fn a_redirect_on_the_same_host_is_followed() {
    let (issuer, one) = (Issuer::new().await, key("k1"));
    let stage = Stage::fetching(&issuer.url);
    issuer.answer("301 Moved Permanently", "Location: /v2/jwks.json\r\n", "").await;
    let head = issuer.publish([&one], "").await;
    assert!(head.starts_with("GET /v2/jwks.json "), "{head}");
    stage.keys().attempted(1).await;
    assert_eq!(word(stage.verify(&token(&one))), "ok");
}

#[tokio::test]
async fn living_sessions_need_no_keys() {
    let (issuer, one) = (Issuer::new().await, key("k1"));
    let stage = Stage::fetching(&issuer.url);
    issuer.publish([&one], "").await;
    stage.keys().attempted(1).await;
    let grant = stage.verify(&token(&one)).unwrap();
    let sealed = stage.gate().seal(&grant).unwrap();

    // Another node of the region, whose issuer is away.
    let clock = Clock::manual(WallTime::at(Duration::from_secs(NOW)));
    let other = config("issuer = \"https://i\"\njwks = \"http://127.0.0.1:9/\"", Path::new(""));
    let other = Accesses::new(&other, &stage.region, (clock, Tasks::current())).unwrap();
    let (gate, headers) = (other.gate("m").unwrap(), headers());
    assert_eq!(gate.open(&sealed, &facts("/live/1.ts", &headers), NOW + 3_600), Ok(grant));
    assert_eq!(gate.seal(&gate.open(&sealed, &facts("/live/1.ts", &headers), NOW).unwrap()), Ok(sealed.clone()));
    let beside = gate.open(&sealed, &facts("/other/1.ts", &headers), NOW).unwrap_err();
    assert_eq!(beside.reason, Reason::UriOutOfScope);
    let over = gate.open(&sealed, &facts("/live/1.ts", &headers), NOW + 300 + 86_400).unwrap_err();
    assert_eq!(over.reason, Reason::EntitlementOver);
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret"), SECRET).unwrap();
    folder
}

fn by_secret(more: serde_json::Value) -> String {
    SigningKey::from_secret(SECRET.as_bytes(), None, None).unwrap().sign("JWT", &claims(more)).unwrap()
}

#[tokio::test]
async fn a_token_becomes_a_grant_whose_names_are_this_accesses_own() {
    let folder = folder();
    let stage = Stage::new("issuer = \"https://i\"\nhmac_secret_file = \"secret\"\nmax_sessions = 4", folder.path());
    let grant = stage.verify(&by_secret(json!({ "session_end": NOW + 7_200, "tier": "gold" }))).unwrap();
    assert_eq!((grant.ends, grant.issued_at, grant.max_sessions), (Some(NOW + 7_200), NOW, Some(4)));
    assert_eq!((grant.tier.as_deref(), &grant.scope), (Some("gold"), &Scope::Paths(vec!["/live".into()])));
    assert_eq!(grant.subject, Some(stage.gate().print(Named::Subject, "alice")));
    assert_eq!(grant.subject, stage.accesses.print("m", Named::Subject, "alice"));
    assert_eq!(stage.accesses.print("other", Named::Subject, "alice"), None);
    assert_eq!(grant.key, None);
    // Without an end of what was paid for, a session ends a day after its token: the same however often that is used.
    let without = by_secret(json!({}));
    let first = stage.verify(&without).unwrap();
    stage.clock.advance(Duration::from_secs(100));
    assert_eq!(stage.verify(&without), Ok(first.clone()));
    assert_eq!(first.ends, Some(NOW + 300 + 86_400));
    let limited = stage.verify(&by_secret(json!({ "max_sessions": 1 }))).unwrap();
    assert_eq!(limited.max_sessions, Some(1));
}

#[tokio::test]
async fn what_was_verified_is_remembered_no_longer_than_it_holds() {
    let folder = folder();
    let stage = Stage::new("issuer = \"https://i\"\nhmac_secret_file = \"secret\"", folder.path());
    let short = by_secret(json!({ "exp": NOW + 30 }));
    assert_eq!(word(stage.verify(&short)), "ok");
    assert_eq!(word(verify_at(&stage.gate(), &short, "/live/x", NOW + 34)), "ok");
    assert_eq!(word(verify_at(&stage.gate(), &short, "/live/x", NOW + 35)), "token-expired");
    assert_eq!(word(verify_at(&stage.gate(), &short, "/other", NOW)), "uri-out-of-scope");
    let forged = format!("{}A", &short[..short.len() - 1]);
    for _ in 0..2 {
        assert_eq!(word(stage.verify(&forged)), "signature-bad");
    }
    assert_eq!(stage.figures().keys[0].used, 2, "it is verified anew once it has expired, and remembered for a moment");
}

#[tokio::test]
async fn a_single_issuer_is_judged_by_name_and_several_are_found_by_it() {
    let folder = folder();
    let single = Stage::new("issuer = \"https://i\"\nhmac_secret_file = \"secret\"", folder.path());
    assert_eq!(word(single.verify(&by_secret(json!({ "iss": "https://j" })))), "issuer-unknown");
    std::fs::write(folder.path().join("other"), "another-secret-of-another-issuer").unwrap();
    let several = Stage::new(
        "issuers = [{ issuer = \"https://i\", hmac_secret_file = \"secret\" }, { issuer = \"https://j\", hmac_secret_file = \"other\" }]",
        folder.path(),
    );
    assert_eq!(word(several.verify(&by_secret(json!({})))), "ok");
    assert_eq!(word(several.verify(&by_secret(json!({ "iss": "https://j" })))), "signature-bad", "its key is not i's");
    assert_eq!(word(several.verify(&by_secret(json!({ "iss": "https://k" })))), "issuer-unknown");
    assert_eq!(word(several.verify(&by_secret(json!({ "iss": 1 })))), "issuer-unknown");
}

/// The file has been read anew from now on. A look may be going on that began before: the second one has not.
async fn looked(files: &IssuerKeys) {
    for _ in 0..2 {
        let attempts = *files.attempts_so_far().borrow();
        files.look();
        files.attempted(attempts + 1).await;
    }
}

#[tokio::test]
async fn a_reload_keeps_what_was_fetched_and_a_changed_file_is_read_again() {
    let (issuer, one, folder) = (Issuer::new().await, key("k1"), folder());
    let access = format!(
        "issuers = [{{ issuer = \"https://i\", jwks = \"{}\" }}, {{ issuer = \"https://s\", hmac_secret_file = \"secret\" }}]",
        issuer.url
    );
    let stage = Stage::new(&access, folder.path());
    issuer.publish([&one], "").await;
    stage.keys().attempted(1).await;
    let before = stage.keys();
    let longer = config(&format!("{access}\nleeway = \"30s\""), folder.path());
    stage.accesses.reload(&longer, &stage.region).unwrap();
    assert!(Arc::ptr_eq(&before, &stage.keys()));
    assert_eq!(word(stage.verify(&token(&one))), "ok");

    let files = stage.accesses.gates.load()["m"].keys[1].clone();
    let of_secret = |secret: &str| {
        let key = SigningKey::from_secret(secret.as_bytes(), None, None).unwrap();
        key.sign("JWT", &claims(json!({ "iss": "https://s", "exp": NOW + 900 }))).unwrap()
    };
    assert_eq!(word(stage.verify(&of_secret(SECRET))), "ok");
    let new = "a-new-secret-of-the-same-issuer-01";
    std::fs::write(folder.path().join("secret"), new).unwrap();
    looked(&files).await;
    assert_eq!(word(stage.verify(&of_secret(new))), "ok");
    assert_eq!(word(stage.verify(&of_secret(SECRET))), "signature-bad");

    std::fs::remove_file(folder.path().join("secret")).unwrap();
    looked(&files).await;
    assert_eq!(word(stage.verify(&of_secret(new))), "ok", "the last good key stays in force");
    assert!(files.figures(stage.clock.now()).trouble.is_some());
}

#[tokio::test]
async fn a_set_that_nobody_configures_any_more_is_not_fetched_again() {
    let (issuer, one, folder) = (Issuer::new().await, key("k1"), folder());
    let stage = Stage::fetching(&issuer.url);
    issuer.publish([&one], "").await;
    stage.keys().attempted(1).await;
    let keys = Arc::downgrade(&stage.keys());
    let other = config("issuer = \"https://i\"\nhmac_secret_file = \"secret\"", folder.path());
    stage.accesses.reload(&other, &stage.region).unwrap();
    stage.clock.advance(Duration::from_hours(1));
    while keys.strong_count() > 0 {
        tokio::task::yield_now().await;
    }
}

/// A Common Access Token of a single use.
fn used_once(id: &[u8]) -> String {
    let value = |text: &str| Value::Text(text.to_owned());
    let number = |number: u64| Value::Integer(number.into());
    let claims = Value::Map(vec![
        (number(1), value("https://i")),
        (number(4), number(NOW + 300)),
        (number(7), Value::Bytes(id.to_vec())),
        (number(308), number(1)),
    ]);
    let mut payload = Vec::new();
    ciborium::into_writer(&claims, &mut payload).unwrap();
    let header = HeaderBuilder::new().algorithm(iana::Algorithm::HMAC_256_256).build();
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let token = CoseMac0Builder::new()
        .protected(header)
        .payload(payload)
        .create_tag(&[], |octets| hmac::sign(&key, octets).as_ref().to_vec())
        .build();
    URL_SAFE_NO_PAD.encode(token.to_tagged_vec().unwrap())
}

#[tokio::test]
async fn a_token_of_a_single_use_is_used_once() {
    let folder = folder();
    let stage = Stage::new(
        "issuer = \"https://i\"\nhmac_secret_file = \"secret\"\nformats = [\"cat\", \"jwt\"]",
        folder.path(),
    );
    let (one, headers) = (used_once(b"one"), headers());
    let asked = facts("/live/main.m3u8", &headers);
    assert!(stage.gate().examine(&one, &asked, NOW).is_ok(), "a look uses nothing");
    assert_eq!(word(stage.verify(&one)), "ok");
    assert_eq!(word(stage.verify(&one)), "replayed");
    assert_eq!(stage.gate().examine(&one, &asked, NOW).map_err(|why| why.reason).err(), Some(Reason::Replayed));
    assert_eq!(word(stage.verify(&used_once(b"two"))), "ok");
    let again = config("issuer = \"https://i\"\nhmac_secret_file = \"secret\"\nformats = [\"cat\"]", folder.path());
    stage.accesses.reload(&again, &stage.region).unwrap();
    assert_eq!(word(stage.verify(&one)), "replayed", "a reload forgets nothing");
}

#[tokio::test]
async fn a_report_is_of_whoever_its_credential_names_for_a_while_after_its_end() {
    let folder = folder();
    let stage = Stage::new("issuer = \"https://i\"\nhmac_secret_file = \"secret\"", folder.path());
    let headers = headers();
    let of = |kind, text: &str, now| {
        let credential = Credential { kind, place: Place::Query, name: "t".into(), text: text.into() };
        // What it covers does not count.
        stage.gate().recognise(&credential, &facts("/.weir/cmcd", &headers), now)
    };
    let token = by_secret(json!({ "session_end": NOW + 300 }));
    let grant = stage.verify(&token).unwrap();
    let session = |outcome: Result<Grant, Rejection>| outcome.map(|grant| grant.session).map_err(|why| why.reason);
    for (now, expected) in [
        (NOW, Ok(grant.session)),
        (NOW + 299 + 900, Ok(grant.session)),
        (NOW + 300 + 900, Err(Reason::TokenExpired)),
        (NOW - 3_600, Err(Reason::TokenNotYet)),
    ] {
        assert_eq!(session(of(Kind::Token, &token, now)), expected, "{now}");
    }
    let sealed = stage.gate().seal(&grant).unwrap();
    assert_eq!(session(of(Kind::Session, &sealed, NOW + 1_199)), Ok(grant.session));
    assert_eq!(session(of(Kind::Session, &sealed, NOW + 1_200)), Err(Reason::EntitlementOver));
    let (at, last) = (sealed.len() - 8, if sealed.as_bytes()[sealed.len() - 8] == b'A' { "B" } else { "A" });
    let forged = format!("{}{last}{}", &sealed[..at], &sealed[at + 1..]);
    assert_eq!(session(of(Kind::Session, &forged, NOW)), Err(Reason::SignatureBad));
    let other = Stage::new("issuer = \"https://j\"\nhmac_secret_file = \"secret\"", folder.path());
    let credential =
        Credential { kind: Kind::Token, place: Place::Query, name: "t".into(), text: token.as_str().into() };
    let foreign = other.gate().recognise(&credential, &facts("/.weir/cmcd", &headers), NOW);
    assert_eq!(session(foreign), Err(Reason::IssuerUnknown));
    let bound = by_secret(json!({ "ip": "198.51.100.0/24" }));
    assert_eq!(session(of(Kind::Token, &bound, NOW)), Err(Reason::AddressMismatch));
}
