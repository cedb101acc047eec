//! What is wrong, or odd, about a configuration: each finding with its place, what was found, what is accepted and the
//! remedy. `Report` gathers findings while a file is read; reading never stops at the first one.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

use serde::Serialize;

/// One thing to say about one place of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Line in the file, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The same place as a range of bytes.
    #[serde(skip)]
    pub span: Range<usize>,
    /// The key with its tables, like `cache.memory`; empty for the file as a whole.
    pub key: String,
    /// What is wrong, in a sentence without its full stop.
    pub message: String,
    /// What was found there.
    pub found: Option<String>,
    /// What would have been accepted.
    pub accepted: Option<String>,
    /// What to do.
    pub remedy: Option<String>,
}

impl fmt::Display for Finding {
    /// One line: for logs, and for answers that have no room for source lines.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}", self.line)?;
        if !self.key.is_empty() {
            write!(f, ", {}", self.key)?;
        }
        write!(f, ": {}", self.message)?;
        for (word, text) in [("found", &self.found), ("accepted", &self.accepted), ("remedy", &self.remedy)] {
            if let Some(text) = text {
                write!(f, "; {word}: {text}")?;
            }
        }
        Ok(())
    }
}

/// Why a configuration was refused: every problem of it, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problems {
    /// The file; empty for a text that has none.
    pub file: PathBuf,
    /// Its text, for those who show source lines; empty where it could not be read.
    pub text: String,
    /// What is wrong; never empty.
    pub problems: Vec<Finding>,
    /// What is odd.
    pub warnings: Vec<Finding>,
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            if !self.file.as_os_str().is_empty() {
                write!(f, "{}: ", self.file.display())?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

/// What is said about a place, before the place is known.
#[derive(Clone, Debug, Default)]
pub(super) struct Complaint {
    message: String,
    found: Option<String>,
    accepted: Option<String>,
    remedy: Option<String>,
}

impl Complaint {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::default() }
    }

    pub(super) fn found(mut self, found: impl Into<String>) -> Self {
        self.found = Some(found.into());
        self
    }

    pub(super) fn accepted(mut self, accepted: impl Into<String>) -> Self {
        self.accepted = Some(accepted.into());
        self
    }

    pub(super) fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// With a remedy, where there is one.
    pub(super) fn perhaps(mut self, remedy: Option<String>) -> Self {
        self.remedy = remedy.or(self.remedy);
        self
    }
}

/// Gathers what is found in one text.
#[derive(Debug, Default)]
pub(super) struct Report {
    text: String,
    /// Whether parts of the file could not be understood, so that nothing can be said about what is missing.
    partial: Cell<bool>,
    problems: RefCell<Vec<Finding>>,
    warnings: RefCell<Vec<Finding>>,
}

impl Report {
    pub(super) fn of(text: &str) -> Self {
        Self { text: text.to_owned(), ..Self::default() }
    }

    /// Where the file as a whole is meant: its first line.
    pub(super) fn file(&self) -> Place<'_> {
        Place { report: self, key: String::new(), span: 0..0 }
    }

    /// From now on no absence is reported.
    pub(super) fn know_in_part(&self) {
        self.partial.set(true);
    }

    /// Reports that something is missing, unless what would have filled the gap is already known to be wrong:
    /// `filler` begins the keys of it.
    pub(super) fn refuse_absence(&self, place: &Place<'_>, filler: &str, complaint: Complaint) {
        if self.is_sure_of(filler) {
            place.refuse(complaint);
        }
    }

    /// Whether everything under keys that begin with `filler` is as it was typed.
    pub(super) fn is_sure_of(&self, filler: &str) -> bool {
        !self.partial.get() && !self.problems.borrow().iter().any(|problem| problem.key.starts_with(filler))
    }

    /// What was found, problems and warnings, each in the order of the file.
    pub(super) fn close(self) -> (Vec<Finding>, Vec<Finding>) {
        let in_order = |findings: RefCell<Vec<Finding>>| {
            let mut findings = findings.into_inner();
            findings.sort_by_key(|finding| finding.span.start);
            findings
        };
        (in_order(self.problems), in_order(self.warnings))
    }

    fn finding(&self, place: &Place<'_>, complaint: Complaint) -> Finding {
        let (line, column) = position(&self.text, place.span.start);
        let Complaint { message, found, accepted, remedy } = complaint;
        Finding { line, column, span: place.span.clone(), key: place.key.clone(), message, found, accepted, remedy }
    }
}

/// Line and column of a byte, both from 1, the column in characters.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = &text.as_bytes()[..at.min(text.len())];
    let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    // Bytes that continue a UTF-8 sequence are no characters of their own.
    let column = before[line_start..].iter().filter(|byte| *byte & 0xC0 != 0x80).count() + 1;
    (line, column)
}

/// A place in the text that something can be said about.
#[derive(Clone, Debug)]
pub(super) struct Place<'a> {
    report: &'a Report,
    pub(super) key: String,
    pub(super) span: Range<usize>,
}

impl<'a> Place<'a> {
    /// A place inside this one.
    pub(super) fn inside(&self, key: &str, span: Range<usize>) -> Self {
        let bare = key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        let key = if bare { key.to_owned() } else { format!("\"{key}\"") };
        let key = if self.key.is_empty() { key } else { format!("{}.{key}", self.key) };
        Self { report: self.report, key, span }
    }

    /// A place of the file that belongs to no key.
    pub(super) fn at(&self, span: Range<usize>) -> Self {
        Self { report: self.report, key: self.key.clone(), span }
    }

    /// Its line, from 1.
    pub(super) fn line(&self) -> usize {
        position(&self.report.text, self.span.start).0
    }

    /// The item of a list here.
    pub(super) fn item(&self, index: usize, span: Range<usize>) -> Self {
        Self { report: self.report, key: format!("{}[{index}]", self.key), span }
    }

    /// Reports that a key of this table is missing.
    pub(super) fn refuse_absence(&self, complaint: Complaint) {
        if !self.report.partial.get() {
            self.refuse(complaint);
        }
    }

    /// Reports a problem: the configuration is refused.
    pub(super) fn refuse(&self, complaint: Complaint) {
        let finding = self.report.finding(self, complaint);
        self.report.problems.borrow_mut().push(finding);
    }

    /// Reports a warning: the configuration works, though perhaps not as meant.
    pub(super) fn warn(&self, complaint: Complaint) {
        let finding = self.report.finding(self, complaint);
        self.report.warnings.borrow_mut().push(finding);
    }

    /// What was typed there.
    pub(super) fn typed(&self) -> &'a str {
        self.report.text.get(self.span.clone()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_counted_in_lines_and_characters() {
        let text = "a\nbü = 1\n";
        assert_eq!(position(text, 0), (1, 1));
        assert_eq!(position(text, 2), (2, 1));
        assert_eq!(position(text, 6), (2, 4));
        assert_eq!(position(text, 99), (3, 1));
        assert_eq!(position("", 0), (1, 1));
    }
}
