//! A subject that a JetStream stream listens to: each batch is one message, whose `Nats-Msg-Id` is its key, so that a
//! stream with a window for duplicates keeps it once. The stream's acknowledgement is the answer.
//!
//! One message a batch, and the next one once the stream has the one before: messages that are sent beside each other
//! would lose their order as soon as one of them must be sent again.

use std::time::Duration;

use async_nats::client::{Request, RequestErrorKind};
use async_nats::{Client, HeaderMap};
use serde::Deserialize;
use tokio::sync::OnceCell;

use crate::config::sinks::NatsSink;
use crate::region::nats::{NatsError, addresses, options};
use crate::rules::delivery::verdict::Verdict;
use crate::rules::timeline::event::SCHEMA;

use super::With;
use super::parcel::Parcel;
use super::target::{Attempt, Attempting, Outcome, Target};

/// What an acknowledgement says (JetStream: `PubAck`).
#[derive(Deserialize)]
struct Acknowledged {
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    code: u16,
    #[serde(default)]
    description: String,
}

/// A subject that batches are published under.
pub(super) struct Nats {
    config: NatsSink,
    timeout: Duration,
    name: String,
    client: OnceCell<Client>,
}

impl Nats {
    pub fn new(config: &NatsSink, timeout: Duration, name: &str) -> Self {
        Self { config: config.clone(), timeout, name: name.to_owned(), client: OnceCell::new() }
    }

    /// The connection, which comes back by itself.
    async fn client(&self) -> Result<&Client, NatsError> {
        self.client
            .get_or_try_init(async || {
                let NatsSink { servers, login, tls, .. } = &self.config;
                let options = options((servers, login, tls), &self.name)?;
                options.connect(addresses(servers)?).await.map_err(NatsError::Connect)
            })
            .await
    }

    async fn publish(&self, parcel: &Parcel, with: &With) -> Outcome {
        let client = match self.client().await {
            Ok(client) => client,
            Err(error) => return Outcome::again(Attempt::Connect, &error),
        };
        let request = Request::new()
            .headers(headers(parcel, with.stories.name()))
            .payload(parcel.lines.clone())
            // The node's own clock says when it has been long enough.
            .timeout(None);
        let answer = tokio::select! {
            biased;
            answer = client.send_request(self.config.subject.clone(), request) => answer,
            () = with.clock.sleep(self.timeout) => {
                let attempt = match client.connection_state() {
                    async_nats::connection::State::Connected => Attempt::Timeout,
                    _ => Attempt::Connect,
                };
                return Outcome::again(attempt, &"no acknowledgement within the deadline");
            }
        };
        match answer {
            Ok(message) => judged(&message.payload),
            // No stream listens, as yet.
            Err(error) if error.kind() == RequestErrorKind::NoResponders => {
                Outcome::again(Attempt::Status, &"no stream listens to the subject")
            }
            Err(error) => Outcome::again(Attempt::Broken, &error),
        }
    }
}

fn headers(parcel: &Parcel, node: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Msg-Id", parcel.key.as_str());
    headers.insert("Weir-Node", node);
    headers.insert("Weir-Schema", SCHEMA.to_string().as_str());
    headers.insert("Weir-Batch", parcel.extent.field().as_str());
    headers
}

/// What a stream says; anything but an acknowledgement comes from something that is no stream.
fn judged(answer: &[u8]) -> Outcome {
    match serde_json::from_slice(answer) {
        Ok(Acknowledged { error: None }) => Outcome::taken(),
        Ok(Acknowledged { error: Some(Refusal { code: 400, description }) }) => {
            Outcome { attempt: Attempt::Refused, verdict: Verdict::Refused, detail: description }
        }
        Ok(Acknowledged { error: Some(Refusal { description, .. }) }) => Outcome::again(Attempt::Status, &description),
        Err(_) => Outcome::again(Attempt::Broken, &"what answers is no stream"),
    }
}

impl Target for Nats {
    fn attempt<'a>(&'a self, parcel: &'a Parcel, with: &'a With) -> Attempting<'a> {
        Box::pin(self.publish(parcel, with))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_acknowledgement_counts() {
        let verdict = |answer: &str| judged(answer.as_bytes()).verdict;
        assert_eq!(verdict(r#"{"stream":"QOE","seq":7}"#), Verdict::Taken);
        assert_eq!(verdict(r#"{"stream":"QOE","seq":7,"duplicate":true}"#), Verdict::Taken);
        assert_eq!(
            verdict(r#"{"error":{"code":503,"err_code":10077,"description":"maximum messages exceeded"}}"#),
            Verdict::Again(None)
        );
        assert_eq!(verdict(r#"{"error":{"code":400,"description":"message size exceeds maximum"}}"#), Verdict::Refused);
        assert_eq!(verdict("+OK"), Verdict::Again(None));
        assert_eq!(verdict(""), Verdict::Again(None));
    }
}
