//! What is kept of a URI that a player tells: its path, so that no token, name or host leaves with it; and of a text, which
//! may hold one.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::rules::token::carrier::{SESSION, in_path};

/// What stands before the first octets of a signed token: `{"` in base64.
const SIGNED: &str = "eyJ";
/// Each cut of a word takes something away; a word that needs more is made to hide something.
const CUTS: usize = 8;

/// The path of a URI, without scheme, host, query, fragment, carriers and attributes of segments; of a URI that has no
/// path (`data:`, `blob:`) its scheme. What is given back is given back again.
pub fn path_of(uri: &str) -> Box<str> {
    let path = uri.split(['?', '#']).next().unwrap_or_default();
    let path = without_authority(path);
    let path = without_attributes(path);
    single_root(&without_carriers(path)).into()
}

/// A text whose words have no host, no query, no carrier and no token as far as those can be told: of a URI within one its
/// path is kept. What is given back is given back again.
pub fn plain(text: Cow<'_, str>) -> Cow<'_, str> {
    let may_tell = text.bytes().any(|octet| matches!(octet, b'/' | b'%' | b'=' | b'.'));
    if !may_tell || !words(&text).any(|(word, _)| telling(word).is_some()) {
        return text;
    }
    Cow::Owned(words(&text).flat_map(|(word, blank)| [without_secrets(word), Cow::Borrowed(blank)]).collect())
}

/// The beginning of a text, of at most so many characters.
pub fn opening(text: Cow<'_, str>, most: usize) -> Cow<'_, str> {
    match text.char_indices().nth(most) {
        Some((at, _)) => Cow::Owned(text[..at].to_owned()),
        None => text,
    }
}

/// Words with the blank after each.
fn words(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split_inclusive(char::is_whitespace).map(|word| word.split_at(word.trim_end().len()))
}

/// What a word holds that is nobody's.
enum Telling {
    /// From here on a URI.
    Uri(usize),
    /// A path with a carrier.
    Carrier,
    /// From here on a query or a token.
    Rest(usize),
}

fn telling(word: &str) -> Option<Telling> {
    if let Some(at) = word.find("://") {
        let is_of_scheme = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
        return Some(Telling::Uri(word[..at].trim_end_matches(is_of_scheme).len()));
    }
    if word.contains(['/', '%']) && in_path(&percent_decode_str(word).decode_utf8_lossy()).is_some() {
        return Some(Telling::Carrier);
    }
    let query = word.find('?').filter(|at| word[*at..].contains('='));
    let session = word.find(SESSION).filter(|at| word[at + SESSION.len()..].starts_with('='));
    let named = word.find("token=");
    let signed = word.find(SIGNED).filter(|at| word[*at..].contains('.'));
    [query, session, named, signed].into_iter().flatten().min().map(Telling::Rest)
}

fn without_secrets(word: &str) -> Cow<'_, str> {
    let mut word = Cow::Borrowed(word);
    for _ in 0..CUTS {
        word = match telling(&word) {
            None => return word,
            Some(Telling::Uri(at)) => Cow::Owned([&word[..at], &*path_of(&word[at..])].concat()),
            Some(Telling::Carrier) => Cow::Owned(path_of(&word).into()),
            Some(Telling::Rest(at)) => Cow::Owned(word[..at].to_owned()),
        };
    }
    Cow::Borrowed("")
}

fn without_authority(uri: &str) -> &str {
    let begin = uri.split('/').next().unwrap_or_default();
    let rest = match begin.find(':') {
        Some(colon) if !uri[colon + 1..].starts_with("//") => return &uri[..=colon],
        Some(colon) => &uri[colon + 1..],
        None => uri,
    };
    match rest.strip_prefix("//") {
        None => rest,
        Some(authority) => authority.find('/').map_or("/", |at| &authority[at..]),
    }
}

/// Attributes may be tokens: `;name=value` at the end of a segment.
fn without_attributes(path: &str) -> Cow<'_, str> {
    if !path.contains(';') {
        return Cow::Borrowed(path);
    }
    let segments = path.split('/').map(|segment| segment.split(';').next().unwrap_or_default());
    Cow::Owned(segments.collect::<Vec<_>>().join("/"))
}

