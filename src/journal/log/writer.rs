//! Writing a log: one task writes all that has come while it last wrote, at most a file of it at once, another sees to it
//! that it reaches the disk. What the disk does not take waits in bounded memory and is tried again, in a file of its own;
//! whoever asked for an answer has it long before.

use std::collections::VecDeque;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::oneshot;
use tracing::{error, info};

use crate::clock::Tick;
use crate::disk::DiskError;
use crate::journal::NotKept;
use crate::journal::appender::Unwritten;
use crate::journal::files;
use crate::journal::frame::PREAMBLE;
use crate::journal::open::{Framed, Open};

use super::disk::{Disk, Segment, State, Thinned, path};
use super::loss::Loss;
use super::memory::Records;
use super::record::{LONGEST_LINE, Numbered, Record};
use super::{Reply, upkeep};

/// Octets that wait to be written while the disk takes nothing, and the part of what its files may take that they are at
/// most: they find room there once it does.
const WAITING: (u64, u64) = (32 << 20, 4);

/// What could not be written is tried again after this.
const AGAIN: Duration = Duration::from_secs(5);

/// Whoever waits for a write is told after this that the disk does not take it.
const PATIENCE: Duration = Duration::from_secs(1);

/// What waits to be written.
pub(super) struct Queue {
    records: Records,
    next: u64,
    replies: Asked,
    /// Who waits for all that was appended until now to stand in files that are not written to any more.
    rolls: Asked,
}

/// Who waits for all records before a number, in the order in which they asked.
#[derive(Default)]
struct Asked(VecDeque<(u64, Reply)>);

impl Asked {
    fn push(&mut self, before: u64, reply: Reply) {
        self.0.push_back((before, reply));
    }

    /// Those who wait for nothing from this number on.
    fn take(&mut self, reached: u64) -> Vec<Reply> {
        let count = self.0.partition_point(|(before, _)| *before <= reached);
        self.0.drain(..count).map(|(_, reply)| reply).collect()
    }

    fn answer_all(&mut self, why: NotKept) {
        answer(&mut self.take(u64::MAX), Err(why));
    }
}

impl Queue {
    pub fn from(next: u64) -> Self {
        Self { records: Records::default(), next, replies: Asked::default(), rolls: Asked::default() }
    }

    pub fn takes(&self, most: u64) -> Result<(), NotKept> {
        if self.records.octets < most { Ok(()) } else { Err(NotKept::Full) }
    }

    /// The number of the next record, and octets that wait.
    pub fn figures(&self) -> (u64, u64) {
        (self.next, self.records.octets)
    }

    /// What is written next: at most so many octets of a file, or one record.
    fn take(&mut self, most: u64) -> Batch {
        let records = self.records.take_first(most);
        let reached = self.records.records.front().map_or(self.next, |next| next.number);
        Batch { records, replies: self.replies.take(reached), rolls: self.rolls.take(reached) }
    }
}

/// What is written at once.
struct Batch {
    records: Records,
    replies: Vec<Reply>,
    rolls: Vec<Reply>,
}

fn answer(replies: &mut Vec<Reply>, answer: Result<(), NotKept>) {
    // Whoever asked may have gone.
    replies.drain(..).for_each(|reply| _ = reply.send(answer));
}

impl Disk {
    pub fn keep(&self, records: Vec<Record>, replies: Vec<Reply>) {
        let mut guard = self.queue.lock();
        let queue = &mut *guard;
        for record in records {
            let number = queue.next;
            queue.next += 1;
            if record.line.len() > LONGEST_LINE {
                self.counts.lose(Loss::TooLong, 1);
                continue;
            }
            queue.records.push(Numbered { number, record });
        }
        replies.into_iter().for_each(|reply| queue.replies.push(queue.next, reply));
        self.let_go(queue);
        if self.is_failing.load(Relaxed) {
            // They are tried again all the same; but it may take long.
            queue.replies.answer_all(NotKept::Disk);
        }
        drop(guard);
        self.bell.notify_one();
    }

    /// Octets that may wait to be written.
    pub fn may_wait(&self) -> u64 {
        (self.bounds.size / WAITING.1).min(WAITING.0)
    }

    /// Lets go of what waits where it is too much. Nobody is then told that it is kept.
    fn let_go(&self, queue: &mut Queue) {
        let lost = queue.records.make_room(self.may_wait()).all();
        if lost > 0 {
            self.counts.lose(Loss::Waiting, lost);
            queue.replies.answer_all(NotKept::Full);
        }
    }

    fn put_back(&self, records: Records) {
        let mut queue = self.queue.lock();
        queue.records.put_back(records);
        queue.replies.answer_all(NotKept::Disk);
        self.let_go(&mut queue);
    }

