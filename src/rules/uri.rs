//! The one canonical form of a path and a query: routes, keys, tokens and requests to origins use nothing else.
//!
//! Decoded once, decided, never decoded again (RFC 3986 §6.2.2): percent-encoded unreserved characters stand for
//! themselves, hex digits are upper case, dot segments are gone. `Lenient` accepts what the standard allows and keeps
//! the rest as it was written. `Strict` refuses all that an origin might read otherwise than we do, for a token
//! checked on one path must not open another.

use std::borrow::Cow;

/// How much ambiguity is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// For live and gated routes: nothing that could be read in two ways.
    Strict,
    /// For plain routes: what the standard allows.
    Lenient,
}

/// The most octets of a path under `Strict`.
pub const LONGEST_PATH: usize = 2_048;
/// The most segments of a path under `Strict`.
pub const MOST_SEGMENTS: usize = 64;

/// Path and query in canonical form; borrowed where they were canonical already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// Begins with `/`.
    pub path: Cow<'a, str>,
    /// Without `?`; `Some("")` differs from `None`.
    pub query: Option<Cow<'a, str>>,
}

/// Why a target is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{}", self.detail())]
pub enum BadTarget {
    /// It does not begin with `/`.
    NotAPath,
    /// A control character, a blank, or a character that is not ASCII.
    Character,
    /// `\`, which some read as `/`.
    Backslash,
    /// `#`, which never reaches a server.
    Fragment,
    /// `%` without two hex digits.
    Escape,
    /// `%00`.
    Nul,
    /// `%2F`, `%5C` or `%2E`, which some decode before they look for segments.
    EncodedSeparator,
    /// A segment `.` or `..`.
    DotSegment,
    /// `//`.
    EmptySegment,
    /// `;`, which some cut off with what follows.
    Parameter,
    /// What is encoded is no UTF-8, or an overlong form of it.
    NotUtf8,
    /// More than [`LONGEST_PATH`] octets or [`MOST_SEGMENTS`] segments.
    TooLong,
}

impl BadTarget {
    /// What is wrong, for the one who sent it.
    pub const fn detail(self) -> &'static str {
        match self {
            Self::NotAPath => "a path begins with /",
            Self::Character => "only printable ASCII stands in a target; the rest is percent-encoded",
            Self::Backslash => "a backslash does not stand in a target",
            Self::Fragment => "a fragment does not stand in a target",
            Self::Escape => "% is followed by two hex digits",
            Self::Nul => "an encoded NUL",
            Self::EncodedSeparator => "an encoded slash, backslash or dot",
            Self::DotSegment => "a dot segment",
            Self::EmptySegment => "an empty segment",
            Self::Parameter => "a path parameter",
            Self::NotUtf8 => "what is percent-encoded is not UTF-8",
            Self::TooLong => "a path longer than 2 KiB or 64 segments",
        }
    }
}

impl<'a> Target<'a> {
    /// The canonical form of a request's path and query; an empty path is `/`.
    pub fn canonical(path: &'a str, query: Option<&'a str>, strictness: Strictness) -> Result<Self, BadTarget> {
        Ok(Self {
            path: canonical_path(path, strictness)?,
            query: query.map(|query| canonical_query(query, strictness)).transpose()?,
        })
    }

    /// Path and query as they are asked for.
    pub fn path_and_query(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.clone().into_owned(),
        }
    }
}

fn canonical_path(path: &str, strictness: Strictness) -> Result<Cow<'_, str>, BadTarget> {
    if path.is_empty() {
        return Ok(Cow::Borrowed("/"));
    }
    if !path.starts_with('/') {
        return Err(BadTarget::NotAPath);
    }
    let needs_change = check_path(path.as_bytes(), strictness)?;
    let path = if needs_change { Cow::Owned(decode_unreserved(path)) } else { Cow::Borrowed(path) };
    match strictness {
        Strictness::Strict => {
            check_segments(&path)?;
            Ok(path)
        }
        Strictness::Lenient if has_dot_segment(&path) => Ok(Cow::Owned(remove_dot_segments(&path))),
        Strictness::Lenient => Ok(path),
    }
}

