//! The laws of the house, held by a test: who may import whom, how long a file may be, what the rules may not know, and
//! which crates and licences may come in.

#![expect(clippy::unwrap_used, reason = "what cannot be read fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What each module of `src/` may import, beside itself.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("clock", &[]),
    ("tasks", &["clock"]),
    ("disk", &["clock", "tasks"]),
    ("rules", &["clock"]),
    ("outbound", &["clock", "tasks", "rules"]),
    ("config", &["clock", "rules"]),
    ("cache", &["clock", "tasks", "disk", "rules", "config"]),
    ("telemetry", &["clock", "tasks", "rules", "config"]),
    ("journal", &["clock", "tasks", "disk", "rules", "config"]),
    ("region", &["clock", "tasks", "outbound", "rules", "config", "journal"]),
    ("sessions", &["clock", "tasks", "rules", "config", "journal", "region"]),
    ("stories", &["clock", "tasks", "rules", "config", "telemetry", "journal"]),
    ("uplink", &["clock", "tasks", "outbound", "rules", "config", "telemetry", "journal", "region", "stories"]),
    ("access", &["clock", "tasks", "outbound", "rules", "config", "telemetry", "journal", "region", "sessions"]),
    ("origin", &["clock", "tasks", "outbound", "rules", "config", "cache", "telemetry", "region"]),
    ("live", &["clock", "tasks", "rules", "config", "cache", "telemetry", "origin"]),
    (
        "request",
        &[
            "clock",
            "tasks",
            "outbound",
            "rules",
            "config",
            "cache",
            "telemetry",
            "journal",
            "region",
            "sessions",
            "stories",
            "access",
            "origin",
            "live",
        ],
    ),
    ("transport", &["clock", "tasks", "outbound", "rules", "config", "telemetry", "request"]),
    (
        "admin",
        &[
            "clock",
            "tasks",
            "rules",
            "config",
            "cache",
            "telemetry",
            "journal",
            "region",
            "sessions",
            "stories",
            "access",
            "origin",
            "live",
            "request",
        ],
    ),
    (
        "node",
        &[
            "clock",
            "tasks",
            "disk",
            "outbound",
            "rules",
            "config",
            "cache",
            "telemetry",
            "journal",
            "region",
            "sessions",
            "stories",
            "access",
            "origin",
            "live",
            "request",
            "transport",
            "uplink",
            "admin",
        ],
    ),
    ("ops", &["clock", "tasks", "outbound", "rules", "config"]),
    ("demo", &["clock", "tasks", "rules", "config", "node", "ops"]),
    ("main", &["node", "ops", "demo", "config", "telemetry"]),
];

/// `admin` explains requests, has playlists followed ahead of them, purges what they brought, and holds the journey's parts; it never serves one.
const OF_REQUEST_FOR_ADMIN: &[&str] = &["Edge", "explain", "held", "purge", "warm"];

/// What a rule must not know: runtimes, sockets, locks, clocks.
const NOT_IN_RULES: &[&str] = &[
    "tokio",
    "hyper::",
    "quinn",
    "rustls",
    "std::net::Tcp",
    "std::net::Udp",
    "std::sync::Mutex",
    "parking_lot",
    "std::time::Instant",
    "std::time::SystemTime",
    "std::thread",
    "async fn",
    "crate::clock::Clock",
    "std::fs",
];

/// Files that may lift the ban on `unsafe`.
const MAY_BE_UNSAFE: &[&str] = &["src/disk/uring.rs", "src/transport/steer.rs", "src/transport/socket.rs"];

/// Lines of a file, without its tests.
const FILE_LIMIT: usize = 500;

/// Crates that must not come in, with the reason.
const BANNED: &[(&str, &str)] = &[
    ("ring", "one cryptographic library: aws-lc-rs"),
    ("openssl", "one TLS library: rustls"),
    ("native-tls", "one TLS library: rustls"),
    ("rustls-pemfile", "archived: rustls-pki-types reads PEM"),
    ("paste", "unmaintained"),
];

