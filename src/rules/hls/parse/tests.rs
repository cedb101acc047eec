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
    let report = RenditionReport {
        uri: "../1M/main.m3u8".into(),
        last_msn: Some(268),
        last_part: Some(1),
        ..RenditionReport::default()
    };
    assert_eq!(playlist.tail[4].tag, Tag::RenditionReport(report));
}

#[test]
fn segments_whose_lines_stayed_are_shared() {
    let before = read(LIVE);
    let same = parse(LIVE, Some(&before)).unwrap();
    assert_eq!(same, before);
    assert!(same.segments.iter().zip(&before.segments).all(|(one, other)| Arc::ptr_eq(one, other)));
}

/// The lines that every playlist here begins with.
const HEAD: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n";

fn with(lines: &str) -> String {
    format!("{HEAD}{lines}")
}

#[test]
fn a_playlist_that_means_nothing_is_refused_with_the_line() {
    for (text, line, what) in [
        ("", 1, "the first line is not #EXTM3U"),
        ("\n#EXTM3U\n", 1, "the first line is not #EXTM3U"),
        ("\u{feff}#EXTM3U\n", 1, "the first line is not #EXTM3U"),
        ("#EXTM3U8\n", 1, "the first line is not #EXTM3U"),
        ("#EXTM3U\r#EXTINF:4,\ra\r", 1, "the first line is not #EXTM3U"),
        ("<html>", 1, "the first line is not #EXTM3U"),
        ("#EXTM3U\n\n#EXTINF:4,\na\n", 3, "EXT-X-TARGETDURATION is missing"),
        ("#EXTM3U\n#EXT-X-PART:URI=\"a\",DURATION=1\n", 2, "EXT-X-TARGETDURATION is missing"),
        ("#EXTM3U\n#EXT-X-TARGETDURATION:4.5\n", 2, "EXT-X-TARGETDURATION cannot be read"),
        ("#EXTM3U\n#EXT-X-TARGETDURATION:0\n", 2, "EXT-X-TARGETDURATION cannot be read"),
        ("#EXTM3U\n#EXT-X-TARGETDURATION:604801\n", 2, "EXT-X-TARGETDURATION cannot be read"),
        (&with("#EXTM3U\n"), 3, "a tag that may occur once occurs again"),
        (&with("#EXTINF:4,\na\n#EXT-X-TARGETDURATION:4\n"), 5, "a tag that may occur once occurs again"),
        (&with("#EXT-X-ENDLIST\n#EXTINF:4,\na\n#EXT-X-ENDLIST\n"), 6, "a tag that may occur once occurs again"),
        (&with("#EXTINF:4,\na\n#EXT-X-STREAM-INF:BANDWIDTH=1\nb\n"), 5, "a tag of multivariant playlists"),
        ("#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO\n", 2, "a tag of multivariant playlists"),
        (&with("a\n"), 3, "a URI without EXTINF"),
        (&with("#EXTINF:4,\na\nb\n"), 5, "a URI without EXTINF"),
        (&with("#EXTINF:,\na\n"), 3, "EXTINF cannot be read"),
        (&with("#EXTINF:-1,\na\n"), 3, "EXTINF cannot be read"),
        (&with("#EXTINF:1e9,\n"), 3, "EXTINF cannot be read"),
        (&with("#EXT-X-MEDIA-SEQUENCE:-1\n"), 3, "EXT-X-MEDIA-SEQUENCE cannot be read"),
        (&with("#EXT-X-MEDIA-SEQUENCE:9223372036854775808\n"), 3, "EXT-X-MEDIA-SEQUENCE cannot be read"),
        (&with("#EXT-X-DISCONTINUITY-SEQUENCE:\n"), 3, "EXT-X-DISCONTINUITY-SEQUENCE cannot be read"),
        (&with("#EXT-X-VERSION:x\n"), 3, "EXT-X-VERSION cannot be read"),
        (&with("#EXT-X-SKIP:SKIPPED-SEGMENTS=x\n"), 3, "EXT-X-SKIP cannot be read"),
        (&with("#EXT-X-SKIP:SKIPPED-SEGMENTS=4294967297\n"), 3, "EXT-X-SKIP cannot be read"),
        (&with("#EXT-X-SKIP:A=1\n"), 3, "EXT-X-SKIP cannot be read"),
        (&with("#EXTINF:4,\na\n#EXT-X-SKIP:SKIPPED-SEGMENTS=1\n"), 5, "EXT-X-SKIP behind a segment"),
        (&with("#EXT-X-PART:URI=\"a\"\n"), 3, "EXT-X-PART cannot be read"),
        (&with("#EXT-X-PART:URI=\"\",DURATION=1\n"), 3, "EXT-X-PART cannot be read"),
        (&with("#EXT-X-PART:URI=\"a\",DURATION=1,URI=\"a\"\n"), 3, "EXT-X-PART cannot be read"),
        (&with("#EXT-X-PART:URI=\"a\",DURATION=1,BYTERANGE=\"1\"\n"), 3, "EXT-X-PART has a range without a place"),
        (&with("#EXTINF:4,\n#EXT-X-BYTERANGE:x\na\n"), 4, "EXT-X-BYTERANGE cannot be read"),
        (&with("#EXTINF:4,\n#EXT-X-BYTERANGE:1\na\n"), 5, "EXT-X-BYTERANGE has a range without a place"),
    ] {
        assert_eq!(parse(text, None), Err(Malformed { line, what }), "{text}");
    }
}

