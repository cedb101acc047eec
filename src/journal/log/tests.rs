//! A log over kills, full and silent disks, at its bounds, and while it is read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::clock::WallTime;
use crate::disk::Choice;
use crate::journal::frame::PREAMBLE;
use crate::journal::tests::{Disk, Fault};

const SYNC: Duration = Duration::from_millis(50);
const BOUNDS: Bounds = Bounds { size: 64 << 20, keep: Duration::from_secs(86_400), sync: SYNC };
/// Files of 4 KiB.
const SMALL: Bounds = Bounds { size: 64 << 10, ..BOUNDS };

/// A process that has a log, until it is killed: dropped, it writes no more.
struct Process {
    log: Log,
    disk: Arc<Disk>,
    clock: Clock,
    tasks: Tasks,
    work: tokio::task::JoinHandle<()>,
}

impl Process {
    /// Kills it. What it handed to threads comes to its end, as nothing does in the end of a process.
    async fn kill(self) -> Arc<Disk> {
        self.work.abort();
        while self.tasks.living().get("log").is_some_and(|living| *living > 0) {
            tokio::task::yield_now().await;
        }
        self.disk.clone()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.work.abort();
    }
}

fn start_at(folder: &Path, bounds: Bounds, seconds: u64) -> Process {
    let clock = Clock::manual(WallTime::at(Duration::from_secs(seconds)));
    let disk = Arc::new(Disk::default());
    let engine = Engine::over(disk.clone(), clock.clone());
    let tasks = Tasks::current();
    let log = Log::open(folder, (engine, clock.clone(), tasks.clone()), bounds).unwrap();
    let work = tasks.spawn("log", log.clone().work());
    Process { log, disk, clock, tasks, work }
}

fn start(folder: &Path, bounds: Bounds) -> Process {
    start_at(folder, bounds, 0)
}

fn session(of: u64) -> SessionId {
    SessionId([of as u8; 12])
}

fn record(value: u64, class: Class) -> Record {
    let session = (!value.is_multiple_of(4)).then(|| session(value % 4));
    Record {
        session,
        at: value * 1_000,
        class,
        line: Bytes::from(format!("{{\"value\":{value},\"fill\":\"{:60}\"}}", "")),
    }
}

fn records(values: impl IntoIterator<Item = u64>) -> Vec<Record> {
    values.into_iter().map(|value| record(value, Class::Lasting)).collect()
}

/// Appends as much at once as a small log takes.
async fn append(log: &Log, values: std::ops::Range<u64>) {
    for start in values.clone().step_by(20) {
        log.append(records(start..values.end.min(start + 20))).await.unwrap();
    }
}

fn value(record: &Numbered) -> u64 {
    let line: serde_json::Value = serde_json::from_slice(&record.record.line).unwrap();
    line["value"].as_u64().unwrap()
}

/// All that was written, of whomever, by number.
async fn of_session(log: &Log, session: SessionId) -> Vec<Numbered> {
    let found = log.of_sessions(&[session], Wanted::all(1, usize::MAX)).await.unwrap();
    found[&session].iter().cloned().collect()
}

