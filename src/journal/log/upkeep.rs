//! Keeping a log within its bounds. What is too old goes file by file. Where its files take too much, the least lasting
//! goes first, from the oldest file on, and then the oldest files. Sessions are erased by writing files anew without them.
//! A file is replaced whole: killed at any moment, one of both is there.

use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tracing::{error, info, warn};

use crate::journal::files::sync_folder;
use crate::journal::frame::{self, PREAMBLE};
use crate::journal::reader::scan;
use crate::rules::session::SessionId;

use super::disk::{Disk, Segment, Thinned, path};
use super::loss::{Loss, Losses};
use super::record::{Class, Record, View};
use super::writer;

/// It is looked at the age of what is kept at least this often.
const ROUND: Duration = Duration::from_secs(60);

/// What goes, of what is seen before the line, and of the line.
type Goes<'a> = &'a (dyn Fn(&View<'_>) -> bool + Send + Sync);

/// What is written into a new file.
#[derive(Clone, Copy)]
enum What<'a> {
    /// All, as it is.
    All,
    /// What does not go. Where nothing goes, there is no new file.
    But(Goes<'a>),
}

const fn nothing(_: &View<'_>) -> bool {
    false
}

/// Says which records are kept no longer.
type IsOver = dyn Fn(&Record) -> bool + Send + Sync;

/// How many records went, by class.
#[derive(Clone, Copy, Debug, Default)]
struct Gone([u64; 3]);

impl Gone {
    fn add(&mut self, class: Class) {
        self.0[class as usize] += 1;
    }

    fn all(self) -> u64 {
        self.0.iter().sum()
    }

    fn losses(self) -> Losses {
        let mut losses = Losses::default();
        [Loss::Interval, Loss::Response, Loss::Lasting]
            .iter()
            .zip(self.0)
            .for_each(|(why, gone)| losses.add(*why, gone));
        losses
    }
}

/// Keeps the log within its bounds for as long as the node runs.
pub(super) async fn limit(disk: &Arc<Disk>) {
    // What an earlier process left may be too much now, its last file as well.
    let mut is_old = disk.is_old() || disk.is_full();
    loop {
        if is_old {
            // Where it cannot be, there may be no room for it: that is made below.
            _ = writer::roll(disk).await;
        }
        let outcome = alone(disk, |disk| {
            disk.let_go_of_old()?;
            disk.make_room()
        });
        if let Err(why) = outcome.await {
            error!(%why, "the log cannot be kept within its bounds");
        }
        disk.room_bell.notify_waiters();
        let round = ROUND.min(disk.oldest_open());
        is_old = tokio::select! {
            () = disk.full_bell.notified() => false,
            () = disk.clock.sleep(round) => disk.is_old(),
        };
    }
}

/// Takes the records of a session out of all files.
pub(super) async fn erase(disk: &Arc<Disk>, session: SessionId) -> io::Result<u64> {
    writer::roll(disk).await.map_err(io::Error::other)?;
    let erased = alone(disk, move |disk| disk.remove(&|view| view.session == Some(session))).await?;
    disk.counts.erased.fetch_add(erased, Relaxed);
    Ok(erased)
}

/// Takes records out of all files that are not written to.
pub(super) async fn expire(disk: &Arc<Disk>, is_over: Arc<IsOver>) -> io::Result<u64> {
    let expired = alone(disk, move |disk| disk.remove(&|view| is_over(&view.record().record))).await?;
    disk.counts.expired.fetch_add(expired, Relaxed);
    Ok(expired)
}

/// Writes files anew, whole, by the numbers of their first records. Those that have gone meanwhile are passed over.
pub(super) async fn write_anew(disk: &Arc<Disk>, firsts: Vec<u64>) -> io::Result<()> {
    alone(disk, move |disk| {
        let is_meant = |segment: &&Segment| firsts.contains(&segment.first);
        let meant: Vec<_> = disk.state.lock().segments.iter().filter(is_meant).copied().collect();
        meant.into_iter().try_for_each(|segment| disk.rewrite(segment, segment.thinned, What::All).map(|_| ()))
    })
    .await
}

/// Does what takes long where nobody else waits, one at a time.
async fn alone<T: Send + 'static>(
    disk: &Arc<Disk>,
    work: impl FnOnce(&Disk) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let _turn = disk.upkeep.lock().await;
    let disk_ = disk.clone();
    let done = disk.tasks.spawn_blocking("log", move || work(&disk_)).await;
    done.unwrap_or_else(|_| Err(io::Error::other("it panicked")))
}

impl Disk {
    /// Whether the last file has records and began so long ago that the next one should.
    fn is_old(&self) -> bool {
        let oldest = u64::try_from(self.oldest_open().as_millis()).unwrap_or(u64::MAX);
        let state = self.state.lock();
        let has_records = |segment: &&Segment| segment.length > PREAMBLE as u64;
        state.segments.back().filter(has_records).is_some_and(|last| last.began.saturating_add(oldest) < self.now_ms())
    }

    /// Whether there is less room than for what comes next.
    fn is_full(&self) -> bool {
        self.octets.load(Relaxed) > self.most().saturating_sub(2 * self.file())
    }

    /// Removes files whose records are all older than is kept.
    fn let_go_of_old(&self) -> io::Result<()> {
        let keep = u64::try_from(self.bounds.keep.as_millis()).unwrap_or(u64::MAX);
        let before = self.now_ms().saturating_sub(keep);
        loop {
            let old = {
                let state = self.state.lock();
                let is_over = state.segments.get(1).is_some_and(|next| next.began < before);
                state.segments.front().copied().filter(|_| is_over)
            };
            let Some(old) = old else { return Ok(()) };
            let gone = self.remove_file(old)?;
            self.counts.expired.fetch_add(gone.all(), Relaxed);
        }
    }

    /// Makes room for what comes.
    fn make_room(&self) -> io::Result<()> {
        let mut lost = Losses::default();
        while self.is_full() {
            let Some((segment, to)) = self.first_to_go() else { break };
            let gone = match to {
                Some(to) => match self.thin(segment, to) {
                    Ok(gone) => gone,
                    Err(why) => {
                        warn!(%why, "a file of the log cannot be thinned, it goes whole");
                        self.remove_file(segment)?
                    }
                },
                None => self.remove_file(segment)?,
            };
            lost.add_all(&gone.losses());
        }
        self.counts.lose_all(&lost);
        if lost.all() > 0 {
            info!(records = lost.all(), "the log is full: what lasts least went");
        }
        Ok(())
    }

    /// The file that something goes from next, and what; `None`: all of it.
    fn first_to_go(&self) -> Option<(Segment, Option<Thinned>)> {
        let state = self.state.lock();
        let mut closed = state.segments.iter().take(state.closed());
        let thin = [Thinned::Intervals, Thinned::Responses].into_iter().find_map(|to| {
            let segment = closed.clone().find(|segment| segment.thinned < to)?;
            Some((*segment, Some(to)))
        });
        thin.or_else(|| closed.next().map(|segment| (*segment, None)))
    }

    fn thin(&self, segment: Segment, to: Thinned) -> io::Result<Gone> {
        let most = if to == Thinned::Intervals { Class::Interval } else { Class::Response };
        self.rewrite(segment, to, What::But(&|view| view.class <= most))
    }

    /// Takes records out of all files that are not written to.
    fn remove(&self, goes: Goes<'_>) -> io::Result<u64> {
        let closed: Vec<_> = {
            let state = self.state.lock();
            state.segments.iter().take(state.closed()).copied().collect()
        };
        let mut gone = 0;
        for segment in closed {
            gone += self.rewrite(segment, segment.thinned, What::But(goes))?.all();
        }
        Ok(gone)
    }

    /// Writes a file anew without some of its records, where there are such.
    fn rewrite(&self, segment: Segment, thinned: Thinned, what: What<'_>) -> io::Result<Gone> {
        let (goes, is_needed): (Goes<'_>, _) = match what {
            What::All => (&nothing, true),
            What::But(goes) => (goes, segment.taken > segment.length),
        };
        let old = path(&self.folder, segment.first, segment.version);
        let fresh = self.folder.join("log.new");
        let file = fs::File::open(&old)?;
        let end = self.end_of(segment);
        let (mut gone, mut writer, mut written) = (Gone::default(), None, Ok(()));
        let (mut buffer, mut next) = (Vec::new(), segment.first);
        let whole = scan(&file, segment.first, (0, segment.length), &mut |offset, frame| {
            let view = View::of(frame.body).filter(|view| view.number < end && frame.is_whole(segment.first));
            let Some(view) = view else { return ControlFlow::Break(()) };
            next = view.number + 1;
            if goes(&view) {
                gone.add(view.class);
                if writer.is_none() {
                    match copy(&old, &fresh, offset) {
                        Ok(begun) => writer = Some(begun),
                        Err(error) => written = Err(error),
                    }
                }
            } else if let Some(writer) = &mut writer {
                buffer.clear();
                frame::write(&mut buffer, segment.first, &[frame.body]);
                written = writer.write_all(&buffer);
            }
            if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        written?;
        if whole < segment.length && next < end {
            self.counts.lose(Loss::Damaged, end - next);
        }
        if writer.is_none() && (is_needed || whole < segment.length) {
            // Behind its end may stand what was never kept, or was to go, and what a later process would take for records.
            writer = Some(copy(&old, &fresh, whole.max(PREAMBLE as u64))?);
        }
        let new = match writer {
            Some(writer) => {
                let file = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
                file.sync_all()?;
                let (version, length) = (self.state.lock().next_version(), file.metadata()?.len());
                fs::rename(&fresh, path(&self.folder, segment.first, version))?;
                sync_folder(&self.folder)?;
                Segment { version, length, taken: length, thinned, ..segment }
            }
            None => Segment { length: whole.max(PREAMBLE as u64), thinned, ..segment },
        };
        self.replace(segment, new);
        if new.version != segment.version {
            fs::remove_file(old)?;
            sync_folder(&self.folder)?;
        }
        Ok(gone)
    }

    fn end_of(&self, segment: Segment) -> u64 {
        let state = self.state.lock();
        let index = state.segments.iter().position(|one| one.first == segment.first);
        index.map_or(segment.first, |index| state.end(index))
    }

    fn replace(&self, old: Segment, new: Segment) {
        let mut state = self.state.lock();
        let is_old = |segment: &&mut Segment| (segment.first, segment.version) == (old.first, old.version);
        if let Some(segment) = state.segments.iter_mut().find(is_old) {
            *segment = new;
            self.octets.fetch_add(new.taken, Relaxed);
            self.octets.fetch_sub(old.taken, Relaxed);
        }
    }

    /// Removes a file; how many records it had.
    fn remove_file(&self, segment: Segment) -> io::Result<Gone> {
        let path = path(&self.folder, segment.first, segment.version);
        let mut gone = Gone::default();
        scan(&fs::File::open(&path)?, segment.first, (0, segment.length), &mut |_, frame| {
            match View::of(frame.body) {
                Some(view) => gone.add(view.class),
                None => return ControlFlow::Break(()),
            }
            ControlFlow::Continue(())
        })?;
        {
            let mut state = self.state.lock();
            state.segments.retain(|one| one.first != segment.first);
            self.octets.fetch_sub(segment.taken, Relaxed);
        }
        fs::remove_file(path)?;
        Ok(gone)
    }
}

/// A new file with what stands before `length` in an old one.
fn copy(old: &std::path::Path, fresh: &std::path::Path, length: u64) -> io::Result<BufWriter<fs::File>> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(fresh)?;
    let mut writer = BufWriter::with_capacity(256 << 10, file);
    io::copy(&mut fs::File::open(old)?.take(length), &mut writer)?;
    Ok(writer)
}
