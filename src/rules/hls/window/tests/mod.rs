//! What viewers see of what an origin does: one story a test.

mod properties;

use std::fmt::Write as _;

use super::*;
use crate::rules::hls::parse::parse;
use crate::rules::hls::position::Position;

/// A list that an origin publishes, written as text and read as any other.
#[derive(Clone, Debug)]
pub(super) struct List {
    pub(super) first: u64,
    pub(super) discontinuity_sequence: u64,
    pub(super) segments: Vec<String>,
    pub(super) open: Vec<String>,
    pub(super) head: String,
    pub(super) end: String,
}

pub(super) fn segment(name: &str, duration: f64) -> String {
    format!("#EXTINF:{duration:.3},\n{name}\n")
}

pub(super) fn part(name: &str, duration: f64) -> String {
    format!("#EXT-X-PART:DURATION={duration:.3},URI=\"{name}\",INDEPENDENT=YES\n")
}

/// Segments `NAME0.ts` … of two seconds.
fn segments(name: &str, numbers: std::ops::Range<u64>) -> Vec<String> {
    numbers.map(|number| segment(&format!("{name}{number}.ts"), 2.0)).collect()
}

/// A plain live list of the segments `numbers`.
fn plain(name: &str, numbers: std::ops::Range<u64>) -> List {
    let head = "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:2\n".to_owned();
    let (first, segments) = (numbers.start, segments(name, numbers));
    List { first, discontinuity_sequence: 0, segments, open: Vec::new(), head, end: String::new() }
}

/// A low-latency list of the segments `numbers`, with `open` parts of the next one and a hint.
fn parted(name: &str, numbers: std::ops::Range<u64>, open: u64) -> List {
    let next = numbers.end;
    let part_name = |index: u64| format!("{name}{next}.{index}.mp4");
    let mut list = plain(name, numbers);
    list.head
        .push_str("#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.5\n#EXT-X-PART-INF:PART-TARGET=0.5\n");
    list.open = (0..open).map(|index| part(&part_name(index), 0.5)).collect();
    list.end = format!("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{}\"\n", part_name(open));
    list
}

impl List {
    pub(super) fn text(&self) -> String {
        let mut text = self.head.clone();
        writeln!(text, "#EXT-X-MEDIA-SEQUENCE:{}", self.first).unwrap();
        if self.discontinuity_sequence > 0 {
            writeln!(text, "#EXT-X-DISCONTINUITY-SEQUENCE:{}", self.discontinuity_sequence).unwrap();
        }
        text + &self.segments.concat() + &self.open.concat() + &self.end
    }
}

/// A window and its clock.
#[derive(Default)]
struct Story {
    window: Window,
    now: Tick,
}

impl Story {
    fn take_text(&mut self, text: &str) -> Advance {
        let playlist = parse(text, self.window.ingested()).unwrap();
        self.window.take(playlist, self.now)
    }

    fn take(&mut self, list: &List) -> Advance {
        self.take_text(&list.text())
    }

    fn shows(&mut self, list: &List) -> Arc<Published> {
        match self.take(list) {
            Advance::Advanced(published, _) => published,
            other => panic!("{other:?}"),
        }
    }

    fn finds(&mut self, list: &List) -> Vec<Finding> {
        match self.take(list) {
            Advance::Advanced(_, findings) => findings,
            other => panic!("{other:?}"),
        }
    }

    fn wait(&mut self, seconds: f64) -> &mut Self {
        self.now = self.now + Duration::from_secs_f64(seconds);
        self
    }
}

fn uris(published: &Published) -> Vec<&str> {
    published.playlist.segments.iter().map(|segment| segment.uri()).collect()
}

fn numbers(published: &Published) -> (u64, u64) {
    (published.playlist.facts.media_sequence, published.playlist.facts.discontinuity_sequence)
}

/// The text that viewers get says what the facts say.
fn assert_consistent(published: &Published) {
    let text = published.playlist.render();
    let again = parse(&text, None).unwrap();
    assert_eq!(again, published.playlist, "{text}");
}