async fn all(log: &Log) -> Vec<Numbered> {
    log.flush().await.unwrap();
    let (mut from, mut all) = (1, Vec::new());
    loop {
        let page = match log.read(from, 1_000).await {
            // Files were written anew again and again while they were read.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            page => page.unwrap(),
        };
        let Some(last) = page.last() else { return all };
        from = last.number + 1;
        all.extend(page);
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn taken(folder: &Path) -> u64 {
    // Files may go while they are counted.
    files(folder).iter().filter_map(|path| Some(fs::metadata(path).ok()?.len())).sum()
}

/// Lets everything run that can.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// Completes when it has done all that it can without the clock: threads work at their own pace.
async fn rests(process: &Process) {
    settle().await;
    while process.tasks.living()["log"] > 1 {
        settle().await;
    }
}

#[tokio::test]
async fn what_is_kept_is_read_by_the_next_process_under_the_same_numbers() {
    let folder = tempfile::tempdir().unwrap();
    for process in 0..3 {
        let process_ = start(folder.path(), SMALL);
        assert_eq!(process_.log.figures().next, process * 100 + 1);
        for value in process * 100..process * 100 + 100 {
            process_.log.append(records([value])).await.unwrap();
        }
        let all = all(&process_.log).await;
        assert_eq!(all.iter().map(value).collect::<Vec<_>>(), Vec::from_iter(0..process * 100 + 100));
        assert_eq!(all.iter().map(|one| one.number).collect::<Vec<_>>(), Vec::from_iter(1..=process * 100 + 100));
        assert_eq!(all[7].record, record(7, Class::Lasting));
        assert_eq!(process_.log.figures().octets, taken(folder.path()));
    }
}

#[tokio::test]
async fn files_that_no_log_names_so_are_none_of_it() {
    let folder = tempfile::tempdir().unwrap();
    append(&start(folder.path(), BOUNDS).log, 0..3).await;
    let foreign = [
        "1-0.log",
        "bad-bad.log",
        "0000000000000000-00000009.log",
        "0000000000000002-ffffffffffffffff.log",
        "ffffffffffffffff-00000007.log",
    ];
    foreign.iter().for_each(|name| fs::write(folder.path().join(name), "of others").unwrap());
    for number in 3..5 {
        let process = start(folder.path(), BOUNDS);
        assert_eq!(all(&process.log).await.iter().map(value).collect::<Vec<_>>(), (0..number).collect::<Vec<_>>());
        append(&process.log, number..number + 1).await;
        process.kill().await;
    }
    assert!(foreign.iter().all(|name| fs::read(folder.path().join(name)).unwrap() == b"of others"));
}

#[tokio::test]
async fn both_engines_keep_a_log() {
    let folder = tempfile::tempdir().unwrap();
    let mut kept = 0;
    for choice in [Choice::Threads, Choice::IoUring, Choice::Auto] {
        let clock = Clock::manual(WallTime::default());
        let Ok(engine) = Engine::start(choice, folder.path(), clock.clone()) else { continue };
        let tasks = Tasks::current();
        // These records are of 1970.
        let bounds = Bounds { keep: Duration::MAX, ..BOUNDS };
        let log = Log::open(folder.path(), (engine, clock, tasks.clone()), bounds).unwrap();
        let work = tasks.spawn("log", log.clone().work());
        for round in 0..20 {
            log.append(records(kept + round * 10..kept + round * 10 + 10)).await.unwrap();
        }
        kept += 200;
        assert_eq!(all(&log).await.iter().map(value).collect::<Vec<_>>(), Vec::from_iter(0..kept));
        log.reached(kept).await;
        work.abort();
    }
}

#[tokio::test]
async fn what_comes_while_a_write_is_under_way_is_written_together() {
    let folder = tempfile::tempdir().unwrap();
    let process = start(folder.path(), BOUNDS);
    process.log.append(records([0])).await.unwrap();
    *process.disk.fault.lock() = Some(Fault::Hangs);
    let appended = Tasks::current().spawn("appended", {
        let log = process.log.clone();
        async move { log.append(records([1])).await }
    });
    settle().await;
    let many: Vec<_> = (2..300)
        .map(|value| {
            Tasks::current().spawn("appended", {
                let log = process.log.clone();
                async move { log.append(records([value])).await }
            })
        })
        .collect();
    settle().await;
    let writes = *process.disk.writes.lock();
    process.disk.heal();
    assert_eq!(appended.await.unwrap(), Ok(()));
    for one in many {
        assert_eq!(one.await.unwrap(), Ok(()));
    }
    assert_eq!(*process.disk.writes.lock(), writes + 2);
}

#[tokio::test]
async fn what_is_read_by_number_has_reached_the_disk_soon_after_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let process = start(folder.path(), BOUNDS);
    process.log.append(records(0..5)).await.unwrap();
    settle().await;
    assert_eq!(*process.disk.syncs.lock(), 0, "nobody waits for the disk itself");
    assert_eq!(process.log.read(1, 1_000).await.unwrap(), [], "a power cut could still take it back");
    assert_eq!(of_session(&process.log, session(1)).await.len(), 1);
    process.clock.advance(SYNC);
    process.log.reached(5).await;
    assert_eq!(*process.disk.syncs.lock(), 1);
    assert_eq!(process.log.read(1, 1_000).await.unwrap().len(), 5);
}

#[tokio::test]
async fn who_asks_for_the_disk_waits_for_a_sync_that_is_under_way() {
    let folder = tempfile::tempdir().unwrap();
    let process = start(folder.path(), BOUNDS);
    process.log.append(records([0])).await.unwrap();
    *process.disk.fault.lock() = Some(Fault::Hangs);
    process.clock.advance(SYNC);
    settle().await;
    assert_eq!(process.disk.hung.lock().len(), 1, "the sync is under way");
    let flushed = Tasks::current().spawn("flushed", {
        let log = process.log.clone();
        async move { log.flush().await }
    });
    settle().await;
    assert!(!flushed.is_finished() && process.log.figures().readable == 1, "it has not reached the disk");
    assert_eq!(process.log.read(1, 1_000).await.unwrap(), []);
    process.disk.heal();
    assert_eq!(flushed.await.unwrap(), Ok(()));
    assert_eq!(process.log.read(1, 1_000).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_comes_during_a_long_sync_does_not_wait_anew() {
    let folder = tempfile::tempdir().unwrap();
    let process = start(folder.path(), BOUNDS);
    process.log.append(records([0])).await.unwrap();
    *process.disk.fault.lock() = Some(Fault::Hangs);
    process.clock.advance(SYNC);
    settle().await;
    *process.disk.fault.lock() = None;
    process.log.append(records([1])).await.unwrap();
    process.clock.advance(SYNC);
    settle().await;
    assert_eq!(process.log.figures().readable, 1, "the first sync is under way");
    process.disk.heal();
    settle().await;
    assert_eq!((process.log.figures().readable, *process.disk.syncs.lock()), (3, 2));
}

#[tokio::test]
async fn a_torn_tail_is_cut_wherever_it_was_torn() {
    let folder = tempfile::tempdir().unwrap();
    let process = start(folder.path(), BOUNDS);
    for value in 0..3 {
        process.log.append(records([value])).await.unwrap();
    }
    process.kill().await;
    let [file] = files(folder.path()).try_into().unwrap();
    let whole = fs::read(&file).unwrap();
    let mut ends = vec![whole.len()];
    for length in (0..whole.len()).rev() {
        fs::remove_dir_all(folder.path()).unwrap();
        fs::create_dir(folder.path()).unwrap();
        fs::write(&file, &whole[..length]).unwrap();
        let process = start(folder.path(), BOUNDS);
        let left = process.log.figures().next - 1;
        let kept = process.log.figures().octets as usize;
        assert!(kept <= length, "{kept} {length}");
        if kept < *ends.last().unwrap() {
            ends.push(kept);
        }
        // It goes on behind what is left, whose numbers are not given twice.
        process.log.append(records([100])).await.unwrap();
        let all = all(&process.log).await;
        assert_eq!(all.iter().map(value).collect::<Vec<_>>(), Vec::from_iter((0..left).chain([100])), "{length}");
        assert_eq!(all.last().unwrap().number, left + 1);
    }
    assert_eq!(ends.len(), 5, "three records, none, and no file: {ends:?}");
}

#[tokio::test]
async fn on_a_full_disk_it_is_said_and_what_was_appended_is_kept_once_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let process = start(folder.path(), BOUNDS);
    process.log.append(records([0])).await.unwrap();
    *process.disk.fault.lock() = Some(Fault::Fails(io::ErrorKind::StorageFull));
    assert_eq!(process.log.append(records([1])).await, Err(NotKept::Disk));
    assert_eq!(process.log.takes(), Err(NotKept::Disk));
    assert_eq!(process.log.append(records([2])).await, Err(NotKept::Disk));
    assert_eq!(process.log.figures().standing, Standing::Failing);
    assert_eq!(of_session(&process.log, session(1)).await, []);
    settle().await;
    process.disk.heal();
    process.clock.advance(Duration::from_secs(5));
    process.log.append(Vec::new()).await.ok();
    while process.log.figures().standing == Standing::Failing {
        tokio::task::yield_now().await;
    }
    process.log.append(records([3])).await.unwrap();
    assert_eq!(process.log.takes(), Ok(()));
    assert_eq!(all(&process.log).await.iter().map(value).collect::<Vec<_>>(), [0, 1, 2, 3]);
    process.kill().await;
    let process = start(folder.path(), BOUNDS);
    assert_eq!(all(&process.log).await.iter().map(value).collect::<Vec<_>>(), [0, 1, 2, 3], "nothing is there twice");
    assert_eq!(process.log.figures().lost, 0);
}

#[tokio::test]
async fn after_a_sync_that_failed_the_log_goes_on_in_another_file() {
    let folder = tempfile::tempdir().unwrap();
    let process = start(folder.path(), BOUNDS);
    process.log.append(records([0])).await.unwrap();
    assert_eq!(files(folder.path()).len(), 1);
    *process.disk.fault.lock() = Some(Fault::Fails(io::ErrorKind::Other));
    assert_eq!(process.log.flush().await, Err(NotKept::Disk));
    process.disk.heal();
    process.log.append(records([1])).await.unwrap();
    assert_eq!(files(folder.path()).len(), 2);
    process.log.append(records([2])).await.unwrap();
    assert_eq!(files(folder.path()).len(), 2, "once is enough");
    assert_eq!(all(&process.log).await.iter().map(value).collect::<Vec<_>>(), [0, 1, 2]);
    // The system forgets that it failed; what it may have lost was written anew before it was told.
    process.kill().await.cut(folder.path(), 7);
    let process = start(folder.path(), BOUNDS);
    assert_eq!(all(&process.log).await.iter().map(value).collect::<Vec<_>>(), [0, 1, 2]);
}

#[tokio::test]
async fn a_disk_that_does_not_answer_keeps_nobody_waiting_and_takes_no_more_memory_than_it_may() {
    let folder = tempfile::tempdir().unwrap();
    let process = start(folder.path(), SMALL);
    process.log.append(records([0])).await.unwrap();
    *process.disk.fault.lock() = Some(Fault::Hangs);
    let waiting = Tasks::current().spawn("appended", {
        let log = process.log.clone();
        async move { log.append(records([1])).await }
    });
    settle().await;
    process.clock.advance(Duration::from_secs(1));
    assert_eq!(waiting.await.unwrap(), Err(NotKept::Disk));
    for value in 2..1_002_u64 {
        let class = if value.is_multiple_of(2) { Class::Interval } else { Class::Lasting };
        assert!(process.log.append(vec![record(value, class)]).await.is_err());
        assert!(process.log.figures().waiting <= SMALL.size / 4);
    }
    let lost = process.log.take_losses();
    assert!(lost.of(Loss::Waiting) > 800, "{lost:?}");
    assert_eq!(process.log.take_losses().all(), 0);
    process.disk.heal();
    while process.log.figures().standing == Standing::Failing || process.log.figures().waiting > 0 {
        settle().await;
    }
    process.log.append(records([1_002])).await.unwrap();
    let all = all(&process.log).await;
    assert_eq!(all.len() as u64 + lost.all(), 1_003);
    let again = all.iter().filter(|one| one.record.class == Class::Interval).count();
    assert!(again < all.len() / 4, "what comes again goes first: {again} of {}", all.len());
    assert_eq!((value(&all[0]), value(&all[1]), value(all.last().unwrap())), (0, 1, 1_002));
}

#[tokio::test]
async fn a_full_log_recovers_from_a_disk_that_was_away_and_what_was_lost_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let process = start(folder.path(), SMALL);
    let mut appended = 0;
    while process.log.figures().losses.of(Loss::Lasting) == 0 {
        process.log.append(records([appended])).await.unwrap();
        appended += 1;
    }
    *process.disk.fault.lock() = Some(Fault::Fails(io::ErrorKind::StorageFull));
    while process.log.figures().losses.of(Loss::Waiting) == 0 {
        assert!(process.log.append(records([appended])).await.is_err());
        appended += 1;
    }
    assert!(process.log.figures().waiting > 3 * SMALL.size / 16, "what waits is several files");
    let failures = process.log.figures().failures;
    process.disk.heal();
    process.clock.advance(Duration::from_secs(5));
    while process.log.figures().waiting > 0 {
        settle().await;
        assert!(taken(folder.path()) <= SMALL.size);
        assert_eq!(process.log.figures().failures, failures, "room is made while it is written");
    }
    assert_eq!(process.log.figures().standing, Standing::Good);
    process.log.append(records([appended])).await.unwrap();
    // What goes is counted once it has gone.
    process.log.flush().await.unwrap();
    rests(&process).await;
    let there = all(&process.log).await;
    assert_eq!(there.len() as u64 + process.log.figures().lost, appended + 1);
    assert_eq!(value(there.last().unwrap()), appended);
}

#[tokio::test]
async fn while_the_disk_fails_it_is_tried_again_after_a_pause_however_much_comes() {
    let folder = tempfile::tempdir().unwrap();
    let process = start(folder.path(), BOUNDS);
    *process.disk.fault.lock() = Some(Fault::Fails(io::ErrorKind::StorageFull));
    for value in 0..100 {
        assert!(process.log.append(records([value])).await.is_err());
        settle().await;
    }
    assert_eq!(process.log.figures().failures, 1);
    process.clock.advance(Duration::from_secs(5));
    while process.log.figures().failures < 2 {
        settle().await;
    }
}

#[tokio::test]
async fn at_its_size_what_lasts_least_goes_first_and_all_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let process = start(folder.path(), SMALL);
    let class = |value: u64| [Class::Interval, Class::Response, Class::Lasting, Class::Lasting][(value % 4) as usize];
    let count = |all: &[Numbered], class| all.iter().filter(|one| one.record.class == class).count() as u64;
    let (mut appended, mut last) = (0, [0; 3]);
    for until in [400, 600, 2_000] {
        while appended < until {
            _ = process.log.append(vec![record(appended, class(appended))]).await;
            while process.log.figures().standing == Standing::Failing {
                process.clock.advance(Duration::from_secs(5));
                rests(&process).await;
            }
            appended += 1;
            assert!(taken(folder.path()) <= SMALL.size);
        }
        // What goes is counted once it has gone.
        let mut all = all(&process.log).await;
        loop {
            let losses = process.log.figures().losses;
            last = [Loss::Interval, Loss::Response, Loss::Lasting].map(|why| losses.of(why));
            if last.iter().sum::<u64>() + all.len() as u64 == until {
                break;
            }
            settle().await;
            all = self::all(&process.log).await;
        }
        assert_eq!(last[0] + count(&all, Class::Interval), until / 4);
        assert_eq!(last[1] + count(&all, Class::Response), until / 4);
        assert_eq!(last[2] + count(&all, Class::Lasting), until / 2);
        assert!(last[2] == 0 || last[0] > until / 5, "{last:?}");
    }
    assert!(last[2] > 0, "{last:?}");
}

