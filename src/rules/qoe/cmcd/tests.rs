//! Each rule of CTA-5004-B, and of structured fields below it, as tables of what is written and what is read.

use http::HeaderMap;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::request::{LONGEST_FIELD, LONGEST_PARAMETER};
use super::*;

/// What was read, and how much was dropped for which reason.
type Left = (Json, Vec<(&'static str, u8)>);

fn query(value: &str) -> Read {
    from_request(Some(&format!("CMCD={value}")), &HeaderMap::new()).expect("the parameter is there")
}

fn plain(value: &str) -> Read {
    query(&percent_encoding::utf8_percent_encode(value, percent_encoding::NON_ALPHANUMERIC).to_string())
}

fn headers(fields: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
    }
    headers
}

fn fields(given: &[(&str, &str)]) -> Read {
    from_request(None, &headers(given)).expect("a field is there")
}

fn event(line: &str) -> Result<Read, Fault> {
    let records: Vec<_> = from_batch(line.as_bytes()).collect();
    let [(_, read)] = &records[..] else { panic!("one record: {line}") };
    read.clone()
}

fn said(read: &Read) -> Json {
    serde_json::to_value(&read.data).unwrap()
}

fn dropped(read: &Read) -> Vec<(&'static str, u8)> {
    read.faults.iter().map(|(fault, count)| (fault.as_str(), count)).collect()
}

/// What `v=2` beside a text reads as, without `v`.
fn v2(text: &str) -> Left {
    let read = plain(&format!("{text},v=2"));
    let mut data = said(&read);
    data.as_object_mut().unwrap().remove("v");
    (data, dropped(&read))
}

fn v1(text: &str) -> Left {
    let read = plain(text);
    (said(&read), dropped(&read))
}

/// What an event of time `1`, with a text, reads as.
fn told(event_and_rest: &str) -> Result<Left, Fault> {
    let read = event(&format!("{event_and_rest},ts=1,v=2"))?;
    let mut data = said(&read);
    data.as_object_mut().unwrap().retain(|key, _| key != "ts" && key != "v");
    Ok((data, dropped(&read)))
}

const NONE: Vec<(&str, u8)> = Vec::new();

#[test]
fn four_fields_are_one_report_whatever_case_their_names_are_in() {
    let read = fields(&[
        ("CMCD-Request", "bl=21300,mtp=25400,su"),
        ("cmcd-object", "br=3200,d=4004,ot=v,tb=6000"),
        ("CMCD-STATUS", "bs,rtp=15000"),
        ("Cmcd-Session", r#"cid="faec5fc2",sf=h,sid="6e2fb550",st=l"#),
    ]);
    let list = |value: u64| json!([{ "value": value }]);
    let whole = json!({ "bl": list(21_300), "mtp": list(25_400), "su": true, "br": list(3_200), "d": 4_004, "ot": "v",
        "tb": list(6_000), "bs": true, "rtp": 15_000, "cid": "faec5fc2", "sf": "h", "st": "l" });
    assert_eq!((said(&read), read.sid.as_deref(), dropped(&read)), (whole, Some("6e2fb550"), NONE));
}

#[test]
fn the_version_of_one_field_is_that_of_all() {
    let read = fields(&[("cmcd-object", "br=(3200;v)"), ("cmcd-session", "v=2")]);
    assert_eq!(said(&read), json!({ "br": [{ "value": 3_200, "of": "v" }], "v": 2 }));
    let read = fields(&[("cmcd-object", "br=3200"), ("cmcd-session", "v=3")]);
    assert_eq!((said(&read), dropped(&read)), (json!({}), vec![("version", 1)]));
}

#[test]
fn lines_of_one_field_are_one_and_a_broken_field_spoils_no_other() {
    let read =
        fields(&[("cmcd-status", "bs"), ("cmcd-status", "rtp=100"), ("cmcd-object", "br=1,"), ("cmcd-request", "su")]);
    assert_eq!((said(&read), dropped(&read)), (json!({ "bs": true, "rtp": 100, "su": true }), vec![("malformed", 1)]));
    let read = fields(&[("cmcd-status", ""), ("cmcd-status", "bs"), ("cmcd-status", ""), ("cmcd-status", "rtp=100")]);
    assert_eq!((said(&read), dropped(&read)), (json!({ "bs": true, "rtp": 100 }), NONE));
    let long = format!(r#"com.example-a="{}""#, "a".repeat(LONGEST_FIELD));
    let read = fields(&[("cmcd-status", "bs"), ("cmcd-session", &long)]);
    assert_eq!((said(&read), dropped(&read)), (json!({ "bs": true }), vec![("too-large", 1)]));
    let bytes = HeaderMap::from_iter([(FIELDS[0].clone(), http::HeaderValue::from_bytes(b"su,bl=\xff").unwrap())]);
    assert_eq!(dropped(&from_request(None, &bytes).unwrap()), [("malformed", 1)]);
}

#[test]
fn where_fields_are_there_the_parameter_says_nothing() {
    for (field, fault) in [("su", None), ("su,", Some("malformed"))] {
        let headers = headers(&[("cmcd-request", field)]);
        for (query, beside) in [("CMCD=bs", Some("misplaced")), ("CMCD=", None), ("a=b", None)] {
            let read = from_request(Some(query), &headers).unwrap();
            let faults: Vec<_> = fault.into_iter().chain(beside).map(|fault| (fault, 1)).collect();
            assert_eq!((read.data.bs, dropped(&read)), (None, faults), "{field} {query}");
        }
    }
    // An empty field is none (RFC 9651 §3.2), nor is one that the standard does not know.
    for name in ["cmcd-request", "cmcd", "cmcd-event"] {
        let headers = headers(&[(name, if name == "cmcd-request" { "" } else { "su" })]);
        let read = from_request(Some("CMCD=bs"), &headers).unwrap();
        assert_eq!((read.data.bs, dropped(&read)), (Some(true), NONE), "{name}");
        assert_eq!(from_request(None, &headers), None, "{name}");
    }
}

#[test]
fn a_key_in_another_field_than_its_own_is_kept_and_counted() {
    const ALL: [(&str, &[&str]); 4] = [
        ("cmcd-request", &["bl=1", "dl=1", "mtp=1", "nor=\"a\"", "nrr=\"0-1\"", "su"]),
        ("cmcd-object", &["br=1", "d=1", "ot=v", "tb=1"]),
        ("cmcd-status", &["bs", "pr=1.5", "rtp=1"]),
        ("cmcd-session", &["cid=\"a\"", "sf=h", "sid=\"a\"", "st=l", "v=1"]),
    ];
    for (own, pairs) in ALL {
        for pair in pairs {
            for (field, _) in ALL {
                let read = fields(&[(field, pair)]);
                let expected = if field == own { NONE } else { vec![("misplaced", 1)] };
                assert_eq!((dropped(&read), read.data, read.sid), (expected, plain(pair).data, plain(pair).sid));
            }
        }
    }
    for (own, pair) in [
        ("cmcd-request", "cs=\"a\""),
        ("cmcd-request", "dfa=1"),
        ("cmcd-request", "ltc=1"),
        ("cmcd-request", "pb=(1)"),
        ("cmcd-request", "sn=1"),
        ("cmcd-request", "sta=p"),
        ("cmcd-request", "tbl=(1)"),
        ("cmcd-object", "ab=(1)"),
        ("cmcd-object", "lab=(1)"),
        ("cmcd-object", "lb=(1)"),
        ("cmcd-object", "tab=(1)"),
        ("cmcd-object", "tpb=(1)"),
        ("cmcd-status", "bg"),
        ("cmcd-status", "bsa=(1)"),
        ("cmcd-status", "bsd=(1)"),
        ("cmcd-status", "bsda=(1)"),
        ("cmcd-status", "cdn=\"a\""),
        ("cmcd-status", "ec=(\"a\")"),
        ("cmcd-status", "nr"),
        ("cmcd-status", "pt=1"),
        ("cmcd-session", "msd=1"),
    ] {
        for (field, _) in ALL {
            let read = fields(&[("cmcd-session", "v=2"), (field, pair)]);
            let expected = if field == own { NONE } else { vec![("misplaced", 1)] };
            assert_eq!((dropped(&read), read.data), (expected, plain(&format!("{pair},v=2")).data), "{field}: {pair}");
        }
    }
    // Custom keys stand anywhere, and of two of a name the one in its own field counts.
    let read = fields(&[("cmcd-object", "br=2,com.example-a=x"), ("cmcd-session", "br=1"), ("cmcd-status", "a-b=c")]);
    assert_eq!((said(&read), dropped(&read)), (json!({ "br": [{ "value": 2 }] }), vec![("misplaced", 1)]));
    let read = fields(&[("cmcd-request", "br=1"), ("cmcd-object", "br=2"), ("cmcd-session", "x,")]);
    assert_eq!(
        (said(&read), dropped(&read)),
        (json!({ "br": [{ "value": 2 }] }), vec![("malformed", 1), ("misplaced", 1)])
    );
}

#[test]
fn nothing_is_kept_that_nothing_real_has() {
    for (key, most) in [
        ("bl", 86_400_000_u64),
        ("br", 10_000_000),
        ("bsa", 1_000_000),
        ("bsd", 86_400_000),
        ("bsda", 86_400_000),
        ("lb", 10_000_000),
        ("mtp", 100_000_000),
        ("pb", 10_000_000),
        ("tb", 10_000_000),
        ("tbl", 86_400_000),
        ("tpb", 10_000_000),
        ("ab", 10_000_000),
        ("lab", 10_000_000),
        ("tab", 10_000_000),
    ] {
        assert_eq!(v2(&format!("{key}=({most};v)")).1, NONE, "{key}");
        for over in [most + 1, 999_999_999_999_999] {
            assert_eq!(v2(&format!("{key}=(1 {over})")), (json!({}), vec![("impossible", 1)]), "{key}");
        }
    }
    for (key, most) in [
        ("d", 86_400_000_u64),
        ("dfa", 100_000_000),
        ("dl", 86_400_000),
        ("ltc", 31 * 86_400_000),
        ("msd", 86_400_000),
        ("pt", 4_102_444_800_000),
        ("rtp", 100_000_000),
    ] {
        assert_eq!(v2(&format!("{key}={most}")).1, NONE, "{key}");
        assert_eq!(v2(&format!("{key}={}", most + 1)), (json!({}), vec![("impossible", 1)]), "{key}");
    }
    for key in ["bl", "br", "d", "dl", "mtp", "rtp", "tb"] {
        assert_eq!(v1(&format!("{key}=999999999999999")), (json!({}), vec![("impossible", 1)]), "{key}");
    }
    for speed in ["65", "-64.001", "123456789012.125"] {
        assert_eq!(v1(&format!("pr={speed}")), (json!({}), vec![("impossible", 1)]), "{speed}");
    }
    let response = |pair: &str| told(&format!("e=rr,url=\"/a\",{pair}")).unwrap().1;
    for pair in ["rc=1000", "ttfb=86400001", "ttfbb=86400001", "ttlb=86400001"] {
        assert_eq!(response(pair), [("impossible", 1)], "{pair}");
    }
    assert_eq!(response("rc=999,ttlb=86400000"), NONE);
}

#[test]
fn what_is_odd_and_understood_is_kept_and_counted() {
    let odd = |text: &str, whole: Json| assert_eq!(v1(text), (whole, vec![("irregular", 1)]), "{text}");
    odd("bs;x=1;y", json!({ "bs": true }));
    odd("br=3200;v", json!({ "br": [{ "value": 3_200 }] }));
    odd("cid=\"caf\u{e9}\"", json!({ "cid": "caf\u{e9}" }));
    assert_eq!(v1("ot=v;x"), (json!({ "ot": "v" }), NONE));
    assert_eq!(v2("br=(1 2);x"), (json!({ "br": [{ "value": 1 }, { "value": 2 }] }), vec![("irregular", 1)]));
    for (line, data) in [
        ("e=b", json!({ "e": "b" })),
        ("e=bc,br=()", json!({ "e": "bc" })),
        ("e=c", json!({ "e": "c" })),
        ("e=pr", json!({ "e": "pr" })),
    ] {
        assert_eq!(told(line), Ok((data, vec![("irregular", 1)])), "{line}");
    }
    for line in ["e=b,bg=?0", "e=bc,br=(1)", "e=c,cid=\"a\"", "e=pr,pr=1.5"] {
        assert_eq!(told(line).unwrap().1, NONE, "{line}");
    }
}

#[test]
fn no_text_holds_what_opens_anything() {
    let of = |text: &str| {
        let pairs = ["cid", "cdn", "cs", "cen", "h"].map(|key| format!("{key}=\"{text}\""));
        let line = format!("e=ce,{},ec=(\"{text}\"),com.example-a=\"{text}\",ts=1,v=2", pairs.join(","));
        let read = event(&line).unwrap();
        assert_eq!(dropped(&read), NONE, "{line}");
        let [(_, custom)] = &read.custom[..] else { panic!("{line}") };
        let Data { cid, cdn, cs, cen, h, ec, .. } = &read.data;
        let all = [cdn, cs, cen, h].map(|text| text.as_deref().unwrap()).into_iter();
        all.chain([cid.as_deref().unwrap(), &ec[0], custom]).map(str::to_owned).collect::<Vec<_>>()
    };
    for (text, kept) in [
        ("404 https://edge.example/.weir/t/TOKEN/live/a.m4s", "404 /live/a.m4s"),
        ("/.weir/s/SESSION/live/main.m3u8", "/live/main.m3u8"),
        ("live?token=SECRET", "live"),
        ("show 1", "show 1"),
    ] {
        assert_eq!(of(text), vec![kept; 7], "{text}");
    }
    let long = "a".repeat(65);
    let (read, _) = v2(&format!("cs=\"{long}\",ec=(\"{long}\" \"b\")"));
    assert_eq!(read, json!({ "cs": &long[..64], "ec": [&long[..64], "b"] }));
}

#[test]
fn the_parameter_is_called_as_it_is_called_and_the_first_counts() {
    for (query, is_there) in [
        ("CMCD=bs", true),
        ("a=1&CMCD=bs&b=2", true),
        ("%43MCD=bs", true),
        ("CMCD=bs&CMCD=su", true),
        ("cmcd=bs", false),
        ("Cmcd=bs", false),
        ("XCMCD=bs", false),
        ("a=CMCD=bs", false),
        ("", false),
    ] {
        let read = from_request(Some(query), &HeaderMap::new());
        assert_eq!(read.map(|read| (read.data.bs, read.data.su)), is_there.then_some((Some(true), None)), "{query}");
    }
    assert_eq!(from_request(None, &HeaderMap::new()), None);
    for query in ["CMCD=", "CMCD"] {
        let read = from_request(Some(query), &HeaderMap::new());
        assert_eq!(read, Some(Read { faults: Fault::Irregular.into(), ..Read::default() }), "{query}");
    }
}

#[test]
fn a_parameter_is_decoded_as_forms_are() {
    for (value, cid) in [
        ("cid%3D%22a+b%22", Some("a b")),
        ("cid%3D%22a%20b%22", Some("a b")),
        ("cid=%22a%2Bb%22", Some("a+b")),
        ("cid%3D%22a%2Fb~*%7E%22", Some("a/b~*~")),
        (r#"cid="a b""#, Some("a b")),
        ("cid%3D%22100%25%22", Some("100%")),
        ("cid%3D%22100%zz%22", Some("100%zz")),
        ("cid%3D%22%C3%A9%22", Some("\u{e9}")),
        ("cid%3D%22%00%22", None),
        ("cid%3D%22%ff%22", None),
    ] {
        let read = query(value);
        assert_eq!(read.data.cid.as_deref(), cid, "{value}");
        assert_eq!(read.faults.of(Fault::Malformed), u8::from(cid.is_none()), "{value}");
    }
    let hls = "CMCD=br%3D%285000%3Bv%20320%3Ba%29%2Cnor%3D%28%22part-2.m4s%22%3Br%3D%220-99%22%29%2Cot%3Dv%2Cv%3D2";
    let read = from_request(Some(hls), &HeaderMap::new()).unwrap();
    let rates = json!([{ "value": 5_000, "of": "v" }, { "value": 320, "of": "a" }]);
    let whole = json!({ "br": rates, "nor": [{ "path": "part-2.m4s", "r": "0-99" }], "ot": "v", "v": 2 });
    assert_eq!((said(&read), dropped(&read)), (whole, NONE));
}

#[test]
fn pairs_are_a_dictionary_of_structured_fields() {
    for (text, whole) in [
        ("bs", json!({ "bs": true })),
        ("bs=?1", json!({ "bs": true })),
        ("bs=?0", json!({ "bs": false })),
        ("su, bs", json!({ "su": true, "bs": true })),
        ("su ,\tbs", json!({ "su": true, "bs": true })),
        ("  su  ", json!({ "su": true })),
        (r#"cid="a\"b\\c""#, json!({ "cid": r#"a"b\c"# })),
        (r#"cid="""#, json!({ "cid": "" })),
        ("ot=v", json!({ "ot": "v" })),
        ("d=007", json!({ "d": 7 })),
        ("d=86400000", json!({ "d": 86_400_000 })),
        ("d=7.0", json!({ "d": 7 })),
        ("br=3200.5", json!({ "br": [{ "value": 3_201 }] })),
        ("tb=1.4", json!({ "tb": [{ "value": 1 }] })),
        ("pr=1.08", json!({ "pr": 1.08 })),
        ("pr=2", json!({ "pr": 2.0 })),
        ("pr=-1.5", json!({ "pr": -1.5 })),
        ("pr=0", json!({ "pr": 0.0 })),
        ("pr=-64", json!({ "pr": -64.0 })),
    ] {
        assert_eq!(v1(text), (whole, NONE), "{text}");
    }
}

#[rustfmt::skip]
const BROKEN: &[&str] = &[
    "bs,",
    "bs,,su",
    ",bs",
    ", bs",
    "bs su",
    "bs;",
    "bs;=1",
    "=1",
    "br=",
    "br=(",
    "br=(1",
    "br=(1 2",
    "br=(1,2)",
    "br=(1 2)x",
    "br=(1;)",
    "br=((1))",
    "br=1 2",
    "br=+1",
    "br=1.",
    "br=.5",
    "pr=1.2345",
    "pr=1234567890123.1",
    "br=1000000000000000",
    "br=--1",
    "br=-",
    "br=0x10",
    "br=1e3",
    "cid=\"",
    "cid=\"a",
    r#"cid="a\n""#,
    r#"cid="a\""#,
    "cid=\"\u{1}\"",
    "cid='a'",
    "bs=?2",
    "bs=?",
    "bs=true?",
    "{\"br\":1}",
    "br:1",
    "a=:AQ",
    "a=@1.5",
    "a=%a",
    "a=%\"a",
    "br=3200&su",
    "br=5000;v 320;a",
    "\u{0}",
    "\n",
    "br=1\n",
    "br=1\nsu",
    "br==1",
    "é=1",
    "br =1",
    "br= 1",
    "(1 2)",
    "\"a\"",
];

#[test]
fn what_breaks_the_grammar_is_dropped_as_a_whole() {
    for text in BROKEN {
        for text in [(*text).to_owned(), format!("su,{text}")] {
            assert_eq!(v1(&text), (json!({}), vec![("malformed", 1)]), "{text:?}");
        }
    }
}

#[test]
fn of_one_name_the_last_counts_whatever_it_stands_for() {
    assert_eq!(v1("br=1,br=2"), (json!({ "br": [{ "value": 2 }] }), NONE));
    assert_eq!(v1("br=1,su,br=\"x\""), (json!({ "su": true }), vec![("wrong-type", 1)]));
    assert_eq!(v1("br=\"x\",su,br=1"), (json!({ "br": [{ "value": 1 }], "su": true }), NONE));
    let read = plain("com.example-a=x,com.example-a=y,sid=\"1\",sid=\"2\"");
    assert_eq!(read.custom, [("com.example-a".into(), "y".into())]);
    assert_eq!(read.sid.as_deref(), Some("2"));
    assert_eq!(v1("v=2,br=1,v=1"), (json!({ "br": [{ "value": 1 }], "v": 1 }), NONE));
}

#[test]
fn the_order_of_keys_means_nothing() {
    let mut keys = ["bl=(1000)", "br=(5;v)", "bs", "cid=\"a\"", "d=4", "sta=p", "v=2"];
    let first = plain(&keys.join(","));
    for _ in 0..keys.len() {
        keys.rotate_left(1);
        assert_eq!(plain(&keys.join(",")), first);
    }
    keys.reverse();
    assert_eq!(plain(&keys.join(",")), first);
}

#[test]
fn lists_have_numbers_that_may_be_of_an_object_type() {
    let list = |items: &str| v2(&format!("br={items}"));
    for (items, read) in [
        ("(5000)", json!([{ "value": 5_000 }])),
        ("(5000;v)", json!([{ "value": 5_000, "of": "v" }])),
        ("(5000;v=?1)", json!([{ "value": 5_000, "of": "v" }])),
        ("(5000;v=?0)", json!([{ "value": 5_000 }])),
        ("(5000;v=?0;a)", json!([{ "value": 5_000, "of": "a" }])),
        ("(5000;v 320;a)", json!([{ "value": 5_000, "of": "v" }, { "value": 320, "of": "a" }])),
        ("( 5000;av   320;tt  )", json!([{ "value": 5_000, "of": "av" }, { "value": 320, "of": "tt" }])),
        ("(5000; v)", json!([{ "value": 5_000, "of": "v" }])),
        ("(0)", json!([{ "value": 0 }])),
        ("(4999.5 1.4;a)", json!([{ "value": 5_000 }, { "value": 1, "of": "a" }])),
    ] {
        assert_eq!(list(items), (json!({ "br": read }), NONE), "{items}");
    }
    for (items, fault) in [
        ("5000", "wrong-type"),
        ("(-0.1)", "negative"),
        ("(\"5000\")", "wrong-type"),
        ("(v)", "wrong-type"),
        ("(?1)", "wrong-type"),
        ("(5000 x)", "wrong-type"),
        ("(5000;v=1)", "wrong-type"),
        ("(5000;zz)", "unknown-value"),
        ("(5000;V)", "unknown-value"),
        ("(5000;a;v)", "impossible"),
        ("(-1)", "negative"),
        ("(5000 -1;v)", "negative"),
        (&format!("({})", vec!["1"; MOST_ITEMS + 1].join(" ")), "too-long"),
    ] {
        assert_eq!(list(items), (json!({}), vec![(fault, 1)]), "{items}");
    }
    assert_eq!(list("()"), (json!({}), NONE));
    let (most, _) = list(&format!("({})", vec!["1"; MOST_ITEMS].join(" ")));
    assert_eq!(most["br"].as_array().map(Vec::len), Some(MOST_ITEMS));
}

#[test]
fn keys_with_a_hyphen_within_are_the_players_own() {
    let read = plain(r#"com.example-a="x y",com.example-B=tok/en,Com.Example-c_d.*="1",X-y="2""#);
    let custom: Vec<_> = read.custom.iter().map(|(key, value)| (&**key, &**value)).collect();
    let all = [("com.example-a", "x y"), ("com.example-B", "tok/en"), ("Com.Example-c_d.*", "1"), ("X-y", "2")];
    // Such keys are no keys of a dictionary (RFC 9651 §3.2).
    assert_eq!((custom, dropped(&read)), (all.to_vec(), vec![("irregular", 3)]));
    assert_eq!(said(&read), json!({}));
    assert_eq!(dropped(&plain(r#"a_b-c="x",1-a="x",*-a="x",a-b="x";y"#)), [("irregular", 4)]);
    assert_eq!(dropped(&plain(r#"a-="x",a-b-="x""#)), [("unknown-key", 1)]);
    for (pair, fault) in [
        ("com.example-a", "wrong-type"),
        ("com.example-a=1", "wrong-type"),
        ("com.example-a=?0", "wrong-type"),
        ("com.example-a=(a b)", "wrong-type"),
        ("com.example-a=:AQ==:", "wrong-type"),
        (&format!("com.example-a=\"{}\"", "a".repeat(65)), "too-long"),
        (&format!("com.example-a={}", "a".repeat(65)), "too-long"),
        ("-a=x", "unknown-key"),
        ("a-=x", "unknown-key"),
        ("-=x", "unknown-key"),
    ] {
        let read = plain(&format!("su,{pair}"));
        assert_eq!((read.custom.len(), read.data.su), (0, Some(true)), "{pair}");
        assert_eq!(dropped(&read), [(fault, 1)], "{pair}");
    }
    let longest = "a".repeat(64);
    assert_eq!(*plain(&format!("com.example-a=\"{longest}\"")).custom[0].1, *longest);
}

#[test]
fn only_custom_keys_that_are_allowed_are_kept_and_nothing_that_tells_devices_apart() {
    use crate::rules::qoe::read::{Allow, Fingerprints};
    let read = plain(r#"a.b-c="1",a.b-d="2",x-y="3",tpb=(8000),v=2"#);
    let allow = |custom: &[&str], fingerprints| Allow {
        custom: custom.iter().map(|name| (*name).into()).collect(),
        fingerprints,
    };
    for (allow, kept, dropped_too) in [
        (Allow::default(), json!({ "v": 2 }), 4),
        (allow(&["a.b-c"], Fingerprints::Dropped), json!({ "v": 2, "custom": { "a.b-c": "1" } }), 3),
        (
            allow(&["a.b-*", "x"], Fingerprints::Kept),
            json!({ "v": 2, "custom": { "a.b-c": "1", "a.b-d": "2" }, "tpb": [{ "value": 8_000 }] }),
            1,
        ),
    ] {
        let mut read = read.clone();
        read.permit(&allow);
        assert_eq!((said(&read), dropped(&read), read.custom.len()), (kept, vec![("not-allowed", dropped_too)], 0));
    }
}

#[test]
fn a_report_is_bounded() {
    let many = |count: usize| (0..count).map(|at| format!("a-{at}=x")).collect::<Vec<_>>().join(",");
    assert_eq!(plain(&many(64)).custom.len(), 64);
    assert_eq!(v1(&many(65)), (json!({}), vec![("too-large", 1)]));
    assert_eq!(v1(&vec!["bs"; 65].join(",")), (json!({}), vec![("too-large", 1)]));
    let of_length = |length: usize| {
        let text = r#"nor="""#;
        text.replace("\"\"", &format!("\"{}\"", "a".repeat(length - text.len())))
    };
    assert_eq!(plain(&of_length(LONGEST_PARAMETER)).data.nor[0].path.len(), LONGEST_PARAMETER - 6);
    assert_eq!(dropped(&plain(&of_length(LONGEST_PARAMETER + 1))), [("too-large", 1)]);
    assert_eq!(dropped(&query(&"%".repeat(3 * LONGEST_PARAMETER + 1))), [("too-large", 1)]);
    let field = of_length(LONGEST_FIELD);
    assert_eq!(fields(&[("cmcd-request", &field)]).data.nor.len(), 1);
    assert_eq!(dropped(&fields(&[("cmcd-request", &of_length(LONGEST_FIELD + 1))])), [("too-large", 1)]);
    let parameters = (0..17).map(|at| format!(";a{at}")).collect::<String>();
    assert_eq!(v1(&format!("bs{parameters}")), (json!({}), vec![("malformed", 1)]));
}

#[test]
fn every_key_of_version_two_is_read_by_its_type() {
    let rates = json!([{ "value": 7, "of": "v" }, { "value": 8 }]);
    for key in ["bl", "br", "bsa", "bsd", "bsda", "lb", "mtp", "pb", "tb", "tbl", "tpb", "ab", "lab", "tab"] {
        assert_eq!(v2(&format!("{key}=(7;v 8)")), (json!({ key: rates }), NONE), "{key}");
        for wrong in ["7", "7.5", "\"7\"", "t", "?1", ":AQ==:"] {
            assert_eq!(v2(&format!("{key}={wrong}")), (json!({}), vec![("wrong-type", 1)]), "{key}={wrong}");
        }
        assert_eq!(v2(&format!("{key}=(7.4)")).1, NONE, "{key}");
        assert_eq!(v2(key), (json!({}), vec![("wrong-type", 1)]), "{key}");
        assert_eq!(v2(&format!("{key}=(-7)")), (json!({}), vec![("negative", 1)]), "{key}");
    }
    for key in ["d", "dfa", "dl", "ltc", "msd", "pt", "rtp", "sn"] {
        assert_eq!(v2(&format!("{key}=7")), (json!({ key: 7 }), NONE), "{key}");
        assert_eq!(v2(&format!("{key}=0")), (json!({ key: 0 }), NONE), "{key}");
        for wrong in ["(7)", "7.5", "\"7\"", "t", "?1", "@7"] {
            assert_eq!(v2(&format!("{key}={wrong}")), (json!({}), vec![("wrong-type", 1)]), "{key}={wrong}");
        }
        assert_eq!(v2(&format!("{key}=-7")), (json!({}), vec![("negative", 1)]), "{key}");
    }
    for key in ["bg", "bs", "nr", "su"] {
        assert_eq!(v2(key), (json!({ key: true }), NONE), "{key}");
        assert_eq!(v2(&format!("{key}=?0")), (json!({ key: false }), NONE), "{key}");
        for wrong in ["1", "0", "\"true\"", "true", "(?1)"] {
            assert_eq!(v2(&format!("{key}={wrong}")), (json!({}), vec![("wrong-type", 1)]), "{key}={wrong}");
        }
    }
    for key in ["cdn", "cid", "cs"] {
        assert_eq!(v2(&format!("{key}=\"a b\"")), (json!({ key: "a b" }), NONE), "{key}");
        for wrong in ["a", "1", "?1", "(\"a\")"] {
            assert_eq!(v2(&format!("{key}={wrong}")), (json!({}), vec![("wrong-type", 1)]), "{key}={wrong}");
        }
    }
    assert_eq!(v2(r#"ec=("E1" "2 b")"#), (json!({ "ec": ["E1", "2 b"] }), NONE));
    for wrong in ["\"E1\"", "(E1)", "(1)", "(\"E1\" 2)", "E1"] {
        assert_eq!(v2(&format!("ec={wrong}")), (json!({}), vec![("wrong-type", 1)]), "{wrong}");
    }
    assert_eq!(v2("pr=1.5"), (json!({ "pr": 1.5 }), NONE));
    assert_eq!(v2("pr=\"1\""), (json!({}), vec![("wrong-type", 1)]));
}

#[test]
fn words_are_of_their_keys_list() {
    for (key, words) in [
        ("ot", &["m", "a", "v", "av", "i", "c", "tt", "k", "o"][..]),
        ("sf", &["d", "h", "e", "s", "o"]),
        ("st", &["v", "l", "ll"]),
        ("sta", &["s", "p", "k", "r", "a", "w", "e", "f", "q", "d"]),
    ] {
        for word in words {
            assert_eq!(v2(&format!("{key}={word}")), (json!({ key: word }), NONE));
            assert_eq!(v2(&format!("{key}=\"{word}\"")), (json!({}), vec![("wrong-type", 1)]), "{key}={word}");
        }
        for word in ["x", "vv", "VV", "aa*", "m/v"] {
            assert_eq!(v2(&format!("{key}={word}")), (json!({}), vec![("unknown-value", 1)]), "{key}={word}");
        }
        for wrong in ["1", "?1", "(v)"] {
            assert_eq!(v2(&format!("{key}={wrong}")), (json!({}), vec![("wrong-type", 1)]), "{key}={wrong}");
        }
    }
}

#[test]
fn version_one_has_its_own_keys_and_types() {
    let one = json!([{ "value": 7 }]);
    for key in ["bl", "br", "mtp", "tb"] {
        assert_eq!(v1(&format!("{key}=7")), (json!({ key: one }), NONE), "{key}");
        assert_eq!(v1(&format!("{key}=(7)")), (json!({}), vec![("wrong-type", 1)]), "{key}");
        assert_eq!(v1(&format!("{key}=-7")), (json!({}), vec![("negative", 1)]), "{key}");
    }
    for key in ["d", "dl", "rtp"] {
        assert_eq!(v1(&format!("{key}=7")), (json!({ key: 7 }), NONE), "{key}");
    }
    for text in
        ["sf=d", "sf=h", "sf=s", "sf=o", "st=v", "st=l", "ot=tt", "bs", "su", "pr=1", "cid=\"a\"", "nrr=\"0-1\""]
    {
        assert_eq!(v1(text).1, NONE, "{text}");
        assert_eq!(v1(text).0.as_object().unwrap().len(), 1, "{text}");
    }
    for text in [
        "ab=(1)",
        "bg",
        "bsa=(1)",
        "bsd=(1)",
        "bsda=(1)",
        "cdn=\"a\"",
        "cs=\"a\"",
        "dfa=1",
        "ec=(\"a\")",
        "lb=(1)",
        "ltc=1",
        "msd=1",
        "nr",
        "pb=(1)",
        "pt=1",
        "sn=1",
        "sta=p",
        "tbl=(1)",
        "tpb=(1)",
        "e=t",
        "ts=1",
        "url=\"/a\"",
        "rc=200",
        "h=\"a\"",
    ] {
        assert_eq!(v1(&format!("{text},su")), (json!({ "su": true }), vec![("unknown-key", 1)]), "{text}");
    }
    assert_eq!(v1("sf=e"), (json!({}), vec![("unknown-value", 1)]));
    assert_eq!(v2("nrr=\"0-1\""), (json!({ "nrr": "0-1" }), NONE));
    assert_eq!(v1("v=1,br=1"), (json!({ "br": [{ "value": 1 }], "v": 1 }), NONE));
}

#[test]
fn what_is_not_known_is_passed_over_and_what_is_wrong_dropped_alone() {
    assert_eq!(v2("zz=1,bl=5000,su"), (json!({ "su": true }), vec![("unknown-key", 1), ("wrong-type", 1)]));
    assert_eq!(v1("br=(1 2),su"), (json!({ "su": true }), vec![("wrong-type", 1)]));
    assert_eq!(v1("BR=1,Su,a*b=2,9=1,_=1,*x=1"), (json!({}), vec![("unknown-key", 6)]));
    assert_eq!(v2("d=-1,ot=zz,sta=p"), (json!({ "sta": "p" }), vec![("unknown-value", 1), ("negative", 1)]));
}

#[test]
fn a_version_that_is_not_known_voids_the_set_and_a_broken_one_itself() {
    for v in ["3", "999999999999999"] {
        assert_eq!(v1(&format!("br=1,su,v={v}")), (json!({}), vec![("version", 1)]), "{v}");
    }
    let read = plain("sid=\"a\",com.example-a=x,v=3");
    assert_eq!((read.sid, read.custom.len()), (None, 0));
    let read = fields(&[("cmcd-request", "br=1"), ("cmcd-object", "x,"), ("cmcd-session", "v=3")]);
    assert_eq!(dropped(&read), [("malformed", 1), ("version", 1), ("misplaced", 1)]);
    for (v, fault) in [
        ("0", "unknown-value"),
        ("-1", "negative"),
        ("\"2\"", "wrong-type"),
        ("2.5", "wrong-type"),
        ("(2)", "wrong-type"),
        ("x", "wrong-type"),
    ] {
        assert_eq!(v1(&format!("br=1,v={v}")), (json!({ "br": [{ "value": 1 }] }), vec![(fault, 1)]), "{v}");
    }
}

#[test]
fn texts_are_no_longer_than_their_keys_allow() {
    for (key, most) in [("cid", 128), ("cdn", 128)] {
        assert_eq!(v2(&format!("{key}=\"{}\"", "a".repeat(most))).1, NONE);
        assert_eq!(v2(&format!("{key}=\"{}\"", "a".repeat(most + 1))), (json!({}), vec![("too-long", 1)]));
    }
    assert_eq!(v1(&format!("cid=\"{}\"", "a".repeat(128))).1, NONE);
    assert_eq!(v1(&format!("cid=\"{}\"", "a".repeat(129))), (json!({}), vec![("too-long", 1)]));
    for (sid, fault) in [("a".repeat(65), "too-long"), (String::new(), "unknown-value")] {
        let read = plain(&format!("sid=\"{sid}\",su"));
        assert_eq!((read.sid.as_deref(), read.data.su, dropped(&read)), (None, Some(true), vec![(fault, 1)]));
    }
    assert_eq!(plain(&format!("sid=\"{}\"", "a".repeat(64))).sid.map(|sid| sid.len()), Some(64));
    assert_eq!(dropped(&plain("sid=abc")), [("wrong-type", 1)]);
    let escaped = format!("cid=\"{}\"", r#"\""#.repeat(64));
    assert_eq!(v1(&escaped).1, NONE);
    for (key, most) in [("h", 128), ("cen", 64)] {
        let of = |length: usize| told(&format!("e=ce,cen=\"x\",{key}=\"{}\"", "a".repeat(length)));
        assert_eq!(of(most).unwrap().1, NONE, "{key}");
        assert!(of(most + 1).map_or(key == "cen", |(_, faults)| faults == [("too-long", 1)]), "{key}");
    }
}

#[test]
fn what_comes_next_is_relative_and_may_have_a_range() {
    let next = |path: &str, range: Option<&str>| match range {
        Some(range) => json!([{ "path": path, "r": range }]),
        None => json!([{ "path": path }]),
    };
    for (value, read) in [
        (r#"("a.m4s")"#, next("a.m4s", None)),
        (r#"("../b/a.m4s";r="0-99")"#, next("../b/a.m4s", Some("0-99"))),
        (r#"("a.m4s";r="100-")"#, next("a.m4s", Some("100-"))),
        (r#"("a.m4s";r="-100")"#, next("a.m4s", Some("-100"))),
        (r#"("a.m4s";x=1)"#, next("a.m4s", None)),
        (r#"("a.m4s?token=secret")"#, next("a.m4s", None)),
        (r#"("https://e/.weir/t/secret/a.m4s?x")"#, next("/a.m4s", None)),
        (r#"("a.m4s" "b.m4s")"#, json!([{ "path": "a.m4s" }, { "path": "b.m4s" }])),
        (r#"("a%2Fb.m4s")"#, next("a%2Fb.m4s", None)),
    ] {
        assert_eq!(v2(&format!("nor={value}")), (json!({ "nor": read }), NONE), "{value}");
    }
    for (value, fault) in [
        ("\"a.m4s\"", "wrong-type"),
        ("(a.m4s)", "wrong-type"),
        ("(1)", "wrong-type"),
        (r#"("a.m4s";r=100)"#, "wrong-type"),
        (r#"("a.m4s";r)"#, "wrong-type"),
        (r#"("a.m4s";r="x")"#, "unknown-value"),
        (r#"("a.m4s";r="5-4")"#, "unknown-value"),
        (r#"("a.m4s";r="-")"#, "unknown-value"),
        (r#"("a.m4s";r="1-2-3")"#, "unknown-value"),
        (r#"("a.m4s";r="99999999999999999999-")"#, "unknown-value"),
    ] {
        assert_eq!(v2(&format!("nor={value}")), (json!({}), vec![(fault, 1)]), "{value}");
    }
    let read = plain(r#"nor="..%2F300kbps%2Fa.m4s%3Fx%3D1",nrr="12323-48763""#);
    assert_eq!(said(&read), json!({ "nor": [{ "path": "../300kbps/a.m4s" }], "nrr": "12323-48763" }));
    assert_eq!(v1(r#"nor=("a")"#), (json!({}), vec![("wrong-type", 1)]));
    assert_eq!(v1(r#"nor="%ff""#), (json!({}), vec![("unknown-value", 1)]));
    assert_eq!(v1(r#"nrr="x""#), (json!({}), vec![("unknown-value", 1)]));
}

#[test]
fn keys_that_contradict_each_other_or_their_object_are_dropped() {
    let one = json!([{ "value": 1 }]);
    for (aggregate, exact) in [("ab", "br"), ("lab", "lb"), ("tab", "tb")] {
        assert_eq!(v2(&format!("{aggregate}=(2),{exact}=(1)")), (json!({ exact: one }), vec![("impossible", 1)]));
    }
    for (object, has_duration, has_top) in [
        ("m", false, false),
        ("a", true, true),
        ("v", true, true),
        ("av", true, true),
        ("i", false, false),
        ("c", true, true),
        ("tt", true, false),
        ("k", false, false),
        ("o", true, false),
    ] {
        let read = plain(&format!("d=1,tpb=(1),ot={object},v=2"));
        let wrong = [has_duration, has_top].iter().filter(|is_right| !**is_right).count();
        assert_eq!((read.data.d.is_some(), !read.data.tpb.is_empty()), (has_duration, has_top), "{object}");
        assert_eq!(usize::from(read.faults.of(Fault::Misplaced)), wrong, "{object}");
    }
    assert_eq!(v1("d=1,ot=m"), (json!({ "d": 1, "ot": "m" }), NONE));
    assert_eq!(v2("d=1,tpb=(1)"), (json!({ "d": 1, "tpb": one }), NONE));
}

#[test]
fn what_tells_of_events_and_responses_does_not_come_with_a_request() {
    for text in [
        "cen=\"a\"",
        "cmsdd=\"AQ==\"",
        "cmsds=\"AQ==\"",
        "e=t",
        "h=\"a\"",
        "rc=200",
        "smrt=\"AQ==\"",
        "ts=1",
        "ttfb=1",
        "ttfbb=1",
        "ttlb=1",
        "url=\"/a\"",
    ] {
        assert_eq!(v2(&format!("{text},su")), (json!({ "su": true }), vec![("misplaced", 1)]), "{text}");
    }
    for text in [
        "cmsdd=\"AQ==\"",
        "cmsds=\"AQ==\"",
        "rc=200",
        "smrt=\"AQ==\"",
        "ttfb=1",
        "ttfbb=1",
        "ttlb=1",
        "url=\"/a\"",
        "cen=\"a\"",
    ] {
        assert_eq!(told(&format!("e=t,{text}")), Ok((json!({ "e": "t" }), vec![("misplaced", 1)])), "{text}");
    }
}

#[test]
fn every_event_is_read_with_what_it_must_say() {
    for name in ["abe", "abs", "ae", "as", "h", "m", "pc", "pe", "sk", "t", "um"] {
        assert_eq!(told(&format!("e={name}")), Ok((json!({ "e": name }), NONE)), "{name}");
    }
    for (name, key, value) in [
        ("ps", "sta", json!("p")),
        ("e", "ec", json!(["E1"])),
        ("rr", "url", json!("/live/a.m4s")),
        ("ce", "cen", json!("like")),
    ] {
        let text = match &value {
            Json::Array(_) => "(\"E1\")".to_owned(),
            Json::String(text) if key == "sta" => text.clone(),
            text => text.to_string(),
        };
        assert_eq!(told(&format!("e={name},{key}={text}")), Ok((json!({ "e": name, key: value }), NONE)), "{name}");
        assert_eq!(told(&format!("e={name}")), Err(Fault::MissingKey), "{name}");
        assert_eq!(told(&format!("e={name},{key}=1.5")), Err(Fault::MissingKey), "{name}");
    }
    assert_eq!(told("e=b,bg"), Ok((json!({ "e": "b", "bg": true }), NONE)));
    assert_eq!(told("e=b,bg=?0"), Ok((json!({ "e": "b", "bg": false }), NONE)));
}

#[test]
fn an_event_without_version_name_or_time_is_dropped_and_no_other() {
    for (line, fault) in [
        ("e=t,ts=1", Fault::Version),
        ("e=t,ts=1,v=1", Fault::Version),
        ("e=t,ts=1,v=3", Fault::Version),
        ("e=t,ts=1,v=\"2\"", Fault::Version),
        ("ts=1,v=2", Fault::MissingKey),
        ("e=\"t\",ts=1,v=2", Fault::MissingKey),
        ("e,ts=1,v=2", Fault::MissingKey),
        ("e=(t),ts=1,v=2", Fault::MissingKey),
        ("e=t,v=2", Fault::MissingKey),
        ("e=t,ts=-1,v=2", Fault::MissingKey),
        ("e=t,ts=\"1\",v=2", Fault::MissingKey),
        ("e=t,ts=1.5,v=2", Fault::MissingKey),
        ("e=zz,ts=1,v=2", Fault::UnknownEvent),
        ("e=PS,sta=p,ts=1,v=2", Fault::UnknownEvent),
        ("e=t,ts=1,v=2,", Fault::Malformed),
        ("e=t&ts=1&v=2", Fault::Malformed),
        ("e%3Dt%2Cts%3D1%2Cv%3D2", Fault::Malformed),
        ("{\"e\":\"t\"}", Fault::Malformed),
        (&format!("e=t,ts=1,v=2,cs=\"{}\"", "a".repeat(LONGEST_RECORD)), Fault::TooLarge),
        (&format!("e=t,ts=1,v=2{}", ",bs".repeat(62)), Fault::TooLarge),
    ] {
        assert_eq!(event(line), Err(fault), "{line}");
        let body = format!("e=t,ts=1,v=2\n{line}\ne=m,ts=2,v=2");
        let read: Vec<_> = from_batch(body.as_bytes()).map(|(_, read)| read.map(|read| read.data.e)).collect();
        assert_eq!(read, [Ok(Some("t".into())), Err(fault), Ok(Some("m".into()))], "{line}");
    }
    assert!(event("e=t,ts=0,v=2").is_ok());
}

#[test]
fn a_response_tells_its_times_and_where_it_came_from() {
    let text = r#"e=rr,url="https://e.example.org/.weir/t/secret/live/a.m4s?x=1",rc=200,ttfb=10,ttfbb=12,ttlb=80,cmsdd="Im4iO2R1",cmsds="YnI9MQ==",smrt="YWJj",h="e.example.org""#;
    let whole = json!({ "e": "rr", "url": "/live/a.m4s", "rc": 200, "ttfb": 10, "ttfbb": 12, "ttlb": 80, "cmsdd": "Im4iO2R1",
        "cmsds": "YnI9MQ==", "smrt": "YWJj", "h": "e.example.org" });
    assert_eq!(told(text), Ok((whole, NONE)));
    let times = |times: &str| told(&format!("e=rr,url=\"/a\",{times}")).unwrap();
    assert_eq!(times("rc=0"), (json!({ "e": "rr", "url": "/a", "rc": 0 }), NONE));
    assert_eq!(times("ttfb=9,ttlb=8"), (json!({ "e": "rr", "url": "/a" }), vec![("impossible", 2)]));
    assert_eq!(times("ttfb=9,ttlb=9"), (json!({ "e": "rr", "url": "/a", "ttfb": 9, "ttlb": 9 }), NONE));
    assert_eq!(
        times("ttfb=1,ttfbb=9,ttlb=8"),
        (json!({ "e": "rr", "url": "/a", "ttfb": 1, "ttlb": 8 }), vec![("impossible", 1)])
    );
    assert_eq!(times("ttfb=5,ttfbb=4"), (json!({ "e": "rr", "url": "/a", "ttfb": 5 }), vec![("impossible", 1)]));
    for key in ["cmsdd", "cmsds", "smrt"] {
        for broken in ["a b", "AQ=a", "A", "AQ==="] {
            let read = told(&format!("e=rr,url=\"/a\",{key}=\"{broken}\""));
            assert_eq!(read, Ok((json!({ "e": "rr", "url": "/a" }), vec![("unknown-value", 1)])), "{key}={broken}");
        }
    }
}

#[test]
fn a_body_has_a_record_a_line_whatever_the_lines_end_with() {
    const RECORD: &str = "e=t,ts=1,v=2";
    for body in [
        "e=t,ts=1,v=2",
        "e=t,ts=1,v=2\n",
        "e=t,ts=1,v=2\r\n",
        "e=t,ts=1,v=2 \t",
        "  e=t,ts=1,v=2",
        "\n\ne=t,ts=1,v=2\n\n",
        "\r\n \r\ne=t,ts=1,v=2\r\n\r\n",
    ] {
        let lines: Vec<_> = from_batch(body.as_bytes()).map(|(line, read)| (line, read.is_ok())).collect();
        assert_eq!(lines, [(RECORD.as_bytes(), true)], "{body:?}");
    }
    let two = format!("{RECORD}\r\n{RECORD}");
    assert_eq!(from_batch(two.as_bytes()).count(), 2);
    for body in ["", "\n", " \r\n\t\n"] {
        assert_eq!(from_batch(body.as_bytes()).count(), 0, "{body:?}");
    }
    let bytes = [b"\xff\xfe".as_slice(), RECORD.as_bytes()].join(&b'\n');
    let read: Vec<_> = from_batch(&bytes).map(|(_, read)| read.is_ok()).collect();
    assert_eq!(read, [false, true]);
    assert_eq!(event(&format!("{RECORD},cid=\"\u{e9}\"")).unwrap().data.cid.as_deref(), Some("\u{e9}"));
    assert_eq!(event("e=t,ts=1,v=2,cid=\"a+b%20c\"").unwrap().data.cid.as_deref(), Some("a+b%20c"));
}

#[test]
fn a_body_has_no_more_records_than_its_bound() {
    let body = vec!["e=t,ts=1,v=2"; MOST_RECORDS + 3].join("\n");
    let read: Vec<_> = from_batch(body.as_bytes()).map(|(_, read)| read.err()).collect();
    assert_eq!(read.iter().filter(|fault| fault.is_none()).count(), MOST_RECORDS);
    assert_eq!(read[MOST_RECORDS..], [Some(Fault::TooMany); 3]);
}

#[test]
fn a_record_of_an_open_player_is_read_whole() {
    let line = r#"bl=(2000;v 1800;a),br=(5000;v 128;a),bs,bsa=(2),bsd=(300 450;v),cid="show",com.example-seat="12a",e=ps,ltc=3200,msd=812,mtp=(18200),pb=(5000;v),pr=1.05,pt=1720000000000,sf=h,sid="9f2c",sn=17,st=ll,sta=p,tb=(8000;v),tbl=(2400),ts=1720000000123,v=2"#;
    let read = event(line).unwrap();
    let whole = json!({
        "bl": [{ "value": 2_000, "of": "v" }, { "value": 1_800, "of": "a" }],
        "br": [{ "value": 5_000, "of": "v" }, { "value": 128, "of": "a" }],
        "bs": true, "bsa": [{ "value": 2 }], "bsd": [{ "value": 300 }, { "value": 450, "of": "v" }], "cid": "show", "e": "ps",
        "ltc": 3_200, "msd": 812, "mtp": [{ "value": 18_200 }], "pb": [{ "value": 5_000, "of": "v" }], "pr": 1.05,
        "pt": 1_720_000_000_000_u64, "sf": "h", "sn": 17, "st": "ll", "sta": "p", "tb": [{ "value": 8_000, "of": "v" }],
        "tbl": [{ "value": 2_400 }], "ts": 1_720_000_000_123_u64, "v": 2,
    });
    assert_eq!((said(&read), dropped(&read)), (whole, NONE));
    assert_eq!((read.sid.as_deref(), read.custom.len()), (Some("9f2c"), 1));
}

proptest! {
    #[test]
    fn nothing_that_is_sent_brings_reading_down(text in "[ -~\\n\\PC]{0,200}") {
        _ = from_request(Some(&format!("CMCD={text}")), &HeaderMap::new());
        from_batch(text.as_bytes()).for_each(drop);
    }

    // Of keys, also of parameters, more is taken here: no such name is made.
    #[test]
    fn what_looks_like_cmcd_is_read_as_another_reader_of_structured_fields_reads_it(
        text in "([a-z]{1,4}(=([0-9]{1,16}|-?[0-9]{1,2}\\.[0-9]{0,4}|[a-z]{1,2}|\"[a-z\\\\\"]{0,3}\"|\\?[0-2]|\\(([0-9]{1,3}(;[av]){0,2} {0,2}){0,3}\\)))?[, ]{0,2}){0,4}"
    ) {
        let ours = Members::default().read(text.as_bytes(), None).is_ok();
        let theirs = crate::rules::fields::structured::Dictionary::parse(text.as_bytes()).is_ok();
        prop_assert_eq!(ours, theirs);
    }
}
