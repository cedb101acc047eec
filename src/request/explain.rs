//! The same walk as a request takes, without doing it: what would happen, and why.

use http::header::HOST;
use http::uri::{Authority, Uri};
use http::{HeaderMap, Method};
use serde::Serialize;
use utoipa::ToSchema;

use crate::clock::Tick;
use crate::config::Playlists;
use crate::live::playlist::Playlist;
use crate::live::state::{Failure, State};

use super::policies::RoutePolicy;
use super::route::{self, Listing, Resource, Target};
use super::{Edge, Head, Protocol, Scheme, Viewer};

/// What the node would do with a GET of a URL.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct Explanation {
    /// The URL as it was understood.
    pub url: String,
    /// The route that serves it; `None`: none does.
    pub route: Option<String>,
    /// What it is: `playlist`, `media` (what a followed playlist names), `plain`, `page` or `answered` by the node
    /// itself; `None`: refused.
    pub class: Option<&'static str>,
    /// Who gets the same answer: `shared` or `per-viewer`.
    pub sharing: Option<&'static str>,
    /// The cache key.
    pub key: Option<String>,
    /// What the key leaves out of the request.
    pub left_out: Vec<String>,
    /// The origins in order of preference.
    pub origin: Option<String>,
    /// What the first origin would be asked for.
    pub origin_url: Option<String>,
    /// Where the lifetime comes from.
    pub lifetime: Option<&'static str>,
    /// Bounds that would apply.
    pub limits: Vec<String>,
    /// What would happen, and why.
    pub verdict: String,
    /// The refusal's word, if it would be refused.
    pub refusal: Option<&'static str>,
}

/// Walks a GET of `url` with these fields. Needs no viewer and asks no origin.
///
/// # Errors
/// What is wrong with the URL.
pub fn explain(edge: &Edge, url: &str, fields: HeaderMap) -> Result<Explanation, &'static str> {
    let head = head(url, fields)?;
    let policies = edge.policies();
    let authority = head.authority.as_deref().unwrap_or_default();
    let mut explanation = Explanation {
        url: format!("{}://{authority}{}", head.scheme.as_str(), url_path(&head)),
        ..Explanation::default()
    };
    let target = route::target(edge, &policies, &head).and_then(|target| match target {
        Target::Playlist(_) | Target::Resource(_) => route::refuse_loops(&policies, &head).map(|()| target),
        Target::Page(_) | Target::Answered(..) => Ok(target),
    });
    match target {
        Err(refusal) => {
            explanation.verdict = format!("refused with {}: {refusal}", refusal.status().as_u16());
            explanation.refusal = Some(refusal.word());
        }
        Ok(Target::Page(_)) => {
            explanation.class = Some("page");
            explanation.verdict = "answered by the node: the path is reserved for its own pages".to_owned();
        }
        Ok(Target::Answered(route, answer)) => {
            explanation.route = Some(route.name.to_string());
            explanation.class = Some("answered");
            explanation.verdict = format!("answered by the node with {}", answer.status);
        }
        Ok(Target::Playlist(listing)) => of_playlist(edge, &listing, &mut explanation),
        Ok(Target::Resource(resource)) => of_resource(edge, (&head, &resource), &mut explanation),
    }
    Ok(explanation)
}