#[test]
fn a_plain_list_gains_blocking_reloads_and_nothing_else() {
    let mut story = Story::default();
    let published = story.shows(&plain("a", 0..3));
    let expected = "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:0\n\
         #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES\n\
         #EXTINF:2.000,\na0.ts\n#EXTINF:2.000,\na1.ts\n#EXTINF:2.000,\na2.ts\n";
    assert_eq!(published.playlist.render(), expected);
    assert_consistent(&published);
    assert_eq!(published.frontier.next, Position::segment(3));
}

#[test]
fn a_window_of_more_than_seven_targets_offers_delta_updates_and_goes_on_offering_them() {
    let mut story = Story::default();
    let offers = |published: &Published| published.playlist.facts.server_control.unwrap().can_skip_until;
    assert_eq!(offers(&story.shows(&plain("a", 0..7))), None);
    assert_eq!(offers(&story.shows(&plain("a", 0..8))), Some(Duration::from_secs(12)));
    assert_eq!(offers(&story.shows(&plain("a", 2..9))), Some(Duration::from_secs(12)));
}

#[test]
fn server_control_is_merged_with_what_the_origin_offers() {
    let mut list = plain("a", 0..3);
    list.head.push_str(
        "#EXT-X-SERVER-CONTROL:X-NEW=\"a,b\",CAN-BLOCK-RELOAD=NO,HOLD-BACK=4,CAN-SKIP-UNTIL=24.5\r\n\
         #EXT-X-PART-INF:PART-TARGET=0.33334\n#EXT-X-DATERANGE:ID=\"ad\",START-DATE=\"2024-01-01T00:00:00Z\"\n",
    );
    let published = Story::default().shows(&list);
    let text = published.playlist.render();
    let expected = "#EXT-X-SERVER-CONTROL:X-NEW=\"a,b\",CAN-BLOCK-RELOAD=YES,HOLD-BACK=6.0,CAN-SKIP-UNTIL=24.5,\
         PART-HOLD-BACK=1.00002,CAN-SKIP-DATERANGES=YES\n";
    assert!(text.contains(expected), "{text}");
    assert_consistent(&published);
}

#[test]
fn a_part_hold_back_of_our_own_stays_while_the_part_target_drifts() {
    let mut story = Story::default();
    let mut list = parted("a", 0..3, 1);
    list.head = list.head.replace(",PART-HOLD-BACK=1.5", "");
    let hold_back = |published: &Published| published.playlist.facts.server_control.unwrap().part_hold_back;
    assert_eq!(hold_back(&story.shows(&list)), Some(Duration::from_millis(1_500)));
    list.head = list.head.replace("PART-TARGET=0.5", "PART-TARGET=0.51");
    assert_eq!(hold_back(&story.shows(&list)), Some(Duration::from_millis(1_500)));
    list.head = list.head.replace("PART-TARGET=0.51", "PART-TARGET=0.8");
    assert_eq!(hold_back(&story.shows(&list)), Some(Duration::from_millis(2_400)));
}

#[test]
fn what_has_ended_or_never_changes_stays_byte_for_byte() {
    let mut story = Story::default();
    let mut list = plain("a", 0..3);
    list.end = "#EXT-X-RENDITION-REPORT:URI=\"b.m3u8\",LAST-MSN=2\n#EXT-X-ENDLIST\n".to_owned();
    assert_eq!(story.shows(&list).playlist.render(), list.text());
    assert_eq!((story.window.stalled_from(), story.window.upstream()), (None, None));
    let mut vod = plain("a", 0..3);
    vod.head.push_str("#EXT-X-PLAYLIST-TYPE:VOD\n");
    assert_eq!(Story::default().shows(&vod).playlist.render(), vod.text());
}

#[test]
fn reports_are_taken_out_wherever_they_stand() {
    let report = |name: &str| format!("#EXT-X-RENDITION-REPORT:URI=\"{name}\",LAST-MSN=2\n");
    let mut list = plain("a", 0..3);
    list.head.push_str(&report("head"));
    list.segments[1] = format!("{}#EXT-X-DATERANGE:ID=\"x\",START-DATE=\"2024-01-01T00:00:00Z\"\n", report("inside"))
        + &list.segments[1];
    list.end = report("tail");
    let published = Story::default().shows(&list);
    let names: Vec<_> = published.reports.iter().map(|report| &*report.uri).collect();
    assert_eq!(names, ["head", "inside", "tail"]);
    assert!(!published.playlist.render().contains("RENDITION-REPORT"));
    assert_consistent(&published);
}

