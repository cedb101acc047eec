//! Plain responses by the letter of the standard: credentials, conditions, HEAD, variants, parts, wishes and what is said
//! before an answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use weir_loadtest::client::Way;

use crate::script::{Script, Seen, reply};
use crate::stage::{Setup, Stage, WAYS, fresh_blob, on_every_protocol, tell};

type Reply = http::Response<crate::script::Body>;

/// Tells `story` over every protocol, each time with an origin of its own.
async fn told(
    route: &str,
    origin: impl Fn(Seen) -> Reply + Clone + Send + Sync + 'static,
    story: impl AsyncFn(&Stage, &Script),
) {
    for way in WAYS {
        let origin = Script::start(origin.clone()).await;
        let setup = Setup { upstream: Some(origin.addr), route: route.to_owned(), ..Setup::default() };
        tell(way, setup, async |stage: &Stage| story(stage, &origin).await).await;
    }
}

/// Asks, and gives what Cache-Status says and the body.
async fn asked(stage: &Stage, path: &str, fields: &[(&str, &str)]) -> (String, String) {
    let mut answer = stage.get_with(path, fields).await;
    let body = answer.bytes().await.unwrap();
    stage.settled().await;
    (answer.header("cache-status").to_owned(), String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn cookies_reach_the_origin_and_what_is_fresh_is_for_all() {
    let origin = |seen: Seen| {
        let life = if seen.target.contains("fresh") { "max-age=60" } else { "no-cache" };
        reply(200, &[("cache-control", life), ("etag", "\"1\"")], seen.field("cookie"))
    };
    told("", origin, async |stage, origin| {
        for (path, second) in [("/fresh", "who=a"), ("/asked-about", "who=b")] {
            assert_eq!(asked(stage, path, &[("cookie", "who=a")]).await.1, "who=a");
            assert_eq!(asked(stage, path, &[("cookie", "who=b")]).await.1, second, "{path}");
        }
        assert_eq!(origin.count(), 3);
    })
    .await;
}

#[tokio::test]
async fn vary_on_cookie_keeps_viewers_apart_unless_the_operator_says_otherwise() {
    let origin = |seen: Seen| {
        let fields = [("cache-control", "max-age=60"), ("vary", "Cookie")];
        reply(200, &fields, seen.field("cookie"))
    };
    for (route, second, word) in
        [("", "b=2", "edge-test;fwd=vary-miss;stored"), ("ignore_vary = [\"cookie\"]", "a=1", "edge-test;hit")]
    {
        told(route, origin, async |stage, _| {
            assert_eq!(asked(stage, "/page", &[("cookie", "a=1")]).await.1, "a=1");
            let (status, body) = asked(stage, "/page", &[("cookie", "b=2")]).await;
            assert_eq!(body, second);
            assert!(status.starts_with(word), "{status}");
            assert_eq!(status.contains("detail=vary-ignored"), !route.is_empty(), "{status}");
        })
        .await;
    }
}

#[tokio::test]
async fn authorization_is_shared_only_where_the_origin_opens_it() {
    let origin = |seen: Seen| {
        let life = seen.target.trim_start_matches("/?").replace('+', ", ");
        reply(200, &[("cache-control", life.as_str())], seen.field("authorization"))
    };
    told("", origin, async |stage, origin| {
        for (life, is_shared) in [
            ("max-age=60", false),
            ("max-age=60+public", true),
            ("s-maxage=60", true),
            ("max-age=60+must-revalidate", true),
        ] {
            let path = format!("/?{life}");
            let before = origin.count();
            assert_eq!(asked(stage, &path, &[("authorization", "me")]).await.1, "me");
            let body = if is_shared { "me" } else { "" };
            assert_eq!(asked(stage, &path, &[]).await.1, body, "{life}");
            // What is stored now was opened, or asked for by nobody: the latter is not for those who say who they are.
            let body = if is_shared { "me" } else { "you" };
            assert_eq!(asked(stage, &path, &[("authorization", "you")]).await.1, body, "{life}");
            assert_eq!(origin.count() - before, if is_shared { 1 } else { 3 }, "{life}");
        }
    })
    .await;
}

#[tokio::test]
async fn conditions_of_writers_are_for_the_origin_alone() {
    let origin = |seen: Seen| match seen.field("if-match").as_str() {
        "" | "\"1\"" => reply(200, &[("cache-control", "max-age=60"), ("etag", "\"1\"")], "one"),
        _ => reply(412, &[], ""),
    };
    told("", origin, async |stage, origin| {
        asked(stage, "/page", &[]).await;
        let answer = stage.get_with("/page", &[("if-match", "\"2\"")]).await;
        assert_eq!((answer.status.as_u16(), answer.header("cache-status")), (412, "edge-test;fwd=bypass"));
        assert_eq!(asked(stage, "/page", &[("if-unmodified-since", "Sun, 06 Nov 1994 08:49:37 GMT")]).await.1, "one");
        assert_eq!(origin.count(), 3);
    })
    .await;
}

#[tokio::test]
async fn a_head_brings_what_is_stored_up_to_date_or_out_of_it() {
    let heads = Arc::new(AtomicUsize::new(0));
    let origin = move |seen: Seen| {
        if seen.method != Method::HEAD {
            return reply(200, &[("cache-control", "max-age=0, must-revalidate"), ("etag", "\"1\"")], "body");
        }
        heads.fetch_add(1, SeqCst);
        let tag = if seen.target == "/same" { "\"1\"" } else { "\"2\"" };
        reply(200, &[("cache-control", "max-age=60"), ("etag", tag), ("x-new", "yes")], "body")
    };
    told("", origin, async |stage, origin| {
        for (path, word, asked_again) in [("/same", "edge-test;hit", 0), ("/other", "edge-test;fwd=stale", 1)] {
            asked(stage, path, &[]).await;
            let head = stage.ask(Method::HEAD, path, &[], b"").await;
            assert_eq!((head.header("x-new"), origin.last().method), ("yes", Method::HEAD));
            let before = origin.count();
            let (status, _) = asked(stage, path, &[]).await;
            assert!(status.starts_with(word), "{path}: {status}");
            assert_eq!(origin.count() - before, asked_again, "{path}");
        }
    })
    .await;
}

#[tokio::test]
async fn an_origin_may_choose_among_all_that_is_stored() {
    let origin = |seen: Seen| {
        let language = if seen.field("accept-language").contains("de") { "de" } else { "en" };
        let tag = format!("\"{language}\"");
        let fields = [("cache-control", "max-age=60"), ("vary", "accept-language"), ("etag", tag.as_str())];
        match seen.field("if-none-match").contains(&tag) {
            true => reply(304, &fields, ""),
            false => reply(200, &fields, language),
        }
    };
    told("", origin, async |stage, origin| {
        assert_eq!(asked(stage, "/page", &[("accept-language", "de")]).await.1, "de");
        let (status, body) = asked(stage, "/page", &[("accept-language", "fr, de;q=0.5")]).await;
        assert_eq!(body, "de");
        assert!(status.starts_with("edge-test;fwd=vary-miss;fwd-status=304;stored"), "{status}");
        assert_eq!(origin.last().field("if-none-match"), "\"de\"");
        assert_eq!(asked(stage, "/page", &[("accept-language", "en")]).await.1, "en");
        assert!(asked(stage, "/page", &[("accept-language", "de;q=0.5, FR")]).await.0.starts_with("edge-test;hit"));
    })
    .await;
}

#[tokio::test]
async fn several_ranges_of_what_is_stored_come_as_several_parts() {
    on_every_protocol(async |stage| {
        let blob = fresh_blob(200_000, "");
        blob.read_all(&mut stage.get(&blob.path).await).await.unwrap();
        stage.settled().await;
        let mut answer = stage.get_with(&blob.path, &[("range", "bytes=0-1,70000-140000,-3")]).await;
        assert_eq!(answer.status.as_u16(), 206);
        let kind = answer.header("content-type").to_owned();
        let boundary = kind.strip_prefix("multipart/byteranges; boundary=").expect("several parts").to_owned();
        let length: usize = answer.header("content-length").parse().unwrap();
        let body = answer.bytes().await.unwrap();
        assert_eq!(body.len(), length);
        let mut expected = Vec::new();
        for (first, last) in [(0, 1), (70_000, 140_000), (199_997, 199_999)] {
            let range = format!("Content-Range: bytes {first}-{last}/200000\r\n\r\n");
            let at = body.windows(range.len()).position(|window| window == range.as_bytes()).expect("the range")
                + range.len();
            assert_eq!(body[at..at + (last - first + 1)], blob.bytes(first as u64, last as u64 + 1));
            expected.push(at);
        }
        assert!(expected.is_sorted() && body.ends_with(format!("--{boundary}--\r\n").as_bytes()));
        let many: Vec<_> = (0..9).map(|at| format!("{0}-{0}", at * 10)).collect();
        let mut whole = stage.get_with(&blob.path, &[("range", &format!("bytes={}", many.join(",")))]).await;
        assert_eq!(whole.status.as_u16(), 200, "so many are not worth it");
        blob.read_all(&mut whole).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_stored_part_answers_what_lies_inside_it() {
    let origin = |_: Seen| {
        let fields = [("cache-control", "max-age=60"), ("content-range", "bytes 4-9/20"), ("etag", "\"1\"")];
        reply(206, &fields, "456789")
    };
    told("", origin, async |stage, origin| {
        for (range, body, count) in
            [("bytes=4-9", "456789", 1), ("bytes=5-6", "56", 1), ("bytes=-12", "456789", 2), ("bytes=4-", "456789", 3)]
        {
            let mut answer = stage.get_with("/film", &[("range", range)]).await;
            assert_eq!((answer.status.as_u16(), answer.bytes().await.unwrap().to_vec()), (206, body.into()), "{range}");
            stage.settled().await;
            assert_eq!(origin.count(), count, "{range}");
        }
        let answer = stage.get_with("/film", &[("range", "bytes=5-6")]).await;
        assert_eq!((answer.header("content-range"), answer.header("content-length")), ("bytes 5-6/20", "2"));
        let whole = stage.get("/film").await;
        assert_eq!(whole.header("cache-status").split(';').nth(1), Some("fwd=partial"));
    })
    .await;
}

#[tokio::test]
async fn what_viewers_wish_counts_only_where_the_operator_hears_it() {
    let origin = |_: Seen| reply(200, &[("cache-control", "max-age=60"), ("etag", "\"1\"")], "page");
    for (route, reloaded) in [("", "edge-test;hit"), ("honour_request_directives = true", "edge-test;fwd=request")] {
        told(route, origin, async |stage, _| {
            asked(stage, "/page", &[]).await;
            for (name, value) in [("cache-control", "no-cache"), ("pragma", "no-cache"), ("cache-control", "max-age=0")]
            {
                let (status, _) = asked(stage, "/page", &[(name, value)]).await;
                assert!(status.starts_with(reloaded), "{route} {name}: {status}");
            }
            let (status, _) = asked(stage, "/page", &[("cache-control", "no-store")]).await;
            assert!(
                status.starts_with(if route.is_empty() { "edge-test;hit" } else { "edge-test;fwd=bypass" }),
                "{status}"
            );
            let only = ("cache-control", "only-if-cached");
            assert!(asked(stage, "/page", &[only]).await.0.starts_with("edge-test;hit"));
            assert_eq!(stage.get_with("/unknown", &[only]).await.status.as_u16(), 504);
        })
        .await;
    }
}

#[tokio::test]
async fn cookies_that_are_set_follow_the_route() {
    let origin = |seen: Seen| {
        let life = if seen.target == "/guess" { "public" } else { "max-age=60" };
        reply(
            200,
            &[("cache-control", life), ("set-cookie", "a=b"), ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT")],
            "",
        )
    };
    for (route, kept, cookie) in [("share", true, "a=b"), ("strip", true, ""), ("bypass", false, "a=b")] {
        told(&format!("set_cookie = \"{route}\""), origin, async |stage, _| {
            for path in ["/said", "/guess"] {
                asked(stage, path, &[]).await;
                let again = stage.get(path).await;
                let is_kept = kept && (path == "/said" || route == "strip");
                assert_eq!(again.header("cache-status").contains(";hit"), is_kept, "{route} {path}");
                assert_eq!(again.header("set-cookie"), cookie, "{route} {path}");
            }
        })
        .await;
    }
}

#[tokio::test]
async fn an_answer_to_post_that_names_its_target_is_kept_for_get() {
    let origin = |seen: Seen| {
        let mut fields = vec![("cache-control", "max-age=60")];
        if seen.target == "/named" {
            fields.push(("content-location", "/named"));
        }
        reply(200, &fields, seen.method.to_string())
    };
    told("", origin, async |stage, _| {
        for (path, body) in [("/named", "POST"), ("/unnamed", "GET")] {
            let mut posted = stage.ask(Method::POST, path, &[], b"form").await;
            assert_eq!(posted.bytes().await.unwrap(), "POST");
            assert!(posted.header("cache-status").starts_with("edge-test;fwd=method"));
            stage.settled().await;
            assert_eq!(asked(stage, path, &[]).await.1, body);
        }
    })
    .await;
}

#[tokio::test]
async fn every_method_passes_but_those_that_are_not_for_origins() {
    let origin = |seen: Seen| reply(200, &[("cache-control", "max-age=60")], seen.method.to_string());
    told("", origin, async |stage, origin| {
        asked(stage, "/page", &[]).await;
        for method in ["OPTIONS", "DELETE", "PROPFIND", "FOO"] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let mut answer = stage.ask(method.clone(), "/page", &[], b"").await;
            assert_eq!(answer.bytes().await.unwrap(), method.as_str());
            // What is not known to be safe may have changed what is stored (RFC 9111 §4.4).
            let is_hit = asked(stage, "/page", &[]).await.0.contains(";hit");
            assert_eq!(
                is_hit,
                method == Method::OPTIONS || method.as_str() == "PROPFIND" && method.is_safe(),
                "{method}"
            );
        }
        let before = origin.count();
        let refused = stage.ask(Method::TRACE, "/page", &[], b"").await;
        assert_eq!((refused.status.as_u16(), origin.count()), (405, before));
        assert!(refused.header("allow").contains("GET"));
    })
    .await;
}

#[tokio::test]
async fn early_hints_reach_viewers_of_http_1_and_are_no_part_of_the_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = listener.local_addr().unwrap();
    let origin = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                let hints = "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nKeep-Alive: 1\r\n\r\n";
                let answer = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nCache-Control: max-age=60\r\n\r\nbody";
                stream.write_all(format!("{hints}{answer}").as_bytes()).await.unwrap();
                // Its end is the viewer's to see.
                _ = stream.read(&mut [0]).await;
            });
        }
    });
    for way in WAYS {
        let setup = Setup { upstream: Some(upstream), ..Setup::default() };
        tell(way, setup, async |stage: &Stage| {
            for (status, _) in [(asked(stage, "/page", &[]).await), (asked(stage, "/page", &[]).await)] {
                assert!(status.starts_with("edge-test;"), "{status}");
            }
            assert_eq!(stage.get("/page").await.header("link"), "");
            if way != Way::H1 {
                return;
            }
            let mut stream = tokio::net::TcpStream::connect(stage.server(Way::H1).addr).await.unwrap();
            for (path, hinted) in [("/new", true), ("/new", false), ("/newer", true)] {
                let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
                stream.write_all(request.as_bytes()).await.unwrap();
                let mut answer = Vec::new();
                while !answer.ends_with(b"\r\n\r\nbody") {
                    answer.push(stream.read_u8().await.unwrap());
                }
                let answer = String::from_utf8(answer).unwrap();
                let hints = "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\n";
                assert_eq!(answer.starts_with(hints), hinted, "{path}: {answer}");
                assert_eq!(answer.matches("link").count(), usize::from(hinted), "{path}: {answer}");
            }
        })
        .await;
    }
    origin.abort();
}
