//! What leaves for viewers in their terms: where a redirect leads, and the fields that the route sets and removes.

use http::header::{LOCATION, VARY};
use http::{HeaderMap, HeaderValue};

use crate::rules::fields::list;
use crate::rules::qoe::cmcd;

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

/// What players say of themselves selects no answer, whatever its origin says (CTA-5004-B §6).
pub fn unvary(headers: &mut HeaderMap) {
    if !list::field(headers, &VARY).any(cmcd::is_field) {
        return;
    }
    let left: Vec<_> = list::field(headers, &VARY).filter(|name| !cmcd::is_field(name)).map(<[u8]>::to_vec).collect();
    headers.remove(VARY);
    if !left.is_empty() {
        let value = HeaderValue::from_bytes(&left.join(&b", "[..]));
        headers.insert(VARY, value.expect("members of a field value are one"));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_answer_varies_on_what_players_say_of_themselves() {
        for (vary, left) in [
            (&["Origin, CMCD-Request"][..], Some("Origin")),
            (&["cmcd-object", "Accept-Encoding,CMCD-Status , CMCD-Session"], Some("Accept-Encoding")),
            (&["CMCD-Request"], None),
            (&["CMCD-Event, Cmcd-X", "cmcd-"], None),
            (&["CMCD, X-CMCD-Request"], Some("CMCD, X-CMCD-Request")),
            (&["Origin", "User-Agent"], Some("Origin")),
            (&["*"], Some("*")),
        ] {
            let mut headers: HeaderMap = vary.iter().map(|line| (VARY, HeaderValue::from_static(line))).collect();
            unvary(&mut headers);
            assert_eq!(headers.get(VARY).map(|value| value.to_str().unwrap()), left, "{vary:?}");
        }
    }
}
