//! What fields say of storing, of ranges and of conditions.

use std::time::Duration;

use http::header::{CACHE_CONTROL, ETAG};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use weir::clock::Tick;
use weir::rules::caching::control::{Control, TARGETS, Wish};
use weir::rules::caching::freshness::{Lifetime, Policy, Received, Times};
use weir::rules::caching::range::{Arriving, RangeSet, Ranged};
use weir::rules::caching::validator;
use weir::rules::caching::validator::Validators;
use weir::rules::caching::vary::Variant;

use super::{NOW, fields, two_heads};

/// No header makes a response younger than it is, or fresh for longer than it says.
pub fn cache_control(data: &[u8]) {
    let headers = fields(data);
    let (control, wish) = (Control::of(&headers, &TARGETS), Wish::of(&headers));
    _ = (control.permits_authorized(), wish.is_content_with(Duration::ZERO, Duration::ZERO));
    if !headers.contains_key("weir-cache-control") && !headers.contains_key("cdn-cache-control") {
        let mut twice = headers.clone();
        twice.append(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let stricter = Control::of(&twice, &TARGETS);
        assert_eq!((stricter.max_age, stricter.s_maxage), (control.max_age, control.s_maxage));
    }
    let received = Tick::at(Duration::from_secs(10));
    let times = Times { requested: received, responded: received, responded_wall: NOW };
    let response = Received { status: StatusCode::OK, headers: &headers, times };
    let lifetime = Lifetime::of(&response, &control, &Policy::PLAIN);
    let later = received + Duration::from_secs(5);
    assert!(lifetime.age(later) >= lifetime.age(received));
    assert!(lifetime.ttl(later) <= lifetime.ttl(received));
    _ = lifetime.freshness(later);
}

/// Every part lies inside the object, in order and apart; a range that is there already is the one that comes later.
pub fn range(data: &[u8]) {
    let Some((length, value)) = data.split_first() else { return };
    let (Some(ranges), length) = (RangeSet::parse(value), u64::from(*length)) else { return };
    let parts = match ranges.of_length(length) {
        Ranged::Whole | Ranged::Unsatisfiable => Vec::new(),
        Ranged::Part(part) => vec![part],
        Ranged::Parts(parts) => parts.to_vec(),
    };
    assert!(parts.iter().all(|part| part.first <= part.last && part.last < length));
    assert!(parts.windows(2).all(|pair| pair[0].last < pair[1].first));
    if let Arriving::Part(part) = ranges.while_arriving(length) {
        assert_eq!(parts, [part]);
    }
    _ = (ranges.decided_at(), ranges.of_length(u64::MAX), ranges.of_length(0));
}

/// A request, an empty line, a response: what was selected for a request fits it, and what identifies a response is
/// recognised when it comes back.
pub fn conditions(data: &[u8]) {
    let (request, response) = two_heads(data);
    if let Some(variant) = Variant::of(&response, &request) {
        assert!(variant.matches(&request));
    }
    let stored = Validators::of(&response, NOW);
    _ = validator::judge_preconditions(&request, &Method::GET, StatusCode::OK, &stored);
    _ = RangeSet::of(&request, &Method::GET, StatusCode::OK, &stored);
    _ = validator::select_for_304(&[&stored], &response);
    // A list cannot hold a tag that breaks the grammar.
    let is_tag = response.get(ETAG).is_none_or(|tag| is_entity_tag(tag.as_bytes()));
    if let Some((name, value)) = validator::conditional_request([&stored]).filter(|_| is_tag) {
        let again = HeaderMap::from_iter([(name, value)]);
        let verdict = validator::judge_preconditions(&again, &Method::GET, StatusCode::OK, &stored);
        assert_eq!(verdict, validator::Precondition::NotModified);
    }
    let mut updated = response.clone();
    validator::update_from_304(&mut updated, &request, NOW);
    _ = validator::not_modified_headers(&updated);
}

fn is_entity_tag(text: &[u8]) -> bool {
    let opaque = text.strip_prefix(b"W/").unwrap_or(text);
    matches!(opaque, [b'"', inner @ .., b'"'] if inner.iter().all(|octet| !matches!(octet, b'"' | b' ' | b'\t')))
}
