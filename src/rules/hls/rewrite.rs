//! Which URIs of a playlist are rewritten, line by line (§14 of the conformance page): relative ones stay, absolute and
//! rooted ones of the mapped origin become the node's, all others stay.

use std::borrow::Cow;
use std::ops::Range;

use memchr::{memchr, memchr_iter};
use percent_encoding::{AsciiSet, utf8_percent_encode};

use super::variables;
use crate::rules::uri::{Strictness, Target};

/// Rewrites the URIs of a playlist of either kind: `node` gives the new form of one URI, or `None` where it stays.
/// Everything else stays as it is. Only absolute URIs of HTTP and rooted ones are asked about, and of these none with
/// variables; the rest is relative, or names no resource of an origin.
pub fn rewrite(text: &str, mut node: impl FnMut(&str) -> Option<String>) -> Cow<'_, str> {
    if !may_name_an_origin(text) {
        return Cow::Borrowed(text);
    }
    rewrite_all(text, |uri| Some(uri).filter(|uri| names_an_origin(uri)).and_then(&mut node))
}

/// The same, where `new` is asked about every URI, relative ones and those with variables too.
pub fn rewrite_all(text: &str, mut new: impl FnMut(&str) -> Option<String>) -> Cow<'_, str> {
    let (mut rewritten, mut copied) = (String::new(), 0);
    for line in lines(text) {
        for uri in uris(text, line) {
            let written = &text[uri.clone()];
            if let Some(new) = new(written).filter(|new| new != written) {
                rewritten.push_str(&text[copied..uri.start]);
                rewritten.push_str(&new);
                copied = uri.end;
            }
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    rewritten.push_str(&text[copied..]);
    Cow::Owned(rewritten)
}

/// Makes the relative URIs of a playlist absolute that was found at `url`, which is not where it was asked for. Those
/// with variables stay: what they come to is not known here.
pub fn rebase<'t>(text: &'t str, url: &str) -> Cow<'t, str> {
    let Some(start) = url.find("://").and_then(|scheme| Some(scheme + 3 + url.get(scheme + 3..)?.find('/')?)) else {
        return Cow::Borrowed(text);
    };
    let (site, base) = url.split_at(start);
    rewrite_all(text, |written| {
        let is_fixed = written.is_empty() || written.contains("{$");
        let seen = Some(written).filter(|_| !is_fixed).and_then(|written| resolve(base, written))?;
        Some([site, &seen].concat())
    })
}

/// `uri` as seen from `base`, an absolute path with or without a query (RFC 3986 §5.2): an absolute path with its
/// query, canonical; `None` for a URI of another authority, another scheme (`data:`, `skd:`), or one that is malformed.
pub fn resolve(base: &str, uri: &str) -> Option<String> {
    // Players cut blanks off and encode what cannot be sent, and so the request that follows looks like this.
    let uri = utf8_percent_encode(uri.trim_matches(|c| c <= ' '), BLANK).to_string();
    let uri = uri.split('#').next().unwrap_or_default();
    if uri.starts_with("//") || scheme(uri).is_some() {
        return None;
    }
    let (path, query) = parted(uri);
    let (base_path, base_query) = parted(base);
    let folder = &base_path[..=base_path.rfind('/')?];
    let (path, query) = match path {
        "" => (Cow::Borrowed(base_path), query.or(base_query)),
        _ if path.starts_with('/') => (Cow::Borrowed(path), query),
        _ => (Cow::Owned(format!("{folder}{path}")), query),
    };
    Some(Target::canonical(&path, query, Strictness::Lenient).ok()?.path_and_query())
}

/// `target` as seen from `base`, both absolute paths with or without a query.
pub fn relative(base: &str, target: &str) -> String {
    let folder = |text: &str| text.split('?').next().unwrap_or(text).rfind('/').map_or(0, |at| at + 1);
    let (from, to) = (&base[..folder(base)], &target[..folder(target)]);
    let shared = from.bytes().zip(to.bytes()).take_while(|(a, b)| a == b).count();
    let shared = from[..shared].rfind('/').map_or(0, |at| at + 1);
    let mut uri = "../".repeat(from[shared..].matches('/').count());
    uri.push_str(&target[shared..]);
    let first = uri.split(['/', '?']).next().unwrap_or_default();
    // What looks like a scheme or a rooted path is none (RFC 3986 §4.2).
    if first.is_empty() || first.contains(':') { format!("./{uri}") } else { uri }
}