#[tokio::test]
async fn what_is_older_than_is_kept_goes_also_where_nothing_new_comes() {
    let folder = tempfile::tempdir().unwrap();
    let process = start(folder.path(), SMALL);
    append(&process.log, 0..200).await;
    let mut hours = 0;
    while process.log.figures().expired < 200 {
        hours += 1;
        process.clock.advance(Duration::from_secs(3_600));
        rests(&process).await;
        assert!(hours < 100);
    }
    assert!(hours >= 24, "{hours}");
    assert_eq!(process.log.figures().lost, 0);
    process.kill().await;
    let process = start(folder.path(), SMALL);
    process.log.append(records([7])).await.unwrap();
    assert_eq!(all(&process.log).await[0].number, 201, "numbers go on");
}

#[tokio::test]
async fn whatever_goes_after_a_start_no_number_is_given_again() {
    let folder = tempfile::tempdir().unwrap();
    let process = start(folder.path(), SMALL);
    process.log.append((0..20).map(|value| record(value, Class::Interval)).collect()).await.unwrap();
    process.kill().await;
    // All of it is too much now.
    let process = start(folder.path(), Bounds { size: 16 << 10, ..SMALL });
    process.log.expire(|_| true).await.unwrap();
    while process.log.figures().losses.of(Loss::Interval) + process.log.figures().expired < 20 {
        settle().await;
    }
    process.kill().await;
    let process = start(folder.path(), SMALL);
    assert_eq!(process.log.figures().next, 21);
    process.log.append(records([7])).await.unwrap();
    assert_eq!(all(&process.log).await[0].number, 21);
}

