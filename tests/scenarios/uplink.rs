//! Sinks are told what the log holds: a receiver over HTTP that answers in every way, a JetStream stream of a real NATS
//! server, files. What they get is what was kept, in order, and nothing of it is lost.

use std::collections::VecDeque;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use parking_lot::Mutex;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::watch;
use weir::clock::Clock;
use weir::config::Config;
use weir::disk::{Choice, Engine};
use weir::journal::log::{Bounds, Class, Log, Record};
use weir::rules::session::PrintKey;
use weir::stories::{Names, Stories};
use weir::tasks::Tasks;
use weir::uplink::{Figures, Health, Uplink};
use weir_loadtest::client::Way;

use crate::script::{Script, Seen, reply};
use crate::stage::{PAUSE, Setup, tell};

/// Whatever is awaited here takes seconds; only a failure takes this long.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a receiver does with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    Answers(u16),
    /// Says nothing, for ever.
    Hangs,
    /// Cuts the connection.
    Cuts,
}

/// A receiver that does these things, one after the other, and takes everything from then on.
struct Receiver {
    script: Script,
    plan: Arc<Mutex<VecDeque<Does>>>,
    /// Batches that it took: key and lines.
    taken: watch::Receiver<Vec<(String, Vec<String>)>>,
}

impl Receiver {
    async fn start(plan: &[Does]) -> Self {
        let (told, taken) = watch::channel(Vec::new());
        let plan = Arc::new(Mutex::new(plan.iter().copied().collect::<VecDeque<_>>()));
        let does = plan.clone();
        let script = Script::start_with(move |seen: Seen| {
            let next = does.lock().pop_front().unwrap_or(Does::Answers(204));
            if next == Does::Answers(204) {
                let batch = (seen.field("idempotency-key"), lines(&seen));
                told.send_modify(|taken| taken.push(batch));
            }
            Box::pin(async move {
                match next {
                    Does::Answers(status) => reply(status, &[("retry-after", "0")], ""),
                    Does::Hangs => std::future::pending().await,
                    Does::Cuts => panic!("the connection is cut"),
                }
            })
        })
        .await;
        Self { script, plan, taken }
    }

    fn sink(&self, further: &str) -> String {
        format!(
            "[qoe.sinks.main]\ntype = \"http\"\nurl = \"http://{}/in\"\nevery = \"0s\"\n{further}\n",
            self.script.addr
        )
    }

    async fn takes(&mut self, count: usize) -> Vec<(String, Vec<String>)> {
        let taken = self.taken.wait_for(|taken| taken.iter().map(|(_, lines)| lines.len()).sum::<usize>() >= count);
        tokio::time::timeout(PATIENCE, taken).await.expect("nothing more comes").unwrap().clone()
    }
}

/// A batch of lines under its key: process and first number, and a check of the octets.
fn keyed(place: &str, lines: Vec<String>) -> (String, Vec<String>) {
    let octets: String = lines.iter().map(|line| format!("{line}\n")).collect();
    (format!("edge/{place}-{:08x}", crc32fast::hash(octets.as_bytes())), lines)
}

/// The lines of a request, whatever they are packed with.
fn lines(seen: &Seen) -> Vec<String> {
    assert_eq!((seen.method.as_str(), seen.field("content-type").as_str()), ("POST", "application/x-ndjson"));
    assert_eq!((seen.field("weir-schema").as_str(), seen.field("weir-node").as_str()), ("1", "edge"));
    let mut text = String::new();
    match seen.field("content-encoding").as_str() {
        "gzip" => _ = flate2::read::GzDecoder::new(&seen.body[..]).read_to_string(&mut text).unwrap(),
        "zstd" => text = String::from_utf8(zstd::bulk::decompress(&seen.body, 1 << 20).unwrap()).unwrap(),
        _ => text = String::from_utf8(seen.body.to_vec()).unwrap(),
    }
    assert!(text.ends_with('\n'), "{text}");
    let lines: Vec<_> = text.lines().map(str::to_owned).collect();
    assert!(seen.field("weir-batch").contains(&format!("count={}", lines.len())), "{:?}", seen.headers);
    lines
}

