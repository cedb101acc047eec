//! What an answer to a request for a playlist means: live or plain kind, shared or one viewer's, or no playlist at all.
//! URIs of the playlist are in the node's terms from here on.

use std::borrow::Cow;
use std::sync::Arc;

use http::header::{
    ACCEPT_RANGES, AGE, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, DATE, ETAG, EXPIRES,
    LAST_MODIFIED, LOCATION, PRAGMA, SET_COOKIE, VARY,
};
use http::{HeaderMap, HeaderName, StatusCode};

use crate::config::Playlists;
use crate::origin::{FetchError, redirect};
use crate::rules::caching::Control;
use crate::rules::caching::control::{CDN_CACHE_CONTROL, Directive, TARGETS, WEIR_CACHE_CONTROL};
use crate::rules::caching::purge;
use crate::rules::fields::hop;
use crate::rules::hls::parse::{self, Kind};
use crate::rules::hls::rewrite::rebase;

use super::Asked;
use super::ask::Came;
use super::state::Failure;

/// Fields of the origin's answer that say nothing of what viewers get: caching, cookies, validators, coding, length.
const NOT_PASSED_ON: [HeaderName; 19] = [
    ACCEPT_RANGES,
    AGE,
    CACHE_CONTROL,
    CDN_CACHE_CONTROL,
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_RANGE,
    DATE,
    ETAG,
    EXPIRES,
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("repr-digest"),
    LAST_MODIFIED,
    PRAGMA,
    SET_COOKIE,
    VARY,
    WEIR_CACHE_CONTROL,
];

/// What an answer says.
pub(super) enum Said {
    /// A media playlist, or a delta update of one.
    Media(String),
    /// A multivariant playlist.
    Multivariant(String),
    /// What is known still holds.
    Unchanged,
    /// Each viewer gets one of their own.
    PerViewer,
    /// There is none.
    Failure(Failure),
}

/// What `came` for a playlist means.
pub(super) fn judge(came: &Came, asked: &Asked) -> Said {
    match came.status {
        StatusCode::OK => playlist(came, asked),
        StatusCode::NOT_MODIFIED => Said::Unchanged,
        // Where a playlist is for this viewer is for this viewer to hear, if it leads back here.
        status if redirect::is_one(status) => match leads_back(came, asked)
            && asked.rules.playlists != Playlists::Shared
        {
            true => Said::PerViewer,
            false => Said::Failure(Failure::Fetch(Arc::new(FetchError::Redirected { origin: came.origin.clone() }))),
        },
        status => {
            let mut headers = passed_on(&came.headers);
            purge::strip_tags(&mut headers);
            Said::Failure(Failure::Status(status, Arc::new(headers)))
        }
    }
}

fn playlist(came: &Came, asked: &Asked) -> Said {
    let Ok(text) = std::str::from_utf8(&came.body) else {
        return Said::Failure(Failure::NoPlaylist("it is not UTF-8"));
    };
    let Some(kind) = parse::kind(text) else {
        return Said::Failure(Failure::NoPlaylist("its first line is not #EXTM3U"));
    };
    if is_per_viewer(&came.headers, asked.rules.playlists) {
        return Said::PerViewer;
    }
    let viewer = asked.viewer_authority.as_deref();
    let based = match &came.found_at {
        Some(url) => rebase(text, url),
        None => Cow::Borrowed(text),
    };
    let rules = &asked.rules;
    let text = match rules.references.write(&based, &rules.supply, (&asked.target, viewer)) {
        Cow::Borrowed(text) => text.to_owned(),
        Cow::Owned(text) => text,
    };
    match kind {
        Kind::Media => Said::Media(text),
        Kind::Multivariant => Said::Multivariant(text),
    }
}

/// Whether a redirect leads to where the node can be asked again: to a relative URI, or to one of the route's origins.
fn leads_back(came: &Came, asked: &Asked) -> bool {
    let Some(location) = came.headers.get(LOCATION).and_then(|location| location.to_str().ok()) else { return false };
    let is_relative = !location.contains("://") && !location.starts_with("//");
    is_relative || asked.rules.supply.public(location, asked.viewer_authority.as_deref()).is_some()
}

/// A lifetime of nothing, `no-cache` and cookies do not make a playlist one viewer's: packagers write all of these
/// beside playlists that are the same for everybody.
fn is_per_viewer(headers: &HeaderMap, playlists: Playlists) -> bool {
    let control = Control::of(headers, &TARGETS);
    match playlists {
        Playlists::Auto => control.says(Directive::Private) || control.says(Directive::NoStore),
        Playlists::Shared => false,
        Playlists::PerViewer => true,
    }
}

/// The fields that go on to viewers.
pub(super) fn passed_on(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    hop::strip_unstorable(&mut headers);
    for name in &NOT_PASSED_ON {
        headers.remove(name);
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let field = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        fields.iter().map(field).collect()
    }

    #[test]
    fn private_and_no_store_mean_one_viewer_and_nothing_else_does() {
        for (value, auto) in [
            ("private", true),
            ("no-store", true),
            ("private, max-age=0", true),
            ("no-cache", false),
            ("max-age=0, must-revalidate", false),
            ("max-age=2", false),
        ] {
            let headers = headers(&[("cache-control", value), ("set-cookie", "a=b")]);
            assert_eq!(is_per_viewer(&headers, Playlists::Auto), auto, "{value}");
            assert!(!is_per_viewer(&headers, Playlists::Shared));
            assert!(is_per_viewer(&headers, Playlists::PerViewer));
        }
        let targeted = headers(&[("cache-control", "private"), ("cdn-cache-control", "max-age=1")]);
        assert!(!is_per_viewer(&targeted, Playlists::Auto), "what is said to caches at the edge counts there");
    }

    #[test]
    fn viewers_see_nothing_of_how_the_origin_sent_it() {
        let origin = headers(&[
            ("cache-control", "no-cache"),
            ("set-cookie", "a=b"),
            ("etag", "\"1\""),
            ("content-encoding", "gzip"),
            ("content-length", "7"),
            ("x-packager", "p"),
        ]);
        assert_eq!(passed_on(&origin), headers(&[("x-packager", "p")]));
    }
}
