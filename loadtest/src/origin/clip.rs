//! The clip: four tracks, embedded, read once at the start.
//!
//! `media/make.sh` describes the content. What matters here: all video samples last the same, all audio samples last the same,
//! a loop is a whole number of both and of segments, and each segment begins with a sync sample. [`Clip::load`] checks it.

use bytes::Bytes;

use super::boxes::{self, BoxError, boxes, descend, u32_at};

/// Video frames per second, which is also the grid of the whole timeline.
pub const FPS: u64 = 30;
/// Video frames of a segment: 2 s, one GOP.
pub const SEGMENT_FRAMES: u64 = 60;
/// Milliseconds of a segment.
pub const SEGMENT_MS: u64 = SEGMENT_FRAMES * 1000 / FPS;
/// Segments of one loop of the clip.
pub const LOOP_SEGMENTS: u64 = 8;

const LOOP_FRAMES: u64 = LOOP_SEGMENTS * SEGMENT_FRAMES;

/// What a track carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// H.264 with its size in pixels, and SPS and PPS for Annex B.
    Video {
        /// Width in pixels.
        width: u16,
        /// Height in pixels.
        height: u16,
        /// Sequence and picture parameter sets, without start codes.
        parameter_sets: Vec<Bytes>,
    },
    /// AAC with its AudioSpecificConfig.
    Audio {
        /// ISO/IEC 14496-3 AudioSpecificConfig.
        config: Bytes,
    },
}

/// One rendition's samples.
#[derive(Clone, Debug)]
pub struct Track {
    /// Folder name in URLs: `v0`, `v1`, `v2`, `a0`.
    pub name: &'static str,
    /// Content.
    pub kind: Kind,
    /// RFC 6381 codec string.
    pub codec: String,
    /// Initialisation section: `ftyp` and `moov`.
    pub init: Bytes,
    /// Units of a second.
    pub timescale: u32,
    /// Duration of every sample.
    pub sample_duration: u32,
    samples: Vec<Bytes>,
    sync: Vec<bool>,
    sizes: Vec<u64>, // sizes[i] = bytes of the samples before i
}

impl Track {
    /// The sample at which the cut at video frame `frame` falls: the last one to begin at or before it.
    pub fn cut(&self, frame: u64) -> u64 {
        let num = u64::from(self.timescale);
        let den = FPS * u64::from(self.sample_duration);
        frame * num / den
    }

    /// The encoded sample `index`, counted over all loops.
    pub fn sample(&self, index: u64) -> &Bytes {
        &self.samples[self.wrap(index)]
    }

    /// Whether decoding can begin at sample `index`.
    pub fn is_sync(&self, index: u64) -> bool {
        self.sync[self.wrap(index)]
    }

    /// Bytes of samples `from..to`.
    pub fn bytes_between(&self, from: u64, to: u64) -> u64 {
        let total = |index: u64| {
            let loops = index / self.samples.len() as u64;
            loops * self.sizes[self.samples.len()] + self.sizes[self.wrap(index)]
        };
        total(to) - total(from)
    }

    /// Whether this is a video track.
    pub fn is_video(&self) -> bool {
        matches!(self.kind, Kind::Video { .. })
    }

    fn wrap(&self, index: u64) -> usize {
        usize::try_from(index % self.samples.len() as u64).expect("below the length of a vector")
    }

    fn read(name: &'static str, file: &'static [u8]) -> Result<Self, ClipError> {
        let top = boxes(file)?;
        let first_moof = top.iter().find(|each| each.kind == *b"moof").ok_or(BoxError::Missing("moof"))?.start;
        let mdia = descend(file, &["moov", "trak", "mdia"])?;
        let timescale = u32_at(descend(mdia, &["mdhd"])?, 12)?;
        let stsd = descend(mdia, &["minf", "stbl", "stsd"])?;
        let (kind, codec) = entry(stsd.get(8..).ok_or(BoxError::Short)?)?;
        let mut listed = Vec::new();
        for moof in top.iter().filter(|each| each.kind == *b"moof") {
            listed.extend(boxes::fragment(moof.body, moof.start)?.1);
        }
        let sample_duration = listed.first().ok_or(ClipError::Shape(name))?.duration;
        let whole = Bytes::from_static(file);
        let mut sizes = vec![0];
        let mut samples = Vec::new();
        for sample in &listed {
            if sample.range.end > file.len() || sample.duration != sample_duration {
                return Err(ClipError::Shape(name));
            }
            samples.push(whole.slice(sample.range.clone()));
            sizes.push(sizes[sizes.len() - 1] + sample.range.len() as u64);
        }
        let sync = listed.iter().map(|sample| sample.sync).collect();
        let init = whole.slice(..first_moof);
        Ok(Self { name, kind, codec, init, timescale, sample_duration, samples, sync, sizes })
    }

    fn check(self) -> Result<Self, ClipError> {
        let whole_loop = self.cut(LOOP_FRAMES) == self.samples.len() as u64
            && self.samples.len() as u64 * u64::from(self.sample_duration) * FPS
                == LOOP_FRAMES * u64::from(self.timescale);
        let starts = (0..LOOP_SEGMENTS).all(|segment| self.is_sync(self.cut(segment * SEGMENT_FRAMES)));
        if whole_loop && starts { Ok(self) } else { Err(ClipError::Shape(self.name)) }
    }
}

