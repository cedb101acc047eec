//! `GET /sessions`, `GET /sessions/{id}`: who is watching, by count, and one session by its identifier.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::rules::session::SessionId;
use crate::sessions::Session;

use super::Admin;
use super::api::problem;

/// One session.
#[derive(Debug, Serialize, ToSchema)]
pub struct SessionStatus {
    /// Its identifier.
    session: String,
    /// Its access name.
    access: String,
    /// How it stands: `living`, `handover` (beside another one of its subject, for a grace), or the reason of its end.
    standing: &'static str,
    /// What it is watched on, as far as it says.
    device: &'static str,
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
}

/// How many sessions go on.
#[derive(Debug, Serialize, ToSchema)]
pub struct SessionCounts {
    /// All of those asked for.
    sessions: u64,
    /// By access name.
    accesses: BTreeMap<String, u64>,
}

/// Which sessions are counted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct Counted {
    /// Of this access alone.
    access: Option<String>,
}

impl SessionStatus {
    fn of(session: &Session, admin: &Admin) -> Self {
        Self {
            session: session.id().to_string(),
            access: session.access().to_string(),
            standing: session.standing(),
            device: session.device().word(),
            began: session.began_at().since_epoch().as_secs(),
            idle_seconds: admin.edge.clock.now().since(session.last()).as_secs_f64(),
            requests: session.requests(),
            bytes: session.octets(),
            ends: session.ends(),
        }
    }
}

/// One session, as this node knows it.
#[utoipa::path(get, path = "/sessions/{id}", responses(
    (status = 200, body = SessionStatus),
    (status = 400, description = "It is no identifier of a session"),
    (status = 404, description = "It does not go on on this node"),
))]
pub async fn one(State(admin): State<Admin>, Path(id): Path<String>) -> Response {
    let Some(id) = SessionId::read(&id) else {
        return problem(StatusCode::BAD_REQUEST, "id", "a session is the 24 hexadecimal digits of Weir-Session");
    };
    match admin.edge.sessions.find(id) {
        Some(session) => Json(SessionStatus::of(&session, &admin)).into_response(),
        None => problem(StatusCode::NOT_FOUND, "no-such-session", "it does not go on on this node"),
    }
}

/// How many sessions go on on this node.
#[utoipa::path(get, path = "/sessions", params(Counted), responses((status = 200, body = SessionCounts)))]
pub async fn counts(State(admin): State<Admin>, Query(counted): Query<Counted>) -> Json<SessionCounts> {
    let all = admin.edge.sessions.by_access();
    let is_meant = |name: &str| counted.access.as_deref().is_none_or(|access| access == name);
    let accesses: BTreeMap<String, u64> =
        all.iter().filter(|(name, _)| is_meant(name)).map(|(name, count)| (name.to_string(), *count)).collect();
    Json(SessionCounts { sessions: accesses.values().sum(), accesses })
}
