//! The routes of the admin API.

use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::oneshot;
use utoipa::{IntoParams, OpenApi, ToSchema};

use crate::config::value;
use crate::origin::Order;
use crate::request::explain::{self, Explanation};
use crate::request::held::{FillInProgress, Stored, StoredVariant};
use crate::request::warm::{self, NotWarmed};
use crate::rules::timeline::story::Story;

use super::dashboard::{self, Moment};
use super::purge::{self, GoneBelow, PurgeOrder, PurgeOutcome};
use super::revoke::{self, RevokeOrder, RevokeOutcome};
use super::session::{self, SessionCounts, SessionStatus};
use super::status::{
    CacheStatus, CapacityStatus, Connections, DiskStatus, JournalStatus, ListenerStatus, LiveStatus, OriginStatus,
    PlaylistStatus, Problem, Reloaded, Resident, ResourceStatus, RouteRoom, RouteStatus, SessionsStatus, Status,
    StreamStatus, WorkerHealth,
};
use super::story::{self, Entries, Erased, Found, OthersAnswer, SessionRow};
use super::{Admin, Command, Guard, guard};

/// The description of the API.
#[derive(OpenApi)]
#[openapi(
    info(title = "Weir admin API", description = "Operates one node."),
    paths(
        healthz,
        readyz,
        metrics,
        status,
        explain_url,
        reload,
        warm_url,
        purge::order,
        revoke::order,
        session::one,
        session::counts,
        dashboard::live,
        story::story,
        story::entries,
        story::others,
        story::erase,
        drain,
        order_origin
    ),
    components(schemas(
        Status,
        ListenerStatus,
        Connections,
        CacheStatus,
        DiskStatus,
        Resident,
        OriginStatus,
        RouteStatus,
        StreamStatus,
        LiveStatus,
        PlaylistStatus,
        WorkerHealth,
        CapacityStatus,
        ResourceStatus,
        RouteRoom,
        Reloaded,
        Problem,
        Explanation,
        Stored,
        StoredVariant,
        FillInProgress,
        Warm,
        Followed,
        PurgeOrder,
        PurgeOutcome,
        GoneBelow,
        RevokeOrder,
        RevokeOutcome,
        SessionStatus,
        SessionCounts,
        Moment,
        SessionRow,
        Found,
        Story,
        Entries,
        OthersAnswer,
        Erased,
        SessionsStatus,
        JournalStatus,
        Drain,
        OriginOrder,
        OriginAction
    ))
)]
struct Api;

/// The OpenAPI document as JSON.
pub fn openapi() -> String {
    Api::openapi().to_pretty_json().expect("the document is JSON")
}

/// The routes that a listener with this guard serves.
pub fn router(admin: Admin, guard: Guard) -> Router {
    let mut router =
        Router::new().route("/healthz", get(healthz)).route("/readyz", get(readyz)).route("/metrics", get(metrics));
    if !matches!(guard, Guard::Monitor) {
        router = router
            .route("/status", get(status))
            .route("/", get(dashboard::page))
            .route("/dashboard.css", get(dashboard::style))
            .route("/dashboard.js", get(dashboard::script))
            .route("/live", get(dashboard::live))
            .route("/explain", get(explain_url))
            .route("/reload", post(reload))
            .route("/warm", post(warm_url))
            .route("/purge", post(purge::order))
            .route("/revoke", post(revoke::order))
            .route("/sessions", get(session::counts))
            .route("/sessions/{id}", get(session::one).delete(story::erase))
            .route("/sessions/{id}/story", get(story::story))
            .route("/sessions/{id}/entries", get(story::entries))
            .route("/sessions/{id}/others", get(story::others))
            .route("/drain", post(drain))
            .route("/origins/{name}", post(order_origin))
            .route("/openapi.json", get(|| async { ([(CONTENT_TYPE, "application/json")], openapi()) }));
    }
    router
        .fallback(|| async { problem(StatusCode::NOT_FOUND, "no-such-page", "see /openapi.json for what there is") })
        .method_not_allowed_fallback(|| async {
            let answer = problem(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "see /openapi.json");
            ([(ALLOW, "GET, POST, DELETE")], answer).into_response()
        })
        .layer(middleware::from_fn_with_state(guard, guard::check))
        .with_state(admin)
}

pub(super) fn problem(status: StatusCode, reason: &str, detail: &str) -> Response {
    (status, Json(json!({ "reason": reason, "detail": detail }))).into_response()
}

