//! The other ways to inherit: a parameter on every URI, a cookie, or nothing at all; and playlists that are one viewer's.

use super::{MAIN, Stream, body, gated, named, play, resolved, token, uris};
use crate::stage::{Stage, WAYS, tell};

#[tokio::test]
async fn a_parameter_goes_from_playlist_to_playlist() {
    for way in WAYS {
        let stream = Stream::start().await;
        tell(way, gated(&stream.origin, "inherit = \"query\""), async |stage: &Stage| {
            let asked = play(stage, &stream, &format!("{MAIN}?token={}", token("one")), &[]).await;
            assert!(asked[1..].iter().all(|path| path.contains("weir_session=") && !path.contains(".weir")));
            assert!(!stream.heard().contains("weir_session") && !stream.heard().contains("token"));
            let main = body(stage.get(&format!("{MAIN}?token={}", token("one"))).await).await;
            assert!(named(&main, "lo.m3u8").contains("?x=1&weir_session="));
            assert!(uris(&main).iter().all(|uri| !uri.contains("example") || !uri.contains("weir_session")));
        })
        .await;
    }
}

#[tokio::test]
async fn a_cookie_may_carry_the_session() {
    for way in WAYS {
        let stream = Stream::start().await;
        tell(way, gated(&stream.origin, "inherit = \"cookie\""), async |stage: &Stage| {
            let answer = stage.get(&format!("{MAIN}?token={}", token("one"))).await;
            let cookie = answer.header("set-cookie").to_owned();
            let is_secure = cookie.contains("; Secure; HttpOnly; SameSite=None");
            assert_eq!(is_secure, stage.way.scheme() == "https", "{cookie}");
            assert!(cookie.starts_with("weir_session=") && cookie.contains("; Path=/live/a;"), "{cookie}");
            let main = body(answer).await;
            assert!(!main.contains("weir_session") && !main.contains(".weir"));
            let session = cookie.split(';').next().unwrap();
            let hi = resolved(MAIN, &named(&main, "hi.m3u8"));
            assert_eq!(stage.get(&hi).await.status, 401);
            let answer = stage.get_with(&hi, &[("cookie", &format!("a=b; {session}"))]).await;
            assert_eq!((answer.status.as_u16(), answer.header("set-cookie")), (200, ""));
            assert!(!stream.heard().contains("weir_session"));
        })
        .await;
    }
}

#[tokio::test]
async fn where_nothing_is_inherited_every_request_brings_its_token() {
    let stream = Stream::start().await;
    tell(WAYS[2], gated(&stream.origin, "inherit = \"none\""), async |stage: &Stage| {
        let bearer = format!("Bearer {}", token("one"));
        let main = body(stage.get_with(MAIN, &[("authorization", &bearer)]).await).await;
        assert!(!main.contains("weir"));
        let hi = resolved(MAIN, &named(&main, "hi.m3u8"));
        assert_eq!(stage.get(&hi).await.status, 401);
        assert_eq!(stage.get_with(&hi, &[("authorization", &bearer)]).await.status, 200);
    })
    .await;
}

#[tokio::test]
async fn a_playlist_of_one_viewer_and_a_media_playlist_inherit_too() {
    for way in WAYS {
        let stream = Stream::start().await;
        tell(way, gated(&stream.origin, ""), async |stage: &Stage| {
            for path in ["/live/a/own.m3u8", "/live/a/own.m3u8", "/live/a/v/hi.m3u8"] {
                let answer = stage.get(&format!("{path}?token={}", token("one"))).await;
                assert_eq!((answer.status.as_u16(), answer.header("cache-control")), (200, "private, no-store"));
                assert_eq!(answer.header("content-length").is_empty(), false);
                let text = body(answer).await;
                for uri in uris(&text) {
                    let stays = uri.contains(".example") || uri.starts_with("/open/");
                    assert_eq!(uri.starts_with("/.weir/s/"), !stays, "{uri}");
                }
            }
            // Below the session, the viewer's own playlist has relative references.
            let main = body(stage.get(&format!("{MAIN}?token={}", token("one"))).await).await;
            let session = named(&main, "hi.m3u8").split('/').nth(3).unwrap().to_owned();
            let own = body(stage.get(&format!("/.weir/s/{session}/live/a/own.m3u8")).await).await;
            assert_eq!(
                (named(&own, "lo.m3u8"), named(&own, "mid.m3u8")),
                ("v/lo.m3u8?x=1".into(), "v/mid.m3u8".into())
            );
        })
        .await;
    }
}
