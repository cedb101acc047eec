//! Byte ranges (RFC 9110 §14): of complete objects, and of objects that still arrive and whose length nobody knows.
//!
//! A Range that is not understood, or not worth its cost, is ignored and the whole is sent; only one that is
//! understood and lies wholly outside is refused. Ranges count in the coded bytes that are stored (§14.1.2).

use http::header::{CONTENT_RANGE, IF_RANGE, RANGE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use smallvec::SmallVec;

use super::validator::Validators;

/// The most ranges that are answered as such.
pub const MOST_RANGES: usize = 8;

/// The last position of a range that has no end of its own, on a resource that still grows (RFC 8673 §2).
pub const OPEN_END: u64 = 9_007_199_254_740_991;

/// The ranges a request asks for, kept until the length is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeSet(SmallVec<[RangeSpec; 1]>);

/// One range as asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RangeSpec {
    /// From this octet to the end.
    From(u64),
    /// From one octet to another, both included.
    Closed(u64, u64),
    /// The last so many octets.
    Suffix(u64),
}

/// A part of an object: from octet `first` to octet `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The first octet, from 0.
    pub first: u64,
    /// The last octet, not before the first.
    pub last: u64,
}

/// What to send of an object whose length is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ranged {
    /// 200 with all of it.
    Whole,
    /// 206 with one part.
    Part(Part),
    /// 206 with `multipart/byteranges`: parts in rising order that do not touch.
    Parts(SmallVec<[Part; 2]>),
    /// 416: all ranges lie outside.
    Unsatisfiable,
}

/// What to send of an object that still arrives and whose length is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arriving {
    /// 200 with all of it as it comes: it was asked for from the first octet on.
    Whole,
    /// 206 with a part that is there already; its total is not known (`bytes a-b/*`).
    Part(Part),
    /// 206 from this octet on as it comes, to wherever the end turns out to be (RFC 8673 §2).
    Onwards(u64),
    /// Nobody can say yet: ask again when more has come or the length is known. Sending the whole is allowed too.
    Later,
}

impl RangeSet {
    /// The ranges that count in `request` for a stored response: `None` where the whole is to be sent, because none
    /// was asked for, the method, unit or set is not one that has ranges, or If-Range names other bytes (RFC 9110
    /// §13.1.5, §14.2). Preconditions are judged before.
    pub fn of(request: &HeaderMap, method: &Method, status: StatusCode, stored: &Validators) -> Option<Self> {
        if *method != Method::GET || status != StatusCode::OK {
            return None;
        }
        let ranges = Self::asked(request)?;
        let mut conditions = request.get_all(IF_RANGE).iter();
        match (conditions.next(), conditions.next()) {
            (None, _) => Some(ranges),
            (Some(condition), None) if stored.is_named_by_if_range(condition) => Some(ranges),
            _ => None,
        }
    }

    /// The ranges that `request` asks for, whatever it asks of. `None` where there are none, where the field breaks the
    /// grammar, or where answering would cost more than the whole: too many, or out of order, or overlapping.
    pub fn asked(request: &HeaderMap) -> Option<Self> {
        let mut lines = request.get_all(RANGE).iter();
        let only = lines.next()?;
        if lines.next().is_some() {
            return None;
        }
        Self::parse(only.as_bytes())
    }

