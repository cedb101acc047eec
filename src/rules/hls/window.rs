//! How a rendition advances: what its origin published becomes what viewers see, whose sequence never goes backwards.
//! A rewound or replaced origin is bridged with a discontinuity, and starts a new generation of names (§6.2.1, §6.2.2).

use std::sync::Arc;
use std::time::Duration;

use super::dates::DateRanges;
use super::playlist::{MediaPlaylist, RenditionReport};
use super::reload::Frontier;
use crate::clock::Tick;

/// One version as viewers see it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Published {
    /// The playlist, numbered as viewers know it, with EXT-X-SERVER-CONTROL as this node keeps it, and without
    /// rendition reports.
    pub playlist: MediaPlaylist,
    /// The reports that its origin wrote, in viewers' terms as far as is known.
    pub reports: Vec<RenditionReport>,
    /// How far it has come.
    pub frontier: Frontier,
    /// When its date ranges came, and others went.
    pub dates: DateRanges,
    /// Segments whose lines changed after they were first listed: media sequence number and when. Bounded by the window.
    pub revised: Vec<(u64, Tick)>,
    /// The generation that names listed from now on belong to.
    pub generation: u32,
    /// Index of the first segment of this generation; those before it belong to earlier ones.
    pub first_of_generation: usize,
    /// When it was published.
    pub at: Tick,
    /// Running number of the version, from 1.
    pub version: u64,
}

/// What became of a version that the origin published.
#[derive(Clone, Debug, PartialEq)]
pub enum Advance {
    /// Nothing new.
    Unchanged,
    /// A new version for viewers.
    Advanced(Arc<Published>, Vec<Finding>),
    /// Older than what viewers have: another origin behind, or a cache.
    Behind,
    /// It cannot follow what viewers have; why.
    Refused(Finding),
}

/// Something noticed about the origin, for events and counters (§6.2.1, §6.2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// EXT-X-TARGETDURATION changed.
    TargetDurationChanged {
        /// Before.
        from: Duration,
        /// Now.
        to: Duration,
    },
    /// PART-TARGET changed.
    PartTargetChanged {
        /// Before.
        from: Duration,
        /// Now.
        to: Duration,
    },
    /// A segment is longer than the target duration, rounded.
    SegmentTooLong {
        /// Its number for viewers.
        msn: u64,
        /// Its duration.
        duration: Duration,
    },
    /// A part is longer than the part target, or too short in the middle of its parent.
    UnevenPart {
        /// Its parent's number for viewers.
        msn: u64,
        /// Its index.
        part: u64,
        /// Its duration.
        duration: Duration,
    },
    /// A playlist with parts has no hint.
    MissingHint,
    /// A hinted part came under another URI.
    HintNotKept,
    /// The sequence went backwards, or a listed segment changed: viewers see a discontinuity.
    Restarted {
        /// The origin's last number before.
        from: u64,
        /// Its first number now.
        to: u64,
    },
}

/// The state of one rendition.
#[derive(Clone, Debug, Default)]
pub struct Window {
    published: Option<Arc<Published>>,
}

/// What is asked of the origin next, in its own numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// `_HLS_msn` of the next reload.
    pub msn: u64,
    /// `_HLS_part`, where it has parts.
    pub part: Option<u64>,
    /// Whether it offers blocking reloads.
    pub blocks: bool,
    /// The skip boundary, where it offers delta updates.
    pub skips: Option<Duration>,
}

impl Window {
    /// Takes on a version that the origin published, its URIs already rewritten, delta updates already merged.
    pub fn take(&mut self, _ingested: MediaPlaylist, _now: Tick) -> Advance {
        unimplemented!("window")
    }

    /// The version that viewers see.
    pub fn published(&self) -> Option<&Arc<Published>> {
        self.published.as_ref()
    }

    /// The last version as the origin published it: the base of delta updates and of sharing.
    pub fn ingested(&self) -> Option<&MediaPlaylist> {
        unimplemented!("window")
    }

    /// How to ask the origin for what comes next.
    pub fn upstream(&self) -> Option<Upstream> {
        unimplemented!("window")
    }

    /// When the playlist counts as stalled: two part targets, or one and a half target durations, after it last
    /// advanced; `None`: nothing is to be expected.
    pub fn stalled_from(&self) -> Option<Tick> {
        unimplemented!("window")
    }
}