/// What is encoded beside what is not ASCII.
const BLANK: &AsciiSet = &AsciiSet::EMPTY.add(b' ');

fn parted(uri: &str) -> (&str, Option<&str>) {
    uri.split_once('?').map_or((uri, None), |(path, query)| (path, Some(query)))
}

/// RFC 3986 §3.1.
fn scheme(uri: &str) -> Option<&str> {
    let (scheme, _) = uri.split_once(':')?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    is_scheme.then_some(scheme)
}

/// Most playlists are relative throughout: one fast search spares them all that follows. What is absolute has `://`,
/// what is rooted begins with a slash behind a quote or at the beginning of a line.
fn may_name_an_origin(text: &str) -> bool {
    let octets = text.as_bytes();
    memchr_iter(b'/', octets).any(|at| match at.checked_sub(1).map(|before| octets[before]) {
        None | Some(b'"') => true,
        Some(b':') => octets.get(at + 1) == Some(&b'/'),
        Some(before) => before.is_ascii_whitespace(),
    })
}

/// Whether a URI is a rooted one, or an absolute one of HTTP, and is all there.
fn names_an_origin(uri: &str) -> bool {
    let begins = |scheme: &str| uri.get(..scheme.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(scheme));
    (uri.starts_with('/') || begins("http://") || begins("https://")) && !variables::are_in(uri)
}

/// Where the lines of `text` stand, without their ends.
fn lines(text: &str) -> impl Iterator<Item = Range<usize>> {
    let ends = memchr_iter(b'\n', text.as_bytes()).chain([text.len()]);
    ends.scan(0, |begin, end| Some(std::mem::replace(begin, end + 1)..end))
}

/// Where the URIs of a line stand: the line itself without blanks around it, or values of attributes.
fn uris(text: &str, line: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let written = &text[line.clone()];
    let begin = line.start + written.len() - written.trim_ascii_start().len();
    let whole = begin..begin + written.trim_ascii().len();
    let whole = Some(whole).filter(|whole| !text[whole.clone()].starts_with('#'));
    let attributes = uri_attributes(written).map(|(names, list)| {
        let values = quoted_values(text, line.start + list..line.end);
        values.filter(|(name, _)| names.contains(name)).map(|(_, value)| value)
    });
    whole.into_iter().chain(attributes.into_iter().flatten())
}

/// Which attributes of a tag are URIs, and where its list begins.
fn uri_attributes(line: &str) -> Option<(&'static [&'static str], usize)> {
    const PREFIX: &str = "#EXT-X-";
    let (tag, _) = line.strip_prefix(PREFIX)?.split_once(':')?;
    let names: &[_] = match tag {
        "PART" | "PRELOAD-HINT" | "RENDITION-REPORT" | "MAP" | "KEY" | "SESSION-KEY" | "SESSION-DATA" | "MEDIA"
        | "I-FRAME-STREAM-INF" => &["URI"],
        "CONTENT-STEERING" => &["SERVER-URI"],
        "DATERANGE" => &["X-ASSET-URI", "X-ASSET-LIST", "X-URI"],
        _ => return None,
    };
    Some((names, PREFIX.len() + tag.len() + 1))
}

/// Names and places of the quoted values of an attribute list, as far as it is one. Blanks around names and a name that
/// comes twice are no matter here: players are as lenient, and would go past the node to what was not rewritten.
fn quoted_values(text: &str, list: Range<usize>) -> impl Iterator<Item = (&str, Range<usize>)> {
    let (mut at, end) = (list.start, list.end);
    std::iter::from_fn(move || {
        loop {
            let equals = at + memchr(b'=', &text.as_bytes()[at..end])?;
            let name = text[at..equals].trim_matches([',', ' ', '\t']);
            let value = text[equals + 1..end].trim_start_matches([' ', '\t']);
            let begin = end - value.len();
            let Some(quoted) = value.strip_prefix('"') else {
                at = begin + memchr(b',', value.as_bytes())?;
                continue;
            };
            let close = begin + 1 + memchr(b'"', quoted.as_bytes())?;
            at = close + 1;
            return Some((name, begin + 1..close));
        }
    })
}

#[cfg(test)]
mod tests;
