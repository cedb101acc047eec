//! One batch on its way to its backend: what is sent, how it is signed, and when it is tried again.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use aws_lc_rs::hmac;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode};
use serde::Serialize;
use tracing::warn;

use crate::clock::Tick;
use crate::config::Webhook;
use crate::outbound::dial::{Dial, DialError};
use crate::outbound::endpoint::{Endpoint, Proofs, lot};
use crate::outbound::exchange::{Answered, Bounds, ExchangeError, exchange};
use crate::outbound::link::Driver;
use crate::outbound::tls::{Material, TlsSetupError};
use crate::rules::session::EventKind;

use super::{Hook, Numbered, Webhooks};

/// Carries the signature of a batch: `t=SECONDS,v1=HEX`, an HMAC-SHA-256 over `SECONDS.BODY`.
pub const SIGNATURE: HeaderName = HeaderName::from_static("weir-signature");

/// Before the second attempt; it doubles from then on.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// What a backend may ask for by Retry-After.
const LONGEST_WISH: Duration = Duration::from_secs(300);
/// Octets of an answer that are read; its status is all that counts.
const ANSWER: usize = 64 << 10;

/// What one attempt came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// The backend took the batch (2xx).
    Taken,
    /// It answered with another status; redirects are not followed.
    Status,
    /// It wants nothing more (410).
    Gone,
    /// No connection.
    Connect,
    /// No answer in time.
    Timeout,
    /// The connection broke.
    Broken,
}

impl Attempt {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Taken, Self::Status, Self::Gone, Self::Connect, Self::Timeout, Self::Broken];

    /// Its word in metrics and status.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Status => "status",
            Self::Gone => "gone",
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Broken => "broken",
        }
    }
}

/// A backend, ready to be told.
pub(super) struct Target {
    config: Webhook,
    material: Material,
    dial: Dial,
    key: hmac::Key,
    /// Events that may wait.
    pub queue: usize,
}

impl Target {
    pub fn new(config: &Webhook) -> Result<Self, TlsSetupError> {
        let tls = &config.tls;
        let proofs = Proofs { ca: tls.ca.as_deref(), client: tls.client_files(), name: tls.sni.as_deref() };
        let Endpoint { dial, material } = Endpoint::new(&config.url, proofs)?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, config.secret.reveal().as_bytes());
        Ok(Self { dial, key, queue: config.queue, material, config: config.clone() })
    }

    pub fn wants(&self, kind: EventKind) -> bool {
        self.config.events.contains(&kind)
    }

    pub fn is_as(&self, other: &Self) -> bool {
        self.config == other.config && self.material == other.material
    }

    fn request(&self, body: Bytes, seconds: u64) -> Request<Bytes> {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(format!("{seconds}.").as_bytes());
        context.update(&body);
        let mac: String = context.sign().as_ref().iter().map(|octet| format!("{octet:02x}")).collect();
        let signature = HeaderValue::try_from(format!("t={seconds},v1={mac}")).expect("digits are a field value");
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.config.url.clone();
        let agent = HeaderValue::from_static(concat!("weir/", env!("CARGO_PKG_VERSION")));
        request.headers_mut().insert(SIGNATURE, signature);
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        request.headers_mut().insert(USER_AGENT, agent);
        request
    }
}

#[derive(Serialize)]
struct Batch<'a> {
    access: &'a str,
    node: &'a str,
    events: Vec<Told<'a>>,
}

#[derive(Serialize)]
struct Told<'a> {
    id: &'a str,
    event: &'static str,
    /// Seconds since 1970, with milliseconds.
    time: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

fn body(webhooks: &Webhooks, access: &str, batch: &[Numbered]) -> Bytes {
    let told = |numbered: &Numbered| numbered.event.at.since_epoch().as_millis() as f64 / 1_000.0;
    let events = batch.iter().map(|numbered| Told {
        id: &numbered.id,
        event: numbered.event.kind.word(),
        time: told(numbered),
        session: numbered.event.session.map(|session| session.to_string()),
        sub: numbered.event.subject.as_ref().map(|subject| subject.reveal()),
        jti: numbered.event.token.as_ref().map(|token| token.reveal()),
        reason: numbered.event.reason,
    });
    let batch = Batch { access, node: &webhooks.node, events: events.collect() };
    serde_json::to_vec(&batch).expect("texts and numbers are JSON").into()
}

/// Sends what comes, until the backend is no longer one.
pub(super) async fn run(webhooks: Arc<Webhooks>, hook: Arc<Hook>) {
    let sending = async {
        loop {
            let batch = hook.batch().await;
            let taken = send(&webhooks, &hook, &batch).await;
            hook.done(if taken { (batch.len(), 0) } else { (0, batch.len()) });
        }
    };
    _ = hook.ended.run_until_cancelled(sending).await;
}

