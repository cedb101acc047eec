//! Head → Target. A CORS preflight is answered here, before anything else is asked of the viewer.

use http::uri::PathAndQuery;
use http::{HeaderMap, Method, StatusCode, header};

use crate::origin::supply::Located;
use crate::rules::caching::Key;
use crate::rules::caching::invalidate::Written;
use crate::rules::cors::is_preflight;
use crate::rules::fields::loops;
use crate::rules::uri;

use super::answer::{Access, Answer};
use super::page::Page;
use super::policies::{NoRoute, Policies, RoutePolicy};
use super::{Caller, Head, Refusal, Scheme};

/// How often a request from another node may have passed nodes of this name: once, in another tier or the same region.
const PASSES_OF_TIERS: usize = 1;

/// What the node keeps for itself on every viewers' listener.
const RESERVED: &str = "/.weir";

/// What a request asks for.
pub enum Target<'a> {
    /// Something that comes from an origin.
    Resource(Resource<'a>),
    /// One of the node's own small answers.
    Page(Page),
    /// An answer of the route's that needs nothing further.
    Answered(&'a RoutePolicy, Box<Answer>),
}

impl<'a> Target<'a> {
    /// The route that serves it, if one does.
    pub fn route(&self) -> Option<&'a RoutePolicy> {
        match self {
            Self::Resource(resource) => Some(resource.route),
            Self::Answered(route, _) => Some(route),
            Self::Page(_) => None,
        }
    }
}

/// Something that comes from an origin.
pub struct Resource<'a> {
    /// The route that serves it.
    pub route: &'a RoutePolicy,
    /// Path and query as asked for upstream, before the origin's base path.
    pub upstream: PathAndQuery,
    /// What the viewer called the edge, where the origin wants to see it.
    pub viewer_authority: Option<String>,
    /// The object that it is.
    pub key: Key,
    /// Path and query as viewers ask for them, canonical.
    pub target: String,
}

impl Resource<'_> {
    /// What a write to it writes to.
    pub fn written(&self) -> Written<'_> {
        self.route.supply.written(&self.key, self.viewer_authority.as_deref())
    }

    /// The key of another target of the same origin.
    pub fn sibling(&self, target: &str) -> Key {
        self.route.supply.key(target, self.viewer_authority.as_deref())
    }
}

/// What `head` asks for.
///
/// # Errors
/// `BadRequest`, `MethodNotAllowed`, `ExpectationFailed`, `MisdirectedHost`, `NoRoute`.
pub fn target<'a>(policies: &'a Policies, head: &Head) -> Result<Target<'a>, Refusal> {
    if matches!(head.method, Method::CONNECT | Method::TRACE) {
        return Err(Refusal::MethodNotAllowed);
    }
    if let Some(expectation) = head.headers.get(header::EXPECT)
        && !expectation.as_bytes().eq_ignore_ascii_case(b"100-continue")
    {
        return Err(Refusal::ExpectationFailed);
    }
    let canonical = canonical(head)?;
    if uri::is_under(&canonical.path, RESERVED) {
        return Page::at(&canonical.path).map(Target::Page).ok_or(Refusal::NoRoute);
    }
    let route = policies.route(head.host(), &canonical.path).map_err(|no_route| match no_route {
        NoRoute::Host => Refusal::MisdirectedHost,
        NoRoute::Path => Refusal::NoRoute,
    })?;
    if let Some(answer) = redirect_to_https(policies, route, head).or_else(|| preflight(route, head)) {
        return Ok(Target::Answered(route, Box::new(answer)));
    }
    Ok(Target::Resource(resource(route, head, &canonical)?))
}

/// Whether the request has passed here before (RFC 8586; RFC 9110 §7.6.3). To be asked once its route is known: a
/// refusal then carries what the route allows other sites.
///
/// # Errors
/// `LoopDetected`.
pub fn refuse_loops(policies: &Policies, head: &Head) -> Result<(), Refusal> {
    let own = &policies.pseudonym;
    let passes = loops::passes_in_cdn_loop(&head.headers, own).max(loops::passes_in_via(&head.headers, own));
    // Tiers and regions may share a name. Only another node is believed how often the name was written.
    let most = match head.caller {
        Caller::Viewer => 0,
        Caller::Node(_) => PASSES_OF_TIERS,
    };
    if passes <= most { Ok(()) } else { Err(Refusal::LoopDetected) }
}

/// The one canonical form of the path and query of `head` (RFC 3986 §6.2.2).
fn canonical(head: &Head) -> Result<uri::Target<'_>, Refusal> {
    if head.path == "*" {
        return Err(Refusal::NoRoute);
    }
    uri::Target::canonical(&head.path, head.query.as_deref(), uri::Strictness::Lenient).map_err(Refusal::BadTarget)
}

/// The object that a canonical target is on a route.
fn resource<'a>(route: &'a RoutePolicy, head: &Head, canonical: &uri::Target<'_>) -> Result<Resource<'a>, Refusal> {
    let viewer_authority = head.authority.clone().filter(|_| route.supply.shows_viewer());
    let target = canonical.path_and_query();
    let located = route.supply.locate(&target, viewer_authority.as_deref());
    let Located { key, upstream } =
        located.ok_or(Refusal::BadRequest("the request target has octets that a URI may not have"))?;
    Ok(Resource { route, upstream, viewer_authority, key, target })
}

fn redirect_to_https(policies: &Policies, route: &RoutePolicy, head: &Head) -> Option<Answer> {
    if !route.config.https_only || head.scheme == Scheme::Https || head.caller != Caller::Viewer {
        return None;
    }
    let query = head.query.as_deref().map(|query| format!("?{query}")).unwrap_or_default();
    let port = policies.doors.https_port.filter(|port| *port != 443).map(|port| format!(":{port}")).unwrap_or_default();
    let location = format!("https://{}{port}{}{query}", head.host(), head.path);
    let mut headers = HeaderMap::new();
    headers.insert(header::LOCATION, location.try_into().ok()?);
    Some(Answer::own(StatusCode::PERMANENT_REDIRECT, headers))
}

fn preflight(route: &RoutePolicy, head: &Head) -> Option<Answer> {
    let cors = route.cors.as_ref()?;
    let answer = || Answer::own(StatusCode::NO_CONTENT, cors.preflight(&head.headers));
    is_preflight(&head.method, &head.headers).then(|| Answer { access: Access::Settled, ..answer() })
}
