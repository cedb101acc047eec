//! The page of metrics, the boards and the rules name what a node exposes, and nothing else.

#![expect(clippy::unwrap_used, reason = "what cannot be read fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What looks like the name of a metric in the source and is none: a claim of tokens.
const NOT_METRICS: &[&str] = &["weir_session"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|other| other == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The words of a text that begin as metrics do.
fn words(text: &str) -> BTreeSet<String> {
    let is_in_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let all = text.split(|c| !is_in_word(c));
    all.filter(|word| word.starts_with("weir_") && *word != "weir_").map(str::to_owned).collect()
}

/// Families and their kinds, as the page says.
fn page() -> BTreeMap<String, String> {
    let text = fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| `weir_"));
    let cells = rows.map(|row| row.split('|').map(str::trim).collect::<Vec<_>>());
    cells.map(|cells| (cells[1].trim_matches('`').to_owned(), cells[2].to_owned())).collect()
}

/// Families that the source names.
fn exposed() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for file in files(&root().join("src"), "rs") {
        if file.to_string_lossy().contains("tests") {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap();
        let literals = code.split('"');
        names.extend(literals.filter(|literal| words(literal).contains(*literal)).map(str::to_owned));
    }
    NOT_METRICS.iter().for_each(|name| _ = names.remove(*name));
    names
}

#[test]
fn every_family_that_a_node_exposes_is_on_the_page_and_no_other() {
    let on_page: BTreeSet<_> = page().into_keys().collect();
    let in_source = exposed();
    assert!(in_source.len() > 100, "the source was not read: {in_source:?}");
    let missing: Vec<_> = in_source.difference(&on_page).collect();
    assert!(missing.is_empty(), "docs/metrics.md says nothing of {missing:?}");
    let unknown: Vec<_> = on_page.difference(&in_source).collect();
    assert!(unknown.is_empty(), "docs/metrics.md tells of {unknown:?}, which no node exposes");
}

#[test]
fn families_are_named_by_their_kind() {
    for (name, kind) in page() {
        assert!(["counter", "gauge", "histogram"].contains(&&*kind), "{name}: {kind}");
        for ending in ["_total", "_bucket", "_sum", "_count"] {
            assert!(!name.ends_with(ending), "{name}: {ending} belongs to samples");
        }
    }
}

/// The samples of all families, as queries name them.
fn samples() -> BTreeSet<String> {
    let mut samples = BTreeSet::new();
    for (name, kind) in page() {
        match &*kind {
            "counter" => _ = samples.insert(format!("{name}_total")),
            "histogram" => samples.extend(["_bucket", "_sum", "_count"].map(|ending| format!("{name}{ending}"))),
            _ => _ = samples.insert(name),
        }
    }
    samples
}

#[test]
fn boards_and_rules_ask_for_samples_that_exist() {
    let samples = samples();
    // What tells an operator where to look may name a family.
    let families = page();
    let mut faults = Vec::new();
    let docs = root().join("docs");
    let boards = files(&docs.join("grafana"), "json");
    let rules = files(&docs.join("prometheus"), "yml");
    assert!(boards.len() >= 4 && rules.len() >= 2, "{boards:?} {rules:?}");
    for file in boards.iter().chain(&rules) {
        let text = fs::read_to_string(file).unwrap();
        for line in text.lines() {
            let is_hint = line.trim_start().starts_with("look:");
            let unknown = words(line).into_iter().filter(|word| !samples.contains(word));
            let unknown = unknown.filter(|word| !is_hint || !families.contains_key(word));
            faults.extend(unknown.map(|word| format!("{}: {word}", file.display())));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn rules_that_alerts_and_boards_stand_on_are_recorded() {
    let mut asked = BTreeSet::new();
    let mut recorded = BTreeSet::new();
    for file in files(&root().join("docs/prometheus"), "yml") {
        let text = fs::read_to_string(file).unwrap();
        for line in text.lines() {
            let is_in_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
            let names = line.split(|c| !is_in_name(c)).filter(|word| word.starts_with("weir:"));
            let names = names.map(str::to_owned);
            if line.trim_start().starts_with("- record:") { recorded.extend(names) } else { asked.extend(names) }
        }
    }
    let lost: Vec<_> = asked.difference(&recorded).collect();
    assert!(!recorded.is_empty() && lost.is_empty(), "{lost:?}");
}

#[test]
fn every_board_is_one_that_grafana_opens() {
    let mut names = BTreeSet::new();
    for file in files(&root().join("docs/grafana"), "json") {
        let board: serde_json::Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        let shown = file.display();
        assert!(names.insert(board["uid"].as_str().unwrap().to_owned()), "{shown}: two boards with one uid");
        let mut ids = BTreeSet::new();
        for panel in board["panels"].as_array().unwrap() {
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{shown}: {panel}");
            let place = &panel["gridPos"];
            assert!(place["x"].as_u64().unwrap() + place["w"].as_u64().unwrap() <= 24, "{shown}: {}", panel["title"]);
            let is_row = panel["type"] == "row";
            let targets = panel["targets"].as_array().map_or(0, Vec::len);
            assert_eq!(is_row, targets == 0, "{shown}: {}", panel["title"]);
        }
    }
}
