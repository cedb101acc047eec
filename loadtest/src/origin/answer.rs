//! From content to response: validators, ranges, compression, lifetimes, CORS. RFC 9110 and 9111.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode};

use super::body::{OriginBody, whole};
use super::fault::Instead;

/// `Cache-Control` of media, which never changes under its name.
pub const MEDIA_LIFE: &str = "public, max-age=3600, immutable";
/// `Cache-Control` of a playlist that a blocking reload asked for: six target durations.
pub const BLOCKING_LIFE: &str = "public, max-age=12";
/// `Cache-Control` of a live playlist: half a target duration.
pub const PLAYLIST_LIFE: &str = "public, max-age=1";
/// `Cache-Control` of multivariant playlists and of those with an end.
pub const STEADY_LIFE: &str = "public, max-age=30";
/// `Cache-Control` of what is for one viewer or one moment.
pub const NO_STORE: &str = "no-store";

/// `Content-Type` of playlists.
pub const PLAYLIST_TYPE: &str = "application/vnd.apple.mpegurl";

/// A response with the length that it announces.
#[derive(Debug)]
pub struct Answer {
    /// The response.
    pub response: Response<OriginBody>,
    /// Its Content-Length, absent where it is not known before the end.
    pub length: Option<u64>,
}

impl Answer {
    /// An answer of `status` whose body has `length` bytes, if that is known.
    pub fn new(status: StatusCode, body: OriginBody, length: Option<u64>) -> Self {
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let answer = Self { response, length };
        match length {
            Some(length) => answer.with(header::CONTENT_LENGTH, &length.to_string()),
            None => answer,
        }
    }

    /// A short text, for errors.
    pub fn text(status: StatusCode, life: &str, text: &str) -> Self {
        let body = Bytes::from(format!("{text}\n"));
        let length = body.len() as u64;
        Self::new(status, whole(body), Some(length))
            .with(header::CONTENT_TYPE, "text/plain")
            .with(header::CACHE_CONTROL, life)
    }

    /// Sets a header field; a value that cannot stand in one is left out.
    pub fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.response.headers_mut().insert(name, value);
        }
        self
    }

    /// What the fault desk has sent instead.
    pub fn instead(instead: &Instead) -> Self {
        let (code, location) = match instead {
            Instead::Status(code, location) => (*code, location.as_deref()),
            Instead::Html | Instead::Reset => {
                let page = Bytes::from_static(b"<!doctype html><title>Welcome</title><p>This is not a playlist.\n");
                let length = page.len() as u64;
                return Self::new(StatusCode::OK, whole(page), Some(length)).with(header::CONTENT_TYPE, "text/html");
            }
        };
        let status = StatusCode::from_u16(code).ok().filter(|status| !status.is_informational());
        let answer =
            Self::text(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), NO_STORE, "by order of the fault desk");
        match location {
            Some(location) => answer.with(header::LOCATION, location),
            None if (300..400).contains(&code) => answer.with(header::LOCATION, "/live/master.m3u8"),
            None => answer,
        }
    }
}

/// The fields that every response carries, and no body where the method has none.
pub fn finish(answer: Answer, method: &Method) -> Answer {
    let mut answer = answer
        .with(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")
        .with(header::ACCESS_CONTROL_EXPOSE_HEADERS, "Age, Cache-Control, Content-Length, Content-Range, Date, ETag")
        .with(HeaderName::from_static("timing-allow-origin"), "*")
        .with(header::SERVER, "weir-origin");
    if *method == Method::HEAD {
        *answer.response.body_mut() = whole(Bytes::new());
    }
    answer
}

/// The answer to a CORS preflight.
pub fn preflight() -> Answer {
    Answer::new(StatusCode::NO_CONTENT, whole(Bytes::new()), None)
        .with(header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, OPTIONS")
        .with(header::ACCESS_CONTROL_ALLOW_HEADERS, "*, Authorization, Range")
        .with(header::ACCESS_CONTROL_MAX_AGE, "7200")
}

/// A playlist, gzip-coded where the client takes it.
pub fn playlist(text: String, life: &str, asked: &HeaderMap) -> Answer {
    let zip = takes_gzip(asked);
    let tag = format!("\"{:016x}{}\"", fingerprint(&text), if zip { "-gz" } else { "" });
    let answer = if unchanged(asked, &tag) {
        Answer::new(StatusCode::NOT_MODIFIED, whole(Bytes::new()), None)
    } else {
        let body = if zip { gzip(text.as_bytes()) } else { Bytes::from(text) };
        let length = body.len() as u64;
        let answer = Answer::new(StatusCode::OK, whole(body), Some(length)).with(header::CONTENT_TYPE, PLAYLIST_TYPE);
        if zip { answer.with(header::CONTENT_ENCODING, "gzip") } else { answer }
    };
    answer.with(header::ETAG, &tag).with(header::CACHE_CONTROL, life).with(header::VARY, "Accept-Encoding")
}

fn fingerprint(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

fn gzip(text: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let written = encoder.write_all(text).and_then(|()| encoder.finish());
    Bytes::from(written.expect("writing to memory cannot fail"))
}

/// Whether `Accept-Encoding` takes gzip with a weight above 0.
fn takes_gzip(asked: &HeaderMap) -> bool {
    let values = asked.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, "q=1"));
        let weight = weight.trim().strip_prefix("q=").and_then(|weight| weight.parse::<f32>().ok());
        ["gzip", "*"].contains(&name.trim().to_ascii_lowercase().as_str()) && weight.is_some_and(|weight| weight > 0.0)
    })
}

