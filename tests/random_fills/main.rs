//! Random fills against a reference model: real origins' octets over real sockets, through the node's own pump, into
//! fills that leaders, joiners, ranges, leavers and slow readers share. Whatever the origin does, a body is exact or an
//! error; what is stored afterwards is the origin's body; and nothing of a broken one is ever seen again.
//!
//! `WEIR_FILLS` says how many (`make fills`: 24,000), `WEIR_SEED` which. Every case follows from seed and number.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "the origin is a stranger with tasks of its own, and what fails here fails the test"
)]

mod origin;
mod plan;

use std::future::poll_fn;
use std::path::Path;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::HeaderMap;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use weir::cache::{Bells, Cache, CacheConfig, FillAnswer, FillEnd, FillReader, Lookup, Object};
use weir::clock::{Clock, WallTime};
use weir::config::{Config, Machine};
use weir::origin::pump::{Fetching, Pump, Terms};
use weir::origin::{FetchError, Origins};
use weir::rules::caching::negative::Errors;
use weir::rules::caching::storable::SetCookie;
use weir::rules::caching::{Freshness, Key};
use weir::tasks::Tasks;

use origin::Origin;
use plan::{Fault, Framing, Plan, Viewer};

const BATCH: usize = 24;

/// The node's side, as far as a fill needs it.
struct Edge {
    cache: Cache,
    origins: Arc<Origins>,
    clock: Clock,
    tasks: Tasks,
}

impl Edge {
    fn new(port: u16) -> Self {
        let text = format!(
            "[listen]\nhttp = [\"127.0.0.1:0\"]\n[origins.o]\nurl = \"http://127.0.0.1:{port}\"\n[[route]]\norigins = [\"o\"]\n"
        );
        let machine = Machine { name: "edge".into(), cores: 1, memory: 1 << 30 };
        let (config, _) = Config::parse_on(&machine, &text, Path::new("")).unwrap();
        let clock = Clock::manual(WallTime::default());
        let bounds = CacheConfig {
            memory: 64 << 20,
            max_object: 1 << 20,
            fills_per_group: 512,
            fill_readers: 64,
            live_reserve: Duration::from_secs(60),
            apart: Duration::from_secs(10),
        };
        Self {
            cache: Cache::new(bounds, Bells::new(1), clock.clone()),
            origins: Arc::new(Origins::new(&config.origins, &config.limits, clock.clone()).unwrap()),
            clock,
            tasks: Tasks::current(),
        }
    }

    fn key(path: &str) -> Key {
        Key::new("o", "http", "origin", path)
    }

    fn look(&self, path: &str) -> Source {
        let fresh = |_: &_| Freshness::Fresh { left: Duration::from_secs(60) };
        match self.cache.lookup(&Self::key(path), &HeaderMap::new(), fresh) {
            Lookup::Hit(object, _) => Source::Stored(object),
            Lookup::Join(reader) => Source::Arriving(reader),
            Lookup::Lead(lead) => {
                let (writer, reader) = lead.start();
                let fetching = Fetching {
                    shared: None,
                    origins: self.origins.clone(),
                    group: vec!["o".into()],
                    target: path.parse().unwrap(),
                    fields: HeaderMap::new(),
                    unvaried: [].into(),
                    cookies: SetCookie::Share,
                    siblings: Vec::new(),
                    viewer_authority: None,
                    validates: None,
                    terms: Terms::Plain,
                    errors: Errors::default(),
                    naming: None,
                    concern: None,
                    interims: weir::outbound::interim::Interims::default(),
                };
                let pump = Pump::new(fetching, self.clock.clone(), self.tasks.clone());
                self.tasks.spawn("fill", pump.run(writer));
                Source::Arriving(reader)
            }
            Lookup::Stale { .. } | Lookup::Apart | Lookup::Refused(_) => {
                panic!("{path}: everything is fresh and allowed")
            }
        }
    }
}

enum Source {
    Stored(Arc<Object>),
    Arriving(FillReader),
}

