//! Disks that are full, broken, silent, damaged or somebody else's.

use bytes::Bytes;
use http::HeaderMap;

use super::super::*;
use super::story::*;
use crate::cache::FillEnd;

const ANY: fn() -> HeaderMap = HeaderMap::new;

#[tokio::test]
async fn a_full_disk_stops_the_writing_for_a_while_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(folder.path(), 64 * MIB, 0);
    process.put("/before", &body(1, 100_000)).await;
    *process.twin.fault.lock() = Fault::Full;
    for _ in 0..3 {
        process.put("/lost", &body(2, 100_000)).await;
    }
    assert_eq!(process.spill.usage().standing, Standing::ReadsOnly);
    assert_eq!((process.spill.figures().errors.value(), process.spill.figures().paused.value()), (1, 2));
    assert!(process.read("/lost", &ANY()).await.is_none());
    assert_eq!(process.read("/before", &ANY()).await.unwrap().1, body(1, 100_000));
    *process.twin.fault.lock() = Fault::None;
    process.clock.advance(Duration::from_secs(2));
    process.put("/after", &body(3, 100_000)).await;
    assert_eq!(process.spill.usage().standing, Standing::Good);
    drop(process);
    let process = Process::start(folder.path(), 64 * MIB, 1);
    for (name, seed) in [("/before", 1), ("/after", 3)] {
        assert_eq!(process.read(name, &ANY()).await.unwrap().1, body(seed, 100_000));
    }
}

#[tokio::test]
async fn a_purge_holds_although_the_disk_is_full() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(folder.path(), 64 * MIB, 0);
    process.put("/a", &body(1, 100_000)).await;
    *process.twin.fault.lock() = Fault::Full;
    assert_eq!(process.bury(process.spill.take_out(&key("/a"))).objects, 1);
    drop(process);
    let mut process = Process::start(folder.path(), 64 * MIB, 1);
    assert!(process.read("/a", &ANY()).await.is_none());
    process.put("/a", &body(2, 100_000)).await;
    assert_eq!(process.read("/a", &ANY()).await.unwrap().1, body(2, 100_000));
}

#[tokio::test]
async fn an_object_that_cannot_be_read_is_fetched_from_the_origin_and_not_looked_for_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(folder.path(), 64 * MIB, 0);
    process.put("/a", &body(1, 100_000)).await;
    *process.twin.fault.lock() = Fault::Unreadable;
    let (writer, _reader) = process.writer("/a", &ANY());
    assert!(writer.from_disk(&ANY()).await.is_some(), "the writer is handed back");
    assert!(!process.spill.holds(&key("/a"), &ANY()));
}

#[tokio::test]
async fn a_disk_that_hangs_holds_up_one_read_and_is_then_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(folder.path(), 64 * MIB, 0);
    process.put("/a", &body(1, 100_000)).await;
    *process.twin.fault.lock() = Fault::Hangs;
    let (writer, reader) = process.writer("/a", &ANY());
    let asked = ANY();
    let reading = writer.from_disk(&asked);
    tokio::pin!(reading);
    assert!(futures_pending(reading.as_mut()).await);
    process.clock.advance(Duration::from_secs(2));
    assert!(reading.await.is_some(), "the origin is asked");
    drop(reader);
    assert_eq!(process.spill.usage().standing, Standing::Failing);
    let (writer, _reader) = process.writer("/a", &ANY());
    assert!(writer.from_disk(&ANY()).await.is_some(), "at once");
    *process.twin.fault.lock() = Fault::None;
    process.clock.advance(Duration::from_secs(2));
    assert_eq!(process.read("/a", &ANY()).await.unwrap().1, body(1, 100_000));
}

/// Whether a future waits, after one look at it.
async fn futures_pending<F: Future>(mut future: std::pin::Pin<&mut F>) -> bool {
    std::future::poll_fn(|cx| std::task::Poll::Ready(future.as_mut().poll(cx).is_pending())).await
}

