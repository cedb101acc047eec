//! What a live playlist names: hinted parts that are there before anybody asks, parts that are ranges of a segment which
//! still grows, and lifetimes by the stream whatever the origin says.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::JoinSet;
use weir_loadtest::client::{Client, Response, Trust, Way};

use crate::script::{Body, Script, Seen, reply};
use crate::stage::{Setup, Stage, WAYS, on_every_protocol, tell};

const LIST: (&str, &str) = ("content-type", "application/vnd.apple.mpegurl");

/// The last position of a range without an end (RFC 8673 §2).
const OPEN_END: u64 = 9_007_199_254_740_991;

async fn text(answer: &mut Response) -> String {
    assert_eq!(answer.status, 200);
    String::from_utf8(answer.bytes().await.unwrap().to_vec()).unwrap()
}

/// What stands between `before` and `after` in the last line that has both.
fn cut<'t>(text: &'t str, before: &str, after: &str) -> Option<&'t str> {
    text.lines().rev().find_map(|line| line.split_once(before)?.1.split_once(after).map(|(cut, _)| cut))
}

/// What the origin itself says of a path, once it is whole.
async fn of_origin(stage: &Stage, path: &str) -> Bytes {
    let origin = Client::connect(&stage.origin.addr().to_string(), Way::H1, &Trust::AcceptAny).await.unwrap();
    origin.get(path, &[]).await.unwrap().bytes().await.unwrap()
}

/// Six viewers ask for the part that a list hints at: the directives of the next list.
async fn hinted(stage: &Stage, directives: &str) -> String {
    let playlist = text(&mut stage.get(&format!("/live/v0/media.m3u8{directives}")).await).await;
    let hinted = cut(&playlist, "TYPE=PART,URI=\"", "\"").unwrap().to_owned();
    let path = format!("/live/v0/{hinted}");
    let mut asking = JoinSet::new();
    for _ in 0..6 {
        let (viewer, path) = (stage.viewer().await, path.clone());
        asking.spawn(async move {
            let mut answer = viewer.get(&path, &[("user-agent", "x"), ("origin", "https://a")]).await.unwrap();
            assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "video/mp4"));
            let length: usize = answer.header("content-length").parse().expect("it is whole before it is sent");
            let body = answer.bytes().await.unwrap();
            assert_eq!(body.len(), length);
            assert_eq!(answer.header("priority"), "u=3");
            body
        });
    }
    let bodies = asking.join_all().await;
    assert_eq!(stage.origin.requests_for(&path), 1, "{path}");
    let expected = of_origin(stage, &path).await;
    assert!(bodies.iter().all(|body| *body == expected));
    let (msn, part) = hinted["part-".len()..].trim_end_matches(".m4s").split_once('.').unwrap();
    format!("?_HLS_msn={msn}&_HLS_part={part}")
}

#[tokio::test]
async fn a_hinted_part_is_one_request_however_many_ask_and_is_sent_whole() {
    /// On a busy machine a viewer may once be faster than the node itself.
    const TRIES: usize = 3;
    on_every_protocol(async |stage| {
        let led = async || stage.metric("weir_part_requests_total", &["by=\"lead\""]).await.unwrap();
        let (mut directives, mut tried) = (String::new(), 0);
        loop {
            let before = led().await;
            for _ in 0..4 {
                directives = hinted(stage, &directives).await;
            }
            if led().await == before {
                return;
            }
            tried += 1;
            assert!(tried < TRIES, "each was on its way already");
        }
    })
    .await;
}

/// Status and content-range, length, and body of an answer.
type Got = ((u16, String), String, Bytes);

