//! A node between the corpora and a recording origin, and the verdict on what the origin has seen.

use std::collections::BTreeMap;
use std::path::Path;

use tempfile::TempDir;
use weir::config::Config;
use weir::node::Node;

use crate::certificates::{Authority, Kind};
use crate::corpus::{Case, NAME, Seen};
use crate::origin::{Connection, Origin};

/// The node, its origin and its files.
pub struct Stage {
    pub node: Node,
    pub origin: Origin,
    pub folder: TempDir,
}

impl Stage {
    pub async fn start() -> Self {
        let origin = Origin::start().await;
        let tables = format!(
            "[origins.main]\nurl = \"http://{}\"\n[[route]]\nname = \"all\"\nhost = [\"x\", \"localhost\", \"127.0.0.1\", \"[::1]\"]\n\
             origins = [\"main\"]\nstrict_paths = false\n",
            origin.address
        );
        let (_, folder) = files();
        let node = node(folder.path(), &tables).await;
        Self { node, origin, folder }
    }

    /// Ends all and judges what the origin has seen of `cases`; what the viewers of each have seen goes before.
    pub async fn judge<T>(self, cases: &[Case<T>], seen: impl Fn(&T) -> &Seen, mut faults: Vec<String>) {
        self.node.stop().await;
        let host = self.origin.address.to_string();
        let connections = self.origin.end().await;
        let mut requests: BTreeMap<&str, Vec<Vec<u8>>> = BTreeMap::new();
        let case_of = |text: &[u8]| cases.iter().find(|case| holds(text, case.id.as_bytes()));
        for Connection { requests: recorded, rest, fault } in &connections {
            if let Some(fault) = fault {
                faults.push(format!("the origin could not read {:?}: {fault}", String::from_utf8_lossy(rest)));
            }
            for request in recorded {
                match case_of(request.line.as_bytes()) {
                    Some(case) => requests.entry(&case.id).or_default().push(request.told()),
                    None => faults.push(format!("the origin saw a request of nobody's: {}", request.line)),
                }
                if !request.is_signed(&host, NAME) {
                    faults.push(format!("the node does not say who it is: {:?}", request.fields));
                }
            }
            if !rest.is_empty() && !case_of(rest).is_some_and(|case| seen(&case.told).cut) {
                faults.push(format!("the origin saw half a request: {:?}", String::from_utf8_lossy(rest)));
            }
        }
        for case in cases {
            let mut expected = seen(&case.told).requests(&case.id);
            let mut came = requests.remove(case.id.as_str()).unwrap_or_default();
            // They may come over several connections.
            expected.sort();
            came.sort();
            if came != expected && !(seen(&case.told).perhaps && came.is_empty()) {
                faults.push(format!("{}: the origin saw {}, not {}", case.name, list(&came), list(&expected)));
            }
        }
        assert!(faults.is_empty(), "{} of {} cases:\n{}", faults.len(), cases.len(), faults.join("\n"));
    }
}

/// A folder with an authority in `ca.pem` and a certificate of its own in `edge.pem` and `edge.key`.
pub fn files() -> (Authority, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("the authority of safety");
    authority.file(folder.path(), "ca.pem");
    authority.leaf(folder.path(), "edge", Kind::Ecdsa);
    (authority, folder)
}

/// A node with `tables` behind its usual ones.
pub async fn node(folder: &Path, tables: &str) -> Node {
    let text = format!(
        "[node]\nname = \"edge-test\"\nworkers = 2\n[listen]\nhttp = [\"127.0.0.1:0\"]\nhttps = [\"127.0.0.1:0\"]\n\
         admin = \"127.0.0.1:0\"\n[tls]\ncertificates = [{{ cert = \"edge.pem\", key = \"edge.key\" }}]\n\
         [cache]\nmemory = \"64MiB\"\n[shutdown]\ndeadline = \"5s\"\n{tables}"
    );
    let config = folder.join("edge.toml");
    std::fs::write(&config, &text).unwrap();
    let (parsed, _) = Config::load(&config).unwrap_or_else(|problems| panic!("{problems}\n{text}"));
    Node::start(parsed, Some(config)).await.unwrap()
}

fn holds(text: &[u8], wanted: &[u8]) -> bool {
    text.windows(wanted.len()).any(|window| window == wanted)
}

fn list(requests: &[Vec<u8>]) -> String {
    let told: Vec<_> = requests.iter().map(|request| format!("{:?}", short(request))).collect();
    format!("[{}]", told.join(", "))
}

/// Enough of `octets` to know them by.
pub fn short(octets: &[u8]) -> String {
    String::from_utf8_lossy(&octets[..octets.len().min(300)]).into_owned()
}
