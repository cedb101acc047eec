//! Playlists that are followed though nobody watches, and what the node tells of them.

use http::Method;
use serde_json::{Value, json};
use weir_loadtest::client::Way;

use crate::stage::{Setup, Stage, tell};

/// What the node tells of the playlist at `path`.
fn told<'s>(status: &'s Value, path: &str) -> Option<&'s Value> {
    status["live"]["renditions"].as_array()?.iter().find(|playlist| playlist["path"] == path)
}

/// Media playlists that are followed and have a position.
fn live(status: &Value) -> usize {
    let playlists = status["live"]["renditions"].as_array().unwrap();
    playlists.iter().filter(|playlist| playlist["state"] == "live" && playlist["position"].is_string()).count()
}

async fn warm(stage: &Stage, body: &'static str) -> (u16, Value) {
    let (code, text) = stage.admin(Method::POST, "/warm", body).await;
    (code, serde_json::from_str(&text).unwrap())
}

async fn explained(stage: &Stage, url: &str) -> Value {
    let (code, text) = stage.admin(Method::GET, &format!("/explain?url={url}"), "").await;
    assert_eq!(code, 200, "{text}");
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn a_stream_is_followed_before_anybody_watches_and_the_node_tells_of_it() {
    tell(Way::H1, Setup::default(), async |stage: &Stage| {
        let cold = explained(stage, "/live/master.m3u8").await;
        assert_eq!((&cold["class"], &cold["sharing"]), (&"playlist".into(), &"shared".into()), "{cold}");
        let (code, answer) = warm(stage, r#"{"url":"/live/master.m3u8?CMCD=x","for":"10m"}"#).await;
        assert_eq!((code, &answer), (200, &json!({ "route": "all", "playlist": "/live/master.m3u8" })));
        stage.until("the renditions are followed", |status| live(status) >= 2).await;

        let status = stage.status().await;
        let master = told(&status, "/live/master.m3u8").unwrap();
        assert_eq!((&master["state"], &master["requests"]["first"]), (&"multivariant".into(), &1.into()), "{master}");
        let renditions = status["live"]["renditions"].as_array().unwrap();
        let rendition = renditions.iter().find(|playlist| playlist["state"] == "live").unwrap();
        assert!(rendition["behind_seconds"].is_number() && rendition["part_target_seconds"].is_number(), "{rendition}");
        let behind = stage.metric("weir_playlist_behind_seconds", &["stream=\"other\""]).await;
        assert!(behind.is_some(), "nobody has asked for the stream, so that it has no label of its own");

        let path = rendition["path"].as_str().unwrap();
        let told = explained(stage, &format!("http://any.example{path}%3Fx=1")).await;
        assert_eq!(told["class"], "playlist", "{told}");
        assert!(told["verdict"].as_str().unwrap().contains("next position"), "{told}");
        assert!(told["left_out"].to_string().contains("1 parameters"), "{told}");

        let text = stage.get(path).await.bytes().await.unwrap();
        let text = String::from_utf8(text.to_vec()).unwrap();
        let uri = text.lines().rfind(|line| !line.starts_with('#') && !line.is_empty()).unwrap();
        let segment = format!("{}/{uri}", path.rsplit_once('/').unwrap().0);
        let told = explained(stage, &segment).await;
        assert_eq!((&told["class"], &told["sharing"]), (&"media".into(), &"shared".into()), "{segment}: {told}");
    })
    .await;
}

#[tokio::test]
async fn what_a_route_names_is_followed_from_the_start() {
    let setup = || Setup { route: "warm = [\"/live/master.m3u8\"]".to_owned(), ..Setup::default() };
    tell(Way::H1, setup(), async |stage: &Stage| {
        stage.until("the renditions are followed", |status| live(status) >= 2).await;
        assert_eq!(stage.status().await["live"]["held"], 0);
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_followed_says_why() {
    let setup = || Setup {
        tables: "[[route]]\nname = \"plain\"\npath = \"/plain/\"\norigins = [\"main\"]\nlive = \"off\"
            [[route]]\nname = \"own\"\npath = \"/own/\"\norigins = [\"main\"]\nplaylists = \"per-viewer\""
            .to_owned(),
        ..Setup::default()
    };
    tell(Way::H1, setup(), async |stage: &Stage| {
        for (body, code, reason) in [
            (r#"{"url":"/plain/x.m3u8"}"#, 409, "not-followed"),
            (r#"{"url":"/own/x.m3u8"}"#, 409, "not-followed"),
            (r#"{"url":"/.weir/live"}"#, 409, "not-followed"),
            (r#"{"url":"/.weir/nothing"}"#, 409, "no-route"),
            (r#"{"url":"http://["}"#, 400, "url"),
            (r#"{"url":"/live/master.m3u8","for":"10"}"#, 400, "for"),
        ] {
            let (told, answer) = warm(stage, body).await;
            assert_eq!((told, &answer["reason"]), (code, &reason.into()), "{body}");
        }
        assert_eq!(explained(stage, "/own/x.m3u8").await["sharing"], "per-viewer");
        assert_eq!(explained(stage, "/plain/x.m3u8").await["class"], "plain");
        assert_eq!(stage.status().await["live"]["playlists"], 0);
    })
    .await;
}
