//! `POST /revoke`: something is taken back, in force and kept before the answer says so.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::config::value;
use crate::rules::session::Revocation;
use crate::rules::session::naming::{Meant, Naming};
use crate::sessions::{self, Kept, Source};

use super::Admin;
use super::api::problem;

const REMEDY: &str = r#"write {"access": "NAME", "subject": "…"}, with one of session, subject, token_id, kid, issuer, issued_before and all"#;

/// The access names within which the caller may revoke: a request's extension. Without it, within all.
#[derive(Clone, Debug)]
pub struct Within(pub Arc<[String]>);

/// What is taken back: an access, and exactly one of `session`, `subject`, `token_id`, `kid`, `issuer`, `issued_before`
/// and `all`.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RevokeOrder {
    /// The access name within which it holds.
    access: String,
    /// A session, as `Weir-Session` and the logs name it.
    session: Option<String>,
    /// A subject (`sub`): all of its sessions and tokens.
    subject: Option<String>,
    /// A token, by its identifier (`jti`; `cti` in base64url), and its sessions.
    token_id: Option<String>,
    /// Whatever was signed with a key of this identifier.
    kid: Option<String>,
    /// Whatever an issuer has issued.
    issuer: Option<String>,
    /// Whatever was issued before this moment, in seconds since the epoch.
    issued_before: Option<u64>,
    /// Everything of the access: the event is over.
    all: bool,
    /// For how long, like `24h`; default: `limits.revoked_for`.
    #[serde(rename = "for")]
    time: Option<String>,
}

/// What came of it.
#[derive(Debug, Serialize, ToSchema)]
pub struct RevokeOutcome {
    /// The access name.
    access: String,
    /// What was named: `session`, `subject`, `token_id`, `kid`, `issuer`, `issued_before` or `all`.
    what: &'static str,
    /// Living sessions that it ended on this node.
    sessions_ended: usize,
    /// Whether the same was said before, for as long.
    known: bool,
    /// Until when it is in force, in seconds since the epoch.
    until: u64,
    /// Whether a restart remembers it.
    durable: bool,
    /// What to know about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<&'static str>,
}

/// Why an order is none: the place, and what would help.
type Nonsense = (&'static str, String);

impl RevokeOrder {
    fn read(body: &[u8]) -> Result<Self, Nonsense> {
        let order: Self = serde_json::from_slice(body).map_err(|error| ("body", format!("{error}; {REMEDY}")))?;
        if order.access.is_empty() {
            return Err(("access", format!("say within which access it holds: {REMEDY}")));
        }
        Ok(order)
    }

    fn meant(&self) -> Result<Meant, Nonsense> {
        let naming = Naming {
            session: self.session.clone(),
            subject: self.subject.clone(),
            token_id: self.token_id.clone(),
            kid: self.kid.clone(),
            issuer: self.issuer.clone(),
            issued_before: self.issued_before,
            all: self.all,
            until: None,
        };
        naming.meant().map_err(|why| match why.place() {
            Some(place) => (place, why.to_string()),
            None => ("body", format!("{why}; {REMEDY}")),
        })
    }
}

/// Takes a session, a subject, a token or more back. When it answers, it is in force on this node and, where there is a
/// folder for that, outlives a restart. To say the same twice changes nothing.
#[utoipa::path(post, path = "/revoke", request_body = RevokeOrder, responses(
    (status = 200, body = RevokeOutcome),
    (status = 400, description = "It is not clear what is meant; `reason` says where, `detail` why and what would help"),
    (status = 403, description = "The caller's token may not revoke within this access"),
))]
pub async fn order(State(admin): State<Admin>, within: Option<Extension<Within>>, body: Bytes) -> Response {
    let order = match RevokeOrder::read(&body) {
        Ok(order) => order,
        Err((place, detail)) => return problem(StatusCode::BAD_REQUEST, place, &detail),
    };
    if within.is_some_and(|Extension(Within(names))| !names.contains(&order.access)) {
        return problem(StatusCode::FORBIDDEN, "token-role", "the token may not revoke within this access");
    }
    match carry_out(&admin, order).await {
        Ok(outcome) => Json(outcome).into_response(),
        Err((place, detail)) => problem(StatusCode::BAD_REQUEST, place, &detail),
    }
}

