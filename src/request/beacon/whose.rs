//! Whose reports these are. A credential names a session; where there is none, reports are of the sessions that their
//! sender's device has on open streams. What a record says of itself chooses between those, and never beyond them.

use std::sync::Arc;

use http::header::REFERER;
use smallvec::SmallVec;

use crate::access::Gate;
use crate::request::authorize;
use crate::request::edge::Edge;
use crate::request::policies::{Gating, Policies, RoutePolicy};
use crate::request::witness::opener;
use crate::request::{Head, Refusal, admit};
use crate::rules::qoe::read::Read;
use crate::rules::session::SessionId;
use crate::rules::token::Rejection;
use crate::rules::token::carrier::{self, Credential, Place, Presented};
use crate::stories::open::OpenSession;
use crate::telemetry::beacons::By;

use super::terms::{Terms, told_of};

/// What a request presents, for each access of its host.
pub struct Presenting {
    of: Vec<(Arc<str>, Result<Presented, Rejection>)>,
    /// The path by which it was sent from where, where its site is told.
    referer: Option<Box<str>>,
}

/// Who sends reports.
pub enum Sender<'p> {
    /// The viewer of a session that its credential names.
    Named(Named<'p>),
    /// A device, by its sessions of open routes.
    Device(Device),
}

/// The viewer of a session.
pub struct Named<'p> {
    /// The session.
    pub session: SessionId,
    access: Arc<str>,
    /// Where a record goes that names no object.
    route: &'p RoutePolicy,
    terms: Terms,
}

/// A device.
pub struct Device {
    /// The route and the stream of the page that it comes from.
    referer: Option<Box<str>>,
}

/// Where a record goes.
pub struct Theirs<'p> {
    /// Into which session.
    pub session: SessionId,
    /// On which route.
    pub route: &'p RoutePolicy,
    /// What holds for it.
    pub terms: Terms,
    /// Of which stream, where it is known.
    pub stream: Option<Arc<str>>,
}

impl Presenting {
    /// Cuts what may be a credential out of a request.
    pub fn cut(policies: &Policies, head: &mut Head, carried: Option<Credential>) -> Self {
        let host = head.host().to_owned();
        let path = |value: &http::HeaderValue| {
            let path = value.to_str().ok()?.split_once("://")?.1.split_once('/')?.1;
            Some(format!("/{}", path.split(['?', '#']).next().unwrap_or_default()).into())
        };
        let referer = head.headers.get(REFERER).and_then(path);
        let sent = (head.path.clone(), head.query.clone(), head.headers.clone());
        let mut of: Vec<(Arc<str>, _)> = Vec::new();
        for gated in gatings(policies, &host) {
            let name = gated.terms.access.clone();
            if of.iter().any(|(other, _)| *other == name) {
                continue;
            }
            let (mut path, mut query, mut headers) = sent.clone();
            let request = carrier::Request { path: &mut path, query: &mut query, headers: &mut headers };
            of.push((name, carrier::cut(request, carried.clone(), &gated.carriers())));
            let Head { path, query, headers, .. } = head;
            // What is left has nothing of any of them.
            _ = carrier::cut(carrier::Request { path, query, headers }, None, &gated.carriers());
        }
        Self { of, referer }
    }

    /// Who sends it.
    ///
    /// # Errors
    /// Where a credential is presented on purpose, and no access of the host takes it: why its first does not.
    pub fn sender<'p>(self, edge: &Edge, policies: &'p Policies, head: &Head) -> Result<Sender<'p>, Refusal> {
        let mut refused = None;
        for (access, presented) in self.of {
            let Some(gate) = edge.accesses.gate(&access) else { continue };
            match recognised(edge, head, &gate, presented) {
                Ok(Some(session)) => {
                    let routes = routes_of(edge, policies, head, (&access, session));
                    let Some(route) = told_of(&routes) else { continue };
                    return Ok(Sender::Named(Named { session, access, route, terms: Terms::of(&routes) }));
                }
                Ok(None) => {}
                Err(why) => refused = refused.or(Some(why)),
            }
        }
        if let Some(rejection) = refused {
            return Err(admit::counted(edge, head, rejection.into()));
        }
        Ok(Sender::Device(Device { referer: self.referer }))
    }
}

/// The session of what is presented; `None`: nothing is, or what browsers send along without being asked is of no use.
fn recognised(
    edge: &Edge,
    head: &Head,
    gate: &Gate,
    presented: Result<Presented, Rejection>,
) -> Result<Option<SessionId>, Rejection> {
    let Presented { first, second } = presented?;
    let mut refused = None;
    for credential in [first, second].into_iter().flatten() {
        match authorize::recognise(edge, head, gate, &credential) {
            Ok(grant) => return Ok(Some(grant.session)),
            Err(_) if credential.place == Place::Cookie => {}
            Err(why) => refused = refused.or(Some(why)),
        }
    }
    refused.map_or(Ok(None), Err)
}

