//! Head → Target. A CORS preflight is answered here, before anything else is asked of the viewer.

use std::sync::Arc;

use http::uri::PathAndQuery;
use http::{HeaderMap, Method, StatusCode, header};

use crate::origin::supply::Located;
use crate::rules::caching::Key;
use crate::rules::caching::invalidate::Written;
use crate::rules::cors::is_preflight;
use crate::rules::fields::loops;
use crate::rules::hls::ladder::Ladder;
use crate::rules::token::carrier::{self, Credential, Presented, in_path};
use crate::rules::token::{Reason, Rejection};
use crate::rules::uri;

use super::answer::{Access, Answer};
use super::authorize::Admission;
use super::beacon::{self, Beacon};
use super::cmcd::{self, Said};
use super::page::Page;
use super::policies::{NoRoute, Policies, RoutePolicy};
use super::witness::Watcher;
use super::{Caller, Head, Refusal, Scheme};

/// How often a request from another node may have passed nodes of this name: once, in another tier or the same region.
const PASSES_OF_TIERS: usize = 1;

/// What the node keeps for itself on every viewers' listener.
const RESERVED: &str = "/.weir";

/// What a request asks for.
pub enum Target<'a> {
    /// Something that comes from an origin.
    Resource(Resource<'a>),
    /// What players report.
    Beacon(Box<Beacon>),
    /// One of the node's own small answers.
    Page(Page),
    /// An answer of the route's that needs nothing further.
    Answered(Box<Answer>),
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
    /// For whom it is, where its route asks who it is.
    pub admission: Option<Arc<Admission>>,
    /// The variants that its viewer is offered.
    pub ladder: Ladder,
    /// Whose story its request belongs to.
    pub watcher: Option<Watcher>,
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

/// A request whose carriers were cut: from here on its head has nothing of a token.
pub struct Entered<'a> {
    /// The route that serves it, where one does, refused or not.
    pub route: Option<&'a RoutePolicy>,
    /// What it asks for.
    pub target: Result<Target<'a>, Refusal>,
    /// What it presents, where its route asks for it.
    pub presented: Option<Box<Presented>>,
    /// What its player says of itself.
    pub said: Option<Box<Said>>,
}

/// What `head` asks for. Carriers are cut first; the lenient form of what is left picks the route, and the route says
/// how strictly it is to be judged.
pub fn enter<'a>(policies: &'a Policies, head: &mut Head) -> Entered<'a> {
    let said = cmcd::cut(head);
    let mut entered = Entered { route: None, target: Err(Refusal::NoRoute), presented: None, said: None };
    entered.target = target(policies, (head, said.as_deref()), (&mut entered.route, &mut entered.presented));
    Entered { said, ..entered }
}

/// # Errors
/// `BadRequest`, `MethodNotAllowed`, `ExpectationFailed`, `MisdirectedHost`, `NoRoute`, `Token`.
fn target<'a>(
    policies: &'a Policies,
    (head, said): (&mut Head, Option<&Said>),
    (found, presented): (&mut Option<&'a RoutePolicy>, &mut Option<Box<Presented>>),
) -> Result<Target<'a>, Refusal> {
    if matches!(head.method, Method::CONNECT | Method::TRACE) {
        return Err(Refusal::MethodNotAllowed);
    }
    if let Some(expectation) = head.headers.get(header::EXPECT)
        && !expectation.as_bytes().eq_ignore_ascii_case(b"100-continue")
    {
        return Err(Refusal::ExpectationFailed);
    }
    let (carried, sent) = cut_path(policies, head);
    let is_carried = carried.is_some();
    let canonical = canonical(head)?;
    if uri::is_under(&canonical.path, RESERVED) {
        if let Some(kind) = beacon::Kind::at(&canonical.path) {
            return Ok(Target::Beacon(Box::new(Beacon::cut(policies, head, (kind, carried)))));
        }
        return Page::at(&canonical.path).filter(|_| !is_carried).map(Target::Page).ok_or(Refusal::NoRoute);
    }
    let route = policies.route(head.host(), &canonical.path).map_err(|no_route| match no_route {
        NoRoute::Host => Refusal::MisdirectedHost,
        NoRoute::Path => Refusal::NoRoute,
    })?;
    let gated = route.gated.as_ref().filter(|_| head.caller == Caller::Viewer);
    if is_carried && gated.is_none() {
        return Err(Refusal::NoRoute);
    }
    *found = Some(route);
    let redirect = redirect_to_https(policies, route, head, (sent.as_deref(), said));
    if let Some(gated) = gated {
        let Head { path, query, headers, .. } = head;
        let cut = carrier::cut(carrier::Request { path, query, headers }, carried, &gated.carriers())?;
        *presented = Some(Box::new(cut));
    }
    let goes_on = said.filter(|said| said.goes_on(route, &mut head.headers));
    let canonical = strictly(route, head)?;
    if gated.is_some() && canonical.path.contains("/.weir/") {
        return Err(Refusal::NoRoute);
    }
    if let Some(answer) = redirect.or_else(|| preflight(route, head)) {
        return Ok(Target::Answered(Box::new(answer)));
    }
    let resource = resource(route, head, (&canonical, goes_on))?;
    Ok(Target::Resource(resource))
}

