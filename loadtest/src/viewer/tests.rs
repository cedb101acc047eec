//! Viewers before the demo origin, on the machine's clock.

use std::time::Duration;

use super::{Check, Choice, Hints, Latency, Outcome, Plan, play};
use crate::client::Way;
use crate::client::tests::{connect, origin};
use crate::origin::{Action, Rule, Running};
use crate::punctual::on_time;

fn plan(path: &str, seconds: f64) -> Plan {
    Plan { check: Check::Timestamps, ..Plan::new(path).lasting(Duration::from_secs_f64(seconds)) }
}

fn assert_good(outcome: &Outcome) {
    assert!(outcome.is_good(), "{outcome:#?}");
    assert!(outcome.startup.unwrap() < Duration::from_secs(2), "{outcome:#?}");
}

fn requests_over(origin: &Running, part: &str) -> u64 {
    let counts = origin.stats().counts();
    counts.iter().filter(|(url, _)| url.contains(part)).map(|(_, count)| count).sum()
}

#[tokio::test]
async fn a_viewer_plays_low_latency_over_every_way_without_a_stall() {
    on_time(|| async {
        let (origin, trust) = origin().await;
        let mut viewers = Vec::new();
        for way in [Way::H1, Way::H1Tls, Way::H2, Way::H2Cleartext] {
            let client = connect(&origin, way, &trust).await;
            viewers.push(tokio::spawn(async move { play(&client, &plan("/live/master.m3u8", 3.5)).await }));
        }
        for viewer in viewers {
            let outcome = viewer.await.unwrap();
            assert_good(&outcome);
            assert!(outcome.connections <= 4, "{outcome:#?}");
            assert!(outcome.latency.quantile(0.5) < Duration::from_secs(2), "{outcome:#?}");
            assert!(
                outcome.edge.count() >= 10 && outcome.edge.quantile(0.5) < Duration::from_millis(400),
                "{outcome:#?}"
            );
            // Three seconds of 333 ms parts on two tracks, and those before the start.
            assert!((18..50).contains(&outcome.requests.media), "{outcome:#?}");
            assert!((18..40).contains(&outcome.requests.playlists), "{outcome:#?}");
            assert_eq!((outcome.requests.multivariant, outcome.requests.inits), (1, 2));
        }
        assert_eq!(requests_over(&origin, "/v0/") + requests_over(&origin, "/v2/"), 0);
        origin.stop().await;
    })
    .await;
}

#[tokio::test]
async fn byte_ranges_hints_and_plain_playlists_are_played_too() {
    on_time(|| async {
        let (origin, trust) = origin().await;
        let plans = [
            plan("/br/master.m3u8", 3.0),
            Plan { choice: Choice::Index(0), ..plan("/br/v2/media.m3u8", 3.0) },
            Plan { hints: Hints::Request, ..plan("/live/master.m3u8", 3.0) },
            Plan { latency: Latency::Plain, ..plan("/live/master.m3u8", 3.0) },
            plan("/plain/master.m3u8", 3.0),
            plan("/ts/master.m3u8", 3.0),
            plan("/vod/master.m3u8", 3.0),
            plan("/ssai/master.m3u8", 3.0),
        ];
        let mut viewers = Vec::new();
        for plan in plans {
            let client = connect(&origin, Way::H2Cleartext, &trust).await;
            viewers.push(tokio::spawn(async move { (plan.path.clone(), play(&client, &plan).await) }));
        }
        for viewer in viewers {
            let (path, outcome) = viewer.await.unwrap();
            assert!(outcome.is_good(), "{path}: {outcome:#?}");
        }
        origin.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_stream_that_stops_is_a_stall_and_its_errors_are_counted() {
    on_time(|| async {
        let (origin, trust) = origin().await;
        let client = connect(&origin, Way::H2Cleartext, &trust).await;
        let watching = tokio::spawn(async move { play(&client, &plan("/live/master.m3u8", 3.5)).await });
        origin.stats().until(|stats| stats.total() > 20).await;
        let rule = Rule::new("/live/*/part-*", Action::Status { code: 503, location: None });
        origin.desk().add(rule).unwrap();
        let outcome = watching.await.unwrap();
        assert_eq!(outcome.stalls.count, 1, "{outcome:#?}");
        assert!(outcome.stalls.total > 500_000, "{outcome:#?}");
        assert!(outcome.errors.counts["status-503"] >= 2, "{outcome:#?}");
        assert!(!outcome.is_good() && !outcome.gave_up);
        origin.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_playlist_that_is_none_is_an_error() {
    on_time(|| async {
        let (origin, trust) = origin().await;
        origin.desk().add(Rule::new("/live/v*", Action::Html)).unwrap();
        let client = connect(&origin, Way::H1, &trust).await;
        let outcome = play(&client, &plan("/live/master.m3u8", 0.5)).await;
        assert_eq!(outcome.startup, None);
        assert_eq!(outcome.errors.counts["playlist"], 1, "{outcome:#?}");
        origin.stop().await;
    })
    .await;
}
