//! Tokens that others made, each with the verdict it must get: by the npm library `jose`, by `PyJWT`, and by hand what no
//! library would make. The scripts beside the tables make them anew.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use http::{HeaderMap, Method};
use serde_json::Value;
use weir::rules::token::jwt::{ClaimNames, JwtTerms};
use weir::rules::token::scope::Asked;
use weir::rules::token::steps::{Outcome, Skew};
use weir::rules::token::verdict::{Facts, Terms};
use weir::rules::token::{Algorithm, FormatTerms, KeySet, Rejection, any, jwk, jwt, steps, verdict};

const TABLES: [&str; 2] = ["jose.json", "python.json"];
/// What the issue of this product asks for, at least.
const LEAST: usize = 300;

fn table(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tokens").join(name);
    serde_json::from_str(&fs::read_to_string(path).expect("a file of the checkout")).expect("JSON")
}

fn keys(set: &Value) -> KeySet {
    let algorithms: Vec<_> = texts(&set["algorithms"]).iter().map(|name| Algorithm::named(name).expect(name)).collect();
    if let Some(text) = set["pem"].as_str() {
        return jwk::read_pem(text.as_bytes(), None, &algorithms).expect(text);
    }
    if let Some(text) = set["secret"].as_str() {
        return KeySet::of(jwk::read_secret(text.as_bytes(), None, &algorithms)).expect(text);
    }
    jwk::read_set(set["jwks"].to_string().as_bytes(), &algorithms).expect("a JWK set")
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// A case of a table, and how it is judged.
struct Case<'t> {
    case: &'t Value,
    now: u64,
    issuers: Vec<Box<str>>,
    jwt_terms: JwtTerms,
}

impl<'t> Case<'t> {
    fn of(case: &'t Value, now: u64) -> Self {
        let issuers = match &case["issuers"] {
            Value::Null => vec!["https://issuer.test".into()],
            list => texts(list).into_iter().map(Into::into).collect(),
        };
        let pairs = case["claims"].as_object().into_iter().flatten();
        let names = ClaimNames::new(pairs.map(|(ours, theirs)| (ours.as_str(), theirs.as_str().expect("a name"))));
        let jwt_terms = JwtTerms {
            token_type: case["token_type"].as_str().map(Into::into),
            names: names.expect("names that claims may have"),
        };
        Self { case, now, issuers, jwt_terms }
    }

    fn token(&self) -> &'t str {
        self.case["token"].as_str().expect("a token")
    }

    fn terms(&self) -> Terms<'_> {
        let audience = self.case.get("audience").map_or(Some("weir-edge"), Value::as_str);
        Terms {
            issuers: &self.issuers,
            audience,
            leeway: Duration::from_secs(self.case["leeway"].as_u64().unwrap_or(5)),
            max_lifetime: self.case["max_lifetime"].as_u64().map(Duration::from_secs),
        }
    }

    fn facts<'f>(&self, headers: &'f HeaderMap) -> Facts<'f>
    where
        't: 'f,
    {
        let text = |name: &str, other: &'static str| self.case[name].as_str().unwrap_or(other);
        let address: IpAddr = text("address", "192.0.2.7").parse().expect("an address");
        let asked = Asked {
            scheme: "https",
            host: "live.example.com",
            port: None,
            path: text("path", "/live/event1/main.m3u8"),
            query: None,
        };
        let country = self.case["country"].as_str();
        Facts { asked, method: &Method::GET, address, alpn: Some("h2"), country, headers }
    }

    /// As a node does it: the format is told by how the token looks.
    fn judge(&self, keys: &KeySet) -> Result<(), Rejection> {
        let headers = HeaderMap::new();
        let facts = self.facts(&headers);
        let formats = FormatTerms { jwt: self.jwt_terms.clone(), ..FormatTerms::default() };
        let token = any::Unverified::read(self.token())?;
        let claims = token.verify(keys, &formats, &facts.asked)?.claims;
        verdict::judge(&claims, &self.terms(), &facts, self.now)
    }
}

