//! What is too large to be stored passes through a window: the origin waits for the viewer, and memory has a ceiling.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use serde_json::Value;
use weir_loadtest::client::Way;
use weir_loadtest::origin::{Action, Rule};

use crate::script::{Script, counted};
use crate::stage::{Setup, Stage, WAYS, fresh_blob, tell, with};

const MIB: u64 = 1 << 20;
const CEILING: u64 = 16 * MIB;
const SMALL: &str = "memory = \"16MiB\"\nmax_object = \"1MiB\"";

fn small() -> Setup {
    Setup { cache: SMALL.to_owned(), ..Setup::default() }
}

fn accounted(status: &Value) -> u64 {
    ["bodies", "heads", "index", "fills"].iter().map(|kind| status["memory"][kind].as_u64().unwrap()).sum()
}

async fn assert_below_ceiling(stage: &Stage) {
    let used = accounted(&stage.status().await);
    assert!(used <= CEILING, "{used} octets are accounted for");
}

#[tokio::test]
async fn an_object_larger_than_the_cache_arrives_whole() {
    with(small, async |stage| {
        for rest in ["", "&chunked=1"] {
            let blob = fresh_blob(32 * MIB, rest);
            let mut answer = stage.get(&blob.path).await;
            assert!(
                !rest.is_empty() || !answer.header("cache-status").contains("stored"),
                "its length is known beforehand"
            );
            for quarter in 1..=4 {
                blob.read_to(&mut answer, quarter * 8 * MIB).await.unwrap();
                assert_below_ceiling(stage).await;
            }
            blob.read_all(&mut answer).await.unwrap();
            let mut again = stage.get(&blob.path).await;
            blob.read_to(&mut again, 1).await.unwrap();
            assert_eq!(stage.origin.requests_for(&blob.path), 2, "it is not stored");
            drop(again);
            stage.until("nothing of it stays", |status| accounted(status) < MIB).await;
        }
    })
    .await;
}

#[tokio::test]
async fn the_origin_waits_for_a_viewer_who_does_not_read() {
    const SIZE: u64 = 64 * MIB;
    for way in WAYS {
        let taken = Arc::new(AtomicU64::new(0));
        let of_origin = taken.clone();
        let origin = Script::start(move |_| {
            counted(SIZE, of_origin.clone(), &[("content-length", "67108864"), ("cache-control", "max-age=60")])
        })
        .await;
        tell(way, Setup { upstream: Some(origin.addr), ..small() }, async |stage: &Stage| {
            let mut answer = stage.narrow_viewer().await.get("/large", &[]).await.unwrap();
            answer.chunk().await.unwrap().unwrap();
            // Nothing tells that it has come to rest: it has when nothing moves while the node is asked many times.
            let (mut before, mut still) = (0, 0);
            while still < 50 {
                assert_below_ceiling(stage).await;
                let now = taken.load(SeqCst);
                still = if now == before { still + 1 } else { 0 };
                before = now;
            }
            // The window, and what the kernel's buffers on both sides take.
            assert!(before < 32 * MIB, "{before} octets have left the origin");
            assert_eq!(answer.drain().await.unwrap(), SIZE);
            assert_eq!((taken.load(SeqCst), origin.count()), (SIZE, 1));
        })
        .await;
    }
}

#[tokio::test]
async fn a_node_whose_memory_is_full_says_so_and_when_to_come_back() {
    // The smallest ceiling there is, reached by a few objects that arrive and do not come to their end.
    let setup = || Setup { cache: "memory = \"8MiB\"".to_owned(), ..Setup::default() };
    with(setup, async |stage| {
        let mut held = Vec::new();
        let mut refused = loop {
            let blob = fresh_blob(1_000_000, "");
            let rule = Rule::new(&blob.path, Action::Stall { after: 100_000 });
            let gate = stage.origin.desk().gate(rule).unwrap();
            let answer = stage.get(&blob.path).await;
            if answer.status.as_u16() != 200 {
                break answer;
            }
            held.push((blob, gate, answer));
            assert!(held.len() < 100, "memory is never full");
        };
        assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (503, "1"));
        assert_eq!(refused.header("content-type"), "application/json");
        let body: Value = serde_json::from_slice(&refused.bytes().await.unwrap()).unwrap();
        assert_eq!(body["reason"], "memory-full");
        let used = accounted(&stage.status().await);
        assert!(used <= 8 * MIB, "{used}");
        // Those who are being served already are served to the end, and their memory comes back.
        for (blob, gate, mut answer) in held {
            gate.open();
            blob.read_all(&mut answer).await.unwrap();
        }
        let blob = fresh_blob(200_000, "");
        blob.read_all(&mut stage.get(&blob.path).await).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_range_deep_in_a_large_object_is_asked_for_alone() {
    tell(Way::H2, small(), async |stage: &Stage| {
        let blob = fresh_blob(32 * MIB, "");
        let fields = [("range", "bytes=30000000-30000999")];
        let mut part = stage.get_with(&blob.path, &fields).await;
        assert_eq!((part.status.as_u16(), part.header("content-length")), (206, "1000"));
        assert_eq!(part.bytes().await.unwrap(), blob.bytes(30_000_000, 30_001_000));
    })
    .await;
}
