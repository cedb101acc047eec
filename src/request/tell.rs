//! What the journey tells the backend of an access: who began, with the names that only the token has, and what was
//! refused. Nothing of it waits, and nothing of it is kept here.

use std::sync::Arc;

use crate::rules::session::{Event, EventKind, SessionId, Theirs};
use crate::rules::token::{Claims, Reason, Rejection};
use crate::sessions::Session;

use super::Edge;

/// A session that is new on this node has begun; `claims` are those of its token, where the viewer presented it here.
pub(super) fn began(edge: &Edge, session: &Session, claims: Option<&Claims>) {
    let event = event(edge, EventKind::Start, session.access());
    let subject = claims.and_then(|claims| claims.subject.as_deref()).map(Theirs::from);
    let token = claims.and_then(|claims| claims.id.as_deref()).map(Theirs::from);
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
