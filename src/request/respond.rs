//! Dresses an answer or a refusal for the viewer, and opens its account.

use std::ops::Range;
use std::time::Duration;

use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, AGE, CACHE_CONTROL, CONTENT_TYPE, REFERER, RETRY_AFTER, USER_AGENT, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use serde::Serialize;

use crate::clock::WallTime;
use crate::config::LiveMode;
use crate::config::reports::Timing;
use crate::region::proof::{BUSY, REFUSED, WEIR_PEER};
use crate::rules::caching::control;
use crate::rules::caching::purge;
use crate::rules::cors;
use crate::rules::fields::cache_status::CacheStatus;
use crate::rules::fields::loops;
use crate::rules::priority::{self, Priority};
use crate::rules::timeline::event::Kind;
use crate::rules::token::carrier::{self, Carrier};
use crate::rules::token::{Reason, Rejection};
use crate::sessions::Attached;
use crate::telemetry::access_log::{self, Line};
use crate::telemetry::streams::Asked;
use crate::telemetry::traffic::{Origination, Passage};

use super::account::Account;
use super::admit::Admitted;
use super::answer::{Access, Age, Answer, Provenance};
use super::body::{Body, Content};
use super::edge::{Edge, RequestId};
use super::hop::{self, SERVER_TIMING, Took};
use super::policies::{Policies, RoutePolicy};
use super::refusal::Fault;
use super::witness::{Dressed, Witness};
use super::{Caller, Head, Protocol, Refusal, Scheme, inherit, outward, renew};

