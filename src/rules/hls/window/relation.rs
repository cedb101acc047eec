//! How a version that the origin published stands to the one before: a continuation, an older version of the same list,
//! or something else under the same URL (RFC 8216bis §6.2.1).
//!
//! A segment is the same if its path and byte range are: a query may hold a token that is written anew in each version.
//! A list that goes less far is an older version only as long as nothing in it contradicts the newer one; durations and
//! dates count as well then, because a restarted packager likes to use its names again.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::rules::hls::playlist::{ByteRange, MediaPlaylist, PartialSegment, Segment};
use crate::rules::hls::position::Position;

/// How a version stands to an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    /// The same list, as far or further.
    Follows,
    /// The same list, less far.
    Behind,
    /// Lower numbers, and nothing in common.
    Below,
    /// Another list.
    Other,
}

/// How `new` stands to `last`, both as their origin published them.
pub(super) fn of(last: &MediaPlaylist, new: &MediaPlaylist) -> Relation {
    let is_less = goes_less_far(last, new);
    let same = |old: &Arc<Segment>, now: &Arc<Segment>| {
        Arc::ptr_eq(old, now) || (is_same(old, now) && (!is_less || is_same_in_time(old, now)))
    };
    let (first, end) = (last.msn(0).max(new.msn(0)), last.open_msn().min(new.open_msn()));
    if first < end {
        let of = |playlist: &MediaPlaylist| (first - playlist.msn(0)) as usize;
        let pairs = last.segments[of(last)..].iter().zip(&new.segments[of(new)..]);
        if !pairs.into_iter().all(|(old, now)| same(old, now)) {
            return Relation::Other;
        }
    }
    if !has_same_parts(last, new)
        || (first >= end && is_unknown(last, new))
        || (is_less && first >= end && is_later_in_time(last, new))
    {
        return Relation::Other;
    }
    match is_less {
        true if first < end => Relation::Behind,
        true => Relation::Below,
        false => Relation::Follows,
    }
}

/// How `new`, which another origin published, stands to `last`. Names say little then: packagers like the same ones. It
/// is the same list only where both list the same segments at the same times under the same numbers.
pub(super) fn across(last: &MediaPlaylist, new: &MediaPlaylist) -> Relation {
    let (first, end) = (last.msn(0).max(new.msn(0)), last.open_msn().min(new.open_msn()));
    let of = |playlist: &MediaPlaylist| (first.saturating_sub(playlist.msn(0))) as usize;
    let is_twin = first < end && {
        let mut pairs = last.segments[of(last)..].iter().zip(&new.segments[of(new)..]);
        pairs.all(|(old, now)| is_same(old, now) && is_same_in_time(old, now))
    };
    match is_twin && has_same_parts(last, new) {
        false => Relation::Other,
        true if goes_less_far(last, new) => Relation::Behind,
        true => Relation::Follows,
    }
}

/// Whether `new` comes as far as `last`, by dates, but for a target duration; `None`: they cannot be compared.
pub(super) fn is_as_late(last: &MediaPlaylist, new: &MediaPlaylist) -> Option<bool> {
    let target = new.facts.target_duration.as_millis() as i64;
    Some(end_date(new)? >= end_date(last)? - target)
}

fn goes_less_far(last: &MediaPlaylist, new: &MediaPlaylist) -> bool {
    // The end may come without the parts of a segment that was never closed.
    let ends = new.facts.is_ended && new.open_msn() == last.open_msn();
    let reopens = last.facts.is_ended && !new.facts.is_ended && new.next() <= last.next();
    (new.next() < last.next() && !ends) || reopens
}

/// Whether two segments have the same name.
pub(super) fn is_same(one: &Segment, other: &Segment) -> bool {
    path(one.uri()) == path(other.uri()) && one.byte_range == other.byte_range
}

fn is_same_in_time(old: &Segment, now: &Segment) -> bool {
    let dates = (old.program_date_time, now.program_date_time);
    old.duration == now.duration && !matches!(dates, (Some(one), Some(other)) if one != other)
}

/// A URI without its query and fragment.
pub(super) fn path(uri: &str) -> &str {
    uri.find(['?', '#']).map_or(uri, |end| &uri[..end])
}

/// Whether the parts of the segment that is open in the shorter list are the same as far as both list them.
fn has_same_parts(last: &MediaPlaylist, new: &MediaPlaylist) -> bool {
    let msn = last.open_msn().min(new.open_msn());
    parts_of(last, msn).zip(parts_of(new, msn)).all(|(old, now)| is_same_part(old, now))
}

/// Whether `new`, that shares no complete segment with `last`, has closed the one that was open and does not say which
/// parts it had: nothing shows that the parts that viewers know are of it. A stream's first segment may say none.
fn is_unknown(last: &MediaPlaylist, new: &MediaPlaylist) -> bool {
    let msn = last.open_msn();
    let has_closed = new.msn(0) <= msn && msn < new.open_msn();
    let has_begun = last.segments.is_empty() && new.segments.len() == 1;
    let is_told = last.open_parts().next().is_some();
    has_closed && !has_begun && is_told && parts_of(new, msn).next().is_none()
}

