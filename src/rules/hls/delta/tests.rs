use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::clock;
use crate::rules::hls::{self, parse::parse};

mod history;

const START: Tick = Tick::at(Duration::from_secs(1_000));

/// The specification's example (§9.12): TD 4, SB 24.
const EXAMPLE: &str = "#EXTM3U\n\
    #EXT-X-VERSION:6\n\
    #EXT-X-TARGETDURATION:4\n\
    #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.0,CAN-SKIP-UNTIL=24.0,CAN-SKIP-DATERANGES=YES\n\
    #EXT-X-PART-INF:PART-TARGET=0.33334\n\
    #EXT-X-MEDIA-SEQUENCE:264\n\
    #EXT-X-MAP:URI=\"init.mp4\"\n\
    #EXT-X-PROGRAM-DATE-TIME:2019-02-14T02:13:28.106Z\n\
    #EXTINF:4.00008,\nf264.mp4\n\
    #EXT-X-DATERANGE:ID=\"a\",START-DATE=\"2019-02-14T02:13:32Z\"\n\
    #EXTINF:4.00008,\nf265.mp4\n\
    #EXTINF:4.00008,\nf266.mp4\n\
    #EXTINF:4.00008,\nf267.mp4\n\
    #EXTINF:4.00008,\nf268.mp4\n\
    #EXT-X-DATERANGE:ID=\"b\",START-DATE=\"2019-02-14T02:13:48Z\"\n\
    #EXTINF:4.00008,\nf269.mp4\n\
    #EXTINF:4.00008,\nf270.mp4\n\
    #EXTINF:4.00008,\nf271.mp4\n\
    #EXT-X-PROGRAM-DATE-TIME:2019-02-14T02:14:00.106Z\n\
    #EXTINF:4.00008,\nf272.mp4\n\
    #EXT-X-DATERANGE:ID=\"c\",START-DATE=\"2019-02-14T02:14:04Z\"\n\
    #EXT-X-PART:DURATION=0.33334,URI=\"f273.0.mp4\"\n\
    #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"f273.1.mp4\"\n";

/// Versions one after the other, each at its moment.
fn published<const N: usize>(versions: [(&str, u64); N]) -> Published {
    let mut published = Published::default();
    for (text, second) in versions {
        published.playlist = parse(text, Some(&published.playlist)).expect("a playlist");
        published.dates.advance(&published.playlist, START + Duration::from_secs(second));
    }
    published
}

fn text(published: &Published, skipping: Skipping, second: u64) -> Option<String> {
    let update = delta(published, skipping, START + Duration::from_secs(second))?;
    Some(update.pieces(&published.playlist).collect())
}

fn segments_only(playlist: &str) -> Option<String> {
    text(&published([(playlist, 0)]), Skipping::Segments, 0)
}

fn merged(before: &str, update: &str) -> Result<String, CannotMerge> {
    let before = parse(before, None).expect("a playlist");
    merge(&before, &parse(update, Some(&before)).expect("an update")).map(|whole| whole.render())
}

#[test]
fn the_example_of_the_specification_skips_three_segments() {
    let expected = "#EXTM3U\n\
        #EXT-X-VERSION:9\n\
        #EXT-X-TARGETDURATION:4\n\
        #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.0,CAN-SKIP-UNTIL=24.0,CAN-SKIP-DATERANGES=YES\n\
        #EXT-X-PART-INF:PART-TARGET=0.33334\n\
        #EXT-X-MEDIA-SEQUENCE:264\n\
        #EXT-X-SKIP:SKIPPED-SEGMENTS=3\n\
        #EXT-X-DATERANGE:ID=\"a\",START-DATE=\"2019-02-14T02:13:32Z\"\n";
    let kept = &EXAMPLE[EXAMPLE.find("#EXTINF:4.00008,\nf267").expect("it is there")..];
    assert_eq!(segments_only(EXAMPLE), Some(format!("{expected}{kept}")));
}

#[test]
fn a_segment_that_is_as_far_as_the_boundary_is_kept() {
    let exactly = EXAMPLE.replace("4.00008", "4");
    assert!(segments_only(&exactly).unwrap().contains("SKIPPED-SEGMENTS=2\n"));
    let a_nanosecond_more = exactly.replace("#EXTINF:4,\nf272", "#EXTINF:4.000000001,\nf272");
    assert!(segments_only(&a_nanosecond_more).unwrap().contains("SKIPPED-SEGMENTS=3\n"));
}

