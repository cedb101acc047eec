//! Nodes' voices through a real NATS server, which is killed and comes back. `tests/setup.sh` installs it.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::sync::watch;
use weir::clock::Clock;
use weir::config::{Config, Nats};
use weir::region::bus::{Bus, Listener, Node};
use weir::region::message::{NodeId, Presence};
use weir::region::nats::{Subjects, connect};
use weir::rules::caching::purge::{Meant, Mode};
use weir::rules::session::{Revocation, SessionId, What};
use weir::tasks::Tasks;
use weir_loadtest::port::Reserved;

use crate::certificates::{Authority, Kind};

/// Whatever is awaited here takes milliseconds; only a failure takes this long.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server that is killed when the test ends.
pub struct Server {
    child: Child,
    folder: TempDir,
    port: Reserved,
    options: Vec<String>,
}

impl Server {
    /// A server with this configuration, on a port of its own.
    pub fn start(config: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut options = vec!["-a".to_owned(), "127.0.0.1".to_owned()];
        if let Some(text) = config {
            let file = folder.path().join("nats.conf");
            fs::write(&file, text).unwrap();
            options.extend(["-c".to_owned(), file.display().to_string()]);
        }
        let port = Reserved::any().unwrap();
        options.extend(["-p".to_owned(), port.addr().port().to_string()]);
        let child = spawn(&options);
        Self { child, folder, port, options }
    }

    /// It is gone at once.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// It comes back on the same port, and remembers nothing.
    pub fn restart(&mut self) {
        self.child = spawn(&self.options);
    }

    /// Where it is.
    pub fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}", self.port.addr())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Starts a server and waits until it says that it is ready.
fn spawn(options: &[String]) -> Child {
    let found = ["/usr/sbin/nats-server", "/usr/bin/nats-server"].into_iter().find(|path| Path::new(path).exists());
    let mut command = Command::new(found.unwrap_or("nats-server"));
    command.args(options).stderr(Stdio::piped());
    let mut child = command.spawn().expect("nats-server is installed by tests/setup.sh");
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let said: Vec<_> = lines.by_ref().map_while(Result::ok).take_while(|line| !line.contains("is ready")).collect();
    assert!(child.try_wait().unwrap().is_none(), "{said:?}");
    // What it says later must be read, or it stops.
    std::thread::spawn(move || lines.for_each(drop));
    child
}

/// What a node knows; whoever waits for it is woken.
struct Memory {
    bus: Mutex<Bus>,
    known: watch::Sender<BTreeSet<u64>>,
    elsewhere: watch::Sender<BTreeSet<SessionId>>,
    changes: Mutex<Vec<Presence>>,
}

impl Listener for Memory {
    fn revoked(&self, revocations: &[Revocation]) {
        for revocation in revocations {
            let What::Subject(print) = revocation.what else { continue };
            if self.known.send_if_modified(|known| known.insert(print)) {
                self.bus.lock().note(revocation);
            }
        }
    }

    fn changes(&self) -> Option<Vec<Presence>> {
        Some(std::mem::take(&mut self.changes.lock()))
    }

    fn living(&self) -> Vec<Presence> {
        Vec::new()
    }

    fn apply(&self, _: NodeId, changes: &[Presence]) {
        self.elsewhere.send_modify(|known| {
            for change in changes {
                _ = if change.goes_on { known.insert(change.session) } else { known.remove(&change.session) };
            }
        });
    }

    fn purge(&self, _: &Meant, _: Mode) -> Result<(u64, u64), String> {
        Ok((4, 2))
    }
}

struct Member {
    bus: Bus,
    memory: Arc<Memory>,
}

impl Member {
    async fn join(name: &str, nats: &Nats) -> Self {
        let (tasks, id) = (Tasks::current(), NodeId::random());
        let node = Node {
            name: name.to_owned(),
            region: "ams".to_owned(),
            id,
            keys: vec![[7; 32].into()],
            revocations: 1_000_000,
        };
        let (bus, started) = Bus::new(&node);
        let memory = Arc::new(Memory {
            bus: Mutex::new(bus.clone()),
            known: watch::Sender::default(),
            elsewhere: watch::Sender::default(),
            changes: Mutex::default(),
        });
        let wire = connect(nats, name, Subjects::new("weir", "ams", id), &tasks).await.unwrap();
        tasks.spawn("region", started.run(memory.clone(), wire, (Clock::system(), tasks.clone())));
        Self { bus, memory }
    }

    fn revoke(&self, print: u64) {
        self.memory.known.send_modify(|known| _ = known.insert(print));
        self.bus.tell(&revocation(print));
    }

    async fn learns(&self, prints: &[u64]) {
        let mut known = self.memory.known.subscribe();
        let all = |known: &BTreeSet<u64>| prints.iter().all(|print| known.contains(print));
        let learned = tokio::time::timeout(PATIENCE, known.wait_for(all)).await.is_ok();
        assert!(learned, "{:?}", self.bus.figures());
    }

