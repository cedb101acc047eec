//! How a token is renewed while it is used (RFC 9246 §3; `catr` of CTA-5007).
//!
//! A new token says what the old one said, but for its times. Its life counts from the moment at which the old one was
//! verified, so that renewals do not add up, and never goes beyond the end of what was paid for. It is made only when less
//! than half of that life is left. Who sends it adds it at send time: it belongs to one viewer and is never stored.

use std::fmt;

use super::claims::Claims;
use super::mint::{MintError, SigningKey};
use super::{cat, uri_signing};

/// How a token is renewed.
#[derive(Clone, PartialEq)]
pub struct Renewal {
    /// How long a new token lives, in seconds.
    pub life: u64,
    /// Until when it is renewed.
    pub deadline: Deadline,
    /// What carries the new token.
    pub carried: Carried,
    /// What the token says, as it came.
    pub(super) said: Said,
}

/// Until when a token is renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// As long as it holds.
    None,
    /// Before this moment, in seconds since the epoch.
    At(u64),
    /// Until so many seconds before its `exp`.
    BeforeExpiry(u64),
    /// There is one, and nobody said how to read it: it is not renewed.
    Unread,
}

/// What carries a new token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Carried {
    /// What carried the old one: a cookie or a field. In a path or a query nothing does: there the session goes on.
    Alike,
    /// The package's cookie (RFC 9246 §3.2.3), for so many segments of the request's path.
    Package {
        /// 0: the cookie is for the whole host.
        segments: u8,
    },
    /// A cookie.
    Cookie {
        /// Its name; `None`: that of the carrier.
        name: Option<Box<str>>,
        /// Its attributes.
        attributes: Vec<Box<str>>,
    },
    /// A field of the answer.
    Field {
        /// Its name; `None`: that of the carrier.
        name: Option<Box<str>>,
        /// What follows the token, parted by semicolons.
        parameters: Vec<Box<str>>,
    },
    /// The query of a redirection to the same place.
    Redirect {
        /// 301, 302, 303, 307 or 308.
        status: u16,
    },
}

/// What a token says, as it came: JSON or CBOR.
#[derive(Clone, PartialEq)]
pub(super) enum Said {
    Json(Box<[u8]>),
    Cbor(Box<[u8]>),
}

impl fmt::Debug for Renewal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Renewal").field("life", &self.life).field("carried", &self.carried).finish_non_exhaustive()
    }
}

/// The times of a new token, in seconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// When it is issued.
    pub issued_at: u64,
    /// When it expires.
    pub expires: u64,
}

/// Whether a verified token is renewed now, and until when. `end`: that of what was paid for, where something beside the
/// token says so.
pub fn renew(claims: &Claims, now: u64, end: Option<u64>) -> Option<Times> {
    let (renewal, old) = (claims.renewal.as_ref()?, claims.expires?);
    let last = match renewal.deadline {
        Deadline::None => old,
        Deadline::At(moment) => moment.min(old),
        Deadline::BeforeExpiry(seconds) => old.saturating_sub(seconds),
        Deadline::Unread => return None,
    };
    let is_due = now < last && (last - now).saturating_mul(2) < renewal.life;
    let ends = [claims.session_end, end].into_iter().flatten();
    let expires = ends.fold(now.saturating_add(renewal.life), u64::min);
    (is_due && expires > old).then_some(Times { issued_at: now, expires })
}

impl Renewal {
    /// The new token, signed with a key of this node's.
    pub fn token(&self, times: Times, key: &SigningKey) -> Result<String, MintError> {
        match &self.said {
            Said::Json(payload) => uri_signing::sign_again(payload, times, key),
            Said::Cbor(payload) => cat::sign_again(payload, times, key),
        }
    }
}

/// A request's carrier, as far as it can carry a new token back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CameBy<'a> {
    /// The path or the query.
    Target,
    /// A cookie of this name.
    Cookie(&'a str),
    /// A field of this name.
    Field(&'a str),
}

/// How a new token goes to its viewer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// By `Set-Cookie`, with this value.
    SetCookie(String),
    /// By this field (which scripts must be allowed to read: `Access-Control-Expose-Headers`), with this value.
    Field(String, String),
    /// By a redirection to the same place with the token in its query.
    Redirect(u16, String),
}

