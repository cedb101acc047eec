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
            // A part is no medium that a stream names.
            false if response.status == StatusCode::PARTIAL_CONTENT => {
                let reason = WhyNot::NotWhole;
                Verdict { storable: Err(reason), sharing: Sharing::Nobody(reason), ..plain }
            }
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
    if status == StatusCode::PARTIAL_CONTENT {
        return Freshness::Unusable;
    }
    if matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE) {
        // As long as the route grants it, and never from before the name stood for anything.
        return match lifetime.freshness(now) {
            fresh @ Freshness::Fresh { .. } if lifetime.is_granted() && lifetime.responded() >= word.since => fresh,
            Freshness::Fresh { .. } | Freshness::Stale { .. } | Freshness::Unusable => Freshness::Unusable,
        };
    }
    if lifetime.responded() < word.since {
        let mut expired = *lifetime;
        expired.expire();
        return expired.freshness(now);
    }
    match status {
        StatusCode::OK if lifetime.is_outdated() => lifetime.freshness(now),
        StatusCode::OK => Freshness::Fresh { left: word.left },
        _ => lifetime.freshness(now),
    }
}

/// Takes out of the head of a response what is about one request: it is kept for all.
pub fn strip(headers: &mut HeaderMap) {
    headers.remove(SET_COOKIE);
    headers.remove(VARY);
}

#[cfg(test)]
mod tests {
    use http::header::CACHE_CONTROL;
    use http::{HeaderValue, Method};

    use super::*;
    use crate::clock::WallTime;
    use crate::rules::caching::control::TARGETS;
    use crate::rules::caching::freshness::Times;
    use crate::rules::caching::storable::Credentials;

    const GET: RequestFacts = RequestFacts { method: Method::GET, credentials: Credentials::None, no_store: false };

    fn at(seconds: u64) -> Tick {
        Tick::at(Duration::from_secs(seconds))
    }

    fn judged(status: u16, fields: &[(&'static str, &'static str)]) -> Verdict {
        let times = Times { requested: at(100), responded: at(100), responded_wall: WallTime::default() };
        let headers: HeaderMap = fields
            .iter()
            .map(|(name, value)| (name.parse::<http::HeaderName>().unwrap(), HeaderValue::from_static(value)))
            .collect();
        let status = StatusCode::from_u16(status).unwrap();
        verdict(&GET, &Received { status, headers: &headers, times }, &Control::of(&headers, &TARGETS))
    }

    #[test]
    fn only_what_is_one_viewers_is_not_kept() {
        for (control, kept) in [
            ("no-cache", true),
            ("max-age=0, must-revalidate", true),
            ("max-age=60", true),
            ("no-store", false),
            ("private, max-age=60", false),
        ] {
            let verdict = judged(200, &[(CACHE_CONTROL.as_str(), control)]);
            assert_eq!(verdict.storable.is_ok(), kept, "{control}");
            assert_eq!(verdict.sharing == Sharing::Anyone, kept, "{control}");
        }
        assert!(judged(200, &[("set-cookie", "a=b")]).storable.is_ok(), "it is stripped");
        assert!(judged(200, &[]).storable.is_ok(), "it needs no lifetime");
    }

    #[test]
    fn what_is_missing_is_never_kept() {
        for status in [404, 410] {
            assert!(judged(status, &[("cache-control", "max-age=60")]).storable.is_err());
        }
        assert!(judged(301, &[("cache-control", "max-age=60")]).storable.is_ok(), "by the standard");
    }

    #[test]
    fn it_is_fresh_as_long_as_the_stream_needs_it_if_it_came_since() {
        let left = Duration::from_secs(9);
        let fresh = |status: u16, lifetime: &Lifetime, since| {
            freshness(StatusCode::from_u16(status).unwrap(), lifetime, &Word { since: at(since), left }, at(120))
        };
        let expired = judged(200, &[("cache-control", "max-age=1"), ("etag", "\"1\"")]).lifetime;
        assert_eq!(fresh(200, &expired, 100), Freshness::Fresh { left });
        // A year of its own says nothing of what the name stands for since.
        let long = judged(200, &[("cache-control", "max-age=31536000"), ("etag", "\"1\"")]).lifetime;
        assert!(matches!(fresh(200, &long, 101), Freshness::Stale { usable_for: Duration::ZERO, .. }));
        let unidentified = judged(200, &[("cache-control", "max-age=31536000")]).lifetime;
        assert_eq!(fresh(200, &unidentified, 101), Freshness::Unusable);
        assert_eq!(fresh(404, &long, 100), Freshness::Unusable);
        let granted = long.granted(Duration::from_secs(25));
        assert_eq!(fresh(404, &granted, 100), Freshness::Fresh { left: Duration::from_secs(5) });
        assert_eq!(fresh(404, &granted, 101), Freshness::Unusable, "it may be there since");
        assert!(matches!(fresh(301, &long, 100), Freshness::Fresh { left } if left > Duration::from_secs(1_000)));
    }

    #[test]
    fn what_a_purge_made_stale_is_validated_however_long_the_stream_needs_it() {
        let word = Word { since: at(100), left: Duration::from_secs(9) };
        let mut lifetime = judged(200, &[("etag", "\"1\"")]).lifetime;
        lifetime.outdate(at(110));
        let judged = freshness(StatusCode::OK, &lifetime, &word, at(120));
        assert!(matches!(judged, Freshness::Stale { while_asking: Duration::ZERO, .. }), "{judged:?}");
    }

    #[test]
    fn nothing_of_one_request_is_kept() {
        let mut headers = HeaderMap::new();
        headers.insert(VARY, HeaderValue::from_static("Origin"));
        headers.insert(SET_COOKIE, HeaderValue::from_static("a=b"));
        strip(&mut headers);
        assert!(headers.is_empty());
    }
}
