//! What goes down on the node's way, and what comes back: origins, playlists, the keys of issuers, backends. Looked at once
//! a second, and told to the timeline when it changes; who tells of himself is not told of here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::access::webhooks::Attempt;
use crate::live::figures::Late;
use crate::request::{Edge, Policies};
use crate::rules::timeline::event::{Entry, Event, NodeChange};
use crate::rules::upstream::health::Standing;
use crate::stories::millis;

use super::super::Shared;

/// Between two looks.
const PERIOD: Duration = Duration::from_secs(1);

/// Parts that are told of at once, at most.
const MOST: usize = 1_000;

/// Routes of an origin that are told with it: a line has no room for any number of them.
const MOST_ROUTES: usize = 64;

/// What it is that goes down and comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Sort {
    Origin,
    Playlist,
    Keys,
    Webhook,
}

impl Sort {
    /// The words of its going and of its coming back.
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Origin => ("origin-down", "origin-up"),
            Self::Playlist => ("playlist-late", "playlist-again"),
            Self::Keys => ("keys-unavailable", "keys-available"),
            Self::Webhook => ("webhook-down", "webhook-up"),
        }
    }
}

/// One part: what it is, and what it is called.
type Part = (Sort, String);

/// What is said of a part that is down.
#[derive(Clone, Debug, Default, PartialEq)]
struct Down {
    detail: Option<String>,
    route: Option<Arc<str>>,
    stream: Option<Arc<str>>,
    /// The routes that may ask it.
    routes: Vec<Arc<str>>,
    /// Those of them that have no other.
    only_for: Vec<Arc<str>>,
}

/// Looks for as long as the node runs.
pub(in crate::node) async fn keep(shared: Arc<Shared>) {
    let mut before = BTreeMap::new();
    loop {
        shared.clock.sleep(PERIOD).await;
        let now = down(&shared.edge);
        for (part, down, word) in changes(&before, &now) {
            tell(&shared.edge, (part, word), down.clone());
        }
        before = now;
    }
}

fn tell(edge: &Edge, ((_, of), what): (&Part, &'static str), down: Down) {
    let Down { detail, route, stream, routes, only_for } = down;
    let of = Some(of.as_str().into());
    let event = Event::Node(NodeChange { what: what.into(), of, detail: detail.map(Into::into), routes, only_for });
    edge.stories.tell(Entry { at: millis(edge.clock.wall()), session: None, route, stream, event });
}

/// What has gone down since, and what has come back.
fn changes<'a>(
    before: &'a BTreeMap<Part, Down>,
    now: &'a BTreeMap<Part, Down>,
) -> impl Iterator<Item = (&'a Part, Down, &'static str)> {
    let gone = now.iter().filter(|(part, _)| !before.contains_key(part));
    let gone = gone.map(|(part, down)| (part, down.clone(), part.0.words().0));
    let back = before.iter().filter(|(part, _)| !now.contains_key(part));
    // What was wrong with it is no news any more.
    let back = back.map(|(part, down)| (part, Down { detail: None, ..down.clone() }, part.0.words().1));
    gone.chain(back)
}

/// What is down now.
fn down(edge: &Edge) -> BTreeMap<Part, Down> {
    let policies = edge.policies();
    let parts = origins(&policies).chain(playlists(edge, &policies)).chain(keys(edge)).chain(webhooks(edge));
    parts.take(MOST).collect()
}

fn origins(policies: &Policies) -> impl Iterator<Item = (Part, Down)> {
    policies.origins.snapshot().into_iter().filter_map(|origin| {
        let detail = match origin.standing {
            Standing::Resting(cause) => Some(cause.word().to_owned()),
            // It is away until a trial has shown otherwise.
            Standing::OnTrial => None,
            Standing::Well | Standing::Returning => return None,
        };
        let (routes, only_for) = routes(policies, &origin.name);
        Some(((Sort::Origin, origin.name.to_string()), Down { detail, routes, only_for, ..Down::default() }))
    })
}

/// The routes that may ask an origin, and those of them that have no other; none, where there are too many to tell.
fn routes(policies: &Policies, origin: &str) -> (Vec<Arc<str>>, Vec<Arc<str>>) {
    let all = policies.routes.iter().map(|policy| (&policy.name, &policy.supply.origins));
    let asking: Vec<_> = all.filter(|(_, origins)| origins.iter().any(|name| name == origin)).collect();
    if asking.len() > MOST_ROUTES {
        return <_>::default();
    }
    let only = asking.iter().filter(|(_, origins)| origins.len() == 1);
    (asking.iter().map(|(name, _)| (*name).clone()).collect(), only.map(|(name, _)| (*name).clone()).collect())
}

fn playlists<'p>(edge: &Edge, policies: &'p Policies) -> impl Iterator<Item = (Part, Down)> + 'p {
    edge.live.late().into_iter().map(|Late { route, path }| {
        let policy = policies.routes.iter().find(|policy| policy.name == route);
        let stream = policy.map(|policy| policy.stream(&path)).filter(|stream| !stream.is_empty()).map(Into::into);
        ((Sort::Playlist, path), Down { route: Some(route), stream, ..Down::default() })
    })
}

fn keys(edge: &Edge) -> impl Iterator<Item = (Part, Down)> {
    edge.accesses.figures().into_iter().filter_map(|access| {
        let trouble = access.issuers.into_iter().find(|issuer| issuer.keys.is_empty() || issuer.trouble.is_some())?;
        let detail = Some(if trouble.keys.is_empty() { "there is none" } else { "they cannot be fetched again" });
        Some(((Sort::Keys, access.name.to_string()), Down { detail: detail.map(str::to_owned), ..Down::default() }))
    })
}

fn webhooks(edge: &Edge) -> impl Iterator<Item = (Part, Down)> {
    edge.webhooks.figures().into_iter().filter_map(|hook| {
        let last = hook.last.filter(|last| *last != Attempt::Taken)?;
        let detail = Some(last.word().to_owned());
        Some(((Sort::Webhook, hook.access.to_string()), Down { detail, ..Down::default() }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_down_is_told_once_and_once_more_when_it_is_back() {
        let of = |names: &[&str]| -> BTreeMap<Part, Down> {
            let down = |name: &&str| ((Sort::Origin, (*name).to_owned()), Down::default());
            names.iter().map(down).collect()
        };
        let told = |before: &[&str], now: &[&str]| -> Vec<_> {
            let (before, now) = (of(before), of(now));
            changes(&before, &now).map(|((_, name), _, word)| (name.clone(), word)).collect()
        };
        assert_eq!(told(&[], &["a"]), [("a".to_owned(), "origin-down")]);
        assert_eq!(told(&["a"], &["a"]), []);
        assert_eq!(told(&["a"], &["b"]), [("b".to_owned(), "origin-down"), ("a".to_owned(), "origin-up")]);
    }
}