/// What a new token travels with.
#[derive(Clone, Copy, Debug)]
pub struct Journey<'a> {
    /// What carried the old one.
    pub came_by: CameBy<'a>,
    /// The path that was asked for.
    pub path: &'a str,
    /// What a package's cookie is called.
    pub package: &'a str,
    /// How the viewer is connected.
    pub connection: Connection,
}

/// How a viewer is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// Over TLS.
    Tls,
    /// In cleartext.
    Plain,
}

/// What a field is called that carries a token and has no other name (CTA-5007).
pub const FIELD: &str = "cta-common-access-token";

impl Carried {
    /// How a new token goes to its viewer; `None`: it cannot, by the carrier that its token asks for.
    pub fn send(&self, token: &str, times: Times, journey: &Journey<'_>) -> Option<Sent> {
        let life = times.expires - times.issued_at;
        match (self, journey.came_by) {
            (Self::Package { segments }, _) => {
                let path = beginning(journey.path, *segments);
                Some(Sent::SetCookie(journey.cookie(journey.package, token, life, path)))
            }
            (Self::Alike, CameBy::Cookie(name)) => Some(Sent::SetCookie(journey.cookie(name, token, life, "/"))),
            (Self::Alike, CameBy::Field(name)) => Some(Sent::Field(name.to_owned(), token.to_owned())),
            (Self::Alike, CameBy::Target) => None,
            (Self::Cookie { name, attributes }, came_by) => {
                let carrier = if let CameBy::Cookie(name) = came_by { name } else { FIELD };
                let name = name.as_deref().unwrap_or(carrier);
                Some(Sent::SetCookie(match attributes.is_empty() {
                    true => journey.cookie(name, token, life, "/"),
                    false => format!("{name}={token}; {}", attributes.join("; ")),
                }))
            }
            (Self::Field { name, parameters }, came_by) => {
                let carrier = if let CameBy::Field(name) = came_by { name } else { FIELD };
                let value = [token].into_iter().chain(parameters.iter().map(|parameter| &**parameter));
                let value = value.collect::<Vec<_>>().join("; ");
                Some(Sent::Field(name.as_deref().unwrap_or(carrier).to_owned(), value))
            }
            (Self::Redirect { status }, _) => Some(Sent::Redirect(*status, token.to_owned())),
        }
    }
}

impl Journey<'_> {
    /// Players on pages of other sites send it back only where it says so, and browsers take that over TLS alone.
    fn cookie(&self, name: &str, token: &str, life: u64, path: &str) -> String {
        let rest = match self.connection {
            Connection::Tls => "Secure; HttpOnly; SameSite=None",
            Connection::Plain => "HttpOnly",
        };
        format!("{name}={token}; Path={path}; Max-Age={life}; {rest}")
    }
}

