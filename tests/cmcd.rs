//! CMCD as the library of the standard's makers writes it, in all its forms, with what it was written from; and broken
//! forms with what is left of them. `tests/fixtures/cmcd/make.mjs` makes the table anew.

use std::collections::{BTreeMap, BTreeSet};

use http::{HeaderMap, HeaderName};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use weir::rules::qoe::cmcd::{MOST_RECORDS, from_batch, from_request};
use weir::rules::qoe::fault::Fault;
use weir::rules::qoe::read::Read;

#[path = "cmcd/write.rs"]
mod write;

use write::written;

const TABLE: &str = include_str!("fixtures/cmcd/library.json");
/// Fewer would not have every key in every form.
const LEAST: usize = 300;

fn table() -> Vec<Map<String, Value>> {
    serde_json::from_str(TABLE).expect("a table of objects")
}

fn read(case: &Map<String, Value>) -> Result<Read, Fault> {
    match (&*case["form"].to_string(), &case["sent"]) {
        ("\"event\"", Value::String(line)) => event(line),
        ("\"both\"", both) => {
            Ok(from_request(both["query"].as_str(), &headers(&both["fields"])).expect("both are there"))
        }
        (_, Value::String(query)) => Ok(from_request(Some(query), &HeaderMap::new()).expect("the parameter is there")),
        (_, fields) => Ok(from_request(None, &headers(fields)).expect("a field is there")),
    }
}

fn event(line: &str) -> Result<Read, Fault> {
    let mut records = from_batch(line.as_bytes());
    let (raw, read) = records.next().expect("a record");
    assert_eq!((raw, records.next()), (line.as_bytes(), None));
    read
}

fn headers(fields: &Value) -> HeaderMap {
    let field = |(name, value): (&String, &Value)| {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a field's name");
        (name, value.as_str().and_then(|value| value.parse().ok()).expect("a field's value"))
    };
    fields.as_object().expect("fields").iter().map(field).collect()
}

fn said(read: &Read) -> Value {
    let custom: BTreeMap<_, _> = read.custom.iter().cloned().collect();
    let faults: BTreeMap<_, _> = read.faults.iter().map(|(fault, count)| (fault.as_str(), count)).collect();
    json!({ "data": read.data, "sid": read.sid, "custom": custom, "faults": faults })
}

#[test]
fn what_the_library_writes_is_read_as_it_was_meant_and_what_is_broken_dropped_alone() {
    let table = table();
    assert!(table.len() >= LEAST, "{} cases", table.len());
    for case in &table {
        match (read(case), case.get("fault")) {
            (Ok(read), None) => {
                let faults = case.get("faults").cloned().unwrap_or_else(|| json!({}));
                let meant =
                    json!({ "data": case["data"], "sid": case["sid"], "custom": case["custom"], "faults": faults });
                assert!(is_same(&said(&read), &meant), "{}\n{}\n{meant}", case["name"], said(&read));
            }
            (Err(fault), Some(meant)) => assert_eq!(fault.as_str(), meant, "{}", case["name"]),
            (read, meant) => panic!("{}: {read:?}, not {meant:?}", case["name"]),
        }
    }
}

/// `2` is `2.0`, which JSON does not tell apart.
fn is_same(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Number(ours), Value::Number(theirs)) => ours.as_f64() == theirs.as_f64(),
        (Value::Object(ours), Value::Object(theirs)) => {
            let is_there = |(key, value): (&String, &Value)| theirs.get(key).is_some_and(|other| is_same(value, other));
            ours.len() == theirs.len() && ours.iter().all(is_there)
        }
        (Value::Array(ours), Value::Array(theirs)) => {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| is_same(ours, theirs))
        }
        _ => ours == theirs,
    }
}

