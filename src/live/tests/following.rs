//! A live playlist at its edge: one request, held where the origin can, polled where it cannot.

use super::*;

#[tokio::test]
async fn one_request_is_outstanding_however_many_watch() {
    let mut stage = Stage::new().await;
    let viewers: Vec<_> = (0..100).map(|_| waiting(&stage.open("/live.m3u8"), Want::First)).collect();
    let first = stage.got().await;
    assert_eq!(first.target, "/live.m3u8");
    assert_eq!(first.headers["accept-encoding"], "identity");
    first.playlist(low_latency(20, 1));
    let mut states = Vec::new();
    for viewer in viewers {
        states.push(viewer.await.unwrap());
    }
    assert!(states.windows(2).all(|pair| Arc::ptr_eq(&pair[0], &pair[1])), "all see the same version");

    let playlist = stage.open("/live.m3u8");
    let viewers: Vec<_> = (0..100).map(|_| waiting(&playlist, part(20, 1))).collect();
    let reload = stage.got().await;
    assert_eq!(reload.target, "/live.m3u8?_HLS_msn=20&_HLS_part=1");
    reload.playlist(low_latency(20, 2));
    for viewer in viewers {
        assert_eq!(published(&viewer.await.unwrap()).frontier.next, Position::new(20, 2));
    }
    assert_eq!(stage.got().await.target, "/live.m3u8?_HLS_msn=20&_HLS_part=2");
    assert_eq!((stage.count(), stage.most.load(Relaxed)), (3, 1));
    assert_eq!(stage.live.figures.tally.asked(Why::First), 1);
    assert_eq!(stage.live.figures.tally.asked(Why::Reload), 2);
}

#[tokio::test]
async fn a_view_is_current_while_the_origin_holds_the_next_version_back() {
    let mut stage = Stage::new().await;
    let playlist = stage.begin("/live.m3u8", low_latency(20, 1)).await;
    let _held = stage.got().await;
    assert!(playlist.current() > stage.clock.now());
    stage.until(|| playlist.activity.is_stalled()).await;
    let stalled = playlist.current();
    assert!(stalled <= stage.clock.now());
    stage.pass(SECOND / 2).await;
    assert_eq!(playlist.current(), stalled, "from then on it grows old");
}

#[tokio::test]
async fn an_early_answer_is_not_passed_on_and_not_repeated_at_once() {
    let mut stage = Stage::new().await;
    let playlist = stage.begin("/live.m3u8", low_latency(20, 1)).await;
    let viewer = waiting(&playlist, part(20, 1));
    let mut early = stage.got().await;
    for round in 1..4 {
        assert_eq!(early.target, "/live.m3u8?_HLS_msn=20&_HLS_part=1");
        let asked = early.at;
        early.playlist(low_latency(20, 1));
        stage.until(|| stage.noticed(Notice::EarlyAnswer) == round).await;
        assert!(!viewer.is_finished());
        early = stage.got().await;
        // Half a part, less what passed before the origin saw the request.
        assert!(early.at.since(asked) > Duration::from_millis(150));
    }
    early.playlist(low_latency(20, 2));
    assert_eq!(published(&viewer.await.unwrap()).frontier.next, Position::new(20, 2));
}

#[tokio::test]
async fn a_part_that_its_parent_never_had_means_the_next_segment() {
    let mut stage = Stage::new().await;
    let playlist = stage.begin("/live.m3u8", low_latency(20, 3)).await;
    let viewer = waiting(&playlist, part(20, 3));
    let reload = stage.got().await;
    assert_eq!(reload.target, "/live.m3u8?_HLS_msn=20&_HLS_part=3");
    reload.playlist(low_latency(21, 0));
    stage.until(|| next(&playlist) == Position::segment(21)).await;
    assert!(!viewer.is_finished());
    let reload = stage.got().await;
    assert_eq!(reload.target, "/live.m3u8?_HLS_msn=21&_HLS_part=0");
    reload.playlist(low_latency(21, 1));
    viewer.await.unwrap();
    assert_eq!(stage.noticed(Notice::EarlyAnswer), 0);
}

#[tokio::test]
async fn an_origin_that_cannot_hold_is_polled_with_conditions() {
    let mut stage = Stage::new().await;
    let playlist = stage.open("/live.m3u8");
    let first = waiting(&playlist, Want::First);
    stage.got().await.say(200, &[("etag", "\"a\"")], plain(20));
    first.await.unwrap();
    let viewer = waiting(&playlist, Want::Reload(Wanted::Segment(20)));
    let began = stage.clock.now();
    let poll = stage.got().await;
    assert_eq!((poll.target.as_str(), &poll.headers["if-none-match"]), ("/live.m3u8", &"\"a\"".parse().unwrap()));
    assert!(stage.clock.now().since(began) > SECOND / 2, "not at once");
    poll.say(304, &[("etag", "\"a\"")], "");
    let poll = stage.got().await;
    assert!(!viewer.is_finished());
    poll.say(200, &[("etag", "\"b\"")], plain(21));
    viewer.await.unwrap();
    assert_eq!(stage.got().await.headers["if-none-match"], "\"b\"");
    assert_eq!(stage.most.load(Relaxed), 1);
}

