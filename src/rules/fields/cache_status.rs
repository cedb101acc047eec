//! Cache-Status (RFC 9211): one member per cache, the origin's side first, so that ours goes to the end. What is
//! written can always be read: names and details that do not fit the grammar are brought into it, and a field of
//! others that no longer is a list does not spoil ours.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::structured::{self, Bare, Item, List};

/// The field.
pub const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// The most octets of others' members that are passed on.
const MOST_UPSTREAM: usize = 1_024;

/// What a cache did with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheStatus<'s> {
    /// Whether it answered without going forward, or why it went.
    pub handling: Handling,
    /// Remaining freshness in seconds, negative where stale.
    pub ttl: Option<i64>,
    /// One of the node's causes, where there is more to say.
    pub detail: Option<&'s str>,
    /// The cache key, for those who may see it.
    pub key: Option<&'s str>,
}

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handling {
    /// From the store, without going forward; stale answers too.
    Hit,
    /// From the next hop.
    Forwarded {
        /// Why.
        why: Forward,
        /// What the next hop answered, where it is not the status of this answer (304, when validated).
        status: Option<StatusCode>,
        /// What became of the answer.
        kept: Kept,
        /// How it stood to other requests for the same.
        joined: Joined,
    },
}

/// Why a request went forward: the most specific reason (RFC 9211 §2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Forward {
    /// The cache was not asked.
    Bypass,
    /// The method must be forwarded.
    Method,
    /// Nothing is stored under this URI.
    UriMiss,
    /// What is stored under this URI was selected by other request fields.
    VaryMiss,
    /// Nothing fits, and no more is known.
    Miss,
    /// What is stored is fresh, but the request does not want it.
    Request,
    /// What is stored is stale.
    Stale,
    /// What is stored is not all that is asked for.
    Partial,
}

/// Whether the next hop's answer was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It was.
    Stored,
    /// It was not.
    Passed,
}

/// How a forwarded request stood to others for the same (RFC 9211 §2.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joined {
    /// It went alone.
    Alone,
    /// It was answered by another's.
    Collapsed,
    /// It had waited for another's, but that answer was not for it.
    Released,
}

impl Forward {
    /// The word of the field.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Miss => "miss",
            Self::Request => "request",
            Self::Stale => "stale",
            Self::Partial => "partial",
        }
    }
}

impl CacheStatus<'_> {
    /// The member of a cache called `cache`.
    pub fn member(&self, cache: &str) -> HeaderValue {
        let mut item = Item::from(word(cache));
        let mut set = |name: &str, value: Bare| item.parameters.set(name, value);
        match self.handling {
            Handling::Hit => set("hit", Bare::Boolean(true)),
            Handling::Forwarded { why, status, kept, joined } => {
                set("fwd", Bare::Token(why.as_str().to_owned()));
                if let Some(status) = status {
                    set("fwd-status", Bare::Integer(i64::from(status.as_u16())));
                }
                if kept == Kept::Stored {
                    set("stored", Bare::Boolean(true));
                }
                match joined {
                    Joined::Alone => {}
                    Joined::Collapsed => set("collapsed", Bare::Boolean(true)),
                    Joined::Released => set("collapsed", Bare::Boolean(false)),
                }
            }
        }
        if let Some(ttl) = self.ttl {
            const LARGEST: i64 = 999_999_999_999_999;
            set("ttl", Bare::Integer(ttl.clamp(-LARGEST, LARGEST)));
        }
        if let Some(key) = self.key {
            set("key", Bare::String(printable(key)));
        }
        if let Some(detail) = self.detail {
            set("detail", word(detail));
        }
        let text = item.write().expect("words and numbers were brought into the grammar");
        HeaderValue::try_from(text).expect("a structured field is visible ASCII and blanks")
    }

    /// Adds the member of `cache` at the end of the field. What others wrote stays, unless it is no list or too long.
    pub fn append(&self, response: &mut HeaderMap, cache: &str) {
        if let Some(upstream) = structured::joined(response, &CACHE_STATUS) {
            // Not even an empty line may stay: joined with ours it would be no list.
            let is_list = List::parse(&upstream).is_ok_and(|list| !list.0.is_empty());
            if !is_list || upstream.len() > MOST_UPSTREAM {
                response.remove(CACHE_STATUS);
            }
        }
        response.append(CACHE_STATUS, self.member(cache));
    }
}

