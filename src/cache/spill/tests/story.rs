//! What memory lets go of, and how it comes back.

use std::future::poll_fn;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::header::{AGE, CACHE_CONTROL, ETAG, VARY};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::super::writing::Log;
use super::super::*;
use crate::cache::parts::Parts;
use crate::cache::{Act, Bells, Cache, CacheConfig, FillAnswer, FillEnd, FillReader, FillWriter, Lookup, Sharing};
use crate::clock::WallTime;
use crate::disk::{Done, File, Op, OpenHow, Reply, Twin};
use crate::rules::caching::freshness::{Lifetime, Policy, Received, Times};
use crate::rules::caching::purge::{Mode, Selector};
use crate::rules::caching::validator::Validators;
use crate::rules::caching::{Control, Variant};

pub const MIB: u64 = 1 << 20;

/// Seconds of the calendar at which stories begin.
pub const DAWN: u64 = 1_700_000_000;

/// What is wrong with the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Every write fails.
    Full,
    /// Every read fails.
    Unreadable,
    /// Nothing is answered.
    Hangs,
}

/// Does at once what it is asked for. The process "dies" once so many octets were written: what comes behind them never
/// reaches the disk.
pub struct Inline {
    pub fault: Mutex<Fault>,
    pub dies_after: AtomicU64,
    kept: Mutex<Vec<Reply>>,
}

impl Inline {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { fault: Mutex::new(Fault::None), dies_after: AtomicU64::new(u64::MAX), kept: Mutex::default() })
    }

    fn perform(&self, op: Op) -> io::Result<Done> {
        let fault = *self.fault.lock();
        match op {
            Op::Read { .. } if fault == Fault::Unreadable => Err(io::Error::from_raw_os_error(libc::EIO)),
            Op::Write { .. } | Op::Open { how: OpenHow::New, .. } if fault == Fault::Full => {
                Err(io::ErrorKind::StorageFull.into())
            }
            Op::Read { file, offset, length } => {
                let mut octets = vec![0; length];
                let got = file.as_ref().read_at(&mut octets, offset)?;
                octets.truncate(got);
                Ok(Done::Octets(octets))
            }
            Op::Write { file, offset, octets } => {
                let left = self.dies_after.load(Ordering::SeqCst);
                let length = octets.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                file.as_ref().write_all_at(&octets[..length], offset)?;
                if left != u64::MAX {
                    self.dies_after.store(left - length as u64, Ordering::SeqCst);
                }
                match length == octets.len() {
                    true => Ok(Done::Nothing),
                    false => Err(io::Error::other("the process is dead")),
                }
            }
            Op::Sync { .. } => Ok(Done::Nothing),
            Op::Open { path, how, .. } => {
                let is_new = how == OpenHow::New;
                let file = fs::OpenOptions::new().read(true).write(true).create_new(is_new).open(path)?;
                Ok(Done::File(File::from(file)))
            }
            Op::Unlink { path } => fs::remove_file(path).map(|()| Done::Nothing),
        }
    }
}

impl Twin for Inline {
    fn submit(&self, op: Op, reply: Reply) -> bool {
        if *self.fault.lock() == Fault::Hangs {
            self.kept.lock().push(reply);
        } else {
            _ = reply.send(self.perform(op));
        }
        true
    }

    fn name(&self) -> &'static str {
        "inline"
    }
}

/// A cache over a folder, as one process has it.
pub struct Process {
    pub cache: Cache,
    pub spill: Arc<Spill>,
    pub twin: Arc<Inline>,
    pub clock: Clock,
    log: Log,
}

pub fn bounds() -> CacheConfig {
    CacheConfig {
        memory: 64 * MIB,
        max_object: 16 * MIB,
        fills_per_group: 100,
        fill_readers: 100,
        live_reserve: Duration::from_secs(60),
        apart: Duration::from_secs(10),
    }
}

/// The folder, once the process before has ended. A process that is made elsewhere meanwhile has its lock too, until it
/// runs a program.
fn locked(folder: &Path) -> std::fs::File {
    let clock = Clock::system();
    loop {
        match disk::lock(folder).unwrap() {
            Some(lock) => return lock,
            None => assert!(clock.now().since_start() < Duration::from_secs(10), "the process before has ended"),
        }
        std::thread::yield_now();
    }
}

