//! A stored or arriving response → the answer to one request: preconditions first, then HEAD, then a byte range
//! (RFC 9110 §13.2.2, §14.2).

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use smallvec::SmallVec;

use crate::cache::{FillReader, Object, ResponseHead};
use crate::rules::caching::partial::Held;
use crate::rules::caching::range::{self, Multipart, Part, RangeSet, Ranged};
use crate::rules::caching::validator::{self, Precondition};
use crate::telemetry::traffic::Origination;

use super::Head;
use super::answer::{Access, Answer, Provenance};
use super::body::{Content, Filling, Piece, Several};

/// What of a response one request gets.
enum View {
    /// Its fields alone say that what the viewer has still holds.
    NotModified,
    /// A precondition does not hold.
    Failed,
    /// All of it; its length where that is known.
    Whole(Option<u64>),
    /// A part of a length that may not be known yet.
    Part(Part, Option<u64>),
    /// Several parts of this length.
    Parts(SmallVec<[Part; 2]>, u64),
    /// A part of what is itself one.
    Inside(Part, Held),
    /// All that comes from this octet on.
    Onwards(u64),
    /// No octet that the request wants exists.
    Unsatisfiable(u64),
}

/// What one request gets of a response. Of one that grows part by part, so many octets are there that are `grown`.
fn view(head: &Head, response: &ResponseHead, length: Option<u64>, grown: Option<u64>) -> View {
    let validators = &response.validators;
    match validator::judge_preconditions(&head.headers, &head.method, response.status, validators) {
        Precondition::Proceed => {}
        Precondition::NotModified => return View::NotModified,
        Precondition::Failed => return View::Failed,
    }
    if let Some((part, held)) = part_of(head, response) {
        return View::Inside(part, held);
    }
    let Some(ranges) = RangeSet::of(&head.headers, &head.method, response.status, validators) else {
        return View::Whole(length);
    };
    match length {
        Some(length) => match ranges.of_length(length) {
            Ranged::Part(part) => View::Part(part, Some(length)),
            Ranged::Unsatisfiable => View::Unsatisfiable(length),
            Ranged::Parts(parts) => View::Parts(parts, length),
            Ranged::Whole => View::Whole(Some(length)),
        },
        // What will have arrived by the time it is sent may be promised now: a body that ends before its last octet
        // ends in an error.
        None => match grown.map_or_else(|| ranges.while_arriving(u64::MAX), |grown| ranges.while_growing(grown)) {
            range::Arriving::Part(part) => View::Part(part, None),
            range::Arriving::Onwards(first) => View::Onwards(first),
            range::Arriving::Whole | range::Arriving::Later => View::Whole(None),
        },
    }
}

/// The part that a request wants of a response that is itself a part, and what that holds.
pub fn part_of(head: &Head, response: &ResponseHead) -> Option<(Part, Held)> {
    let held = Held::of(&response.headers).filter(|_| response.status == StatusCode::PARTIAL_CONTENT)?;
    Some((held.answers(&head.headers, &head.method, &response.validators)?, held))
}

/// The answer from a stored object.
pub fn stored(head: &Head, object: &Arc<Object>, origination: Origination, provenance: Provenance) -> Answer {
    let length = object.length();
    let view = view(head, &object.head, Some(length), None);
    if let View::Parts(parts, _) = &view {
        return several(object, parts, (origination, provenance));
    }
    dress(head, &object.head, &view, (origination, provenance), |first, octets| {
        let end = octets.map_or(length, |octets| first + octets);
        Content::Stored(object.reader(first..end))
    })
}

/// The answer from an object that still arrives. Of one that grows part by part, so many octets are there that are
/// `grown`.
pub fn arriving(
    head: &Head,
    response: &ResponseHead,
    (mut reader, grown): (FillReader, Option<u64>),
    origination: Origination,
    provenance: Provenance,
) -> Answer {
    let length = reader.length();
    let view = match view(head, response, length, grown) {
        // Several parts of what still arrives are answered with the whole (RFC 9110 §14.2): the last may be far away.
        View::Parts(_, length) => View::Whole(Some(length)),
        view => view,
    };
    if head.method == Method::HEAD
        || !matches!(view, View::Whole(_) | View::Part(..) | View::Inside(..) | View::Onwards(_))
    {
        reader.let_it_finish();
    }
    dress(head, response, &view, (origination, provenance), |first, octets| {
        if first > 0 {
            reader.seek(first);
        }
        Content::Filling(Filling::new(reader, octets.or(length.map(|length| length - first))))
    })
}

