//! Playlist delta updates: what may be skipped, and the merge that proves it (§4.4.5.2, §6.2.5.1, §6.3.7).
//!
//! An update is the playlist's head with a raised version, EXT-X-SKIP, the lasting lines of the segments that are
//! skipped, the segments that are kept, and the tail. Of these only the first three are made; the others are shared with
//! the full playlist, except where an update that skips date ranges takes lines out of them.

mod merge;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

pub use merge::{CannotMerge, merge};

use super::dates::{Skippable, bare};
use super::directives::Skipping;
use super::playlist::{Line, MediaPlaylist, Segment, Tag};
use super::window::Published;
use crate::clock::Tick;

/// EXT-X-VERSION that EXT-X-SKIP needs (§8).
const VERSION_OF_SKIP: u64 = 9;
/// EXT-X-VERSION that EXT-X-SKIP needs where it stands for date ranges too (§8).
const VERSION_OF_SKIPPED_DATE_RANGES: u64 = 10;

/// A delta update in pieces: `head`, then the segments from `first` on, then the playlist's tail.
#[derive(Clone, Debug, PartialEq)]
pub struct Delta {
    /// Everything before the first segment that is kept: lines of the playlist's head with the version raised, the
    /// EXT-X-SKIP tag, and lasting lines of the segments that are skipped.
    pub head: String,
    /// Index of the first segment that is kept.
    pub first: usize,
    /// Kept segments out of which date ranges were taken: their indices, ascending, and what is left of their texts.
    pub thinned: Vec<(usize, String)>,
    /// What is left of the tail where date ranges were taken out of it.
    pub tail: Option<String>,
    /// From when on it may no longer be sent: a date range or a removal crosses the skip boundary then.
    pub until: Option<Tick>,
}

impl Delta {
    /// Its texts in order; `playlist` is the one that it was made of.
    pub fn pieces<'d>(&'d self, playlist: &'d MediaPlaylist) -> impl Iterator<Item = &'d str> {
        let mut thinned = self.thinned.iter().peekable();
        let kept = playlist.segments.iter().enumerate().skip(self.first).map(move |(index, segment)| {
            thinned.next_if(|(at, _)| *at == index).map_or(&*segment.text, |(_, text)| text)
        });
        let whole_tail = if self.tail.is_some() { &[] } else { &playlist.tail[..] };
        let tail = self.tail.as_deref().into_iter().chain(whole_tail.iter().map(|line| &*line.text));
        std::iter::once(self.head.as_str()).chain(kept).chain(tail)
    }
}

/// The delta update of a version at `now`; `None`: the full playlist is to be sent.
pub fn delta(published: &Published, skipping: Skipping, now: Tick) -> Option<Delta> {
    let playlist = &published.playlist;
    let control = playlist.facts.server_control.filter(|_| !playlist.facts.is_ended)?;
    let boundary = control.can_skip_until?;
    let first = first_kept(published, boundary, now);
    let dates = match skipping {
        Skipping::SegmentsAndDateRanges if control.can_skip_date_ranges => {
            Some(published.dates.skippable(boundary, now)?)
        }
        Skipping::SegmentsAndDateRanges | Skipping::Segments => None,
    };
    let says_nothing = first == 0 && dates.as_ref().is_none_or(|dates| dates.removed.is_empty());
    if says_nothing {
        return None;
    }
    Draft { playlist, first, dates }.finish()
}

/// Index of the first segment that is kept: a segment is skipped if the complete ones after it are longer than the
/// boundary together. Whoever asks has a copy that is not older than half of the boundary (§6.3.7), and may have been
/// held since for another half; lines that changed in this time are kept, with all that follows.
fn first_kept(published: &Published, boundary: Duration, now: Tick) -> usize {
    let playlist = &published.playlist;
    let mut behind = Duration::ZERO;
    let mut first = playlist.segments.len();
    while first > 0 && behind <= boundary {
        first -= 1;
        behind = behind.saturating_add(playlist.segments[first].duration);
    }
    let revised = published.revised.iter().filter(|(_, at)| now.since(*at) < boundary).map(|(msn, _)| *msn).min();
    let kept = revised.map_or(u64::MAX, |msn| msn.saturating_sub(playlist.facts.media_sequence));
    first.min(usize::try_from(kept).unwrap_or(usize::MAX))
}