/// Whether `If-None-Match` names the present `tag` (RFC 9110 section 13.1.2).
fn unchanged(asked: &HeaderMap, tag: &str) -> bool {
    let values = asked.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .any(|each| each.trim() == "*" || each.trim().trim_start_matches("W/") == tag)
}

/// A range of bytes that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// From the first to the last number, both included.
    Closed(u64, u64),
    /// From a number on.
    From(u64),
    /// The last so many.
    Last(u64),
}

/// The one range of the `Range` field; `None` if there is none that we serve (several ranges, other units, `If-Range` of another
/// version), so that the whole is sent (RFC 9110 section 14.2).
pub fn range(asked: &HeaderMap, tag: &str) -> Option<Asked> {
    if asked.get(header::IF_RANGE).is_some_and(|value| value.as_bytes() != tag.as_bytes()) {
        return None;
    }
    let (first, last) = asked.get(header::RANGE)?.to_str().ok()?.strip_prefix("bytes=")?.trim().split_once('-')?;
    match (first, last) {
        ("", last) => Some(Asked::Last(last.parse().ok()?)),
        (first, "") => Some(Asked::From(first.parse().ok()?)),
        (first, last) => {
            let (first, last) = (first.parse().ok()?, last.parse().ok()?);
            (first <= last).then_some(Asked::Closed(first, last))
        }
    }
}

/// What of a representation of `size` bytes is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Status: 200, 206, 304 or 416.
    pub status: StatusCode,
    /// The first byte.
    pub from: u64,
    /// The byte after the last.
    pub to: u64,
}

/// Decides it (RFC 9110 sections 13.2.2 and 14).
pub fn extent(asked: &HeaderMap, tag: &str, size: u64) -> Extent {
    if unchanged(asked, tag) {
        return Extent { status: StatusCode::NOT_MODIFIED, from: 0, to: 0 };
    }
    let (from, to) = match range(asked, tag) {
        None => {
            return Extent { status: StatusCode::OK, from: 0, to: size };
        }
        Some(Asked::Closed(from, last)) => (from, last.saturating_add(1).min(size)),
        Some(Asked::From(from)) => (from, size),
        Some(Asked::Last(count)) => (size.saturating_sub(count), size),
    };
    if from < to {
        Extent { status: StatusCode::PARTIAL_CONTENT, from, to }
    } else {
        Extent { status: StatusCode::RANGE_NOT_SATISFIABLE, from: 0, to: 0 }
    }
}

impl Extent {
    /// The answer with `body`, which is this extent of `size` bytes.
    pub fn answer(self, body: OriginBody, size: u64, tag: &str) -> Answer {
        let length = (self.status != StatusCode::NOT_MODIFIED).then_some(self.to - self.from);
        let answer =
            Answer::new(self.status, body, length).with(header::ETAG, tag).with(header::ACCEPT_RANGES, "bytes");
        match self.status {
            StatusCode::PARTIAL_CONTENT => {
                answer.with(header::CONTENT_RANGE, &format!("bytes {}-{}/{size}", self.from, self.to - 1))
            }
            StatusCode::RANGE_NOT_SATISFIABLE => answer.with(header::CONTENT_RANGE, &format!("bytes */{size}")),
            _ => answer,
        }
    }
}

/// Media of which all bytes are there.
pub fn media(bytes: &Bytes, kind: &str, tag: &str, asked: &HeaderMap) -> Answer {
    let size = bytes.len() as u64;
    let extent = extent(asked, tag, size);
    let index = |at: u64| usize::try_from(at).expect("within a slice");
    let body = whole(bytes.slice(index(extent.from)..index(extent.to)));
    extent.answer(body, size, tag).with(header::CONTENT_TYPE, kind).with(header::CACHE_CONTROL, MEDIA_LIFE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn ranges_are_cut_as_the_standard_says() {
        for (value, status, from, to) in [
            ("bytes=0-", 206, 0, 10),
            ("bytes=2-3", 206, 2, 4),
            ("bytes=2-99", 206, 2, 10),
            ("bytes=-3", 206, 7, 10),
            ("bytes=-99", 206, 0, 10),
            ("bytes=10-", 416, 0, 0),
            ("bytes=-0", 416, 0, 0),
            ("bytes=3-2", 200, 0, 10),
            ("bytes=0-1,3-4", 200, 0, 10),
            ("lines=0-1", 200, 0, 10),
        ] {
            let extent = extent(&asked(header::RANGE, value), "\"t\"", 10);
            assert_eq!((extent.status.as_u16(), extent.from, extent.to), (status, from, to), "{value}");
        }
        let mut stale = asked(header::RANGE, "bytes=2-3");
        stale.insert(header::IF_RANGE, HeaderValue::from_static("\"old\""));
        assert_eq!(extent(&stale, "\"t\"", 10).status, StatusCode::OK);
        assert_eq!(
            extent(&asked(header::IF_NONE_MATCH, "\"a\", W/\"t\""), "\"t\"", 10).status,
            StatusCode::NOT_MODIFIED
        );
    }

    #[test]
    fn gzip_goes_to_those_who_take_it() {
        for (value, expected) in
            [("gzip, br", true), ("br;q=1.0, gzip;q=0.5", true), ("gzip;q=0", false), ("br", false), ("*", true)]
        {
            assert_eq!(takes_gzip(&asked(header::ACCEPT_ENCODING, value)), expected, "{value}");
        }
    }
}
