//! The paths that an edge token covers: by patterns, or one alone.
//!
//! `*` stands for any run of characters, slashes too, and `?` for one; `!` parts patterns. A pattern is for the whole path,
//! in its canonical form, and begins with `/` itself: no wildcard stands before that.

use std::borrow::Cow;

use crate::rules::token::scope::Asked;
use crate::rules::token::terms::AnyPath;
use crate::rules::token::wire;
use crate::rules::uri::{LONGEST_PATH, Strictness, Target};

/// The most octets of all patterns of a token.
const LONGEST: usize = 1_024;
/// The most patterns.
const MOST: usize = 32;

/// The paths that a token covers.
#[derive(Clone, Debug, PartialEq)]
pub enum Acl {
    /// Those of any of these patterns.
    Patterns(Vec<Box<str>>),
    /// One alone.
    One {
        /// The path.
        path: Box<str>,
        /// The query, where it was signed too.
        query: Option<Box<str>>,
    },
}

/// Why patterns are not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadAcl {
    /// They are none.
    Form,
    /// They cover everything.
    Everything,
}

impl Acl {
    /// Reads patterns, as they stand in a token.
    pub fn parse(text: &str, any: AnyPath) -> Result<Self, BadAcl> {
        if text.len() > LONGEST {
            return Err(BadAcl::Form);
        }
        let patterns: Vec<Box<str>> = text
            .split('!')
            .map(canonical)
            .collect::<Option<_>>()
            .filter(|all: &Vec<_>| all.len() <= MOST)
            .ok_or(BadAcl::Form)?;
        match any == AnyPath::Refused && patterns.iter().any(|pattern| is_everything(pattern)) {
            true => Err(BadAcl::Everything),
            false => Ok(Self::Patterns(patterns)),
        }
    }

    /// One path, as it stands in a token, perhaps with a query.
    pub fn one(text: &str) -> Option<Self> {
        let text = unescaped(text)?;
        let (path, query) = text.split_once('?').map_or((&*text, None), |(path, query)| (path, Some(query)));
        let target = Target::canonical(path, query, Strictness::Strict).ok().filter(|_| path.starts_with('/'))?;
        Some(Self::One { path: target.path.into(), query: target.query.map(Into::into) })
    }

    /// Whether it covers what is asked for.
    pub fn matches(&self, asked: &Asked<'_>) -> bool {
        match self {
            Self::Patterns(patterns) => {
                patterns.iter().any(|pattern| is_like(asked.path.as_bytes(), pattern.as_bytes()))
            }
            Self::One { path, query } => {
                **path == *asked.path && query.as_deref().is_none_or(|query| Some(query) == asked.query)
            }
        }
    }

    /// Writes it.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Patterns(patterns) => {
                wire::put_number(out, patterns.len() as u64);
                patterns.iter().for_each(|pattern| wire::put_text(out, pattern));
            }
            Self::One { path, query } => {
                wire::put_number(out, 0);
                wire::put_text(out, path);
                out.push(query.is_some().into());
                query.iter().for_each(|query| wire::put_text(out, query));
            }
        }
    }

    /// Reads what was written.
    pub fn read(input: &mut &[u8]) -> Option<Self> {
        let text = |input: &mut &[u8]| wire::take_text(input, LONGEST_PATH).map(Into::into);
        match wire::take_count(input, MOST)? {
            0 => {
                let path = text(input)?;
                let query = match wire::take_octet(input)? {
                    0 => None,
                    1 => Some(text(input)?),
                    _ => return None,
                };
                Some(Self::One { path, query })
            }
            count => (0..count).map(|_| text(input)).collect::<Option<_>>().map(Self::Patterns),
        }
    }
}

/// Some issuers escape a field as a whole, its slashes too; then it is read without that, once.
fn unescaped(text: &str) -> Option<Cow<'_, str>> {
    let is_escaped = text.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("%2f"));
    match is_escaped {
        true => percent_encoding::percent_decode_str(text).decode_utf8().ok(),
        false => Some(text.into()),
    }
}

/// A pattern in the form in which paths are compared.
fn canonical(text: &str) -> Option<Box<str>> {
    let text = unescaped(text)?;
    let target = Target::canonical(&text, None, Strictness::Strict).ok().filter(|_| text.starts_with('/'))?;
    Some(target.path.into())
}

/// Nothing but wildcards stands behind the first slash.
fn is_everything(pattern: &str) -> bool {
    let rest = pattern.trim_start_matches('/');
    rest.contains('*') && rest.bytes().all(|octet| matches!(octet, b'*' | b'?' | b'/'))
}

