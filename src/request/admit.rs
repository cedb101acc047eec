//! Whether a viewer who may see something is let in now: by the country that it is in, by how much its session and its
//! address ask for, and by the room that the node has. What other nodes ask for was judged there.

use std::num::NonZeroU64;
use std::sync::Arc;

use http::header::{CONTENT_TYPE, USER_AGENT};

use crate::access::countries::Countries;
use crate::live::state::State;
use crate::rules::admission::country::{Country, Elsewhere};
use crate::rules::hls::directives::Directives;
use crate::rules::hls::ladder::Ladder;
use crate::rules::token::carrier::Kind;
use crate::rules::token::{Reason, Rejection};
use crate::sessions::quota::{Exceeded, Held, Limit};

use super::answer::Answer;
use super::asked;
use super::authorize::Admission;
use super::body::Content;
use super::crowd::{Comer, Sign};
use super::edge::Edge;
use super::meter::{Meter, Metered};
use super::route::Resource;
use super::witness::Watcher;
use super::{Caller, Head, Proxy, Refusal};

const ELSEWHERE: Rejection = Rejection::new(Reason::GeoRefused, "this is not served in the viewer's country");
const NOWHERE: Rejection =
    Rejection::new(Reason::GeoUnknown, "the viewer's country is not known, and this is not served everywhere");

/// As what a request was let in.
#[derive(Clone, Copy, Debug, Default)]
pub struct Permit {
    /// The variants that its viewer is offered.
    pub ladder: Ladder,
    /// What stands for its viewer, where that is of interest.
    viewer: Option<NonZeroU64>,
}

/// A request that was let in.
#[derive(Default)]
pub struct Admitted {
    /// For whom, where its route asks who it is.
    pub admission: Option<Arc<Admission>>,
    /// As what.
    pub permit: Permit,
    /// Whose story it belongs to.
    pub watcher: Option<Watcher>,
}

/// Lets a request in.
///
/// # Errors
/// `Token` (of its country), `TooManyRequests`, `TooManyConnections`, `NodeFull`.
pub fn permit(edge: &Edge, head: &Head, resource: &Resource<'_>) -> Result<Permit, Refusal> {
    if head.caller != Caller::Viewer {
        return Ok(Permit::default());
    }
    let countries = &resource.route.config.countries;
    if !countries.are_all() {
        countries.judge(country(&edge.countries, head)).map_err(|elsewhere| match elsewhere {
            Elsewhere::Refused => ELSEWHERE,
            Elsewhere::Unknown => NOWHERE,
        })?;
    }
    let session = resource.admission.as_ref().map(|admission| admission.session.id());
    edge.quota.request(session, head.viewer.address)?;
    if !edge.crowd.is_bounded() {
        return Ok(Permit::default());
    }
    let comer = comer(edge, head, resource);
    let viewer = NonZeroU64::new(comer.who.seat());
    let entered = edge.crowd.enter(&comer, edge.clock.now(), || sign(edge, head, resource));
    let ladder = entered.map_err(|full| Refusal::NodeFull { retry: full.retry })?;
    Ok(Permit { ladder, viewer })
}

/// The country of a viewer, as far as anything says so.
pub fn country(countries: &Countries, head: &Head) -> Option<Country> {
    let said = (head.viewer.proxy == Proxy::Trusted).then_some(&head.headers);
    countries.of(head.viewer.address.ip(), said)
}

/// A place for a reload that is to be held, where it is a session's.
///
/// # Errors
/// `TooManyRequests`: as many of the session are held as may be.
pub fn hold(edge: &Edge, resource: &Resource<'_>) -> Result<Option<Box<Held>>, Refusal> {
    let session = resource.admission.as_ref().map(|admission| admission.session.id());
    Ok(session.map(|session| edge.quota.hold(session)).transpose()?.map(Box::new))
}

/// What a refusal comes to once it is counted: whoever tries one token after the other is told to wait.
pub fn counted(edge: &Edge, head: &Head, refusal: Refusal) -> Refusal {
    match &refusal {
        Refusal::Token(rejection) if is_guess(rejection.reason) => {
            edge.quota.bad_token(head.viewer.address.ip()).map_or_else(Refusal::from, |()| refusal)
        }
        _ => refusal,
    }
}

