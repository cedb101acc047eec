//! Many who ask for the same at once, where the answer is not for all of them: nobody waits for another in vain.

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use weir_loadtest::client::Way;
use weir_loadtest::origin::{Action, Rule};

use crate::script::{Script, reply, written};
use crate::stage::{Setup, Stage, WAYS, fresh_blob, tell, with};

#[tokio::test]
async fn a_thousand_who_wait_for_what_is_one_viewers_are_released_at_once() {
    for way in [Way::H2, Way::H3] {
        tell(way, Setup::default(), async |stage: &Stage| {
            let blob = fresh_blob(10_000, "&cc=no-store");
            let head = stage.origin.hold(&blob.path).unwrap();
            // The first body stops half-way: who waits for it would wait for ever.
            let body =
                stage.origin.desk().gate(Rule::new(&blob.path, Action::Stall { after: 5_000 }).times(1)).unwrap();
            let (mut asking, whole) = (JoinSet::new(), Arc::new(Semaphore::new(0)));
            for _ in 0..20 {
                let viewer = stage.viewer().await;
                for _ in 0..50 {
                    let (viewer, blob, whole) = (viewer.clone(), blob.clone(), whole.clone());
                    asking.spawn(async move {
                        blob.read_all(&mut viewer.get(&blob.path, &[]).await.unwrap()).await.unwrap();
                        whole.add_permits(1);
                    });
                }
            }
            stage.until_metric("weir_fill_readers", |readers| readers >= 1_000.0).await;
            head.open();
            drop(whole.acquire_many(999).await.unwrap());
            body.open();
            asking.join_all().await;
            assert_eq!(stage.origin.requests_for(&blob.path), 1_000);
        })
        .await;
    }
}

#[tokio::test]
async fn what_must_be_validated_goes_to_those_who_waited_and_others_ask_anew() {
    for way in WAYS {
        let (pens, mut drawn) = mpsc::channel(4);
        let gate = Arc::new(Semaphore::new(0));
        let held = gate.clone();
        let origin = Script::start_with(move |_| {
            let (pens, held) = (pens.clone(), held.clone());
            Box::pin(async move {
                held.acquire().await.unwrap().forget();
                let (pen, answer) = written(&[("cache-control", "no-cache"), ("content-length", "6")]);
                pens.try_send(pen).unwrap();
                answer
            })
        })
        .await;
        tell(way, Setup { upstream: Some(origin.addr), ..Setup::default() }, async |stage: &Stage| {
            let mut asking = JoinSet::new();
            for _ in 0..3 {
                let viewer = stage.viewer().await;
                asking.spawn(async move { viewer.get("/a", &[]).await.unwrap() });
            }
            stage.until_metric("weir_fill_readers", |readers| readers == 3.0).await;
            gate.add_permits(1);
            let first = drawn.recv().await.unwrap();
            first.send(Ok("one".into())).await.unwrap();
            let mut waited = asking.join_all().await;
            // The answer is still on its way, and not for this one.
            let viewer = stage.viewer().await;
            let late = tokio::spawn(async move { viewer.get("/a", &[]).await.unwrap().bytes().await.unwrap() });
            gate.add_permits(1);
            let second = drawn.recv().await.unwrap();
            second.send(Ok("second".into())).await.unwrap();
            drop(second);
            assert_eq!(late.await.unwrap(), "second");
            first.send(Ok("two".into())).await.unwrap();
            drop(first);
            for answer in &mut waited {
                assert_eq!(answer.bytes().await.unwrap(), "onetwo");
            }
            assert_eq!(origin.count(), 2);
        })
        .await;
    }
}

#[tokio::test]
async fn a_leaders_bad_request_is_nobody_elses() {
    for way in WAYS {
        let gate = Arc::new(Semaphore::new(0));
        let held = gate.clone();
        let origin = Script::start_with(move |seen| {
            let held = held.clone();
            Box::pin(async move {
                held.acquire().await.unwrap().forget();
                match seen.field("x-odd").as_str() {
                    "" => reply(200, &[("cache-control", "max-age=60")], "good"),
                    _ => reply(400, &[], "bad"),
                }
            })
        })
        .await;
        tell(way, Setup { upstream: Some(origin.addr), ..Setup::default() }, async |stage: &Stage| {
            let leader = stage.viewer().await;
            let leading = tokio::spawn(async move { leader.get("/a", &[("x-odd", "1")]).await.unwrap() });
            stage.until_metric("weir_fill_readers", |readers| readers == 1.0).await;
            let mut asking = JoinSet::new();
            for _ in 0..5 {
                let viewer = stage.viewer().await;
                asking.spawn(async move { viewer.get("/a", &[]).await.unwrap().bytes().await.unwrap() });
            }
            stage.until_metric("weir_fill_readers", |readers| readers == 6.0).await;
            gate.add_permits(2);
            assert_eq!(leading.await.unwrap().status, 400);
            assert!(asking.join_all().await.iter().all(|body| body == "good"));
            assert_eq!(origin.count(), 2);
        })
        .await;
    }
}

#[tokio::test]
async fn errors_are_kept_for_a_moment_where_the_route_says_so() {
    for way in WAYS {
        let origin = Script::start(|seen| {
            let fields: &[_] = if seen.target.ends_with("spoken") { &[("cache-control", "no-store")] } else { &[] };
            reply(seen.target[1..4].parse().unwrap(), fields, "trouble")
        })
        .await;
        let route = "errors = { \"404\" = \"60s\", \"5xx\" = \"60s\" }".to_owned();
        let setup = Setup { upstream: Some(origin.addr), route, ..Setup::default() };
        tell(way, setup, async |stage: &Stage| {
            for (path, kept) in [("/404", true), ("/503", true), ("/403", false), ("/404/spoken", false)] {
                let before = origin.count();
                for again in [false, true] {
                    let mut answer = stage.get(path).await;
                    let told = answer.header("cache-status").to_owned();
                    assert_eq!(told.starts_with("edge-test;hit;ttl="), kept && again, "{path}: {told}");
                    assert_eq!(answer.status.as_str(), &path[1..4]);
                    answer.bytes().await.unwrap();
                    stage.settled().await;
                }
                assert_eq!(origin.count() - before, if kept { 1 } else { 2 }, "{path}");
            }
        })
        .await;
    }
}

#[tokio::test]
async fn whoever_waits_too_long_for_another_is_told_when_to_come_back() {
    let setup = || Setup { tables: "[limits]\nfill_wait = \"50ms\"".into(), ..Setup::default() };
    with(setup, async |stage| {
        let blob = fresh_blob(1_000, "");
        let gate = stage.origin.hold(&blob.path).unwrap();
        let (viewer, path) = (stage.viewer().await, blob.path.clone());
        let leading = tokio::spawn(async move { viewer.get(&path, &[]).await.unwrap() });
        gate.arrived().await;
        let mut joiner = stage.get(&blob.path).await;
        assert_eq!((joiner.status.as_u16(), joiner.header("retry-after")), (503, "1"));
        assert!(String::from_utf8_lossy(&joiner.bytes().await.unwrap()).contains("fill-wait"));
        gate.open();
        blob.read_all(&mut leading.await.unwrap()).await.unwrap();
        blob.read_all(&mut stage.get(&blob.path).await).await.unwrap();
        assert_eq!(stage.origin.requests_for(&blob.path), 1);
    })
    .await;
}
