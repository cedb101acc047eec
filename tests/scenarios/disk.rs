//! What memory lets go of comes back from disk, without a word to the origin.

use weir_loadtest::client::Way;

use crate::stage::{Blob, Setup, Stage, WAYS, fresh_blob, tell};

const OBJECTS: usize = 90;
const TRIES: usize = 3;

fn on_disk(engine: &str) -> Setup {
    let disk = format!("memory = \"8MiB\"\ndisk = {{ path = \"disk\", size = \"256MiB\", engine = \"{engine}\" }}\n");
    Setup { cache: disk, ..Setup::default() }
}

/// Tells a story of the disk; once more, where it failed and the disk was so slow that the node had given it up, as it
/// may on a busy machine.
async fn tell_of_disk(way: Way, engine: &str, story: impl AsyncFn(&Stage) -> Result<(), String>) {
    for left in (0..TRIES).rev() {
        let (mut told, mut given_up) = (Ok(()), 0.0);
        tell(way, on_disk(engine), async |stage: &Stage| {
            told = story(stage).await;
            given_up = stage.metric("weir_disk_errors_total", &[]).await.unwrap();
        })
        .await;
        let Err(fault) = told else { return };
        assert!(given_up > 0.0 && left > 0, "over {}: {fault}", way.name());
        println!("again  over {}: {fault}", way.name());
    }
}

fn asked_once(stage: &Stage, blob: &Blob) -> Result<(), String> {
    let count = stage.origin.requests_for(&blob.path);
    (count == 1).then_some(()).ok_or(format!("the origin was asked {count} times"))
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
        tell_of_disk(way, engine, async |stage: &Stage| {
            let blobs = fill(stage, "&cc=max-age=3600").await;
            let first = &blobs[0];
            let mut answer = stage.get_with(&first.path, &[("range", "bytes=100000-199999")]).await;
            let status = answer.header("cache-status").to_owned();
            let is_from_disk = status.contains(";hit;") && status.contains(";detail=disk");
            is_from_disk.then_some(()).ok_or(status)?;
            assert_eq!(answer.status.as_u16(), 206);
            assert_eq!(answer.bytes().await.unwrap(), first.bytes(100_000, 200_000));
            let mut from_disk = 0;
            for blob in &blobs {
                let mut answer = stage.get(&blob.path).await;
                let status = answer.header("cache-status").to_owned();
                from_disk += usize::from(status.contains("detail=disk"));
                status.contains(";hit").then_some(()).ok_or(status)?;
                blob.read_all(&mut answer).await.unwrap();
                asked_once(stage, blob)?;
                // It takes the place of others in memory, which go to disk for their part.
                stage.until_metric("weir_disk_waiting_bytes", |bytes| bytes == 0.0).await;
            }
            (from_disk >= 30).then_some(()).ok_or(format!("{from_disk} from disk"))?;
            let disk = &stage.status().await["disk"];
            let is_good = disk["state"] == "good" && disk["size"] == 256 << 20;
            is_good.then_some(()).ok_or(disk.to_string())?;
            assert!(disk["engine"] == "io_uring" || disk["engine"] == "threads");
            Ok(())
        })
        .await;
    }
}

#[tokio::test]
async fn many_who_ask_at_once_read_the_disk_once() {
    for way in WAYS {
        tell_of_disk(way, "auto", async |stage: &Stage| {
            let blobs = fill(stage, "&cc=max-age=3600").await;
            let before = stage.metric("weir_disk_reads_total", &[]).await.unwrap();
            let asks = async || {
                let viewer = stage.viewer().await;
                blobs[1].read_all(&mut viewer.get(&blobs[1].path, &[]).await.unwrap()).await.unwrap();
            };
            tokio::join!(asks(), asks(), asks(), asks(), asks());
            let after = stage.metric("weir_disk_reads_total", &[]).await.unwrap();
            (after - before == 1.0).then_some(()).ok_or(format!("{before} reads before and {after} after"))?;
            asked_once(stage, &blobs[1])
        })
        .await;
    }
}

#[tokio::test]
async fn what_has_become_stale_on_disk_is_validated_and_sent() {
    for way in WAYS {
        tell_of_disk(way, "auto", async |stage: &Stage| {
            let blobs = fill(stage, "&cc=max-age=0").await;
            for blob in &blobs[..5] {
                let mut answer = stage.get(&blob.path).await;
                let status = answer.header("cache-status").to_owned();
                blob.read_all(&mut answer).await.unwrap();
                status.contains("fwd=stale;fwd-status=304").then_some(()).ok_or(status)?;
            }
            Ok(())
        })
        .await;
    }
}
