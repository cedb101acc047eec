use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::frame::PREAMBLE;
use super::*;
use crate::clock::{Clock, WallTime};
use crate::disk::{Done, Engine, File, Op, Reply, Twin};
use crate::tasks::Tasks;

const SMALL: Room = Room { file: 4_096, all: 64 << 10 };

/// What is wrong with a disk.
#[derive(Clone, Copy)]
pub(super) enum Fault {
    /// Half of what is written arrives, and this is said: a full disk tears frames.
    Fails(io::ErrorKind),
    /// It does not answer.
    Hangs,
}

/// A disk that works at once, or not.
#[derive(Default)]
pub(super) struct Disk {
    pub fault: Mutex<Option<Fault>>,
    pub writes: Mutex<usize>,
    pub syncs: Mutex<usize>,
    /// What it has not answered.
    pub hung: Mutex<Vec<(Op, Reply)>>,
    /// Files that were written through it, by their inodes, and how much of each a power cut leaves.
    pub safe: Mutex<HashMap<u64, (File, u64)>>,
    /// Those whose sync failed once: it is said no more, and nothing that is written to them is safe.
    pub forgotten: Mutex<HashSet<u64>>,
}

impl Disk {
    /// It answers again, and does what it was asked for meanwhile.
    pub fn heal(&self) {
        *self.fault.lock() = None;
        for (op, reply) in std::mem::take(&mut *self.hung.lock()) {
            self.submit(op, reply);
        }
    }

    /// The power goes: of each file something is gone that was not synced. `lot`: how much.
    pub fn cut(&self, folder: &Path, mut lot: u64) {
        for path in files(folder, ".log") {
            let there = fs::metadata(&path).unwrap();
            let safe = self.safe.lock().get(&there.ino()).map_or(there.len(), |(_, safe)| *safe);
            lot = lot.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let left = safe + (lot >> 32) % (there.len() - safe + 1);
            fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(left).unwrap();
        }
    }
}

impl Twin for Disk {
    fn submit(&self, op: Op, reply: Reply) -> bool {
        if let Op::Write { file, .. } = &op {
            // Held open, so that no other file gets its inode. Its preamble was synced when it was made.
            let of = file.as_ref().metadata().unwrap().ino();
            self.safe.lock().entry(of).or_insert_with(|| (file.clone(), PREAMBLE as u64));
        }
        let done = match (*self.fault.lock(), op) {
            (Some(Fault::Hangs), op) => {
                self.hung.lock().push((op, reply));
                return true;
            }
            (Some(Fault::Fails(fault)), Op::Write { file, offset, octets }) => {
                file.as_ref().write_all_at(&octets[..octets.len() / 2], offset).unwrap();
                Err(fault.into())
            }
            (Some(Fault::Fails(fault)), Op::Sync { file }) => {
                self.forgotten.lock().insert(file.as_ref().metadata().unwrap().ino());
                Err(fault.into())
            }
            (Some(Fault::Fails(fault)), _) => Err(fault.into()),
            (None, Op::Write { file, offset, octets }) => {
                *self.writes.lock() += 1;
                file.as_ref().write_all_at(&octets, offset).map(|()| Done::Nothing)
            }
            (None, Op::Sync { file }) => {
                *self.syncs.lock() += 1;
                let there = file.as_ref().metadata().unwrap();
                if !self.forgotten.lock().contains(&there.ino()) {
                    self.safe.lock().insert(there.ino(), (file, there.len()));
                }
                Ok(Done::Nothing)
            }
            (None, Op::Unlink { path }) => fs::remove_file(path).map(|()| Done::Nothing),
            (None, _) => Ok(Done::Nothing),
        };
        _ = reply.send(done);
        true
    }

    fn name(&self) -> &'static str {
        "test"
    }
}

struct Process {
    journal: Journal,
    read: Vec<Vec<u8>>,
    disk: Arc<Disk>,
    clock: Clock,
}

/// A process that opens the journal of a folder and writes it.
fn start(folder: &Path, room: Room) -> Process {
    let clock = Clock::manual(WallTime::default());
    let disk = Arc::new(Disk::default());
    let engine = Engine::over(disk.clone(), clock.clone());
    let mut read = Vec::new();
    let journal = Journal::open(folder, (engine, clock.clone()), room, |kind, event| {
        assert_eq!(kind, Kind::Revoked);
        read.push(event.to_vec());
    });
    let journal = journal.unwrap();
    let tasks = Tasks::current();
    tasks.spawn("journal", journal.clone().write(tasks.clone()));
    Process { journal, read, disk, clock }
}

