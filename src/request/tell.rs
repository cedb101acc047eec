//! What the journey tells the backend of an access: who began, with the names that only the token has, and what was
//! refused. Nothing of it waits, and nothing of it is kept here.

use std::sync::Arc;

use crate::rules::session::{Event, EventKind, SessionId, Theirs};
use crate::rules::token::{Reason, Rejection};
use crate::sessions::Session;

use super::Edge;

/// What the issuer calls a token and its subject.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    /// `sub`
    pub subject: Option<Theirs>,
    /// `jti`
    pub token: Option<Theirs>,
}

/// A session that is new on this node has begun.
pub(super) fn began(edge: &Edge, session: &Session, names: Names) {
    let event = event(edge, EventKind::Start, session.access());
    let Names { subject, token } = names;
    edge.webhooks.tell(Event { session: Some(session.id()), subject, token, ..event });
}

/// A token, or a session, was refused. That there was none is nothing to tell, and that a subject has too many sessions
/// tells whoever counts them.
pub(super) fn refused(edge: &Edge, access: &Arc<str>, rejection: Rejection, session: Option<SessionId>) {
    if matches!(rejection.reason, Reason::TokenMissing | Reason::SessionLimit) {
        return;
    }
    let event = event(edge, EventKind::Refused, access);
    edge.webhooks.tell(Event { session, reason: Some(rejection.reason.word()), ..event });
}

fn event(edge: &Edge, kind: EventKind, access: &Arc<str>) -> Event {
    let at = edge.clock.wall();
    Event { kind, access: access.clone(), session: None, subject: None, token: None, reason: None, at }
}
