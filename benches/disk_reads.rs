//! Reads of objects from disk through either engine, side by side in one run, and how long the index of 100,000 objects
//! takes at start. Arguments: a folder on the disk in question (default: the target directory), MiB to read from.

#![expect(clippy::disallowed_methods, reason = "a bench starts tasks of its own")]

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderValue, StatusCode};
use weir::cache::spill::SpillConfig;
use weir::cache::{Bells, Cache, CacheConfig, Lookup, ResponseHead, Sharing};
use weir::clock::Clock;
use weir::disk::{BUFFER, Choice, Engine, File, OpenHow};
use weir::rules::caching::control::TARGETS;
use weir::rules::caching::freshness::{Lifetime, Policy, Received, Times};
use weir::rules::caching::validator::Validators;
use weir::rules::caching::{Control, Key, Variant};

/// Objects in the index.
const OBJECTS: u64 = 100_000;

/// Blocks that one reader asks for ahead, as the node does.
const AHEAD: usize = 4;

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let folder = arguments.first().map_or_else(|| PathBuf::from("target"), PathBuf::from);
    let blocks = arguments.get(1).and_then(|mib| mib.parse().ok()).unwrap_or(2_048_u64) << 20 >> 16;
    let folder = tempfile::tempdir_in(folder).expect("the folder exists");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(reads(folder.path(), blocks));
    runtime.block_on(index(folder.path()));
}

/// Numbers that look random.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

async fn reads(folder: &Path, blocks: u64) {
    let clock = Clock::system();
    let mut engines = Vec::new();
    for choice in [Choice::IoUring, Choice::Threads] {
        let Ok(engine) = Engine::start(choice, folder, clock.clone()) else {
            println!("{choice:?} cannot be used here");
            continue;
        };
        let file = engine.open(folder.join(engine.name()), OpenHow::New).await.expect("opened").expect("a file");
        for block in 0..blocks {
            let octets = Bytes::from(vec![block as u8; BUFFER]);
            engine.write(&file, block * BUFFER as u64, octets).await.expect("written");
        }
        engine.sync(&file).await.expect("synced");
        println!("{}: {} MiB written, past the page cache: {}", engine.name(), blocks >> 4, engine.is_direct());
        engines.push((engine, file));
    }
    println!(
        "\n{:<9} {:>7} {:>8} {:>7} {:>9} {:>9} {:>9}",
        "engine", "object", "readers", "reads", "p50 µs", "p99 µs", "MB/s"
    );
    for (object, readers) in [(1, 1), (1, 8), (1, 32), (4, 8), (16, 1), (16, 8)] {
        // Turn by turn, so that what else the machine does touches both.
        let mut took: Vec<Vec<Duration>> = vec![Vec::new(); engines.len()];
        let mut spent = vec![Duration::ZERO; engines.len()];
        for round in 0..6 {
            for (index, (engine, file)) in engines.iter().enumerate() {
                let began = clock.now();
                let seed = round * 1_000 + index as u64;
                took[index].extend(round_of(engine, file, (object, readers, blocks), seed).await);
                spent[index] += clock.now().since(began);
            }
        }
        for (index, (engine, _)) in engines.iter().enumerate() {
            let all = &mut took[index];
            all.sort();
            let at = |share: f64| all[((all.len() - 1) as f64 * share) as usize].as_micros();
            let bytes = (all.len() * object as usize * BUFFER) as f64;
            println!(
                "{:<9} {:>3} KiB {:>8} {:>7} {:>9} {:>9} {:>9.0}",
                engine.name(),
                object * 64,
                readers,
                all.len(),
                at(0.5),
                at(0.99),
                bytes / spent[index].as_secs_f64() / 1e6
            );
        }
    }
}

/// Reads blocks in order, a few of them ahead.
async fn read_object(engine: &Engine, file: &File, blocks: std::ops::Range<u64>) {
    let mut asked = VecDeque::new();
    for block in blocks {
        asked.push_back(engine.read(file, block * BUFFER as u64, BUFFER));
        if asked.len() == AHEAD {
            let octets = asked.pop_front().expect("not empty").await.expect("read");
            assert_eq!(octets.len(), BUFFER);
        }
    }
    for read in asked {
        read.await.expect("read");
    }
}