/// Every round takes something away.
fn without_carriers(path: Cow<'_, str>) -> Cow<'_, str> {
    let mut path = path;
    loop {
        let decoded = percent_decode_str(&path).decode_utf8_lossy();
        if !decoded.contains("/.weir/") {
            return path;
        }
        let Some(parted) = in_path(&decoded) else { return path };
        let plain = |c: char| if c.is_ascii_graphic() && !matches!(c, '?' | '#' | ';') { c } else { '_' };
        path = Cow::Owned(parted.whole().chars().map(plain).collect());
    }
}

/// A path that begins with several slashes could be read as a host.
fn single_root(path: &str) -> &str {
    match path.starts_with("//") {
        true => &path[path.len() - path.trim_start_matches('/').len() - 1..],
        false => path,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn of_a_uri_its_path_is_kept_and_nothing_that_opens_anything() {
        for (uri, path) in [
            ("https://edge.example.org/live/a.m4s?token=secret#x", "/live/a.m4s"),
            ("//edge.example.org/live/a.m4s", "/live/a.m4s"),
            ("https://user:secret@edge.example.org", "/"),
            ("../300k/seg-35.m4v?token=secret", "../300k/seg-35.m4v"),
            ("seg.m4s", "seg.m4s"),
            ("", ""),
            ("/.weir/t/eyJhbGciOi.x.y/live/a.m4s", "/live/a.m4s"),
            ("https://e/.weir/s/SESSION", "/"),
            ("/%2Eweir%2Ft/eyJhbGciOi/live/a.m4s", "/live/a.m4s"),
            ("/.weir/s/A/.weir/t/B/live/a.m4s", "/live/a.m4s"),
            ("/.weir/cmcd", "/.weir/cmcd"),
            ("/live/a.m4s;hdnts=exp=1~hmac=ab", "/live/a.m4s"),
            ("data:text/plain,secret", "data:"),
            ("blob:https://e/secret", "blob:"),
            ("https://h//evil/x", "/evil/x"),
        ] {
            assert_eq!(&*path_of(uri), path, "{uri}");
        }
    }

    #[test]
    fn of_a_text_nothing_is_kept_that_opens_anything() {
        for (text, kept) in [
            ("404 https://edge.example.org/.weir/t/TOKEN/live/a.m4s", "404 /live/a.m4s"),
            ("/.weir/s/SESSION/live/main.m3u8", "/live/main.m3u8"),
            ("x=/.weir/s/SESSION", "x=/"),
            ("%2F.weir%2Ft%2FTOKEN%2Flive", "/live"),
            ("(https://user:pass@e/a?token=x) and //e", "(/a and //e"),
            ("https://e/https://f/.weir/t/TOKEN/a", "//a"),
            ("live?hdnts=exp=1~hmac=ab now", "live now"),
            ("refused: token=abc", "refused: "),
            ("weir_session=abc", ""),
            ("bearer eyJhbGciOi.eyJzdWIi.c2ln", "bearer "),
            ("show", "show"),
            ("x/y?z#1", "x/y?z#1"),
            ("a=b;c 100% is it? 1/2", "a=b;c 100% is it? 1/2"),
            ("edge.example.org:8443", "edge.example.org:8443"),
            ("", ""),
        ] {
            assert_eq!(plain(text.into()), kept, "{text}");
        }
        assert_eq!((opening("äbc".into(), 2), opening("ab".into(), 2)), ("äb".into(), "ab".into()));
    }

    proptest! {
        #[test]
        fn a_text_that_was_cut_is_not_cut_again_and_holds_no_carrier(
            text in "((https?:|://|//|/.weir/[st]/|%2f|token=|weir_session=|eyJ|[a-z./;=%?# ]){0,12})"
        ) {
            let once = plain(Cow::Borrowed(&text));
            prop_assert!(!once.contains("://") && !once.contains("/.weir/s/") && !once.contains("/.weir/t/"), "{}", once);
            prop_assert_eq!(plain(once.clone()), once);
        }

        #[test]
        fn what_was_cut_is_not_cut_again(uri in "(https?:|//|/|)[a-z:/.;=%?#~ 25ESFweirst-]{0,40}") {
            let once = path_of(&uri);
            prop_assert_eq!(path_of(&once), once);
        }
    }
}
