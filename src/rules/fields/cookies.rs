//! Cookie crumbs: HTTP/2 and 3 may carry the cookies of a request in several fields; whoever reads or forwards them
//! sees one (RFC 9113 §8.2.3, RFC 9114 §4.2.1).

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};

/// Joins all Cookie fields of a request into one, by `; `.
pub fn join(request: &mut HeaderMap) {
    let mut crumbs = request.get_all(COOKIE).iter();
    let Some(first) = crumbs.next() else { return };
    let mut joined = first.as_bytes().to_vec();
    let alone = joined.len();
    for crumb in crumbs {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(crumb.as_bytes());
    }
    if joined.len() == alone {
        return;
    }
    let joined = HeaderValue::from_bytes(&joined).expect("crumbs were field values, and so are they joined");
    request.insert(COOKIE, joined);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crumbs_become_one_field() {
        for (crumbs, joined) in [
            (&["a=1"][..], Some("a=1")),
            (&["a=1", "b=2; c=3", "d"], Some("a=1; b=2; c=3; d")),
            (&["", ""], Some("; ")),
            (&[], None),
        ] {
            let mut request = HeaderMap::new();
            for crumb in crumbs {
                request.append(COOKIE, HeaderValue::from_static(crumb));
            }
            join(&mut request);
            let lines: Vec<_> = request.get_all(COOKIE).iter().map(|line| line.to_str().unwrap()).collect();
            assert_eq!(lines, Vec::from_iter(joined), "{crumbs:?}");
        }
    }
}
