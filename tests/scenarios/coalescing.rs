//! One object, one request to the origin, however many ask for it, however they come, whoever leaves.

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use weir_loadtest::client::{Client, ClientError, Response, Way};
use weir_loadtest::origin::{Action, Gate, Rule};

use crate::script::{Script, broken, written};
use crate::stage::{Blob, Setup, Stage, WAYS, fresh_blob, on_every_protocol, tell, with};

const SEGMENT: u64 = 2_000_000;

/// Stops the blob's body after `after` octets until the gate is opened.
fn stall(stage: &Stage, blob: &Blob, after: u64) -> Gate {
    stage.origin.desk().gate(Rule::new(&blob.path, Action::Stall { after })).unwrap()
}

#[tokio::test]
async fn two_hundred_ask_for_a_cold_segment_and_the_origin_is_asked_once() {
    on_every_protocol(async |stage| {
        let blob = fresh_blob(SEGMENT, "");
        let gate = stall(stage, &blob, SEGMENT / 2);
        // Over HTTP/1.1 each has a connection; else ten share one.
        let sharers = if matches!(stage.way, Way::H1 | Way::H1Tls) { 1 } else { 10 };
        let mut asking = JoinSet::new();
        for _ in 0..200 / sharers {
            let viewer = stage.viewer().await;
            for _ in 0..sharers {
                let (viewer, path) = (viewer.clone(), blob.path.clone());
                asking.spawn(async move { viewer.get(&path, &[]).await.unwrap() });
            }
        }
        let answers = asking.join_all().await;
        // All of them get what is there while the origin is still held in mid-body.
        let mut reading = JoinSet::new();
        for mut answer in answers {
            let blob = blob.clone();
            reading.spawn(async move {
                blob.read_to(&mut answer, SEGMENT / 4).await.unwrap();
                answer
            });
        }
        let answers = reading.join_all().await;
        gate.open();
        let mut finishing = JoinSet::new();
        for mut answer in answers {
            let blob = blob.clone();
            finishing.spawn(async move { blob.read_all(&mut answer).await.unwrap() });
        }
        assert_eq!(finishing.join_all().await.len(), 200);
        assert_eq!(stage.origin.requests_for(&blob.path), 1);
    })
    .await;
}

#[tokio::test]
async fn a_joiner_gets_what_is_there_before_the_end_and_whoever_comes_later_a_hit() {
    on_every_protocol(async |stage| {
        let blob = fresh_blob(300_000, "");
        let gate = stall(stage, &blob, 100_000);
        let mut leader = stage.get(&blob.path).await;
        blob.read_to(&mut leader, 100_000).await.unwrap();
        let mut joiner = stage.get(&blob.path).await;
        let told = joiner.header("cache-status");
        let left = told.strip_prefix("edge-test;fwd=uri-miss;collapsed;ttl=").and_then(|left| left.parse::<u64>().ok());
        // The origin's date has whole seconds, and some may end meanwhile.
        assert!(left.is_some_and(|left| (3_300..=3_600).contains(&left)), "{told}");
        blob.read_to(&mut joiner, 100_000).await.unwrap();
        gate.open();
        blob.read_all(&mut leader).await.unwrap();
        blob.read_all(&mut joiner).await.unwrap();
        stage.settled().await;
        let mut late = stage.get(&blob.path).await;
        assert!(late.header("cache-status").starts_with("edge-test;hit;ttl="), "{}", late.header("cache-status"));
        blob.read_all(&mut late).await.unwrap();
        assert_eq!(stage.origin.requests_for(&blob.path), 1);
    })
    .await;
}

#[tokio::test]
async fn a_viewer_who_leaves_does_not_strand_those_who_joined() {
    on_every_protocol(async |stage| {
        let blob = fresh_blob(SEGMENT, "");
        let gate = stall(stage, &blob, 100_000);
        let mut leader = stage.get(&blob.path).await;
        blob.read_to(&mut leader, 50_000).await.unwrap();
        let mut joiner = stage.get(&blob.path).await;
        blob.read_to(&mut joiner, 50_000).await.unwrap();
        drop(leader);
        gate.open();
        blob.read_all(&mut joiner).await.unwrap();
        assert_eq!(stage.origin.requests_for(&blob.path), 1);
    })
    .await;
}

#[tokio::test]
async fn a_leader_who_leaves_before_the_head_strands_nobody() {
    on_every_protocol(async |stage| {
        let blob = fresh_blob(100_000, "");
        let gate = stage.origin.hold(&blob.path).unwrap();
        let leader = stage.viewer().await;
        let path = blob.path.clone();
        let asking = tokio::spawn(async move { leader.get(&path, &[]).await.map(drop) });
        gate.arrived().await;
        let joiner = stage.viewer().await;
        let mut joining = Box::pin(joiner.get(&blob.path, &[]));
        asking.abort();
        _ = asking.await;
        gate.open();
        blob.read_all(&mut joining.as_mut().await.unwrap()).await.unwrap();
    })
    .await;
}

/// How a body that broke off looks to a viewer who came by `way`.
fn assert_cut(way: Way, error: &ClientError) {
    match (way, error) {
        (Way::H1 | Way::H1Tls, ClientError::Cut { .. }) => {}
        // INTERNAL_ERROR (RFC 9113 §7), H3_INTERNAL_ERROR (RFC 9114 §8.1)
        (Way::H2, ClientError::Reset { code: 0x2 }) | (Way::H3, ClientError::Reset { code: 0x102 }) => {}
        _ => panic!("over {} the body broke off with {error:?}", way.name()),
    }
}

