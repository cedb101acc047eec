//! What of a request goes to the origin, and what an origin's failure means to the viewer.

use std::sync::Arc;

use http::header::{EXPECT, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, ORIGIN, RANGE};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::cache::{FillEnd, Refused};
use crate::origin::FetchError;
use crate::origin::promise::Withdrawn;
use crate::rules::fields::{encoding, hop, loops};

use super::policies::{Policies, RoutePolicy};
use super::{Head, Refusal};

/// Fields that ask about one viewer's copy, or for a part: the node asks for the whole, for all.
const OF_ONE_VIEWER: [HeaderName; 7] =
    [IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE, EXPECT];

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The fields of a request whose answer many may share: nothing of what its viewer has already, and none of where they
/// are. Cookies and Authorization go along, as the standard has it: what comes back says whose it is.
pub fn shared_fields(head: &Head, policies: &Policies, route: &RoutePolicy) -> HeaderMap {
    let mut fields = end_to_end(head, policies);
    for name in OF_ONE_VIEWER {
        fields.remove(name);
    }
    if route.cors.is_some() {
        fields.remove(ORIGIN);
    }
    encoding::normalise_accept_encoding(&mut fields);
    fields
}

/// Fields on which Vary does not count: Origin, which no shared request carries unless the origin speaks CORS itself and
/// must see who asks, and those that the operator names.
pub fn unvaried(route: &RoutePolicy) -> Arc<[HeaderName]> {
    let own = route.cors.is_some().then_some(ORIGIN).into_iter();
    own.chain(route.config.sharing.ignore_vary.iter().cloned()).collect()
}

/// The fields of a request that is passed on for its viewer alone.
pub fn passed_fields(head: &Head, policies: &Policies) -> HeaderMap {
    let mut fields = end_to_end(head, policies);
    fields.remove(EXPECT);
    if let Ok(address) = HeaderValue::try_from(head.viewer.address.ip().to_canonical().to_string()) {
        fields.insert(X_FORWARDED_FOR, address);
    }
    fields.insert(X_FORWARDED_PROTO, HeaderValue::from_static(head.scheme.as_str()));
    fields
}

/// Whether a request has conditions, or asks for a part.
pub fn is_conditional(head: &Head) -> bool {
    OF_ONE_VIEWER.iter().any(|name| *name != EXPECT && head.headers.contains_key(name))
}

fn end_to_end(head: &Head, policies: &Policies) -> HeaderMap {
    let mut fields = head.headers.clone();
    hop::strip_hop_by_hop(&mut fields);
    loops::append_via(&mut fields, head.protocol.version(), &policies.pseudonym);
    loops::append_cdn_loop(&mut fields, &policies.pseudonym);
    fields
}

/// What an ended fill means to a viewer who got nothing of it.
pub fn refusal(end: &FillEnd) -> Refusal {
    match end {
        FillEnd::Failed(failure) if failure.downcast_ref::<Withdrawn>().is_some() => Refusal::NoLongerNamed,
        FillEnd::Failed(failure) => failure.downcast_ref().map_or(Refusal::OriginReset, of_fetch),
        FillEnd::Refused(refused) => refused_by_cache(*refused),
        FillEnd::TooLate => Refusal::FillWait,
        FillEnd::CutShort { .. }
        | FillEnd::TooLong { .. }
        | FillEnd::Abandoned
        | FillEnd::NotShared
        | FillEnd::NotMeant
        | FillEnd::TooSlow
        | FillEnd::Gone => Refusal::OriginCutShort,
    }
}

/// What a limit of the cache means to a viewer.
pub fn refused_by_cache(refused: Refused) -> Refusal {
    match refused {
        Refused::Memory => Refusal::MemoryFull,
        Refused::Fills => Refusal::TooManyFills,
        Refused::Readers => Refusal::TooManyReaders,
    }
}

/// A request whose body never came whole.
pub const BROKEN_UPLOAD: Refusal = Refusal::BadRequest("the request body broke off or is not as announced");

/// What a failed fetch means to a viewer.
pub fn of_fetch(error: &FetchError) -> Refusal {
    match error {
        FetchError::NoOrigin | FetchError::Connect { .. } => Refusal::OriginUnreachable,
        FetchError::Unaskable { .. } => Refusal::BadRequest("the path is too long for the origin"),
        FetchError::Tls { .. } => Refusal::OriginUntrusted,
        FetchError::Timeout { .. } => Refusal::OriginTimeout,
        FetchError::Reset { .. } => Refusal::OriginReset,
        FetchError::CutShort { .. } => Refusal::OriginCutShort,
        FetchError::Malformed { .. } => Refusal::OriginMalformed,
        FetchError::Redirected { .. } => Refusal::OriginRedirect,
        FetchError::QueueFull { .. } => Refusal::OriginBusy,
        FetchError::Resting { .. } => Refusal::OriginUnreachable,
        FetchError::Upload { .. } => BROKEN_UPLOAD,
    }
}
