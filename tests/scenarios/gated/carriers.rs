//! A token in every carrier, over every protocol; what follows has URLs alone.

use http::Method;
use serde_json::json;

use super::{MAIN, Stream, body, gated, gated_with, mint, named, now, play, token, uris};
use crate::stage::{Stage, WAYS, tell};

#[tokio::test]
async fn a_token_in_any_carrier_opens_a_session_that_urls_alone_carry_on() {
    for way in WAYS {
        let stream = Stream::start().await;
        let names = "names = { header = \"CTA-Common-Access-Token\" }";
        tell(way, gated(&stream.origin, names), async |stage: &Stage| {
            for carrier in ["path", "inner path", "bearer", "field", "cookie", "query"] {
                let token = token(carrier);
                let bearer = format!("Bearer {token}");
                let cookie = format!("theme=dark; token={token}");
                let (path, fields): (String, Vec<(&str, &str)>) = match carrier {
                    "path" => (format!("/.weir/t/{token}{MAIN}"), vec![]),
                    "inner path" => (format!("/live/a/.weir/t/{token}/main.m3u8"), vec![]),
                    "bearer" => (MAIN.to_owned(), vec![("authorization", &bearer)]),
                    "field" => (MAIN.to_owned(), vec![("cta-common-access-token", &token)]),
                    "cookie" => (MAIN.to_owned(), vec![("cookie", &cookie)]),
                    _ => (format!("{MAIN}?token={token}&_HLS_report=1"), vec![]),
                };
                let asked = play(stage, &stream, &path, &fields).await;
                assert!(asked[1..].iter().all(|path| path.starts_with("/.weir/s/")), "{asked:?}");
            }
            let heard = stream.heard();
            assert!(!heard.contains(".weir") && !heard.contains("token") && !heard.contains("earer"), "{heard}");
        })
        .await;
    }
}

#[tokio::test]
async fn an_answer_of_a_session_says_which_and_is_for_nobody_else() {
    for way in WAYS {
        let stream = Stream::start().await;
        tell(way, gated(&stream.origin, ""), async |stage: &Stage| {
            let bearer = format!("Bearer {}", token("one"));
            let site = ("origin", "https://player.example");
            let answer = stage.get_with(MAIN, &[("authorization", &bearer), site]).await;
            let session = answer.header("weir-session").to_owned();
            assert_eq!(session.len(), 24);
            assert_eq!(answer.header("weir-support-code").len(), 9);
            assert_eq!(answer.header("referrer-policy"), "no-referrer");
            assert_eq!(answer.header("cache-control"), "private, no-store");
            assert_eq!(answer.header("access-control-allow-origin"), "*");
            let tag = answer.header("etag").to_owned();
            let main = body(answer).await;
            // The same device that asks again continues its session, in the same octets.
            let again = [("authorization", bearer.as_str()), ("if-none-match", &tag)];
            let answer = stage.get_with(MAIN, &again).await;
            assert_eq!((answer.status.as_u16(), answer.header("weir-session")), (304, &*session));
            let zipped = [("authorization", bearer.as_str()), ("accept-encoding", "gzip")];
            assert_eq!(stage.get_with(MAIN, &zipped).await.header("content-encoding"), "gzip");
            let head = stage.ask(Method::HEAD, MAIN, &again[..1], b"").await;
            assert_eq!((head.status.as_u16(), head.header("etag")), (200, &*tag));
            assert_eq!(head.header("content-length"), main.len().to_string());
            // What lies below is shared, and known to be of the session by its URL.
            let answer = stage.get(&named(&main, "hi.m3u8")).await;
            assert_eq!(answer.header("weir-session"), session);
            assert_eq!(answer.header("referrer-policy"), "no-referrer");
            assert!(answer.header("cache-control").starts_with("max-age="));
            let segment = super::resolved("/live/a/v/hi.m3u8", &named(&body(answer).await, "s100"));
            let answer = stage.get_with(&segment, &again[..1]).await;
            assert!(answer.header("cache-control").starts_with("private, "), "{}", answer.header("cache-control"));
            assert_eq!(answer.header("weir-session"), "");
        })
        .await;
    }
}