    /// Reads the value of a Range field.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let equals = memchr::memchr(b'=', value)?;
        if !value[..equals].eq_ignore_ascii_case(b"bytes") {
            return None;
        }
        let mut ranges = SmallVec::new();
        for member in crate::rules::fields::list::Members::of(&value[equals + 1..]) {
            if ranges.len() == MOST_RANGES {
                return None;
            }
            ranges.push(RangeSpec::parse(member)?);
        }
        (!ranges.is_empty()).then_some(Self(ranges))
    }

    /// The answer from an object of `length` octets.
    pub fn of_length(&self, length: u64) -> Ranged {
        if let [only] = self.0.as_slice() {
            return only.of_length(length);
        }
        let mut parts: SmallVec<[Part; 2]> = SmallVec::new();
        for range in &self.0 {
            let part = match range.of_length(length) {
                Ranged::Part(part) => part,
                Ranged::Unsatisfiable => continue,
                Ranged::Whole | Ranged::Parts(_) => return Ranged::Whole,
            };
            if parts.last().is_some_and(|before| part.first <= before.last) {
                return Ranged::Whole;
            }
            parts.push(part);
        }
        match parts.as_slice() {
            [] => Ranged::Unsatisfiable,
            [only] => Ranged::Part(*only),
            _ => Ranged::Parts(parts),
        }
    }

    /// The answer from an object of which the first `arrived` octets are there and whose length is not known.
    pub fn while_arriving(&self, arrived: u64) -> Arriving {
        match self.0.as_slice() {
            [RangeSpec::From(0)] => Arriving::Whole,
            [RangeSpec::Closed(first, OPEN_END)] => Arriving::Onwards(*first),
            [RangeSpec::Closed(first, last)] if *last < arrived => Arriving::Part(Part { first: *first, last: *last }),
            _ => Arriving::Later,
        }
    }

    /// The answer from an object that grows part by part, of which the first `arrived` octets are whole parts: what a
    /// range without an end begins with is sent as far as it goes (RFC 8216bis §6.2.6).
    pub fn while_growing(&self, arrived: u64) -> Arriving {
        match self.0.as_slice() {
            [RangeSpec::From(first)] if *first > 0 && *first < arrived => {
                Arriving::Part(Part { first: *first, last: arrived - 1 })
            }
            _ => self.while_arriving(arrived),
        }
    }

    /// Octets that must have arrived before an object that grows can answer so that nothing is held up in the middle of
    /// a part.
    pub fn grown_at(&self) -> u64 {
        match self.0.as_slice() {
            [RangeSpec::From(first) | RangeSpec::Closed(first, OPEN_END)] => first.saturating_add(1),
            [RangeSpec::Closed(_, last)] => last.saturating_add(1),
            _ => 1,
        }
    }

    /// Octets that must have arrived before an object of unknown length can answer; `None`: only its end tells.
    pub fn decided_at(&self) -> Option<u64> {
        match self.0.as_slice() {
            [RangeSpec::From(0)] => Some(0),
            [RangeSpec::Closed(first, OPEN_END)] => Some(first.saturating_add(1)),
            [RangeSpec::Closed(_, last)] => Some(last.saturating_add(1)),
            _ => None,
        }
    }
}

impl RangeSpec {
    fn parse(member: &[u8]) -> Option<Self> {
        let dash = memchr::memchr(b'-', member)?;
        match (&member[..dash], &member[dash + 1..]) {
            (b"", suffix) => position(suffix).map(Self::Suffix),
            (first, b"") => position(first).map(Self::From),
            (first, last) => {
                let (first, last) = (position(first)?, position(last)?);
                (first <= last).then_some(Self::Closed(first, last))
            }
        }
    }

    fn of_length(self, length: u64) -> Ranged {
        let (first, last) = match self {
            Self::Suffix(0) => return Ranged::Unsatisfiable,
            // No octet can be named in an empty object.
            Self::Suffix(_) if length == 0 => return Ranged::Whole,
            Self::Suffix(octets) => (length.saturating_sub(octets), length - 1),
            Self::From(first) => (first, length.saturating_sub(1)),
            Self::Closed(first, last) => (first, last.min(length.saturating_sub(1))),
        };
        if first < length { Ranged::Part(Part { first, last }) } else { Ranged::Unsatisfiable }
    }
}

/// The position that `digits` name; too large a number is beyond every object.
fn position(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0u64, |sum, digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'))))
}

/// What to send of a stored response of `length` octets: [`RangeSet::of`] and [`RangeSet::of_length`] in one.
pub fn judge_range(
    request: &HeaderMap,
    method: &Method,
    status: StatusCode,
    stored: &Validators,
    length: u64,
) -> Ranged {
    RangeSet::of(request, method, status, stored).map_or(Ranged::Whole, |ranges| ranges.of_length(length))
}

