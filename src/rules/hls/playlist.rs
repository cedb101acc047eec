//! A media playlist in the specification's words (RFC 8216bis §4.4): every line in its place, and what the lines say.
//!
//! A playlist is its `head` (lines before the first one that belongs to a segment), its `segments` (each with all lines
//! from behind the last segment's URI to its own URI), and its `tail` (parts of the open parent, hints, reports, the
//! end). Written one after the other they are the text that was read. Segments are shared between versions.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::position::Position;

/// A media playlist.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MediaPlaylist {
    /// Lines before the first line that belongs to a segment.
    pub head: Vec<Line>,
    /// Complete segments, oldest first.
    pub segments: Vec<Arc<Segment>>,
    /// Lines behind the last segment's URI.
    pub tail: Vec<Line>,
    /// What its lines say of it as a whole, wherever they stand.
    pub facts: Facts,
}

/// What a media playlist says of itself as a whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// EXT-X-VERSION; 1 where it is absent.
    pub version: u64,
    /// EXT-X-TARGETDURATION.
    pub target_duration: Duration,
    /// EXT-X-MEDIA-SEQUENCE; 0 where it is absent.
    pub media_sequence: u64,
    /// EXT-X-DISCONTINUITY-SEQUENCE; 0 where it is absent.
    pub discontinuity_sequence: u64,
    /// EXT-X-PLAYLIST-TYPE.
    pub kind: Option<PlaylistType>,
    /// EXT-X-SERVER-CONTROL.
    pub server_control: Option<ServerControl>,
    /// PART-TARGET of EXT-X-PART-INF.
    pub part_target: Option<Duration>,
    /// EXT-X-SKIP: this is a delta update.
    pub skip: Option<Skip>,
    /// EXT-X-ENDLIST is there: nothing will be added.
    pub is_ended: bool,
    /// EXT-X-I-FRAMES-ONLY.
    pub is_i_frames_only: bool,
}

/// EXT-X-PLAYLIST-TYPE (§4.4.3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaylistType {
    /// Segments are added, none is removed.
    Event,
    /// Nothing changes.
    Vod,
}

/// EXT-X-SERVER-CONTROL (§4.4.3.8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerControl {
    /// CAN-BLOCK-RELOAD=YES.
    pub can_block_reload: bool,
    /// CAN-SKIP-UNTIL.
    pub can_skip_until: Option<Duration>,
    /// CAN-SKIP-DATERANGES=YES.
    pub can_skip_date_ranges: bool,
    /// HOLD-BACK.
    pub hold_back: Option<Duration>,
    /// PART-HOLD-BACK.
    pub part_hold_back: Option<Duration>,
}

/// EXT-X-SKIP (§4.4.5.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Skip {
    /// SKIPPED-SEGMENTS.
    pub segments: u64,
    /// RECENTLY-REMOVED-DATERANGES; `None`: the attribute is absent.
    pub removed_date_ranges: Option<Vec<Box<str>>>,
}

/// A line with its end, and what it says.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// The line as written, its line end included.
    pub text: Box<str>,
    /// What it says.
    pub tag: Tag,
}

/// What a line outside a complete segment says. Tags of the playlist as a whole are also in [`Facts`].
#[derive(Clone, Debug, PartialEq)]
pub enum Tag {
    /// `#EXTM3U`.
    Header,
    /// EXT-X-VERSION.
    Version,
    /// EXT-X-TARGETDURATION.
    TargetDuration,
    /// EXT-X-MEDIA-SEQUENCE.
    MediaSequence,
    /// EXT-X-DISCONTINUITY-SEQUENCE.
    DiscontinuitySequence,
    /// EXT-X-SERVER-CONTROL.
    ServerControl,
    /// EXT-X-PART-INF.
    PartInf,
    /// EXT-X-SKIP.
    Skip,
    /// EXT-X-ENDLIST.
    EndList,
    /// Any other tag of the playlist as a whole: EXT-X-PLAYLIST-TYPE, EXT-X-INDEPENDENT-SEGMENTS, EXT-X-START …
    Global,
    /// EXT-X-DEFINE.
    Define(Definition),
    /// EXT-X-PART.
    Part(PartialSegment),
    /// EXT-X-PRELOAD-HINT.
    PreloadHint(PreloadHint),
    /// EXT-X-RENDITION-REPORT.
    RenditionReport(RenditionReport),
    /// EXT-X-DATERANGE with this ID.
    DateRange(Box<str>),
    /// EXT-X-MAP.
    Map(Map),
    /// EXT-X-KEY with this URI, if it has one.
    Key(Option<Box<str>>),
    /// EXT-X-DISCONTINUITY.
    Discontinuity,
    /// Another tag of the segment that follows: EXTINF, EXT-X-BYTERANGE, EXT-X-PROGRAM-DATE-TIME, EXT-X-GAP …
    OfSegment,
    /// A blank line, a comment, or a tag that is not known.
    Other,
}

/// EXT-X-DEFINE (§4.4.2.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Definition {
    /// NAME and VALUE.
    Value(Box<str>, Box<str>),
    /// IMPORT: the value is in the multivariant playlist.
    Import(Box<str>),
    /// QUERYPARAM: the value is in the URL of the playlist.
    QueryParameter(Box<str>),
}

