//! Two origins that number otherwise, and what viewers see of it when one dies, stands still, or comes back.

use std::time::{SystemTime, UNIX_EPOCH};

use http::Method;
use tokio::task::JoinHandle;
use weir_loadtest::client::Response;
use weir_loadtest::origin::{Action, Origin, OriginConfig, Rule, Running};

use crate::stage::{Setup, Stage, WAYS, tell};

const PICTURE: &str = "/live/v0/media.m3u8";

/// An origin whose numbers are some hundred ahead of the stage's own.
async fn backup() -> Running {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    Origin::start(OriginConfig { epoch_ms: Some(now - 1_000_000), ..OriginConfig::default() }).await.unwrap()
}

fn setup(backup: &Running) -> Setup {
    Setup {
        tables: format!("[origins.backup]\nurl = \"http://{}\"\n", backup.addr()),
        origins: "[\"main\", \"backup\"]",
        ..Setup::default()
    }
}

async fn text(answer: &mut Response) -> String {
    String::from_utf8(answer.bytes().await.unwrap().to_vec()).unwrap()
}

fn said(text: &str, tag: &str) -> u64 {
    text.lines().find_map(|line| line.strip_prefix(tag)).unwrap_or("0").parse().unwrap()
}

/// The first position that a list does not have.
fn next(text: &str) -> (u64, u64) {
    let segments = text.matches("#EXTINF:").count() as u64;
    let open = text.rsplit("#EXTINF:").next().unwrap().matches("#EXT-X-PART:").count() as u64;
    (said(text, "#EXT-X-MEDIA-SEQUENCE:") + segments, open)
}

/// Completes when a playlist comes from an origin.
async fn comes_from(stage: &Stage, path: &str, origin: &str) {
    let what = format!("{path} comes from {origin}");
    stage
        .until(&what, |status| {
            let renditions = status["live"]["renditions"].as_array().unwrap();
            let of_path = |one: &&serde_json::Value| one["path"] == path && one["state"] == "live";
            renditions.iter().find(of_path).is_some_and(|one| one["origin"] == origin)
        })
        .await;
}

/// A list, and a viewer who is held until it has come one segment further. One whose wait is over before it is seen, as
/// the machine is busy, is followed by another.
async fn held(stage: &Stage) -> (String, JoinHandle<Response>) {
    loop {
        let list = text(&mut stage.get(PICTURE).await).await;
        let (msn, part) = next(&list);
        let viewer = stage.viewer().await;
        let path = format!("{PICTURE}?_HLS_msn={}&_HLS_part={part}", msn + 1);
        let waiting = tokio::spawn(async move { viewer.get(&path, &[]).await.unwrap() });
        while !waiting.is_finished() {
            if stage.metric("weir_held_requests", &[]).await.is_some_and(|held| held >= 1.0) {
                return (list, waiting);
            }
        }
    }
}

/// The answer of one who is held for a position, or of others who come after it where a move takes longer than anybody
/// is held, as it may on a busy machine.
async fn or_held_longer(stage: &Stage, mut answer: Response, (msn, part): (u64, u64)) -> Response {
    while answer.status == 503 {
        answer = stage.get(&format!("{PICTURE}?_HLS_msn={msn}&_HLS_part={part}")).await;
    }
    answer
}

