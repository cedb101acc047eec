//! Storages and packagers with ways of their own: cookies that want to come back, words for what is absent, redirects.

use http::StatusCode;

use super::*;
use crate::origin::Whose;

fn named(name: &str, port: u16) -> Origin {
    Origin { name: name.into(), ..origin_at(port) }
}

#[tokio::test]
async fn a_packager_gets_its_cookie_back_at_once_and_from_then_on() {
    let origin = ByHand::new().await;
    let edge = Edge::new(&[Origin { cookies: true, ..origin_at(origin.port) }]);
    let fetch = edge.fetching(get("/live/a.m3u8"));
    let (mut hand, head) = origin.asked().await;
    assert!(!head.contains("cookie"));
    hand.say("HTTP/1.1 403 Forbidden\r\nSet-Cookie: sid=1; Path=/\r\nContent-Length: 2\r\n\r\nno").await;
    assert!(hand.head().await.unwrap().contains("cookie: sid=1\r\n"), "on the same connection");
    hand.say("HTTP/1.1 200 OK\r\nSet-Cookie: sid=2; Path=/\r\nContent-Length: 1\r\n\r\n1").await;
    let answer = fetch.await.unwrap().unwrap();
    assert!(!answer.headers.contains_key("set-cookie"), "viewers do not see it");
    whole(answer).await.unwrap();

    let fetch = edge.fetching(Ask { course: Course { whose: Whose::Viewer, ..Course::default() }, ..get("/x") });
    assert!(!hand.head().await.unwrap().contains("cookie"), "a viewer's request has the viewer's cookies");
    hand.say("HTTP/1.1 200 OK\r\nSet-Cookie: sid=3; Path=/\r\nContent-Length: 1\r\n\r\n1").await;
    let answer = fetch.await.unwrap().unwrap();
    assert_eq!(answer.headers["set-cookie"], "sid=3; Path=/");
    whole(answer).await.unwrap();

    let fetch = edge.fetching(get("/live/b.m4s"));
    assert!(hand.head().await.unwrap().contains("cookie: sid=2\r\n"));
    hand.say("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").await;
    let answer = fetch.await.unwrap().unwrap();
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "it has its cookie, so it means it");
}

