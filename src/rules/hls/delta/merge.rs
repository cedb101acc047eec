//! The full playlist that a delta update stands for (§6.3.7).
//!
//! An update of segments alone gives the full playlist octet for octet. So does one that skips date ranges too, unless
//! since the copy a date range line was moved, was put before an older one, or went while its ID stayed; or unless it
//! stands in what is the first segment by now, and nothing tells on which side of another line. That is so where the
//! parts before it went, and EXT-X-KEY or EXT-X-MAP is said anew: it is put before those, where it stands if the parts
//! went first. And it is so where a remark behind it is equal to one that has left.
//!
//! Even then the result is the full playlist octet for octet once the date range lines are taken out of both; it has all
//! that are listed; and one that is listed no more has an ID that still is, so that it says nothing new (lines of an ID
//! add up, §4.4.5.1). Where a date range line stands has no meaning: it is of no segment (§4.4.5).

use std::collections::{HashMap, HashSet};
use std::iter::Peekable;
use std::slice;
use std::sync::Arc;

use super::super::dates;
use super::super::parse::lines::{Content, Scope, content, scope};
use super::super::playlist::{Facts, LastingLine, Line, MediaPlaylist, Segment, Tag};
use super::super::window::dress;
use super::{bare, line_end, with_end};

/// Lines before the tags of a segment that are compared with the end of the head; with more of them the full playlist
/// is asked for.
const LEADING_MAX: usize = 64;

/// Why a delta update cannot be merged: the full playlist must be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CannotMerge {
    /// It skips segments that the earlier version does not have, or has under other URIs.
    #[error("the update skips segments that are not known")]
    Unknown,
    /// It is no delta update.
    #[error("the playlist skips nothing")]
    Full,
}

/// The full playlist that `update` stands for, seen by somebody who has `before`, a full one. The version is that of
/// `before`, for an update has its own. What date ranges `before` lacks cannot be noticed: it is for the caller to see
/// that it is as young as §6.3.7 wants it.
///
/// # Errors
/// [`CannotMerge`] where information is missing.
pub fn merge(before: &MediaPlaylist, update: &MediaPlaylist) -> Result<MediaPlaylist, CannotMerge> {
    let skip = update.facts.skip.as_ref().ok_or(CannotMerge::Full)?;
    let at = update.head.iter().position(|line| line.tag == Tag::Skip).ok_or(CannotMerge::Unknown)?;
    let left = left(before, update)?;
    let removed = skip.removed_date_ranges.as_ref();
    let mut merge = Merge {
        before,
        left,
        skipped: &before.segments[left..left + skip.segments as usize],
        end: line_end(&update.head),
        said: dates::lines(update).map(|(line, _)| line).collect(),
        removed: removed.map(|removed| removed.iter().map(|id| &**id).collect()),
        loose: update.head[at + 1..].iter().peekable(),
        first: None,
    };
    let head = merge.head(&update.head[..at], update)?;
    let mut segments = merge.skipped();
    segments.extend(update.segments.iter().enumerate().map(|(index, segment)| merge.kept(index, segment)));
    let tail = merge.tail(update);
    restate(&before.segments[..left], &mut segments);
    let facts = Facts { skip: None, version: before.facts.version, ..update.facts.clone() };
    Ok(MediaPlaylist { head, segments, tail, facts })
}

/// What reaches forward out of segments that have left is said anew where the list begins now: the update need not say it
/// of a segment that it skips.
fn restate(gone: &[Arc<Segment>], segments: &mut [Arc<Segment>]) {
    let Some(first) = segments.first_mut().filter(|_| !gone.is_empty()) else { return };
    let led = dress::led(first, &dress::reaching_forward(gone));
    if led.text != first.text {
        *first = Arc::new(led);
    }
}

/// How many segments of `before` have left the playlist, if it has all that are skipped, and the others as they are.
fn left(before: &MediaPlaylist, update: &MediaPlaylist) -> Result<usize, CannotMerge> {
    let left = update.facts.media_sequence.checked_sub(before.facts.media_sequence).ok_or(CannotMerge::Unknown)?;
    let kept_from = left.checked_add(update.skipped()).ok_or(CannotMerge::Unknown)?;
    if before.facts.skip.is_some() || kept_from > before.segments.len() as u64 {
        return Err(CannotMerge::Unknown);
    }
    let mut both = before.segments[kept_from as usize..].iter().zip(&update.segments);
    if both.any(|(old, new)| !Arc::ptr_eq(old, new) && old.uri() != new.uri()) {
        return Err(CannotMerge::Unknown);
    }
    Ok(left as usize)
}

