//! Origins that fail, refuse, stall, or send what is no playlist.

use super::*;

#[tokio::test]
async fn what_is_no_playlist_is_an_error_for_a_moment() {
    let gzip = |text: &str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut encoder, text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    for (coding, body) in [
        ("identity", b"<html>not found</html>".to_vec()),
        ("identity", b"#EXTM3U\n\xff\n".to_vec()),
        ("identity", Vec::new()),
        ("gzip", gzip("no playlist")),
        ("br", b"x".to_vec()),
    ] {
        let mut stage = Stage::new().await;
        let playlist = stage.open("/live.m3u8");
        let viewer = waiting(&playlist, Want::First);
        stage.got().await.say(200, &[("content-encoding", coding)], body);
        assert!(matches!(&*viewer.await.unwrap(), State::Failed(Failure::NoPlaylist(_))));
        stage.until(|| stage.live.find(&playlist.asked.key).is_none()).await;
        stage.begin("/live.m3u8", plain(20)).await;
        assert_eq!(stage.count(), 2);
    }
}

#[tokio::test]
async fn a_status_is_told_to_all_who_wait_and_soon_forgotten() {
    let mut stage = Stage::new().await;
    let playlist = stage.open("/live.m3u8");
    let viewers: Vec<_> = (0..10).map(|_| waiting(&playlist, Want::First)).collect();
    stage.got().await.say(404, &[("x-reason", "none"), ("cache-control", "no-store")], "");
    for viewer in viewers {
        let State::Failed(Failure::Status(status, headers)) = &*viewer.await.unwrap() else { panic!("no status") };
        assert_eq!((status.as_u16(), &headers["x-reason"], headers.len()), (404, &"none".parse().unwrap(), 1));
    }
    let failed = stage.clock.now();
    stage.until(|| stage.live.find(&playlist.asked.key).is_none()).await;
    assert!(stage.clock.now().since(failed) < 2 * SECOND);
    stage.open("/live.m3u8");
    stage.got().await;
}

#[tokio::test]
async fn the_last_playlist_is_repeated_for_a_while_and_comes_back() {
    let mut stage = Stage::new().await;
    let playlist = stage.begin("/live.m3u8", plain(20)).await;
    let last_answer = stage.clock.now();
    let viewer = waiting(&playlist, Want::Reload(Wanted::Segment(20)));
    let mut last_repeated = last_answer;
    while !viewer.is_finished() {
        if let Ok(got) = stage.requests.try_recv() {
            got.say(500, &[], "");
        }
        if matches!(&*playlist.state(), State::Media(_)) {
            last_repeated = stage.clock.now();
        }
        stage.pass(Duration::from_millis(1)).await;
    }
    assert!(last_repeated.since(last_answer) >= 6 * SECOND - SECOND / 10, "three target durations");
    assert!(matches!(&*viewer.await.unwrap(), State::Failed(Failure::Status(..))));
    assert!(playlist.activity.last_error().is_some());
    stage.got().await.playlist(plain(20));
    stage.until(|| matches!(&*playlist.state(), State::Media(_))).await;
    assert_eq!(next(&playlist), Position::segment(20));
}

#[tokio::test]
async fn a_playlist_that_is_gone_is_gone_at_once() {
    let mut stage = Stage::new().await;
    let playlist = stage.begin("/live.m3u8", plain(20)).await;
    stage.got().await.say(410, &[], "");
    stage.until(|| matches!(&*playlist.state(), State::Failed(Failure::Status(..)))).await;
}

