//! A segment with lines put before it, or taken out of it: what viewers see of one that the origin wrote otherwise.

use std::ops::Range;
use std::sync::Arc;

use crate::rules::hls::parse::lines::{Content, Scope, content, scope};
use crate::rules::hls::playlist::{LastingLine, Line, Map, Segment, Tag};

/// The segment without those of its lasting lines for which `is_out`.
pub(super) fn without(segment: &Segment, is_out: impl Fn(&LastingLine) -> bool) -> Segment {
    let (out, kept): (Vec<_>, Vec<_>) = segment.lasting.iter().cloned().partition(&is_out);
    let out: Vec<_> = out.into_iter().map(|line| line.span).collect();
    cut(&Segment { lasting: kept.into(), ..segment.clone() }, &out)
}

/// The segment without its first `count` discontinuities.
pub(super) fn without_discontinuities(segment: &Segment, count: u32) -> Segment {
    let mut at = 0;
    let lines = segment.text.split_inclusive('\n').map(|line| {
        let start = at;
        at += line.len() as u32;
        (line, start..at)
    });
    let is_one = |line: &str| matches!(content(line), Content::Tag(DISCONTINUITY, _));
    let out: Vec<_> = lines.filter(|(line, _)| is_one(line)).map(|(_, span)| span).take(count as usize).collect();
    let discontinuities = segment.discontinuities.saturating_sub(out.len() as u32);
    Segment { discontinuities, ..cut(segment, &out) }
}

/// The segment without the lines `out`, in order, none of which is its URI or a lasting one.
fn cut(segment: &Segment, out: &[Range<u32>]) -> Segment {
    let mut text = String::with_capacity(segment.text.len());
    let mut at = 0;
    for line in out {
        text.push_str(&segment.text[at..line.start as usize]);
        at = line.end as usize;
    }
    text.push_str(&segment.text[at..]);
    let removed_before = |position: u32| -> u32 {
        out.iter().filter(|line| line.end <= position).map(|line| line.end - line.start).sum()
    };
    let moved = |span: &Range<u32>| span.start - removed_before(span.start)..span.end - removed_before(span.start);
    let lasting =
        segment.lasting.iter().map(|line| LastingLine { span: moved(&line.span), tag: line.tag.clone() }).collect();
    Segment { text: text.into(), uri: moved(&segment.uri), lasting, ..segment.clone() }
}

/// The segment as it may stand in another list than its own, with something behind it: without lines of the playlist as
/// a whole, and with a line end, which the last line of a playlist does not need.
pub(super) fn moved(segment: &Arc<Segment>) -> Arc<Segment> {
    let is_plain = segment.text.ends_with('\n') && !segment.lasting.iter().any(|line| is_of_the_whole(&line.tag));
    if is_plain {
        return Arc::clone(segment);
    }
    let mut moved = without(segment, |line| is_of_the_whole(&line.tag));
    if !moved.text.ends_with('\n') {
        moved.text = format!("{}\n", moved.text).into();
    }
    Arc::new(moved)
}

/// Whether a lasting line says something of the playlist itself.
pub(super) fn is_of_the_whole(tag: &Tag) -> bool {
    !matches!(tag, Tag::DateRange(_) | Tag::RenditionReport(_))
}

/// The segment with another URI.
pub(super) fn under(segment: &Segment, uri: &str) -> Segment {
    let (start, end) = (segment.uri.start as usize, segment.uri.end as usize);
    let text = format!("{}{uri}{}", &segment.text[..start], &segment.text[end..]);
    Segment { text: text.into(), uri: segment.uri.start..segment.uri.start + uri.len() as u32, ..segment.clone() }
}

/// Lines of the playlist as a whole that stand among those of `segments`.
pub(super) fn of_the_whole(segments: &[Arc<Segment>]) -> impl Iterator<Item = Line> {
    segments.iter().flat_map(|segment| {
        let lines = segment.lasting.iter().filter(|line| is_of_the_whole(&line.tag));
        lines.map(|line| Line { text: segment.lasting_text(line).into(), tag: line.tag.clone() })
    })
}

/// The segment with `lead` before its lines. Lines that say what its own lines say anew are left out.
pub(in crate::rules::hls) fn led(segment: &Segment, lead: &[Line]) -> Segment {
    let lead = needed(lead, segment);
    let start = range_line_end(segment);
    let insert = start.map(|(at, offset)| (at, format!("@{offset}")));
    let mut text: String = lead.iter().map(|line| &*line.text).collect();
    let moved_by = text.len() as u32;
    text.push_str(&segment.text);
    let mut segment = Segment { lasting: segment.lasting.clone(), ..segment.clone() };
    let (mut maps, mut keys) = (Vec::new(), Vec::new());
    for line in &lead {
        match &line.tag {
            Tag::Discontinuity => segment.discontinuities += 1,
            Tag::Map(map) => maps.push(map.clone()),
            Tag::Key(Some(uri)) => keys.push(uri.clone()),
            _ => {}
        }
    }
    segment.maps = maps.into_iter().chain(segment.maps).collect();
    segment.keys = keys.into_iter().chain(segment.keys).collect();
    move_behind(&mut segment, 0, moved_by);
    if let Some((at, offset)) = insert {
        text.insert_str((at + moved_by) as usize, &offset);
        move_behind(&mut segment, at + moved_by, offset.len() as u32);
    }
    segment.text = text.into();
    segment
}

