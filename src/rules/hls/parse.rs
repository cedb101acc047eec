//! Text → `MediaPlaylist`, losing no line.
//!
//! The tail begins behind the last URI, which is looked for from the end; the head ends before the first line of a
//! segment. Between them each segment is first compared with the one of the same number in the version before, and its
//! lines are read only where its text differs: an unchanged window costs little more than the comparison.
//!
//! What decides which octets or positions are meant must be readable, or the playlist is refused; whatever else cannot
//! be read is kept and says nothing.

pub(super) mod attributes;
pub(super) mod lines;
mod segment;
pub(super) mod tags;
mod values;
mod whole;

use std::sync::Arc;

use self::lines::{Content, Scope};
use self::segment::Open;
use self::whole::Whole;
use super::playlist::{LastingLine, Line, MediaPlaylist, PartialSegment, Segment, Tag};

/// Octets of a playlist; a day of one-second segments with dates takes a third of it.
const LENGTH_MAX: usize = 64 << 20;
/// Octets of a line.
const LINE_MAX: usize = 64 << 10;
/// Lines outside of complete segments: each costs a hundred octets beyond its text.
const LINES_MAX: usize = 64 << 10;

/// Why a text is no media playlist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct Malformed {
    /// Which line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: &'static str,
}

/// What a playlist is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It lists segments.
    Media,
    /// It lists renditions.
    Multivariant,
}

/// What a text is, judged by its first line (§4.4.1.1) and the first tag that only one kind has; a playlist without any
/// such tag is an empty media playlist. `None`: it is no playlist.
pub fn kind(text: &str) -> Option<Kind> {
    if !has_header(text) {
        return None;
    }
    let mut rest = text;
    while !rest.is_empty() {
        let line = lines::first(rest);
        if let Content::Tag(name, _) = lines::content(line) {
            match lines::scope(name) {
                Scope::Segment | Scope::Media => return Some(Kind::Media),
                Scope::Multivariant => return Some(Kind::Multivariant),
                Scope::Either => {}
            }
        }
        rest = &rest[line.len()..];
    }
    Some(Kind::Media)
}

/// Whether the first line is what every playlist begins with (§4.4.1.1).
pub(super) fn has_header(text: &str) -> bool {
    lines::first(text).trim_ascii_end() == "#EXTM3U"
}

/// Reads a media playlist. Segments that `before`, an earlier version that was read by this function, has word for word
/// under the same media sequence number are shared with it. A delta update may also continue a byte range of a segment
/// that it skips and `before` has.
///
/// # Errors
/// [`Malformed`] for the first line that breaks a rule without which the playlist means nothing.
pub fn parse(text: &str, before: Option<&MediaPlaylist>) -> Result<MediaPlaylist, Malformed> {
    let mut reader = Reader { text, at: 0, whole: Whole::new(), segments: Vec::new(), before };
    reader.read().map_err(|what| Malformed { line: reader.line_number(), what }).map(|(head, tail)| MediaPlaylist {
        head,
        tail,
        segments: reader.segments,
        facts: reader.whole.facts,
    })
}

/// A playlist that is being read.
struct Reader<'t> {
    text: &'t str,
    /// Where the line that is being read begins.
    at: usize,
    whole: Whole,
    segments: Vec<Arc<Segment>>,
    before: Option<&'t MediaPlaylist>,
}

type Lines = Vec<Line>;

