//! A URL: each batch is POSTed as NDJSON, under its key.

use std::time::Duration;

use http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderName, HeaderValue, Method, Request};

use crate::config::sinks::{Format, HttpSink};
use crate::outbound::dial::{Dial, DialError};
use crate::outbound::endpoint::{Endpoint, Proofs};
use crate::outbound::exchange::{Bounds, ExchangeError, exchange};
use crate::outbound::link::Driver;
use crate::outbound::tls::TlsSetupError;
use crate::rules::delivery::verdict::{self, Verdict};
use crate::rules::timeline::event::SCHEMA;

use super::With;
use super::parcel::Parcel;
use super::target::{Attempt, Attempting, Outcome, Target};

/// What a receiver knows a batch by.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Which node sends it.
pub const NODE: HeaderName = HeaderName::from_static("weir-node");
/// The version of its lines.
pub const VERSION: HeaderName = HeaderName::from_static("weir-schema");
/// Its numbers and times.
pub const BATCH: HeaderName = HeaderName::from_static("weir-batch");

/// Octets of an answer that are read; its status is all that counts.
const ANSWER: usize = 64 << 10;

/// A URL that batches are sent to.
pub(super) struct Http {
    config: HttpSink,
    dial: Dial,
    timeout: Duration,
}

impl Http {
    pub fn new(config: &HttpSink, timeout: Duration) -> Result<Self, TlsSetupError> {
        let tls = &config.tls;
        let proofs = Proofs { ca: tls.ca.as_deref(), client: tls.client_files(), name: tls.sni.as_deref() };
        let Endpoint { dial, .. } = Endpoint::new(&config.url, proofs)?;
        Ok(Self { config: config.clone(), dial, timeout })
    }

    fn request(&self, parcel: &Parcel, body: bytes::Bytes, node: &str) -> Request<bytes::Bytes> {
        let value = |text: &str| HeaderValue::try_from(text).expect("a node's name and digits are a field value");
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.config.url.clone();
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("weir/", env!("CARGO_PKG_VERSION"))));
        headers.extend(self.config.headers.iter().cloned());
        let kind = match self.config.format {
            Format::Lines => "application/x-ndjson",
            Format::OtlpTraces => "application/json",
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        if let Some(coding) = self.config.compression.coding() {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
        }
        headers.insert(IDEMPOTENCY_KEY, value(&parcel.key));
        headers.insert(NODE, value(node));
        headers.insert(VERSION, HeaderValue::from(SCHEMA));
        headers.insert(BATCH, value(&parcel.extent.field()));
        request
    }

    async fn send(&self, parcel: &Parcel, with: &With) -> Outcome {
        let Some(body) = parcel.body(self.config.format, self.config.compression, &with.tasks).await else {
            // There is nothing to say of them.
            return Outcome { attempt: Attempt::Taken, verdict: Verdict::Taken, detail: String::new() };
        };
        let request = self.request(parcel, body, with.stories.name());
        let driver = Driver { clock: &with.clock, tasks: &with.tasks };
        let bounds = Bounds { deadline: with.clock.now() + self.timeout, answer: ANSWER };
        match exchange(&self.dial, driver, request, bounds).await {
            Ok(answer) => {
                let wish = answer.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
                let verdict = verdict::of_status(answer.status.as_u16(), wish);
                let attempt = match verdict {
                    Verdict::Taken => Attempt::Taken,
                    Verdict::Again(_) => Attempt::Status,
                    Verdict::Refused => Attempt::Refused,
                    Verdict::Gone => Attempt::Gone,
                };
                Outcome { attempt, verdict, detail: format!("it answers {}", answer.status) }
            }
            // Whoever talks on and on is not one that took the batch.
            Err(error @ (ExchangeError::TooLarge(_) | ExchangeError::Broken(_))) => {
                Outcome::again(Attempt::Broken, &error)
            }
            Err(error @ (ExchangeError::Timeout | ExchangeError::Dial(DialError::Timeout))) => {
                Outcome::again(Attempt::Timeout, &error)
            }
            Err(error @ ExchangeError::Dial(_)) => Outcome::again(Attempt::Connect, &error),
        }
    }
}

impl Target for Http {
    fn attempt<'a>(&'a self, parcel: &'a Parcel, with: &'a With) -> Attempting<'a> {
        Box::pin(self.send(parcel, with))
    }
}
