//! What a log on disk takes on one core: records in batches of 50, as reports come, at 50,000 a second and as fast as they
//! are taken, over either engine; then one session looked for among a gibibyte. Arguments: a folder on the disk in question
//! (default: the target directory), seconds of each turn, MiB to look through. `taskset -c 1` binds it to one core.

#![expect(clippy::disallowed_methods, reason = "a bench starts tasks of its own")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use weir::clock::Clock;
use weir::disk::{Choice, Engine};
use weir::journal::log::{Bounds, Class, Log, Record, Wanted};
use weir::rules::session::SessionId;
use weir::tasks::Tasks;

const BATCH: u64 = 50;
const SESSIONS: u64 = 5_000;
const RATE: u64 = 50_000;

/// As long as the line of a report that says of its player what one usually does.
const LINE: usize = 420;

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let folder = arguments.first().map_or_else(|| PathBuf::from("target"), PathBuf::from);
    let number = |index: usize, default| arguments.get(index).and_then(|text| text.parse().ok()).unwrap_or(default);
    let (seconds, mib) = (number(1, 5_u64), number(2, 1_024_u64));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    println!(
        "{:<9} {:>8} {:>7} {:>9} {:>10} {:>9} {:>9} {:>9}",
        "engine", "wanted/s", "waiting", "records/s", "CPU %", "p50 µs", "p99 µs", "MB/s"
    );
    for choice in [Choice::IoUring, Choice::Threads] {
        for (rate, waiting) in [(RATE, 64), (u64::MAX, 1), (u64::MAX, 8), (u64::MAX, 64)] {
            let folder = tempfile::tempdir_in(&folder).expect("the folder exists");
            runtime.block_on(turn(folder.path(), choice, (rate, waiting), seconds));
        }
    }
    let folder = tempfile::tempdir_in(&folder).expect("the folder exists");
    runtime.block_on(look(folder.path(), mib << 20));
}

fn open(folder: &Path, choice: Choice) -> Option<(Log, Engine)> {
    let clock = Clock::system();
    let engine = Engine::start(choice, folder, clock.clone()).ok()?;
    let bounds = Bounds { size: 16 << 30, keep: Duration::from_secs(86_400), sync: Duration::from_millis(50) };
    let tasks = Tasks::current();
    let log = Log::open(folder, (engine.clone(), clock, tasks.clone()), bounds).expect("a folder");
    tasks.spawn("log", log.clone().work());
    Some((log, engine))
}

fn batch(number: u64) -> Vec<Record> {
    let record = |index| {
        let mut id = [0; 12];
        id[..8].copy_from_slice(&u64::to_le_bytes((number * BATCH + index) % SESSIONS));
        let line = Bytes::from(vec![b'x'; LINE]);
        Record { session: Some(SessionId(id)), at: number, class: Class::Lasting, line }
    };
    (0..BATCH).map(record).collect()
}

/// Processor time of this process, its engine's threads included.
fn spent() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<_> = text.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |index: usize| fields[index].parse::<u64>().expect("a number");
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

async fn turn(folder: &Path, choice: Choice, (rate, waiting): (u64, u64), seconds: u64) {
    let Some((log, engine)) = open(folder, choice) else {
        println!("{choice:?} cannot be used here");
        return;
    };
    let clock = Clock::system();
    let (began, before) = (clock.now(), spent());
    let until = began + Duration::from_secs(seconds);
    let senders: Vec<_> = (0..waiting)
        .map(|sender| {
            let (log, clock) = (log.clone(), clock.clone());
            tokio::spawn(async move {
                let (mut took, mut number) = (Vec::new(), sender);
                while clock.now() < until {
                    if rate < u64::MAX {
                        clock.sleep_until(began + Duration::from_secs_f64((number * BATCH) as f64 / rate as f64)).await;
                    }
                    let records = batch(number);
                    let asked = clock.now();
                    log.append(records).await.expect("kept");
                    took.push(clock.now().since(asked));
                    number += waiting;
                }
                took
            })
        })
        .collect();
    let mut took = Vec::new();
    for sender in senders {
        took.extend(sender.await.expect("it ends"));
    }
    let (wall, cpu) = (clock.now().since(began).as_secs_f64(), (spent() - before).as_secs_f64());
    took.sort();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize].as_micros();
    let records = (took.len() as u64 * BATCH) as f64;
    let wanted = if rate == u64::MAX { "all".to_owned() } else { rate.to_string() };
    println!(
        "{:<9} {wanted:>8} {waiting:>7} {:>9.0} {:>10.1} {:>9} {:>9} {:>9.0}",
        engine.name(),
        records / wall,
        cpu / wall * 100.0,
        at(0.5),
        at(0.99),
        log.figures().octets as f64 / wall / 1e6,
    );
}

async fn look(folder: &Path, octets: u64) {
    let Some((log, _)) = open(folder, Choice::Auto) else { return };
    let mut number = 0;
    while log.figures().octets < octets {
        log.append(batch(number)).await.expect("kept");
        number += 1;
    }
    log.flush().await.expect("synced");
    let clock = Clock::system();
    for _ in 0..3 {
        let began = clock.now();
        let session = SessionId([0; 12]);
        let found = log.of_sessions(&[session], Wanted::all(1, 50_000)).await.expect("read");
        let found = found[&session].iter().count();
        let took = clock.now().since(began).as_millis();
        println!("one session among {} MiB, {} records: {found} found in {took} ms", octets >> 20, number * BATCH);
    }
    drop(log);
    let began = clock.now();
    let (log, _) = open(folder, Choice::Auto).expect("it was there");
    let took = clock.now().since(began).as_millis();
    println!("opened again in {took} ms, {} records", log.figures().next - 1);
}