#[tokio::test]
async fn foreign_hosts_never_see_a_session_and_open_routes_need_none() {
    for way in WAYS {
        let stream = Stream::start().await;
        tell(way, gated(&stream.origin, ""), async |stage: &Stage| {
            let main = body(stage.get(&format!("/.weir/t/{}{MAIN}", token("one"))).await).await;
            for uri in uris(&main) {
                let is_foreign = uri.contains("ads.example") || uri.contains("licence.example");
                let is_open = uri.starts_with("/open/");
                assert_eq!(uri.starts_with("/.weir/s/"), !is_foreign && !is_open, "{uri}");
            }
            let playlist = body(stage.get(&named(&main, "hi.m3u8")).await).await;
            for uri in uris(&playlist) {
                assert!(!uri.starts_with('/') && (!uri.contains("://") || uri.contains("ads.example")), "{uri}");
            }
            assert_eq!(stage.get("/open/o.m3u8").await.status, 502, "it is no playlist, but it is open");
            assert_eq!(body(stage.get("/open/x?token=of-its-own").await).await, "octets of /open/x");
            assert!(stream.heard().contains("/open/x?token=of-its-own"), "no token is looked for there");
            let session = named(&main, "hi.m3u8").split('/').nth(3).unwrap().to_owned();
            for path in [format!("/.weir/s/{session}/open/x"), format!("/.weir/t/{session}/open/x")] {
                assert_eq!(stage.get(&path).await.status, 404, "{path}");
            }
            // A redirect of the origin's stays in the session.
            let moved = stage.get(&format!("/.weir/s/{session}/live/a/moved")).await;
            assert_eq!(moved.header("location"), format!("/.weir/s/{session}/live/a/v/hi.m3u8"));
        })
        .await;
    }
}

#[tokio::test]
async fn what_a_player_may_ask_before_it_has_a_token_is_answered() {
    for way in WAYS {
        let stream = Stream::start().await;
        tell(way, gated(&stream.origin, ""), async |stage: &Stage| {
            let preflight = [
                ("origin", "https://player.example"),
                ("access-control-request-method", "GET"),
                ("access-control-request-headers", "authorization"),
            ];
            let answer = stage.ask(Method::OPTIONS, MAIN, &preflight, b"").await;
            assert_eq!((answer.status.as_u16(), answer.header("access-control-allow-headers")), (204, "authorization"));
            for method in [Method::OPTIONS, Method::POST, Method::PUT, Method::DELETE, Method::HEAD] {
                assert_eq!(stage.ask(method.clone(), MAIN, &[], b"").await.status, 401, "{method}");
            }
            assert_eq!(stream.origin.count(), 0);
            let bearer = format!("Bearer {}", token("one"));
            let posted = stage.ask(Method::POST, "/live/a/form", &[("authorization", &bearer)], b"x").await;
            assert_eq!(posted.status, 200);
            assert!(stream.heard().contains("POST /live/a/form") && !stream.heard().contains("earer"));
        })
        .await;
    }
}

#[tokio::test]
async fn a_session_may_stand_after_the_path_of_its_route() {
    for way in WAYS {
        let stream = Stream::start().await;
        tell(way, gated(&stream.origin, "carrier_position = \"route\""), async |stage: &Stage| {
            let asked = play(stage, &stream, &format!("{MAIN}?token={}", token("one")), &[]).await;
            assert!(asked[1..].iter().all(|path| path.starts_with("/live/a/.weir/s/")), "{asked:?}");
            assert!(!stream.heard().contains(".weir"));
            // Further down nobody cuts it, and nothing goes to the origin.
            let deeper = asked[1].replace("/live/a/.weir", "/live/a/v/.weir");
            assert_eq!(stage.get(&deeper).await.status, 404);
            assert!(!stream.heard().contains(".weir"));
        })
        .await;
    }
}

#[tokio::test]
async fn a_reload_is_never_held_beyond_what_was_paid_for() {
    let stream = Stream::start().await;
    tell(WAYS[1], gated(&stream.origin, ""), async |stage: &Stage| {
        let paid =
            json!({ "iss": "https://issuer.test", "exp": now() + 300, "session_end": now() + 8, "path": "/live" });
        let main = body(stage.get(&format!("{MAIN}?token={}", mint(&paid))).await).await;
        let hi = named(&main, "hi.m3u8");
        assert_eq!(stage.get(&hi).await.status, 200);
        let held = stage.get(&format!("{hi}?_HLS_msn=104&_HLS_part=1")).await;
        assert_eq!(held.status, 410);
        assert!(body(held).await.contains("entitlement-over"));
        assert_eq!(stage.get(&hi).await.status, 410);
    })
    .await;
}

#[tokio::test]
async fn a_route_may_be_lenient() {
    let stream = Stream::start().await;
    tell(WAYS[0], gated_with(&stream.origin, "", "strict_paths = false"), async |stage: &Stage| {
        let bearer = format!("Bearer {}", token("one"));
        let answer = stage.get_with("/live/a//x;y/%2F", &[("authorization", &bearer)]).await;
        assert_eq!(answer.status, 200);
        assert_eq!(stream.origin.last().target, "/live/a//x;y/%2F");
    })
    .await;
}
