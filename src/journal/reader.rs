//! Reading what was written: the newest snapshot and the files behind it, in order.

use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::frame::{self, Frame, HEAD, LONGEST, PREAMBLE};
use super::{Kind, NUMBERS};

/// Octets that are read at once; at least one frame fits.
const BUFFER: usize = 256 << 10;
const _: () = assert!(BUFFER > LONGEST + HEAD);

/// The files of a journal.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Listing {
    /// The newest snapshot.
    pub snapshot: Option<u64>,
    /// The files behind it, in order.
    pub logs: Vec<u64>,
    /// What a process left over that did not come to its end.
    pub useless: Vec<PathBuf>,
}

/// How far a file is what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    /// Octets up to the end of the last whole frame before anything that is none.
    pub whole: u64,
    /// Octets of the file.
    pub all: u64,
    /// Events behind what is none.
    pub behind: usize,
}

/// What a journal holds, in order. Nothing is changed.
///
/// # Errors
/// Where the folder or a file cannot be read.
pub fn read(folder: &Path, mut take: impl FnMut(Kind, &[u8])) -> io::Result<()> {
    let listing = list(folder)?;
    for path in listing.paths(folder) {
        read_file(&path.0, path.1, &mut |kind, event| {
            if let Some(kind) = Kind::of(kind) {
                take(kind, event);
            }
        })?;
    }
    Ok(())
}

impl Listing {
    /// The files that are read, in order, with the number that their frames bear.
    pub fn paths(&self, folder: &Path) -> Vec<(PathBuf, u64)> {
        let snapshot = self.snapshot.map(|number| (snapshot_path(folder, number), number));
        snapshot.into_iter().chain(self.logs.iter().map(|number| (log_path(folder, *number), *number))).collect()
    }
}

pub(super) fn log_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:016x}.log"))
}

pub(super) fn snapshot_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:016x}.snapshot"))
}

/// The number that a file's name says; `None`: a journal gives no file such a name, whoever did.
fn number_of(digits: &str) -> Option<u64> {
    let number = u64::from_str_radix(digits, 16).ok()?;
    (NUMBERS.contains(&number) && digits == format!("{number:016x}")).then_some(number)
}

/// What there is. A snapshot replaces every file up to its number.
pub(super) fn list(folder: &Path) -> io::Result<Listing> {
    let (mut snapshots, mut logs, mut listing) = (Vec::new(), Vec::new(), Listing::default());
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let number = |suffix| name.strip_suffix(suffix).and_then(number_of);
        if let Some(number) = number(".log") {
            logs.push(number);
        } else if let Some(number) = number(".snapshot") {
            snapshots.push(number);
        } else if name.ends_with(".new") {
            listing.useless.push(path);
        }
    }
    listing.snapshot = snapshots.iter().max().copied();
    let is_replaced = |number: &u64| listing.snapshot.is_some_and(|snapshot| *number <= snapshot);
    let older = snapshots.iter().filter(|number| Some(**number) != listing.snapshot);
    listing.useless.extend(older.map(|number| snapshot_path(folder, *number)));
    listing.useless.extend(logs.iter().filter(|number| is_replaced(number)).map(|number| log_path(folder, *number)));
    logs.retain(|number| !is_replaced(number));
    logs.sort_unstable();
    listing.logs = logs;
    Ok(listing)
}

/// Reads the whole events of a file, wherever they stand: what was damaged hides none of those behind it.
pub(super) fn read_file(path: &Path, number: u64, take: &mut dyn FnMut(u8, &[u8])) -> io::Result<Extent> {
    let file = fs::File::open(path)?;
    let all = file.metadata()?.len();
    let whole = scan(&file, number, (0, all), &mut |_, frame| {
        let Some((kind, event)) = frame.body.split_first().filter(|_| frame.is_whole(number)) else {
            return ControlFlow::Break(());
        };
        take(*kind, event);
        ControlFlow::Continue(())
    })?;
    let mut behind = 0;
    salvage(&file, number, (whole, all), &mut |frame| {
        if let Some((kind, event)) = frame.body.split_first() {
            behind += 1;
            take(*kind, event);
        }
    })?;
    Ok(Extent { whole, all, behind })
}

/// Goes through the frames between two places of a file, the first of which is where one begins, or 0. `step` is told
/// where each stands, and sees it unchecked. Where it ended: at the frame at which `step` broke off, or at what is none;
/// 0 where the file is not of this number.
pub(super) fn scan(
    file: &fs::File,
    number: u64,
    (from, to): (u64, u64),
    step: &mut dyn FnMut(u64, Frame<'_>) -> ControlFlow<()>,
) -> io::Result<u64> {
    let mut at = from;
    if at == 0 {
        let mut first = [0; PREAMBLE];
        if read_at(file, &mut first, 0)? < PREAMBLE || first != frame::preamble(number) {
            return Ok(0);
        }
        at = PREAMBLE as u64;
    }
    let (mut buffer, mut filled) = (vec![0; BUFFER], 0);
    loop {
        let left = to.saturating_sub(at + filled as u64).min((BUFFER - filled) as u64) as usize;
        let got = read_at(file, &mut buffer[filled..filled + left], at + filled as u64)?;
        filled += got;
        let mut rest = &buffer[..filled];
        while let Some((frame, behind)) = Frame::at(rest) {
            if step(at, frame).is_break() {
                return Ok(at);
            }
            at += frame.size() as u64;
            rest = behind;
        }
        // Nothing more is there, or a full buffer without a frame at its beginning, which holds none.
        if got == 0 {
            return Ok(at);
        }
        let used = filled - rest.len();
        buffer.copy_within(used..filled, 0);
        filled -= used;
    }
}

/// Goes through the whole frames between two places of a file, wherever they begin: what lies between them is none.
pub(super) fn salvage(
    file: &fs::File,
    number: u64,
    (from, to): (u64, u64),
    step: &mut dyn FnMut(Frame<'_>),
) -> io::Result<()> {
    let (mut at, mut buffer, mut filled) = (from, vec![0; BUFFER], 0);
    loop {
        let left = to.saturating_sub(at + filled as u64).min((BUFFER - filled) as u64) as usize;
        let got = read_at(file, &mut buffer[filled..filled + left], at + filled as u64)?;
        filled += got;
        let mut start = 0;
        // What begins in the last part of a buffer may end behind it.
        while start < filled && (got == 0 || filled - start >= HEAD + LONGEST) {
            start += match Frame::at(&buffer[start..filled]).filter(|(frame, _)| frame.is_whole(number)) {
                Some((frame, _)) => {
                    step(frame);
                    frame.size()
                }
                None => 1,
            };
        }
        if got == 0 {
            return Ok(());
        }
        buffer.copy_within(start..filled, 0);
        filled -= start;
        at += start as u64;
    }
}

/// Fills `into`, fewer octets where the file ends.
fn read_at(file: &fs::File, into: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < into.len() {
        match file.read_at(&mut into[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(got) => filled += got,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