/// A node's log and its sinks.
struct Teller {
    folder: TempDir,
    log: Log,
    uplink: Uplink,
    told: u32,
}

impl Teller {
    fn new(sinks: &str) -> Self {
        let (folder, log) = (tempfile::tempdir().unwrap(), Log::in_memory(64 << 20));
        let uplink = start(folder.path(), &log, 1);
        let teller = Self { folder, log, uplink, told: 0 };
        teller.follow(sinks);
        teller
    }

    fn follow(&self, sinks: &str) {
        let text = format!(
            "[node]\nname = \"edge\"\n[listen]\nhttp = [\"127.0.0.1:0\"]\n[origins.o]\nurl = \"http://127.0.0.1:1\"\n\
             [[route]]\norigins = [\"o\"]\n{sinks}"
        );
        let read = Config::parse(&text, self.folder.path());
        let (config, _) = read.unwrap_or_else(|problems| panic!("{problems}\n{text}"));
        self.uplink.follow(&config.qoe.sinks).unwrap();
    }

    /// The process ends, and another one goes on with its log.
    async fn restart(&mut self, sinks: &str) {
        // No time is left for what is under way.
        self.uplink.flush(weir::clock::Tick::default()).await;
        self.uplink = start(self.folder.path(), &self.log, 2);
        self.follow(sinks);
    }

    async fn tell(&mut self, count: u32) -> Vec<String> {
        let lines: Vec<_> = (self.told..self.told + count)
            .map(|nth| format!("{{\"schema\":1,\"key\":\"{nth}\",\"event\":\"ended\"}}"))
            .collect();
        self.told += count;
        let at = u64::try_from(Clock::system().wall().since_epoch().as_millis()).unwrap();
        let record =
            |line: &String| Record { session: None, at, class: Class::Lasting, line: Bytes::from(line.clone()) };
        self.log.append(lines.iter().map(record).collect()).await.unwrap();
        lines
    }

    fn sink(&self, name: &str) -> Figures {
        self.uplink.figures().into_iter().find(|figures| figures.sink == name).unwrap()
    }

    /// How a sink is rings no bell: it is looked at whenever something has happened.
    async fn until(&self, name: &str, is_so: impl Fn(&Figures) -> bool) {
        let look = async {
            while !is_so(&self.sink(name)) {
                tokio::time::sleep(PAUSE).await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, look).await.is_ok(), "{:?}", self.sink(name));
    }
}

fn start(folder: &Path, log: &Log, boot: u64) -> Uplink {
    let names = Names { node: "edge".into(), region: None, boot };
    let stories = Stories::new(Clock::system(), names, 1, (log.clone(), PrintKey::new(&[1; 32])));
    Uplink::new(Arc::new(stories), Some(folder.to_owned()), (Clock::system(), Tasks::current()))
}

fn flat(taken: &[(String, Vec<String>)]) -> Vec<String> {
    taken.iter().flat_map(|(_, lines)| lines.clone()).collect()
}

#[tokio::test]
async fn a_batch_is_sent_with_the_same_octets_and_key_until_it_is_taken() {
    // Only where the receiver says nothing is its answer given up: one that is late counts, too.
    for (compression, faults, timeout) in [
        ("gzip", [Does::Answers(500), Does::Cuts], "60s"),
        ("zstd", [Does::Hangs, Does::Answers(429)], "3s"),
        ("none", [Does::Answers(408), Does::Answers(302)], "60s"),
    ] {
        let mut receiver = Receiver::start(&faults).await;
        let sink = receiver.sink(&format!("timeout = \"{timeout}\"\ncompression = \"{compression}\""));
        let mut teller = Teller::new(&sink);
        let told = teller.tell(5).await;
        let taken = receiver.takes(5).await;
        assert_eq!(taken, [keyed("1/1", told)]);
        let seen = receiver.script.seen();
        assert_eq!(seen.len(), faults.len() + 1);
        for again in &seen {
            assert!(again.field("idempotency-key").starts_with("edge/1/1-"), "{:?}", again.headers);
            let same = |seen: &Seen| (seen.field("idempotency-key"), seen.body.clone());
            assert_eq!(same(again), same(&seen[0]));
        }
        teller.until("main", |figures| figures.health == Health::Up && figures.behind.records == 0).await;
    }
}

