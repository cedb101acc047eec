use proptest::prelude::*;

use super::*;

const ORDER: [Carrier; 4] = [Carrier::Path, Carrier::Header, Carrier::Cookie, Carrier::Query];

fn names() -> CarrierNames {
    CarrierNames {
        query: vec!["token".to_owned(), "URISigningPackage".to_owned()],
        cookie: vec!["token".to_owned(), "URISigningPackage".to_owned()],
        header: vec![HeaderName::from_static("cta-common-access-token")],
    }
}

/// A request as it is left, and what it presented.
#[derive(Debug)]
struct Left {
    path: String,
    query: Option<String>,
    headers: HeaderMap,
    presented: Result<Presented, Rejection>,
}

fn ask(target: &str, fields: &[(&'static str, &str)]) -> Left {
    ask_in(&ORDER, target, fields)
}

fn ask_in(order: &[Carrier], target: &str, fields: &[(&'static str, &str)]) -> Left {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query.to_owned())));
    let (mut path, mut query, mut headers) = (path.to_owned(), query, HeaderMap::new());
    for (name, value) in fields {
        headers.append(*name, HeaderValue::try_from(*value).unwrap());
    }
    let parted = in_path(&path).map(|parted| (parted.whole(), parted.credential));
    let credential = parted.map(|(whole, credential)| {
        path = whole;
        credential
    });
    let names = names();
    let terms = Terms { order, names: &names, packages: Packages::InPath };
    let request = Request { path: &mut path, query: &mut query, headers: &mut headers };
    let presented = cut(request, credential, &terms);
    Left { path, query, headers, presented }
}

fn used(left: &Left) -> (Place, &str) {
    let first = left.presented.as_ref().unwrap().first.as_ref().expect("something is presented");
    (first.place, &first.text)
}

#[test]
fn every_carrier_is_found_and_cut() {
    for (target, fields, place, path, query) in [
        ("/.weir/t/TOKEN/live/a.m3u8?x=1", &[][..], Place::Path, "/live/a.m3u8", Some("x=1")),
        ("/live/.weir/t/TOKEN/a.m3u8", &[], Place::Path, "/live/a.m3u8", None),
        ("/.weir/t/TOKEN", &[], Place::Path, "/", None),
        ("/a?token=TOKEN", &[], Place::Query, "/a", None),
        ("/a?x=%2F&tok%65n=TOKEN&y", &[], Place::Query, "/a", Some("x=%2F&y")),
        ("/a?", &[("authorization", "bEaRer   TOKEN")], Place::Authorization, "/a", Some("")),
        ("/a", &[("cta-common-access-token", "TOKEN; x=1")], Place::Field, "/a", None),
        ("/a", &[("cookie", "x=1; token=TOKEN; y=2")], Place::Cookie, "/a", None),
        ("/a", &[("cookie", "token=\"TOKEN\"")], Place::Cookie, "/a", None),
        ("/a;URISigningPackage=TOKEN;b/c", &[], Place::Attribute, "/a;b/c", None),
        ("/URISigningPackage=TOKEN/a/", &[], Place::Attribute, "/a/", None),
        ("/a/URISigningPackage=TOKEN", &[], Place::Attribute, "/a", None),
        ("/URISigningPackage=TOKEN", &[], Place::Attribute, "/", None),
    ] {
        let left = ask(target, fields);
        assert_eq!(used(&left), (place, "TOKEN"), "{target}");
        assert_eq!((left.path.as_str(), left.query.as_deref()), (path, query), "{target}");
        assert!(!format!("{:?}", left.headers).contains("TOKEN"), "{left:?}");
        assert!(!format!("{:?}", left.presented).contains("TOKEN\""), "{left:?}");
    }
    let left = ask("/a", &[("cookie", "x=1; token=TOKEN;y=2"), ("referer", "https://p.example/w?token=TOKEN")]);
    assert_eq!(left.headers[COOKIE], "x=1; y=2");
    assert_eq!(left.headers[REFERER], "https://p.example/");
}

#[test]
fn one_is_used_and_all_are_cut() {
    let all = [
        ("authorization", "Bearer HEADER"),
        ("cta-common-access-token", "OTHER"),
        ("cookie", "token=COOKIE"),
        ("cookie", "weir_session=SESSION"),
    ];
    let left = ask("/.weir/s/SEALED/a?token=QUERY&weir_session=IN", &all);
    assert_eq!(used(&left), (Place::Path, "SEALED"));
    assert_eq!(left.presented.as_ref().unwrap().second, None, "a session in the path stands for itself");
    assert_eq!((left.path.as_str(), left.query, left.headers.len()), ("/a", None, 0));
    let left = ask("/a?token=QUERY", &all);
    assert_eq!(used(&left), (Place::Authorization, "HEADER"));
    let second = left.presented.as_ref().unwrap().second.as_ref().unwrap();
    assert_eq!((second.place, &*second.text), (Place::Cookie, "COOKIE"));
    let order = [Carrier::Query, Carrier::Path];
    let left = ask_in(&order, "/.weir/t/PATH/a?token=QUERY", &all[..2]);
    assert_eq!(used(&left), (Place::Query, "QUERY"));
    assert!(left.headers.contains_key("authorization"), "what is no carrier here is not ours");
    let left = ask("/a?weir_session=IN&token=QUERY", &all);
    assert_eq!(used(&left), (Place::Query, "IN"));
    let left = ask("/a", &all[3..]);
    assert_eq!(used(&left), (Place::Cookie, "SESSION"));
    assert_eq!(ask("/a?x", &[("authorization", "Basic TOKEN")]).presented, Ok(Presented::default()));
}

#[test]
fn two_tokens_in_one_carrier_are_one_too_many() {
    let bearers = [("authorization", "Bearer A"), ("authorization", "Bearer B")];
    for (target, fields) in [
        ("/a?token=A&token=B", &[][..]),
        ("/a", &[("cookie", "token=A; token=B")][..]),
        ("/a;URISigningPackage=A/URISigningPackage=B", &[]),
        ("/a", &bearers),
    ] {
        let left = ask(target, fields);
        assert_eq!(left.presented.unwrap_err().reason, Reason::TokenDuplicate, "{target}");
        assert_eq!((left.path.as_str(), left.query, left.headers.len()), ("/a", None, 0));
    }
    for (target, fields) in [("/a?token=A&token=A", &[][..]), ("/a?token=A&URISigningPackage=B", &[])] {
        assert_eq!(used(&ask(target, fields)), (Place::Query, "A"));
    }
}

#[test]
fn a_token_has_its_size() {
    let long = |octets| "x".repeat(octets);
    for (target, reason) in [
        (format!("/.weir/t/{}/a", long(LARGEST_IN_PATH)), None),
        (format!("/.weir/t/{}/a", long(LARGEST_IN_PATH + 1)), Some(Reason::TokenTooLarge)),
        (format!("/a?token={}", long(LARGEST)), None),
        (format!("/a?token={}", long(LARGEST + 1)), Some(Reason::TokenTooLarge)),
    ] {
        let left = ask(&target, &[]);
        assert_eq!(left.presented.err().map(|rejection| rejection.reason), reason);
        assert_eq!(left.path, "/a");
    }
}

#[test]
fn an_edge_token_is_taken_as_it_was_signed() {
    let token = "exp=1~acl=%2f*~hmac=00";
    assert_eq!(used(&ask(&format!("/a?token={token}"), &[])).1, token);
    assert_eq!(used(&ask("/a?token=exp%3D1%7Eacl%3D%252f*%7Ehmac%3D00", &[])).1, token);
    assert_eq!(used(&ask("/.weir/t/a%2Db/a", &[])).1, "a-b");
}

#[test]
fn logs_see_no_carrier_of_a_path() {
    for path in ["/.weir/s/SEALED-SESSION/a", "/x/.weir/t/SEALED-SESSION/a", "/%2Eweir%2fs/SEALED-SESSION/a"] {
        let told = loggable_path(path);
        assert!(!told.contains("SEALED-SESSION") && told.contains("SEAL.") && told.ends_with("/a"), "{told}");
    }
    let told = loggable_path("/.weir/s/SEALED-1/.weir/t/SEALED-2");
    assert!(!told.contains("SEALED"), "{told}");
    assert_eq!(loggable_path("/live/%41/a"), "/live/%41/a");
    assert_eq!(redacted("SEALED-1").len(), 13);
}

proptest! {
    /// No sixteen characters of a token are left in what keys and origins see.
    #[test]
    fn nothing_of_a_token_is_left(
        token in "[A-Za-z0-9_-]{16,40}(\\.[A-Za-z0-9_-]{0,40}){0,2}",
        rest in "[a-z0-9/]{0,12}", query in "[a-z]{1,3}(=[a-z0-9%2F]{0,4})?(&[a-z]{1,3}){0,2}",
        place in 0..9_usize,
    ) {
        let target = match place {
            0 => format!("/.weir/s/{token}/{rest}?{query}"),
            1 => format!("/live/.weir/t/{token}/{rest}?{query}"),
            2 => format!("/{rest}?{query}&token={token}"),
            3 => format!("/{rest}?weir_session={token}&{query}"),
            4 => format!("/a;URISigningPackage={token}/{rest}?{query}"),
            5 => format!("/URISigningPackage={token}/{rest}?{query}&%74oken={token}"),
            _ => format!("/{rest}?{query}"),
        };
        let bearer = format!("Bearer {token}");
        let cookie = format!("a=b; token={token}; c");
        let referer = format!("https://e.example/.weir/s/{token}/a");
        let fields = match place {
            6 => vec![("authorization", bearer.as_str())],
            7 => vec![("cookie", cookie.as_str())],
            8 => vec![("cta-common-access-token", token.as_str()), ("referer", referer.as_str())],
            _ => vec![],
        };
        let left = ask(&target, &fields);
        let seen = format!("{}?{:?} {:?}", left.path, left.query, left.headers);
        for piece in token.as_bytes().windows(16) {
            prop_assert!(!seen.contains(std::str::from_utf8(piece).unwrap()), "{}", seen);
        }
        prop_assert_eq!(left.query, Some(query));
        let first = left.presented.unwrap().first.unwrap();
        prop_assert_eq!(&*first.text, &*token);
    }

    /// Whatever comes is read, and what is cut once has nothing more to cut of its names.
    #[test]
    fn anything_is_read(target in "\\PC{0,60}", cookie in "[ -~]{0,40}") {
        let left = ask(&target, &[("cookie", cookie.trim())]);
        _ = loggable_path(&target);
        if let Some(query) = &left.query {
            prop_assert!(!query.split('&').any(|pair| pair.starts_with("token=")));
        }
    }
}