#[tokio::test]
async fn a_packager_that_never_has_enough_cookies_is_asked_twice() {
    let origin = ByHand::new().await;
    let edge = Edge::new(&[Origin { cookies: true, ..origin_at(origin.port) }]);
    let fetch = edge.fetching(get("/"));
    let (mut hand, _) = origin.asked().await;
    hand.say("HTTP/1.1 401 No\r\nSet-Cookie: a=1\r\nContent-Length: 0\r\n\r\n").await;
    hand.head().await.unwrap();
    hand.say("HTTP/1.1 401 No\r\nSet-Cookie: a=2\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(fetch.await.unwrap().unwrap().status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn without_cookies_nothing_is_kept() {
    let origin = ByHand::new().await;
    let edge = Edge::new(&[origin_at(origin.port)]);
    let fetch = edge.fetching(get("/"));
    let (mut hand, _) = origin.asked().await;
    hand.say("HTTP/1.1 403 No\r\nSet-Cookie: a=1\r\nContent-Length: 0\r\n\r\n").await;
    let answer = fetch.await.unwrap().unwrap();
    assert_eq!((answer.status, &answer.headers["set-cookie"]), (StatusCode::FORBIDDEN, &"a=1".parse().unwrap()));
}

#[tokio::test]
async fn what_a_bucket_forbids_is_absent_and_keeps_its_connection() {
    let origin = ByHand::new().await;
    let edge = Edge::new(&[Origin { missing: vec![StatusCode::FORBIDDEN], ..origin_at(origin.port) }]);
    let fetch = edge.fetching(get("/1"));
    let (mut hand, _) = origin.asked().await;
    let denied = "<Error><Code>AccessDenied</Code><Resource>/secret/1</Resource></Error>";
    let head =
        "HTTP/1.1 403 Forbidden\r\nContent-Type: application/xml\r\nx-amz-request-id: 7\r\nCache-Control: max-age=3";
    hand.say(format!("{head}\r\nContent-Length: {}\r\n\r\n{denied}", denied.len())).await;
    let answer = fetch.await.unwrap().unwrap();
    let fields: Vec<_> = answer.headers.keys().map(http::HeaderName::as_str).collect();
    assert_eq!((answer.status, fields.len()), (StatusCode::NOT_FOUND, 3), "{fields:?}");
    assert_eq!(answer.headers["cache-control"], "max-age=3");
    assert!(!http_body::Body::is_end_stream(&answer.body));
    let length = answer.announced_length.unwrap();
    let said = whole(answer).await.unwrap();
    assert_eq!(said.len() as u64, length);
    assert!(said.starts_with(b"{\"reason\":\"origin-missing\""));

    let fetch = edge.fetching(Ask { method: Method::HEAD, ..get("/2") });
    assert!(hand.head().await.unwrap().starts_with("HEAD /2 "), "on the same connection");
    hand.say("HTTP/1.1 403 Forbidden\r\nContent-Length: 70\r\n\r\n").await;
    let answer = fetch.await.unwrap().unwrap();
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert_eq!(whole(answer).await.unwrap(), "");
    assert_eq!(edge.counted(Outcome::Answered), 2);
}

#[tokio::test]
async fn a_redirect_is_followed_to_declared_origins_with_what_is_theirs() {
    let (first, second) = (ByHand::new().await, ByHand::new().await);
    let secret = vec![("x-key".parse().unwrap(), "of-the-first".parse().unwrap())];
    let origins = [
        Origin { redirects: 2, base_path: "/base".into(), set_headers: secret, ..named("first", first.port) },
        Origin { base_path: "/media".into(), ..named("second", second.port) },
    ];
    let mut edge = Edge::new(&origins);
    edge.group.truncate(1);
    for (location, asked) in [("moved/x?y=1#z", "GET /base/moved/x?y=1 "), ("/base/%7ex", "GET /base/~x ")] {
        let ask =
            Ask { headers: [("cookie".parse().unwrap(), "v=1".parse().unwrap())].into_iter().collect(), ..get("/a") };
        let fetch = edge.fetching(ask);
        let (mut hand, head) = first.asked().await;
        assert!(head.starts_with("GET /base/a "));
        hand.say(format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 2\r\n\r\nno")).await;
        let head = hand.head().await.unwrap();
        assert!(
            head.starts_with(asked) && head.contains("x-key: of-the-first") && head.contains("cookie: v=1"),
            "{head}"
        );
        hand.say(format!(
            "HTTP/1.1 307 Moved\r\nLocation: http://127.0.0.1:{}/media/b\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
            second.port
        ))
        .await;
        let (mut hand, head) = second.asked().await;
        assert!(head.starts_with("GET /media/b "), "{head}");
        assert!(!head.contains("x-key") && !head.contains("cookie"), "what is the first's stays there: {head}");
        // Two hops are enough: a third is the answer.
        hand.say("HTTP/1.1 308 Moved\r\nLocation: /media/c\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").await;
        let answer = fetch.await.unwrap().unwrap();
        assert_eq!((answer.status.as_u16(), &*answer.origin), (308, "second"));
        assert_eq!(answer.found_at.unwrap(), format!("http://127.0.0.1:{}/media/b", second.port));
    }
}

#[tokio::test]
async fn a_redirect_to_a_stranger_is_the_answer() {
    let origin = ByHand::new().await;
    let edge = Edge::new(&[Origin { redirects: 3, base_path: "/base".into(), ..origin_at(origin.port) }]);
    for location in
        ["https://elsewhere.example/base/x", "/other", "/baseline/x", "https://127.0.0.1/base/x", "//", "ftp:x"]
    {
        let fetch = edge.fetching(get("/a"));
        let (mut hand, _) = origin.asked().await;
        let answer =
            format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        hand.say(answer).await;
        let answer = fetch.await.unwrap().unwrap();
        assert_eq!((answer.status.as_u16(), answer.found_at), (302, None), "{location}");
    }
}

#[tokio::test]
async fn without_redirects_none_is_followed() {
    let origin = ByHand::new().await;
    let edge = Edge::new(&[origin_at(origin.port)]);
    let fetch = edge.fetching(get("/a"));
    let (mut hand, _) = origin.asked().await;
    hand.say("HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(fetch.await.unwrap().unwrap().status, StatusCode::FOUND);
}