impl Process {
    /// So many seconds after the dawn.
    pub fn start(folder: &Path, size: u64, seconds: u64) -> Self {
        Self::start_with(folder, size, bounds(), seconds)
    }

    pub fn start_with(folder: &Path, size: u64, bounds: CacheConfig, seconds: u64) -> Self {
        let clock = Clock::manual(WallTime::at(Duration::from_secs(DAWN + seconds)));
        let twin = Inline::new();
        let config = SpillConfig { folder: folder.to_owned(), size, engine: Choice::Threads };
        let memory = Memory::new(bounds.memory);
        let engine = Engine::over(twin.clone(), clock.clone());
        let lock = locked(folder);
        let spill = Spill::over(engine, (&config, lock), &memory, &clock).unwrap();
        let parts = Parts::over(bounds, (Bells::new(1), clock.clone()), memory, Some(spill.clone()));
        Self { cache: Cache { parts }, spill, twin, clock, log: Log::default() }
    }

    /// Fetches an object into memory.
    pub fn fetch(&self, name: &str, head: ResponseHead, body: &Bytes) {
        let writer = match self.cache.lookup(&key(name), &HeaderMap::new(), |_| Freshness::Unusable) {
            Lookup::Lead(lead) => lead.start().0,
            _ => panic!("nobody else fetches it"),
        };
        let mut writer = writer;
        writer.head(head, Some(body.len() as u64), Sharing::Shared { store: true }).unwrap();
        // In pieces, as a network brings it.
        for piece in body.chunks(10_000) {
            writer.push(body.slice_ref(piece)).unwrap();
        }
        writer.complete();
    }

    /// Memory lets go of it for room, and it is written.
    pub async fn evict(&mut self, name: &str, request: &HeaderMap) {
        self.offer(name, request);
        while self.spill.write_next(&mut self.log).await {}
    }

    /// Memory lets go of it for room.
    pub fn offer(&self, name: &str, request: &HeaderMap) {
        let object = self.cache.peek(&key(name), request).expect("it is in memory");
        let gate = self.spill.gate();
        self.cache.parts.store.remove(&key(name));
        self.spill.offer(gate, &key(name), &[object]);
    }

    /// Nothing of it is on disk any more, nor after a restart.
    pub fn bury(&self, (numbers, removed): (Vec<u64>, Removed)) -> Removed {
        self.spill.bury(&numbers);
        removed
    }

    pub async fn write_all(&mut self) {
        while self.spill.write_next(&mut self.log).await {}
    }

    /// Fetched, let go of, written.
    pub async fn put(&mut self, name: &str, body: &Bytes) {
        self.fetch(name, head(&self.clock), body);
        self.evict(name, &HeaderMap::new()).await;
    }

    pub fn writer(&self, name: &str, request: &HeaderMap) -> (FillWriter, FillReader) {
        let Lookup::Lead(lead) = self.cache.lookup(&key(name), request, |_| Freshness::Unusable) else {
            panic!("nobody else fetches it");
        };
        lead.start()
    }

    /// What comes from disk; `None` where nothing does and the origin would be asked.
    pub async fn read(&self, name: &str, request: &HeaderMap) -> Option<(ResponseHead, Bytes)> {
        let (writer, reader) = self.writer(name, request);
        // A writer that is handed back is dropped, which ends its reader's wait; one that feeds a window needs its
        // reader to go on.
        let feeding = async { writer.from_disk(request).await.is_none() };
        let (is_fed, got) = tokio::join!(feeding, whole(reader));
        assert!(!matches!(got, Err(FillEnd::Gone)), "it was to be streamed");
        got.ok().filter(|_| is_fed)
    }
}

/// All of a fill.
pub async fn whole(mut reader: FillReader) -> Result<(ResponseHead, Bytes), FillEnd> {
    let head = match poll_fn(|cx| reader.poll_head(cx)).await? {
        FillAnswer::Arriving(head, _) => head,
        FillAnswer::Complete(object) => object.head.clone(),
    };
    let mut body = Vec::new();
    while let Some(octets) = poll_fn(|cx| reader.poll_chunk(cx)).await {
        body.extend_from_slice(&octets?);
    }
    Ok(((*head).clone(), body.into()))
}

pub fn key(name: &str) -> Key {
    Key::new("primary", "http", "origin", name)
}

