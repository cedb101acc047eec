//! How far a sink has come, over a restart of the node: a small file for each sink, written whole or not at all.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use tracing::warn;

use crate::config::read_up_to;
use crate::rules::delivery::progress::Progress;
use crate::tasks::Tasks;

/// A larger file is nothing that was written here.
const LARGEST: u64 = 1 << 20;

/// Where the progress of one sink is written down.
pub(super) struct Cursor {
    path: Option<PathBuf>,
}

impl Cursor {
    /// That of a sink; without a folder, progress is forgotten.
    pub fn new(folder: Option<&Path>, name: &str) -> Self {
        Self { path: folder.map(|folder| folder.join(format!("{name}.json"))) }
    }

    /// What was written down last; `None`: nothing that can be used.
    pub fn read(&self) -> Option<Progress> {
        let path = self.path.as_ref()?;
        let read = || Ok(serde_json::from_slice(&read_up_to(path, LARGEST)?)?);
        let read: io::Result<_> = read();
        if let Err(error) = read.as_ref()
            && error.kind() != io::ErrorKind::NotFound
        {
            warn!(file = %path.display(), %error, "a sink's cursor cannot be read, it begins with the oldest record");
        }
        read.ok()
    }

    /// Writes it down.
    ///
    /// # Errors
    /// Where the disk does not take it.
    pub async fn keep(&self, progress: &Progress, tasks: &Tasks) -> io::Result<()> {
        let Some(path) = self.path.clone() else { return Ok(()) };
        let text = serde_json::to_vec(progress)?;
        let writing = tasks.spawn_blocking("sink", move || replace(&path, &text));
        writing.await.unwrap_or_else(|_| Err(io::Error::other("writing it panicked")))
    }
}

/// Makes a folder that is nobody else's to read.
pub(super) fn make_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Writes a file whole or not at all.
pub(super) fn replace(path: &Path, octets: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("new");
    let write = || {
        let mut file = fs::File::create(&fresh)?;
        io::Write::write_all(&mut file, octets)?;
        file.sync_data()
    };
    match (write(), path.parent()) {
        (Err(error), Some(folder)) if error.kind() == io::ErrorKind::NotFound => {
            make_folder(folder)?;
            write()?;
        }
        (written, _) => written?,
    }
    fs::rename(fresh, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_written_down_is_read_again_and_anything_else_is_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("uplink");
        let (cursor, tasks) = (Cursor::new(Some(&folder), "main"), Tasks::current());
        assert_eq!(cursor.read(), None);
        let mut progress = Progress::from(3);
        for next in 4..9 {
            progress.next = next;
            cursor.keep(&progress, &tasks).await.unwrap();
            assert_eq!(cursor.read().as_ref(), Some(&progress));
        }
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        fs::write(folder.join("main.json"), "{\"since\":").unwrap();
        assert_eq!(cursor.read(), None);
        assert_eq!(Cursor::new(None, "main").read(), None);
    }
}