/// Tries a batch until it is taken or its time is over; whether it was taken.
async fn send(webhooks: &Webhooks, hook: &Hook, batch: &[Numbered]) -> bool {
    let body = body(webhooks, &hook.access, batch);
    let begun = webhooks.clock.now();
    let mut attempts = 0;
    loop {
        let target = hook.target.load_full();
        let is_last = *webhooks.hurry.borrow();
        let (attempt, wish) = attempt(webhooks, &target, body.clone()).await;
        hook.counts.attempts[attempt as usize].fetch_add(1, Relaxed);
        let before = {
            let mut last = hook.last.lock();
            if attempt == Attempt::Taken {
                last.delivered = Some(webhooks.clock.now());
            }
            last.attempt.replace(attempt)
        };
        match attempt {
            Attempt::Taken => return true,
            Attempt::Gone => {
                warn!(access = %hook.access, "the webhook wants nothing more, it is told nothing until a reload");
                hook.gone();
                return false;
            }
            _ if before != Some(attempt) => {
                warn!(access = %hook.access, cause = attempt.word(), "a webhook does not take its events");
            }
            _ => {}
        }
        attempts += 1;
        let now = webhooks.clock.now();
        let pause = wish.unwrap_or_else(|| pause(attempts, lot()));
        if is_last || now + pause > begun + target.config.retry_for {
            return false;
        }
        patience(webhooks, now + pause).await;
    }
}

/// Waits until it is time for the next attempt, or until the node stops: then the next one is the last.
async fn patience(webhooks: &Webhooks, until: Tick) {
    let mut hurry = webhooks.hurry.subscribe();
    tokio::select! {
        biased;
        // Its sender lives as long as whoever waits here.
        _ = hurry.wait_for(|hurry| *hurry) => {}
        () = webhooks.clock.sleep_until(until) => {}
    }
}

async fn attempt(webhooks: &Webhooks, target: &Target, body: Bytes) -> (Attempt, Option<Duration>) {
    let request = target.request(body, webhooks.clock.wall().since_epoch().as_secs());
    let driver = Driver { clock: &webhooks.clock, tasks: &webhooks.tasks };
    let bounds = Bounds { deadline: webhooks.clock.now() + target.config.timeout, answer: ANSWER };
    match exchange(&target.dial, driver, request, bounds).await {
        Ok(answer) if answer.status.is_success() => (Attempt::Taken, None),
        Ok(answer) if answer.status == StatusCode::GONE => (Attempt::Gone, None),
        Ok(answer) => (Attempt::Status, wish(&answer)),
        // The status was good or bad; a backend that talks on and on is not one that took the batch.
        Err(ExchangeError::TooLarge(_) | ExchangeError::Broken(_)) => (Attempt::Broken, None),
        Err(ExchangeError::Timeout | ExchangeError::Dial(DialError::Timeout)) => (Attempt::Timeout, None),
        Err(ExchangeError::Dial(_)) => (Attempt::Connect, None),
    }
}

/// What Retry-After asks for (RFC 9110 §10.2.3), in seconds.
fn wish(answer: &Answered) -> Option<Duration> {
    let busy = [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE].contains(&answer.status);
    let value = answer.headers.get(RETRY_AFTER).filter(|_| busy)?;
    let seconds = value.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).clamp(FIRST_PAUSE, LONGEST_WISH))
}

/// Before the next attempt: it doubles, and between half of it and all of it is chosen by lot, so that nodes that failed
/// together do not come back together.
fn pause(attempts: u32, roll: u16) -> Duration {
    let whole = FIRST_PAUSE.saturating_mul(1 << (attempts - 1).min(10)).min(LONGEST_PAUSE);
    whole / 2 + whole / 2 * u32::from(roll) / u32::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_their_longest_and_differ_by_lot() {
        let ms = |attempts, roll| pause(attempts, roll).as_millis();
        assert_eq!([ms(1, 0), ms(1, u16::MAX)], [250, 500]);
        assert_eq!([ms(3, 0), ms(3, u16::MAX)], [1_000, 2_000]);
        assert_eq!([ms(40, 0), ms(40, u16::MAX)], [15_000, 30_000]);
        assert_eq!(pause(u32::MAX, u16::MAX), LONGEST_PAUSE);
    }

    #[test]
    fn a_backend_that_is_busy_may_say_for_how_long() {
        let answer = |status, value: &str| {
            let mut headers = http::HeaderMap::new();
            headers.insert(RETRY_AFTER, value.parse().unwrap());
            wish(&Answered { status, headers, body: Bytes::new() })
        };
        assert_eq!(answer(StatusCode::SERVICE_UNAVAILABLE, "7"), Some(Duration::from_secs(7)));
        assert_eq!(answer(StatusCode::TOO_MANY_REQUESTS, "86400"), Some(LONGEST_WISH));
        assert_eq!(answer(StatusCode::TOO_MANY_REQUESTS, "0"), Some(FIRST_PAUSE));
        assert_eq!(answer(StatusCode::INTERNAL_SERVER_ERROR, "7"), None);
        assert_eq!(answer(StatusCode::SERVICE_UNAVAILABLE, "soon"), None);
    }
}
