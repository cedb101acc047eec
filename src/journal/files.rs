//! Making and replacing the journal's files. All of this blocks, and runs where nobody else waits.

use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use tracing::{error, warn};

use super::frame::{self, PREAMBLE};
use super::reader::{self, Extent, snapshot_path};

/// What the files hold when a journal is opened.
pub(super) struct Found {
    /// The number of the next file.
    pub next: u64,
    /// Octets of all files.
    pub octets: u64,
    /// Files, the snapshot not counted.
    pub logs: usize,
    /// Octets of the snapshot.
    pub snapshot: u64,
}

/// Whether an event, by its kind, still counts.
pub(super) type Counts = dyn Fn(u8, &[u8]) -> bool + Send + Sync;

/// Reads everything, cuts torn tails and removes what is of no use. A file that is damaged before its tail stays as it is:
/// what stands behind the damage is read at every start, until a snapshot replaces the file.
pub(super) fn open(folder: &Path, take: &mut dyn FnMut(u8, &[u8])) -> io::Result<Found> {
    fs::DirBuilder::new().recursive(true).create(folder)?;
    let listing = reader::list(folder)?;
    let mut found = Found { next: 1, octets: 0, logs: listing.logs.len(), snapshot: 0 };
    for (path, number) in listing.paths(folder) {
        let Extent { whole, all, behind } = reader::read_file(&path, number, take)?;
        let mut octets = all;
        if behind > 0 {
            error!(file = %path.display(), behind, "a file of the journal is damaged; what stands behind that is read");
        } else if whole < all {
            warn!(file = %path.display(), torn = all - whole, "the tail of a file of the journal was torn and is cut");
            OpenOptions::new().write(true).open(&path)?.set_len(whole)?;
            octets = whole;
        }
        found.octets += octets;
        if listing.snapshot == Some(number) && found.snapshot == 0 {
            found.snapshot = octets;
        }
        found.next = number + 1;
    }
    for path in &listing.useless {
        fs::remove_file(path)?;
    }
    Ok(found)
}

/// A new file of this number, which is there after a power cut as well.
pub(super) fn create(path: &Path, number: u64) -> io::Result<fs::File> {
    // A file that is there already is somebody else's, and stays.
    let mut file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
    let mut prepared = || {
        file.write_all(&frame::preamble(number))?;
        file.sync_all()?;
        sync_folder(path.parent().unwrap_or(path))
    };
    prepared().inspect_err(|_| {
        // A full disk leaves an empty file behind.
        _ = fs::remove_file(path);
    })?;
    Ok(file)
}

/// Writes what still counts of all files up to `last` as one snapshot, and removes them. The octets of the snapshot,
/// and of what went.
pub(super) fn compact(folder: &Path, last: u64, counts: &Counts) -> io::Result<(u64, u64)> {
    let listing = reader::list(folder)?;
    let fresh = folder.join("snapshot.new");
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    let mut writer = BufWriter::with_capacity(64 << 10, file);
    writer.write_all(&frame::preamble(last))?;
    let (mut octets, mut gone) = (PREAMBLE as u64, 0);
    let old: Vec<_> = listing.paths(folder).into_iter().filter(|(_, number)| *number <= last).collect();
    for (path, number) in &old {
        let mut written = Ok(());
        let mut buffer = Vec::new();
        let extent = reader::read_file(path, *number, &mut |kind, event| {
            if written.is_ok() && counts(kind, event) {
                buffer.clear();
                frame::write(&mut buffer, last, &[&[kind], event]);
                octets += buffer.len() as u64;
                written = writer.write_all(&buffer);
            }
        })?;
        written?;
        gone += extent.all;
    }
    writer.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    fs::rename(&fresh, snapshot_path(folder, last))?;
    sync_folder(folder)?;
    for (path, _) in old.iter().filter(|(path, _)| *path != snapshot_path(folder, last)) {
        fs::remove_file(path)?;
    }
    Ok((octets, gone))
}

/// Names of files outlive a power cut from now on.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}
