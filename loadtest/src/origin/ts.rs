//! MPEG transport stream segments (ISO/IEC 13818-1), made from the same samples: H.264 in Annex B, AAC in ADTS.
//!
//! The packets of a segment are the same in each loop but for time stamps and continuity counters, so the counters at the start
//! of any segment follow from the packet counts of one loop: segments join without a step, and each is a pure function of its
//! number.

use bytes::{BufMut, Bytes, BytesMut};

use super::clip::{Clip, FPS, Kind, LOOP_SEGMENTS, SEGMENT_FRAMES, Track};

const PACKET: usize = 188;
const PMT_PID: u16 = 0x1000;
const VIDEO_PID: u16 = 0x100;
const AUDIO_PID: u16 = 0x101;
/// Presentation begins this long after the first clock reference, in 90 kHz: room for the largest frame on a slow link.
const LEAD: u64 = 63_000;
const AAC_FRAMES_PER_PES: u64 = 4;

/// Packets sent so far per PID; only the low four bits matter on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counters {
    tables: u64,
    video: u64,
    audio: u64,
}

/// Makes transport streams of one video track with the sound.
#[derive(Clone, Debug)]
pub struct Muxer {
    before: Vec<Counters>, // packets of the loop before each of its segments, and at last of all of it
}

impl Muxer {
    /// Counts the packets of a loop of `video` with `audio`.
    pub fn new(video: &Track, audio: &Track) -> Self {
        let mut counters = Counters::default();
        let mut before = vec![counters];
        for msn in 0..LOOP_SEGMENTS {
            counters = write(video, audio, msn, counters).1;
            before.push(counters);
        }
        Self { before }
    }

    /// A muxer per video track of `clip`, in their order.
    pub fn all(clip: &Clip) -> Vec<Self> {
        clip.video.iter().map(|video| Self::new(video, &clip.audio)).collect()
    }

    /// The bytes of segment `msn`; the tracks are those of [`Muxer::new`].
    pub fn segment(&self, video: &Track, audio: &Track, msn: u64) -> Bytes {
        let (loops, within) = (msn / LOOP_SEGMENTS, usize::try_from(msn % LOOP_SEGMENTS).expect("below 8"));
        let (whole, part) = (self.before[self.before.len() - 1], self.before[within]);
        let start = Counters {
            tables: loops * whole.tables + part.tables,
            video: loops * whole.video + part.video,
            audio: loops * whole.audio + part.audio,
        };
        write(video, audio, msn, start).0
    }
}

fn write(video: &Track, audio: &Track, msn: u64, counters: Counters) -> (Bytes, Counters) {
    let mut out = Out { bytes: BytesMut::new(), counters };
    out.tables();
    let frames = msn * SEGMENT_FRAMES..(msn + 1) * SEGMENT_FRAMES;
    let (mut sound, sound_end) = (audio.cut(frames.start), audio.cut(frames.end));
    for frame in frames {
        out.picture(video, frame);
        while sound < sound_end && sound <= audio.cut(frame) {
            let to = (sound + AAC_FRAMES_PER_PES).min(sound_end);
            out.sound(audio, sound..to);
            sound = to;
        }
    }
    (out.bytes.freeze(), out.counters)
}

struct Out {
    bytes: BytesMut,
    counters: Counters,
}

/// What a PES packet carries in its first transport packet beside payload.
struct Mark {
    pid: u16,
    pcr: Option<u64>,
    random_access: bool,
}

impl Out {
    fn tables(&mut self) {
        let mut pat = vec![0x00, 0x01, 0xc1, 0x00, 0x00, 0x00, 0x01];
        pat.extend((0xe000 | PMT_PID).to_be_bytes());
        let mut pmt = vec![0x00, 0x01, 0xc1, 0x00, 0x00];
        pmt.extend((0xe000 | VIDEO_PID).to_be_bytes());
        pmt.extend([0xf0, 0x00]);
        for (kind, pid) in [(0x1b, VIDEO_PID), (0x0f, AUDIO_PID)] {
            pmt.push(kind);
            pmt.extend((0xe000 | pid).to_be_bytes());
            pmt.extend([0xf0, 0x00]);
        }
        self.table(0, 0x00, &pat);
        self.table(PMT_PID, 0x02, &pmt);
        self.counters.tables += 1;
    }

