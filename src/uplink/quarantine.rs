//! Batches that a receiver refuses: each is laid aside as a file of its own, up to a bound, for people to look at and to
//! send again. What was refused first says most, so that it stays and later ones find no place.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tracing::error;

use super::With;
use super::cursor::{make_folder, replace};
use super::parcel::Parcel;

/// How folders end in which batches are.
const ENDING: &str = "refused";

/// What has become of a batch that was to be laid aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Laid {
    /// It is.
    Aside,
    /// There is no place for it.
    Nowhere,
    /// Something was erased since it was made.
    Outdated,
}

/// Where the refused batches of one sink are.
pub(super) struct Quarantine {
    folder: Option<PathBuf>,
}

impl Quarantine {
    /// That of a sink; without a folder, there is no place.
    pub fn new(folder: Option<&Path>, name: &str) -> Self {
        Self { folder: folder.map(|folder| folder.join(format!("{name}.{ENDING}"))) }
    }

    /// Lays a batch aside where all of them take at most `most` octets then.
    pub async fn lay_aside(&self, parcel: &Parcel, most: u64, with: &Arc<With>) -> Laid {
        let Some(folder) = self.folder.clone() else { return Laid::Nowhere };
        let (name, lines, as_of) = (file_name(&parcel.key), parcel.lines.clone(), parcel.as_of);
        let with_ = with.clone();
        let writing = with
            .tasks
            .spawn_blocking("sink", move || with_.erasures.unless_since(as_of, || lay(&folder, &name, &lines, most)));
        let laid = writing.await.unwrap_or_else(|_| Some(Err(io::Error::other("writing it panicked"))));
        match laid {
            Some(Ok(true)) => Laid::Aside,
            Some(Ok(false)) => Laid::Nowhere,
            Some(Err(error)) => {
                error!(%error, "a batch that a sink refused cannot be laid aside");
                Laid::Nowhere
            }
            None => Laid::Outdated,
        }
    }
}

/// Whether a path is one where refused batches are, of any sink.
pub(super) fn is_one(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == ENDING)
}

/// What a batch that was laid aside is called once it holds other lines: its key is another one then.
pub(super) fn renamed(path: &Path, lines: &[u8]) -> PathBuf {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let mut parts = stem.splitn(3, '-');
    let (boot, first) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    path.with_file_name(format!("{boot}-{first}-{:08x}.ndjson", crc32fast::hash(lines)))
}

/// `BOOT-FIRST-CHECK.ndjson`, so that who sends it again knows its key.
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
        assert!(lay(&folder, &file_name("edge/19a/1-0000abcd"), &lines, 25).unwrap());
        assert!(lay(&folder, &file_name("edge/19a/7"), &lines, 25).unwrap());
        assert!(!lay(&folder, &file_name("edge/19a/9"), &lines, 25).unwrap());
        let mut names: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["19a-1-0000abcd.ndjson", "19a-7.ndjson"]);
    }
}