#[tokio::test]
async fn what_is_refused_is_laid_aside_and_who_is_gone_is_asked_again_on_reload() {
    let mut receiver = Receiver::start(&[Does::Answers(400), Does::Answers(204), Does::Answers(410)]).await;
    let sink = receiver.sink("headers = { Authorization = \"Bearer 1\" }");
    let mut teller = Teller::new(&sink);
    let refused = teller.tell(2).await;
    teller.until("main", |figures| figures.health == Health::Refusing && figures.behind.records == 0).await;
    let taken = teller.tell(3).await;
    assert_eq!(flat(&receiver.takes(3).await), taken);
    let late = teller.tell(4).await;
    teller.until("main", |figures| figures.health == Health::Gone).await;
    assert_eq!((receiver.script.count(), teller.sink("main").behind.records), (3, 4));
    teller.follow(&sink);
    assert_eq!(flat(&receiver.takes(7).await), [taken, late].concat());
    assert!(receiver.script.seen().iter().all(|seen| seen.field("authorization") == "Bearer 1"));
    let name = keyed("1/1", refused.clone()).0.replace("edge/", "").replace('/', "-");
    let aside = teller.folder.path().join(format!("uplink/main.refused/{name}.ndjson"));
    let aside = fs::read_to_string(aside).unwrap();
    assert_eq!(aside.lines().collect::<Vec<_>>(), refused);
    teller.until("main", |figures| figures.behind.records == 0).await;
    let progress = teller.sink("main").progress;
    assert_eq!((progress.delivered, progress.quarantined, progress.unaccounted()), (7, 2, 0));
}

#[tokio::test]
async fn who_begins_anew_sends_the_batch_that_was_under_way_again_as_it_was() {
    let mut receiver = Receiver::start(&[Does::Answers(204), Does::Hangs]).await;
    let sink = receiver.sink("");
    let mut teller = Teller::new(&sink);
    let first = teller.tell(2).await;
    receiver.takes(2).await;
    teller.until("main", |figures| figures.behind.records == 0).await;
    let second = teller.tell(3).await;
    // The receiver has it, and its answer never comes.
    teller.until("main", |_| receiver.script.count() == 2).await;
    let third = teller.tell(4).await;
    teller.restart(&sink).await;
    let taken = receiver.takes(9).await;
    assert_eq!(taken, [keyed("1/1", first), keyed("1/3", second), keyed("2/6", third)]);
    let seen = receiver.script.seen();
    assert_eq!((seen[1].field("idempotency-key"), &seen[1].body), (seen[2].field("idempotency-key"), &seen[2].body));
    assert!(receiver.plan.lock().is_empty());
}

/// The log of a folder, and what writes it.
fn on_disk(folder: &Path) -> (Log, tokio::task::JoinHandle<()>) {
    let (clock, tasks) = (Clock::system(), Tasks::current());
    fs::create_dir_all(folder).unwrap();
    let engine = Engine::start(Choice::Threads, folder, clock.clone()).unwrap();
    let (keep, sync) = (Duration::from_secs(86_400), Duration::from_millis(50));
    let log = Log::open(folder, (engine, clock, tasks.clone()), Bounds { size: 64 << 20, keep, sync }).unwrap();
    let work = tasks.spawn("log", log.clone().work());
    (log, work)
}

#[tokio::test]
async fn a_log_on_disk_is_told_as_it_reaches_the_disk_and_nothing_of_it_counts_as_gone() {
    let mut receiver = Receiver::start(&[]).await;
    let sink = receiver.sink("");
    let mut teller = Teller::new("");
    let folder = teller.folder.path().join("log");
    let (log, work) = on_disk(&folder);
    teller.log = log;
    teller.uplink = start(teller.folder.path(), &teller.log, 1);
    teller.follow(&sink);
    let mut told = Vec::new();
    // Each is appended while those before it wait for the disk, and are not to be read yet.
    for _ in 0..100 {
        told.extend(teller.tell(7).await);
    }
    assert_eq!(flat(&receiver.takes(700).await), told);
    teller.until("main", |figures| figures.behind.records == 0).await;
    teller.uplink.flush(weir::clock::Tick::default()).await;
    work.abort();
    _ = work.await;
    let (log, _work) = on_disk(&folder);
    teller.log = log;
    teller.uplink = start(teller.folder.path(), &teller.log, 2);
    teller.follow(&sink);
    told.extend(teller.tell(3).await);
    assert_eq!(flat(&receiver.takes(703).await), told);
    teller.until("main", |figures| figures.progress.delivered == 703).await;
    assert_eq!((teller.sink("main").progress.missed, teller.sink("main").progress.unaccounted()), (0, 0));
}