/// Where the library and the node judge otherwise, and why.
const DIFFERENCES: [(&str, &str); 12] = [
    // What it finds valid, and what is counted here.
    ("negative", "no length, duration or count is negative"),
    ("unreal", "a number that nothing real has would spoil every sum that it came into"),
    ("text for word", "values of another type than their key's are ignored (CTA-5004-B §6), and a text is no token"),
    ("word for text", "nor is a token a text"),
    ("not base64", "such a text is no copy of what it stands for (CTA-5004-B §5, cmsdd)"),
    ("no object", "a parameter of a number names one object type and has no value (CTA-5004-B §4.1.14)"),
    ("no range", "a text that is no range says nothing of one"),
    ("nobody", "an empty name is nobody's"),
    ("no code", "an error without a code says nothing"),
    ("letters", "texts are of ASCII (RFC 9651 §3.3.3); it is kept, for players write it"),
    // What it finds wrong, and what is not counted here.
    ("host", "a change of host is an event (CTA-5004-B §5.12)"),
    ("hesp", "HESP is a streaming format of version 2 (CTA-5004-B §5, sf)"),
];

#[test]
fn what_the_library_finds_valid_is_read_and_what_it_finds_wrong_is_counted_but_for_known_differences() {
    let table = table();
    for case in &table {
        let is_clean = read(case).is_ok_and(|read| read.faults.is_empty());
        let is_same = Value::Bool(is_clean) == case["theirs"];
        assert_eq!(is_same, !case.contains_key("differs"), "{}: {:?}", case["name"], read(case));
    }
    let named: BTreeSet<_> = table.iter().filter_map(|case| case.get("differs")?.as_str()).collect();
    assert_eq!(named, DIFFERENCES.iter().map(|(name, _)| *name).collect());
}

#[test]
fn what_is_read_is_written_and_read_again_as_the_same() {
    for case in &table() {
        if let Ok(read) = read(case) {
            comes_back(&read);
        }
    }
}

fn comes_back(read: &Read) {
    let text = written(read);
    let again = match read.data.e {
        Some(_) => event(&text).unwrap_or_else(|fault| panic!("{text}: {fault:?}")),
        None => {
            let encoded = percent_encoding::utf8_percent_encode(&text, percent_encoding::NON_ALPHANUMERIC);
            from_request(Some(&format!("CMCD={encoded}")), &HeaderMap::new()).expect("the parameter is there")
        }
    };
    assert!(again.faults.iter().all(|(fault, _)| fault == Fault::Irregular), "{text}: {:?}", again.faults);
    assert_eq!((&again.data, &again.sid, &again.custom), (&read.data, &read.sid, &read.custom), "{text}");
}

proptest! {
    #[test]
    fn whatever_is_read_comes_back(
        pairs in prop::collection::vec((
            prop::sample::select(vec![
                "ab", "bg", "bl", "br", "bs", "bsd", "cdn", "cen", "cid", "cmsdd", "cs", "d", "e", "ec", "h", "lb", "ltc", "mtp",
                "nor", "nrr", "ot", "pb", "pr", "pt", "rc", "rtp", "sf", "sid", "sn", "st", "sta", "su", "tab", "tb", "tpb", "ts",
                "ttfb", "ttlb", "url", "v", "a-b", "X-y",
            ]),
            "(=(-?[0-9]{1,6}|[0-9]{1,3}\\.[0-9]{1,3}|[a-z]{1,2}|\"[ -~]{0,12}\"|\\?[01]|\\([0-9]{1,4}(;[vam])?( [0-9]{1,4}(;t?t)?)?\\)|\\(\"[a-z/.?]{0,9}\"(;r=\"[0-9]{0,3}-[0-9]{0,3}\")?\\)))?",
        ), 0..12),
        rest in "(,v=2)?(,e=(t|ps|rr|ce),ts=5,sta=p,url=\"/x\",cen=\"y\")?"
    ) {
        let text = pairs.iter().map(|(key, value)| format!("{key}{value}")).collect::<Vec<_>>().join(",") + &rest;
        if let Ok(value) = text.parse() {
            let fields = HeaderMap::from_iter([(HeaderName::from_static("cmcd-request"), value)]);
            from_request(None, &fields).iter().for_each(comes_back);
        }
        if let Some((_, Ok(read))) = from_batch(text.as_bytes()).next() {
            comes_back(&read);
        }
    }
}

#[test]
fn a_body_of_the_most_records_and_keys_is_read_whole() {
    let keys = ",a-b;c;d;e;f;g;h;i=\"x\"".repeat(61);
    let line = format!("e=t,ts=1,v=2{keys}");
    let body = vec![&*line; MOST_RECORDS].join("\n");
    assert_eq!(from_batch(body.as_bytes()).filter(|(_, read)| read.is_ok()).count(), MOST_RECORDS);
}
