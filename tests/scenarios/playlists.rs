//! Live playlists: held until they have come far enough, cut down to what is new, refused where nothing can come of it.
//! Order is forced by an origin that publishes when told to, and by how many requests the node holds.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;
use weir_loadtest::client::{Response, Way};

use crate::script::{Body, Script, Seen, reply};
use crate::stage::{Setup, Stage, WAYS, tell};

const LIST: (&str, &str) = ("content-type", "application/vnd.apple.mpegurl");

/// How far the origin has come: complete segments, parts of the next one, and whether nothing follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    pub end: u64,
    pub parts: u64,
    pub ended: bool,
}

/// An origin that holds reloads, and whose parts come when told to.
pub struct Stream {
    edge: watch::Sender<Edge>,
    pub origin: Script,
}

/// A target duration that no story outlasts: before it has passed, the node asks for nothing a second time.
pub const LONG: u64 = 60;
const FIRST: u64 = 100;
const ENDED: Edge = Edge { end: FIRST + 12, parts: 0, ended: true };

impl Stream {
    /// `target` is the target duration in seconds; twelve segments, and one part of the next.
    pub async fn start(target: u64) -> Self {
        let (edge, seen) = watch::channel(Edge { end: FIRST + 12, parts: 1, ended: false });
        let origin = Script::start_with(move |request| Box::pin(answer(request, seen.clone(), target))).await;
        Self { edge, origin }
    }

    /// The origin comes further.
    pub fn publish(&self, change: impl FnOnce(&mut Edge)) {
        self.edge.send_modify(change);
    }

    fn setup(&self) -> Setup {
        Setup { upstream: Some(self.origin.addr), ..Setup::default() }
    }

    /// Requests for a position.
    pub fn asked_for(&self, position: &str) -> usize {
        self.origin.seen().iter().filter(|seen| seen.target.contains(position)).count()
    }
}

async fn answer(seen: Seen, mut edge: watch::Receiver<Edge>, target: u64) -> http::Response<Body> {
    let number = |name: &str| -> Option<u64> {
        let (_, query) = seen.target.split_once('?')?;
        query.split('&').find_map(|parameter| parameter.strip_prefix(name))?.strip_prefix('=')?.parse().ok()
    };
    if !seen.target.starts_with("/live/hi.m3u8") {
        return reply(200, &[], "media");
    }
    let wanted = number("_HLS_msn").map(|msn| (msn, number("_HLS_part")));
    let is_there = |edge: &Edge| match wanted {
        None => true,
        Some(_) if edge.ended => true,
        Some((msn, None)) => edge.end > msn,
        Some((msn, Some(part))) => edge.end > msn || edge.end == msn && edge.parts > part,
    };
    let edge = *edge.wait_for(is_there).await.unwrap();
    reply(200, &[LIST, ("cache-control", "max-age=1")], text(edge, target))
}

fn text(edge: Edge, target: u64) -> String {
    let mut text = format!(
        "#EXTM3U\n#EXT-X-TARGETDURATION:{target}\n#EXT-X-VERSION:9\n#EXT-X-PART-INF:PART-TARGET=0.5\n\
         #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL={},PART-HOLD-BACK=1.5\n\
         #EXT-X-MEDIA-SEQUENCE:{FIRST}\n#EXT-X-MAP:URI=\"init.mp4\"\n",
        6 * target
    );
    for msn in FIRST..edge.end {
        text += &format!("#EXTINF:{target}.0,\ns{msn}.m4s\n");
    }
    for part in 0..edge.parts {
        text += &format!("#EXT-X-PART:DURATION=0.5,URI=\"s{}.{part}.m4s\"\n", edge.end);
    }
    match edge.ended {
        true => text + "#EXT-X-ENDLIST\n",
        false => text + &format!("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"s{}.{}.m4s\"\n", edge.end, edge.parts),
    }
}

/// The whole body as text.
pub async fn body(answer: &mut Response) -> String {
    String::from_utf8(answer.bytes().await.unwrap().to_vec()).unwrap()
}

/// Completes when so many requests are held.
async fn held(stage: &Stage, count: f64) {
    stage.until_metric("weir_held_requests", |held| held == count).await;
}

