//! What an operator wants to be gone, as viewers call it: turned into what stored objects are known by, and carried out
//! in the cache and the live edge alike.

use http::HeaderMap;

use crate::cache::{Act, Purged};
use crate::rules::caching::purge::{LONGEST_TAG, Meant, Selector, Space, Tag};
use crate::rules::uri::{self, Strictness};

use super::policies::RoutePolicy;
use super::route::{self, Target};
use super::{Edge, Head, Policies, Refusal, Scheme, asked, explain};

/// Why nothing was purged.
#[derive(Debug, thiserror::Error)]
pub enum NotPurged {
    /// The URL, prefix, stream or tag cannot be meant.
    #[error("{0}")]
    Nonsense(&'static str),
    /// A viewer would be refused.
    #[error("a viewer would be refused: {0}")]
    Refused(#[from] Refusal),
}

/// What a purge came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// In the cache.
    pub cache: Purged,
    /// Playlists that are fetched anew.
    pub playlists: usize,
}

/// Purges what is meant, or counts what a purge would cover.
///
/// # Errors
/// [`NotPurged`].
pub fn purge(edge: &Edge, meant: &Meant, act: Act) -> Result<Outcome, NotPurged> {
    let selector = selector(edge, &edge.policies(), meant)?;
    // Playlists go first: what is fetched for a new one is asked for after the old ones went, and the objects that an
    // old one still asks for are withdrawn.
    let playlists = edge.live.purge(&selector, act);
    Ok(Outcome { cache: edge.cache.purge(&selector, act), playlists })
}

fn selector(edge: &Edge, policies: &Policies, meant: &Meant) -> Result<Selector, NotPurged> {
    match meant {
        Meant::All => Ok(Selector::All),
        Meant::Url(url) => of_url(edge, policies, url),
        Meant::Prefix(prefix) => of_prefix(policies, prefix),
        Meant::Stream(name) if name.is_empty() || name.contains('/') => Err(NotPurged::Nonsense(
            "a stream is named by one segment of its path, as /status lists it; for a folder use `prefix`",
        )),
        Meant::Stream(name) => {
            let spaces = policies.routes.iter().map(RoutePolicy::space).collect();
            Ok(Selector::Stream(name.clone(), spaces))
        }
        Meant::Tag(tag) => match Tag::of(tag.as_bytes()) {
            Some(tag) => Ok(Selector::Tag(tag)),
            None if tag.len() > LONGEST_TAG => Err(NotPurged::Nonsense("a tag has at most 1,024 octets")),
            None => Err(NotPurged::Nonsense("name the tag, as the origin writes it in Cache-Tag or Surrogate-Key")),
        },
    }
}

/// A URL is walked as a viewer's request is: it may name the object that its whole query makes, and the one that is left
/// of it where a playlist has a word in it.
fn of_url(edge: &Edge, policies: &Policies, url: &str) -> Result<Selector, NotPurged> {
    let head = explain::head(url, HeaderMap::new()).map_err(NotPurged::Nonsense)?;
    // Viewers who come without TLS may only be told to use it.
    let mut head = Head { scheme: Scheme::Https, ..head };
    let Target::Resource(resource) = route::enter(policies, &mut head).target? else {
        return Err(NotPurged::Nonsense("the node itself answers this URL: nothing of it is stored"));
    };
    let as_listed = asked::playlist(edge, &resource).map(|asking| asking.key);
    let mut keys = vec![resource.key];
    keys.extend(as_listed.filter(|key| *key != keys[0]));
    Ok(Selector::Objects(keys))
}

fn of_prefix(policies: &Policies, prefix: &str) -> Result<Selector, NotPurged> {
    let head = explain::head(prefix, HeaderMap::new()).map_err(NotPurged::Nonsense)?;
    let target = uri::Target::canonical(&head.path, head.query.as_deref(), Strictness::Lenient);
    let target = target.map_err(Refusal::BadTarget)?.path_and_query();
    let is_meant = |route: &&RoutePolicy| head.authority.is_none() || route.serves_host(head.host());
    let spaces: Vec<Space> = policies.routes.iter().filter(is_meant).map(RoutePolicy::space).collect();
    if spaces.is_empty() {
        return Err(NotPurged::Nonsense("no route serves this host; `weir status` lists the routes"));
    }
    Ok(Selector::Prefix(target, spaces))
}
