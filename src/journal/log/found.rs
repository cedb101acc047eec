//! What an earlier process left: its files in order, the number that comes next, and what of it is damaged. A tail that
//! was torn is cut. Where whole records stand behind what is none it is damage: they are counted as lost, and the next file
//! begins behind them, so that no number is given again.

use std::collections::VecDeque;
use std::fs::{self, OpenOptions};
use std::io;
use std::ops::ControlFlow;
use std::path::Path;

use tracing::{error, warn};

use crate::journal::files;
use crate::journal::frame::PREAMBLE;
use crate::journal::reader::{salvage, scan};

use super::disk::{Segment, Thinned, named, path};
use super::record::View;

/// What an earlier process left.
pub(super) struct Found {
    pub segments: VecDeque<Segment>,
    /// The version of the next file.
    pub version: u64,
    /// The number of the next record.
    pub next: u64,
    /// Records that stand in the last file and cannot be read.
    pub damaged: u64,
}

/// What is in a folder.
pub(super) fn look(folder: &Path) -> io::Result<Found> {
    let (segments, version) = segments(folder)?;
    let mut found = Found { segments, version, next: 1, damaged: 0 };
    let Some(last) = found.segments.back().copied() else { return Ok(found) };
    let path_ = path(folder, last.first, last.version);
    let end = End::of(&path_, last)?;
    (found.next, found.damaged) = (end.beyond, end.beyond - end.next);
    if found.damaged > 0 {
        error!(file = %path_.display(), records = found.damaged, "the last file of the log is damaged");
    }
    let is_behind = found.damaged > 0 && found.begin(folder, last.began).inspect_err(no_room).is_ok();
    let index = found.segments.iter().position(|one| one.first == last.first).unwrap_or_default();
    let Some(last) = found.segments.get_mut(index) else { return Ok(found) };
    last.length = end.whole;
    // What says which number is next is not cut before something else says so.
    if end.whole < last.taken && (found.damaged == 0 || is_behind) {
        warn!(file = %path_.display(), torn = last.taken - end.whole, "the tail of the log was torn and is cut");
        OpenOptions::new().write(true).open(&path_)?.set_len(end.whole)?;
        last.taken = end.whole;
    }
    for segment in &found.segments {
        // A process that was killed may not have come to it, and what is read must not go by a power cut.
        let synced = fs::File::open(path(folder, segment.first, segment.version))?.sync_data();
        _ = synced.inspect_err(|error| warn!(%error, "a file of the log does not reach the disk"));
    }
    Ok(found)
}

fn no_room(error: &io::Error) {
    warn!(%error, "no file can be begun behind the one that is damaged");
}

impl Found {
    /// Begins the next file.
    fn begin(&mut self, folder: &Path, began: u64) -> io::Result<()> {
        let (first, version, length) = (self.next, self.version, PREAMBLE as u64);
        files::create(&path(folder, first, version), first)?;
        self.version += 1;
        self.segments.push_back(Segment { first, version, length, taken: length, began, thinned: Thinned::No });
        Ok(())
    }
}

/// The files of a folder, in order, and the version of the next one. What a process left over that was killed goes.
fn segments(folder: &Path) -> io::Result<(VecDeque<Segment>, u64)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if let Some(name) = named(&path) {
            found.push(name);
        } else if path.extension().is_some_and(|extension| extension == "new") {
            fs::remove_file(&path)?;
        }
    }
    found.sort_unstable();
    let version = found.iter().map(|(_, version)| version + 1).max().unwrap_or_default();
    let mut segments: VecDeque<Segment> = VecDeque::new();
    for (first, version) in found {
        if let Some(older) = segments.pop_back_if(|last| last.first == first) {
            fs::remove_file(path(folder, older.first, older.version))?;
        }
        let path = path(folder, first, version);
        let taken = fs::metadata(&path)?.len();
        let mut began = segments.back().map_or(0, |earlier| earlier.began);
        scan(&fs::File::open(&path)?, first, (0, taken), &mut |_, frame| {
            began = View::of(frame.body).filter(|_| frame.is_whole(first)).map_or(began, |view| view.at.max(began));
            ControlFlow::Break(())
        })?;
        segments.push_back(Segment { first, version, length: taken, taken, began, thinned: Thinned::No });
    }
    Ok((segments, version))
}

/// Where a file ends.
struct End {
    /// Octets up to the end of the last whole record before anything that is none.
    whole: u64,
    /// The number behind that record.
    next: u64,
    /// The number behind the last whole record, wherever it stands.
    beyond: u64,
}

impl End {
    fn of(path: &Path, segment: Segment) -> io::Result<Self> {
        let (first, taken) = (segment.first, segment.taken);
        let file = fs::File::open(path)?;
        let mut next = first;
        let whole = scan(&file, first, (0, taken), &mut |_, frame| {
            let Some(view) = View::of(frame.body).filter(|_| frame.is_whole(first)) else {
                return ControlFlow::Break(());
            };
            next = view.number + 1;
            ControlFlow::Continue(())
        })?;
        let mut beyond = next;
        salvage(&file, first, (whole, taken), &mut |frame| {
            beyond = View::of(frame.body).map_or(beyond, |view| beyond.max(view.number + 1));
        })?;
        Ok(Self { whole, next, beyond })
    }
}