fn event(number: u32) -> Vec<u8> {
    let mut event = number.to_le_bytes().to_vec();
    event.resize(40, number as u8);
    event
}

fn events(numbers: impl IntoIterator<Item = u32>) -> Vec<Vec<u8>> {
    numbers.into_iter().map(event).collect()
}

async fn keep(process: &Process, number: u32) -> Result<(), NotKept> {
    process.journal.append(Kind::Revoked, [event(number)]).await
}

/// The files of a folder with a suffix, in order.
fn files(folder: &Path, suffix: &str) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.to_str().unwrap().ends_with(suffix));
    files.sort();
    files
}

#[tokio::test]
async fn what_is_kept_is_read_in_order_by_the_next_process() {
    let folder = tempfile::tempdir().unwrap();
    for process in 0..3 {
        let process_ = start(folder.path(), SMALL);
        assert_eq!(process_.read, events(0..process * 100));
        for number in process * 100..process * 100 + 100 {
            assert_eq!(keep(&process_, number).await, Ok(()));
        }
        assert_eq!(process_.journal.figures().kept, 100);
    }
    let mut read = Vec::new();
    reader::read(folder.path(), |_, event| read.push(event.to_vec())).unwrap();
    assert_eq!(read, events(0..300));
}

#[tokio::test]
async fn what_comes_together_is_synced_once() {
    let folder = tempfile::tempdir().unwrap();
    let process = start(folder.path(), Room::default());
    let many: Vec<_> = (0..5_000).map(|number| process.journal.append(Kind::Revoked, [event(number)])).collect();
    for keeping in many {
        keeping.await.unwrap();
    }
    assert_eq!(*process.disk.syncs.lock(), 1);
    assert_eq!(start(folder.path(), SMALL).read, events(0..5_000));
}

#[tokio::test]
async fn a_torn_tail_is_cut_wherever_it_was_torn() {
    let folder = tempfile::tempdir().unwrap();
    let process = start(folder.path(), Room::default());
    for number in 0..3 {
        keep(&process, number).await.unwrap();
    }
    let [file] = files(folder.path(), ".log").try_into().unwrap();
    let whole = fs::read(&file).unwrap();
    let frame = frame::size(1 + event(0).len());
    for length in 0..whole.len() {
        fs::write(&file, &whole[..length]).unwrap();
        let left = length.saturating_sub(frame::PREAMBLE) / frame;
        assert_eq!(start(folder.path(), SMALL).read, events(0..left as u32), "{length}");
        let cut = fs::metadata(&file).unwrap().len() as usize;
        assert!(cut == 0 || cut == frame::PREAMBLE + left * frame, "{cut}");
    }
    // And garbage behind the end is none of it.
    fs::write(&file, [&whole[..], &[0x55; 300]].concat()).unwrap();
    assert_eq!(start(folder.path(), SMALL).read, events(0..3));
}

#[tokio::test]
async fn what_is_damaged_costs_nothing_behind_it_now_or_in_a_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    let process = start(folder.path(), Room::default());
    for number in 0..5 {
        keep(&process, number).await.unwrap();
    }
    let [file] = files(folder.path(), ".log").try_into().unwrap();
    let frame = frame::size(1 + event(0).len());
    let mut octets = fs::read(&file).unwrap();
    // The beginning of the file, the length of one event, and an octet of another.
    octets[9] ^= 1;
    octets[frame::PREAMBLE + frame] ^= 1;
    octets[frame::PREAMBLE + 3 * frame + 20] ^= 1;
    fs::write(&file, octets).unwrap();
    let left = events([0, 2, 4]);
    assert_eq!(start(folder.path(), SMALL).read, left);
    assert_eq!(start(folder.path(), SMALL).read, left, "the file stays as it is");
    files::compact(folder.path(), 1, &|_, _| true).unwrap();
    assert_eq!(start(folder.path(), SMALL).read, left);
}