/// What a viewer came to.
#[derive(Debug)]
enum Outcome {
    /// All that it wanted, to the end where it wanted that.
    Got(Vec<u8>),
    /// It had seen so much when it broke off.
    Broken(Vec<u8>, FillEnd),
    Left(Vec<u8>),
}

async fn turns(count: usize) {
    for _ in 0..count {
        tokio::task::yield_now().await;
    }
}

async fn watch(edge: Arc<Edge>, path: String, viewer: Viewer) -> Outcome {
    turns(viewer.late).await;
    let mut reader = match edge.look(&path) {
        Source::Stored(object) => {
            let read: Vec<u8> = object.reader(viewer.start as u64..u64::MAX).flatten().collect();
            let enough = viewer.enough.unwrap_or(usize::MAX).min(read.len());
            return Outcome::Got(read[..enough].to_vec());
        }
        Source::Arriving(reader) => reader,
    };
    let mut read = Vec::new();
    match poll_fn(|cx| reader.poll_head(cx)).await {
        Ok(FillAnswer::Arriving(..) | FillAnswer::Complete(_)) => reader.seek(viewer.start as u64),
        Err(end) => return Outcome::Broken(read, end),
    }
    loop {
        if let Some(enough) = viewer.enough.filter(|enough| *enough <= read.len()) {
            if viewer.leaves {
                return Outcome::Left(read);
            }
            reader.let_it_finish();
            read.truncate(enough);
            return Outcome::Got(read);
        }
        match poll_fn(|cx| reader.poll_chunk(cx)).await {
            Some(Ok(octets)) => read.extend_from_slice(&octets),
            Some(Err(end)) => return Outcome::Broken(read, end),
            None => return Outcome::Got(read),
        }
        turns(viewer.slow).await;
    }
}

#[derive(Default)]
struct Tally {
    fills: usize,
    readers: usize,
    exact: usize,
    broken: usize,
    left: usize,
}

/// What came too much on a connection may be met by the next request on it (RFC 9112 §9.2): that one has an error, and
/// no octet of it is a body's.
fn is_tainted(end: &FillEnd) -> bool {
    match end {
        FillEnd::Failed(failure) => matches!(failure.downcast_ref(), Some(FetchError::Malformed { .. })),
        _ => false,
    }
}

fn judge(plan: &Plan, viewer: &Viewer, outcome: &Outcome, tally: &mut Tally) {
    let body = plan.body();
    let wanted = &body[viewer.start.min(body.len())..];
    tally.readers += 1;
    match outcome {
        Outcome::Got(read) => {
            let enough = viewer.enough.unwrap_or(usize::MAX).min(wanted.len());
            assert!(read == &wanted[..enough], "a body of {} octets for {viewer:?} of {plan:?}", read.len());
            tally.exact += 1;
        }
        Outcome::Left(read) => {
            assert!(wanted.starts_with(read), "foreign octets for {viewer:?} of {plan:?}");
            tally.left += 1;
        }
        Outcome::Broken(read, end) => {
            assert!(wanted.starts_with(read), "foreign octets before {end} for {viewer:?} of {plan:?}");
            assert!(!plan.is_sound() || is_tainted(end), "{end} for {viewer:?} of {plan:?}");
            tally.broken += 1;
        }
    }
}