#[test]
fn reports_alone_make_no_new_version() {
    let mut story = Story::default();
    let mut list = plain("a", 0..3);
    list.end = "#EXT-X-RENDITION-REPORT:URI=\"b.m3u8\",LAST-MSN=2\n".to_owned();
    story.shows(&list);
    list.end = list.end.replace("=2", "=3");
    assert_eq!(story.take(&list), Advance::Unchanged);
}

#[test]
fn a_window_that_goes_on_shares_its_segments() {
    let mut story = Story::default();
    let first = story.shows(&plain("a", 0..5));
    let second = story.shows(&plain("a", 1..6));
    assert!(Arc::ptr_eq(&first.playlist.segments[2], &second.playlist.segments[1]));
    assert_eq!((second.version, second.revised.len(), second.generation), (2, 0, 0));
}

#[test]
fn an_origin_that_lags_changes_nothing() {
    let mut story = Story::default();
    let published = story.shows(&plain("a", 3..8));
    assert_eq!(story.take(&plain("a", 2..7)), Advance::Behind);
    assert_eq!(story.take(&plain("a", 3..8)), Advance::Unchanged);
    assert!(Arc::ptr_eq(&published, story.window.published().unwrap()));
    let next = story.shows(&plain("a", 4..9));
    assert_eq!(numbers(&next), (4, 0));
}

#[test]
fn an_origin_that_keeps_more_does_not_make_the_sequence_fall() {
    let mut story = Story::default();
    let mut long = plain("a", 2..9);
    long.segments[0] = format!("#EXT-X-MAP:URI=\"i.mp4\"\n{}", long.segments[0]);
    let mut short = plain("a", 4..8);
    short.segments[0] = format!("#EXT-X-MAP:URI=\"i.mp4\"\n{}", short.segments[0]);
    story.shows(&short);
    let published = story.shows(&long);
    assert_eq!(numbers(&published), (4, 0));
    assert_eq!(published.playlist.segments[0].maps.len(), 1);
    assert_consistent(&published);
}

#[test]
fn a_list_that_advances_behind_ours_for_long_has_begun_again() {
    let mut story = Story::default();
    story.shows(&plain("a", 0..6));
    assert_eq!(story.wait(2.0).take(&plain("a", 0..1)), Advance::Behind);
    assert_eq!(story.wait(2.0).take(&plain("a", 0..2)), Advance::Behind);
    let published = story.wait(2.0).shows(&plain("a", 0..3));
    assert_eq!((numbers(&published), published.generation), ((6, 0), 1));
    assert_eq!(uris(&published), ["a0.ts", "a1.ts", "a2.ts"]);
    assert!(published.playlist.segments[0].text.starts_with("#EXT-X-DISCONTINUITY\n"));
    assert_consistent(&published);
}

#[test]
fn a_list_with_nothing_in_common_has_begun_again_as_soon_as_it_advances() {
    let mut story = Story::default();
    story.shows(&plain("a", 90..96));
    assert_eq!(story.wait(2.0).take(&plain("b", 0..1)), Advance::Behind);
    assert_eq!(story.wait(2.0).take(&plain("b", 0..1)), Advance::Behind);
    let published = story.wait(2.0).shows(&plain("b", 0..3));
    assert_eq!(uris(&published), ["a93.ts", "a94.ts", "a95.ts", "b0.ts", "b1.ts", "b2.ts"]);
    assert_eq!((numbers(&published), published.generation, published.first_of_generation), ((93, 0), 1, 3));
    assert!(published.playlist.segments[3].text.starts_with("#EXT-X-DISCONTINUITY\n"));
    assert_consistent(&published);
}

