//! Hints are fetched before they exist, once.

use http::StatusCode;

use super::*;
use crate::origin::promise::Withdrawn;

#[tokio::test]
async fn a_hint_is_fetched_once_and_viewers_join() {
    let stage = Stage::new().await;
    stage.publish(&low_latency(0, 3, 1), Watched::Now);
    let request = stage.request().await;
    assert_eq!((request.target.as_str(), request.range()), ("/live/v/part-3.1.m4s", None));
    let joiner = match stage.ask("part-3.1.m4s") {
        Got::Join(reader) => reader,
        Got::Hit(_) | Got::Lead(_) => panic!("it is on its way"),
    };
    // The same hint in a further version, and the part listed.
    stage.publish(&low_latency(0, 3, 1), Watched::Now);
    let pen = request.begin(200, &[("content-type", "video/mp4"), ("cache-control", "no-cache, max-age=0")]);
    pen.send(Bytes::from_static(b"half")).unwrap();
    let whole = Tasks::current().spawn("viewer", whole(joiner));
    settle().await;
    assert!(!whole.is_finished(), "no octet of a part before all of them are there");
    pen.send(Bytes::from_static(b" and half")).unwrap();
    drop(pen);
    assert_eq!(whole.await.unwrap().unwrap(), "half and half");
    stage.publish(&low_latency(0, 3, 2), Watched::NotNow);
    assert!(matches!(stage.ask("part-3.1.m4s"), Got::Hit(object) if object.length() == 13));
    assert!(stage.is_quiet());
    assert_eq!(stage.figure("weir_prefetched_bytes"), 13);
}

#[tokio::test]
async fn nothing_is_fetched_where_nobody_watches() {
    let stage = Stage::new().await;
    stage.publish(&low_latency(0, 3, 1), Watched::NotNow);
    settle().await;
    assert!(stage.is_quiet());
    stage.publish(&low_latency(0, 3, 1), Watched::Now);
    assert_eq!(stage.request().await.target, "/live/v/part-3.1.m4s");
}

#[tokio::test]
async fn a_404_means_not_yet_and_is_asked_again_at_a_quarter_of_a_part() {
    let stage = Stage::new().await;
    stage.publish(&low_latency(0, 3, 1), Watched::Now);
    stage.request().await.say(404, &[("cache-control", "max-age=60")], "no");
    let began = stage.clock.now();
    let viewer = Tasks::current().spawn("viewer", whole(stage.ask("part-3.1.m4s").reader()));
    for round in 1..=3 {
        let request = stage.request_later().await;
        let took = request.at.since(began);
        // Each time what the wire takes is on top of it.
        assert!((round * 125..round * 200).contains(&took.as_millis()), "{took:?}");
        request.say(404, &[], "no");
    }
    settle().await;
    // What is listed is there, however soon.
    stage.publish(&low_latency(0, 3, 2), Watched::NotNow);
    stage.request().await.say(200, &[], "part");
    assert_eq!(viewer.await.unwrap().unwrap(), "part");
}

#[tokio::test]
async fn what_is_listed_and_missing_for_a_target_duration_is_missing() {
    let stage = Stage::new().await;
    stage.publish(&low_latency(0, 3, 1), Watched::Now);
    let request = stage.request().await;
    stage.publish(&low_latency(0, 3, 2), Watched::NotNow);
    stage.clock.advance(TD);
    request.say(404, &[], "no");
    let end = whole(stage.ask("part-3.1.m4s").reader()).await.unwrap_err();
    assert!(matches!(end, FillEnd::Failed(why) if why.downcast_ref::<Withdrawn>().is_some()));
}

#[tokio::test]
async fn a_hint_that_is_withdrawn_ends_all_waiting() {
    let stage = Stage::new().await;
    stage.publish(&low_latency(0, 3, 1), Watched::Now);
    let held = stage.request().await;
    let viewers = [(); 3].map(|()| Tasks::current().spawn("viewer", whole(stage.ask("part-3.1.m4s").reader())));
    settle().await;
    let returned = low_latency(0, 3, 1).replace("URI=\"part-3.1.m4s\"", "URI=\"other.m4s\"");
    stage.publish(&returned, Watched::NotNow);
    for viewer in viewers {
        let end = viewer.await.unwrap().unwrap_err();
        assert!(matches!(end, FillEnd::Failed(why) if why.downcast_ref::<Withdrawn>().is_some()));
    }
    drop(held);
}

