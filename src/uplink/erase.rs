//! Sessions that are erased: nothing of them stays in what was laid aside, and a batch that was made before is made anew,
//! from a log that is without them. A batch knows up to which erasure its lines were read; whoever is about to send it or
//! to lay it aside asks whether there was another one since.

use std::borrow::Cow;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use parking_lot::Mutex;
use serde::Deserialize;

use crate::rules::session::SessionId;

use super::With;
use super::cursor::replace;
use super::quarantine;
use super::sink::Sink;

/// What was erased while sinks were told.
#[derive(Default)]
pub(super) struct Erasures {
    count: AtomicU64,
    /// One at a time changes what was laid aside.
    files: Mutex<()>,
}

impl Erasures {
    /// How many there were.
    pub fn seen(&self) -> u64 {
        self.count.load(SeqCst)
    }

    /// Changes what was laid aside, unless something was erased since so many. Blocks.
    pub fn unless_since<T>(&self, seen: u64, work: impl FnOnce() -> T) -> Option<T> {
        let _turn = self.files.lock();
        (self.seen() == seen).then(work)
    }
}

#[derive(Deserialize)]
struct Whose<'a> {
    #[serde(borrow)]
    session: Option<Cow<'a, str>>,
}

/// Takes a session, which the log no longer has, from sinks as well: how many of its lines had been laid aside.
///
/// # Errors
/// Where a file cannot be written anew: some of them may still be there.
pub(super) async fn erase(with: Arc<With>, sinks: Arc<Vec<Arc<Sink>>>, session: SessionId) -> io::Result<u64> {
    with.erasures.count.fetch_add(1, SeqCst);
    sinks.iter().for_each(|sink| sink.look_again());
    let Some(folder) = with.folder.clone() else { return Ok(0) };
    let (with_, session) = (with.clone(), session.to_string());
    let erasing = with.tasks.spawn_blocking("sink", move || {
        let _turn = with_.erasures.files.lock();
        from_files(&folder, &session)
    });
    erasing.await.unwrap_or_else(|_| Err(io::Error::other("writing files anew panicked")))
}

/// Takes a session out of all that was laid aside, also for sinks that are no longer there.
fn from_files(folder: &Path, session: &str) -> io::Result<u64> {
    let mut lines = 0;
    for aside in within(folder)?.into_iter().filter(|path| quarantine::is_one(path)) {
        for path in within(&aside)? {
            if path.extension().is_some_and(|extension| extension == "new") {
                // A process that was killed left it.
                fs::remove_file(path)?;
            } else {
                lines += from_file(&path, session)?;
            }
        }
        fs::File::open(&aside)?.sync_all()?;
    }
    Ok(lines)
}

/// What is in a folder, if there is one.
fn within(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match folder.read_dir() {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Takes a session out of a batch that was laid aside; what is left is called by what it holds now.
fn from_file(path: &Path, session: &str) -> io::Result<u64> {
    let octets = fs::read(path)?;
    let is_theirs = |line: &&[u8]| {
        memchr::memmem::find(line, session.as_bytes()).is_some()
            && serde_json::from_slice(line).is_ok_and(|whose: Whose<'_>| whose.session.as_deref() == Some(session))
    };
    let (gone, left): (Vec<&[u8]>, Vec<&[u8]>) = octets.split_inclusive(|octet| *octet == b'\n').partition(is_theirs);
    if gone.is_empty() {
        return Ok(0);
    }
    if left.is_empty() {
        fs::remove_file(path)?;
    } else {
        let left = left.concat();
        replace(path, &left)?;
        fs::rename(path, quarantine::renamed(path, &left))?;
    }
    Ok(gone.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_goes_from_what_was_laid_aside_for_any_sink_and_the_rest_has_another_name() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (folder.path().join("main.refused"), folder.path().join("old.refused"));
        let line = |session: &str, what: &str| format!("{{\"session\":\"{session}\",\"what\":\"{what}\"}}\n");
        for aside in [&one, &other] {
            fs::create_dir(aside).unwrap();
            fs::write(aside.join("19a-7-0000abcd.ndjson"), line("aa", "bb") + &line("bb", "aa")).unwrap();
            fs::write(aside.join("19a-9-00000001.ndjson"), line("aa", "")).unwrap();
            fs::write(aside.join("19a-11-00000002.ndjson"), line("bb", "")).unwrap();
            fs::write(aside.join("19a-13-00000003.new"), "half").unwrap();
        }
        fs::write(folder.path().join("main.json"), line("aa", "no batch")).unwrap();
        assert_eq!(from_files(folder.path(), "aa").unwrap(), 4);
        assert_eq!(from_files(folder.path(), "aa").unwrap(), 0);
        for aside in [&one, &other] {
            let mut names: Vec<_> = within(aside).unwrap();
            names.sort();
            let [first, second] = names.try_into().unwrap();
            assert!(first.ends_with("19a-11-00000002.ndjson"));
            assert_eq!(fs::read_to_string(&second).unwrap(), line("bb", "aa"));
            let check = crc32fast::hash(line("bb", "aa").as_bytes());
            assert!(second.ends_with(format!("19a-7-{check:08x}.ndjson")));
        }
        assert_eq!(from_files(&folder.path().join("nothing"), "aa").unwrap(), 0);
    }
}
