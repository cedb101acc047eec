//! What memory lets go of comes back from disk, without a word to the origin.

use weir_loadtest::client::Way;

use crate::stage::{Blob, Setup, Stage, WAYS, fresh_blob, tell};

const OBJECTS: usize = 90;

fn on_disk(engine: &str) -> Setup {
    let disk = format!("memory = \"8MiB\"\ndisk = {{ path = \"disk\", size = \"256MiB\", engine = \"{engine}\" }}\n");
    Setup { cache: disk, ..Setup::default() }
}

/// More than memory holds, fetched once each; most of it is on disk then.
async fn fill(stage: &Stage, life: &str) -> Vec<Blob> {
    let blobs: Vec<_> = (0..OBJECTS).map(|_| fresh_blob(200_000, life)).collect();
    let viewer = stage.viewer().await;
    // No faster than the disk: what finds too much waiting for it is let go.
    for blob in &blobs {
        blob.read_all(&mut viewer.get(&blob.path, &[]).await.unwrap()).await.unwrap();
        stage.settled().await;
        stage.until_metric("weir_disk_waiting_bytes", |bytes| bytes == 0.0).await;
    }
    stage.until_metric("weir_disk_objects", |objects| objects >= 30.0).await;
    blobs
}

#[tokio::test]
async fn what_memory_lets_go_of_is_a_hit_from_disk() {
    for way in WAYS {
        // Where io_uring is forbidden the node says so and goes on with threads.
        let engine = if way == Way::H1 { "threads" } else { "auto" };
        tell(way, on_disk(engine), async |stage: &Stage| {
            let blobs = fill(stage, "&cc=max-age=3600").await;
            let first = &blobs[0];
            let mut answer = stage.get_with(&first.path, &[("range", "bytes=100000-199999")]).await;
            assert_eq!(answer.status.as_u16(), 206);
            let status = answer.header("cache-status");
            assert!(status.contains(";hit;") && status.contains(";detail=disk"), "{status}");
            assert_eq!(answer.bytes().await.unwrap(), first.bytes(100_000, 200_000));
            let mut from_disk = 0;
            for blob in &blobs {
                let mut answer = stage.get(&blob.path).await;
                assert!(answer.header("cache-status").contains(";hit"), "{}", answer.header("cache-status"));
                from_disk += usize::from(answer.header("cache-status").contains("detail=disk"));
                blob.read_all(&mut answer).await.unwrap();
                assert_eq!(stage.origin.requests_for(&blob.path), 1);
                // It takes the place of others in memory, which go to disk for their part.
                stage.until_metric("weir_disk_waiting_bytes", |bytes| bytes == 0.0).await;
            }
            assert!(from_disk >= 30, "{from_disk}");
            let disk = &stage.status().await["disk"];
            assert_eq!((disk["state"].as_str(), disk["size"].as_u64()), (Some("good"), Some(256 << 20)));
            assert!(disk["engine"] == "io_uring" || disk["engine"] == "threads");
        })
        .await;
    }
}

#[tokio::test]
async fn many_who_ask_at_once_read_the_disk_once() {
    for way in WAYS {
        tell(way, on_disk("auto"), async |stage: &Stage| {
            let blobs = fill(stage, "&cc=max-age=3600").await;
            let before = stage.metric("weir_disk_reads_total", &[]).await.unwrap();
            let asks = async || {
                let viewer = stage.viewer().await;
                blobs[1].read_all(&mut viewer.get(&blobs[1].path, &[]).await.unwrap()).await.unwrap();
            };
            tokio::join!(asks(), asks(), asks(), asks(), asks());
            let after = stage.metric("weir_disk_reads_total", &[]).await.unwrap();
            assert_eq!(after - before, 1.0);
            assert_eq!(stage.origin.requests_for(&blobs[1].path), 1);
        })
        .await;
    }
}

#[tokio::test]
async fn what_has_become_stale_on_disk_is_validated_and_sent() {
    for way in WAYS {
        tell(way, on_disk("auto"), async |stage: &Stage| {
            let blobs = fill(stage, "&cc=max-age=0").await;
            for blob in &blobs[..5] {
                let mut answer = stage.get(&blob.path).await;
                let status = answer.header("cache-status").to_owned();
                assert!(status.contains("fwd=stale;fwd-status=304"), "{status}");
                blob.read_all(&mut answer).await.unwrap();
            }
        })
        .await;
    }
}
