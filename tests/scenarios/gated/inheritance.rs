//! The other ways to inherit: a parameter on every URI, a cookie, or nothing at all; and playlists that are one viewer's.

use serde_json::json;

use super::{MAIN, Stream, body, gated, mint, named, now, play, resolved, token, uris};
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
                assert!(!answer.header("content-length").is_empty());
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

/// RFC 9246 §3: the renewed package comes in a cookie, and stands in for the one in the URI when that has expired.
#[tokio::test]
async fn a_package_is_renewed_by_a_cookie_that_stands_in_for_the_uris() {
    let stream = Stream::start().await;
    let access = "formats = [\"uri-signing\"]\ninherit = \"none\"\nleeway = \"0s\"";
    tell(WAYS[1], gated(&stream.origin, access), async |stage: &Stage| {
        let package = |exp: u64| {
            let uri = "regex:https://[^/]+/live/a/.*";
            let claims = json!({
                "iss": "https://issuer.test", "exp": exp, "cdniuc": uri, "cdnistt": 1, "cdniets": 600, "cdnistd": 2,
            });
            format!("/live/a/main.m3u8?URISigningPackage={}", mint(&claims))
        };
        let answer = stage.get(&package(now() + 500)).await;
        assert_eq!((answer.status.as_u16(), answer.header("set-cookie")), (200, ""), "it lives for long enough");
        let answer = stage.get(&package(now() + 200)).await;
        let cookie = answer.header("set-cookie").to_owned();
        assert!(cookie.starts_with("URISigningPackage=") && cookie.contains("Path=/live/a;"), "{cookie}");
        assert_eq!(answer.header("cache-control"), "private, no-store");
        let cookie = cookie.split(';').next().unwrap();
        for path in [&package(now() - 60), "/live/a/x"] {
            let answer = stage.get_with(path, &[("cookie", cookie)]).await;
            assert_eq!(answer.status, 200, "{path}");
        }
        assert_eq!(stage.get(&package(now() - 60)).await.status, 401);
        assert!(!stream.heard().contains("Package"));
    })
    .await;
}
