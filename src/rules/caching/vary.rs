//! Which of several responses under one key fits a request (RFC 9111 §4.1).
//!
//! A request field is compared member by member, so that white space and the split into lines do not count; the case and
//! the order of Accept-Language do not either, for its weights say what is wanted more (RFC 9110 §12.5.4). Accept-Encoding counts in its normal form, unless the response has a coding that the
//! form does not tell apart: then as it was written.

mod written;

use std::fmt;

use http::header::{ACCEPT_ENCODING, ACCEPT_LANGUAGE, CONTENT_ENCODING, CONTENT_LANGUAGE, VARY};
use http::{HeaderMap, HeaderName};

use crate::clock::WallTime;
use crate::rules::fields::encoding::Accepted;
use crate::rules::fields::list;
use crate::rules::qoe::cmcd;

/// The most fields that a response may vary on; one with more is not told apart, and so not stored.
const MOST_FIELDS: usize = 32;

/// The request fields that a response was selected by, and the values the request had.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Variant(Box<[(HeaderName, Selector)]>);

/// What one field of the request said.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Selector {
    Absent,
    /// The members of all lines.
    Members(Box<[Box<[u8]>]>),
    /// The same, in lower case and in order.
    Caseless(Box<[Box<[u8]>]>),
    Encoding(Accepted),
    /// Members of Accept-Language as above, and the language that was chosen: it is also for those who want it most.
    Language(Box<[Box<[u8]>]>, Box<[u8]>),
}

impl Variant {
    /// What selected `response` for `request`; `None` where the response varies on everything (`*`).
    pub fn of(response: &HeaderMap, request: &HeaderMap) -> Option<Self> {
        Self::ignoring(response, request, &[])
    }

    /// The same, but for the fields in `ignored`, which are taken not to matter whatever Vary says: a choice of the
    /// operator, for origins that name Origin, User-Agent or Cookie on what is the same for all.
    pub fn ignoring(response: &HeaderMap, request: &HeaderMap, ignored: &[HeaderName]) -> Option<Self> {
        let mut names = Vec::new();
        for name in list::field(response, &VARY) {
            // `*` is a token, and so the name of a field to the parser.
            if name == b"*" || names.len() == MOST_FIELDS {
                return None;
            }
            names.push(HeaderName::from_bytes(name).ok()?);
        }
        // What players say of themselves selects nothing, whatever an origin says (CTA-5004-B §6).
        names.retain(|name| !ignored.contains(name) && !cmcd::is_field(name.as_str().as_bytes()));
        names.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        names.dedup();
        let fields = names.into_iter().map(|name| {
            let selector = Selector::of(&name, request, response);
            (name, selector)
        });
        Some(Self(fields.collect()))
    }

    /// Whether `request` would have selected the same response.
    pub fn matches(&self, request: &HeaderMap) -> bool {
        self.0.iter().all(|(name, selector)| selector.matches(name, request))
    }

    /// Whether the response was selected by its URI alone.
    pub const fn is_universal(&self) -> bool {
        self.0.is_empty()
    }

    /// The fields that select, with what a request must say in them, for explanations.
    pub fn fields(&self) -> impl Iterator<Item = (&HeaderName, String)> {
        self.0.iter().map(|(name, selector)| (name, selector.to_string()))
    }

    /// The names of the fields that select: a validation carries them as the stored request had them (RFC 9111 §4.3.1).
    pub fn names(&self) -> impl Iterator<Item = &HeaderName> {
        self.0.iter().map(|(name, _)| name)
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("(absent)"),
            Self::Members(members) | Self::Caseless(members) => {
                let members: Vec<_> = members.iter().map(|member| String::from_utf8_lossy(member)).collect();
                f.write_str(&members.join(", "))
            }
            Self::Language(members, language) => {
                let members: Vec<_> = members.iter().map(|member| String::from_utf8_lossy(member)).collect();
                write!(f, "{}, or {} above all", members.join(", "), String::from_utf8_lossy(language))
            }
            Self::Encoding(accepted) => f.write_str(match accepted {
                Accepted::Identity => "no coding",
                Accepted::Gzip => "gzip",
                Accepted::Brotli => "br",
                Accepted::Both => "gzip and br",
            }),
        }
    }
}