/// What comes from an origin and is no playlist.
fn of_resource(edge: &Edge, (head, resource): (&Head, &Resource<'_>), explanation: &mut Explanation) {
    let route = resource.route;
    explanation.route = Some(route.name.to_string());
    explanation.origin = Some(route.supply.origins.join(", then "));
    explanation.origin_url = Some(route.supply.url(&resource.upstream));
    explanation.limits = vec![
        format!("objects over {} octets pass and are not stored", edge.cache.max_object()),
        format!("request bodies up to {} octets", route.config.max_body),
    ];
    let said = if !route::is_shareable(head) {
        explanation.class = Some("plain");
        explanation.sharing = Some("per-viewer");
        "passed to the origin for this viewer alone, for it carries Authorization".to_owned()
    } else {
        of_plain(edge, (head, resource), explanation)
    };
    explanation.verdict = format!("{said}; {}", because(route));
}

fn of_plain(edge: &Edge, (head, resource): (&Head, &Resource<'_>), explanation: &mut Explanation) -> String {
    explanation.class = Some("plain");
    explanation.sharing = Some("shared");
    explanation.key = Some(resource.key.as_str().to_owned());
    explanation.left_out =
        ["the viewer's scheme, host and address", "Cookie", "Origin", "fields that Vary does not name"]
            .map(str::to_owned)
            .into();
    explanation.lifetime = Some("the origin's Weir-Cache-Control, CDN-Cache-Control, Cache-Control or Expires");
    let now = edge.clock.now();
    match edge.cache.peek(&resource.key, &head.headers) {
        None => "fetched once for all who ask: nothing is stored".to_owned(),
        Some(object) => format!(
            "{} of {} octets is stored, {} s old and fresh for {} s",
            object.head.status,
            object.length(),
            object.head.lifetime.age_seconds(now),
            object.head.lifetime.ttl(now)
        ),
    }
}

/// Why a route serves it.
fn because(route: &RoutePolicy) -> String {
    let hosts = if route.config.hosts.is_empty() { "any".to_owned() } else { route.config.hosts.join(", ") };
    format!("the first route whose host ({hosts}) and path ({}) match", route.config.path)
}

fn of_playlist(edge: &Edge, listing: &Listing<'_>, explanation: &mut Explanation) {
    let route = listing.route;
    explanation.route = Some(route.name.to_string());
    explanation.class = Some("playlist");
    explanation.key = Some(listing.located.key.as_str().to_owned());
    explanation.left_out =
        ["everything that names the viewer", "delivery directives (_HLS_…)"].map(str::to_owned).into();
    if listing.dropped > 0 {
        let kept = route.config.query_keep.join(", ");
        let kept = if kept.is_empty() { "nothing" } else { &kept };
        explanation.left_out.push(format!(
            "{} query parameter(s) that no playlist writes and no packager uses; `query.keep` names {kept}",
            listing.dropped
        ));
    }
    explanation.origin = Some(route.supply.origins.join(", then "));
    explanation.origin_url = Some(route.supply.url(&listing.located.upstream));
    explanation.lifetime = Some("the stream itself: a version lasts until the next one");
    let now = edge.clock.now();
    let playlist = edge.live.find(&listing.located.key);
    let state = match (route.config.playlists, &playlist) {
        (Playlists::PerViewer, _) => "passed on for each viewer, for the route says so".to_owned(),
        (_, None) => {
            "nobody watches it: it will be asked for once for all who ask, and followed if it is live".to_owned()
        }
        (_, Some(playlist)) => state(playlist, now),
    };
    let is_one_viewers = route.config.playlists == Playlists::PerViewer
        || playlist.is_some_and(|playlist| matches!(*playlist.state(), State::PerViewer));
    explanation.sharing = Some(if is_one_viewers { "per-viewer" } else { "shared" });
    explanation.verdict = match listing.directives {
        Ok(_) => format!("{state}; {}", because(route)),
        Err(bad) => format!("refused with 400 unless it has ended: {bad}; {state}; {}", because(route)),
    };
}

/// What a playlist is now.
fn state(playlist: &Playlist, now: Tick) -> String {
    let waiting = playlist.parking.waiting();
    match &*playlist.state() {
        State::Asked => format!("the origin is being asked for it; {waiting} wait"),
        State::Media(edition) => {
            let frontier = &edition.published.frontier;
            let kind = if frontier.is_ended { "it has ended" } else { "followed live, shared by all viewers" };
            let age = now.since(playlist.current()).as_secs();
            format!("{kind}; its next position is {}, it is {age} s old, {waiting} wait for more", frontier.next)
        }
        State::Multivariant(document) => format!(
            "a multivariant playlist of {} renditions, shared by all viewers, {} s old",
            document.multivariant.renditions.len(),
            now.since(document.at).as_secs()
        ),
        State::PerViewer => "passed on for each viewer, for the origin says that it is one viewer's".to_owned(),
        State::Failed(failure) => match failure {
            Failure::Status(status, _) => format!("the origin answered with {}", status.as_u16()),
            Failure::NoPlaylist(why) => format!("what the origin sent is no playlist: {why}"),
            Failure::Fetch(error) => format!("the origin cannot be asked: {error}"),
            Failure::Stale => "the origin has published nothing for too long".to_owned(),
            Failure::Gone => "it is no longer followed, and will be asked for anew".to_owned(),
        },
    }
}

fn url_path(head: &Head) -> String {
    match &head.query {
        Some(query) => format!("{}?{query}", head.path),
        None => head.path.clone(),
    }
}

/// The head of a GET of `url`; a bare path is asked of the host that the fields name, else of any.
pub(super) fn head(url: &str, mut fields: HeaderMap) -> Result<Head, &'static str> {
    let uri: Uri = url.parse().map_err(|_| "the URL cannot be read: write https://HOST/PATH or /PATH")?;
    let scheme = match uri.scheme_str() {
        Some("https") => Scheme::Https,
        Some("http") | None => Scheme::Http,
        Some(_) => return Err("the URL's scheme is neither http nor https"),
    };
    let path = if uri.path().is_empty() { "/" } else { uri.path() };
    if !path.starts_with('/') {
        return Err("the URL's path does not begin with /");
    }
    let host = fields.remove(HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let authority = uri.authority().or(host.as_ref());
    let nobody = ([0, 0, 0, 0], 0).into();
    Ok(Head {
        method: Method::GET,
        scheme,
        authority: authority.map(|authority| authority.as_str().to_ascii_lowercase()),
        path: path.to_owned(),
        query: uri.query().map(str::to_owned),
        headers: fields,
        viewer: Viewer { peer: nobody, address: nobody },
        protocol: Protocol::Http11,
        received: Tick::default(),
    })
}
