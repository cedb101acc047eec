//! Who may use the admin API. On loopback and Unix sockets everybody may, but a web page must not: a known Host is
//! asked for, and a Content-Type that no form can send. Elsewhere a token with the fitting role is asked for, or a
//! client certificate (which the listener has judged already).

use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::config::{AdminToken, Role};

use super::dashboard::OPEN_PATHS;
use super::listen::Caller;
use super::revoke::Within;

/// The rule of one listener.
#[derive(Clone)]
pub enum Guard {
    /// Loopback or a Unix socket: no credentials, no web pages.
    Local,
    /// Health and metrics alone, for anybody.
    Monitor,
    /// Another address: one of these tokens, or a certificate.
    Remote(Arc<[AdminToken]>),
}

/// Lets a request pass or answers why not.
pub async fn check(State(guard): State<Guard>, mut request: Request, next: Next) -> Response {
    let verdict = match &guard {
        Guard::Local => local(&request).map(|()| None),
        Guard::Monitor => Ok(None),
        Guard::Remote(_) if is_open(&request) => Ok(None),
        Guard::Remote(tokens) => remote(&request, tokens),
    };
    match verdict {
        Ok(within) => {
            if let Some(within) = within {
                request.extensions_mut().insert(within);
            }
            next.run(request).await
        }
        Err(denial) => denial.into_response(),
    }
}

/// Why a request is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Denial {
    ForeignHost,
    SimpleContentType,
    NoToken,
    WrongToken,
    WrongRole,
}

impl IntoResponse for Denial {
    fn into_response(self) -> Response {
        let (status, reason, detail) = match self {
            Self::ForeignHost => {
                (StatusCode::MISDIRECTED_REQUEST, "foreign-host", "ask for localhost or the listener's own address")
            }
            Self::SimpleContentType => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "content-type", "send Content-Type: application/json")
            }
            Self::NoToken => (StatusCode::UNAUTHORIZED, "token-missing", "send Authorization: Bearer TOKEN"),
            Self::WrongToken => (StatusCode::UNAUTHORIZED, "token-unknown", "the token is not one of [[admin.tokens]]"),
            Self::WrongRole => (StatusCode::FORBIDDEN, "token-role", "the token lacks the role for this call"),
        };
        let mut response = (status, axum::Json(json!({ "reason": reason, "detail": detail }))).into_response();
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// The dashboard's page holds nothing of the node; a browser has to load it before it can bring a token.
fn is_open(request: &Request) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD) && OPEN_PATHS.contains(&request.uri().path())
}

fn local(request: &Request) -> Result<(), Denial> {
    if !host_is_local(request.headers()) {
        return Err(Denial::ForeignHost);
    }
    let is_json = request
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().to_ascii_lowercase().starts_with(b"application/json"));
    if *request.method() != Method::GET && *request.method() != Method::HEAD && !is_json {
        return Err(Denial::SimpleContentType);
    }
    Ok(())
}

