use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::rules::hls::playlist::{ByteRange, HintKind, HintRange, PreloadHint, RenditionReport, ServerControl};

/// What a packager writes at the live edge, with something of everything.
const LIVE: &str = "#EXTM3U\n\
    #EXT-X-VERSION:9\n\
    #EXT-X-TARGETDURATION:4\n\
    # by hand\n\
    #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.002,CAN-SKIP-UNTIL=24.0\n\
    #EXT-X-PART-INF:PART-TARGET=0.334\n\
    #EXT-X-MEDIA-SEQUENCE:266\n\
    \n\
    #EXT-X-MAP:URI=\"init.mp4\",BYTERANGE=\"720@0\"\n\
    #EXT-X-PROGRAM-DATE-TIME:2019-02-14T02:13:36.106Z\n\
    #EXTINF:4.00008,\n\
    f266.mp4\n\
    #EXT-X-DATERANGE:ID=\"ad,1\",START-DATE=\"2019-02-14T02:13:40Z\"\n\
    #EXT-X-DISCONTINUITY\n\
    #EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"skd://one\",KEYFORMAT=\"com.apple.streamingkeydelivery\"\n\
    #EXT-X-KEY:METHOD=SAMPLE-AES-CTR,URI=\"data:text/plain;base64,AAAA\"\n\
    #EXT-X-PART:DURATION=0.33334,URI=\"f267.1.mp4\",INDEPENDENT=YES\n\
    #EXT-X-PART:DURATION=0.33334,URI=\"f267.2.mp4\",GAP=YES\n\
    #EXT-X-GAP\n\
    #EXTINF:4,with a title, and a comma\n\
    f267.mp4\n\
    #EXT-X-FUTURE:IS=BRIGHT\n\
    #EXT-X-PART:DURATION=0.33334,URI=\"f268.mp4\",BYTERANGE=\"100@0\"\n\
    #EXT-X-PART:DURATION=0.33334,URI=\"f268.mp4\",BYTERANGE=\"50\"\n\
    #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"f268.mp4\",BYTERANGE-START=150\n\
    #EXT-X-RENDITION-REPORT:URI=\"../1M/main.m3u8\",LAST-MSN=268,LAST-PART=1\n\
    #EXT-X-RENDITION-REPORT:URI=\"../4M/main.m3u8\"";

fn read(text: &str) -> MediaPlaylist {
    let playlist = parse(text, None).unwrap_or_else(|error| panic!("{error} of\n{text}"));
    assert_eq!(playlist.render(), text);
    playlist
}

#[test]
fn a_live_playlist_is_read_and_every_line_kept() {
    let playlist = read(LIVE);
    assert_eq!((playlist.head.len(), playlist.segments.len(), playlist.tail.len()), (8, 2, 6));
    assert_eq!(playlist.next(), crate::rules::hls::Position::new(268, 2));
    let facts = &playlist.facts;
    assert_eq!((facts.version, facts.target_duration, facts.media_sequence), (9, Duration::from_secs(4), 266));
    assert_eq!(facts.part_target, Some(Duration::from_millis(334)));
    let control = ServerControl {
        can_block_reload: true,
        can_skip_until: Some(Duration::from_secs(24)),
        part_hold_back: Some(Duration::from_millis(1_002)),
        ..ServerControl::default()
    };
    assert_eq!(facts.server_control, Some(control));

    let first = &playlist.segments[0];
    assert_eq!((first.uri(), first.duration), ("f266.mp4", Duration::from_micros(4_000_080)));
    assert_eq!(first.program_date_time, Some(1_550_110_416_106));
    assert_eq!(
        (&*first.maps[0].uri, first.maps[0].byte_range),
        ("init.mp4", Some(ByteRange { start: 0, length: 720 }))
    );

    let second = &playlist.segments[1];
    assert_eq!((second.uri(), second.discontinuities, second.is_gap), ("f267.mp4", 1, true));
    assert_eq!(second.keys.iter().map(|uri| &**uri).collect::<Vec<_>>(), ["skd://one", "data:text/plain;base64,AAAA"]);
    assert_eq!(second.lasting[0].tag, Tag::DateRange("ad,1".into()));
    assert!(second.lasting_text(&second.lasting[0]).starts_with("#EXT-X-DATERANGE:ID=\"ad,1\""));
    assert!(second.lasting_text(&second.lasting[0]).ends_with("Z\"\n"));
    let flags: Vec<_> = second.parts.iter().map(|part| (part.is_independent, part.is_gap)).collect();
    assert_eq!(flags, [(true, false), (false, true)]);

    let ranges: Vec<_> = playlist.open_parts().map(|part| part.byte_range.unwrap()).collect();
    assert_eq!(ranges, [ByteRange { start: 0, length: 100 }, ByteRange { start: 100, length: 50 }]);
    let hint = PreloadHint {
        kind: HintKind::Part,
        uri: "f268.mp4".into(),
        range: Some(HintRange { start: 150, length: None }),
    };
    assert_eq!(playlist.hints().collect::<Vec<_>>(), [&hint]);
    let report = RenditionReport { uri: "../1M/main.m3u8".into(), last_msn: Some(268), last_part: Some(1) };
    assert_eq!(playlist.tail[4].tag, Tag::RenditionReport(report));
}

#[test]
fn segments_whose_lines_stayed_are_shared() {
    let before = read(LIVE);
    let same = parse(LIVE, Some(&before)).unwrap();
    assert_eq!(same, before);
    assert!(same.segments.iter().zip(&before.segments).all(|(one, other)| Arc::ptr_eq(one, other)));
}
