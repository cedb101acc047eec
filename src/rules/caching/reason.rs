//! Which words of a response gave it its lifetime, for those who ask why (RFC 9111 §4.2.1, RFC 9213 §2.2). It follows
//! `freshness` step by step.

use std::fmt;
use std::time::Duration;

use http::header::{CACHE_CONTROL, EXPIRES, LAST_MODIFIED};
use http::{HeaderMap, HeaderName};

use super::control::{Control, Directive, Source, TARGETS};

/// Where a lifetime comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// `no-cache` in this field: validated each time.
    NoCache(HeaderName),
    /// `s-maxage` in this field.
    SMaxage(HeaderName, Duration),
    /// `max-age` in this field.
    MaxAge(HeaderName, Duration),
    /// Expires.
    Expires,
    /// A guess from Last-Modified.
    Guess,
    /// Nothing: it is stale at once.
    Nothing,
}

impl Reason {
    /// What gave a response with these fields its lifetime.
    pub fn of(response: &HeaderMap) -> Self {
        let is_targeted =
            |name: &HeaderName| Control::of(response, std::slice::from_ref(name)).source == Source::Targeted;
        let field = || TARGETS.into_iter().find(|name| is_targeted(name)).unwrap_or(CACHE_CONTROL);
        let control = Control::of(response, &TARGETS);
        match (control.says(Directive::NoCache), control.s_maxage, control.max_age) {
            (true, _, _) => Self::NoCache(field()),
            (false, Some(life), _) => Self::SMaxage(field(), life),
            (false, None, Some(life)) => Self::MaxAge(field(), life),
            (false, None, None) if control.source != Source::Targeted && response.contains_key(EXPIRES) => {
                Self::Expires
            }
            (false, None, None) if response.contains_key(LAST_MODIFIED) => Self::Guess,
            (false, None, None) => Self::Nothing,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCache(field) => write!(f, "no-cache in {field}: validated each time"),
            Self::SMaxage(field, life) => write!(f, "s-maxage={} in {field}", life.as_secs()),
            Self::MaxAge(field, life) => write!(f, "max-age={} in {field}", life.as_secs()),
            Self::Expires => f.write_str("expires"),
            Self::Guess => f.write_str("a guess: a tenth of the time since last-modified"),
            Self::Nothing => f.write_str("nothing gives it one: it is stale at once"),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, StatusCode};
    use proptest::prelude::*;

    use super::*;
    use crate::clock::{Tick, WallTime};
    use crate::rules::caching::freshness::{Lifetime, Policy, Received, Times};

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn the_words_that_decide_are_named() {
        let expires = ("expires", "Sun, 06 Nov 1994 08:49:37 GMT");
        let modified = ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT");
        for (lines, said) in [
            (vec![("cache-control", "max-age=60, s-maxage=5"), expires], "s-maxage=5 in cache-control"),
            (vec![("cache-control", "public"), ("cache-control", "max-age=60")], "max-age=60 in cache-control"),
            (vec![("cdn-cache-control", "max-age=9"), ("cache-control", "no-cache")], "max-age=9 in cdn-cache-control"),
            (
                vec![("weir-cache-control", "max-age=1"), ("cdn-cache-control", "max-age=9")],
                "max-age=1 in weir-cache-control",
            ),
            (vec![("cdn-cache-control", ","), ("cache-control", "max-age=3")], "max-age=3 in cache-control"),
            (vec![("cache-control", "no-cache, max-age=9")], "no-cache in cache-control: validated each time"),
            (vec![("cache-control", "public"), expires], "expires"),
            (
                vec![("cdn-cache-control", "public"), expires, modified],
                "a guess: a tenth of the time since last-modified",
            ),
            (vec![modified], "a guess: a tenth of the time since last-modified"),
            (vec![], "nothing gives it one: it is stale at once"),
        ] {
            assert_eq!(Reason::of(&headers(&lines)).to_string(), said, "{lines:?}");
        }
    }

    proptest! {
        #[test]
        fn the_reason_is_the_one_that_the_lifetime_has(
            cache_control in proptest::option::of("(max-age=[1-9][0-9]|s-maxage=[1-9][0-9]|no-cache|public)(, (max-age=[1-9]0|no-cache))?"),
            targeted in proptest::option::of("max-age=[1-9][0-9]"),
        ) {
            let mut headers = HeaderMap::new();
            for (name, value) in [("cache-control", cache_control), ("cdn-cache-control", targeted)] {
                if let Some(value) = value {
                    headers.insert(name, HeaderValue::try_from(value).unwrap());
                }
            }
            let times =
                Times { requested: Tick::default(), responded: Tick::default(), responded_wall: WallTime::default() };
            let received = Received { status: StatusCode::OK, headers: &headers, times };
            let lifetime = Lifetime::of(&received, &Control::of(&headers, &TARGETS), &Policy::PLAIN);
            let told = match Reason::of(&headers) {
                Reason::SMaxage(_, life) | Reason::MaxAge(_, life) => i64::try_from(life.as_secs()).unwrap(),
                Reason::NoCache(_) | Reason::Nothing => 0,
                Reason::Expires | Reason::Guess => unreachable!("neither is there"),
            };
            prop_assert_eq!(lifetime.ttl(Tick::default()), told);
        }
    }
}
