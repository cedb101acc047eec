//! Answers that are no success, kept for a moment by an operator's choice, where they say nothing of it themselves: a
//! crowd that asks for what is missing, or for what an origin cannot make, then costs that origin one request a moment.
//!
//! The origin's own word counts first: an explicit lifetime, `no-store`, `private`, `no-cache`, a cookie, and statuses
//! that may never be stored (RFC 6585) are as RFC 9111 has them.

use std::time::Duration;

use http::StatusCode;
use http::header::SET_COOKIE;

use super::control::{Control, Directive};
use super::freshness::Received;
use super::storable::{self, RequestFacts, Sharing, Verdict};

/// For how long media that a stream names is missing, where the route does not say: less than two parts.
const MEDIA_MISSING: Duration = Duration::from_millis(500);

/// Statuses that a lifetime is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statuses {
    /// One, like 404.
    One(StatusCode),
    /// A class, by its first digit: 4 or 5.
    Class(u16),
}

impl Statuses {
    /// `404`, or `5xx`: errors alone, and none that may never be stored. `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "4xx" => return Some(Self::Class(4)),
            "5xx" => return Some(Self::Class(5)),
            _ => {}
        }
        let status = StatusCode::from_bytes(text.as_bytes()).ok()?;
        let is_error = status.is_client_error() || status.is_server_error();
        (is_error && !matches!(status.as_u16(), 428 | 429 | 431 | 511)).then_some(Self::One(status))
    }
}

/// The lifetimes of a route's errors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Errors(Vec<(Statuses, Duration)>);

/// What an error was asked for as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A plain response.
    Plain,
    /// Media that a stream names.
    Media,
}

impl Errors {
    /// These lifetimes; zero: not kept.
    pub fn new(lifetimes: Vec<(Statuses, Duration)>) -> Self {
        Self(lifetimes)
    }

    /// For how long an answer with `status` is kept, if at all: a status of its own before its class.
    pub fn lifetime(&self, status: StatusCode, asked: Asked) -> Option<Duration> {
        let of = |statuses: Statuses| self.0.iter().find(|(own, _)| *own == statuses).map(|(_, lifetime)| *lifetime);
        let said = of(Statuses::One(status)).or_else(|| of(Statuses::Class(status.as_u16() / 100)));
        let is_missing = matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE);
        let lifetime = said.or((asked == Asked::Media && is_missing).then_some(MEDIA_MISSING));
        lifetime.filter(|lifetime| !lifetime.is_zero())
    }
}

/// The verdict on an error that the rules of its kind have judged already.
pub fn verdict(
    verdict: Verdict,
    (request, asked): (&RequestFacts, Asked),
    response: &Received<'_>,
    control: &Control,
    errors: &Errors,
) -> Verdict {
    let is_spoken_for = storable::has_explicit_lifetime(response.headers, control)
        || control.says(Directive::NoCache)
        || response.headers.contains_key(SET_COOKIE)
        || storable::prohibition(request, response, control).is_err();
    match errors.lifetime(response.status, asked) {
        Some(lifetime) if !is_spoken_for => {
            Verdict { lifetime: verdict.lifetime.granted(lifetime), storable: Ok(()), sharing: Sharing::Anyone }
        }
        Some(_) | None => verdict,
    }
}

/// Whether an error may well be the fault of the request's own fields, so that it says nothing to others who asked for
/// the same.
pub fn is_about_the_request(status: StatusCode) -> bool {
    matches!(status.as_u16(), 400 | 406 | 411 | 412 | 413 | 415 | 416 | 417 | 421 | 422 | 426 | 428 | 431)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, Method};

    use super::*;
    use crate::clock::{Tick, WallTime};
    use crate::rules::caching::control::TARGETS;
    use crate::rules::caching::freshness::{Freshness, Policy, Times};
    use crate::rules::caching::storable::SetCookie;

    const SECOND: Duration = Duration::from_secs(1);

    fn errors(lifetimes: &[(&str, u64)]) -> Errors {
        let read = |(statuses, seconds): &(&str, u64)| (Statuses::parse(statuses).unwrap(), SECOND * *seconds as u32);
        Errors::new(lifetimes.iter().map(read).collect())
    }

    #[test]
    fn errors_that_may_be_stored_are_named_by_status_or_class() {
        for text in ["404", "410", "500", "4xx", "5xx"] {
            assert!(Statuses::parse(text).is_some(), "{text}");
        }
        for text in ["", "200", "304", "2xx", "5XX", "429", "431", "511", "40", "4040", "404 "] {
            assert_eq!(Statuses::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_status_of_its_own_counts_before_its_class() {
        let errors = errors(&[("4xx", 2), ("404", 5), ("410", 0)]);
        let lifetime = |status: u16, asked| errors.lifetime(StatusCode::from_u16(status).unwrap(), asked);
        assert_eq!(lifetime(404, Asked::Plain), Some(5 * SECOND));
        assert_eq!(lifetime(403, Asked::Plain), Some(2 * SECOND));
        assert_eq!((lifetime(410, Asked::Plain), lifetime(410, Asked::Media)), (None, None));
        assert_eq!((lifetime(503, Asked::Plain), lifetime(503, Asked::Media)), (None, None));
    }

    #[test]
    fn without_a_word_only_missing_media_is_missing_for_a_moment() {
        for (status, kept) in [(404, true), (410, true), (403, false), (503, false)] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(Errors::default().lifetime(status, Asked::Media).is_some(), kept, "{status}");
            assert_eq!(Errors::default().lifetime(status, Asked::Plain), None);
        }
    }

    #[test]
    fn the_origins_own_word_counts_first() {
        let errors = errors(&[("404", 5), ("4xx", 5), ("5xx", 5)]);
        for (status, field, value, granted) in [
            (404, "x-nothing", "", true),
            (503, "retry-after", "1", true),
            (404, "cache-control", "max-age=60", false),
            (404, "expires", "0", false),
            (404, "cache-control", "no-store", false),
            (404, "cache-control", "private", false),
            (404, "cache-control", "no-cache", false),
            (404, "set-cookie", "a=b", false),
            (404, "vary", "*", false),
            (429, "retry-after", "1", false),
            (200, "x-nothing", "", false),
        ] {
            let at = Tick::at(100 * SECOND);
            let times = Times { requested: at, responded: at, responded_wall: WallTime::default() };
            let mut headers = HeaderMap::new();
            headers.insert(field, HeaderValue::from_static(value));
            let received = Received { status: StatusCode::from_u16(status).unwrap(), headers: &headers, times };
            let control = Control::of(&headers, &TARGETS);
            let request =
                RequestFacts { method: Method::GET, credentials: storable::Credentials::None, no_store: false };
            let plain = storable::verdict(&request, &received, &control, &Policy::PLAIN, SetCookie::Bypass);
            let judged = verdict(plain, (&request, Asked::Plain), &received, &control, &errors);
            assert_eq!(judged != plain, granted, "{status} {field}: {value}");
            if granted {
                assert_eq!((judged.storable, judged.sharing), (Ok(()), Sharing::Anyone));
                assert_eq!(judged.lifetime.freshness(at), Freshness::Fresh { left: 5 * SECOND });
                assert_eq!(judged.lifetime.freshness(at + 5 * SECOND), Freshness::Unusable);
            }
        }
    }
}
