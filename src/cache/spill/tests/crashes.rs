//! Processes that die at any octet, and disks that lose or change some: what comes back is what was put, and nothing
//! that was purged.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;

use http::HeaderMap;
use proptest::prelude::*;

use super::super::*;
use super::faults::segments;
use super::story::*;

const NAMES: u64 = 6;

#[derive(Clone, Debug)]
enum Step {
    Put {
        name: u64,
        length: u64,
    },
    Read {
        name: u64,
    },
    Remove {
        name: u64,
    },
    RemoveSome {
        below: u64,
    },
    /// The process dies once so many more octets have been written, and another begins.
    Die {
        after: u64,
        meanwhile: Vec<(u64, u64)>,
    },
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let length = prop_oneof![0_u64..20, 4_000_u64..5_000, 60_000_u64..200_000];
    let put = (0..NAMES, length.clone());
    prop_oneof![
        6 => put.clone().prop_map(|(name, length)| Step::Put { name, length }),
        3 => (0..NAMES).prop_map(|name| Step::Read { name }),
        2 => (0..NAMES).prop_map(|name| Step::Remove { name }),
        1 => (0..NAMES).prop_map(|below| Step::RemoveSome { below }),
        2 => (0_u64..300_000, proptest::collection::vec(put, 1..4))
            .prop_map(|(after, meanwhile)| Step::Die { after, meanwhile }),
        1 => Just(Step::Restart),
    ]
}

/// What may come back under each name: what was put since it was last purged. The last of them alone, as long as no
/// process has died.
#[derive(Default)]
struct Model {
    versions: HashMap<u64, Vec<(u64, u64)>>,
    next_seed: u64,
}

/// Whether any process has died.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Past {
    Peaceful,
    Deadly,
}

fn name(number: u64) -> String {
    format!("/{number}")
}

impl Model {
    async fn put(&mut self, process: &mut Process, number: u64, length: u64) {
        self.next_seed += 1;
        let seed = self.next_seed;
        self.versions.entry(number).or_default().push((seed, length));
        process.put(&name(number), &body(seed, length)).await;
    }

    async fn check(&self, process: &Process, number: u64, past: Past) {
        let exact = past == Past::Peaceful;
        let got = process.read(&name(number), &HeaderMap::new()).await.map(|(_, octets)| octets);
        process.cache.parts.store.remove(&key(&name(number)));
        let versions = self.versions.get(&number).cloned().unwrap_or_default();
        match got {
            Some(octets) => {
                let mut allowed = versions.iter().rev().map(|(seed, length)| body(*seed, *length));
                let is_allowed = if exact { allowed.next() == Some(octets) } else { allowed.any(|one| one == octets) };
                assert!(is_allowed, "{number}: not what was put");
            }
            None => assert!(!exact || versions.is_empty(), "{number}: what was put is gone"),
        }
    }
}

async fn tell(steps: Vec<Step>) {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(folder.path(), 64 * MIB, 0);
    let mut model = Model::default();
    let mut past = Past::Peaceful;
    for step in steps {
        match step {
            Step::Put { name, length } => model.put(&mut process, name, length).await,
            Step::Read { name } => model.check(&process, name, past).await,
            Step::Remove { name: number } => {
                process.bury(process.spill.take_out(&key(&name(number))));
                model.versions.remove(&number);
            }
            Step::RemoveSome { below } => {
                let chosen: HashSet<_> = (0..below).map(|number| key(&name(number))).collect();
                process.bury(process.spill.take_out_where(&|labels| chosen.contains(labels.key)));
                model.versions.retain(|number, _| *number >= below);
            }
            Step::Die { after, meanwhile } => {
                process.twin.dies_after.store(after, Ordering::SeqCst);
                for (name, length) in meanwhile {
                    model.put(&mut process, name, length).await;
                }
                past = Past::Deadly;
                drop(process);
                process = Process::start(folder.path(), 64 * MIB, 0);
            }
            Step::Restart => {
                drop(process);
                process = Process::start(folder.path(), 64 * MIB, 0);
            }
        }
    }
    for number in 0..NAMES {
        model.check(&process, number, past).await;
    }
}

