//! Cookies that an origin gives to the node (RFC 6265, the part that a packager's session needs): what one says, and
//! when it is sent back. Its host is the origin's, whatever `Domain` widens it to: a jar belongs to one origin.

use std::time::Duration;

use super::date;
use crate::clock::WallTime;

/// Longer cookies are not kept (RFC 6265 §6.1 asks for 4,096 octets at least).
const LONGEST: usize = 4_096;

/// One Set-Cookie field, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetCookie<'a> {
    /// Its name; never empty.
    pub name: &'a str,
    /// Its value, quotes included.
    pub value: &'a str,
    /// Where it is sent back, where it says so: begins with `/`.
    pub path: Option<&'a str>,
    /// The domain that it wants, without a dot before it.
    pub domain: Option<&'a str>,
    /// For how long from now on; `None`: as long as the session, which is the jar's.
    pub lifetime: Option<Duration>,
    /// Whether it goes over TLS alone.
    pub secure: bool,
}

/// Reads a Set-Cookie field by RFC 6265 §5.2; `None` where it names no cookie, or one that cannot be sent back in a
/// field.
pub fn parse(field: &[u8], now: WallTime) -> Option<SetCookie<'_>> {
    let field = std::str::from_utf8(field).ok()?;
    let mut parts = field.split(';');
    let pair = parts.next()?;
    let (name, value) = pair.split_once('=')?;
    let (name, value) = (trim(name), trim(value));
    let is_sendable = !name.is_empty()
        && pair.len() <= LONGEST
        && pair.bytes().all(|octet| octet == b'\t' || (0x20..0x7f).contains(&octet));
    if !is_sendable {
        return None;
    }
    let mut cookie = SetCookie { name, value, path: None, domain: None, lifetime: None, secure: false };
    let mut max_age = None;
    for part in parts {
        let (attribute, value) = part.split_once('=').unwrap_or((part, ""));
        let value = trim(value);
        match trim(attribute).to_ascii_lowercase().as_str() {
            "expires" => cookie.lifetime = expires(value, now).or(cookie.lifetime),
            "max-age" => max_age = seconds(value).or(max_age),
            "path" => cookie.path = value.starts_with('/').then_some(value),
            "domain" => cookie.domain = Some(value.trim_start_matches('.')).filter(|domain| !domain.is_empty()),
            "secure" => cookie.secure = true,
            _ => {}
        }
    }
    // Max-Age is stronger than Expires (§5.3, step 3).
    cookie.lifetime = max_age.or(cookie.lifetime);
    Some(cookie)
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// The dates of cookies are often written with hyphens, as Netscape did.
fn expires(value: &str, now: WallTime) -> Option<Duration> {
    let until = date::parse(value.as_bytes(), now).or_else(|| date::parse(value.replace('-', " ").as_bytes(), now))?;
    Some(until.since_epoch().saturating_sub(now.since_epoch()))
}

/// §5.2.2: what is no number is not there; nothing and less is over at once.
fn seconds(value: &str) -> Option<Duration> {
    let digits = value.strip_prefix('-').unwrap_or(value);
    if digits.is_empty() || !digits.bytes().all(|octet| octet.is_ascii_digit()) {
        return None;
    }
    let number = if value.starts_with('-') { 0 } else { digits.parse().unwrap_or(u64::MAX) };
    Some(Duration::from_secs(number.min(u64::from(u32::MAX))))
}

/// The path of a cookie that names none: the folder of what was asked for (§5.1.4).
pub fn default_path(asked: &str) -> &str {
    match asked.rfind('/') {
        None | Some(0) => "/",
        Some(end) => &asked[..end],
    }
}

/// Whether a cookie of `path` goes along with a request for `asked`, a path without a query (§5.1.4).
pub fn path_matches(asked: &str, path: &str) -> bool {
    asked.strip_prefix(path).is_some_and(|rest| rest.is_empty() || path.ends_with('/') || rest.starts_with('/'))
}

/// Whether a host may give a cookie of `domain` (§5.1.3): it is the host, or stands above it.
pub fn domain_matches(host: &str, domain: &str) -> bool {
    let (host, domain) = (host.to_ascii_lowercase(), domain.to_ascii_lowercase());
    host == domain || host.strip_suffix(&domain).is_some_and(|rest| rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn now() -> WallTime {
        WallTime::at(Duration::from_secs(1_445_412_480)) // Wed, 21 Oct 2015 07:28:00 GMT
    }

    #[test]
    fn a_cookie_says_where_and_for_how_long_it_is_sent_back() {
        let plain = SetCookie { name: "a", value: "b", path: None, domain: None, lifetime: None, secure: false };
        let lasting = |seconds| Some(Duration::from_secs(seconds));
        for (field, cookie) in [
            ("a=b", Some(plain.clone())),
            (" a = b ;HttpOnly; SameSite=None", Some(plain.clone())),
            ("a=b=c", Some(SetCookie { value: "b=c", ..plain.clone() })),
            ("a=\"b c\"", Some(SetCookie { value: "\"b c\"", ..plain.clone() })),
            ("a=", Some(SetCookie { value: "", ..plain.clone() })),
            ("a=b; Path=/live; SECURE", Some(SetCookie { path: Some("/live"), secure: true, ..plain.clone() })),
            ("a=b; path=live", Some(plain.clone())),
            ("a=b; Domain=.Example.com", Some(SetCookie { domain: Some("Example.com"), ..plain.clone() })),
            (
                "a=b; Max-Age=60; Expires=Wed, 21 Oct 2015 07:29:00 GMT; max-age=30",
                Some(SetCookie { lifetime: lasting(30), ..plain.clone() }),
            ),
            ("a=b; Expires=Wed, 21-Oct-2015 07:29:00 GMT", Some(SetCookie { lifetime: lasting(60), ..plain.clone() })),
            ("a=b; Expires=Thu, 01 Jan 1970 00:00:00 GMT", Some(SetCookie { lifetime: lasting(0), ..plain.clone() })),
            ("a=b; Max-Age=-5", Some(SetCookie { lifetime: lasting(0), ..plain.clone() })),
            ("a=b; Max-Age=soon; Expires=tomorrow", Some(plain.clone())),
            ("a", None),
            ("=b", None),
            ("", None),
            ("a=\u{e9}", None),
        ] {
            assert_eq!(parse(field.as_bytes(), now()), cookie, "{field}");
        }
        assert_eq!(parse(format!("a={}", "b".repeat(LONGEST)).as_bytes(), now()), None);
    }

    #[test]
    fn a_cookie_goes_back_below_its_path_and_to_its_host() {
        for (asked, path, sent) in [
            ("/live/a.m3u8", "/live", true),
            ("/live", "/live", true),
            ("/live/a.m3u8", "/live/", true),
            ("/lively", "/live", false),
            ("/x", "/", true),
            ("/", "/live", false),
        ] {
            assert_eq!(path_matches(asked, path), sent, "{asked} {path}");
        }
        assert_eq!(["/a", "/a/b", "/a/b/", "x"].map(default_path), ["/", "/a", "/a/b", "/"]);
        assert!(domain_matches("p.example.com", "example.com") && domain_matches("Example.com", "example.COM"));
        assert!(!domain_matches("notexample.com", "example.com") && !domain_matches("example.com", "p.example.com"));
    }

    proptest! {
        #[test]
        fn no_field_panics(field in proptest::collection::vec(any::<u8>(), 0..80)) {
            _ = parse(&field, now());
        }
    }
}
