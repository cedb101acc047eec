//! When date ranges came and went: what a delta update that skips them may leave out (§4.4.5.2, §6.2.5.1).
//!
//! A line counts by its text, for an ID can gain further lines, and each has its own age. An ID is removed when its last
//! line has gone. Lines of the first version count as listed long ago. What is listed is shared between versions, and
//! costs nothing where no date range came or went. Both lists are bounded; where a bound bites, or a removal is
//! forgotten, the moment is kept, and until the skip boundary has passed it nobody is told what may be skipped.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::playlist::{MediaPlaylist, Tag};
use crate::clock::Tick;

/// Lines that are remembered.
pub const LISTED_MAX: usize = 8_192;
/// Removals that are remembered.
pub const REMOVED_MAX: usize = 1_024;

/// When each EXT-X-DATERANGE line was first seen, and each ID removed. Bounded by what the playlist lists and by what
/// left it within its skip boundary, and by [`LISTED_MAX`] and [`REMOVED_MAX`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DateRanges {
    /// In the playlist's order; `None` before the first version.
    listed: Option<Arc<[Listed]>>,
    /// Oldest first.
    removed: Arc<[Removed]>,
    /// The newest removal that may have been forgotten.
    forgotten: Option<Tick>,
}

#[derive(Clone, Debug, PartialEq)]
struct Listed {
    /// The line without its end.
    line: Arc<str>,
    id: Arc<str>,
    /// `None`: long ago.
    since: Option<Tick>,
}

#[derive(Clone, Debug, PartialEq)]
struct Removed {
    id: Arc<str>,
    at: Tick,
}

impl DateRanges {
    /// Takes on what `playlist` lists at `now`. In the first version everything counts as seen long ago.
    pub fn advance(&mut self, playlist: &MediaPlaylist, now: Tick) {
        let is_as_before = self.listed.as_ref().is_some_and(|listed| {
            let mut known = listed.iter();
            lines(playlist).all(|(line, _)| known.next().is_some_and(|listed| *listed.line == *line))
                && known.next().is_none()
        });
        if !is_as_before {
            self.change(playlist, now);
        }
        let boundary = playlist.facts.server_control.and_then(|control| control.can_skip_until).unwrap_or_default();
        let crossed = self.removed.iter().take_while(|removed| has_crossed(removed.at, boundary, now)).count();
        self.forget(crossed.max(self.removed.len().saturating_sub(REMOVED_MAX)));
    }

    fn change(&mut self, playlist: &MediaPlaylist, now: Tick) {
        let first = self.listed.is_none();
        let before = self.listed.take().unwrap_or_default();
        let known: HashMap<&str, &Listed> = before.iter().map(|listed| (&*listed.line, listed)).collect();
        let listed: Arc<[Listed]> = lines(playlist)
            .take(LISTED_MAX)
            .map(|(line, id)| match known.get(line) {
                Some(listed) => (*listed).clone(),
                None => Listed { line: line.into(), id: id.into(), since: (!first).then_some(now) },
            })
            .collect();
        let ids: HashSet<&str> = listed.iter().map(|listed| &*listed.id).collect();
        let mut gone = HashSet::new();
        let removals = before
            .iter()
            .filter(|listed| !ids.contains(&*listed.id) && gone.insert(&*listed.id))
            .map(|listed| Removed { id: listed.id.clone(), at: now });
        let still_removed = self.removed.iter().filter(|removed| !ids.contains(&*removed.id)).cloned();
        self.removed = still_removed.chain(removals).collect();
        if listed.len() == LISTED_MAX {
            self.forgotten = Some(now);
        }
        self.listed = Some(listed);
    }

    /// Forgets the oldest removals.
    fn forget(&mut self, count: usize) {
        if let Some(newest) = count.checked_sub(1) {
            self.forgotten = self.forgotten.max(Some(self.removed[newest].at));
            self.removed = self.removed[count..].into();
        }
    }

    /// What an update at `now` that skips date ranges leaves out and tells; `None` where that is not known for all of
    /// the time since the skip boundary.
    pub(super) fn skippable(&self, boundary: Duration, now: Tick) -> Option<Skippable<'_>> {
        if self.forgotten.is_some_and(|at| !has_crossed(at, boundary, now)) {
            return None;
        }
        let mut skippable = Skippable::default();
        let mut crosses = |at: Tick| {
            let then = at + boundary + Duration::from_nanos(1);
            skippable.until = Some(skippable.until.map_or(then, |until| until.min(then)));
        };
        for listed in self.listed.iter().flat_map(|listed| listed.iter()) {
            match listed.since.filter(|since| !has_crossed(*since, boundary, now)) {
                Some(since) => crosses(since),
                None => _ = skippable.lines.insert(&*listed.line),
            }
        }
        for removed in self.removed.iter().filter(|removed| !has_crossed(removed.at, boundary, now)) {
            crosses(removed.at);
            skippable.removed.push(&removed.id);
        }
        // Neither can be said in a list whose members are parted by tabs.
        let is_sayable = |id: &&str| !id.is_empty() && !id.contains(['\t', '"']);
        skippable.removed.iter().all(is_sayable).then_some(skippable)
    }
}

/// What may be left out of a delta update, and what has to be said.
#[derive(Debug, Default)]
pub(super) struct Skippable<'d> {
    /// Lines first seen longer ago than the skip boundary, without their ends.
    pub lines: HashSet<&'d str>,
    /// IDs removed within the skip boundary, oldest first.
    pub removed: Vec<&'d str>,
    /// From when on something of this is no longer so.
    pub until: Option<Tick>,
}

