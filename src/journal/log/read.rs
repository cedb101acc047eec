//! Reading a log while it is written: by number, for sinks, and all of some sessions. Files are read where nobody else
//! waits. Lines are looked at only where they are wanted.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tracing::warn;

use crate::journal::frame::Frame;
use crate::journal::reader::scan;
use crate::rules::session::SessionId;

use super::disk::{Disk, HINTS, Segment, path};
use super::loss::Loss;
use super::record::{Numbered, View};
use super::wanted::{Ends, Found, Wanted};

/// How long a reader waits for a disk that does not answer.
const WITHIN: Duration = Duration::from_secs(10);

/// Files that are written anew while they are read: it is tried so often.
const ATTEMPTS: usize = 5;

/// Where a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hint {
    number: u64,
    first: u64,
    version: u64,
    offset: u64,
}

/// A part of a file that is read.
#[derive(Clone, Copy)]
struct Piece {
    segment: Segment,
    /// From where, or 0.
    from: u64,
    /// All its records are before this number.
    end: u64,
}

/// The parts of files with records of these numbers.
fn pieces(disk: &Disk, from: u64, to: impl Fn(u64, u64) -> u64) -> Vec<Piece> {
    let state = disk.state.lock();
    let to = to(state.written, state.synced);
    let all = state.segments.iter().enumerate().map(|(index, segment)| {
        let is_there =
            |hint: &&Hint| hint.number == from && hint.first == segment.first && hint.version == segment.version;
        let hint = state.hints.iter().find(is_there);
        Piece { segment: *segment, from: hint.map_or(0, |hint| hint.offset), end: state.end(index).min(to) }
    });
    all.filter(|piece| piece.end > from && piece.segment.first < piece.end).collect()
}

/// Reads where nobody else waits, and again where a file was written anew meanwhile.
async fn reading<T: Send + 'static>(
    (disk, turns): (&Arc<Disk>, &Arc<Semaphore>),
    read: impl Fn(&Disk) -> io::Result<T> + Send + Sync + 'static,
) -> io::Result<T> {
    let work = async {
        let permit = turns.clone().acquire_owned().await.map_err(io::Error::other)?;
        let disk_ = disk.clone();
        let reading = disk.tasks.spawn_blocking("log", move || {
            let _permit = permit;
            let mut outcome = read(&disk_);
            for _ in 1..ATTEMPTS {
                match &outcome {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => outcome = read(&disk_),
                    _ => break,
                }
            }
            outcome
        });
        reading.await.unwrap_or_else(|_| Err(io::Error::other("reading panicked")))
    };
    tokio::select! {
        outcome = work => outcome,
        () = disk.clock.sleep(WITHIN) => Err(io::ErrorKind::TimedOut.into()),
    }
}

fn open(disk: &Disk, segment: Segment) -> io::Result<fs::File> {
    fs::File::open(path(&disk.folder, segment.first, segment.version))
}

/// The records from a number on that have reached the disk, as many as fit.
pub(super) async fn from(disk: &Arc<Disk>, from: u64, most: usize) -> io::Result<Vec<Numbered>> {
    reading((disk, &disk.readers), move |disk| {
        let mut page = Page { next: from, records: Vec::new(), octets: 0, most };
        for piece in pieces(disk, from, |_, synced| synced) {
            let file = open(disk, piece.segment)?;
            let mut stop = Stop::End;
            let offset = scan(&file, piece.segment.first, (piece.from, piece.segment.length), &mut |_, frame| {
                stop = page.look(frame, &piece);
                if stop == Stop::End { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
            match stop {
                Stop::Full => {
                    page.leave_mark(disk, piece.segment, offset);
                    break;
                }
                Stop::End if offset == piece.segment.length => page.leave_mark(disk, piece.segment, offset),
                Stop::Past => page.leave_mark(disk, piece.segment, offset),
                Stop::End | Stop::Damaged => {
                    disk.trim(piece, offset, page.next);
                }
            }
        }
        Ok(page.records)
    })
    .await
}

/// Why no more of a file is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// It was read to its end, as far as is known.
    End,
    /// As much was read as was asked for.
    Full,
    /// What comes has not reached the disk, or was never kept.
    Past,
    /// What comes is no record.
    Damaged,
}

struct Page {
    /// No record before this number is taken: it is not asked for, or is there already.
    next: u64,
    records: Vec<Numbered>,
    octets: usize,
    most: usize,
}

impl Page {
    fn look(&mut self, frame: Frame<'_>, piece: &Piece) -> Stop {
        // What is not whole may bear any number: it is not passed over for its own.
        match View::of(frame.body).filter(|_| frame.is_whole(piece.segment.first)) {
            None => Stop::Damaged,
            Some(view) if view.number < self.next => Stop::End,
            Some(view) if view.number >= piece.end => Stop::Past,
            Some(view) if self.takes(&view) => Stop::End,
            Some(_) => Stop::Full,
        }
    }

    fn takes(&mut self, view: &View<'_>) -> bool {
        let record = view.record();
        let length = record.record.line.len();
        if self.octets + length > self.most && !self.records.is_empty() {
            return false;
        }
        self.octets += length;
        self.next = record.number + 1;
        self.records.push(record);
        true
    }

    /// Where the record behind these is.
    fn leave_mark(&self, disk: &Disk, segment: Segment, offset: u64) {
        let Some(last) = self.records.last() else { return };
        let mut state = disk.state.lock();
        state.hints.truncate(HINTS - 1);
        let Segment { first, version, .. } = segment;
        state.hints.push_front(Hint { number: last.number + 1, first, version, offset });
    }
}

impl Disk {
    /// Counts what is not there though it was written.
    fn trim(&self, piece: Piece, offset: u64, next: u64) {
        let mut state = self.state.lock();
        let closed = state.closed();
        let is_same = |segment: &&mut Segment| {
            (segment.first, segment.version) == (piece.segment.first, piece.segment.version) && segment.length > offset
        };
        if let Some(segment) = state.segments.iter_mut().take(closed).find(is_same) {
            // It ends here from now on, and is counted once.
            segment.length = offset;
            let lost = piece.end.saturating_sub(next);
            self.counts.lose(Loss::Damaged, lost);
            warn!(first = segment.first, lost, "records of the log are damaged");
        }
    }
}

/// What was written of some sessions.
pub(super) async fn of_sessions(
    disk: &Arc<Disk>,
    sessions: Vec<SessionId>,
    wanted: Wanted,
) -> io::Result<HashMap<SessionId, Ends>> {
    reading((disk, &disk.scans), move |disk| {
        let mut found = Found::new(&sessions, &wanted);
        for piece in pieces(disk, wanted.from, |written, _| written) {
            let (file, number) = (open(disk, piece.segment)?, piece.segment.first);
            scan(&file, number, (0, piece.segment.length), &mut |_, frame| {
                // Only what is theirs is checked: the rest is passed over.
                if let Some(view) = View::of(frame.body)
                    && view.number < piece.end
                    && found.asks_for(view.session, view.number)
                    && frame.is_whole(number)
                {
                    found.take(view.session, view.at, || view.record());
                }
                ControlFlow::Continue(())
            })?;
        }
        Ok(found.done())
    })
    .await
}
