use proptest::prelude::*;

use super::*;

const LOOSE: Bounds = Bounds { size: 1 << 20, fields: 1_000 };

type Field = (Vec<u8>, Vec<u8>);

fn fields(section: &[u8], bounds: Bounds) -> Result<Vec<Field>, DecodeError> {
    let mut fields = Vec::new();
    decode(section, bounds, |name, value| {
        fields.push((name.octets().to_vec(), value.to_vec()));
        Ok(())
    })?;
    Ok(fields)
}

fn is_broken(section: &[u8]) -> bool {
    matches!(fields(section, LOOSE), Err(DecodeError::Broken(_)))
}

#[test]
fn the_literal_with_name_reference_of_rfc_9204_appendix_b_1() {
    let section = [&[0x00, 0x00, 0x51, 0x0b][..], b"/index.html"].concat();
    assert_eq!(fields(&section, LOOSE), Ok(vec![(b":path".to_vec(), b"/index.html".to_vec())]));
    let mut out = Vec::new();
    begin(&mut out);
    encode(":path", b"/index.html", Secrecy::Open, &mut out);
    assert_eq!(out, section);
}

#[test]
fn the_sections_of_rfc_9204_appendix_b_that_need_a_dynamic_table_are_refused() {
    for section in [
        &[0x03, 0x81, 0x10, 0x11][..],   // B.2
        &[0x05, 0x00, 0x80, 0xc1, 0x81], // B.4
        &[0x00, 0x00, 0x80],             // indexed, dynamic
        &[0x00, 0x00, 0x10],             // indexed, behind the base
        &[0x00, 0x00, 0x00, 0x01, b'a'], // literal, name behind the base
        &[0x00, 0x00, 0x40, 0x01, b'a'], // literal, dynamic name
        &[0x00, 0x80],                   // a negative base
    ] {
        assert!(is_broken(section), "{section:x?}");
    }
}

#[test]
fn what_ends_early_or_points_nowhere_is_refused() {
    for section in [
        &[][..],
        &[0x00],
        &[0x00, 0x00, 0xff],                                     // an integer without its end
        &[0x00, 0x00, 0xff, 0x24],                               // index 99
        &[0x00, 0x00, 0x5f, 0x54, 0x00],                         // name 99
        &[0x00, 0x00, 0x51],                                     // no value
        &[0x00, 0x00, 0x51, 0x05, b'/'],                         // a value shorter than it says
        &[0x00, 0x00, 0x51, 0x7f, 0xff, 0xff, 0xff, 0xff, 0x7f], // one of gigabytes
        &[0x00, 0x00, 0x51, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
        &[0x00, 0x00, 0x23, b'a', b'b'], // a name shorter than it says
        &[0x00, 0x00, 0x51, 0x81, 0x00], // Huffman padding of zeros
    ] {
        assert!(is_broken(section), "{section:x?}");
    }
    assert_eq!(fields(&[0x00, 0x00], LOOSE), Ok(vec![]));
    assert_eq!(fields(&[0x00, 0x7f, 0x80, 0x01], LOOSE), Ok(vec![]), "a base is of no use, but allowed");
}

#[test]
fn bounds_are_kept_while_decoding() {
    let mut section = Vec::new();
    begin(&mut section);
    for _ in 0..10 {
        encode("a", b"b", Secrecy::Open, &mut section);
    }
    section.push(0x00); // broken: seen only by who goes on to the end
    let bounds = |size, fields| Bounds { size, fields };
    assert!(matches!(fields(&section, bounds(340, 10)), Err(DecodeError::Broken(_))));
    assert_eq!(fields(&section, bounds(339, 10)), Err(DecodeError::TooLarge));
    assert_eq!(fields(&section, bounds(340, 9)), Err(DecodeError::TooMany));
    let empty_names = [&[0, 0][..], &[0x20, 0x00].repeat(100)].concat();
    assert_eq!(fields(&empty_names, bounds(100 * 32 - 1, 1_000)), Err(DecodeError::TooLarge), "32 octets each");
}

#[test]
fn whole_fields_of_the_static_table_take_two_octets_and_secrets_never_an_index() {
    let coded = |name, value: &[u8], secrecy| {
        let mut out = Vec::new();
        encode(name, value, secrecy, &mut out);
        out
    };
    assert_eq!(coded(":status", b"200", Secrecy::Open), [0xd9]);
    assert_eq!(coded("vary", b"origin", Secrecy::Open), [0xfc]);
    assert_eq!(coded("x-frame-options", b"deny", Secrecy::Open), [0xff, 0x22]);
    assert_eq!(coded("set-cookie", b"a", Secrecy::Secret), [0x7e, 0x01, b'a']);
    assert_eq!(coded("x-s", b"a", Secrecy::Secret), [0x33, b'x', b'-', b's', 0x01, b'a']);
    assert_eq!(coded("vary", b"origin", Secrecy::Secret)[0], 0x7f);
}

proptest! {
    #[test]
    fn every_field_comes_back(
        list in proptest::collection::vec(
            ("[a-z:-]{0,12}|:status|:path|content-type|vary", proptest::collection::vec(any::<u8>(), 0..40), any::<bool>()),
            0..20,
        ),
    ) {
        let mut section = Vec::new();
        begin(&mut section);
        for (name, value, secret) in &list {
            let secrecy = if *secret { Secrecy::Secret } else { Secrecy::Open };
            encode(name, value, secrecy, &mut section);
        }
        let sent: Vec<Field> = list.into_iter().map(|(name, value, _)| (name.into_bytes(), value)).collect();
        prop_assert_eq!(fields(&section, LOOSE), Ok(sent));
    }

    #[test]
    fn huffman_coded_strings_read_like_plain_ones(name in "[a-z-]{1,20}", value in proptest::collection::vec(any::<u8>(), 0..60)) {
        let mut section = vec![0, 0];
        prefix_int::encode(3, 0x28, huffman::encoded_len(name.as_bytes()) as u64, &mut section);
        huffman::encode(name.as_bytes(), &mut section);
        prefix_int::encode(7, 0x80, huffman::encoded_len(&value) as u64, &mut section);
        huffman::encode(&value, &mut section);
        prop_assert_eq!(fields(&section, LOOSE), Ok(vec![(name.into_bytes(), value)]));
    }

    #[test]
    fn any_octets_are_decoded_within_bounds_or_refused(
        begins in prop_oneof![Just(vec![0, 0]), Just(vec![])],
        octets in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let section = [begins, octets].concat();
        let bounds = Bounds { size: 500, fields: 10 };
        if let Ok(fields) = fields(&section, bounds) {
            let size: usize = fields.iter().map(|(name, value)| name.len() + value.len() + 32).sum();
            prop_assert!(fields.len() <= bounds.fields && size <= bounds.size);
        }
    }
}