/// A token where `text` is one, else a string.
fn word(text: &str) -> Bare {
    let token = Item::from(Bare::Token(text.to_owned()));
    if token.write().is_ok() { token.value } else { Bare::String(printable(text)) }
}

fn printable(text: &str) -> String {
    text.chars().map(|character| if matches!(character, ' '..='~') { character } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HIT: CacheStatus<'static> = CacheStatus { handling: Handling::Hit, ttl: Some(36), detail: None, key: None };

    const fn forwarded(why: Forward, status: Option<StatusCode>, kept: Kept, joined: Joined) -> CacheStatus<'static> {
        CacheStatus { handling: Handling::Forwarded { why, status, kept, joined }, ttl: None, detail: None, key: None }
    }

    #[test]
    fn members_are_written_as_the_standard_has_them() {
        for (status, member) in [
            (HIT, "weir; hit; ttl=36"),
            (
                CacheStatus { ttl: Some(-5), detail: Some("origin-away"), ..HIT },
                "weir; hit; ttl=-5; detail=origin-away",
            ),
            (CacheStatus { ttl: None, key: Some("a \"b\""), ..HIT }, r#"weir; hit; key="a \"b\"""#),
            (CacheStatus { ttl: Some(i64::MIN), ..HIT }, "weir; hit; ttl=-999999999999999"),
            (
                CacheStatus { ttl: Some(36), ..forwarded(Forward::UriMiss, None, Kept::Stored, Joined::Collapsed) },
                "weir; fwd=uri-miss; stored; collapsed; ttl=36",
            ),
            (
                forwarded(Forward::Stale, Some(StatusCode::NOT_MODIFIED), Kept::Stored, Joined::Alone),
                "weir; fwd=stale; fwd-status=304; stored",
            ),
            (forwarded(Forward::VaryMiss, None, Kept::Passed, Joined::Released), "weir; fwd=vary-miss; collapsed=?0"),
        ] {
            assert_eq!(status.member("weir"), member.replace("; ", ";"));
        }
    }

    #[test]
    fn a_name_that_is_no_token_is_written_as_a_string() {
        assert_eq!(HIT.member("1 edge"), r#""1 edge";hit;ttl=36"#);
        assert_eq!(HIT.member("kante-münchen"), r#""kante-m?nchen";hit;ttl=36"#);
        assert_eq!(HIT.member(""), r#""";hit;ttl=36"#);
    }

    #[test]
    fn our_member_stands_at_the_end_and_others_stay_where_they_are_readable() {
        for (upstream, lines) in [
            (&[][..], &["weir;hit;ttl=36"][..]),
            (&["OriginCache; hit; ttl=1100"], &["OriginCache; hit; ttl=1100", "weir;hit;ttl=36"]),
            (&["\"a b\"; fwd=miss, c;hit", "d; hit"], &["\"a b\"; fwd=miss, c;hit", "d; hit", "weir;hit;ttl=36"]),
            (&["HIT from somewhere"], &["weir;hit;ttl=36"]),
            (&["a; hit", "b; hit,"], &["weir;hit;ttl=36"]),
        ] {
            let mut response = HeaderMap::new();
            for line in upstream {
                response.append(CACHE_STATUS, HeaderValue::from_static(line));
            }
            HIT.append(&mut response, "weir");
            let written: Vec<_> = response.get_all(CACHE_STATUS).iter().map(|line| line.to_str().unwrap()).collect();
            assert_eq!(written, lines);
        }
    }

    proptest! {
        #[test]
        fn the_field_is_a_list_whatever_others_wrote(
            upstream in proptest::collection::vec("[a-c;=\" ,?1()-]{0,12}", 0..3),
            cache in "\\PC{0,8}",
            detail in "\\PC{0,8}",
        ) {
            let mut response = HeaderMap::new();
            for line in &upstream {
                response.append(CACHE_STATUS, HeaderValue::from_str(line).unwrap());
            }
            CacheStatus { detail: Some(&detail), key: Some(&cache), ..HIT }.append(&mut response, &cache);
            let text = structured::joined(&response, &CACHE_STATUS).unwrap();
            let list = List::parse(&text).unwrap();
            prop_assert!(!list.0.is_empty());
        }
    }
}