fn run(story: impl Future) {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(story);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]
    #[test]
    fn no_wrong_octet_and_nothing_purged_comes_back_wherever_a_process_dies(
        steps in proptest::collection::vec(step(), 1..30),
    ) {
        run(tell(steps));
    }
}

const LENGTHS: [u64; 4] = [10, 5_000, 70_000, 0];

/// A folder whose process has written a few objects and purged one.
async fn written(folder: &Path) {
    let mut process = Process::start(folder, 64 * MIB, 0);
    for (number, length) in LENGTHS.into_iter().enumerate() {
        process.put(&name(number as u64), &body(number as u64, length)).await;
    }
    process.put("/purged", &body(9, 100)).await;
    process.bury(process.spill.take_out(&key("/purged")));
}

/// Nothing but what was put, and nothing that was purged.
async fn holds_only_what_is_true(folder: &Path) -> usize {
    let process = Process::start(folder, 64 * MIB, 1);
    let mut found = 0;
    for (number, length) in LENGTHS.into_iter().enumerate() {
        if let Some((_, octets)) = process.read(&name(number as u64), &HeaderMap::new()).await {
            assert!(octets == body(number as u64, length));
            found += 1;
        }
    }
    assert!(process.read("/purged", &HeaderMap::new()).await.is_none());
    found
}

#[test]
fn a_segment_that_was_cut_at_any_block_or_record_gives_what_is_whole() {
    run(async {
        let original = tempfile::tempdir().unwrap();
        written(original.path()).await;
        let (_, path) = segments(original.path()).pop().unwrap();
        let octets = fs::read(&path).unwrap();
        let edges = (0..=octets.len()).step_by(4_096).flat_map(|edge| [edge.saturating_sub(1), edge, edge + 1]);
        let mut most = 0;
        for edge in edges.filter(|edge| *edge <= octets.len()) {
            let folder = copied(original.path());
            fs::write(folder.path().join(path.file_name().unwrap()), &octets[..edge]).unwrap();
            let found = holds_only_what_is_true(folder.path()).await;
            assert!(found >= most, "what was whole before is whole still, cut at {edge}");
            most = found;
            assert_eq!(holds_only_what_is_true(folder.path()).await, found, "and at the next start");
        }
        assert_eq!(most, LENGTHS.len());
    });
}

#[test]
fn an_octet_that_changed_anywhere_is_never_served() {
    run(async {
        let original = tempfile::tempdir().unwrap();
        written(original.path()).await;
        // Once more, so that the segment has its cards.
        drop(Process::start(original.path(), 64 * MIB, 0));
        let (_, path) = segments(original.path()).pop().unwrap();
        let octets = fs::read(&path).unwrap();
        let near_edges = (0..octets.len()).filter(|at| at % 4_096 < 130 && at % 3 == 0 || at % 1_021 == 0);
        for at in near_edges {
            let folder = copied(original.path());
            let mut octets = octets.clone();
            octets[at] ^= 1 << (at % 8);
            fs::write(folder.path().join(path.file_name().unwrap()), &octets).unwrap();
            holds_only_what_is_true(folder.path()).await;
        }
    });
}

fn copied(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    for file in fs::read_dir(from).unwrap() {
        let path = file.unwrap().path();
        fs::copy(&path, to.path().join(path.file_name().unwrap())).unwrap();
    }
    to
}

#[test]
fn the_index_of_many_objects_is_read_within_seconds() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let mut process = Process::start(folder.path(), 512 * MIB, 0);
        let empty = body(0, 1);
        for number in 0..5_000_u64 {
            process.put(&name(number), &empty).await;
        }
        drop(process);
        let starts = [(); 3].map(|()| {
            let clock = Clock::system();
            let process = Process::start(folder.path(), 512 * MIB, 0);
            assert_eq!(process.spill.usage().objects, 5_000);
            clock.now().since_start()
        });
        // A busy machine is not busy each time.
        assert!(starts.iter().min() < Some(&Duration::from_secs(5)), "{starts:?}");
    });
}
