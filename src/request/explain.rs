//! The same walk as a request takes, without doing it: what would happen, and why.

use std::sync::Arc;

use http::uri::{Authority, Uri};
use http::{HeaderMap, Method, header};
use serde::Serialize;
use utoipa::ToSchema;

use crate::clock::Tick;
use crate::config::reports::Cmcd;
use crate::config::{Keys, LiveMode, Playlists};
use crate::live::media::{Kind, Named};
use crate::live::playlist::Playlist;
use crate::live::state::{Failure, State};
use crate::origin::peers::Owner;
use crate::outbound::interim::Interims;
use crate::rules::caching::Key;
use crate::rules::hls::directives::Directives;
use crate::rules::qoe::cmcd;
use crate::rules::token::Rejection;
use crate::rules::token::carrier::{self, Presented};
use crate::rules::upstream::health::Standing;

use super::asked::{self, Asking};
use super::authorize::{self, Denied, Use};
use super::held::{self, Judge, Stored};
use super::route::{self, Entered, Resource, Target};
use super::{Caller, Edge, Head, Line, Notes, Protocol, Proxy, Refusal, Scheme, Viewer, cached};

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
    /// Parameters of the query that nothing keeps: neither in the key nor asked for upstream.
    pub dropped: Vec<String>,
    /// The delivery directives (RFC 8216bis §6.2.5) that were found in the query.
    pub directives: Option<String>,
    /// Why it is what it is.
    pub because: Option<&'static str>,
    /// The origins in order of preference, and how each is.
    pub origin: Option<String>,
    /// Which node of the region asks the origin: `this node`, or another one that is asked; `None`: there is no other.
    pub owner: Option<String>,
    /// What the first origin would be asked for.
    pub origin_url: Option<String>,
    /// What is particular about those origins: signatures, cookies, redirects, what counts as absent.
    pub origin_terms: Vec<String>,
    /// Where the lifetime comes from.
    pub lifetime: Option<&'static str>,
    /// What is stored under the key, and what is under way.
    pub stored: Stored,
    /// Bounds that would apply.
    pub limits: Vec<String>,
    /// What would happen, and why.
    pub verdict: String,
    /// The refusal's word, if it would be refused.
    pub refusal: Option<&'static str>,
    /// What the route's access says; `None`: it is open to all.
    pub access: Option<AccessTold>,
}

/// What an access says of a request.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct AccessTold {
    /// The access.
    pub name: String,
    /// What was found and cut before anything else looked at the request, with where it was; redacted.
    pub cut: Vec<String>,
    /// What the token or the session comes to.
    pub verdict: String,
    /// The session that the request would be of.
    pub session: Option<String>,
}

/// Walks a GET of `url` with these fields. Needs no viewer and asks no origin.
///
/// # Errors
/// What is wrong with the URL.
pub fn explain(edge: &Edge, url: &str, fields: HeaderMap) -> Result<Explanation, &'static str> {
    let mut head = head(url, fields)?;
    let policies = edge.policies();
    let entered = route::enter(&policies, &mut head);
    let head = head;
    let site = head.authority.as_ref().map(|authority| format!("{}://{authority}", head.scheme.as_str()));
    let mut explanation =
        Explanation { url: format!("{}{}", site.unwrap_or_default(), url_path(&head)), ..Explanation::default() };
    explanation.route = entered.route.map(|route| route.name.to_string());
    let Entered { target, presented, said, .. } = entered;
    let presented = presented.unwrap_or_default();
    let target = target.and_then(|target| match target {
        Target::Resource(_) => route::refuse_loops(&policies, &head).map(|()| target),
        Target::Beacon(_) | Target::Page(_) | Target::Answered(_) => Ok(target),
    });
    match target {
        Err(refusal) => {
            explanation.verdict = format!("refused with {}: {refusal}", refusal.status().as_u16());
            explanation.refusal = Some(refusal.word());
        }
        Ok(Target::Beacon(_)) => {
            explanation.class = Some("beacon");
            explanation.verdict = "taken by the node: the path is reserved for what players report".to_owned();
        }
        Ok(Target::Page(_)) => {
            explanation.class = Some("page");
            explanation.verdict = "answered by the node: the path is reserved for its own pages".to_owned();
        }
        Ok(Target::Answered(answer)) => {
            explanation.class = Some("answered");
            explanation.verdict = format!("answered by the node with {}", answer.status);
        }
        Ok(Target::Resource(resource)) => {
            of_resource(edge, (&head, &resource), &mut explanation);
            if said.is_some() {
                explanation.left_out.push("what the player says of itself (CMCD)".to_owned());
                if resource.route.config.reporting.cmcd == Cmcd::Strip {
                    explanation.dropped.insert(0, cmcd::PARAMETER.to_owned());
                }
            }
            let rejected = of_access(edge, (&head, &resource), &presented, &mut explanation);
            if let Some(rejection) = rejected {
                let refusal = Refusal::Token(rejection);
                explanation.refusal = Some(refusal.word());
                explanation.verdict =
                    format!("refused with {}: {rejection}; else: {}", refusal.status().as_u16(), explanation.verdict);
            }
        }
    }
    Ok(explanation)
}

