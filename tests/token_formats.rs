//! Tokens of the other formats that others made, each with the verdict it must get: Common Access Tokens by `pycose`, `cwt`
//! and the npm library `@eyevinn/cat`, URI signing by `PyJWT` and `jose`, edge tokens by their formula, and by hand what no
//! library would make. The scripts beside the tables make them anew.

#![expect(clippy::unwrap_used, reason = "what cannot be read fails the test")]

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use proptest::prelude::*;
use serde_json::Value;
use weir::rules::token::any::Unverified;
use weir::rules::token::scope::Asked;
use weir::rules::token::terms::{AnyPath, FormatTerms, HdntsTerms, OlderHash};
use weir::rules::token::verdict::{Facts, Terms};
use weir::rules::token::{Claims, Format, KeySet, Rejection, jwk, verdict};

const TABLES: [&str; 2] = ["formats_python.json", "formats_node.json"];
const FORMATS: [(&str, Format); 4] =
    [("jwt", Format::Jwt), ("uri-signing", Format::UriSigning), ("cat", Format::Cat), ("hdnts", Format::Hdnts)];
/// How many cases there are of each format, at least.
const LEAST: usize = 50;

fn table(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tokens").join(name);
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn key_sets(table: &Value) -> BTreeMap<&str, KeySet> {
    let sets = table["keys"].as_object().unwrap().iter();
    sets.map(|(name, set)| {
        let keys = match set["secret"].as_str() {
            Some(secret) => KeySet::of([jwk::read_secret(secret.as_bytes(), None, &[]).unwrap()]).unwrap(),
            None => jwk::read_set(set["jwks"].to_string().as_bytes(), &[]).unwrap(),
        };
        (name.as_str(), keys)
    })
    .collect()
}

/// A case, and what it is judged by.
struct Case<'t> {
    case: &'t Value,
    keys: &'t KeySet,
    now: u64,
    url: Uri,
}

impl Case<'_> {
    fn name(&self) -> &str {
        self.case["name"].as_str().unwrap()
    }

    fn asked(&self) -> Asked<'_> {
        Asked {
            scheme: self.url.scheme_str().unwrap(),
            host: self.url.host().unwrap(),
            port: self.url.port_u16(),
            path: self.url.path(),
            query: self.url.query(),
        }
    }

    fn terms(&self) -> FormatTerms {
        let format = |name: &&str| FORMATS.iter().find(|(other, _)| other == name).unwrap().1;
        let is_set = |name: &str| self.case[name].as_bool().unwrap_or_default();
        FormatTerms {
            formats: texts(&self.case["formats"]).iter().map(format).collect(),
            hdnts: HdntsTerms {
                salt: self.case["salt"].as_str().map(|salt| salt.to_owned().into()),
                older: if is_set("sha1") { OlderHash::Sha1 } else { OlderHash::Refused },
                any: if is_set("any") { AnyPath::Allowed } else { AnyPath::Refused },
            },
            ..FormatTerms::default()
        }
    }

    fn claims(&self) -> Result<Claims, Rejection> {
        let token = Unverified::read(self.case["token"].as_str().unwrap())?;
        token.verify(self.keys, &self.terms(), &self.asked()).map(|verified| verified.claims)
    }

    fn judge(&self) -> Result<(), Rejection> {
        let claims = self.claims()?;
        let headers: HeaderMap = self.case["headers"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, value)| {
                (
                    HeaderName::from_bytes(name.as_bytes()).unwrap(),
                    HeaderValue::from_str(value.as_str().unwrap()).unwrap(),
                )
            })
            .collect();
        let issuers: Vec<Box<str>> = match &self.case["issuers"] {
            Value::Null => vec!["https://issuer.test".into()],
            list => texts(list).into_iter().map(Into::into).collect(),
        };
        let terms = Terms {
            issuers: &issuers,
            audience: self.case.get("audience").map_or(Some("weir-edge"), Value::as_str),
            leeway: Duration::from_secs(5),
            max_lifetime: None,
        };
        let method = Method::from_bytes(self.case["method"].as_str().unwrap_or("GET").as_bytes()).unwrap();
        let facts = Facts {
            asked: self.asked(),
            method: &method,
            address: self.case["address"].as_str().unwrap_or("192.0.2.1").parse::<IpAddr>().unwrap(),
            alpn: self.case["alpn"].as_str(),
            country: self.case["country"].as_str(),
            headers: &headers,
        };
        verdict::judge(&claims, &terms, &facts, self.now)
    }
}