#[tokio::test]
async fn a_full_disk_is_told_and_nothing_of_what_was_appended_is_lost_once_it_has_room() {
    let folder = tempfile::tempdir().unwrap();
    let process = start(folder.path(), Room::default());
    keep(&process, 0).await.unwrap();
    *process.disk.fault.lock() = Some(Fault::Fails(io::ErrorKind::StorageFull));
    assert_eq!(keep(&process, 1).await, Err(NotKept::Disk));
    assert_eq!(keep(&process, 2).await, Err(NotKept::Disk));
    assert_eq!(process.journal.append(Kind::Revoked, []).await, Err(NotKept::Disk), "what was said is not kept yet");
    process.disk.heal();
    process.clock.advance(Duration::from_secs(5));
    assert_eq!(process.journal.append(Kind::Revoked, []).await, Ok(()));
    keep(&process, 3).await.unwrap();
    assert_eq!(process.journal.figures().failures, 3);
    let mut read = start(folder.path(), SMALL).read;
    // What had arrived of an attempt that failed stands there twice.
    read.dedup();
    assert_eq!(read, events(0..4));
}

#[tokio::test]
async fn a_journal_that_has_grown_becomes_a_snapshot_of_what_counts() {
    let folder = tempfile::tempdir().unwrap();
    let process = start(folder.path(), SMALL);
    let tasks = Tasks::current();
    let is_even = |_, event: &[u8]| event[0].is_multiple_of(2);
    tasks.spawn("compaction", process.journal.clone().compact(tasks.clone(), is_even));
    let mut last = 0;
    while process.journal.figures().snapshots < 3 {
        keep(&process, last).await.unwrap();
        last += 1;
        // What puts files together runs beside this, at its own pace.
        tokio::task::yield_now().await;
        while tasks.living().get("journal").is_some_and(|living| *living > 0) {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(files(folder.path(), ".snapshot").len(), 1);
    let read = start(folder.path(), SMALL).read;
    let (even, odd): (Vec<_>, Vec<_>) = read.into_iter().partition(|event| event[0].is_multiple_of(2));
    assert_eq!(even, events((0..last).filter(|number| number.is_multiple_of(2))));
    assert!(odd.len() < last as usize / 2);
    let octets: u64 = [".log", ".snapshot"]
        .iter()
        .flat_map(|suffix| files(folder.path(), suffix))
        .map(|path| fs::metadata(path).unwrap().len())
        .sum();
    assert_eq!(process.journal.figures().octets, octets);
}

#[tokio::test]
async fn a_snapshot_that_was_not_finished_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let process = start(folder.path(), SMALL);
    keep(&process, 0).await.unwrap();
    fs::write(folder.path().join("snapshot.new"), frame::preamble(9)).unwrap();
    assert_eq!(start(folder.path(), SMALL).read, events(0..1));
    assert!(files(folder.path(), ".new").is_empty());
}

#[tokio::test]
async fn files_that_a_snapshot_replaces_are_not_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let process = start(folder.path(), SMALL);
    keep(&process, 0).await.unwrap();
    let old = files(folder.path(), ".log");
    let copy = fs::read(&old[0]).unwrap();
    files::compact(folder.path(), 1, &|_, _| true).unwrap();
    // Killed between the snapshot and the removal of what it replaces.
    fs::write(&old[0], copy).unwrap();
    assert_eq!(start(folder.path(), SMALL).read, events(0..1));
    assert!(files(folder.path(), ".log").is_empty());
}

#[tokio::test]
async fn files_that_no_journal_names_so_are_none_of_it() {
    let folder = tempfile::tempdir().unwrap();
    keep(&start(folder.path(), SMALL), 0).await.unwrap();
    let foreign = [
        "bad.log",
        "1.log",
        "+000000000000002.log",
        "0000000000000000.log",
        "ffffffffffffffff.log",
        "ffffffffffffffff.snapshot",
    ];
    foreign.iter().for_each(|name| fs::write(folder.path().join(name), "of others").unwrap());
    for number in 1..3 {
        let process = start(folder.path(), SMALL);
        assert_eq!(process.read, events(0..number));
        keep(&process, number).await.unwrap();
    }
    assert!(foreign.iter().all(|name| fs::read(folder.path().join(name)).unwrap() == b"of others"));
}

#[test]
fn a_file_that_is_in_the_way_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("0000000000000001.log");
    fs::write(&path, "of another process").unwrap();
    assert_eq!(files::create(&path, 1).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(fs::read(&path).unwrap(), b"of another process");
}

#[tokio::test]
async fn there_is_no_more_than_the_room_allows() {
    let folder = tempfile::tempdir().unwrap();
    let process = start(folder.path(), SMALL);
    let mut kept = 0;
    while keep(&process, kept).await.is_ok() {
        kept += 1;
    }
    assert!(process.journal.figures().octets <= SMALL.all);
    assert!(u64::from(kept) * 49 > SMALL.all / 2, "{kept}");
}
