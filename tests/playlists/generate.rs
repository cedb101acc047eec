//! Media playlists of all shapes, each with what it says: written by other code than that which reads them.

use std::ops::Range;
use std::time::Duration;

use proptest::prelude::*;

/// A stream, of which every window can be written.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Media sequence number of the first segment.
    pub first: u64,
    /// All segments that there will be.
    pub segments: Vec<Spec>,
    /// Lines of the head, in the order in which they are written.
    head: Vec<&'static str>,
    /// Lines behind the last part.
    tail: Vec<&'static str>,
    line_end: &'static str,
    closes_last_line: bool,
}

/// A segment.
#[derive(Clone, Debug)]
pub struct Spec {
    pub duration: Duration,
    /// Octets of its byte range, and whether its offset is written wherever it could be left out.
    pub range: Option<(u64, bool)>,
    /// Its parts: octets, where they are ranges of the segment.
    pub parts: Vec<Option<u64>>,
    /// Other lines of it.
    lines: Vec<&'static str>,
    writes_whole_seconds: bool,
}

/// A window of a stream.
#[derive(Clone, Debug)]
pub struct View {
    /// Which segments are complete and listed.
    pub segments: Range<usize>,
    /// Segments before this index have lost their parts.
    pub parts_from: usize,
    /// Parts of the next segment that are listed.
    pub open: usize,
}

const HEADS: &[&str] = &[
    "#EXT-X-VERSION:9",
    "#EXT-X-INDEPENDENT-SEGMENTS",
    "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=42.0,PART-HOLD-BACK=3.0",
    "#EXT-X-PART-INF:PART-TARGET=1.0",
    "#EXT-X-DISCONTINUITY-SEQUENCE:7",
    "#EXT-X-DEFINE:NAME=\"host\",VALUE=\"a,b\"",
    "#EXT-X-START:TIME-OFFSET=-12.5",
    "## made by hand, über alles",
    "",
    "#EXT-X-UNHEARD-OF",
];

const LINES: &[&str] = &[
    "#EXT-X-DISCONTINUITY",
    "#EXT-X-KEY:METHOD=AES-128,URI=\"https://keys.example/1?a=b,c\",IV=0x00000000000000000000000000000001",
    "#EXT-X-KEY:METHOD=NONE",
    "#EXT-X-MAP:URI=\"init.mp4\"",
    "#EXT-X-MAP:URI=\"all.mp4\",BYTERANGE=\"800@0\"",
    "#EXT-X-PROGRAM-DATE-TIME:2026-05-01T12:00:00.250+02:00",
    "#EXT-X-GAP",
    "#EXT-X-BITRATE:1200",
    "#EXT-X-DATERANGE:ID=\"ad-1\",START-DATE=\"2026-05-01T10:00:00Z\",SCTE35-OUT=0xFC30,X-WHAT=\"a,b=c\"",
    "#EXT-X-DEFINE:IMPORT=\"token\"",
    "# a comment",
    "#EXT-X-CUE-OUT:30",
    "",
];

const TAILS: &[&str] = &[
    "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"next.mp4\"",
    "#EXT-X-PRELOAD-HINT:TYPE=MAP,URI=\"init2.mp4\",BYTERANGE-START=10,BYTERANGE-LENGTH=700",
    "#EXT-X-RENDITION-REPORT:URI=\"../low/main.m3u8\",LAST-MSN=12,LAST-PART=0",
    "#EXT-X-DISCONTINUITY",
    "#EXT-X-DATERANGE:ID=\"ad-2\",START-DATE=\"2026-05-01T10:00:00Z\"",
    "# the end is near",
];

fn spec(range: impl Strategy<Value = Option<(u64, bool)>>) -> impl Strategy<Value = Spec> {
    let lines = prop::collection::vec(prop::sample::select(LINES), 0..4);
    let parts = prop_oneof![
        prop::collection::vec(Just(None), 0..5),
        prop::collection::vec((1..10_000u64).prop_map(Some), 0..5),
    ];
    (1..6_000_000u64, range, parts, lines, any::<bool>()).prop_map(
        |(micros, range, parts, lines, writes_whole_seconds)| Spec {
            duration: match writes_whole_seconds {
                true => Duration::from_secs(1 + micros / 1_000_000),
                false => Duration::from_micros(micros),
            },
            range,
            parts,
            lines,
            writes_whole_seconds,
        },
    )
}