#[test]
fn the_full_playlist_is_sent_where_nothing_can_be_skipped() {
    assert_eq!(segments_only(&EXAMPLE.replace(",CAN-SKIP-UNTIL=24.0,CAN-SKIP-DATERANGES=YES", "")), None);
    assert_eq!(segments_only(&EXAMPLE.replace("=24.0", "=36.0")), None);
    assert_eq!(segments_only(&format!("{EXAMPLE}#EXT-X-ENDLIST\n")), None);
    let long = published([(&EXAMPLE.replace("=24.0", "=36.0"), 0)]);
    assert_eq!(text(&long, Skipping::SegmentsAndDateRanges, 0), None);
}

#[test]
fn the_version_is_raised_where_it_stands_or_said_first() {
    let version = |playlist: &str| {
        let update = segments_only(playlist)?;
        Some(update.lines().filter(|line| line.starts_with("#EXT-X-VERSION")).collect::<Vec<_>>().join(" "))
    };
    assert_eq!(version(&EXAMPLE.replace("VERSION:6", "VERSION:11")).unwrap(), "#EXT-X-VERSION:11");
    let unsaid = EXAMPLE.replace("#EXT-X-VERSION:6\n", "");
    assert!(segments_only(&unsaid).unwrap().starts_with("#EXTM3U\n#EXT-X-VERSION:9\n"));
    let later = unsaid.replace("f267.mp4\n", "f267.mp4\n#EXT-X-VERSION:6\n");
    assert_eq!(version(&later), None, "a second one would make players fail");
    let windows = EXAMPLE.replace('\n', "\r\n");
    let update = segments_only(&windows).unwrap();
    assert!(update.contains("\r\n#EXT-X-VERSION:9\r\n") && update.contains("\r\n#EXT-X-SKIP:SKIPPED-SEGMENTS=3\r\n"));
    assert_eq!(merged(&windows, &update).unwrap(), windows);
}

#[test]
fn date_ranges_are_skipped_wherever_they_stand_until_they_are_young() {
    let offered = published([(EXAMPLE, 0)]);
    let update = text(&offered, Skipping::SegmentsAndDateRanges, 0).unwrap();
    assert!(update.contains("#EXT-X-VERSION:10\n"));
    assert!(update.contains("#EXT-X-SKIP:SKIPPED-SEGMENTS=3,RECENTLY-REMOVED-DATERANGES=\"\"\n#EXTINF"));
    assert!(!update.contains("#EXT-X-DATERANGE"));
    assert_eq!(merged(EXAMPLE, &update).unwrap(), EXAMPLE);

    let further = EXAMPLE.replace("#EXT-X-PART:", "#EXT-X-DATERANGE:ID=\"a\",X-MORE=1\n#EXT-X-PART:");
    let lists = |second| {
        let update = text(&published([(EXAMPLE, 0), (&further, 5)]), Skipping::SegmentsAndDateRanges, second).unwrap();
        assert_eq!(merged(&further, &update).unwrap(), further);
        update.matches("#EXT-X-DATERANGE").count()
    };
    assert_eq!([lists(5), lists(29), lists(30)], [1, 1, 0], "an ID may gain lines, and each has its own age");
}

#[test]
fn date_ranges_stay_where_skipping_them_is_not_offered() {
    let unoffered = published([(&EXAMPLE.replace(",CAN-SKIP-DATERANGES=YES", ""), 0)]);
    let [both, segments] = [Skipping::SegmentsAndDateRanges, Skipping::Segments].map(|it| text(&unoffered, it, 0));
    assert_eq!(both, segments);
    assert!(both.unwrap().contains("SKIPPED-SEGMENTS=3\n"));
}

#[test]
fn what_was_removed_is_said_even_where_no_segment_is_skipped() {
    let long = EXAMPLE.replace("=24.0", "=36.0");
    let without = |id: &str| {
        let is_of = |line: &&str| line.starts_with(&format!("#EXT-X-DATERANGE:ID=\"{id}\""));
        long.split_inclusive('\n').filter(|line| !is_of(line)).collect::<String>()
    };
    let shorter = without("b");
    let removed = published([(&long, 0), (&shorter, 1)]);
    let update = text(&removed, Skipping::SegmentsAndDateRanges, 37).unwrap();
    assert!(update.contains("\n#EXT-X-SKIP:SKIPPED-SEGMENTS=0,RECENTLY-REMOVED-DATERANGES=\"b\"\n#EXT-X-MAP"));
    assert_eq!(merged(&long, &update).unwrap(), shorter);
    assert_eq!(text(&removed, Skipping::SegmentsAndDateRanges, 38), None);
    assert_eq!(text(&removed, Skipping::Segments, 1), None);
}