#[tokio::test]
async fn a_session_that_is_erased_is_in_no_file_and_numbers_stay() {
    let folder = tempfile::tempdir().unwrap();
    let process = start(folder.path(), SMALL);
    append(&process.log, 0..300).await;
    let page = {
        process.log.flush().await.unwrap();
        process.log.read(1, 3_000).await.unwrap()
    };
    assert_eq!(process.log.erase(session(3)).await.unwrap(), 75);
    assert_eq!(of_session(&process.log, session(3)).await, []);
    let left = all(&process.log).await;
    assert_eq!(left.len(), 225);
    assert!(left.iter().all(|one| value(one) + 1 == one.number && one.record.session != Some(session(3))));
    // Who reads by number goes on where it was.
    let next = page.last().unwrap().number + 1;
    let rest = process.log.read(next, usize::MAX).await.unwrap();
    assert_eq!(rest, left.iter().filter(|one| one.number >= next).cloned().collect::<Vec<_>>());
    let octets: Vec<_> = files(folder.path()).iter().flat_map(|path| fs::read(path).unwrap()).collect();
    assert!(!octets.windows(12).any(|window| window == session(3).0));
    assert_eq!((process.log.figures().erased, process.log.figures().octets), (75, taken(folder.path())));
    process.kill().await;
    assert_eq!(all(&start(folder.path(), SMALL).log).await, left);
}