/// Any stream.
pub fn stream() -> impl Strategy<Value = Stream> {
    let ranges = (1..100_000u64, any::<bool>()).prop_map(Some);
    let segments =
        prop_oneof![prop::collection::vec(spec(Just(None)), 2..24), prop::collection::vec(spec(ranges), 2..24)];
    let head = prop::sample::subsequence(HEADS, 0..=HEADS.len()).prop_shuffle();
    let tail = prop::sample::subsequence(TAILS, 0..=TAILS.len());
    let line_end = prop::sample::select(&["\n", "\r\n"][..]);
    (prop_oneof![Just(0), 0..1u64 << 40], segments, head, tail, line_end, any::<bool>()).prop_map(
        |(first, segments, head, tail, line_end, closes_last_line)| Stream {
            first,
            segments,
            head,
            tail,
            line_end,
            closes_last_line,
        },
    )
}

/// Any stream with two of its windows, the second no earlier than the first.
pub fn history() -> impl Strategy<Value = (Stream, View, View)> {
    stream().prop_flat_map(|stream| {
        let (count, marks) = (stream.segments.len(), prop::collection::vec(any::<prop::sample::Index>(), 4));
        let parts = (any::<[prop::sample::Index; 2]>(), any::<[prop::sample::Index; 2]>());
        (Just(stream), marks, parts).prop_map(move |(stream, marks, (losses, opens))| {
            let mut at: Vec<_> = marks.iter().map(|mark| mark.index(count)).collect();
            at.sort_unstable();
            let view = |start: usize, end: usize, loss: prop::sample::Index, open: prop::sample::Index| View {
                segments: start..end,
                parts_from: loss.index(count),
                open: open.index(stream.segments[end].parts.len() + 1),
            };
            let (one, other) = (view(at[0], at[2], losses[0], opens[0]), view(at[1], at[3], losses[1], opens[1]));
            (stream, one, other)
        })
    })
}

impl Stream {
    /// The URI of the segment at `index`; those with a range lie in one resource.
    pub fn uri(&self, index: usize) -> String {
        match self.segments[index].range {
            Some(_) => "all.mp4".to_owned(),
            None => format!("seg-{}.mp4?t={{$host}}", self.first + index as u64),
        }
    }

    /// The byte range of the segment at `index`.
    pub fn range(&self, index: usize) -> Option<Range<u64>> {
        let (length, _) = self.segments[index].range?;
        let start = 800 + self.segments[..index].iter().filter_map(|spec| spec.range).map(|(n, _)| n).sum::<u64>();
        Some(start..start + length)
    }

    /// The playlist as seen through `view`.
    pub fn text(&self, view: &View) -> String {
        let mut lines = vec!["#EXTM3U".to_owned(), "#EXT-X-TARGETDURATION:7".to_owned()];
        lines.extend(self.head.iter().map(|line| (*line).to_owned()));
        lines.push(format!("#EXT-X-MEDIA-SEQUENCE:{}", self.first + view.segments.start as u64));
        for index in view.segments.clone() {
            self.write_segment(index, view, &mut lines);
        }
        self.write_parts(view.segments.end, view.open, &mut lines);
        lines.extend(self.tail.iter().map(|line| (*line).to_owned()));
        let mut text = lines.join(self.line_end);
        if self.closes_last_line {
            text += self.line_end;
        }
        text
    }

    fn write_segment(&self, index: usize, view: &View, lines: &mut Vec<String>) {
        let spec = &self.segments[index];
        lines.extend(spec.lines.iter().map(|line| (*line).to_owned()));
        if index >= view.parts_from {
            self.write_parts(index, spec.parts.len(), lines);
        }
        if let (Some((length, is_explicit)), Some(range)) = (spec.range, self.range(index)) {
            let is_placed = is_explicit || index == view.segments.start;
            lines.push(match is_placed {
                true => format!("#EXT-X-BYTERANGE:{length}@{}", range.start),
                false => format!("#EXT-X-BYTERANGE:{length}"),
            });
        }
        lines.push(match spec.writes_whole_seconds {
            true => format!("#EXTINF:{},", spec.duration.as_secs()),
            false => format!("#EXTINF:{}.{:06},a title", spec.duration.as_secs(), spec.duration.subsec_micros()),
        });
        lines.push(self.uri(index));
    }

    fn write_parts(&self, index: usize, count: usize, lines: &mut Vec<String>) {
        let msn = self.first + index as u64;
        for (part, octets) in self.segments[index].parts[..count].iter().enumerate() {
            lines.push(match (octets, part) {
                (None, _) => format!("#EXT-X-PART:DURATION=0.5,URI=\"seg-{msn}.{part}.mp4\",INDEPENDENT=YES"),
                (Some(octets), 0) => {
                    format!("#EXT-X-PART:URI=\"seg-{msn}.mp4\",BYTERANGE=\"{octets}@0\",DURATION=0.333333334")
                }
                (Some(octets), _) => format!("#EXT-X-PART:DURATION=1,URI=\"seg-{msn}.mp4\",BYTERANGE=\"{octets}\""),
            });
        }
    }
}