/// Looks at every octet; says whether escapes must be rewritten.
fn check_path(path: &[u8], strictness: Strictness) -> Result<bool, BadTarget> {
    let mut needs_change = false;
    let mut index = 0;
    while let Some(&byte) = path.get(index) {
        match byte {
            b'%' => {
                let escaped = escape(&path[index..]).ok_or(BadTarget::Escape)?;
                if strictness == Strictness::Strict {
                    check_escaped(escaped)?;
                }
                needs_change |= is_unreserved(escaped) || path[index + 1..index + 3].iter().any(u8::is_ascii_lowercase);
                index += 2;
            }
            b'\\' => return Err(BadTarget::Backslash),
            b'#' => return Err(BadTarget::Fragment),
            b';' if strictness == Strictness::Strict => return Err(BadTarget::Parameter),
            0x21..=0x7e => {}
            _ => return Err(BadTarget::Character),
        }
        index += 1;
    }
    Ok(needs_change)
}

fn check_escaped(byte: u8) -> Result<(), BadTarget> {
    match byte {
        0 => Err(BadTarget::Nul),
        b'/' | b'\\' | b'.' => Err(BadTarget::EncodedSeparator),
        _ => Ok(()),
    }
}

fn check_segments(path: &str) -> Result<(), BadTarget> {
    if path.len() > LONGEST_PATH {
        return Err(BadTarget::TooLong);
    }
    let mut count = 0;
    let mut segments = path[1..].split('/').peekable();
    while let Some(segment) = segments.next() {
        count += 1;
        match segment {
            "" if segments.peek().is_some() => return Err(BadTarget::EmptySegment),
            "." | ".." => return Err(BadTarget::DotSegment),
            _ if count > MOST_SEGMENTS => return Err(BadTarget::TooLong),
            _ => {}
        }
    }
    if path.contains('%') && percent_encoding::percent_decode_str(path).decode_utf8().is_err() {
        return Err(BadTarget::NotUtf8);
    }
    Ok(())
}

fn canonical_query(query: &str, strictness: Strictness) -> Result<Cow<'_, str>, BadTarget> {
    let (mut has_escapes, mut has_broken) = (false, false);
    for (index, byte) in query.bytes().enumerate() {
        match byte {
            b'%' => match escape(&query.as_bytes()[index..]) {
                Some(0) if strictness == Strictness::Strict => return Err(BadTarget::Nul),
                Some(_) => has_escapes = true,
                None if strictness == Strictness::Strict => return Err(BadTarget::Escape),
                None => has_broken = true,
            },
            b'#' => return Err(BadTarget::Fragment),
            0x21..=0x7e => {}
            _ => return Err(BadTarget::Character),
        }
    }
    // A broken escape is common in the wild and harmless, but what stands beside it could complete it once decoded:
    // such a query stays as it is.
    let needs_change = has_escapes && !has_broken;
    Ok(if needs_change { Cow::Owned(decode_unreserved(query)) } else { Cow::Borrowed(query) })
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Escaped unreserved characters as themselves, other escapes in upper case. One pass: what comes out is not read again.
fn decode_unreserved(text: &str) -> String {
    let mut canonical = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        canonical.push_str(&rest[..at]);
        let byte = escape(&rest.as_bytes()[at..]).expect("every escape was checked before");
        if is_unreserved(byte) {
            canonical.push(char::from(byte));
        } else {
            canonical.extend(['%', hex(HEX, byte >> 4), hex(HEX, byte & 15)]);
        }
        rest = &rest[at + 3..];
    }
    canonical.push_str(rest);
    canonical
}

fn hex(digits: &[u8; 16], value: u8) -> char {
    char::from(digits[usize::from(value)])
}

/// Whether an octet often stands raw in a query although RFC 3986 §3.4 has it percent-encoded: browsers encode it there
/// (the URL standard's query percent-encode set), others send it as it is. It means one thing only, and encoded it means
/// the same; RFC 9112 §3.2 leaves it to the server. Controls, blanks and `#` are not among them.
pub const fn is_raw(octet: u8) -> bool {
    matches!(octet, b'"' | b'<' | b'>' | 0x80..)
}