/// Every case of every table, with its keys.
fn for_each(mut judge: impl FnMut(&Case<'_>, &KeySet)) {
    for table in TABLES.map(table) {
        let now = table["now"].as_u64().expect("a moment");
        let sets: Vec<_> =
            table["keys"].as_object().expect("sets of keys").iter().map(|(name, set)| (name, keys(set))).collect();
        for case in table["cases"].as_array().expect("cases") {
            let name = case["keys"].as_str().expect("the name of a set");
            let (_, keys) = sets.iter().find(|(other, _)| *other == name).expect(name);
            judge(&Case::of(case, now), keys);
        }
    }
}

#[test]
fn tokens_of_others_get_the_verdict_they_must_get() {
    let (mut count, mut wrong) = (0, Vec::new());
    let mut makers = std::collections::BTreeMap::<String, usize>::new();
    for_each(|case, keys| {
        let verdict = case.judge(keys);
        let word = verdict.map_or_else(|rejection| rejection.reason.word(), |()| "ok");
        let expected = case.case["verdict"].as_str().expect("a verdict");
        if word != expected {
            let detail = verdict.map_or_else(|rejection| rejection.detail, |()| "");
            wrong.push(format!("{}: {word} and not {expected} ({detail})", case.case["name"]));
        }
        *makers.entry(case.case["by"].to_string()).or_default() += 1;
        count += 1;
    });
    println!("{count} tokens: {makers:?}");
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count >= LEAST && makers.len() >= 3, "{count} {makers:?}");
}

#[test]
fn the_steps_end_where_the_verdict_does_and_say_why() {
    for_each(|case, keys| {
        let checked = jwt::check(case.token(), keys, &case.jwt_terms);
        let headers = HeaderMap::new();
        let facts = case.facts(&headers);
        let steps = steps::steps(&checked, &case.terms(), Some(&facts), case.now);
        let failures: Vec<_> = steps.iter().filter(|step| matches!(step.outcome, Outcome::Fails(_))).collect();
        match case.judge(keys) {
            Ok(()) => assert!(steps.iter().all(|step| step.outcome == Outcome::Holds), "{steps:?}"),
            Err(rejection) => {
                assert_eq!(failures.len(), 1, "{} {steps:?}", case.case["name"]);
                assert_eq!(failures[0].outcome, Outcome::Fails(rejection));
                let at = steps.iter().position(|step| step == failures[0]).expect("it is among them");
                assert!(steps[..at].iter().all(|step| step.outcome == Outcome::Holds));
                assert!(steps[at + 1..].iter().all(|step| step.outcome == Outcome::NotReached));
            }
        }
        if let steps::Checked::Verified(claims) = &checked {
            let without = steps::steps(&checked, &case.terms(), None, case.now);
            assert_eq!(without.len(), steps.len());
            let ahead = claims.issued_at.map(|moment| moment.cast_signed() - case.now.cast_signed());
            assert_eq!(Skew::of(claims, case.now).issued_at, ahead);
        }
    });
}

/// One octet of a token is one of its signature, or of what is signed.
#[test]
fn no_octet_of_a_token_can_be_another() {
    let mut seen = std::collections::BTreeSet::new();
    for_each(|case, keys| {
        let token = case.token();
        let algorithm = jwt::verify(token, keys, &case.jwt_terms).map(|verified| verified.key.algorithm().name());
        let Ok(algorithm) = algorithm else { return };
        if token.len() > 1_000 || !seen.insert(algorithm) {
            return;
        }
        for (at, octet) in token.bytes().enumerate() {
            let other = if octet == b'A' { "B" } else { "A" };
            let changed = format!("{}{other}{}", &token[..at], &token[at + 1..]);
            assert!(jwt::verify(&changed, keys, &case.jwt_terms).is_err(), "{algorithm}, octet {at}: {changed}");
        }
    });
    assert!(seen.len() >= 8, "{seen:?}");
}