async fn carry_out(admin: &Admin, order: RevokeOrder) -> Result<RevokeOutcome, Nonsense> {
    let meant = order.meant()?;
    let names = admin.prints.accesses();
    if !names.iter().any(|name| **name == *order.access) {
        let known = if names.is_empty() { "none is configured".to_owned() } else { names.join(", ") };
        return Err(("access", format!("there is no such access: {known}")));
    }
    let time = order.time.as_deref().map(value::time).transpose();
    let time = time.map_err(|_| ("for", value::TIMES.to_owned()))?;
    let policies = admin.edge.policies();
    let access = policies.config.accesses.iter().find(|access| access.name == order.access);
    let default = policies.config.limits.revoked_for.max(access.map(|access| access.session_life).unwrap_or_default());
    let time = time.unwrap_or(default);
    let what =
        sessions::what(&meant, &order.access, &*admin.prints).ok_or(("access", "it is being set up".to_owned()))?;
    let wall = admin.edge.clock.wall();
    let at = wall.since_epoch().as_secs();
    let until = at.saturating_add(time.as_secs().max(1));
    let revocation = Revocation { access: order.access.as_str().into(), what, at, until };
    let revoked = admin.edge.sessions.revoke(&[revocation], Source::Here, wall);
    let (sessions_ended, known) = (revoked.ended, revoked.known > 0);
    let kept = revoked.kept().await;
    tracing::info!(access = order.access, what = meant.word(), sessions_ended, known, "revoked");
    Ok(RevokeOutcome {
        access: order.access,
        what: meant.word(),
        sessions_ended,
        known,
        until,
        durable: kept == Kept::Durably,
        warning: warning(kept),
    })
}

pub(super) const fn warning(kept: Kept) -> Option<&'static str> {
    match kept {
        Kept::Durably => None,
        Kept::Nowhere => Some("a restart forgets it: set `state` in [node]"),
        Kept::NotYet => Some("it is in force, but the disk did not take it: a restart would forget it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::session::{Named, SessionId};

    #[test]
    fn an_order_names_one_thing_or_says_what_is_wrong_with_it() {
        let meant = |text: &str| RevokeOrder::read(text.as_bytes()).and_then(|order| order.meant());
        let text = |named, text: &str| Meant::Text(named, text.to_owned());
        for (order, meaning) in [
            (r#"{"access": "a", "subject": "alice"}"#, text(Named::Subject, "alice")),
            (r#"{"access": "a", "token_id": "7"}"#, text(Named::Token, "7")),
            (r#"{"access": "a", "kid": "k", "for": "1h"}"#, text(Named::Key, "k")),
            (r#"{"access": "a", "issuer": "https://i"}"#, text(Named::Issuer, "https://i")),
            (r#"{"access": "a", "issued_before": 1700000000}"#, Meant::IssuedBefore(1_700_000_000)),
            (r#"{"access": "a", "all": true}"#, Meant::All),
            (
                r#"{"access": "a", "session": "000102030405060708090a0B"}"#,
                Meant::Session(SessionId([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])),
            ),
        ] {
            assert_eq!(meant(order), Ok(meaning), "{order}");
        }
        for (order, place, said) in [
            ("", "body", "line 1 column 0"),
            (r#"{"acces": "a"}"#, "body", "unknown field `acces`"),
            (r#"{"subject": "alice"}"#, "access", "within which access"),
            (r#"{"access": "a"}"#, "body", "say what is revoked"),
            (r#"{"access": "a", "all": false}"#, "body", "say what is revoked"),
            (r#"{"access": "a", "subject": ""}"#, "subject", "empty"),
            (r#"{"access": "a", "subject": "b", "kid": "c"}"#, "body", "subject and kid exclude each other"),
            (r#"{"access": "a", "session": "0001"}"#, "session", "24 hexadecimal digits"),
            (r#"{"access": "a", "session": "000102030405060708090a0é"}"#, "session", "24 hexadecimal digits"),
            (r#"{"access": "a", "issued_before": "now"}"#, "body", "invalid type"),
            (r#"{"access": "a", "issued_before": -1}"#, "body", "invalid value"),
        ] {
            let (where_, why) = meant(order).unwrap_err();
            assert!(where_ == place && why.contains(said), "{order}: {where_}: {why}");
        }
    }
}