/// Cuts a carrier out of the path that is a segment of its own: at the root, or where the path of a gated route ends.
/// What it holds, and the path as it was sent.
fn cut_path(policies: &Policies, head: &mut Head) -> (Option<Credential>, Option<String>) {
    let Some(parted) = Some(&head.path).filter(|_| head.caller == Caller::Viewer).and_then(|path| in_path(path)) else {
        return (None, None);
    };
    let is_one = parted.front.is_empty() || ends_gated(policies, head.host(), parted.front);
    if !is_one {
        return (None, None);
    }
    let whole = parted.whole();
    (Some(parted.credential), Some(std::mem::replace(&mut head.path, whole)))
}

/// Whether what stands before a carrier is the path of a gated route.
fn ends_gated(policies: &Policies, host: &str, front: &str) -> bool {
    let folder = format!("{front}/");
    let canonical = uri::Target::canonical(&folder, None, uri::Strictness::Lenient);
    canonical.is_ok_and(|canonical| {
        let route = policies.route(host, &canonical.path).ok();
        route.is_some_and(|route| route.gated.is_some() && route.ends_at(&canonical.path))
    })
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

/// The same as the route wants it: where it is strict, nothing that could be read in two ways. Another node has judged
/// what it asks for.
fn strictly<'h>(route: &RoutePolicy, head: &'h Head) -> Result<uri::Target<'h>, Refusal> {
    let strictness = match head.caller {
        Caller::Viewer => route.config.strict_paths,
        Caller::Node(_) => uri::Strictness::Lenient,
    };
    let canonical = uri::Target::canonical(&head.path, head.query.as_deref(), strictness);
    canonical.map_err(|bad| match route.gated {
        Some(_) => Rejection::new(Reason::UriNotCanonical, bad.detail()).into(),
        None => Refusal::BadTarget(bad),
    })
}

/// The object that a canonical target is on a route.
fn resource<'a>(
    route: &'a RoutePolicy,
    head: &Head,
    (canonical, goes_on): (&uri::Target<'_>, Option<&Said>),
) -> Result<Resource<'a>, Refusal> {
    let viewer_authority = head.authority.clone().filter(|_| route.supply.shows_viewer());
    let target = canonical.path_and_query();
    let located = route.supply.locate(&target, viewer_authority.as_deref());
    let Located { key, mut upstream } =
        located.ok_or(Refusal::BadRequest("the request target has octets that a URI may not have"))?;
    // The key has nothing of it.
    let with = goes_on.and_then(|said| said.with(upstream.query()));
    if let Some(Ok(with)) = with.map(|query| format!("{}?{query}", upstream.path()).parse()) {
        upstream = with;
    }
    Ok(Resource {
        route,
        upstream,
        viewer_authority,
        key,
        target,
        admission: None,
        ladder: Ladder::Whole,
        watcher: None,
    })
}

/// To where a viewer in cleartext is sent, with all that it brought: `sent` is the path with its carrier.
fn redirect_to_https(
    policies: &Policies,
    route: &RoutePolicy,
    head: &Head,
    (sent, said): (Option<&str>, Option<&Said>),
) -> Option<Answer> {
    if !route.config.https_only || head.scheme == Scheme::Https || head.caller != Caller::Viewer {
        return None;
    }
    let query = match said {
        Some(said) => said.with(head.query.as_deref()),
        None => head.query.clone(),
    };
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    let port = policies.doors.https_port.filter(|port| *port != 443).map(|port| format!(":{port}")).unwrap_or_default();
    let location = format!("https://{}{port}{}{query}", head.host(), sent.unwrap_or(&head.path));
    let mut headers = HeaderMap::new();
    headers.insert(header::LOCATION, location.try_into().ok()?);
    Some(Answer::own(StatusCode::PERMANENT_REDIRECT, headers))
}

fn preflight(route: &RoutePolicy, head: &Head) -> Option<Answer> {
    let cors = route.cors.as_ref()?;
    let answer = || Answer::own(StatusCode::NO_CONTENT, cors.preflight(&head.headers));
    is_preflight(&head.method, &head.headers).then(|| Answer { access: Access::Settled, ..answer() })
}
