//! Entity tags, dates and preconditions (RFC 9110 §8.8, §13; RFC 9111 §4.3).
//!
//! `Validators` are read once, when a response is stored; a request is judged by them without reading the stored head
//! again. If-Match and If-Unmodified-Since are the origin's alone: they are forwarded and never judged here.

use http::header::{
    ACCEPT_RANGES, AGE, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, DATE, ETAG,
    IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE, LAST_MODIFIED, TRAILER, TRANSFER_ENCODING,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use crate::clock::WallTime;
use crate::rules::fields::date;
use crate::rules::fields::hop::strip_hop_by_hop;
use crate::rules::fields::list::trim;

/// The most entity tags that one conditional request names, and the most octets they fill.
const MOST_TAGS: usize = 16;
const MOST_TAG_OCTETS: usize = 4_096;

/// An entity tag as written (RFC 9110 §8.8.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntityTag<'v> {
    strength: Strength,
    /// The opaque tag with its quotes; the whole of a tag that breaks the grammar.
    opaque: &'v [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strength {
    Strong,
    Weak,
    /// Not an entity tag at all (no quotes): equal to its like, and nothing may rest on it.
    Broken,
}

impl<'v> EntityTag<'v> {
    /// The one tag in `text`.
    pub fn of(text: &'v [u8]) -> Self {
        let text = trim(text);
        let mut tags = Tags { rest: text };
        match (tags.next(), tags.next()) {
            (Some(tag), None) => tag,
            _ => Self { strength: Strength::Broken, opaque: text },
        }
    }

    /// Whether the bytes are the same wherever both tags are (§8.8.3.2).
    pub fn equals_strongly(&self, other: &Self) -> bool {
        self.strength == Strength::Strong && *self == *other
    }

    /// Whether the content is as good as the same wherever both tags are (§8.8.3.2).
    pub fn equals_weakly(&self, other: &Self) -> bool {
        self.opaque == other.opaque
    }
}

/// The entity tags in one line of a list; a comma inside a tag separates nothing, and a backslash is no escape there.
#[derive(Clone, Debug)]
pub struct Tags<'v> {
    rest: &'v [u8],
}

impl<'v> Tags<'v> {
    /// The tags in `line`.
    pub const fn of(line: &'v [u8]) -> Self {
        Self { rest: line }
    }
}

impl<'v> Iterator for Tags<'v> {
    type Item = EntityTag<'v>;

    fn next(&mut self) -> Option<EntityTag<'v>> {
        while let [b' ' | b'\t' | b',', rest @ ..] = self.rest {
            self.rest = rest;
        }
        let (strength, quoted) = match self.rest {
            [] => return None,
            [b'W', b'/', quoted @ ..] => (Strength::Weak, quoted),
            quoted => (Strength::Strong, quoted),
        };
        let closing = match quoted {
            [b'"', inner @ ..] => memchr::memchr(b'"', inner).map(|inner_end| inner_end + 2),
            _ => None,
        };
        let end = closing.filter(|end| matches!(trim_start(&quoted[*end..]), [] | [b',', ..]));
        let Some(end) = end else {
            let end = memchr::memchr(b',', self.rest).unwrap_or(self.rest.len());
            let opaque = trim(&self.rest[..end]);
            self.rest = &self.rest[end..];
            return Some(EntityTag { strength: Strength::Broken, opaque });
        };
        self.rest = &quoted[end..];
        Some(EntityTag { strength, opaque: &quoted[..end] })
    }
}

fn trim_start(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    text
}

/// What identifies a stored response: read once, when it is stored or validated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validators {
    etag: Option<HeaderValue>,
    modified: Option<Modified>,
    /// Date, or else when it was received.
    dated: WallTime,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Modified {
    /// As the origin wrote it: that is what it is asked with.
    written: HeaderValue,
    at: WallTime,
}

/// Whether `headers` hold anything that identifies the response.
pub fn has_validator(headers: &HeaderMap) -> bool {
    headers.contains_key(ETAG) || headers.contains_key(LAST_MODIFIED)
}

impl Validators {
    /// What identifies the response with `headers`, received at `received`.
    pub fn of(headers: &HeaderMap, received: WallTime) -> Self {
        let modified = headers.get(LAST_MODIFIED).and_then(|written| {
            let at = date::field(headers, &LAST_MODIFIED, received)?;
            Some(Modified { written: written.clone(), at })
        });
        Self {
            etag: headers.get(ETAG).cloned(),
            modified,
            dated: date::field(headers, &DATE, received).unwrap_or(received),
        }
    }