impl Selector {
    fn of(name: &HeaderName, request: &HeaderMap, response: &HeaderMap) -> Self {
        if *name == ACCEPT_ENCODING && is_told_apart(response) {
            return Self::Encoding(Accepted::of(request));
        }
        if !request.contains_key(name) {
            return Self::Absent;
        }
        match *name == ACCEPT_LANGUAGE {
            true => match chosen_language(response) {
                Some(language) => Self::Language(caseless(request, name).into(), language),
                None => Self::Caseless(caseless(request, name).into()),
            },
            false => Self::Members(list::field(request, name).map(Box::from).collect()),
        }
    }

    fn matches(&self, name: &HeaderName, request: &HeaderMap) -> bool {
        match self {
            Self::Absent => !request.contains_key(name),
            Self::Members(own) => {
                request.contains_key(name) && own.iter().map(AsRef::as_ref).eq(list::field(request, name))
            }
            Self::Caseless(own) => request.contains_key(name) && own.iter().eq(caseless(request, name).iter()),
            Self::Language(own, language) => {
                request.contains_key(name)
                    && (own.iter().eq(caseless(request, name).iter())
                        || favourite(&caseless(request, name)) == Some(&**language))
            }
            Self::Encoding(own) => Accepted::of(request) == *own,
        }
    }
}

/// The members of a field without their case and their order.
fn caseless(request: &HeaderMap, name: &HeaderName) -> Vec<Box<[u8]>> {
    let lower = |member: &[u8]| member.to_ascii_lowercase().into_boxed_slice();
    let mut members: Vec<_> = list::field(request, name).map(lower).collect();
    members.sort_unstable();
    members
}

/// The one language that a response says it is in.
fn chosen_language(response: &HeaderMap) -> Option<Box<[u8]>> {
    let mut languages = list::field(response, &CONTENT_LANGUAGE);
    let only = languages.next()?.to_ascii_lowercase();
    languages.next().is_none().then(|| only.into())
}

/// The language that is wanted more than every other, among members of Accept-Language (RFC 9110 §12.5.4).
fn favourite(members: &[Box<[u8]>]) -> Option<&[u8]> {
    let weighed = members.iter().map(|member| {
        let mut parts = member.split(|byte| *byte == b';').map(list::trim);
        let tag = parts.next().unwrap_or_default();
        (thousandths(parts.next()), tag)
    });
    let mut best: Option<(u32, &[u8])> = None;
    let mut is_shared = false;
    for (weight, tag) in weighed {
        match best {
            Some((most, _)) if weight < most => {}
            Some((most, _)) if weight == most => is_shared = true,
            _ => (best, is_shared) = (Some((weight, tag)), false),
        }
    }
    best.filter(|(weight, tag)| *weight > 0 && !is_shared && *tag != b"*").map(|(_, tag)| tag)
}

/// A weight in thousandths (RFC 9110 §12.4.2); one that breaks the grammar counts for nothing.
fn thousandths(weight: Option<&[u8]>) -> u32 {
    let Some(weight) = weight else { return 1_000 };
    let value = weight.strip_prefix(b"q=").and_then(|value| std::str::from_utf8(value).ok());
    let is_written = |value: &&str| value.len() <= 5 && value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let number: f32 = value.filter(is_written).and_then(|value| value.parse().ok()).unwrap_or(0.0);
    (number.clamp(0.0, 1.0) * 1_000.0).round() as u32
}

/// Whether the coding of a response is one that [`Accepted`] tells apart.
fn is_told_apart(response: &HeaderMap) -> bool {
    list::field(response, &CONTENT_ENCODING).all(|coding| {
        [&b"gzip"[..], b"x-gzip", b"br", b"identity"].iter().any(|known| coding.eq_ignore_ascii_case(known))
    })
}

