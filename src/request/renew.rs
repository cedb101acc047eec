//! A token that runs out while its bearer plays is followed by another one, where its format knows how (RFC 9246 §3,
//! `catr`): it goes beside an answer to this viewer, and to nobody else.

use http::header::SET_COOKIE;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::config::access::CarrierNames;
use crate::rules::token::carrier::Place;
use crate::rules::token::renewal::{CameBy, Connection, FIELD, Journey, Sent};
use crate::rules::token::uri_signing::PACKAGE;

use super::authorize::Admission;
use super::edge::Edge;
use super::policies::Gating;
use super::{Head, Scheme, inherit};

/// Adds the next token to an answer's fields, where it is time for one. One that would have to be fetched by a redirection
/// is not made: whoever plays has a session in that case.
pub fn tell(edge: &Edge, head: &Head, (admission, gated): (&Admission, &Gating), headers: &mut HeaderMap) {
    let Some(claims) = &admission.claims else { return };
    if claims.renewal.is_none() {
        return;
    }
    let names = &gated.access.names;
    let journey = Journey {
        came_by: match admission.how.1 {
            Place::Cookie => CameBy::Cookie(&admission.name),
            Place::Authorization => CameBy::Field(FIELD),
            Place::Field => CameBy::Field(&admission.name),
            Place::Path | Place::Attribute | Place::Query => CameBy::Target,
        },
        path: &head.path,
        package: cookie(names, PACKAGE),
        connection: match head.scheme {
            Scheme::Https => Connection::Tls,
            Scheme::Http => Connection::Plain,
        },
    };
    let now = edge.clock.wall().since_epoch().as_secs();
    let told = match admission.successor(claims, &journey, now) {
        Some(Sent::SetCookie(cookie)) => append(headers, SET_COOKIE, &cookie),
        Some(Sent::Field(name, token)) => HeaderName::try_from(name).is_ok_and(|name| append(headers, name, &token)),
        Some(Sent::Redirect(..)) | None => false,
    };
    if told {
        inherit::is_private(headers);
    }
}

/// The cookie of this name, where one of the access's is called so, else its first.
fn cookie<'n>(names: &'n CarrierNames, name: &'n str) -> &'n str {
    let own = names.cookie.iter().find(|own| own.eq_ignore_ascii_case(name)).or(names.cookie.first());
    own.map_or(name, |own| own)
}

/// Whether the value could be appended.
fn append(headers: &mut HeaderMap, name: HeaderName, value: &str) -> bool {
    let Ok(value) = HeaderValue::try_from(value) else { return false };
    headers.append(name, value);
    true
}