/// Whether all of `text` is like `pattern`. After a `*` the shortest run that lets the rest match is as good as any, so that
/// only the last one is ever tried again.
fn is_like(text: &[u8], pattern: &[u8]) -> bool {
    let (mut at, mut in_pattern) = (0, 0);
    let mut last_run = None;
    while at < text.len() {
        match pattern.get(in_pattern) {
            Some(b'*') => {
                last_run = Some((at, in_pattern));
                in_pattern += 1;
            }
            Some(octet) if *octet == b'?' || *octet == text[at] => {
                at += 1;
                in_pattern += 1;
            }
            _ => {
                let Some((begin, run)) = last_run else { return false };
                last_run = Some((begin + 1, run));
                (at, in_pattern) = (begin + 1, run + 1);
            }
        }
    }
    pattern[in_pattern..].iter().all(|octet| *octet == b'*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use regex::Regex;

    use super::*;

    fn asked<'a>(path: &'a str, query: Option<&'a str>) -> Asked<'a> {
        Asked { scheme: "https", host: "live.example.com", port: None, path, query }
    }

    fn covers(patterns: &str, path: &str) -> bool {
        Acl::parse(patterns, AnyPath::Refused).expect(patterns).matches(&asked(path, None))
    }

    #[test]
    fn a_pattern_is_for_the_whole_path() {
        for (patterns, path, is_covered) in [
            ("/a/*", "/a/b", true),
            ("/a/*", "/a/", true),
            ("/a/*", "/a", false),
            ("/a/*", "/a/b/c", true),
            ("/a/*", "/b/a/c", false),
            ("/a*", "/ab/c", true),
            ("/a/*.m3u8", "/a/b/c.m3u8", true),
            ("/a/*.m3u8", "/a/b.m3u8x", false),
            ("/a/?", "/a/b", true),
            ("/a/?", "/a/", false),
            ("/a/?", "/a/bc", false),
            ("/*/b/*/d", "/x/b/b/y/d", true),
            ("/*/b/*/d", "/x/b/y/e", false),
            ("/a!/b!/c/*", "/b", true),
            ("/a!/b!/c/*", "/c", false),
            ("/a", "/A", false),
            ("/%61/*", "/a/x", true),
            ("/a%2f", "/", false),
            ("%2fa%2f*", "/a/x", true),
            ("%2Fa%2520b", "/a%20b", true),
        ] {
            if patterns == "/a%2f" {
                assert_eq!(Acl::parse(patterns, AnyPath::Allowed), Err(BadAcl::Form));
                continue;
            }
            assert_eq!(covers(patterns, path), is_covered, "{patterns} {path}");
        }
    }

    #[test]
    fn what_covers_everything_is_taken_only_where_it_may_be() {
        for patterns in ["/*", "/**", "/?*", "/*/*", "/a!/*", "%2f*", "/*?"] {
            assert_eq!(Acl::parse(patterns, AnyPath::Refused), Err(BadAcl::Everything), "{patterns}");
            assert!(Acl::parse(patterns, AnyPath::Allowed).is_ok(), "{patterns}");
        }
        for patterns in
            ["", "*", "*/a", "?", "a", "/a!", "!/a", "/a!b", "/a/../b", "/a//b", "/a\\b", "/a;b", "/%00", "/%2e%2e/a"]
        {
            assert_eq!(Acl::parse(patterns, AnyPath::Allowed), Err(BadAcl::Form), "{patterns}");
        }
        assert_eq!(Acl::parse(&"/a!".repeat(40), AnyPath::Allowed), Err(BadAcl::Form));
        assert_eq!(Acl::parse(&format!("/{}", "a".repeat(LONGEST)), AnyPath::Allowed), Err(BadAcl::Form));
    }

    #[test]
    fn one_url_is_that_one_alone() {
        let one = Acl::one("/a/b").expect("a path");
        assert!(one.matches(&asked("/a/b", None)));
        assert!(one.matches(&asked("/a/b", Some("x=1"))));
        assert!(!one.matches(&asked("/a/b/c", None)));
        let with_query = Acl::one("/a/b?x=1").expect("a URL");
        assert!(with_query.matches(&asked("/a/b", Some("x=1"))));
        assert!(!with_query.matches(&asked("/a/b", Some("x=2"))));
        assert!(!with_query.matches(&asked("/a/b", None)));
        for url in ["", "a", "https://x/a", "/a/../b", "/a#b"] {
            assert_eq!(Acl::one(url), None, "{url}");
        }
    }

    proptest! {
        #[test]
        fn wildcards_mean_what_another_engine_says(pattern in "/[ab*?]{1,8}", path in "/[ab/]{0,10}") {
            let acl = Acl::Patterns(vec![pattern.clone().into()]);
            let other = pattern.replace('*', ".*").replace('?', ".");
            let expected = Regex::new(&format!("(?-u)^{}$", other.replace('.', "[ -~]"))).expect("a pattern");
            prop_assert_eq!(acl.matches(&asked(&path, None)), expected.is_match(&path));
        }

        #[test]
        fn what_is_written_is_read(patterns in prop::collection::vec("/[a-z*?/]{0,9}", 1..5), query in prop::option::of("[a-z=&]{0,9}")) {
            let one = Acl::One { path: patterns[0].clone().into(), query: query.map(Into::into) };
            for acl in [Acl::Patterns(patterns.into_iter().map(Into::into).collect()), one] {
                let mut out = Vec::new();
                acl.write(&mut out);
                let mut input = &out[..];
                prop_assert_eq!(Acl::read(&mut input), Some(acl));
                prop_assert!(input.is_empty());
            }
        }
    }
}