/// A browser sends the name it resolved: only names that mean this machine are taken, whatever they resolve to.
fn host_is_local(headers: &HeaderMap) -> bool {
    let Some(Ok(host)) = headers.get(HOST).map(HeaderValue::to_str) else { return false };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

/// The accesses whose sessions the caller may end; `None`: all.
fn remote(request: &Request, tokens: &[AdminToken]) -> Result<Option<Within>, Denial> {
    if matches!(request.extensions().get(), Some(ConnectInfo(Caller::Certified))) {
        return Ok(None);
    }
    let given = request.headers().get(AUTHORIZATION).ok_or(Denial::NoToken)?;
    let given = given.to_str().ok().and_then(|value| value.split_once(' ')).ok_or(Denial::WrongToken)?;
    if !given.0.eq_ignore_ascii_case("bearer") {
        return Err(Denial::WrongToken);
    }
    let needed = role(request.method(), request.uri().path());
    let token = tokens.iter().find(|token| token.secret.matches(given.1.as_bytes())).ok_or(Denial::WrongToken)?;
    match token.roles.contains(&needed) {
        true => Ok((!token.access.is_empty()).then(|| Within(token.access.as_slice().into()))),
        false => Err(Denial::WrongRole),
    }
}

/// The role that a call needs. Whoever may do one thing may do nothing else by it: a backend that ends sessions can
/// neither purge nor drain.
fn role(method: &Method, path: &str) -> Role {
    const ORDERS: [(&str, Role); 3] =
        [("/revoke", Role::Revoke), ("/purge", Role::Purge), ("/releases", Role::Release)];
    if matches!(*method, Method::GET | Method::HEAD) {
        return Role::View;
    }
    if *method == Method::DELETE && path.starts_with("/sessions/") {
        return Role::Erase;
    }
    let is_at =
        |order: &&(&str, Role)| path.strip_prefix(order.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    ORDERS.iter().find(is_at).map_or(Role::Operate, |(_, role)| *role)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    fn request(method: Method, fields: &[(&str, &str)]) -> Request {
        let mut request = Request::builder().method(method).uri("/reload");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(Body::empty()).unwrap()
    }

    #[test]
    fn a_web_page_cannot_drive_a_local_admin() {
        let json = ("content-type", "application/json");
        let table = [
            (Method::POST, vec![("host", "localhost:9180"), json], Ok(())),
            (Method::POST, vec![("host", "127.0.0.1:9180"), json], Ok(())),
            (Method::POST, vec![("host", "[::1]:9180"), json], Ok(())),
            (Method::POST, vec![("host", "evil.example:9180"), json], Err(Denial::ForeignHost)),
            (Method::POST, vec![json], Err(Denial::ForeignHost)),
            (Method::POST, vec![("host", "localhost")], Err(Denial::SimpleContentType)),
            (Method::POST, vec![("host", "localhost"), ("content-type", "text/plain")], Err(Denial::SimpleContentType)),
            (Method::GET, vec![("host", "localhost")], Ok(())),
        ];
        for (method, fields, verdict) in table {
            assert_eq!(local(&request(method, &fields)), verdict, "{fields:?}");
        }
    }

    #[test]
    fn each_order_needs_its_own_role() {
        let all = [Role::View, Role::Operate, Role::Purge, Role::Revoke, Role::Release, Role::Erase];
        for (method, path, needed) in [
            (Method::GET, "/status", Role::View),
            (Method::HEAD, "/metrics", Role::View),
            (Method::GET, "/sessions/0123", Role::View),
            (Method::POST, "/revoke", Role::Revoke),
            (Method::POST, "/purge", Role::Purge),
            (Method::POST, "/purged", Role::Operate),
            (Method::POST, "/releases/7/activate", Role::Release),
            (Method::POST, "/drain", Role::Operate),
            (Method::POST, "/origins/main", Role::Operate),
            (Method::DELETE, "/anything", Role::Operate),
            (Method::GET, "/sessions/0123/story", Role::View),
            (Method::DELETE, "/sessions/0123", Role::Erase),
        ] {
            assert_eq!(role(&method, path), needed, "{method} {path}");
            for only in all {
                let secret = "secret".to_owned().into();
                let tokens = [AdminToken { secret, roles: vec![only], access: Vec::new() }];
                let asked = Request::builder().method(&method).uri(path).header("authorization", "Bearer secret");
                let verdict = remote(&asked.body(Body::empty()).unwrap(), &tokens);
                assert_eq!(verdict.is_ok(), only == needed, "{only:?} {method} {path}");
            }
        }
    }

    #[test]
    fn elsewhere_a_token_with_the_fitting_role_is_asked_for() {
        let tokens = [
            AdminToken { secret: "viewer".to_owned().into(), roles: vec![Role::View], access: Vec::new() },
            AdminToken {
                secret: "operator".to_owned().into(),
                roles: vec![Role::View, Role::Operate],
                access: Vec::new(),
            },
        ];
        let table = [
            (Method::GET, None, Err(Denial::NoToken)),
            (Method::GET, Some("Bearer wrong"), Err(Denial::WrongToken)),
            (Method::GET, Some("Basic viewer"), Err(Denial::WrongToken)),
            (Method::GET, Some("Bearer viewer"), Ok(())),
            (Method::POST, Some("Bearer viewer"), Err(Denial::WrongRole)),
            (Method::POST, Some("bearer operator"), Ok(())),
        ];
        for (method, token, verdict) in table {
            let fields: Vec<_> = token.map(|token| ("authorization", token)).into_iter().collect();
            assert_eq!(remote(&request(method, &fields), &tokens).map(|_| ()), verdict, "{token:?}");
        }
    }
}
