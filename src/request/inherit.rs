//! How what a document names inherits its viewer's right to it: the one document that was asked for with a token is
//! written for its viewer as it is sent, so that every URI of it carries the session. What lies below inherits by
//! relative references, and stays the same for all viewers.
//!
//! Only what the session opens is changed: advertisements and licence servers elsewhere never see it.

use std::borrow::Cow;

use http::header::{CACHE_CONTROL, LOCATION, REFERRER_POLICY, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::config::access::Inherit;
use crate::rules::hls::playlist::Definition;
use crate::rules::hls::rewrite::{resolve, rewrite_all};
use crate::rules::hls::variables::Variables;
use crate::rules::session::{SessionId, support_code};
use crate::rules::timeline::event::Kind as Asked;
use crate::rules::token::Rejection;
use crate::rules::token::carrier::{self, Kind, Place};

use super::authorize::Admission;
use super::policies::Gating;
use super::route::Resource;
use super::witness::Witness;
use super::{Head, Scheme};

const WEIR_SESSION: HeaderName = HeaderName::from_static("weir-session");
const WEIR_SUPPORT_CODE: HeaderName = HeaderName::from_static("weir-support-code");

/// How one document is written for its viewer.
pub struct Inheritance<'a> {
    gated: &'a Gating,
    /// The public target of the document.
    own: &'a str,
    /// What the viewer calls the edge.
    viewer: Option<&'a str>,
    /// The session.
    session: Cow<'a, str>,
    /// Whether it was asked for below a carrier in its path, where relative references would stay.
    place: Place,
    variables: Variables,
}

impl<'a> Inheritance<'a> {
    /// How the document `resource` is written for the one who asks for it; `None`: as it is for all. `definitions` are
    /// its variables.
    ///
    /// # Errors
    /// Where what the session covers does not fit in a URI.
    pub fn of<'d>(
        head: &'a Head,
        resource: &'a Resource<'_>,
        definitions: impl IntoIterator<Item = &'d Definition>,
        imported: &Variables,
    ) -> Result<Option<Self>, Rejection> {
        let (Some(admission), Some(gated)) = (&resource.admission, &resource.route.gated) else { return Ok(None) };
        if !rewrites(gated, admission) {
            return Ok(None);
        }
        let own = resource.target.as_str();
        let query = own.split_once('?').map(|(_, query)| query);
        Ok(Some(Self {
            gated,
            own,
            viewer: head.authority.as_deref(),
            session: admission.sealed()?,
            place: admission.how.1,
            variables: Variables::of(definitions, query, imported),
        }))
    }

    /// The document as its viewer gets it.
    pub fn write<'t>(&self, text: &'t str) -> Cow<'t, str> {
        rewrite_all(text, |uri| self.uri(uri))
    }

    fn uri(&self, written: &str) -> Option<String> {
        let uri = self.variables.replace(written).filter(|uri| !uri.is_empty())?;
        let local = self.gated.reach.local(&uri, self.viewer);
        let target = resolve(self.own, local.unwrap_or(&uri))?;
        let inherited = match self.gated.access.inherit {
            Inherit::Query => self.gated.reach.covers(&target).then(|| with_session(&target, &self.session)),
            Inherit::Path | Inherit::Cookie | Inherit::None => {
                self.gated.reach.in_session(&target, &self.session, self.gated.access.carrier_position)
            }
        };
        // What the session does not open must not stay below the token either.
        inherited.or_else(|| (local.is_none() && self.place == Place::Path).then_some(target))
    }
}

/// Whether documents are written for this viewer.
fn rewrites(gated: &Gating, admission: &Admission) -> bool {
    let is_below = admission.how == (Kind::Session, Place::Path);
    match gated.access.inherit {
        Inherit::Path | Inherit::Query => !is_below,
        Inherit::Cookie | Inherit::None => false,
    }
}

fn with_session(target: &str, session: &str) -> String {
    let joint = if target.contains('?') { '&' } else { '?' };
    format!("{target}{joint}{}={session}", carrier::SESSION)
}

/// A document that was written for its viewer is nobody else's.
pub fn is_private(headers: &mut HeaderMap) {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
}

/// What viewers of a gated playlist are told beside it: their session, and that nobody else is to hear of its URL. In a
/// cookie, the session itself.
///
/// # Errors
/// Where what the session covers does not fit in a cookie.
pub fn tell(head: &Head, resource: &Resource<'_>, headers: &mut HeaderMap) -> Result<(), Rejection> {
    let (Some(admission), Some(gated)) = (&resource.admission, &resource.route.gated) else { return Ok(()) };
    name(&admission.session.id(), headers);
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    let has_it = admission.how.0 == Kind::Session && matches!(admission.how.1, Place::Cookie | Place::Path);
    if gated.access.inherit == Inherit::Cookie && !has_it {
        let folder = gated.reach.front(&resource.target).filter(|front| !front.is_empty()).unwrap_or("/");
        let session = admission.sealed()?;
        // A browser takes SameSite=None over TLS alone.
        let rest = match head.scheme {
            Scheme::Https => "Secure; HttpOnly; SameSite=None",
            Scheme::Http => "HttpOnly",
        };
        let cookie = format!("{}={session}; Path={folder}; {rest}", carrier::SESSION);
        if let Ok(cookie) = HeaderValue::try_from(cookie) {
            headers.append(SET_COOKIE, cookie);
            is_private(headers);
        }
    }
    Ok(())
}

/// What viewers of an open stream are told beside a playlist: the session that the node has opened for them.
pub fn tell_open(witness: &Witness, headers: &mut HeaderMap) {
    if witness.watcher().open.is_some() && matches!(witness.kind(), Asked::Multivariant | Asked::Playlist) {
        name(&witness.watcher().session, headers);
    }
}

/// The session, and what is said of it on the phone.
fn name(id: &SessionId, headers: &mut HeaderMap) {
    let text = |text: String| HeaderValue::try_from(text).expect("letters and digits are a field value");
    headers.insert(WEIR_SESSION, text(id.to_string()));
    headers.insert(WEIR_SUPPORT_CODE, text(support_code(id)));
}

/// What is sent to a viewer whose URL does not name it is not for caches below: they would give it to the next one.
pub fn keep_from_others(admission: &Admission, headers: &mut HeaderMap) {
    if admission.how.1.is_in_url() {
        return;
    }
    let said = headers.get(CACHE_CONTROL).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !said.contains("private") && !said.contains("no-store") {
        let value = if said.is_empty() { "private".to_owned() } else { format!("private, {said}") };
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(CACHE_CONTROL, value);
        }
    }
}

/// A redirect to what the session opens leads there in the session, where the viewer's URLs carry it.
pub fn relocate(head: &Head, gated: &Gating, admission: &Admission, headers: &mut HeaderMap) {
    let Some(location) = headers.get(LOCATION).and_then(|location| location.to_str().ok()) else { return };
    let Some(local) = gated.reach.local(location, head.authority.as_deref()) else { return };
    let Ok(session) = admission.sealed() else { return };
    let target = match (gated.access.inherit, admission.how) {
        (Inherit::Path, _) | (_, (Kind::Session, Place::Path)) => {
            gated.reach.in_session(local, &session, gated.access.carrier_position)
        }
        (Inherit::Query, _) => gated.reach.covers(local).then(|| with_session(local, &session)),
        (Inherit::Cookie | Inherit::None, _) => None,
    };
    if let Some(target) = target.and_then(|target| HeaderValue::try_from(target).ok()) {
        headers.insert(LOCATION, target);
    }
}
