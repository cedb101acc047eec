//! The numbers of records that must not come back, whatever the segments say: a file that only grows, written and
//! synced before a purge is answered.
//!
//! Each number stands with a checksum of its own, so that a torn end says nothing. Now and then what no segment can
//! bring back any more is left out: the rest is written to a new file before the old one goes, and a start between the
//! two reads both.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::disk::{BUFFER, DiskError, Engine, File, OpenHow, Pending};

use super::segment::Space;

/// Octets of one number.
const ENTRY: usize = 16;

const SEED: u32 = u32::from_le_bytes(*b"WRem");

/// Numbers in a file before it is written anew.
const MOST: usize = 64 << 10;

/// The file, and what it holds.
pub(super) struct Removed {
    engine: Engine,
    folder: PathBuf,
    space: Arc<Space>,
    state: Mutex<State>,
}

struct State {
    file: File,
    generation: u64,
    end: u64,
    numbers: Vec<u64>,
    /// Written anew once it holds so many.
    most: usize,
}

/// Numbers on their way to the disk.
pub(super) struct Appended {
    file: File,
    writes: Vec<Pending<()>>,
}

impl Removed {
    /// A new file with `numbers`, in place of those of earlier processes.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn start(engine: Engine, folder: &Path, space: Arc<Space>, numbers: Vec<u64>) -> Result<Self, DiskError> {
        let old = files(folder)?;
        let generation = old.iter().map(|(generation, _)| generation + 1).max().unwrap_or(1);
        let file = create(&engine, folder, generation).wait()?.ok_or(DiskError::Ended)?;
        let state = State { file, generation, end: 0, numbers: Vec::new(), most: MOST };
        let removed = Self { engine, folder: folder.to_owned(), space, state: Mutex::new(state) };
        removed.append(&numbers).wait(&removed.engine)?;
        for (_, path) in old {
            fs::remove_file(path)?;
        }
        Ok(removed)
    }

    /// Begins to write `numbers`; they are in force once this is waited for.
    pub fn append(&self, numbers: &[u64]) -> Appended {
        let mut state = self.state.lock();
        state.numbers.extend_from_slice(numbers);
        self.write(&mut state, numbers)
    }

    fn write(&self, state: &mut State, numbers: &[u64]) -> Appended {
        let mut writes = Vec::new();
        for numbers in numbers.chunks(BUFFER / ENTRY) {
            let octets: Vec<u8> = numbers.iter().flat_map(|number| entry(*number)).collect();
            let length = octets.len() as u64;
            self.space.take(length);
            writes.push(self.engine.write(&state.file, state.end, Bytes::from(octets)));
            state.end += length;
        }
        Appended { file: state.file.clone(), writes }
    }

    /// Writes the file anew where it has grown long, without what is older than `oldest`, the first number of what
    /// segments hold.
    pub async fn tidy(&self, oldest: u64) -> Result<(), DiskError> {
        let (old, kept) = {
            let state = self.state.lock();
            if state.numbers.len() < state.most {
                return Ok(());
            }
            (state.generation, state.numbers.len())
        };
        let Some(file) = create(&self.engine, &self.folder, old + 1).await? else { return Ok(()) };
        let (appended, bytes) = {
            let mut state = self.state.lock();
            let bytes = state.end;
            state.numbers.retain(|number| *number >= oldest);
            let numbers = state.numbers.clone();
            state.most = MOST.max(2 * numbers.len());
            (state.file, state.generation, state.end) = (file, old + 1, 0);
            tracing::debug!(before = kept, after = numbers.len(), "what was removed is written anew");
            (self.write(&mut state, &numbers), bytes)
        };
        appended.done(&self.engine).await?;
        self.engine.unlink(path(&self.folder, old)).await?;
        self.space.give_back(bytes);
        Ok(())
    }
}

impl Appended {
    /// Completes once the numbers have reached the disk.
    pub async fn done(self, engine: &Engine) -> Result<(), DiskError> {
        for write in self.writes {
            write.await?;
        }
        engine.sync(&self.file).await
    }

    /// The same for a thread that may stand still.
    pub fn wait(self, engine: &Engine) -> Result<(), DiskError> {
        for write in self.writes {
            write.wait()?;
        }
        engine.sync(&self.file).wait()
    }
}

/// All numbers that earlier processes have written.
///
/// # Errors
/// Where they cannot be read: what was purged might come back.
pub(super) fn read(folder: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for (_, path) in files(folder)? {
        let octets = fs::read(path)?;
        numbers.extend(octets.chunks_exact(ENTRY).filter_map(number));
    }
    Ok(numbers)
}

fn files(folder: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut files = Vec::new();
    for file in fs::read_dir(folder)? {
        let path = file?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let generation = name.strip_suffix(".removed").and_then(|name| u64::from_str_radix(name, 16).ok());
        files.extend(generation.map(|generation| (generation, path)));
    }
    Ok(files)
}

fn path(folder: &Path, generation: u64) -> PathBuf {
    folder.join(format!("{generation:016x}.removed"))
}

fn create(engine: &Engine, folder: &Path, generation: u64) -> Pending<Option<File>> {
    engine.open_cached(path(folder, generation), OpenHow::New)
}

fn crc(number: u64) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(SEED);
    hasher.update(&number.to_le_bytes());
    hasher.finalize()
}

fn entry(number: u64) -> [u8; ENTRY] {
    let mut entry = [0; ENTRY];
    entry[..8].copy_from_slice(&number.to_le_bytes());
    entry[8..12].copy_from_slice(&crc(number).to_le_bytes());
    entry
}

fn number(entry: &[u8]) -> Option<u64> {
    let number = entry[..8].try_into().map(u64::from_le_bytes).ok()?;
    (entry[8..12] == crc(number).to_le_bytes()).then_some(number)
}