/// `octets` with those at `places`, in order, percent-encoded.
pub fn encoded_at(octets: &[u8], places: &[usize]) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(octets.len() + 2 * places.len());
    let mut from = 0;
    for place in places {
        encoded.extend_from_slice(&octets[from..*place]);
        encoded.push(b'%');
        encoded.extend([octets[*place] >> 4, octets[*place] & 15].map(|digit| HEX[usize::from(digit)]));
        from = place + 1;
    }
    encoded.extend_from_slice(&octets[from..]);
    encoded
}

/// A query with its raw octets percent-encoded; `None`: it has none, or they are not all it has outside visible ASCII.
pub fn encoded_query(query: &[u8]) -> Option<String> {
    let places: Vec<_> = (0..query.len()).filter(|at| is_raw(query[*at])).collect();
    if places.is_empty() {
        return None;
    }
    let encoded = String::from_utf8(encoded_at(query, &places)).expect("nothing outside ASCII is left");
    encoded.bytes().all(|octet| octet.is_ascii_graphic()).then_some(encoded)
}

/// The octet that the escape at the beginning of `text` stands for.
fn escape(text: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|value| value as u8);
    match text {
        [b'%', high, low, ..] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    }
}

/// RFC 3986 §2.3.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn has_dot_segment(path: &str) -> bool {
    path.split('/').any(|segment| matches!(segment, "." | ".."))
}

/// RFC 3986 §5.2.4. What climbs above the root stays at the root.
fn remove_dot_segments(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path[1..].split('/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if is_last {
                    kept.push("");
                }
            }
            _ => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

/// Whether `path` is `prefix` or lies below it: prefixes end where segments end, so that `/event1` covers `/event1`
/// and `/event1/…` but not `/event10`.
pub fn is_under(path: &str, prefix: &str) -> bool {
    strip(path, prefix).is_some()
}

/// What is left of `path` below `prefix`, beginning with `/`; `None` where it does not lie below it.
pub fn strip<'p>(path: &'p str, prefix: &str) -> Option<&'p str> {
    let rest = path.strip_prefix(prefix.strip_suffix('/').unwrap_or(prefix))?;
    match rest {
        "" if prefix.ends_with('/') => None,
        "" => Some("/"),
        _ => rest.starts_with('/').then_some(rest),
    }
}

/// `path` below the path that every URL of an origin begins with; `base` may end in `/` or not, and may be empty.
pub fn join<'p>(base: &str, path: &'p str) -> Cow<'p, str> {
    match base.strip_suffix('/').unwrap_or(base) {
        "" => Cow::Borrowed(path),
        base => Cow::Owned(format!("{base}{path}")),
    }
}

/// `query` with only the parameters that `keeps` wants by their name as written, in their order; `None` where none is
/// left.
pub fn filter_query<'q>(query: &'q str, mut keeps: impl FnMut(&str) -> bool) -> Option<Cow<'q, str>> {
    let mut is_kept = |parameter: &str| keeps(parameter.split_once('=').map_or(parameter, |(name, _)| name));
    let dropped = query.split('&').any(|parameter| !is_kept(parameter));
    if !dropped {
        return Some(Cow::Borrowed(query));
    }
    let kept: Vec<_> = query.split('&').filter(|parameter| is_kept(parameter)).collect();
    (!kept.is_empty()).then(|| Cow::Owned(kept.join("&")))
}

/// A prefix of paths in which one segment may be a name: `/live/{stream}/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    /// Up to the name, or all of it.
    before: Box<str>,
    /// After the name, where there is one.
    after: Option<Box<str>>,
}

/// Why a pattern is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPattern {
    /// What is not the name is no path.
    #[error(transparent)]
    Path(#[from] BadTarget),
    /// No request has such a path: its canonical form is another.
    #[error("requests are matched in canonical form: without dot segments and needless escapes")]
    NotCanonical,
    /// A name is a whole segment, and there is at most one.
    #[error("a name such as {{stream}} is a whole segment, and the only one")]
    Name,
}

/// The word for the name in a pattern.
const NAME: &str = "{stream}";

