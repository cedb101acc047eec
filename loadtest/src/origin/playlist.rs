//! Media playlists as text. Pure functions of a [`View`]; draft-pantos-hls-rfc8216bis sections 4.4 and 6.2.

use std::fmt::Write as _;

use super::clip::{Clip, LOOP_SEGMENTS, SEGMENT_FRAMES, SEGMENT_MS, Track};
use super::media::part_len;
use super::modes::Mode;
use super::timeline::{Edge, Position, TARGET_S, Timeline, units};

/// CAN-SKIP-UNTIL in seconds: six target durations.
pub const SKIP_UNTIL_S: u64 = 6 * TARGET_S;
const PART_WINDOW_MS: u64 = 3 * TARGET_S * 1000;

/// What a playlist shows: a timeline up to an edge.
#[derive(Clone, Debug)]
pub struct View<'a> {
    /// The tracks.
    pub clip: &'a Clip,
    /// The timeline.
    pub timeline: &'a Timeline,
    /// What exists.
    pub edge: Edge,
    /// Complete segments listed at most.
    pub window: u64,
}

/// Full or delta.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The whole playlist.
    Full,
    /// A delta update, where there is something to skip.
    Delta,
}

impl View<'_> {
    /// The first segment listed.
    pub fn first(&self) -> u64 {
        self.edge.open.saturating_sub(self.window)
    }

    /// Segments that a delta update leaves out: each with more than CAN-SKIP-UNTIL of complete segments after it.
    fn skipped(&self, track: &Track) -> u64 {
        let end = self.edge.open * SEGMENT_FRAMES;
        let after = |msn: u64| units(track, (msn + 1) * SEGMENT_FRAMES, end);
        let limit = SKIP_UNTIL_S * u64::from(track.timescale);
        (self.first()..self.edge.open).take_while(|msn| after(*msn) > limit).count() as u64
    }

    /// Segments that still have their parts listed: those that end at most three target durations before the newest part.
    fn has_parts(&self, msn: u64) -> bool {
        let open_ms =
            self.timeline.plan.span(self.edge.next()).0 * 1000 / super::clip::FPS - self.edge.open * SEGMENT_MS;
        (self.edge.open - 1 - msn) * SEGMENT_MS + open_ms <= PART_WINDOW_MS
    }

    /// The largest part target of all tracks, in 10 µs.
    fn largest_target(&self) -> u64 {
        self.clip.tracks().map(|track| self.timeline.plan.target(track, self.edge.open)).max().unwrap_or(0)
    }
}

/// The playlist of `track` in `mode`, any but [`Mode::Ssai`].
pub fn media(view: &View<'_>, mode: Mode, track: &Track, form: Form) -> String {
    let mut out = String::with_capacity(8 << 10);
    if mode == Mode::Vod {
        vod(&mut out, track);
        return out;
    }
    let skipped = if form == Form::Delta && mode.low_latency() { view.skipped(track) } else { 0 };
    header(&mut out, view, mode, track);
    if skipped > 0 {
        line(&mut out, format_args!("#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}"));
    } else if mode != Mode::Ts {
        line(&mut out, format_args!("#EXT-X-MAP:URI=\"init.mp4\""));
    }
    for msn in view.first() + skipped..view.edge.open {
        date(&mut out, view.timeline.date(track, msn));
        if mode.low_latency() && view.has_parts(msn) {
            parts(&mut out, view, (mode, track), (msn, view.timeline.plan.parts(msn)));
        }
        segment(&mut out, track, msn, if mode == Mode::Ts { "ts" } else { "m4s" });
    }
    if mode.low_latency() {
        live_edge(&mut out, view, mode, track);
    }
    out
}

fn header(out: &mut String, view: &View<'_>, mode: Mode, track: &Track) {
    let version = match mode {
        Mode::Live | Mode::Br => 9,
        Mode::Ts => 3,
        Mode::Plain | Mode::Vod | Mode::Ssai => 6,
    };
    line(out, format_args!("#EXTM3U\n#EXT-X-VERSION:{version}\n#EXT-X-TARGETDURATION:{TARGET_S}"));
    if mode.low_latency() {
        line(
            out,
            format_args!(
                "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL={SKIP_UNTIL_S}.0,PART-HOLD-BACK={},HOLD-BACK={}.0",
                seconds(3 * view.largest_target()),
                3 * TARGET_S
            ),
        );
        let target = view.timeline.plan.target(track, view.edge.open);
        line(out, format_args!("#EXT-X-PART-INF:PART-TARGET={}", seconds(target)));
    }
    line(out, format_args!("#EXT-X-MEDIA-SEQUENCE:{}", view.first()));
}

