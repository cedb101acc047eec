//! Findings as people like to see them: the source line, a caret under the place, and the remedy.

use std::fmt;
use std::io::IsTerminal;
use std::path::Path;

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, Severity, SourceCode};

use crate::config::Finding;

/// Columns of the terminal; lines beyond are wrapped.
const WIDTH: usize = 110;

/// Whether escape codes for colours may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// A terminal.
    Yes,
    /// A file, a pipe, or someone who said NO_COLOR.
    No,
}

impl Colour {
    /// Colours where `stream` is a terminal and nobody objects (no-color.org).
    pub fn of(stream: &impl IsTerminal) -> Self {
        let wanted = stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        if wanted { Self::Yes } else { Self::No }
    }
}

/// Draws findings of one text.
pub(super) struct Picture {
    source: NamedSource<String>,
    handler: GraphicalReportHandler,
}

impl Picture {
    pub(super) fn of(file: &Path, text: &str, colour: Colour) -> Self {
        let theme = if colour == Colour::Yes { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        Self {
            source: NamedSource::new(file.display().to_string(), text.to_owned()),
            handler: GraphicalReportHandler::new_themed(theme).with_width(WIDTH).with_links(false),
        }
    }

    /// Draws one finding.
    pub(super) fn draw(&self, finding: &Finding, severity: Severity) -> String {
        let mut drawing = String::new();
        let shown = Shown { finding, severity, source: &self.source };
        self.handler.render_report(&mut drawing, &shown).expect("a string takes whatever is written");
        drawing
    }
}

/// A finding in the form that the drawing library takes.
struct Shown<'a> {
    finding: &'a Finding,
    severity: Severity,
    source: &'a NamedSource<String>,
}

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.finding, f)
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.finding.key.as_str() {
            "" => f.write_str(&self.finding.message),
            key => write!(f, "{key}: {}", self.finding.message),
        }
    }
}

impl std::error::Error for Shown<'_> {}

impl Diagnostic for Shown<'_> {
    fn severity(&self) -> Option<Severity> {
        Some(self.severity)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let Finding { accepted, remedy, .. } = self.finding;
        let accepted = accepted.as_ref().map(|accepted| format!("accepted: {accepted}"));
        let lines: Vec<String> = accepted.into_iter().chain(remedy.clone()).collect();
        if lines.is_empty() { None } else { Some(Box::new(lines.join("\n"))) }
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        if self.is_of_the_whole() { None } else { Some(self.source) }
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        if self.is_of_the_whole() {
            return None;
        }
        let text = self.finding.found.as_ref().map_or_else(|| "here".to_owned(), |found| format!("found: {found}"));
        let span = self.finding.span.clone();
        Some(Box::new(std::iter::once(LabeledSpan::new_with_span(Some(text), span))))
    }
}

impl Shown<'_> {
    fn is_of_the_whole(&self) -> bool {
        self.finding.key.is_empty() && self.finding.span.is_empty()
    }
}
