//! Multivariant playlists, and the playlists of `/ssai/`, where each viewer has ads of its own.
//!
//! An ad break takes the first two of each fifteen segments. Ads are numbered 0 to 7; a viewer's number and the break choose.
//! The segments between breaks are those of `/plain/`, so that all viewers share them.

use super::clip::{Clip, Kind, LOOP_SEGMENTS, SEGMENT_FRAMES, SEGMENT_MS, Track};
use super::media::segment_len;
use super::modes::Mode;
use super::playlist::{View, date, line, seconds};
use super::timeline::{PartPlan, TARGET_S, units};

/// The multivariant playlist of `mode`; `prefix` stands before each relative URI.
pub fn master(clip: &Clip, plan: &PartPlan, mode: Mode, prefix: &str) -> String {
    let mut out = String::new();
    line(&mut out, format_args!("#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-INDEPENDENT-SEGMENTS"));
    let audio = &clip.audio;
    let apart = mode != Mode::Ts;
    if apart {
        line(
            &mut out,
            format_args!(
                "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"sound\",NAME=\"Tones\",DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"1\",URI=\"{prefix}{}/media.m3u8\"",
                audio.name
            ),
        );
    }
    for video in &clip.video {
        let (video_peak, video_average) = bandwidth(video, plan);
        let (audio_peak, audio_average) = bandwidth(audio, plan);
        let Kind::Video { width, height, .. } = &video.kind else {
            continue;
        };
        let group = if apart { ",AUDIO=\"sound\"" } else { "" };
        line(
            &mut out,
            format_args!(
                "#EXT-X-STREAM-INF:BANDWIDTH={},AVERAGE-BANDWIDTH={},CODECS=\"{},{}\",RESOLUTION={width}x{height},FRAME-RATE=30.000{group}\n{prefix}{}/media.m3u8",
                video_peak + audio_peak,
                video_average + audio_average,
                video.codec,
                audio.codec,
                video.name
            ),
        );
    }
    out
}

/// Peak and average bits per second of a track, overhead of the container included.
fn bandwidth(track: &Track, plan: &PartPlan) -> (u64, u64) {
    let sizes = (0..LOOP_SEGMENTS).map(|msn| segment_len(track, plan, msn) * 8);
    let rates = sizes.clone().zip(0..).map(|(bits, msn): (u64, u64)| {
        bits * u64::from(track.timescale) / units(track, msn * SEGMENT_FRAMES, (msn + 1) * SEGMENT_FRAMES)
    });
    (rates.max().unwrap_or(0), sizes.sum::<u64>() * 1000 / (LOOP_SEGMENTS * SEGMENT_MS))
}

const BREAK_EVERY: u64 = 15;
/// Segments of an ad break, and of each ad.
pub const BREAK_LEN: u64 = 2;
/// Ads that there are.
pub const ADS: u64 = 8;

/// DISCONTINUITY tags on the segments before `msn`: one where each break begins (but for the very first segment), one where it ends.
fn discontinuities_before(msn: u64) -> u64 {
    msn.div_ceil(BREAK_EVERY).saturating_sub(1) + (msn + BREAK_EVERY - BREAK_LEN - 1) / BREAK_EVERY
}

/// The playlist of viewer `viewer`.
pub fn own(view: &View<'_>, viewer: u64, track: &Track) -> String {
    let mut out = String::with_capacity(4 << 10);
    let first = view.first();
    line(
        &mut out,
        format_args!("#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:{TARGET_S}\n#EXT-X-MEDIA-SEQUENCE:{first}"),
    );
    line(&mut out, format_args!("#EXT-X-DISCONTINUITY-SEQUENCE:{}", discontinuities_before(first)));
    for msn in first..view.edge.open {
        let (of, index) = (msn / BREAK_EVERY, msn % BREAK_EVERY);
        let ad = (viewer + of) % ADS;
        let folder = if index < BREAK_LEN {
            format!("../ad/{ad}/{}", track.name)
        } else {
            format!("../../plain/{}", track.name)
        };
        let turn = index == 0 || index == BREAK_LEN;
        if turn && msn > 0 {
            line(&mut out, format_args!("#EXT-X-DISCONTINUITY"));
        }
        if turn || msn == first {
            line(&mut out, format_args!("#EXT-X-MAP:URI=\"../{folder}/init.mp4\""));
        }
        date(&mut out, view.timeline.date(track, msn));
        let (start, number) = if index < BREAK_LEN { (index, index) } else { (msn, msn) };
        let long =
            units(track, start * SEGMENT_FRAMES, (start + 1) * SEGMENT_FRAMES) * 100_000 / u64::from(track.timescale);
        line(&mut out, format_args!("#EXTINF:{},\n../{folder}/seg-{number}.m4s", seconds(long)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::timeline::Timeline;

    #[test]
    fn the_multivariant_names_three_pictures_and_one_sound() {
        let clip = Clip::load().unwrap();
        let text = master(&clip, &PartPlan::new(333), Mode::Live, "");
        assert_eq!(text.matches("#EXT-X-STREAM-INF").count(), 3);
        assert!(text.contains(
            "CODECS=\"avc1.4d401e,mp4a.40.2\",RESOLUTION=640x360,FRAME-RATE=30.000,AUDIO=\"sound\"\nv0/media.m3u8\n"
        ));
        assert!(text.contains("URI=\"a0/media.m3u8\""));
        assert!(!master(&clip, &PartPlan::new(333), Mode::Ts, "").contains("AUDIO="));
    }

    #[test]
    fn the_discontinuity_sequence_counts_the_tags_that_left() {
        let clip = Clip::load().unwrap();
        let timeline = Timeline { epoch_ms: 0, plan: PartPlan::new(333) };
        let text = |open, window| {
            let view = View { clip: &clip, timeline: &timeline, edge: timeline.edge(open * SEGMENT_MS), window };
            own(&view, 5, &clip.video[0])
        };
        let whole = text(100, 100);
        for first in 0..90 {
            let left = whole.split("#EXTINF").take(first + 1).collect::<String>();
            let tags = left.matches("#EXT-X-DISCONTINUITY\n").count();
            let own_tag = usize::from(first > 0 && [0, BREAK_LEN].contains(&(first as u64 % BREAK_EVERY)));
            let listed = text(100, 100 - first as u64);
            let sequence = format!("#EXT-X-DISCONTINUITY-SEQUENCE:{}\n", tags - own_tag);
            assert!(listed.contains(&sequence), "{first}: {sequence}");
        }
    }

    #[test]
    fn viewers_share_the_programme_and_not_the_ads() {
        let clip = Clip::load().unwrap();
        let timeline = Timeline { epoch_ms: 0, plan: PartPlan::new(333) };
        let view = View { clip: &clip, timeline: &timeline, edge: timeline.edge(40_000), window: 20 };
        let (one, two) = (own(&view, 1, &clip.video[0]), own(&view, 2, &clip.video[0]));
        let lines =
            |text: &str, part| text.lines().filter(|line| line.contains(part)).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(lines(&one, "/plain/"), lines(&two, "/plain/"));
        assert_eq!(lines(&one, "/ad/").len(), 6);
        assert!(lines(&one, "/ad/").iter().zip(lines(&two, "/ad/")).all(|(one, two)| *one != two));
    }
}
