//! ISO base media boxes (ISO/IEC 14496-12): enough to read the fragmented clip and to write CMAF chunks (ISO/IEC 23000-19).
//!
//! The reader trusts nothing: each length is checked, a malformed file is an [`BoxError`]. The writer makes one `moof` and one
//! `mdat` a chunk, always of a predictable size, so that byte ranges can be announced before the bytes are made.

use bytes::{BufMut, Bytes, BytesMut};

/// What is wrong with an MP4 file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BoxError {
    /// A box or field reaches beyond its parent.
    #[error("a box is cut short")]
    Short,
    /// A box that must be there is not.
    #[error("box `{0}` is missing")]
    Missing(&'static str),
}

/// One box: its type, its whole extent and its payload.
#[derive(Clone, Copy, Debug)]
pub struct Mp4Box<'a> {
    /// Four-character code.
    pub kind: [u8; 4],
    /// Offset of the first byte of the header in the slice that was walked.
    pub start: usize,
    /// Offset of the first payload byte.
    pub body_start: usize,
    /// Payload.
    pub body: &'a [u8],
}

/// Splits `data` into boxes; 64-bit lengths are not read (the clip has none).
pub fn boxes(data: &[u8]) -> Result<Vec<Mp4Box<'_>>, BoxError> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < data.len() {
        let len = u32_at(data, at)? as usize;
        let kind = data.get(at + 4..at + 8).ok_or(BoxError::Short)?;
        let body = data.get(at + 8..at.saturating_add(len)).ok_or(BoxError::Short)?;
        found.push(Mp4Box { kind: [kind[0], kind[1], kind[2], kind[3]], start: at, body_start: at + 8, body });
        at += len;
    }
    Ok(found)
}

/// The payload at the end of `path`, entering the first box of each name.
pub fn descend<'a>(data: &'a [u8], path: &[&'static str]) -> Result<&'a [u8], BoxError> {
    path.iter().try_fold(data, |data, name| {
        let found = boxes(data)?.into_iter().find(|each| each.kind == name.as_bytes());
        found.map(|each| each.body).ok_or(BoxError::Missing(name))
    })
}

/// A big-endian 32-bit number.
pub fn u32_at(data: &[u8], at: usize) -> Result<u32, BoxError> {
    let raw = data.get(at..at.saturating_add(4)).ok_or(BoxError::Short)?;
    Ok(u32::from_be_bytes([raw[0], raw[1], raw[2], raw[3]]))
}

/// A big-endian 64-bit number.
pub fn u64_at(data: &[u8], at: usize) -> Result<u64, BoxError> {
    Ok(u64::from(u32_at(data, at)?) << 32 | u64::from(u32_at(data, at + 4)?))
}

/// A sample (an encoded frame) as a fragment lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Extent in the slice that holds the fragment.
    pub range: std::ops::Range<usize>,
    /// Duration in units of the track's timescale.
    pub duration: u32,
    /// Decoding can begin here.
    pub sync: bool,
}

const SAMPLE_IS_NON_SYNC: u32 = 0x0001_0000;

/// The decode time (`tfdt`) and the samples of a `moof` whose header begins at `start` of the file.
pub fn fragment(moof: &[u8], start: usize) -> Result<(u64, Vec<Sample>), BoxError> {
    let traf = descend(moof, &["traf"])?;
    let tfhd = descend(traf, &["tfhd"])?;
    let tfdt = descend(traf, &["tfdt"])?;
    let base = if tfdt.first() == Some(&1) { u64_at(tfdt, 4)? } else { u64::from(u32_at(tfdt, 4)?) };
    let defaults = Defaults::read(tfhd)?;
    Ok((base, run(descend(traf, &["trun"])?, &defaults, start)?))
}

struct Defaults {
    duration: u32,
    size: u32,
    flags: u32,
}

impl Defaults {
    fn read(tfhd: &[u8]) -> Result<Self, BoxError> {
        let present = u32_at(tfhd, 0)?;
        let mut at = 8;
        let mut take = |bit: u32, width: usize| -> Result<u32, BoxError> {
            if present & bit == 0 {
                return Ok(0);
            }
            at += width;
            u32_at(tfhd, at - 4)
        };
        take(0x1, 8)?;
        take(0x2, 4)?;
        Ok(Self { duration: take(0x8, 4)?, size: take(0x10, 4)?, flags: take(0x20, 4)? })
    }
}

