//! How long names live, in which generation, and how many there may be.

use super::*;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn plain(first: u64, segments: u64) -> String {
    let mut text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{first}\n");
    (first..first + segments).for_each(|msn| text.push_str(&format!("#EXTINF:2,\nseg-{msn}.ts\n")));
    text
}

#[tokio::test]
async fn a_segment_lives_for_the_longest_playlist_and_itself_after_it_has_left() {
    let stage = Stage::new().await;
    stage.publish(&plain(0, 5), Watched::Now);
    let named = stage.find("seg-0.ts").unwrap();
    assert_eq!((named.kind, named.needed_until), (Kind::Segment, None));
    stage.clock.advance(seconds(2));
    stage.publish(&plain(1, 3), Watched::Now);
    assert!(stage.find("seg-0.ts").unwrap().needed_until.is_some(), "it has left");
    assert_eq!(stage.find("seg-1.ts").unwrap().needed_until, None);
    // Ten seconds of the longest version, two of its own.
    stage.clock.advance(seconds(11));
    assert!(stage.find("seg-0.ts").is_some());
    stage.clock.advance(seconds(2));
    assert_eq!(stage.find("seg-0.ts"), None);
}

#[tokio::test]
async fn what_a_live_playlist_dates_is_known_by_when_it_begins() {
    let stage = Stage::new().await;
    // A second after the epoch, the test's present.
    let date = "#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:00:01Z\n";
    let text = low_latency(0, 3, 1).replacen("#EXTINF", &format!("{date}#EXTINF"), 1);
    stage.publish(&text, Watched::NotNow);
    let began = |leaf: &str| stage.find(leaf).unwrap().begins.map(|begins| begins.before(9_000));
    let (first, second, open) =
        (began("seg-0.m4s").unwrap(), began("seg-1.m4s").unwrap(), began("part-3.0.m4s").unwrap());
    assert_eq!((first, first - second, first - open), (8_000, 2_000, 6_000));
    let parts: Vec<_> = ["part-2.0.m4s", "part-2.1.m4s", "part-3.0.m4s", "part-3.1.m4s"].map(began).into();
    assert!(parts.iter().all(Option::is_some) && parts.is_sorted_by(|one, next| one > next), "{parts:?}");
    for other in [plain(0, 5), text.replace("1970", "2020"), text.clone() + "#EXT-X-ENDLIST\n"] {
        let stage = Stage::new().await;
        stage.publish(&other, Watched::NotNow);
        let leaf = if other.contains("seg-0.ts") { "seg-0.ts" } else { "seg-0.m4s" };
        assert_eq!(stage.find(leaf).unwrap().begins, None, "{other}");
    }
}

#[test]
fn the_lower_half_of_a_time_tells_what_is_near() {
    let now = 1_800_000_000_000_u64;
    for behind in [0, 1, -1, 3_600_000, -86_400_000, 20 * 86_400_000] {
        assert_eq!(Begins::at(now.cast_signed() - behind).before(now), behind);
    }
}

#[tokio::test]
async fn a_part_lives_seven_target_durations_and_three_after_its_tag() {
    let stage = Stage::new().await;
    stage.publish(&low_latency(0, 3, 1), Watched::NotNow);
    assert_eq!(stage.find("part-3.0.m4s").unwrap().kind, Kind::Part);
    // Its tag leaves at once.
    stage.publish(&low_latency(0, 7, 0), Watched::NotNow);
    assert!(stage.find("part-3.0.m4s").unwrap().needed_until.is_some());
    stage.clock.advance(TD * 7 - seconds(1));
    assert!(stage.find("part-3.0.m4s").is_some());
    stage.clock.advance(seconds(2));
    assert_eq!(stage.find("part-3.0.m4s"), None);
    // Its tag leaves late.
    stage.clock.advance(TD * 10);
    stage.publish(&low_latency(0, 12, 0), Watched::NotNow);
    assert!(stage.find("part-6.0.m4s").is_some());
    stage.clock.advance(TD * 3 - seconds(1));
    assert!(stage.find("part-6.0.m4s").is_some());
    stage.clock.advance(seconds(2));
    assert_eq!(stage.find("part-6.0.m4s"), None);
}

