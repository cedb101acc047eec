//! Renditions of one stream know of each other.

use super::*;
use crate::live::media::Kind;
use crate::rules::hls::multivariant::Role;

const STREAM: &str = "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"a\",URI=\"sound/main.m3u8\"\n\
#EXT-X-STREAM-INF:BANDWIDTH=1000,AUDIO=\"a\"\nlow.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=2000,AUDIO=\"a\"\nhigh.m3u8?v=2\n";

/// Opens a playlist and answers the request for it, among those for others.
async fn begin(stage: &mut Stage, target: &str, text: String) -> Arc<Playlist> {
    let playlist = stage.open(target);
    let first = waiting(&playlist, Want::First);
    loop {
        let got = stage.got().await;
        if got.target == target {
            got.playlist(text);
            first.await.unwrap();
            return playlist;
        }
        // Others stay where they are.
        std::mem::forget(got.reply);
    }
}

#[tokio::test]
async fn renditions_of_a_multivariant_playlist_report_each_other() {
    let mut stage = Stage::new().await;
    let main = stage.begin("/live/main.m3u8", STREAM).await;
    let low = begin(&mut stage, "/live/low.m3u8", low_latency(20, 1)).await;
    assert_eq!(low.siblings().1, []);
    let stamp = low.siblings_stamp();
    let high = begin(&mut stage, "/live/high.m3u8?v=2", low_latency(20, 2)).await;
    let sound = begin(&mut stage, "/live/sound/main.m3u8", low_latency(30, 0)).await;
    assert!(low.siblings_stamp() > stamp);
    let told = |playlist: &Playlist| {
        let siblings = playlist.siblings().1.into_iter();
        siblings.map(|sibling| (sibling.uri.to_string(), sibling.next, sibling.has_parts)).collect::<Vec<_>>()
    };
    assert_eq!(
        told(&low),
        [
            ("sound/main.m3u8".to_owned(), Position::segment(30), true),
            ("high.m3u8?v=2".to_owned(), Position::new(20, 2), true)
        ]
    );
    assert_eq!(told(&sound)[0], ("../low.m3u8".to_owned(), Position::new(20, 1), true));
    assert_eq!((high.role(), sound.role(), main.role()), (Some(Role::Main), Some(Role::Audio), None));
    assert!(stage.live.writes_parameter("live", "v") && !stage.live.writes_parameter("live", "w"));
}

#[tokio::test]
async fn without_a_multivariant_playlist_reports_say_what_belongs_together() {
    let mut stage = Stage::new().await;
    let report = |uri: &str| format!("#EXT-X-RENDITION-REPORT:URI=\"{uri}\",LAST-MSN=20,LAST-PART=0\n");
    let low = begin(&mut stage, "/live/low.m3u8", low_latency(20, 1) + &report("../live/high.m3u8")).await;
    let high = begin(&mut stage, "/live/high.m3u8", low_latency(20, 2) + &report("low.m3u8")).await;
    let (stamp, siblings) = low.siblings();
    assert_eq!(siblings.len(), 1);
    assert_eq!((&*siblings[0].uri, siblings[0].next), ("../live/high.m3u8", Position::new(20, 2)), "as reported");
    assert_eq!(high.siblings().1.len(), 1);
    assert_eq!(stamp, high.siblings_stamp());
}

#[tokio::test]
async fn a_stream_that_is_kept_warm_is_followed_with_its_renditions() {
    let mut stage = Stage::new().await;
    let main = stage.live.warm(&stage.asked("/live/main.m3u8"), Some(100 * SECOND)).unwrap();
    stage.got().await.playlist(STREAM);
    let mut asked = Vec::new();
    while asked.len() < 3 {
        let got = stage.got().await;
        asked.push(got.target.clone());
        got.playlist(plain(20));
    }
    asked.sort();
    assert_eq!(asked, ["/live/high.m3u8?v=2", "/live/low.m3u8", "/live/sound/main.m3u8"]);
    let mut open = 20;
    while stage.clock.now() < Tick::at(99 * SECOND) {
        while let Ok(got) = stage.requests.try_recv() {
            open += 1;
            let text = if got.target.contains("/live/main") { STREAM.to_owned() } else { plain(open) };
            got.playlist(text);
        }
        stage.pass(SECOND / 20).await;
    }
    assert_eq!(stage.live.count(), 4);
    assert!(main.is_warm(stage.clock.now()));
    stage.until(|| stage.live.count() == 0 || stage.clock.now() > Tick::at(150 * SECOND)).await;
}

#[tokio::test]
async fn what_a_rendition_names_by_a_variable_of_its_stream_is_media() {
    let mut stage = Stage::new().await;
    let define = |what: &str, text: &str| text.replacen('\n', &format!("\n#EXT-X-DEFINE:{what}\n"), 1);
    stage.begin("/live/main.m3u8", define("NAME=\"path\",VALUE=\"v1\"", STREAM)).await;
    let low = define("IMPORT=\"path\"", &plain(20).replace("\ns", "\n{$path}/s"));
    let low = begin(&mut stage, "/live/low.m3u8", low).await;
    let key = stage.asked("/live/v1/s19.ts").key;
    let named = stage.live.media.find(&key).unwrap();
    assert_eq!((named.kind, named.role), (Kind::Segment, Some(Role::Main)));
    low.dismiss();
    stage.until(|| stage.live.find(&low.asked.key).is_none()).await;
    stage.pass(100 * SECOND).await;
    assert_eq!(stage.live.media.find(&key), None, "it is taken out under the name that it was entered by");
}