#[test]
fn an_update_of_date_ranges_says_until_when_it_is_right() {
    let further = EXAMPLE.replace("#EXT-X-PART:", "#EXT-X-DATERANGE:ID=\"d\"\n#EXT-X-PART:");
    let seconds = |second| START + Duration::from_secs(second);
    let until = |published: &Published, second| {
        delta(published, Skipping::SegmentsAndDateRanges, seconds(second)).expect("an update").until
    };
    let both = published([(EXAMPLE, 0), (&further, 5), (EXAMPLE, 10)]);
    let later = published([(EXAMPLE, 0), (&further, 5)]);
    let moment = Duration::from_nanos(1);
    assert_eq!(until(&later, 5), Some(seconds(29) + moment));
    assert_eq!(until(&later, 30), None);
    assert_eq!(until(&both, 10), Some(seconds(34) + moment));
    let at = |at: Tick| delta(&later, Skipping::SegmentsAndDateRanges, at);
    assert_eq!(at(seconds(29)), at(seconds(5)));
    assert_ne!(at(seconds(29) + moment), at(seconds(29)));
    assert_eq!(delta(&later, Skipping::Segments, seconds(5)).expect("an update").until, None);
}

/// Whether parts went before or after the segment became the first one, the update is the same: no merge could tell.
#[test]
fn a_date_range_whose_parts_went_is_put_before_what_is_said_anew() {
    let long = EXAMPLE.replace("=24.0", "=36.0");
    let [head, rest] = ["#EXT-X-MAP", "#EXTINF:4.00008,\nf265"].map(|line| long.find(line).expect("it is there"));
    let is_b = |line: &&str| line.starts_with("#EXT-X-DATERANGE:ID=\"b\"");
    let rest: String = long[rest..].split_inclusive('\n').filter(|line| !is_b(line)).collect();
    let head = long[..head].replace("QUENCE:264", "QUENCE:265");
    let map = "#EXT-X-MAP:URI=\"init.mp4\"\n";
    let range = "#EXT-X-DATERANGE:ID=\"a\",START-DATE=\"2019-02-14T02:13:32Z\"\n";
    let copy = long.replace(range, &format!("#EXT-X-PART:DURATION=0.33334,URI=\"f265.0.mp4\"\n{range}"));
    let parts_first = format!("{head}{range}{map}{rest}");
    let parts_last = format!("{head}{map}{range}{rest}");
    let update = |full: &str| text(&published([(&copy, 0), (full, 1)]), Skipping::SegmentsAndDateRanges, 1).unwrap();
    assert_eq!(update(&parts_first), update(&parts_last));
    assert_eq!(merged(&copy, &update(&parts_last)), Ok(parts_first));
}

#[test]
fn what_changed_a_short_time_ago_is_kept_with_all_that_follows() {
    let skipped = |msn, second| {
        let revised = Published { revised: vec![(msn, START)], ..published([(EXAMPLE, 0)]) };
        delta(&revised, Skipping::Segments, START + Duration::from_secs(second)).map(|update| update.first)
    };
    assert_eq!([skipped(266, 0), skipped(265, 23), skipped(265, 24)], [Some(2), Some(1), Some(3)]);
    assert_eq!([skipped(264, 0), skipped(270, 0), skipped(9, 0)], [None, Some(3), None]);
}

#[test]
fn an_update_is_not_merged_with_what_is_too_old_or_of_another_stream() {
    let update = segments_only(EXAMPLE).unwrap();
    let cut = |uri: &str| {
        let end = EXAMPLE.find(uri).expect("it is listed") + uri.len() + 1;
        EXAMPLE[..end].to_owned()
    };
    assert_eq!(merged(&cut("f265.mp4"), &update), Err(CannotMerge::Unknown));
    assert_eq!(merged(&cut("f266.mp4"), &update).as_deref(), Ok(EXAMPLE));
    assert_eq!(merged(&EXAMPLE.replace("QUENCE:264", "QUENCE:265"), &update), Err(CannotMerge::Unknown));
    assert_eq!(merged(&EXAMPLE.replace("QUENCE:264", "QUENCE:255"), &update), Err(CannotMerge::Unknown));
    assert_eq!(merged(&EXAMPLE.replace("f270.mp4", "x.mp4"), &update), Err(CannotMerge::Unknown));
    assert_eq!(merged(&update, &update), Err(CannotMerge::Unknown));
    assert_eq!(merged(EXAMPLE, EXAMPLE), Err(CannotMerge::Full));
}

