//! A file that batches are appended to, and that gives way to a new one when it has grown: `PATH` is the newest, `PATH.1`
//! the one before. It is opened anew for each batch, so that whoever else rotates it need tell nobody.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::config::sinks::FileSink;

use super::With;
use super::parcel::Parcel;
use super::target::{Attempt, Attempting, Outcome, Target};

/// Octets at the end of a file in which its last line end is looked for at a time.
const STEP: u64 = 64 << 10;

/// A file that batches are appended to.
pub(super) struct File {
    config: FileSink,
}

impl File {
    pub fn new(config: &FileSink) -> Self {
        Self { config: config.clone() }
    }

    async fn write(&self, parcel: &Parcel, with: &With) -> Outcome {
        let (config, lines) = (self.config.clone(), parcel.lines.clone());
        let writing = with.tasks.spawn_blocking("sink", move || append(&config, &lines));
        match writing.await.unwrap_or_else(|_| Err(io::Error::other("writing panicked"))) {
            Ok(()) => Outcome::taken(),
            Err(error) => Outcome::again(Attempt::Disk, &error),
        }
    }
}

impl Target for File {
    fn attempt<'a>(&'a self, parcel: &'a Parcel, with: &'a With) -> Attempting<'a> {
        Box::pin(self.write(parcel, with))
    }
}

/// Appends lines, whole or not at all as far as the disk lets it.
fn append(config: &FileSink, lines: &Bytes) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.create(true).read(true).append(true).mode(0o600);
    let mut file = options.open(&config.path)?;
    let mut length = whole_lines(&mut file)?;
    if length > 0 && length + lines.len() as u64 > config.rotate {
        drop(file);
        rotate(config)?;
        file = options.open(&config.path)?;
        length = whole_lines(&mut file)?;
    }
    let written = file.write_all(lines).and_then(|()| file.sync_data());
    if written.is_err() {
        // What was written of it is written again. Where this fails too, the next attempt cuts what is no whole line.
        _ = file.set_len(length);
    }
    written
}

/// The length of a file; a last line that lacks its end, as a kill leaves it, is cut off first.
fn whole_lines(file: &mut fs::File) -> io::Result<u64> {
    let length = file.metadata()?.len();
    let mut end = length;
    while end > 0 {
        let start = end.saturating_sub(STEP);
        let mut octets = vec![0; usize::try_from(end - start).expect("it is at most a step")];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut octets)?;
        if let Some(at) = memchr::memrchr(b'\n', &octets) {
            end = start + at as u64 + 1;
            break;
        }
        end = start;
    }
    if end < length {
        file.set_len(end)?;
    }
    Ok(end)
}

/// Each file gets the next number; the last one goes.
fn rotate(config: &FileSink) -> io::Result<()> {
    if config.keep == 0 {
        return fs::remove_file(&config.path);
    }
    for number in (1..config.keep).rev() {
        give_way(&numbered(&config.path, number), &numbered(&config.path, number + 1))?;
    }
    give_way(&config.path, &numbered(&config.path, 1))
}

fn give_way(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn numbered(path: &Path, number: usize) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{number}"));
    name.into()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn sink(folder: &Path, keep: usize) -> FileSink {
        FileSink { path: folder.join("qoe.ndjson"), rotate: 10, keep }
    }

    #[test]
    fn files_give_way_to_new_ones_and_the_oldest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let config = sink(folder.path(), 2);
        let read = |number: usize| fs::read_to_string(numbered(&config.path, number)).ok();
        for lines in ["1\n", "2\n", "33333333\n", "4\n5\n6\n7\n8\n9\n"] {
            append(&config, &Bytes::from_static(lines.as_bytes())).unwrap();
        }
        assert_eq!(fs::read_to_string(&config.path).unwrap(), "4\n5\n6\n7\n8\n9\n");
        assert_eq!((read(1).as_deref(), read(2).as_deref(), read(3)), (Some("33333333\n"), Some("1\n2\n"), None));
        for file in folder.path().read_dir().unwrap() {
            assert_eq!(
                file.unwrap().metadata().unwrap().permissions().mode() & 0o777,
                0o600,
                "it is its owner's alone"
            );
        }
        append(&config, &Bytes::from_static(b"10\n")).unwrap();
        assert_eq!((read(2).as_deref(), read(3)), (Some("33333333\n"), None));
    }

    #[test]
    fn a_line_that_a_kill_cut_short_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let config = FileSink { rotate: 1 << 30, ..sink(folder.path(), 0) };
        fs::write(&config.path, format!("whole\n{}", "x".repeat(200_000))).unwrap();
        append(&config, &Bytes::from_static(b"next\n")).unwrap();
        assert_eq!(fs::read_to_string(&config.path).unwrap(), "whole\nnext\n");
        fs::write(&config.path, "torn").unwrap();
        append(&config, &Bytes::from_static(b"next\n")).unwrap();
        assert_eq!(fs::read_to_string(&config.path).unwrap(), "next\n");
    }
}