/// A line, and what it says if it is one of the playlist as a whole.
#[derive(Clone, Copy)]
struct Row<'p> {
    text: &'p str,
    tag: Option<&'p Tag>,
}

impl<'p> Row<'p> {
    fn of(line: &'p Line) -> Self {
        Row { text: &line.text, tag: Some(&line.tag) }
    }

    fn of_all(lines: &'p [Line]) -> impl Iterator<Item = Row<'p>> {
        lines.iter().map(Row::of)
    }

    fn of_segment(segment: &'p Segment) -> impl Iterator<Item = Row<'p>> {
        let mut lasting = segment.lasting.iter().peekable();
        let mut at = 0;
        segment.text.split_inclusive('\n').map(move |text| {
            let tag = lasting.next_if(|line| line.span.start == at).map(|line| &line.tag);
            at += text.len() as u32;
            Row { text, tag }
        })
    }

    fn is_date_range(&self) -> bool {
        matches!(self.tag, Some(Tag::DateRange(_)))
    }

    /// Whether it is not of a segment, and so may stand in the head.
    fn may_lead(&self) -> bool {
        match content(self.text) {
            Content::Nothing => true,
            Content::Tag(name, _) => scope(name) != Scope::Segment,
            Content::Uri(_) => false,
        }
    }

    /// By what it is found in another version. The values of tags of the playlist as a whole change.
    fn key(&self) -> &'p str {
        match (self.tag, content(self.text)) {
            (Some(Tag::DateRange(_) | Tag::Define(_) | Tag::Other) | None, _) => bare(self.text),
            (Some(_), Content::Tag(name, _)) if scope(name) != Scope::Segment => name,
            (Some(_), _) => bare(self.text),
        }
    }

    fn to_line(self, end: &str) -> Line {
        Line { text: with_end(self.text, end).into(), tag: self.tag.cloned().unwrap_or(Tag::Other) }
    }
}

/// A merge on its way: head first, then the segments in order, then the tail.
struct Merge<'p> {
    before: &'p MediaPlaylist,
    /// Segments of `before` that have left.
    left: usize,
    skipped: &'p [Arc<Segment>],
    end: &'static str,
    /// Date range lines that are in the update, or were put back.
    said: HashSet<&'p str>,
    /// Where date ranges are skipped too: IDs that were removed.
    removed: Option<HashSet<&'p str>>,
    /// Lines of the update between EXT-X-SKIP and the first segment that is kept.
    loose: Peekable<slice::Iter<'p, Line>>,
    /// Lines of the first segment that is kept, or of the tail, as far as they are known by now.
    first: Option<Vec<Row<'p>>>,
}

impl<'p> Merge<'p> {
    /// The lines of the head; `lines` are those before EXT-X-SKIP. Where no segment is skipped they and those of the
    /// first one that is kept are one piece: what leads a segment is the head's, once nothing else is left before it.
    fn head(&mut self, lines: &'p [Line], update: &'p MediaPlaylist) -> Result<Vec<Line>, CannotMerge> {
        let mut new: Vec<_> = Row::of_all(lines).collect();
        let mut old: Vec<_> = Row::of_all(&self.before.head).collect();
        let gone = self.before.segments[..self.left].iter();
        old.extend(gone.flat_map(|segment| Row::of_segment(segment)).filter(Row::is_date_range));
        let mut behind = Vec::new();
        if self.skipped.is_empty() {
            new.extend(self.loose.by_ref().map(Row::of));
            match update.segments.first() {
                Some(segment) => new.extend(Row::of_segment(segment)),
                None => new.extend(Row::of_all(&update.tail)),
            }
            old.extend(self.old(self.left));
        } else {
            let ahead;
            (ahead, behind) = self.led(&new)?;
            old.extend(ahead);
        }
        let mut head = self.woven(old, new);
        if self.skipped.is_empty() {
            let count = head.iter().take_while(|row| row.may_lead()).count();
            self.first = Some(head.split_off(count));
        }
        head.extend(behind);
        let is_version = |row: &Row<'_>| row.tag == Some(&Tag::Version);
        let version = self.before.head.iter().map(Row::of).find(is_version);
        let at = head.iter().position(is_version).unwrap_or(1).min(head.len());
        head.retain(|row| !is_version(row));
        head.splice(at..at, version);
        Ok(head.into_iter().map(|row| row.to_line(self.end)).collect())
    }

