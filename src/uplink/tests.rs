//! A receiver that fails in every way, on a clock that is moved by hand, under kills of the node and floods of the log:
//! every record becomes exactly one thing, and what arrives is whole and in order.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use proptest::prelude::*;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::erase::{Erasures, erase};
use super::parcel::Parcel;
use super::sink::{Sink, run};
use super::target::{Attempt, Attempting, Outcome, Target};
use super::{Figures, Health, With};
use crate::clock::{Clock, WallTime};
use crate::config::sinks::{self, FileSink, To};
use crate::journal::log::{Class, Log, Record};
use crate::rules::delivery::verdict::Verdict;
use crate::rules::session::{PrintKey, SessionId};
use crate::stories::{Names, Stories};
use crate::tasks::Tasks;

/// What a receiver does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Good,
    Down,
    /// It has what it gets, and its answers are lost.
    Lost,
    /// Anything, by lot; a batch that it refuses, it refuses each time.
    Wild,
    Gone,
}

struct Receiver {
    mood: Mood,
    lots: u64,
    attempts: u64,
    /// Batches by their key, and the order in which they were first seen.
    batches: HashMap<String, Bytes>,
    order: Vec<String>,
}

#[derive(Clone)]
struct Simulated(Arc<Mutex<Receiver>>);

impl Simulated {
    fn new(seed: u64) -> Self {
        let (batches, order) = (HashMap::new(), Vec::new());
        Self(Arc::new(Mutex::new(Receiver { mood: Mood::Good, lots: seed | 1, attempts: 0, batches, order })))
    }

    fn is(&self, mood: Mood) {
        self.0.lock().mood = mood;
    }

    /// Every line that it has, in the order in which it came.
    fn lines(&self) -> Vec<String> {
        let receiver = self.0.lock();
        let text = |key: &String| String::from_utf8(receiver.batches[key].to_vec()).unwrap();
        receiver.order.iter().flat_map(|key| text(key).lines().map(str::to_owned).collect::<Vec<_>>()).collect()
    }
}

impl Receiver {
    fn lot(&mut self) -> u64 {
        self.lots ^= self.lots << 13;
        self.lots ^= self.lots >> 7;
        self.lots ^= self.lots << 17;
        self.lots
    }

    fn take(&mut self, parcel: &Parcel) {
        let known = self.batches.entry(parcel.key.clone()).or_insert_with(|| {
            self.order.push(parcel.key.clone());
            parcel.lines.clone()
        });
        assert_eq!(known, &parcel.lines, "{} is another batch now", parcel.key);
    }

    fn answer(&mut self, parcel: &Parcel) -> Outcome {
        self.attempts += 1;
        let verdict = |attempt, verdict| Outcome { attempt, verdict, detail: "simulated".to_owned() };
        let is_refused = parcel.extent.first % 7 == 3;
        match (self.mood, self.lot() % 8) {
            (Mood::Gone, _) => verdict(Attempt::Gone, Verdict::Gone),
            (Mood::Down, _) | (Mood::Wild, 0) => Outcome::again(Attempt::Connect, &"simulated"),
            (Mood::Wild, 1) => verdict(Attempt::Status, Verdict::Again(Some(Duration::from_secs(2)))),
            (Mood::Wild, 2..) if is_refused => verdict(Attempt::Refused, Verdict::Refused),
            (Mood::Wild, 2) => {
                // It has the batch, and its answer is lost.
                self.take(parcel);
                Outcome::again(Attempt::Broken, &"simulated")
            }
            (Mood::Lost, _) => {
                self.take(parcel);
                Outcome::again(Attempt::Broken, &"simulated")
            }
            (Mood::Good | Mood::Wild, _) => {
                self.take(parcel);
                Outcome::taken()
            }
        }
    }
}

impl Target for Simulated {
    fn attempt<'a>(&'a self, parcel: &'a Parcel, _: &'a With) -> Attempting<'a> {
        Box::pin(async move { self.0.lock().answer(parcel) })
    }
}

/// A node with one sink.
struct Stage {
    folder: TempDir,
    clock: Clock,
    tasks: Tasks,
    receiver: Simulated,
    log: Log,
    boot: u64,
    config: sinks::Sink,
    running: Option<(Arc<Sink>, Arc<With>, JoinHandle<()>)>,
    told: BTreeMap<u8, u32>,
}

