//! When date ranges came and went: what a delta update that skips them may leave out (§4.4.5.2).

use super::playlist::MediaPlaylist;
use crate::clock::Tick;

/// When each EXT-X-DATERANGE line was first seen, and each ID removed. Bounded by what the playlist lists and by what
/// left it within its skip boundary.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DateRanges {
    seen: Vec<(Box<str>, Tick)>,
    removed: Vec<(Box<str>, Tick)>,
}

impl DateRanges {
    /// Takes on what `playlist` lists at `now`. In the first version everything counts as seen long ago.
    pub fn advance(&mut self, _playlist: &MediaPlaylist, _now: Tick) {
        unimplemented!("delta")
    }
}