#[tokio::test]
async fn each_sink_has_a_cursor_of_its_own_and_files_give_way_to_new_ones() {
    let receiver = Receiver::start(&[]).await;
    let archive =
        "[qoe.sinks.archive]\ntype = \"file\"\npath = \"qoe.ndjson\"\nrotate = \"1MiB\"\nkeep = 2\nevery = \"0s\"\n";
    let down = "[qoe.sinks.down]\ntype = \"http\"\nurl = \"http://127.0.0.1:1/\"\n";
    let mut teller = Teller::new(&format!("{}{archive}{down}", receiver.sink("events = [\"node\"]")));
    let mut told = Vec::new();
    for _ in 0..50 {
        told.extend(teller.tell(1_000).await);
    }
    teller.until("archive", |figures| figures.progress.delivered == 50_000).await;
    teller.until("down", |figures| figures.health == Health::Down && figures.behind.records == 50_000).await;
    teller.until("main", |figures| figures.progress.left_out == 50_000).await;
    assert_eq!(receiver.script.count(), 0, "nothing of it is for this one");
    let read =
        |end: &str| fs::read_to_string(teller.folder.path().join(format!("qoe.ndjson{end}"))).unwrap_or_default();
    let written = [read(".2"), read(".1"), read("")].concat();
    assert!(read("").len() <= 1 << 20 && !read(".1").is_empty() && read(".3").is_empty());
    assert_eq!(written.lines().collect::<Vec<_>>(), told);
}

#[tokio::test]
async fn a_node_follows_its_sinks_without_a_restart() {
    tell(Way::H1, Setup::default(), async |stage| {
        assert_eq!(stage.status().await["sinks"], serde_json::json!([]));
        let text = fs::read_to_string(&stage.config).unwrap();
        let sinks = "[qoe.sinks.archive]\ntype = \"file\"\npath = \"qoe.ndjson\"\n";
        fs::write(&stage.config, format!("{text}\n{sinks}")).unwrap();
        let (code, answer) = stage.admin(Method::POST, "/reload", "").await;
        assert!(code == 200 && answer.contains("qoe"), "{answer}");
        let status = stage.status().await;
        assert_eq!((&status["sinks"][0]["name"], &status["sinks"][0]["health"]), (&"archive".into(), &"up".into()));
        assert_eq!(stage.metric("weir_uplink_up", &["sink=\"archive\""]).await, Some(1.0));
        assert_eq!(stage.status().await["tasks"]["sink"], Value::from(1));
        fs::write(&stage.config, &text).unwrap();
        stage.admin(Method::POST, "/reload", "").await;
        stage
            .until("the sink is gone", |status| status["tasks"]["sink"] == 0 && status["sinks"] == Value::Array(vec![]))
            .await;
    })
    .await;
}

#[cfg(feature = "nats")]
mod jetstream {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::json;

    use super::*;
    use crate::nats::Server;

    async fn ask(client: &async_nats::Client, subject: &str, request: Value) -> Value {
        let answer = client.request(subject.to_owned(), request.to_string().into()).await.unwrap();
        serde_json::from_slice(&answer.payload).unwrap()
    }

    /// Every message of the stream: its headers and its lines.
    async fn messages(client: &async_nats::Client) -> Vec<(String, Vec<String>)> {
        let info = ask(client, "$JS.API.STREAM.INFO.QOE", json!({})).await;
        let mut messages = Vec::new();
        for seq in 1..=info["state"]["last_seq"].as_u64().unwrap() {
            let got = ask(client, "$JS.API.STREAM.MSG.GET.QOE", json!({ "seq": seq })).await;
            let text = |key: &str| {
                let octets = STANDARD.decode(got["message"][key].as_str().unwrap()).unwrap();
                String::from_utf8(octets).unwrap()
            };
            messages.push((text("hdrs"), text("data").lines().map(str::to_owned).collect()));
        }
        messages
    }

