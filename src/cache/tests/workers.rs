//! Readers on several worker threads, as the node runs them: woken through bells, never lost.

use std::sync::Barrier;

use crate::tasks::Tasks;

use super::*;

const WORKERS: usize = 2;
const READERS: usize = 300;

fn worker<F: Future<Output = ()>>(bells: &Arc<Bells>, index: usize, work: impl FnOnce(Tasks) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        bells.register_worker(index);
        let tasks = Tasks::current();
        tasks.spawn("ringer", bells.ringer(index));
        work(tasks.clone()).await;
        bells.close();
        tasks.close();
        tasks.joined().await;
    });
}

async fn read(mut reader: FillReader) -> u64 {
    poll_fn(|cx| reader.poll_head(cx)).await.map(drop).unwrap();
    let mut read = 0;
    while let Some(octets) = poll_fn(|cx| reader.poll_chunk(cx)).await {
        read += octets.unwrap().len() as u64;
    }
    read
}

#[test]
fn readers_on_every_worker_read_a_fill_to_its_end() {
    let clock = Clock::manual(WallTime::default());
    let bells = Bells::new(WORKERS);
    let bounds = CacheConfig { fill_readers: 10_000, ..config() };
    let cache = Arc::new(Cache::new(bounds, bells.clone(), clock));
    let (mut writer, first) = lead(look(&cache, "/a"));
    let (joined, done) = (Barrier::new(WORKERS), Barrier::new(WORKERS));
    let follow = |tasks: &Tasks| -> Vec<_> {
        (0..READERS).map(|_| tasks.spawn("reader", read(join(look(&cache, "/a"))))).collect()
    };
    let all_read = async |readers: Vec<tokio::task::JoinHandle<u64>>| {
        for reader in readers {
            assert_eq!(reader.await.unwrap(), 2_000_000);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            worker(&bells, 1, async |tasks| {
                let readers = follow(&tasks);
                tokio::task::yield_now().await;
                joined.wait();
                all_read(readers).await;
                done.wait();
            });
        });
        worker(&bells, 0, async |tasks| {
            let readers = follow(&tasks);
            tokio::task::yield_now().await;
            joined.wait();
            writer.head(head(), Some(2_000_000), STORED).unwrap();
            for _ in 0..200 {
                writer.push(octets(10_000)).unwrap();
                tokio::task::yield_now().await;
            }
            writer.complete();
            all_read(readers).await;
            assert_eq!(read(first).await, 2_000_000);
            done.wait();
        });
    });
}

/// Fetches, joins or hits as a node would, and checks every octet.
async fn visit(cache: &Cache, number: u64) {
    let (name, length) = (format!("/{number}"), 1 + number * 7_919);
    match look(cache, &name) {
        Lookup::Hit(object, _) => {
            assert_eq!(body(&object), octets(length));
        }
        Lookup::Join(reader) => {
            assert_eq!(read(reader).await, length);
        }
        Lookup::Lead(lead) => {
            let (mut writer, reader) = lead.start();
            drop(reader);
            writer.head(head(), number.is_multiple_of(2).then_some(length), STORED).unwrap();
            for octets in octets(length).chunks(20_000) {
                poll_fn(|cx| writer.poll_ready(cx)).await;
                writer.push(Bytes::copy_from_slice(octets)).unwrap();
                tokio::task::yield_now().await;
            }
            writer.complete();
        }
        other => panic!("unexpected {}", said(&other)),
    }
}

async fn visits(cache: &Cache, worker: u64) {
    for round in 0..1_500 {
        visit(cache, round * (7 + worker * 4) % 40).await;
        if round % 50 == worker {
            cache.remove(&key(&format!("/{}", round % 40)));
        }
        // The index of what was just stored is let in whatever the ceiling says.
        let usage = cache.usage();
        assert!(usage.total() <= 8 * MIB + 64 * KIB, "{usage:?}");
    }
}

#[test]
fn threads_that_fetch_join_hit_and_purge_at_once_see_right_octets_below_the_ceiling() {
    let bells = Bells::new(WORKERS);
    let bounds = CacheConfig { memory: 8 * MIB, fills_per_group: 100, fill_readers: 100, ..config() };
    let cache = Cache::new(bounds, bells.clone(), Clock::manual(WallTime::default()));
    std::thread::scope(|scope| {
        for index in 0..WORKERS {
            let (cache, bells) = (&cache, &bells);
            scope.spawn(move || worker(bells, index, async |_| visits(cache, index as u64).await));
        }
    });
    cache.purge(&Selector::All, Act::Purge(Mode::Hard));
    cache.run_pending();
    let usage = cache.usage();
    assert_eq!((usage.bodies, usage.heads, usage.fills), (0, 0, 0));
}

#[test]
fn a_worker_whose_ringer_has_ended_is_woken_directly() {
    let bells = Bells::new(1);
    let (task, waker) = Task::new();
    let ringer = bells.ringer(0);
    let lanes = || {
        let mut lanes = bells::Lanes::default();
        lanes.enter(1, waker.clone());
        lanes
    };
    bells.ring(lanes());
    assert_eq!(task.woken(), 0);
    drop(ringer);
    assert_eq!(task.woken(), 1);
    bells.ring(lanes());
    assert_eq!(task.woken(), 1);
}

#[test]
fn a_ringer_wakes_its_waiting_in_batches() {
    let bells = Bells::new(1);
    let (task, waker) = Task::new();
    let mut ringer = Box::pin(bells.ringer(0));
    let (ring, ringing) = Task::new();
    let mut cx = Context::from_waker(&ringing);
    assert!(ringer.as_mut().poll(&mut cx).is_pending());
    let mut lanes = bells::Lanes::default();
    (0..300).for_each(|_| _ = lanes.enter(1, waker.clone()));
    bells.ring(lanes);
    assert_eq!((ring.woken(), task.woken()), (1, 0));
    let mut batches = Vec::new();
    loop {
        assert!(ringer.as_mut().poll(&mut cx).is_pending());
        batches.push(task.woken());
        if ring.woken() == 0 {
            break;
        }
    }
    assert_eq!(batches, [128, 128, 44]);
    bells.close();
    assert_eq!(ring.woken(), 1);
    assert!(ringer.as_mut().poll(&mut cx).is_ready());
}