    /// Whether records may take so many octets of the disk; where they may not yet, room is made for them.
    async fn has_room(&self, length: u64) -> bool {
        let fits = || self.octets.load(Relaxed) + length <= self.most();
        if fits() {
            return true;
        }
        let mut made = pin!(self.room_bell.notified());
        made.as_mut().enable();
        self.full_bell.notify_one();
        tokio::select! {
            () = made => {}
            () = self.clock.sleep(PATIENCE) => {}
        }
        fits()
    }

    /// Completes when there is something to write; while the disk takes nothing, when it is time to try again.
    async fn has_work(&self) {
        tokio::select! {
            () = self.roll_bell.notified() => {}
            () = self.bell.notified(), if !self.is_failing.load(Relaxed) => {}
            () = self.clock.sleep(AGAIN), if self.is_failing.load(Relaxed) => {}
        }
    }
}

/// Who has the file that is written to.
#[derive(Default)]
struct Writer {
    open: Option<Open>,
}

/// Writes what is appended, for as long as the node runs.
pub(super) async fn write(disk: &Disk) {
    let mut writer = Writer::default();
    loop {
        disk.has_work().await;
        let mut batch = disk.queue.lock().take(disk.file());
        let written = {
            let mut commit = pin!(writer.commit(disk, &batch.records, batch.rolls.len()));
            tokio::select! {
                written = &mut commit => written,
                () = disk.clock.sleep(PATIENCE) => {
                    fail(disk, "it does not answer");
                    answer(&mut batch.replies, Err(NotKept::Disk));
                    answer(&mut batch.rolls, Err(NotKept::Disk));
                    disk.queue.lock().replies.answer_all(NotKept::Disk);
                    commit.await
                }
            }
        };
        let outcome = match written {
            Ok(()) => {
                disk.counts.kept.fetch_add(batch.records.records.len() as u64, Relaxed);
                if disk.is_failing.swap(false, Relaxed) {
                    info!("the log is written again");
                }
                if !disk.queue.lock().records.records.is_empty() {
                    disk.bell.notify_one();
                }
                Ok(())
            }
            Err(why) => {
                disk.counts.failures.fetch_add(1, Relaxed);
                fail(disk, &why.to_string());
                disk.put_back(batch.records);
                Err(NotKept::Disk)
            }
        };
        answer(&mut batch.replies, outcome);
        answer(&mut batch.rolls, outcome);
    }
}

fn fail(disk: &Disk, why: &str) {
    if !disk.is_failing.swap(true, Relaxed) {
        error!(why, "the log cannot be written: what happens now waits in memory, and is lost by a kill");
    }
}

impl Writer {
    async fn commit(&mut self, disk: &Disk, records: &Records, rolls: usize) -> Result<(), Unwritten> {
        if let (Some(first), Some(last)) = (records.records.front(), records.records.back()) {
            if std::mem::take(&mut disk.state.lock().is_spoiled) {
                self.open = None;
            }
            let full = disk.file();
            let mut current = match self.open.take_if(|open| open.length < full) {
                Some(current) => current,
                None => self.begin(disk, (first.number, first.record.at)).await?,
            };
            // The file has begun: room can be made of all the others.
            let length: usize = records.records.iter().map(Framed::size).sum();
            if !disk.has_room(length as u64).await {
                self.open = Some(current);
                return Err(Unwritten::NoRoom);
            }
            let outcome = current.append(&disk.engine, &records.records, &disk.octets).await;
            let now = disk.clock.now();
            disk.state.lock().grew(&current, outcome.is_ok().then_some((last.number + 1, now)));
            outcome?;
            disk.sync_bell.notify_one();
            self.open = Some(current);
        }
        if rolls > 0 {
            let (written, is_empty) = disk.state.lock().behind();
            if !is_empty {
                self.begin(disk, (written, disk.now_ms())).await.map(|open| self.open = Some(open))?;
            }
        }
        Ok(())
    }

    /// Closes the file that is written to, where there is one, and begins the next.
    async fn begin(&mut self, disk: &Disk, (first, began): (u64, u64)) -> io::Result<Open> {
        self.open = None;
        disk.full_bell.notify_one();
        let version = disk.state.lock().next_version();
        let length = PREAMBLE as u64;
        let segment = Segment { first, version, length, taken: length, began, thinned: Thinned::No };
        let path_ = path(&disk.folder, first, version);
        let made = disk.tasks.spawn_blocking("log", move || files::create(&path_, first)).await;
        let file = made.unwrap_or_else(|_| Err(io::Error::other("making a file panicked")))?;
        let replaced = disk.state.lock().begin(segment);
        disk.octets.fetch_add(segment.taken, Relaxed);
        if let Some(replaced) = replaced {
            disk.octets.fetch_sub(replaced.taken, Relaxed);
            // Nothing of it counts, as the later one has its name.
            _ = disk.engine.unlink(path(&disk.folder, replaced.first, replaced.version));
        }
        Ok(Open::new(file, first))
    }
}