#[test]
fn a_range_that_continues_a_skipped_segment_is_known_by_the_copy() {
    let ranged = EXAMPLE.replace(",\nf264.mp4", ",\n#EXT-X-BYTERANGE:10@0\nall.mp4");
    let ranged = (265..=272)
        .fold(ranged, |text, msn| text.replace(&format!(",\nf{msn}.mp4"), ",\n#EXT-X-BYTERANGE:10\nall.mp4"));
    let whole = parse(&ranged, None).expect("a playlist");
    let update = segments_only(&ranged).unwrap();
    assert!(parse(&update, None).is_err(), "nobody knows where it begins");
    let update = parse(&update, Some(&whole)).expect("an update");
    assert_eq!(merge(&whole, &update), Ok(whole));
}

#[test]
fn others_write_updates_in_other_ways() {
    let remarks = EXAMPLE.replace("f264.mp4\n", "f264.mp4\n\n#EXT-X-CUE-OUT:30\n");
    let later = remarks.replace("#EXT-X-MEDIA-SEQUENCE:264", "#EXT-X-MEDIA-SEQUENCE:265");
    let start = later.find("#EXT-X-MAP").expect("it is there");
    let end = later.find("\n#EXT-X-CUE-OUT").expect("it is there");
    let map = later[start..].split_inclusive('\n').next().expect("it has a line");
    // Where the list begins now, the init section is named anew.
    let later = format!("{}{}", &later[..start], &later[end..]).replacen("#EXTINF", &format!("{map}#EXTINF"), 1);
    let ours = segments_only(&later).unwrap();
    let skip = "#EXT-X-SKIP:SKIPPED-SEGMENTS=2\n";
    // What leads a segment that is skipped went with it.
    let gone = ours.replace(
        &format!("\n#EXT-X-CUE-OUT:30\n#EXT-X-DATERANGE:ID=\"a\",START-DATE=\"2019-02-14T02:13:32Z\"\n{skip}"),
        skip,
    );
    let range = "#EXT-X-DATERANGE:ID=\"a\",START-DATE=\"2019-02-14T02:13:32Z\"\n";
    assert_ne!(gone, ours);
    for update in [ours.clone(), gone.replace(skip, &format!("{skip}{range}"))] {
        assert!(update.contains(skip));
        assert_eq!(merged(&remarks, &update).as_deref(), Ok(&*later), "{update}");
    }
}

#[test]
fn a_merge_shares_its_segments_with_the_copy() {
    let copy = parse(EXAMPLE, None).expect("a playlist");
    for skipping in [Skipping::Segments, Skipping::SegmentsAndDateRanges] {
        let update = text(&published([(EXAMPLE, 0)]), skipping, 0).unwrap();
        let whole = merge(&copy, &parse(&update, Some(&copy)).expect("an update")).expect("nothing is missing");
        assert!(whole.segments.iter().zip(&copy.segments).all(|(one, other)| std::sync::Arc::ptr_eq(one, other)));
    }
}

#[test]
fn the_head_may_not_grow_without_bound() {
    let led = EXAMPLE.replace("f264.mp4\n", &format!("f264.mp4\n{}", "#\n".repeat(65)));
    let later = led.replace("QUENCE:264", "QUENCE:265");
    let start = later.find("#EXT-X-MAP").expect("it is there");
    let end = later.find("#\n#\n").expect("it is there");
    let later = format!("{}{}", &later[..start], &later[end..]);
    assert_eq!(merged(&led, &segments_only(&later).unwrap()), Err(CannotMerge::Unknown));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 5_000, ..ProptestConfig::default() })]

    #[test]
    fn whoever_has_a_young_copy_gets_the_full_playlist_from_an_update(
        octets in prop::collection::vec(any::<u8>(), 3..400),
    ) {
        history::run(&octets);
    }
}

#[test]
fn histories_hold_all_that_is_to_be_shown() {
    let mut state = 7_u32;
    let mut octet = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let mut all = history::Seen::default();
    for _ in 0..24 {
        let octets: Vec<u8> = (0..300).map(|_| octet()).collect();
        let seen = history::run(&octets);
        all.merged += seen.merged;
        all.unknown += seen.unknown;
        all.exact += seen.exact;
        all.skipped += seen.skipped;
        all.dates += seen.dates;
    }
    let rare = all.unknown.min(all.exact).min(all.skipped).min(all.dates);
    assert!(all.merged > 5_000 && rare > 20, "{all:?}");
}