/// Licences that a dependency may be under.
const LICENCES: &[&str] = &[
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "0BSD",
    "Unicode-3.0",
    "Unlicense",
    "CC0-1.0",
    "MIT-0",
    "BSL-1.0",
    "CDLA-Permissive-2.0",
    "OpenSSL",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// Whether a file of a crate holds nothing but its tests.
fn is_tests(path: &Path) -> bool {
    let relative = relative(path);
    relative.contains("/tests/") || relative.ends_with("tests.rs") || relative.ends_with("/mock.rs")
}

/// The lines of a file before its tests, with their numbers.
fn code(text: &str) -> Vec<(usize, &str)> {
    let end = text.find("\n#[cfg(test)]\nmod tests").unwrap_or(text.len());
    text[..end].lines().enumerate().map(|(index, line)| (index + 1, line)).collect()
}

fn without_comment(line: &str) -> &str {
    let line = line.trim_start();
    if line.starts_with("//") { "" } else { line }
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().to_string_lossy().into_owned()
}

/// The module of `src/` that a file belongs to.
fn module(path: &Path) -> String {
    let inside = path.strip_prefix(root().join("src")).unwrap();
    let first = inside.components().next().unwrap().as_os_str().to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// The paths below `crate::` (or the library's name, in the binary) that a line names.
fn imports(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    for start in ["crate::", "weir::"] {
        for (at, _) in line.match_indices(start) {
            if at > 0 && line.as_bytes()[at - 1].is_ascii_alphanumeric() {
                continue;
            }
            let path = &line[at + start.len()..];
            if let Some(group) = path.strip_prefix('{') {
                let names = group.split('}').next().unwrap_or_default().split(',');
                found.extend(names.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()));
            } else {
                let end = path.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(path.len());
                found.push(path[..end].to_owned());
            }
        }
    }
    found
}

#[test]
fn every_import_is_one_that_the_table_allows() {
    let table: BTreeMap<_, _> = MAY_IMPORT.iter().copied().collect();
    let mut faults = Vec::new();
    for file in rust_files(&root().join("src")).into_iter().filter(|file| !is_tests(file)) {
        let module = module(&file);
        if module == "lib" {
            continue;
        }
        let Some(allowed) = table.get(module.as_str()) else {
            faults.push(format!("{}: module {module} has no row in the table", relative(&file)));
            continue;
        };
        let text = fs::read_to_string(&file).unwrap();
        for (number, line) in code(&text) {
            for path in imports(without_comment(line)) {
                let mut parts = path.split("::");
                let first = parts.next().unwrap_or_default();
                let known = table.contains_key(first);
                if known && first != module && !allowed.contains(&first) {
                    faults.push(format!("{}:{number}: {module} must not import {first}", relative(&file)));
                }
                let second = parts.next().unwrap_or_default();
                if module == "admin" && first == "request" && !OF_REQUEST_FOR_ADMIN.contains(&second) {
                    faults.push(format!("{}:{number}: admin must not import request::{second}", relative(&file)));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_row_of_the_table_is_a_module_that_exists() {
    let modules: BTreeSet<_> = rust_files(&root().join("src")).iter().map(|file| module(file)).collect();
    for (name, _) in MAY_IMPORT {
        assert!(modules.contains(*name), "{name} is in the table and not in src/");
    }
}

#[test]
fn rules_know_no_runtime_socket_lock_or_clock() {
    let mut faults = Vec::new();
    for file in rust_files(&root().join("src/rules")).into_iter().filter(|file| !is_tests(file)) {
        let text = fs::read_to_string(&file).unwrap();
        for (number, line) in code(&text) {
            for word in NOT_IN_RULES {
                if without_comment(line).contains(word) {
                    faults.push(format!("{}:{number}: {word}", relative(&file)));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn no_file_is_longer_than_its_limit() {
    let mut faults = Vec::new();
    for folder in ["src", "loadtest/src", "tests", "fuzz/targets"] {
        let files = rust_files(&root().join(folder));
        for file in files.into_iter().filter(|file| folder == "tests" || !is_tests(file)) {
            let lines = code(&fs::read_to_string(&file).unwrap()).len();
            if lines > FILE_LIMIT {
                faults.push(format!("{}: {lines} lines without tests", relative(&file)));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn unsafe_code_stands_only_where_it_may_and_argues_for_itself() {
    let mut faults = Vec::new();
    for folder in ["src", "loadtest/src"] {
        for file in rust_files(&root().join(folder)) {
            let text = fs::read_to_string(&file).unwrap();
            let lines: Vec<_> = text.lines().collect();
            for (index, line) in lines.iter().enumerate() {
                if !without_comment(line).contains("unsafe {") && !without_comment(line).contains("allow(unsafe_code") {
                    continue;
                }
                if !MAY_BE_UNSAFE.contains(&relative(&file).as_str()) {
                    faults.push(format!("{}:{}: unsafe", relative(&file), index + 1));
                }
                let argued = lines[index.saturating_sub(8)..index].iter().any(|line| line.contains("SAFETY"));
                if line.contains("unsafe {") && !argued {
                    faults.push(format!("{}:{}: no SAFETY argument", relative(&file), index + 1));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_load_test_knows_nothing_of_the_node() {
    for file in rust_files(&root().join("loadtest/src")) {
        let text = fs::read_to_string(&file).unwrap();
        for (number, line) in text.lines().enumerate() {
            assert!(!without_comment(line).contains("weir::"), "{}:{}", relative(&file), number + 1);
        }
    }
    let manifest = fs::read_to_string(root().join("loadtest/Cargo.toml")).unwrap();
    assert!(!manifest.lines().any(|line| line.starts_with("weir ")), "loadtest must not depend on weir");
}

#[test]
fn the_map_in_the_architecture_page_names_every_module() {
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    for (name, _) in MAY_IMPORT {
        assert!(page.contains(&format!("`{name}")), "ARCHITECTURE.md does not mention `{name}`");
    }
    for word in page.split('`').skip(1).step_by(2) {
        let is_file = word.ends_with(".rs") || (word.contains('/') && !word.contains(' ') && !word.starts_with('/'));
        let is_pattern = word.contains(['*', '{', '<', ':']);
        if is_file && !is_pattern {
            let found = [root().join(word), root().join("src").join(word)].iter().any(|path| path.exists());
            assert!(found, "ARCHITECTURE.md names {word}, which does not exist");
        }
    }
}

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Name and version of every crate that is built here, tests included. The lock file also names crates that only other
/// platforms and features would bring.
fn built() -> BTreeSet<String> {
    let tree = cargo(&["tree", "--workspace", "--locked", "--edges", "all", "--prefix", "none", "--format", "{p}"]);
    let version = |line: &str| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    tree.lines().filter(|line| !line.contains(" feature ")).map(version).collect()
}

#[test]
fn no_banned_crate_and_no_foreign_licence_comes_in() {
    let metadata: serde_json::Value =
        serde_json::from_str(&cargo(&["metadata", "--format-version", "1", "--locked"])).unwrap();
    let built = built();
    assert!(built.len() > 100, "the list of what is built was not read: {built:?}");
    let mut faults = Vec::new();
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        if !built.contains(&format!("{name} v{}", package["version"].as_str().unwrap())) {
            continue;
        }
        if let Some((_, reason)) = BANNED.iter().find(|(banned, _)| *banned == name) {
            faults.push(format!("{name}: {reason}"));
        }
        let Some(licence) = package["license"].as_str() else {
            faults.push(format!("{name}: no licence"));
            continue;
        };
        if !licence_is_allowed(licence) {
            faults.push(format!("{name}: {licence}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// An expression is allowed if, of each `AND`, at least one `OR` is on the list.
fn licence_is_allowed(expression: &str) -> bool {
    let flat = expression.replace(['(', ')'], "").replace('/', " OR ");
    flat.split(" AND ").all(|all| all.split(" OR ").any(|one| LICENCES.contains(&one.trim())))
}

#[test]
fn the_bans_are_the_same_for_those_who_have_cargo_deny() {
    let deny = fs::read_to_string(root().join("deny.toml")).unwrap();
    for (name, _) in BANNED {
        assert!(deny.contains(&format!("\"{name}\"")), "deny.toml does not ban {name}");
    }
    for licence in LICENCES {
        assert!(deny.contains(&format!("\"{licence}\"")), "deny.toml does not allow {licence}");
    }
}
