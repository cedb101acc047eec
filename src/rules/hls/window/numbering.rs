//! From the origin's sequence numbers to viewers': the same until a restarted origin is bridged, shifted from then on.

use serde::{Deserialize, Serialize};

use crate::rules::hls::playlist::MediaPlaylist;
use crate::rules::hls::position::Position;

/// Larger sequence numbers are refused, of origins as well as for viewers: all sums of them fit.
pub(super) const NUMBER_MAX: u64 = 1 << 61;

/// How the numbers of a generation are shifted, and where it begins.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Numbering {
    /// What is added to the origin's media sequence numbers.
    pub(super) shift: i64,
    /// What is added to its discontinuity sequence numbers.
    pub(super) discontinuity_shift: i64,
    /// Where the generation begins; absent in the first one.
    pub(super) floor: Option<Floor>,
}

/// The first segment of a generation, in the origin's numbers. What its list has before it is not shown.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Floor {
    /// Its media sequence number.
    pub(super) msn: u64,
    /// Whether this node wrote the EXT-X-DISCONTINUITY before it.
    pub(super) is_marked: bool,
}

impl Numbering {
    /// The viewers' number of the origin's segment `msn`.
    pub(super) fn viewers(&self, msn: u64) -> u64 {
        msn.saturating_add_signed(self.shift)
    }

    /// The origin's number of what is `msn` for viewers; 0 where the origin has none so low.
    pub(super) fn origins(&self, msn: u64) -> u64 {
        msn.saturating_add_signed(-self.shift)
    }

    /// The discontinuity sequence number that viewers see for a list whose first segment is `first`, and has the number
    /// `origins` at its origin.
    pub(super) fn discontinuity(&self, origins: u64, first: u64) -> u64 {
        let marked = self.floor.is_some_and(|floor| floor.is_marked && floor.msn == first);
        origins.saturating_add_signed(self.discontinuity_shift).saturating_sub(u64::from(marked))
    }
}

/// What viewers have seen, and may not see fall.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Seen {
    /// EXT-X-MEDIA-SEQUENCE.
    pub(super) media_sequence: u64,
    /// EXT-X-DISCONTINUITY-SEQUENCE.
    pub(super) discontinuity_sequence: u64,
    /// The first position that is not listed.
    pub(super) next: Position,
}

/// The discontinuity sequence number behind everything that `playlist` lists.
pub(super) fn last_discontinuity(playlist: &MediaPlaylist) -> u64 {
    let listed: u64 = playlist.segments.iter().map(|segment| u64::from(segment.discontinuities)).sum();
    playlist.facts.discontinuity_sequence + listed + u64::from(open_discontinuities(playlist))
}

/// EXT-X-DISCONTINUITY tags before the first part of the open segment.
pub(super) fn open_discontinuities(playlist: &MediaPlaylist) -> u32 {
    use crate::rules::hls::playlist::Tag;
    let Some(part) = playlist.tail.iter().position(|line| matches!(line.tag, Tag::Part(_))) else { return 0 };
    playlist.tail[..part].iter().filter(|line| line.tag == Tag::Discontinuity).count() as u32
}