impl Stage {
    fn new(seed: u64, log: u64, batch: usize) -> Self {
        let to = To::File(FileSink { path: PathBuf::new(), rotate: 0, keep: 0 });
        let config = sinks::Sink {
            name: "main".to_owned(),
            to,
            events: BTreeSet::new(),
            batch,
            every: Duration::from_secs(1),
            timeout: Duration::from_secs(5),
            quarantine: 4_000,
        };
        let mut stage = Self {
            folder: tempfile::tempdir().unwrap(),
            clock: Clock::manual(WallTime::at(Duration::from_secs(1_800_000_000))),
            tasks: Tasks::current(),
            receiver: Simulated::new(seed),
            log: Log::in_memory(log),
            boot: 0,
            config,
            running: None,
            told: BTreeMap::new(),
        };
        stage.start();
        stage
    }

    fn start(&mut self) {
        self.boot += 1;
        self.begin();
    }

    fn begin(&mut self) {
        let names = Names { node: "edge".into(), region: None, boot: self.boot };
        let kept = (self.log.clone(), PrintKey::new(&[7; 32]));
        let receiver = self.receiver.clone();
        let with = Arc::new(With {
            stories: Arc::new(Stories::new(self.clock.clone(), names, 1, kept)),
            folder: Some(self.folder.path().to_owned()),
            clock: self.clock.clone(),
            tasks: self.tasks.clone(),
            lot: Box::new(move || receiver.0.lock().lot() as u16),
            hurry: watch::Sender::new(false),
            erasures: Erasures::default(),
        });
        let sink = Arc::new(Sink::open(self.config.clone(), Arc::new(self.receiver.clone()), &with));
        let task = self.tasks.spawn("sink", run(sink.clone(), with.clone()));
        self.running = Some((sink, with, task));
    }

    /// Until nothing goes on but by the clock: what was handed to the disk is there.
    async fn rest(&self) {
        let mut quiet = 0;
        while quiet < 32 {
            tokio::task::yield_now().await;
            let is_quiet = self.tasks.living().get("sink").copied().unwrap_or_default() <= 1;
            quiet = if is_quiet { quiet + 1 } else { 0 };
        }
    }

    /// The process is gone at once, and another one begins.
    async fn kill(&mut self) {
        let (_, _, task) = self.running.take().unwrap();
        task.abort();
        _ = task.await;
        self.rest().await;
        self.start();
    }

    async fn pass(&self, time: Duration) {
        self.clock.advance(time);
        self.rest().await;
    }

    async fn tell(&mut self, count: u32, session: u8) {
        let at = u64::try_from(self.clock.wall().since_epoch().as_millis()).unwrap();
        let mut records = Vec::new();
        for _ in 0..count {
            let nth = self.told.entry(session).or_default();
            let line = Bytes::from(format!("{{\"session\":{session},\"nth\":{nth},\"event\":\"served\"}}"));
            *nth += 1;
            let session = Some(SessionId([session; 12]));
            records.push(Record { session, at, class: Class::Lasting, line });
        }
        self.log.append(records).await.unwrap();
        self.rest().await;
    }

    fn figures(&self) -> Figures {
        let (sink, with, _) = self.running.as_ref().unwrap();
        sink.figures(with)
    }

    /// Accepted = delivered + quarantined + dropped + in the log.
    fn is_conserved(&self) {
        let figures = self.figures();
        let progress = &figures.progress;
        assert_eq!(progress.unaccounted(), 0, "{progress:?}");
        let dropped = progress.refused + progress.left_out + progress.missed;
        let accepted = self.log.figures().next - progress.since;
        assert_eq!(accepted, progress.delivered + progress.quarantined + dropped + figures.behind.records);
    }

    /// Until the receiver has all.
    async fn catch_up(&self) {
        self.receiver.is(Mood::Good);
        for _ in 0..10_000 {
            if self.figures().behind.records == 0 {
                return;
            }
            self.pass(Duration::from_secs(60)).await;
        }
        panic!("{:?}", self.figures());
    }

    /// What came, by session; each in the order in which it happened, and nothing twice.
    fn arrived(&self) -> BTreeMap<u64, Vec<u64>> {
        let mut all = BTreeMap::<u64, Vec<u64>>::new();
        for line in self.receiver.lines() {
            let line: serde_json::Value = serde_json::from_str(&line).unwrap();
            let nth = line["nth"].as_u64().unwrap();
            let before = all.entry(line["session"].as_u64().unwrap()).or_default();
            assert!(before.last().is_none_or(|last| *last < nth), "{line} comes after {:?}", before.last());
            before.push(nth);
        }
        all
    }
}

