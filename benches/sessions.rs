//! A request that enters its session, with 100,000 of them living: one that is known, one whose grant has changed, and the
//! look for revocations among a million.

use std::sync::Arc;
use std::time::Duration;

use divan::{Bencher, black_box};
use http::{HeaderMap, Method};
use weir::clock::{Tick, WallTime};
use weir::config::access::RevokedBodies;
use weir::rules::session::standing::Policy;
use weir::rules::session::{Grant, Revocation, Seals, SessionId, What};
use weir::rules::token::scope::Asked;
use weir::rules::token::verdict::Facts;
use weir::rules::token::{Scope, verdict};
use weir::sessions::{Bounds, SessionTerms, Sessions, Source};

const LIVING: u64 = 100_000;
const SECONDS: u64 = 1_800_000_000;

fn main() {
    divan::main();
}

/// Numbers that look like keyed prints.
fn print(number: u64) -> u64 {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

fn grant(number: u64) -> Grant {
    let mut id = [0; 12];
    id[..8].copy_from_slice(&print(number).to_be_bytes());
    Grant {
        session: SessionId(id),
        subject: Some(print(number + 1)),
        token: Some(print(number + 2)),
        key: Some(1),
        issuer: Some(2),
        issued_at: SECONDS,
        ends: Some(SECONDS + 10_000),
        scope: Scope::Everything,
        networks: None,
        countries: None,
        max_sessions: Some(2),
        tier: None,
    }
}

fn moment() -> (Tick, WallTime) {
    (Tick::at(Duration::from_secs(1)), WallTime::at(Duration::from_secs(SECONDS)))
}

fn filled(revocations: u64) -> (Sessions, Arc<SessionTerms>, Vec<Grant>) {
    let sessions = Sessions::new(Bounds { sessions: 200_000, revocations: 1_000_000 });
    let terms = Arc::new(SessionTerms {
        access: "members".into(),
        idle: Duration::from_secs(60),
        grace: Duration::from_secs(30),
        most: None,
        policy: Policy::RefuseNewest,
        bodies: RevokedBodies::Cut,
    });
    let grants: Vec<_> = (0..LIVING).map(grant).collect();
    for grant in &grants {
        sessions.enter(&terms, grant, moment()).expect("there is room");
    }
    for number in 0..revocations {
        let what = What::Token(print(number + 1_000_000_000));
        let revocation = Revocation { access: "members".into(), what, at: SECONDS, until: SECONDS + 1_000 + number };
        sessions.remember(&revocation.write(), moment().1);
    }
    (sessions, terms, grants)
}

/// The next of many, so that no session is warm in the processor's cache.
fn next(at: &mut usize) -> usize {
    *at = (*at + 48_271) % LIVING as usize;
    *at
}

#[divan::bench(args = [0, 1_000_000])]
fn a_known_session(bencher: Bencher, revocations: u64) {
    let (sessions, terms, grants) = filled(revocations);
    let mut at = 0;
    bencher.bench_local(|| {
        let session = sessions.enter(&terms, black_box(&grants[next(&mut at)]), moment());
        black_box(session.expect("it goes on").over())
    });
}

#[divan::bench(args = [0, 1_000_000])]
fn a_session_whose_grant_has_changed(bencher: Bencher, revocations: u64) {
    let (sessions, terms, mut grants) = filled(revocations);
    let mut at = 0;
    bencher.bench_local(|| {
        let grant = &mut grants[next(&mut at)];
        grant.issued_at += 1;
        sessions.enter(&terms, black_box(grant), moment()).expect("it goes on").over()
    });
}

/// All that a child request costs before the cache is looked at: its session is opened, judged and entered.
#[divan::bench]
fn a_request_in_its_session(bencher: Bencher) {
    let (sessions, terms, grants) = filled(0);
    let seals = Seals::new(&[1; 32], Some(&[2; 32]));
    let scope = Scope::Paths(vec!["/live/event1".into()]);
    let seal = |grant: &Grant| seals.seal("members", &Grant { scope: scope.clone(), ..grant.clone() });
    let sealed: Vec<_> = grants.iter().map(|grant| seal(grant).expect("it fits")).collect();
    let headers = HeaderMap::new();
    let path = "/live/event1/v1/part-1234-5.m4s";
    let facts = Facts {
        asked: Asked { scheme: "https", host: "live.example.com", port: None, path, query: None },
        method: &Method::GET,
        address: [192, 0, 2, 7].into(),
        alpn: Some("h2"),
        country: None,
        headers: &headers,
    };
    for text in &sealed {
        let grant = seals.open("members", text).expect("it is ours");
        sessions.enter(&terms, &grant, moment()).expect("there is room");
    }
    let mut at = 0;
    bencher.bench_local(|| {
        let grant = seals.open("members", black_box(&sealed[next(&mut at)])).expect("it is ours");
        verdict::judge_grant(&grant, &facts, SECONDS).expect("it covers the path");
        sessions.enter(&terms, &grant, moment()).expect("it goes on").over()
    });
}

#[divan::bench(args = [0, 1_000_000], threads = [1, 2])]
fn known_sessions_from_threads(bencher: Bencher, revocations: u64) {
    let (sessions, terms, grants) = filled(revocations);
    bencher
        .with_inputs(|| print(grants.len() as u64) as usize % grants.len())
        .bench_refs(|at| sessions.enter(&terms, black_box(&grants[next(at)]), moment()).expect("it goes on").over());
}

#[divan::bench]
fn a_subject_is_revoked(bencher: Bencher) {
    let (sessions, _terms, _grants) = filled(0);
    let mut number = 0;
    bencher.bench_local(|| {
        number += 1;
        let what = What::Subject(print(number + 2_000_000_000));
        let revocation = Revocation { access: "members".into(), what, at: SECONDS, until: SECONDS + 1_000 };
        sessions.revoke(&[revocation], Source::Here, moment().1).ended
    });
}

#[divan::bench]
fn a_token_is_revoked(bencher: Bencher) {
    let (sessions, _terms, _grants) = filled(0);
    let mut number = 0;
    bencher.bench_local(|| {
        number += 1;
        let what = What::Token(print(number + 2_000_000_000));
        let revocation = Revocation { access: "members".into(), what, at: SECONDS, until: SECONDS + 1_000 };
        sessions.revoke(&[revocation], Source::Here, moment().1).ended
    });
}