    /// The same, sharing the memory of `headers` instead of that of the fields it was made of.
    #[must_use]
    pub fn held_by(self, headers: &HeaderMap) -> Self {
        let own = |name: HeaderName, value: HeaderValue| {
            let same = headers.get_all(name).iter().find(|held| **held == value).cloned();
            same.unwrap_or_else(|| HeaderValue::from_bytes(value.as_bytes()).unwrap_or(value))
        };
        Self {
            etag: self.etag.map(|tag| own(ETAG, tag)),
            modified: self
                .modified
                .map(|Modified { written, at }| Modified { written: own(LAST_MODIFIED, written), at }),
            dated: self.dated,
        }
    }

    /// The entity tag.
    pub fn entity_tag(&self) -> Option<EntityTag<'_>> {
        self.etag.as_ref().map(|tag| EntityTag::of(tag.as_bytes()))
    }

    /// When the response was made, as far as is known: Date, or else when it was received.
    pub const fn dated(&self) -> WallTime {
        self.dated
    }

    /// Whether the response is the one that If-Range names: the same bytes for certain (RFC 9110 §13.1.5).
    pub fn is_named_by_if_range(&self, line: &HeaderValue) -> bool {
        let line = trim(line.as_bytes());
        if line.starts_with(b"\"") || line.starts_with(b"W/") {
            return self.entity_tag().is_some_and(|own| own.equals_strongly(&EntityTag::of(line)));
        }
        // A date identifies bytes only if they could not have changed twice within its second (§8.8.2.2).
        self.modified.as_ref().is_some_and(|modified| {
            self.dated.since_epoch().as_secs() > modified.at.since_epoch().as_secs()
                && date::parse(line, self.dated) == Some(modified.at)
        })
    }
}

/// What a request's preconditions make of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// Answer as if there were none; a Range counts only now (RFC 9110 §13.2.2).
    Proceed,
    /// The viewer has it: 304 to GET and HEAD.
    NotModified,
    /// 412: the same condition on any other method.
    Failed,
}

/// Judges If-None-Match, else If-Modified-Since, of a request for a stored response (RFC 9110 §13.2.2, RFC 9111
/// §4.3.2). `status` is what would be answered without them: only a success has preconditions (§13.2.1).
pub fn judge_preconditions(
    request: &HeaderMap,
    method: &Method,
    status: StatusCode,
    stored: &Validators,
) -> Precondition {
    if !status.is_success() {
        return Precondition::Proceed;
    }
    let is_read = *method == Method::GET || *method == Method::HEAD;
    let mut lines = request.get_all(IF_NONE_MATCH).iter().peekable();
    if lines.peek().is_some() {
        let named = lines.any(|line| names(line, stored));
        return match (named, is_read) {
            (false, _) => Precondition::Proceed,
            (true, true) => Precondition::NotModified,
            (true, false) => Precondition::Failed,
        };
    }
    if is_read && is_unmodified_since(request, stored) { Precondition::NotModified } else { Precondition::Proceed }
}

/// Whether a line of If-None-Match names the stored response: `*`, or its tag by weak comparison.
fn names(line: &HeaderValue, stored: &Validators) -> bool {
    if trim(line.as_bytes()) == b"*" {
        return true;
    }
    let Some(own) = stored.entity_tag() else { return false };
    Tags::of(line.as_bytes()).any(|tag| tag.equals_weakly(&own))
}

/// If-Modified-Since (RFC 9110 §13.1.3). Without Last-Modified the stored Date stands in for it, else the time of
/// receipt (RFC 9111 §4.3.2).
fn is_unmodified_since(request: &HeaderMap, stored: &Validators) -> bool {
    let Some(line) = request.get(IF_MODIFIED_SINCE) else { return false };
    let modified = match &stored.modified {
        Some(modified) if modified.written == *line => {
            return request.get_all(IF_MODIFIED_SINCE).iter().count() == 1;
        }
        Some(modified) => modified.at,
        None => stored.dated,
    };
    date::field(request, &IF_MODIFIED_SINCE, stored.dated).is_some_and(|since| modified <= since)
}