    /// Lines that stood between two segments are the head's once the segments before them have left. Of those before the
    /// first segment, which is skipped: which the update has at the end of its head, or would if it did not skip date
    /// ranges; and which it skipped with the segment, as only others than this node do, so that they are put behind.
    fn led(&mut self, head: &[Row<'p>]) -> Result<(Vec<Row<'p>>, Vec<Row<'p>>), CannotMerge> {
        let leading = self.leading()?;
        let dates: HashSet<_> = head.iter().filter(|row| row.is_date_range()).map(|row| bare(row.text)).collect();
        let others =
            |rows: &[Row<'p>]| rows.iter().filter(|row| !row.is_date_range()).map(|row| row.text).collect::<Vec<_>>();
        let (head, led) = (others(head), others(&leading));
        let mut there = (0..=led.len()).rev().find(|count| head.ends_with(&led[..*count])).unwrap_or_default();
        let (mut ahead, mut behind) = (Vec::new(), Vec::new());
        for row in leading {
            let is_next = |line: &&Line| bare(&line.text) == bare(row.text);
            if !row.is_date_range() {
                if there > 0 {
                    ahead.push(row)
                } else {
                    behind.push(row)
                }
                there = there.saturating_sub(1);
            } else if dates.contains(bare(row.text)) {
                ahead.push(row);
            } else if self.loose.next_if(is_next).is_some() {
                behind.push(row);
            } else if behind.is_empty() {
                // `woven` puts it back, if it is one that was skipped.
                ahead.push(row);
            } else if self.is_missing(&row) {
                behind.push(row);
            }
        }
        Ok((ahead, behind))
    }

    /// What the copy has before the tags of the first segment, if that was not the first one then.
    fn leading(&self) -> Result<Vec<Row<'p>>, CannotMerge> {
        if self.left == 0 {
            return Ok(Vec::new());
        }
        let mut leading = self.old(self.left);
        let count = leading.iter().take_while(|row| row.may_lead()).count();
        leading.truncate(count);
        if count > LEADING_MAX { Err(CannotMerge::Unknown) } else { Ok(leading) }
    }

    /// What the copy has of the segment at `index` of its list, which may have been open.
    fn old(&self, index: usize) -> Vec<Row<'p>> {
        match self.before.segments.get(index) {
            Some(segment) => Row::of_segment(segment).collect(),
            None if index == self.before.segments.len() => Row::of_all(&self.before.tail).collect(),
            None => Vec::new(),
        }
    }

    /// Whether a line of a skipped segment is still there. An update has those of the playlist as a whole, in order,
    /// except for date ranges that it skips.
    fn stays(&mut self, row: &Row<'p>) -> bool {
        let is_lasting = row.tag.is_some_and(|tag| *tag != Tag::Other);
        let is_next = |line: &&Line| bare(&line.text) == bare(row.text);
        !is_lasting || self.loose.next_if(is_next).is_some() || self.is_missing(row)
    }

    /// Whether a line of the copy is a date range that the update skips and that was not put back yet.
    fn is_missing(&mut self, row: &Row<'p>) -> bool {
        let (Some(removed), Some(Tag::DateRange(id))) = (&self.removed, row.tag) else { return false };
        !removed.contains(&**id) && self.said.insert(bare(row.text))
    }

