//! Strictness, bounds, and agreement with another reader.

use proptest::prelude::*;

use super::*;

fn octets(hex: &str) -> Vec<u8> {
    let digits: Vec<_> =
        hex.bytes().filter(u8::is_ascii_hexdigit).map(|digit| (digit as char).to_digit(16).unwrap()).collect();
    digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
}

fn fault(hex: &str) -> BadCbor {
    Value::read(&octets(hex), Lengths::Any).expect_err(hex)
}

#[test]
fn a_value_is_read_however_long_it_was_written() {
    for (hex, value) in [
        ("00", Value::Whole(0)),
        ("17", Value::Whole(23)),
        ("1818", Value::Whole(24)),
        ("1805", Value::Whole(5)),
        ("1b0000000000000005", Value::Whole(5)),
        ("1bffffffffffffffff", Value::Whole(u64::MAX.into())),
        ("20", Value::Whole(-1)),
        ("3863", Value::Whole(-100)),
        ("3bffffffffffffffff", Value::Whole(-(1 << 64))),
        ("40", Value::Octets(Cow::Borrowed(&[]))),
        ("430102ff", Value::Octets(Cow::Borrowed(&[1, 2, 255]))),
        ("5f4101420203ff", Value::Octets(Cow::Borrowed(&[1, 2, 3]))),
        ("63e282ac", Value::Text("€".into())),
        ("80", Value::List(vec![])),
        ("820102", Value::List(vec![Value::Whole(1), Value::Whole(2)])),
        ("9f0102ff", Value::List(vec![Value::Whole(1), Value::Whole(2)])),
        ("a0", Value::Map(Map::default())),
        ("bfff", Value::Map(Map::default())),
        ("c11a514b67b0", Value::Tag(1, Box::new(Value::Whole(1_363_896_240)))),
        ("f4", Value::Bool(false)),
        ("f5", Value::Bool(true)),
        ("f6", Value::Null),
        ("f7", Value::Null),
        ("f93e00", Value::Float(1.5)),
        ("f90001", Value::Float(5.960_464_477_539_063e-8)),
        ("f97bff", Value::Float(65_504.0)),
        ("f9fc00", Value::Float(f64::NEG_INFINITY)),
        ("fa47c35000", Value::Float(100_000.0)),
        ("fb3ff199999999999a", Value::Float(1.1)),
    ] {
        assert_eq!(Value::read(&octets(hex), Lengths::Any), Ok(value), "{hex}");
    }
    assert_eq!(Value::read(&octets("7f6161 6162 ff"), Lengths::Any), Ok(Value::Text("ab".into())));
}

#[test]
fn what_has_more_than_one_reading_has_none() {
    for (hex, reason) in [
        ("", BadCbor::CutShort),
        ("18", BadCbor::CutShort),
        ("4401", BadCbor::CutShort),
        ("5bffffffffffffffff", BadCbor::CutShort),
        ("9bffffffffffffffff", BadCbor::CutShort),
        ("8201", BadCbor::CutShort),
        ("9f01", BadCbor::CutShort),
        ("a101", BadCbor::CutShort),
        ("0000", BadCbor::Trailing),
        ("a000", BadCbor::Trailing),
        ("a201000100", BadCbor::Duplicate),
        ("a20100180100", BadCbor::Duplicate),
        ("bf01000100ff", BadCbor::Duplicate),
        ("a2616100616101", BadCbor::Duplicate),
        ("a26161007f6161ff00", BadCbor::Duplicate),
        ("81a101a202000200", BadCbor::Duplicate),
        ("61ff", BadCbor::NotUtf8),
        ("62c0af", BadCbor::NotUtf8),
        ("7f61c361a4ff", BadCbor::NotUtf8),
        ("1c", BadCbor::Reserved),
        ("1f", BadCbor::Reserved),
        ("ff", BadCbor::Reserved),
        ("81ff", BadCbor::Reserved),
        ("bf01ff", BadCbor::Reserved),
        ("5f6161ff", BadCbor::Reserved),
        ("5f5f4101ffff", BadCbor::Reserved),
        ("df00", BadCbor::Reserved),
        ("f820", BadCbor::Reserved),
        ("e0", BadCbor::Reserved),
        ("a1400 0", BadCbor::Key),
        ("a1f900000 0", BadCbor::Key),
        ("a18000", BadCbor::Key),
        ("a1c10000", BadCbor::Key),
    ] {
        assert_eq!(fault(hex), reason, "{hex}");
    }
    for hex in ["9fff", "bfff", "5fff", "7fff", "819fff", "a1019fff", "c1 9fff"] {
        assert_eq!(Value::read(&octets(hex), Lengths::Definite), Err(BadCbor::Indefinite), "{hex}");
    }
}