/// The newest thing that a list names, and whether it can be had.
async fn newest_is_there(stage: &Stage, list: &str) {
    let part = list.lines().rev().find_map(|line| line.strip_prefix("#EXT-X-PART:")?.split("URI=\"").nth(1));
    let name = part.and_then(|part| part.split('"').next());
    let segment = list.lines().rev().find(|line| !line.starts_with('#') && !line.is_empty());
    let path = format!("/live/v0/{}", name.or(segment).unwrap());
    let mut answer = stage.get(&path).await;
    assert_eq!(answer.status, 200, "{path}");
    assert!(!answer.bytes().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_stream_goes_on_elsewhere_when_its_origin_dies_in_mid_part_and_comes_back_when_told() {
    for way in WAYS {
        let backup = backup().await;
        tell(way, setup(&backup), async |stage: &Stage| {
            stage.get(PICTURE).await;
            for turn in 0..2 {
                comes_from(stage, PICTURE, "main").await;
                let (last, waiting) = held(stage).await;
                let (msn, part) = next(&last);
                let death = Rule { id: "death".into(), ..Rule::new("*", Action::Die) };
                stage.origin.desk().add(death).unwrap();
                comes_from(stage, PICTURE, "backup").await;
                let waited = waiting.await.unwrap();
                let mut answer = or_held_longer(stage, waited, (msn + 1, part)).await;
                assert_eq!(answer.status, 200, "turn {turn}");
                let list = text(&mut answer).await;
                let first = |list: &str| said(list, "#EXT-X-MEDIA-SEQUENCE:");
                assert!(next(&list) > (msn + 1, part) && first(&list) >= first(&last), "{list}");
                let told = list.contains("#EXT-X-DISCONTINUITY\n");
                assert!(told || said(&list, "#EXT-X-DISCONTINUITY-SEQUENCE:") > 0, "{list}");
                newest_is_there(stage, &list).await;

                stage.origin.desk().remove("death");
                let (code, said_of_it) = stage.admin(Method::POST, "/origins/main", "{\"action\":\"return\"}").await;
                assert_eq!(code, 200, "{said_of_it}");
                comes_from(stage, PICTURE, "main").await;
                let back = text(&mut stage.get(PICTURE).await).await;
                assert!(next(&back) >= next(&list) && first(&back) >= first(&list), "{back}");
                newest_is_there(stage, &back).await;
            }
        })
        .await;
        backup.stop().await;
    }
}

#[tokio::test]
async fn a_stream_that_stands_still_is_asked_for_elsewhere_and_others_stay() {
    const OTHER: &str = "/br/v0/media.m3u8";
    let way = WAYS[2];
    let backup = backup().await;
    tell(way, setup(&backup), async |stage: &Stage| {
        let before = text(&mut stage.get(PICTURE).await).await;
        stage.get(OTHER).await;
        comes_from(stage, PICTURE, "main").await;
        comes_from(stage, OTHER, "main").await;
        let frozen = Rule { id: "still".into(), ..Rule::new("/live/*", Action::Freeze { hold: true }) };
        stage.origin.desk().add(frozen).unwrap();
        comes_from(stage, PICTURE, "backup").await;
        comes_from(stage, OTHER, "main").await;
        // Where it stood still is not known: what was next before that is waited for.
        let (msn, part) = next(&before);
        let waited = stage.get(&format!("{PICTURE}?_HLS_msn={msn}&_HLS_part={part}")).await;
        let after = text(&mut or_held_longer(stage, waited, (msn, part)).await).await;
        assert!(next(&after) > (msn, part), "{after}");
        let status = stage.status().await;
        let main = status["origins"].as_array().unwrap().iter().find(|origin| origin["name"] == "main").unwrap();
        assert_eq!((&main["standing"], &main["healthy"]), (&"well".into(), &true.into()), "{main}");
        assert_eq!(main["stalled"], serde_json::json!([PICTURE]), "one stream is no origin: {main}");
    })
    .await;
    backup.stop().await;
}

#[tokio::test]
async fn the_operator_takes_an_origin_out_and_brings_it_back() {
    let way = WAYS[0];
    let backup = backup().await;
    tell(way, setup(&backup), async |stage: &Stage| {
        stage.get(PICTURE).await;
        comes_from(stage, PICTURE, "main").await;
        assert_eq!(stage.admin(Method::POST, "/origins/none", "{\"action\":\"rest\"}").await.0, 404);
        assert_eq!(stage.admin(Method::POST, "/origins/main", "{\"action\":\"rest\"}").await.0, 200);
        comes_from(stage, PICTURE, "backup").await;
        let status = stage.status().await;
        let main = status["origins"].as_array().unwrap().iter().find(|origin| origin["name"] == "main").unwrap();
        assert_eq!((&main["standing"], &main["why"]), (&"resting".into(), &"operator".into()));
        assert_eq!(stage.admin(Method::GET, "/readyz", "").await.0, 200);
        assert_eq!(stage.admin(Method::POST, "/origins/main", "{\"action\":\"return\"}").await.0, 200);
        comes_from(stage, PICTURE, "main").await;
    })
    .await;
    backup.stop().await;
}