#[tokio::test]
async fn held_reloads_are_answered_together_and_the_origin_is_asked_once() {
    for way in WAYS {
        let stream = Stream::start(LONG).await;
        tell(way, stream.setup(), async |stage: &Stage| {
            let first = body(&mut stage.get("/live/hi.m3u8").await).await;
            assert!(first.contains("s111.m4s\n") && first.contains("s112.0.m4s"), "{first}");
            let mut waiting = JoinSet::new();
            for viewer in 0..20 {
                let client = stage.viewer().await;
                // Two names of one position, in any order, with parameters that mean nothing here.
                let query = match viewer % 2 {
                    0 => "_HLS_msn=112&_HLS_part=1&CMCD=br%3D1",
                    _ => "token=secret&_HLS_part=1&_HLS_msn=112",
                };
                waiting.spawn(async move { client.get(&format!("/live/hi.m3u8?{query}"), &[]).await.unwrap() });
            }
            held(stage, 20.0).await;
            stream.publish(|edge| edge.parts = 2);
            let mut bodies = Vec::new();
            while let Some(answer) = waiting.join_next().await {
                let mut answer = answer.unwrap();
                assert_eq!(answer.status, 200);
                assert_eq!(answer.header("cache-control"), "max-age=360");
                assert_eq!(answer.header("age"), "0");
                assert_eq!(answer.header("priority"), "u=1");
                assert!(answer.header("server-timing").contains("hold;dur="), "{}", answer.header("server-timing"));
                bodies.push(body(&mut answer).await);
            }
            assert!(bodies[0].contains("URI=\"s112.1.m4s\""), "{}", bodies[0]);
            assert!(bodies.iter().all(|body| *body == bodies[0]));
            held(stage, 0.0).await;
            assert_eq!(stream.asked_for("_HLS_msn=112&_HLS_part=1"), 1);
            assert!(stream.origin.seen().iter().all(|seen| !seen.target.contains("secret")));
        })
        .await;
    }
}

#[tokio::test]
async fn a_part_that_never_comes_is_the_first_of_the_next_segment() {
    for way in WAYS {
        let stream = Stream::start(4).await;
        tell(way, stream.setup(), async |stage: &Stage| {
            stage.get("/live/hi.m3u8").await.bytes().await.unwrap();
            let client = stage.viewer().await;
            let waiting = tokio::spawn(async move { client.get("/live/hi.m3u8?_HLS_msn=112&_HLS_part=3", &[]).await });
            held(stage, 1.0).await;
            // The segment is complete after its first part.
            stream.publish(|edge| *edge = Edge { end: 113, parts: 0, ended: false });
            let is_there = |status: &Value| {
                status["live"]["renditions"].as_array().unwrap().iter().any(|one| one["position"] == "113.0")
            };
            stage.until("the version is there", is_there).await;
            held(stage, 1.0).await;
            stream.publish(|edge| edge.parts = 1);
            let text = body(&mut waiting.await.unwrap().unwrap()).await;
            assert!(text.contains("URI=\"s113.0.m4s\""), "{text}");
        })
        .await;
    }
}

#[tokio::test]
async fn positions_too_far_and_directives_that_say_nothing_are_refused_at_once() {
    for way in WAYS {
        let stream = Stream::start(4).await;
        tell(way, stream.setup(), async |stage: &Stage| {
            for (query, word) in [
                ("_HLS_msn=114", "position-too-far"),
                ("_HLS_msn=112&_HLS_part=8", "position-too-far"),
                ("_HLS_part=1", "position-too-far"),
                ("_HLS_msn=x", "bad-directives"),
                ("_HLS_msn=112&_HLS_msn=112", "bad-directives"),
            ] {
                let mut answer = stage.get(&format!("/live/hi.m3u8?{query}")).await;
                assert_eq!(answer.status, 400, "{query}");
                assert_eq!(answer.header("cache-control"), "no-store");
                assert_eq!(answer.header("access-control-allow-origin"), "*");
                let text = body(&mut answer).await;
                assert!(text.contains(word), "{query}: {text}");
            }
            // The past is answered at once, whole.
            let past = body(&mut stage.get("/live/hi.m3u8?_HLS_msn=3&_HLS_part=7").await).await;
            assert!(past.contains("s100.m4s"), "{past}");
            // Once the stream has ended, directives mean nothing.
            stream.publish(|edge| edge.ended = true);
            for query in ["_HLS_msn=112&_HLS_part=1", "_HLS_part=1", "_HLS_msn=x", "_HLS_msn=9999"] {
                let mut answer = stage.get(&format!("/live/hi.m3u8?{query}")).await;
                assert!(body(&mut answer).await.ends_with("#EXT-X-ENDLIST\n"));
            }
        })
        .await;
    }
}