#[tokio::test]
async fn an_initialisation_section_lives_as_long_as_a_segment_that_needs_it() {
    let stage = Stage::new().await;
    let version = |first: u64| {
        let mut text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{first}\n");
        for msn in first..first + 3 {
            match msn {
                3 => text.push_str("#EXT-X-MAP:URI=\"new.mp4\"\n#EXT-X-KEY:METHOD=AES-128,URI=\"k2\"\n"),
                _ if msn == first && first < 3 => {
                    text.push_str("#EXT-X-MAP:URI=\"old.mp4\"\n#EXT-X-KEY:METHOD=AES-128,URI=\"k1\"\n");
                }
                _ if msn == first => text.push_str("#EXT-X-MAP:URI=\"new.mp4\"\n"),
                _ => {}
            }
            text.push_str(&format!("#EXTINF:2,\nseg-{msn}.m4s\n"));
        }
        text
    };
    for first in 0..3 {
        stage.publish(&version(first), Watched::NotNow);
        stage.clock.advance(TD);
    }
    assert_eq!(stage.find("old.mp4").unwrap().needed_until, None, "seg-2 needs it");
    assert_eq!(stage.find("new.mp4").unwrap().kind, Kind::Init);
    assert_eq!(stage.find("k1").unwrap().kind, Kind::DecryptionKey);
    for first in 3..6 {
        stage.publish(&version(first), Watched::NotNow);
        stage.clock.advance(TD);
    }
    assert!(stage.find("old.mp4").is_some_and(|old| old.needed_until.is_some()));
    assert!(stage.find("k1").is_some_and(|old| old.needed_until.is_some()));
    assert_eq!(stage.find("new.mp4").unwrap().needed_until, None);
    stage.clock.advance(seconds(20));
    assert_eq!(stage.find("old.mp4"), None);
    assert!(stage.find("new.mp4").is_some());
}

#[tokio::test]
async fn a_name_that_a_newer_generation_lists_belongs_to_it() {
    let stage = Stage::new().await;
    stage.publish(&plain(0, 3), Watched::NotNow);
    let old = stage.find("seg-2.ts").unwrap();
    assert_eq!(old.key, stage.key("seg-2.ts"));
    stage.clock.advance(seconds(1));
    stage.publish_in(1, &plain(2, 3), Watched::NotNow);
    // What is shared with the version before is of the generation before.
    assert_eq!(stage.find("seg-2.ts").unwrap().key, stage.key("seg-2.ts"));
    let new = stage.find("seg-4.ts").unwrap();
    assert_eq!(new.key, stage.key("seg-4.ts").in_generation(1));
    assert_eq!(new.since, stage.clock.now());
}

#[tokio::test]
async fn who_is_retired_and_followed_again_is_not_trusted_to_have_stood_still() {
    let stage = Stage::new().await;
    stage.publish(&plain(0, 3), Watched::NotNow);
    assert_eq!(stage.find("seg-0.ts").unwrap().since, Tick::default());
    stage.retire(seconds(6));
    assert!(stage.find("seg-0.ts").unwrap().needed_until.is_some());
    stage.clock.advance(seconds(3));
    stage.publish(&plain(0, 3), Watched::NotNow);
    assert_eq!(stage.find("seg-0.ts").unwrap().since, stage.clock.now());
    assert_eq!(stage.find("seg-0.ts").unwrap().needed_until, None);
}

