//! From text to a TOML document, with as many syntax errors at once as can be told apart from their own echoes.
//!
//! A bracket that is not closed turns all that follows into nonsense. After such an error the search goes on at the
//! next table header, and nothing else is said about the file; other errors concern their own line alone, and what
//! stands around them is judged as usual.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, Error};

use super::finding::{Complaint, Report};

/// More than a person repairs in one go.
const MOST_ERRORS: usize = 20;

/// Parses a text and reports its syntax errors. `None`: what was understood is not worth judging.
pub(super) fn parse<'a>(text: &'a str, report: &Report) -> Option<Spanned<DeTable<'a>>> {
    let (document, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        return Some(document);
    }
    report.know_in_part();
    let mut torn = tell(text, &errors, 0, report);
    let sound = torn.is_none();
    let mut told = 1;
    while let Some(start) = torn.and_then(|at| next_header(text, at))
        && told < MOST_ERRORS
    {
        let (_, errors) = DeTable::parse_recoverable(&text[start..]);
        torn = tell(text, &errors, start, report);
        told += 1;
    }
    sound.then_some(document)
}

/// Reports errors up to the first that makes nonsense of what follows, and returns the place of that one.
fn tell(text: &str, errors: &[Error], offset: usize, report: &Report) -> Option<usize> {
    let mut last_line = None;
    for error in errors.iter().take(MOST_ERRORS) {
        let span = error.span().unwrap_or(0..0);
        let span = visible(text, span.start + offset..span.end + offset);
        let place = report.file().at(span.clone());
        let message = error.message().replace('\n', ", ");
        if last_line.replace(place.line()) != Some(place.line()) {
            place.refuse(Complaint::new(format!("not TOML: {message}")).perhaps(remedy(&message)));
        }
        let own_line_alone = ["duplicate key", "must be quoted", "missing value", "invalid number"];
        if !own_line_alone.iter().any(|kind| message.contains(kind)) {
            return Some(span.start);
        }
    }
    None
}

/// A span of one character at least, so that there is something to point at.
fn visible(text: &str, span: Range<usize>) -> Range<usize> {
    if !span.is_empty() {
        return span;
    }
    let (before, after) = text.split_at_checked(span.start).unwrap_or((text, ""));
    match (after.chars().next(), before.chars().next_back()) {
        (Some(next), _) => span.start..span.start + next.len_utf8(),
        (None, Some(last)) => before.len() - last.len_utf8()..before.len(),
        (None, None) => 0..0,
    }
}

/// The next line that starts with a table header, as a byte.
fn next_header(text: &str, after: usize) -> Option<usize> {
    let rest = text.get(after..)?;
    rest.match_indices("\n[").map(|(newline, _)| after + newline + 1).find(|start| is_header(text, *start))
}

/// A line of a nested list may also start with a bracket; a header ends with one.
fn is_header(text: &str, start: usize) -> bool {
    text[start..]
        .lines()
        .next()
        .is_some_and(|line| line.split('#').next().unwrap_or_default().trim_end().ends_with(']'))
}

fn remedy(message: &str) -> Option<String> {
    let remedy = match message {
        text if text.contains("duplicate key") => "keep one of the two",
        text if text.contains("must be quoted") => "put the value in double quotes",
        text if text.contains("between array elements") => "close the list with `]`, or write the comma",
        text if text.contains("string") => "close the text with the quote that opened it",
        text => return text.split_once("expected ").map(|(_, expected)| format!("write {expected} here")),
    };
    Some(remedy.to_owned())
}