#[test]
fn a_restart_under_other_names_is_bridged_and_the_bridge_leaves_with_its_number() {
    let mut story = Story::default();
    story.shows(&plain("a", 0..4));
    let published = story.wait(2.0).shows(&plain("b", 0..1));
    assert_eq!(uris(&published), ["a1.ts", "a2.ts", "a3.ts", "b0.ts"]);
    assert_eq!((numbers(&published), published.generation), ((1, 0), 1));
    let published = story.wait(2.0).shows(&plain("b", 0..2));
    assert_eq!((numbers(&published), uris(&published).len()), ((2, 0), 4));
    let published = story.wait(2.0).shows(&plain("b", 0..4));
    assert_eq!((numbers(&published), published.first_of_generation), ((4, 0), 0));
    let published = story.wait(2.0).shows(&plain("b", 1..5));
    assert_eq!(numbers(&published), (5, 1));
    assert_eq!(&*published.playlist.segments[0].text, "#EXTINF:2.000,\nb1.ts\n");
    assert_consistent(&published);
}

#[test]
fn names_that_are_used_again_never_stand_beside_the_old_ones() {
    let mut story = Story::default();
    story.shows(&plain("a", 0..4));
    let mut again = plain("a", 0..2);
    again.segments[0] = segment("a0.ts", 1.9);
    let published = story.wait(2.0).shows(&again);
    assert_eq!(uris(&published), ["a0.ts", "a1.ts"]);
    assert_eq!((numbers(&published), published.generation), ((4, 0), 1));
    assert_eq!(published.frontier.next, Position::segment(6));
    assert_eq!(story.window.upstream().unwrap().msn, 2);
}

#[test]
fn the_number_of_an_open_segment_with_parts_is_never_used_again() {
    let mut story = Story::default();
    story.shows(&parted("a", 4..9, 2));
    assert_eq!(story.wait(1.0).take(&parted("b", 0..0, 1)), Advance::Behind);
    let published = story.wait(0.5).shows(&parted("b", 0..0, 2));
    assert_eq!(numbers(&published), (10, 0));
    assert_eq!(published.frontier.next, Position::new(10, 2));
    assert_eq!(published.frontier.closed_parts.last(), Some(&2));
    assert!(published.playlist.render().contains("\n#EXT-X-DISCONTINUITY\n#EXT-X-PART:"));
    assert_consistent(&published);
    let closed = story.wait(1.0).shows(&parted("b", 0..1, 0));
    assert_eq!((numbers(&closed), closed.frontier.next), ((10, 0), Position::segment(11)));
    assert!(closed.playlist.segments[0].text.starts_with("#EXT-X-DISCONTINUITY\n"));
    assert_eq!(closed.frontier.closed_parts[closed.frontier.closed_parts.len() - 2..], [2, 2]);
}

#[test]
fn a_listed_segment_keeps_its_uri_when_a_token_in_it_is_written_anew() {
    let mut story = Story::default();
    let with = |token: &str, numbers: std::ops::Range<u64>| {
        let mut list = plain("a", numbers);
        list.segments.iter_mut().for_each(|segment| *segment = segment.replace(".ts", &format!(".ts?t={token}")));
        list
    };
    story.shows(&with("1", 0..2));
    let published = story.shows(&with("2", 0..3));
    assert_eq!(uris(&published), ["a0.ts?t=1", "a1.ts?t=1", "a2.ts?t=2"]);
    assert_eq!(published.generation, 0);
}

#[test]
fn a_last_line_without_an_end_gets_one_when_something_follows() {
    let mut story = Story::default();
    let text = |token: &str, numbers: std::ops::Range<u64>| {
        plain("a", numbers).text().replace(".ts", &format!(".ts?t={token}")).trim_end().to_owned()
    };
    story.take_text(&text("1", 0..3));
    let Advance::Advanced(published, _) = story.take_text(&text("2", 0..4)) else { panic!() };
    assert_eq!(uris(&published), ["a0.ts?t=1", "a1.ts?t=1", "a2.ts?t=1", "a3.ts?t=2"]);
    assert_consistent(&published);
    let published = story.wait(1.0).shows(&plain("b", 0..4));
    assert_eq!(uris(&published).last(), Some(&"b3.ts"));
    assert_consistent(&published);
}

#[test]
fn a_jump_forward_is_the_same_stream() {
    let mut story = Story::default();
    story.shows(&plain("a", 0..4));
    let mut later = plain("a", 50..54);
    later.discontinuity_sequence = 3;
    let published = story.wait(100.0).shows(&later);
    assert_eq!((numbers(&published), published.generation), ((50, 3), 0));
}