fn vod(out: &mut String, track: &Track) {
    line(out, format_args!("#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:{TARGET_S}\n#EXT-X-PLAYLIST-TYPE:VOD"));
    line(out, format_args!("#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-MAP:URI=\"init.mp4\""));
    (0..LOOP_SEGMENTS).for_each(|msn| segment(out, track, msn, "m4s"));
    line(out, format_args!("#EXT-X-ENDLIST"));
}

/// The open segment's parts, the hint and the rendition reports.
fn live_edge(out: &mut String, view: &View<'_>, mode: Mode, track: &Track) {
    let Edge { open, parts: count } = view.edge;
    if count > 0 {
        date(out, view.timeline.date(track, open));
        parts(out, view, (mode, track), (open, count));
    }
    match mode {
        Mode::Br => {
            let start: u64 =
                (0..count).map(|part| part_len(track, &view.timeline.plan, Position { msn: open, part })).sum();
            line(out, format_args!("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"seg-{open}.m4s\",BYTERANGE-START={start}"));
        }
        _ => line(out, format_args!("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"part-{open}.{count}.m4s\"")),
    }
    let Some(last) = view.edge.last(&view.timeline.plan) else {
        return;
    };
    for other in view.clip.tracks().filter(|other| other.name != track.name) {
        let Position { msn, part } = last;
        let name = other.name;
        line(out, format_args!("#EXT-X-RENDITION-REPORT:URI=\"../{name}/media.m3u8\",LAST-MSN={msn},LAST-PART={part}"));
    }
}

fn parts(out: &mut String, view: &View<'_>, (mode, track): (Mode, &Track), (msn, count): (u64, u64)) {
    let plan = &view.timeline.plan;
    let mut start = 0;
    for part in 0..count {
        let at = Position { msn, part };
        let (from, to) = plan.span(at);
        let independent = if track.is_sync(track.cut(from)) { ",INDEPENDENT=YES" } else { "" };
        let duration = seconds(units(track, from, to) * 100_000 / u64::from(track.timescale));
        if mode == Mode::Br {
            let len = part_len(track, plan, at);
            let uri = format!("seg-{msn}.m4s");
            line(
                out,
                format_args!("#EXT-X-PART:DURATION={duration},URI=\"{uri}\",BYTERANGE=\"{len}@{start}\"{independent}"),
            );
            start += len;
        } else {
            line(out, format_args!("#EXT-X-PART:DURATION={duration},URI=\"part-{msn}.{part}.m4s\"{independent}"));
        }
    }
}

fn segment(out: &mut String, track: &Track, msn: u64, extension: &str) {
    let long = units(track, msn * SEGMENT_FRAMES, (msn + 1) * SEGMENT_FRAMES) * 100_000 / u64::from(track.timescale);
    line(out, format_args!("#EXTINF:{},\nseg-{msn}.{extension}", seconds(long)));
}

/// `EXT-X-PROGRAM-DATE-TIME` of Unix milliseconds, in UTC.
pub fn date(out: &mut String, unix_ms: u64) {
    let (days, ms) = (unix_ms / 86_400_000, unix_ms % 86_400_000);
    // Days since 1970-01-01 to a date of the Gregorian calendar, counted in eras of 400 years that begin on 1 March.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    let ms = ms % 1000;
    line(
        out,
        format_args!(
            "#EXT-X-PROGRAM-DATE-TIME:{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z"
        ),
    );
}

/// Units of 10 µs as decimal seconds.
pub fn seconds(hundred_thousandths: u64) -> String {
    format!("{}.{:05}", hundred_thousandths / 100_000, hundred_thousandths % 100_000)
}

/// Appends a line.
pub fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(out, "{text}").expect("writing to a String cannot fail");
}