impl PathPattern {
    /// Reads `/live/`, `/live/{stream}/` and the like.
    pub fn parse(text: &str) -> Result<Self, BadPattern> {
        let (before, after) = match text.split_once(NAME) {
            None => (text, None),
            Some((before, after)) if before.ends_with('/') && matches!(after.chars().next(), None | Some('/')) => {
                (before, Some(after))
            }
            Some(_) => return Err(BadPattern::Name),
        };
        let after = after.filter(|after| !after.is_empty());
        if [Some(before), after].into_iter().flatten().any(|part| part.contains(['{', '}'])) {
            return Err(BadPattern::Name);
        }
        for part in [Some(before), after].into_iter().flatten() {
            let canonical = Target::canonical(part, None, Strictness::Lenient)?;
            if canonical.path != part {
                return Err(BadPattern::NotCanonical);
            }
        }
        let has_name = text.contains(NAME);
        Ok(Self { before: before.into(), after: has_name.then(|| after.unwrap_or_default().into()) })
    }

    /// The name in `path` (`Some("")` where the pattern has none); `None` where the path is not of the pattern.
    pub fn name_in<'p>(&self, path: &'p str) -> Option<&'p str> {
        let Some(after) = &self.after else { return is_under(path, &self.before).then_some("") };
        let rest = path.strip_prefix(&*self.before)?;
        let (name, rest) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let fits = after.is_empty() || is_under(rest, after);
        (fits && !name.is_empty()).then_some(name)
    }

    /// What is left of `path` below the pattern, beginning with `/`; `None` where the path is not of the pattern.
    pub fn below<'p>(&self, path: &'p str) -> Option<&'p str> {
        let Some(after) = &self.after else { return strip(path, &self.before) };
        let rest = path.strip_prefix(&*self.before)?;
        let (name, rest) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        match (name, &**after) {
            ("", _) => None,
            (_, "") if rest.is_empty() => Some("/"),
            (_, "") => Some(rest),
            (_, after) => strip(rest, after),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lenient(path: &str) -> Result<String, BadTarget> {
        Target::canonical(path, None, Strictness::Lenient).map(|target| target.path.into_owned())
    }

    fn strict(path: &str) -> Result<String, BadTarget> {
        Target::canonical(path, None, Strictness::Strict).map(|target| target.path.into_owned())
    }

    #[test]
    fn one_resource_has_one_path() {
        for (path, canonical) in [
            ("", "/"),
            ("/", "/"),
            ("/a", "/a"),
            ("/%61%2D%5f", "/a-_"),
            ("/%7euser", "/~user"),
            ("/%3a%3A", "/%3A%3A"),
            ("/%2f", "/%2F"),
            ("/%25%36%31", "/%2561"),
            ("/%2561", "/%2561"),
            ("/a/./b", "/a/b"),
            ("/a/../b", "/b"),
            ("/a/%2e%2E/b", "/b"),
            ("/../../b", "/b"),
            ("/a/b/..", "/a/"),
            ("/a/b/.", "/a/b/"),
            ("/..", "/"),
            ("/a//b", "/a//b"),
            ("/a//../b", "/a/b"),
            ("/a;x=1/b", "/a;x=1/b"),
            ("/a.b/...", "/a.b/..."),
            ("/%00", "/%00"),
            ("/%c0%af", "/%C0%AF"),
        ] {
            assert_eq!(lenient(path).as_deref(), Ok(canonical), "{path}");
        }
    }

    #[test]
    fn what_no_target_may_hold_is_refused_everywhere() {
        for (path, reason) in [
            ("a", BadTarget::NotAPath),
            ("*", BadTarget::NotAPath),
            ("/a\\b", BadTarget::Backslash),
            ("/a#b", BadTarget::Fragment),
            ("/a b", BadTarget::Character),
            ("/a\u{7f}", BadTarget::Character),
            ("/a\r\n", BadTarget::Character),
            ("/ä", BadTarget::Character),
            ("/%", BadTarget::Escape),
            ("/%4", BadTarget::Escape),
            ("/%zz", BadTarget::Escape),
            ("/%+1", BadTarget::Escape),
        ] {
            assert_eq!(lenient(path), Err(reason), "{path:?}");
            assert_eq!(strict(path), Err(reason), "{path:?}");
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused_where_it_matters() {
        for (path, reason) in [
            ("/%00", BadTarget::Nul),
            ("/a%2Fb", BadTarget::EncodedSeparator),
            ("/a%5cb", BadTarget::EncodedSeparator),
            ("/a%2eb", BadTarget::EncodedSeparator),
            ("/%2e%2e/b", BadTarget::EncodedSeparator),
            ("/./a", BadTarget::DotSegment),
            ("/a/..", BadTarget::DotSegment),
            ("/a//b", BadTarget::EmptySegment),
            ("//", BadTarget::EmptySegment),
            ("/a;b", BadTarget::Parameter),
            ("/%c0%af", BadTarget::NotUtf8),
            ("/%ff", BadTarget::NotUtf8),
            ("/%ed%a0%80", BadTarget::NotUtf8),
        ] {
            assert_eq!(strict(path), Err(reason), "{path}");
            assert!(lenient(path).is_ok(), "{path}");
        }
        for (path, canonical) in [
            ("/", "/"),
            ("/live/a/", "/live/a/"),
            ("/live/a.m3u8", "/live/a.m3u8"),
            ("/%61", "/a"),
            ("/m%c3%bcnchen", "/m%C3%BCnchen"),
            ("/%252F", "/%252F"),
            ("/a./..b", "/a./..b"),
        ] {
            assert_eq!(strict(path).as_deref(), Ok(canonical), "{path}");
        }
        let long = |length| format!("/{}", "x".repeat(length));
        assert!(strict(&long(LONGEST_PATH - 1)).is_ok());
        assert_eq!(strict(&long(LONGEST_PATH)), Err(BadTarget::TooLong));
        assert!(strict(&"/a".repeat(MOST_SEGMENTS)).is_ok());
        assert_eq!(strict(&"/a".repeat(MOST_SEGMENTS + 1)), Err(BadTarget::TooLong));
    }

    #[test]
    fn queries_keep_their_order_and_their_blanks() {
        use Strictness::{Lenient, Strict};
        let query = |text, strictness| {
            Target::canonical("/", Some(text), strictness).map(|target| target.query.unwrap().into_owned())
        };
        for (text, canonical) in [
            ("", ""),
            ("a=1&b=2&a=3", "a=1&b=2&a=3"),
            ("a=%7e%2f", "a=~%2F"),
            ("a=b+c%20", "a=b+c%20"),
            ("a=/../?x", "a=/../?x"),
            ("a=\\", "a=\\"),
        ] {
            assert_eq!(query(text, Strict).as_deref(), Ok(canonical), "{text}");
        }
        assert_eq!(query("100%&%4", Lenient).as_deref(), Ok("100%&%4"));
        assert_eq!(query("%%34%31", Lenient).as_deref(), Ok("%%34%31"));
        assert_eq!(query("100%", Strict), Err(BadTarget::Escape));
        assert_eq!(query("%00", Strict), Err(BadTarget::Nul));
        assert_eq!(query("a b", Lenient), Err(BadTarget::Character));
        assert_eq!(query("a#b", Lenient), Err(BadTarget::Fragment));
        let target = Target::canonical("/%61", Some(""), Strict).unwrap();
        assert_eq!(target.path_and_query(), "/a?");
        assert_eq!(Target::canonical("", None, Strict).unwrap().path_and_query(), "/");
    }

    #[test]
    fn canonical_targets_are_not_copied() {
        let target = Target::canonical("/live/a/seg-1.m4s", Some("_HLS_msn=1"), Strictness::Strict).unwrap();
        assert!(matches!(target, Target { path: Cow::Borrowed(_), query: Some(Cow::Borrowed(_)) }));
    }

    #[test]
    fn prefixes_end_where_segments_end() {
        for (path, prefix, rest) in [
            ("/event1", "/event1", Some("/")),
            ("/event1/", "/event1", Some("/")),
            ("/event1/a", "/event1", Some("/a")),
            ("/event10", "/event1", None),
            ("/event10/a", "/event1", None),
            ("/live/a", "/live/", Some("/a")),
            ("/live/", "/live/", Some("/")),
            ("/live", "/live/", None),
            ("/a", "/", Some("/a")),
            ("/", "/", Some("/")),
            ("/a", "", Some("/a")),
            ("/b", "/a", None),
        ] {
            assert_eq!(strip(path, prefix), rest, "{path} below {prefix}");
            assert_eq!(is_under(path, prefix), rest.is_some());
        }
    }

    #[test]
    fn bases_are_joined_with_one_slash() {
        for (base, joined) in [("", "/a"), ("/", "/a"), ("/base", "/base/a"), ("/base/", "/base/a")] {
            assert_eq!(join(base, "/a"), joined);
        }
    }

    #[test]
    fn queries_lose_what_is_not_wanted() {
        let keeps = |name: &str| name != "CMCD";
        for (query, left) in [
            ("a=1", Some("a=1")),
            ("CMCD=x", None),
            ("a=1&CMCD=x&b", Some("a=1&b")),
            ("CMCD&a=CMCD", Some("a=CMCD")),
            ("", Some("")),
        ] {
            assert_eq!(filter_query(query, keeps).as_deref(), left, "{query}");
        }
    }

    #[test]
    fn patterns_name_the_stream() {
        let name = |pattern: &str, path: &'static str| PathPattern::parse(pattern).unwrap().name_in(path);
        for (pattern, path, stream) in [
            ("/live/{stream}/", "/live/news/v1.m3u8", Some("news")),
            ("/live/{stream}/", "/live/news/", Some("news")),
            ("/live/{stream}/", "/live/news", None),
            ("/live/{stream}/", "/live//x", None),
            ("/live/{stream}", "/live/news", Some("news")),
            ("/live/{stream}", "/live/news/x", Some("news")),
            ("/live/{stream}/hls/", "/live/news/hls/x", Some("news")),
            ("/live/{stream}/hls/", "/live/news/dash/x", None),
            ("/live/{stream}/hls", "/live/news/hls2", None),
            ("/live/", "/live/news/x", Some("")),
            ("/live", "/live2", None),
            ("/", "/x", Some("")),
            ("/{stream}/", "/x/y", Some("x")),
        ] {
            assert_eq!(name(pattern, path), stream, "{pattern} {path}");
        }
        for pattern in ["/a{stream}/", "/{stream}b/", "/{stream}/{stream}/", "/{name}/"] {
            assert_eq!(PathPattern::parse(pattern), Err(BadPattern::Name), "{pattern}");
        }
        for pattern in ["live/", "/a b", "/%6"] {
            assert!(matches!(PathPattern::parse(pattern), Err(BadPattern::Path(_))), "{pattern}");
        }
        for pattern in ["/a/../b", "/%61", "/%2f"] {
            assert_eq!(PathPattern::parse(pattern), Err(BadPattern::NotCanonical), "{pattern}");
        }
    }

    proptest! {
        #[test]
        fn canonical_is_canonical(path in "/[a-c%2eEfF05cC./;~ -]{0,20}", query in proptest::option::of("[a%347eE]{0,12}")) {
            for strictness in [Strictness::Strict, Strictness::Lenient] {
                let Ok(once) = Target::canonical(&path, query.as_deref(), strictness) else { continue };
                let twice = Target::canonical(&once.path, once.query.as_deref(), strictness);
                prop_assert_eq!(twice.as_ref(), Ok(&once));
                prop_assert!(!has_dot_segment(&once.path));
            }
        }

        #[test]
        fn what_strict_accepts_lenient_reads_the_same(path in "/[a-c%2eEfF05cC./;~ -]{0,20}") {
            if let Ok(canonical) = strict(&path) {
                prop_assert_eq!(lenient(&path), Ok(canonical));
            }
        }

        #[test]
        fn any_text_is_read_without_a_panic(path in "\\PC{0,30}", query in "\\PC{0,30}") {
            for strictness in [Strictness::Strict, Strictness::Lenient] {
                _ = Target::canonical(&path, Some(&query), strictness);
            }
            _ = PathPattern::parse(&path);
        }
    }
}