/// Calls with each case of all tables.
fn each(mut call: impl FnMut(&Case<'_>)) {
    for table in TABLES.map(table) {
        let sets = key_sets(&table);
        for case in table["cases"].as_array().unwrap() {
            let url = case["url"].as_str().unwrap_or(table["url"].as_str().unwrap()).parse().unwrap();
            let keys = &sets[case["keys"].as_str().unwrap()];
            call(&Case { case, keys, now: table["now"].as_u64().unwrap(), url });
        }
    }
}

#[test]
fn every_token_of_others_gets_its_verdict() {
    let (mut faults, mut counts) = (Vec::new(), BTreeMap::new());
    each(|case| {
        let kind = case.name().split(':').next().unwrap().to_owned();
        *counts.entry(kind).or_insert(0) += 1;
        let verdict = case.judge();
        let word = verdict.map_or_else(|rejection| rejection.reason.word(), |()| "ok");
        let expected = case.case["verdict"].as_str().unwrap();
        if word != expected {
            faults.push(format!("{}: {word} ({verdict:?}) in place of {expected}", case.name()));
        }
    });
    println!("{counts:?}");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(["cat", "uri", "hdnts"].iter().all(|kind| counts[*kind] >= LEAST), "{counts:?}");
}

#[test]
fn a_scope_comes_back_from_its_octets_and_covers_the_same() {
    use weir::rules::token::Scope;
    use weir::rules::token::cat::UriMatch;
    use weir::rules::token::hdnts::Acl;
    use weir::rules::token::uri_signing::Container;
    each(|case| {
        let Ok(claims) = case.claims() else { return };
        let mut out = Vec::new();
        let back = match &claims.scope {
            Scope::Everything | Scope::Paths(_) => return,
            Scope::Container(container) => {
                container.write(&mut out);
                Container::read(&mut &out[..]).map(Scope::Container)
            }
            Scope::Acl(acl) => {
                acl.write(&mut out);
                Acl::read(&mut &out[..]).map(Scope::Acl)
            }
            Scope::Components(matches) => {
                matches.iter().for_each(|one| one.write(&mut out));
                let mut input = &out[..];
                matches.iter().map(|_| UriMatch::read(&mut input)).collect::<Option<_>>().map(Scope::Components)
            }
        };
        assert_eq!(back.as_ref(), Some(&claims.scope), "{}", case.name());
        assert_eq!(back.unwrap().covers(&case.asked()), claims.scope.covers(&case.asked()), "{}", case.name());
    });
}

#[test]
fn no_octet_of_a_token_that_was_changed_leaves_it_valid() {
    each(|case| {
        let token = case.case["token"].as_str().unwrap();
        // The unprotected header is not signed: only a key's name may stand in it and mean something.
        let has_more_in_header = case.name() == "cat: a key that the token brings";
        if case.judge().is_err() || token.len() > 500 || has_more_in_header {
            return;
        }
        for at in (0..token.len()).step_by(7) {
            let mut changed = token.as_bytes().to_vec();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = Value::from(String::from_utf8(changed).unwrap());
            let mut other = case.case.clone();
            other["token"] = changed.clone();
            let other = Case { case: &other, keys: case.keys, now: case.now, url: case.url.clone() };
            // The hash of an edge token is hex in either case, and its name in front says nothing.
            let is_same = token.eq_ignore_ascii_case(changed.as_str().unwrap());
            assert!(is_same || other.judge().is_err(), "{} at {at}", case.name());
        }
    });
}

#[test]
fn a_print_is_of_what_is_signed() {
    let table = table(TABLES[0]);
    let print = |name: &str| {
        let case = table["cases"].as_array().unwrap().iter().find(|case| case["name"] == name).expect(name);
        Unverified::read(case["token"].as_str().unwrap()).unwrap().print()
    };
    // The same claims: the headers that nobody signs differ.
    let plain = print("cat: HS256 by pycose");
    assert_eq!(print("cat: without tag 61"), plain);
    assert_eq!(print("cat: no kid"), plain);
    assert_eq!(print("cat: a key that the token brings"), plain);
    assert_ne!(print("cat: expired"), plain);
    assert_eq!(print("hdnts: a pattern"), print("hdnts: with its name"));
    assert_eq!(print("hdnts: a pattern"), print("hdnts: a hash in upper case"));
    // Neither names its URL: the hash tells them apart.
    assert_ne!(print("hdnts: one URL"), print("hdnts: one URL with its query"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn whatever_comes_is_refused_and_nothing_panics(token in r"(hdnts=|2D3R|eyJ|0|)[ -~]{0,80}(~hmac=[0-9a-f]{64})?") {
        let asked = Asked { scheme: "https", host: "live.example.com", port: None, path: "/a", query: None };
        let terms = FormatTerms { formats: FORMATS.map(|(_, format)| format).to_vec(), ..FormatTerms::default() };
        let keys = KeySet::of([jwk::read_secret(&[7; 32], None, &[]).unwrap()]).unwrap();
        let verdict = Unverified::read(&token).and_then(|token| token.verify(&keys, &terms, &asked).map(|_| ()));
        prop_assert!(verdict.is_err());
    }
}
