use proptest::prelude::*;

use super::*;

fn item(text: &str) -> Option<Bare> {
    Item::parse(text.as_bytes()).ok().map(|item| item.value)
}

#[test]
fn every_kind_of_item_is_read() {
    let string = |text: &str| Some(Bare::String(text.to_owned()));
    let token = |text: &str| Some(Bare::Token(text.to_owned()));
    let decimal = |thousandths| Some(Bare::Decimal(Decimal { thousandths }));
    for (text, value) in [
        ("42", Some(Bare::Integer(42))),
        ("-42", Some(Bare::Integer(-42))),
        ("00", Some(Bare::Integer(0))),
        ("999999999999999", Some(Bare::Integer(999_999_999_999_999))),
        ("1000000000000000", None),
        ("-", None),
        ("--1", None),
        ("+1", None),
        ("1.5", decimal(1_500)),
        ("-0.25", decimal(-250)),
        ("123456789012.1", decimal(123_456_789_012_100)),
        ("1234567890123.1", None),
        ("1.", None),
        ("1.1234", None),
        ("1.5.4", None),
        (".1", None),
        (r#""a \"b\" \\""#, string(r#"a "b" \"#)),
        (r#""a\b""#, None),
        (r#""open"#, None),
        ("\"\u{e9}\"", None),
        ("\"\t\"", None),
        ("a_b-c.d3:f%00/*", token("a_b-c.d3:f%00/*")),
        ("*foo", token("*foo")),
        ("3a", None),
        (":aGVsbG8=:", Some(Bare::Bytes(b"hello".to_vec()))),
        (":aGVsbG8:", Some(Bare::Bytes(b"hello".to_vec()))),
        (":aGVsbG9=:", Some(Bare::Bytes(b"hello".to_vec()))),
        ("::", Some(Bare::Bytes(Vec::new()))),
        (":aGVsbG8", None),
        (":a:", None),
        (":_-Ah:", None),
        (":aGVs bG8=:", None),
        ("?1", Some(Bare::Boolean(true))),
        ("?0", Some(Bare::Boolean(false))),
        ("?T", None),
        ("?", None),
        ("@1659578233", Some(Bare::Date(1_659_578_233))),
        ("@-1", Some(Bare::Date(-1))),
        ("@1.0", None),
        ("%\"f%c3%bc\"", Some(Bare::Display("fü".to_owned()))),
        ("%\"f%C3%BC\"", None),
        ("%\"%c3\"", None),
        ("%foo", None),
        ("", None),
        (" 1 ", Some(Bare::Integer(1))),
        ("\t1", None),
        ("1 2", None),
        ("(1)", None),
    ] {
        assert_eq!(item(text), value, "{text}");
    }
}

#[test]
fn lists_and_dictionaries_are_read_and_written_canonically() {
    for (text, canonical) in [
        ("", Some("")),
        ("a,b", Some("a, b")),
        ("a \t,\t b", Some("a, b")),
        ("a,", None),
        (",a", None),
        ("a,,b", None),
        ("a b", None),
        ("(a b);q=1.50,c", Some("(a b);q=1.5, c")),
        ("( a  b )", Some("(a b)")),
        ("()", Some("()")),
        ("(a,b)", None),
        ("(a\tb)", None),
        ("(a b", None),
        ("a;x;y=?1;z=?0", Some("a;x;y;z=?0")),
        ("a; x=1; x=2", Some("a;x=2")),
        ("a ;x", None),
        ("a;X", None),
        ("a; =1", None),
    ] {
        let read = List::parse(text.as_bytes()).ok().map(|list| list.write().unwrap());
        assert_eq!(read.as_deref(), canonical, "{text}");
    }
    for (text, canonical) in [
        ("", Some("")),
        ("a=1,b;x, c=(1 2);y", Some("a=1, b;x, c=(1 2);y")),
        ("a=1, b=2, a=3", Some("a=3, b=2")),
        ("a=?1", Some("a")),
        ("a=?0", Some("a=?0")),
        ("*a=1", Some("*a=1")),
        ("A=1", None),
        ("a= 1", None),
        ("a =1", None),
        ("a=", None),
        ("a=1,", None),
        ("a=1;;", None),
    ] {
        let read = Dictionary::parse(text.as_bytes()).ok().map(|dictionary| dictionary.write().unwrap());
        assert_eq!(read.as_deref(), canonical, "{text}");
    }
}

#[test]
fn what_cannot_be_written_is_refused() {
    let unwritable = |value: Bare| Item::from(value).write().unwrap_err();
    assert_eq!(unwritable(Bare::Integer(1_000_000_000_000_000)), NotWritable::Number);
    assert_eq!(unwritable(Bare::Decimal(Decimal { thousandths: i64::MIN })), NotWritable::Number);
    assert_eq!(unwritable(Bare::String("\n".to_owned())), NotWritable::String);
    assert_eq!(unwritable(Bare::Token("1a".to_owned())), NotWritable::Token);
    assert_eq!(unwritable(Bare::Token(String::new())), NotWritable::Token);
    let mut named = Dictionary::default();
    named.set("Upper", Item::from(Bare::Boolean(true)).into());
    assert_eq!(named.write().unwrap_err(), NotWritable::Key);
}

#[test]
fn a_container_without_end_is_refused_and_a_full_one_is_read() {
    let members = |count| vec!["a"; count].join(",");
    assert_eq!(List::parse(members(1_024).as_bytes()).unwrap().0.len(), 1_024);
    assert!(List::parse(members(1_025).as_bytes()).is_err());
    let inner = |count| format!("({})", vec!["a"; count].join(" "));
    assert!(List::parse(inner(256).as_bytes()).is_ok());
    assert!(List::parse(inner(1_025).as_bytes()).is_err());
}

#[test]
fn the_place_of_a_fault_is_told() {
    assert_eq!(List::parse(b"abc, &").unwrap_err(), Malformed { at: 5 });
    assert_eq!(Item::parse(b"1 x").unwrap_err(), Malformed { at: 2 });
}

fn any_bare() -> impl Strategy<Value = Bare> {
    const LARGEST: i64 = 999_999_999_999_999;
    prop_oneof![
        (-LARGEST..=LARGEST).prop_map(Bare::Integer),
        (-LARGEST..=LARGEST).prop_map(|thousandths| Bare::Decimal(Decimal { thousandths })),
        "[ -~]{0,12}".prop_map(Bare::String),
        "[A-Za-z*][!#$%&'*+.^_`|~:/0-9A-Za-z-]{0,12}".prop_map(Bare::Token),
        proptest::collection::vec(any::<u8>(), 0..20).prop_map(Bare::Bytes),
        any::<bool>().prop_map(Bare::Boolean),
        (-LARGEST..=LARGEST).prop_map(Bare::Date),
        "\\PC{0,8}".prop_map(Bare::Display),
    ]
}

fn any_named<T: fmt::Debug>(values: impl Strategy<Value = T>) -> impl Strategy<Value = Named<T>> {
    proptest::collection::btree_map("[a-z*][a-z0-9_.*-]{0,6}", values, 0..4)
        .prop_map(|map| Named(map.into_iter().collect()))
}

fn any_item() -> impl Strategy<Value = Item> {
    (any_bare(), any_named(any_bare())).prop_map(|(value, parameters)| Item { value, parameters })
}

fn any_member() -> impl Strategy<Value = Member> {
    prop_oneof![
        any_item().prop_map(Member::Item),
        (proptest::collection::vec(any_item(), 0..3), any_named(any_bare()))
            .prop_map(|(items, parameters)| Member::Inner(items, parameters)),
    ]
}

proptest! {
    #[test]
    fn every_list_survives_writing_and_reading(members in proptest::collection::vec(any_member(), 0..4)) {
        let list = List(members);
        let text = list.write().unwrap();
        prop_assert_eq!(List::parse(text.as_bytes()), Ok(list), "{}", text);
    }

    #[test]
    fn every_dictionary_survives_writing_and_reading(dictionary in any_named(any_member())) {
        let text = dictionary.write().unwrap();
        prop_assert_eq!(Dictionary::parse(text.as_bytes()), Ok(dictionary), "{}", text);
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        _ = Item::parse(&bytes);
        _ = List::parse(&bytes);
        _ = Dictionary::parse(&bytes);
    }

    #[test]
    fn likely_text_is_read_without_a_panic(text in "[a-c1\"\\\\(); ,=?:@%.*-]{0,40}") {
        _ = Item::parse(text.as_bytes());
        _ = List::parse(text.as_bytes());
        _ = Dictionary::parse(text.as_bytes());
    }
}