/// Tells of a batch: who need not wait for anything first, then who waits for a stalled origin, then for a silent one.
async fn play(edge: &Arc<Edge>, origin: &Origin, plans: &[(String, Plan)], tally: &mut Tally) {
    let mut watching: [JoinSet<(usize, usize, Outcome)>; 3] = Default::default();
    origin.plans.lock().unwrap().extend(plans.iter().map(|(path, plan)| (path.clone(), (plan.clone(), 0))));
    for (number, (path, plan)) in plans.iter().enumerate() {
        let group = match plan.fault {
            Fault::Stall(_) => 1,
            Fault::Silence(_) => 2,
            _ => 0,
        };
        for (which, viewer) in plan.readers.iter().enumerate() {
            let watched = watch(edge.clone(), path.clone(), viewer.clone());
            watching[group].spawn(async move { (number, which, watched.await) });
        }
    }
    let [plain, stalled, silent] = &mut watching;
    let mut ended = Vec::new();
    while let Some(outcome) = plain.join_next().await {
        ended.push(outcome.unwrap());
    }
    origin.go_on.add_permits(1 << 20);
    while let Some(outcome) = stalled.join_next().await {
        ended.push(outcome.unwrap());
    }
    while !silent.is_empty() {
        tokio::select! {
            biased;
            Some(outcome) = silent.join_next() => ended.push(outcome.unwrap()),
            () = turns(200) => edge.clock.advance(Duration::from_secs(11)),
        }
    }
    for (number, which, outcome) in ended {
        let plan = &plans[number].1;
        judge(plan, &plan.readers[which], &outcome, tally);
    }
    tally.fills += plans.len();
}

/// Afterwards the origin is well: everyone gets the whole body, whatever was seen of it before.
async fn recover(edge: &Arc<Edge>, origin: &Origin, plans: &[(String, Plan)], tally: &mut Tally) {
    let all = Viewer { late: 0, slow: 0, start: 0, enough: None, leaves: false };
    for (path, plan) in plans {
        let healed = Plan { bad: 0, ..plan.clone() };
        origin.plans.lock().unwrap().insert(path.clone(), (healed.clone(), 0));
        // A fill that goes on without its readers may still break off, and one that is silent must be given up first.
        let mut outcome = watch_a_silence(edge, path, (&all, plan)).await;
        for _ in 0..3 {
            if let Outcome::Broken(..) = outcome {
                outcome = watch(edge.clone(), path.clone(), all.clone()).await;
            }
        }
        judge(&Plan { fault: Fault::None, ..healed }, &all, &outcome, tally);
        let stored = edge.cache.peek(&Edge::key(path), &HeaderMap::new());
        assert!(stored.is_none() || plan.framing != Framing::Close, "the end of it proves nothing: {plan:?}");
        origin.plans.lock().unwrap().remove(path);
    }
    origin.go_on.forget_permits(usize::MAX >> 4);
}

/// Watches while time passes, where the origin may have fallen silent.
async fn watch_a_silence(edge: &Arc<Edge>, path: &str, (viewer, plan): (&Viewer, &Plan)) -> Outcome {
    let mut watching = pin!(watch(edge.clone(), path.to_owned(), viewer.clone()));
    loop {
        tokio::select! {
            biased;
            outcome = &mut watching => return outcome,
            () = turns(2_000), if matches!(plan.fault, Fault::Silence(_)) => edge.clock.advance(Duration::from_secs(11)),
        }
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

#[tokio::test]
async fn every_body_is_exact_or_an_error_whatever_the_origin_does() {
    let (fills, seed) = (number("WEIR_FILLS", 480) as usize, number("WEIR_SEED", 5));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let edge = Arc::new(Edge::new(listener.local_addr().unwrap().port()));
    let plans = Mutex::default();
    let origin = Arc::new(Origin { plans, go_on: Semaphore::new(0), asked: AtomicUsize::new(0) });
    let accepting = tokio::spawn(origin.clone().accept(listener));
    let mut tally = Tally::default();
    for batch in 0..fills.div_ceil(BATCH) {
        let numbers = batch * BATCH..fills.min((batch + 1) * BATCH);
        let plan = |number: usize| (format!("/{number}"), Plan::roll(seed << 32 | number as u64));
        let plans: Vec<_> = numbers.map(plan).collect();
        play(&edge, &origin, &plans, &mut tally).await;
        recover(&edge, &origin, &plans, &mut tally).await;
        edge.cache.run_pending();
    }
    let Tally { fills, readers, exact, broken, left } = tally;
    let asked = origin.asked.load(Ordering::Relaxed);
    println!("{fills} fills: {asked} requests, {readers} readers: {exact} exact, {broken} broken off, {left} left");
    assert!(exact > readers / 2 && broken > 0 && left > 0);
    accepting.abort();
}
