use proptest::prelude::*;

use super::*;

fn seals() -> Seals {
    Seals::new(&[1; 32], Some(&[2; 32]))
}

fn typical() -> Grant {
    Grant {
        session: SessionId([9; 12]),
        subject: Some(1),
        token: Some(2),
        key: None,
        issuer: Some(3),
        issued_at: 1_795_000_000,
        ends: Some(1_795_010_000),
        scope: Scope::Paths(vec!["/live/final".into()]),
        networks: None,
        countries: None,
        max_sessions: Some(2),
        tier: None,
    }
}

#[test]
fn a_session_is_short_the_same_each_time_and_opens_where_the_secret_is() {
    let sealed = seals().seal("members", &typical()).unwrap();
    assert_eq!(sealed, seals().seal("members", &typical()).unwrap());
    assert!(sealed.len() <= 112, "{}", sealed.len());
    assert!(sealed.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_'));
    assert_eq!(seals().open("members", &sealed), Ok(typical()));
    assert_eq!(seals().open("partners", &sealed), Err(NOT_OURS));
    assert_eq!(Seals::new(&[3; 32], None).open("members", &sealed), Err(NOT_OURS));
}

#[test]
fn a_rotated_secret_still_opens_what_it_sealed_and_seals_nothing_more() {
    let old = Seals::new(&[2; 32], None);
    let sealed = old.seal("members", &typical()).unwrap();
    assert_eq!(seals().open("members", &sealed), Ok(typical()));
    assert_eq!(old.open("members", &seals().seal("members", &typical()).unwrap()), Err(NOT_OURS));
    assert_eq!(Seals::new(&[1; 32], None).open("members", &sealed), Err(NOT_OURS));
}

#[test]
fn what_does_not_fit_is_refused_with_its_reason() {
    let path = |length: usize| Scope::Paths(vec![format!("/{}", "x".repeat(length)).into()]);
    let grant = |length| Grant { scope: path(length), ..typical() };
    assert_eq!(seals().seal("members", &grant(500)), Err(TOO_LARGE));
    let longest = (0..500).rev().find_map(|length| seals().seal("members", &grant(length)).ok()).unwrap();
    assert!(longest.len() <= LONGEST && longest.len() > LONGEST - 4);
    assert!(seals().open("members", &longest).is_ok());
}

#[test]
fn what_is_no_session_is_told_from_one_that_is_not_ours() {
    for text in
        ["", "a", "AAAA", &"A".repeat(40), &"A".repeat(LONGEST + 1), "ein Text mit Leerzeichen und anderem", "===="]
    {
        assert_eq!(seals().open("members", text), Err(NO_SESSION), "{text}");
    }
}

#[test]
fn every_kind_of_scope_is_kept() {
    let acl = Acl::parse("/live/*", crate::rules::token::terms::AnyPath::Refused);
    for scope in
        [Some(Scope::Everything), acl.ok().map(Scope::Acl), Some(Scope::Paths(Vec::new()))].into_iter().flatten()
    {
        let grant = Grant { scope, ..typical() };
        let sealed = seals().seal("members", &grant).unwrap();
        assert_eq!(seals().open("members", &sealed), Ok(grant));
    }
}

fn networks() -> impl Strategy<Value = IpNet> {
    let v4 = (any::<u32>(), 0..=32_u8).prop_map(|(address, length)| IpNet::new(Ipv4Addr::from(address).into(), length));
    let v6 =
        (any::<u128>(), 0..=128_u8).prop_map(|(address, length)| IpNet::new(Ipv6Addr::from(address).into(), length));
    prop_oneof![v4, v6].prop_map(|network| network.unwrap().trunc())
}

fn grants() -> impl Strategy<Value = Grant> {
    let prints = (any::<[u8; 12]>(), any::<[Option<u64>; 4]>());
    let times = (any::<u64>(), any::<Option<u64>>());
    let scope = prop_oneof![
        Just(Scope::Everything),
        proptest::collection::vec("/[a-z/]{0,12}", 0..4)
            .prop_map(|paths| Scope::Paths(paths.into_iter().map(Into::into).collect())),
    ];
    let networks = proptest::option::of(proptest::collection::vec(networks(), 0..4));
    let countries = proptest::option::of(proptest::collection::vec("[A-Z]{2}(-[A-Z0-9]{1,3})?", 0..5));
    let rest = (any::<Option<u32>>(), proptest::option::of("[a-z]{0,8}"));
    (prints, times, scope, networks, countries, rest).prop_map(
        |((session, [subject, token, key, issuer]), (issued_at, ends), scope, networks, countries, (most, tier))| {
            Grant {
                session: SessionId(session),
                subject,
                token,
                key,
                issuer,
                issued_at,
                ends,
                scope,
                networks,
                countries: countries.map(|list| list.into_iter().map(Into::into).collect()),
                max_sessions: most,
                tier: tier.map(Into::into),
            }
        },
    )
}

proptest! {
    #[test]
    fn what_is_sealed_is_opened_again(grant in grants()) {
        let sealed = seals().seal("members", &grant).unwrap();
        prop_assert_eq!(seals().open("members", &sealed), Ok(grant));
    }

    #[test]
    fn one_other_bit_opens_nothing(grant in grants(), at: prop::sample::Index, bit in 0..8_u8) {
        let mut octets = URL_SAFE_NO_PAD.decode(seals().seal("members", &grant).unwrap()).unwrap();
        let at = at.index(octets.len());
        octets[at] ^= 1 << bit;
        prop_assert!(seals().open("members", &URL_SAFE_NO_PAD.encode(octets)).is_err());
    }

    #[test]
    fn one_other_character_opens_nothing(grant in grants(), at: prop::sample::Index, with in "[ -~]") {
        let mut sealed = seals().seal("members", &grant).unwrap();
        let at = at.index(sealed.len());
        prop_assume!(sealed[at..=at] != *with);
        sealed.replace_range(at..=at, &with);
        prop_assert!(seals().open("members", &sealed).is_err());
    }

    #[test]
    fn no_octets_panic_and_what_is_read_has_one_form(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut rest = &octets[..];
        if let Some(grant) = read(&mut rest) {
            let mut out = Vec::new();
            write(&mut out, &grant);
            prop_assert_eq!(&out[..], &octets[..octets.len() - rest.len()]);
        }
    }

    #[test]
    fn no_text_panics(text in ".{0,600}") {
        prop_assert!(seals().open("members", &text).is_err());
    }
}
