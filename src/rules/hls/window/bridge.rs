//! How a restarted, rewound or replaced origin is bridged for viewers (RFC 8216bis §6.2.1, §6.2.2): their numbers go on,
//! an EXT-X-DISCONTINUITY stands before what is new, and a new generation of names begins.
//!
//! * What viewers have stays listed before it, for as long as it would have without the restart, unless
//!   - a name is used again: it cannot stand for two things;
//!   - parts of the open segment were published: its number may not become another segment's, it cannot be closed
//!     without a URI, and a list has no holes. So numbers go on behind it, and MEDIA-SEQUENCE rises past it;
//!   - it has an EXT-X-MAP and the new list has none, for nothing undoes that tag; or it had ended.
//! * Of the new list only its newest segments are shown, as much as time has passed since viewers' list advanced (by
//!   dates, where both have them): a player goes on by number, and would otherwise play the past. Where nothing stays
//!   listed before it, three target durations at least (§6.2.2).

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::Published;
use super::dress;
use super::lines;
use super::numbering::{Floor, Numbering, open_discontinuities};
use super::relation::{self, end_date};
use crate::rules::hls::playlist::{Line, MediaPlaylist, Segment, Tag};
use crate::rules::hls::position::Position;

/// Where viewers are when the origin is replaced.
pub(super) struct Shore<'w> {
    /// What they see, if it is known.
    pub(super) published: Option<&'w Published>,
    /// The first position that they have not seen.
    pub(super) next: Position,
    /// The discontinuity sequence number of the last thing they saw.
    pub(super) discontinuity: u64,
    /// Time since their list advanced.
    pub(super) gap: Duration,
}

/// How it goes on.
pub(super) struct Bridge {
    pub(super) numbering: Numbering,
    /// Whether what viewers have stays listed.
    pub(super) keeps: bool,
    /// Lines before the first segment of the new generation.
    pub(super) lead: Vec<Line>,
}

impl Shore<'_> {
    /// The bridge to `new`; `None`: there is nothing yet that viewers could go on with.
    pub(super) fn bridge(&self, new: &MediaPlaylist) -> Option<Bridge> {
        let kept = self.published.filter(|published| self.can_keep(published, new));
        let first = match kept {
            _ if new.facts.is_ended => 0,
            Some(published) => self.newer(published, new).unwrap_or_else(|| newest(new, self.gap)),
            None => newest(new, self.gap.max(new.facts.target_duration * 3)),
        };
        if first == new.segments.len() && new.open_parts().next().is_none() {
            return None;
        }
        let own = new.segments.get(first).map_or_else(|| open_discontinuities(new), |floor| floor.discontinuities);
        let floor = Floor { msn: new.msn(first), is_marked: own == 0 };
        let start = self.next.msn + u64::from(self.next.part > 0);
        let before: u64 = new.segments[..first].iter().map(|segment| u64::from(segment.discontinuities)).sum();
        let origins = new.facts.discontinuity_sequence + before;
        let numbering = Numbering {
            shift: start as i64 - floor.msn as i64,
            discontinuity_shift: (self.discontinuity + u64::from(floor.is_marked)) as i64 - origins as i64,
            floor: Some(floor),
        };
        let lead = lead(new, first, floor, kept.map(|published| &published.playlist));
        Some(Bridge { numbering, keeps: kept.is_some(), lead })
    }

    fn can_keep(&self, published: &Published, new: &MediaPlaylist) -> bool {
        let old = &published.playlist;
        let span = old.duration();
        let has_map = |segments: &[Arc<Segment>]| segments.iter().any(|segment| !segment.maps.is_empty());
        let is_mapped = has_map(&new.segments) || new.tail.iter().any(|line| matches!(line.tag, Tag::Map(_)));
        let taken = name_set(&old.segments);
        self.next.part == 0
            && !old.facts.is_ended
            && self.gap < span
            && (is_mapped || !has_map(&old.segments))
            && !names(&new.segments, new).any(|name| taken.contains(&name))
    }

    /// The first segment of `new` that begins where viewers' list ends, by dates; `None` where they cannot be compared.
    fn newer(&self, published: &Published, new: &MediaPlaylist) -> Option<usize> {
        let (end, mut start) = (end_date(&published.playlist)?, end_date(new)?);
        let target = new.facts.target_duration;
        let millis = |duration: Duration| duration.as_millis() as i64;
        let is_near = start >= end - millis(target * 3 / 2) && start <= end + millis(self.gap + target * 3);
        if !is_near {
            return None;
        }
        let later = new.segments.iter().rev().take_while(|segment| {
            start = segment.program_date_time.unwrap_or(start - millis(segment.duration));
            start >= end - millis(segment.duration) / 2
        });
        Some(new.segments.len() - later.count())
    }
}

/// The first of the newest segments that, with what is open, last as long as `duration`.
fn newest(new: &MediaPlaylist, duration: Duration) -> usize {
    let mut sum: Duration = new.open_parts().map(|part| part.duration).sum();
    let taken = new.segments.iter().rev().take_while(|segment| {
        let is_short = sum < duration;
        sum += segment.duration;
        is_short
    });
    new.segments.len() - taken.count()
}

fn lead(new: &MediaPlaylist, first: usize, floor: Floor, kept: Option<&MediaPlaylist>) -> Vec<Line> {
    let end = lines::line_end(new);
    let mut lead: Vec<Line> = floor.is_marked.then(|| dress::discontinuity(end)).into_iter().collect();
    let reaching = dress::reaching_forward(&new.segments[..first]);
    let is_encrypted = kept.is_some_and(|old| old.segments.iter().any(|segment| !segment.keys.is_empty()));
    if is_encrypted && !reaching.iter().any(|line| matches!(line.tag, Tag::Key(_))) {
        lead.push(dress::end_of_encryption(end));
    }
    lead.extend(reaching);
    lead
}

/// The lines before the first segment of a generation that was bridged before, found again in `new`.
pub(super) fn lead_again(new: &MediaPlaylist, floor: Floor) -> Vec<Line> {
    let first = floor.msn.saturating_sub(new.msn(0)).min(new.segments.len() as u64);
    lead(new, first as usize, floor, None)
}

/// The names of `segments`, and of what is open or hinted in `list`, hashed.
pub(super) fn names<'p>(segments: &'p [Arc<Segment>], list: &'p MediaPlaylist) -> impl Iterator<Item = u64> {
    let closed = segments.iter().flat_map(|segment| names_of(segment));
    let open = list.tail.iter().filter_map(|line| match &line.tag {
        Tag::Part(part) => Some(&*part.uri),
        Tag::PreloadHint(hint) => Some(&*hint.uri),
        Tag::Map(map) => Some(&*map.uri),
        _ => None,
    });
    closed.chain(open).map(relation::name_of_uri)
}

/// The names of `segments`, hashed.
pub(super) fn name_set(segments: &[Arc<Segment>]) -> HashSet<u64> {
    segments.iter().flat_map(|segment| names_of(segment)).map(relation::name_of_uri).collect()
}

fn names_of(segment: &Segment) -> impl Iterator<Item = &str> {
    let maps = segment.maps.iter().map(|map| &*map.uri);
    let parts = segment.parts.iter().map(|part| &*part.uri);
    maps.chain(parts).chain([segment.uri()])
}