#[test]
fn two_origins_with_names_of_their_own_that_answer_in_turn_make_one_bridge() {
    let mut story = Story::default();
    story.shows(&plain("a", 0..4));
    assert_eq!(story.wait(0.5).shows(&plain("b", 0..4)).generation, 1);
    assert_eq!(story.wait(0.5).take(&plain("a", 1..5)), Advance::Behind);
    assert_eq!(story.wait(1.0).shows(&plain("b", 1..5)).generation, 1);
    assert_eq!(story.wait(0.5).take(&plain("a", 2..6)), Advance::Behind);
}

#[test]
fn a_cache_with_the_list_from_before_the_restart_is_not_gone_back_to() {
    let mut story = Story::default();
    story.shows(&plain("a", 100..104));
    let mut again = plain("b", 0..1);
    again.segments[0] = format!("#EXT-X-PROGRAM-DATE-TIME:2024-01-01T00:00:00Z\n{}", again.segments[0]);
    story.take(&again);
    story.wait(2.0).take(&plain("b", 0..2));
    let published = story.wait(2.0).shows(&plain("b", 0..3));
    assert_eq!(published.generation, 1);
    assert_eq!(story.wait(0.5).take(&plain("a", 100..104)), Advance::Behind);
}

#[test]
fn dates_say_which_segments_of_another_origin_are_new() {
    let dated = |name: &str, numbers: std::ops::Range<u64>, from: u64| {
        let mut list = plain(name, numbers);
        for (index, segment) in list.segments.iter_mut().enumerate() {
            let second = from + 2 * index as u64;
            *segment = format!("#EXT-X-PROGRAM-DATE-TIME:2024-01-01T00:00:{second:02}Z\n{segment}");
        }
        list
    };
    let mut story = Story::default();
    story.shows(&dated("a", 10..14, 0));
    assert_eq!(story.wait(1.0).take(&dated("b", 10..14, 0)), Advance::Behind);
    let published = story.wait(1.0).shows(&dated("b", 11..16, 2));
    assert_eq!(uris(&published)[published.first_of_generation..], ["b14.ts", "b15.ts"]);
}

#[test]
fn a_bridge_repeats_what_reaches_forward() {
    let mut story = Story::default();
    let mut old = plain("a", 0..4);
    old.segments[0] = format!("#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n#EXT-X-MAP:URI=\"a.mp4\"\n{}", old.segments[0]);
    story.shows(&old);
    let mut new = plain("b", 0..4);
    new.segments[0] = format!("#EXT-X-MAP:URI=\"b.mp4\"\n{}", new.segments[0]);
    let published = story.wait(2.0).shows(&new);
    let own = &published.playlist.segments[published.first_of_generation];
    assert_eq!(
        &*own.text,
        "#EXT-X-DISCONTINUITY\n#EXT-X-KEY:METHOD=NONE\n#EXT-X-MAP:URI=\"b.mp4\"\n#EXTINF:2.000,\nb3.ts\n"
    );
    let first = &published.playlist.segments[0];
    assert_eq!(&*first.text, "#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n#EXT-X-MAP:URI=\"a.mp4\"\n#EXTINF:2.000,\na1.ts\n");
    assert_consistent(&published);
}

#[test]
fn a_byte_range_that_followed_a_segment_which_is_not_shown_says_where_it_begins() {
    let mut story = Story::default();
    story.shows(&plain("a", 0..4));
    let mut new = plain("b", 0..0);
    let range = |range: &str| format!("#EXT-X-BYTERANGE:{range}\n{}", segment("b.ts", 2.0));
    new.segments = vec![range("100@0"), range("100"), range("50")];
    let published = story.wait(2.0).shows(&new);
    let own = &published.playlist.segments[published.first_of_generation];
    assert_eq!(&*own.text, "#EXT-X-DISCONTINUITY\n#EXT-X-BYTERANGE:50@200\n#EXTINF:2.000,\nb.ts\n");
    assert_consistent(&published);
}

