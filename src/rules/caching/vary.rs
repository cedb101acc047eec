//! Which of several responses under one key fits a request (RFC 9111 §4.1).

use http::header::VARY;
use http::{HeaderMap, HeaderName, HeaderValue};

/// The request fields that a response was selected by, and the values the request had.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Variant(Box<[(HeaderName, Box<[HeaderValue]>)]>);

impl Variant {
    /// What selected `response` for `request`; `None` where the response varies on everything (`*`).
    pub fn of(response: &HeaderMap, request: &HeaderMap) -> Option<Self> {
        let mut names = Vec::new();
        for value in response.get_all(VARY) {
            for name in value.to_str().ok()?.split(',').map(str::trim).filter(|name| !name.is_empty()) {
                if name == "*" {
                    return None;
                }
                names.push(HeaderName::try_from(name).ok()?);
            }
        }
        names.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        names.dedup();
        let fields = names.into_iter().map(|name| {
            let values = request.get_all(&name).iter().cloned().collect();
            (name, values)
        });
        Some(Self(fields.collect()))
    }

    /// Whether `request` would have selected the same response.
    pub fn matches(&self, request: &HeaderMap) -> bool {
        self.0.iter().all(|(name, values)| request.get_all(name).iter().eq(values.iter()))
    }
}
