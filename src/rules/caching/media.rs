//! Media that a followed playlist names: it lives by the stream, not by what its origin says of caching. Only `no-store`
//! and `private` are heard, which mean that it is one viewer's.

use std::time::Duration;

use http::header::{SET_COOKIE, VARY};
use http::{HeaderMap, StatusCode};

use super::control::Control;
use super::freshness::{Freshness, Lifetime, Policy, Received};
use super::storable::{self, RequestFacts, SetCookie, Sharing, Verdict, WhyNot};
use crate::clock::Tick;

/// What the stream says of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word {
    /// Since when the name has stood for the same thing: what was received before may be something else.
    pub since: Tick,
    /// For how long it is needed from now on, at least.
    pub left: Duration,
}

/// Judges a response whose head has arrived.
pub fn verdict(request: &RequestFacts, response: &Received<'_>, control: &Control) -> Verdict {
    let plain = storable::verdict(request, response, control, &Policy::MEDIA, SetCookie::Strip);
    if response.status != StatusCode::OK {
        // What is missing now may be there in a moment.
        let is_missing = matches!(response.status, StatusCode::NOT_FOUND | StatusCode::GONE);
        return match is_missing {
            true => Verdict { storable: Err(WhyNot::NotFresh), ..plain },
            false => plain,
        };
    }
    match storable::prohibition(request, response, control) {
        Ok(()) => Verdict { storable: Ok(()), sharing: Sharing::Anyone, ..plain },
        Err(reason) => Verdict { storable: Err(reason), sharing: Sharing::Nobody(reason), ..plain },
    }
}

/// Whether a stored response may be used: as long as the stream needs it. What came before the name stood for it may be
/// another stream's, whatever lifetime it had, and is to be validated.
pub fn freshness(status: StatusCode, lifetime: &Lifetime, word: &Word, now: Tick) -> Freshness {
    if matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE) {
        return Freshness::Unusable;
    }
    if lifetime.responded() < word.since {
        let mut expired = *lifetime;
        expired.expire();
        return expired.freshness(now);
    }
    match status {
        StatusCode::OK => Freshness::Fresh { left: word.left },
        _ => lifetime.freshness(now),
    }
}

/// Takes out of the head of a response what is about one request: it is kept for all.
pub fn strip(headers: &mut HeaderMap) {
    headers.remove(SET_COOKIE);
    headers.remove(VARY);
}
