//! What a request's part in its session's story costs: the look into the table of open sessions, and adding it up; and what
//! taking the sums of a second costs the control thread.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use divan::{Bencher, black_box};
use weir::clock::Tick;
use weir::rules::session::{Opener, PrintKey, SessionId};
use weir::rules::timeline::event::Kind;
use weir::stories::fold::{Folds, One, Whose};
use weir::stories::open::{May, OpenSessions};

const USER_AGENT: &[u8] =
    b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36";

const PART: One<'_> = One {
    protocol: "h2",
    kind: Kind::Part,
    hits: 1,
    bytes: 100_000,
    first_byte_ms: 3,
    sending_ms: 2,
    hold_ms: 0,
    rendition: "v/high",
    playlist_age_ms: None,
    playlist_target_ms: None,
};

fn main() {
    divan::main();
}

fn id(number: u32) -> SessionId {
    let mut id = [0; 12];
    id[..4].copy_from_slice(&number.to_be_bytes());
    SessionId(id)
}

/// One request more of one of so many sessions.
#[divan::bench(args = [1, 1_000, 20_000])]
fn add(bencher: Bencher<'_, '_>, sessions: u32) {
    let folds = Folds::new(2);
    let route: Arc<str> = "live".into();
    let whose = |number| Whose { session: id(number), route: &route, stream: "show" };
    (0..sessions).for_each(|number| folds.add(&whose(number), &PART, 1));
    let mut next = 0;
    bencher.bench_local(|| {
        next = (next + 1) % sessions;
        folds.add(black_box(&whose(next)), black_box(&PART), 2);
    });
}

/// The first request of a session within a second.
#[divan::bench]
fn add_first(bencher: Bencher<'_, '_>) {
    let folds = Folds::new(2);
    let route: Arc<str> = "live".into();
    let mut next = 0;
    bencher.bench_local(|| {
        next += 1;
        if next % 10_000 == 0 {
            folds.take();
        }
        folds.add(&Whose { session: id(next), route: &route, stream: "show" }, &PART, 2);
    });
}

/// The sums of so many sessions.
#[divan::bench(args = [1_000, 20_000])]
fn take(bencher: Bencher<'_, '_>, sessions: u32) {
    let folds = Folds::new(2);
    let route: Arc<str> = "live".into();
    bencher
        .with_inputs(|| {
            let whose = |number| Whose { session: id(number), route: &route, stream: "show" };
            (0..sessions).for_each(|number| folds.add(&whose(number), &PART, 1));
        })
        .bench_local_values(|()| folds.take());
}

/// A request of one of so many devices.
#[divan::bench(args = [1, 20_000])]
fn enter(bencher: Bencher<'_, '_>, devices: u32) {
    let open = OpenSessions::new(100_000, Duration::from_secs(60));
    let (key, route): (_, Arc<str>) = (PrintKey::new(&[7; 32]), "live".into());
    let enter = |number: u32| {
        let opener = Opener { address: IpAddr::V4(Ipv4Addr::from_bits(number << 8)), user_agent: USER_AGENT };
        open.enter((&key, || 0), (&route, "show"), &opener, (May::Begin, Tick::default()))
    };
    (0..devices).for_each(|number| _ = enter(number));
    let mut next = 0;
    bencher.bench_local(|| {
        next = (next + 1) % devices;
        enter(black_box(next))
    });
}
