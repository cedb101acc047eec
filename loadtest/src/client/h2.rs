//! HTTP/2 as browsers use it: one connection for everything, a new one when it has ended.
//!
//! A dropped exchange resets its stream with CANCEL; hyper does that when its future or body is dropped.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::sync::Mutex;

use super::error::Stage;
use super::{ClientError, Parts};

/// The connection of one client, if it stands. The lock is held while connecting, so that only one is opened.
#[derive(Default)]
pub(super) struct Shared(Mutex<Option<Sender>>);

type Sender = SendRequest<Full<Bytes>>;

impl Shared {
    /// Makes sure that a connection stands.
    pub(super) async fn warm(&self, parts: &Parts) -> Result<(), ClientError> {
        self.sender(parts).await.map(drop)
    }

    async fn sender(&self, parts: &Parts) -> Result<Sender, ClientError> {
        let mut current = self.0.lock().await;
        if let Some(sender) = current.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok(sender.clone());
        }
        let sender = open(parts).await?;
        *current = Some(sender.clone());
        Ok(sender)
    }

    /// Sends a request and waits for the head of the answer.
    pub(super) async fn send(
        &self,
        parts: &Parts,
        request: &Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, ClientError> {
        let mut again = true;
        loop {
            let mut sender = self.sender(parts).await?;
            match sender.send_request(request.clone()).await {
                Ok(answer) => return Ok(answer),
                // Never sent: the connection had ended, or was told to go away, just before.
                Err(error) if error.is_canceled() && again => again = false,
                Err(error) => return Err(Stage::Head.hyper(error)),
            }
        }
    }
}

async fn open(parts: &Parts) -> Result<Sender, ClientError> {
    let receive = parts.network.receive();
    let stream = parts.tcp().await?;
    let (sender, connection) = Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(receive.stream)
        .initial_connection_window_size(receive.connection)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| ClientError::Handshake(error.into()))?;
    parts.opened();
    // Ends when the last sender and the last stream are dropped; how it ended, the exchanges on it tell.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}