#[test]
fn a_target_duration_stays_until_a_segment_does_not_fit() {
    let mut story = Story::default();
    story.shows(&plain("a", 0..4));
    let mut list = plain("a", 0..5);
    list.head = list.head.replace("TARGETDURATION:2", "TARGETDURATION:4");
    let Advance::Advanced(published, findings) = story.take(&list) else { panic!() };
    assert_eq!(published.playlist.facts.target_duration, Duration::from_secs(2));
    let (from, to) = (Duration::from_secs(2), Duration::from_secs(4));
    assert_eq!(findings, [Finding::TargetDurationChanged { from, to }]);
    assert_consistent(&published);
    list.segments.push(segment("a5.ts", 3.8));
    let published = story.shows(&list);
    assert_eq!((published.playlist.facts.target_duration, published.generation), (to, 0));
}

#[test]
fn lines_of_the_whole_playlist_are_found_among_the_segments() {
    let text = |first: u64| {
        format!(
            "#EXTM3U\r\n#EXT-X-MAP:URI=\"i\"\r\n#EXT-X-TARGETDURATION:2\r\n#EXT-X-MEDIA-SEQUENCE:{first}\r\n\
             #EXT-X-SERVER-CONTROL:HOLD-BACK=9\r\n#EXTINF:2,\r\n{first}.ts\r\n"
        )
    };
    let mut story = Story::default();
    let Advance::Advanced(published, _) = story.take_text(&text(7)) else { panic!() };
    assert_consistent(&published);
    let control = "#EXTM3U\r\n#EXT-X-TARGETDURATION:2\r\n#EXT-X-MEDIA-SEQUENCE:7\r\n\
         #EXT-X-SERVER-CONTROL:HOLD-BACK=9,CAN-BLOCK-RELOAD=YES\r\n#EXT-X-MAP";
    assert!(published.playlist.render().starts_with(control), "{}", published.playlist.render());
    story.wait(60.0).take_text(&text(0));
    let Advance::Advanced(published, _) = story.wait(60.0).take_text(&text(1)) else { panic!() };
    assert_eq!((published.generation, numbers(&published)), (1, (8, 0)));
    assert_consistent(&published);
}

#[test]
fn the_end_counts_although_parts_of_an_open_segment_are_gone() {
    let mut story = Story::default();
    story.shows(&parted("a", 0..4, 3));
    let mut end = parted("a", 0..4, 0);
    end.end = "#EXT-X-ENDLIST\n".to_owned();
    let published = story.shows(&end);
    assert!(published.frontier.is_ended);
    assert_eq!(published.frontier.next, Position::new(4, 3));
}

#[test]
fn upstream_is_asked_in_its_own_numbers() {
    let mut story = Story::default();
    story.shows(&parted("a", 0..9, 2));
    story.wait(1.0).shows(&parted("b", 0..3, 1));
    let expected = Upstream { msn: 3, part: Some(1), blocks: true, skips: None };
    assert_eq!(story.window.upstream(), Some(expected));
    assert_eq!(story.take(&parted("b", 0..2, 1)), Advance::Behind);
    assert_eq!(story.window.upstream(), Some(Upstream { msn: 2, ..expected }));
}

#[test]
fn a_list_is_stalled_after_two_parts_or_one_and_a_half_targets() {
    let mut story = Story::default();
    story.wait(10.0).shows(&parted("a", 0..4, 1));
    assert_eq!(story.window.stalled_from(), Some(story.now + Duration::from_secs(1)));
    story.wait(0.5).take(&parted("a", 0..4, 1));
    assert_eq!(story.window.stalled_from(), Some(story.now + Duration::from_millis(500)));
    let mut story = Story::default();
    story.wait(10.0).shows(&plain("a", 0..4));
    assert_eq!(story.window.stalled_from(), Some(story.now + Duration::from_secs(3)));
}

