//! Journals on disks that lie: what an earlier process left, damaged in whatever way, is opened and gone on with. Files are
//! made once, by the journal itself; the octets of a target say what becomes of them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use memchr::memmem;
use tempfile::TempDir;
use tokio::runtime::{self, Runtime};
use weir::clock::{Clock, WallTime};
use weir::disk::{Done, Engine, Op, Reply, Twin};
use weir::journal::log::{Bounds, Class, Log, Numbered, Record, Wanted};
use weir::journal::{Journal, Kind, Room};
use weir::rules::session::SessionId;
use weir::tasks::Tasks;

/// Files of 4 KiB.
const BOUNDS: Bounds = Bounds { size: 128 << 10, keep: Duration::from_secs(86_400), sync: Duration::from_millis(50) };
const ROOM: Room = Room { file: 4 << 10, all: 512 << 10 };
/// Records, or events, that are there before anything is damaged.
const KEPT: u64 = 60;
/// What happens to the files of one journal.
const MOST_DAMAGE: usize = 12;

/// The files of a folder by their names.
type Files = BTreeMap<String, Vec<u8>>;

/// A disk that does at once what it is asked for.
struct AtOnce;

impl Twin for AtOnce {
    fn submit(&self, op: Op, reply: Reply) -> bool {
        let done = match op {
            Op::Write { file, offset, octets } => file.as_ref().write_all_at(&octets, offset),
            Op::Unlink { path } => fs::remove_file(path),
            Op::Sync { .. } => Ok(()),
            Op::Read { .. } | Op::Open { .. } => unreachable!("journals neither read nor open by an engine"),
        };
        _ = reply.send(done.map(|()| Done::Nothing));
        true
    }

    fn name(&self) -> &'static str {
        "at once"
    }
}

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| runtime::Builder::new_current_thread().build().expect("threads can be started"));

/// What comes of work in a folder with these files, and the files that are there then.
fn within<T>(files: &Files, work: impl AsyncFnOnce(&Path) -> T) -> (T, Files) {
    let folder: TempDir = tempfile::tempdir().expect("a folder");
    for (name, octets) in files {
        fs::write(folder.path().join(name), octets).expect("a file");
    }
    let outcome = RUNTIME.block_on(work(folder.path()));
    let left = fs::read_dir(folder.path()).expect("the folder").map(|entry| entry.expect("an entry").path());
    let left = left.map(|path| {
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name of ours").to_owned();
        (name, fs::read(&path).expect("a file of that folder"))
    });
    (outcome, left.collect())
}

fn ground() -> (Engine, Clock) {
    let clock = Clock::manual(WallTime::at(Duration::from_secs(1_000)));
    (Engine::over(Arc::new(AtOnce), clock.clone()), clock)
}

/// Takes octets from the front, zeros where there are no more.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn octet(&mut self) -> u8 {
        self.0.split_off_first().copied().unwrap_or_default()
    }

    fn below(&mut self, end: usize) -> usize {
        let number = usize::from(self.octet()) << 8 | usize::from(self.octet());
        if end == 0 { 0 } else { number % end }
    }
}

/// How far damage goes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Damage {
    /// There is none.
    None,
    /// Octets are not what they were; files stand in their order and are as long as they were.
    Octets,
    /// Octets have gone, or more have come, or stand somewhere else.
    Places,
    /// Files have gone, or stand under the names of others.
    Names,
}