#[tokio::test]
async fn a_process_killed_while_it_erases_leaves_one_of_two_files() {
    let folder = tempfile::tempdir().unwrap();
    let process = start(folder.path(), BOUNDS);
    process.log.append(records(0..30)).await.unwrap();
    let [old] = files(folder.path()).try_into().unwrap();
    let octets = fs::read(&old).unwrap();
    process.log.erase(session(3)).await.unwrap();
    process.kill().await;
    // Before the old one was removed, and while the next one was written.
    fs::write(&old, octets).unwrap();
    fs::write(folder.path().join("log.new"), "half").unwrap();
    let process = start(folder.path(), BOUNDS);
    assert_eq!(of_session(&process.log, session(3)).await, []);
    assert_eq!(of_session(&process.log, session(1)).await.len(), 8);
    assert!(!files(folder.path()).iter().any(|path| *path == old || path.ends_with("log.new")));
}

#[tokio::test]
async fn records_of_a_route_that_are_kept_no_longer_go_by_what_their_lines_say() {
    let folder = tempfile::tempdir().unwrap();
    let process = start(folder.path(), SMALL);
    append(&process.log, 0..300).await;
    let gone = process.log.expire(|record| record.line.starts_with(b"{\"value\":1")).await.unwrap();
    assert!(gone > 80, "{gone}");
    let left = all(&process.log).await;
    assert_eq!(left.len() as u64 + gone, 300);
    let in_memory = Log::in_memory(1 << 20);
    in_memory.append(records(0..300)).await.unwrap();
    assert_eq!(in_memory.expire(|record| record.line.starts_with(b"{\"value\":1")).await.unwrap(), 111);
}

