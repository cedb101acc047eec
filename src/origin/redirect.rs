//! Redirects that the node follows: of GET and HEAD, to declared origins alone, so many hops at most. Each hop is asked
//! with what belongs to the origin that is asked: its Host, fields, credentials, cookies. Whatever is not followed is
//! the answer, and its reader decides what it means.

use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, COOKIE, LOCATION};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, StatusCode};

use super::answer::Answer;
use super::ask::Ask;
use super::course::Course;
use super::failure::FetchError;
use super::{Group, Origins, Upstream, fetch};
use crate::config::{HostHeader, OriginScheme};
use crate::rules::hls::rewrite;
use crate::rules::uri::{Strictness, Target};
use crate::tasks::Tasks;

/// Whether a status says that what was asked for is elsewhere (RFC 9110 §15.4).
pub const fn is_one(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// What is needed to ask again elsewhere.
pub(super) struct Trail {
    method: Method,
    target: PathAndQuery,
    headers: HeaderMap,
    viewer_authority: Option<String>,
    first_byte: Option<Duration>,
    course: Course,
}

/// Where a redirect leads.
struct Destination {
    upstream: Arc<Upstream>,
    /// Below its base path.
    target: PathAndQuery,
    url: String,
}

impl Trail {
    /// `None` where no redirect of this request would be followed.
    pub(super) fn of(group: &[Arc<Upstream>], ask: &Ask) -> Option<Self> {
        let follows = group.iter().any(|upstream| upstream.config.redirects > 0);
        let may = matches!(ask.method, Method::GET | Method::HEAD) && ask.body.is_none();
        (follows && may).then(|| Self {
            method: ask.method.clone(),
            target: ask.path_and_query.clone(),
            headers: ask.headers.clone(),
            viewer_authority: ask.viewer_authority.clone(),
            first_byte: ask.first_byte,
            course: ask.course.clone(),
        })
    }

    /// Follows an answer to where it leads, as often as the origin that was asked first allows.
    ///
    /// # Errors
    /// Whatever befell the origin that was asked last.
    pub(super) async fn follow(
        mut self,
        origins: &Origins,
        tasks: &Tasks,
        mut answer: Answer,
    ) -> Result<Answer, FetchError> {
        let Some(mut at) = origins.by_name.get(&answer.origin) else { return Ok(answer) };
        let mut path = format!("{}{}", at.config.base_path, self.target);
        for _ in 0..at.config.redirects {
            if !is_one(answer.status) {
                break;
            }
            let Some(next) = destination(origins, at, &path, &answer.headers) else { break };
            answer.body.unread().await;
            if next.upstream.name != at.name {
                // They were for the first.
                self.headers.remove(AUTHORIZATION);
                self.headers.remove(COOKIE);
            }
            let ask = Ask {
                method: self.method.clone(),
                path_and_query: next.target.clone(),
                headers: self.headers.clone(),
                viewer_authority: self.viewer_authority.clone(),
                body: None,
                first_byte: self.first_byte,
                course: Course { only: None, ..self.course.clone() },
            };
            answer = fetch::fetch(tasks, &Group::alone(&next.upstream), ask).await?;
            answer.found_at = Some(next.url);
            path = format!("{}{}", next.upstream.config.base_path, next.target);
            let Some(known) = origins.by_name.get(&next.upstream.name) else { break };
            at = known;
        }
        Ok(answer)
    }
}

/// The declared origin that a Location leads to, seen from `path` of the origin `at`; its longest base path wins, and
/// `at` itself where two are alike.
fn destination(origins: &Origins, at: &Upstream, path: &str, headers: &HeaderMap) -> Option<Destination> {
    let location = headers.get(LOCATION)?.to_str().ok()?;
    let location = location.split('#').next()?;
    let (scheme, authority, target) = match absolute(location, at.config.scheme) {
        Some((scheme, authority, local)) => {
            let (path, query) = local.split_once('?').map_or((local, None), |(path, query)| (path, Some(query)));
            let path = if path.is_empty() { "/" } else { path };
            (scheme, authority, Target::canonical(path, query, Strictness::Lenient).ok()?.path_and_query())
        }
        None => (at.config.scheme, at.config.authority(), rewrite::resolve(path, location)?),
    };
    let named = origins.by_name.values().filter(|upstream| is_called(upstream, scheme, &authority));
    let below = |upstream: &Arc<Upstream>| {
        let rest = target.strip_prefix(upstream.config.base_path.as_str())?;
        let rest = PathAndQuery::try_from(rest).ok().filter(|_| rest.starts_with('/'))?;
        Some((upstream.clone(), rest))
    };
    let nearest = |(upstream, _): &(Arc<Upstream>, PathAndQuery)| {
        (upstream.config.base_path.len(), upstream.name == at.name, std::cmp::Reverse(upstream.name.clone()))
    };
    let (upstream, rest) = named.filter_map(below).max_by_key(nearest)?;
    let scheme = match scheme {
        OriginScheme::Http => "http",
        OriginScheme::Https => "https",
    };
    Some(Destination { upstream, target: rest, url: format!("{scheme}://{authority}{target}") })
}

/// Scheme, authority (lower case, without the scheme's own port) and the rest of an absolute URI of HTTP, or of one
/// that leaves out the scheme.
fn absolute(uri: &str, own: OriginScheme) -> Option<(OriginScheme, String, &str)> {
    let begins = |with: &str| uri.get(..with.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(with));
    let (scheme, rest) = match () {
        () if begins("http://") => (OriginScheme::Http, &uri["http://".len()..]),
        () if begins("https://") => (OriginScheme::Https, &uri["https://".len()..]),
        () if begins("//") => (own, &uri["//".len()..]),
        () => return None,
    };
    let (authority, local) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let port = if scheme == OriginScheme::Http { ":80" } else { ":443" };
    Some((scheme, authority.strip_suffix(port).unwrap_or(authority).to_ascii_lowercase(), local))
}

/// An origin is called by its URL's authority, and by the Host that it is told.
fn is_called(upstream: &Upstream, scheme: OriginScheme, authority: &str) -> bool {
    let config = &upstream.config;
    let by_host = matches!(&config.host_header, HostHeader::Name(name) if name == authority);
    config.scheme == scheme && (by_host || config.authority() == authority)
}