/// A segment that grows, where the part begins that its list hints at, and what six viewers get who ask for pieces of it
/// one way or another; none if it was complete before all of them had asked, as the machine is busy.
async fn while_it_grows(stage: &Stage) -> Option<(String, u64, [Got; 6])> {
    let list = "/br/v0/media.m3u8";
    let mut viewers = Vec::new();
    for _ in 0..6 {
        viewers.push(stage.viewer().await);
    }
    // The beginning of the next segment, so that all of it is seen to grow.
    let playlist = text(&mut stage.get(list).await).await;
    let open: u64 = cut(&playlist, "TYPE=PART,URI=\"seg-", ".m4s").unwrap().parse().unwrap();
    let playlist = text(&mut stage.get(&format!("{list}?_HLS_msn={}&_HLS_part=1", open + 1)).await).await;
    let path = format!("/br/v0/{}", cut(&playlist, "TYPE=PART,URI=\"", "\"").unwrap());
    let hint = playlist.lines().rev().find_map(|line| line.split_once("BYTERANGE-START="));
    let hinted: u64 = hint.map_or(0, |(_, start)| start.trim_end().parse().unwrap());
    if hinted == 0 {
        return None;
    }
    let ranges = [
        None,
        Some("bytes=0-".to_owned()),
        Some(format!("bytes={hinted}-{OPEN_END}")),
        Some(format!("bytes={hinted}-")),
        Some(format!("bytes=0-{}", hinted - 1)),
        Some(format!("bytes=10-{}", hinted + 5)),
    ];
    let mut asking = Vec::new();
    for (viewer, range) in viewers.into_iter().zip(ranges) {
        let path = path.clone();
        asking.push(tokio::spawn(async move {
            let fields: Vec<_> = range.iter().map(|range| ("range", range.as_str())).collect();
            let mut answer = viewer.get(&path, &fields).await.unwrap();
            let head = (answer.status.as_u16(), answer.header("content-range").to_owned());
            let length = answer.header("content-length").to_owned();
            (head, length, answer.bytes().await.unwrap())
        }));
    }
    let mut answers: Vec<Got> = Vec::new();
    for answer in asking {
        answers.push(answer.await.unwrap());
    }
    // A range of what is complete says how long all of it is.
    let is_complete = |((_, range), _, _): &Got| range.split_once('/').is_some_and(|(_, size)| size != "*");
    let came_too_late = answers[1..=2].iter().any(is_complete);
    (!came_too_late).then(|| (path, hinted, answers.try_into().unwrap()))
}

#[tokio::test]
async fn parts_that_are_ranges_come_out_of_one_growing_segment() {
    on_every_protocol(async |stage| {
        let (path, hinted, answers) = loop {
            if let Some(seen) = while_it_grows(stage).await {
                break seen;
            }
        };
        let whole = of_origin(stage, &path).await;
        let at = |index: u64| usize::try_from(index).unwrap();
        let [none, zero, onwards, part, bounded, across] = answers;
        for (head, _, body) in [none, zero] {
            assert_eq!(head, (200, String::new()));
            assert_eq!(body, whole);
        }
        assert_eq!(onwards.0, (206, format!("bytes {hinted}-{OPEN_END}/*")));
        assert_eq!(onwards.2, whole.slice(at(hinted)..));
        let end = hinted + part.2.len() as u64;
        assert_eq!(part.0.0, 206);
        assert!(part.0.1.starts_with(&format!("bytes {hinted}-{}/", end - 1)), "{part:?}");
        assert_eq!(part.2, whole.slice(at(hinted)..at(end)));
        assert_eq!(bounded.0.0, 206);
        assert_eq!((bounded.1.as_str(), bounded.2), (hinted.to_string().as_str(), whole.slice(..at(hinted))));
        assert_eq!(across.2, whole.slice(10..at(hinted + 6)));
        let asked = stage.origin.requests_for(&path);
        assert!(asked <= 3, "what was listed, what was hinted, and the test itself: {asked}");
        // Once it is closed it is an object like any other.
        let mut later = stage.get_with(&path, &[("range", "bytes=4-7")]).await;
        assert_eq!(later.header("content-range"), format!("bytes 4-7/{}", whole.len()));
        assert_eq!(later.bytes().await.unwrap(), whole.slice(4..8));
        assert_eq!(stage.origin.requests_for(&path), asked);
    })
    .await;
}

/// An origin whose playlist says what it is told to, and that says of all media that it must not be kept.
async fn stubborn(playlist: watch::Receiver<String>) -> Script {
    Script::start_with(move |seen| Box::pin(stubborn_answer(seen, playlist.clone()))).await
}

