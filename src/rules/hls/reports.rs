//! Rendition reports at the moment of sending (§4.4.5.4, Appendix B.1).
//!
//! A report names the last part of another rendition, or its last segment where it has no parts. What the origin wrote
//! and what this node has seen of the rendition are both true; the later counts.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::playlist::RenditionReport;
use super::position::Position;
use super::reload::Frontier;

/// What is known of another rendition of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sibling {
    /// Its URI, relative to the playlist that is sent.
    pub uri: Box<str>,
    /// The first position that it does not list yet.
    pub next: Position,
    /// Whether it has parts.
    pub has_parts: bool,
    /// Parts of its last complete segment, as far as they are listed.
    pub closed_parts: u64,
}

/// LAST-MSN and LAST-PART.
type Last = (u64, Option<u64>);

impl Sibling {
    /// The rendition at `uri`, as far as it has come.
    pub fn new(uri: &str, frontier: &Frontier) -> Self {
        Self {
            uri: uri.into(),
            next: frontier.next,
            has_parts: frontier.part_target.is_some(),
            closed_parts: frontier.closed_parts.last().copied().unwrap_or_default(),
        }
    }

    /// Its last part, or its last segment; `None` where it lists nothing.
    fn last(&self) -> Option<Last> {
        let Position { msn, part } = self.next;
        match part.checked_sub(1) {
            Some(last) if self.has_parts => Some((msn, Some(last))),
            _ => Some((msn.checked_sub(1)?, self.closed_parts.checked_sub(1).filter(|_| self.has_parts))),
        }
    }
}

/// The report lines of a playlist: those that its origin wrote, brought up to what is known of the siblings, and those
/// of siblings that the origin left out. URIs stay as they are written; two are the same if they are so without `.`
/// segments, and with `..` worked out as far as the path goes.
pub fn write(origin: &[RenditionReport], siblings: &[Sibling]) -> String {
    let known: Vec<_> = siblings.iter().map(|sibling| (plain(&sibling.uri), sibling)).collect();
    let mut reported = vec![false; known.len()];
    let mut text = String::new();
    for report in origin {
        let uri = plain(&report.uri);
        let mut last = None;
        for (at, (_, sibling)) in known.iter().enumerate().filter(|(_, (known, _))| *known == uri) {
            reported[at] = true;
            last = last.max(sibling.last());
        }
        let last = later(report, last);
        line(&mut text, &report.uri, last, &report.others);
    }
    for ((_, sibling), _) in known.iter().zip(reported).filter(|(_, reported)| !reported) {
        if let Some((msn, part)) = sibling.last() {
            line(&mut text, &sibling.uri, (Some(msn), part), "");
        }
    }
    text
}

/// What the origin says, or what is known if that is later. An attribute that the origin left out has the value of the
/// playlist that carries the report, which is not known here: it stays out unless there is something to say.
fn later(report: &RenditionReport, known: Option<Last>) -> (Option<u64>, Option<u64>) {
    let said = (report.last_msn, report.last_part);
    match (known, report.last_msn) {
        (Some((msn, part)), Some(said_msn)) if (said_msn, report.last_part) < (msn, part) => (Some(msn), part),
        (Some((msn, part)), None) => (Some(msn), part),
        (Some(_), Some(_)) | (None, _) => said,
    }
}

fn line(text: &mut String, uri: &str, (msn, part): (Option<u64>, Option<u64>), others: &str) {
    _ = write!(text, "#EXT-X-RENDITION-REPORT:URI=\"{uri}\"");
    let mut number = |name: &str, value: Option<u64>| {
        if let Some(value) = value {
            _ = write!(text, ",{name}={value}");
        }
    };
    number("LAST-MSN", msn);
    number("LAST-PART", part);
    text.push_str(others);
    text.push('\n');
}

