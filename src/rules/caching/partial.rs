//! A stored part (206) of a response (RFC 9111 §3.3): which octets it holds, and which requests it answers. It answers
//! nothing but ranges that lie wholly inside it, and is never put together with another.

use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Method, StatusCode};

use super::range::{self, Part, RangeSet, Ranged};
use super::validator::Validators;

/// The octets that a part holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Those that are there, by their position in the whole.
    pub part: Part,
    /// Length of the whole.
    pub total: u64,
}

impl Held {
    /// What a 206 with these fields holds: one range of a whole whose length is known, and no more octets than are
    /// announced. `None`: it cannot be used for another request. A sender that promises more octets than it announces
    /// has sent those from the first on.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let first = range::first_of(headers)?;
        let last = range::last_of(headers)?;
        let total = range::total_of(headers)?;
        let announced: u64 = headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()?;
        if first > last || last >= total || announced == 0 || announced > last - first + 1 {
            return None;
        }
        Some(Self { part: Part { first, last: first + announced - 1 }, total })
    }

    /// The octets that answer a request, if they are all here (RFC 9111 §3.4); If-Range must name this very response.
    pub fn answers(&self, request: &HeaderMap, method: &Method, stored: &Validators) -> Option<Part> {
        let ranges = RangeSet::of(request, method, StatusCode::OK, stored)?;
        match ranges.of_length(self.total) {
            Ranged::Part(part) if part.first >= self.part.first && part.last <= self.part.last => Some(part),
            Ranged::Part(_) | Ranged::Parts(_) | Ranged::Whole | Ranged::Unsatisfiable => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::{CONTENT_RANGE, RANGE};

    use super::*;
    use crate::clock::WallTime;

    fn held(range: &'static str, length: &'static str) -> Option<Held> {
        Held::of(&HeaderMap::from_iter([
            (CONTENT_RANGE, HeaderValue::from_static(range)),
            (CONTENT_LENGTH, HeaderValue::from_static(length)),
        ]))
    }

    #[test]
    fn a_part_holds_what_arrived_from_its_first_octet_on() {
        for (range, length, octets) in [
            ("bytes 4-9/10", "6", Some((4, 9))),
            ("bytes 4-9/10", "5", Some((4, 8))),
            ("bytes 0-0/1", "1", Some((0, 0))),
            ("bytes 4-9/10", "7", None),
            ("bytes 4-9/10", "0", None),
            ("bytes 4-9/*", "6", None),
            ("bytes 9-4/10", "6", None),
            ("bytes 4-10/10", "7", None),
            ("bytes */10", "0", None),
            ("lines 4-9/10", "6", None),
            ("bytes 4-9/10, bytes 0-1/10", "6", None),
        ] {
            assert_eq!(held(range, length).map(|held| (held.part.first, held.part.last)), octets, "{range} {length}");
        }
        assert_eq!(Held::of(&HeaderMap::new()), None);
    }

    #[test]
    fn a_part_answers_ranges_inside_it_alone() {
        let held = held("bytes 4-9/10", "5").unwrap();
        let validators = Validators::of(&HeaderMap::new(), WallTime::default());
        for (range, answer) in [
            (Some("bytes=6-8"), Some((6, 8))),
            (Some("bytes=4-8"), Some((4, 8))),
            (Some("bytes=3-8"), None),
            (Some("bytes=4-9"), None),
            (Some("bytes=6-"), None),
            (Some("bytes=-1"), None),
            (Some("bytes=5-5,7-7"), None),
            (Some("bytes=20-"), None),
            (None, None),
        ] {
            let range = range.map(|range| (RANGE, HeaderValue::from_static(range)));
            let request = HeaderMap::from_iter(range);
            let part = held.answers(&request, &Method::GET, &validators);
            assert_eq!(part.map(|part| (part.first, part.last)), answer, "{request:?}");
            assert_eq!(held.answers(&request, &Method::HEAD, &validators), None);
        }
    }
}