#[tokio::test]
async fn what_does_not_come_in_three_target_durations_is_refused() {
    let mut stories = JoinSet::new();
    for way in WAYS {
        stories.spawn(async move {
            let stream = Stream::start(1).await;
            tell(way, stream.setup(), async |stage: &Stage| {
                stage.get("/live/hi.m3u8").await.bytes().await.unwrap();
                let mut answer = stage.get("/live/hi.m3u8?_HLS_msn=112&_HLS_part=1").await;
                assert_eq!(answer.status, 503);
                assert_eq!(answer.header("retry-after"), "1");
                assert_eq!(answer.header("cache-control"), "no-store");
                assert_eq!(answer.header("access-control-allow-origin"), "*");
                assert!(body(&mut answer).await.contains("hold-timeout"));
                held(stage, 0.0).await;
            })
            .await;
        });
    }
    stories.join_all().await;
}

#[tokio::test]
async fn those_who_leave_free_their_places_and_the_bound_holds() {
    for way in WAYS {
        let stream = Stream::start(LONG).await;
        let setup = Setup { tables: "[limits]\nheld_reloads = 3".to_owned(), ..stream.setup() };
        tell(way, setup, async |stage: &Stage| {
            stage.get("/live/hi.m3u8").await.bytes().await.unwrap();
            let path = "/live/hi.m3u8?_HLS_msn=112&_HLS_part=1";
            let mut waiting = JoinSet::new();
            for _ in 0..3 {
                let client = stage.viewer().await;
                waiting.spawn(async move { client.get(path, &[]).await });
            }
            held(stage, 3.0).await;
            let mut refused = stage.get(path).await;
            assert_eq!(refused.status, 503);
            assert!(body(&mut refused).await.contains("too-many-held"));
            waiting.shutdown().await;
            held(stage, 0.0).await;
            // The origin's reload goes on, and was the only one.
            let client = stage.viewer().await;
            let waiting = tokio::spawn(async move { client.get(path, &[]).await });
            held(stage, 1.0).await;
            stream.publish(|edge| edge.parts = 2);
            assert_eq!(waiting.await.unwrap().unwrap().status, 200);
            assert_eq!(stream.asked_for("_HLS_msn=112&_HLS_part=1"), 1);
        })
        .await;
    }
}

#[tokio::test]
async fn every_form_is_served_with_a_tag_of_its_own() {
    for way in WAYS {
        let stream = Stream::start(4).await;
        tell(way, stream.setup(), async |stage: &Stage| {
            let path = "/live/hi.m3u8";
            let mut plain = stage.get(path).await;
            let whole = body(&mut plain).await;
            assert_eq!(plain.header("content-type"), "application/vnd.apple.mpegurl");
            assert_eq!(plain.header("cache-control"), "max-age=2");
            assert!(plain.header("vary").to_ascii_lowercase().contains("accept-encoding"));
            assert!(
                plain.header("cache-status").contains("edge-test;fwd=uri-miss"),
                "{}",
                plain.header("cache-status")
            );

            let mut gzip = stage.get_with(path, &[("accept-encoding", "gzip, br")]).await;
            assert_eq!(gzip.header("content-encoding"), "gzip");
            assert_eq!(gzip.header("cache-status"), "edge-test;hit");
            assert_ne!(gzip.header("etag"), plain.header("etag"));
            let mut text = String::new();
            flate2::read::GzDecoder::new(&*gzip.bytes().await.unwrap()).read_to_string(&mut text).unwrap();
            assert_eq!(text, whole);

            let mut delta = stage.get(&format!("{path}?_HLS_skip=YES")).await;
            let text = body(&mut delta).await;
            assert!(text.contains("#EXT-X-SKIP:SKIPPED-SEGMENTS=5\n"), "{text}");
            assert!(![plain.header("etag"), gzip.header("etag")].contains(&delta.header("etag")));

            let known = [("if-none-match", plain.header("etag"))];
            let again = stage.get_with(path, &known).await;
            assert_eq!((again.status.as_u16(), again.header("content-length")), (304, ""));
            assert_eq!(stage.get_with(&format!("{path}?_HLS_skip=YES"), &known).await.status, 200);

            let mut ranged = stage.get_with(path, &[("range", "bytes=0-5")]).await;
            assert_eq!(ranged.status, 200);
            assert_eq!(body(&mut ranged).await, whole);

            let mut head = stage.ask(Method::HEAD, path, &[], b"").await;
            assert_eq!(head.header("content-length"), whole.len().to_string());
            assert!(head.bytes().await.unwrap().is_empty());
        })
        .await;
    }
}