#[tokio::test]
async fn damage_in_the_middle_costs_one_file_and_is_counted_once() {
    let folder = tempfile::tempdir().unwrap();
    let process = start(folder.path(), SMALL);
    for value in 0..200 {
        process.log.append(records([value])).await.unwrap();
    }
    let file = &files(folder.path())[1];
    let mut octets = fs::read(file).unwrap();
    octets[2_000] ^= 1;
    fs::write(file, octets).unwrap();
    let first = all(&process.log).await;
    let lost = process.log.figures().losses.of(Loss::Damaged);
    assert!(lost > 0 && lost < 40, "{lost}");
    assert_eq!(first.len() as u64 + lost, 200);
    assert_eq!(all(&process.log).await, first);
    assert_eq!(process.log.figures().losses.of(Loss::Damaged), lost);
}

#[tokio::test]
async fn a_record_that_lost_its_number_is_damage_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let process = start(folder.path(), SMALL);
    append(&process.log, 0..200).await;
    let file = &files(folder.path())[1];
    let mut octets = fs::read(file).unwrap();
    let second = PREAMBLE + 8 + u32::from_le_bytes(octets[PREAMBLE..][..4].try_into().unwrap()) as usize;
    octets[second + 8..second + 16].fill(0);
    fs::write(file, octets).unwrap();
    let read = all(&process.log).await;
    let lost = process.log.figures().losses.of(Loss::Damaged);
    assert!(lost > 1, "{lost}");
    assert_eq!(read.len() as u64 + lost, 200);
    process.log.erase(session(1)).await.unwrap();
    let others = read.into_iter().filter(|one| one.record.session != Some(session(1)));
    assert_eq!(all(&process.log).await, others.collect::<Vec<_>>());
}