    fn table(&mut self, pid: u16, id: u8, body: &[u8]) {
        let mut section = vec![id];
        section.extend((0xb000 | (body.len() as u16 + 4)).to_be_bytes());
        section.extend(body);
        section.extend(crc(&section).to_be_bytes());
        let end = self.bytes.len() + PACKET;
        self.bytes.put_slice(&[0x47, 0x40 | (pid >> 8) as u8, pid as u8, 0x10 | (self.counters.tables & 15) as u8, 0]);
        self.bytes.put_slice(&section);
        self.bytes.resize(end, 0xff);
    }

    fn picture(&mut self, track: &Track, frame: u64) {
        let clock = frame * 90_000 / FPS;
        let sync = track.is_sync(frame);
        let mut pes = pes_header(0xe0, clock + LEAD, None);
        pes.put_slice(&[0, 0, 0, 1, 0x09, 0xf0]); // access unit delimiter, any slice type
        if let (true, Kind::Video { parameter_sets, .. }) = (sync, &track.kind) {
            for set in parameter_sets {
                pes.put_slice(&[0, 0, 0, 1]);
                pes.put_slice(set);
            }
        }
        let mut rest = &track.sample(frame)[..];
        while rest.len() > 4 {
            let len = u32::from_be_bytes([rest[0], rest[1], rest[2], rest[3]]) as usize;
            let end = (4 + len).min(rest.len());
            pes.put_slice(&[0, 0, 1]);
            pes.put_slice(&rest[4..end]);
            rest = &rest[end..];
        }
        self.packets(&Mark { pid: VIDEO_PID, pcr: Some(clock), random_access: sync }, &pes);
    }

    fn sound(&mut self, track: &Track, samples: std::ops::Range<u64>) {
        let Kind::Audio { config } = &track.kind else {
            return;
        };
        let mut payload = BytesMut::new();
        for index in samples.clone() {
            let sample = track.sample(index);
            payload.put_slice(&adts(config, sample.len()));
            payload.put_slice(sample);
        }
        let clock = samples.start * u64::from(track.sample_duration) * 90_000 / u64::from(track.timescale);
        let mut pes = pes_header(0xc0, clock + LEAD, Some(payload.len()));
        pes.put_slice(&payload);
        self.packets(&Mark { pid: AUDIO_PID, pcr: None, random_access: false }, &pes);
    }

    fn packets(&mut self, mark: &Mark, mut pes: &[u8]) {
        let mut first = true;
        while !pes.is_empty() {
            let mut field = Vec::new();
            if first && (mark.pcr.is_some() || mark.random_access) {
                field.push(if mark.random_access { 0x40 } else { 0 } | if mark.pcr.is_some() { 0x10 } else { 0 });
                if let Some(clock) = mark.pcr {
                    let base = clock & 0x1_ffff_ffff;
                    field.extend(((base << 15) | 0x7e00).to_be_bytes()[2..].iter());
                }
            }
            let with_field = if field.is_empty() { 0 } else { 1 + field.len() };
            let room = PACKET - 4 - with_field;
            let take = room.min(pes.len());
            let stuffing = room - take;
            let control = if with_field > 0 || stuffing > 0 { 0x30 } else { 0x10 };
            self.packet_head(mark.pid, if first { 0x40 } else { 0 }, control);
            if with_field > 0 || stuffing > 0 {
                let len = (with_field + stuffing) - 1;
                self.bytes.put_u8(len as u8);
                if len > 0 && field.is_empty() {
                    field.push(0);
                }
                field.resize(len, 0xff);
                self.bytes.put_slice(&field);
            }
            self.bytes.put_slice(&pes[..take]);
            pes = &pes[take..];
            first = false;
        }
    }

