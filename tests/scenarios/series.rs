//! Names that viewers make up become no label: the page of metrics is as long after thousands of them as it was after the
//! first, however they come.

use bytes::Bytes;
use http::Method;
use weir_loadtest::client::{Client, Way};

use crate::gated::now;
use crate::script::{Script, reply};
use crate::stage::{Setup, Stage, tell};

/// Requests of each kind; a million are no other story.
const MANY: u64 = 600;

/// Streams that have a label of their own.
const STREAMS: u64 = 8;

/// Octets that nobody has asked for before.
fn random(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *seed >> 16
}

async fn series(stage: &Stage) -> usize {
    let (_, text) = stage.admin(Method::GET, "/metrics", "").await;
    text.lines().filter(|line| !line.starts_with('#')).count()
}

async fn asks(viewer: &Client, path: &str, fields: &[(&str, &str)]) {
    let mut answer = viewer.get(path, fields).await.unwrap();
    _ = answer.bytes().await;
}

/// A viewer who is another one each time: by path, query, player, view and stream.
async fn makes_up(viewer: &Client, seed: &mut u64) {
    let mut word = || format!("{:x}", random(seed));
    let (stream, player, view, name) = (word(), word(), word(), word());
    let fields = [("user-agent", &*format!("{player}/1.0")), ("x-forwarded-for", &word())];
    let cmcd = format!("CMCD=sid%3D%22{view}%22%2Cot%3Dv%2Cbr%3D{}", random(seed) % 10_000);
    asks(viewer, &format!("/{stream}/main.m3u8"), &fields).await;
    asks(viewer, &format!("/{stream}/{name}.m3u8?{cmcd}&{name}={stream}"), &fields).await;
    asks(viewer, &format!("/{stream}/{name}.m4s?{cmcd}"), &fields).await;
    asks(viewer, &format!("/{name}"), &fields).await;
    let record = format!("cid=\"{name}\",e=ps,sid=\"{view}\",sta=p,ts={},v=2", now() * 1_000);
    let fields = [fields[0], ("content-type", "application/cmcd")];
    let path = format!("/.weir/cmcd?{name}={stream}");
    let mut answer = viewer.request(Method::POST, &path, &fields, Bytes::from(record)).await.unwrap();
    _ = answer.bytes().await;
}

#[tokio::test]
async fn names_that_viewers_make_up_become_no_series() {
    let origin = Script::start(|request| {
        let octets = if request.target.contains(".m3u8") {
            "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\na.m4s\n#EXT-X-ENDLIST\n"
        } else {
            "octets"
        };
        reply(200, &[("cache-control", "max-age=60")], octets.as_bytes())
    })
    .await;
    let setup = Setup {
        upstream: Some(origin.addr),
        path: "/{stream}/",
        tables: format!("[metrics]\nstreams = {STREAMS}\n"),
        ..Setup::default()
    };
    tell(Way::H2, setup, async |stage: &Stage| {
        let viewer = stage.viewer().await;
        let mut seed = 7;
        for _ in 0..2 * STREAMS {
            makes_up(&viewer, &mut seed).await;
        }
        stage.until("viewers are counted", |status| status["viewers"]["viewers"].as_u64() > Some(STREAMS)).await;
        let before = series(stage).await;
        let known = stage.status().await["viewers"]["sessions"].as_u64().unwrap();
        for _ in 0..MANY {
            makes_up(&viewer, &mut seed).await;
        }
        let all = known + MANY / 2;
        stage.until("most of them are counted", |status| status["viewers"]["sessions"].as_u64() > Some(all)).await;
        // What may come later is bounded: a bucket of another protocol, a task, a renditions' label of a stream that has one.
        assert!(series(stage).await <= before + 64, "{before} series before, {} after", series(stage).await);
    })
    .await;
}