#[tokio::test]
async fn a_session_that_is_erased_does_not_come_back_from_behind_damage() {
    let folder = tempfile::tempdir().unwrap();
    append(&start(folder.path(), SMALL).log, 0..200).await;
    let file = &files(folder.path())[1];
    let mut octets = fs::read(file).unwrap();
    octets[PREAMBLE + 30] ^= 1;
    fs::write(file, octets).unwrap();
    let process = start(folder.path(), SMALL);
    process.log.erase(session(1)).await.unwrap();
    process.kill().await;
    assert!(of_session(&start(folder.path(), SMALL).log, session(1)).await.is_empty());
}

#[tokio::test]
async fn damage_in_the_last_file_is_counted_once_and_no_number_is_given_again() {
    let folder = tempfile::tempdir().unwrap();
    let process = start(folder.path(), BOUNDS);
    process.log.append(records(0..4)).await.unwrap();
    let before = taken(folder.path()) as usize;
    process.log.append(records(4..10)).await.unwrap();
    process.kill().await;
    let [file] = files(folder.path()).try_into().unwrap();
    let whole = fs::read(&file).unwrap();
    // In a record's length, in its checksum and in its line.
    for at in [before, before + 5, before + 60] {
        fs::remove_dir_all(folder.path()).unwrap();
        fs::create_dir(folder.path()).unwrap();
        let mut octets = whole.clone();
        octets[at] ^= 1;
        fs::write(&file, octets).unwrap();
        for lost in [6, 0] {
            let process = start(folder.path(), BOUNDS);
            assert_eq!((process.log.figures().next, process.log.figures().octets), (11, taken(folder.path())));
            assert_eq!(all(&process.log).await.iter().map(value).collect::<Vec<_>>(), [0, 1, 2, 3]);
            assert_eq!(process.log.figures().losses.of(Loss::Damaged), lost, "{at}");
            process.kill().await;
        }
        let process = start(folder.path(), BOUNDS);
        process.log.append(records([10])).await.unwrap();
        assert_eq!(all(&process.log).await.last().map(|last| (last.number, value(last))), Some((11, 10)));
    }
}

#[tokio::test]
async fn in_memory_too_what_lasts_least_goes_first_and_nothing_stays_beyond_its_time() {
    let log = Log::in_memory_within(Bounds { size: 20_000, keep: Duration::from_secs(600), sync: SYNC });
    let class = |value: u64| if value.is_multiple_of(2) { Class::Interval } else { Class::Lasting };
    log.append((0..120).map(|value| record(value, class(value))).collect()).await.unwrap();
    let figures = log.figures();
    assert!(figures.octets <= 20_000 && figures.losses.of(Loss::Lasting) == 0, "{figures:?}");
    assert_eq!(figures.losses.of(Loss::Interval) + log.read(1, usize::MAX).await.unwrap().len() as u64, 120);
    assert_eq!(log.erase(session(1)).await.unwrap(), 30);
    log.append(records([1_000])).await.unwrap();
    assert_eq!(log.read(1, usize::MAX).await.unwrap().len(), 1);
    assert_eq!(figures.standing, Standing::Memory);
}

/// What is done to a log in a model.
#[derive(Clone, Debug)]
enum Step {
    Append(u8),
    Erase(u8),
    Sync,
    Full,
    Heal,
    Tick,
    /// Killed, and so many octets of what was being written are torn off.
    Kill(u16),
    /// The power goes: in each file, what was not synced is gone from some octet on.
    PowerCut(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (1..30u8).prop_map(Step::Append),
        1 => (0..4u8).prop_map(Step::Erase),
        2 => Just(Step::Sync),
        1 => Just(Step::Full),
        2 => Just(Step::Heal),
        2 => Just(Step::Tick),
        2 => any::<u16>().prop_map(Step::Kill),
        2 => any::<u64>().prop_map(Step::PowerCut),
    ];
    proptest::collection::vec(step, 1..40)
}