impl<'t> Reader<'t> {
    /// Everything in order; what it returns are head and tail.
    fn read(&mut self) -> Result<(Lines, Lines), &'static str> {
        if self.text.len() > LENGTH_MAX {
            return Err("the playlist is too long");
        }
        if !has_header(self.text) {
            return Err("the first line is not #EXTM3U");
        }
        let end = lines::end_of_last_uri(self.text);
        let head = self.head()?;
        let first = self.at;
        self.segments.reserve(self.before.map_or(0, |before| before.segments.len() + 1));
        let mut open = Open::default();
        while self.at < end {
            if !self.share()? {
                self.segment(&mut open)?;
            }
        }
        let tail = self.tail(LINES_MAX - head.len())?;
        let has_media = !self.segments.is_empty() || tail.iter().any(|line| matches!(line.tag, Tag::Part(_)));
        if has_media && self.whole.facts.target_duration.is_zero() {
            self.at = first;
            return Err("EXT-X-TARGETDURATION is missing");
        }
        Ok((head, tail))
    }

    fn line_number(&self) -> usize {
        1 + memchr::memchr_iter(b'\n', &self.text.as_bytes()[..self.at]).count()
    }

    /// The line at `at`.
    fn line(&self) -> Result<&'t str, &'static str> {
        let line = lines::first(&self.text[self.at..]);
        if line.len() > LINE_MAX { Err("the line is too long") } else { Ok(line) }
    }

    /// A tag that does not belong to a segment.
    fn of_playlist(&mut self, name: &str, value: &str) -> Result<Tag, &'static str> {
        let tag = self.whole.take(name, value)?;
        if tag == Tag::Skip && !self.segments.is_empty() {
            return Err("EXT-X-SKIP behind a segment");
        }
        Ok(tag)
    }

    fn head(&mut self) -> Result<Lines, &'static str> {
        let mut head = Lines::new();
        while self.at < self.text.len() {
            let line = self.line()?;
            let tag = match lines::content(line) {
                Content::Uri(_) => break,
                Content::Tag(name, _) if lines::scope(name) == Scope::Segment => break,
                Content::Tag(name, value) => self.of_playlist(name, value)?,
                Content::Nothing => Tag::Other,
            };
            self.push(&mut head, line, tag, LINES_MAX)?;
        }
        Ok(head)
    }

    fn tail(&mut self, most: usize) -> Result<Lines, &'static str> {
        let mut tail = Lines::new();
        let mut part_at = None;
        while self.at < self.text.len() {
            let line = self.line()?;
            let tag = match lines::content(line) {
                Content::Uri(_) | Content::Nothing => Tag::Other,
                Content::Tag(name, value) => match segment::read(name, value) {
                    Some(tag) => tag?.into_tag(part_at.and_then(|at| part(&tail, at)))?,
                    None => self.of_playlist(name, value)?,
                },
            };
            if matches!(tag, Tag::Part(_)) {
                part_at = Some(tail.len());
            }
            self.push(&mut tail, line, tag, most)?;
        }
        Ok(tail)
    }

    fn push(&mut self, lines: &mut Lines, line: &str, tag: Tag, most: usize) -> Result<(), &'static str> {
        if lines.len() >= most {
            return Err("too many lines outside of segments");
        }
        lines.push(Line { text: line.into(), tag });
        self.at += line.len();
        Ok(())
    }

    /// The media sequence number of the segment at `at`.
    fn msn(&self) -> u64 {
        let facts = &self.whole.facts;
        facts.media_sequence + facts.skip.as_ref().map_or(0, |skip| skip.segments) + self.segments.len() as u64
    }

    /// The segment `msn` of the version before.
    fn earlier(&self, msn: u64) -> Option<&'t Arc<Segment>> {
        let before = self.before?;
        before.segments.get(usize::try_from(msn.checked_sub(before.msn(0))?).ok()?)
    }

    /// The segment before the one at `at`, which a delta update may have skipped.
    fn previous(&self) -> Option<&Arc<Segment>> {
        let skips = self.segments.is_empty() && self.whole.facts.skip.is_some();
        let skipped = || self.earlier(self.msn().checked_sub(1)?);
        self.segments.last().or_else(|| skips.then(skipped).flatten())
    }

    /// Shares the segment at `at` with the version before if its lines are the same, and mean the same.
    fn share(&mut self) -> Result<bool, &'static str> {
        let Some(same) = self.earlier(self.msn()) else { return Ok(false) };
        let rest = &self.text.as_bytes()[self.at..];
        if !rest.starts_with(same.text.as_bytes()) || !(same.text.ends_with('\n') || rest.len() == same.text.len()) {
            return Ok(false);
        }
        // A range may have been worked out from that of the segment before it.
        if same.byte_range.is_some() {
            let follows = self.msn().checked_sub(1).and_then(|msn| self.earlier(msn));
            if !matches!((self.previous(), follows), (Some(one), Some(other)) if Arc::ptr_eq(one, other)) {
                return Ok(false);
            }
        }
        let is_fact = |line: &&LastingLine| {
            !matches!(line.tag, Tag::DateRange(_) | Tag::Define(_) | Tag::PreloadHint(_) | Tag::RenditionReport(_))
        };
        for line in same.lasting.iter().filter(is_fact) {
            if let Content::Tag(name, value) = lines::content(same.lasting_text(line)) {
                self.of_playlist(name, value)?;
            }
        }
        self.at += same.text.len();
        self.segments.push(Arc::clone(same));
        Ok(true)
    }

    /// Reads the segment at `at`, line by line.
    fn segment(&mut self, open: &mut Open) -> Result<(), &'static str> {
        let start = self.at;
        loop {
            let line = self.line()?;
            let offset = (self.at - start) as u32; // LENGTH_MAX is far below 2^32
            match lines::content(line) {
                Content::Nothing => {}
                Content::Tag(name, value) => match segment::read(name, value) {
                    Some(tag) => open.take(tag?)?,
                    None => open.keep(offset..offset + line.len() as u32, self.of_playlist(name, value)?),
                },
                Content::Uri(uri) => {
                    let text = &self.text[start..self.at + line.len()];
                    let uri_at = offset + (uri.as_ptr().addr() - line.as_ptr().addr()) as u32;
                    let previous = self.previous().map(Arc::as_ref);
                    let segment = open.close(text, uri_at..uri_at + uri.len() as u32, previous)?;
                    let same = self.earlier(self.msn()).filter(|same| ***same == segment);
                    self.segments.push(same.map_or_else(|| Arc::new(segment), Arc::clone));
                    self.at += line.len();
                    return Ok(());
                }
            }
            self.at += line.len();
        }
    }
}

/// The part that stands at `index` of `lines`.
fn part(lines: &[Line], index: usize) -> Option<&PartialSegment> {
    match &lines.get(index)?.tag {
        Tag::Part(part) => Some(part),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