#[tokio::test]
async fn a_sink_that_was_down_for_an_hour_gets_everything_in_order() {
    let mut stage = Stage::new(1, 1 << 30, 1 << 20);
    stage.receiver.is(Mood::Down);
    for second in 0..3_600_u32 {
        stage.tell(3, (second % 11) as u8).await;
        stage.pass(Duration::from_secs(1)).await;
    }
    stage.is_conserved();
    let figures = stage.figures();
    assert_eq!((figures.health, figures.behind.records), (Health::Down, 10_800));
    assert!((3_598.0..=3_600.0).contains(&figures.behind.seconds), "{figures:?}");
    let attempts = stage.receiver.0.lock().attempts;
    assert!((60..400).contains(&attempts), "an hour of pauses up to a minute each: {attempts}");
    stage.catch_up().await;
    stage.is_conserved();
    let arrived = stage.arrived();
    for (session, told) in &stage.told {
        assert_eq!(arrived[&u64::from(*session)], (0..u64::from(*told)).collect::<Vec<_>>());
    }
    assert_eq!((stage.figures().health, stage.figures().progress.delivered), (Health::Up, 10_800));
}

#[tokio::test]
async fn a_sink_that_wants_nothing_more_is_left_alone_until_the_configuration_is_read_anew() {
    let mut stage = Stage::new(2, 1 << 30, 1 << 20);
    stage.receiver.is(Mood::Gone);
    stage.tell(5, 1).await;
    for _ in 0..100 {
        stage.pass(Duration::from_secs(60)).await;
    }
    assert_eq!((stage.figures().health, stage.receiver.0.lock().attempts), (Health::Gone, 1));
    stage.receiver.is(Mood::Good);
    stage.running.as_ref().unwrap().0.turn_to(stage.config.clone(), Arc::new(stage.receiver.clone()));
    stage.catch_up().await;
    assert_eq!(stage.arrived()[&1], [0, 1, 2, 3, 4]);
}

#[tokio::test]
async fn a_batch_that_is_refused_is_laid_aside_and_the_next_one_is_sent() {
    let mut stage = Stage::new(4, 1 << 30, 60);
    stage.receiver.is(Mood::Wild);
    stage.tell(40, 1).await;
    for _ in 0..400 {
        stage.pass(Duration::from_secs(60)).await;
    }
    let figures = stage.figures();
    assert!(figures.progress.quarantined > 0 && figures.behind.records == 0, "{figures:?}");
    assert_eq!(figures.progress.delivered + figures.progress.quarantined, 40);
    let aside = std::fs::read_dir(stage.folder.path().join("main.refused")).unwrap();
    let lines: usize = aside.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap().lines().count()).sum();
    assert_eq!(lines as u64, figures.progress.quarantined);
}

#[tokio::test]
async fn a_batch_that_waits_for_its_sink_is_made_anew_without_what_was_erased() {
    for mood in [Mood::Down, Mood::Gone] {
        let mut stage = Stage::new(6, 1 << 30, 1 << 20);
        stage.receiver.is(mood);
        stage.tell(3, 1).await;
        stage.tell(2, 2).await;
        stage.pass(Duration::from_secs(1)).await;
        assert_eq!(stage.receiver.0.lock().attempts, 1, "a batch has been made");
        let (sink, with, _) = stage.running.as_ref().unwrap();
        assert_eq!(stage.log.erase(SessionId([1; 12])).await.unwrap(), 3);
        erase(with.clone(), Arc::new(vec![sink.clone()]), SessionId([1; 12])).await.unwrap();
        stage.rest().await;
        if mood == Mood::Gone {
            assert_eq!(stage.receiver.0.lock().attempts, 1, "who wants nothing more is not asked for that");
            stage.running.as_ref().unwrap().0.turn_to(stage.config.clone(), Arc::new(stage.receiver.clone()));
        }
        stage.catch_up().await;
        stage.is_conserved();
        assert_eq!(stage.arrived(), BTreeMap::from([(2, vec![0, 1])]));
        assert_eq!((stage.figures().progress.delivered, stage.figures().progress.missed), (2, 3));
    }
}