#[tokio::test]
async fn a_delta_update_that_cannot_be_merged_is_followed_by_the_whole_playlist() {
    let mut stage = Stage::new().await;
    let control = "CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.5,CAN-SKIP-UNTIL=12";
    let playlist = stage.begin("/live.m3u8", with_control(control, 20, 1)).await;
    let viewer = waiting(&playlist, part(20, 1));
    let delta = stage.got().await;
    assert_eq!(delta.target, "/live.m3u8?_HLS_msn=20&_HLS_part=1&_HLS_skip=YES");
    let whole = with_control(control, 30, 1);
    let update = whole.replace("#EXTINF:2.0,\ns24.mp4\n", "#EXT-X-SKIP:SKIPPED-SEGMENTS=1\n");
    delta.playlist(update);
    let again = stage.got().await;
    assert_eq!(again.target, "/live.m3u8", "without any directive");
    assert!(!viewer.is_finished());
    again.playlist(whole);
    assert_eq!(published(&viewer.await.unwrap()).frontier.next, Position::new(30, 1));
    assert_eq!(stage.noticed(Notice::FailedMerge), 1);
    assert_eq!(stage.live.figures.tally.asked(Why::FailedMerge), 1);
}

#[tokio::test]
async fn a_playlist_that_has_ended_releases_all_and_is_not_followed() {
    let mut stage = Stage::new().await;
    let playlist = stage.begin("/live.m3u8", low_latency(20, 1)).await;
    let viewers = [waiting(&playlist, part(20, 3)), waiting(&playlist, Want::Reload(Wanted::Segment(21)))];
    stage.got().await.playlist(plain(20) + "#EXT-X-ENDLIST\n");
    for viewer in viewers {
        assert!(published(&viewer.await.unwrap()).frontier.is_ended);
    }
    stage.pass(20 * SECOND).await;
    stage.open("/live.m3u8");
    stage.pass(20 * SECOND).await;
    assert_eq!(stage.count(), 2);
    stage.pass(30 * SECOND).await;
    stage.open("/live.m3u8");
    assert_eq!(stage.got().await.target, "/live.m3u8", "it may have begun again");
}

#[tokio::test]
async fn a_playlist_is_followed_for_a_time_of_grace_and_then_let_go() {
    let mut stage = Stage::new().await;
    let playlist = stage.begin("/live.m3u8", plain(20)).await;
    let left = stage.clock.now();
    let mut open = 20;
    while stage.live.find(&playlist.asked.key).is_some() {
        if let Ok(got) = stage.requests.try_recv() {
            open += 1;
            got.playlist(plain(open));
        }
        stage.pass(SECOND / 100).await;
    }
    assert!(stage.clock.now().since(left) >= 29 * SECOND);
    stage.until(|| matches!(&*playlist.state(), State::Failed(Failure::Gone))).await;
    let count = stage.count();
    stage.pass(20 * SECOND).await;
    assert_eq!(stage.count(), count, "nothing is asked for any more");
}

#[tokio::test]
async fn numbers_go_on_where_an_origin_began_anew_while_nobody_watched() {
    let mut stage = Stage::new().await;
    let playlist = stage.begin("/live.m3u8", plain(1_020)).await;
    playlist.dismiss();
    stage.until(|| stage.live.find(&playlist.asked.key).is_none()).await;
    while let Ok(got) = stage.requests.try_recv() {
        drop(got);
    }
    let again = stage.begin("/live.m3u8", plain(6)).await;
    assert!(!Arc::ptr_eq(&again, &playlist));
    assert!(next(&again) >= Position::segment(1_020), "{}", next(&again));
    assert!(published(&again.state()).generation > 0);
}

#[tokio::test]
async fn an_origin_that_began_anew_is_bridged_and_held_to_its_new_numbers() {
    let mut stage = Stage::new().await;
    let playlist = stage.begin("/live.m3u8", low_latency(1_020, 1)).await;
    let viewer = waiting(&playlist, part(1_020, 1));
    // It knows of no such number yet.
    stage.got().await.say(400, &[], "");
    let whole = stage.got().await;
    assert_eq!(whole.target, "/live.m3u8");
    let anew = |parts| low_latency(6, parts).replace(".mp4", "b.mp4");
    whole.playlist(anew(1));
    // It may be an old copy, unless it goes on.
    let reload = stage.got().await;
    assert_eq!(reload.target, "/live.m3u8?_HLS_msn=6&_HLS_part=1");
    assert!(!viewer.is_finished());
    reload.playlist(anew(2));
    assert!(published(&viewer.await.unwrap()).frontier.next > Position::new(1_020, 1));
    assert_eq!(stage.got().await.target, "/live.m3u8?_HLS_msn=6&_HLS_part=2");
    assert_eq!((stage.noticed(Notice::Behind), stage.noticed(Notice::Restart)), (1, 1));
}

#[tokio::test]
async fn numbers_go_on_where_the_node_began_anew_too() {
    let mut stage = Stage::new().await;
    stage.live.restore_numbers([]);
    let playlist = stage.begin("/live.m3u8", plain(1_020)).await;
    let mut kept = stage.live.numbers();
    let remembered = kept.remove(playlist.asked.key.as_str()).unwrap();

    let mut stage = Stage::new().await;
    let key = stage.asked("/live.m3u8").key.as_str().into();
    stage.live.restore_numbers([(key, remembered)]);
    let playlist = stage.begin("/live.m3u8", plain(6)).await;
    assert!(next(&playlist) >= Position::segment(1_020), "{}", next(&playlist));
}
