//! `/dvr/CHANNEL/RENDITION/…`: any number of channels with a window of four hours, light to make: transport segments of
//! pseudo-random bytes, and playlists that are pure functions of time. For tests of many long playlists at once.

use std::fmt::Write as _;

use super::playlist::seconds;

/// Duration of a segment.
pub const SEGMENT_MS: u64 = 4_000;
/// Segments of a window: four hours.
pub const WINDOW: u64 = 4 * 3_600_000 / SEGMENT_MS;
/// Renditions of a channel.
pub const RENDITIONS: u64 = 6;
/// Channels.
pub const CHANNELS: u64 = 1_000;

/// What a path below `/dvr/` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaf {
    /// The multivariant playlist of a channel.
    Master,
    /// The media playlist of a rendition.
    Playlist(u64),
    /// A segment of a rendition.
    Segment(u64, u64),
}

/// Segments of `channel` that are complete at `now`; channels publish at different moments.
fn complete(channel: u64, now: u64) -> u64 {
    now.saturating_sub(channel * 97 % SEGMENT_MS) / SEGMENT_MS
}

/// The multivariant playlist of a channel.
pub fn master() -> String {
    let mut out = "#EXTM3U\n#EXT-X-VERSION:3\n".to_owned();
    for rendition in 0..RENDITIONS {
        let bandwidth = (rendition + 1) * 500_000;
        // Writing to a String cannot fail.
        let _ = writeln!(out, "#EXT-X-STREAM-INF:BANDWIDTH={bandwidth}\n{rendition}/media.m3u8");
    }
    out
}

/// The media playlist of any rendition of `channel` as it is at `now`.
pub fn media(channel: u64, now: u64) -> String {
    let end = complete(channel, now);
    let first = end.saturating_sub(WINDOW);
    let (target, long) = (SEGMENT_MS / 1000, seconds(SEGMENT_MS * 100));
    let mut out = String::with_capacity(48 * 3_700);
    // Writing to a String cannot fail.
    let _ = write!(out, "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:{target}\n#EXT-X-MEDIA-SEQUENCE:{first}\n");
    for msn in first..end {
        let _ = write!(out, "#EXTINF:{long},\nseg-{msn}.ts\n");
    }
    out
}

/// Name and size of a segment's body, if it can be asked for at `now`.
pub fn segment(channel: u64, (rendition, msn): (u64, u64), now: u64) -> Option<(String, u64)> {
    let end = complete(channel, now);
    let there = msn < end && end - msn <= WINDOW + WINDOW / 10;
    there.then(|| (format!("dvr-{channel}-{rendition}-{msn}"), 40_000 * (rendition + 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_of_four_hours_slides_by_a_segment_every_four_seconds() {
        let now = 1_800_000_000_000;
        let (before, after) = (media(3, now), media(3, now + SEGMENT_MS));
        assert_eq!(before.matches("#EXTINF").count(), 3_600);
        let lines = |text: &str| text.lines().skip(4).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(lines(&before)[2..], lines(&after)[..7_198]);
        let newest = complete(3, now) - 1;
        assert!(segment(3, (5, newest), now).is_some() && segment(3, (5, newest + 1), now).is_none());
    }
}
