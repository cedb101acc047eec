//! The control port: fault desk and statistics as JSON over HTTP/1.1, for tests and operators outside this process.
//!
//! | request | does |
//! |---|---|
//! | `GET /__faults` | the rules in force |
//! | `POST /__faults` | puts one rule in force, answers its id |
//! | `PUT /__faults` | replaces all rules by a list |
//! | `DELETE /__faults`, `DELETE /__faults/ID` | takes all, or one, out of force |
//! | `POST /__faults/ID/release` | lets go what is held or stalled there, and removes the rule |
//! | `GET /__stats`, `?since=SEQ`, `?log=0` | counts per URL and the log |
//! | `POST /__stats/reset` | forgets both |

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::desk::Desk;
use super::fault::Rule;
use super::stats::Stats;

const MAX_BODY: usize = 1 << 20;
const MAX_CONNECTIONS: usize = 256;

/// What the control port acts on.
#[derive(Clone, Debug)]
pub struct Control {
    /// Fault desk.
    pub desk: Arc<Desk>,
    /// Statistics.
    pub stats: Arc<Stats>,
}

impl Control {
    /// Serves until told to stop.
    pub async fn serve(self, listener: TcpListener, mut stop: watch::Receiver<bool>) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                Some(_) = connections.join_next() => {}
                accepted = listener.accept() => {
                    let Ok((stream, _)) = accepted else { continue };
                    if connections.len() >= MAX_CONNECTIONS {
                        continue;
                    }
                    let this = self.clone();
                    let service = service_fn(move |request| {
                        let this = this.clone();
                        async move { Ok::<_, Infallible>(this.answer(request).await) }
                    });
                    connections.spawn(async move {
                        let mut builder = hyper::server::conn::http1::Builder::new();
                        // How a control connection ended concerns nobody.
                        let _ = builder.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await;
                    });
                }
            }
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let (status, value) = match Limited::new(body, MAX_BODY).collect().await {
            Ok(body) => self.act(&head.method, &head.uri, &body.to_bytes()),
            Err(_) => (StatusCode::PAYLOAD_TOO_LARGE, problem("the body is longer than 1 MiB, or was cut")),
        };
        let mut response = Response::new(Full::new(Bytes::from(format!("{value:#}\n"))));
        *response.status_mut() = status;
        let kind = http::HeaderValue::from_static("application/json");
        response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
        response
    }

    fn act(&self, method: &Method, uri: &http::Uri, body: &[u8]) -> (StatusCode, Value) {
        let steps: Vec<&str> = uri.path().trim_matches('/').split('/').collect();
        match (method.as_str(), steps.as_slice()) {
            ("GET", ["__faults"]) => (StatusCode::OK, json!({ "rules": self.desk.standing() })),
            ("POST", ["__faults"]) => self.add(body),
            ("PUT", ["__faults"]) => self.replace(body),
            ("DELETE", ["__faults"]) => {
                self.desk.clear();
                (StatusCode::OK, json!({ "rules": [] }))
            }
            ("DELETE", ["__faults", id]) | ("POST", ["__faults", id, "release"]) => match self.desk.remove(id) {
                true => (StatusCode::OK, json!({ "id": id })),
                false => (StatusCode::NOT_FOUND, problem("there is no such rule")),
            },
            ("GET", ["__stats"]) => (StatusCode::OK, self.stats(uri.query().unwrap_or(""))),
            ("POST", ["__stats", "reset"]) => {
                self.stats.reset();
                (StatusCode::OK, json!({ "total": 0 }))
            }
            _ => (StatusCode::NOT_FOUND, problem("GET POST PUT DELETE /__faults, GET /__stats, POST /__stats/reset")),
        }
    }

    fn add(&self, body: &[u8]) -> (StatusCode, Value) {
        match serde_json::from_slice::<Rule>(body) {
            Err(error) => (StatusCode::BAD_REQUEST, problem(&error.to_string())),
            Ok(rule) => match self.desk.add(rule) {
                Ok(id) => (StatusCode::CREATED, json!({ "id": id })),
                Err(full) => (StatusCode::INSUFFICIENT_STORAGE, problem(&full.to_string())),
            },
        }
    }

    fn replace(&self, body: &[u8]) -> (StatusCode, Value) {
        let rules = match serde_json::from_slice::<Vec<Rule>>(body) {
            Ok(rules) => rules,
            Err(error) => return (StatusCode::BAD_REQUEST, problem(&error.to_string())),
        };
        self.desk.clear();
        let ids: Result<Vec<String>, _> = rules.into_iter().map(|rule| self.desk.add(rule)).collect();
        match ids {
            Ok(ids) => (StatusCode::OK, json!({ "ids": ids })),
            Err(full) => (StatusCode::INSUFFICIENT_STORAGE, problem(&full.to_string())),
        }
    }

    fn stats(&self, query: &str) -> Value {
        let value = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        let since = value("since").and_then(|since| since.parse().ok()).unwrap_or(0);
        let log = if value("log") == Some("0") { Vec::new() } else { self.stats.log(since) };
        json!({ "total": self.stats.total(), "requests": self.stats.counts(), "log": log })
    }
}

fn problem(text: &str) -> Value {
    json!({ "error": text })
}