/// What the access of a gated route makes of what is presented; why it is refused, if it is.
fn of_access(
    edge: &Edge,
    (head, resource): (&Head, &Resource<'_>),
    presented: &Presented,
    told: &mut Explanation,
) -> Option<Rejection> {
    let gated = resource.route.gated.as_ref()?;
    let judged = edge.accesses.gate(&gated.access.name).map(|gate| {
        let judged = authorize::judge(edge, head, (resource, gated), (&gate, presented, Use::Explaining));
        judged.map(|verdict| (verdict.credential.clone(), verdict.grant))
    });
    let carriers = [&presented.first, &presented.second].into_iter().flatten();
    let cut: Vec<_> = carriers.map(|credential| format!("{credential:?}")).collect();
    let (verdict, session, rejected) = match judged {
        None => ("the access is not set up yet".to_owned(), None, None),
        Some(Err(Denied { why: rejection, .. })) => {
            (format!("{}: {rejection}", rejection.reason.word()), None, Some(rejection))
        }
        Some(Ok((credential, grant))) => {
            let ends = grant.ends.map_or_else(|| "when it is idle".to_owned(), |ends| format!("at {ends}"));
            let verdict = format!("accepted, from the {}; its session ends {ends}", credential.place.word());
            (verdict, Some(grant.session.to_string()), None)
        }
    };
    told.left_out.extend(cut.iter().map(|credential| format!("a credential: {credential}")));
    told.access = Some(AccessTold { name: gated.access.name.clone(), cut, verdict, session });
    rejected
}

fn of_resource(edge: &Edge, (head, resource): (&Head, &Resource<'_>), told: &mut Explanation) {
    let route = resource.route;
    told.origin = Some(origins(edge, &route.supply.origins));
    told.origin_url = Some(route.supply.url(&resource.upstream));
    told.origin_terms = origin_terms(edge, &route.supply.origins);
    told.limits = vec![
        format!("objects over {} octets pass and are not stored", edge.cache.max_object()),
        format!("request bodies up to {} octets", route.config.max_body),
    ];
    let because = format!(
        "the first route whose host ({}) and path ({}) match",
        if route.config.hosts.is_empty() { "any".to_owned() } else { route.config.hosts.join(", ") },
        route.config.path
    );
    if !cached::is_shareable(head) {
        told.class = Some("plain");
        told.sharing = Some("per-viewer");
        told.verdict =
            format!("passed to the origin for this viewer alone, for it has conditions of its own; {because}");
        return;
    }
    let asking = match route.config.live {
        LiveMode::Auto if !cached::names_nobody(head) => None,
        LiveMode::Auto => asked::playlist(edge, resource),
        LiveMode::Off => None,
    };
    told.owner = owner(edge, asking.as_ref().map_or(&resource.key, |asking| &asking.key));
    if resource.viewer_authority.is_some() {
        told.left_out = vec!["the viewer's scheme and address".to_owned()];
    }
    let said = match asking.map(|asking| (class(edge, resource, &asking), asking)) {
        Some((Class::Playlist(known), asking)) => of_playlist((resource, &asking), known.as_deref(), told),
        Some((Class::PerViewer(whose), _)) => of_per_viewer(whose, told),
        Some((Class::Media(named), asking)) => of_media(edge, (head, resource, &asking), &named, told),
        Some((Class::Plain, _)) | None => of_plain(edge, (head, resource), told),
    };
    told.verdict = match cached::names_nobody(head) {
        true => format!("{said}; {because}"),
        false => {
            told.sharing = Some("per-viewer");
            format!(
                "{said}; with Authorization only what says public, s-maxage or must-revalidate is shared; {because}"
            )
        }
    };
}

/// Who asks the origin for the region, as far as is known who lives.
fn owner(edge: &Edge, key: &Key) -> Option<String> {
    let policies = edge.policies();
    Some(match policies.origins.peers()?.owner(key) {
        Owner::Own => "this node".to_owned(),
        Owner::Peer(name) => name.to_string(),
    })
}

/// What is particular about origins, in the order in which they are asked.
fn origin_terms(edge: &Edge, names: &[String]) -> Vec<String> {
    let policies = edge.policies();
    let named = names.iter().filter_map(|name| policies.config.origins.iter().find(|origin| origin.name == *name));
    let terms = named.flat_map(|origin| origin.terms().into_iter().map(|term| format!("{} {term}", origin.name)));
    terms.collect()
}

/// What a resource is to the live edge.
enum Class {
    Playlist(Option<Arc<Playlist>>),
    /// A playlist that is one viewer's, as this says.
    PerViewer(&'static str),
    Media(Named),
    Plain,
}

fn class(edge: &Edge, resource: &Resource<'_>, asking: &Asking) -> Class {
    if let Some(named) = edge.live.media.find(&asking.key) {
        return Class::Media(named);
    }
    let path = resource.target.split('?').next().unwrap_or_default();
    let is_one = asked::is_playlist_path(path) || edge.live.knows(&asking.key);
    if is_one && resource.route.config.playlists == Playlists::PerViewer {
        return Class::PerViewer("the route");
    }
    if edge.live.is_per_viewer(&asking.key) {
        return Class::PerViewer("the origin");
    }
    match edge.live.find(&asking.key) {
        None if !is_one => Class::Plain,
        known => Class::Playlist(known),
    }
}

fn of_playlist(
    (resource, asking): (&Resource<'_>, &Asking),
    known: Option<&Playlist>,
    told: &mut Explanation,
) -> String {
    let state = known.map(Playlist::state);
    told.class = Some("playlist");
    told.sharing = Some("shared");
    told.lifetime = Some("until its next version");
    told.because = Some("its path ends like a playlist's, or it has turned out to be one");
    leave_out((resource, asking), told);
    told.key = Some(asking.key.as_str().to_owned());
    told.origin_url = Some(resource.route.supply.url(&asking.upstream));
    told.limits = vec!["a reload is held for three target durations, then refused with 503".to_owned()];
    match state.as_deref() {
        None => "asked for once, and followed for all who watch: nobody does now".to_owned(),
        Some(State::Asked) => "shared by all who wait for it: the origin has just been asked".to_owned(),
        Some(State::Media(edition)) => {
            let frontier = &edition.published.frontier;
            let reloads = match (&asking.directives, frontier.is_ended) {
                (_, true) => "it has ended".to_owned(),
                (Err(bad), false) => format!("refused with 400, for {bad}"),
                (Ok(_), false) => "reloads for what is not there yet are held".to_owned(),
            };
            format!("answered from what is followed, whose next position is {}: {reloads}", frontier.next)
        }
        Some(State::Multivariant(_)) => "answered from memory: a multivariant playlist".to_owned(),
        Some(State::PerViewer) => "passed to the origin for each viewer".to_owned(),
        Some(State::Failed(failure)) => format!("refused until the origin has recovered: {}", fault(failure)),
    }
}

fn of_per_viewer(whose: &str, told: &mut Explanation) -> String {
    told.class = Some("playlist");
    told.sharing = Some("per-viewer");
    told.because = Some("each viewer has one of their own");
    told.lifetime = Some("none: it is not stored");
    format!(
        "passed to the origin for each viewer, with query, cookies, User-Agent and address, and not stored: {whose} \
         says that each gets their own"
    )
}

fn fault(failure: &Failure) -> String {
    match failure {
        Failure::Status(status, _) => format!("it answered with {status}"),
        Failure::NoPlaylist(why) => format!("what it sent is no playlist: {why}"),
        Failure::Fetch(error) => error.to_string(),
        Failure::Gone => "it is no longer followed, and will be asked anew".to_owned(),
    }
}

fn of_media(
    edge: &Edge,
    (head, resource, asking): (&Head, &Resource<'_>, &Asking),
    named: &Named,
    told: &mut Explanation,
) -> String {
    told.class = Some("media");
    told.because = Some("a followed playlist names it");
    told.key = Some(named.key.as_str().to_owned());
    told.origin_url = Some(resource.route.supply.url(&asking.upstream));
    told.lifetime = Some("as long as a playlist can name it, whatever the origin says");
    leave_out((resource, asking), told);
    let kind = match named.kind {
        Kind::Init => "an initialisation section",
        Kind::Segment => "a segment",
        Kind::Part => "a part",
        Kind::Growing => "a segment that still grows",
        Kind::DecryptionKey => "a decryption key",
    };
    if named.kind == Kind::DecryptionKey && resource.route.config.keys == Keys::NoStore {
        told.sharing = Some("per-viewer");
        return "a decryption key of a followed playlist: fetched anew for each viewer, and not stored".to_owned();
    }
    told.sharing = Some("shared");
    let now = edge.clock.now();
    let judge = Judge {
        freshness: &|head| named.freshness(head, now),
        lifetime: Some("the stream's word: as long as a playlist can name it"),
        left: i64::try_from(named.left(now).as_secs()).ok(),
    };
    told.stored = held::under(&edge.cache, (&named.name, &head.headers), &judge, now);
    let stored = edge.cache.peek(&named.key, &HeaderMap::new());
    let what = match stored {
        Some(object) => format!("all {} octets are stored", object.length()),
        None => "fetched once for all who ask".to_owned(),
    };
    format!("{kind} of a followed playlist: {what}")
}

fn of_plain(edge: &Edge, (head, resource): (&Head, &Resource<'_>), told: &mut Explanation) -> String {
    told.class = Some("plain");
    told.sharing = Some("shared");
    told.key = Some(resource.key.as_str().to_owned());
    told.because = Some(match resource.route.config.live {
        LiveMode::Off => "the route knows no playlists",
        LiveMode::Auto => "it is no playlist, and none that is followed names it",
    });
    let never = NEVER_IN_A_KEY.map(str::to_owned);
    told.left_out.extend(never.into_iter().skip(told.left_out.len()));
    told.lifetime = Some("the origin's Weir-Cache-Control, CDN-Cache-Control, Cache-Control or Expires");
    let now = edge.clock.now();
    let judge = Judge { freshness: &|head| head.lifetime.freshness(now), lifetime: None, left: None };
    told.stored = held::under(&edge.cache, (&resource.key, &head.headers), &judge, now);
    match edge.cache.peek(&resource.key, &head.headers) {
        None if told.stored.hit_for_miss => {
            "each request asks the origin for itself: what came last was one viewer's alone".to_owned()
        }
        None if !told.stored.fills.is_empty() => "joins what is being fetched".to_owned(),
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

const NEVER_IN_A_KEY: [&str; 4] =
    ["the viewer's scheme, host and address", "Cookie", "Origin", "fields that Vary does not name"];

fn leave_out((resource, asking): (&Resource<'_>, &Asking), told: &mut Explanation) {
    let never = NEVER_IN_A_KEY[..3].iter().map(|what| (*what).to_owned());
    told.left_out.extend(never.skip(told.left_out.len()));
    told.directives = match &asking.directives {
        Ok(directives) if *directives == Directives::default() => None,
        Ok(directives) => Some(directives.to_string()),
        Err(bad) => Some(bad.to_string()),
    };
    if asking.dropped > 0 {
        told.left_out.push(format!("{} parameters of the query that nothing keeps", asking.dropped));
        told.dropped = dropped(&resource.target, &asking.target);
    }
}

/// The names of parameters that `target` has and `kept` has not, directives left out.
fn dropped(target: &str, kept: &str) -> Vec<String> {
    let parameters = |target: &str| -> Vec<String> {
        let query = target.split_once('?').map_or("", |(_, query)| query);
        query.split('&').filter(|parameter| !parameter.is_empty()).map(str::to_owned).collect()
    };
    let kept = parameters(kept);
    let name = |parameter: &String| parameter.split('=').next().unwrap_or_default().to_owned();
    let gone = parameters(target).into_iter().filter(|parameter| !kept.contains(parameter));
    gone.map(|parameter| name(&parameter)).filter(|name| !name.starts_with("_HLS_")).collect()
}

/// The origins in order, and how each is.
fn origins(edge: &Edge, names: &[String]) -> String {
    let policies = edge.policies();
    let figures = policies.origins.snapshot();
    let how = |name: &String| {
        let standing = figures.iter().find(|figures| *figures.name == **name).map(|figures| figures.standing);
        match standing {
            Some(Standing::Well | Standing::Returning) | None => name.clone(),
            Some(_) => format!("{name} (not well)"),
        }
    };
    names.iter().map(how).collect::<Vec<_>>().join(", then ")
}

fn url_path(head: &Head) -> String {
    let path = carrier::loggable_path(&head.path);
    match &head.query {
        Some(query) => format!("{path}?{query}"),
        None => path.into_owned(),
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
    let host = fields.remove(header::HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let authority = uri.authority().or(host.as_ref());
    let nobody = ([0, 0, 0, 0], 0).into();
    Ok(Head {
        method: Method::GET,
        scheme,
        authority: authority.map(|authority| authority.as_str().to_ascii_lowercase()),
        path: path.to_owned(),
        query: uri.query().map(str::to_owned),
        headers: fields,
        caller: Caller::Viewer,
        viewer: Viewer { peer: nobody, address: nobody, proxy: Proxy::None },
        protocol: Protocol::Http11,
        received: Tick::default(),
        interims: Interims::default(),
        notes: Notes::default(),
        line: Line::default(),
    })
}