/// The routes that a record of a session may be of: those that it was used on, the last of them first; where that is not
/// known, as after a restart, all of its access on this host.
fn routes_of<'p>(
    edge: &Edge,
    policies: &'p Policies,
    head: &Head,
    (access, session): (&str, SessionId),
) -> SmallVec<[&'p RoutePolicy; 2]> {
    let theirs = || policies.routes.iter().filter(|route| is_of(route, access));
    let used = edge.sessions.of_access(access, session).map(|session| session.routes()).unwrap_or_default();
    let used: SmallVec<_> = used.iter().rev().filter_map(|name| theirs().find(|route| route.name == *name)).collect();
    match used.is_empty() {
        true => theirs().filter(|route| route.serves_host(head.host())).collect(),
        false => used,
    }
}

/// Whether a route asks for this access.
fn is_of(route: &RoutePolicy, access: &str) -> bool {
    route.gated.as_ref().is_some_and(|gated| *gated.terms.access == *access)
}

/// The route and the stream of a path.
fn at<'p, 'r>(policies: &'p Policies, host: &str, path: &'r str) -> Option<(&'p RoutePolicy, &'r str)>
where
    'p: 'r,
{
    let route = policies.route(host, path).ok()?;
    Some((route, route.stream(path)))
}

fn gatings<'p>(policies: &'p Policies, host: &str) -> impl Iterator<Item = &'p Gating> {
    let host = host.to_owned();
    policies.routes.iter().filter(move |route| route.serves_host(&host)).filter_map(|route| route.gated.as_ref())
}

impl Sender<'_> {
    /// Whether what it reports is anybody's here.
    pub fn by(&self, edge: &Edge, head: &Head) -> By {
        match self {
            Self::Named(_) => By::Viewer,
            Self::Device(_) => edge.stories.open.of(&opener(head), None).map_or(By::Stranger, |_| By::Viewer),
        }
    }

    /// Counts a body.
    ///
    /// # Errors
    /// `TooManyRequests`.
    pub fn may_send(&self, edge: &Edge, head: &Head) -> Result<(), Refusal> {
        edge.quota.request(None, head.viewer.address)?;
        match self {
            Self::Named(named) => Ok(edge.quota.beacon(named.session)?),
            Self::Device(_) => Ok(()),
        }
    }

    /// Counts the records of a body, the first of which that has a `sid` has this one.
    ///
    /// # Errors
    /// `TooManyRequests`.
    pub fn may_report(&self, edge: &Edge, head: &Head, (records, sid): (usize, Option<&str>)) -> Result<(), Refusal> {
        match self {
            Self::Named(named) => Ok(edge.quota.records(named.session, records)?),
            Self::Device(_) => {
                let opener = opener(head);
                let device = (opener.place(), opener.user_agent);
                let view = (device, sid);
                edge.quota.beacon(view)?;
                edge.quota.records(view, records)?;
                // Whoever invents a name for each body does not get further than a crowd would.
                Ok(edge.quota.records_of_device(device, records)?)
            }
        }
    }

    /// Whether a record needs no `sid`: its sender is known by a token.
    pub const fn is_named(&self) -> bool {
        matches!(self, Self::Named(_))
    }

    /// Where a record goes; `None`: its sender has no session here.
    pub fn of<'p>(&'p self, edge: &Edge, policies: &'p Policies, (head, read): (&Head, &Read)) -> Option<Theirs<'p>> {
        let host = head.host();
        let named = read.data.url.as_deref().and_then(|path| at(policies, host, path));
        match self {
            Self::Named(Named { session, access, route, terms }) => {
                let named = named.filter(|(route, _)| is_of(route, access));
                let stream = named.map(|(_, stream)| stream).filter(|stream| !stream.is_empty());
                let (route, terms) = match named {
                    Some((route, _)) => (route, Terms::of(&[route])),
                    None => (*route, *terms),
                };
                Some(Theirs { session: *session, route, terms, stream: stream.map(Into::into) })
            }
            Self::Device(Device { referer }) => {
                let came_from = referer.as_deref().and_then(|path| at(policies, host, path));
                let names =
                    [named.map(|(_, stream)| stream), read.data.cid.as_deref(), came_from.map(|(_, stream)| stream)];
                let open = open(edge, head, names.into_iter().flatten())?;
                // What is of a route that is gone says nothing that may be kept.
                let route = policies.routes.iter().find(|route| *route.name == *open.route)?;
                let stream = Some(open.stream.clone()).filter(|stream| !stream.is_empty());
                Some(Theirs { session: open.id, route, terms: Terms::of(&[route]), stream })
            }
        }
    }
}

/// The session of a device on the first of these streams that it watches, else that in which it asked last.
fn open<'n>(edge: &Edge, head: &Head, mut streams: impl Iterator<Item = &'n str>) -> Option<Arc<OpenSession>> {
    let opener = opener(head);
    let last = edge.stories.open.of(&opener, None)?;
    let of = |stream| edge.stories.open.of(&opener, Some(stream)).filter(|open| *open.stream == *stream);
    Some(streams.find_map(of).unwrap_or(last))
}