#[test]
fn what_cannot_be_read_and_need_not_says_nothing() {
    for line in [
        "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES, HOLD-BACK=12",
        "#EXT-X-PART-INF:PART-TARGET=0",
        "#EXT-X-PART-INF:PART-TARGET=x",
        "#EXT-X-PLAYLIST-TYPE:LIVE",
        "#EXT-X-DATERANGE:START-DATE=\"2019-02-14T02:13:36Z\"",
        "#EXT-X-DATERANGE:ID=\"a\",ID=\"a\"",
        "#EXT-X-DEFINE:NAME=\"a\"",
        "#EXT-X-DEFINE:NAME=\"a\",VALUE=\"b\",IMPORT=\"c\"",
        "#EXT-X-PRELOAD-HINT:TYPE=SEGMENT,URI=\"a\"",
        "#EXT-X-PRELOAD-HINT:TYPE=PART",
        "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"a\",BYTERANGE-START=-1",
        "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"a\",BYTERANGE-START=18446744073709551615,BYTERANGE-LENGTH=1",
        "#EXT-X-RENDITION-REPORT:LAST-MSN=1",
        "#EXT-X-RENDITION-REPORT:URI=\"a\",LAST-MSN=18446744073709551615",
        "#EXT-X-KEY:METHOD=NONE,REQ-VIDEO=YES",
        "#EXT-X-MAP:BYTERANGE=\"1@0\"",
        "#EXT-X-MAP:URI=\"a\",BYTERANGE=\"1@18446744073709551615\"",
        "#EXT-X-PART:URI=\"a\",DURATION=1,REQ-FUTURE=YES",
        "#EXT-X-PROGRAM-DATE-TIME:yesterday",
        "#EXT-X-BITRATE:fast",
        "#EXT-X-KEY:",
        "#EXT",
        "#ext-x-endlist",
        " #EXT-X-ENDLIST",
        "#EXT-X-ENDLISTS",
    ] {
        let plain = read(&with("#EXTINF:4,\na\n#EXTINF:4,\nb\n"));
        for text in [
            with(&format!("{line}\n#EXTINF:4,\na\n#EXTINF:4,\nb\n")),
            with(&format!("#EXTINF:4,\na\n{line}\n#EXTINF:4,\nb\n")),
            with(&format!("#EXTINF:4,\na\n#EXTINF:4,\nb\n{line}")),
        ] {
            let playlist = read(&text);
            assert_eq!(playlist.facts, plain.facts, "{line}");
            for segment in &playlist.segments {
                assert!(segment.maps.is_empty() && segment.parts.is_empty() && segment.program_date_time.is_none());
            }
            assert_eq!((playlist.next(), playlist.hints().count()), (plain.next(), 0), "{line}");
        }
    }
}

#[test]
fn a_value_that_cannot_be_read_leaves_the_others_of_its_tag() {
    let control =
        "#EXT-X-SERVER-CONTROL:CAN-SKIP-UNTIL=soon,CAN-BLOCK-RELOAD=YES,CAN-SKIP-DATERANGES=NO,HOLD-BACK=12\n";
    let expected =
        ServerControl { can_block_reload: true, hold_back: Some(Duration::from_secs(12)), ..ServerControl::default() };
    assert_eq!(read(&with(control)).facts.server_control, Some(expected));
}