/// So many readers at once, each reading objects of so many blocks, one after the other.
async fn round_of(
    engine: &Engine,
    file: &File,
    (object, readers, blocks): (u64, u64, u64),
    seed: u64,
) -> Vec<Duration> {
    let local = tokio::task::LocalSet::new();
    let reading = (0..readers).map(|reader| {
        let (engine, file) = (engine.clone(), file.clone());
        local.spawn_local(async move {
            let clock = Clock::system();
            let mut chance = Chance(seed * 64 + reader);
            let mut took = Vec::new();
            for _ in 0..(800 / readers / object).max(20) {
                let first = chance.below(blocks - object);
                let began = clock.now();
                read_object(&engine, &file, first..first + object).await;
                took.push(clock.now().since(began));
            }
            took
        })
    });
    let reading: Vec<_> = reading.collect();
    local
        .run_until(async {
            let mut all = Vec::new();
            for reader in reading {
                all.extend(reader.await.expect("no reader panics"));
            }
            all
        })
        .await
}

fn bounds() -> CacheConfig {
    CacheConfig {
        apart: std::time::Duration::from_secs(10),
        memory: 512 << 20,
        max_object: 16 << 20,
        fills_per_group: 512,
        fill_readers: 100,
        live_reserve: Duration::from_secs(60),
    }
}

fn head(clock: &Clock) -> ResponseHead {
    let headers = HeaderMap::from_iter([(CACHE_CONTROL, HeaderValue::from_static("max-age=3600"))]);
    let now = clock.now();
    let times = Times { requested: now, responded: now, responded_wall: clock.wall() };
    let received = Received { status: StatusCode::OK, headers: &headers, times };
    ResponseHead {
        status: StatusCode::OK,
        lifetime: Lifetime::of(&received, &Control::of(&headers, &TARGETS), &Policy::PLAIN),
        validators: Validators::of(&headers, clock.wall()),
        variant: Variant::of(&headers, &HeaderMap::new()).expect("it does not vary"),
        headers,
    }
}

fn open(folder: &Path, clock: &Clock) -> Cache {
    let disk = SpillConfig { folder: folder.join("objects"), size: 4 << 30, engine: Choice::Auto };
    Cache::with_disk(bounds(), Bells::new(1), clock.clone(), Some(&disk)).expect("the disk can be used")
}

async fn index(folder: &Path) {
    let clock = Clock::system();
    let cache = Arc::new(open(folder, &clock));
    let spill = cache.spill().expect("there is a disk").clone();
    let writing = tokio::spawn(spill.clone().write());
    let body = Bytes::from(vec![7; 8 << 10]);
    let mut number = 0_u64;
    while spill.usage().objects < OBJECTS {
        let key =
            Key::new("primary", "https", "origin.example", &format!("/live/channel-7/v3/segment-{number:08}.m4s"));
        number += 1;
        let Lookup::Lead(lead) = cache.lookup(&key, &HeaderMap::new(), |_| unreachable!("it is new")) else {
            panic!("it is new")
        };
        let (mut writer, _reader) = lead.start();
        writer.head(head(&clock), Some(body.len() as u64), Sharing::Shared { store: true }).expect("there is room");
        writer.push(body.clone()).expect("there is room");
        writer.complete();
        while spill.usage().waiting > 8 << 20 {
            tokio::task::yield_now().await;
        }
        if number.is_multiple_of(64) {
            cache.run_pending();
            tokio::task::yield_now().await;
        }
    }
    let used = spill.usage();
    writing.abort();
    drop((cache, spill));
    // The task lets go of the folder once it has been dropped.
    _ = writing.await;
    for _ in 0..3 {
        let began = clock.now();
        let cache = open(folder, &clock);
        let took = clock.now().since(began);
        let (objects, index) = (cache.spill().expect("there is a disk").usage().objects, cache.usage().disk_index);
        println!(
            "\nstart with {objects} objects in {} MiB: {} ms, index {} KiB",
            used.used >> 20,
            took.as_millis(),
            index >> 10
        );
    }
}
