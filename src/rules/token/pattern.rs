//! Regular expressions that issuers write: in linear time, bounded, and always for the whole text.
//!
//! POSIX extended expressions (RFC 9246 §2.1.15.2) as far as the crate `regex` reads them. What differs: a backslash within
//! brackets escapes (`[\.]` is a dot alone), `[[.x.]]` and `[[=x=]]` are refused, `&&`, `--` and `~~` within brackets are
//! operators, and groups that begin with `(?` are refused but for `(?:`. None of that lets a pattern match more than it
//! should. Both ends are anchored whether or not the pattern says so: one that was written for a part of a text would
//! match too much.

use std::fmt;
use std::sync::OnceLock;

use regex::bytes::{Regex, RegexBuilder};

/// The most octets of a pattern.
pub const LONGEST: usize = 1_024;
/// The most octets of a compiled pattern.
const LARGEST_COMPILED: usize = 64 * 1_024;
/// The most octets that the faster engine may keep beside it.
const LARGEST_CACHE: usize = 256 * 1_024;
/// The deepest nesting of groups.
const DEEPEST: u32 = 32;

/// A pattern. It is compiled at its first use.
#[derive(Clone)]
pub struct Pattern {
    text: Box<str>,
    compiled: OnceLock<Option<Regex>>,
}

impl Pattern {
    /// A pattern of a token; `None` where it is too long, too large, or none.
    pub fn read(text: &str) -> Option<Self> {
        let pattern = Self::unread(text)?;
        // By itself first: in the anchors, `a)|(b` would be balanced.
        builder(text).build().ok()?;
        pattern.regex()?;
        Some(pattern)
    }

    /// A pattern that was read before; one that is none matches nothing.
    pub(super) fn unread(text: &str) -> Option<Self> {
        let is_printable = text.bytes().all(|octet| (0x20..=0x7e).contains(&octet));
        let has_options = text.match_indices("(?").any(|(at, _)| !text[at..].starts_with("(?:"));
        let is_posix = !text.contains("[[.") && !text.contains("[[=");
        let is_pattern = !text.is_empty() && text.len() <= LONGEST && is_printable && !has_options && is_posix;
        is_pattern.then(|| Self { text: text.into(), compiled: OnceLock::new() })
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether all of `text` is of this pattern.
    pub fn matches(&self, text: &str) -> bool {
        self.regex().is_some_and(|regex| regex.is_match(text.as_bytes()))
    }

    /// The same, and each of its groups that is named here holds just that.
    pub fn matches_groups(&self, text: &str, groups: &[Option<Box<str>>]) -> bool {
        if groups.is_empty() {
            return self.matches(text);
        }
        let Some(found) = self.regex().and_then(|regex| regex.captures(text.as_bytes())) else { return false };
        groups.iter().enumerate().all(|(index, expected)| match expected {
            None => true,
            Some(expected) => found.get(index + 1).is_some_and(|group| group.as_bytes() == expected.as_bytes()),
        })
    }

    fn regex(&self) -> Option<&Regex> {
        self.compiled.get_or_init(|| builder(&format!(r"\A(?:{})\z", self.text)).build().ok()).as_ref()
    }
}

fn builder(text: &str) -> RegexBuilder {
    let mut builder = RegexBuilder::new(text);
    builder.unicode(false).size_limit(LARGEST_COMPILED).dfa_size_limit(LARGEST_CACHE).nest_limit(DEEPEST);
    builder
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_pattern_is_for_the_whole_text_whether_or_not_it_says_so() {
        for (pattern, text, matches) in [
            ("/live/[a-z]+", "/live/abc", true),
            ("/live/[a-z]+", "/live/abc/x", false),
            ("/live/[a-z]+", "/x/live/abc", false),
            ("^/live/[a-z]+$", "/live/abc", true),
            ("/a|/b", "/a", true),
            ("/a|/b", "/b", true),
            ("/a|/b", "/ax", false),
            ("/a|/b", "x/b", false),
            ("a|ab", "ab", true),
            ("/x(/y)?", "/x", true),
            ("[[:alnum:]]+", "aZ09", true),
            ("[[:alnum:]]+", "a/b", false),
            (".*", "anything?at=all", true),
            (".*", "a\nb", false),
            ("a{2,3}", "aaa", true),
            ("a{2,3}", "aaaa", false),
            (r"a\.b", "a.b", true),
            (r"a\.b", "axb", false),
        ] {
            assert_eq!(Pattern::read(pattern).expect(pattern).matches(text), matches, "{pattern} {text}");
        }
    }

    #[test]
    fn what_is_no_pattern_or_costs_too_much_is_refused() {
        let long = "a".repeat(LONGEST + 1);
        for pattern in [
            "",
            "a)|(b",
            "(",
            ")",
            "[",
            "a{2",
            "*",
            "(?i)a",
            "(?x)a#",
            "(?P<n>a)",
            "(?=a)",
            "[[.a.]]",
            "[[=a=]]",
            r"\1",
            "ä",
            "a\n",
            r"\p{L}",
            "a{1000}{1000}",
            "((a{100}){100}){100}",
            &long,
        ] {
            assert_eq!(Pattern::read(pattern), None, "{pattern}");
        }
        assert!(Pattern::read(&"(".repeat(40)).is_none());
        assert!(Pattern::read(&format!("{}a{}", "(".repeat(40), ")".repeat(40))).is_none());
        assert!(Pattern::read(&"a".repeat(LONGEST)).is_some());
        assert!(Pattern::read("(?:a)").is_some());
    }

    #[test]
    fn groups_hold_what_is_named() {
        let pattern = Pattern::read("/([a-z]+)/([0-9]+)(/x)?").expect("a pattern");
        let matches = |text, groups: &[Option<&str>]| {
            let groups: Vec<_> = groups.iter().map(|group| group.map(Into::into)).collect();
            pattern.matches_groups(text, &groups)
        };
        assert!(matches("/a/1", &[]));
        assert!(matches("/a/1", &[Some("a")]));
        assert!(matches("/a/1", &[None, Some("1")]));
        assert!(!matches("/a/1", &[Some("b")]));
        assert!(!matches("/a/1", &[None, None, Some("/x")]));
        assert!(!matches("/a/1", &[None, None, None, Some("")]));
        assert!(!matches("/a/1/", &[Some("a")]));
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_refused_or_matches_at_most_what_an_unanchored_one_finds(
            pattern in r"[a-c/.*+?()\[\]{}|^$\\0-9,]{0,16}",
            text in "[a-c/.0-9]{0,12}",
        ) {
            if let Some(ours) = Pattern::read(&pattern) {
                let theirs = Regex::new(&format!("(?-u){pattern}")).expect("ours is one");
                prop_assert!(!ours.matches(&text) || theirs.is_match(text.as_bytes()));
            }
        }
    }
}
