//! What is kept of a URI that a player tells: its path, so that no token, name or host leaves with it.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::rules::token::carrier::in_path;

/// The path of a URI, without scheme, host, query, fragment, carriers and attributes of segments; of a URI that has no
/// path (`data:`, `blob:`) its scheme. What is given back is given back again.
pub fn path_of(uri: &str) -> Box<str> {
    let path = uri.split(['?', '#']).next().unwrap_or_default();
    let path = without_authority(path);
    let path = without_attributes(path);
    single_root(&without_carriers(path)).into()
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

    proptest! {
        #[test]
        fn what_was_cut_is_not_cut_again(uri in "(https?:|//|/|)[a-z:/.;=%?#~ 25ESFweirst-]{0,40}") {
            let once = path_of(&uri);
            prop_assert_eq!(path_of(&once), once);
        }
    }
}