#[test]
fn the_head_ends_before_the_first_line_of_a_segment_and_the_tail_begins_behind_the_last_uri() {
    for tag in [
        "#EXTINF:4,",
        "#EXT-X-BYTERANGE:1@0",
        "#EXT-X-DISCONTINUITY",
        "#EXT-X-KEY:METHOD=NONE",
        "#EXT-X-MAP:URI=\"i\"",
        "#EXT-X-PROGRAM-DATE-TIME:2019-02-14T02:13:36Z",
        "#EXT-X-GAP",
        "#EXT-X-BITRATE:1",
        "#EXT-X-PART:URI=\"a\",DURATION=1",
        "#EXT-X-MAP:nonsense",
    ] {
        let playlist =
            read(&with(&format!("# of the head\n\n{tag}\n# of the segment\n#EXTINF:4,\na\n\n# of the tail")));
        assert_eq!((playlist.head.len(), playlist.segments.len(), playlist.tail.len()), (4, 1, 2), "{tag}");
        let playlist = read(&with(&format!("# of the head\n{tag}\n# of the tail")));
        assert_eq!((playlist.head.len(), playlist.segments.len(), playlist.tail.len()), (3, 0, 2), "{tag}");
    }
}

#[test]
fn lines_of_the_whole_playlist_are_found_where_they_stand() {
    let text = with(
        "#EXT-X-MAP:URI=\"i\"\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES\n#EXT-X-MEDIA-SEQUENCE:7\n# c\n\
         #EXT-X-SKIP:SKIPPED-SEGMENTS=3,RECENTLY-REMOVED-DATERANGES=\"a\tb\"\n#EXTINF:4,\na\n\
         #EXT-X-PRELOAD-HINT:TYPE=MAP,URI=\"j\"\n#EXT-X-ENDLIST\n#EXTINF:4,\nb\n",
    );
    let playlist = read(&text);
    assert_eq!((playlist.msn(0), playlist.open_msn(), playlist.facts.is_ended), (10, 12, true));
    assert_eq!(playlist.facts.skip.as_ref().unwrap().removed_date_ranges, Some(vec!["a".into(), "b".into()]));
    let tags = |index: usize| playlist.segments[index].lasting.iter().map(|line| line.tag.clone()).collect::<Vec<_>>();
    assert_eq!(tags(0), [Tag::ServerControl, Tag::MediaSequence, Tag::Skip]);
    let hint = PreloadHint { kind: HintKind::Map, uri: "j".into(), range: None };
    assert_eq!(tags(1), [Tag::PreloadHint(hint), Tag::EndList]);
    let again = parse(&text, Some(&playlist)).unwrap();
    assert_eq!(again, playlist);
    assert!(Arc::ptr_eq(&again.segments[1], &playlist.segments[1]));
}

#[test]
fn line_ends_and_white_space_stay_and_do_not_count() {
    let playlist = read("#EXTM3U \r\n#EXT-X-TARGETDURATION:4\t\r\n#EXTINF: 4 ,\r\n \r\n  a b.ts \r\n#EXTINF:4\nb");
    assert_eq!(playlist.segments.iter().map(|segment| segment.uri()).collect::<Vec<_>>(), ["a b.ts", "b"]);
    assert!(playlist.tail.is_empty());
}

#[test]
fn a_segment_without_a_line_end_is_not_taken_for_one_that_has_it() {
    let (open, closed) = (with("#EXTINF:4,\na"), with("#EXTINF:4,\na\n"));
    let longer = with("#EXTINF:4,\nab\n");
    for (earlier, later) in [(&open, &closed), (&closed, &open), (&open, &longer)] {
        let before = read(earlier);
        let playlist = parse(later, Some(&before)).unwrap();
        assert_eq!(playlist, read(later));
        assert_eq!(playlist.render(), *later);
    }
}

#[test]
fn a_range_that_follows_another_is_not_shared_where_the_other_changed() {
    let ranges = |first: u64, uri: &str| {
        with(&format!(
            "#EXTINF:4,\n#EXT-X-BYTERANGE:{first}@0\n{uri}\n#EXTINF:4,\n#EXT-X-BYTERANGE:5\na\n\
             #EXTINF:4,\n#EXT-X-BYTERANGE:5@90\na\n#EXTINF:4,\n#EXT-X-BYTERANGE:5\na\n"
        ))
    };
    let before = read(&ranges(10, "a"));
    let playlist = parse(&ranges(20, "a"), Some(&before)).unwrap();
    let starts: Vec<_> = playlist.segments.iter().map(|segment| segment.byte_range.unwrap().start).collect();
    assert_eq!(starts, [0, 20, 90, 95]);
    let is_shared = |index: usize| Arc::ptr_eq(&playlist.segments[index], &before.segments[index]);
    assert_eq!([0, 1, 2, 3].map(is_shared), [false, false, true, true]);
    let other_resource = parse(&ranges(10, "b"), Some(&before)).unwrap_err();
    assert_eq!(other_resource.what, "EXT-X-BYTERANGE has a range without a place");
}