const ALT_SVC: HeaderName = HeaderName::from_static("alt-svc");
const PRIORITY: HeaderName = HeaderName::from_static("priority");
/// The page that explains what is said of tokens.
const HELP: &str = "docs/gate-a-stream.md";

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The response that the viewer gets.
#[expect(clippy::too_many_lines, reason = "the order in which an answer is dressed stands in one place")]
pub fn finish(
    edge: &Edge,
    policies: &Policies,
    head: &mut Head,
    (route, admitted): (Option<&RoutePolicy>, &Admitted),
    outcome: Result<Answer, Refusal>,
) -> Response<Body> {
    let id = edge.request_id();
    let (answer, refusal) = match outcome {
        Ok(answer) => (answer, None),
        Err(refusal) => {
            edge.traffic.refused(refusal.index());
            (refused(&refusal, head, (route, edge.clock.wall(), id)), Some(refusal))
        }
    };
    let reason = refusal.as_ref().map(Refusal::word);
    // A refusal is nobody's play: it is sent whole, whatever becomes of the session.
    let admission = admitted.admission.as_deref().filter(|_| reason.is_none());
    let Answer { status, mut headers, content, origination, provenance, origin_wait, held, urgency, access } = answer;
    if let Some(provenance) = &provenance {
        trace(policies, head.caller, provenance, &mut headers);
        if let Some(route) = route {
            outward::relocate(route, head, &mut headers);
        }
    }
    let gated = admission.zip(route.and_then(|route| route.gated.as_ref()));
    if let Some((admission, gated)) = gated {
        inherit::relocate(head, gated, admission, &mut headers);
        inherit::keep_from_others(admission, &mut headers);
    }
    if let Some(route) = route {
        outward::dress(route, &mut headers);
    }
    share(head, (route, access), reason, &mut headers);
    if let Some((admission, gated)) = gated {
        renew::tell(edge, head, (admission, gated), &mut headers);
    }
    let took = Took { whole: edge.clock.now().since(head.received), origin: origin_wait, held, origination };
    if route.is_none_or(|route| route.config.reporting.timing == Timing::Told) {
        headers.append(SERVER_TIMING, hop::server_timing(&took));
        // Where the origin says who may read its answers, it says who may know how long they took.
        if head.caller == Caller::Viewer && route.is_none_or(|route| route.cors.is_some()) {
            cors::share_times(&mut headers);
        }
    }
    if let Some(route) = route.filter(|_| refusal.is_none()) {
        hop::tell(edge, policies, (head, route), &took, &mut headers);
    }
    if route.is_some_and(|route| route.config.live == LiveMode::Auto) {
        prioritise(head, urgency, &mut headers);
    }
    headers.insert(X_REQUEST_ID, HeaderValue::try_from(id.to_string()).expect("hexadecimal digits are a field value"));
    advertised(policies, head, &mut headers);
    let dressed = |route| Dressed { route, refusal: refusal.as_ref(), provenance: provenance.as_ref(), held, id };
    let watcher = admitted.watcher.as_ref();
    let witness = route.and_then(|route| Witness::of(edge, policies, (head, watcher), &dressed(route)));
    if let Some(witness) = witness.as_ref().filter(|_| reason.is_none()) {
        inherit::tell_open(witness, &mut headers);
    }
    let passage = begun(head, origination, status);
    let traffic = route.map_or(&policies.unrouted, |route| &route.traffic);
    let mut account = Account::open(&edge.clock, head.received, passage, traffic.clone()).whole_at(content.length());
    account = account.witnessed(witness);
    if let Some(log) = &policies.access_log {
        account = account.logged(log.clone(), line(edge, head, route, (passage, id.to_string(), reason)));
    }
    if let Some(route) = route {
        let path = std::mem::take(&mut head.path);
        let stream = place(&path, route.stream(&path));
        let asked = match head.notes.kind() {
            Some(Kind::Part | Kind::Segment) => Asked::Media,
            _ => Asked::Other,
        };
        account = account.of_stream(&edge.traffic.streams, (path, stream), asked);
    }
    let session = admission.map(|admission| Attached::to(&admission.session));
    let mut response = Response::new(Body::new(content, Some(account)).to(session));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Says which sites' scripts may read the answer.
fn share(
    head: &Head,
    (route, access): (Option<&RoutePolicy>, Access),
    reason: Option<&'static str>,
    headers: &mut HeaderMap,
) {
    match route.map(|route| route.cors.as_ref()) {
        Some(cors) => _ = cors.filter(|_| access == Access::OfRoute).map(|cors| cors.apply(&head.headers, headers)),
        // Why no route was found tells nothing of a viewer: scripts may read it.
        None if reason.is_some() => _ = headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
        None => {}
    }
}

/// What a viewer learns of other ways to come, and what only a viewer learns.
fn advertised(policies: &Policies, head: &Head, headers: &mut HeaderMap) {
    match head.caller {
        Caller::Viewer => advertise(policies, head, headers),
        // It would keep it, and say it to each of its viewers.
        Caller::Node(_) => _ = headers.remove(SERVER_TIMING),
    }
}

/// Where in a path a piece of it stands.
fn place(path: &str, piece: &str) -> Range<usize> {
    let start = (piece.as_ptr() as usize).checked_sub(path.as_ptr() as usize);
    let place = start.map(|start| start..start + piece.len());
    place.filter(|place| path.get(place.clone()) == Some(piece)).unwrap_or_default()
}

/// A passage of which nothing was sent yet.
fn begun(head: &Head, origination: Origination, status: StatusCode) -> Passage {
    Passage {
        protocol: head.protocol.label(),
        origination,
        status: status.as_u16(),
        octets: 0,
        first_byte: Duration::ZERO,
        whole: Duration::ZERO,
    }
}

/// Age, Cache-Status and Via: what this node did with an answer of the origin's.
fn trace(policies: &Policies, caller: Caller, provenance: &Provenance, headers: &mut HeaderMap) {
    control::strip_targeted(headers);
    outward::unvary(headers);
    if caller == Caller::Viewer {
        purge::strip_tags(headers);
    }
    if let Age::Seconds(age) = provenance.age {
        headers.insert(AGE, age.into());
    }
    let status =
        CacheStatus { handling: provenance.handling, ttl: provenance.ttl, detail: provenance.detail, key: None };
    status.append(headers, policies.pseudonym.as_str());
    loops::append_via(headers, "1.1", &policies.pseudonym);
}

/// Every response of a live stream says how urgent it is (RFC 8216bis Appendix B.1): as the viewer wants it, else by
/// what it is.
fn prioritise(head: &Head, urgency: Option<u8>, headers: &mut HeaderMap) {
    let wanted = head.headers.get(PRIORITY).map(|value| priority::parse(value.as_bytes())).unwrap_or_default();
    let urgency = wanted.urgency.or(urgency).unwrap_or(Priority::default().urgency);
    let value = match wanted.incremental {
        Some(true) => format!("u={urgency}, i"),
        Some(false) | None => format!("u={urgency}"),
    };
    headers.insert(PRIORITY, HeaderValue::try_from(value).expect("a letter and a digit are a field value"));
}

/// Viewers on TLS over TCP learn that there is HTTP/3, and all of them when it goes; media segments do not carry it
/// (RFC 7838 §3).
fn advertise(policies: &Policies, head: &Head, headers: &mut HeaderMap) {
    let Some(alt_svc) = &policies.doors.alt_svc else { return };
    let is_media = headers
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"video/") || kind.as_bytes().starts_with(b"audio/"));
    let is_news = head.protocol != Protocol::Http3 || alt_svc == "clear";
    if head.scheme == Scheme::Https && is_news && !is_media {
        headers.insert(ALT_SVC, alt_svc.clone());
    }
}

