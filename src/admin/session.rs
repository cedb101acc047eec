//! `GET /sessions`, `GET /sessions/{id}`: who is watching, by count, and one session as it stands.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::rules::qoe::figures::SessionFigures;
use crate::rules::session::{SessionId, support_code};
use crate::rules::timeline::story::Story;
use crate::sessions::Session;
use crate::stories::millis;

use super::Admin;
use super::api::problem;
use super::story::{self, Found, NotTold, Search};

/// One session.
#[derive(Debug, Serialize, ToSchema)]
pub struct SessionStatus {
    /// Its identifier.
    session: String,
    /// What a viewer tells on the phone.
    support_code: String,
    /// Its access name; empty: its route is open.
    access: String,
    /// How it stands: `living`, `handover` (beside another one of its subject, for a grace), the reason of its end, or
    /// `over` where nothing is asked for any more.
    standing: &'static str,
    /// What it is watched on, as far as it says.
    device: String,
    /// When it began on this node, in seconds since the epoch.
    began: u64,
    /// For how long nothing was asked for.
    idle_seconds: f64,
    /// Its requests.
    requests: u64,
    /// Octets of bodies that were sent to it.
    bytes: u64,
    /// When what was paid for is over, in seconds since the epoch.
    ends: Option<u64>,
    /// What its views come to so far, as reported and as inferred; none: it is over, and only its story is left.
    #[serde(skip_serializing_if = "Option::is_none")]
    figures: Option<SessionFigures>,
}

/// How many sessions go on.
#[derive(Debug, Serialize, ToSchema)]
pub struct SessionCounts {
    /// All of those asked for.
    sessions: u64,
    /// By access name.
    accesses: BTreeMap<String, u64>,
    /// Those that were looked for, living or not; none: only the numbers were asked for.
    #[serde(flatten)]
    found: Option<Found>,
}

impl SessionStatus {
    fn of(session: &Session, admin: &Admin) -> Self {
        Self {
            session: session.id().to_string(),
            support_code: support_code(&session.id()),
            access: session.access().to_string(),
            standing: session.standing(),
            device: session.device().word().to_owned(),
            began: session.began_at().since_epoch().as_secs(),
            idle_seconds: admin.edge.clock.now().since(session.last()).as_secs_f64(),
            requests: session.requests(),
            bytes: session.octets(),
            ends: session.ends(),
            figures: admin.edge.stories.live.lock().session(session.id()),
        }
    }
}

impl SessionStatus {
    /// One that no access knows: its route is open, or it is over.
    fn told(story: Story, admin: &Admin) -> Self {
        let idle = millis(admin.edge.clock.wall()).saturating_sub(story.ended);
        let is_living = u128::from(idle) <= admin.edge.policies().config.qoe.session_idle.as_millis();
        Self {
            session: story.session.to_string(),
            support_code: story.support_code,
            standing: if is_living && story.who.access.is_none() { "living" } else { "over" },
            device: story.who.device.unwrap_or_else(|| "unknown".to_owned()),
            access: story.who.access.unwrap_or_default(),
            began: story.began / 1_000,
            idle_seconds: idle as f64 / 1_000.0,
            requests: story.figures.requests,
            bytes: story.figures.bytes,
            ends: None,
            figures: admin.edge.stories.live.lock().session(story.session),
        }
    }
}

/// One session, as this node knows it.
#[utoipa::path(get, path = "/sessions/{id}", responses(
    (status = 200, body = SessionStatus),
    (status = 400, description = "It is no identifier of a session"),
    (status = 404, description = "Nothing of it is kept on this node"),
))]
pub async fn one(State(admin): State<Admin>, Path(id): Path<String>) -> Response {
    let Some(id) = SessionId::read(&id) else {
        return problem(StatusCode::BAD_REQUEST, "id", "a session is the 24 hexadecimal digits of Weir-Session");
    };
    if let Some(session) = admin.edge.sessions.find(id) {
        return Json(SessionStatus::of(&session, &admin)).into_response();
    }
    match admin.edge.stories.story(id).await {
        Ok(Some(story)) => Json(SessionStatus::told(story, &admin)).into_response(),
        Ok(None) => NotTold::Nothing.into_response(),
        Err(error) => NotTold::from(error).into_response(),
    }
}

/// How many sessions go on on this node; and, where some are looked for, which.
#[utoipa::path(get, path = "/sessions", params(Search), responses(
    (status = 200, body = SessionCounts),
    (status = 400, description = "There is no such cause"),
))]
pub async fn counts(State(admin): State<Admin>, Query(search): Query<Search>) -> Response {
    let all = admin.edge.sessions.by_access();
    let is_meant = |name: &str| search.access.as_deref().is_none_or(|access| access == name);
    let accesses: BTreeMap<String, u64> =
        all.iter().filter(|(name, _)| is_meant(name)).map(|(name, count)| (name.to_string(), *count)).collect();
    let found = match search.is_asked() {
        false => None,
        true => match story::find(&admin, &search).await {
            Ok(found) => Some(found),
            Err(refusal) => return refusal,
        },
    };
    Json(SessionCounts { sessions: accesses.values().sum(), accesses, found }).into_response()
}
