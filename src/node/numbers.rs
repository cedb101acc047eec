//! How playlists are numbered, over a restart of the node: a file in the state folder, written now and then and at the
//! end, whole or not at all. Without a folder for it, numbers of a stream whose origin began anew are not kept.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use tracing::warn;

use crate::rules::hls::window::Remembered;

use super::Shared;

/// The name of the file.
const FILE: &str = "numbers.json";
/// Between two times that it is written.
const PERIOD: Duration = Duration::from_secs(10);
/// A larger file is nothing that was written here.
const LARGEST: u64 = 256 << 20;

type Numbers = BTreeMap<Box<str>, Remembered>;

/// What an earlier process kept; nothing, if there is nothing that can be used.
pub(super) fn read(folder: &Path) -> Numbers {
    let read = || {
        let path = folder.join(FILE);
        if fs::metadata(&path)?.len() > LARGEST {
            return Err(io::Error::other("it is too large"));
        }
        Ok(serde_json::from_slice(&fs::read(&path)?)?)
    };
    read().unwrap_or_else(|error: io::Error| {
        if error.kind() != io::ErrorKind::NotFound {
            warn!(file = FILE, %error, "numbers of playlists cannot be read, they begin anew");
        }
        Numbers::new()
    })
}

/// Writes them now and then.
pub(super) async fn keep(shared: std::sync::Arc<Shared>, folder: PathBuf) {
    loop {
        shared.clock.sleep(PERIOD).await;
        write(&shared, &folder).await;
    }
}

/// Writes them once.
pub(super) async fn write(shared: &Shared, folder: &Path) {
    let (numbers, folder) = (shared.edge.live.numbers(), folder.to_owned());
    let written = shared.tasks.spawn_blocking("numbers", move || replace(&folder, &numbers)).await;
    if let Err(error) = written.unwrap_or_else(|_| Err(io::Error::other("writing them panicked"))) {
        warn!(file = FILE, %error, "numbers of playlists cannot be written");
    }
}

fn replace(folder: &Path, numbers: &Numbers) -> io::Result<()> {
    let fresh = folder.join("numbers.json.new");
    let file = fs::File::create(&fresh)?;
    let mut writer = io::BufWriter::new(file);
    serde_json::to_writer(&mut writer, numbers)?;
    writer.into_inner().map_err(io::IntoInnerError::into_error)?.sync_data()?;
    fs::rename(fresh, folder.join(FILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again_and_anything_else_is_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path()), Numbers::new());
        let numbers = Numbers::from([("g http://o/a.m3u8".into(), Remembered::default())]);
        replace(folder.path(), &numbers).unwrap();
        replace(folder.path(), &numbers).unwrap();
        assert_eq!(read(folder.path()), numbers);
        fs::write(folder.path().join(FILE), "{\"a\":").unwrap();
        assert_eq!(read(folder.path()), Numbers::new());
    }
}
