//! What earlier processes left, read at start: the cards at the end of each full segment; of one that was cut short the
//! records themselves, up to the first that does not hold. What is no segment of ours is told and left alone, what
//! claims to be one and is not is set aside.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::WallTime;
use crate::disk::{ALIGNMENT, Engine, OpenHow};

use super::index::{Index, Located};
use super::record::{self, Place};
use super::segment::{self, EDGE, Filed, Segment, Space};
use super::{into_io, removed};

/// What becomes of a file that claims to be a segment and is not.
const DAMAGED: &str = "damaged";

pub(super) struct Recovery<'a> {
    pub folder: &'a Path,
    pub engine: &'a Engine,
    pub space: &'a Arc<Space>,
}

pub(super) struct Recovered {
    /// Numbers that must not come back, of those that segments still hold.
    pub removed: Vec<u64>,
    /// The latest moment that was written down.
    pub latest: WallTime,
}

/// A segment as it was found.
struct Read {
    number: u64,
    nonce: u64,
    path: PathBuf,
    /// Octets of the file.
    length: u64,
    filed: Vec<Filed>,
}

impl Recovery<'_> {
    /// Enters all that holds into the index.
    pub fn run(&self, index: &mut Index) -> io::Result<Recovered> {
        let removed: HashSet<u64> = removed::read(self.folder)?.into_iter().collect();
        let mut buried = Vec::new();
        let mut latest = 0;
        for path in self.segments()? {
            let Some(read) = self.read(&path)? else { continue };
            let file = self.engine.open(path, OpenHow::Existing).wait().map_err(into_io)?;
            let file = file.ok_or(io::ErrorKind::NotFound)?;
            self.space.take(read.length);
            let taken = (self.space.clone(), read.length);
            let segment = Segment::new((read.number, read.nonce), file, read.path, taken);
            index.last_number = index.last_number.max(read.number);
            index.shelve(&segment);
            for Filed { card, offset, region } in read.filed {
                index.last_number = index.last_number.max(card.number);
                latest = latest.max(card.stored);
                if removed.contains(&card.number) {
                    buried.push(card.number);
                    continue;
                }
                index.enter(Located { segment: segment.clone(), offset, region, card: Arc::new(card) });
            }
        }
        index.last_number = removed.into_iter().fold(index.last_number, u64::max);
        Ok(Recovered { removed: buried, latest: WallTime::at(Duration::from_secs(latest)) })
    }

    /// The files of segments in the order in which they were written.
    fn segments(&self) -> io::Result<Vec<PathBuf>> {
        let mut segments = Vec::new();
        let mut foreign = 0;
        for file in fs::read_dir(self.folder)? {
            let file = file?;
            let path = file.path();
            let ending = path.extension().and_then(|ending| ending.to_str());
            match ending {
                _ if segment::number(&path).is_some() => segments.push(path),
                Some(DAMAGED) => self.space.take(file.metadata()?.len()),
                Some("removed") => {}
                _ if file.file_name() == "lock" => {}
                _ => foreign += 1,
            }
        }
        if foreign > 0 {
            tracing::warn!(files = foreign, "the disk's folder has files that are not the node's: they are left alone");
        }
        segments.sort();
        Ok(segments)
    }

    /// What a segment holds; `None` where it holds nothing, and is gone or set aside.
    fn read(&self, path: &Path) -> io::Result<Option<Read>> {
        let number = segment::number(path).expect("only segments are read");
        let file = fs::OpenOptions::new().read(true).write(true).open(path)?;
        let length = file.metadata()?.len();
        let Some(nonce) = segment::nonce_of(&octets(&file, 0, ALIGNMENT)?, number) else {
            self.reject(path, length)?;
            return Ok(None);
        };
        let read = |length, filed| Some(Read { number, nonce, path: path.to_owned(), length, filed });
        if let Some(filed) = cards(&file, nonce, length)? {
            return Ok(read(length, filed));
        }
        let (filed, end) = records(&file, nonce)?;
        if filed.is_empty() {
            fs::remove_file(path)?;
            return Ok(None);
        }
        // What is behind the last record is the torn end of a process that was killed.
        let ending = segment::ending(nonce, end, &filed);
        file.set_len(end)?;
        let sealed = file.write_all_at(&ending, end).and_then(|()| file.sync_data());
        if let Err(error) = sealed {
            tracing::warn!(%error, "a segment that was cut short cannot be completed: it is read anew at each start");
            file.set_len(end)?;
            return Ok(read(end, filed));
        }
        Ok(read(end + ending.len() as u64, filed))
    }

    /// A file that was just made when its process was killed is removed; any other is told and set aside.
    fn reject(&self, path: &Path, length: u64) -> io::Result<()> {
        if length < EDGE {
            return fs::remove_file(path);
        }
        let aside = path.with_extension(DAMAGED);
        tracing::warn!(file = %aside.display(), "a file in the disk's folder is no segment of objects: it is set aside");
        self.space.take(length);
        fs::rename(path, aside)
    }
}

fn octets(file: &fs::File, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut octets = vec![0; length];
    let mut got = 0;
    while got < length {
        match file.read_at(&mut octets[got..], offset + got as u64) {
            Ok(0) => break,
            Ok(more) => got += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    octets.truncate(got);
    Ok(octets)
}

/// The records of a full segment.
fn cards(file: &fs::File, nonce: u64, length: u64) -> io::Result<Option<Vec<Filed>>> {
    let Some(last) = length.checked_sub(EDGE).filter(|last| last.is_multiple_of(EDGE)) else { return Ok(None) };
    let Some((offset, octets_of_cards, crc)) = segment::cards_at(&octets(file, last, ALIGNMENT)?, nonce) else {
        return Ok(None);
    };
    let fits = offset.checked_add(octets_of_cards).is_some_and(|end| end <= last);
    let Some(octets_of_cards) = usize::try_from(octets_of_cards).ok().filter(|_| fits) else { return Ok(None) };
    Ok(segment::filed_in(&octets(file, offset, octets_of_cards)?, crc))
}

/// The records of a segment that was cut short, and where the last one ends.
fn records(file: &fs::File, nonce: u64) -> io::Result<(Vec<Filed>, u64)> {
    let length = file.metadata()?.len();
    let mut filed = Vec::new();
    let mut offset = EDGE;
    loop {
        let place = Place { nonce, offset };
        let mut region = octets(file, offset, ALIGNMENT)?;
        let Some(octets_of_region) = record::region_length(&region, place) else { break };
        if octets_of_region > region.len() {
            region = octets(file, offset, octets_of_region)?;
        }
        let Some(card) = record::card_of(&region, place) else { break };
        let end = offset + octets_of_region as u64 + card.padded();
        if end > length {
            break;
        }
        filed.push(Filed { card, offset, region: octets_of_region as u32 });
        offset = end;
    }
    Ok((filed, offset))
}

/// Lets the oldest segments go until what is left keeps to its limits, which may have changed.
pub(super) fn fit(index: &mut Index, space: &Space, most_index: u64) {
    while space.used() > space.limit() || index.weight > most_index {
        let Some(segment) = index.reclaim(None) else { return };
        if let Err(error) = fs::remove_file(&segment.path) {
            tracing::warn!(%error, "a segment cannot be removed");
        }
    }
}
