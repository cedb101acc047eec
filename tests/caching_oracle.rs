//! Our rules of caching beside those of another implementation, over what both decide alike: whether a response is
//! stored, and whether it is fresh some time later. Left out is what the other does not know (targeted fields, stale
//! windows, `must-understand`) or decides by a policy of its own (`proxy-revalidate`, Set-Cookie, letter case of
//! directives, other statuses).

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_cache_semantics::{CacheOptions, CachePolicy};
use proptest::prelude::*;
use weir::clock::{Tick, WallTime};
use weir::rules::caching::control::{Control, TARGETS};
use weir::rules::caching::freshness::{Freshness, Heuristics, Lifetime, Policy, Received, Times};
use weir::rules::caching::storable::{Credentials, RequestFacts, SetCookie, storable};
use weir::rules::fields::date;

const RECEIVED: WallTime = WallTime::at(Duration::from_secs(1_763_000_000));

fn header_lines() -> impl Strategy<Value = HeaderMap> {
    let directive = prop_oneof![
        3 => (0u32..200).prop_map(|seconds| format!("max-age={seconds}")),
        2 => (0u32..200).prop_map(|seconds| format!("s-maxage={seconds}")),
        1 => Just("max-age=\"60\"".to_owned()),
        1 => Just("no-store".to_owned()),
        1 => Just("no-cache".to_owned()),
        1 => Just("private".to_owned()),
        2 => Just("public".to_owned()),
        2 => Just("must-revalidate".to_owned()),
        1 => Just("unknown=\"no-store\"".to_owned()),
    ];
    // Of repeated directives the two keep different ones, so that each stands once at most.
    let directives = proptest::collection::vec(directive, 0..3).prop_filter("each directive once", |all| {
        let name = |text: &String| text.split('=').next().unwrap_or_default().to_ascii_lowercase();
        all.iter().enumerate().all(|(index, one)| all[..index].iter().all(|other| name(other) != name(one)))
    });
    let seconds_from_receipt = |range: std::ops::Range<i64>| proptest::option::of(range);
    let age = proptest::option::of(0u32..150);
    (directives, age, seconds_from_receipt(-100..200), seconds_from_receipt(-20..0)).prop_map(
        |(directives, age, expires, modified)| {
            let mut headers = HeaderMap::new();
            let mut set = |name: &'static str, value: HeaderValue| {
                headers.insert(HeaderName::from_static(name), value);
            };
            let at = |offset: i64| {
                date::format(WallTime::at(Duration::from_secs(
                    RECEIVED.since_epoch().as_secs().saturating_add_signed(offset),
                )))
            };
            set("date", at(0));
            if !directives.is_empty() {
                set(
                    "cache-control",
                    HeaderValue::try_from(directives.join(", ")).expect("directives are visible ASCII"),
                );
            }
            if let Some(age) = age {
                set("age", HeaderValue::from(age));
            }
            if let Some(expires) = expires {
                set("expires", at(expires));
            }
            if let Some(modified) = modified {
                set("last-modified", at(modified * 100));
            }
            headers
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn another_implementation_stores_and_ages_alike(
        headers in header_lines(),
        status in proptest::sample::select(vec![200u16, 203, 204, 300, 301, 302, 307, 404, 405, 410, 414, 501]),
        authorization: bool,
        elapsed in 0u64..300,
    ) {
        let status = StatusCode::from_u16(status).unwrap();
        let times = Times { requested: Tick::default(), responded: Tick::default(), responded_wall: RECEIVED };
        let response = Received { status, headers: &headers, times };
        let control = Control::of(&headers, &TARGETS);
        let credentials = if authorization { Credentials::Authorization } else { Credentials::None };
        let facts = RequestFacts { method: Method::GET, credentials, no_store: false };
        let stored = storable(&facts, &response, &control, SetCookie::Share).is_ok();
        let policy =
            Policy { heuristics: Heuristics::AtMost(Duration::from_hours(24)), disconnected: Duration::ZERO };
        let lifetime = Lifetime::of(&response, &control, &policy);
        let fresh = matches!(lifetime.freshness(Tick::at(Duration::from_secs(elapsed))), Freshness::Fresh { .. });

        let mut asked = Request::get("https://origin.example/").body(()).unwrap();
        if authorization {
            asked.headers_mut().insert("authorization", HeaderValue::from_static("Basic x"));
        }
        let mut told = Response::builder().status(status).body(()).unwrap();
        *told.headers_mut() = headers.clone();
        let options = CacheOptions { shared: true, ..CacheOptions::default() };
        let other = CachePolicy::new_options(&asked, &told, RECEIVED.system_time(), options);
        let later = RECEIVED.system_time() + Duration::from_secs(elapsed);

        prop_assert_eq!(stored, other.is_storable(), "{} {:?}", status, headers);
        if stored {
            prop_assert_eq!(fresh, !other.is_stale(later), "after {} s: {} {:?}", elapsed, status, headers);
        }
    }
}

/// Where the two differ, and why ours is as it is: (status, fields, ours, theirs), each as "stored and fresh after a
/// second". Whatever is not named here is the same for both in the test above.
#[test]
fn differences_are_known_and_have_a_reason() {
    let mut wrong = Vec::new();
    for (why, status, lines, ours, theirs) in DIFFERENCES {
        let mut headers = HeaderMap::new();
        headers.insert("date", date::format(RECEIVED));
        for (name, value) in *lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let status = StatusCode::from_u16(*status).unwrap();
        let times = Times { requested: Tick::default(), responded: Tick::default(), responded_wall: RECEIVED };
        let response = Received { status, headers: &headers, times };
        let control = Control::of(&headers, &TARGETS);
        let facts = RequestFacts { method: Method::GET, credentials: Credentials::None, no_store: false };
        let lifetime = Lifetime::of(&response, &control, &Policy::PLAIN);
        let fresh = matches!(lifetime.freshness(Tick::at(Duration::from_secs(1))), Freshness::Fresh { .. });
        let own = storable(&facts, &response, &control, SetCookie::Share).is_ok() && fresh;
        let asked = Request::get("https://origin.example/").body(()).unwrap();
        let mut told = Response::builder().status(status).body(()).unwrap();
        *told.headers_mut() = headers.clone();
        let options = CacheOptions { shared: true, ..CacheOptions::default() };
        let other = CachePolicy::new_options(&asked, &told, RECEIVED.system_time(), options);
        let other = other.is_storable() && !other.is_stale(RECEIVED.system_time() + Duration::from_secs(1));
        if (own, other) != (*ours, *theirs) {
            wrong.push((*why, own, other));
        }
    }
    assert!(wrong.is_empty(), "ours, theirs: {wrong:?}");
}

type Difference = (&'static str, u16, &'static [(&'static str, &'static str)], bool, bool);

const DIFFERENCES: &[Difference] = &[
    (
        "a targeted field beats Cache-Control (RFC 9213)",
        200,
        &[("cdn-cache-control", "max-age=9"), ("cache-control", "no-store")],
        true,
        false,
    ),
    (
        "must-understand lifts no-store (RFC 9111 §5.2.2.3)",
        200,
        &[("cache-control", "no-store, must-understand, max-age=9")],
        true,
        false,
    ),
    ("any final status with a lifetime is stored (§3)", 500, &[("cache-control", "max-age=9")], true, false),
    ("blanks beside the equals sign make it no directive (§5.2)", 200, &[("cache-control", "max-age =9")], false, true),
    (
        "a part that says what it holds is stored (§3.3)",
        206,
        &[("cache-control", "max-age=9"), ("content-range", "bytes 0-1/4"), ("content-length", "2")],
        true,
        false,
    ),
];
