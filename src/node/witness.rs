//! What becomes of sessions, and of the node itself, is told to the timeline.

use std::sync::Arc;

use crate::rules::session::SessionId;
use crate::rules::timeline::event::{Ended, Entry, Event, Verdict};
use crate::rules::token::Reason;
use crate::sessions::{self, Session, Sessions};
use crate::stories::{Stories, millis};

/// Tells the end of sessions.
struct Teller(Arc<Stories>);

/// From now on the ends of sessions are told, where stories are at all.
pub(super) fn tell_of(sessions: &Sessions, stories: &Arc<Stories>, enabled: bool) {
    if enabled {
        sessions.tell(Arc::new(Teller(stories.clone())));
    }
    stories.node("started", None, Some(concat!("weir ", env!("CARGO_PKG_VERSION"))));
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