    /// How the bus is is no event: it is looked at now and then.
    async fn becomes(&self, what: &str, is_so: impl Fn(&weir::region::bus::Figures) -> bool) {
        let begun = Instant::now();
        while !is_so(&self.bus.figures().unwrap()) {
            assert!(begun.elapsed() < PATIENCE, "never {what}: {:?}", self.bus.figures());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn is_in_step_with(&self, others: usize) {
        let in_step = |figures: &weir::region::bus::Figures| {
            figures.connected && figures.nodes.len() == others && figures.nodes.iter().all(|node| node.is_whole)
        };
        self.becomes("in step", in_step).await;
    }
}

fn revocation(print: u64) -> Revocation {
    Revocation { access: "members".into(), what: What::Subject(print), at: 1_700_000_000, until: 4_000_000_000 }
}

/// `[nats]` as it is typed.
fn nats(text: &str, folder: &Path) -> Nats {
    fs::write(folder.join("node.keys"), "00112233445566778899aabbccddeeff0123456789abcdeffedcba9876543210").unwrap();
    let text = format!(
        "[node]\nname = \"n\"\nregion = \"ams\"\nsecrets = \"node.keys\"\n[listen]\nhttp = [\"127.0.0.1:0\"]\n\
         [origins.o]\nurl = \"http://127.0.0.1:1\"\n[[route]]\norigins = [\"o\"]\n[nats]\n{text}\n"
    );
    let (config, _) = Config::parse(&text, folder).unwrap_or_else(|problems| panic!("{problems}"));
    config.nats.unwrap()
}

#[tokio::test]
async fn three_nodes_hear_each_other_and_go_on_alone_while_the_server_is_away() {
    let mut server = Server::start(None);
    let nats = nats(&format!("servers = [\"{}\"]", server.url("nats")), server.folder.path());
    let [a, b, c] = [Member::join("a", &nats).await, Member::join("b", &nats).await, Member::join("c", &nats).await];
    for member in [&a, &b, &c] {
        member.is_in_step_with(2).await;
    }

    let begun = Instant::now();
    a.revoke(1);
    b.learns(&[1]).await;
    c.learns(&[1]).await;
    println!("a revocation is known on three nodes after {:?}", begun.elapsed());

    let begun = Instant::now();
    let session = SessionId([5; 12]);
    let presence = Presence { access: "members".into(), subject: 7, session, began_ms: 5, goes_on: true };
    a.memory.changes.lock().push(presence);
    let mut elsewhere = b.memory.elsewhere.subscribe();
    tokio::time::timeout(PATIENCE, elsewhere.wait_for(|known| known.contains(&session))).await.unwrap().unwrap();
    println!("a session is counted elsewhere after {:?}", begun.elapsed());

    let clock = Clock::system();
    let replies = c.bus.purge(Meant::All, Mode::Hard, clock.now() + PATIENCE).await;
    assert_eq!((replies.answered.len(), replies.silent.len()), (2, 0), "{replies:?}");

    server.kill();
    for member in [&a, &b, &c] {
        member.becomes("alone", |figures| !figures.connected).await;
    }
    a.revoke(2);
    b.revoke(3);
    c.revoke(4);
    assert!(!b.memory.known.borrow().contains(&2));
    server.restart();
    let begun = Instant::now();
    for member in [&a, &b, &c] {
        member.learns(&[1, 2, 3, 4]).await;
        member.is_in_step_with(2).await;
    }
    println!("what was missed is known {:?} after the server came back", begun.elapsed());

    let begun = Instant::now();
    let d = Member::join("d", &nats).await;
    d.learns(&[1, 2, 3, 4]).await;
    println!("a node that comes late knows all after {:?}", begun.elapsed());
    d.is_in_step_with(3).await;

    a.bus.leave(&clock, clock.now() + PATIENCE).await;
    b.becomes("without a", |figures| figures.nodes.len() == 2).await;
}

#[tokio::test]
async fn a_node_starts_without_its_server_and_finds_it_later() {
    let mut server = Server::start(None);
    server.kill();
    let nats = nats(&format!("servers = [\"{}\"]", server.url("nats")), server.folder.path());
    let [a, b] = [Member::join("a", &nats).await, Member::join("b", &nats).await];
    a.revoke(1);
    server.restart();
    b.learns(&[1]).await;
}

#[tokio::test]
async fn certificates_on_both_sides_and_a_password_are_what_a_server_may_ask_for() {
    let files = tempfile::tempdir().unwrap();
    let folder = files.path();
    let authority = Authority::new("the authority of a NATS server");
    authority.file(folder, "ca.pem");
    for name in ["server", "node"] {
        authority.leaf(folder, name, Kind::Ecdsa);
    }
    let path = folder.display();
    let server = Server::start(Some(&format!(
        "tls {{ cert_file: \"{path}/server.pem\", key_file: \"{path}/server.key\", ca_file: \"{path}/ca.pem\", verify: true }}\n\
         authorization {{ user: weir, password: \"a password of the test\" }}\n"
    )));
    fs::write(folder.join("nats.password"), "a password of the test\n").unwrap();
    let url = server.url("tls");
    let tls = "tls = { ca = \"ca.pem\", cert = \"node.pem\", key = \"node.key\" }";
    let nats = nats(&format!("servers = [\"{url}\"]\nuser = \"weir\"\npassword = \"nats.password\"\n{tls}"), folder);
    let [a, b] = [Member::join("a", &nats).await, Member::join("b", &nats).await];
    a.revoke(1);
    b.learns(&[1]).await;
}

/// A pair that the NATS documentation publishes as an example: it opens nothing.
const EXAMPLE_SEED: &str = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";
const EXAMPLE_USER: &str = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4";

#[tokio::test]
async fn an_nkey_proves_who_a_node_is_and_a_stranger_stays_out() {
    let server = Server::start(Some(&format!("authorization {{ users: [ {{ nkey: {EXAMPLE_USER} }} ] }}\n")));
    let folder = server.folder.path();
    fs::write(folder.join("node.nk"), EXAMPLE_SEED).unwrap();
    let url = server.url("nats");
    let good = nats(&format!("servers = [\"{url}\"]\nnkey = \"node.nk\""), folder);
    let bad = nats(&format!("servers = [\"{url}\"]"), folder);
    let stranger = Member::join("stranger", &bad).await;
    let [a, b] = [Member::join("a", &good).await, Member::join("b", &good).await];
    a.revoke(1);
    b.learns(&[1]).await;
    assert!(!stranger.bus.figures().unwrap().connected, "it goes on alone");
}