#[test]
fn a_delta_update_goes_on_from_a_range_that_it_skips() {
    let before = read(&with("#EXTINF:4,\n#EXT-X-BYTERANGE:10@0\na\n#EXTINF:4,\n#EXT-X-BYTERANGE:5\na\n"));
    let update = with("#EXT-X-SKIP:SKIPPED-SEGMENTS=1\n#EXTINF:4,\n#EXT-X-BYTERANGE:5\na\n");
    let playlist = parse(&update, Some(&before)).unwrap();
    assert!(Arc::ptr_eq(&playlist.segments[0], &before.segments[1]));
    assert!(parse(&update, None).is_err());
}

#[test]
fn every_bound_holds() {
    let line = |length: usize| format!("#{}\n", "x".repeat(length - 2));
    assert!(parse(&with(&line(LINE_MAX)), None).is_ok());
    for lines in ["", "#EXTINF:4,\n"] {
        let text = with(&format!("{lines}{}#EXTINF:4,\na\n", line(LINE_MAX + 1)));
        assert_eq!(parse(&text, None).unwrap_err().what, "the line is too long");
    }
    let outside =
        |head: usize, tail: usize| with(&format!("{}#EXTINF:4,\na\n{}", "\n".repeat(head - 2), "\n".repeat(tail)));
    assert!(parse(&outside(LINES_MAX, 0), None).is_ok());
    assert!(parse(&outside(2, LINES_MAX - 2), None).is_ok());
    for text in [outside(LINES_MAX + 1, 0), outside(2, LINES_MAX - 1)] {
        assert_eq!(parse(&text, None).unwrap_err().what, "too many lines outside of segments");
    }
    assert_eq!(parse(&"#".repeat(LENGTH_MAX + 1), None).unwrap_err().what, "the playlist is too long");
}

#[test]
fn a_megabyte_of_anything_is_read_or_refused() {
    let units = [
        "\n",
        "a\n",
        "\r\n",
        "#",
        "A=1,",
        "\"",
        "#EXT-X-MAP:",
        "#EXTINF:4,\na\n",
        "#EXTINF:4,\n",
        "#EXT-X-DISCONTINUITY\n",
        "#EXT-X-PART:DURATION=1,URI=\"a\"\n",
        "#EXT-X-PART:DURATION=1,URI=\"a\",BYTERANGE=\"1@0\"\n",
        "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"a\"\n",
        "#EXT-X-DATERANGE:ID=\"a\"\n",
        "#EXT-X-KEY:METHOD=NONE,URI=\"a\"\n",
        "#EXT-X-KEY:URI=\"\n",
        "\u{fc}",
    ];
    let mut before = None;
    for unit in units {
        let many = unit.repeat((1 << 20) / unit.len());
        for text in [many.clone(), with(&many), with(&format!("#EXTINF:4,\na\n{many}\n#EXTINF:4,\nb\n"))] {
            _ = kind(&text);
            if let Ok(playlist) = parse(&text, before.as_ref()) {
                assert_eq!(playlist.render(), text);
                before = Some(playlist);
            }
        }
    }
}

#[test]
fn a_playlist_is_told_by_the_first_tag_that_only_one_kind_has() {
    for (text, expected) in [
        ("#EXTM3U", Some(Kind::Media)),
        ("#EXTM3U\r\n", Some(Kind::Media)),
        ("#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-DEFINE:QUERYPARAM=\"a\"\na\n", Some(Kind::Media)),
        ("#EXTM3U\n#EXT-X-INDEPENDENT-SEGMENTS\n\n#EXT-X-MEDIA:TYPE=AUDIO\n", Some(Kind::Multivariant)),
        ("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\na\n#EXTINF:4,\n", Some(Kind::Multivariant)),
        ("#EXTM3U\n#EXTINF:4,\n#EXT-X-STREAM-INF:BANDWIDTH=1\n", Some(Kind::Media)),
        ("#EXTM3U\n#EXT-X-DATERANGE:\n", Some(Kind::Media)),
        ("#EXTM3U-ish\n#EXTINF:4,\na\n", None),
        ("\u{feff}#EXTM3U\n", None),
        (" #EXTM3U\n", None),
        ("{\"error\":404}", None),
        ("", None),
    ] {
        assert_eq!(kind(text), expected, "{text}");
    }
}

#[test]
fn a_segment_takes_little_memory_beside_its_text() {
    assert!(size_of::<Segment>() <= 160, "{}", size_of::<Segment>());
}