/// The first octet that a 206 says it sends (RFC 9110 §14.4).
pub fn first_of(response: &HeaderMap) -> Option<u64> {
    let value = response.get(CONTENT_RANGE)?.as_bytes();
    let unit = value.get(..6).filter(|unit| unit.eq_ignore_ascii_case(b"bytes "))?;
    let rest = &value[unit.len()..];
    position(&rest[..memchr::memchr(b'-', rest)?])
}

/// The last octet that a 206 says it sends (RFC 9110 §14.4).
pub fn last_of(response: &HeaderMap) -> Option<u64> {
    let value = response.get(CONTENT_RANGE)?.as_bytes();
    let dash = memchr::memchr(b'-', value)?;
    let slash = memchr::memchr(b'/', value).filter(|slash| *slash > dash)?;
    position(&value[dash + 1..slash])
}

/// The length of all of what a 206 sends a part of, where it says so.
pub fn total_of(response: &HeaderMap) -> Option<u64> {
    let value = response.get(CONTENT_RANGE)?.as_bytes();
    position(&value[memchr::memchr(b'/', value)? + 1..])
}

/// Content-Range of a 206 that goes on from `first` for as long as there is more (RFC 8673 §2).
pub fn onwards(first: u64) -> HeaderValue {
    HeaderValue::try_from(format!("bytes {first}-{OPEN_END}/*")).expect("a content range is visible ASCII")
}

impl Part {
    /// How many octets it has.
    pub const fn length(&self) -> u64 {
        (self.last - self.first).saturating_add(1)
    }

    /// Content-Range of a 206 that sends it, of `total` octets in all if that is known (RFC 9110 §14.4).
    pub fn content_range(&self, total: Option<u64>) -> HeaderValue {
        let Self { first, last } = self;
        let text = match total {
            Some(total) => format!("bytes {first}-{last}/{total}"),
            None => format!("bytes {first}-{last}/*"),
        };
        HeaderValue::try_from(text).expect("a content range is visible ASCII")
    }
}

/// Content-Range of a 416 for an object of `total` octets (RFC 9110 §14.4).
pub fn unsatisfied_range(total: u64) -> HeaderValue {
    HeaderValue::try_from(format!("bytes */{total}")).expect("a content range is visible ASCII")
}

/// The frame of a `multipart/byteranges` body (RFC 9110 §14.6): what stands before each part and after the last.
#[derive(Clone, Debug)]
pub struct Multipart<'r> {
    /// A word of up to 70 token characters that no part contains; a random one is long enough to be that.
    pub boundary: &'r str,
    /// Content-Type of the whole.
    pub content_type: Option<&'r HeaderValue>,
    /// Length of the whole.
    pub total: u64,
}

