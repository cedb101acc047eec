//! What is particular about storages and packagers beside HTTP: requests that are signed, cookies that want to come
//! back, statuses that mean "there is no such object". One request is dressed just before it is sent, and its answer
//! looked at just after it came.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AGE, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, DATE, EXPIRES, VARY};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body::Body;
use memchr::memmem;
use tracing::warn;

use super::answer::{Answer, Framing};
use super::ask::Ask;
use super::course::Whose;
use super::jar::Jar;
use super::sign::Signer;
use crate::clock::{Clock, Tick};
use crate::config;
use crate::rules::caching::control::{CDN_CACHE_CONTROL, WEIR_CACHE_CONTROL};
use crate::tasks::Tasks;

/// What viewers read in place of a storage's own words.
const MISSING: &[u8] = br#"{"reason":"origin-missing","detail":"the origin has no such object"}"#;
/// What an answer that means 404 still says: for how long, and to whom.
const KEPT: [HeaderName; 7] = [AGE, CACHE_CONTROL, CDN_CACHE_CONTROL, DATE, EXPIRES, VARY, WEIR_CACHE_CONTROL];
/// What S3 says where the credentials are at fault, and not the object.
const CODES: [&str; 6] = [
    "SignatureDoesNotMatch",
    "InvalidAccessKeyId",
    "ExpiredToken",
    "InvalidToken",
    "RequestTimeTooSkewed",
    "TokenRefreshRequired",
];
/// The same fault is told once in this time.
const TELL: Duration = Duration::from_secs(60);

/// What is particular about one origin.
pub(super) struct Storage {
    signer: Option<Signer>,
    jar: Option<Jar>,
    missing: Vec<StatusCode>,
    told: Arc<AtomicU64>,
}

/// What an answer came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It stands.
    AsItIs,
    /// It refuses, and gave a cookie that the request did not carry.
    WantsItsCookieBack,
}

impl Storage {
    /// Reads the credentials: not for a worker's thread.
    pub(super) fn new(origin: &config::Origin) -> Self {
        Self {
            signer: origin.aws.as_ref().map(|aws| Signer::new(origin, aws)),
            jar: origin.cookies.then(|| Jar::new(origin)),
            missing: origin.missing.clone(),
            told: Arc::default(),
        }
    }

    /// Makes a request ready: cookies first, the signature last. The cookies that were put in come back.
    pub(super) fn dress<B: Body>(
        &self,
        request: &mut Request<B>,
        ask: &Ask,
        (clock, tasks): (&Clock, &Tasks),
    ) -> Option<HeaderValue> {
        let sent = self.jar(ask).and_then(|jar| jar.field(request.uri().path(), clock.now()));
        if let Some(cookies) = &sent {
            request.headers_mut().insert(COOKIE, cookies.clone());
        }
        if let Some(signer) = &self.signer {
            signer.sign(request, clock, tasks);
        }
        sent
    }

    /// Looks at the answer to a request for `path` that carried these cookies.
    pub(super) fn takes(
        &self,
        answer: &mut Answer,
        (ask, path, sent): (&Ask, &str, Option<HeaderValue>),
        clock: &Clock,
    ) -> Taken {
        let mut taken = Taken::AsItIs;
        if let Some(jar) = self.jar(ask) {
            jar.take(&mut answer.headers, path, clock);
            let refuses = matches!(answer.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
            if refuses && jar.field(path, clock.now()) != sent {
                taken = Taken::WantsItsCookieBack;
            }
        }
        if self.missing.contains(&answer.status) {
            self.mean_404(answer, ask, clock.now());
        }
        taken
    }

    /// A viewer's own cookies are between the viewer and the origin.
    fn jar(&self, ask: &Ask) -> Option<&Jar> {
        self.jar.as_ref().filter(|_| ask.course.whose == Whose::Node)
    }

    fn mean_404(&self, answer: &mut Answer, ask: &Ask, now: Tick) {
        answer.status = StatusCode::NOT_FOUND;
        let kept = |name: &HeaderName| Some((name.clone(), answer.headers.get(name)?.clone()));
        let mut headers: HeaderMap = KEPT.iter().filter_map(kept).collect();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CONTENT_LENGTH, MISSING.len().into());
        answer.headers = headers;
        answer.announced_length = Some(MISSING.len() as u64);
        answer.framing = Framing::Delimited;
        if ask.method == Method::HEAD {
            return;
        }
        let (origin, told) = (answer.origin.clone(), self.told.clone());
        let now = u64::try_from((now.since_start() + TELL).as_millis()).unwrap_or(u64::MAX);
        answer.body.says_instead(Bytes::from_static(MISSING), move |heard| {
            let Some(code) = CODES.iter().find(|code| memmem::find(heard, code.as_bytes()).is_some()) else { return };
            let last = told.load(Relaxed);
            let is_new = last == 0 || now.saturating_sub(last) >= TELL.as_millis() as u64;
            if is_new && told.compare_exchange(last, now, Relaxed, Relaxed).is_ok() {
                warn!(%origin, code, "the storage refuses the credentials, and calls everything absent");
            }
        });
    }
}
