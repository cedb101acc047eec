//! The node's own small answers to balancers, on every viewers' listener, on HTTP/1.0 without Host too.

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::answer::Answer;
use super::body::Content;

/// One of the node's own answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// The process lives.
    Live,
    /// It should get viewers.
    Ready,
}

impl Page {
    /// The page at a path, if it is reserved for one.
    pub fn at(path: &str) -> Option<Self> {
        match path {
            "/.weir/live" => Some(Self::Live),
            "/.weir/ready" => Some(Self::Ready),
            _ => None,
        }
    }

    /// Whether the page says yes: a living node always does, a ready one while it is not draining.
    pub fn answer(self, readiness: Readiness) -> Answer {
        let (status, text) = match (self, readiness) {
            (Self::Live, _) => (StatusCode::OK, "live\n"),
            (Self::Ready, Readiness::Ready) => (StatusCode::OK, "ready\n"),
            (Self::Ready, Readiness::Draining) => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Answer { content: Content::Full(text.into()), ..Answer::own(status, headers) }
    }
}

/// Whether new viewers should come here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// They should.
    Ready,
    /// The node is on its way out.
    Draining,
}