#[test]
fn depth_and_values_are_bounded() {
    assert!(Value::read(&octets(&("81".repeat(8) + "00")), Lengths::Any).is_ok());
    assert_eq!(fault(&("81".repeat(9) + "00")), BadCbor::Deep);
    assert_eq!(fault(&("c1".repeat(9) + "00")), BadCbor::Deep);
    assert_eq!(fault(&("a100".repeat(9) + "00")), BadCbor::Deep);
    assert_eq!(fault(&"81".repeat(100_000)), BadCbor::Deep);
    assert_eq!(fault(&"9f".repeat(100_000)), BadCbor::Deep);
    assert!(Value::read(&octets(&("9903ff".to_owned() + &"00".repeat(1_023))), Lengths::Any).is_ok());
    assert_eq!(fault(&("990400".to_owned() + &"00".repeat(1_024))), BadCbor::Many);
    assert_eq!(fault(&("5f".to_owned() + &"40".repeat(1_024) + "ff")), BadCbor::Many);
}

fn values() -> impl Strategy<Value = Value<'static>> {
    let leaf = prop_oneof![
        any::<u64>().prop_map(|number| Value::Whole(number.into())),
        any::<u64>().prop_map(|number| Value::Whole(-1 - i128::from(number))),
        any::<Vec<u8>>().prop_map(|octets| Value::Octets(octets.into())),
        "[a-zé]{0,30}".prop_map(|text| Value::Text(text.into())),
        any::<bool>().prop_map(Value::Bool),
        Just(Value::Null),
        any::<i32>().prop_map(|number| Value::Float(f64::from(number) / 3.0)),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let key = prop_oneof![
            any::<i16>().prop_map(|number| Key::Whole(number.into())),
            "[a-z]{0,4}".prop_map(|text| Key::Text(text.into())),
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::List),
            prop::collection::btree_map(key, inner.clone(), 0..6)
                .prop_map(|map| Value::Map(Map(map.into_iter().collect()))),
            (any::<u64>(), inner).prop_map(|(tag, value)| Value::Tag(tag, Box::new(value))),
        ]
    })
}

/// Whether another reader refuses it as CBOR. A big number that is none of that reader's own types is no fault of it.
fn is_refused_elsewhere(octets: &[u8]) -> bool {
    match ciborium::from_reader::<ciborium::Value, _>(octets) {
        Err(ciborium::de::Error::Semantic(_, why)) => why != "integer too large",
        read => read.is_err(),
    }
}

#[test]
fn a_big_number_may_be_bigger_than_another_reader_can_tell() {
    let big = octets(&("c350".to_owned() + &"ff".repeat(16)));
    assert_eq!(Value::read(&big, Lengths::Any), Ok(Value::Tag(3, Box::new(Value::Octets(vec![0xff; 16].into())))));
    assert!(!is_refused_elsewhere(&big) && is_refused_elsewhere(&big[..17]));
}

proptest! {
    #[test]
    fn what_is_written_is_read(value in values()) {
        let mut out = Vec::new();
        value.write(&mut out);
        prop_assert_eq!(Value::read(&out, Lengths::Definite), Ok(value));
        prop_assert!(ciborium::from_reader::<ciborium::Value, _>(&out[..]).is_ok());
    }

    #[test]
    fn octets_that_another_reader_refuses_are_refused(octets in prop::collection::vec(any::<u8>(), 0..64)) {
        if Value::read(&octets, Lengths::Any).is_ok() {
            prop_assert!(!is_refused_elsewhere(&octets));
        }
    }
}
