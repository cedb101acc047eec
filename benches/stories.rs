//! What a request's part in its session's story costs: the look into the table of open sessions, and adding it up; what
//! taking the sums of a second costs the control thread; and the way of players' reports into the log.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use http::HeaderMap;
use weir::clock::{Clock, Tick};
use weir::journal::log::Log;
use weir::rules::qoe::cmcd::from_request;
use weir::rules::qoe::report::{Mode, Report};
use weir::rules::session::{Opener, PrintKey, SessionId};
use weir::rules::timeline::event::{Entry, Event, Kind};
use weir::stories::fold::{Folds, One, Whose};
use weir::stories::open::{May, OpenSessions};
use weir::stories::{Names, Stories};

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
    behind_ms: None,
};

/// What a player says with each request.
const SAID: &str = "CMCD=bl%3D21300%2Cbr%3D3200%2Ccid%3D%22faec5fc2%22%2Cd%3D4004%2Cmtp%3D48100%2Cot%3Dv%2Csf%3Dh%2Csid%3D%226e2fb550%22%2Cst%3Dl%2Ctb%3D6000";

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

/// Stories of a node of one worker, in memory.
fn stories() -> Stories {
    let names = Names { node: "edge-ams-1".into(), region: Some("ams".into()), boot: 1_800_000_000 };
    Stories::new(Clock::system(), names, 1, (Log::in_memory(16 << 20), PrintKey::new(&[7; 32])))
}

/// The view that a player names with each request, of one of so many sessions.
#[divan::bench(args = [1, 10_000])]
fn view(bencher: Bencher<'_, '_>, sessions: u32) {
    let stories = stories();
    let mut next = 0;
    bencher.bench_local(|| {
        next = (next + 1) % sessions;
        stories.view(id(next), black_box("6e2fb550-c457-11e9-bb97-0800200c9a66"))
    });
}

/// A round of so many reports, of 200 sessions: told, counted, noted and kept.
#[divan::bench(args = [1_000])]
fn reports(bencher: Bencher<'_, '_>, count: u32) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let (stories, route): (_, Arc<str>) = (stories(), "live".into());
    let read = from_request(Some(SAID), &HeaderMap::new()).expect("it is there");
    let report = |number: u32| {
        let view = Some(id(number % 200));
        let report = Report { mode: Mode::Request, view, record: None, data: read.data.clone() };
        let (session, event) = (Some(id(number % 200)), Event::Report(Box::new(report)));
        Entry { at: number.into(), session, route: Some(route.clone()), stream: Some("show".into()), event }
    };
    bencher
        .counter(ItemsCount::new(count))
        .with_inputs(|| (0..count).map(report).collect::<Vec<_>>())
        .bench_local_values(|entries| {
            entries.into_iter().for_each(|entry| stories.tell(entry));
            runtime.block_on(stories.round());
        });
}