/// Whether `request` carries a condition that only the origin can judge; a request that is answered from the store is
/// not held to it (RFC 9111 §4.3.2).
pub fn is_for_origin_alone(request: &HeaderMap) -> bool {
    request.contains_key(IF_MATCH) || request.contains_key(IF_UNMODIFIED_SINCE)
}

/// The fields of a 304 made from those of the 200 it stands for (RFC 9110 §15.4.5): all but what describes the content
/// that it does not carry. Last-Modified stays where no entity tag says more.
pub fn not_modified_headers(whole: &HeaderMap) -> HeaderMap {
    const OF_CONTENT: [HeaderName; 13] = [
        ACCEPT_RANGES,
        CONTENT_ENCODING,
        CONTENT_LANGUAGE,
        CONTENT_LENGTH,
        CONTENT_RANGE,
        CONTENT_TYPE,
        TRAILER,
        TRANSFER_ENCODING,
        HeaderName::from_static("content-digest"),
        HeaderName::from_static("content-md5"),
        HeaderName::from_static("digest"),
        HeaderName::from_static("repr-digest"),
        HeaderName::from_static("content-disposition"),
    ];
    let drops_modified = whole.contains_key(ETAG);
    let mut headers = HeaderMap::with_capacity(whole.len());
    for (name, value) in whole {
        if OF_CONTENT.contains(name) || (drops_modified && *name == LAST_MODIFIED) {
            continue;
        }
        headers.append(name, value.clone());
    }
    headers
}

/// The field that asks the origin whether any of `stored` is still good (RFC 9111 §4.3.1): If-None-Match with all their
/// tags, strong and weak, else If-Modified-Since with the stored Last-Modified as it was written. `None`: nothing
/// identifies them, so the request goes without condition. The fields that Vary names are the caller's to add.
pub fn conditional_request<'s>(
    stored: impl IntoIterator<Item = &'s Validators> + Clone,
) -> Option<(HeaderName, HeaderValue)> {
    let mut tags: Vec<u8> = Vec::new();
    for tag in stored.clone().into_iter().filter_map(|stored| stored.etag.as_ref()).take(MOST_TAGS) {
        let is_new = !Tags::of(&tags).any(|named| named == EntityTag::of(tag.as_bytes()));
        if is_new && tags.len() + tag.len() <= MOST_TAG_OCTETS {
            tags.extend_from_slice(if tags.is_empty() { b"" } else { b", " });
            tags.extend_from_slice(tag.as_bytes());
        }
    }
    if !tags.is_empty() {
        let value = HeaderValue::from_bytes(&tags).expect("tags were field values, and so are they joined");
        return Some((IF_NONE_MATCH, value));
    }
    let modified = stored.into_iter().filter_map(|stored| stored.modified.as_ref()).max_by_key(|modified| modified.at);
    modified.map(|modified| (IF_MODIFIED_SINCE, modified.written.clone()))
}

/// Which of the stored responses a 304 speaks of (RFC 9111 §4.3.4): that with its strong tag; else the most recent one
/// with its weak tag or its Last-Modified; else, where it names nothing, the only one that was asked about: an origin that
/// leaves its validator out (RFC 9110 §15.4.5 wants it there) has answered a condition that named no other. `None`:
/// nothing is updated, and the response is to be fetched whole.
pub fn select_for_304(stored: &[&Validators], from_304: &HeaderMap) -> Option<usize> {
    let most_recent = |fits: &dyn Fn(&Validators) -> bool| {
        let fitting = stored.iter().enumerate().filter(|(_, one)| fits(one));
        fitting.max_by_key(|(_, one)| one.dated).map(|(index, _)| index)
    };
    if let Some(tag) = from_304.get(ETAG) {
        let tag = EntityTag::of(tag.as_bytes());
        return match tag.strength {
            Strength::Strong => most_recent(&|one| one.entity_tag().is_some_and(|own| own.equals_strongly(&tag))),
            Strength::Weak | Strength::Broken => {
                most_recent(&|one| one.entity_tag().is_some_and(|own| own.equals_weakly(&tag)))
            }
        };
    }
    if let Some(modified) = from_304.get(LAST_MODIFIED) {
        return most_recent(&|one| one.modified.as_ref().is_some_and(|own| own.written == *modified));
    }
    match stored {
        [_] => Some(0),
        _ => None,
    }
}

