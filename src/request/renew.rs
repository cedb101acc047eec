//! A token that is renewed while it is used (RFC 9246 §3; `catr` of CTA-5007): its successor is made for one viewer as the
//! answer is sent, and is part of nothing that is stored or shared.

use http::header::SET_COOKIE;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::rules::token::carrier::Place;
use crate::rules::token::renewal::{CameBy, Connection, FIELD, Journey, Sent};

use super::authorize::Admission;
use super::edge::Edge;
use super::policies::Gating;
use super::{Head, Scheme, inherit};

/// What a package is called that has no other name (RFC 9246 §1.3).
const PACKAGE: &str = "URISigningPackage";

/// Adds the successor of the token that opened this answer, where it is due.
pub fn send(edge: &Edge, (head, gated): (&Head, &Gating), admission: &Admission, headers: &mut HeaderMap) {
    let Some(claims) = &admission.claims else { return };
    let Some(renewal) = &claims.renewal else { return };
    let now = edge.clock.wall().since_epoch().as_secs();
    let Some((times, token)) = admission.gate.renewed(claims, now) else { return };
    let name = &*admission.name;
    let came_by = match admission.how.1 {
        Place::Path | Place::Attribute | Place::Query => CameBy::Target,
        Place::Cookie => CameBy::Cookie(name),
        // Answers have no Authorization.
        Place::Authorization => CameBy::Field(FIELD),
        Place::Field => CameBy::Field(name),
    };
    let package = gated.access.names.cookie.iter().find(|name| name.contains("Package"));
    let package = package.map_or(PACKAGE, String::as_str);
    let connection = match head.scheme {
        Scheme::Https => Connection::Tls,
        Scheme::Http => Connection::Plain,
    };
    let sent = renewal.carried.send(&token, times, &Journey { came_by, path: &head.path, package, connection });
    match sent {
        Some(Sent::SetCookie(cookie)) => {
            _ = HeaderValue::try_from(cookie).map(|cookie| headers.append(SET_COOKIE, cookie))
        }
        Some(Sent::Field(name, value)) => field(&name, value, headers),
        // A redirect would end what is being played; the old token holds until its end.
        Some(Sent::Redirect(..)) | None => return,
    }
    inherit::is_private(headers);
}

/// A field with a token. That scripts may read it is said with the other fields of ours (`rules::cors`).
fn field(name: &str, value: String, headers: &mut HeaderMap) {
    if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
        headers.insert(name, value);
    }
}