/// Which of the responses stored under one key answers `request`: of those that match the most recent (RFC 9111 §4.1).
/// Each comes with when it was made. Where some do not vary, they count only if none that varies is more recent: the
/// most recent Vary of the resource is the one that holds.
pub fn select<'v>(
    stored: impl IntoIterator<Item = (&'v Variant, WallTime)> + Clone,
    request: &HeaderMap,
) -> Option<usize> {
    let latest = stored.clone().into_iter().filter(|(variant, _)| !variant.is_universal()).map(|(_, made)| made).max();
    let fitting = stored.into_iter().enumerate().filter(|(_, (variant, made))| {
        let is_outdated = variant.is_universal() && latest.is_some_and(|latest| latest > *made);
        !is_outdated && variant.matches(request)
    });
    // Of several of one second, that which comes first.
    fitting.max_by_key(|(index, (_, made))| (*made, std::cmp::Reverse(*index))).map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_language_that_was_chosen_is_for_all_who_want_it_most() {
        let fields = |lines: &[(&'static str, &'static str)]| -> HeaderMap {
            let named = |(name, value): &(&'static str, &'static str)| {
                (HeaderName::from_static(name), http::HeaderValue::from_static(value))
            };
            lines.iter().map(named).collect()
        };
        let response = fields(&[("vary", "accept-language"), ("content-language", "DE")]);
        let variant = Variant::of(&response, &fields(&[("accept-language", "en, de")])).unwrap();
        for (wanted, is_for) in [
            ("de, EN", true),
            ("de", true),
            ("fr;q=0.5, de;q=1.0", true),
            ("fr;q=0.5, de;q=0.7", true),
            ("en;q=0.9, de;q=0.8", false),
            ("fr, de", false),
            ("de;q=0", false),
            ("de;q=x", false),
            ("*", false),
            ("de-AT", false),
            ("", false),
        ] {
            assert_eq!(variant.matches(&fields(&[("accept-language", wanted)])), is_for, "{wanted}");
        }
        assert!(!variant.matches(&HeaderMap::new()));
        let mut octets = Vec::new();
        variant.write(&mut octets);
        assert_eq!(Variant::read(&mut &*octets), Some(variant));
    }

    use std::time::Duration;

    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn matches(
        vary: &'static str,
        stored: &[(&'static str, &'static str)],
        asked: &[(&'static str, &'static str)],
    ) -> bool {
        Variant::of(&headers(&[("vary", vary)]), &headers(stored)).unwrap().matches(&headers(asked))
    }

    #[test]
    fn a_variant_matches_as_the_suite_vary_asks() {
        for (case, vary, stored, asked, expected) in [
            ("vary-match", "Foo", &[("foo", "1")][..], &[("foo", "1")][..], true),
            ("vary-no-match", "Foo", &[("foo", "1")], &[("foo", "2")], false),
            ("vary-omit-stored", "Foo", &[], &[("foo", "1")], false),
            ("vary-omit", "Foo", &[("foo", "1")], &[], false),
            ("both omit", "Foo", &[], &[], true),
            ("an empty field is not an absent one", "Foo", &[("foo", "")], &[], false),
            ("an absent field is not an empty one", "Foo", &[], &[("foo", "")], false),
            ("vary-cache-key", "Foo", &[("foo", "1"), ("other", "2")], &[("foo", "1"), ("other", "3")], true),
            ("vary-2-match", "Foo, Bar", &[("foo", "1"), ("bar", "a")], &[("foo", "1"), ("bar", "a")], true),
            ("vary-2-no-match", "Foo, Bar", &[("foo", "1"), ("bar", "a")], &[("foo", "2"), ("bar", "a")], false),
            ("vary-2-match-omit", "Foo, Bar", &[("foo", "1"), ("bar", "a")], &[("foo", "1")], false),
            ("vary-3-omit", "Foo, Bar, Baz", &[("foo", "1"), ("baz", "7")], &[("foo", "1"), ("baz", "7")], true),
            ("vary-3-order", "Foo, Bar", &[("foo", "1"), ("bar", "a")], &[("bar", "a"), ("foo", "1")], true),
            ("vary-normalise-combine", "Foo", &[("foo", "1, 2")], &[("foo", "1"), ("foo", "2")], true),
            ("vary-normalise-space", "Foo", &[("foo", "1,2")], &[("foo", " 1, 2 ")], true),
            ("order counts", "Foo", &[("foo", "1, 2")], &[("foo", "2, 1")], false),
            ("case counts", "Foo", &[("foo", "a")], &[("foo", "A")], false),
            ("blanks in a string count", "Foo", &[("foo", "\"a, b\"")], &[("foo", "\"a,b\"")], false),
            (
                "vary-normalise-lang-case",
                "Accept-Language",
                &[("accept-language", "en, de")],
                &[("accept-language", "eN, De")],
                true,
            ),
            (
                "vary-normalise-lang-space",
                "Accept-Language",
                &[("accept-language", "en, de")],
                &[("accept-language", " en ,   de")],
                true,
            ),
            (
                "more languages",
                "Accept-Language",
                &[("accept-language", "en")],
                &[("accept-language", "en, de")],
                false,
            ),
            (
                "fewer languages",
                "Accept-Language",
                &[("accept-language", "en, de")],
                &[("accept-language", "en")],
                false,
            ),
        ] {
            assert_eq!(matches(vary, stored, asked), expected, "{case}");
        }
    }

    #[test]
    fn a_star_anywhere_matches_nothing() {
        for (case, lines) in [
            ("vary-syntax-star", &["*"][..]),
            ("vary-syntax-star-star", &["*, *"]),
            ("vary-syntax-star-star-lines", &["*", "*"]),
            ("vary-syntax-empty-star", &[", *"]),
            ("vary-syntax-empty-star-lines", &["", "*"]),
            ("vary-syntax-star-foo", &["*, Foo"]),
            ("vary-syntax-foo-star", &["Foo, *"]),
            ("a name that is none", &["Foo Bar"]),
        ] {
            let mut response = HeaderMap::new();
            for line in lines {
                response.append(VARY, HeaderValue::from_static(line));
            }
            assert_eq!(Variant::of(&response, &HeaderMap::new()), None, "{case}");
        }
    }

    #[test]
    fn encodings_count_in_their_normal_form_where_it_tells_them_apart() {
        let zstd = [("accept-encoding", "br, zstd")];
        let brotli = [("accept-encoding", "br")];
        let of = |coding| {
            Variant::of(&headers(&[("vary", "accept-encoding"), ("content-encoding", coding)]), &headers(&zstd))
                .unwrap()
        };
        assert!(of("br").matches(&headers(&brotli)));
        assert!(!of("br").matches(&headers(&[("accept-encoding", "gzip")])));
        assert!(!of("zstd").matches(&headers(&brotli)), "a coding that the viewer does not know");
        assert!(of("zstd").matches(&headers(&zstd)));
    }

    #[test]
    fn ignored_fields_do_not_select() {
        let response = headers(&[("vary", "Origin, User-Agent, Foo")]);
        let request = headers(&[("origin", "https://a.example"), ("foo", "1")]);
        let ignored = [http::header::ORIGIN, http::header::USER_AGENT];
        let variant = Variant::ignoring(&response, &request, &ignored).unwrap();
        assert!(variant.matches(&headers(&[("foo", "1")])));
        assert!(!variant.matches(&headers(&[("foo", "2")])));
        assert_eq!(variant.names().collect::<Vec<_>>(), ["foo"]);
        let star = headers(&[("vary", "origin, *")]);
        assert_eq!(Variant::ignoring(&star, &request, &ignored), None);
    }

    #[test]
    fn the_most_recent_of_those_that_match_answers() {
        let variant = |vary, foo| Variant::of(&headers(&[("vary", vary)]), &headers(&[("foo", foo)])).unwrap();
        let made = |seconds| WallTime::at(Duration::from_secs(seconds));
        let (one, two, any) = (variant("foo", "1"), variant("foo", "2"), variant("", "1"));
        let asks = |foo| headers(&[("foo", foo)]);
        // vary-invalidate: several variants live side by side.
        let both = [(&one, made(1)), (&two, made(2))];
        assert_eq!(select(both, &asks("1")), Some(0));
        assert_eq!(select(both, &asks("2")), Some(1));
        assert_eq!(select(both, &asks("3")), None);
        assert_eq!(select([(&one, made(1)), (&one, made(3)), (&one, made(2))], &asks("1")), Some(1));
        assert_eq!(select([(&any, made(1)), (&two, made(2))], &asks("1")), None, "the newer Vary holds");
        assert_eq!(select([(&any, made(3)), (&two, made(2))], &asks("1")), Some(0));
        assert_eq!(select([(&any, made(3)), (&two, made(2))], &asks("2")), Some(0));
        assert_eq!(select([], &asks("1")), None);
    }

    proptest! {
        #[test]
        fn a_request_selects_what_it_was_stored_with(
            vary in "[a-c, -]{0,12}",
            values in proptest::collection::vec(("[a-c]", "[a-c,\" \\\\]{0,6}"), 0..4),
        ) {
            let mut response = HeaderMap::new();
            response.insert(VARY, HeaderValue::try_from(vary).unwrap());
            let mut request = HeaderMap::new();
            for (name, value) in values {
                request.append(HeaderName::try_from(name).unwrap(), HeaderValue::try_from(value).unwrap());
            }
            if let Some(variant) = Variant::of(&response, &request) {
                prop_assert!(variant.matches(&request));
            }
        }
    }
}