#[tokio::test]
async fn a_playlist_made_for_its_viewer_is_passed_with_all_that_says_who_asks() {
    for way in WAYS {
        let origin = Script::start(|seen| {
            let viewer = seen.field("cookie");
            let text = format!(
                "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nhttp://{}/live/{viewer}.m4s\n#EXTINF:4,\nhttp://ads.example/1.m4s\n",
                seen.field("host")
            );
            reply(200, &[LIST, ("cache-control", "private"), ("etag", "\"1\"")], text)
        })
        .await;
        let setup = Setup { upstream: Some(origin.addr), ..Setup::default() };
        tell(way, setup, async |stage: &Stage| {
            for viewer in ["one", "two"] {
                let fields = [("cookie", viewer), ("user-agent", "player"), ("accept-encoding", "gzip")];
                let mut answer = stage.get_with(&format!("/live/own.m3u8?session={viewer}"), &fields).await;
                assert_eq!(answer.header("cache-control"), "private");
                assert_eq!(answer.header("priority"), "u=1");
                // The tag was that of other octets.
                assert_eq!(answer.header("etag"), "");
                let text = match answer.header("content-encoding") {
                    "gzip" => {
                        let mut text = String::new();
                        let octets = answer.bytes().await.unwrap();
                        flate2::read::GzDecoder::new(&*octets).read_to_string(&mut text).unwrap();
                        text
                    }
                    _ => body(&mut answer).await,
                };
                assert!(text.contains(&format!("\n/live/{viewer}.m4s\n")), "{text}");
                assert!(text.contains("\nhttp://ads.example/1.m4s\n"));
                let seen = origin.last();
                assert_eq!(seen.target, format!("/live/own.m3u8?session={viewer}"));
                assert_eq!((seen.field("cookie"), seen.field("user-agent")), (viewer.to_owned(), "player".to_owned()));
                assert_eq!(seen.field("x-forwarded-for"), "127.0.0.1");
            }
        })
        .await;
    }
}

