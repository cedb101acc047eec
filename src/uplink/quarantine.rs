//! Batches that a receiver refuses: each is laid aside as a file of its own, up to a bound, for people to look at and to
//! send again. What was refused first says most, so that it stays and later ones find no place.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tracing::error;

use crate::tasks::Tasks;

use super::cursor::{make_folder, replace};
use super::parcel::Parcel;

/// Where the refused batches of one sink are.
pub(super) struct Quarantine {
    folder: Option<PathBuf>,
}

impl Quarantine {
    /// That of a sink; without a folder, there is no place.
    pub fn new(folder: Option<&Path>, name: &str) -> Self {
        Self { folder: folder.map(|folder| folder.join(format!("{name}.refused"))) }
    }

    /// Lays a batch aside where all of them take at most `most` octets then; whether there was a place.
    pub async fn lay_aside(&self, parcel: &Parcel, most: u64, tasks: &Tasks) -> bool {
        let Some(folder) = self.folder.clone() else { return false };
        let (name, lines) = (file_name(&parcel.key), parcel.lines.clone());
        let writing = tasks.spawn_blocking("sink", move || lay(&folder, &name, &lines, most));
        let laid = writing.await.unwrap_or_else(|_| Err(io::Error::other("writing it panicked")));
        laid.unwrap_or_else(|error| {
            error!(%error, "a batch that a sink refused cannot be laid aside");
            false
        })
    }
}

/// `BOOT-FIRST.ndjson`, so that who sends it again knows its key.
fn file_name(key: &str) -> String {
    let mut parts = key.rsplit('/');
    let (first, boot) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    format!("{boot}-{first}.ndjson")
}

fn lay(folder: &Path, name: &str, lines: &Bytes, most: u64) -> io::Result<bool> {
    make_folder(folder)?;
    let mut taken = lines.len() as u64;
    for entry in folder.read_dir()? {
        taken += entry?.metadata()?.len();
    }
    if taken > most {
        return Ok(false);
    }
    replace(&folder.join(name), lines).map(|()| true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_refused_first_stays_and_later_ones_find_no_place() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("main.refused");
        let lines = Bytes::from_static(b"0123456789");
        assert!(lay(&folder, &file_name("edge/19a/1"), &lines, 25).unwrap());
        assert!(lay(&folder, &file_name("edge/19a/7"), &lines, 25).unwrap());
        assert!(!lay(&folder, &file_name("edge/19a/9"), &lines, 25).unwrap());
        let mut names: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["19a-1.ndjson", "19a-7.ndjson"]);
    }
}