#[test]
fn a_window_goes_on_where_it_was_left() {
    let mut story = Story::default();
    story.shows(&parted("a", 0..5, 2));
    story.wait(1.0).shows(&parted("b", 0..3, 1));
    let remembered = serde_json::to_string(&story.window.remember()).unwrap();
    let resume = || Story { window: Window::resume(serde_json::from_str(&remembered).unwrap()), now: Tick::default() };
    let published = resume().shows(&parted("b", 1..4, 0));
    assert_eq!((numbers(&published), published.generation), ((7, 1), 1));
    let published = resume().shows(&parted("b", 40..44, 0));
    assert_eq!((numbers(&published), published.generation), ((46, 1), 1));
    let published = resume().shows(&parted("c", 40..44, 0));
    assert_eq!(published.generation, 1, "nothing shows that it is another list");
    let published = resume().shows(&parted("c", 0..5, 0));
    assert_eq!((numbers(&published), published.generation), ((10, 1), 2));
    assert_eq!(resume().take(&parted("b", 0..3, 0)), Advance::Behind);
    assert!(remembered.len() < 700, "{}", remembered.len());
}

#[test]
fn a_discontinuity_that_moves_from_the_number_into_the_list_is_counted_once() {
    let mut story = Story::default();
    story.shows(&List { discontinuity_sequence: 1, ..plain("a", 5..10) });
    let mut tagged = plain("a", 5..11);
    tagged.segments[0].insert_str(0, "#EXT-X-DISCONTINUITY\n");
    let published = story.shows(&tagged);
    assert_eq!((numbers(&published), published.generation), ((5, 1), 0));
    assert!(!published.playlist.render().contains("#EXT-X-DISCONTINUITY\n") && published.revised.is_empty());
    assert_consistent(&published);
}

#[test]
fn a_list_that_cannot_be_compared_has_begun_again_if_its_discontinuity_sequence_fell() {
    let counted = List { discontinuity_sequence: 1, ..plain("a", 5..10) };
    let mut story = Story::default();
    story.shows(&counted);
    let remembered = story.window.remember();
    let published = story.wait(2.0).shows(&plain("a", 20..25));
    assert_eq!((numbers(&published), published.generation), ((6, 1), 1));
    assert_eq!(uris(&published)[3..], ["a9.ts", "a24.ts"]);
    assert_eq!(published.playlist.segments[4].discontinuities, 1);
    let resume = || Story { window: Window::resume(remembered.clone()), now: Tick::default() };
    assert_eq!(resume().shows(&counted).generation, 0);
    let published = resume().shows(&plain("a", 5..10));
    assert_eq!((published.playlist.msn(0) >= 10, numbers(&published).1, published.generation), (true, 1, 1));
}

#[test]
fn a_jump_to_the_open_segment_needs_its_parts_to_be_the_same_stream() {
    let open = || {
        let mut story = Story::default();
        story.shows(&parted("a", 0..5, 2));
        story
    };
    let published = open().shows(&parted("a", 5..10, 1));
    assert_eq!((published.playlist.msn(0), published.generation), (6, 1), "a number with parts is not used again");
    let mut told = parted("a", 5..10, 1);
    told.segments[0].insert_str(0, &[part("a5.0.mp4", 0.5), part("a5.1.mp4", 0.5)].concat());
    assert_eq!(open().shows(&told).generation, 0);
    assert_eq!(open().shows(&parted("a", 6..11, 1)).generation, 0, "nothing that viewers know is in question");
    assert_eq!(open().shows(&parted("a", 4..9, 1)).generation, 0, "a segment before it is known");
}

#[test]
fn a_window_that_saw_nothing_remembers_nothing() {
    let window = Window::resume(Window::default().remember());
    let mut story = Story { window, ..Story::default() };
    assert_eq!(numbers(&story.shows(&plain("a", 5..9))), (5, 0));
}

#[test]
fn findings_are_told_once_until_they_change() {
    let mut story = Story::default();
    let mut list = parted("a", 0..4, 2);
    list.end.clear();
    assert_eq!(story.finds(&list), [Finding::MissingHint]);
    list.open.push(part("a4.2.mp4", 0.7));
    let uneven = Finding::UnevenPart { msn: 4, part: 2, duration: Duration::from_millis(700) };
    assert_eq!(story.finds(&list), [uneven]);
    list.open.push(part("a4.3.mp4", 0.9));
    assert_eq!(story.finds(&list), []);
}