/// A complete segment: all lines from behind the last segment's URI to its own, and what they say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Segment {
    /// Its lines as written.
    pub text: Box<str>,
    /// Where in `text` its URI stands.
    pub uri: Range<u32>,
    /// EXTINF.
    pub duration: Duration,
    /// EXT-X-BYTERANGE, its offset worked out.
    pub byte_range: Option<ByteRange>,
    /// EXT-X-DISCONTINUITY tags before its URI.
    pub discontinuities: u32,
    /// EXT-X-PROGRAM-DATE-TIME: milliseconds since 1970.
    pub program_date_time: Option<i64>,
    /// EXT-X-GAP: it does not exist.
    pub is_gap: bool,
    /// EXT-X-MAP tags among its lines.
    pub maps: Box<[Map]>,
    /// URIs of EXT-X-KEY tags among its lines.
    pub keys: Box<[Box<str>]>,
    /// Its parts, while they are listed.
    pub parts: Box<[PartialSegment]>,
    /// Lines among its own that belong to the playlist as a whole, and stay in a delta update that skips the segment.
    pub lasting: Box<[LastingLine]>,
}

/// A line inside a segment's text that belongs to the playlist as a whole.
#[derive(Clone, Debug, PartialEq)]
pub struct LastingLine {
    /// Where in the segment's text it stands, its line end included.
    pub span: Range<u32>,
    /// What it says.
    pub tag: Tag,
}

/// A range of a resource, in octets (§4.4.4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    /// Offset of the first octet.
    pub start: u64,
    /// Number of octets.
    pub length: u64,
}

/// EXT-X-MAP (§4.4.4.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Map {
    /// URI.
    pub uri: Box<str>,
    /// BYTERANGE.
    pub byte_range: Option<ByteRange>,
}

/// EXT-X-PART (§4.4.4.9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartialSegment {
    /// URI.
    pub uri: Box<str>,
    /// DURATION.
    pub duration: Duration,
    /// BYTERANGE, its offset worked out.
    pub byte_range: Option<ByteRange>,
    /// INDEPENDENT=YES.
    pub is_independent: bool,
    /// GAP=YES: it does not exist.
    pub is_gap: bool,
}

/// EXT-X-PRELOAD-HINT (§4.4.5.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreloadHint {
    /// TYPE.
    pub kind: HintKind,
    /// URI.
    pub uri: Box<str>,
    /// BYTERANGE-START and BYTERANGE-LENGTH, where either is there.
    pub range: Option<HintRange>,
}

/// TYPE of EXT-X-PRELOAD-HINT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HintKind {
    /// A partial segment.
    Part,
    /// A media initialisation section.
    Map,
}

/// Which octets of its resource a hint means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HintRange {
    /// BYTERANGE-START.
    pub start: u64,
    /// BYTERANGE-LENGTH; `None`: to the end of the resource.
    pub length: Option<u64>,
}

/// EXT-X-RENDITION-REPORT (§4.4.5.4).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RenditionReport {
    /// URI, relative to the playlist that it stands in.
    pub uri: Box<str>,
    /// LAST-MSN; `None`: as in the playlist that it stands in.
    pub last_msn: Option<u64>,
    /// LAST-PART; `None`: as in the playlist that it stands in, if that has parts.
    pub last_part: Option<u64>,
    /// Its other attributes as written, each with a comma before it: `,X-A=1,X-B="b"`.
    pub others: Box<str>,
}

impl ByteRange {
    /// Offset of the first octet behind it.
    pub fn end(&self) -> u64 {
        self.start.saturating_add(self.length)
    }
}

impl Segment {
    /// Its URI, as written.
    pub fn uri(&self) -> &str {
        &self.text[self.uri.start as usize..self.uri.end as usize]
    }

    /// The text of one of its lasting lines.
    pub fn lasting_text(&self, line: &LastingLine) -> &str {
        &self.text[line.span.start as usize..line.span.end as usize]
    }
}

impl MediaPlaylist {
    /// Media sequence number of the segment at `index` of `segments`. Segments that a delta update skips count.
    pub fn msn(&self, index: usize) -> u64 {
        self.facts.media_sequence + self.skipped() + index as u64
    }

    /// Segments that are left out of a delta update.
    pub fn skipped(&self) -> u64 {
        self.facts.skip.as_ref().map_or(0, |skip| skip.segments)
    }

    /// Media sequence number of the segment that is not complete yet: one more than that of the last complete one.
    pub fn open_msn(&self) -> u64 {
        self.msn(self.segments.len())
    }

    /// Its EXT-X-DEFINE tags, in order.
    pub fn definitions(&self) -> impl Iterator<Item = &Definition> {
        self.head.iter().filter_map(|line| match &line.tag {
            Tag::Define(definition) => Some(definition),
            _ => None,
        })
    }

    /// Parts of the segment that is not complete yet.
    pub fn open_parts(&self) -> impl Iterator<Item = &PartialSegment> {
        self.tail.iter().filter_map(|line| match &line.tag {
            Tag::Part(part) => Some(part),
            _ => None,
        })
    }

    /// The first position that is not listed yet.
    pub fn next(&self) -> Position {
        Position::new(self.open_msn(), self.open_parts().count() as u64)
    }

    /// Hints, in order; only the first of each kind counts (§6.3.8).
    pub fn hints(&self) -> impl Iterator<Item = &PreloadHint> {
        self.tail.iter().filter_map(|line| match &line.tag {
            Tag::PreloadHint(hint) => Some(hint),
            _ => None,
        })
    }

    /// Sum of the durations of its complete segments, those that a delta update skips excepted.
    pub fn duration(&self) -> Duration {
        self.segments.iter().map(|segment| segment.duration).sum()
    }
}
