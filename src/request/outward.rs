//! What leaves for viewers in their terms: where a redirect leads, and the fields that the route sets and removes.

use http::header::LOCATION;
use http::{HeaderMap, HeaderValue};

use super::Head;
use super::policies::RoutePolicy;

/// A Location that names an origin of the route becomes the node's own (RFC 9110 §10.2.2). One that names what the
/// viewer called the edge stays as it is: the origin knows by which name it is reached, and may mean another scheme.
pub fn relocate(route: &RoutePolicy, head: &Head, headers: &mut HeaderMap) {
    let Some(location) = headers.get(LOCATION).and_then(|location| location.to_str().ok()) else { return };
    let named = location.split_once("//").map(|(_, rest)| rest.split(['/', '?', '#']).next().unwrap_or_default());
    let is_edge = named
        .is_some_and(|named| head.authority.as_deref().is_some_and(|authority| authority.eq_ignore_ascii_case(named)));
    let public = route.supply.public(location, None).filter(|_| !is_edge);
    if let Some(public) = public.and_then(|public| HeaderValue::try_from(public).ok()) {
        headers.insert(LOCATION, public);
    }
}

/// The operator's own word on the fields of an answer.
pub fn dress(route: &RoutePolicy, headers: &mut HeaderMap) {
    for name in &route.config.remove_headers {
        headers.remove(name);
    }
    for (name, value) in &route.config.set_headers {
        headers.insert(name.clone(), value.clone());
    }
}