#[tokio::test]
async fn a_viewer_who_is_there_first_leads_and_the_prefetch_joins() {
    let stage = Stage::new().await;
    stage.publish(&low_latency(0, 3, 1), Watched::NotNow);
    let Got::Lead(leader) = stage.ask("part-3.1.m4s") else { panic!("nobody has asked") };
    stage.publish(&low_latency(0, 3, 1), Watched::Now);
    let request = stage.request().await;
    drop(leader);
    request.say(200, &[], "part");
    assert_eq!(text(&stage.stored("part-3.1.m4s").await), "part");
    assert!(stage.is_quiet());
}

#[tokio::test]
async fn private_media_is_neither_stored_nor_shared_and_no_cache_is_not_heard() {
    let stage = Stage::new().await;
    stage.publish(&low_latency(0, 3, 1), Watched::NotNow);
    for (leaf, control, shared) in [
        ("seg-0.m4s", "no-cache", true),
        ("seg-1.m4s", "max-age=0", true),
        ("seg-2.m4s", "private", false),
        ("init.mp4", "no-store", false),
    ] {
        let leader = stage.ask(leaf).reader();
        stage.request().await.say(200, &[("cache-control", control), ("set-cookie", "a=b"), ("vary", "Origin")], "x");
        if shared {
            let object = stage.stored(leaf).await;
            assert!(!object.head.headers.contains_key("set-cookie") && !object.head.headers.contains_key("vary"));
            assert!(matches!(stage.ask(leaf), Got::Hit(_)), "{control}");
        } else {
            let mut reader = leader;
            let answer = poll_fn(|cx| reader.poll_head(cx)).await.unwrap();
            assert!(matches!(answer, FillAnswer::Arriving(head, _) if head.status == StatusCode::OK));
            settle().await;
            assert!(matches!(stage.ask(leaf), Got::Lead(_)), "{control}");
            stage.request().await.say(200, &[("cache-control", control)], "x");
        }
    }
}

#[tokio::test]
async fn what_nobody_asks_for_is_counted_as_wasted() {
    let stage = Stage::new().await;
    stage.publish(&low_latency(0, 3, 1), Watched::Now);
    stage.request().await.say(200, &[], "wasted");
    stage.stored("part-3.1.m4s").await;
    stage.publish(&low_latency(0, 3, 2), Watched::Now);
    stage.request().await.say(200, &[], "used");
    stage.stored("part-3.2.m4s").await;
    settle().await;
    assert!(matches!(stage.ask("part-3.2.m4s"), Got::Hit(_)));
    stage.clock.advance(Duration::from_secs(31));
    stage.publish(&low_latency(0, 3, 3), Watched::Now);
    stage.request().await.say(200, &[], "x");
    stage.stored("part-3.3.m4s").await;
    settle().await;
    assert_eq!(stage.figure("weir_prefetch_wasted_bytes"), 6);
    assert_eq!(stage.figure("weir_prefetched_bytes"), 11);
}

#[tokio::test]
async fn what_came_before_the_name_is_validated() {
    let stage = Stage::new().await;
    stage.publish(&low_latency(0, 3, 1), Watched::NotNow);
    let first = stage.ask("seg-0.m4s").reader();
    stage.request().await.say(200, &[("etag", "\"1\""), ("cache-control", "max-age=31536000")], "old");
    assert_eq!(whole(first).await.unwrap(), "old");
    stage.retire(Duration::from_secs(6));
    stage.clock.advance(Duration::from_secs(5));
    stage.publish(&low_latency(0, 3, 1), Watched::NotNow);
    let again = stage.ask("seg-0.m4s").reader();
    let request = stage.request().await;
    assert_eq!(request.headers["if-none-match"], "\"1\"");
    request.say(200, &[("etag", "\"2\"")], "new");
    assert_eq!(whole(again).await.unwrap(), "new");
    assert!(matches!(stage.ask("seg-0.m4s"), Got::Hit(object) if text(&object) == "new"));
}