/// The process lives.
#[utoipa::path(get, path = "/healthz", responses((status = 200, description = "The process lives")))]
async fn healthz() -> &'static str {
    "alive\n"
}

/// The node should get viewers.
#[utoipa::path(get, path = "/readyz", responses(
    (status = 200, description = "The node should get viewers"),
    (status = 503, description = "It should not; `why` says for what reason"),
))]
async fn readyz(State(admin): State<Admin>) -> Response {
    let status = admin.node.status();
    let workers = admin.node.workers().await;
    let mut why = Vec::new();
    if status.draining {
        why.push("the node is draining".to_owned());
    }
    let stuck = workers.iter().filter(|worker| !worker.answers);
    why.extend(stuck.map(|worker| format!("worker {} does not answer within 1 s", worker.worker)));
    let down: Vec<_> = status.origins.iter().filter(|origin| !origin.healthy).map(|origin| &origin.name).collect();
    if admin.ready_needs_origins && down.len() == status.origins.len() {
        why.extend(down.iter().map(|name| format!("origin {name} is not well")));
    }
    let code = if why.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({ "ready": why.is_empty(), "why": why, "workers": workers, "origins": status.origins });
    (code, Json(body)).into_response()
}

/// All counters as OpenMetrics text.
#[utoipa::path(get, path = "/metrics", responses((status = 200, description = "OpenMetrics text")))]
async fn metrics(State(admin): State<Admin>) -> Response {
    const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, OPENMETRICS)], admin.exposition.render()).into_response()
}

/// The facts of this moment.
#[utoipa::path(get, path = "/status", responses((status = 200, body = Status)))]
async fn status(State(admin): State<Admin>) -> Json<Status> {
    Json(admin.node.status())
}

/// What to explain.
#[derive(IntoParams)]
#[expect(dead_code, reason = "it describes the query; a repeated parameter is not read by its name")]
struct Explain {
    /// The URL that a viewer would ask for.
    url: String,
    /// A field of the viewer's request, as `Name: value`; may be repeated.
    header: Option<Vec<String>>,
}

/// Brings a viewer's token to `/explain`, as its Authorization: a token in a URL would be written down on its way.
const VIEWER_TOKEN: &str = "weir-viewer-token";

/// What the node would do with a request, and why.
#[utoipa::path(get, path = "/explain", params(Explain), responses(
    (status = 200, body = Explanation),
    (status = 400, description = "The URL or a header cannot be read"),
))]
async fn explain_url(
    State(admin): State<Admin>,
    Query(asked): Query<Vec<(String, String)>>,
    own: HeaderMap,
) -> Response {
    let values = |name: &'static str| asked.iter().filter(move |(asked, _)| asked == name).map(|(_, value)| value);
    let Some(url) = values("url").next() else {
        return problem(StatusCode::BAD_REQUEST, "url", "add ?url= with what a viewer would ask for");
    };
    let Some(mut fields) = values("header").map(|line| field(line)).collect::<Option<HeaderMap>>() else {
        return problem(StatusCode::BAD_REQUEST, "header", "a header is written as `Name: value`");
    };
    if let Some(token) = own.get(VIEWER_TOKEN) {
        let Ok(mut bearer) = HeaderValue::from_bytes(&[b"Bearer ", token.as_bytes()].concat()) else {
            return problem(StatusCode::BAD_REQUEST, "header", "a token is visible ASCII");
        };
        bearer.set_sensitive(true);
        fields.insert(AUTHORIZATION, bearer);
    }
    match explain::explain(&admin.edge, url, fields) {
        Ok(explanation) => Json(explanation).into_response(),
        Err(fault) => problem(StatusCode::BAD_REQUEST, "url", fault),
    }
}

/// `Name: value`
fn field(line: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = line.split_once(':')?;
    Some((name.trim().parse().ok()?, value.trim().parse().ok()?))
}

/// What to follow.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Warm {
    /// The URL that a viewer would ask for.
    url: String,
    /// For how long, like `10m`; default: until the node ends.
    #[serde(rename = "for")]
    time: Option<String>,
}

/// What is followed.
#[derive(Serialize, ToSchema)]
struct Followed {
    /// The route that serves it.
    route: String,
    /// Path and query of the playlist, as far as they count.
    playlist: String,
}