/// Another node learns whether it is worth while to ask elsewhere: not where the origin is to blame.
fn tell_peer(refusal: &Refusal, headers: &mut HeaderMap) {
    let word = match refusal.fault() {
        Fault::Origin => return,
        Fault::Node => HeaderValue::from_static(BUSY),
        Fault::Viewer => HeaderValue::from_static(REFUSED),
    };
    headers.insert(WEIR_PEER, word);
}

/// A refusal as JSON, with its stable word. Never cached; scripts may read it.
fn refused(refusal: &Refusal, head: &Head, (route, wall, id): (Option<&RoutePolicy>, WallTime, RequestId)) -> Answer {
    #[derive(Serialize)]
    struct Problem<'a> {
        reason: &'a str,
        detail: String,
        request: String,
        #[serde(flatten)]
        token: Option<OfToken>,
    }
    let mut headers = refusal.fields();
    if head.caller != Caller::Viewer || matches!(refusal, Refusal::NotAPeer(_) | Refusal::PeersDisagree) {
        tell_peer(refusal, &mut headers);
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(after) = refusal.retry_after() {
        headers.insert(RETRY_AFTER, after.as_secs().into());
    }
    let mut status = refusal.status();
    let mut token = None;
    if let Refusal::Token(rejection) | Refusal::TokenAnswer(rejection, _) = refusal {
        if matches!(refusal, Refusal::Token(_)) {
            status = challenge(route, (status, rejection.reason), &mut headers);
        }
        token = Some(OfToken::of(rejection, wall));
    }
    let problem = Problem { reason: refusal.word(), detail: refusal.to_string(), request: id.to_string(), token };
    let content = if head.method == Method::HEAD {
        Content::Empty
    } else {
        Content::Full(serde_json::to_vec(&problem).expect("words are JSON").into())
    };
    Answer { content, origination: Origination::Refused, ..Answer::own(status, headers) }
}

/// What a player's developer is told of a token, beside the reason.
#[derive(Serialize)]
struct OfToken {
    /// What the node's clock says, in seconds since the epoch.
    now: u64,
    /// When the token expired, if that is it.
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<u64>,
    /// Where the reason is explained.
    help: String,
}

impl OfToken {
    fn of(rejection: &Rejection, wall: WallTime) -> Self {
        let help = format!("{HELP}#{}", rejection.reason.word());
        Self { now: wall.since_epoch().as_secs(), exp: rejection.expired, help }
    }
}

/// Where fields may carry a token, 401 challenges for one (RFC 9110 §15.5.2), with an error only where one was sent
/// (RFC 6750 §3); elsewhere nobody could meet a challenge, and 403 says so.
fn challenge(
    route: Option<&RoutePolicy>,
    (status, reason): (StatusCode, Reason),
    headers: &mut HeaderMap,
) -> StatusCode {
    let access = route.and_then(|route| route.gated.as_ref()).map(|gated| &gated.access);
    let has_field = access.is_some_and(|access| access.carriers.contains(&Carrier::Header));
    match (status, has_field) {
        (StatusCode::UNAUTHORIZED, false) => StatusCode::FORBIDDEN,
        (StatusCode::UNAUTHORIZED, true) => {
            let challenge = match reason {
                Reason::TokenMissing => "Bearer realm=\"weir\"",
                _ => "Bearer realm=\"weir\", error=\"invalid_token\"",
            };
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
            status
        }
        _ => status,
    }
}

fn line(
    edge: &Edge,
    head: &Head,
    route: Option<&RoutePolicy>,
    (passage, id, reason): (Passage, String, Option<&'static str>),
) -> Line {
    let field = |name: HeaderName| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let referer = field(REFERER).map(|referer| {
        let path = referer.split(['?', '#']).next().unwrap_or_default();
        carrier::loggable_path(path).into_owned()
    });
    Line {
        time: edge.clock.wall(),
        id,
        address: head.viewer.address.ip().to_canonical(),
        method: head.method.clone(),
        host: head.authority.clone().unwrap_or_default(),
        path: format!("{}{}", carrier::loggable_path(&head.path), access_log::loggable_query(head.query.as_deref())),
        protocol: head.protocol.version(),
        status: passage.status,
        octets: 0,
        took: Duration::ZERO,
        first_byte: Duration::ZERO,
        cache: passage.origination.label(),
        route: route.map_or_else(|| "none".into(), |route| route.name.clone()),
        reason,
        complete: false,
        user_agent: field(USER_AGENT),
        referer,
    }
}
