//! Playlist delta updates: what may be skipped, and the merge that proves it (§4.4.5.2, §6.2.5.1, §6.3.7).

use super::directives::Skipping;
use super::playlist::MediaPlaylist;
use super::window::Published;
use crate::clock::Tick;

/// A delta update in pieces: `head`, then the segments from `first` on, then the playlist's tail.
#[derive(Clone, Debug, PartialEq)]
pub struct Delta {
    /// Everything before the first segment that is kept: lines of the playlist's head with the version raised, the
    /// EXT-X-SKIP tag, and lasting lines of the segments that are skipped.
    pub head: String,
    /// Index of the first segment that is kept.
    pub first: usize,
    /// Until when it may be sent: a date range or a removal crosses the skip boundary then.
    pub until: Option<Tick>,
}

/// The delta update of a version at `now`; `None`: the full playlist is to be sent.
pub fn delta(_published: &Published, _skipping: Skipping, _now: Tick) -> Option<Delta> {
    unimplemented!("delta")
}

/// Why a delta update cannot be merged: the full playlist must be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CannotMerge {
    /// It skips segments that the earlier version does not have.
    #[error("the update skips segments that are not known")]
    Unknown,
    /// It is no delta update.
    #[error("the playlist skips nothing")]
    Full,
}

/// The full playlist that `update` stands for, seen by somebody who has `before`.
///
/// # Errors
/// [`CannotMerge`] where information is missing.
pub fn merge(_before: &MediaPlaylist, _update: &MediaPlaylist) -> Result<MediaPlaylist, CannotMerge> {
    unimplemented!("delta")
}