/// What must be there.
#[derive(Default)]
struct Model {
    next: u64,
    /// Acknowledged and not erased.
    kept: Vec<u64>,
    /// Those of them that have reached the disk.
    synced: Vec<u64>,
    erased: Vec<u64>,
    /// What who reads by number was told.
    told: BTreeMap<u64, u64>,
}

impl Model {
    /// All that the log holds is known to have reached the disk: it was opened after the power had gone.
    async fn power_cut(&mut self, log: &Log) {
        let there: BTreeSet<_> = log.read(1, usize::MAX).await.unwrap().iter().map(value).collect();
        self.synced.iter().for_each(|value| assert!(there.contains(value), "{value} had reached the disk"));
        self.kept.retain(|value| there.contains(value));
        self.synced = self.kept.clone();
    }

    async fn check(&mut self, log: &Log) {
        let mut there = Vec::new();
        for of in 1..4 {
            there.extend(of_session(log, session(of)).await.iter().map(value));
        }
        let twice = there.len();
        there.sort_unstable();
        there.dedup();
        assert_eq!(there.len(), twice, "nothing is there twice");
        let of_sessions = self.kept.iter().filter(|value| *value % 4 != 0);
        of_sessions.for_each(|value| assert!(there.binary_search(value).is_ok(), "{value} was acknowledged"));
        self.erased.iter().for_each(|value| assert!(there.binary_search(value).is_err(), "{value} was erased"));
        let (mut from, mut last) = (1, 0);
        loop {
            let page = log.read(from, 700).await.unwrap();
            let Some(end) = page.last() else { break };
            for one in &page {
                assert!(one.number > last, "numbers rise");
                last = one.number;
                let told = self.told.entry(last).or_insert_with(|| value(one));
                assert_eq!(*told, value(one), "{last} was told to be another");
            }
            from = end.number + 1;
        }
    }
}

async fn run(steps: Vec<Step>) {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let bounds = Bounds { size: 1 << 20, ..BOUNDS };
    let mut process = start(folder, bounds);
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Append(count) => {
                let values = model.next..model.next + u64::from(count);
                model.next = values.end;
                if process.log.append(records(values.clone())).await.is_ok() {
                    model.kept.extend(values);
                }
            }
            Step::Erase(of) => {
                if process.disk.fault.lock().is_none() && process.log.takes().is_ok() {
                    process.log.erase(session(of.into())).await.unwrap();
                    let (erased, kept) = std::mem::take(&mut model.kept)
                        .into_iter()
                        .partition(|value| of != 0 && value % 4 == u64::from(of));
                    model.kept = kept;
                    model.erased.extend::<Vec<u64>>(erased);
                    let erased = &model.erased;
                    model.synced.retain(|value| !erased.contains(value));
                }
            }
            Step::Sync => {
                if process.log.flush().await.is_ok() {
                    model.synced = model.kept.clone();
                }
            }
            Step::Full => *process.disk.fault.lock() = Some(Fault::Fails(io::ErrorKind::StorageFull)),
            Step::Heal => process.disk.heal(),
            Step::Tick => {
                process.clock.advance(Duration::from_secs(6));
                settle().await;
            }
            Step::Kill(torn) => {
                process.kill().await;
                // A write that was under way and of which nobody was told.
                if let Some(last) = files(folder).last() {
                    let mut octets = fs::read(last).unwrap();
                    octets.extend((0..torn % 97).map(|octet| octet as u8));
                    fs::write(last, octets).unwrap();
                }
                process = start(folder, bounds);
                model.synced = model.kept.clone();
            }
            Step::PowerCut(lot) => {
                process.kill().await.cut(folder, lot);
                process = start(folder, bounds);
                model.power_cut(&process.log).await;
            }
        }
        model.check(&process.log).await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_what_was_acknowledged_is_there_and_what_was_erased_is_not(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(run(steps));
    }
}