async fn stubborn_answer(seen: Seen, mut playlist: watch::Receiver<String>) -> http::Response<Body> {
    let (path, query) = seen.target.split_once('?').unwrap_or((&seen.target, ""));
    match path.rsplit('/').next().unwrap() {
        "media.m3u8" => {
            if query.contains("_HLS_msn") {
                // Held until the next version, whatever it is.
                playlist.mark_unchanged();
                _ = playlist.changed().await;
            }
            let text = playlist.borrow().clone();
            reply(200, &[LIST, ("cache-control", "no-cache")], text)
        }
        "part-1.1.m4s" => {
            // Held for ever.
            std::future::pending::<()>().await;
            unreachable!("nobody waits for ever")
        }
        "key" => reply(200, &[("cache-control", "max-age=60")], "0123456789abcdef"),
        leaf => {
            let fields = [("cache-control", "no-cache, max-age=0"), ("vary", "Origin"), ("set-cookie", "a=b")];
            let kind: &[(&str, &str)] = if leaf.starts_with("seg-0") { &[("content-type", "text/plain")] } else { &[] };
            reply(200, &[&fields, kind].concat(), leaf.to_owned())
        }
    }
}

fn version(hint: &str) -> String {
    format!(
        "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-VERSION:9\n#EXT-X-PART-INF:PART-TARGET=1\n\
         #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=3\n#EXT-X-KEY:METHOD=AES-128,URI=\"key\"\n\
         #EXT-X-MAP:URI=\"init.mp4\"\n#EXTINF:4,\nseg-0.m4s\n#EXT-X-PART:DURATION=1,URI=\"part-1.0.m4s\"\n\
         #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{hint}\"\n"
    )
}

#[tokio::test]
async fn media_lives_by_its_stream_whatever_its_origin_says_and_keys_are_each_viewers_own() {
    for way in WAYS {
        let (_edge, playlist) = watch::channel(version("part-1.1.m4s"));
        let origin = Arc::new(stubborn(playlist).await);
        let setup = Setup { upstream: Some(origin.addr), ..Setup::default() };
        tell(way, setup, async |stage: &Stage| {
            text(&mut stage.get("/s/media.m3u8").await).await;
            for (leaf, urgency) in [("seg-0.m4s", "u=4"), ("part-1.0.m4s", "u=3"), ("init.mp4", "u=2")] {
                for site in ["https://a", "https://b", "https://c"] {
                    let mut answer = stage.get_with(&format!("/s/{leaf}"), &[("origin", site)]).await;
                    assert_eq!(answer.bytes().await.unwrap(), leaf.as_bytes());
                    assert_eq!(answer.header("set-cookie"), "");
                    assert_eq!(answer.header("content-type"), "video/mp4");
                    assert_eq!(answer.header("priority"), urgency);
                    let life: u64 = answer.header("cache-control").strip_prefix("max-age=").unwrap().parse().unwrap();
                    assert!((5..=12).contains(&life), "{life}");
                    stage.settled().await;
                }
                let asked = origin.seen().into_iter().filter(|seen| seen.target.ends_with(leaf)).collect::<Vec<_>>();
                assert_eq!(asked.len(), 1, "{leaf}");
                assert!(asked[0].field("origin").is_empty() && asked[0].field("range").is_empty());
            }
            for _ in 0..2 {
                let answer = stage.get("/s/key").await;
                assert_eq!((answer.header("cache-control"), answer.header("priority")), ("no-store", "u=2"));
            }
            assert_eq!(origin.seen().iter().filter(|seen| seen.target.ends_with("/key")).count(), 2);
        })
        .await;
    }
}

#[tokio::test]
async fn who_waits_for_a_hint_that_is_withdrawn_is_told_so() {
    for way in WAYS {
        let (edge, playlist) = watch::channel(version("part-1.1.m4s"));
        let origin = stubborn(playlist).await;
        let setup = Setup { upstream: Some(origin.addr), ..Setup::default() };
        tell(way, setup, async |stage: &Stage| {
            text(&mut stage.get("/s/media.m3u8").await).await;
            let mut waiting = JoinSet::new();
            for _ in 0..3 {
                let viewer = stage.viewer().await;
                waiting.spawn(async move { viewer.get("/s/part-1.1.m4s", &[]).await.unwrap() });
            }
            stage.until_metric("weir_fill_readers", |readers| readers == 3.0).await;
            edge.send_replace(version("part-ad.m4s"));
            for mut answer in waiting.join_all().await {
                assert_eq!(answer.status, 404);
                assert_eq!(answer.header("cache-control"), "no-store");
                let body = answer.bytes().await.unwrap();
                assert!(String::from_utf8_lossy(&body).contains("no-longer-named"));
            }
            assert_eq!(origin.seen().iter().filter(|seen| seen.target.ends_with("/part-1.1.m4s")).count(), 1);
        })
        .await;
    }
}

