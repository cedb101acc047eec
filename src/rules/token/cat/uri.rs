//! What a component of a URI must be like (`catu`).
//!
//! Implementations differ in two details, and either is taken: whether an extension has its dot, and whether a parent path
//! ends in a slash. Two are ours and narrower than others': a prefix of a path ends where a segment ends (so that
//! `/event1` does not open `/event10`), and parameters of a query are compared in one order.

use std::borrow::Cow;

use crate::rules::token::scope::Asked;
use crate::rules::token::text_match::TextMatch;
use crate::rules::token::wire;
use crate::rules::uri;

/// A component of a URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Component {
    /// `https`
    Scheme,
    /// `live.example.com`
    Host,
    /// `443`
    Port,
    /// `/live/one.m3u8`
    Path,
    /// `a=1&b=2`
    Query,
    /// `/live`
    ParentPath,
    /// `one.m3u8`
    FileName,
    /// `one`
    Stem,
    /// `.m3u8`
    Extension,
}

impl Component {
    /// Every component, in the order of their labels.
    const ALL: [Self; 9] = [
        Self::Scheme,
        Self::Host,
        Self::Port,
        Self::Path,
        Self::Query,
        Self::ParentPath,
        Self::FileName,
        Self::Stem,
        Self::Extension,
    ];

    /// The component of this label.
    pub fn of_label(label: i128) -> Option<Self> {
        Self::ALL.get(usize::try_from(label).ok()?).copied()
    }

    /// What it is in a URI: one form, or two that mean the same.
    fn of<'a>(self, asked: &'a Asked<'_>) -> (Cow<'a, str>, Option<Cow<'a, str>>) {
        let (parent, file) = asked.path.rsplit_once('/').unwrap_or(("", asked.path));
        let (stem, dot) = match file.rfind('.') {
            Some(at) => file.split_at(at),
            None => (file, ""),
        };
        match self {
            Self::Scheme => (asked.scheme.into(), None),
            Self::Host => (asked.host.into(), None),
            Self::Port => {
                (asked.port.unwrap_or(if asked.scheme == "http" { 80 } else { 443 }).to_string().into(), None)
            }
            Self::Path => (asked.path.into(), None),
            Self::Query => (sorted(asked.query.unwrap_or_default()), None),
            Self::ParentPath => (parent.into(), asked.path.get(..=parent.len()).map(Into::into)),
            Self::FileName => (file.into(), None),
            Self::Stem => (stem.into(), None),
            Self::Extension => (dot.into(), dot.strip_prefix('.').map(Into::into)),
        }
    }
}

/// The parameters of a query, sorted.
fn sorted(query: &str) -> Cow<'_, str> {
    let mut parameters: Vec<_> = query.split('&').collect();
    if parameters.is_sorted() {
        return query.into();
    }
    parameters.sort_unstable();
    parameters.join("&").into()
}

/// What a component of the URI must be like.
#[derive(Clone, Debug, PartialEq)]
pub struct UriMatch {
    component: Component,
    expected: TextMatch,
}

impl UriMatch {
    /// The most of them in a token.
    pub const MOST: usize = 32;

    /// What a component must be like.
    pub fn new(component: Component, expected: TextMatch) -> Self {
        let expected = match (component, expected) {
            (Component::Query, TextMatch::Exact(query)) => TextMatch::Exact(sorted(&query).into()),
            // Those of the request are in lower case.
            (Component::Scheme | Component::Host, TextMatch::Exact(name)) => {
                TextMatch::Exact(name.to_ascii_lowercase().into())
            }
            (_, expected) => expected,
        };
        Self { component, expected }
    }

    /// Whether what is asked for is like that.
    pub fn matches(&self, asked: &Asked<'_>) -> bool {
        let (one, other) = self.component.of(asked);
        self.is_like(&one) || other.is_some_and(|other| self.is_like(&other))
    }

    fn is_like(&self, text: &str) -> bool {
        match (&self.expected, self.component) {
            (TextMatch::Prefix(prefix), Component::Path | Component::ParentPath) => uri::is_under(text, prefix),
            (expected, _) => expected.matches(text),
        }
    }

    /// Writes it.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(self.component as u8);
        self.expected.write(out);
    }

    /// Reads what was written.
    pub fn read(input: &mut &[u8]) -> Option<Self> {
        let component = Component::of_label(wire::take_octet(input)?.into())?;
        Some(Self { component, expected: TextMatch::read(input)? })
    }
}