#[tokio::test]
async fn a_body_that_the_origin_cuts_is_an_error_for_all_and_stored_for_nobody() {
    for (way, length) in WAYS.into_iter().flat_map(|way| [(way, Some("200000")), (way, None)]) {
        let (pens, mut drawn) = mpsc::channel(4);
        let origin = Script::start(move |_| {
            let life = ("cache-control", "max-age=60");
            let fields = length.map_or(vec![life], |length| vec![life, ("content-length", length)]);
            let (pen, answer) = written(&fields);
            pens.try_send(pen).unwrap();
            answer
        })
        .await;
        let setup = Setup { upstream: Some(origin.addr), ..Setup::default() };
        tell(way, setup, async |stage: &Stage| {
            let mut answers = Vec::new();
            let leader = stage.viewer().await;
            let leading = tokio::spawn(async move { leader.get("/cut", &[]).await.unwrap() });
            let pen = drawn.recv().await.unwrap();
            pen.send(Ok(Bytes::from_static(&[b'.'; 50_000]))).await.unwrap();
            answers.push(leading.await.unwrap());
            for _ in 0..4 {
                answers.push(stage.get("/cut").await);
            }
            for answer in &mut answers {
                while answer.got() < 50_000 {
                    answer.chunk().await.unwrap().unwrap();
                }
            }
            pen.send(broken()).await.unwrap();
            for answer in &mut answers {
                assert_cut(way, &answer.chunk().await.unwrap_err());
            }
            assert_eq!(origin.count(), 1);

            let later = stage.viewer().await;
            let asking = tokio::spawn(async move { later.get("/cut", &[]).await.unwrap() });
            let pen = drawn.recv().await.expect("the origin is asked anew");
            pen.send(Ok(Bytes::from_static(&[b','; 200_000]))).await.unwrap();
            drop(pen);
            let whole = asking.await.unwrap().bytes().await.unwrap();
            assert_eq!(whole, [b','; 200_000][..]);
            assert_eq!(origin.count(), 2);
        })
        .await;
    }
}

#[tokio::test]
async fn a_slow_reader_slows_nobody_and_gets_all() {
    on_every_protocol(async |stage| {
        let blob = fresh_blob(SEGMENT, "");
        let mut slow = stage.narrow_viewer().await.get(&blob.path, &[]).await.unwrap();
        blob.read_to(&mut slow, 1).await.unwrap();
        for _ in 0..3 {
            blob.read_all(&mut stage.get(&blob.path).await).await.unwrap();
        }
        assert!(slow.got() < SEGMENT / 2, "the slow reader has not read on");
        blob.read_all(&mut slow).await.unwrap();
        assert_eq!(stage.origin.requests_for(&blob.path), 1);
    })
    .await;
}

#[tokio::test]
async fn one_object_over_all_protocols_at_once_is_one_request() {
    tell(Way::H1, Setup::default(), async |stage: &Stage| {
        let blob = fresh_blob(SEGMENT, "");
        let gate = stall(stage, &blob, SEGMENT / 2);
        let mut answers = Vec::new();
        for way in Way::ALL {
            let mut answer = stage.viewer_by(way).await.get(&blob.path, &[]).await.unwrap();
            blob.read_to(&mut answer, SEGMENT / 4).await.unwrap();
            answers.push(answer);
        }
        gate.open();
        for answer in &mut answers {
            blob.read_all(answer).await.unwrap();
        }
        assert_eq!(stage.origin.requests_for(&blob.path), 1);
    })
    .await;
}

#[tokio::test]
async fn a_hundred_who_give_up_waiting_free_their_hundred_places() {
    // As many readers as may be, as many streams as may be: whoever comes after needs the places of those who left.
    let limits = "[limits]\nfill_readers = 100\nh2_streams = 50\nh3_streams = 50\n";
    let setup = || Setup { tables: limits.to_owned(), ..Setup::default() };
    with(setup, async |stage| {
        let blob = fresh_blob(1_000, "");
        let gate = stage.origin.hold(&blob.path).unwrap();
        let per_viewer = if matches!(stage.way, Way::H1 | Way::H1Tls) { 1 } else { 50 };
        let mut viewers = Vec::new();
        for _ in 0..100 / per_viewer {
            viewers.push(stage.viewer().await);
        }
        let mut waiting = wait_all(&viewers, &blob, per_viewer);
        stage.until_metric("weir_fill_readers", |readers| readers == 100.0).await;
        // Their places are all there are: one more is refused.
        let refused = stage.get(&blob.path).await;
        assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (503, "1"));
        waiting.abort_all();
        while waiting.join_next().await.is_some() {}
        stage.until_metric("weir_fill_readers", |readers| readers == 0.0).await;
        // Another hundred take their places, of streams too where the connections live on.
        let mut again = wait_all(&viewers, &blob, per_viewer);
        stage.until_metric("weir_fill_readers", |readers| readers == 100.0).await;
        gate.open();
        while let Some(answer) = again.join_next().await {
            let answer = answer.unwrap();
            assert_eq!(answer.map(|answer| answer.status.as_u16()).unwrap(), 200);
        }
        assert!(stage.origin.requests_for(&blob.path) <= 2, "once for each hundred at most");
    })
    .await;
}

/// `each` requests of every viewer for the same.
fn wait_all(viewers: &[Client], blob: &Blob, each: usize) -> JoinSet<Result<Response, ClientError>> {
    let mut waiting = JoinSet::new();
    for viewer in viewers.iter().flat_map(|viewer| std::iter::repeat_n(viewer, each)) {
        let (viewer, path) = (viewer.clone(), blob.path.clone());
        waiting.spawn(async move { viewer.get(&path, &[]).await });
    }
    waiting
}
