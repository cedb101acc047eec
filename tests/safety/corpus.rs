//! The corpora: cases as data, by group. What stands for other octets in their texts is written out here.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A case with what it is called everywhere.
pub struct Case<T> {
    /// Stands for the case in paths and records.
    pub id: String,
    /// `group: name`.
    pub name: String,
    pub told: T,
}

/// What the viewer and the origin are to see.
#[derive(Clone, Debug, Default, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a word of the corpora, and they stand for themselves")]
pub struct Seen {
    pub refused: Option<u16>,
    pub passes: Option<String>,
    #[serde(default)]
    pub answers: Vec<u16>,
    #[serde(default)]
    pub origin: Vec<String>,
    #[serde(default)]
    pub closes: bool,
    #[serde(default)]
    pub cut: bool,
    #[serde(default)]
    pub perhaps: bool,
}

impl Seen {
    /// The statuses of all answers, in order.
    pub fn statuses(&self) -> Vec<u16> {
        match (self.refused, &self.passes) {
            (Some(status), _) => vec![status],
            (None, Some(_)) => vec![200],
            (None, None) => self.answers.clone(),
        }
    }

    /// Whether the node ends the connection.
    pub fn closes(&self) -> bool {
        self.closes || self.refused.is_some()
    }

    /// The requests that the origin sees, in order.
    pub fn requests(&self, id: &str) -> Vec<Vec<u8>> {
        self.passes.iter().chain(&self.origin).map(|text| octets(text, id)).collect()
    }
}

#[derive(Deserialize)]
struct Group<T> {
    cases: Vec<Named<T>>,
}

#[derive(Deserialize)]
struct Named<T> {
    name: String,
    #[serde(flatten)]
    told: T,
}

/// The cases of a file beside this one.
pub fn cases<T: DeserializeOwned>(file: &str) -> Vec<Case<T>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/safety").join(file);
    let groups: BTreeMap<String, Group<T>> = toml::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let named =
        groups.into_iter().flat_map(|(group, cases)| cases.cases.into_iter().map(move |case| (group.clone(), case)));
    let cases: Vec<_> = named
        .enumerate()
        .map(|(at, (group, case))| Case {
            id: format!("q{at:04}z"),
            name: format!("{group}: {}", case.name),
            told: case.told,
        })
        .collect();
    let mut names: Vec<_> = cases.iter().map(|case| &case.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), cases.len(), "names of {file} are their own");
    cases
}

/// What the node of these tests calls itself.
pub const NAME: &str = "edge-test";

/// A text with what stands for longer ones written out, but for its octets.
pub fn written_out(text: &str) -> String {
    repeated(text)
        .replace("$GET", r"GET /$ID HTTP/1.1\r\nHost: x\r\n")
        .replace("$POST", r"POST /$ID HTTP/1.1\r\nHost: x\r\n")
        .replace("$EVIL", r"GET /$ID/smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
        .replace("$F", ":method=GET | :scheme=http | :authority=x | :path=/$ID")
        .replace("$P", ":method=POST | :scheme=http | :authority=x | :path=/$ID")
        .replace("$NAME", NAME)
}

/// The octets that a text stands for.
pub fn octets(text: &str, id: &str) -> Vec<u8> {
    let text = written_out(text).replace("$ID", id);
    unescaped(&text)
}

/// `<<text*COUNT>>` → the text so many times.
fn repeated(text: &str) -> String {
    let Some((before, rest)) = text.split_once("<<") else { return text.to_owned() };
    let (inside, after) = rest.split_once(">>").expect("a repetition has an end");
    let (piece, count) = inside.rsplit_once('*').expect("a repetition has a count");
    [before, &piece.repeat(count.parse().unwrap()), &repeated(after)].concat()
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        if octet != b'\\' {
            octets.push(octet);
            continue;
        }
        octets.push(match rest.next().expect("an escape has an end") {
            b'r' => b'\r',
            b'n' => b'\n',
            b't' => b'\t',
            digit @ b'0'..=b'9' => digit - b'0',
            b'\\' => b'\\',
            b'x' => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            other => panic!("no such escape: \\{}", other as char),
        });
    }
    octets
}