/// Why the embedded clip cannot be played.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClipError {
    /// Not the MP4 that we read.
    #[error("the clip is not a fragmented MP4 of the expected form: {0}")]
    Box(#[from] BoxError),
    /// Readable, but does not loop on whole frames and segments.
    #[error("track {0} does not loop on whole frames and segments")]
    Shape(&'static str),
}

/// Sample entry → kind and codec string (RFC 6381).
fn entry(entries: &[u8]) -> Result<(Kind, String), ClipError> {
    let first = boxes(entries)?.into_iter().next().ok_or(BoxError::Missing("stsd"))?;
    let body = first.body;
    if first.kind == *b"avc1" {
        let config = descend(body.get(78..).ok_or(BoxError::Short)?, &["avcC"])?;
        let size = u32_at(body, 24)?;
        let codec = format!("avc1.{:02x}{:02x}{:02x}", config[1], config[2], config[3]);
        let parameter_sets = parameter_sets(config)?;
        return Ok((Kind::Video { width: (size >> 16) as u16, height: (size & 0xffff) as u16, parameter_sets }, codec));
    }
    let esds = descend(body.get(28..).ok_or(BoxError::Short)?, &["esds"])?;
    let config = decoder_specific(esds).ok_or(BoxError::Missing("DecoderSpecificInfo"))?;
    let codec = format!("mp4a.40.{}", config.first().ok_or(BoxError::Short)? >> 3);
    Ok((Kind::Audio { config: Bytes::copy_from_slice(config) }, codec))
}

/// The parameter sets of an `avcC` (ISO/IEC 14496-15 section 5.3.3.1).
fn parameter_sets(config: &[u8]) -> Result<Vec<Bytes>, BoxError> {
    let mut sets = Vec::new();
    let mut at = 5;
    for mask in [0x1f, 0xff] {
        let count = config.get(at).ok_or(BoxError::Short)? & mask;
        at += 1;
        for _ in 0..count {
            let len = config.get(at..at + 2).ok_or(BoxError::Short)?;
            let len = usize::from(u16::from_be_bytes([len[0], len[1]]));
            sets.push(Bytes::copy_from_slice(config.get(at + 2..at + 2 + len).ok_or(BoxError::Short)?));
            at += 2 + len;
        }
    }
    Ok(sets)
}

/// The DecoderSpecificInfo (tag 5) of an `esds`, found by descending tags 3 and 4 (ISO/IEC 14496-1 section 7.2.6).
fn decoder_specific(esds: &[u8]) -> Option<&[u8]> {
    let mut at = 4;
    loop {
        let tag = *esds.get(at)?;
        at += 1;
        let mut len = 0usize;
        loop {
            let byte = *esds.get(at)?;
            at += 1;
            len = len << 7 | usize::from(byte & 0x7f);
            if byte & 0x80 == 0 {
                break;
            }
        }
        match tag {
            3 => at += 3,
            4 => at += 13,
            5 => return esds.get(at..at + len),
            _ => at += len,
        }
    }
}

/// All tracks of the clip.
#[derive(Clone, Debug)]
pub struct Clip {
    /// Video, largest first.
    pub video: Vec<Track>,
    /// The one audio track.
    pub audio: Track,
}

impl Clip {
    /// Reads the embedded files.
    pub fn load() -> Result<Self, ClipError> {
        let video = [
            ("v0", include_bytes!("../../media/v0.mp4") as &'static [u8]),
            ("v1", include_bytes!("../../media/v1.mp4")),
            ("v2", include_bytes!("../../media/v2.mp4")),
        ];
        let video = video.into_iter().map(|(name, file)| Track::read(name, file)?.check());
        Ok(Self {
            video: video.collect::<Result<_, _>>()?,
            audio: Track::read("a0", include_bytes!("../../media/a0.mp4"))?.check()?,
        })
    }

    /// All tracks, video first.
    pub fn tracks(&self) -> impl Iterator<Item = &Track> {
        self.video.iter().chain([&self.audio])
    }

    /// The track called `name`.
    pub fn track(&self, name: &str) -> Option<&Track> {
        self.tracks().find(|track| track.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clip_has_three_pictures_and_one_sound_of_sixteen_seconds() {
        let clip = Clip::load().unwrap();
        let sizes: Vec<_> = clip.video.iter().map(|track| (track.samples.len(), track.codec.as_str())).collect();
        assert_eq!(sizes, [(480, "avc1.4d401e"), (480, "avc1.4d400d"), (480, "avc1.4d400c")]);
        assert_eq!((clip.audio.samples.len(), clip.audio.codec.as_str()), (750, "mp4a.40.2"));
        let Kind::Video { width, height, parameter_sets } = &clip.video[0].kind else { panic!("v0 is video") };
        assert_eq!((*width, *height, parameter_sets.len()), (640, 360, 2));
    }

    #[test]
    fn sound_never_strays_from_the_picture_over_three_loops() {
        let clip = Clip::load().unwrap();
        for frame in 0..3 * LOOP_FRAMES {
            let video_us = frame * 1_000_000 / FPS;
            let audio_us = clip.audio.cut(frame) * 1024 * 1_000_000 / 48_000;
            assert!(audio_us <= video_us && video_us - audio_us < 21_334, "frame {frame}: {audio_us} {video_us}");
        }
        assert_eq!(clip.audio.cut(3 * LOOP_FRAMES), 3 * 750);
    }
}