/// A playlist of one file by ranges, and that file, which is larger than what is stored.
fn single_file(seen: Seen) -> http::Response<Body> {
    const SIZE: usize = 4 << 20;
    if seen.target.ends_with(".m3u8") {
        let mut text = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-VERSION:4\n#EXT-X-PLAYLIST-TYPE:VOD\n".to_owned();
        (0..16).for_each(|part| {
            text += &format!("#EXTINF:4,\n#EXT-X-BYTERANGE:{}@{}\nfile.ts\n", SIZE / 16, part * (SIZE / 16));
        });
        return reply(200, &[LIST], text + "#EXT-X-ENDLIST\n");
    }
    let octets: Bytes = (0..SIZE).map(|at| (at % 251) as u8).collect();
    let range = seen.field("range");
    let Some((first, last)) = range.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return reply(200, &[("accept-ranges", "bytes")], octets);
    };
    let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
    let content_range = format!("bytes {first}-{last}/{SIZE}");
    reply(206, &[("content-range", &content_range)], octets.slice(first..=last))
}

#[tokio::test]
async fn ranges_of_a_file_too_large_to_store_are_asked_for_as_ranges() {
    for way in WAYS {
        let origin = Script::start(single_file).await;
        let setup =
            || Setup { upstream: Some(origin.addr), cache: "max_object = \"1MiB\"\n".to_owned(), ..Setup::default() };
        tell(way, setup(), async |stage: &Stage| {
            text(&mut stage.get("/vod/media.m3u8").await).await;
            for number in 1..8_u64 {
                let (first, last) = (number << 18, (number << 18) + 999);
                let range = format!("bytes={first}-{last}");
                let mut answer = stage.get_with("/vod/file.ts", &[("range", &range)]).await;
                assert_eq!(answer.status, 206);
                assert_eq!(answer.header("content-range"), format!("bytes {first}-{last}/4194304"));
                let body = answer.bytes().await.unwrap();
                assert!(body.iter().zip(first..=last).all(|(octet, at)| u64::from(*octet) == at % 251));
                assert_eq!(body.len(), 1_000);
            }
            let seen = origin.seen();
            let whole = seen.iter().filter(|seen| seen.target == "/vod/file.ts" && seen.field("range").is_empty());
            assert_eq!(whole.count(), 1, "once, to learn that it is too large");
        })
        .await;
    }
}

#[tokio::test]
async fn viewers_with_playlists_of_their_own_share_what_these_list() {
    on_every_protocol(async |stage| {
        let mut lists = Vec::new();
        for _ in 0..2 {
            let master = text(&mut stage.get("/ssai/master.m3u8").await).await;
            let media = master.lines().find(|line| line.contains("/v0/media.m3u8")).unwrap();
            let path = if media.starts_with('/') { media.to_owned() } else { format!("/ssai/{media}") };
            lists.push((path.clone(), text(&mut stage.get(&path).await).await));
        }
        assert_ne!(lists[0].0, lists[1].0, "each viewer has one of their own");
        let segments = |list: &(String, String)| -> Vec<String> {
            let folder = list.0.rsplit_once('/').unwrap().0;
            list.1.lines().filter(|line| line.ends_with(".m4s")).map(|uri| resolved(folder, uri)).collect()
        };
        let (one, other) = (segments(&lists[0]), segments(&lists[1]));
        let shared = one.iter().rev().find(|segment| other.contains(segment)).expect("they share segments");
        for _ in 0..2 {
            let mut answer = stage.get(shared).await;
            assert_eq!(answer.header("priority"), "u=4", "it is named");
            assert!(answer.bytes().await.unwrap().len() > 1_000);
            stage.settled().await;
        }
        assert_eq!(stage.origin.requests_for(shared), 1);
    })
    .await;
}

/// A relative or rooted URI as seen from a folder.
fn resolved(folder: &str, uri: &str) -> String {
    let mut path: Vec<&str> = if uri.starts_with('/') { Vec::new() } else { folder.split('/').collect() };
    for step in uri.split('/') {
        match step {
            ".." => _ = path.pop(),
            step => path.push(step),
        }
    }
    format!("/{}", path.join("/").trim_start_matches('/'))
}