/// Updates the fields of a stored response from a 304 received at `received` (RFC 9111 §3.2): each field that the 304
/// brings takes the place of the stored one, but for what the stored bytes depend on. Age and Date are the 304's, for
/// from it on they count.
pub fn update_from_304(stored: &mut HeaderMap, from_304: &HeaderMap, received: WallTime) {
    const OF_BYTES: [HeaderName; 4] = [CONTENT_LENGTH, CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE];
    let mut update = from_304.clone();
    strip_hop_by_hop(&mut update);
    for name in OF_BYTES {
        update.remove(name);
    }
    date::ensure_date(&mut update, received);
    stored.remove(AGE);
    for name in update.keys() {
        stored.remove(name);
    }
    for (name, value) in &update {
        stored.append(name, value.clone());
    }
}

/// Whether the answer to a HEAD shows that a stored response is no longer the one that GET would bring: another length
/// or validator (RFC 9111 §4.3.5). What it does not bring says nothing.
pub fn is_outdated_by_head(stored: &HeaderMap, from_head: &HeaderMap) -> bool {
    [CONTENT_LENGTH, ETAG, LAST_MODIFIED].iter().any(|name| {
        let told = from_head.get(name);
        told.is_some() && told != stored.get(name)
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const RECEIVED: WallTime = WallTime::at(Duration::from_secs(784_200_000));
    const MODIFIED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn validators(lines: &[(&'static str, &'static str)]) -> Validators {
        Validators::of(&headers(lines), RECEIVED)
    }

    fn judge(stored: &[(&'static str, &'static str)], request: &[(&'static str, &'static str)]) -> Precondition {
        judge_preconditions(&headers(request), &Method::GET, StatusCode::OK, &validators(stored))
    }

    #[test]
    fn if_none_match_is_judged_as_the_suite_conditional_inm_asks() {
        use Precondition::{NotModified, Proceed};
        for (case, tag, condition, expected) in [
            ("conditional-etag-strong-respond", "\"abcdef\"", "\"abcdef\"", NotModified),
            ("conditional-etag-quoted-respond-unquoted", "\"abcdef\"", "abcdef", Proceed),
            ("conditional-etag-unquoted-respond-unquoted", "abcdef", "abcdef", NotModified),
            ("conditional-etag-unquoted-respond-quoted", "abcdef", "\"abcdef\"", Proceed),
            ("conditional-etag-weak-respond", "W/\"abcdef\"", "W/\"abcdef\"", NotModified),
            ("weak against strong", "\"abcdef\"", "W/\"abcdef\"", NotModified),
            ("strong against weak", "W/\"abcdef\"", "\"abcdef\"", NotModified),
            ("conditional-etag-weak-respond-lowercase", "w/\"abcdef\"", "w/\"abcdef\"", NotModified),
            ("conditional-etag-weak-respond-omit-slash", "W\"abcdef\"", "W\"abcdef\"", NotModified),
            ("...-multiple-first", "\"abcdef\"", "\"abcdef\", \"1234\", \"5678\"", NotModified),
            ("...-multiple-second", "\"abcdef\"", "\"1234\", \"abcdef\", \"5678\"", NotModified),
            ("...-multiple-last", "\"abcdef\"", "\"1234\",\"5678\",\"abcdef\"", NotModified),
            ("a comma in a tag", "\"a,b\"", "\"x\", \"a,b\"", NotModified),
            ("half of a tag with a comma", "\"a\"", "\"a,b\"", Proceed),
            ("a backslash is no escape", "\"a\\\"", "\"x\", \"a\\\", \"y\"", NotModified),
            ("empty members", "\"a\"", ", ,\"a\",", NotModified),
            ("an empty tag", "\"\"", "\"\"", NotModified),
            ("another", "\"abcdef\"", "\"ABCDEF\"", Proceed),
            ("any", "\"abcdef\"", "*", NotModified),
            ("any, quoted", "\"abcdef\"", "\"*\"", Proceed),
            ("nothing", "\"abcdef\"", "", Proceed),
        ] {
            assert_eq!(judge(&[("etag", tag)], &[("if-none-match", condition)]), expected, "{case}");
        }
        assert_eq!(judge(&[], &[("if-none-match", "*")]), NotModified);
        assert_eq!(judge(&[], &[("if-none-match", "\"a\"")]), Proceed);
        let lines = [("if-none-match", "\"x\""), ("if-none-match", "\"a\"")];
        assert_eq!(judge(&[("etag", "\"a\"")], &lines), NotModified);
    }

    #[test]
    fn tags_with_obs_text_are_compared_as_bytes() {
        let tag = HeaderValue::from_bytes("\"abcdefü\"".as_bytes()).unwrap();
        let mut stored = HeaderMap::new();
        stored.insert(ETAG, tag.clone());
        let mut request = HeaderMap::new();
        request.insert(IF_NONE_MATCH, tag);
        let stored = Validators::of(&stored, RECEIVED);
        let judged = judge_preconditions(&request, &Method::GET, StatusCode::OK, &stored);
        assert_eq!(judged, Precondition::NotModified);
    }

    #[test]
    fn if_modified_since_compares_dates_in_any_form() {
        use Precondition::{NotModified, Proceed};
        let stored = [("last-modified", MODIFIED), ("date", "Sun, 06 Nov 1994 10:00:00 GMT")];
        for (condition, expected) in [
            (MODIFIED, NotModified),
            ("Sun, 06 Nov 1994 08:49:36 GMT", Proceed),
            ("Sun, 06 Nov 1994 08:49:38 GMT", NotModified),
            ("Sunday, 06-Nov-94 08:49:37 GMT", NotModified),
            ("Sun Nov  6 08:49:37 1994", NotModified),
            ("yesterday", Proceed),
            ("", Proceed),
        ] {
            assert_eq!(judge(&stored, &[("if-modified-since", condition)]), expected, "{condition}");
        }
        let twice = [("if-modified-since", MODIFIED), ("if-modified-since", MODIFIED)];
        assert_eq!(judge(&stored, &twice), Proceed);
    }

    #[test]
    fn without_last_modified_the_date_stands_in_for_it() {
        let date = [("date", MODIFIED)];
        assert_eq!(judge(&date, &[("if-modified-since", MODIFIED)]), Precondition::NotModified);
        let earlier = [("if-modified-since", "Sun, 06 Nov 1994 08:49:36 GMT")];
        assert_eq!(judge(&date, &earlier), Precondition::Proceed);
        let after_receipt = [("if-modified-since", "Thu, 18 Aug 2050 02:01:18 GMT")];
        assert_eq!(judge(&[], &after_receipt), Precondition::NotModified);
        assert_eq!(judge(&[], &earlier), Precondition::Proceed);
    }

    #[test]
    fn if_none_match_goes_before_if_modified_since() {
        let stored = [("etag", "\"abcdef\""), ("last-modified", MODIFIED)];
        let old = ("if-modified-since", "Sun, 06 Nov 1994 08:00:00 GMT");
        assert_eq!(judge(&stored, &[("if-none-match", "\"abcdef\""), old]), Precondition::NotModified);
        let new = ("if-modified-since", "Sun, 06 Nov 1994 09:00:00 GMT");
        assert_eq!(judge(&stored, &[("if-none-match", "\"other\""), new]), Precondition::Proceed);
    }

    #[test]
    fn conditions_count_for_success_and_fail_writes() {
        let stored = validators(&[("etag", "\"a\""), ("last-modified", MODIFIED)]);
        let named = headers(&[("if-none-match", "\"a\"")]);
        let since = headers(&[("if-modified-since", MODIFIED)]);
        for (request, method, status, expected) in [
            (&named, Method::HEAD, 200, Precondition::NotModified),
            (&named, Method::GET, 203, Precondition::NotModified),
            (&named, Method::GET, 404, Precondition::Proceed),
            (&named, Method::PUT, 200, Precondition::Failed),
            (&since, Method::HEAD, 200, Precondition::NotModified),
            (&since, Method::PUT, 200, Precondition::Proceed),
            (&since, Method::GET, 301, Precondition::Proceed),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(judge_preconditions(request, &method, status, &stored), expected, "{method} {status}");
        }
    }

    #[test]
    fn some_conditions_are_for_the_origin_alone() {
        assert!(is_for_origin_alone(&headers(&[("if-match", "\"a\"")])));
        assert!(is_for_origin_alone(&headers(&[("if-unmodified-since", MODIFIED)])));
        assert!(!is_for_origin_alone(&headers(&[("if-none-match", "\"a\"")])));
        assert_eq!(judge(&[("etag", "\"a\"")], &[("if-match", "\"b\"")]), Precondition::Proceed);
    }

    #[test]
    fn a_304_has_what_its_200_would_have_but_for_the_content() {
        let whole = headers(&[
            ("content-location", "/x"),
            ("date", MODIFIED),
            ("etag", "\"a\""),
            ("vary", "a"),
            ("vary", "b"),
            ("cache-control", "max-age=1"),
            ("expires", MODIFIED),
            ("content-type", "text/plain"),
            ("content-length", "5"),
            ("content-encoding", "gzip"),
            ("content-language", "en"),
            ("accept-ranges", "bytes"),
            ("last-modified", MODIFIED),
        ]);
        let made = not_modified_headers(&whole);
        let names: Vec<_> = made.keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["content-location", "date", "etag", "vary", "cache-control", "expires"]);
        assert_eq!(made.get_all("vary").iter().count(), 2);
        let without_tag = not_modified_headers(&headers(&[("last-modified", MODIFIED)]));
        assert!(without_tag.contains_key(LAST_MODIFIED));
    }

    #[test]
    fn validation_names_every_stored_tag_once() {
        let ask = |all: &[&[(&'static str, &'static str)]]| {
            let all: Vec<_> = all.iter().map(|lines| validators(lines)).collect();
            conditional_request(&all).map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        };
        let tags = |text: &str| Some(format!("if-none-match: {text}"));
        assert_eq!(ask(&[&[("etag", "\"a\""), ("last-modified", MODIFIED)]]), tags("\"a\""));
        assert_eq!(ask(&[&[("etag", "W/\"a\"")]]), tags("W/\"a\""));
        assert_eq!(ask(&[&[("etag", "\"a\"")], &[("etag", "W/\"b\"")], &[("etag", "\"a\"")]]), tags("\"a\", W/\"b\""));
        assert_eq!(ask(&[&[("etag", "unquoted")]]), tags("unquoted"));
        let written = "Sunday, 06-Nov-94 08:49:37 GMT";
        assert_eq!(ask(&[&[("last-modified", written)]]), Some(format!("if-modified-since: {written}")));
        assert_eq!(ask(&[&[("last-modified", "yesterday")]]), None);
        assert_eq!(ask(&[&[]]), None);
    }

    #[test]
    fn validation_requests_stay_short() {
        let tag = HeaderValue::try_from(format!("\"{}\"", "x".repeat(1_500))).unwrap();
        let all: Vec<_> = (0..40u16)
            .map(|number| {
                let mut headers = HeaderMap::new();
                headers.insert(ETAG, if number % 2 == 0 { tag.clone() } else { HeaderValue::from(number) });
                Validators::of(&headers, RECEIVED)
            })
            .collect();
        let (_, value) = conditional_request(&all).unwrap();
        assert!(value.len() <= MOST_TAG_OCTETS + 2 * MOST_TAGS, "{}", value.len());
    }

    #[test]
    fn a_304_updates_the_response_that_it_names() {
        let old = [("date", "Sun, 06 Nov 1994 08:00:00 GMT")];
        let select = |stored: &[&[(&'static str, &'static str)]], from_304: &[(&'static str, &'static str)]| {
            let stored: Vec<_> = stored.iter().map(|lines| validators(lines)).collect();
            select_for_304(&stored.iter().collect::<Vec<_>>(), &headers(from_304))
        };
        let (a, b, weak) = (("etag", "\"a\""), ("etag", "\"b\""), ("etag", "W/\"a\""));
        assert_eq!(select(&[&[b], &[a]], &[a]), Some(1));
        assert_eq!(select(&[&[b]], &[a]), None);
        assert_eq!(select(&[&[weak]], &[a]), None, "a strong tag identifies a strong one only");
        assert_eq!(select(&[&[weak], &[weak, old[0]]], &[weak]), Some(0), "the most recent");
        assert_eq!(select(&[&[a]], &[weak]), Some(0));
        assert_eq!(select(&[&[("last-modified", MODIFIED)]], &[("last-modified", MODIFIED)]), Some(0));
        assert_eq!(select(&[&[a]], &[]), Some(0), "only one was asked about");
        assert_eq!(select(&[&[a], &[b]], &[]), None);
        assert_eq!(select(&[&[]], &[]), Some(0));
        assert_eq!(select(&[&[], &[]], &[]), None);
        assert_eq!(select(&[], &[a]), None);
    }

    #[test]
    fn a_304_replaces_the_fields_it_brings_but_for_those_of_the_bytes() {
        let mut stored = headers(&[
            ("test-header", "A"),
            ("kept", "A"),
            ("content-length", "36"),
            ("content-type", "text/plain"),
            ("content-encoding", "gzip"),
            ("age", "500"),
            ("date", MODIFIED),
            ("cache-control", "max-age=1"),
            ("cache-control", "public"),
        ]);
        let from_304 = headers(&[
            ("test-header", "B"),
            ("new", "B"),
            ("content-length", "10"),
            ("content-type", "text/html"),
            ("content-encoding", "br"),
            ("content-range", "bytes 0-1/2"),
            ("connection", "close, hidden"),
            ("hidden", "x"),
            ("keep-alive", "1"),
            ("cache-control", "max-age=3600"),
        ]);
        update_from_304(&mut stored, &from_304, RECEIVED);
        for (name, value) in [
            ("test-header", Some("B")),
            ("kept", Some("A")),
            ("new", Some("B")),
            ("content-length", Some("36")),
            ("content-type", Some("text/plain")),
            ("content-encoding", Some("gzip")),
            ("content-range", None),
            ("connection", None),
            ("hidden", None),
            ("keep-alive", None),
            ("age", None),
            ("cache-control", Some("max-age=3600")),
            ("date", Some("Mon, 07 Nov 1994 09:20:00 GMT")),
        ] {
            let found = stored.get(name).map(|value| value.to_str().unwrap());
            assert_eq!(found, value, "{name}");
        }
        assert_eq!(stored.get_all("cache-control").iter().count(), 1);
    }

    #[test]
    fn a_head_that_differs_shows_that_the_stored_response_is_out_of_date() {
        let stored = headers(&[("etag", "\"a\""), ("content-length", "5"), ("last-modified", MODIFIED)]);
        for (from_head, outdated) in [
            (&[][..], false),
            (&[("etag", "\"a\""), ("content-length", "5"), ("x-new", "1")], false),
            (&[("etag", "\"b\"")], true),
            (&[("content-length", "6")], true),
            (&[("last-modified", "Sun, 06 Nov 1994 08:49:38 GMT")], true),
        ] {
            assert_eq!(is_outdated_by_head(&stored, &headers(from_head)), outdated, "{from_head:?}");
        }
    }

    #[test]
    fn after_a_304_the_viewer_is_judged_by_what_is_stored_then() {
        // The origin confirms the tag that we hold, not the one the viewer named: the viewer gets the 200.
        let mut stored = headers(&[("etag", "\"ours\"")]);
        update_from_304(&mut stored, &headers(&[("etag", "\"ours\"")]), RECEIVED);
        let judged = judge_preconditions(
            &headers(&[("if-none-match", "\"theirs\"")]),
            &Method::GET,
            StatusCode::OK,
            &Validators::of(&stored, RECEIVED),
        );
        assert_eq!(judged, Precondition::Proceed);
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged_without_a_panic(
            stored in proptest::collection::vec(any::<u8>().prop_filter("a field value", |b| *b >= 32 && *b != 127), 0..40),
            asked in proptest::collection::vec(any::<u8>().prop_filter("a field value", |b| *b >= 32 && *b != 127), 0..40),
        ) {
            let mut headers = HeaderMap::new();
            headers.insert(ETAG, HeaderValue::from_bytes(&stored).unwrap());
            headers.insert(LAST_MODIFIED, HeaderValue::from_bytes(&stored).unwrap());
            let validators = Validators::of(&headers, RECEIVED);
            let value = HeaderValue::from_bytes(&asked).unwrap();
            for name in [IF_NONE_MATCH, IF_MODIFIED_SINCE] {
                let mut request = HeaderMap::new();
                request.insert(name, value.clone());
                judge_preconditions(&request, &Method::GET, StatusCode::OK, &validators);
            }
            validators.is_named_by_if_range(&value);
            conditional_request([&validators]);
            select_for_304(&[&validators], &headers);
        }

        #[test]
        fn every_tag_in_a_list_is_found(tags in proptest::collection::vec("(W/)?\"[!#-~]{0,6}\"", 1..6), at in 0usize..6) {
            let line = tags.join(" , ");
            let found: Vec<_> = Tags::of(line.as_bytes()).collect();
            prop_assert_eq!(found.len(), tags.len());
            let at = at % tags.len();
            prop_assert_eq!(found[at], EntityTag::of(tags[at].as_bytes()));
        }
    }
}