/// Whether a token may have been made up. One that was good once, or is good for something else, was not.
const fn is_guess(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::TokenDuplicate
            | Reason::TokenMalformed
            | Reason::TokenTooLarge
            | Reason::AlgRefused
            | Reason::KeyUnknown
            | Reason::SignatureBad
            | Reason::IssuerUnknown
            | Reason::AudienceMismatch
            | Reason::TypeMismatch
            | Reason::CritUnknown
            | Reason::ClaimUnknown
            | Reason::CatLabelUnknown
            | Reason::TokenLivesTooLong
    )
}

/// Who asks, for the node's room.
fn comer<'a>(edge: &Edge, head: &Head, resource: &'a Resource<'_>) -> Comer<'a> {
    let route = &resource.route.name;
    let admission = resource.admission.as_ref();
    let who = match admission {
        Some(admission) => edge.crowd.who((route, admission.session.id()), ()),
        None => {
            let agent = head.headers.get(USER_AGENT).map(http::HeaderValue::as_bytes);
            edge.crowd.who((route, head.viewer.address.ip(), agent), head.viewer.address.port())
        }
    };
    Comer {
        who,
        route,
        promise: resource.route.config.promise,
        tier: admission.and_then(|admission| admission.grant.tier.as_deref()),
    }
}

/// What a request says of who asks. Players begin with a playlist; a session in a URL or a cookie was begun with a token,
/// and a reload that is to be held follows another one.
fn sign(edge: &Edge, head: &Head, resource: &Resource<'_>) -> Sign {
    if !head.method.is_safe() {
        return Sign::None;
    }
    if let Some(admission) = &resource.admission {
        return if admission.how.0 == Kind::Session { Sign::Playing } else { Sign::First };
    }
    let path = resource.target.split('?').next().unwrap_or_default();
    let Some(asking) = asked::is_playlist_path(path).then(|| asked::playlist(edge, resource)).flatten() else {
        return Sign::None;
    };
    let is_media = || edge.live.find(&asking.key).is_some_and(|known| matches!(*known.state(), State::Media(_)));
    match asking.directives {
        Ok(Directives { msn: Some(_), .. }) => Sign::Playing,
        Ok(_) | Err(_) if is_media() => Sign::Below,
        Ok(_) | Err(_) => Sign::First,
    }
}

/// An answer that was let in: its body is measured for as long as it is sent.
pub fn measured(edge: &Edge, admitted: &Admitted, mut answer: Answer) -> Answer {
    if matches!(answer.content, Content::Empty) {
        return answer;
    }
    let session = admitted.admission.as_ref().map(|admission| admission.session.id());
    // Playlists are small, and nothing goes on without them.
    let pacer = session.filter(|_| !is_playlist(&answer)).and_then(|session| edge.quota.pacer(session));
    let crowd = edge.crowd.is_bounded().then(|| (edge.crowd.clone(), admitted.permit.viewer.map(NonZeroU64::get)));
    if pacer.is_some() || crowd.is_some() {
        let meter = Meter { crowd, pacer, clock: edge.clock.clone() };
        answer.content = Content::Metered(Box::new(Metered::new(answer.content, meter)));
    }
    answer
}

fn is_playlist(answer: &Answer) -> bool {
    let kind = answer.headers.get(CONTENT_TYPE).map(|kind| kind.as_bytes().to_ascii_lowercase());
    kind.is_some_and(|kind| kind.windows(7).any(|part| part == b"mpegurl"))
}

impl From<Exceeded> for Refusal {
    fn from(Exceeded { limit, retry }: Exceeded) -> Self {
        match limit {
            Limit::SessionConnections => Self::TooManyConnections { retry },
            Limit::SessionRequests
            | Limit::AddressRequests
            | Limit::SessionHeld
            | Limit::BadTokens
            | Limit::SessionBeacons
            | Limit::SessionRecords => Self::TooManyRequests { retry },
        }
    }
}