/// Whether `now`, where the list begins, says no more than `then` did in its midst: lines before it that are not of a
/// segment are the head's by now, and what was in force before is said anew.
pub(super) fn is_restated(then: &Segment, now: &Segment) -> bool {
    let says_anew = |line: &&str| [MAP, KEY, DATE].iter().any(|tag| line.starts_with(tag));
    let own = |segment: &'_ Segment| {
        segment.text.split_inclusive('\n').skip_while(|line| may_lead(line)).map(str::to_owned).collect::<Vec<_>>()
    };
    let (then, now) = (own(then), own(now));
    then == now || now.iter().skip_while(|line| says_anew(&line.as_str()) || may_lead(line)).eq(&then)
}

/// Whether a line is not of a segment, and so may stand in the head.
fn may_lead(line: &str) -> bool {
    match content(line) {
        Content::Nothing => true,
        Content::Tag(name, _) => scope(name) != Scope::Segment,
        Content::Uri(_) => false,
    }
}

/// Whether `now` is `then` without its parts.
pub(super) fn has_lost_parts_alone(then: &Segment, now: &Segment) -> bool {
    now.parts.is_empty()
        && !then.parts.is_empty()
        && then.text.split_inclusive('\n').filter(|line| !line.starts_with(PART)).eq(now.text.split_inclusive('\n'))
}

/// Moves what stands at or behind `at` by `by`.
fn move_behind(segment: &mut Segment, at: u32, by: u32) {
    let spans = segment.lasting.iter_mut().map(|line| &mut line.span);
    for span in spans.chain([&mut segment.uri]).filter(|span| span.start >= at) {
        *span = span.start + by..span.end + by;
    }
}

/// Those of `lead` that the segment does not say anew.
fn needed<'l>(lead: &'l [Line], segment: &Segment) -> Vec<&'l Line> {
    let has_keys = segment.text.contains(KEY);
    let is_needed = |line: &&Line| match line.tag {
        Tag::Map(_) => segment.maps.is_empty(),
        Tag::Key(_) => !has_keys,
        _ => true,
    };
    lead.iter().filter(is_needed).collect()
}

/// Where the value of EXT-X-BYTERANGE ends, and the offset it leaves out because it follows the segment before, which is
/// not there any more.
fn range_line_end(segment: &Segment) -> Option<(u32, u64)> {
    let range = segment.byte_range?;
    // Of several, the last one counts.
    let at = segment.text.rfind(BYTE_RANGE)? + BYTE_RANGE.len();
    let value = segment.text[at..].lines().next()?.trim_ascii_end();
    (!value.contains('@')).then_some(((at + value.len()) as u32, range.start))
}

const KEY: &str = "#EXT-X-KEY:";
const DATE: &str = "#EXT-X-PROGRAM-DATE-TIME:";
const DISCONTINUITY: &str = "EXT-X-DISCONTINUITY";
const PART: &str = "#EXT-X-PART:";
const MAP: &str = "#EXT-X-MAP:";
const BYTE_RANGE: &str = "#EXT-X-BYTERANGE:";
/// An end of encryption, for what follows encrypted segments of another origin.
const NO_KEY: &str = "#EXT-X-KEY:METHOD=NONE";

/// The lines of `removed` that reach forward into what follows: the last EXT-X-MAP, and the last group of EXT-X-KEY
/// (§4.4.4.4, §4.4.4.5).
pub(in crate::rules::hls) fn reaching_forward(removed: &[Arc<Segment>]) -> Vec<Line> {
    let (mut map, mut keys) = (None, Vec::new());
    for segment in removed.iter().rev() {
        if map.is_none() && !segment.maps.is_empty() {
            map = last_map(segment);
        }
        if keys.is_empty() && segment.text.contains(KEY) {
            keys = key_lines(segment);
        }
        if map.is_some() && !keys.is_empty() {
            break;
        }
    }
    keys.into_iter().chain(map).collect()
}

fn last_map(segment: &Segment) -> Option<Line> {
    let map: &Map = segment.maps.last()?;
    let text = segment.text.split_inclusive('\n').rfind(|line| line.starts_with(MAP))?;
    Some(Line { text: text.into(), tag: Tag::Map(map.clone()) })
}

fn key_lines(segment: &Segment) -> Vec<Line> {
    let mut uris = segment.keys.iter().cloned();
    let lines = segment.text.split_inclusive('\n').filter(|line| line.starts_with(KEY));
    let key =
        |line: &str| Line { text: line.into(), tag: Tag::Key(line.contains("URI=").then(|| uris.next()).flatten()) };
    lines.map(key).collect()
}

/// `#EXT-X-DISCONTINUITY`.
pub(super) fn discontinuity(line_end: &str) -> Line {
    Line { text: format!("#EXT-X-DISCONTINUITY{line_end}").into(), tag: Tag::Discontinuity }
}

/// `#EXT-X-KEY:METHOD=NONE`.
pub(super) fn end_of_encryption(line_end: &str) -> Line {
    Line { text: format!("{NO_KEY}{line_end}").into(), tag: Tag::Key(None) }
}
