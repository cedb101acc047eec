//! What no JWT can say, and what sessions are judged by; `tests/tokens.rs` has the rest.

use std::net::IpAddr;

use http::{HeaderMap, Method};

use super::*;
use crate::rules::session::SessionId;

const NOW: u64 = 1_720_000_000;

fn facts<'a>(headers: &'a HeaderMap, method: &'a Method) -> Facts<'a> {
    let asked = Asked { scheme: "https", host: "live.example.com", port: None, path: "/live/a.m3u8", query: None };
    Facts { asked, method, address: IpAddr::from([192, 0, 2, 7]), alpn: Some("h3"), country: Some("US-CA"), headers }
}

fn reason(verdict: Result<(), Rejection>) -> &'static str {
    verdict.map_or_else(|rejection| rejection.reason.word(), |()| "ok")
}

#[test]
fn a_method_is_one_of_those_named_and_head_is_judged_as_get() {
    let headers = HeaderMap::new();
    for (methods, method, word) in [
        (vec!["GET"], Method::GET, "ok"),
        (vec!["GET"], Method::HEAD, "ok"),
        (vec!["HEAD"], Method::HEAD, "ok"),
        (vec!["HEAD"], Method::GET, "method-refused"),
        (vec!["get"], Method::GET, "method-refused"),
        (vec!["POST", "PUT"], Method::GET, "method-refused"),
        (vec![], Method::GET, "method-refused"),
    ] {
        let methods = Some(methods.into_iter().map(Into::into).collect());
        let claims = Claims { methods, ..Claims::of(Format::Cat) };
        assert_eq!(reason(of_request(&claims, &facts(&headers, &method))), word, "{claims:?} {method}");
    }
}

#[test]
fn a_protocol_that_is_not_known_is_none_of_those_named() {
    let (headers, claims) = (HeaderMap::new(), Claims { alpn: Some(vec!["h3".into()]), ..Claims::of(Format::Cat) });
    for (alpn, word) in [(Some("h3"), "ok"), (Some("h2"), "alpn-mismatch"), (None, "alpn-mismatch")] {
        let facts = Facts { alpn, ..facts(&headers, &Method::GET) };
        assert_eq!(reason(of_request(&claims, &facts)), word);
    }
}

#[test]
fn only_formats_whose_tokens_have_an_end_must_have_one() {
    let terms = Terms::default();
    for (format, word) in [
        (Format::Jwt, "token-malformed"),
        (Format::Hdnts, "token-malformed"),
        (Format::Cat, "ok"),
        (Format::UriSigning, "ok"),
    ] {
        assert_eq!(reason(of_time_and_party(&Claims::of(format), &terms, NOW)), word, "{format:?}");
    }
    let bounded = Terms { max_lifetime: Some(Duration::from_secs(60)), ..terms };
    assert_eq!(reason(of_time_and_party(&Claims::of(Format::Cat), &bounded, NOW)), "token-lives-too-long");
}

#[test]
fn an_expired_token_says_since_when() {
    let claims = Claims { expires: Some(NOW - 60), ..Claims::of(Format::Jwt) };
    let rejection = of_time_and_party(&claims, &Terms::default(), NOW).unwrap_err();
    assert_eq!((rejection.reason, rejection.expired), (Reason::TokenExpired, Some(NOW - 60)));
}

#[test]
fn moments_at_the_edge_of_what_numbers_hold_are_judged_too() {
    let terms = Terms { leeway: Duration::from_secs(60), ..Terms::default() };
    let claims = Claims { expires: Some(u64::MAX), ..Claims::of(Format::Jwt) };
    assert_eq!(reason(of_time_and_party(&claims, &terms, NOW)), "ok");
    assert_eq!(reason(of_time_and_party(&claims, &terms, u64::MAX)), "token-expired");
}

#[test]
fn a_session_is_judged_by_its_grant() {
    let headers = HeaderMap::new();
    let grant = Grant {
        session: SessionId([7; 12]),
        subject: None,
        token: None,
        key: None,
        issuer: None,
        issued_at: NOW,
        ends: Some(NOW + 10),
        scope: Scope::Paths(vec!["/live".into()]),
        networks: Some(vec!["192.0.2.0/24".parse().unwrap()]),
        countries: Some(vec!["US".into()]),
        max_sessions: None,
        tier: None,
    };
    let here = facts(&headers, &Method::GET);
    let elsewhere = Facts { asked: Asked { path: "/vod/a.m3u8", ..here.asked }, ..here };
    let from_elsewhere = Facts { address: IpAddr::from([198, 51, 100, 7]), ..here };
    let mapped = Facts { address: "::ffff:192.0.2.9".parse().unwrap(), ..here };
    for (facts, now, word) in [
        (here, NOW + 9, "ok"),
        (mapped, NOW, "ok"),
        (here, NOW + 10, "entitlement-over"),
        (elsewhere, NOW, "uri-out-of-scope"),
        (from_elsewhere, NOW, "address-mismatch"),
        (Facts { country: Some("FR"), ..here }, NOW, "geo-refused"),
        (Facts { country: None, ..here }, NOW, "geo-unknown"),
    ] {
        assert_eq!(reason(judge_grant(&grant, &facts, now)), word);
    }
    let lasting = Grant { ends: None, ..grant };
    assert_eq!(reason(judge_grant(&lasting, &here, u64::MAX)), "ok");
}
