//! Reading what was written: the newest snapshot and the files behind it, in order.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::frame::{self, PREAMBLE};
use super::{Kind, LONGEST};

/// Octets that are read at once; at least one frame fits.
const BUFFER: usize = 256 << 10;
const _: () = assert!(BUFFER > LONGEST + 64);

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

/// Where a file's whole frames end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    /// Octets up to the end of the last whole frame.
    pub whole: u64,
    /// Octets of the file.
    pub all: u64,
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

/// What there is. A snapshot replaces every file up to its number.
pub(super) fn list(folder: &Path) -> io::Result<Listing> {
    let (mut snapshots, mut logs, mut listing) = (Vec::new(), Vec::new(), Listing::default());
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let number = |suffix| name.strip_suffix(suffix).and_then(|digits| u64::from_str_radix(digits, 16).ok());
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

/// Reads the whole frames of a file, up to the first that is none.
pub(super) fn read_file(path: &Path, number: u64, take: &mut dyn FnMut(u8, &[u8])) -> io::Result<Extent> {
    let mut file = fs::File::open(path)?;
    let all = file.metadata()?.len();
    let mut first = [0; PREAMBLE];
    match file.read_exact(&mut first) {
        Ok(()) if first == frame::preamble(number) => {}
        Ok(()) => return Ok(Extent { whole: 0, all }),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Extent { whole: 0, all }),
        Err(error) => return Err(error),
    }
    let (mut buffer, mut filled, mut whole) = (vec![0; BUFFER], 0, PREAMBLE as u64);
    loop {
        let got = match file.read(&mut buffer[filled..]) {
            Ok(got) => got,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        filled += got;
        let mut rest = &buffer[..filled];
        while let Some((kind, event, behind)) = frame::read(rest, number) {
            take(kind, event);
            rest = behind;
        }
        let used = filled - rest.len();
        whole += used as u64;
        buffer.copy_within(used..filled, 0);
        filled -= used;
        // A full buffer without a frame at its beginning holds none.
        if got == 0 || filled == buffer.len() {
            return Ok(Extent { whole, all });
        }
    }
}