/// Whether what happened at `at` lies further back than the boundary.
fn has_crossed(at: Tick, boundary: Duration, now: Tick) -> bool {
    now.since(at) > boundary
}

/// A line without its end.
pub(super) fn bare(line: &str) -> &str {
    line.trim_end_matches(['\r', '\n'])
}

/// The date range lines of a playlist, in order, without their ends; and their IDs.
pub(super) fn lines(playlist: &MediaPlaylist) -> impl Iterator<Item = (&str, &str)> {
    let inside = playlist
        .segments
        .iter()
        .flat_map(|segment| segment.lasting.iter().map(|line| (segment.lasting_text(line), &line.tag)));
    let head = playlist.head.iter().map(|line| (&*line.text, &line.tag));
    let all = head.chain(inside).chain(playlist.tail.iter().map(|line| (&*line.text, &line.tag)));
    all.filter_map(|(text, tag)| match tag {
        Tag::DateRange(id) => Some((bare(text), &**id)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::hls::parse::parse;

    const BOUNDARY: Duration = Duration::from_secs(6);

    fn at(second: u64) -> Tick {
        Tick::at(Duration::from_secs(second))
    }

    /// Date ranges with these IDs.
    fn listing(ids: impl IntoIterator<Item = String>) -> MediaPlaylist {
        let lines = ids.into_iter().map(|id| format!("#EXT-X-DATERANGE:ID=\"{id}\"\n")).collect::<String>();
        let head = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-SERVER-CONTROL:CAN-SKIP-UNTIL=6\n";
        parse(&format!("{head}{lines}#EXTINF:1,\na.mp4\n"), None).expect("a playlist")
    }

    fn names(names: &str) -> MediaPlaylist {
        listing(names.split_whitespace().map(str::to_owned))
    }

    fn advanced(versions: &[(&str, u64)]) -> DateRanges {
        let mut dates = DateRanges::default();
        versions.iter().for_each(|(ids, second)| dates.advance(&names(ids), at(*second)));
        dates
    }

    #[test]
    fn what_the_first_version_lists_was_there_long_ago() {
        let dates = advanced(&[("a b", 0), ("a b c", 0)]);
        let skippable = dates.skippable(BOUNDARY, at(0)).unwrap();
        assert_eq!(skippable.lines.len(), 2);
        assert_eq!(skippable.until, Some(at(6) + Duration::from_nanos(1)));
        assert_eq!(dates.skippable(BOUNDARY, at(7)).unwrap().lines.len(), 3);
    }

    #[test]
    fn an_id_is_removed_until_the_boundary_has_passed_or_it_is_back() {
        let removed = |dates: &DateRanges, second| {
            dates.skippable(BOUNDARY, at(second)).unwrap().removed.into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        let dates = advanced(&[("a b c", 0), ("c", 1), ("c", 2)]);
        assert_eq!(removed(&dates, 7), ["a", "b"]);
        assert!(removed(&dates, 8).is_empty());
        assert_eq!(removed(&advanced(&[("a b c", 0), ("c", 1), ("a c", 2)]), 7), ["b"]);
    }

    #[test]
    fn versions_share_what_did_not_change() {
        let one = advanced(&[("a b", 0)]);
        let mut other = one.clone();
        other.advance(&names("a b"), at(9));
        assert!(Arc::ptr_eq(one.listed.as_ref().unwrap(), other.listed.as_ref().unwrap()));
    }

    #[test]
    fn an_id_that_cannot_be_said_is_not_left_out() {
        assert!(advanced(&[("a\u{b}b", 0), ("", 1)]).skippable(BOUNDARY, at(1)).is_some());
        let mut dates = DateRanges::default();
        dates.advance(&listing(["a\tb".to_owned()]), at(0));
        dates.advance(&names(""), at(1));
        assert!(dates.skippable(BOUNDARY, at(7)).is_none());
        assert!(dates.skippable(BOUNDARY, at(8)).is_some());
    }

    #[test]
    fn beyond_its_bounds_nobody_is_told_what_to_skip() {
        let many = |count: usize| listing((0..count).map(|id| id.to_string()));
        let mut dates = DateRanges::default();
        dates.advance(&many(REMOVED_MAX + 2), at(0));
        dates.advance(&names("0"), at(1));
        assert_eq!(dates.removed.len(), REMOVED_MAX);
        assert!(dates.skippable(BOUNDARY, at(7)).is_none());
        assert!(dates.skippable(BOUNDARY, at(8)).is_some());
        dates.advance(&many(LISTED_MAX + 5), at(10));
        assert_eq!(dates.listed.as_ref().unwrap().len(), LISTED_MAX);
        assert!(dates.skippable(BOUNDARY, at(16)).is_none());
        dates.advance(&names("0"), at(17));
        assert!(dates.removed.len() <= REMOVED_MAX);
    }

    #[test]
    fn a_boundary_that_grew_does_not_make_up_for_what_was_forgotten() {
        let dates = advanced(&[("a b", 0), ("b", 1), ("b", 8)]);
        assert!(dates.skippable(BOUNDARY, at(8)).is_some());
        assert!(dates.skippable(BOUNDARY * 2, at(8)).is_none());
    }
}