/// What an update is made of.
struct Draft<'p> {
    playlist: &'p MediaPlaylist,
    first: usize,
    /// Where it skips date ranges.
    dates: Option<Skippable<'p>>,
}

impl Draft<'_> {
    fn finish(self) -> Option<Delta> {
        let head = self.head()?;
        let kept = self.playlist.segments.iter().enumerate().skip(self.first);
        let thinned = kept.filter_map(|(index, segment)| Some((index, self.thinned(segment)?))).collect();
        let tail = &self.playlist.tail;
        let tail = tail
            .iter()
            .any(|line| self.skips(line))
            .then(|| tail.iter().filter(|line| !self.skips(line)).map(|line| &*line.text).collect());
        let until = self.dates.and_then(|dates| dates.until);
        Some(Delta { head, first: self.first, thinned, tail, until })
    }

    /// `None` where the version cannot be raised: its line stands somewhere behind the head.
    fn head(&self) -> Option<String> {
        let lines = &self.playlist.head;
        let end = line_end(lines);
        let version = if self.dates.is_some() { VERSION_OF_SKIPPED_DATE_RANGES } else { VERSION_OF_SKIP };
        let version = format!("#EXT-X-VERSION:{}{end}", version.max(self.playlist.facts.version));
        let is_said = lines.iter().any(|line| line.tag == Tag::Version);
        if !is_said && says_version_later(self.playlist) {
            return None;
        }
        let mut head = String::new();
        for line in lines.iter().filter(|line| !self.skips(line)) {
            let is_version = line.tag == Tag::Version;
            head.push_str(if is_version { &version } else { &line.text });
            if line.tag == Tag::Header && !is_said {
                head.push_str(&version);
            }
        }
        self.write_skip(&mut head, end);
        for segment in &self.playlist.segments[..self.first] {
            let lasting = segment.lasting.iter().map(|line| (segment.lasting_text(line), &line.tag));
            for (text, _) in lasting.filter(|(text, tag)| !self.skips_line(text, tag)) {
                head.push_str(&with_end(text, end));
            }
        }
        Some(head)
    }

    fn write_skip(&self, head: &mut String, end: &str) {
        _ = write!(head, "#EXT-X-SKIP:SKIPPED-SEGMENTS={}", self.first);
        if let Some(dates) = &self.dates {
            _ = write!(head, ",RECENTLY-REMOVED-DATERANGES=\"{}\"", dates.removed.join("\t"));
        }
        head.push_str(end);
    }

    /// What is left of a segment that is kept; `None`: all of it.
    fn thinned(&self, segment: &Segment) -> Option<String> {
        let mut text = String::new();
        let mut from = 0;
        for line in segment.lasting.iter().filter(|line| self.skips_line(segment.lasting_text(line), &line.tag)) {
            text.push_str(&segment.text[from..line.span.start as usize]);
            from = line.span.end as usize;
        }
        if from == 0 {
            return None;
        }
        text.push_str(&segment.text[from..]);
        Some(text)
    }

    fn skips(&self, line: &Line) -> bool {
        self.skips_line(&line.text, &line.tag)
    }

    fn skips_line(&self, text: &str, tag: &Tag) -> bool {
        let is_skippable = |dates: &Skippable<'_>| dates.lines.contains(bare(text));
        matches!(tag, Tag::DateRange(_)) && self.dates.as_ref().is_some_and(is_skippable)
    }
}

fn says_version_later(playlist: &MediaPlaylist) -> bool {
    let in_segments = || playlist.segments.iter().flat_map(|segment| &segment.lasting);
    playlist.tail.iter().any(|line| line.tag == Tag::Version) || in_segments().any(|line| line.tag == Tag::Version)
}

/// The line end that a playlist uses.
fn line_end(head: &[Line]) -> &'static str {
    let is_crlf = head.first().is_some_and(|line| line.text.ends_with("\r\n"));
    if is_crlf { "\r\n" } else { "\n" }
}

/// A line that others follow.
fn with_end<'l>(line: &'l str, end: &str) -> Cow<'l, str> {
    if line.ends_with('\n') { Cow::Borrowed(line) } else { Cow::Owned(format!("{line}{end}")) }
}