impl State {
    /// A file begins; one that held nothing gives way to it.
    fn begin(&mut self, segment: Segment) -> Option<Segment> {
        let replaced = self.segments.pop_back_if(|last| last.first == segment.first);
        self.segments.push_back(segment);
        replaced
    }

    /// The file that is written to has grown, up to a number, now; `None`: what was written may not stand there.
    fn grew(&mut self, open: &Open, written: Option<(u64, Tick)>) {
        let Some(last) = self.segments.back_mut() else { return };
        last.taken = open.length;
        let Some((written, now)) = written else { return };
        last.length = open.length;
        self.written = written;
        self.unsynced_since.get_or_insert(now);
        if self.unsynced.last().is_none_or(|(first, _)| *first != open.number) {
            self.unsynced.push((open.number, open.file.clone()));
        }
    }

    /// The number behind the last record, and whether the last file is written to and has none.
    fn behind(&self) -> (u64, bool) {
        let is_empty = self.segments.back().is_none_or(|last| last.length <= PREAMBLE as u64);
        (self.written, is_empty)
    }
}

/// Sees to it that what was written reaches the disk, for as long as the node runs.
pub(super) async fn sync(disk: &Arc<Disk>) {
    loop {
        // What came while the last sync was under way has waited as long already.
        let since = disk.state.lock().unsynced_since;
        let Some(since) = since else {
            disk.sync_bell.notified().await;
            continue;
        };
        disk.clock.sleep_until(since + disk.bounds.sync).await;
        while let Err(why) = sync_now(disk).await {
            disk.counts.failures.fetch_add(1, Relaxed);
            error!(%why, "what was written to the log does not reach the disk");
            disk.clock.sleep(AGAIN).await;
        }
    }
}

async fn sync_now(disk: &Arc<Disk>) -> Result<(), DiskError> {
    // Whoever comes second waits for what the first has taken to reach the disk.
    let _turn = disk.syncing.lock().await;
    settle_doubts(disk).await?;
    let (files, since, written) = {
        let mut state = disk.state.lock();
        (std::mem::take(&mut state.unsynced), state.unsynced_since.take(), state.written)
    };
    for (index, (first, file)) in files.iter().enumerate() {
        if let Err(error) = disk.engine.sync(file).await {
            let mut state = disk.state.lock();
            let later = std::mem::take(&mut state.unsynced);
            state.unsynced = files[index + 1..].to_vec();
            state.unsynced.extend(later);
            state.doubtful.push(*first);
            state.unsynced_since = since;
            state.is_spoiled = true;
            drop(state);
            disk.sync_bell.notify_one();
            return Err(error);
        }
    }
    let mut state = disk.state.lock();
    state.synced = state.synced.max(written);
    drop(state);
    disk.read_bell.notify_waiters();
    Ok(())
}

/// Writes files anew that could not be synced, once nothing is written to them any more.
async fn settle_doubts(disk: &Arc<Disk>) -> io::Result<()> {
    let doubtful = disk.state.lock().doubtful.clone();
    if !doubtful.is_empty() {
        roll(disk).await.map_err(io::Error::other)?;
        upkeep::write_anew(disk, doubtful.clone()).await?;
        disk.state.lock().doubtful.retain(|first| !doubtful.contains(first));
    }
    Ok(())
}

/// Completes when all that was appended until now stands in files that are not written to any more.
pub(super) async fn roll(disk: &Disk) -> Result<(), NotKept> {
    let (reply, answer) = oneshot::channel();
    {
        let mut queue = disk.queue.lock();
        let next = queue.next;
        queue.rolls.push(next, reply);
    }
    disk.roll_bell.notify_one();
    tokio::select! {
        answer = answer => answer.unwrap_or(Err(NotKept::Stopping)),
        () = disk.clock.sleep(AGAIN) => Err(NotKept::Disk),
    }
}

/// Completes when all that was appended has reached the disk.
pub(super) async fn flush(disk: &Arc<Disk>) -> Result<(), NotKept> {
    let (reply, answer) = oneshot::channel();
    disk.keep(Vec::new(), vec![reply]);
    answer.await.unwrap_or(Err(NotKept::Stopping))?;
    sync_now(disk).await.map_err(|_| NotKept::Disk)
}