/// Several parts of a stored object, as `multipart/byteranges` (RFC 9110 §15.3.7.2).
fn several(object: &Arc<Object>, parts: &[Part], (origination, provenance): (Origination, Provenance)) -> Answer {
    let whole = &object.head.headers;
    let boundary = boundary();
    let frame = Multipart { boundary: &boundary, content_type: whole.get(CONTENT_TYPE), total: object.length() };
    let mut pieces = Vec::with_capacity(2 * parts.len() + 1);
    for part in parts {
        pieces.push(Piece::Frame(frame.before(part).into()));
        pieces.push(Piece::Stored(object.reader(part.first..part.last + 1)));
    }
    pieces.push(Piece::Frame(frame.after().into()));
    let mut headers = whole.clone();
    headers.insert(CONTENT_TYPE, frame.content_type());
    headers.insert(CONTENT_LENGTH, frame.length(parts).into());
    Answer {
        status: StatusCode::PARTIAL_CONTENT,
        headers,
        content: Content::Several(Several::new(pieces, frame.length(parts))),
        origination,
        provenance: Some(provenance),
        origin_wait: None,
        held: None,
        urgency: None,
        access: Access::OfRoute,
    }
}

/// A word that stands in no part: nobody who wrote the content could know it.
fn boundary() -> String {
    let word = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", word(), word())
}

/// Fields and body of a view. `content` is asked only where a body is sent: from which octet on, and how many, where
/// that is not all that follow.
fn dress(
    head: &Head,
    response: &ResponseHead,
    view: &View,
    (origination, provenance): (Origination, Provenance),
    content: impl FnOnce(u64, Option<u64>) -> Content,
) -> Answer {
    let answer = |status, headers, content| Answer {
        status,
        headers,
        content,
        origination,
        provenance: Some(provenance),
        origin_wait: None,
        held: None,
        urgency: None,
        access: Access::OfRoute,
    };
    match *view {
        View::NotModified => {
            let headers = validator::not_modified_headers(&response.headers);
            answer(StatusCode::NOT_MODIFIED, headers, Content::Empty)
        }
        View::Failed => answer(StatusCode::PRECONDITION_FAILED, HeaderMap::new(), Content::Empty),
        View::Unsatisfiable(length) => {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_RANGE, range::unsatisfied_range(length));
            answer(StatusCode::RANGE_NOT_SATISFIABLE, headers, Content::Empty)
        }
        View::Part(part, length) => {
            let mut headers = response.headers.clone();
            headers.insert(CONTENT_RANGE, part.content_range(length));
            headers.insert(CONTENT_LENGTH, part.length().into());
            answer(StatusCode::PARTIAL_CONTENT, headers, content(part.first, Some(part.length())))
        }
        View::Inside(part, held) => {
            let mut headers = response.headers.clone();
            headers.insert(CONTENT_RANGE, part.content_range(Some(held.total)));
            headers.insert(CONTENT_LENGTH, part.length().into());
            let content = content(part.first - held.part.first, Some(part.length()));
            answer(StatusCode::PARTIAL_CONTENT, headers, content)
        }
        View::Onwards(first) => {
            let mut headers = response.headers.clone();
            headers.insert(CONTENT_RANGE, range::onwards(first));
            headers.remove(CONTENT_LENGTH);
            answer(StatusCode::PARTIAL_CONTENT, headers, content(first, None))
        }
        View::Parts(_, length) => dress(head, response, &View::Whole(Some(length)), (origination, provenance), content),
        View::Whole(length) => {
            let mut headers = response.headers.clone();
            match length {
                Some(length) if !bodiless(response.status) => _ = headers.insert(CONTENT_LENGTH, length.into()),
                _ => _ = headers.remove(CONTENT_LENGTH),
            }
            if response.status == StatusCode::OK && !headers.contains_key(ACCEPT_RANGES) {
                headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
            }
            let silent = head.method == Method::HEAD || bodiless(response.status);
            answer(response.status, headers, if silent { Content::Empty } else { content(0, None) })
        }
    }
}

/// Statuses that never have a body (RFC 9110 §6.4.1).
fn bodiless(status: StatusCode) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}
