//! The rest of a body that broke off: asked for by range where its strong validator shows that it is the same
//! representation (RFC 9110 §13.1.5, §15.3.7.3), so that those who read it in the middle notice nothing.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_RANGE, LAST_MODIFIED, RANGE};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::rules::caching::range;

use super::{Answer, AnswerBody};

/// How often one body is taken up again.
const MOST: usize = 3;

/// What is known of a body that may break off.
pub(super) struct Broken {
    headers: HeaderMap,
    length: Option<u64>,
    left: usize,
}

impl Broken {
    /// A body with this head; `None`: none that could be taken up again.
    pub(super) fn new(status: StatusCode, headers: &HeaderMap, length: Option<u64>) -> Option<Self> {
        (status == StatusCode::OK).then(|| {
            let kept = [ETAG, LAST_MODIFIED, CONTENT_TYPE, CONTENT_ENCODING];
            let of = |name: http::HeaderName| Some((headers.get(&name)?.clone(), name));
            let headers = kept.into_iter().filter_map(of).map(|(value, name)| (name, value)).collect();
            Self { headers, length, left: MOST }
        })
    }

    /// What is asked for after so many octets; `None`: it cannot be told from something else, or was broken too often.
    pub(super) fn question(&mut self, got: u64) -> Option<HeaderMap> {
        self.left = self.left.checked_sub(1)?;
        let mut fields = HeaderMap::new();
        match (got, self.strong()) {
            // Nothing of it has been sent yet: a body of the same head will do.
            (0, _) => {}
            (_, None) => return None,
            (got, Some(etag)) => {
                let range = HeaderValue::try_from(format!("bytes={got}-"));
                fields.insert(RANGE, range.expect("digits are a field value"));
                fields.insert(IF_RANGE, etag.clone());
            }
        }
        Some(fields)
    }

    /// How many octets of the answer's body are to be left out, so that what follows are those after `got`; `None`: it
    /// is something else.
    pub(super) fn continues(&self, answer: &Answer, got: u64) -> Option<u64> {
        match answer.status {
            StatusCode::OK if answer.announced_length == self.length && self.is_same(&answer.headers, got) => Some(got),
            StatusCode::PARTIAL_CONTENT if self.is_same(&answer.headers, got) => {
                let first = range::first_of(&answer.headers)?;
                let total = range::total_of(&answer.headers)?;
                let reaches_end = answer.announced_length == Some(total.checked_sub(first)?);
                (first == got && reaches_end && self.length.is_none_or(|length| length == total)).then_some(0)
            }
            _ => None,
        }
    }

    fn is_same(&self, headers: &HeaderMap, got: u64) -> bool {
        match (got, self.strong()) {
            (0, None) => self.headers.iter().all(|(name, value)| headers.get(name) == Some(value)),
            (_, None) => false,
            (_, Some(etag)) => headers.get(ETAG) == Some(etag),
        }
    }

    fn strong(&self) -> Option<&HeaderValue> {
        self.headers.get(ETAG).filter(|etag| etag.as_bytes().starts_with(b"\""))
    }
}

/// A body on its way into a fill.
pub(super) struct Pouring {
    pub body: AnswerBody,
    /// Octets of it that are in the fill already.
    pub skip: u64,
    /// Octets in the fill.
    pub got: u64,
    /// Who sends it.
    pub from: Arc<str>,
    /// How it can be taken up again.
    pub broken: Option<Broken>,
}

impl Pouring {
    /// What of these octets is not in the fill yet.
    pub fn unknown(&mut self, mut octets: Bytes) -> Option<Bytes> {
        let known = self.skip.min(octets.len() as u64);
        self.skip -= known;
        _ = octets.split_to(usize::try_from(known).expect("no more than its length"));
        self.got += octets.len() as u64;
        (!octets.is_empty()).then_some(octets)
    }
}