    /// `new` with the date ranges that it skips, each behind the lines that it stands behind in `old`.
    fn woven(&mut self, old: Vec<Row<'p>>, new: Vec<Row<'p>>) -> Vec<Row<'p>> {
        if self.removed.is_none() || !old.iter().any(Row::is_date_range) {
            return new;
        }
        let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
        new.iter().enumerate().for_each(|(at, row)| places.entry(row.key()).or_default().push(at));
        let mut woven = Vec::with_capacity(new.len() + 1);
        let mut rest = new.as_slice();
        for row in old {
            if self.is_missing(&row) {
                woven.push(row);
                continue;
            }
            let from = new.len() - rest.len();
            let place = places.get(row.key()).and_then(|places| places.get(places.partition_point(|at| *at < from)));
            if let Some(at) = place {
                let (passed, behind) = rest.split_at(at + 1 - from);
                woven.extend_from_slice(passed);
                rest = behind;
            }
        }
        woven.extend_from_slice(rest);
        woven
    }

    fn skipped(&mut self) -> Vec<Arc<Segment>> {
        let mut segments = Vec::with_capacity(self.before.segments.len() + 1);
        for (index, segment) in self.skipped.iter().enumerate() {
            // What leads the first one is in the head by now.
            let leading = if index == 0 && self.left > 0 {
                Row::of_segment(segment).take_while(Row::may_lead).count()
            } else {
                0
            };
            let is_as_before = segment.lasting.is_empty() && leading == 0;
            let rest = if is_as_before { None } else { self.rest(segment, leading) };
            // Something follows, so that its last line has to end.
            segments.push(match rest {
                Some(rows) => self.rebuilt(segment, &rows, self.end),
                None if segment.text.ends_with('\n') => Arc::clone(segment),
                None => self.rebuilt(segment, &Row::of_segment(segment).collect::<Vec<_>>(), self.end),
            });
        }
        segments
    }

    /// What is left of a segment that is skipped, without its first lines; `None`: all of it.
    fn rest(&mut self, segment: &'p Segment, leading: usize) -> Option<Vec<Row<'p>>> {
        let own: Vec<_> = Row::of_segment(segment).skip(leading).collect();
        let rest: Vec<_> = own.iter().filter(|row| self.stays(row)).copied().collect();
        (leading > 0 || rest.len() < own.len()).then_some(rest)
    }

    /// A segment that is kept, at `index` of the update's. The first one begins with what is loose.
    fn kept(&mut self, index: usize, segment: &'p Arc<Segment>) -> Arc<Segment> {
        let at = self.left + self.skipped.len() + index;
        let before = self.before.segments.get(at);
        let rows = match self.first.take() {
            Some(rows) => rows,
            None => {
                let old = if self.removed.is_some() { self.old(at) } else { Vec::new() };
                let mut rows: Vec<_> = self.loose.by_ref().map(Row::of).collect();
                if rows.is_empty() && !old.iter().any(Row::is_date_range) {
                    return Arc::clone(before.filter(|before| before.text == segment.text).unwrap_or(segment));
                }
                rows.extend(Row::of_segment(segment));
                self.woven(old, rows)
            }
        };
        let whole = self.rebuilt(segment, &rows, "");
        before.filter(|before| ***before == *whole).map_or(whole, Arc::clone)
    }

    fn tail(&mut self, update: &'p MediaPlaylist) -> Vec<Line> {
        let rows = self.first.take().unwrap_or_else(|| {
            let mut rows: Vec<_> = self.loose.by_ref().map(Row::of).collect();
            rows.extend(Row::of_all(&update.tail));
            let index = self.left + self.skipped.len() + update.segments.len();
            let old = if index < self.before.segments.len() { Vec::new() } else { self.old(index) };
            self.woven(old, rows)
        });
        let last = rows.len().saturating_sub(1);
        let end = |at: usize| if at == last { "" } else { self.end };
        rows.iter().enumerate().map(|(at, row)| row.to_line(end(at))).collect()
    }

    /// `segment` with other lines around its own; `last` ends its last line if nothing does.
    fn rebuilt(&self, segment: &Segment, rows: &[Row<'_>], last: &str) -> Arc<Segment> {
        let mut text = String::with_capacity(rows.iter().map(|row| row.text.len()).sum());
        let mut lasting = Vec::new();
        let mut uri = segment.uri.clone();
        for (at, row) in rows.iter().enumerate() {
            let (start, is_last) = (text.len(), at + 1 == rows.len());
            text.push_str(&with_end(row.text, if is_last { last } else { self.end }));
            if let Some(tag) = row.tag.filter(|tag| **tag != Tag::Other) {
                lasting.push(LastingLine { span: start as u32..text.len() as u32, tag: tag.clone() });
            }
            if is_last {
                // It holds the URI.
                let moved = |at: u32| (at as usize + row.text.len() + start - segment.text.len()) as u32;
                uri = moved(uri.start)..moved(uri.end);
            }
        }
        Arc::new(Segment { text: text.into(), uri, lasting: lasting.into(), ..segment.clone() })
    }
}