#[test]
fn short_parts_are_found_when_the_next_one_is_there() {
    let short = |name: &str| format!("#EXT-X-PART:DURATION=0.3,URI=\"{name}\"\n");
    let mut story = Story::default();
    let mut list = parted("a", 0..4, 1);
    list.open.push(short("a4.1.mp4"));
    list.end = list.end.replace("a4.1.mp4", "a4.2.mp4");
    assert_eq!(story.finds(&list), []);
    list.open.push(short("a4.2.mp4"));
    let uneven = Finding::UnevenPart { msn: 4, part: 1, duration: Duration::from_millis(300) };
    assert_eq!(story.finds(&list), [uneven]);
}

#[test]
fn hints_removals_and_numbers_are_held_against_what_came() {
    let mut story = Story::default();
    story.shows(&parted("a", 0..6, 1));
    let mut list = parted("a", 5..6, 1);
    list.open.push(part("other.mp4", 0.5));
    list.discontinuity_sequence = 2;
    let findings = story.finds(&list);
    let left = Duration::from_secs(2);
    let expected = [
        Finding::RemovedTooEarly { left },
        Finding::DiscontinuitySequence { expected: 0, found: 2 },
        Finding::HintNotKept,
    ];
    assert_eq!(findings, expected);
}

#[test]
fn a_segment_longer_than_its_target_is_found() {
    let mut list = plain("a", 0..4);
    list.segments[2] = segment("a2.ts", 2.5);
    let long = Finding::SegmentTooLong { msn: 2, duration: Duration::from_millis(2_500) };
    assert_eq!(Story::default().finds(&list), [long]);
}

#[test]
fn numbers_that_cannot_be_counted_on_are_refused() {
    let mut list = plain("a", 0..1);
    list.first = 1 << 62;
    assert_eq!(Story::default().take(&list), Advance::Refused(Finding::NumberTooLarge));
}

/// Recorded versions of a playlist, and when each came.
fn recorded(folder: &str) -> Vec<(Duration, String)> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/playlists").join(folder);
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut versions: Vec<_> = files
        .map(|file| {
            let name = file.file_stem().unwrap().to_str().unwrap();
            let millis: String = name.rsplit(['-', '_']).next().unwrap().chars().filter(char::is_ascii_digit).collect();
            (Duration::from_millis(millis.parse().unwrap()), std::fs::read_to_string(file).unwrap())
        })
        .collect();
    versions.sort();
    versions
}

fn without(text: &str, tags: &[&str]) -> String {
    text.split_inclusive('\n').filter(|line| !tags.iter().any(|tag| line.starts_with(tag))).collect()
}

#[test]
fn recorded_origins_are_shown_as_they_are_but_for_what_the_node_adds() {
    for folder in ["gpac-sf/master_1", "gpac-sf/master_4", "gpac-br/master_1", "gpac-br/master_4"] {
        let (mut story, mut shown, mut findings) = (Story::default(), 0, Vec::new());
        for (came, text) in recorded(folder) {
            story.now = Tick::at(came);
            match story.take_text(&text) {
                Advance::Advanced(_, found) => findings.extend(found),
                Advance::Unchanged => {}
                other => panic!("{folder} {came:?} {other:?}"),
            }
            let published = story.window.published().unwrap();
            let ours = without(&published.playlist.render(), &["#EXT-X-SERVER-CONTROL"]);
            assert_eq!(ours, without(&text, &["#EXT-X-SERVER-CONTROL", "#EXT-X-RENDITION-REPORT"]));
            assert_eq!(published.generation, 0);
            shown = published.version;
        }
        assert!(shown >= 10, "{folder}: {shown}");
        // This packager hints the second part of each new segment while the first is still to come.
        assert!(findings.iter().all(|finding| *finding == Finding::HintNotKept), "{folder} {findings:?}");
    }
}

#[test]
fn a_long_window_shares_its_segments() {
    let mut story = Story::default();
    let mut list = plain("a", 0..7_200);
    story.shows(&list);
    let before = Arc::clone(story.window.published().unwrap());
    list.segments.remove(0);
    list.segments.push(segment("a7200.ts", 2.0));
    list.first += 1;
    let published = story.shows(&list);
    let pairs = before.playlist.segments[1..].iter().zip(&published.playlist.segments);
    assert!(pairs.into_iter().all(|(one, other)| Arc::ptr_eq(one, other)));
}