/// Does to files what the octets say, and says what of them it is. Names are made by `name`.
fn damage(data: &[u8], files: &mut Files, name: fn(&mut Script<'_>) -> String) -> BTreeMap<String, Damage> {
    let mut script = Script(data);
    let mut done: BTreeMap<_, _> = files.keys().map(|name| (name.clone(), Damage::None)).collect();
    for _ in 0..MOST_DAMAGE {
        if script.0.is_empty() || files.is_empty() {
            break;
        }
        let (what, which) = (script.octet() % 8, script.below(files.len()));
        let (of, octets) = files.iter_mut().nth(which).expect("there are so many");
        let of = of.clone();
        let at = script.below(octets.len());
        let length = 1 + script.below(600);
        let end = octets.len().min(at + length);
        let how = match what {
            0 => {
                octets[at..end].iter_mut().take(1).for_each(|octet| *octet ^= 1 << (length % 8));
                Damage::Octets
            }
            1 => {
                octets[at..end].fill(0);
                Damage::Octets
            }
            2 => {
                octets.truncate(at);
                Damage::Places
            }
            3 => {
                octets.drain(at..end);
                Damage::Places
            }
            4 => {
                let more: Vec<_> = (0..length.min(40)).map(|_| script.octet()).collect();
                octets.splice(at..at, more);
                Damage::Places
            }
            5 => {
                let copy = octets[at..end].to_vec();
                let to = script.below(files.len());
                let into = files.values_mut().nth(to).expect("there are so many");
                let place = script.below(into.len() + 1);
                into.splice(place..place, copy);
                worse(&mut done, files.keys().nth(to).expect("there are so many"), Damage::Places);
                continue;
            }
            6 => {
                files.remove(&of);
                Damage::Names
            }
            _ => {
                let octets = files.remove(&of).expect("it is there");
                files.insert(name(&mut script), octets);
                done.values_mut().for_each(|how| *how = Damage::Names);
                continue;
            }
        };
        worse(&mut done, &of, how);
    }
    done
}

fn worse(done: &mut BTreeMap<String, Damage>, of: &str, how: Damage) {
    let before = done.entry(of.to_owned()).or_insert(how);
    *before = how.max(*before);
}

fn session(of: u64) -> SessionId {
    SessionId([of as u8; 12])
}

fn record(number: u64) -> Record {
    let session = (!number.is_multiple_of(4)).then(|| session(number % 4));
    let line = format!("{{\"number\":{number},\"fill\":\"{:1$}\"}}", "", (number as usize * 37) % 400);
    Record { session, at: number * 1_000, class: Class::Lasting, line: Bytes::from(line) }
}

/// A log of a folder, at work for as long as something is done with it.
async fn with_log<T>(folder: &Path, work: impl AsyncFnOnce(&Log) -> T) -> T {
    let ((engine, clock), tasks) = (ground(), Tasks::current());
    let log = Log::open(folder, (engine, clock, tasks.clone()), BOUNDS).expect("whatever is in its files");
    let outcome = tokio::select! {
        () = log.clone().work() => unreachable!("it works for as long as the node runs"),
        outcome = work(&log) => outcome,
    };
    tasks.close();
    tasks.joined().await;
    outcome
}

/// All that can be read by number.
async fn all(log: &Log) -> Vec<Numbered> {
    let (mut from, mut all) = (1, Vec::new());
    loop {
        let page = log.read(from, 2_000).await.expect("its files are there");
        let Some(last) = page.last() else { return all };
        assert!(last.number >= from, "{} is read again", last.number);
        from = last.number.saturating_add(1);
        all.extend(page);
    }
}

static LOG: LazyLock<Files> = LazyLock::new(|| {
    let write = async |log: &Log| {
        for number in 1..=KEPT {
            log.append(vec![record(number)]).await.expect("it is kept");
        }
        log.flush().await.expect("it reaches the disk");
    };
    within(&Files::new(), async |folder| with_log(folder, write).await).1
});

/// The numbers of a log's first record and of its version, from some that make a difference.
fn log_name(script: &mut Script<'_>) -> String {
    let pick = |octet: u8| [0, 1, 2, 20, 61, 1_000, u64::MAX - 1, u64::MAX][usize::from(octet % 8)];
    let (first, version) = (pick(script.octet()), pick(script.octet()));
    format!("{first:016x}-{version:08x}.log")
}

/// A damaged log is opened. Nothing is read of it that was not written, no number twice, and all of every file to which
/// nothing happened. What is lost of a file in the middle is counted. What comes then has a number of its own, and is read
/// with all the rest by the next process. Of a session that is erased nothing is left, and of the others all.
pub fn log(data: &[u8]) {
    let mut files = LOG.clone();
    let done = damage(data, &mut files, log_name);
    let worst = done.values().max().copied().unwrap_or(Damage::None);
    let (before, files) = within(&files, async |folder| {
        with_log(folder, async |log| {
            let read = all(log).await;
            assert!(read.windows(2).all(|pair| pair[0].number < pair[1].number));
            assert!(read.iter().all(|one| one.record == record(one.number)));
            let figures = log.figures();
            assert!(read.last().is_none_or(|last| last.number < figures.next), "{figures:?}");
            if worst < Damage::Names {
                is_whole(&read, &done);
                let lost = KEPT - read.len() as u64;
                assert!(worst > Damage::Octets || lost <= figures.lost + of_last_file(), "{lost} {figures:?}");
            }
            log.append(vec![record(figures.next)]).await.expect("it is kept");
            log.flush().await.expect("it reaches the disk");
            let more = [&read[..], &[Numbered { number: figures.next, record: record(figures.next) }]].concat();
            assert_eq!(all(log).await, more);
            more
        })
        .await
    });
    let is_theirs = |one: &&Numbered| one.record.session == Some(session(1));
    let others: Vec<_> = before.iter().filter(|one| !is_theirs(one)).cloned().collect();
    let ((), erased) = within(&files, async |folder| {
        with_log(folder, async |log| {
            // Whether or not it was looked at what is there.
            if data.len().is_multiple_of(2) {
                assert_eq!(all(log).await, before);
            }
            log.erase(session(1)).await.expect("its files are there");
            assert_eq!(all(log).await, others);
        })
        .await;
    });
    within(&erased, async |folder| {
        with_log(folder, async |log| {
            let found = log.of_sessions(&[session(1), session(2)], Wanted::all(1, usize::MAX)).await.expect("files");
            assert_eq!(found[&session(1)].iter().count(), 0);
            let theirs = others.iter().filter(|one| one.record.session == Some(session(2)));
            assert!(found[&session(2)].iter().eq(theirs));
        })
        .await;
    });
    let stands = |line: &[u8]| erased.values().any(|octets| memmem::find(octets, line).is_some());
    assert!(worst == Damage::Names || !before.iter().filter(is_theirs).any(|one| stands(&one.record.line)));
}

/// The number of the first record of a log's file, by its name.
fn first_of(name: &str) -> u64 {
    name.split('-').next().and_then(|first| u64::from_str_radix(first, 16).ok()).expect("a name of ours")
}

/// Records of the file that was written last. Where its end is damaged, it is taken for a write that was torn.
fn of_last_file() -> u64 {
    KEPT + 1 - LOG.keys().map(|name| first_of(name)).max().unwrap_or(1)
}

fn is_whole(read: &[Numbered], done: &BTreeMap<String, Damage>) {
    for (name, _) in done.iter().filter(|(_, how)| **how == Damage::None) {
        let first = first_of(name);
        let end = LOG.keys().map(|name| first_of(name)).filter(|other| *other > first).min().unwrap_or(KEPT + 1);
        let there = read.iter().map(|one| one.number).filter(|number| (first..end).contains(number));
        assert!(there.eq(first..end), "{name}");
    }
}

fn event(number: u64) -> Vec<u8> {
    let mut event = number.to_le_bytes().to_vec();
    // No frame begins as another ends: none is whole with an octet of the next one's in place of its own.
    event.resize(10 + (number as usize * 37) % 200, 0xee);
    event
}

fn number_of(event: &[u8]) -> u64 {
    event.first_chunk().map(|number| u64::from_le_bytes(*number)).expect("an event of ours")
}

/// Opens the journal of a folder, with what it read.
fn opened(folder: &Path) -> (Journal, Vec<u64>) {
    let mut read = Vec::new();
    let journal = Journal::open(folder, ground(), ROOM, |kind, octets| {
        assert!(kind == Kind::Revoked && octets == event(number_of(octets)), "nobody wrote {octets:?}");
        read.push(number_of(octets));
    });
    (journal.expect("whatever is in its files"), read)
}

/// Writes events behind what a journal holds, each by itself, and puts its files together where they have grown.
async fn keep(journal: &Journal, numbers: impl IntoIterator<Item = u64>) {
    let tasks = Tasks::current();
    let appended = async {
        rests(&tasks).await;
        for number in numbers {
            journal.append(Kind::Revoked, [event(number)]).await.expect("it is kept");
            rests(&tasks).await;
        }
    };
    tokio::select! {
        biased;
        () = journal.clone().write(tasks.clone()) => unreachable!("it writes for as long as the node runs"),
        () = journal.clone().compact(tasks.clone(), |_, _| true) => unreachable!("it does so for as long"),
        () = appended => {}
    }
}

/// Completes when nothing is done beside it.
async fn rests(tasks: &Tasks) {
    for _ in 0..3 {
        tokio::task::yield_now().await;
    }
    while tasks.living().values().any(|living| *living > 0) {
        tokio::task::yield_now().await;
    }
}

static JOURNAL: LazyLock<Files> = LazyLock::new(|| {
    let write = async |folder: &Path| keep(&opened(folder).0, 0..3 * KEPT).await;
    within(&Files::new(), write).1
});

/// The frames of a file that nothing happened to: its own beginning, then each with its length and a checksum before it.
fn frames(mut octets: &[u8]) -> Vec<&[u8]> {
    let mut frames = Vec::new();
    octets = &octets[20..];
    while let Some(length) = octets.first_chunk() {
        let (frame, rest) = octets.split_at(8 + u32::from_le_bytes(*length) as usize);
        frames.push(frame);
        octets = rest;
    }
    frames
}

/// Events of which a whole frame stands in the file into which it was written.
fn standing(files: &Files) -> Vec<u64> {
    let own = JOURNAL.iter().filter_map(|(name, before)| Some((before, files.get(name)?)));
    let standing =
        own.flat_map(|(before, now)| frames(before).into_iter().filter(|frame| memmem::find(now, frame).is_some()));
    standing.map(|frame| number_of(&frame[9..])).collect()
}

fn journal_name(script: &mut Script<'_>) -> String {
    let number = [0, 1, 2, 4, 20, 1_000, u64::MAX - 1, u64::MAX][usize::from(script.octet() % 8)];
    let suffix = ["log", "snapshot", "new"][usize::from(script.octet() % 3)];
    format!("{number:016x}.{suffix}")
}

/// A damaged journal is opened. Nothing is read of it that was not written, in its order, and all that still stands in the
/// files. What comes then is read by the next process once, and with it all that was read before.
pub fn journal(data: &[u8]) {
    const NEW: u64 = 1_000;
    let mut files = JOURNAL.clone();
    let done = damage(data, &mut files, journal_name);
    let worst = done.values().max().copied().unwrap_or(Damage::None);
    let standing = if worst < Damage::Names { standing(&files) } else { Vec::new() };
    let (before, files) = within(&files, async |folder| {
        let (journal, read) = opened(folder);
        assert!(worst >= Damage::Places || read.is_sorted_by(|one, next| one < next), "{read:?}");
        assert!(standing.iter().all(|event| read.contains(event)), "{standing:?} {read:?}");
        keep(&journal, [NEW]).await;
        read
    });
    let (again, _) = within(&files, async |folder| opened(folder).1);
    assert_eq!(again, [&before[..], &[NEW]].concat());
}
