//! Segments and parts in CMAF, as pure functions of their number. A segment is its parts, one after the other, so that the
//! parts are also byte ranges of it.

use bytes::{Bytes, BytesMut};

use super::boxes::{ChunkHead, write_chunk};
use super::clip::{LOOP_SEGMENTS, SEGMENT_FRAMES, Track};
use super::timeline::{PartPlan, Position};

/// Where samples come from and where they stand in time: `count` samples from `content`, decoded from sample time `at` on.
#[derive(Clone, Copy, Debug)]
struct Cut {
    content: u64,
    at: u64,
    count: u64,
}

impl Cut {
    fn of(track: &Track, frames: (u64, u64)) -> Self {
        let at = track.cut(frames.0);
        Self { content: at, at, count: track.cut(frames.1) - at }
    }

    fn head(self, track: &Track, sequence: u64) -> ChunkHead {
        ChunkHead {
            sequence: (sequence + 1) as u32, // wraps after 4.5 years of frames, as the field does
            decode_time: self.at * u64::from(track.sample_duration),
            sample_duration: track.sample_duration,
            video: track.is_video(),
            sync: track.is_sync(self.content),
        }
    }

    fn write(self, track: &Track, sequence: u64, out: &mut BytesMut) {
        let samples: Vec<Bytes> =
            (self.content..self.content + self.count).map(|index| track.sample(index).clone()).collect();
        write_chunk(out, self.head(track, sequence), &samples);
    }
}

/// The bytes of a part.
pub fn part(track: &Track, plan: &PartPlan, at: Position) -> Bytes {
    let mut out = BytesMut::new();
    let frames = plan.span(at);
    Cut::of(track, frames).write(track, frames.0, &mut out);
    out.freeze()
}

/// The length of what [`part`] makes.
pub fn part_len(track: &Track, plan: &PartPlan, at: Position) -> u64 {
    let frames = plan.span(at);
    let cut = Cut::of(track, frames);
    let overhead = cut.head(track, frames.0).overhead(usize::try_from(cut.count).expect("a part has few samples"));
    overhead as u64 + track.bytes_between(cut.content, cut.content + cut.count)
}

/// The bytes of a segment: of each of its parts in order.
pub fn segment(track: &Track, plan: &PartPlan, msn: u64) -> Bytes {
    let mut out = BytesMut::new();
    for part in 0..plan.parts(msn) {
        let frames = plan.span(Position { msn, part });
        Cut::of(track, frames).write(track, frames.0, &mut out);
    }
    out.freeze()
}

/// The length of what [`segment`] makes.
pub fn segment_len(track: &Track, plan: &PartPlan, msn: u64) -> u64 {
    (0..plan.parts(msn)).map(|part| part_len(track, plan, Position { msn, part })).sum()
}

/// Segment `index` of ad `ad`: its time starts at 0, its content is that of the clip's segment `ad + index`.
pub fn ad_segment(track: &Track, ad: u64, index: u64) -> Bytes {
    let mut out = BytesMut::new();
    let frames = (index * SEGMENT_FRAMES, (index + 1) * SEGMENT_FRAMES);
    let content = track.cut((ad + index) % LOOP_SEGMENTS * SEGMENT_FRAMES);
    Cut { content, ..Cut::of(track, frames) }.write(track, frames.0, &mut out);
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::boxes::{boxes, fragment};
    use crate::origin::clip::Clip;

    fn every_part(plan: &PartPlan, segments: std::ops::Range<u64>) -> impl Iterator<Item = Position> + '_ {
        segments.flat_map(|msn| (0..plan.parts(msn)).map(move |part| Position { msn, part }))
    }

    #[test]
    fn decode_times_join_without_gap_or_overlap_over_three_loops() {
        let clip = Clip::load().unwrap();
        for (track, ms) in clip.tracks().flat_map(|track| [(track, 333), (track, 500), (track, 1700)]) {
            let plan = PartPlan::new(ms);
            let (mut expected, mut sequence) = (0, 0);
            for at in every_part(&plan, 0..3 * LOOP_SEGMENTS) {
                let bytes = part(track, &plan, at);
                assert_eq!(bytes.len() as u64, part_len(track, &plan, at));
                let moof = boxes(&bytes).unwrap()[0];
                let number = crate::origin::boxes::u32_at(moof.body, 12).unwrap();
                let (time, samples) = fragment(moof.body, 0).unwrap();
                assert!(number > sequence, "sequence numbers rise");
                assert_eq!(time, expected, "{} {at:?}", track.name);
                assert_eq!(samples[0].sync, !track.is_video() || at.part == 0);
                assert_eq!(samples.last().unwrap().range.end, bytes.len());
                expected += samples.iter().map(|sample| u64::from(sample.duration)).sum::<u64>();
                sequence = number;
            }
            assert_eq!(expected, 48 * u64::from(track.timescale), "three loops are 48 s to the sample");
        }
    }

    #[test]
    fn a_segment_is_its_parts() {
        let clip = Clip::load().unwrap();
        let plan = PartPlan::new(333);
        for track in clip.tracks() {
            let parts: Vec<u8> = every_part(&plan, 41..42).flat_map(|at| part(track, &plan, at)).collect();
            assert_eq!(segment(track, &plan, 41), parts);
            assert_eq!(segment_len(track, &plan, 41), parts.len() as u64);
        }
    }

    #[test]
    fn the_same_segment_of_the_next_loop_differs_in_time_alone() {
        let clip = Clip::load().unwrap();
        let plan = PartPlan::new(333);
        for track in clip.tracks() {
            let (one, two) = (segment(track, &plan, 3), segment(track, &plan, 3 + LOOP_SEGMENTS));
            assert_eq!(one.len(), two.len());
            let differ = one.iter().zip(&two).filter(|(a, b)| a != b).count();
            assert!(differ > 0 && differ <= 6 * 12, "{differ} bytes of tfdt and mfhd");
        }
    }
}
