//! EXT-X-SERVER-CONTROL as this node keeps it (RFC 8216bis §4.4.3.8): it blocks reloads and makes delta updates itself,
//! whatever the origin can do, and it writes hold-backs that are allowed.
//!
//! All playlists of a presentation must have the same values (§6.2.4), and none of them knows the others. So each value
//! follows from what renditions have in common (target durations, what the origin offers), and what was offered once
//! stays offered: a window near the limit would otherwise offer delta updates in every other version. The length of
//! the window decides only the first time, and renditions of one presentation pass that limit within a segment of each
//! other. A skip boundary in a short window is harmless: nothing is ever skipped.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::lines::{self, Kind};
use crate::rules::hls::playlist::{MediaPlaylist, ServerControl};

/// What was offered before, and stays.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Offered {
    skip_until: Option<Duration>,
    date_ranges: bool,
    part_hold_back: Option<Duration>,
}

impl Offered {
    /// What viewers are offered in `playlist`, which is live and says what its origin offers. `window` is its duration,
    /// at least as far as seven target durations; `has_date_ranges` whether date ranges were seen.
    pub(super) fn decide(&mut self, playlist: &MediaPlaylist, window: Duration, ranges: DateRanges) -> ServerControl {
        let facts = &playlist.facts;
        let target = facts.target_duration;
        let origin = facts.server_control.unwrap_or_default();
        let is_long = window > target * 7;
        if is_long || self.skip_until.is_some() || origin.can_skip_until.is_some() {
            self.skip_until = [self.skip_until, origin.can_skip_until, Some(target * 6)].into_iter().flatten().max();
        }
        self.date_ranges |= origin.can_skip_date_ranges || ranges == DateRanges::Seen;
        let part_hold_back = match facts.part_target {
            Some(part_target) => Some(self.part_hold_back(origin.part_hold_back, part_target)),
            None => origin.part_hold_back,
        };
        ServerControl {
            can_block_reload: true,
            can_skip_until: self.skip_until,
            can_skip_date_ranges: self.date_ranges && self.skip_until.is_some(),
            hold_back: origin.hold_back.map(|hold_back| hold_back.max(target * 3)),
            part_hold_back,
        }
    }

    /// The skip boundary, once there is one.
    pub(super) fn skip_until(&self) -> Option<Duration> {
        self.skip_until
    }

    /// The origin's where it is allowed; else three part targets, kept while they are still allowed.
    fn part_hold_back(&mut self, origin: Option<Duration>, part_target: Duration) -> Duration {
        if let Some(allowed) = origin.filter(|hold_back| *hold_back >= part_target * 2) {
            return allowed;
        }
        let kept = self.part_hold_back.filter(|kept| *kept >= part_target * 2);
        *self.part_hold_back.insert(kept.unwrap_or(part_target * 3))
    }
}

/// Whether a window has had date ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DateRanges {
    /// Yes.
    Seen,
    /// Not yet.
    Unseen,
}

/// Writes `wanted` into the playlist. Attributes that say so already, and those that are not known, stay as they are.
pub(super) fn write(playlist: &mut MediaPlaylist, wanted: ServerControl) {
    let origin = playlist.facts.server_control;
    if origin == Some(wanted) && lines::is_in_head(playlist, Kind::ServerControl) {
        return;
    }
    // A tag that cannot be read says nothing, to players as well.
    let written = origin.and_then(|_| lines::text_of(playlist, Kind::ServerControl)).unwrap_or_default();
    let mut attributes = split(&written);
    let origin = origin.unwrap_or_default();
    if !origin.can_block_reload {
        set(&mut attributes, "CAN-BLOCK-RELOAD", "YES".to_owned());
    }
    let durations = [
        ("CAN-SKIP-UNTIL", origin.can_skip_until, wanted.can_skip_until),
        ("HOLD-BACK", origin.hold_back, wanted.hold_back),
        ("PART-HOLD-BACK", origin.part_hold_back, wanted.part_hold_back),
    ];
    for (name, before, now) in durations {
        if let Some(now) = now.filter(|_| before != now) {
            set(&mut attributes, name, seconds(now));
        }
    }
    if wanted.can_skip_date_ranges && !origin.can_skip_date_ranges {
        set(&mut attributes, "CAN-SKIP-DATERANGES", "YES".to_owned());
    }
    let list: Vec<_> = attributes.iter().map(|(name, value)| format!("{name}={value}")).collect();
    lines::write(playlist, Kind::ServerControl, &list.join(","));
    playlist.facts.server_control = Some(wanted);
}

/// The attributes of a list as they are written; commas in quotes part nothing.
fn split(list: &str) -> Vec<(String, String)> {
    let mut is_quoted = false;
    list.split(|letter| {
        is_quoted ^= letter == '"';
        letter == ',' && !is_quoted
    })
    .filter_map(|attribute| attribute.split_once('='))
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect()
}

fn set(attributes: &mut Vec<(String, String)>, name: &str, value: String) {
    match attributes.iter_mut().find(|(other, _)| other == name) {
        Some((_, written)) => *written = value,
        None => attributes.push((name.to_owned(), value)),
    }
}

/// Seconds with as many decimals as it takes, one at least.
fn seconds(duration: Duration) -> String {
    let text = format!("{}.{:09}", duration.as_secs(), duration.subsec_nanos());
    let trimmed = text.trim_end_matches('0');
    if trimmed.ends_with('.') { format!("{trimmed}0") } else { trimmed.to_owned() }
}