fn is_same_part(one: &PartialSegment, other: &PartialSegment) -> bool {
    path(&one.uri) == path(&other.uri) && one.byte_range == other.byte_range
}

/// The listed parts of a segment, open or not.
fn parts_of(playlist: &MediaPlaylist, msn: u64) -> impl Iterator<Item = &PartialSegment> {
    let index = msn.checked_sub(playlist.msn(0)).map(|index| index as usize);
    let closed = index.and_then(|index| playlist.segments.get(index)).map_or(&[][..], |segment| &segment.parts[..]);
    let open = (msn == playlist.open_msn()).then(|| playlist.open_parts());
    closed.iter().chain(open.into_iter().flatten())
}

/// Whether everything in `new` is of a later date than `last`, although its numbers are lower.
fn is_later_in_time(last: &MediaPlaylist, new: &MediaPlaylist) -> bool {
    let first = new.segments.iter().find_map(|segment| segment.program_date_time);
    matches!((end_date(last), first), (Some(end), Some(first)) if first >= end)
}

/// When a playlist's last complete segment ends, in milliseconds since 1970, if it has dates.
pub(super) fn end_date(playlist: &MediaPlaylist) -> Option<i64> {
    let mut behind = 0;
    for segment in playlist.segments.iter().rev() {
        behind += segment.duration.as_millis() as i64;
        if let Some(date) = segment.program_date_time {
            return Some(date + behind);
        }
    }
    None
}

/// Segments that a mark knows by name.
const MARKED: usize = 4;
/// Parts of the open segment that a mark knows by name.
const MARKED_PARTS: usize = 16;

/// Where a list has come to, in the origin's numbers: enough to tell a continuation without the list itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// The first position that it does not list.
    next: Position,
    /// Names of its last complete segments, oldest first.
    segments: Vec<u64>,
    /// Names of its first open parts.
    parts: Vec<u32>,
}

/// What a mark and a list have in common.
#[derive(Clone, Copy, Debug, Default)]
struct Common {
    same: usize,
    other: usize,
}

impl Mark {
    pub(super) fn of(playlist: &MediaPlaylist) -> Self {
        let from = playlist.segments.len().saturating_sub(MARKED);
        let segments = playlist.segments[from..].iter().map(|segment| name(segment)).collect();
        Self {
            next: playlist.next(),
            segments,
            parts: playlist.open_parts().take(MARKED_PARTS).map(part_name).collect(),
        }
    }

    /// How `new` stands to the list that was marked.
    pub(super) fn relation(&self, new: &MediaPlaylist) -> Relation {
        let common = self.common(new);
        let ends = new.facts.is_ended && new.open_msn() == self.next.msn;
        let is_less = new.next() < self.next && !ends;
        let has_closed = new.msn(0) <= self.next.msn && self.next.msn < new.open_msn();
        let has_begun = self.segments.is_empty() && new.segments.len() == 1;
        match common {
            Common { other: 1.., .. } => Relation::Other,
            // As where the list itself is known.
            Common { same: 0, .. } if !self.parts.is_empty() && has_closed && !has_begun => Relation::Other,
            _ if !is_less => Relation::Follows,
            Common { same: 1.., .. } => Relation::Behind,
            _ => Relation::Other,
        }
    }

    /// The number of its last complete segment.
    pub(super) fn last_msn(&self) -> u64 {
        self.next.msn.saturating_sub(1)
    }

    /// Whether `new` has something of the list that was marked, and nothing else in its place.
    pub(super) fn is_in(&self, new: &MediaPlaylist) -> bool {
        matches!(self.common(new), Common { same: 1.., other: 0 })
    }

    fn common(&self, new: &MediaPlaylist) -> Common {
        let first = self.next.msn.saturating_sub(self.segments.len() as u64);
        let segments = self.segments.iter().zip(first..).filter_map(|(known, msn)| {
            let listed = new.segments.get(msn.checked_sub(new.msn(0))? as usize)?;
            Some(*known == name(listed))
        });
        let parts = self.parts.iter().zip(parts_of(new, self.next.msn)).map(|(known, part)| *known == part_name(part));
        segments.chain(parts).fold(Common::default(), |common, is_same| Common {
            same: common.same + usize::from(is_same),
            other: common.other + usize::from(!is_same),
        })
    }
}

fn name(segment: &Segment) -> u64 {
    hash(name_of_uri(segment.uri()), &range_octets(segment.byte_range))
}

/// The name that a URI stands for, hashed.
pub(super) fn name_of_uri(uri: &str) -> u64 {
    hash(FNV_BASIS, path(uri).as_bytes())
}

fn part_name(part: &PartialSegment) -> u32 {
    hash(name_of_uri(&part.uri), &range_octets(part.byte_range)) as u32
}

fn range_octets(range: Option<ByteRange>) -> [u8; 16] {
    let mut octets = [0xff; 16];
    if let Some(range) = range {
        octets[..8].copy_from_slice(&range.start.to_le_bytes());
        octets[8..].copy_from_slice(&range.length.to_le_bytes());
    }
    octets
}

const FNV_BASIS: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a: marks outlive the process, so that a hash must be the same in every build.
fn hash(sum: u64, octets: &[u8]) -> u64 {
    octets.iter().fold(sum, |sum, octet| (sum ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3))
}
