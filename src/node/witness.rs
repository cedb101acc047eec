//! What becomes of sessions, and of the node itself, is told to the timeline.

mod changes;

use std::sync::Arc;

use parking_lot::Mutex;

use crate::config::Config;
use crate::origin::Concern;
use crate::request::Edge;
use crate::rules::session::SessionId;
use crate::rules::timeline::event::{Ended, Entry, Event, Fetch, Lost, Verdict};
use crate::rules::token::Reason;
use crate::sessions::{self, Session};
use crate::stories::{Stories, millis};
use crate::telemetry::metrics::Family;

use super::{Node, Shared};

/// Tells the end of sessions.
struct Teller(Arc<Stories>);

/// Lines of failed or slow requests to origins within one second; the rest is counted.
const FETCHES: u64 = 64;

/// From now on the ends of sessions are told, where stories are at all, and requests to origins that failed or took long.
pub(super) fn tell_of(edge: &Arc<Edge>, config: &Config) {
    let stories = &edge.stories;
    stories.node("started", None, Some(concat!("weir ", env!("CARGO_PKG_VERSION"))));
    if config.qoe.enabled {
        edge.sessions.tell(Arc::new(Teller(stories.clone())));
        // The edge has the origins: whoever hears them does not keep it.
        let (theirs, fetches) = (Arc::downgrade(edge), Mutex::default());
        edge.policies().origins.hear(Arc::new(move |fetch, concern| {
            let Some(edge) = theirs.upgrade() else { return };
            let place = concern.map(|concern| place(&edge, concern)).unwrap_or_default();
            Fetches::tell(&fetches, &edge.stories, (fetch, place));
        }));
    }
}

/// Of which route and stream something is.
type Place = (Option<Arc<str>>, Option<Arc<str>>);

/// What a request to an origin was for, in the words of stories.
fn place(edge: &Edge, Concern { route, path }: &Concern) -> Place {
    let policies = edge.policies();
    let policy = policies.routes.iter().find(|policy| policy.name == *route);
    let stream = policy.map(|policy| policy.stream(path)).filter(|stream| !stream.is_empty());
    (Some(route.clone()), stream.map(Into::into))
}

/// How many were told this second.
#[derive(Default)]
struct Fetches {
    second: u64,
    told: u64,
}

impl Fetches {
    fn tell(this: &Mutex<Self>, stories: &Stories, (fetch, (route, stream)): (Fetch, Place)) {
        let at = millis(stories.clock().wall());
        let mut this = this.lock();
        let lost = if this.second == at / 1_000 { 0 } else { std::mem::take(&mut this.told).saturating_sub(FETCHES) };
        this.second = at / 1_000;
        this.told += 1;
        let is_told = this.told <= FETCHES;
        drop(this);
        if lost > 0 {
            let event = Event::Lost(Lost { reason: "fetches".into(), count: lost });
            stories.tell(Entry { at, session: None, route: None, stream: None, event });
        }
        if is_told {
            stories.tell(Entry { at, session: None, route, stream, event: Event::Fetch(Box::new(fetch)) });
        }
    }
}

/// Starts what looks at how the node's surroundings change, until it has stopped.
pub(super) fn keep_up(shared: &Arc<Shared>) {
    shared.keep("changes", Box::pin(changes::keep(shared.clone())));
}

impl Node {
    /// Where it is kept what happens.
    pub fn stories(&self) -> &Arc<Stories> {
        &self.shared.edge.stories
    }
}

/// Metrics of what the node knows of viewers.
pub(super) fn families(shared: &Shared) -> Vec<Family> {
    let stories = &shared.edge.stories;
    let open = stories.open.figures();
    vec![
        Family::gauge("weir_open_sessions", "Sessions of open routes that go on", open.sessions as f64),
        Family::counter("weir_open_sessions_began", "Sessions of open routes that began", open.began),
        Family::counter(
            "weir_open_sessions_full",
            "Requests whose session found no room beside `limits.sessions` others",
            open.full,
        ),
        Family::counter(
            "weir_stories_full",
            "Requests that were not added up, as too many sessions asked within a second",
            stories.folds.full(),
        ),
    ]
}

impl Teller {
    fn tell(&self, session: SessionId, event: Event) {
        let at = millis(self.0.clock().wall());
        self.0.tell(Entry { at, session: Some(session), route: None, stream: None, event });
    }

    fn ended(&self, session: &Session, reason: Option<Reason>) {
        let reason = reason.map_or("idle", Reason::word).into();
        let ended = Ended { reason, requests: session.requests(), bytes: session.octets() };
        self.tell(session.id(), Event::Ended(ended));
    }
}

impl sessions::Listener for Teller {
    fn hear(&self, event: &sessions::Event<'_>) {
        match event {
            // Whoever let it in tells of it: the viewer is known there.
            sessions::Event::Began(_) => {}
            sessions::Event::Ended(session, reason) => self.ended(session, *reason),
            sessions::Event::Refused(access, session) => {
                let reason = Some(Reason::SessionLimit.word().into());
                self.tell(*session, Event::Verdict(Verdict { access: (*access).clone(), reason }));
            }
            sessions::Event::Revoked(..) => {}
        }
    }
}
