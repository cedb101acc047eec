//! A check of what came: decode times (`tfdt`) of fragmented MP4 that go on where the fragment before ended.

use crate::origin::boxes::{BoxError, boxes, fragment};

/// What is wrong with a piece of media.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MediaError {
    /// Its boxes cannot be read.
    #[error(transparent)]
    Boxes(#[from] BoxError),
    /// A fragment does not begin where the one before ended.
    #[error("decode time {found} where {expected} was due")]
    Jump {
        /// Where the fragment before ended.
        expected: u64,
        /// Where this one begins.
        found: u64,
    },
}

/// The decode time at which the next fragment of a track must begin.
#[derive(Clone, Copy, Debug, Default)]
pub struct Continuity(Option<u64>);

impl Continuity {
    /// Checks the fragments of a part or segment, and remembers where they end. Media that is not MP4 passes.
    ///
    /// # Errors
    /// [`MediaError`]; the next piece is then checked from where this one ended.
    pub fn check(&mut self, body: &[u8]) -> Result<(), MediaError> {
        const TRANSPORT_STREAM: u8 = 0x47;
        if body.first() == Some(&TRANSPORT_STREAM) {
            return Ok(());
        }
        let mut wrong = None;
        for each in boxes(body)?.iter().filter(|each| &each.kind == b"moof") {
            let (found, samples) = fragment(each.body, each.start)?;
            let long: u64 = samples.iter().map(|sample| u64::from(sample.duration)).sum();
            let expected = self.0.replace(found.saturating_add(long));
            if let Some(expected) = expected.filter(|expected| *expected != found) {
                wrong.get_or_insert(MediaError::Jump { expected, found });
            }
        }
        wrong.map_or(Ok(()), Err)
    }

    /// The next piece may begin anywhere.
    pub fn forget(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use bytes::{Bytes, BytesMut};

    use super::*;
    use crate::origin::boxes::{ChunkHead, write_chunk};

    fn chunk(decode_time: u64) -> BytesMut {
        let head = ChunkHead { sequence: 1, decode_time, sample_duration: 10, video: true, sync: true };
        let mut out = BytesMut::new();
        write_chunk(&mut out, head, &[Bytes::from_static(b"x"), Bytes::from_static(b"y")]);
        out
    }

    #[test]
    fn fragments_must_follow_each_other() {
        let mut track = Continuity::default();
        let mut both = chunk(100);
        both.extend_from_slice(&chunk(120));
        assert_eq!(track.check(&both), Ok(()));
        assert_eq!(track.check(&chunk(140)), Ok(()));
        let jump = MediaError::Jump { expected: 160, found: 180 };
        assert_eq!(track.check(&chunk(180)), Err(jump));
        assert_eq!(track.check(&chunk(200)), Ok(()));
        track.forget();
        assert_eq!(track.check(&chunk(7)), Ok(()));
        assert!(track.check(&chunk(27)[..20]).is_err());
        assert_eq!(track.check(&[0x47, 1, 2]), Ok(()));
    }
}
