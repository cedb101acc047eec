//! Tags of the playlist as a whole: each at most once where the specification says so (RFC 8216bis §4.4.2, §4.4.3), and
//! what they come to.

use std::time::Duration;

use super::super::playlist::{Facts, PlaylistType, Tag};
use super::lines::{Scope, scope};
use super::{tags, values};

/// Segments that a delta update may skip: numbers behind them cannot overflow.
const SKIPPED_MAX: u64 = 1 << 32;

/// What the lines read so far say.
#[derive(Debug)]
pub struct Whole {
    /// In the playlist's own words.
    pub facts: Facts,
    /// One bit for each tag that may occur once, in the order of `take`.
    seen: u16,
}

impl Whole {
    /// Before the first line.
    pub fn new() -> Self {
        Self { facts: Facts { version: 1, ..Facts::default() }, seen: 0 }
    }

    /// Takes on the tag `name`, which does not belong to a segment. One of these that says nothing readable is
    /// [`Tag::Other`] unless its value decides what the playlist means.
    pub fn take(&mut self, name: &str, value: &str) -> Result<Tag, &'static str> {
        let (place, tag) = match name {
            "EXT-X-DATERANGE" => return Ok(tags::date_range(value).map_or(Tag::Other, Tag::DateRange)),
            "EXT-X-RENDITION-REPORT" => {
                return Ok(tags::rendition_report(value).map_or(Tag::Other, Tag::RenditionReport));
            }
            "EXT-X-PRELOAD-HINT" => return Ok(tags::preload_hint(value).map_or(Tag::Other, Tag::PreloadHint)),
            "EXT-X-DEFINE" => return Ok(tags::define(value).map_or(Tag::Other, Tag::Define)),
            "EXTM3U" => (0, Tag::Header),
            "EXT-X-VERSION" => (1, Tag::Version),
            "EXT-X-TARGETDURATION" => (2, Tag::TargetDuration),
            "EXT-X-MEDIA-SEQUENCE" => (3, Tag::MediaSequence),
            "EXT-X-DISCONTINUITY-SEQUENCE" => (4, Tag::DiscontinuitySequence),
            "EXT-X-SERVER-CONTROL" => (5, Tag::ServerControl),
            "EXT-X-PART-INF" => (6, Tag::PartInf),
            "EXT-X-SKIP" => (7, Tag::Skip),
            "EXT-X-ENDLIST" => (8, Tag::EndList),
            "EXT-X-PLAYLIST-TYPE" => (9, Tag::Global),
            "EXT-X-I-FRAMES-ONLY" => (10, Tag::Global),
            "EXT-X-INDEPENDENT-SEGMENTS" => (11, Tag::Global),
            "EXT-X-START" => (12, Tag::Global),
            _ if scope(name) == Scope::Multivariant => return Err("a tag of multivariant playlists"),
            _ => return Ok(Tag::Other),
        };
        if self.seen & (1 << place) != 0 {
            return Err("a tag that may occur once occurs again");
        }
        self.seen |= 1 << place;
        self.learn(name, value)?;
        Ok(tag)
    }

    fn learn(&mut self, name: &str, value: &str) -> Result<(), &'static str> {
        let facts = &mut self.facts;
        let sequence = |what| values::sequence(value).ok_or(what);
        match name {
            "EXT-X-VERSION" => facts.version = values::integer(value).ok_or("EXT-X-VERSION cannot be read")?,
            "EXT-X-TARGETDURATION" => facts.target_duration = target_duration(value)?,
            "EXT-X-MEDIA-SEQUENCE" => facts.media_sequence = sequence("EXT-X-MEDIA-SEQUENCE cannot be read")?,
            "EXT-X-DISCONTINUITY-SEQUENCE" => {
                facts.discontinuity_sequence = sequence("EXT-X-DISCONTINUITY-SEQUENCE cannot be read")?;
            }
            "EXT-X-SERVER-CONTROL" => facts.server_control = tags::server_control(value).ok(),
            "EXT-X-PART-INF" => facts.part_target = tags::part_target(value).ok(),
            "EXT-X-SKIP" => {
                let skip = tags::skip(value).ok().filter(|skip| skip.segments <= SKIPPED_MAX);
                facts.skip = Some(skip.ok_or("EXT-X-SKIP cannot be read")?);
            }
            "EXT-X-ENDLIST" => facts.is_ended = true,
            "EXT-X-PLAYLIST-TYPE" => facts.kind = playlist_type(value),
            "EXT-X-I-FRAMES-ONLY" => facts.is_i_frames_only = true,
            _ => {}
        }
        Ok(())
    }
}

/// EXT-X-TARGETDURATION (§4.4.3.1): whole seconds, at least one.
fn target_duration(value: &str) -> Result<Duration, &'static str> {
    let whole = values::integer(value).and_then(|_| values::duration(value));
    whole.filter(|target| !target.is_zero()).ok_or("EXT-X-TARGETDURATION cannot be read")
}

fn playlist_type(value: &str) -> Option<PlaylistType> {
    match value {
        "EVENT" => Some(PlaylistType::Event),
        "VOD" => Some(PlaylistType::Vod),
        _ => None,
    }
}
