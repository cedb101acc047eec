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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rules::token::pattern::Pattern;

    fn asked<'a>(path: &'a str, query: Option<&'a str>) -> Asked<'a> {
        Asked { scheme: "https", host: "live.example.com", port: None, path, query }
    }

    fn exact(component: Component, text: &str, path: &str) -> bool {
        UriMatch::new(component, TextMatch::Exact(text.into())).matches(&asked(path, None))
    }

    #[test]
    fn components_are_those_of_the_path_that_is_asked_for() {
        for (component, path, text) in [
            (Component::ParentPath, "/a/b/c.m3u8", "/a/b"),
            (Component::ParentPath, "/a/b/c.m3u8", "/a/b/"),
            (Component::ParentPath, "/c.m3u8", ""),
            (Component::ParentPath, "/c.m3u8", "/"),
            (Component::ParentPath, "/a/", "/a"),
            (Component::FileName, "/a/", ""),
            (Component::FileName, "/a/b.tar.gz", "b.tar.gz"),
            (Component::Stem, "/a/b.tar.gz", "b.tar"),
            (Component::Extension, "/a/b.tar.gz", ".gz"),
            (Component::Extension, "/a/b.tar.gz", "gz"),
            (Component::Extension, "/a.b/c", ""),
            (Component::Stem, "/a.b/c", "c"),
            (Component::Stem, "/.hidden", ""),
            (Component::Port, "/", "443"),
            (Component::Scheme, "/", "HTTPS"),
            (Component::Host, "/", "Live.Example.com"),
            (Component::Query, "/", ""),
        ] {
            assert!(exact(component, text, path), "{component:?} {path} {text}");
        }
        assert!(!exact(Component::ParentPath, "/a", "/a/b/c.m3u8"));
        assert!(!exact(Component::Extension, "", "/a/b.gz"));
        assert!(!exact(Component::Path, "/A", "/a"));
        let http = Asked { scheme: "http", port: Some(8080), ..asked("/", None) };
        assert!(UriMatch::new(Component::Port, TextMatch::Exact("8080".into())).matches(&http));
        let http = Asked { port: None, ..http };
        assert!(UriMatch::new(Component::Port, TextMatch::Exact("80".into())).matches(&http));
    }

    fn texts() -> impl Strategy<Value = TextMatch> {
        let text = "[a-z./]{0,8}";
        prop_oneof![
            text.prop_map(|text| TextMatch::Exact(text.into())),
            text.prop_map(|text| TextMatch::Prefix(text.into())),
            text.prop_map(|text| TextMatch::Suffix(text.into())),
            text.prop_map(|text| TextMatch::Contains(text.into())),
            ("[a-z./*+]{1,8}", prop::collection::vec(prop::option::of("[a-z]{0,4}"), 0..3)).prop_filter_map(
                "a pattern",
                |(text, groups)| {
                    let groups = groups.into_iter().map(|group| group.map(Into::into)).collect();
                    Pattern::read(&text).map(|pattern| TextMatch::Pattern(pattern, groups))
                }
            ),
            any::<[u8; 32]>().prop_map(TextMatch::Sha256),
            any::<[u8; 32]>().prop_map(TextMatch::Sha512Of256),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(label in 0i128..9, expected in texts(), rest: Vec<u8>) {
            let one = UriMatch::new(Component::of_label(label).expect("a label"), expected);
            let mut out = Vec::new();
            one.write(&mut out);
            let length = out.len();
            out.extend_from_slice(&rest);
            let mut input = &out[..];
            prop_assert_eq!(UriMatch::read(&mut input), Some(one));
            prop_assert_eq!(input, &out[length..]);
        }

        #[test]
        fn whatever_is_read_was_written_so(octets: Vec<u8>) {
            let mut input = &octets[..];
            if let Some(one) = UriMatch::read(&mut input) {
                let mut out = Vec::new();
                one.write(&mut out);
                prop_assert_eq!(&out[..], &octets[..octets.len() - input.len()]);
            }
        }

        #[test]
        fn a_prefix_of_a_path_opens_nothing_beside_it(prefix in "(/[a-c]{1,3}){1,3}", path in "(/[a-c]{1,4}){1,4}") {
            let one = UriMatch::new(Component::Path, TextMatch::Prefix(prefix.clone().into()));
            let is_below = path == prefix || path.starts_with(&format!("{prefix}/"));
            prop_assert_eq!(one.matches(&asked(&path, None)), is_below);
        }
    }
}