#[tokio::test]
async fn what_the_origin_says_instead_of_a_playlist_is_said_to_viewers() {
    for way in WAYS {
        let origin = Script::start(|seen| match seen.target.as_str() {
            "/gone.m3u8" => reply(410, &[], "gone"),
            "/busy.m3u8" => reply(503, &[("retry-after", "7")], "busy"),
            _ => reply(200, &[("content-type", "text/html")], "<html>"),
        })
        .await;
        let setup = Setup { upstream: Some(origin.addr), ..Setup::default() };
        tell(way, setup, async |stage: &Stage| {
            for (path, status, word, retry) in [
                ("/gone.m3u8", 410, "origin-status", ""),
                ("/busy.m3u8", 503, "origin-status", "7"),
                ("/page.M3U8", 502, "not-a-playlist", ""),
            ] {
                let mut answer = stage.get(path).await;
                assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (status, retry), "{path}");
                assert_eq!(answer.header("access-control-allow-origin"), "*");
                let text = body(&mut answer).await;
                assert!(text.contains(word), "{path}: {text}");
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_playlist_without_a_name_of_one_is_known_by_its_type() {
    for way in WAYS {
        let origin = Script::start(|seen| match seen.target.starts_with("/live/now") {
            true => reply(200, &[("content-type", "Audio/MPEGurl; charset=utf-8")], text(ENDED, 4)),
            false => reply(200, &[], "media"),
        })
        .await;
        let setup = Setup { upstream: Some(origin.addr), ..Setup::default() };
        tell(way, setup, async |stage: &Stage| {
            let mut first = stage.get("/live/now?viewer=1").await;
            assert!(body(&mut first).await.ends_with("#EXT-X-ENDLIST\n"));
            assert_eq!(first.header("content-type"), "application/vnd.apple.mpegurl");
            let asked = origin.count();
            // From now on it is known by its name, whoever asks.
            let again = stage.get("/live/now?viewer=2&_HLS_msn=7").await;
            assert_eq!((again.status.as_u16(), again.header("cache-status")), (200, "edge-test;hit"));
            assert_eq!(origin.count(), asked);
        })
        .await;
    }
}

#[tokio::test]
async fn a_multivariant_playlist_is_served_from_memory_and_renditions_report_each_other() {
    for way in WAYS {
        let master = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nhi.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=2\nlo.m3u8\n";
        let origin = Script::start(move |seen| match seen.target.as_str() {
            "/live/main.m3u8" => reply(200, &[LIST, ("cache-control", "max-age=60")], master),
            "/live/hi.m3u8" | "/live/lo.m3u8" => reply(200, &[LIST], text(ENDED, 4)),
            _ => reply(200, &[], "media"),
        })
        .await;
        let setup = Setup { upstream: Some(origin.addr), ..Setup::default() };
        tell(way, setup, async |stage: &Stage| {
            assert_eq!(body(&mut stage.get("/live/main.m3u8").await).await, master);
            let mut gzip = stage.get_with("/live/main.m3u8", &[("accept-encoding", "gzip")]).await;
            assert_eq!((gzip.header("cache-status"), gzip.header("priority")), ("edge-test;hit", "u=1"));
            let mut unzipped = String::new();
            flate2::read::GzDecoder::new(&*gzip.bytes().await.unwrap()).read_to_string(&mut unzipped).unwrap();
            assert_eq!(unzipped, master);
            assert_eq!(origin.seen().iter().filter(|seen| seen.target == "/live/main.m3u8").count(), 1);
            stage.get("/live/hi.m3u8").await.bytes().await.unwrap();
            let low = body(&mut stage.get("/live/lo.m3u8").await).await;
            let report = "#EXT-X-RENDITION-REPORT:URI=\"hi.m3u8\",LAST-MSN=111\n#EXT-X-ENDLIST\n";
            assert!(low.ends_with(report), "{low}");
            let wished = stage.get_with("/live/lo.m3u8", &[("priority", "u=5, i")]).await;
            assert_eq!(wished.header("priority"), "u=5, i");
        })
        .await;
    }
}

#[tokio::test]
async fn a_head_is_held_like_a_get() {
    for way in WAYS {
        let stream = Stream::start(4).await;
        tell(way, stream.setup(), async |stage: &Stage| {
            stage.get("/live/hi.m3u8").await.bytes().await.unwrap();
            let client = stage.viewer().await;
            let path = "/live/hi.m3u8?_HLS_msn=112&_HLS_part=1";
            let waiting = tokio::spawn(async move { client.request(Method::HEAD, path, &[], Bytes::new()).await });
            held(stage, 1.0).await;
            stream.publish(|edge| edge.parts = 2);
            let mut answer = waiting.await.unwrap().unwrap();
            assert_eq!(answer.status, 200);
            let whole = body(&mut stage.get("/live/hi.m3u8").await).await;
            assert_eq!(answer.header("content-length"), whole.len().to_string());
            assert!(answer.bytes().await.unwrap().is_empty());
        })
        .await;
    }
}

#[tokio::test]
async fn a_preflight_of_a_reload_is_never_held() {
    let stream = Arc::new(Stream::start(4).await);
    tell(Way::H2, stream.setup(), async |stage: &Stage| {
        stage.get("/live/hi.m3u8").await.bytes().await.unwrap();
        let asks = [("origin", "https://player.example"), ("access-control-request-method", "GET")];
        let answer = stage.ask(Method::OPTIONS, "/live/hi.m3u8?_HLS_msn=112&_HLS_part=1", &asks, b"");
        let answer = tokio::time::timeout(Duration::from_secs(60), answer).await.unwrap();
        assert_eq!(answer.status, 204);
    })
    .await;
}