    fn packet_head(&mut self, pid: u16, start: u8, control: u8) {
        let counter = if pid == VIDEO_PID { &mut self.counters.video } else { &mut self.counters.audio };
        self.bytes.put_slice(&[0x47, start | (pid >> 8) as u8, pid as u8, control | (*counter & 15) as u8]);
        *counter += 1;
    }
}

/// A PES header with a presentation time stamp (section 2.4.3.6); without a length for video.
fn pes_header(stream: u8, pts: u64, payload: Option<usize>) -> BytesMut {
    let mut out = BytesMut::new();
    let len = payload.map_or(0, |len| u16::try_from(len + 8).unwrap_or(0));
    out.put_slice(&[0, 0, 1, stream]);
    out.put_u16(len);
    out.put_slice(&[0x84, 0x80, 5]); // data alignment; PTS alone, for no frame is reordered
    let pts = pts & 0x1_ffff_ffff;
    out.put_u8(0x21 | ((pts >> 29) & 0x0e) as u8);
    out.put_u16(((pts >> 14) & 0xfffe) as u16 | 1);
    out.put_u16(((pts << 1) & 0xfffe) as u16 | 1);
    out
}

/// An ADTS header without CRC (ISO/IEC 13818-7 section 6.2) for a raw frame of `len` bytes.
fn adts(config: &[u8], len: usize) -> [u8; 7] {
    let (first, second) = (config.first().copied().unwrap_or(0), config.get(1).copied().unwrap_or(0));
    let profile = (first >> 3).saturating_sub(1);
    let rate = (first & 7) << 1 | second >> 7;
    let channels = second >> 3 & 15;
    let len = len + 7;
    [
        0xff,
        0xf1,
        profile << 6 | rate << 2 | channels >> 2,
        channels << 6 | (len >> 11) as u8,
        (len >> 3) as u8,
        ((len << 5) as u8) | 0x1f,
        0xfc,
    ]
}

/// CRC-32/MPEG-2 (ISO/IEC 13818-1 annex A).
fn crc(data: &[u8]) -> u32 {
    data.iter().fold(0xffff_ffff, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte) << 24,
            |crc, _| {
                if crc >> 31 == 1 { crc << 1 ^ 0x04c1_1db7 } else { crc << 1 }
            },
        )
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn the_table_checksum_is_that_of_the_standard() {
        assert_eq!(crc(b"123456789"), 0x0376_e6e7);
    }

    #[test]
    fn counters_and_clocks_run_on_over_three_loops() {
        let clip = Clip::load().unwrap();
        let muxer = &Muxer::all(&clip)[2];
        let mut last: HashMap<u16, u8> = HashMap::new();
        let (mut pcrs, mut pictures) = (Vec::new(), 0);
        for msn in 0..3 * LOOP_SEGMENTS {
            let bytes = muxer.segment(&clip.video[2], &clip.audio, msn);
            assert_eq!(bytes.len() % PACKET, 0);
            for packet in bytes.chunks(PACKET) {
                assert_eq!(packet[0], 0x47);
                let pid = u16::from_be_bytes([packet[1] & 0x1f, packet[2]]);
                if let Some(before) = last.insert(pid, packet[3] & 15) {
                    assert_eq!(packet[3] & 15, (before + 1) & 15, "pid {pid:#x} in segment {msn}");
                }
                pictures += u32::from(pid == VIDEO_PID && packet[1] & 0x40 != 0);
                if packet[3] & 0x20 != 0 && packet[4] > 0 && packet[5] & 0x10 != 0 {
                    pcrs.push(
                        u64::from(u32::from_be_bytes([packet[6], packet[7], packet[8], packet[9]])) << 1
                            | u64::from(packet[10] >> 7),
                    );
                }
            }
        }
        assert_eq!(pictures, 3 * 480);
        assert!(pcrs.windows(2).all(|pair| pair[1] - pair[0] == 3000), "a clock reference each frame");
    }
}