fn run(trun: &[u8], defaults: &Defaults, moof_start: usize) -> Result<Vec<Sample>, BoxError> {
    let present = u32_at(trun, 0)?;
    let count = u32_at(trun, 4)?;
    let mut at = 8;
    let mut take = |bit: u32, otherwise: u32| -> Result<u32, BoxError> {
        if present & bit == 0 {
            return Ok(otherwise);
        }
        at += 4;
        u32_at(trun, at - 4)
    };
    let mut offset = moof_start.saturating_add(take(0x1, 0)? as usize);
    let first_flags = take(0x4, defaults.flags)?;
    let mut samples = Vec::new();
    for index in 0..count {
        let duration = take(0x100, defaults.duration)?;
        let size = take(0x200, defaults.size)? as usize;
        let flags = take(0x400, if index == 0 { first_flags } else { defaults.flags })?;
        take(0x800, 0)?;
        let end = offset.saturating_add(size);
        samples.push(Sample { range: offset..end, duration, sync: flags & SAMPLE_IS_NON_SYNC == 0 });
        offset = end;
    }
    Ok(samples)
}

/// What a chunk says of itself beside its samples.
#[derive(Clone, Copy, Debug)]
pub struct ChunkHead {
    /// `mfhd` sequence number.
    pub sequence: u32,
    /// `tfdt` base media decode time.
    pub decode_time: u64,
    /// Duration of each sample.
    pub sample_duration: u32,
    /// Whether samples are video, of which only the first can be a sync sample; each audio sample is one.
    pub video: bool,
    /// The first sample is a sync sample.
    pub sync: bool,
}

impl ChunkHead {
    fn first_flags(self) -> Option<u32> {
        (self.video && self.sync).then_some(0x0200_0000)
    }

    /// Bytes of `moof` and of the `mdat` header for a chunk of `samples` samples.
    pub fn overhead(self, samples: usize) -> usize {
        8 + 16 + 8 + 24 + 20 + 20 + if self.first_flags().is_some() { 4 } else { 0 } + 4 * samples + 8
    }
}

/// Appends one chunk, `moof` and `mdat`, to `out`.
pub fn write_chunk(out: &mut BytesMut, head: ChunkHead, samples: &[Bytes]) {
    let overhead = head.overhead(samples.len());
    let first_flags = head.first_flags();
    let moof = len32(overhead - 8);
    let payload: usize = samples.iter().map(Bytes::len).sum();
    out.reserve(overhead + payload);
    header(out, moof, b"moof");
    header(out, 16, b"mfhd");
    out.put_u32(0);
    out.put_u32(head.sequence);
    header(out, moof - 24, b"traf");
    header(out, 24, b"tfhd"); // default-base-is-moof, default duration and flags
    out.put_u32(0x02_0028);
    out.put_u32(1);
    out.put_u32(head.sample_duration);
    out.put_u32(if head.video { 0x0101_0000 } else { 0x0200_0000 });
    header(out, 20, b"tfdt");
    out.put_u32(0x0100_0000);
    out.put_u64(head.decode_time);
    header(out, moof - 24 - 8 - 24 - 20, b"trun");
    out.put_u32(0x201 | if first_flags.is_some() { 0x4 } else { 0 });
    out.put_u32(len32(samples.len()));
    out.put_u32(moof + 8);
    if let Some(flags) = first_flags {
        out.put_u32(flags);
    }
    samples.iter().for_each(|sample| out.put_u32(len32(sample.len())));
    header(out, len32(payload + 8), b"mdat");
    samples.iter().for_each(|sample| out.put_slice(sample));
}

fn header(out: &mut BytesMut, len: u32, kind: &[u8; 4]) {
    out.put_u32(len);
    out.put_slice(kind);
}

fn len32(len: usize) -> u32 {
    u32::try_from(len).expect("a chunk of the clip is far below 4 GiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_chunk_reads_back() {
        let samples = [Bytes::from_static(b"abc"), Bytes::from_static(b"de")];
        for (video, sync) in [(true, true), (true, false), (false, true)] {
            let head = ChunkHead { sequence: 7, decode_time: 1 << 40, sample_duration: 3000, video, sync };
            let mut out = BytesMut::new();
            write_chunk(&mut out, head, &samples);
            assert_eq!(out.len(), head.overhead(2) + 5);
            let top = boxes(&out).unwrap();
            let (time, read) = fragment(top[0].body, 0).unwrap();
            assert_eq!(time, 1 << 40);
            assert_eq!(&out[read[0].range.clone()], b"abc");
            assert_eq!(&out[read[1].range.clone()], b"de");
            assert_eq!((read[0].sync, read[1].sync, read[1].duration), (sync, !video, 3000));
        }
    }

    #[test]
    fn cut_files_are_refused_at_every_length() {
        let mut out = BytesMut::new();
        let head = ChunkHead { sequence: 1, decode_time: 0, sample_duration: 1, video: true, sync: true };
        write_chunk(&mut out, head, &[Bytes::from_static(b"x")]);
        for cut in 1..out.len() - 9 {
            assert!(boxes(&out[..cut]).and_then(|top| fragment(top[0].body, 0).map(drop)).is_err(), "cut at {cut}");
        }
    }
}
