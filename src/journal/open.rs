//! The file that is being written: frames behind each other, as many at once as one write takes.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;

use crate::disk::{self, DiskError, Engine, File};

use super::frame::PREAMBLE;

/// What is written as a frame.
pub(super) trait Framed {
    /// Octets of the frame.
    fn size(&self) -> usize;

    /// Writes it into a file of this number.
    fn write(&self, into: &mut Vec<u8>, number: u64);
}

/// The file that is being written.
pub(super) struct Open {
    /// Which.
    pub file: File,
    /// Its number.
    pub number: u64,
    /// Octets that were written, or that a write which failed may have written.
    pub length: u64,
}

impl Open {
    /// A file that was just made.
    pub fn new(file: std::fs::File, number: u64) -> Self {
        Self { file: file.into(), number, length: PREAMBLE as u64 }
    }

    /// Writes frames, and counts what they take. Once it has failed, this file must not be written again: some of it may
    /// stand there.
    pub async fn append<'a, F: Framed + 'a>(
        &mut self,
        engine: &Engine,
        frames: impl IntoIterator<Item = &'a F>,
        octets: &AtomicU64,
    ) -> Result<(), DiskError> {
        let mut buffer = Vec::with_capacity(disk::BUFFER);
        for frame in frames {
            if buffer.len() + frame.size() > disk::BUFFER {
                self.write(engine, std::mem::replace(&mut buffer, Vec::with_capacity(disk::BUFFER)), octets).await?;
            }
            frame.write(&mut buffer, self.number);
        }
        self.write(engine, buffer, octets).await
    }

    async fn write(&mut self, engine: &Engine, buffer: Vec<u8>, octets: &AtomicU64) -> Result<(), DiskError> {
        // Counted before it is written: a write that fails half way may have taken the room.
        octets.fetch_add(buffer.len() as u64, Relaxed);
        let offset = self.length;
        self.length += buffer.len() as u64;
        engine.write(&self.file, offset, Bytes::from(buffer)).await
    }
}