/// Follows a playlist, and the renditions that it names, before anybody watches.
#[utoipa::path(post, path = "/warm", request_body = Warm, responses(
    (status = 200, body = Followed),
    (status = 400, description = "The URL or the time cannot be read"),
    (status = 409, description = "It cannot be followed; `detail` says why"),
    (status = 503, description = "As many playlists as allowed are followed"),
))]
async fn warm_url(State(admin): State<Admin>, Json(order): Json<Warm>) -> Response {
    let Ok(time) = order.time.as_deref().map(value::time).transpose() else {
        return problem(StatusCode::BAD_REQUEST, "for", value::TIMES);
    };
    match warm::warm(&admin.edge, &order.url, time) {
        Ok(warmed) => Json(Followed { route: warmed.route, playlist: warmed.target }).into_response(),
        Err(NotWarmed::Url(fault)) => problem(StatusCode::BAD_REQUEST, "url", fault),
        Err(NotWarmed::Refused(refusal)) => problem(StatusCode::CONFLICT, refusal.word(), &refusal.to_string()),
        Err(NotWarmed::NotFollowed(why)) => problem(StatusCode::CONFLICT, "not-followed", why),
        Err(NotWarmed::Full(full)) => problem(StatusCode::SERVICE_UNAVAILABLE, "followers", &full.to_string()),
    }
}

/// Reads the configuration anew; a bad one leaves the old one running.
#[utoipa::path(post, path = "/reload", responses(
    (status = 200, body = Reloaded),
    (status = 422, body = Vec<Problem>, description = "The file has problems; nothing was changed"),
))]
async fn reload(State(admin): State<Admin>) -> Response {
    let (reply, answer) = oneshot::channel();
    if admin.commands.send(Command::Reload(reply)).await.is_err() {
        return stopping();
    }
    match answer.await {
        Ok(Ok(reloaded)) => Json(reloaded).into_response(),
        Ok(Err(problems)) => (StatusCode::UNPROCESSABLE_ENTITY, Json(json!({ "problems": problems }))).into_response(),
        Err(_) => stopping(),
    }
}

/// How to drain.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Drain {
    /// Seconds within which viewers should have left; default: `shutdown.deadline`.
    by_seconds: Option<u64>,
    /// Stay after all.
    #[serde(default)]
    cancel: bool,
}

/// Lets viewers leave, or takes that back.
#[utoipa::path(post, path = "/drain", request_body = Drain, responses(
    (status = 202, description = "Viewers leave; follow it in /status"),
    (status = 200, description = "The drain was cancelled"),
    (status = 409, description = "There was no drain to cancel"),
))]
async fn drain(State(admin): State<Admin>, Json(order): Json<Drain>) -> Response {
    if order.cancel {
        let (reply, answer) = oneshot::channel();
        if admin.commands.send(Command::CancelDrain(reply)).await.is_err() {
            return stopping();
        }
        return match answer.await {
            Ok(Ok(())) => Json(json!({ "draining": false })).into_response(),
            Ok(Err(why)) => problem(StatusCode::CONFLICT, "not-draining", &why.to_string()),
            Err(_) => stopping(),
        };
    }
    let by = order.by_seconds.map(Duration::from_secs);
    match admin.commands.send(Command::Drain(by)).await {
        Ok(()) => (StatusCode::ACCEPTED, Json(json!({ "draining": true }))).into_response(),
        Err(_) => stopping(),
    }
}

/// What an origin is to do.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum OriginAction {
    /// Others are asked in its place, until told otherwise.
    Rest,
    /// It is asked again, and streams that prefer it come back.
    Return,
}

/// An order for an origin.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct OriginOrder {
    /// What it is to do.
    action: OriginAction,
}

/// Takes an origin out of use, or brings it and its streams back.
#[utoipa::path(post, path = "/origins/{name}", request_body = OriginOrder, responses(
    (status = 200, description = "It rests, or is asked again"),
    (status = 404, description = "There is no origin of this name"),
))]
async fn order_origin(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    Json(order): Json<OriginOrder>,
) -> Response {
    let (order, word) = match order.action {
        OriginAction::Rest => (Order::Rest, "rest"),
        OriginAction::Return => (Order::Return, "return"),
    };
    match admin.edge.policies().origins.order(&name, order) {
        Some(()) => Json(json!({ "origin": name, "action": word })).into_response(),
        None => problem(StatusCode::NOT_FOUND, "no-such-origin", "see /status for their names"),
    }
}

fn stopping() -> Response {
    problem(StatusCode::SERVICE_UNAVAILABLE, "stopping", "the node is stopping")
}
