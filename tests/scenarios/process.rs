//! `weir serve` as a process of its own, told what to do by signals.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use weir_loadtest::client::{Client, Network, Way};
use weir_loadtest::origin::{Action, Origin, OriginConfig, Rule, Running};

use crate::certificates::{Authority, Kind};
use crate::stage::fresh_blob;

/// A node's process.
struct Process {
    child: Child,
    log: mpsc::UnboundedReceiver<String>,
    folder: tempfile::TempDir,
    network: Network,
    origin: Running,
}

impl Process {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new("the process's authority");
        authority.leaf(folder.path(), "edge", Kind::Ecdsa);
        let origin = Origin::start(OriginConfig::default()).await.unwrap();
        std::fs::write(folder.path().join("edge.toml"), edge_toml(&origin)).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_weir"))
            .args(["serve", "--config"])
            .arg(folder.path().join("edge.toml"))
            .env_remove("WEIR_LOG")
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (lines, log) = mpsc::unbounded_channel();
        // Ends with the process, or when nobody reads its log any more.
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| lines.send(line)));
        let network = Network::new(&authority.trust(folder.path()));
        let mut process = Self { child, log, folder, network, origin };
        process.logged(|line| line["kind"] == "admin").await;
        process
    }

    /// The next line of the log that is as wanted.
    async fn logged(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        while let Some(line) = self.log.recv().await {
            let line: Value = serde_json::from_str(&line).unwrap();
            if wanted(&line) {
                return line;
            }
        }
        panic!("the process ended");
    }

    async fn said(&mut self, message: &str) {
        self.logged(|line| line["message"] == message).await;
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// Its exit code, once it has ended.
    async fn wait(&mut self) -> Option<i32> {
        while self.log.recv().await.is_some() {}
        self.child.wait().unwrap().code()
    }

    /// An answer of the admin API on its Unix socket.
    async fn admin(&self, request: &str) -> Value {
        let mut stream = UnixStream::connect(self.folder.path().join("admin.sock")).await.unwrap();
        let head = format!("{request} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap_or_else(|_| panic!("{answer}"))
    }

    async fn viewer(&self, way: Way) -> Client {
        let kind = match way {
            Way::H1 | Way::H2Cleartext => "http",
            Way::H1Tls | Way::H2 => "https",
            Way::H3 => "h3",
        };
        let status = self.admin("GET /status").await;
        let listener = status["listeners"].as_array().unwrap().iter().find(|one| one["kind"] == kind).unwrap();
        let addr = listener["address"].as_str().unwrap().parse().unwrap();
        let server = weir_loadtest::client::Server { addr, authority: addr.to_string() };
        Client::connect_to(server, way, &self.network).await.unwrap()
    }

    /// What `weir` says of this node.
    async fn weir(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
        command.args(arguments).current_dir(self.folder.path());
        command.env("WEIR_ADMIN", format!("unix:{}", self.folder.path().join("admin.sock").display()));
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Where a story failed; else it has ended already.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

fn edge_toml(origin: &Running) -> String {
    format!(
        r#"
[node]
name = "edge-test"
workers = 2
[listen]
http = ["127.0.0.1:0"]
https = ["127.0.0.1:0"]
admin = "unix:admin.sock"
[tls]
certificates = [{{ cert = "edge.pem", key = "edge.key" }}]
[cache]
memory = "64MiB"
[shutdown]
deadline = "100s"
[origins.main]
url = "http://{}"
first_byte = "100s"
idle = "100s"
[[route]]
name = "all"
path = "/"
origins = ["main"]
"#,
        origin.addr()
    )
}

fn rewrite(folder: &Path, from: &str, to: &str) {
    let file = folder.join("edge.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(file, text.replace(from, to)).unwrap();
}

#[tokio::test]
async fn a_hangup_reads_the_configuration_again() {
    let mut process = Process::start().await;
    rewrite(process.folder.path(), "name = \"all\"", "name = \"renamed\"");
    process.signal("-HUP");
    process.said("configuration reloaded").await;
    let status = process.admin("GET /status").await;
    assert_eq!(status["routes"][0]["name"], "renamed");
    rewrite(process.folder.path(), "name = \"renamed\"", "nmae = \"renamed\"");
    process.signal("-HUP");
    process.logged(|line| line["level"] == "ERROR").await;
    let viewer = process.viewer(Way::H2).await;
    assert_eq!(viewer.get("/blob/x?size=1", &[]).await.unwrap().status.as_u16(), 200, "the old one goes on");
}

#[tokio::test]
async fn the_command_line_operates_a_running_node() {
    let mut process = Process::start().await;
    for (arguments, code, said) in [
        (&["status"][..], 0, "edge-test"),
        (&["status", "--json"], 0, "\"node\":"),
        (&["explain", "http://x.example/blob/y?size=1"], 0, "all"),
        (&["reload"], 0, ""),
        (&["drain", "--cancel"], 1, ""),
    ] {
        let output = process.weir(arguments).await;
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
        assert!(text.contains(said), "{arguments:?}: {text}");
    }
    let drained = process.weir(&["drain", "--by", "10s"]).await;
    assert_eq!(drained.status.code(), Some(0), "{drained:?}");
    assert_eq!(process.wait().await, Some(0));
}

#[tokio::test]
async fn terminated_it_lets_viewers_finish_and_ends_well() {
    let mut process = Process::start().await;
    let blob = fresh_blob(500_000, "");
    let gate = process.origin.desk().gate(Rule::new(&blob.path, Action::Stall { after: 100_000 })).unwrap();
    let mut running = Vec::new();
    for way in Way::ALL {
        let mut answer = process.viewer(way).await.get(&blob.path, &[]).await.unwrap();
        blob.read_to(&mut answer, 100_000).await.unwrap();
        running.push(answer);
    }
    process.signal("-TERM");
    process.said("draining").await;
    // A second one changes nothing.
    process.signal("-TERM");
    gate.open();
    for answer in &mut running {
        blob.read_all(answer).await.unwrap();
    }
    drop(running);
    process.said("stopped").await;
    assert_eq!(process.wait().await, Some(0));
    assert!(!process.folder.path().join("admin.sock").exists(), "its socket is gone");
}

#[tokio::test]
async fn a_configuration_with_faults_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("edge.toml"), "[lisen]\n").unwrap();
    let serve = Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(["serve", "--config"])
        .arg(folder.path().join("edge.toml"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&serve.stderr);
    assert_eq!(serve.status.code(), Some(1), "{said}");
    assert!(said.contains("lisen") && said.contains("listen"), "{said}");
}