#[tokio::test]
async fn a_sink_that_comes_back_for_other_events_gets_them_under_another_key() {
    let mut stage = Stage::new(5, 1 << 30, 1 << 20);
    stage.receiver.is(Mood::Lost);
    stage.tell(3, 1).await;
    let at = u64::try_from(stage.clock.wall().since_epoch().as_millis()).unwrap();
    let line = Bytes::from_static(b"{\"session\":2,\"nth\":0,\"event\":\"path\"}");
    stage.log.append(vec![Record { session: None, at, class: Class::Lasting, line }]).await.unwrap();
    while stage.receiver.lines().len() < 4 {
        stage.pass(Duration::from_millis(100)).await;
    }
    let keys = |stage: &Stage| stage.receiver.0.lock().order.clone();
    assert_eq!((keys(&stage).len(), stage.receiver.lines().len()), (1, 4), "it has it, and does not say so");
    stage.config.events = BTreeSet::from(["served"]);
    stage.receiver.is(Mood::Good);
    let (sink, _, task) = stage.running.take().unwrap();
    sink.ended.cancel();
    task.await.unwrap();
    // In the same process: only what it holds tells the one batch from the other.
    stage.begin();
    stage.catch_up().await;
    let [before, after] = keys(&stage).try_into().unwrap();
    assert!(before.starts_with("edge/1/1-") && after.starts_with("edge/1/1-") && before != after, "{before} {after}");
    assert_eq!((stage.figures().progress.delivered, stage.figures().progress.left_out), (3, 1));
}

#[tokio::test]
async fn a_node_that_stops_sends_what_is_there_and_waits_for_nobody() {
    let mut stage = Stage::new(3, 1 << 30, 1 << 20);
    stage.tell(5, 1).await;
    assert_eq!(stage.receiver.0.lock().attempts, 0, "it waits for more");
    let (sink, with, _) = stage.running.as_ref().unwrap();
    with.hurry.send_replace(true);
    sink.idle.cancelled().await;
    assert_eq!(stage.arrived()[&1], [0, 1, 2, 3, 4]);

    let mut stage = Stage::new(3, 1 << 30, 1 << 20);
    stage.receiver.is(Mood::Down);
    stage.tell(5, 1).await;
    let (sink, with, _) = stage.running.as_ref().unwrap();
    with.hurry.send_replace(true);
    sink.idle.cancelled().await;
    assert_eq!(stage.receiver.0.lock().attempts, 1);
    stage.receiver.is(Mood::Good);
    stage.kill().await;
    stage.catch_up().await;
    assert_eq!(stage.arrived()[&1], [0, 1, 2, 3, 4]);
}

/// What happens to a node and its sink.
#[derive(Clone, Debug)]
enum Step {
    Tell(u32, u8),
    Pass(u64),
    Turn(Mood),
    Kill,
}

fn step() -> impl Strategy<Value = Step> {
    let mood = prop_oneof![3 => Just(Mood::Wild), 1 => Just(Mood::Good), 1 => Just(Mood::Down)];
    prop_oneof![
        4 => (1_u32..30, 0_u8..4).prop_map(|(count, session)| Step::Tell(count, session)),
        4 => (1_u64..20_000).prop_map(Step::Pass),
        1 => mood.prop_map(Step::Turn),
        1 => Just(Step::Kill),
    ]
}

async fn play(stage: &mut Stage, steps: Vec<Step>) {
    stage.receiver.is(Mood::Wild);
    for step in steps {
        match step {
            Step::Tell(count, session) => stage.tell(count, session).await,
            Step::Pass(ms) => stage.pass(Duration::from_millis(ms)).await,
            Step::Turn(mood) => stage.receiver.is(mood),
            Step::Kill => stage.kill().await,
        }
        stage.is_conserved();
    }
    stage.catch_up().await;
    stage.is_conserved();
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever the receiver does and however often the node is killed: what it took is all but what it refused.
    #[test]
    fn every_record_arrives_once_and_in_order_or_is_laid_aside(
        steps in proptest::collection::vec(step(), 1..60),
        seed: u64,
    ) {
        runtime().block_on(async {
            let mut stage = Stage::new(seed, 1 << 30, 400);
            play(&mut stage, steps).await;
            let told: u32 = stage.told.values().sum();
            let progress = stage.figures().progress;
            let arrived: usize = stage.arrived().values().map(Vec::len).sum();
            assert_eq!(progress.missed, 0);
            assert_eq!(arrived as u64, progress.delivered);
            assert_eq!(u64::from(told), progress.delivered + progress.quarantined + progress.refused);
        });
    }

    /// The same where the log is too small: what it lets go of is counted, and order is kept.
    #[test]
    fn what_the_log_lets_go_of_is_counted(steps in proptest::collection::vec(step(), 1..60), seed: u64) {
        runtime().block_on(async {
            let mut stage = Stage::new(seed, 2_000, 400);
            play(&mut stage, steps).await;
            let told: u32 = stage.told.values().sum();
            let progress = stage.figures().progress;
            let dropped = progress.quarantined + progress.refused + progress.missed;
            assert_eq!(u64::from(told), progress.delivered + dropped);
        });
    }
}