    #[tokio::test]
    async fn a_stream_keeps_each_batch_once_and_in_order_although_its_server_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let config = format!("jetstream {{ store_dir: {:?} }}\n", folder.path().display().to_string());
        let mut server = Server::start(Some(&config));
        let sink = format!(
            "[qoe.sinks.main]\ntype = \"nats\"\nservers = [{:?}]\nevery = \"0s\"\ntimeout = \"500ms\"\n",
            server.url("nats")
        );
        let mut teller = Teller::new(&sink);
        let mut told = teller.tell(3).await;
        // Nobody listens to the subject yet. Before that is said, it may have been too late once.
        teller.until("main", |sink| sink.health == Health::Down && sink.detail.contains("no stream")).await;
        let client = async_nats::connect(server.url("nats")).await.unwrap();
        let stream = json!({ "name": "QOE", "subjects": ["weir.qoe"], "storage": "file", "num_replicas": 1,
            "retention": "limits", "discard": "old", "duplicate_window": 120_000_000_000_u64 });
        let made = ask(&client, "$JS.API.STREAM.CREATE.QOE", stream).await;
        assert!(made["error"].is_null(), "{made}");
        teller.until("main", |figures| figures.progress.delivered == 3).await;
        server.kill();
        told.extend(teller.tell(4).await);
        teller.until("main", |figures| figures.health == Health::Down).await;
        told.extend(teller.tell(5).await);
        server.restart();
        teller.until("main", |figures| figures.progress.delivered == 12 && figures.health == Health::Up).await;
        let client = async_nats::connect(server.url("nats")).await.unwrap();
        let kept = messages(&client).await;
        let first = kept.iter().find(|(headers, _)| headers.contains("Nats-Msg-Id: edge/1/1-")).unwrap();
        assert!(
            first.0.contains("Weir-Schema: 1") && first.0.contains("Weir-Batch: first=1, last=3, count=3"),
            "{first:?}"
        );
        assert_eq!(flat(&kept), told, "{kept:?}");
    }
}

#[tokio::test]
async fn a_collector_gets_spans_and_whoever_joined_links_to_the_fetch() {
    let (told, mut taken) = watch::channel(Vec::new());
    let script = Script::start_with(move |seen: Seen| {
        assert_eq!(seen.field("content-type"), "application/json");
        told.send_modify(|all: &mut Vec<Value>| all.push(serde_json::from_slice(&seen.body).unwrap()));
        Box::pin(async { reply(200, &[], "{}") })
    })
    .await;
    let sink = format!(
        "[qoe.sinks.traces]\ntype = \"http\"\nurl = \"http://{}/v1/traces\"\nevery = \"0s\"\nformat = \"otlp-traces\"\n\
         compression = \"none\"\n",
        script.addr
    );
    let teller = Teller::new(&sink);
    let request = |id: &str, cache: &str| {
        let line = serde_json::json!({ "schema": 1, "key": "1-1", "node": "edge", "at": 1_000, "event": "request",
            "kind": "part", "path": "/p", "protocol": "h2", "status": 200, "cache": cache, "bytes": 1, "first_byte_ms": 1,
            "took_ms": 2, "complete": true, "id": id, "origin": { "id": 3, "origin": "main", "status": 200, "wait_ms": 1 } });
        Record { session: None, at: 1_000, class: Class::Lasting, line: Bytes::from(line.to_string()) }
    };
    teller.log.append(vec![request("a", "miss"), request("b", "joined")]).await.unwrap();
    let taken = tokio::time::timeout(PATIENCE, taken.wait_for(|all| !all.is_empty())).await;
    let all = taken.expect("spans come").unwrap()[0].clone();
    let spans = all["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap().clone();
    assert_eq!(spans.len(), 3, "{all:#}");
    assert_eq!(spans[2]["links"][0]["spanId"], spans[1]["spanId"], "{all:#}");
    teller.until("traces", |figures| figures.progress.delivered == 2).await;
}
