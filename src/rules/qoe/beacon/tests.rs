//! The record in plain words, against its published schema.

use serde_json::json;

use super::*;

const SCHEMA: &str = include_str!("../../../../docs/beacon.schema.json");

fn all(body: &[u8]) -> Result<Vec<Record>, Fault> {
    from_beacon(body).map(|(records, beyond)| {
        assert_eq!(beyond, 0);
        records.collect()
    })
}

fn one(record: &Value) -> Result<Read, Fault> {
    let mut records = all(record.to_string().as_bytes()).unwrap();
    assert_eq!(records.len(), 1);
    records.remove(0).map(|(_, read)| read)
}

fn with(name: &str, value: &Value) -> Read {
    let mut record = json!({ "event": "response", "time_ms": 1, "url": "/a" });
    record[name] = value.clone();
    one(&record).unwrap()
}

fn schema() -> Value {
    serde_json::from_str(SCHEMA).unwrap()
}

#[test]
fn the_schema_has_the_members_that_are_read_and_their_words() {
    let schema = schema();
    let properties = schema["$defs"]["record"]["properties"].as_object().unwrap();
    let names: Vec<_> = MEMBERS.iter().map(|(name, _)| *name).collect();
    assert_eq!(properties.keys().collect::<Vec<_>>(), names);
    assert!(names.is_sorted());
    let words = |name: &str| {
        let words = properties[name]["enum"].as_array().unwrap();
        words.iter().map(|word| word.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let of = |choices: Choices| choices.iter().map(|(word, _)| (*word).to_owned()).collect::<Vec<_>>();
    assert_eq!(words("event"), of(EVENTS));
    assert_eq!(words("format"), of(FORMATS));
    assert_eq!(words("stream"), of(STREAMS));
    assert_eq!(words("state"), STATES.map(|(word, _)| word));
    for (name, says) in &MEMBERS {
        let property = &properties[*name];
        let of_kind = || {
            let kind = property["allOf"][0]["$ref"].as_str().unwrap().rsplit('/').next().unwrap();
            let most = &schema["$defs"][kind]["maximum"];
            assert_eq!(&schema["$defs"][kind]["additionalProperties"]["maximum"], most, "{name}");
            most.as_u64()
        };
        let (most, told) = match says {
            Says::Whole(key, _) => (key.most(), property["maximum"].as_u64()),
            Says::Rated(key, _) => (key.most(), of_kind()),
            _ => continue,
        };
        // What all whole numbers are at most need not be said of each.
        assert_eq!(told.unwrap_or(999_999_999_999_999), most, "{name}");
    }
    let kinds = schema["$defs"]["rated"]["oneOf"][1]["properties"].as_object().unwrap();
    assert_eq!(kinds.keys().collect::<Vec<_>>(), OBJECTS.map(|(word, _)| word).iter().collect::<Vec<_>>());
}

#[test]
fn the_schemas_examples_are_read_without_a_fault() {
    let schema = schema();
    let examples = schema["examples"].as_array().unwrap();
    assert!(examples.len() >= 2);
    for example in examples {
        for read in all(example.to_string().as_bytes()).unwrap() {
            assert!(read.unwrap().1.faults.is_empty(), "{example}");
        }
    }
}

#[test]
fn a_record_is_read_into_the_keys_of_cmcd() {
    let read = one(&json!({
        "version": 1, "event": "state", "time_ms": 1_720_000_000_123_u64, "session": "9f2c", "number": 3, "state": "playing",
        "content": "show", "format": "hls", "stream": "low-latency", "startup_ms": 812, "buffer_ms": 2000, "latency_ms": 3200.0,
        "bitrate_kbps": { "video": 5000, "audio": 128 }, "played_kbps": 5000, "top_bitrate_kbps": 8000, "throughput_kbps": 18_200,
        "stalls": 2, "stalled_ms": 750, "dropped_frames": 4, "rate": 1.05, "position_ms": 10, "background": false, "cdn": "fra",
        "host": "e.example.org", "custom": { "com.example-seat": "12a" },
    }));
    let read = read.unwrap();
    let data = serde_json::to_value(&read.data).unwrap();
    let whole = json!({
        "bg": false, "bl": [{ "value": 2000 }], "br": [{ "value": 128, "of": "a" }, { "value": 5000, "of": "v" }],
        "bsa": [{ "value": 2 }], "bsda": [{ "value": 750 }], "cdn": "fra", "cid": "show", "dfa": 4, "e": "ps", "h": "e.example.org",
        "ltc": 3200, "msd": 812, "mtp": [{ "value": 18_200 }], "pb": [{ "value": 5000 }], "pr": 1.05, "pt": 10, "sf": "h", "sn": 3,
        "st": "ll", "sta": "p", "tb": [{ "value": 8000 }], "ts": 1_720_000_000_123_u64,
    });
    assert_eq!((data, read.sid.as_deref(), read.faults.is_empty()), (whole, Some("9f2c"), true));
    assert_eq!(read.custom, [("com.example-seat".into(), "12a".into())]);
}

#[test]
fn what_is_wrong_is_dropped_alone_and_counted() {
    for (name, value, fault) in [
        ("zz", json!(1), Fault::UnknownKey),
        ("Rate", json!(1), Fault::UnknownKey),
        ("buffer_ms", json!("2000"), Fault::WrongType),
        ("buffer_ms", json!(-1), Fault::Negative),
        ("buffer_ms", json!(1.5), Fault::WrongType),
        ("buffer_ms", json!(null), Fault::WrongType),
        ("buffer_ms", json!([1]), Fault::WrongType),
        ("buffer_ms", json!(1e15), Fault::Impossible),
        ("buffer_ms", json!(86_400_001), Fault::Impossible),
        ("bitrate_kbps", json!({ "audio": 128, "video": 10_000_001 }), Fault::Impossible),
        ("dropped_frames", json!(999_999_999_999_999_u64), Fault::Impossible),
        ("status", json!(1_000), Fault::Impossible),
        ("rate", json!(-64.5), Fault::Impossible),
        ("bitrate_kbps", json!({ "picture": 1 }), Fault::UnknownValue),
        ("bitrate_kbps", json!({ "video": "1" }), Fault::WrongType),
        ("state", json!("dancing"), Fault::UnknownValue),
        ("state", json!(1), Fault::WrongType),
        ("stream", json!("ll"), Fault::UnknownValue),
        ("session", json!(""), Fault::UnknownValue),
        ("session", json!("a".repeat(65)), Fault::TooLong),
        ("content", json!("a".repeat(129)), Fault::TooLong),
        ("background", json!("yes"), Fault::WrongType),
        ("rate", json!("1"), Fault::WrongType),
        ("errors", json!("E1"), Fault::WrongType),
        ("errors", json!([1]), Fault::WrongType),
        ("errors", json!(vec!["E"; 17]), Fault::TooLong),
        ("custom", json!("x"), Fault::WrongType),
        ("custom", json!({ "x": "y" }), Fault::UnknownKey),
        ("custom", json!({ "a-b": 1 }), Fault::WrongType),
        ("custom", json!({ "a-b": "a".repeat(65) }), Fault::TooLong),
        ("name", json!("like"), Fault::Misplaced),
    ] {
        let read = with(name, &value);
        assert_eq!(read.faults, fault.into(), "{name}: {value}");
        assert_eq!(read.data, with("version", &json!(1)).data, "{name}: {value}");
    }
    let state =
        one(&json!({ "event": "interval", "time_ms": 1, "url": "/a", "status": 200, "first_byte_ms": 1 })).unwrap();
    assert_eq!((state.data.url, state.faults.of(Fault::Misplaced)), (None, 3));
    let early =
        one(&json!({ "event": "response", "time_ms": 1, "url": "/a", "first_byte_ms": 2, "last_byte_ms": 1 })).unwrap();
    assert_eq!((early.data.ttfb, early.data.ttlb, early.faults.of(Fault::Impossible)), (None, None, 2));
}

#[test]
fn a_record_that_says_nothing_is_dropped_and_no_other() {
    for (record, fault) in [
        (json!({}), Fault::MissingKey),
        (json!({ "event": "interval" }), Fault::MissingKey),
        (json!({ "time_ms": 1 }), Fault::MissingKey),
        (json!({ "event": 1, "time_ms": 1 }), Fault::MissingKey),
        (json!({ "event": "t", "time_ms": 1 }), Fault::UnknownEvent),
        (json!({ "event": "state", "time_ms": 1 }), Fault::MissingKey),
        (json!({ "event": "error", "time_ms": 1, "errors": [] }), Fault::MissingKey),
        (json!({ "event": "response", "time_ms": 1 }), Fault::MissingKey),
        (json!({ "event": "custom", "time_ms": 1 }), Fault::MissingKey),
        (json!({ "event": "interval", "time_ms": 1, "version": 2 }), Fault::Version),
        (json!({ "event": "interval", "time_ms": 1, "version": "1" }), Fault::Version),
        (json!({ "event": "interval", "time_ms": 1, "content": "a".repeat(4096) }), Fault::TooLarge),
        (json!(1), Fault::Malformed),
        (json!([]), Fault::Malformed),
    ] {
        let good = json!({ "event": "interval", "time_ms": 1 });
        let read = all(json!([good, record, good]).to_string().as_bytes()).unwrap();
        let faults: Vec<_> = read.into_iter().map(Result::err).collect();
        assert_eq!(faults, [None, Some(fault), None], "{record}");
    }
    let wide: Map<_, _> = (0..65).map(|at| (format!("a{at}"), json!(1))).collect();
    assert_eq!(one(&Value::Object(wide)), Err(Fault::TooLarge));
}

#[test]
fn a_body_is_an_object_or_an_array_of_bounded_length() {
    for body in ["", "1", "\"a\"", "null", "{", "[{]", "{}{}", "\u{feff}{}"] {
        assert_eq!(all(body.as_bytes()), Err(Fault::Malformed), "{body}");
    }
    assert_eq!(all(b"[]"), Ok(Vec::new()));
    assert_eq!(all("[".repeat(10_000).as_bytes()), Err(Fault::Malformed));
    let many = vec![json!({ "event": "interval", "time_ms": 1 }); MOST_RECORDS + 1];
    let body = json!(many).to_string();
    let (read, beyond) = from_beacon(body.as_bytes()).unwrap();
    assert_eq!((read.filter(Result::is_ok).count(), beyond), (MOST_RECORDS, 1));
}

#[test]
fn of_what_is_beyond_the_most_nothing_is_made_but_a_count() {
    for element in ["0", "[]", "{\"\":0}", "\"\"", "-1.5e9", "[[[[[[[[[[[[[[]]]]]]]]]]]]]]"] {
        let count = (256 << 10) / (element.len() + 1);
        let body = format!("[{}]", vec![element; count].join(","));
        let (read, beyond) = from_beacon(body.as_bytes()).unwrap();
        assert_eq!((read.len(), beyond), (MOST_RECORDS, count - MOST_RECORDS), "{element}");
        assert!(read.map(Result::unwrap_err).all(|fault| matches!(fault, Fault::Malformed | Fault::MissingKey)));
    }
}

#[test]
fn the_same_record_has_one_writing_however_its_body_was_laid_out() {
    let first = all(br#"{"event":"interval","time_ms":1}"#).unwrap();
    let second = all(b"[ { \"time_ms\": 1,\r\n \"event\": \"interval\" } ]").unwrap();
    assert_eq!(first, second);
}