#[tokio::test]
async fn names_are_bounded_and_free_again_when_they_are_over() {
    let stage = Stage::with_names(4).await;
    stage.publish(&plain(0, 6), Watched::NotNow);
    assert_eq!(stage.figure("weir_media_names"), 4);
    assert_eq!(stage.figure("weir_media_names_refused"), 2);
    assert_eq!(stage.find("seg-5.ts"), None);
    stage.retire(seconds(1));
    stage.clock.advance(seconds(60));
    // Each shard is swept when something enters it: all of them are, in so many tries.
    stage.media.reconfigure(4_000, stage.media.origins.load_full());
    stage.publish(&plain(1_000, 3_000), Watched::NotNow);
    assert_eq!(stage.figure("weir_media_names"), 3_000);
}

#[tokio::test]
async fn a_gap_has_no_name() {
    let stage = Stage::new().await;
    stage.publish(
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-PART-INF:PART-TARGET=0.5\n#EXTINF:2,\n#EXT-X-GAP\nseg-0.m4s\n\
         #EXT-X-PART:DURATION=0.5,URI=\"part-1.0.m4s\",GAP=YES\n",
        Watched::Now,
    );
    assert_eq!((stage.find("seg-0.m4s"), stage.find("part-1.0.m4s")), (None, None));
}

#[tokio::test]
async fn queries_count_in_one_order_and_the_parameters_that_playlists_write_are_known() {
    let stage = Stage::new().await;
    stage.publish(
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-DEFINE:NAME=\"t\",VALUE=\"7\"\n#EXTINF:2,\nseg.ts?z=1&a={$t}\n",
        Watched::NotNow,
    );
    assert!(stage.find("seg.ts?a=7&z=1").is_some());
    assert!(stage.media.writes_parameter("r", "z") && stage.media.writes_parameter("r", "a"));
    assert!(!stage.media.writes_parameter("r", "t") && !stage.media.writes_parameter("other", "z"));
}

#[tokio::test]
async fn what_a_viewers_own_playlist_lists_is_named_for_as_long_as_it_lasts() {
    let stage = Stage::new().await;
    let playlist = parse::parse(&plain(0, 3), None).unwrap();
    stage.media.listed_once(&stage.asked, &playlist);
    let named = stage.find("seg-1.ts").unwrap();
    assert!(named.needed_until.is_some() && named.near_until.is_some());
    stage.clock.advance(seconds(9));
    stage.media.listed_once(&stage.asked, &playlist);
    assert_eq!(stage.find("seg-1.ts").unwrap().since, Tick::default(), "it has been named all the time");
    stage.clock.advance(seconds(11));
    assert_eq!(stage.find("seg-1.ts"), None);
}

#[test]
fn a_name_takes_about_sixty_octets() {
    const NAMES: usize = 500_000;
    let names = crate::live::media::names::Names::new(NAMES);
    let listing = Listing {
        kind: Kind::Segment,
        role: None,
        generation: 0,
        near_until: None,
        life: TD,
        author: Author::ANYONE,
        begins: None,
    };
    for number in 0..NAMES {
        let key = Key::new("o", "http", "origin", &format!("/live/channel/{number}.m4s"));
        names.list(names.fingerprint(&key), &listing, Tick::default());
    }
    assert_eq!((names.count(), names.refused.value()), (NAMES, 0));
    let each = names.octets() as f64 / NAMES as f64;
    // The table doubles as it grows, so between 50 and 100.
    assert!(each < 103.0, "{each}");
    const { assert!(crate::live::media::names::ENTRY <= 44) };
}

#[tokio::test]
async fn what_is_far_from_the_edge_is_not_near_it() {
    let stage = Stage::with_names(10_000).await;
    stage.publish(&plain(0, 100), Watched::NotNow);
    assert_eq!(stage.find("seg-10.ts").unwrap().near_until, None);
    let near = stage.find("seg-99.ts").unwrap().near_until.unwrap();
    assert_eq!(near, stage.clock.now() + seconds(60));
    assert!(stage.find("seg-80.ts").unwrap().near_until.is_some_and(|until| until < near));
}