/// A head that is fresh for an hour.
pub fn head(clock: &Clock) -> ResponseHead {
    head_with(clock, &[(CACHE_CONTROL, "max-age=3600"), (ETAG, "\"1\"")], &HeaderMap::new())
}

pub fn head_with(clock: &Clock, fields: &[(HeaderName, &'static str)], request: &HeaderMap) -> ResponseHead {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(name, HeaderValue::from_static(value));
    }
    let now = clock.now();
    let times = Times { requested: now, responded: now, responded_wall: clock.wall() };
    let received = Received { status: StatusCode::OK, headers: &headers, times };
    ResponseHead {
        status: StatusCode::OK,
        lifetime: Lifetime::of(&received, &Control::of(&headers, &[]), &Policy::PLAIN),
        validators: Validators::of(&headers, clock.wall()),
        variant: Variant::of(&headers, request).unwrap(),
        headers,
    }
}

pub fn body(seed: u64, length: u64) -> Bytes {
    (0..length)
        .map(|at| (at.wrapping_mul(0x9e37_79b9) >> 7) as u8 ^ (seed.wrapping_mul(31) >> (at % 5)) as u8)
        .collect()
}

const ANY: fn() -> HeaderMap = HeaderMap::new;

#[tokio::test]
async fn what_memory_lets_go_of_comes_back_as_it_was_and_after_a_restart_too() {
    let folder = tempfile::tempdir().unwrap();
    let sizes = [0, 1, 4_095, 4_096, 4_097, 65_536, 65_537, 300_000, 5 * MIB];
    let mut process = Process::start(folder.path(), 256 * MIB, 0);
    for (index, size) in sizes.into_iter().enumerate() {
        process.put(&format!("/{size}"), &body(index as u64, size)).await;
    }
    for seconds in [10, 20, 30] {
        for (index, size) in sizes.into_iter().enumerate() {
            let (got, octets) = process.read(&format!("/{size}"), &ANY()).await.expect("it is on disk");
            assert!(octets == body(index as u64, size), "{size} octets");
            assert_eq!(got.headers, head(&process.clock).headers);
            process.cache.parts.store.remove(&key(&format!("/{size}")));
        }
        drop(process);
        process = Process::start(folder.path(), 256 * MIB, seconds);
        assert_eq!(process.spill.usage().objects, sizes.len() as u64);
    }
    assert!(process.read("/other", &ANY()).await.is_none());
}

#[tokio::test]
async fn an_object_ages_on_disk_and_over_restarts_and_a_clock_set_back_makes_nothing_younger() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(folder.path(), 64 * MIB, 0);
    process.fetch(
        "/a",
        head_with(&process.clock, &[(CACHE_CONTROL, "max-age=3600"), (AGE, "100")], &ANY()),
        &body(1, 9),
    );
    process.clock.advance(Duration::from_secs(50));
    process.evict("/a", &ANY()).await;
    process.clock.advance(Duration::from_secs(50));
    let age = |process: &Process, head: &ResponseHead| head.lifetime.age_seconds(process.clock.now());
    let (head, _) = process.read("/a", &ANY()).await.unwrap();
    assert_eq!(age(&process, &head), 200);
    for (start, expected) in [(150, 250), (1_000, 1_100), (20, 150)] {
        drop(process);
        process = Process::start(folder.path(), 64 * MIB, start);
        let (head, _) = process.read("/a", &ANY()).await.unwrap();
        assert_eq!(age(&process, &head), expected, "{start} s after it was received");
        process.clock.advance(Duration::from_secs(7));
        assert_eq!(age(&process, &head), expected + 7);
    }
}

#[tokio::test]
async fn each_variant_is_found_by_the_requests_it_was_selected_by() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(folder.path(), 64 * MIB, 0);
    let asking =
        |language| HeaderMap::from_iter([(HeaderName::from_static("x-l"), HeaderValue::from_static(language))]);
    for (seed, language) in [(1, "de"), (2, "en")] {
        let fields = [(CACHE_CONTROL, "max-age=60"), (VARY, "x-l")];
        process.fetch("/v", head_with(&process.clock, &fields, &asking(language)), &body(seed, 1_000));
        process.evict("/v", &asking(language)).await;
    }
    let process = {
        drop(process);
        Process::start(folder.path(), 64 * MIB, 1)
    };
    for (seed, language) in [(2, "en"), (1, "de")] {
        assert_eq!(process.read("/v", &asking(language)).await.unwrap().1, body(seed, 1_000));
    }
    assert!(process.read("/v", &asking("fr")).await.is_none());
}

