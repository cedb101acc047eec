//! One suite for both twins. Where the kernel forbids io_uring the suite says so and runs over threads alone.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

use super::*;
use crate::clock::{Clock, WallTime};

fn engines(folder: &std::path::Path) -> Vec<Engine> {
    let clock = Clock::manual(WallTime::default());
    let mut engines = vec![Engine::start(Choice::Threads, folder, clock.clone()).unwrap()];
    match Engine::start(Choice::IoUring, folder, clock) {
        Ok(ring) => engines.push(ring),
        Err(error) => eprintln!("io_uring cannot be used here ({error}): only threads are tested"),
    }
    engines
}

fn block(seed: u8) -> Bytes {
    (0..BUFFER).map(|at| (at as u8).wrapping_mul(31).wrapping_add(seed)).collect::<Vec<_>>().into()
}

async fn opened(engine: &Engine, path: std::path::PathBuf) -> File {
    engine.open(path, OpenHow::New).await.unwrap().unwrap()
}

#[tokio::test]
async fn what_is_written_is_read_again_by_either_twin() {
    let folder = tempfile::tempdir().unwrap();
    for engine in engines(folder.path()) {
        let path = folder.path().join(engine.name());
        let file = opened(&engine, path.clone()).await;
        for seed in 0..8 {
            engine.write(&file, u64::from(seed) * BUFFER as u64, block(seed)).await.unwrap();
        }
        engine.sync(&file).await.unwrap();
        for other in engines(folder.path()) {
            let file = other.open(path.clone(), OpenHow::Existing).await.unwrap().unwrap();
            for seed in 0..8 {
                let read = other.read(&file, u64::from(seed) * BUFFER as u64, BUFFER).await.unwrap();
                assert_eq!(read, block(seed), "{} reads what {} wrote", other.name(), engine.name());
            }
            let tail = other.read(&file, 7 * BUFFER as u64 + ALIGNMENT as u64, BUFFER).await.unwrap();
            assert_eq!(tail.len(), BUFFER - ALIGNMENT);
            assert_eq!(other.read(&file, 8 * BUFFER as u64, BUFFER).await.unwrap().len(), 0);
        }
        engine.unlink(path.clone()).await.unwrap();
        assert!(!path.exists());
        assert_eq!(engine.read(&file, 0, BUFFER).await.unwrap(), block(0), "an open file outlives its name");
    }
}

#[tokio::test]
async fn many_requests_at_once_keep_their_answers_apart() {
    let folder = tempfile::tempdir().unwrap();
    for engine in engines(folder.path()) {
        let file = opened(&engine, folder.path().join(engine.name())).await;
        let writes: Vec<_> = (0..100_u8).map(|seed| engine.write(&file, place(seed), block(seed))).collect();
        for write in writes {
            write.await.unwrap();
        }
        let reads: Vec<_> = (0..100_u8).map(|seed| (seed, engine.read(&file, place(seed), BUFFER))).collect();
        for (seed, read) in reads {
            assert_eq!(read.await.unwrap(), block(seed));
        }
    }
}

fn place(seed: u8) -> u64 {
    u64::from(seed) * BUFFER as u64
}

#[tokio::test]
async fn callers_who_go_away_disturb_nobody() {
    let folder = tempfile::tempdir().unwrap();
    for engine in engines(folder.path()) {
        let file = opened(&engine, folder.path().join(engine.name())).await;
        engine.write(&file, 0, block(1)).await.unwrap();
        for _ in 0..200 {
            drop(engine.read(&file, 0, BUFFER));
        }
        drop(engine.write(&file, BUFFER as u64, block(2)));
        let mut read = engine.read(&file, 0, BUFFER).await;
        while matches!(read, Err(DiskError::Full)) {
            tokio::task::yield_now().await;
            read = engine.read(&file, 0, BUFFER).await;
        }
        assert_eq!(read.unwrap(), block(1));
        engine.sync(&file).await.unwrap();
    }
}

#[tokio::test]
async fn what_the_system_says_is_handed_on() {
    let folder = tempfile::tempdir().unwrap();
    for engine in engines(folder.path()) {
        let path = folder.path().join(engine.name());
        let missing = engine.open(path.clone(), OpenHow::Existing).await;
        assert!(matches!(missing, Err(DiskError::System(error)) if error.kind() == std::io::ErrorKind::NotFound));
        opened(&engine, path.clone()).await;
        let twice = engine.open(path, OpenHow::New).await;
        assert!(matches!(twice, Err(DiskError::System(error)) if error.kind() == std::io::ErrorKind::AlreadyExists));
    }
}

#[test]
fn a_thread_can_wait_for_its_request_with_and_without_a_runtime() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let work = || {
        for engine in engines(folder.path()) {
            let path = folder.path().join(engine.name());
            let file = engine.open_cached(path.clone(), OpenHow::New).wait().unwrap().unwrap();
            engine.write(&file, 0, Bytes::from_static(b"abc")).wait().unwrap();
            engine.sync(&file).wait().unwrap();
            // More often than the turn of one task allows.
            for _ in 0..500 {
                assert_eq!(engine.read(&file, 1, 10).wait().unwrap(), b"bc");
            }
            engine.unlink(path).wait().unwrap();
        }
    };
    runtime.block_on(async { work() });
}

/// Takes everything and answers nothing.
#[derive(Default)]
struct Hanging(Mutex<Vec<Reply>>);

impl Twin for Hanging {
    fn submit(&self, _: Op, reply: Reply) -> bool {
        self.0.lock().push(reply);
        true
    }

    fn name(&self) -> &'static str {
        "hanging"
    }
}

#[tokio::test]
async fn nobody_waits_for_a_disk_that_hangs() {
    let clock = Clock::manual(WallTime::default());
    let engine = Engine::over(Arc::new(Hanging::default()), clock.clone());
    let file = File(Arc::new(tempfile::tempfile().unwrap()));
    let read = engine.read(&file, 0, BUFFER);
    clock.advance(Duration::from_secs(2));
    assert!(matches!(read.await, Err(DiskError::TimedOut)));
}