impl Multipart<'_> {
    /// Content-Type of the 206.
    pub fn content_type(&self) -> HeaderValue {
        let text = format!("multipart/byteranges; boundary={}", self.boundary);
        HeaderValue::try_from(text).expect("a boundary is a token")
    }

    /// What stands before `part`.
    pub fn before(&self, part: &Part) -> Vec<u8> {
        let mut text = format!("\r\n--{}\r\n", self.boundary).into_bytes();
        if let Some(content_type) = self.content_type {
            text.extend_from_slice(b"Content-Type: ");
            text.extend_from_slice(content_type.as_bytes());
            text.extend_from_slice(b"\r\n");
        }
        text.extend_from_slice(b"Content-Range: ");
        text.extend_from_slice(part.content_range(Some(self.total)).as_bytes());
        text.extend_from_slice(b"\r\n\r\n");
        text
    }

    /// What stands after the last part.
    pub fn after(&self) -> Vec<u8> {
        format!("\r\n--{}--\r\n", self.boundary).into_bytes()
    }

    /// Length of the body that sends `parts`.
    pub fn length(&self, parts: &[Part]) -> u64 {
        let framed = parts.iter().map(|part| self.before(part).len() as u64 + part.length());
        framed.sum::<u64>() + self.after().len() as u64
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::clock::WallTime;

    const RECEIVED: WallTime = WallTime::at(Duration::from_secs(1_763_000_000));

    fn ranged(value: &str, length: u64) -> Ranged {
        RangeSet::parse(value.as_bytes()).map_or(Ranged::Whole, |ranges| ranges.of_length(length))
    }

    const fn part(first: u64, last: u64) -> Ranged {
        Ranged::Part(Part { first, last })
    }

    #[test]
    fn what_grows_is_answered_part_by_part() {
        let ranges = |value: &str| RangeSet::parse(value.as_bytes()).unwrap();
        let part = |first, last| Arriving::Part(Part { first, last });
        for (value, arrived, needs, answer) in [
            ("bytes=0-", 8, 1, Arriving::Whole),
            ("bytes=0-9007199254740991", 8, 1, Arriving::Onwards(0)),
            ("bytes=4-9007199254740991", 8, 5, Arriving::Onwards(4)),
            ("bytes=4-", 8, 5, part(4, 7)),
            ("bytes=4-5", 8, 6, part(4, 5)),
            ("bytes=8-", 8, 9, Arriving::Later),
            ("bytes=4-9", 8, 10, Arriving::Later),
            ("bytes=-2", 8, 1, Arriving::Later),
        ] {
            let ranges = ranges(value);
            assert_eq!((ranges.grown_at(), ranges.while_growing(arrived)), (needs, answer), "{value}");
        }
        // Of what only arrives, a range without an end is not answered before the end is known.
        assert_eq!(ranges("bytes=4-").while_arriving(8), Arriving::Later);
        assert_eq!(ranges("bytes=4-9007199254740991").while_arriving(u64::MAX), Arriving::Onwards(4));
        assert_eq!(onwards(4), "bytes 4-9007199254740991/*");
    }

    #[test]
    fn what_a_206_sends_is_read() {
        let response = |value: &'static str| HeaderMap::from_iter([(CONTENT_RANGE, HeaderValue::from_static(value))]);
        for (value, first, total) in [
            ("bytes 4-7/8", Some(4), Some(8)),
            ("Bytes 4-7/*", Some(4), None),
            ("bytes */8", None, Some(8)),
            ("lines 4-7/8", None, Some(8)),
            ("bytes 4", None, None),
            ("", None, None),
        ] {
            assert_eq!((first_of(&response(value)), total_of(&response(value))), (first, total), "{value}");
        }
    }

    #[test]
    fn one_range_of_ten_octets() {
        for (value, answer) in [
            ("bytes=0-", part(0, 9)),
            ("bytes=0-9", part(0, 9)),
            ("bytes=0-1", part(0, 1)),
            ("BYTES=1-", part(1, 9)),
            ("bytes=-1", part(9, 9)),
            ("bytes=-5", part(5, 9)),
            ("bytes=-10", part(0, 9)),
            ("bytes=-99", part(0, 9)),
            ("bytes=9-9", part(9, 9)),
            ("bytes=5-99", part(5, 9)),
            ("bytes=5-99999999999999999999999999", part(5, 9)),
            ("bytes= 0-1 ", part(0, 1)),
            ("bytes=0-1,", part(0, 1)),
            ("bytes=10-", Ranged::Unsatisfiable),
            ("bytes=10-11", Ranged::Unsatisfiable),
            ("bytes=9223372036854775808-", Ranged::Unsatisfiable),
            ("bytes=99999999999999999999999999-", Ranged::Unsatisfiable),
            ("bytes=-0", Ranged::Unsatisfiable),
            ("bytes=2-1", Ranged::Whole),
            ("bytes=0-1, 3-2", Ranged::Whole),
            ("bytes=", Ranged::Whole),
            ("bytes=-", Ranged::Whole),
            ("bytes=a-b", Ranged::Whole),
            ("bytes=+1-2", Ranged::Whole),
            ("bytes=1", Ranged::Whole),
            ("bytes=1 - 2", Ranged::Whole),
            ("bytes", Ranged::Whole),
            ("bytes =0-1", Ranged::Whole),
            ("lines=0-1", Ranged::Whole),
            ("", Ranged::Whole),
        ] {
            assert_eq!(ranged(value, 10), answer, "{value}");
        }
    }

    #[test]
    fn an_empty_object_has_no_part() {
        assert_eq!(ranged("bytes=0-", 0), Ranged::Unsatisfiable);
        assert_eq!(ranged("bytes=0-0", 0), Ranged::Unsatisfiable);
        assert_eq!(ranged("bytes=-1", 0), Ranged::Whole);
    }

    #[test]
    fn several_ranges_are_sent_where_they_are_few_and_in_order() {
        let parts = |parts: &[(u64, u64)]| {
            Ranged::Parts(parts.iter().map(|(first, last)| Part { first: *first, last: *last }).collect())
        };
        for (value, answer) in [
            ("bytes=0-1, 4-5", parts(&[(0, 1), (4, 5)])),
            ("bytes=0-1,-2", parts(&[(0, 1), (8, 9)])),
            ("bytes=0-1, 20-30", part(0, 1)),
            ("bytes=20-30, 40-", Ranged::Unsatisfiable),
            ("bytes=0-5, 4-9", Ranged::Whole),
            ("bytes=4-5, 0-1", Ranged::Whole),
            ("bytes=0-, 0-, 0-", Ranged::Whole),
            ("bytes=0-0,1-1,2-2,3-3,4-4,5-5,6-6,7-7,8-8", Ranged::Whole),
        ] {
            assert_eq!(ranged(value, 10), answer, "{value}");
        }
        assert!(
            matches!(ranged("bytes=0-0,1-1,2-2,3-3,4-4,5-5,6-6,7-7", 10), Ranged::Parts(parts) if parts.len() == 8)
        );
    }

    #[test]
    fn what_still_arrives_answers_as_soon_as_it_can() {
        let arriving = |value: &str, arrived| RangeSet::parse(value.as_bytes()).unwrap().while_arriving(arrived);
        let part = |first, last| Arriving::Part(Part { first, last });
        for (value, arrived, answer) in [
            ("bytes=0-", 0, Arriving::Whole),
            ("bytes=0-9", 9, Arriving::Later),
            ("bytes=0-9", 10, part(0, 9)),
            ("bytes=5-9", 10, part(5, 9)),
            ("bytes=5-", 10, Arriving::Later),
            ("bytes=-5", 10, Arriving::Later),
            ("bytes=0-1, 3-4", 10, Arriving::Later),
        ] {
            assert_eq!(arriving(value, arrived), answer, "{value} with {arrived}");
        }
        let decided_at = |value: &str| RangeSet::parse(value.as_bytes()).unwrap().decided_at();
        assert_eq!(decided_at("bytes=0-"), Some(0));
        assert_eq!(decided_at("bytes=5-9"), Some(10));
        assert_eq!(decided_at("bytes=5-"), None);
    }

    fn request(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn ranges_count_for_a_whole_answer_to_get_alone() {
        let stored = Validators::of(&HeaderMap::new(), RECEIVED);
        let judge = |lines: &[(&'static str, &'static str)], method, status| {
            judge_range(&request(lines), &method, status, &stored, 10)
        };
        let range = ("range", "bytes=0-1");
        assert_eq!(judge(&[range], Method::GET, StatusCode::OK), part(0, 1));
        assert_eq!(judge(&[range], Method::HEAD, StatusCode::OK), Ranged::Whole);
        assert_eq!(judge(&[range], Method::GET, StatusCode::NOT_FOUND), Ranged::Whole);
        assert_eq!(judge(&[range, range], Method::GET, StatusCode::OK), Ranged::Whole);
        assert_eq!(judge(&[], Method::GET, StatusCode::OK), Ranged::Whole);
    }

    #[test]
    fn if_range_asks_for_the_very_same_bytes() {
        let date = ("date", "Sun, 06 Nov 1994 09:00:00 GMT");
        let modified = "Sun, 06 Nov 1994 08:49:37 GMT";
        for (stored, condition, answer) in [
            (&[("etag", "\"a\"")][..], "\"a\"", part(0, 1)),
            (&[("etag", "\"a\"")], "\"b\"", Ranged::Whole),
            (&[("etag", "\"a\"")], "W/\"a\"", Ranged::Whole),
            (&[("etag", "W/\"a\"")], "W/\"a\"", Ranged::Whole),
            (&[("etag", "W/\"a\"")], "\"a\"", Ranged::Whole),
            (&[("etag", "\"a\"")], "\"a\", \"a\"", Ranged::Whole),
            (&[], "\"a\"", Ranged::Whole),
            (&[("last-modified", modified), date], modified, part(0, 1)),
            (&[("last-modified", modified), date], "Sunday, 06-Nov-94 08:49:37 GMT", part(0, 1)),
            (&[("last-modified", modified), date], "Sun, 06 Nov 1994 08:49:38 GMT", Ranged::Whole),
            (&[("last-modified", modified), ("date", modified)], modified, Ranged::Whole),
            (&[date], modified, Ranged::Whole),
            (&[("etag", "a")], "a", Ranged::Whole),
        ] {
            let validators = Validators::of(&request(stored), RECEIVED);
            let request = request(&[("range", "bytes=0-1"), ("if-range", condition)]);
            assert_eq!(judge_range(&request, &Method::GET, StatusCode::OK, &validators, 10), answer, "{condition}");
        }
    }

    #[test]
    fn content_ranges_are_written() {
        let part = Part { first: 4, last: 9 };
        assert_eq!(part.length(), 6);
        assert_eq!(part.content_range(Some(10)), "bytes 4-9/10");
        assert_eq!(part.content_range(None), "bytes 4-9/*");
        assert_eq!(unsatisfied_range(10), "bytes */10");
    }

    #[test]
    fn several_parts_are_framed_and_counted() {
        let content_type = HeaderValue::from_static("video/mp4");
        let frame = Multipart { boundary: "b0b", content_type: Some(&content_type), total: 10 };
        let parts = [Part { first: 0, last: 1 }, Part { first: 4, last: 5 }];
        let mut body = Vec::new();
        for part in &parts {
            body.extend(frame.before(part));
            body.extend_from_slice(b"xx");
        }
        body.extend(frame.after());
        assert_eq!(body.len() as u64, frame.length(&parts));
        let text = String::from_utf8(body).unwrap();
        assert!(
            text.starts_with(
                "\r\n--b0b\r\nContent-Type: video/mp4\r\nContent-Range: bytes 0-1/10\r\n\r\nxx\r\n--b0b\r\n"
            )
        );
        assert!(text.ends_with("\r\n--b0b--\r\n"));
        assert_eq!(frame.content_type(), "multipart/byteranges; boundary=b0b");
    }

    proptest! {
        #[test]
        fn any_part_lies_inside_and_parts_rise(value in "bytes=[0-9, -]{0,30}", length in 0u64..20) {
            match ranged(&value, length) {
                Ranged::Part(part) => prop_assert!(part.first <= part.last && part.last < length),
                Ranged::Parts(parts) => {
                    prop_assert!(parts.len() > 1);
                    prop_assert!(parts.windows(2).all(|pair| pair[0].last < pair[1].first));
                    prop_assert!(parts.iter().all(|part| part.first <= part.last && part.last < length));
                }
                Ranged::Whole | Ranged::Unsatisfiable => {}
            }
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40), length: u64) {
            if let Some(ranges) = RangeSet::parse(&bytes) {
                ranges.of_length(length);
                ranges.while_arriving(length);
            }
        }

        #[test]
        fn an_arriving_object_answers_as_the_complete_one_will(value in "bytes=[0-9]{1,2}-[0-9]{0,2}", length in 1u64..60) {
            let Some(ranges) = RangeSet::parse(value.as_bytes()) else { return Ok(()) };
            if let Arriving::Part(early) = ranges.while_arriving(length) {
                prop_assert_eq!(ranges.of_length(length), Ranged::Part(early));
            }
        }
    }
}