/// A relative URI by which it is compared.
fn plain(uri: &str) -> Cow<'_, str> {
    let (path, query) = uri.split_at(uri.find('?').unwrap_or(uri.len()));
    if !path.split('/').any(|segment| segment == "." || segment == "..") {
        return Cow::Borrowed(uri);
    }
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "." => {}
            ".." if segments.last().is_some_and(|last| !matches!(*last, "" | "..")) => _ = segments.pop(),
            _ => segments.push(segment),
        }
    }
    Cow::Owned(format!("{}{query}", segments.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(uri: &str, last_msn: Option<u64>, last_part: Option<u64>, others: &str) -> RenditionReport {
        RenditionReport { uri: uri.into(), last_msn, last_part, others: others.into() }
    }

    fn seen(uri: &str, msn: u64, part: u64, closed_parts: u64) -> Sibling {
        Sibling { uri: uri.into(), next: Position::new(msn, part), has_parts: true, closed_parts }
    }

    #[test]
    fn a_report_is_as_new_as_the_newer_of_origin_and_node() {
        for (origin, sibling, expected) in [
            ((Some(273), Some(1)), seen("a", 273, 3, 6), "LAST-MSN=273,LAST-PART=2"),
            ((Some(273), Some(4)), seen("a", 273, 3, 6), "LAST-MSN=273,LAST-PART=4"),
            ((Some(274), Some(0)), seen("a", 273, 3, 6), "LAST-MSN=274,LAST-PART=0"),
            ((Some(273), Some(5)), seen("a", 275, 0, 6), "LAST-MSN=274,LAST-PART=5"),
            ((Some(273), None), seen("a", 273, 1, 6), "LAST-MSN=273,LAST-PART=0"),
            ((None, None), seen("a", 273, 1, 6), "LAST-MSN=273,LAST-PART=0"),
            ((None, Some(7)), seen("a", 273, 1, 6), "LAST-MSN=273,LAST-PART=0"),
        ] {
            let text = write(&[said("a", origin.0, origin.1, "")], &[sibling]);
            assert_eq!(text, format!("#EXT-X-RENDITION-REPORT:URI=\"a\",{expected}\n"));
        }
    }

    #[test]
    fn a_segment_that_has_just_closed_is_reported_by_its_last_part() {
        assert_eq!(seen("a", 273, 0, 6).last(), Some((272, Some(5))));
        assert_eq!(seen("a", 273, 0, 0).last(), Some((272, None)));
        assert_eq!(Sibling { has_parts: false, ..seen("a", 273, 0, 0) }.last(), Some((272, None)));
        assert_eq!(seen("a", 0, 1, 0).last(), Some((0, Some(0))));
        assert_eq!(seen("a", 0, 0, 0).last(), None);
    }

    #[test]
    fn a_sibling_is_what_its_frontier_says() {
        let frontier = Frontier {
            next: Position::new(9, 0),
            closed_parts: vec![4, 6],
            part_target: Some(std::time::Duration::from_millis(333)),
            ..Frontier::default()
        };
        assert_eq!(Sibling::new("a", &frontier), seen("a", 9, 0, 6));
    }

    #[test]
    fn siblings_that_the_origin_left_out_come_last_and_nothing_of_its_lines_is_lost() {
        let origin = [said("./low/a.m3u8", Some(4), Some(1), ",X-GAP=\"a,b\""), said("../x/b.m3u8", None, None, "")];
        let siblings = [seen("c.m3u8", 5, 2, 3), seen("low/a.m3u8", 5, 1, 3), seen("d.m3u8", 0, 0, 0)];
        let expected = "#EXT-X-RENDITION-REPORT:URI=\"./low/a.m3u8\",LAST-MSN=5,LAST-PART=0,X-GAP=\"a,b\"\n\
                        #EXT-X-RENDITION-REPORT:URI=\"../x/b.m3u8\"\n\
                        #EXT-X-RENDITION-REPORT:URI=\"c.m3u8\",LAST-MSN=5,LAST-PART=1\n";
        assert_eq!(write(&origin, &siblings), expected);
        assert_eq!(write(&[], &[]), "");
    }

    #[test]
    fn uris_are_the_same_without_their_dots() {
        for (one, other) in [
            ("./a.m3u8", "a.m3u8"),
            ("x/../a.m3u8?t=../1", "a.m3u8?t=../1"),
            ("../../a/./b.m3u8", "../../a/b.m3u8"),
            ("x/y/../../a.m3u8", "a.m3u8"),
        ] {
            assert_eq!(plain(one), other);
        }
        assert_ne!(plain("../a.m3u8"), "a.m3u8");
    }
}
