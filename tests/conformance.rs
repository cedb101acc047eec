//! The conformance pages say for every requirement which test shows it, or why none does. This holds them to it: every
//! row is whole, its number is its own, each test it names exists, and where it names none it gives a reason.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::Path;

const PAGES: [&str; 5] = [
    "docs/conformance/http-caching.md",
    "docs/conformance/http3.md",
    "docs/conformance/ll-hls.md",
    "docs/conformance/qoe.md",
    "docs/conformance/tokens.md",
];

/// How a reason begins where no test shows a requirement.
const REASONS: [&str; 5] = ["later:", "not applicable:", "by construction:", "library:", "not built:"];

struct Row {
    page: &'static str,
    line: usize,
    id: String,
    source: String,
    strength: String,
    asked: String,
    shown: String,
}

impl Row {
    fn place(&self) -> String {
        format!("{}:{} ({})", self.page, self.line, self.id)
    }

    /// The tests it names, as (file, function).
    fn tests(&self) -> impl Iterator<Item = (&str, &str)> {
        self.shown.split('`').skip(1).step_by(2).filter_map(|quoted| quoted.split_once("::"))
    }
}

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for page in PAGES {
        for (index, text) in read(page).lines().enumerate() {
            let cells: Vec<_> = text.split('|').map(str::trim).collect();
            // A row of requirements begins with a number such as HC-1, H3-22a, LH-30, QE-7 or TK-3.
            let is_row = cells.get(1).is_some_and(|id| id.starts_with(['H', 'L', 'Q', 'T']) && id.contains('-'));
            if !is_row {
                continue;
            }
            let [_, id, source, strength, asked, shown, _] = cells[..] else {
                panic!("{page}:{}: a row has five cells", index + 1);
            };
            let own = str::to_owned;
            let (id, source, strength) = (own(id), own(source), own(strength));
            rows.push(Row { page, line: index + 1, id, source, strength, asked: own(asked), shown: own(shown) });
        }
    }
    rows
}

#[test]
fn every_row_is_whole_and_its_number_its_own() {
    let mut seen = BTreeSet::new();
    for row in rows() {
        assert!(seen.insert(row.id.clone()), "{}: the number stands there twice", row.place());
        assert!(!row.source.is_empty(), "{}: no source", row.place());
        assert!(matches!(&*row.strength, "M" | "S" | "m" | "E"), "{}: strength {}", row.place(), row.strength);
        assert!(row.asked.len() > 20, "{}: says too little", row.place());
    }
    assert!(seen.len() > 250, "the pages list all requirements, not {}", seen.len());
}

#[test]
fn every_named_test_is_one() {
    let mut sources: HashMap<String, String> = HashMap::new();
    for row in rows() {
        let mut named = BTreeSet::new();
        for (file, test) in row.tests() {
            assert!(named.insert((file, test)), "{}: {file}::{test} stands there twice", row.place());
            let source = sources.entry(file.to_owned()).or_insert_with(|| read(file));
            assert!(is_test(source, test), "{}: there is no test {test} in {file}", row.place());
        }
    }
}

/// Whether a function of that name is run as a test: it has one of the two attributes of a test, among others and comments.
fn is_test(source: &str, name: &str) -> bool {
    let mut above = Vec::new();
    for line in source.lines().map(str::trim) {
        let is_it =
            line.split("fn ").nth(1).and_then(|rest| rest.strip_prefix(name)).is_some_and(|rest| rest.starts_with('('));
        if is_it && above.iter().any(|line: &&str| line.starts_with("#[test]") || line.starts_with("#[tokio::test")) {
            return true;
        }
        if line.is_empty() || line.ends_with('}') {
            above.clear();
        }
        above.push(line);
    }
    false
}

#[test]
fn a_helper_is_no_test() {
    let source = "#[test]\nfn one() {\n}\nfn helper() {}\n\n#[tokio::test(start_paused = true)]\n// Why.\nasync fn two() {}\nfn twofold() {}";
    let found = ["one", "helper", "two", "twofold", "three"].map(|name| is_test(source, name));
    assert_eq!(found, [true, false, true, false, false]);
}

#[test]
fn scripts_that_show_something_are_there() {
    for row in rows() {
        for path in row.shown.split('`').skip(1).step_by(2).filter(|quoted| quoted.starts_with("tests/")) {
            let file = path.split("::").next().unwrap_or(path);
            assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(file).exists(), "{}: no {file}", row.place());
        }
    }
}

#[test]
fn what_no_test_shows_has_a_reason() {
    for row in rows() {
        let named = row.tests().count();
        let reason = REASONS.iter().find_map(|start| row.shown.split_once(start)).map(|(_, reason)| reason.trim());
        match reason {
            Some(reason) => assert!(reason.split(' ').count() >= 3, "{}: no reason after the colon", row.place()),
            None => assert!(named > 0, "{}: neither a test nor a reason", row.place()),
        }
    }
}
