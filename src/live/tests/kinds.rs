//! What an answer is: one viewer's own, or everybody's; and multivariant playlists, which are kept.

use super::*;

const LADDER: &str =
    "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1000\nlow.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=2000\nhigh.m3u8\n";

#[tokio::test]
async fn a_private_playlist_is_left_to_each_viewer() {
    for control in ["private", "no-store", "no-cache, no-store, max-age=0"] {
        let mut stage = Stage::new().await;
        let playlist = stage.open("/live.m3u8");
        let viewer = waiting(&playlist, Want::First);
        stage.got().await.say(200, &[("cache-control", control)], plain(20));
        assert!(matches!(&*viewer.await.unwrap(), State::PerViewer));
        for _ in 0..5 {
            stage.pass(100 * SECOND).await;
            assert!(matches!(&*stage.open("/live.m3u8").state(), State::PerViewer));
        }
        assert_eq!((stage.count(), stage.live.figures.per_viewer.value()), (1, 1));
        assert_eq!((stage.live.count(), stage.live.per_viewer()), (0, 1), "it takes no place");
        stage.pass(101 * SECOND).await;
        let again = stage.open("/live.m3u8");
        assert!(matches!(&*again.state(), State::Asked), "its origin may do otherwise by now");
    }
}

#[tokio::test]
async fn what_packagers_write_beside_shared_playlists_makes_none_private() {
    let mut stage = Stage::new().await;
    let playlist = stage.open("/live.m3u8");
    let viewer = waiting(&playlist, Want::First);
    let fields = [("cache-control", "no-cache, max-age=0"), ("set-cookie", "a=b"), ("x-packager", "p")];
    stage.got().await.say(200, &fields, plain(20));
    let State::Media(edition) = &*viewer.await.unwrap() else { panic!("no media playlist") };
    assert_eq!(edition.headers.get("x-packager").unwrap(), "p");
    assert!(!edition.headers.contains_key("set-cookie") && !edition.headers.contains_key("cache-control"));
}

#[tokio::test]
async fn a_route_may_know_better_than_the_response() {
    let mut stage = Stage::new().await;
    stage.rules.playlists = Playlists::Shared;
    let playlist = stage.open("/live.m3u8");
    let viewer = waiting(&playlist, Want::First);
    stage.got().await.say(200, &[("cache-control", "private")], plain(20));
    assert!(matches!(&*viewer.await.unwrap(), State::Media(_)));

    let mut stage = Stage::new().await;
    stage.rules.playlists = Playlists::PerViewer;
    assert!(matches!(&*stage.open("/live.m3u8").state(), State::PerViewer));
    stage.pass(SECOND).await;
    assert_eq!((stage.count(), stage.live.count()), (0, 0));
}

#[tokio::test]
async fn a_multivariant_playlist_is_kept_and_asked_for_anew_on_demand() {
    let mut stage = Stage::new().await;
    let playlist = stage.open("/main.m3u8");
    let viewer = waiting(&playlist, Want::First);
    stage.got().await.say(200, &[("etag", "\"a\"")], LADDER);
    assert!(matches!(&*viewer.await.unwrap(), State::Multivariant(_)));
    stage.open("/main.m3u8");
    stage.pass(3 * SECOND).await;
    assert_eq!(stage.count(), 1, "nobody wants it anew");

    let old = stage.open("/main.m3u8").state();
    assert!(matches!(&*old, State::Multivariant(_)), "the old one is sent meanwhile");
    let refresh = stage.got().await;
    assert_eq!(refresh.headers["if-none-match"], "\"a\"");
    let confirmed = refresh.at;
    refresh.say(304, &[("etag", "\"a\"")], "");
    stage.until(|| playlist.current() >= confirmed - SECOND / 10).await;

    stage.pass(3 * SECOND).await;
    stage.open("/main.m3u8");
    stage.got().await.say(200, &[], format!("{LADDER}#later\n"));
    let text = |state: &State| match state {
        State::Multivariant(document) => document.multivariant.text.clone(),
        State::Asked | State::Media(_) | State::PerViewer | State::Failed(_) => String::new(),
    };
    stage.until(|| text(&playlist.state()).ends_with("#later\n")).await;

    stage.pass(15 * SECOND).await;
    let waits = stage.open("/main.m3u8");
    let viewer = waiting(&waits, Want::First);
    stage.got().await.say(500, &[], "");
    assert!(text(&viewer.await.unwrap()).ends_with("#later\n"), "it stands in for an origin that fails");
}

#[tokio::test]
async fn an_origin_says_for_how_long_its_multivariant_playlist_is_fresh() {
    let mut stage = Stage::new().await;
    let playlist = stage.open("/main.m3u8");
    let viewer = waiting(&playlist, Want::First);
    stage.got().await.say(200, &[("cache-control", "max-age=20")], LADDER);
    viewer.await.unwrap();
    for _ in 0..4 {
        stage.pass(4 * SECOND).await;
        stage.open("/main.m3u8");
    }
    assert_eq!(stage.count(), 1);
    stage.pass(6 * SECOND).await;
    stage.open("/main.m3u8");
    stage.got().await;
}

#[tokio::test]
async fn a_redirect_is_for_each_viewer_to_follow() {
    let mut stage = Stage::new().await;
    let viewer = waiting(&stage.open("/main.m3u8"), Want::First);
    stage.got().await.say(302, &[("location", "/session/1/main.m3u8")], "");
    assert!(matches!(&*viewer.await.unwrap(), State::PerViewer));
}