#[tokio::test]
async fn an_origin_that_refuses_directives_is_polled() {
    let mut stage = Stage::new().await;
    let playlist = stage.begin("/live.m3u8", low_latency(20, 1)).await;
    for _ in 0..3 {
        let reload = stage.got().await;
        assert!(reload.target.contains("_HLS_msn="), "{}", reload.target);
        reload.say(400, &[], "");
        let whole = stage.got().await;
        assert_eq!(whole.target, "/live.m3u8");
        whole.playlist(low_latency(20, 1));
    }
    let refused = stage.clock.now();
    for part in 2..4 {
        let poll = stage.got().await;
        assert_eq!(poll.target, "/live.m3u8");
        poll.playlist(low_latency(20, part));
    }
    stage.until(|| next(&playlist) == Position::new(20, 3)).await;
    assert!(stage.clock.now().since(refused) > SECOND / 4, "it is not hammered");
    assert_eq!(stage.noticed(Notice::RefusedDirectives), 1);
    assert_eq!(stage.noticed(Notice::Failure), 0);
}

#[tokio::test]
async fn a_stall_is_noticed_while_the_origin_holds_and_the_playlist_stays() {
    let mut stage = Stage::new().await;
    let playlist = stage.begin("/live.m3u8", low_latency(20, 1)).await;
    let began = stage.clock.now();
    let held = stage.got().await;
    stage.until(|| stage.noticed(Notice::Stall) == 1).await;
    let after = stage.clock.now().since(began);
    assert!(after <= SECOND + SECOND / 5, "two parts, not {after:?}");
    assert!(matches!(&*playlist.state(), State::Media(_)));
    assert_eq!(stage.live.snapshots()[0].state, "stalled");
    // What the origin holds may be something that it will never have: a plain request shows that it is well.
    let whole = stage.got().await;
    assert_eq!(whole.target, "/live.m3u8");
    drop(held);
    whole.playlist(low_latency(20, 1));
    for _ in 0..5 {
        stage.got().await.playlist(low_latency(20, 1));
    }
    assert!(matches!(&*playlist.state(), State::Media(_)), "an origin that answers is not one that fails");
    assert_eq!(stage.noticed(Notice::Stall), 1, "once");
    stage.got().await.playlist(low_latency(20, 2));
    stage.until(|| next(&playlist) == Position::new(20, 2)).await;
    assert_eq!(stage.live.snapshots()[0].state, "live");
}

#[tokio::test]
async fn a_stall_is_noticed_between_polls() {
    let mut stage = Stage::new().await;
    let playlist = stage.begin("/live.m3u8", plain(20)).await;
    let began = stage.clock.now();
    while stage.noticed(Notice::Stall) == 0 {
        if let Ok(got) = stage.requests.try_recv() {
            got.playlist(plain(20));
        }
        stage.pass(Duration::from_millis(1)).await;
    }
    let after = stage.clock.now().since(began);
    assert!(after > 2 * SECOND && after < 3 * SECOND + SECOND / 5, "one and a half target durations, not {after:?}");
    assert!(playlist.activity.is_stalled());
}

#[tokio::test]
async fn only_so_many_playlists_are_followed() {
    let mut stage = Stage::with(LiveConfig { followers: 2, held: 10, grace: 30 * SECOND, names: 10 }).await;
    stage.begin("/a.m3u8", plain(20)).await;
    let missing = stage.open("/b.m3u8");
    let viewer = waiting(&missing, Want::First);
    assert!(matches!(stage.live.open(&stage.asked("/c.m3u8")), Err(Refused::Followers)));
    assert_eq!(stage.live.figures.refused.value(), 1);
    let mut got = stage.got().await;
    while got.target != "/b.m3u8" {
        got.playlist(plain(20));
        got = stage.got().await;
    }
    got.say(404, &[], "");
    viewer.await.unwrap();
    stage.pass(SECOND / 5).await;
    stage.open("/c.m3u8");
    assert!(stage.live.find(&missing.asked.key).is_none(), "what does not exist makes room");
    assert_eq!(stage.live.count(), 2);
}

#[tokio::test]
async fn whoever_waits_is_released_when_the_node_ends() {
    let mut stage = Stage::new().await;
    let playlist = stage.begin("/live.m3u8", low_latency(20, 1)).await;
    let viewer = waiting(&playlist, part(20, 1));
    let _held = stage.got().await;
    stage.live.close();
    assert!(matches!(&*viewer.await.unwrap(), State::Failed(Failure::Gone)));
}
