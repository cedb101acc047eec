//! What becomes of sessions, and of the node itself, is told to the timeline.

mod changes;

use std::sync::Arc;

use parking_lot::Mutex;

use crate::config::Config;
use crate::origin::Origins;
use crate::rules::session::SessionId;
use crate::rules::timeline::event::{Ended, Entry, Event, Fetch, Lost, Verdict};
use crate::rules::token::Reason;
use crate::sessions::{self, Session, Sessions};
use crate::stories::{Stories, millis};
use crate::telemetry::metrics::Family;

use super::{Node, Shared};

/// Tells the end of sessions.
struct Teller(Arc<Stories>);

/// Lines of failed or slow requests to origins within one second; the rest is counted.
const FETCHES: u64 = 64;

/// From now on the ends of sessions are told, where stories are at all, and requests to origins that failed or took long.
pub(super) fn tell_of((sessions, origins): (&Sessions, &Origins), stories: &Arc<Stories>, config: &Config) {
    stories.node("started", None, Some(concat!("weir ", env!("CARGO_PKG_VERSION"))));
    if config.qoe.enabled {
        sessions.tell(Arc::new(Teller(stories.clone())));
        let (stories, fetches) = (stories.clone(), Mutex::new(Fetches::default()));
        origins.hear(Arc::new(move |fetch| Fetches::tell(&fetches, &stories, fetch)));
    }
}

/// How many were told this second.
#[derive(Default)]
struct Fetches {
    second: u64,
    told: u64,
}

impl Fetches {
    fn tell(this: &Mutex<Self>, stories: &Stories, fetch: Fetch) {
        let at = millis(stories.clock().wall());
        let mut this = this.lock();
        let lost = if this.second == at / 1_000 { 0 } else { std::mem::take(&mut this.told).saturating_sub(FETCHES) };
        this.second = at / 1_000;
        this.told += 1;
        let is_told = this.told <= FETCHES;
        drop(this);
        let tell = |event| stories.tell(Entry { at, session: None, route: None, stream: None, event });
        if lost > 0 {
            tell(Event::Lost(Lost { reason: "fetches".into(), count: lost }));
        }
        if is_told {
            tell(Event::Fetch(Box::new(fetch)));
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
