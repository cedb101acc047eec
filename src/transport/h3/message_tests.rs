use super::*;
use crate::request::Proxy;
use crate::transport::h3::tests::mock::{LOOSE, block};

const BASE: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "https"), (":authority", "example.com"), (":path", "/a")];

fn viewer() -> Viewer {
    Viewer { peer: ([192, 0, 2, 1], 1).into(), address: ([192, 0, 2, 1], 1).into(), proxy: Proxy::None }
}

fn read_fields(fields: &[(&str, &str)]) -> Request {
    read(&block(fields), LOOSE, viewer(), Tick::default()).unwrap()
}

fn with(more: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    [&BASE[..], more].concat()
}

fn replaced(name: &'static str, value: Option<&'static str>) -> Vec<(&'static str, &'static str)> {
    BASE.iter().filter_map(|field| if field.0 == name { Some((name, value?)) } else { Some(*field) }).collect()
}

fn served(fields: &[(&str, &str)]) -> (Head, Option<u64>) {
    match read_fields(fields) {
        Request::Serve(head, length) => (*head, length),
        other => panic!("{other:?} of {fields:?}"),
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn every_malformed_message_is_refused_for_its_reason() {
    let table: Vec<(Malformed, Vec<(&str, &str)>)> = vec![
        (Malformed::FieldName, with(&[("X-Upper", "1")])),
        (Malformed::FieldName, with(&[("", "1")])),
        (Malformed::FieldName, with(&[("a b", "1")])),
        (Malformed::FieldName, with(&[("a:b", "1")])),
        (Malformed::FieldValue, with(&[("a", "x\ry")])),
        (Malformed::FieldValue, with(&[("a", "x\ny")])),
        (Malformed::FieldValue, with(&[("a", "x\0y")])),
        (Malformed::FieldValue, with(&[("a", " x")])),
        (Malformed::FieldValue, with(&[("a", "x\t")])),
        (Malformed::FieldValue, with(&[("a", " ")])),
        (Malformed::FieldValue, with(&[("cookie", "a\nb")])),
        (Malformed::ConnectionField, with(&[("connection", "close")])),
        (Malformed::ConnectionField, with(&[("keep-alive", "1")])),
        (Malformed::ConnectionField, with(&[("proxy-connection", "close")])),
        (Malformed::ConnectionField, with(&[("transfer-encoding", "chunked")])),
        (Malformed::ConnectionField, with(&[("upgrade", "websocket")])),
        (Malformed::ConnectionField, with(&[("te", "gzip")])),
        (Malformed::ConnectionField, with(&[("te", "trailers, gzip")])),
        (Malformed::MissingPseudo, replaced(":method", None)),
        (Malformed::MissingPseudo, replaced(":scheme", None)),
        (Malformed::MissingPseudo, replaced(":path", None)),
        (Malformed::MissingPseudo, vec![]),
        (Malformed::RepeatedPseudo, with(&[(":method", "GET")])),
        (Malformed::RepeatedPseudo, with(&[(":scheme", "https")])),
        (Malformed::RepeatedPseudo, with(&[(":path", "/a")])),
        (Malformed::RepeatedPseudo, with(&[(":authority", "example.com")])),
        (Malformed::PseudoAfterFields, [&[("a", "b")][..], &BASE].concat()),
        (Malformed::PseudoAfterFields, with(&[("a", "b"), (":path", "/b")])),
        (Malformed::PseudoAfterFields, with(&[("a", "b"), (":unknown", "x")])),
        (Malformed::UnknownPseudo, with(&[(":status", "200")])),
        (Malformed::UnknownPseudo, with(&[(":protocol", "websocket")])),
        (Malformed::UnknownPseudo, with(&[(":", "x")])),
        (Malformed::UnknownPseudo, with(&[(":Path", "/")])),
        (Malformed::Method, replaced(":method", Some("G ET"))),
        (Malformed::Method, replaced(":method", Some(""))),
        (Malformed::Scheme, replaced(":scheme", Some("ftp"))),
        (Malformed::Scheme, replaced(":scheme", Some(""))),
        (Malformed::Path, replaced(":path", Some(""))),
        (Malformed::Path, replaced(":path", Some("a"))),
        (Malformed::Path, replaced(":path", Some("*"))),
        (Malformed::Path, replaced(":path", Some("/ä"))),
        (Malformed::Path, replaced(":path", Some("/a b"))),
        (Malformed::Path, replaced(":path", Some("/a#b"))),
        (Malformed::Path, replaced(":path", Some("/ä?\""))),
        (Malformed::Path, replaced(":path", Some("/?\" "))),
        (Malformed::Path, replaced(":path", Some("/?\"\0"))),
        (Malformed::Path, replaced(":path", Some("/?\"#"))),
        (Malformed::Path, replaced(":path", Some("/a\r\nb"))),
        (Malformed::Path, replaced(":path", Some("https://example.com/a"))),
        (Malformed::Authority, replaced(":authority", None)),
        (Malformed::Authority, replaced(":authority", Some(""))),
        (Malformed::Authority, replaced(":authority", Some("user@example.com"))),
        (Malformed::Authority, replaced(":authority", Some("user:secret@example.com:1"))),
        (Malformed::Authority, replaced(":authority", Some("example.com:x"))),
        (Malformed::Authority, replaced(":authority", Some("example.com:65536"))),
        (Malformed::Authority, replaced(":authority", Some("a/b"))),
        (Malformed::Authority, replaced(":authority", Some("[::1"))),
        (Malformed::Authority, replaced(":authority", Some("[::1]x"))),
        (Malformed::Authority, replaced(":authority", Some("[]"))),
        (Malformed::Authority, with(&[("host", "other.example")])),
        (Malformed::Authority, with(&[("host", "")])),
        (Malformed::Authority, with(&[("host", "example.com"), ("host", "example.com")])),
        (Malformed::ContentLength, with(&[("content-length", "x")])),
        (Malformed::ContentLength, with(&[("content-length", "")])),
        (Malformed::ContentLength, with(&[("content-length", "-1")])),
        (Malformed::ContentLength, with(&[("content-length", "+1")])),
        (Malformed::ContentLength, with(&[("content-length", "1, 1")])),
        (Malformed::ContentLength, with(&[("content-length", "1"), ("content-length", "1")])),
        (Malformed::ContentLength, with(&[("content-length", "99999999999999999999")])),
        (Malformed::Connect, replaced(":method", Some("CONNECT"))),
        (Malformed::Connect, vec![(":method", "CONNECT")]),
    ];
    for (reason, fields) in table {
        match read_fields(&fields) {
            Request::Malformed(found) => assert_eq!(found, reason, "{fields:?}"),
            other => panic!("{other:?} of {fields:?}"),
        }
    }
}

#[test]
fn a_well_formed_request_becomes_its_head() {
    let (head, length) = served(&with(&[
        ("host", "Example.COM"),
        ("te", "trailers"),
        ("cookie", "a=1"),
        ("content-length", "7"),
        ("cookie", "b=2"),
        ("x-list", "1"),
        ("x-list", "2"),
        ("empty", ""),
    ]));
    assert_eq!(length, Some(7));
    assert_eq!((head.scheme, head.authority.as_deref()), (Scheme::Https, Some("example.com")));
    assert!(head.headers.get("host").is_none());
    assert_eq!(head.headers["cookie"], "a=1; b=2");
    assert_eq!(head.headers.get_all("x-list").iter().count(), 2);
    assert_eq!(head.headers["empty"], "");
}

#[test]
fn the_authority_is_lower_case_and_may_come_from_host() {
    let no_authority = replaced(":authority", None);
    for (sent, read) in [
        ("EXAMPLE.com:8443", "example.com:8443"),
        ("example.com:", "example.com"),
        ("[2001:DB8::1]:443", "[2001:db8::1]:443"),
        ("[::1]", "[::1]"),
        ("192.0.2.7", "192.0.2.7"),
    ] {
        let (head, _) = served(&replaced(":authority", Some(sent)));
        assert_eq!(head.authority.as_deref(), Some(read));
        let (head, _) = served(&[&no_authority[..], &[("host", sent)]].concat());
        assert_eq!(head.authority.as_deref(), Some(read));
    }
}

#[test]
fn path_and_query_are_parted_at_the_first_question_mark() {
    for (sent, path, query) in [
        ("/", "/", None),
        ("/a?", "/a", Some("")),
        ("/a?b?c", "/a", Some("b?c")),
        ("/%20\"{}", "/%20\"{}", None),
        ("/\"?\"<ä>", "/\"", Some("%22%3C%C3%A4%3E")),
    ] {
        let (head, _) = served(&replaced(":path", Some(sent)));
        assert_eq!((head.path.as_str(), head.query.as_deref()), (path, query));
    }
    let mut options = replaced(":method", Some("OPTIONS"));
    options[3].1 = "*";
    assert_eq!(served(&options).0.path, "*");
}

#[test]
fn connect_other_expectations_and_oversized_heads_are_refused_in_words() {
    let bad = |request| match request {
        Request::Refuse(bad, _) => bad,
        other => panic!("{other:?}"),
    };
    assert_eq!(bad(read_fields(&[(":method", "CONNECT"), (":authority", "a:1")])), BadRequest::Connect);
    assert_eq!(bad(read_fields(&with(&[("expect", "tea")]))), BadRequest::Expectation);
    served(&with(&[("expect", "100-Continue")]));
    let many = with(&[("a", "b"); 3]);
    let bounds = |size, fields| Bounds { size, fields };
    let reads = |bounds| read(&block(&many), bounds, viewer(), Tick::default()).unwrap();
    let size: usize = many.iter().map(|(name, value)| name.len() + value.len() + 32).sum();
    assert!(matches!(reads(bounds(size, 7)), Request::Serve(..)));
    assert_eq!(bad(reads(bounds(size - 1, 7))), TOO_LARGE);
    assert_eq!(bad(reads(bounds(size, 6))), BadRequest::TooManyFields);
}

#[test]
fn what_a_viewer_says_of_proxies_and_certificates_is_forgotten() {
    let forged = [
        ("forwarded", "for=198.51.100.1"),
        ("x-forwarded-for", "198.51.100.1"),
        ("x-forwarded-proto", "http"),
        ("client-cert", ":AA==:"),
    ];
    let (head, _) = served(&with(&forged));
    assert_eq!((head.headers.len(), head.viewer, head.scheme), (0, viewer(), Scheme::Https));
}

#[test]
fn trailers_are_judged_as_fields_without_pseudo_fields() {
    let judge = |fields: &[(&str, &str)]| read_trailers(&block(fields), Bounds { size: 200, fields: 3 }).unwrap();
    assert_eq!(judge(&[("x-sum", "1")]), Ok(()));
    assert_eq!(judge(&[(":path", "/")]), Err(Malformed::PseudoInTrailers));
    assert_eq!(judge(&[("X", "1")]), Err(Malformed::FieldName));
    assert_eq!(judge(&[("x", "1\n")]), Err(Malformed::FieldValue));
    assert_eq!(judge(&[("x", "1"); 4]), Err(Malformed::TrailersTooLarge));
    assert_eq!(judge(&[("x", &"1".repeat(200))]), Err(Malformed::TrailersTooLarge));
}

#[test]
fn a_section_that_breaks_qpack_is_an_error_of_the_connection() {
    let error = read(&[0, 0, 0x80], LOOSE, viewer(), Tick::default()).unwrap_err();
    assert_eq!(error.code, code::DECOMPRESSION_FAILED);
    assert_eq!(read_trailers(&[1, 0], LOOSE).unwrap_err().code, code::DECOMPRESSION_FAILED);
}
