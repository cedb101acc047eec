//! The segment that is being read: what its lines say until its URI closes it (RFC 8216bis §4.4.4).

use std::ops::Range;
use std::time::Duration;

use super::super::playlist::{ByteRange, LastingLine, Map, PartialSegment, Segment, Tag};
use super::tags::{self, Unread};
use super::values::{self, Unplaced};

/// A tag of a segment, read.
#[derive(Debug)]
pub enum OfSegment {
    /// EXTINF.
    Duration(Duration),
    /// EXT-X-BYTERANGE.
    Bytes(Unplaced),
    /// EXT-X-PROGRAM-DATE-TIME.
    Date(i64),
    /// EXT-X-GAP.
    Gap,
    /// EXT-X-PART, its range still to be placed.
    Part(PartialSegment, Option<Unplaced>),
    /// EXT-X-MAP.
    Map(Map),
    /// EXT-X-KEY.
    Key(Option<Box<str>>),
    /// EXT-X-DISCONTINUITY.
    Discontinuity,
    /// EXT-X-BITRATE, or a tag that says nothing readable and need not.
    Nothing,
}

/// Reads a tag of a segment; `None`: `name` is none.
///
/// A duration, a range or a part that cannot be read is an error, for wrong octets or positions would follow from it.
pub fn read(name: &str, value: &str) -> Option<Result<OfSegment, &'static str>> {
    Some(Ok(match name {
        "EXTINF" => return Some(extinf(value).map(OfSegment::Duration).ok_or("EXTINF cannot be read")),
        "EXT-X-PART" => match tags::part(value) {
            Ok((part, bytes)) => OfSegment::Part(part, bytes),
            Err(Unread::Ignored) => OfSegment::Nothing,
            Err(Unread::Malformed) => return Some(Err("EXT-X-PART cannot be read")),
        },
        "EXT-X-PROGRAM-DATE-TIME" => values::date_time(value).map_or(OfSegment::Nothing, OfSegment::Date),
        "EXT-X-BYTERANGE" => {
            return Some(Unplaced::read(value).map(OfSegment::Bytes).ok_or("EXT-X-BYTERANGE cannot be read"));
        }
        "EXT-X-DISCONTINUITY" => OfSegment::Discontinuity,
        "EXT-X-KEY" => tags::key(value).map_or(OfSegment::Nothing, OfSegment::Key),
        "EXT-X-MAP" => tags::map(value).map_or(OfSegment::Nothing, OfSegment::Map),
        "EXT-X-GAP" => OfSegment::Gap,
        "EXT-X-BITRATE" => OfSegment::Nothing,
        _ => return None,
    }))
}

/// The duration of `EXTINF:duration,[title]`. Its comma is often forgotten, and not needed.
fn extinf(value: &str) -> Option<Duration> {
    let comma = value.bytes().position(|octet| octet == b',');
    values::duration(value[..comma.unwrap_or(value.len())].trim_ascii())
}

impl OfSegment {
    /// What a line in the tail says by this tag, with the part before it.
    pub fn into_tag(self, previous: Option<&PartialSegment>) -> Result<Tag, &'static str> {
        Ok(match self {
            Self::Part(part, bytes) => Tag::Part(place(part, bytes, previous)?),
            Self::Map(map) => Tag::Map(map),
            Self::Key(uri) => Tag::Key(uri),
            Self::Discontinuity => Tag::Discontinuity,
            Self::Duration(_) | Self::Bytes(_) | Self::Date(_) | Self::Gap | Self::Nothing => Tag::OfSegment,
        })
    }
}

/// A range without an offset follows that of the part before it in the same parent and resource (§4.4.4.9).
fn place(
    mut part: PartialSegment,
    bytes: Option<Unplaced>,
    previous: Option<&PartialSegment>,
) -> Result<PartialSegment, &'static str> {
    let end = previous.filter(|previous| previous.uri == part.uri).and_then(|previous| previous.byte_range);
    if let Some(bytes) = bytes {
        part.byte_range =
            Some(bytes.place(end.map(|range| range.end())).ok_or("EXT-X-PART has a range without a place")?);
    }
    Ok(part)
}

/// What the lines read since the last URI say. Its lists are used again for the next segment.
#[derive(Debug, Default)]
pub struct Open {
    duration: Option<Duration>,
    bytes: Option<Unplaced>,
    discontinuities: u32,
    date: Option<i64>,
    is_gap: bool,
    maps: Vec<Map>,
    keys: Vec<Box<str>>,
    parts: Vec<PartialSegment>,
    lasting: Vec<LastingLine>,
}

impl Open {
    /// Takes on a tag of the segment.
    pub fn take(&mut self, tag: OfSegment) -> Result<(), &'static str> {
        match tag {
            OfSegment::Duration(duration) => self.duration = Some(duration),
            OfSegment::Bytes(bytes) => self.bytes = Some(bytes),
            OfSegment::Date(date) => self.date = Some(date),
            OfSegment::Gap => self.is_gap = true,
            OfSegment::Part(part, bytes) => self.parts.push(place(part, bytes, self.parts.last())?),
            OfSegment::Map(map) => self.maps.push(map),
            OfSegment::Key(uri) => self.keys.extend(uri),
            OfSegment::Discontinuity => self.discontinuities += 1,
            OfSegment::Nothing => {}
        }
        Ok(())
    }

    /// Takes on a tag of the playlist as a whole that stands at `span` among the segment's lines.
    pub fn keep(&mut self, span: Range<u32>, tag: Tag) {
        if tag != Tag::Other {
            self.lasting.push(LastingLine { span, tag });
        }
    }

    /// The segment whose lines are `text`, closed by the URI at `uri`. A range without an offset follows that of the
    /// segment before it, in the same resource (§4.4.4.2).
    pub fn close(&mut self, text: &str, uri: Range<u32>, previous: Option<&Segment>) -> Result<Segment, &'static str> {
        let duration = self.duration.take().ok_or("a URI without EXTINF")?;
        let name = &text[uri.start as usize..uri.end as usize];
        let byte_range = match self.bytes.take() {
            None => None,
            Some(bytes) => {
                let before =
                    previous.filter(|previous| previous.uri() == name).and_then(|previous| previous.byte_range);
                let range: Option<ByteRange> = bytes.place(before.map(|range| range.end()));
                Some(range.ok_or("EXT-X-BYTERANGE has a range without a place")?)
            }
        };
        Ok(Segment {
            text: text.into(),
            uri,
            duration,
            byte_range,
            discontinuities: std::mem::take(&mut self.discontinuities),
            program_date_time: self.date.take(),
            is_gap: std::mem::take(&mut self.is_gap),
            maps: drained(&mut self.maps),
            keys: drained(&mut self.keys),
            parts: drained(&mut self.parts),
            lasting: drained(&mut self.lasting),
        })
    }
}

/// What `list` holds, in exactly as much memory; the list keeps its own for the next segment.
fn drained<T>(list: &mut Vec<T>) -> Box<[T]> {
    if list.is_empty() { Box::default() } else { list.drain(..).collect() }
}