#[tokio::test]
async fn what_waits_to_be_written_is_found_too() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path(), 64 * MIB, 0);
    process.fetch("/a", head(&process.clock), &body(1, 100));
    process.offer("/a", &ANY());
    let (writer, reader) = process.writer("/a", &ANY());
    assert!(writer.from_disk(&ANY()).await.is_none());
    assert!(matches!(whole(reader).await, Err(FillEnd::Gone)), "whoever waits looks anew");
    assert!(process.cache.peek(&key("/a"), &ANY()).is_some());
}

#[tokio::test]
async fn what_is_stale_is_looked_up_anew_from_memory_and_what_is_of_no_use_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(folder.path(), 64 * MIB, 0);
    process.put("/stale", &body(1, 200_000)).await;
    process.fetch("/useless", head_with(&process.clock, &[(CACHE_CONTROL, "max-age=60")], &ANY()), &body(2, 100));
    process.evict("/useless", &ANY()).await;
    process.clock.advance(Duration::from_secs(4_000));
    let (writer, reader) = process.writer("/stale", &ANY());
    assert!(writer.from_disk(&ANY()).await.is_none());
    assert!(matches!(whole(reader).await, Err(FillEnd::Gone)));
    let object = process.cache.peek(&key("/stale"), &ANY()).unwrap();
    assert_eq!(object.reader(0..u64::MAX).collect::<Vec<_>>().concat(), body(1, 200_000));
    let (writer, _reader) = process.writer("/useless", &ANY());
    assert!(writer.from_disk(&ANY()).await.is_some(), "it can neither be sent nor validated");
}

#[tokio::test]
async fn what_is_brought_back_is_not_written_again_unless_it_is_old_and_what_replaces_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(folder.path(), 64 * MIB, 0);
    process.put("/a", &body(1, 1_000)).await;
    process.read("/a", &ANY()).await.unwrap();
    process.evict("/a", &ANY()).await;
    assert_eq!(process.spill.figures().writes.value(), 1);
    process.put("/a", &body(2, 1_000)).await;
    assert_eq!(process.spill.figures().writes.value(), 2);
    assert_eq!(process.read("/a", &ANY()).await.unwrap().1, body(2, 1_000));
    process.fetch("/a", head(&process.clock), &body(3, 1_000));
    process.cache.parts.store.remove(&key("/a"));
    assert!(process.read("/a", &ANY()).await.is_none(), "a newer response has come meanwhile");
}

#[tokio::test]
async fn what_is_purged_never_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(folder.path(), 64 * MIB, 0);
    for name in ["/a", "/b", "/c", "/d"] {
        process.put(name, &body(1, 1_000)).await;
    }
    let tagged = [(CACHE_CONTROL, "max-age=60"), (HeaderName::from_static("cache-tag"), "news, sport")];
    process.fetch("/t", head_with(&process.clock, &tagged, &ANY()), &body(1, 10));
    process.evict("/t", &ANY()).await;
    process.fetch("/waits", head(&process.clock), &body(1, 10));
    process.offer("/waits", &ANY());
    assert_eq!(process.bury(process.spill.take_out(&key("/a"))).objects, 1);
    assert_eq!(process.bury(process.spill.take_out(&key("/a"))).objects, 0);
    assert_eq!(process.bury(process.spill.take_out(&key("/waits"))).objects, 1);
    let sport = Tag::of(b"sport").unwrap().0;
    let removed =
        process.bury(process.spill.take_out_where(&|labels| labels.tags.contains(&sport) || labels.key == &key("/b")));
    assert_eq!(removed, Removed { objects: 2, bytes: 1_010 });
    process.write_all().await;
    for _ in 0..2 {
        for name in ["/a", "/b", "/t", "/waits"] {
            assert!(process.read(name, &ANY()).await.is_none(), "{name}");
        }
        assert!(process.read("/c", &ANY()).await.is_some());
        assert_eq!(process.spill.usage().objects, 2);
        drop(process);
        process = Process::start(folder.path(), 64 * MIB, 1);
    }
}

