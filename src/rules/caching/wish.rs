//! What a request itself wants of a cache (RFC 9111 §5.2.1), where the operator lets it be heard: a stored response ×
//! the wish × now → `Freshness`. A wish can make a fresh response stale, and a stale one fresh only as far as the origin
//! permits.

use std::time::Duration;

use http::HeaderMap;

use super::control::{Control, TARGETS, Wanted, Wish};
use super::freshness::{Freshness, Lifetime};
use crate::clock::Tick;

/// Whether a stored response may be used for a request with this wish.
pub fn freshness(wish: &Wish, (headers, lifetime): (&HeaderMap, &Lifetime), now: Tick) -> Freshness {
    let own = lifetime.freshness(now);
    let age = lifetime.age(now);
    match own {
        Freshness::Fresh { left } => {
            // A reload of what will not change asks for nothing new (RFC 8246 §2).
            let is_reload = wish.min_fresh.is_none() && lifetime.is_immutable();
            match is_reload || wish.is_content_with(age, left) {
                true => own,
                false => Freshness::Stale { age: Duration::ZERO, while_asking: Duration::ZERO, usable_for: left },
            }
        }
        Freshness::Stale { age: stale_for, while_asking, usable_for } => {
            let permits = || Control::of(headers, &TARGETS).permits_stale();
            let left = |window: Option<Duration>| window.unwrap_or_default().saturating_sub(stale_for);
            let accepted = left(wish.max_stale);
            // What is wanted no older than its freshness lasts is not wanted stale.
            let is_content = !wish.says(Wanted::NoCache) && wish.max_age.is_none_or(|most| age <= most);
            if !accepted.is_zero() && is_content && wish.min_fresh.is_none() && permits() {
                return Freshness::Fresh { left: accepted };
            }
            let if_error = left(wish.stale_if_error);
            let usable_for = if !if_error.is_zero() && permits() { usable_for.max(if_error) } else { usable_for };
            let while_asking = if is_content && wish.min_fresh.is_none() { while_asking } else { Duration::ZERO };
            Freshness::Stale { age: stale_for, while_asking, usable_for }
        }
        Freshness::Unusable => own,
    }
}

/// Whether a stored response may be sent in place of an error that the origin answers with (RFC 5861 §4).
pub fn covers_errors(wish: &Wish, (headers, lifetime): (&HeaderMap, &Lifetime), now: Tick) -> bool {
    if lifetime.covers_errors(now) {
        return true;
    }
    let Freshness::Stale { age, .. } = lifetime.freshness(now) else { return false };
    wish.stale_if_error.is_some_and(|window| age < window) && Control::of(headers, &TARGETS).permits_stale()
}

#[cfg(test)]
mod tests {
    use http::header::{CACHE_CONTROL, ETAG};
    use http::{HeaderValue, StatusCode};

    use super::*;
    use crate::clock::WallTime;
    use crate::rules::caching::freshness::{Policy, Received, Times};

    /// What becomes of a response with `line`, of this age in seconds, for a request with `wish`.
    fn judged(line: &'static str, age: u64, wish: &'static str) -> Freshness {
        let (headers, lifetime) = stored(line);
        let wish = Wish::of(&HeaderMap::from_iter([(CACHE_CONTROL, HeaderValue::from_static(wish))]));
        freshness(&wish, (&headers, &lifetime), at(age))
    }

    fn at(seconds: u64) -> Tick {
        Tick::at(Duration::from_secs(1_000 + seconds))
    }

    fn stored(line: &'static str) -> (HeaderMap, Lifetime) {
        let headers = HeaderMap::from_iter([
            (CACHE_CONTROL, HeaderValue::from_static(line)),
            (ETAG, HeaderValue::from_static("\"a\"")),
        ]);
        let times = Times { requested: at(0), responded: at(0), responded_wall: WallTime::default() };
        let received = Received { status: StatusCode::OK, headers: &headers, times };
        let lifetime = Lifetime::of(&received, &Control::of(&headers, &TARGETS), &Policy::PLAIN);
        (headers, lifetime)
    }

    fn is_fresh(freshness: Freshness) -> bool {
        matches!(freshness, Freshness::Fresh { .. })
    }

    #[test]
    fn wishes_are_judged_as_the_suite_cc_request_asks() {
        for (case, line, age, wish, fresh) in [
            ("nothing", "max-age=3600", 10, "", true),
            ("ccreq-ma0", "max-age=3600", 10, "max-age=0", false),
            ("ccreq-ma1", "max-age=3600", 2, "max-age=1", false),
            ("max-age that is met", "max-age=3600", 2, "max-age=2", true),
            ("ccreq-max-stale", "max-age=1", 3, "max-stale=1000", true),
            ("max-stale without a number", "max-age=1", 300, "max-stale", true),
            ("max-stale that is over", "max-age=1", 3, "max-stale=2", false),
            ("max-stale that the origin forbids", "max-age=1, must-revalidate", 3, "max-stale=1000", false),
            ("max-stale beside s-maxage", "s-maxage=1", 3, "max-stale=1000", false),
            ("max-stale beside max-age", "max-age=1", 3, "max-stale=1000, max-age=2", false),
            ("ccreq-min-fresh", "max-age=1500", 0, "min-fresh=2000", false),
            ("min-fresh that is met", "max-age=1500", 0, "min-fresh=1500", true),
            ("ccreq-no-cache", "max-age=3600", 0, "no-cache", false),
            ("a reload of what will not change", "max-age=3600, immutable", 0, "no-cache", true),
            ("the same once stale", "max-age=3, immutable", 3, "no-cache", false),
        ] {
            assert_eq!(is_fresh(judged(line, age, wish)), fresh, "{case}");
        }
    }

    #[test]
    fn errors_are_covered_for_as_long_as_the_request_says() {
        for (line, age, wish, usable) in [
            ("max-age=1", 3, "stale-if-error=60", true),
            ("max-age=1", 70, "stale-if-error=60", false),
            ("max-age=1, must-revalidate", 3, "stale-if-error=60", false),
            ("max-age=1, stale-if-error=60", 3, "max-age=9", true),
            ("max-age=1", 3, "max-age=9", false),
        ] {
            let (headers, lifetime) = stored(line);
            let wish = Wish::of(&HeaderMap::from_iter([(CACHE_CONTROL, HeaderValue::from_static(wish))]));
            assert_eq!(covers_errors(&wish, (&headers, &lifetime), at(age)), usable, "{line} at {age}");
        }
    }
}
