//! The cookies that one origin gave to the node: bounded, kept in memory alone, sent back with the node's own requests.
//! Viewers neither see them nor add to them.

use http::header::SET_COOKIE;
use http::{HeaderMap, HeaderValue};
use parking_lot::Mutex;

use crate::clock::{Clock, Tick};
use crate::config::{Origin, OriginScheme};
use crate::rules::fields::set_cookie::{self, SetCookie};

/// Cookies of one origin (RFC 6265 §6.1 asks for 50 at least). Beyond, the oldest goes.
const COOKIES: usize = 50;
/// Octets of a Cookie field; what does not fit stays at home.
const FIELD: usize = 8 << 10;

/// The cookies of one origin.
pub(super) struct Jar {
    host: String,
    scheme: OriginScheme,
    /// In the order in which they came.
    cookies: Mutex<Vec<Cookie>>,
}

#[derive(Debug)]
struct Cookie {
    name: String,
    value: String,
    path: String,
    until: Option<Tick>,
}

impl Jar {
    pub(super) fn new(origin: &Origin) -> Self {
        Self { host: origin.host.clone(), scheme: origin.scheme, cookies: Mutex::default() }
    }

    /// Takes the cookies out of an answer to a request for `asked`, a path.
    pub(super) fn take(&self, headers: &mut HeaderMap, asked: &str, clock: &Clock) {
        if !headers.contains_key(SET_COOKIE) {
            return;
        }
        let (now, wall) = (clock.now(), clock.wall());
        let mut cookies = self.cookies.lock();
        for field in headers.get_all(SET_COOKIE) {
            let Some(cookie) = set_cookie::parse(field.as_bytes(), wall).filter(|cookie| self.may_give(cookie)) else {
                continue;
            };
            let path = cookie.path.unwrap_or_else(|| set_cookie::default_path(asked));
            cookies.retain(|kept| kept.name != cookie.name || kept.path != path);
            if cookie.lifetime.is_some_and(|lifetime| lifetime.is_zero()) {
                continue;
            }
            cookies.retain(|kept| kept.is_alive(now));
            if cookies.len() == COOKIES {
                cookies.remove(0);
            }
            cookies.push(Cookie {
                name: cookie.name.to_owned(),
                value: cookie.value.to_owned(),
                path: path.to_owned(),
                until: cookie.lifetime.map(|lifetime| now + lifetime),
            });
        }
        headers.remove(SET_COOKIE);
    }

    fn may_give(&self, cookie: &SetCookie<'_>) -> bool {
        let is_own = cookie.domain.is_none_or(|domain| set_cookie::domain_matches(&self.host, domain));
        is_own && (!cookie.secure || self.scheme == OriginScheme::Https)
    }

    /// The field for a request for `asked`, a path; longer paths come first (RFC 6265 §5.4).
    pub(super) fn field(&self, asked: &str, now: Tick) -> Option<HeaderValue> {
        let cookies = self.cookies.lock();
        let fits = |cookie: &&Cookie| cookie.is_alive(now) && set_cookie::path_matches(asked, &cookie.path);
        let mut sent: Vec<_> = cookies.iter().filter(fits).collect();
        sent.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        let mut field = String::new();
        for cookie in sent {
            if field.len() + cookie.name.len() + cookie.value.len() + 3 > FIELD {
                break;
            }
            if !field.is_empty() {
                field.push_str("; ");
            }
            field.extend([cookie.name.as_str(), "=", cookie.value.as_str()]);
        }
        let mut field = HeaderValue::try_from(field).ok().filter(|field| !field.is_empty())?;
        field.set_sensitive(true);
        Some(field)
    }
}

impl Cookie {
    fn is_alive(&self, now: Tick) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::WallTime;
    use crate::origin::tests::origin_at;

    fn give(jar: &Jar, clock: &Clock, fields: &[&str]) {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(SET_COOKIE, HeaderValue::try_from(*field).unwrap());
        }
        jar.take(&mut headers, "/live/a.m3u8", clock);
        assert!(headers.is_empty(), "nobody else sees them");
    }

    fn sent(jar: &Jar, path: &str, clock: &Clock) -> String {
        jar.field(path, clock.now()).map(|field| field.to_str().unwrap().to_owned()).unwrap_or_default()
    }

    #[test]
    fn cookies_go_back_below_their_path_until_they_end() {
        let clock = Clock::manual(WallTime::default());
        let jar = Jar::new(&origin_at(80));
        give(&jar, &clock, &["a=1; Path=/", "b=2", "c=3; Max-Age=10", "d=4; Secure", "e=5; Domain=example.com"]);
        assert_eq!(sent(&jar, "/live/x", &clock), "b=2; c=3; a=1");
        assert_eq!(sent(&jar, "/x", &clock), "a=1");
        clock.advance(Duration::from_secs(10));
        give(&jar, &clock, &["a=6; Path=/", "b=; Max-Age=0"]);
        assert_eq!(sent(&jar, "/live/x", &clock), "a=6");
    }

    #[test]
    fn a_jar_holds_so_many_and_a_field_is_so_long() {
        let clock = Clock::manual(WallTime::default());
        let jar = Jar::new(&origin_at(80));
        for number in 0..2 * COOKIES {
            give(&jar, &clock, &[&format!("c{number}=x")]);
        }
        assert_eq!(sent(&jar, "/live/x", &clock).split("; ").count(), COOKIES);
        give(&jar, &clock, &[&format!("l1={}", "x".repeat(4_000)), &format!("l2={}", "x".repeat(4_000))]);
        assert!(sent(&jar, "/live/x", &clock).len() <= FIELD);
    }
}
