//! The dashboard: a page that needs no build, and its one feed. The page holds nothing of the node, so that anybody may
//! load it; what it shows it asks for with the reader's own right.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use http_body::Frame;
use serde::Serialize;
use utoipa::ToSchema;

use super::api::problem;
use super::status::Status;
use super::{Admin, Node};
use crate::clock::Clock;
use crate::telemetry::traffic::{Totals, Traffic};

const PAGE: &str = include_str!("dashboard/page.html");
const STYLE: &str = include_str!("dashboard/style.css");
const SCRIPT: &str = include_str!("dashboard/script.js");

/// Nothing but its own style, script and feed: what a session is called is somebody else's text.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Between two events of the feed.
const BEAT: Duration = Duration::from_secs(1);

/// Readers of the feed at once.
const SEATS: usize = 32;

/// The paths that hold nothing of the node.
pub(super) const OPEN_PATHS: [&str; 3] = ["/", "/dashboard.css", "/dashboard.js"];

/// Who reads the feed.
#[derive(Clone, Default)]
pub struct Seats(Arc<AtomicUsize>);

impl Seats {
    fn take(&self) -> Option<Seat> {
        let taken = self.0.fetch_update(Relaxed, Relaxed, |taken| (taken < SEATS).then_some(taken + 1));
        taken.ok().map(|_| Seat(self.0.clone()))
    }
}

struct Seat(Arc<AtomicUsize>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// One event of the feed.
#[derive(Serialize, ToSchema)]
pub struct Moment {
    /// The facts of this moment.
    #[serde(flatten)]
    status: Status,
    /// What passed since the node started.
    traffic: Totals,
}

/// The page.
pub(super) async fn page() -> Response {
    asset("text/html; charset=utf-8", PAGE)
}

/// Its style.
pub(super) async fn style() -> Response {
    asset("text/css; charset=utf-8", STYLE)
}

/// Its script.
pub(super) async fn script() -> Response {
    asset("text/javascript; charset=utf-8", SCRIPT)
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    let fields: [(HeaderName, &'static str); 5] = [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (fields, text).into_response()
}

/// The facts of each second, as server-sent events with a JSON object each.
#[utoipa::path(get, path = "/live", responses(
    (status = 200, body = Moment, content_type = "text/event-stream", description = "An event a second"),
    (status = 503, description = "There are too many readers already"),
))]
pub(super) async fn live(State(admin): State<Admin>) -> Response {
    let Some(seat) = admin.seats.take() else {
        return problem(StatusCode::SERVICE_UNAVAILABLE, "too-many-readers", "close another dashboard first");
    };
    let (clock, traffic) = (admin.edge.clock.clone(), admin.edge.traffic.clone());
    let feed = Feed { node: admin.node, traffic, clock, beat: None, _seat: seat };
    let fields = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-store")];
    (fields, Body::new(feed)).into_response()
}

/// The body of the feed: the first event at once, the others a beat after each other.
struct Feed {
    node: Arc<dyn Node>,
    traffic: Arc<Traffic>,
    clock: Clock,
    beat: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    _seat: Seat,
}

impl Feed {
    fn event(&self) -> Bytes {
        let moment = Moment { status: self.node.status(), traffic: self.traffic.totals() };
        let json = serde_json::to_string(&moment).expect("the facts are JSON");
        format!("data: {json}\n\n").into()
    }
}

impl http_body::Body for Feed {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        if let Some(beat) = &mut self.beat {
            ready!(beat.as_mut().poll(cx));
        }
        let clock = self.clock.clone();
        self.beat = Some(Box::pin(async move { clock.sleep(BEAT).await }));
        Poll::Ready(Some(Ok(Frame::data(self.event()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_is_free_again_when_its_reader_has_left() {
        let seats = Seats::default();
        let mut taken: Vec<_> = (0..SEATS).map(|_| seats.take().unwrap()).collect();
        assert!(seats.take().is_none());
        taken.pop();
        assert!(seats.take().is_some());
    }

    #[test]
    fn the_page_asks_for_nothing_from_elsewhere() {
        for text in [PAGE, STYLE, SCRIPT] {
            let elsewhere = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!elsewhere.contains("http:") && !elsewhere.contains("https:"), "an address of somebody else");
        }
        let forbidden = [" style=", " onclick=", " onload=", " onerror=", " onsubmit="];
        assert!(
            !forbidden.iter().any(|attribute| PAGE.contains(attribute)),
            "the policy forbids it in the page itself"
        );
    }
}