#[tokio::test]
async fn a_body_that_breaks_off_on_disk_is_an_error_for_its_readers_and_never_a_wrong_octet() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(folder.path(), 64 * MIB, 0);
    let original = body(1, 1_000_000);
    process.put("/a", &original).await;
    let (_, path) = segments(folder.path()).pop().unwrap();
    let mut octets = fs::read(&path).unwrap();
    let at = octets.len() - 200_000;
    octets[at] ^= 1;
    fs::write(&path, octets).unwrap();
    let (writer, reader) = process.writer("/a", &ANY());
    let asked = ANY();
    let (rest, got) = tokio::join!(writer.from_disk(&asked), whole(reader));
    assert!(rest.is_none());
    assert!(
        matches!(got, Err(FillEnd::Failed(why)) if why.downcast_ref::<super::super::recall::BrokenOff>().is_some())
    );
    assert!(!process.spill.holds(&key("/a"), &ANY()));
    assert!(process.cache.peek(&key("/a"), &ANY()).is_none());
    assert_eq!(process.spill.figures().damaged.value(), 1);
}

pub fn segments(folder: &Path) -> Vec<(u64, PathBuf)> {
    let paths = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let mut segments: Vec<_> = paths.filter_map(|path| Some((segment::number(&path)?, path))).collect();
    segments.sort();
    segments
}

#[tokio::test]
async fn files_of_others_are_left_alone_and_what_claims_to_be_a_segment_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(folder.path(), 64 * MIB, 0);
    process.put("/a", &body(1, 1_000)).await;
    drop(process);
    fs::write(folder.path().join("holiday.jpg"), b"not ours").unwrap();
    let fake = folder.path().join("00000000000000ff.segment");
    fs::write(&fake, vec![7; 100_000]).unwrap();
    let torn = folder.path().join("00000000000000fe.segment");
    fs::write(&torn, b"").unwrap();
    let process = Process::start(folder.path(), 64 * MIB, 0);
    assert!(folder.path().join("holiday.jpg").exists());
    assert!(!fake.exists() && fake.with_extension("damaged").exists());
    assert!(!torn.exists());
    assert_eq!(process.read("/a", &ANY()).await.unwrap().1, body(1, 1_000));
}

#[tokio::test]
async fn a_record_that_strayed_to_another_place_or_segment_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(folder.path(), 64 * MIB, 0);
    for (name, seed) in [("/a", 1), ("/b", 2)] {
        process.put(name, &body(seed, 4_096)).await;
    }
    let (_, path) = segments(folder.path()).pop().unwrap();
    let mut octets = fs::read(&path).unwrap();
    // Region and body of the first in the place of the second's.
    let (first, second) = octets[4_096..].split_at_mut(8_192);
    second[..8_192].copy_from_slice(first);
    fs::write(&path, octets).unwrap();
    assert!(process.read("/b", &ANY()).await.is_none());
    assert_eq!(process.read("/a", &ANY()).await.unwrap().1, body(1, 4_096));
}

#[test]
fn a_second_node_is_told_that_the_folder_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let _first = Process::start(folder.path(), 64 * MIB, 0);
    let config = SpillConfig { folder: folder.path().to_owned(), size: 64 * MIB, engine: Choice::Threads };
    let second = Spill::open(&config, &Memory::new(MIB), &Clock::system());
    let error = second.map(|_| ()).unwrap_err();
    assert!(matches!(error, SpillError::Taken { .. }), "{error}");
}

#[tokio::test]
async fn more_than_the_queue_holds_is_let_go_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(folder.path(), 256 * MIB, 0);
    for number in 0..8_u64 {
        let name = format!("/{number}");
        process.fetch(&name, head(&process.clock), &body(number, MIB));
        process.offer(&name, &ANY());
    }
    assert_eq!(process.spill.figures().queue_full.value(), 4);
    assert_eq!(process.spill.usage().waiting, 4 * MIB);
    process.write_all().await;
    assert_eq!((process.spill.usage().waiting, process.spill.usage().objects), (0, 4));
}

#[tokio::test]
async fn a_large_object_passes_through_a_window_as_fast_as_its_reader_takes_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(folder.path(), 256 * MIB, 0);
    let large: Bytes = body(1, 12 * MIB);
    process.fetch("/l", head(&process.clock), &large);
    // Larger than the queue of so small a memory: written without it.
    let object = process.cache.peek(&key("/l"), &ANY()).unwrap();
    let number = process.spill.index.lock().next_number();
    let card = process.spill.card(&key("/l"), &object.head, (number, object.length()));
    process.spill.index.lock().offer(card, object);
    process.cache.parts.store.remove(&key("/l"));
    process.write_all().await;
    let (_, octets) = process.read("/l", &ANY()).await.unwrap();
    assert!(octets == large);
    assert!(process.cache.peek(&key("/l"), &ANY()).is_none(), "it is not kept");
}