#[tokio::test]
async fn what_a_purge_in_force_covers_is_not_brought_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(folder.path(), 64 * MIB, 0);
    process.put("/a", &body(1, 1_000)).await;
    process.fetch("/waits", head(&process.clock), &body(1, 10));
    process.offer("/waits", &ANY());
    let enter = |selector| process.cache.parts.purges.enter(selector, Mode::Hard, &process.clock);
    let turn = enter(Selector::All);
    assert!(process.read("/a", &ANY()).await.is_none());
    let (writer, _reader) = process.writer("/waits", &ANY());
    assert!(writer.from_disk(&ANY()).await.is_some());
    drop(turn);
    let turn = enter(Selector::Objects(vec![key("/waits")]));
    assert!(process.read("/a", &ANY()).await.is_some());
    drop(turn);
}

#[tokio::test]
async fn what_is_named_goes_from_the_disk_however_many_generations_there_were() {
    for generation in [3, 100_000] {
        let folder = tempfile::tempdir().unwrap();
        let mut process = Process::start(folder.path(), 64 * MIB, 0);
        for name in ["/a", "/b", "/c"] {
            process.put(name, &body(1, 1_000)).await;
        }
        process.cache.parts.purges.note(&key("/a").in_generation(generation));
        process.cache.remove(&key("/a"));
        let disk = process.cache.purge(&Selector::Objects(vec![key("/b")]), Act::Purge(Mode::Hard)).disk;
        assert_eq!(disk, Some(Removed { objects: 1, bytes: 1_000 }));
        assert!(process.read("/a", &ANY()).await.is_none() && process.read("/b", &ANY()).await.is_none());
        assert!(process.read("/c", &ANY()).await.is_some());
    }
}

#[tokio::test]
async fn what_left_memory_before_a_purge_does_not_reach_the_disk_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(folder.path(), 64 * MIB, 0);
    process.fetch("/a", head(&process.clock), &body(1, 10));
    let object = process.cache.peek(&key("/a"), &ANY()).unwrap();
    let gate = process.spill.gate();
    process.cache.remove(&key("/a"));
    process.spill.offer(gate, &key("/a"), &[object]);
    process.write_all().await;
    assert!(process.read("/a", &ANY()).await.is_none());
}

fn taken(folder: &Path) -> u64 {
    fs::read_dir(folder).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum()
}

#[tokio::test]
async fn the_files_never_take_more_than_they_may_and_the_oldest_goes_first() {
    let folder = tempfile::tempdir().unwrap();
    let size = 16 * MIB;
    let mut process = Process::start(folder.path(), size, 0);
    for number in 0..300_u64 {
        process.put(&format!("/{number}"), &body(number, 40_000 + 1_000 * (number % 90))).await;
        assert!(taken(folder.path()) <= size);
        assert_eq!(taken(folder.path()), process.spill.usage().used, "all of it is accounted for");
        assert!(process.spill.holds(&key(&format!("/{number}")), &ANY()));
    }
    let held: Vec<_> = (0..300).filter(|number| process.spill.holds(&key(&format!("/{number}")), &ANY())).collect();
    assert!(held.len() > 100 && held[0] == 300 - held.len() as u64, "{held:?}");
    drop(process);
    let process = Process::start(folder.path(), size / 2, 1);
    assert!(taken(folder.path()) <= size / 2);
    assert!(process.read("/299", &ANY()).await.is_some());
    drop(process);
}

#[tokio::test]
async fn evictions_of_a_full_memory_reach_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let small = CacheConfig { memory: 8 * MIB, max_object: 2 * MIB, ..bounds() };
    let mut process = Process::start_with(folder.path(), 256 * MIB, small, 0);
    for number in 0..200_u64 {
        process.fetch(&format!("/{number}"), head(&process.clock), &body(number, 200_000));
        process.cache.run_pending();
        process.write_all().await;
    }
    let mut from_disk = 0;
    for number in 0..200_u64 {
        let name = format!("/{number}");
        if process.cache.peek(&key(&name), &ANY()).is_none() {
            let (_, octets) = process.read(&name, &ANY()).await.expect("memory let it go to disk");
            assert!(octets == body(number, 200_000));
            from_disk += 1;
            process.write_all().await;
        }
    }
    assert!(from_disk > 150, "{from_disk}");
    assert!(process.cache.usage().total() <= 8 * MIB);
    assert!(process.cache.usage().disk_index > 0);
}