/// The first segments of a path.
fn beginning(path: &str, segments: u8) -> &str {
    match path.match_indices('/').nth(segments.into()) {
        _ if segments == 0 => "/",
        Some((end, _)) => &path[..end],
        None => path,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rules::token::Format;

    fn claims(life: u64, deadline: Deadline, expires: u64) -> Claims {
        let said = Said::Json(Box::new([]));
        let renewal = Renewal { life, deadline, carried: Carried::Alike, said };
        Claims { expires: Some(expires), renewal: Some(renewal), ..Claims::of(Format::Cat) }
    }

    #[test]
    fn a_token_is_renewed_in_the_second_half_of_its_life() {
        let renewed = |now| renew(&claims(300, Deadline::None, 1_000), now, None).map(|times| times.expires);
        assert_eq!(renewed(700), None);
        assert_eq!(renewed(850), None);
        assert_eq!(renewed(851), Some(1_151));
        assert_eq!(renewed(999), Some(1_299));
        assert_eq!(renewed(1_000), None);
        assert_eq!(renewed(1_003), None);
    }

    #[test]
    fn no_renewal_goes_beyond_what_was_paid_for() {
        let mut paid = claims(300, Deadline::None, 1_000);
        assert_eq!(renew(&paid, 900, Some(1_100)).map(|times| times.expires), Some(1_100));
        assert_eq!(renew(&paid, 900, Some(1_000)), None);
        assert_eq!(renew(&paid, 900, Some(10)), None);
        paid.session_end = Some(1_050);
        assert_eq!(renew(&paid, 900, Some(1_100)).map(|times| times.expires), Some(1_050));
        assert_eq!(renew(&paid, 900, None).map(|times| times.expires), Some(1_050));
    }

    #[test]
    fn a_deadline_is_read_as_it_was_configured() {
        let renewed = |deadline, now| renew(&claims(300, deadline, 1_000), now, None).is_some();
        assert!(!renewed(Deadline::Unread, 900));
        assert!(renewed(Deadline::At(950), 900));
        assert!(!renewed(Deadline::At(950), 950));
        assert!(renewed(Deadline::At(2_000), 999));
        assert!(!renewed(Deadline::At(2_000), 1_000));
        assert!(renewed(Deadline::BeforeExpiry(50), 900));
        assert!(!renewed(Deadline::BeforeExpiry(50), 950));
        assert!(!renewed(Deadline::BeforeExpiry(2_000), 0));
    }

    #[test]
    fn a_package_is_for_as_many_segments_as_it_says() {
        for (segments, path) in [(0, "/"), (1, "/a"), (2, "/a/b"), (3, "/a/b/c.m3u8"), (9, "/a/b/c.m3u8")] {
            assert_eq!(beginning("/a/b/c.m3u8", segments), path);
        }
        let journey = Journey {
            came_by: CameBy::Target,
            path: "/live/one.m3u8",
            package: "URISigningPackage",
            connection: Connection::Tls,
        };
        let sent = Carried::Package { segments: 1 }.send("e.y.J", Times { issued_at: 10, expires: 40 }, &journey);
        let cookie = "URISigningPackage=e.y.J; Path=/live; Max-Age=30; Secure; HttpOnly; SameSite=None";
        assert_eq!(sent, Some(Sent::SetCookie(cookie.into())));
        let plain = Journey { connection: Connection::Plain, ..journey };
        let sent = Carried::Package { segments: 0 }.send("e.y.J", Times { issued_at: 10, expires: 40 }, &plain);
        let cookie = "URISigningPackage=e.y.J; Path=/; Max-Age=30; HttpOnly";
        assert_eq!(sent, Some(Sent::SetCookie(cookie.into())));
    }

    #[test]
    fn what_carried_a_token_carries_its_successor() {
        let send = |carried: Carried, came_by| {
            let journey =
                Journey { came_by, path: "/live/one.m3u8", package: "URISigningPackage", connection: Connection::Tls };
            carried.send("2D3R", Times { issued_at: 10, expires: 40 }, &journey)
        };
        let cookie =
            |name| Some(Sent::SetCookie(format!("{name}=2D3R; Path=/; Max-Age=30; Secure; HttpOnly; SameSite=None")));
        assert_eq!(send(Carried::Alike, CameBy::Cookie("cat")), cookie("cat"));
        assert_eq!(send(Carried::Alike, CameBy::Field("x-cat")), Some(Sent::Field("x-cat".into(), "2D3R".into())));
        assert_eq!(send(Carried::Alike, CameBy::Target), None);
        let named = Carried::Cookie { name: Some("n".into()), attributes: vec!["Secure".into(), "Path=/live".into()] };
        assert_eq!(send(named, CameBy::Target), Some(Sent::SetCookie("n=2D3R; Secure; Path=/live".into())));
        let unnamed = Carried::Cookie { name: None, attributes: vec![] };
        assert_eq!(send(unnamed.clone(), CameBy::Cookie("cat")), cookie("cat"));
        assert_eq!(send(unnamed, CameBy::Target), cookie(FIELD));
        let field = Carried::Field { name: None, parameters: vec!["a=1".into(), "b".into()] };
        assert_eq!(send(field, CameBy::Target), Some(Sent::Field(FIELD.into(), "2D3R; a=1; b".into())));
        assert_eq!(send(Carried::Redirect { status: 307 }, CameBy::Target), Some(Sent::Redirect(307, "2D3R".into())));
    }

    proptest! {
        #[test]
        fn renewals_do_not_add_up(life in 1u64..5_000, expires in 0u64..10_000, steps in prop::collection::vec(0u64..2_000, 1..40), end in 0u64..20_000) {
            let mut token = claims(life, Deadline::None, expires);
            let mut now = 0;
            for step in steps {
                now += step;
                if let Some(times) = renew(&token, now, Some(end)) {
                    prop_assert!(times.expires <= now + life && times.expires <= end && times.expires > now);
                    prop_assert!(token.expires < Some(times.expires));
                    token.expires = Some(times.expires);
                }
            }
        }
    }
}
